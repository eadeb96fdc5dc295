//! What members say to each other: short lines of text. Nothing in them has authority.
//!
//! ```text
//! segue 1 ID        who speaks; first, by both sides
//! look              there is something new in the store
//! renewed?          how long ago did you renew?
//! renewed 1200      that many milliseconds ago
//! still             nothing new
//! ```

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use crate::model::ids::MemberId;

/// Longest line, with its end.
pub(super) const LONGEST: u64 = 128;
/// Version of the language.
const VERSION: &str = "1";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Hello(MemberId),
    Look,
    AskRenewed,
    Renewed { age_ms: i64 },
    Still,
}

impl Line {
    /// As it is sent.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Hello(id) => format!("segue {VERSION} {id}\n"),
            Self::Look => "look\n".to_owned(),
            Self::AskRenewed => "renewed?\n".to_owned(),
            Self::Renewed { age_ms } => format!("renewed {age_ms}\n"),
            Self::Still => "still\n".to_owned(),
        }
    }

    /// `None`: whoever says that does not speak our language.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
        match words[..] {
            ["segue", VERSION, id] if is_an_id(id) => Some(Self::Hello(MemberId(id.to_owned()))),
            ["look"] => Some(Self::Look),
            ["renewed?"] => Some(Self::AskRenewed),
            ["renewed", age] => Some(Self::Renewed {
                age_ms: age.parse().ok().filter(|age| *age >= 0)?,
            }),
            ["still"] => Some(Self::Still),
            _ => None,
        }
    }
}

fn is_an_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Reads one line; never more than [`LONGEST`] bytes. `Ok(None)`: the other side hung up.
pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    if from.take(LONGEST).read_until(b'\n', &mut bytes).await? == 0 {
        return Ok(None);
    }
    let line = std::str::from_utf8(&bytes).ok().and_then(Line::parse);
    line.map(Some)
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not a line of a member"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written_and_nothing_else_is_one() {
        let lines = [
            Line::Hello(MemberId("0199-ab".into())),
            Line::Look,
            Line::AskRenewed,
            Line::Renewed { age_ms: 1_200 },
            Line::Still,
        ];
        for line in lines {
            assert_eq!(Line::parse(&line.text()), Some(line));
        }
        for bad in [
            "",
            "\n",
            "look",
            "look \n",
            "segue 2 a\n",
            "segue 1 \n",
            "segue 1 a/b\n",
            "renewed -1\n",
            "renewed x\n",
        ] {
            assert_eq!(Line::parse(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_line_that_does_not_end_is_not_read_for_ever() {
        let endless = vec![b'a'; 10_000];
        let mut reader = tokio::io::BufReader::new(&endless[..]);
        assert!(read(&mut reader).await.is_err());
        let mut nothing = tokio::io::BufReader::new(&b""[..]);
        assert_eq!(read(&mut nothing).await.unwrap(), None);
    }
}
