//! The queue, page by page.

use twilight_model::channel::message::embed::{Embed, EmbedFooter};

use super::Locale;
use super::buttons::{Face, row};
use super::message::{Message, embed};
use super::speech::Speech;
use super::time::clock;
use super::track_text::{length, link, title};
use crate::command::ComponentAction;
use crate::model::track::{Item, Track};
use crate::model::view::View;

/// Tracks on a page.
pub const PAGE_SIZE: usize = 10;
/// Longest title in the list, in UTF-16 units with its escapes: ten of them and their links fit the description.
const LISTED_TITLE: usize = 120;
/// Longest link in the list, in bytes.
const LISTED_LINK: usize = 150;

/// How many pages a queue of this length has; at least one.
pub fn pages(len: usize) -> usize {
    len.div_ceil(PAGE_SIZE).max(1)
}

/// A page of the queue, from 1; beyond the last one, the last one. Shown to whoever asked.
pub fn queue_page(view: &View, page: u32, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    let pages = pages(view.queue.len());
    let page = usize::try_from(page).unwrap_or(usize::MAX).clamp(1, pages);
    let embed = Embed {
        footer: (!view.queue.is_empty()).then(|| footer(view, page, pages, speech)),
        ..embed(
            speech.say("queue-title"),
            description(view, page, speech),
            view.now.is_some(),
        )
    };
    let turn = |to: usize, emoji, label| {
        let page = u32::try_from(to.clamp(1, pages)).unwrap_or(1);
        Face::new(ComponentAction::Page { page }, emoji, label).active(to >= 1 && to <= pages)
    };
    let components = if pages > 1 {
        vec![row([
            turn(page - 1, "◀️", speech.say("button-page-back")),
            turn(page + 1, "▶️", speech.say("button-page-on")),
        ])]
    } else {
        Vec::new()
    };
    Message {
        embeds: vec![embed],
        components,
        ephemeral: true,
        ..Message::default()
    }
}

fn description(view: &View, page: usize, speech: Speech) -> String {
    let now = view
        .now
        .as_ref()
        .map(|now| speech.with("queue-now", &[("track", entry(&now.track, speech).into())]) + "\n");
    let first = (page - 1) * PAGE_SIZE;
    let listed = view.queue.iter().enumerate().skip(first).take(PAGE_SIZE);
    let rows = listed.map(|(index, item)| line(index + 1, item, speech));
    let empty = view.queue.is_empty().then(|| speech.say("queue-empty"));
    now.into_iter().chain(rows).chain(empty).collect::<Vec<_>>().join("\n")
}

fn line(place: usize, item: &Item, speech: Speech) -> String {
    format!("`{place}.` {} · <@{}>", entry(&item.track, speech), item.requester)
}

/// The title, linked where it can be, and the length.
fn entry(track: &Track, speech: Speech) -> String {
    let title = title(track, LISTED_TITLE, speech);
    let length = length(track, speech);
    // A bracket would end the link.
    let url = link(track.uri.as_deref()).map(|url| url.replace('(', "%28").replace(')', "%29"));
    match url.filter(|url| url.len() <= LISTED_LINK) {
        Some(url) => format!("[{title}]({url}) `{length}`"),
        None => format!("{title} `{length}`"),
    }
}

fn footer(view: &View, page: usize, pages: usize, speech: Speech) -> EmbedFooter {
    let total = view
        .queue
        .iter()
        .filter_map(|item| item.track.length_ms)
        .fold(0, u64::saturating_add);
    let live = view.queue.iter().filter(|item| item.track.is_stream()).count();
    let mut text = speech.with(
        "queue-footer",
        &[
            ("page", page.into()),
            ("pages", pages.into()),
            ("count", view.queue.len().into()),
            ("length", clock(total).into()),
        ],
    );
    if live > 0 {
        text += " · ";
        text += &speech.with("queue-footer-live", &[("count", live.into())]);
    }
    EmbedFooter {
        icon_url: None,
        proxy_icon_url: None,
        text,
    }
}
