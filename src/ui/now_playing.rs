//! The Now Playing message.

use twilight_model::channel::message::Component;
use twilight_model::channel::message::embed::{Embed, EmbedAuthor, EmbedFooter, EmbedThumbnail};

use super::Locale;
use super::buttons::{Face, row};
use super::clean::marked;
use super::message::{EMBED_TITLE_LIMIT, Message, embed};
use super::speech::Speech;
use super::time::{bar, clock};
use super::track_text::{in_sentence, link, title};
use crate::command::ComponentAction;
use crate::model::record::{LoopMode, PauseReason};
use crate::model::view::{NowPlaying, PlayState, View};

/// What plays, where it is, and the buttons for it. The same message is edited as things change.
pub fn now_playing(view: &View, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    let embed = match &view.now {
        Some(now) => playing(now, view, speech),
        None => nothing(view, speech),
    };
    Message {
        embeds: vec![embed],
        components: buttons(view, speech),
        ..Message::default()
    }
}

/// What the repeat mode is called.
pub(super) fn loop_word(mode: LoopMode, speech: Speech) -> String {
    match mode {
        LoopMode::Off => speech.say("loop-off"),
        LoopMode::Track => speech.say("loop-track"),
        LoopMode::Queue => speech.say("loop-queue"),
    }
}

fn playing(now: &NowPlaying, view: &View, speech: Speech) -> Embed {
    let track = &now.track;
    let author = marked(&track.author, EMBED_TITLE_LIMIT);
    let asked = speech.with("now-asked", &[("user", format!("<@{}>", now.requester).into())]);
    let next = view.queue.first().map(|item| {
        let title = in_sentence(&item.track, speech);
        speech.with("now-next", &[("title", title.into())])
    });
    let hint = match now.state {
        PlayState::Playing | PlayState::Paused(PauseReason::Person) => None,
        PlayState::Waiting => Some(speech.say("now-hint-waiting")),
        PlayState::Paused(PauseReason::Restored) => Some(speech.say("now-hint-restored")),
        PlayState::Paused(PauseReason::Kept) => Some(speech.say("now-hint-kept")),
    };
    let lines = [
        Some(author).filter(|author| !author.is_empty()),
        Some(position(now, speech)),
        hint,
        Some(asked),
        next,
    ];
    let description = lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
    let heading = match now.state {
        PlayState::Playing => speech.say("now-playing"),
        PlayState::Waiting => speech.say("now-waiting"),
        PlayState::Paused(_) => speech.say("now-paused"),
    };
    Embed {
        author: Some(EmbedAuthor {
            icon_url: None,
            name: heading,
            proxy_icon_url: None,
            url: None,
        }),
        footer: Some(footer(view, speech)),
        thumbnail: link(track.artwork.as_deref()).map(|url| EmbedThumbnail {
            height: None,
            proxy_url: None,
            url,
            width: None,
        }),
        url: link(track.uri.as_deref()),
        ..embed(
            title(track, EMBED_TITLE_LIMIT, speech),
            description,
            now.state == PlayState::Playing,
        )
    }
}

fn position(now: &NowPlaying, speech: Speech) -> String {
    match now.track.length_ms {
        Some(length) => {
            let at = now.position_ms.min(length);
            format!("{} `{} / {}`", bar(at, length), clock(at), clock(length))
        }
        None => format!("🔴 {}", speech.say("live")),
    }
}

fn nothing(view: &View, speech: Speech) -> Embed {
    let hint = speech.say("nothing-plays-hint");
    Embed {
        footer: Some(footer(view, speech)),
        ..embed(speech.say("nothing-plays"), hint, false)
    }
}

fn footer(view: &View, speech: Speech) -> EmbedFooter {
    let variables = [
        ("volume", view.volume.into()),
        ("loop", loop_word(view.loop_mode, speech).into()),
        ("count", view.queue.len().into()),
    ];
    EmbedFooter {
        icon_url: None,
        proxy_icon_url: None,
        text: speech.with("now-footer", &variables),
    }
}

fn buttons(view: &View, speech: Speech) -> Vec<Component> {
    use ComponentAction as Do;
    let plays = view.now.is_some();
    let face = |action, emoji, key| Face::new(action, emoji, speech.say(key));
    let paused = matches!(
        &view.now,
        Some(NowPlaying {
            state: PlayState::Paused(_),
            ..
        })
    );
    // Resume says what it means even if somebody else was quicker.
    let pause = if paused {
        face(Do::Resume, "▶️", "button-resume").bright(true)
    } else {
        face(Do::TogglePause, "⏸️", "button-pause")
    };
    vec![
        row([
            face(Do::Previous, "⏮️", "button-previous").active(view.history > 0),
            pause.active(plays),
            face(Do::Skip, "⏭️", "button-skip").active(plays),
            face(Do::Stop, "⏹️", "button-stop").active(plays || !view.queue.is_empty()),
            face(Do::Loop, "🔁", "button-loop").bright(view.loop_mode != LoopMode::Off),
        ]),
        row([
            face(Do::Shuffle, "🔀", "button-shuffle").active(view.queue.len() > 1),
            face(Do::Queue { page: 1 }, "📜", "button-queue"),
            face(Do::VolumeDown, "🔉", "button-quieter").active(view.volume > 0),
            face(Do::VolumeUp, "🔊", "button-louder").active(view.volume < 200),
        ]),
    ]
}
