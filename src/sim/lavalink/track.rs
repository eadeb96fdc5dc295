//! Tracks: what an identifier means, how a track looks in JSON, and lavaplayer's own binary form of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

/// The name of the only source.
pub(super) const SOURCE: &str = "sim";
/// Length of a track whose identifier names none, in seconds.
const DEFAULT_SECONDS: u64 = 180;
/// What stays readable in an identifier.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How the audio is packed; it decides what the player can do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Seekable at once, like wav and flac.
    Mp3,
    /// Ogg/Opus: cannot start above 0, and counts from 0 again after a seek.
    Opus,
}

/// A track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// `sim:TITLE?length=…`, whole.
    pub(super) identifier: String,
    /// Percent-decoded.
    pub(super) title: String,
    /// Made from the title.
    pub(super) author: String,
    /// `None` for a stream.
    pub(super) length_ms: Option<u64>,
    /// Fails at its start.
    pub(super) fails: bool,
    /// How it is packed.
    pub(super) format: Format,
}

const AUTHORS: [&str; 12] = [
    "The Harbour Lights",
    "Ada Quill",
    "Northbound",
    "Velvet Static",
    "Juniper Row",
    "Mono Lake",
    "Paper Comets",
    "Salt and Signal",
    "Kite Weather",
    "The Late Ferries",
    "Orla Finch",
    "Granite Choir",
];

impl Track {
    /// Reads `sim:TITLE?…` or `https://music.sim/track/TITLE?…`; `None` where it is neither.
    pub(super) fn parse(identifier: &str) -> Option<Self> {
        let rest = identifier
            .strip_prefix("sim:")
            .or_else(|| identifier.strip_prefix("https://music.sim/track/"))?;
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let title = decode(name);
        if title.trim().is_empty() {
            return None;
        }
        let mut track = Self {
            identifier: format!("sim:{rest}"),
            author: author_of(&title).to_owned(),
            title,
            length_ms: Some(DEFAULT_SECONDS * 1000),
            fails: false,
            format: Format::Mp3,
        };
        let mut stream = false;
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "length" => track.length_ms = Some(milliseconds(value)?),
                "stream" => stream = value == "1",
                "fail" => track.fails = value == "1",
                "format" if value == "opus" => track.format = Format::Opus,
                _ => {}
            }
        }
        if stream {
            track.length_ms = None;
        }
        Some(track)
    }

    /// A track by title and length in seconds.
    pub(super) fn named(title: &str, seconds: u64) -> Self {
        Self {
            identifier: format!("sim:{}?length={seconds}", utf8_percent_encode(title, ESCAPED)),
            title: title.to_owned(),
            author: author_of(title).to_owned(),
            length_ms: Some(seconds * 1000),
            fails: false,
            format: Format::Mp3,
        }
    }

    fn uri(&self) -> String {
        let rest = self.identifier.strip_prefix("sim:").unwrap_or(&self.identifier);
        format!("https://music.sim/track/{rest}")
    }

    /// The length as the wire says it: a stream's is the greatest number there is.
    fn wire_length(&self) -> i64 {
        self.length_ms
            .map_or(i64::MAX, |length| i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// The track as Lavalink's JSON, `position` in ms.
    pub(super) fn json(&self, position: u64, user_data: &Value) -> Value {
        json!({
            "encoded": self.encode(position),
            "info": {
                "identifier": self.identifier,
                "isSeekable": self.length_ms.is_some(),
                "author": self.author,
                "length": self.wire_length(),
                "isStream": self.length_ms.is_none(),
                "position": position,
                "title": self.title,
                "uri": self.uri(),
                "artworkUrl": null,
                "isrc": null,
                "sourceName": SOURCE,
            },
            "pluginInfo": {},
            "userData": user_data,
        })
    }

    /// Lavaplayer's message: flags and size, version 3, the fields, and the position it is at.
    pub(super) fn encode(&self, position: u64) -> String {
        let mut body = vec![3_u8];
        put_text(&mut body, &self.title);
        put_text(&mut body, &self.author);
        body.extend(self.wire_length().to_be_bytes());
        put_text(&mut body, &self.identifier);
        body.push(u8::from(self.length_ms.is_none()));
        body.push(1);
        put_text(&mut body, &self.uri());
        body.extend([0, 0]);
        put_text(&mut body, SOURCE);
        body.extend(i64::try_from(position).unwrap_or(i64::MAX).to_be_bytes());
        let size = u32::try_from(body.len()).unwrap_or(0) | 1 << 30;
        let mut message = size.to_be_bytes().to_vec();
        message.append(&mut body);
        STANDARD.encode(message)
    }

    /// The track and the position inside it.
    pub(super) fn decode(encoded: &str) -> Result<(Self, u64), Undecodable> {
        let bytes = STANDARD.decode(encoded).map_err(|_| Undecodable::Base64)?;
        read(&bytes).ok_or(Undecodable::Track)
    }
}

/// Why an encoded track is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// Not base64.
    Base64,
    /// Another version, another source, or cut short.
    Track,
}

impl Undecodable {
    /// Lavalink's words.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Base64 => "Illegal base64 character",
            Self::Track => "Failed to decode track due to a mismatching version or missing source manager",
        }
    }
}

fn read(bytes: &[u8]) -> Option<(Track, u64)> {
    let mut rest = bytes;
    let header = u32::from_be_bytes(take::<4>(&mut rest)?);
    if header >> 30 != 1 || usize::try_from(header & 0x3fff_ffff).ok()? != rest.len() || take::<1>(&mut rest)? != [3] {
        return None;
    }
    let _title = take_text(&mut rest)?;
    let _author = take_text(&mut rest)?;
    let _length = take::<8>(&mut rest)?;
    let identifier = take_text(&mut rest)?;
    let _stream = take::<1>(&mut rest)?;
    for _nullable in 0..3 {
        if take::<1>(&mut rest)? == [1] {
            take_text(&mut rest)?;
        }
    }
    if take_text(&mut rest)? != SOURCE {
        return None;
    }
    let position = i64::from_be_bytes(take::<8>(&mut rest)?);
    Some((Track::parse(&identifier)?, u64::try_from(position).unwrap_or(0)))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Java's `writeUTF`: a two-byte length, then every UTF-16 unit by itself in one to three bytes.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let mut units = Vec::with_capacity(3);
        let [high, low] = unit.to_be_bytes();
        match unit {
            0x01..=0x7f => units.push(low),
            0 | 0x80..=0x7ff => units.extend([0xc0 | (high << 2) | (low >> 6), 0x80 | (low & 0x3f)]),
            _ => units.extend([
                0xe0 | (high >> 4),
                0x80 | ((high & 0x0f) << 2) | (low >> 6),
                0x80 | (low & 0x3f),
            ]),
        }
        if bytes.len() + units.len() > usize::from(u16::MAX) {
            break;
        }
        bytes.append(&mut units);
    }
    out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.append(&mut bytes);
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take::<2>(rest)?));
    let (mut bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    let mut units = Vec::with_capacity(length);
    while let [first, ..] = *bytes {
        let unit = match first {
            0x00..=0x7f => u16::from(take::<1>(&mut bytes)?[0]),
            0x80..=0xdf => {
                let [a, b] = take::<2>(&mut bytes)?;
                (u16::from(a) & 0x1f) << 6 | u16::from(b) & 0x3f
            }
            _ => {
                let [a, b, c] = take::<3>(&mut bytes)?;
                (u16::from(a) & 0x0f) << 12 | (u16::from(b) & 0x3f) << 6 | u16::from(c) & 0x3f
            }
        };
        units.push(unit);
    }
    String::from_utf16(&units).ok()
}

/// Percent and plus, as in a form.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    if !(0.0..=1e9).contains(&seconds) {
        return None;
    }
    u64::try_from(std::time::Duration::from_secs_f64(seconds).as_millis()).ok()
}

fn author_of(title: &str) -> &'static str {
    let sum = title.bytes().fold(7_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    AUTHORS[sum % AUTHORS.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identifier_says_what_the_track_is() {
        let track = Track::parse("sim:Blue+Moon%21?length=3.5&format=opus&fail=1").unwrap();
        assert_eq!(track.title, "Blue Moon!");
        assert_eq!(track.length_ms, Some(3500));
        assert_eq!((track.format, track.fails), (Format::Opus, true));
        assert_eq!(Track::parse("sim:x?stream=1").unwrap().length_ms, None);
        assert_eq!(Track::parse("sim:x?length=0").unwrap().length_ms, Some(0));
        assert_eq!(
            Track::parse("https://music.sim/track/A?length=2").unwrap().identifier,
            "sim:A?length=2"
        );
        assert_eq!(Track::parse("https://example.org/a"), None);
        assert_eq!(Track::parse("sim:?length=1"), None);
    }

    #[test]
    fn what_is_not_a_track_is_refused_with_the_reason() {
        assert_eq!(Track::decode("???").unwrap_err(), Undecodable::Base64);
        assert_eq!(Track::decode("QUJD").unwrap_err(), Undecodable::Track);
    }

    proptest! {
        #[test]
        fn encoded_tracks_come_back_with_their_position(title in "[^\u{0}]{1,40}", seconds in 0_u64..10_000, at in 0_u64..1 << 40) {
            prop_assume!(!title.trim().is_empty());
            let track = Track::named(&title, seconds);
            prop_assert_eq!(Track::decode(&track.encode(at)), Ok((track, at)));
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Track::decode(&STANDARD.encode(bytes)));
        }
    }
}
