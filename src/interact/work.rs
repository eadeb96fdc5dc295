//! The work behind a request, and the words for what came of it.

use std::sync::Arc;

use super::Answer;
use super::lookup::{self, Whereabouts, Why};
use crate::command::{ComponentAction, Kind, ParseError, Query, Request, Show};
use crate::gateway::Seen;
use crate::guild::{Confirmed, GuildHandle, Guilds};
use crate::model::ids::{ChannelId, GuildId, MessageId, UserId};
use crate::model::message::Message;
use crate::model::order::{Asked, Order, When};
use crate::telemetry::metrics::labels::Outcome;
use crate::ui::{self, Locale, ReplyText};

/// The command's name, for metrics and traces.
pub(super) fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Immediate(order) => match order {
            Order::Play { .. } => "play",
            Order::Pause => "pause",
            Order::Resume => "resume",
            Order::TogglePause => "toggle_pause",
            Order::Skip { .. } => "skip",
            Order::Previous => "previous",
            Order::Stop => "stop",
            Order::Seek { .. } => "seek",
            Order::Volume { .. } | Order::VolumeBy { .. } => "volume",
            Order::Loop { .. } | Order::NextLoop => "loop",
            Order::Shuffle { .. } => "shuffle",
            Order::Remove { .. } => "remove",
            Order::Move { .. } => "move",
            Order::Clear => "clear",
            Order::Join { .. } => "join",
            Order::Leave => "leave",
            Order::AutoResume { .. } => "settings",
        },
        Kind::Play { .. } => "play",
        Kind::Join { .. } => "join",
        Kind::Show(Show::Queue { .. }) => "queue",
        Kind::Show(Show::NowPlaying) => "nowplaying",
        Kind::Show(Show::Volume) => "volume",
        Kind::Show(Show::Settings) => "settings",
        Kind::Autocomplete { .. } => "autocomplete",
        Kind::Component(_) => "button",
    }
}

/// Does what is asked.
pub(super) async fn work(
    guilds: &Arc<Guilds>,
    request: Request,
    message: Option<MessageId>,
    seen: Option<Seen>,
) -> (Answer, Outcome) {
    let Request {
        asked,
        guild,
        locale,
        token: _,
        kind,
    } = request;
    if let Kind::Autocomplete { text } = kind {
        let tracks = lookup::suggestions(guilds.around(), &text).await;
        return (Answer::Choices(ui::choices(&tracks, locale)), Outcome::Ok);
    }
    if guilds.around().permit.check().is_err() {
        return sorry(&ReplyText::StoreDown, locale);
    }
    let handle = match guilds.open(guild).await {
        Ok(Some(handle)) => handle,
        Ok(None) => return sorry(&ReplyText::Moving, locale),
        Err(error) => {
            tracing::warn!(%error, "cannot take the guild from the store");
            return sorry(&ReplyText::StoreDown, locale);
        }
    };
    match kind {
        Kind::Immediate(order) => order_of(guilds, &handle, guild, asked, order, locale, seen).await,
        Kind::Play { query, when } => {
            let words = query.words();
            match play(guilds, &handle, guild, asked.user, &query, &words, when).await {
                Ok((order, place)) => confirm(&handle, (asked, place), order, locale, seen).await,
                Err(why) => not_tried(&why, locale),
            }
        }
        Kind::Join { channel } => match join(guilds, guild, &asked, channel).await {
            Ok((order, place)) => confirm(&handle, (asked, place), order, locale, seen).await,
            Err(why) => not_tried(&why, locale),
        },
        Kind::Show(show) => show_of(&handle, show, locale).await,
        Kind::Component(action) => button(guilds, &handle, guild, asked, action, message, locale, seen).await,
        Kind::Autocomplete { .. } => (Answer::Choices(Vec::new()), Outcome::Ok),
    }
}

async fn order_of(
    guilds: &Guilds,
    handle: &GuildHandle,
    guild: GuildId,
    asked: Asked,
    order: Order,
    locale: Locale,
    seen: Option<Seen>,
) -> (Answer, Outcome) {
    let place = lookup::voice_of(guilds.around(), guild, asked.user).await;
    confirm(handle, (asked, place), order, locale, seen).await
}

async fn play(
    guilds: &Guilds,
    handle: &GuildHandle,
    guild: GuildId,
    user: UserId,
    query: &Query,
    words: &str,
    when: When,
) -> Result<(Order, Whereabouts), Why> {
    let around = guilds.around();
    let (loaded, place) = tokio::join!(
        lookup::tracks(around, query, words),
        lookup::voice_of(around, guild, user)
    );
    let (tracks, playlist) = loaded?;
    let bot = handle.view().await.map_err(|_| ReplyText::Busy)?.voice_channel;
    let channel = match (bot, place.channel) {
        (Some(bot), _) => bot,
        (None, Some(person)) => {
            lookup::may_join(around, guild, person).await?;
            person
        }
        (None, None) => return Err(place.nowhere()),
    };
    let order = Order::Play {
        tracks,
        playlist,
        when,
        channel,
    };
    Ok((order, place))
}

async fn join(
    guilds: &Guilds,
    guild: GuildId,
    asked: &Asked,
    channel: Option<ChannelId>,
) -> Result<(Order, Whereabouts), Why> {
    let around = guilds.around();
    let place = lookup::voice_of(around, guild, asked.user).await;
    let channel = channel.or(place.channel).ok_or_else(|| place.nowhere())?;
    lookup::may_join(around, guild, channel).await?;
    // Whoever names a channel need not sit in it.
    let place = Whereabouts {
        channel: place.channel.or(Some(channel)),
        ..place
    };
    Ok((Order::Join { channel }, place))
}

async fn confirm(
    handle: &GuildHandle,
    (asked, place): (Asked, Whereabouts),
    order: Order,
    locale: Locale,
    seen: Option<Seen>,
) -> (Answer, Outcome) {
    let asked = place.of(&asked);
    let Ok(answer) = handle.order(asked, order, seen) else {
        return sorry(&ReplyText::Busy, locale);
    };
    match answer.await {
        Ok(Confirmed::Saved(Ok(done), _)) => (Answer::Reply(ui::done(&done, locale)), Outcome::Ok),
        Ok(Confirmed::Saved(Err(refusal), _) | Confirmed::NotSaved(Err(refusal), _)) => {
            (Answer::Reply(place.refused(&refusal, locale)), Outcome::Refused)
        }
        Ok(Confirmed::NotSaved(Ok(_), _)) => sorry(&ReplyText::NotSavedYet, locale),
        Ok(Confirmed::NoAuthority) => sorry(&ReplyText::StoreDown, locale),
        Err(_) => sorry(&ReplyText::Moving, locale),
    }
}

async fn show_of(handle: &GuildHandle, show: Show, locale: Locale) -> (Answer, Outcome) {
    let Ok(view) = handle.view().await else {
        return sorry(&ReplyText::Busy, locale);
    };
    let message = match show {
        Show::Queue { page } => ui::queue_page(&view, page, locale),
        Show::NowPlaying => ui::now_playing(&view, locale),
        Show::Volume => ui::volume(&view, locale),
        Show::Settings => ui::settings(&view, locale),
    };
    (Answer::Reply(message), Outcome::Ok)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request, taken apart")]
async fn button(
    guilds: &Guilds,
    handle: &GuildHandle,
    guild: GuildId,
    asked: Asked,
    action: ComponentAction,
    message: Option<MessageId>,
    locale: Locale,
    seen: Option<Seen>,
) -> (Answer, Outcome) {
    let Ok(view) = handle.view().await else {
        return sorry(&ReplyText::Busy, locale);
    };
    let order = match (action, action.order(asked.interaction)) {
        (ComponentAction::Page { page }, _) => {
            return (Answer::Update(ui::queue_page(&view, page, locale)), Outcome::Ok);
        }
        (ComponentAction::Queue { page }, _) => {
            let page = Message {
                ephemeral: true,
                ..ui::queue_page(&view, page, locale)
            };
            return (Answer::Reply(page), Outcome::Ok);
        }
        (_, Some(order)) => order,
        (_, None) => {
            return (
                Answer::Reply(ui::misread(&ParseError::StaleButton, locale)),
                Outcome::Refused,
            );
        }
    };
    let on_panel = message.is_some() && view.panel.map(|panel| panel.message) == message;
    if !on_panel && action != ComponentAction::Resume {
        // The buttons of an older message would act on another track than the one it shows.
        return (
            Answer::Reply(ui::misread(&ParseError::StaleButton, locale)),
            Outcome::Refused,
        );
    }
    let place = lookup::voice_of(guilds.around(), guild, asked.user).await;
    let Ok(answer) = handle.order(place.of(&asked), order, seen) else {
        return sorry(&ReplyText::Busy, locale);
    };
    match answer.await {
        Ok(Confirmed::Saved(Ok(_), view)) if on_panel => (Answer::Update(ui::now_playing(&view, locale)), Outcome::Ok),
        Ok(Confirmed::Saved(Ok(done), _)) => (Answer::Reply(ui::done(&done, locale)), Outcome::Ok),
        Ok(Confirmed::Saved(Err(refusal), _) | Confirmed::NotSaved(Err(refusal), _)) => {
            (Answer::Reply(place.refused(&refusal, locale)), Outcome::Refused)
        }
        Ok(Confirmed::NotSaved(Ok(_), _)) => sorry(&ReplyText::NotSavedYet, locale),
        Ok(Confirmed::NoAuthority) => sorry(&ReplyText::StoreDown, locale),
        Err(_) => sorry(&ReplyText::Moving, locale),
    }
}

fn sorry(text: &ReplyText, locale: Locale) -> (Answer, Outcome) {
    (Answer::Reply(ui::reply(text, locale)), Outcome::Error)
}

fn not_tried(why: &Why, locale: Locale) -> (Answer, Outcome) {
    match why {
        Why::Trouble(text) => sorry(text, locale),
        Why::Refused(refusal) => (Answer::Reply(ui::refusal(refusal, locale)), Outcome::Refused),
    }
}
