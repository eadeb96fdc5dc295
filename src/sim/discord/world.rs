//! The world: guilds, channels, people, voice, and everything that hangs on them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::fault::Faults;
use super::ids::Ids;
use super::interaction::Interaction;
use super::later::{Flood, Later};
use super::limits::Limits;
use super::message::Message;
use super::session::Session;
use super::{payload, permission};
use crate::sim::clock::Clock;
use crate::sim::log::Log;
use crate::sim::seam::{Audio, Nodes};
use crate::sim::voice::Switchboard;

/// What the simulated Discord was asked to be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) shards: u32,
    pub(crate) max_concurrency: u32,
    pub(crate) voice_endpoint: Option<String>,
    /// `ws://host:port`.
    pub(crate) gateway_url: String,
    /// A session without a socket lives this long.
    pub(crate) session_ttl_ms: u64,
    pub(crate) heartbeat_ms: u64,
}

/// Everything that Discord knows. Behind one lock, held for short sections and never across an await.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) switchboard: Switchboard,
    pub(crate) audio: Audio,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) ids: Ids,
    pub(crate) token: String,
    /// The bot's user, which is also its application.
    pub(crate) bot: u64,
    pub(crate) guilds: BTreeMap<u64, Guild>,
    /// Which guild a channel belongs to.
    pub(crate) channels: HashMap<u64, u64>,
    pub(crate) messages: HashMap<u64, Message>,
    /// The messages of a channel, oldest first.
    pub(crate) in_channel: HashMap<u64, Vec<u64>>,
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Into how many shards the newest session splits the guilds.
    pub(crate) shard_count: u32,
    pub(crate) limits: Limits,
    pub(crate) commands: Vec<Value>,
    pub(crate) interactions: HashMap<u64, Interaction>,
    pub(crate) interaction_tokens: HashMap<String, u64>,
    /// Interactions that nobody answered yet, with the moment at which they expire.
    pub(crate) open: VecDeque<(u64, u64)>,
    /// All interactions, with the moment at which they are forgotten.
    pub(crate) remembered: VecDeque<(u64, u64)>,
    pub(crate) faults: Faults,
    pub(crate) later: Later,
    pub(crate) flood: Flood,
    /// How many sessions were opened.
    pub(crate) logins: u64,
    pub(crate) counters: Counters,
}

/// Running totals.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) identify: u64,
    pub(crate) resume: u64,
    pub(crate) voice_state_update: u64,
    pub(crate) closes: BTreeMap<String, u64>,
    pub(crate) issued: u64,
    pub(crate) acknowledged_in_time: u64,
    pub(crate) late: u64,
    pub(crate) never: u64,
    pub(crate) routes: BTreeMap<String, u64>,
}

#[derive(Debug)]
pub(crate) struct Guild {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) owner: u64,
    pub(crate) channels: BTreeMap<u64, Channel>,
    pub(crate) roles: Vec<Role>,
    /// People; the bot is not among them.
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) bot_roles: Vec<u64>,
    /// Who is in which voice channel, the bot too.
    pub(crate) voice: BTreeMap<u64, VoiceState>,
    /// How many voice credentials the bot was given here.
    pub(crate) minted: u64,
    /// How often its voice server went away and came back elsewhere.
    pub(crate) servers: u64,
    /// An outage: the bot is told that the guild is not there.
    pub(crate) unavailable: bool,
}

#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) permissions: u64,
    pub(crate) managed: bool,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) roles: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Voice,
    Stage,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Voice => "voice",
            Self::Stage => "stage",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Voice, Self::Stage]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) position: usize,
    /// 0: no limit.
    pub(crate) user_limit: u64,
    pub(crate) overwrites: Vec<Overwrite>,
}

#[derive(Debug)]
pub(crate) struct Overwrite {
    pub(crate) id: u64,
    pub(crate) member: bool,
    pub(crate) allow: u64,
    pub(crate) deny: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoiceState {
    pub(crate) channel: u64,
    pub(crate) session: String,
    pub(crate) self_mute: bool,
    pub(crate) self_deaf: bool,
    pub(crate) suppress: bool,
    /// Unix milliseconds.
    pub(crate) asked_to_speak: Option<u64>,
}

/// How large a guild is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) members: usize,
    pub(crate) text: usize,
    pub(crate) voice: usize,
}

/// Discord's voice close code for a call whose channel is gone.
const CALL_ENDED: u16 = 4022;

/// Given names of people.
const NAMES: [&str; 12] = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jun", "Kim", "Leo",
];

impl World {
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        log: Log,
        switchboard: Switchboard,
        (nodes, audio): (Arc<Nodes>, Audio),
    ) -> Self {
        let mut ids = Ids::new(settings.seed, clock);
        let mut rng = SmallRng::seed_from_u64(settings.seed);
        let bot = ids.thing();
        let token = payload::bot_token(bot, &mut rng);
        Self {
            shard_count: settings.shards.max(1),
            settings,
            clock,
            log,
            switchboard,
            audio,
            nodes,
            ids,
            token,
            bot,
            guilds: BTreeMap::new(),
            channels: HashMap::new(),
            messages: HashMap::new(),
            in_channel: HashMap::new(),
            sessions: BTreeMap::new(),
            limits: Limits::default(),
            commands: Vec::new(),
            interactions: HashMap::new(),
            interaction_tokens: HashMap::new(),
            open: VecDeque::new(),
            remembered: VecDeque::new(),
            faults: Faults::default(),
            later: Later::default(),
            flood: Flood::default(),
            logins: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The shard of a guild, as the newest session counts.
    pub(crate) fn shard_of(&self, guild: u64) -> u32 {
        shard_of(guild, self.shard_count)
    }

    /// A guild is created and the bot is told.
    pub(crate) fn create_guild(&mut self, size: Size) -> u64 {
        let id = self.ids.guild();
        let number = self.guilds.len() + 1;
        let mut guild = Guild {
            id,
            name: format!("Guild {number}"),
            owner: 0,
            channels: BTreeMap::new(),
            roles: Vec::new(),
            members: BTreeMap::new(),
            bot_roles: Vec::new(),
            voice: BTreeMap::new(),
            minted: 0,
            servers: 0,
            unavailable: false,
        };
        self.furnish(&mut guild);
        for index in 0..size.members.max(1) {
            let member = Member {
                id: self.ids.thing(),
                name: format!("{}{number}", NAMES[index % NAMES.len()]) + &"x".repeat(index / NAMES.len()),
                roles: Vec::new(),
            };
            if guild.owner == 0 {
                guild.owner = member.id;
            }
            guild.members.insert(member.id, member);
        }
        let texts = (0..size.text).map(|index| (Kind::Text, format!("text-{}", index + 1)));
        let voices = (0..size.voice).map(|index| (Kind::Voice, format!("Voice {}", index + 1)));
        for (position, (kind, name)) in texts.chain(voices).enumerate() {
            let channel = Channel {
                id: self.ids.thing(),
                name,
                kind,
                position,
                user_limit: 0,
                overwrites: Vec::new(),
            };
            self.channels.insert(channel.id, id);
            guild.channels.insert(channel.id, channel);
        }
        self.log.append(
            "guild_created",
            json!({"guild": id.to_string(), "shard": self.shard_of(id)}),
        );
        self.guilds.insert(id, guild);
        if self.is_told(id) {
            let told = payload::guild_create(self, id);
            self.dispatch(id, "GUILD_CREATE", &told);
        }
        id
    }

    /// A channel is deleted: whoever is in it leaves voice, and the bot is told.
    pub(crate) fn delete_channel(&mut self, channel: u64) -> bool {
        let Some((guild, gone)) = self.channel(channel) else {
            return false;
        };
        let (guild, told) = (guild.id, payload::channel(gone, Some(guild.id)));
        let inside = |(user, state): (&u64, &VoiceState)| (state.channel == channel).then_some(*user);
        let leaving: Vec<u64> = self.guilds[&guild].voice.iter().filter_map(inside).collect();
        for user in leaving {
            if user == self.bot {
                self.audio.mark_moved(guild);
                self.bot_leaves(guild, CALL_ENDED);
            } else {
                self.move_person(guild, user, None);
            }
        }
        if let Some(known) = self.guilds.get_mut(&guild) {
            known.channels.remove(&channel);
        }
        self.channels.remove(&channel);
        let fields = json!({"guild": guild.to_string(), "channel": channel.to_string()});
        for message in self.in_channel.remove(&channel).unwrap_or_default() {
            self.messages.remove(&message);
            // Discord tells the bot of the channel only; whoever reads the log must know what no longer stands there.
            let mut gone = fields.clone();
            gone["message"] = message.to_string().into();
            gone["by"] = "person".into();
            self.log.append("message_deleted", gone);
        }
        self.log.append("channel_deleted", fields);
        self.dispatch(guild, "CHANNEL_DELETE", &told);
        true
    }

    /// The roles that every guild has.
    fn furnish(&mut self, guild: &mut Guild) {
        let bot_role = self.ids.thing();
        guild.roles.push(Role {
            id: guild.id,
            name: "@everyone".into(),
            permissions: permission::EVERYONE,
            managed: false,
        });
        guild.roles.push(Role {
            id: bot_role,
            name: "Segue".into(),
            permissions: permission::EVERYONE | permission::MUTE_MEMBERS,
            managed: true,
        });
        guild.roles.push(Role {
            id: self.ids.thing(),
            name: "DJ".into(),
            permissions: 0,
            managed: false,
        });
        guild.bot_roles.push(bot_role);
    }

    /// A guild's channel.
    pub(crate) fn channel(&self, channel: u64) -> Option<(&Guild, &Channel)> {
        let guild = self.guilds.get(self.channels.get(&channel)?)?;
        Some((guild, guild.channels.get(&channel)?))
    }

    /// What the bot may in a channel.
    pub(crate) fn bot_permissions(&self, channel: u64) -> u64 {
        self.channel(channel).map_or(0, |(guild, channel)| {
            permission::of(guild, self.bot, &guild.bot_roles, Some(channel))
        })
    }

    /// The bot is removed from a guild.
    pub(crate) fn remove_guild(&mut self, guild: u64) -> bool {
        if !self.guilds.contains_key(&guild) {
            return false;
        }
        self.audio.removed(guild);
        self.switchboard.close(guild, 4014, true);
        self.log.append(
            "guild_removed",
            json!({"guild": guild.to_string(), "shard": self.shard_of(guild)}),
        );
        self.dispatch(guild, "GUILD_DELETE", &json!({"id": guild.to_string()}));
        if let Some(gone) = self.guilds.remove(&guild) {
            for channel in gone.channels.keys() {
                self.channels.remove(channel);
                for message in self.in_channel.remove(channel).unwrap_or_default() {
                    self.messages.remove(&message);
                }
            }
        }
        true
    }

    /// What must happen as time goes by.
    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.expire_interactions(now);
        self.expire_sessions(now);
        self.bring_faults_on(now);
        self.catch_up(now);
        self.flood(now);
    }
}

/// The shard of a guild.
pub(crate) fn shard_of(guild: u64, shards: u32) -> u32 {
    u32::try_from((guild >> 22) % u64::from(shards.max(1))).unwrap_or(0)
}
