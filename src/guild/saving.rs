//! Saving one guild: one write under way at a time, the latest state wins, and nobody is told "done" before it is durable.

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};
use tracing::{Instrument as _, info_span, warn};

use super::Confirmed;
use super::actor::{Actor, Done, next};
use super::metering;
use crate::gateway::Seen;
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, GuildId, MemberId, Rev};
use crate::model::position::Anchor;
use crate::model::record::{DeckRecord, Head};
use crate::model::view::View;
use crate::player::{Dirty, Outcomes};
use crate::store::schema::anchor_of;
use crate::store::{Checkpoint, GuildRow, GuildWrite, StoreError, Written};
use crate::telemetry::metrics::labels::Outcome;

/// A person waits this long for the store before hearing "not saved yet".
const PATIENCE: Duration = Duration::from_millis(1_800);
/// A failed write is repeated after this.
const RETRY: Duration = Duration::from_millis(500);
/// While sound is being brought back, a write that nobody waits for waits this long at most: where a node or a replica dies,
/// hundreds of guilds would write twice just then.
const RECOVERING: Duration = Duration::from_millis(500);

/// A finished write.
pub(super) struct SaveDone {
    rev: Rev,
    dirty: Dirty,
    anchor: Option<Anchor>,
    result: Result<Written, StoreError>,
}

/// What waits for a write to be durable.
enum Waits {
    Person(Box<Person>),
    Deferral(oneshot::Sender<()>),
    /// The gateway is told.
    Event(Seen),
}

/// Somebody who asked for something.
struct Person {
    reply: oneshot::Sender<Confirmed>,
    outcome: Outcomes,
    view: Box<View>,
    until: Instant,
}

impl Person {
    fn hears(self: Box<Self>, how: impl FnOnce(Outcomes, Box<View>) -> Confirmed) {
        // Whoever asked may have stopped waiting.
        drop(self.reply.send(how(self.outcome, self.view)));
    }
}

/// The state of one guild's saving.
pub(super) struct Saving {
    epoch: Epoch,
    rev: Rev,
    under_way: Option<Rev>,
    not_before: Option<Instant>,
    /// Until when a recovery under way keeps from writing.
    recovering_until: Option<Instant>,
    stored_anchor: Option<Anchor>,
    waiting: Vec<(Rev, Waits)>,
    failing: bool,
    /// The player should hear who sits in its channel, once it has one.
    pub(super) learn_voices: bool,
}

/// Tells the position by a clock that shows `ms` more.
const fn tell_by_clock(head: &mut Head, ms: i64) {
    if let DeckRecord::Playing { anchor, .. } = &mut head.deck {
        *anchor = anchor.by_clock(ms);
    }
}

impl Saving {
    /// Of what is stored. Where it says that the music is, it need not be saved again: else the first round after a takeover
    /// would write every guild.
    ///
    /// What is stored is by the store's clock; from here on the row tells it by this machine's, which shows `skew_ms` more.
    pub(super) fn of(row: &mut GuildRow, skew_ms: i64) -> Self {
        let stored_anchor = anchor_of(&row.snapshot.head);
        tell_by_clock(&mut row.snapshot.head, skew_ms);
        Self {
            epoch: row.epoch,
            rev: row.rev,
            under_way: None,
            not_before: None,
            recovering_until: None,
            stored_anchor,
            waiting: Vec::new(),
            failing: false,
            learn_voices: false,
        }
    }

    /// The write that will carry what changed just now.
    fn coming(&self) -> Rev {
        next(self.rev)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = self.waiting.iter().filter_map(|(_, waits)| match waits {
            Waits::Person(person) => Some(person.until),
            Waits::Deferral(_) | Waits::Event(_) => None,
        });
        let now = Instant::now();
        let recovering = self.recovering_until.filter(|at| *at > now);
        patience.chain(self.not_before).chain(recovering).min()
    }

    /// From now on nothing waits for a recovery.
    pub(super) fn hurry(&mut self) {
        self.recovering_until = Some(Instant::now());
    }

    /// Whether a write is to wait for a recovery.
    fn waits_for_recovery(&mut self, recovering: bool, now: Instant) -> bool {
        if !recovering {
            self.recovering_until = None;
            return false;
        }
        let until = *self.recovering_until.get_or_insert(now + RECOVERING);
        self.waiting.is_empty() && now < until
    }

    /// Answers a person when what changed is durable; at once if nothing did.
    pub(super) fn confirm(
        &mut self,
        reply: oneshot::Sender<Confirmed>,
        outcome: Outcomes,
        view: Box<View>,
        changed: bool,
    ) {
        if !changed && self.under_way.is_none() {
            drop(reply.send(Confirmed::Saved(outcome, view)));
            return;
        }
        let rev = if changed { self.coming() } else { self.rev };
        self.waiting.push((
            rev,
            Waits::Person(Box::new(Person {
                reply,
                outcome,
                view,
                until: Instant::now() + PATIENCE,
            })),
        ));
    }

    pub(super) fn tell(&mut self, stored: oneshot::Sender<()>) {
        self.waiting.push((self.coming(), Waits::Deferral(stored)));
    }

    /// An event counts as processed when what it changed is durable.
    pub(super) fn hold(&mut self, seen: Option<Seen>) {
        if let Some(seen) = seen {
            self.waiting.push((self.coming(), Waits::Event(seen.pending())));
            self.thin();
        }
    }

    /// Of the events that one write settles, the earliest alone holds the shard's watermark below all of them: two at most wait,
    /// however long the store does not answer.
    fn thin(&mut self) {
        if self.waiting.len() < 2 {
            return;
        }
        let under_way = self.under_way;
        let (mut now, mut next) = (None, None);
        let mut still = Vec::with_capacity(self.waiting.len());
        for (rev, waits) in self.waiting.drain(..) {
            let Waits::Event(seen) = waits else {
                still.push((rev, waits));
                continue;
            };
            let kept: &mut Option<(Rev, Seen)> = if under_way.is_some_and(|under_way| rev <= under_way) {
                &mut now
            } else {
                &mut next
            };
            let spare = match kept.take() {
                Some(earlier) if earlier.1.precedes(&seen) => {
                    *kept = Some(earlier);
                    Some(seen)
                }
                later => {
                    *kept = Some((rev, seen));
                    later.map(|(_, seen)| seen)
                }
            };
            if let Some(spare) = spare {
                spare.processed();
            }
        }
        let kept = now.into_iter().chain(next);
        still.extend(kept.map(|(rev, seen)| (rev, Waits::Event(seen))));
        self.waiting = still;
    }

    /// The guild is another's: its events are no longer this member's to finish.
    pub(super) fn let_go(&mut self) {
        self.release();
        self.waiting.clear();
    }

    /// A write failed and is tried again. Where no write ever works, one guild must not keep the events of all others.
    fn not_written(&mut self, error: &StoreError) {
        if error.is_passing() {
            self.thin();
        } else {
            self.release();
        }
        self.not_before = Some(Instant::now() + RETRY);
    }

    /// The guild's events keep the shard's watermark no longer.
    fn release(&mut self) {
        let mut still = Vec::with_capacity(self.waiting.len());
        for (rev, waits) in self.waiting.drain(..) {
            match waits {
                Waits::Event(seen) => seen.processed(),
                waits @ (Waits::Person(_) | Waits::Deferral(_)) => still.push((rev, waits)),
            }
        }
        self.waiting = still;
    }

    pub(super) fn forget_anchor(&mut self) {
        self.stored_anchor = None;
    }

    pub(super) fn checkpoint(
        &mut self,
        id: GuildId,
        owner: &MemberId,
        anchor: Anchor,
        ends_at_ms: Option<i64>,
        now_ms: i64,
        tolerance_ms: u64,
    ) -> Option<Checkpoint> {
        if self
            .stored_anchor
            .is_some_and(|stored| stored.agrees(&anchor, now_ms, tolerance_ms))
        {
            return None;
        }
        self.stored_anchor = Some(anchor);
        Some(Checkpoint {
            id,
            owner: owner.clone(),
            epoch: self.epoch,
            rev: self.rev,
            anchor,
            ends_at_ms,
        })
    }

    /// Those whose write is durable, and those who waited too long.
    fn settle(&mut self, durable: Option<Rev>, now: Instant) {
        let mut still = Vec::with_capacity(self.waiting.len());
        for (rev, waits) in self.waiting.drain(..) {
            let done = durable.is_some_and(|durable| rev <= durable);
            match waits {
                Waits::Person(person) if done => person.hears(Confirmed::Saved),
                Waits::Person(person) if person.until <= now => person.hears(Confirmed::NotSaved),
                Waits::Deferral(stored) if done => {
                    let _ = stored.send(());
                }
                Waits::Event(seen) if done => seen.processed(),
                waits @ (Waits::Person(_) | Waits::Deferral(_) | Waits::Event(_)) => still.push((rev, waits)),
            }
        }
        self.waiting = still;
    }
}

impl Actor {
    /// Starts a write if something changed and none is under way.
    pub(super) fn save(&mut self) {
        let now = Instant::now();
        self.saving.settle(None, now);
        if self.saving.not_before.is_some_and(|at| at <= now) {
            self.saving.not_before = None;
        }
        if self.saving.under_way.is_some() || self.saving.not_before.is_some() {
            return;
        }
        if !self.player.has_dirty() {
            // Events that changed nothing are processed.
            let rev = self.saving.coming();
            self.saving.settle(Some(rev), now);
            return;
        }
        if self.saving.waits_for_recovery(self.player.is_recovering(), now) {
            return;
        }
        if self.around.permit.check().is_err() {
            self.saving.not_before = Some(now + RETRY);
            return;
        }
        let dirty = self.player.take_dirty();
        let wall = wall_ms();
        let skew = self.around.store.skew_ms();
        let mut head = self.player.head(wall);
        tell_by_clock(&mut head, -skew);
        let anchor = self.player.checkpoint(wall).map(|(anchor, _)| anchor.by_clock(-skew));
        let rev = self.saving.coming();
        self.saving.rev = rev;
        self.saving.under_way = Some(rev);
        let write = GuildWrite {
            id: self.guild,
            owner: self.owner().clone(),
            epoch: self.saving.epoch,
            rev,
            active: self.player.is_active() || !self.player.pending().is_empty(),
            ends_at_ms: self.player.ends_at(wall).map(|at| at - skew),
            head,
            lists: dirty.lists.then(|| self.player.lists()),
        };
        let store = self.around.store.clone();
        let forget = self.is_forgetting();
        let span = info_span!("save", lists = dirty.lists);
        let work = async move {
            let result = if forget {
                store
                    .delete_guild(write.id, &write.owner, write.epoch)
                    .await
                    .map(|_| Written::Done)
            } else {
                store.write_guild(&write).await
            };
            Done::Saved(SaveDone {
                rev,
                dirty,
                anchor,
                result,
            })
        };
        self.jobs.spawn(work.instrument(span));
    }

    /// Takes the outcome of a write in. `true`: the guild is another's.
    pub(super) fn saved(&mut self, done: SaveDone) -> bool {
        let SaveDone {
            rev,
            dirty,
            anchor,
            result,
        } = done;
        self.saving.under_way = None;
        let outcome = match result {
            Ok(Written::Done | Written::Stale) => {
                if std::mem::take(&mut self.saving.failing) {
                    metering::failing(&self.around.metrics, false);
                    tracing::info!(guild = %self.guild, "saving again");
                }
                self.saving.stored_anchor = anchor;
                self.saving.settle(Some(rev), Instant::now());
                Outcome::Ok
            }
            Ok(Written::Lost) => Outcome::Lost,
            Err(error) => {
                if !std::mem::replace(&mut self.saving.failing, true) {
                    metering::failing(&self.around.metrics, true);
                    warn!(guild = %self.guild, %error, "cannot save; trying until it works");
                }
                self.player.mark_dirty(dirty);
                self.saving.not_written(&error);
                Outcome::Error
            }
        };
        metering::written(&self.around.metrics, outcome);
        outcome == Outcome::Lost
    }

    /// Nobody tries to save it any more.
    pub(super) fn stop_saving(&mut self) {
        if std::mem::take(&mut self.saving.failing) {
            metering::failing(&self.around.metrics, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::watermark::Watermark;
    use crate::model::record::Snapshot;

    fn taken(deck: serde_json::Value) -> Saving {
        Saving::of(&mut row(deck), 0)
    }

    fn row(deck: serde_json::Value) -> GuildRow {
        let mut snapshot = Snapshot::default();
        snapshot.head.deck = serde_json::from_value(deck).expect("a deck");
        GuildRow {
            id: GuildId::new(7),
            shard: 0,
            owner: None,
            epoch: Epoch(1),
            rev: Rev(1),
            active: true,
            ends_at_ms: None,
            snapshot,
        }
    }

    #[test]
    fn a_position_is_read_as_it_was_written_whatever_the_clocks_of_the_two_machines_show() {
        const NOW: i64 = 1_800_000_000_000;
        const HOUR: i64 = 3_600_000;
        let item = json!({ "id": 1, "requester": "200", "track": {
            "encoded": "", "identifier": "i", "source": "sim", "title": "t", "author": "a", "length_ms": 600_000, "seekable": true,
        } });
        // By how much the clocks of who writes and of who reads are ahead of the store's.
        for (writer, reader) in [(0, 0), (-HOUR, 0), (0, -HOUR), (HOUR, -5_000), (-HOUR, HOUR)] {
            // 5 s into the track, 20 s ago.
            let anchor = Anchor::playing(5_000, NOW - 20_000 + writer);
            let mut stored = row(json!({ "is": "playing", "item": item, "anchor": anchor }));
            tell_by_clock(&mut stored.snapshot.head, -writer);
            let saving = Saving::of(&mut stored, reader);
            let read = anchor_of(&stored.snapshot.head).expect("plays");
            // The owner lived until a second ago, by the reader's clock.
            let heard = read.at(NOW - 1_000 + reader, Some(600_000));
            assert_eq!(heard, 24_000, "{writer} {reader}");
            let known = saving.stored_anchor.expect("plays");
            assert!(
                known.agrees(&read.by_clock(-reader), NOW, 250),
                "what is stored need not be stored again"
            );
        }
    }

    #[test]
    fn where_a_guild_was_taken_over_needs_no_saving_unless_it_is_elsewhere() {
        let track = json!({
            "encoded": "", "identifier": "i", "source": "sim", "title": "t", "author": "a", "length_ms": 100_000, "seekable": true,
        });
        let item = json!({ "id": 1, "track": track, "requester": "200" });
        let anchor = Anchor {
            position_ms: 5_000,
            at_ms: 10_000,
            speed: 1.0,
        };
        let playing = json!({ "is": "playing", "item": item, "anchor": anchor });
        let paused = json!({ "is": "paused", "item": item, "position_ms": 5_000, "reason": "person" });
        for (deck, position_ms, saved) in [
            (&playing, 7_000, false),
            (&playing, 7_300, true),
            (&paused, 7_000, true),
        ] {
            let now = Anchor {
                position_ms,
                at_ms: 12_000,
                speed: 1.0,
            };
            let me = MemberId("b".to_owned());
            let saving = &mut taken(deck.clone());
            let checkpoint = saving.checkpoint(GuildId::new(7), &me, now, None, 12_000, 250);
            assert_eq!(checkpoint.is_some(), saved, "{deck} {position_ms}");
        }
    }

    #[test]
    fn a_guild_that_cannot_be_saved_holds_two_events_at_most_and_the_watermark_below_the_first() {
        let mark = Watermark::default();
        let saving = &mut taken(json!({ "is": "empty" }));
        let mut seq = 0;
        for _attempt in 0..20 {
            let mut events = |saving: &mut Saving| {
                for _event in 0..50 {
                    seq += 1;
                    saving.hold(Some(mark.ticket(seq)));
                    assert!(mark.tickets() <= 2, "{} tickets", mark.tickets());
                }
            };
            events(saving);
            saving.rev = saving.coming();
            saving.under_way = Some(saving.rev);
            events(saving);
            saving.under_way = None;
            saving.not_written(&StoreError::Full { what: "a guild" });
            assert_eq!((mark.tickets(), mark.processed()), (1, 0), "none of them is durable");
        }
        // An order may be told later than events that came after it.
        saving.hold(Some(mark.ticket(seq + 2)));
        let order = mark.ticket(seq + 1);
        saving.rev = saving.coming();
        saving.under_way = Some(saving.rev);
        let late = mark.ticket(seq + 4);
        saving.hold(Some(late));
        saving.hold(Some(order));
        let written = saving.under_way.take();
        saving.settle(written, Instant::now());
        assert_eq!(mark.processed(), seq, "the order is not in the write that is over");
        saving.rev = saving.coming();
        saving.settle(Some(saving.rev), Instant::now());
        assert_eq!((mark.tickets(), mark.processed()), (0, seq + 4));
    }

    #[test]
    fn an_event_of_the_session_before_does_not_stand_for_one_of_this_session() {
        let mark = Watermark::default();
        let saving = &mut taken(json!({ "is": "empty" }));
        saving.hold(Some(mark.ticket(5)));
        mark.restart(1);
        saving.hold(Some(mark.ticket(9)));
        assert_eq!((mark.tickets(), mark.processed()), (1, 8));
    }

    #[test]
    fn a_guild_whose_writes_are_refused_for_ever_does_not_stop_its_shards_watermark() {
        let mark = Watermark::default();
        let saving = &mut taken(json!({ "is": "empty" }));
        let (stored, mut told) = oneshot::channel();
        saving.tell(stored);
        saving.hold(Some(mark.ticket(1)));
        saving.not_written(&StoreError::Refused {
            what: "a guild",
            source: "too large".into(),
        });
        assert_eq!((mark.tickets(), mark.processed()), (0, 1));
        let deferral = told.try_recv();
        assert_eq!(
            deferral,
            Err(oneshot::error::TryRecvError::Empty),
            "nobody is told that it is saved"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_for_a_recovery_only_for_a_moment_and_only_if_nobody_waits_for_it() {
        let mut saving = taken(json!({ "is": "empty" }));
        let began = Instant::now();
        assert!(saving.waits_for_recovery(true, began));
        assert_eq!(
            saving.deadline(),
            Some(began + RECOVERING),
            "it is looked at again then"
        );
        let (stored, _stored) = oneshot::channel();
        saving.tell(stored);
        assert!(!saving.waits_for_recovery(true, began), "somebody waits");
        saving.waiting.clear();
        assert!(saving.waits_for_recovery(true, began));
        tokio::time::advance(RECOVERING).await;
        assert!(!saving.waits_for_recovery(true, Instant::now()), "its time is up");
        assert_eq!(saving.deadline(), None, "and it does not look without a pause");
        assert!(!saving.waits_for_recovery(false, Instant::now()));
        assert!(
            saving.waits_for_recovery(true, Instant::now()),
            "the next recovery is another one"
        );
        saving.hurry();
        assert!(
            !saving.waits_for_recovery(true, Instant::now()),
            "the last save waits for nothing"
        );
    }
}
