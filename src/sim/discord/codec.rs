//! How payloads leave a socket: as text, or as one zstd stream per connection.

use axum::extract::ws::{Message, Utf8Bytes};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// Turns payloads into frames.
pub(crate) enum Codec {
    /// Plain JSON in text frames.
    Text,
    /// `compress=zstd-stream`: one context for the connection, flushed at each payload; the stream never ends.
    Zstd(CCtx<'static>),
}

impl Codec {
    /// What a client asked for. An unknown wish gets text, which every client reads.
    pub(crate) fn new(compress: Option<&str>) -> Self {
        if compress != Some("zstd-stream") {
            return Self::Text;
        }
        let Some(mut context) = CCtx::try_create() else {
            return Self::Text;
        };
        match context.set_parameter(CParameter::CompressionLevel(1)) {
            Ok(_) => Self::Zstd(context),
            Err(_) => Self::Text,
        }
    }

    /// Its name in a client's query; none for text.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Zstd(_) => Some("zstd-stream"),
        }
    }

    /// One payload as one frame; `None` when the stream is broken.
    pub(crate) fn frame(&mut self, payload: Utf8Bytes) -> Option<Message> {
        let Self::Zstd(context) = self else {
            return Some(Message::Text(payload));
        };
        let source = payload.as_bytes();
        let mut done = vec![0; zstd_safe::compress_bound(source.len()) + 64];
        let mut input = InBuffer::around(source);
        let mut output = OutBuffer::around(done.as_mut_slice());
        loop {
            let left = context
                .compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_flush)
                .ok()?;
            if left == 0 && input.pos() == source.len() {
                break;
            }
            if output.pos() == output.capacity() {
                return None;
            }
        }
        let length = output.pos();
        done.truncate(length);
        Some(Message::Binary(done.into()))
    }
}
