//! Files of sound for a Lavalink that knows no other source: `/NAME-SECONDS.wav`, a quiet tone.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

/// Samples a second, one byte pair each.
const RATE: u32 = 8_000;
/// The longest file, in seconds.
const LONGEST: u32 = 600;

/// Serves at this address, until the process ends; the address as a server is to be told.
pub(crate) async fn serve(at: SocketAddr) -> String {
    let listener = TcpListener::bind(at).await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = Router::new().route("/{file}", get(|Path(name): Path<String>| async move { file(&name) }));
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's process")]
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    format!("http://{at}")
}

fn file(name: &str) -> Response {
    let seconds = name
        .strip_suffix(".wav")
        .and_then(|name| name.rsplit_once('-')?.1.parse().ok());
    match seconds.filter(|seconds| *seconds <= LONGEST) {
        Some(seconds) => ([(header::CONTENT_TYPE, "audio/wav")], wave(seconds)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A RIFF file: 16 bits, one channel, a tone of 440 Hz.
fn wave(seconds: u32) -> Vec<u8> {
    let samples = seconds * RATE;
    let size = samples * 2;
    let mut file = Vec::with_capacity(44 + size as usize);
    file.extend(b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1_u16, 1].map(u16::to_le_bytes).concat());
    file.extend([RATE, RATE * 2].map(u32::to_le_bytes).concat());
    file.extend([2_u16, 16].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    for sample in 0..samples {
        let phase = f64::from(sample) * 440.0 * std::f64::consts::TAU / f64::from(RATE);
        #[expect(clippy::cast_possible_truncation, reason = "a sine times 2,000 is a sample")]
        file.extend(((phase.sin() * 2_000.0) as i16).to_le_bytes());
    }
    file
}

#[test]
fn a_file_has_the_length_that_its_name_says() {
    assert_eq!(wave(3).len(), 44 + 3 * 16_000);
    assert_eq!(file("Row-3.wav").status(), 200);
    assert_eq!(file("Row-3000.wav").status(), 404);
    assert_eq!(file("Row.mp3").status(), 404);
}
