//! Voice: who is in which channel, what op 4 does, and what an admin or a region change does to the bot.

use serde_json::{Value, json};

use super::ids::{id_of, word};
use super::later::Put;
use super::world::{Kind, VoiceState, World};
use super::{payload, permission};
use crate::sim::voice::Minted;

impl World {
    /// Op 4 of a session.
    pub(crate) fn voice_request(&mut self, session: &str, conn: u64, data: &Value) {
        self.counters.voice_state_update += 1;
        let Some(guild) = id_of(&data["guild_id"]) else { return };
        let channel = id_of(&data["channel_id"]);
        let of = self.sessions.get(session);
        let (shard, shards) = (of.map(|session| session.shard), of.map(|session| session.shards));
        self.log.append(
            "voice_request",
            json!({
                "guild": guild.to_string(), "channel": channel.map(|id| id.to_string()), "session": session,
                "shard": shard, "shards": shards, "conn": conn,
            }),
        );
        let covers = self.sessions.get(session).is_some_and(|session| session.covers(guild));
        if !covers || !self.guilds.contains_key(&guild) || self.faults.swallows_op4(guild) {
            return;
        }
        let flag = |name: &str| data[name].as_bool().unwrap_or(false);
        match channel {
            None => self.remove_bot_voice(guild),
            Some(channel) if self.bot_may_join(guild, channel) => {
                self.bot_joins(guild, channel, session, flag("self_mute"), flag("self_deaf"));
            }
            Some(_) => {}
        }
    }

    /// A channel that is full, hidden or forbidden answers nothing.
    fn bot_may_join(&self, guild: u64, channel: u64) -> bool {
        let Some((of, place)) = self.channel(channel) else {
            return false;
        };
        if of.id != guild || place.kind == Kind::Text {
            return false;
        }
        let allowed = permission::of(of, self.bot, &of.bot_roles, Some(place));
        let inside = of.voice.get(&self.bot).is_some_and(|state| state.channel == channel);
        let count = of.voice.values().filter(|state| state.channel == channel).count() as u64;
        let full = place.user_limit > 0 && count >= place.user_limit && !inside;
        allowed & permission::CONNECT != 0 && (!full || allowed & permission::MOVE_MEMBERS != 0)
    }

    fn bot_joins(&mut self, guild: u64, channel: u64, session: &str, self_mute: bool, self_deaf: bool) {
        let stage = self
            .channel(channel)
            .is_some_and(|(_, place)| place.kind == Kind::Stage);
        let bot = self.bot;
        let before = self.guilds.get(&guild).and_then(|guild| guild.voice.get(&bot)).cloned();
        let same_channel = before.as_ref().is_some_and(|state| state.channel == channel);
        let same_session = before.as_ref().is_some_and(|state| state.session == session);
        let joined = VoiceState {
            channel,
            session: session.to_owned(),
            self_mute,
            self_deaf,
            suppress: stage && before.as_ref().is_none_or(|state| !same_channel || state.suppress),
            asked_to_speak: None,
        };
        if let Some(guild) = self.guilds.get_mut(&guild) {
            guild.voice.insert(bot, joined);
        }
        if !(same_channel && same_session && self.switchboard.minted(guild).is_some()) {
            // Another channel ends the old connection; another session leaves it with credentials that are void.
            let code = if same_channel { 4006 } else { 4014 };
            self.mint(guild, code);
        }
        self.count_people(guild);
        self.weigh_voice(guild, false);
        let parts = before.is_some() && !same_channel;
        match self.telling_waits(guild).filter(|_| parts) {
            Some(at_ms) => {
                let session = session.to_owned();
                self.later.put(at_ms, Put::Joined { guild, session });
            }
            None => self.tell_joined(guild, session),
        }
    }

    /// Until when a fault holds back what the gateway tells of a voice connection that ended.
    fn telling_waits(&self, guild: u64) -> Option<u64> {
        let parting = self.faults.parting(guild);
        (parting.close_first && parting.ms > 0).then(|| self.now().saturating_add(parting.ms))
    }

    /// Ends the bot's voice connection, before or after the gateway tells of it.
    fn part(&mut self, guild: u64, code: u16, forget: bool) {
        let parting = self.faults.parting(guild);
        let code = parting.code.unwrap_or(code);
        if parting.close_first {
            self.switchboard.close(guild, code, forget);
            return;
        }
        let links = self.switchboard.links(guild);
        if forget {
            self.switchboard.forget(guild);
        }
        let at_ms = self.now().saturating_add(parting.ms);
        self.later.put(at_ms, Put::Close { links, code });
    }

    /// The two events that answer op 4: state, then server, unless a fault wants it otherwise.
    pub(crate) fn tell_joined(&mut self, guild: u64, session: &str) {
        let order = self.faults.voice_order(guild).unwrap_or_default().to_owned();
        if order == "server_first" {
            self.tell_voice_server(guild);
        }
        if order != "no_state" {
            self.tell_voice_state(guild, self.bot, session);
        }
        if order != "server_first" && order != "no_server" {
            self.tell_voice_server(guild);
        }
        if order == "server_twice" {
            self.tell_voice_server(guild);
        }
    }

    /// New credentials for the bot's connection; the old one is closed with `code`.
    fn mint(&mut self, guild: u64, code: u16) {
        let bot = self.bot;
        let Some(known) = self.guilds.get_mut(&guild) else {
            return;
        };
        let Some(state) = known.voice.get(&bot).cloned() else {
            return;
        };
        known.minted += 1;
        let mut token = word(self.settings.seed, "voice", guild ^ known.minted);
        token.truncate(16);
        let endpoint = match &self.settings.voice_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("voice-{}.sim:443", 1 + (guild_number(guild) + known.servers) % 8),
        };
        let minted = Minted {
            token,
            endpoint,
            session_id: state.session,
            channel: state.channel,
        };
        self.part(guild, code, true);
        self.switchboard.mint(guild, minted);
    }

    /// `VOICE_SERVER_UPDATE`, to the session that holds the connection and to no other.
    pub(crate) fn tell_voice_server(&mut self, guild: u64) {
        let Some(minted) = self.switchboard.minted(guild) else {
            return;
        };
        let endpoint = (!self.faults.hides_endpoint(guild)).then_some(&minted.endpoint);
        let data = json!({"token": minted.token, "guild_id": guild.to_string(), "endpoint": endpoint});
        self.log.append(
            "voice_server",
            json!({"guild": guild.to_string(), "session": minted.session_id, "endpoint": endpoint}),
        );
        self.dispatch_to(&minted.session_id, "VOICE_SERVER_UPDATE", &data);
    }

    /// `VOICE_STATE_UPDATE`, to every session of the shard.
    pub(crate) fn tell_voice_state(&mut self, guild: u64, user: u64, session: &str) {
        let Some(known) = self.guilds.get(&guild) else { return };
        let channel = known.voice.get(&user).map(|state| state.channel.to_string());
        let data = payload::voice_state(known, self.bot, user, session);
        let who = if user == self.bot {
            "bot".to_owned()
        } else {
            user.to_string()
        };
        self.log.append(
            "voice_state",
            json!({"guild": guild.to_string(), "user": who, "channel": channel}),
        );
        self.dispatch(guild, "VOICE_STATE_UPDATE", &data);
    }

    /// The bot leaves voice: by itself, kicked, or because its session ended.
    pub(crate) fn remove_bot_voice(&mut self, guild: u64) {
        self.bot_leaves(guild, 4014);
    }

    /// The bot leaves voice, and its connection is closed with `code`.
    pub(crate) fn bot_leaves(&mut self, guild: u64, code: u16) {
        let bot = self.bot;
        let Some(state) = self.guilds.get_mut(&guild).and_then(|guild| guild.voice.remove(&bot)) else {
            return;
        };
        self.part(guild, code, true);
        self.count_people(guild);
        match self.telling_waits(guild) {
            Some(at_ms) => {
                let session = state.session;
                self.later.put(at_ms, Put::Left { guild, session });
            }
            None => self.tell_voice_state(guild, bot, &state.session),
        }
    }

    /// An admin moves the bot, or kicks it. `false` when it is in no voice channel.
    pub(crate) fn move_bot(&mut self, guild: u64, channel: Option<u64>) -> bool {
        let bot = self.bot;
        let Some(state) = self.guilds.get(&guild).and_then(|guild| guild.voice.get(&bot)).cloned() else {
            return false;
        };
        self.audio.mark_moved(guild);
        match channel {
            None => self.remove_bot_voice(guild),
            Some(channel) if channel == state.channel => {}
            Some(channel) => self.bot_joins(guild, channel, &state.session, state.self_mute, state.self_deaf),
        }
        true
    }

    /// A person joins, moves or leaves.
    pub(crate) fn move_person(&mut self, guild: u64, user: u64, channel: Option<u64>) {
        let stage = channel.is_some_and(|id| self.channel(id).is_some_and(|(_, place)| place.kind == Kind::Stage));
        let fresh = word(self.settings.seed, "person", user);
        let Some(known) = self.guilds.get_mut(&guild) else {
            return;
        };
        let before = known.voice.remove(&user);
        let session = before.as_ref().map_or(fresh, |state| state.session.clone());
        match channel {
            None if before.is_none() => return,
            None => {}
            Some(channel) => {
                let joined = VoiceState {
                    channel,
                    session: session.clone(),
                    self_mute: false,
                    self_deaf: false,
                    suppress: stage,
                    asked_to_speak: None,
                };
                known.voice.insert(user, joined);
            }
        }
        self.tell_voice_state(guild, user, &session);
        self.count_people(guild);
    }

    /// Tells the record of audio how many people could listen.
    fn count_people(&self, guild: u64) {
        let Some(known) = self.guilds.get(&guild) else { return };
        let bot = known.voice.get(&self.bot).map(|state| state.channel);
        let with_bot = |(user, state): &(&u64, &VoiceState)| **user != self.bot && Some(state.channel) == bot;
        self.audio.people(guild, known.voice.iter().filter(with_bot).count());
    }

    /// Tells the record of audio whether the bot can be heard where it is, and whether an admin decided that. A bot without
    /// SPEAK, or that cannot see its channel, is in it and silent; on a stage it is not that permission but its suppression that counts.
    fn weigh_voice(&self, guild: u64, by_admin: bool) {
        let known = self.guilds.get(&guild);
        let Some(state) = known.and_then(|known| known.voice.get(&self.bot)) else {
            return;
        };
        let place = self.channel(state.channel);
        let on_stage = place.is_some_and(|(_, place)| place.kind == Kind::Stage);
        let allowed = on_stage || self.bot_permissions(state.channel) & permission::SPEAK != 0;
        let audible = allowed && !state.self_mute && !state.suppress;
        self.audio.audible(guild, audible, by_admin);
    }

    /// An admin changed a channel, and perhaps whether the bot may speak in it.
    pub(crate) fn channel_changed(&self, guild: u64) {
        self.weigh_voice(guild, true);
    }

    /// The voice server of a guild goes away and comes back elsewhere: first without an endpoint, then with one.
    pub(crate) fn tell_endpoint(&mut self, guild: u64) {
        if self.faults.hides_endpoint(guild) {
            self.part(guild, 4014, false);
        } else {
            if let Some(known) = self.guilds.get_mut(&guild) {
                known.servers += 1;
            }
            self.mint(guild, 4014);
        }
        match self.telling_waits(guild) {
            Some(at_ms) => self.later.put(at_ms, Put::Server { guild }),
            None => self.tell_voice_server(guild),
        }
    }

    /// `PATCH /guilds/{g}/voice-states/@me`: stage speakers.
    pub(crate) fn patch_bot_voice(&mut self, guild: u64, body: &Value) {
        let bot = self.bot;
        let wall = self.ids.wall_ms();
        let Some(state) = self.guilds.get_mut(&guild).and_then(|guild| guild.voice.get_mut(&bot)) else {
            return;
        };
        if let Some(suppress) = body["suppress"].as_bool() {
            state.suppress = suppress;
            state.asked_to_speak = None;
        }
        if body["request_to_speak_timestamp"].is_string() {
            state.asked_to_speak = Some(wall);
        }
        let session = state.session.clone();
        self.weigh_voice(guild, false);
        self.tell_voice_state(guild, bot, &session);
    }
}

/// Spreads guilds over voice servers; stable for a guild until its server goes away.
fn guild_number(guild: u64) -> u64 {
    guild >> 22
}

#[cfg(test)]
mod tests;
