//! How payloads leave a socket: as text, or as one zstd or zlib stream per connection.

use axum::extract::ws::{Message, Utf8Bytes};
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// Turns payloads into frames.
pub(crate) enum Codec {
    /// Plain JSON in text frames.
    Text,
    /// `compress=zstd-stream`: one context for the connection, flushed at each payload; the stream never ends.
    Zstd(CCtx<'static>),
    /// `compress=zlib-stream`: the same with zlib; each payload ends in `00 00 ff ff`.
    Zlib(Compress),
}

impl Codec {
    /// What a client asked for. An unknown wish gets text, which every client reads.
    pub(crate) fn new(compress: Option<&str>) -> Self {
        match compress {
            Some("zstd-stream") => Self::zstd().unwrap_or(Self::Text),
            Some("zlib-stream") => Self::Zlib(Compress::new(Compression::fast(), true)),
            Some(_) | None => Self::Text,
        }
    }

    fn zstd() -> Option<Self> {
        let mut context = CCtx::try_create()?;
        context.set_parameter(CParameter::CompressionLevel(1)).ok()?;
        Some(Self::Zstd(context))
    }

    /// Its name in a client's query; none for text.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Zstd(_) => Some("zstd-stream"),
            Self::Zlib(_) => Some("zlib-stream"),
        }
    }

    /// One payload as one frame; `None` when the stream is broken.
    pub(crate) fn frame(&mut self, payload: Utf8Bytes) -> Option<Message> {
        let done = match self {
            Self::Text => return Some(Message::Text(payload)),
            Self::Zstd(context) => zstd(context, payload.as_bytes())?,
            Self::Zlib(context) => zlib(context, payload.as_bytes())?,
        };
        Some(Message::Binary(done.into()))
    }
}

fn zstd(context: &mut CCtx<'static>, source: &[u8]) -> Option<Vec<u8>> {
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
    Some(done)
}

fn zlib(context: &mut Compress, source: &[u8]) -> Option<Vec<u8>> {
    let mut done = Vec::with_capacity(source.len() / 4 + 64);
    let before = context.total_in();
    loop {
        let taken = usize::try_from(context.total_in() - before).ok()?;
        let status = context
            .compress_vec(&source[taken..], &mut done, FlushCompress::Sync)
            .ok()?;
        let taken = usize::try_from(context.total_in() - before).ok()?;
        // All of it is out when there was room left.
        if taken == source.len() && done.len() < done.capacity() {
            return Some(done);
        }
        if status == Status::StreamEnd {
            return None;
        }
        done.reserve(source.len() / 2 + 256);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    #[test]
    fn zlib_is_one_stream_and_every_payload_ends_in_its_mark() {
        let mut codec = Codec::new(Some("zlib-stream"));
        let mut reader = Decompress::new(true);
        for size in [0, 1, 50, 3_000, 200_000] {
            let mut payload = String::from("{");
            while payload.len() < size {
                payload += &(payload.len() * 7_919).to_string();
            }
            let Some(Message::Binary(frame)) = codec.frame(payload.clone().into()) else {
                panic!("no binary frame");
            };
            assert!(frame.ends_with(&[0, 0, 0xff, 0xff]), "{size}");
            let mut read = Vec::with_capacity(payload.len() + 64);
            reader.decompress_vec(&frame, &mut read, FlushDecompress::Sync).unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), payload);
        }
    }
}
