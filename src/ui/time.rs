//! Times and the position bar.

/// Places in the bar.
const BAR: u64 = 16;

/// `1:23`, `1:02:03`; whole seconds, as they have passed.
pub(super) fn clock(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A line with a knob at the position; the knob stays on the line whatever the position is.
pub(super) fn bar(position_ms: u64, length_ms: u64) -> String {
    let at = position_ms
        .min(length_ms)
        .saturating_mul(BAR)
        .checked_div(length_ms)
        .unwrap_or(0)
        .min(BAR - 1);
    (0..BAR).map(|place| if place == at { '🔘' } else { '▬' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_like_on_a_player() {
        let table = [
            (0, "0:00"),
            (999, "0:00"),
            (83_000, "1:23"),
            (3_723_000, "1:02:03"),
            (360_000_000, "100:00:00"),
        ];
        for (ms, text) in table {
            assert_eq!(clock(ms), text);
        }
        assert_eq!(bar(0, 100), "🔘▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬");
        assert_eq!(bar(50, 100), "▬▬▬▬▬▬▬▬🔘▬▬▬▬▬▬▬");
        assert_eq!(bar(100, 100), "▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬🔘");
    }

    proptest! {
        #[test]
        fn there_is_always_one_knob(position in any::<u64>(), length in any::<u64>()) {
            let bar = bar(position, length);
            prop_assert_eq!(bar.chars().count() as u64, BAR);
            prop_assert_eq!(bar.matches('🔘').count(), 1);
        }
    }
}
