//! Positions as people type them.

/// The longest position understood, in seconds: 1,000 hours.
const LONGEST_S: u64 = 3_600_000;

/// Reads `1:23`, `1:02:03`, `83`, `1m23s`, `1h2m`; milliseconds, or `None` for anything else.
pub fn parse_position(text: &str) -> Option<u64> {
    let text = text.trim();
    let seconds = if text.contains(':') {
        by_colons(text)?
    } else if text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        by_units(text)?
    } else {
        number(text)?
    };
    (seconds <= LONGEST_S).then(|| seconds.saturating_mul(1_000))
}

fn by_colons(text: &str) -> Option<u64> {
    let parts: Vec<u64> = text.split(':').map(number).collect::<Option<_>>()?;
    let sixty = |value: u64| (value < 60).then_some(value);
    match parts.as_slice() {
        [minutes, seconds] => Some(minutes * 60 + sixty(*seconds)?),
        [hours, minutes, seconds] => Some(hours * 3_600 + sixty(*minutes)? * 60 + sixty(*seconds)?),
        _ => None,
    }
}

/// Each of `h`, `m` and `s` at most once and in this order.
fn by_units(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0;
    for (unit, seconds) in [('h', 3_600), ('m', 60), ('s', 1)] {
        let lower = rest.find([unit, unit.to_ascii_uppercase()]);
        if let Some(at) = lower {
            total += number(rest.get(..at)?.trim())? * seconds;
            rest = rest.get(at + 1..)?.trim_start();
        }
    }
    rest.is_empty().then_some(total)
}

/// At most seven digits and nothing else, so that no sum above can overflow.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn positions_are_read_as_people_write_them() {
        let table = [
            ("1:23", Some(83)),
            ("01:02:03", Some(3_723)),
            ("83", Some(83)),
            ("1m23s", Some(83)),
            ("1M23S", Some(83)),
            ("1m 23s", Some(83)),
            ("2h", Some(7_200)),
            ("1h3s", Some(3_603)),
            (" 0 ", Some(0)),
            ("0:00", Some(0)),
            ("90:00", Some(5_400)),
            ("90s", Some(90)),
            ("1:60", None),
            ("1:60:00", None),
            ("1:2:3:4", None),
            (":30", None),
            ("1:", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("1s1m", None),
            ("1m23", None),
            ("ms", None),
            ("5x", None),
            ("one minute", None),
            ("99999999", None),
            ("9999999", None),
            ("１：２３", None),
            ("1m😀s", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_position(text), seconds.map(|s: u64| s * 1_000), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,24}") {
            let _ = parse_position(&text);
        }

        #[test]
        fn minutes_and_seconds_come_back(minutes in 0u64..6_000, seconds in 0u64..60) {
            let expected = Some((minutes * 60 + seconds) * 1_000);
            prop_assert_eq!(parse_position(&format!("{minutes}:{seconds:02}")), expected);
            prop_assert_eq!(parse_position(&format!("{minutes}m{seconds}s")), expected);
        }
    }
}
