//! Identities: Discord's own snowflakes, and the newtypes of the cluster.

use std::fmt;

use serde::{Deserialize, Serialize};
pub use twilight_model::gateway::ShardId;
use twilight_model::id::Id;
use twilight_model::id::marker;

/// A Discord guild.
pub type GuildId = Id<marker::GuildMarker>;
/// A Discord channel of any kind.
pub type ChannelId = Id<marker::ChannelMarker>;
/// A Discord user.
pub type UserId = Id<marker::UserMarker>;
/// A Discord message.
pub type MessageId = Id<marker::MessageMarker>;
/// A Discord interaction; its upper 42 bits are the time it was issued.
pub type InteractionId = Id<marker::InteractionMarker>;
/// The Discord application the bot belongs to.
pub type ApplicationId = Id<marker::ApplicationMarker>;

/// One incarnation of a replica: a new id at every process start, and after being fenced. A version 7 UUID as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(pub String);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name the operator gave a Lavalink node (`a` in `a=http://…`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the owners of a shard or guild; it only ever grows, and a write that carries an old one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Counts the writes to one guild's document within and across epochs; strictly increasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rev(pub u64);

/// Names one entry of one guild's queue for its whole life, so that the same track may stand in it twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub u64);

/// The shard that receives a guild's events: `(guild_id >> 22) % num_shards`
/// (<https://docs.discord.com/developers/events/gateway#sharding>).
#[expect(clippy::cast_possible_truncation, reason = "a remainder of a u32 fits")]
pub const fn shard_of(guild: GuildId, num_shards: u32) -> u32 {
    ((guild.get() >> 22) % num_shards as u64) as u32
}

/// Milliseconds since 1970 at which Discord issued this snowflake.
pub const fn issued_ms<T>(id: Id<T>) -> i64 {
    (id.get() >> 22).cast_signed() + 1_420_070_400_000
}
