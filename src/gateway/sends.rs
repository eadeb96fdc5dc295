//! Which op 4 (voice state update) is sent next, and when. Pure.
//!
//! Discord cuts a connection that sends more than 120 frames in 60 s, heartbeats and IDENTIFY or RESUME included
//! (<https://docs.discord.com/developers/events/gateway#rate-limiting>). At most [`SENDS`] are used, and of these the last
//! [`KEPT_FOR_PEOPLE`] only for what a person asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::ids::{ChannelId, GuildId};

/// Frames used of the 120 that Discord allows per window and connection.
pub const SENDS: usize = 110;
/// Of these, how many only a person's request may use.
pub const KEPT_FOR_PEOPLE: usize = 10;
/// Most guilds with a request waiting; a shard has no more guilds than this.
pub const WAITING_LIMIT: usize = 2_500;
/// Discord's 60 s and a little, because frames can bunch up on their way.
const WINDOW: Duration = Duration::from_millis(60_250);

/// Who is waiting for a voice request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Nobody at the moment: leaving an empty channel, clearing ghosts.
    Background,
    /// People who were listening: a recovery.
    Listeners,
    /// A person who just asked.
    Person,
}

/// Join, move to or leave a voice channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceRequest {
    /// In this guild.
    pub guild: GuildId,
    /// The channel to be in; `None` leaves.
    pub channel: Option<ChannelId>,
    /// Leave in a frame of its own before: Discord does not answer who asks again for what it believes to be so.
    pub leave_first: bool,
    /// Who waits for it.
    pub priority: Priority,
}

/// [`WAITING_LIMIT`] guilds wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many voice requests are waiting")]
pub struct QueueFull;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this one; it is counted already.
    Send(VoiceRequest),
    /// Look again then.
    Wait(Instant),
    /// Nothing is waiting.
    Idle,
}

type Place = (Reverse<Priority>, u64);

/// What a guild waits for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    place: Place,
    channel: Option<ChannelId>,
    leave_first: bool,
}

/// The requests of one shard and the log of what its connection sent.
#[derive(Debug)]
pub struct Sends {
    sent: VecDeque<Instant>,
    allowance: usize,
    order: BTreeMap<Place, GuildId>,
    waiting: HashMap<GuildId, Wanted>,
    next_place: u64,
}

impl Default for Sends {
    fn default() -> Self {
        Self {
            sent: VecDeque::new(),
            allowance: allowance(Duration::from_millis(41_250)),
            order: BTreeMap::new(),
            waiting: HashMap::new(),
            next_place: 0,
        }
    }
}

/// How many op 4 fit into a window beside the heartbeats, one asked for by Discord, and IDENTIFY or RESUME.
fn allowance(heartbeat: Duration) -> usize {
    let heartbeats = WINDOW.as_millis().div_ceil(heartbeat.as_millis().max(1));
    SENDS
        .saturating_sub(usize::try_from(heartbeats).unwrap_or(SENDS) + 2)
        .max(1)
}

impl Sends {
    /// Takes a request in. The latest of a guild wins; it keeps its place unless it became more urgent.
    pub fn push(&mut self, request: VoiceRequest) -> Result<(), QueueFull> {
        let VoiceRequest {
            guild,
            channel,
            leave_first,
            priority,
        } = request;
        let before = self.waiting.get(&guild).map(|wanted| wanted.place);
        let place = match before {
            Some(place) if place.0.0 >= priority => place,
            Some(_) | None => {
                if before.is_none() && self.waiting.len() >= WAITING_LIMIT {
                    return Err(QueueFull);
                }
                self.next_place += 1;
                (Reverse(priority), self.next_place)
            }
        };
        if let Some(before) = before {
            self.order.remove(&before);
        }
        self.order.insert(place, guild);
        let leave_first = leave_first && channel.is_some();
        self.waiting.insert(
            guild,
            Wanted {
                place,
                channel,
                leave_first,
            },
        );
        Ok(())
    }

    /// A connection was made, with this heartbeat interval: Discord counts from nothing.
    pub fn connected(&mut self, heartbeat: Duration) {
        self.sent.clear();
        self.allowance = allowance(heartbeat);
    }

    /// Forgets what is waiting (it was asked of another session, or without authority now). Returns how many.
    pub fn discard(&mut self) -> usize {
        self.order.clear();
        let count = self.waiting.len();
        self.waiting.clear();
        count
    }

    /// Whether this guild's request is still to be sent.
    pub fn waits(&self, guild: GuildId) -> bool {
        self.waiting.contains_key(&guild)
    }

    /// How many guilds wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Decides; what it says to send counts as sent.
    pub fn next(&mut self, now: Instant) -> Next {
        while self.sent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.sent.pop_front();
        }
        let waiting = &mut self.waiting;
        let first = self.order.first_key_value();
        let Some((guild, wanted)) = first.and_then(|(_, guild)| Some((*guild, waiting.get_mut(guild)?))) else {
            return Next::Idle;
        };
        let Reverse(priority) = wanted.place.0;
        let room = match priority {
            Priority::Person => self.allowance,
            Priority::Listeners | Priority::Background => self.allowance.saturating_sub(KEPT_FOR_PEOPLE).max(1),
        };
        // Not out of the channel without being able to come back at once, where two frames fit at all.
        let frames = if wanted.leave_first { room.min(2) } else { 1 };
        if self.sent.len() + frames > room {
            // So many of the oldest have to leave the window first that only `room - frames` stay.
            let leaves = self.sent.get(self.sent.len() + frames - room - 1);
            return Next::Wait(leaves.copied().unwrap_or(now) + WINDOW);
        }
        self.sent.push_back(now);
        let request = VoiceRequest {
            guild,
            channel: wanted.channel.filter(|_| !wanted.leave_first),
            leave_first: false,
            priority,
        };
        if std::mem::take(&mut wanted.leave_first) {
            // It keeps its place: the join is next, unless somebody more urgent comes.
            return Next::Send(request);
        }
        self.order.remove(&wanted.place);
        self.waiting.remove(&guild);
        Next::Send(request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twilight_model::id::Id;

    use super::*;

    fn request(guild: u64, priority: Priority) -> VoiceRequest {
        VoiceRequest {
            guild: Id::new(guild),
            channel: Some(Id::new(guild + 1_000)),
            leave_first: false,
            priority,
        }
    }

    fn drain(sends: &mut Sends, now: Instant) -> Vec<VoiceRequest> {
        std::iter::from_fn(|| match sends.next(now) {
            Next::Send(request) => Some(request),
            Next::Wait(_) | Next::Idle => None,
        })
        .collect()
    }

    #[tokio::test]
    async fn a_recovery_of_300_guilds_sends_at_least_95_a_minute_and_a_person_never_waits_for_it() {
        let (mut sends, start) = (Sends::default(), Instant::now());
        for guild in 1..=300 {
            sends.push(request(guild, Priority::Listeners)).unwrap();
        }
        assert!(drain(&mut sends, start).len() >= 95);
        for guild in 401..=410 {
            sends.push(request(guild, Priority::Person)).unwrap();
        }
        let people = drain(&mut sends, start + Duration::from_secs(30));
        assert_eq!(people.len(), 10);
        assert!(people.iter().all(|sent| sent.priority == Priority::Person));
        assert!(drain(&mut sends, start + Duration::from_secs(59)).is_empty());
        assert!(drain(&mut sends, start + Duration::from_secs(61)).len() >= 85);
    }

    #[tokio::test]
    async fn the_latest_request_of_a_guild_wins_and_keeps_its_place() {
        let (mut sends, now) = (Sends::default(), Instant::now());
        sends.push(request(1, Priority::Listeners)).unwrap();
        sends.push(request(2, Priority::Listeners)).unwrap();
        sends.push(request(3, Priority::Background)).unwrap();
        sends
            .push(VoiceRequest {
                channel: None,
                ..request(1, Priority::Background)
            })
            .unwrap();
        sends.push(request(3, Priority::Person)).unwrap();
        let sent: Vec<_> = drain(&mut sends, now)
            .iter()
            .map(|sent| (sent.guild.get(), sent.channel.is_some()))
            .collect();
        assert_eq!(sent, [(3, true), (1, false), (2, true)]);
    }

    #[tokio::test]
    async fn a_guild_that_joins_anew_leaves_in_a_frame_of_its_own_and_both_count() {
        let (mut sends, now) = (Sends::default(), Instant::now());
        let anew = |guild| VoiceRequest {
            leave_first: true,
            ..request(guild, Priority::Listeners)
        };
        sends.push(anew(1)).unwrap();
        sends.push(request(2, Priority::Listeners)).unwrap();
        let told = |sent: Vec<VoiceRequest>| -> Vec<_> {
            let told = sent.iter();
            told.map(|sent| (sent.guild.get(), sent.channel.map(Id::get))).collect()
        };
        let sent = drain(&mut sends, now);
        assert_eq!(told(sent), [(1, None), (1, Some(1_001)), (2, Some(1_002))]);
        // The latest wins: also between the two frames.
        sends.push(anew(1)).unwrap();
        assert!(matches!(
            sends.next(now),
            Next::Send(VoiceRequest { channel: None, .. })
        ));
        assert!(sends.waits(Id::new(1)));
        sends
            .push(VoiceRequest {
                channel: None,
                ..anew(1)
            })
            .unwrap();
        assert_eq!(told(drain(&mut sends, now)), [(1, None)], "it is out, and stays out");
        let (mut sends, mut frames) = (Sends::default(), 0);
        sends.connected(Duration::from_secs(30));
        assert_eq!(sends.allowance % 2, 1, "one frame would be left");
        for guild in 1..=300 {
            sends.push(anew(guild)).unwrap();
        }
        while let Next::Send(request) = sends.next(now) {
            frames += 1;
            assert_eq!(request.channel.is_none(), frames % 2 == 1);
        }
        let room = sends.allowance - KEPT_FOR_PEOPLE;
        assert_eq!(
            frames,
            room / 2 * 2,
            "no guild is left outside until the window moves on"
        );
        assert_eq!(sends.next(now), Next::Wait(now + WINDOW));
        sends.connected(Duration::from_millis(600));
        assert_eq!(
            sends.allowance, 7,
            "many heartbeats leave less room than people are kept free"
        );
        let Next::Send(leave) = sends.next(now) else {
            panic!("it is sent, one by one")
        };
        assert_eq!((leave.channel, sends.next(now)), (None, Next::Wait(now + WINDOW)));
    }

    #[tokio::test]
    async fn discarded_requests_are_never_sent_and_a_full_queue_refuses() {
        let mut sends = Sends::default();
        for guild in 1..=WAITING_LIMIT as u64 {
            sends.push(request(guild, Priority::Background)).unwrap();
        }
        assert_eq!(sends.push(request(9_999, Priority::Person)), Err(QueueFull));
        assert_eq!(sends.push(request(5, Priority::Person)), Ok(()));
        assert_eq!(sends.discard(), WAITING_LIMIT);
        assert_eq!(sends.next(Instant::now()), Next::Idle);
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_allowed(heartbeat in 200_u64..60_000, gaps in prop::collection::vec((0_u64..3_000, 0_u8..3), 1..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let (mut sends, mut now, mut log) = (Sends::default(), Instant::now(), Vec::new());
            sends.connected(Duration::from_millis(heartbeat));
            let heartbeats = usize::try_from(60_000_u64.div_ceil(heartbeat)).unwrap();
            for (index, (gap, priority)) in gaps.into_iter().enumerate() {
                now += Duration::from_millis(gap);
                let priority = [Priority::Background, Priority::Listeners, Priority::Person][usize::from(priority)];
                let leave_first = gap % 2 == 0;
                sends.push(VoiceRequest { leave_first, ..request(index as u64 + 1, priority) }).unwrap();
                loop {
                    match sends.next(now) {
                        Next::Send(_) => log.push(now),
                        Next::Wait(at) => { prop_assert!(at > now); break }
                        Next::Idle => break,
                    }
                }
                let within = log.iter().filter(|at| now.duration_since(**at) < Duration::from_mins(1)).count();
                prop_assert!(within + heartbeats < SENDS.max(heartbeats + 2));
            }
        }
    }
}
