//! From an interaction to an answer: acknowledged within Discord's three seconds, confirmed only when durable.
//!
//! Work that takes longer is deferred: the order is stored first, so that whoever owns the guild next can finish it or
//! say that it failed (<https://docs.discord.com/developers/interactions/receiving-and-responding>).

mod deferred;
mod lookup;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug, info_span, warn};
use twilight_model::application::command::CommandOptionChoice;
use twilight_model::application::interaction::InteractionType;
use twilight_model::gateway::payload::incoming::InteractionCreate;

pub use deferred::finish_pending;

use crate::command::{self, Kind, Request};
use crate::discord::{Discord, DiscordError, Response};
use crate::gateway::Seen;
use crate::guild::Guilds;
use crate::lifecycle::wall_ms;
use crate::model::ids::InteractionId;
use crate::model::message::Message;
use crate::telemetry::metrics::labels::{ByCommand, Outcome};
use crate::ui;

/// An interaction older than this, by Discord's clock, cannot be answered in time any more and is not run, milliseconds.
pub const TOO_OLD_MS: i64 = 2_500;
/// Whatever is not done by this age is deferred, milliseconds.
const DEFER_AT_MS: i64 = 1_700;
/// Suggestions cannot be deferred: whatever is not found by this age is not suggested, milliseconds.
const SUGGEST_AT_MS: i64 = 1_500;
/// A deferral waits this long for its order to be stored, then defers anyway.
const STORE_WAIT: Duration = Duration::from_millis(600);

/// How a person is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Suggestions.
    Choices(Vec<CommandOptionChoice>),
    /// A message of its own.
    Reply(Message),
    /// The message the button stands under, anew.
    Update(Message),
}

/// Handles one interaction to its end. Dropped before that, the interaction counts as unprocessed, and Discord sends it to
/// whoever resumes the session.
pub async fn handle(guilds: Arc<Guilds>, interaction: Box<InteractionCreate>, seen: Seen) {
    let whole = seen.twin().pending();
    take(&guilds, interaction, seen).await;
    whole.processed();
}

async fn take(guilds: &Arc<Guilds>, interaction: Box<InteractionCreate>, seen: Seen) {
    let discord = &guilds.around().discord;
    let age = discord.age_ms(interaction.id, wall_ms());
    if age > TOO_OLD_MS {
        debug!(age_ms = age, "an interaction is too old to be answered; it is not run");
        return;
    }
    if let Some(guild) = interaction.guild_id {
        // Which orders were deferred before is known once the guild is loaded.
        guilds.is_let_in(guild).await;
    }
    if guilds.inherits(interaction.id) {
        debug!("a replay of an order that was deferred before; it is finished already");
        return;
    }
    let (id, token) = (interaction.id, interaction.token.clone());
    let locale = command::parse::locale_of(&interaction);
    let request = match command::parse(&interaction) {
        Ok(request) => request,
        Err(error) => {
            let answer = if interaction.kind == InteractionType::ApplicationCommandAutocomplete {
                Answer::Choices(Vec::new())
            } else {
                Answer::Reply(ui::misread(&error, locale))
            };
            say(discord, id, &token, answer).await;
            return;
        }
    };
    let message = interaction.message.as_ref().map(|message| message.id);
    let name = work::name_of(&request.kind);
    let span = info_span!("command", command = name, outcome = tracing::field::Empty);
    let began = Instant::now();
    // Again: the guild may have taken a while to be loaded.
    let age = discord.age_ms(id, wall_ms());
    let outcome = run(guilds, request, message, seen, age).instrument(span.clone()).await;
    span.record("outcome", outcome.as_str());
    let timings = &guilds.around().metrics.discord.commands;
    timings
        .get_or_create(&ByCommand { command: name, outcome })
        .observe(began.elapsed().as_secs_f64());
}

async fn run(
    guilds: &Arc<Guilds>,
    request: Request,
    message: Option<crate::model::ids::MessageId>,
    seen: Seen,
    age_ms: i64,
) -> Outcome {
    let discord = &guilds.around().discord;
    let (id, token) = (request.asked.interaction, request.token.clone());
    let (guild, component) = (request.guild, matches!(request.kind, Kind::Component(_)));
    let suggests = matches!(request.kind, Kind::Autocomplete { .. });
    let pending = deferred::record(&request);
    let mut working = std::pin::pin!(work::work(guilds, request, message, Some(seen)));
    let until_ms = if suggests { SUGGEST_AT_MS } else { DEFER_AT_MS };
    let patience = Duration::from_millis(u64::try_from(until_ms - age_ms).unwrap_or(0));
    if let Ok((answer, outcome)) = timeout(patience, &mut working).await {
        return if say(discord, id, &token, answer).await {
            outcome
        } else {
            Outcome::Lost
        };
    }
    if suggests {
        say(discord, id, &token, Answer::Choices(Vec::new())).await;
        return Outcome::Error;
    }
    if let Some(pending) = pending
        && let Some(handle) = guilds.get(guild)
        && let Ok(stored) = handle.defer(pending)
    {
        let _ = timeout(STORE_WAIT, stored).await;
    }
    let defer = if component {
        Response::DeferredUpdate
    } else {
        Response::Deferred { ephemeral: false }
    };
    if let Err(error) = discord.respond(id, &token, &defer).await {
        debug!(%error, "an interaction was not acknowledged");
    }
    let (answer, outcome) = working.await;
    deferred::finish(guilds, guild, id, &token, answer).await;
    outcome
}

/// Answers directly. Whether Discord took it.
async fn say(discord: &Discord, id: InteractionId, token: &str, answer: Answer) -> bool {
    let response = match answer {
        Answer::Choices(choices) => Response::Choices(choices),
        Answer::Reply(message) => Response::Message(message),
        Answer::Update(message) => Response::Update(message),
    };
    match discord.respond(id, token, &response).await {
        Ok(()) => true,
        Err(DiscordError::AlreadyAcknowledged) => {
            debug!("somebody answered this interaction before");
            true
        }
        Err(error) => {
            warn!(%error, "an answer did not reach Discord");
            false
        }
    }
}
