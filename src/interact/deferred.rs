//! Orders that were deferred: what is stored of them, and how whoever owns the guild next finishes them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::{Answer, work};
use crate::command::{Kind, Locale, Query, Request};
use crate::guild::Guilds;
use crate::lifecycle::wall_ms;
use crate::model::ids::{ChannelId, GuildId, InteractionId};
use crate::model::message::Message;
use crate::model::order::{Asked, Order, When};
use crate::model::record::PendingRecord;
use crate::ui::{self, ReplyText};

/// Discord forgets the token of an interaction after this, milliseconds.
const TOKEN_LIFE_MS: i64 = 15 * 60 * 1_000;

#[derive(Serialize, Deserialize)]
struct Stored {
    asked: Asked,
    work: Work,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    Order(Order),
    Play { query: String, when: When },
    Join { channel: Option<ChannelId> },
}

/// What is stored of a request when it is deferred; `None` for what only shows something.
pub(super) fn record(request: &Request) -> Option<PendingRecord> {
    let work = match &request.kind {
        Kind::Immediate(order) => Work::Order(order.clone()),
        Kind::Play { query, when } => Work::Play { query: query.words(), when: *when },
        Kind::Join { channel } => Work::Join { channel: *channel },
        Kind::Component(action) => Work::Order(action.order(request.asked.interaction)?),
        Kind::Show(_) | Kind::Autocomplete { .. } => return None,
    };
    let order = serde_json::to_value(Stored { asked: request.asked.clone(), work }).ok()?;
    let (id, token) = (request.asked.interaction, request.token.clone());
    Some(PendingRecord { id, token, order, locale: request.locale.code().to_owned() })
}

/// Finishes a deferral that another process left behind. One that was applied is not applied again.
pub async fn finish_pending(guilds: Arc<Guilds>, guild: GuildId, pending: PendingRecord) {
    let PendingRecord { id, token, order, locale } = pending;
    let locale = Locale::from_discord(&locale);
    let age = guilds.around().discord.age_ms(id, wall_ms());
    let request = serde_json::from_value::<Stored>(order).ok().filter(|_| age < TOKEN_LIFE_MS).and_then(|stored| {
        let kind = match stored.work {
            Work::Order(order) => Kind::Immediate(order),
            Work::Play { query, when } => Kind::Play { query: Query::classify(&query).ok()?, when },
            Work::Join { channel } => Kind::Join { channel },
        };
        Some(Request { asked: stored.asked, guild, locale, token: token.clone(), kind })
    });
    info!(%guild, age_ms = age, "finishing a deferred order of another process");
    let answer = match request {
        Some(request) => work::work(&guilds, request, None, None).await.0,
        None => Answer::Reply(ui::reply(&ReplyText::Interrupted, locale)),
    };
    finish(&guilds, guild, id, &token, answer).await;
}

/// Puts the answer where the deferral stands.
pub(super) async fn finish(guilds: &Guilds, guild: GuildId, id: InteractionId, token: &str, answer: Answer) {
    let message: Message = match answer {
        Answer::Reply(message) | Answer::Update(message) => message,
        Answer::Choices(_) => return,
    };
    let around = guilds.around();
    if let Err(error) = around.discord.edit_original(around.application, token, &message).await {
        debug!(%guild, %error, "the answer to a deferred order was not delivered");
    }
    if let Some(handle) = guilds.get(guild) {
        handle.undefer(id);
    }
}
