//! Discord's side: joining, moving, being torn away, and the people in the channel.

use crate::model::ids::ChannelId;
use crate::model::record::{PauseReason, VoiceCredentials};
use crate::model::signal::Signal;
use crate::model::view::{FailReason, Notice};

use super::state::Listeners;
use super::{Call, Context, Deck, Effect, Patch, Player, Priority, Voice};

/// How long Discord's events are waited for after the voice server hung up, before rejoining, milliseconds.
/// Kick, move and lost session cannot be told apart at once: the close may come before the events.
const TORN_WAIT_MS: i64 = 6_000;
/// Wait after a failed attempt to join: 2 s, 4 s, … plus up to half of it by guild, so that guilds spread.
const JOIN_BACKOFF_MS: i64 = 2_000;
/// A permission check that was not answered is asked again after this, milliseconds.
const ACCESS_WAIT_MS: i64 = 10_000;

impl Player {
    pub(super) fn signal(&mut self, signal: Signal, cx: &Context, effects: &mut Vec<Effect>) {
        match signal {
            Signal::OwnVoice { channel: None, .. } => self.own_voice_ended(cx, effects),
            Signal::OwnVoice {
                channel: Some(channel),
                session_id,
                suppressed,
            } => {
                self.own_voice(channel, session_id, cx, effects);
                if suppressed {
                    effects.push(Effect::Unsuppress { channel });
                }
            }
            Signal::VoiceServer {
                token,
                endpoint: Some(endpoint),
            } => self.voice_server(token, endpoint, cx, effects),
            // Discord looks for a server; the events go on when it has one.
            Signal::VoiceServer { endpoint: None, .. } => self.voice_server_lost(cx),
            Signal::MemberVoice { bot: true, .. } | Signal::GuildUnavailable => {}
            Signal::MemberVoice { user, channel, .. } => {
                let ours = self.voice.channel();
                let changed = if channel.is_some() && channel == ours {
                    self.listeners.insert(user)
                } else {
                    self.listeners.remove(user)
                };
                self.dirty.head |= changed;
                self.watch_empty(cx);
            }
            Signal::GuildSeen { voices, .. } => {
                if let Some(ours) = self.voice.channel() {
                    let people = voices
                        .into_iter()
                        .filter(|(_, channel)| *channel == ours)
                        .map(|(user, _)| user);
                    self.listeners = Listeners::new(people, true);
                    self.dirty.head = true;
                    self.watch_empty(cx);
                }
                self.recovery_guild_seen(cx, effects);
            }
            Signal::GuildRemoved => {
                self.go_out(PauseReason::Kept, cx, effects);
                effects.push(Effect::Forget);
            }
            Signal::ChannelDeleted { channel } if self.voice.channel() == Some(channel) => {
                self.own_voice_ended(cx, effects);
            }
            Signal::ChannelDeleted { channel } => {
                if self.text_channel == Some(channel) {
                    self.text_channel = None;
                    self.dirty.head = true;
                }
                if self.panel.is_some_and(|panel| panel.channel == channel) {
                    self.set_panel(None);
                }
            }
            Signal::ShardReady { resumed, .. } => self.shard_ready(resumed, cx, effects),
            Signal::VoiceGone => self.own_voice_ended(cx, effects),
        }
    }

    fn own_voice(&mut self, now_in: ChannelId, session: String, cx: &Context, effects: &mut Vec<Effect>) {
        match &mut self.voice {
            Voice::Joining {
                channel, session_id, ..
            } => {
                self.dirty.head |= *channel != now_in;
                *channel = now_in;
                *session_id = Some(session);
                self.joined_if_complete(cx, effects);
            }
            Voice::In { credentials } if credentials.channel == now_in && credentials.session_id == session => {}
            Voice::In { .. } | Voice::Torn { .. } => {
                // Moved by somebody: a new server event with a new token follows.
                self.hold(cx);
                self.listeners = Listeners::default();
                self.dirty.head = true;
                self.voice = Voice::Joining {
                    channel: now_in,
                    session_id: Some(session),
                    server: None,
                    give_up_at: cx.now_ms + self.policy.join_timeout_ms,
                    attempt: 1,
                };
            }
            Voice::Out | Voice::Checking { .. } => {}
        }
    }

    fn voice_server(&mut self, token: String, endpoint: String, cx: &Context, effects: &mut Vec<Effect>) {
        match &mut self.voice {
            Voice::Joining { server, .. } => {
                *server = Some((token, endpoint));
                self.joined_if_complete(cx, effects);
            }
            Voice::In { credentials } | Voice::Torn { credentials, .. } => {
                let same = credentials.token == token && credentials.endpoint == endpoint;
                let credentials = VoiceCredentials {
                    token,
                    endpoint,
                    ..credentials.clone()
                };
                if !same {
                    self.hold(cx);
                }
                self.enter(credentials, cx, effects);
            }
            Voice::Out | Voice::Checking { .. } => {}
        }
    }

    fn voice_server_lost(&mut self, cx: &Context) {
        if let Voice::In { credentials } | Voice::Torn { credentials, .. } = &self.voice {
            let (channel, session_id) = (credentials.channel, Some(credentials.session_id.clone()));
            self.hold(cx);
            self.dirty.head = true;
            let give_up_at = cx.now_ms + self.policy.join_timeout_ms;
            self.voice = Voice::Joining {
                channel,
                session_id,
                server: None,
                give_up_at,
                attempt: 1,
            };
        }
    }

    fn joined_if_complete(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        let Voice::Joining {
            channel,
            session_id: Some(session_id),
            server: Some((token, endpoint)),
            ..
        } = &self.voice
        else {
            return;
        };
        let credentials = VoiceCredentials {
            session_id: session_id.clone(),
            token: token.clone(),
            endpoint: endpoint.clone(),
            channel: *channel,
        };
        self.enter(credentials, cx, effects);
    }

    fn enter(&mut self, credentials: VoiceCredentials, cx: &Context, effects: &mut Vec<Effect>) {
        self.voice = Voice::In { credentials };
        self.dirty.head = true;
        self.watch_empty(cx);
        if let (Deck::Paused { held: true, .. }, Voice::In { credentials }) = (&self.deck, &self.voice) {
            let patch = Patch {
                voice: Some(credentials.clone()),
                ..Patch::default()
            };
            self.patch(patch, effects);
            self.recovery_told(cx);
        }
        self.drive(cx, effects);
    }

    fn own_voice_ended(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        match self.voice {
            // The end of an older connection may still arrive while joining: the attempt's own deadline decides.
            Voice::Out | Voice::Checking { .. } | Voice::Joining { .. } => {}
            Voice::In { .. } | Voice::Torn { .. } => {
                self.go_out(PauseReason::Kept, cx, effects);
                self.finish_failed(cx, effects);
                effects.push(Effect::Notice(Notice::Kicked));
                effects.push(Effect::Show);
            }
        }
    }

    /// The voice server hung up on the node.
    pub(super) fn voice_torn(&mut self, code: u16, cx: &Context, effects: &mut Vec<Effect>) {
        let Voice::In { credentials } = self.voice.clone() else {
            return;
        };
        self.hold(cx);
        self.hush(effects);
        self.dirty.head = true;
        match code {
            // Session or token no longer valid, server not found: only joining again helps.
            4004 | 4006 | 4011 => self.rejoin(credentials.channel, cx, effects),
            _ => {
                self.voice = Voice::Torn {
                    credentials,
                    rejoin_at: cx.now_ms + TORN_WAIT_MS,
                }
            }
        }
    }

    pub(super) fn rejoin(&mut self, channel: ChannelId, cx: &Context, effects: &mut Vec<Effect>) {
        self.hold(cx);
        self.check_access(channel, 1, cx, effects);
    }

    pub(super) fn check_access(&mut self, channel: ChannelId, attempt: u32, cx: &Context, effects: &mut Vec<Effect>) {
        self.voice = Voice::Checking {
            channel,
            again_at: cx.now_ms + ACCESS_WAIT_MS,
            attempt,
        };
        self.dirty.head = true;
        effects.push(Effect::CheckAccess { channel });
    }

    pub(super) fn access(
        &mut self,
        checked: ChannelId,
        result: Result<(), FailReason>,
        cx: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Voice::Checking { channel, attempt, .. } = self.voice else {
            return;
        };
        if channel != checked {
            return;
        }
        match result {
            Ok(()) => {
                let priority = if self.recovery.is_none() {
                    Priority::Person
                } else if self.listeners.count() > 0 {
                    Priority::Listeners
                } else {
                    Priority::Background
                };
                self.send_join(channel, attempt, priority, cx, effects);
            }
            Err(reason) => self.give_up(reason, cx, effects),
        }
    }

    pub(super) fn send_join(
        &mut self,
        channel: ChannelId,
        attempt: u32,
        priority: Priority,
        cx: &Context,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(if attempt > 1 {
            Effect::Rejoin { channel, priority }
        } else {
            Effect::Voice {
                channel: Some(channel),
                priority,
            }
        });
        self.voice = Voice::Joining {
            channel,
            session_id: None,
            server: None,
            give_up_at: cx.now_ms + self.policy.join_timeout_ms,
            attempt,
        };
        self.dirty.head = true;
    }

    pub(super) fn voice_tick(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        match self.voice.clone() {
            Voice::Out | Voice::In { .. } => {}
            Voice::Torn { credentials, rejoin_at } if rejoin_at <= cx.now_ms => {
                self.rejoin(credentials.channel, cx, effects);
            }
            Voice::Checking {
                channel,
                again_at,
                attempt,
            } if again_at <= cx.now_ms => {
                self.check_access(channel, attempt, cx, effects);
            }
            // The attempt begins when Discord hears of it: of 300 guilds the last waits its turn for three minutes.
            Voice::Joining { give_up_at, .. } if give_up_at <= cx.now_ms && cx.voice_waits => {
                if let Voice::Joining { give_up_at, .. } = &mut self.voice {
                    *give_up_at = cx.now_ms + self.policy.join_timeout_ms;
                }
            }
            Voice::Joining {
                channel,
                give_up_at,
                attempt,
                ..
            } if give_up_at <= cx.now_ms => {
                if attempt >= self.policy.join_attempts {
                    self.give_up(FailReason::NoAnswer, cx, effects);
                    effects.push(Effect::Voice {
                        channel: None,
                        priority: Priority::Background,
                    });
                } else {
                    let base = JOIN_BACKOFF_MS << attempt.min(4);
                    let spread = i64::try_from(self.guild.get() >> 22).unwrap_or(0) % (base / 2);
                    self.voice = Voice::Checking {
                        channel,
                        again_at: cx.now_ms + base + spread,
                        attempt: attempt + 1,
                    };
                }
            }
            Voice::Torn { .. } | Voice::Checking { .. } | Voice::Joining { .. } => {}
        }
    }

    /// The channel cannot be had: everything is kept, and the text channel is told.
    fn give_up(&mut self, reason: FailReason, cx: &Context, effects: &mut Vec<Effect>) {
        self.go_out(PauseReason::Kept, cx, effects);
        self.finish_failed(cx, effects);
        effects.push(Effect::Notice(Notice::RestoreFailed { reason }));
        effects.push(Effect::Show);
    }

    /// Out of voice, keeping the track where the ear left it.
    pub(super) fn go_out(&mut self, reason: PauseReason, cx: &Context, effects: &mut Vec<Effect>) {
        self.hold(cx);
        let deck = std::mem::replace(&mut self.deck, Deck::Empty);
        self.deck = match deck {
            Deck::Waiting { item, from_ms, paused } => Deck::Paused {
                item,
                position_ms: from_ms,
                reason: paused.unwrap_or(reason),
                held: false,
            },
            Deck::Paused {
                item,
                position_ms,
                reason,
                ..
            } => Deck::Paused {
                item,
                position_ms,
                reason,
                held: false,
            },
            other @ (Deck::Empty | Deck::Starting { .. } | Deck::Playing { .. }) => other,
        };
        self.voice = Voice::Out;
        self.listeners = Listeners::default();
        self.leave_at = None;
        self.dirty.head = true;
        if let Some(node) = self.seat.node.take() {
            effects.push(Effect::Call(Call::Destroy { node }));
        }
        self.seat = super::state::Seat {
            generation: self.seat.generation + 1,
            ..super::state::Seat::default()
        };
    }

    /// Starts or stops the clock of an empty channel.
    pub(super) fn watch_empty(&mut self, cx: &Context) {
        let empty = self.listeners.is_empty() && matches!(self.voice, Voice::In { .. }) && !self.settings.always_on;
        self.leave_at = match self.leave_at {
            _ if !empty => None,
            Some(at) => Some(at),
            None => Some(cx.now_ms + self.policy.alone_timeout_ms),
        };
    }

    pub(super) fn leave_empty(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        self.leave_at = None;
        let Some(channel) = self.voice.channel() else { return };
        self.go_out(PauseReason::Kept, cx, effects);
        effects.push(Effect::Voice {
            channel: None,
            priority: Priority::Background,
        });
        effects.push(Effect::Notice(Notice::LeftEmpty { channel }));
        effects.push(Effect::Show);
    }
}
