//! Where a track is: for the node, which pulls frames ahead, and for the ear, which hears them a third of a second later. Pure.

/// How far ahead of the ear a node pulls.
pub(super) const LEAD_MS: u64 = 330;
/// How long before the ear's end a node says that a track ended.
pub(super) const END_LEAD_MS: u64 = 350;

/// The position of one track in one player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Playhead {
    /// What the node has counted, in output time.
    counted_ms: f64,
    /// What has been pulled, in track time.
    pulled_ms: f64,
    /// Track time per output time.
    speed: f64,
    /// When the ear hears what comes after `pulled_ms`; `None` while nothing is pulled.
    heard_from_ms: Option<u64>,
    /// Whether a frame was ever pulled.
    ran: bool,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds, never negative; more than there can be is the most there can be"
)]
impl Playhead {
    /// At a position, still.
    pub(super) fn at(position_ms: u64, speed: f64) -> Self {
        Self {
            counted_ms: position_ms as f64,
            pulled_ms: position_ms as f64,
            speed,
            heard_from_ms: None,
            ran: false,
        }
    }

    /// Whether a frame was ever pulled.
    pub(super) fn ever_ran(&self) -> bool {
        self.ran
    }

    /// The same place, but counted from 0 again, as Ogg does after a seek.
    pub(super) fn counted_from_zero(mut self) -> Self {
        self.counted_ms = 0.0;
        self
    }

    /// The same, but told although nothing was pulled from here yet, as after a seek.
    pub(super) fn told(mut self) -> Self {
        self.ran = true;
        self
    }

    /// Another speed from here on.
    pub(super) fn set_speed(&mut self, speed: f64) {
        self.speed = speed;
    }

    /// Track time per output time.
    pub(super) fn speed(&self) -> f64 {
        self.speed
    }

    /// Starts pulling; the ear hears it from `heard_from_ms`, at most [`LEAD_MS`] from now.
    pub(super) fn run(&mut self, heard_from_ms: u64) {
        self.heard_from_ms = Some(heard_from_ms);
        self.ran = true;
    }

    fn output_ms(&self, now: u64) -> f64 {
        self.heard_from_ms
            .map_or(0, |from| now.saturating_add(LEAD_MS).saturating_sub(from)) as f64
    }

    /// Stops pulling. Answers when the ear will have heard all that was pulled, if anything was being pulled.
    pub(super) fn freeze(&mut self, now: u64) -> Option<u64> {
        let output = self.output_ms(now);
        let from = self.heard_from_ms.take()?;
        self.counted_ms += output;
        self.pulled_ms += output * self.speed;
        Some(from.max(now.saturating_add(LEAD_MS)))
    }

    /// What the node reports.
    pub(super) fn reported(&self, now: u64) -> u64 {
        (self.counted_ms + self.output_ms(now)) as u64
    }

    /// Track time of what comes next out of the player.
    pub(super) fn next_ms(&self) -> u64 {
        self.pulled_ms as u64
    }

    /// When the ear reaches a place in the track; `None` while nothing is pulled.
    pub(super) fn heard_at(&self, place_ms: u64) -> Option<u64> {
        let left = (place_ms as f64 - self.pulled_ms).max(0.0) / self.speed;
        self.heard_from_ms.map(|from| from.saturating_add(left.ceil() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_node_is_a_third_of_a_second_ahead_and_keeps_that_over_a_pause() {
        let mut head = Playhead::at(1_000, 1.0);
        assert_eq!(head.reported(500), 1_000);
        head.run(500);
        assert_eq!(head.reported(1_500), 2_330);
        assert_eq!(head.heard_at(2_000), Some(1_500));
        assert_eq!(head.freeze(1_500), Some(1_830));
        assert_eq!((head.reported(9_000), head.next_ms()), (2_330, 2_330));
        head.run(10_000);
        assert_eq!(head.reported(10_000), 2_660);
        assert_eq!(head.heard_at(2_330), Some(10_000));
    }

    #[test]
    fn a_track_that_waits_for_the_queue_starts_at_its_beginning() {
        let mut head = Playhead::at(0, 1.0);
        head.run(1_330);
        assert_eq!(head.reported(1_000), 0);
        assert_eq!(head.reported(1_100), 100);
    }

    #[test]
    fn a_faster_track_is_counted_in_output_time() {
        let mut head = Playhead::at(0, 2.0);
        head.run(0);
        assert_eq!(head.reported(8_000), 8_330);
        assert_eq!(head.heard_at(20_000), Some(10_000));
        assert_eq!(Playhead::at(5_000, 1.0).counted_from_zero().reported(0), 0);
    }

    #[test]
    fn a_place_that_is_never_reached_and_a_time_that_never_comes_are_reckoned_with() {
        for speed in [1e-300, 0.01, 100.0, 1e300] {
            let mut head = Playhead::at(u64::MAX, speed);
            head.run(5);
            assert!(head.heard_at(u64::MAX).is_some() && head.heard_at(0).is_some());
            assert_eq!(head.freeze(u64::MAX), Some(u64::MAX));
            let mut slow = Playhead::at(0, speed);
            slow.run(1_000);
            assert!(slow.heard_at(u64::MAX).is_some_and(|at| at > 1_000));
        }
    }

    proptest! {
        #[test]
        fn stopping_and_going_on_at_once_changes_nothing_heard(at in 0_u64..10_000, more in 0_u64..10_000) {
            let mut straight = Playhead::at(0, 1.0);
            straight.run(0);
            let mut broken = straight;
            let drained = broken.freeze(at);
            broken.run(drained.unwrap());
            prop_assert_eq!(broken.heard_at(60_000), straight.heard_at(60_000));
            prop_assert_eq!(broken.reported(at + more), straight.reported(at + more));
        }
    }
}
