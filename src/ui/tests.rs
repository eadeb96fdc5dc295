//! Every message in every state, as text in `snapshots/`.

mod limits;

use std::fmt::Write as _;

use twilight_model::application::command::CommandOptionChoiceValue;
use twilight_model::channel::message::component::{Button, ButtonStyle};
use twilight_model::channel::message::{Component, EmojiReactionType};
use twilight_model::id::Id;

use super::*;
use crate::command::link::LinkRefusal;
use crate::command::{ParseError, QueryError};
use crate::model::ids::ItemId;
use crate::model::order::{Done, Refusal};
use crate::model::record::{GuildSettings, LoopMode, PauseReason};
use crate::model::track::{Item, Track};
use crate::model::view::{FailReason, Notice, NowPlaying, PlayState, View};

const RTL: &str = "\u{202e}שיר \u{2067}של אריק\u{200f} (live)";
const MARKUP: &str = "**[Free](https://evil.example)** @everyone <@1> ||`x`||";

fn track(title: &str) -> Track {
    Track {
        encoded: "QAAA".to_owned(),
        identifier: format!("sim:{title}?length=200").into(),
        source: "sim".into(),
        title: title.into(),
        author: "Ada & the Engines".into(),
        uri: Some("https://music.example/watch?v=1(2)".into()),
        artwork: Some("https://music.example/1.jpg".into()),
        length_ms: Some(200_000),
        seekable: true,
    }
}

fn stream() -> Track {
    Track {
        length_ms: None,
        seekable: false,
        uri: None,
        artwork: None,
        ..track("Radio Aurora")
    }
}

fn items(count: u64) -> Vec<Item> {
    let item = |n: u64| Item {
        id: ItemId(n),
        track: track(&format!("Track {n}")),
        requester: Id::new(1 + n % 3),
    };
    (1..=count).map(item).collect()
}

fn view(now: Option<Track>, state: PlayState, queue: Vec<Item>) -> View {
    View {
        now: now.map(|track| NowPlaying {
            track,
            requester: Id::new(42),
            position_ms: 83_400,
            state,
        }),
        queue,
        history: 1,
        volume: 100,
        loop_mode: LoopMode::Off,
        voice_channel: Some(Id::new(7)),
        text_channel: Some(Id::new(8)),
        node: None,
        panel: None,
        settings: GuildSettings::default(),
        auto_resume_default: true,
    }
}

fn playing(title: &str) -> View {
    view(Some(track(title)), PlayState::Playing, items(2))
}

/// A message as a person would describe it; direction marks are spelled out.
fn outline(message: &Message) -> String {
    let mut out = String::new();
    let whose = if message.ephemeral { "only you" } else { "everybody" };
    writeln!(out, "({whose})").unwrap();
    if !message.content.is_empty() {
        writeln!(out, "{}", message.content).unwrap();
    }
    for embed in &message.embeds {
        let author = embed.author.as_ref().map(|author| author.name.as_str());
        for (name, value) in [
            ("author", author),
            ("title", embed.title.as_deref()),
            ("url", embed.url.as_deref()),
        ] {
            if let Some(value) = value {
                writeln!(out, "{name}: {value}").unwrap();
            }
        }
        writeln!(out, "{}", embed.description.as_deref().unwrap_or_default()).unwrap();
        if let Some(footer) = &embed.footer {
            writeln!(out, "footer: {}", footer.text).unwrap();
        }
        if let Some(picture) = &embed.thumbnail {
            writeln!(out, "picture: {}", picture.url).unwrap();
        }
    }
    for row in &message.components {
        let faces: Vec<_> = buttons(row).into_iter().map(face).collect();
        writeln!(out, "{}", faces.join(" ")).unwrap();
    }
    out.replace('\u{2068}', "⟨")
        .replace('\u{2069}', "⟩")
        .replace('\u{200b}', "␣")
}

fn buttons(row: &Component) -> Vec<&Button> {
    let Component::ActionRow(row) = row else {
        panic!("not a row: {row:?}")
    };
    row.components.iter().map(button).collect()
}

fn button(component: &Component) -> &Button {
    let Component::Button(button) = component else {
        panic!("not a button: {component:?}")
    };
    button
}

fn face(button: &Button) -> String {
    let Some(EmojiReactionType::Unicode { name: emoji }) = &button.emoji else {
        panic!("no emoji: {button:?}")
    };
    let label = button.label.as_deref().unwrap();
    let id = button.custom_id.as_deref().unwrap();
    let bright = if button.style == ButtonStyle::Primary { "!" } else { "" };
    let off = if button.disabled { " off" } else { "" };
    format!("[{emoji} {label}{bright} {id}{off}]")
}

fn both(render: impl Fn(Locale) -> Message) -> String {
    format!("{}---\n{}", outline(&render(Locale::En)), outline(&render(Locale::De)))
}

fn all<T>(cases: &[T], render: impl Fn(&T, Locale) -> Message) -> String {
    let rendered = cases.iter().map(|case| both(|locale| render(case, locale)));
    rendered.collect::<Vec<_>>().join("======\n")
}

#[test]
fn now_playing_while_it_plays() {
    insta::assert_snapshot!(both(|locale| now_playing(&playing("Aurora"), locale)));
}

#[test]
fn now_playing_in_every_state() {
    let states = [
        PlayState::Waiting,
        PlayState::Paused(PauseReason::Person),
        PlayState::Paused(PauseReason::Restored),
        PlayState::Paused(PauseReason::Kept),
    ];
    insta::assert_snapshot!(all(&states, |state, locale| {
        now_playing(&view(Some(track("Aurora")), *state, Vec::new()), locale)
    }));
}

#[test]
fn now_playing_nothing() {
    let views = [
        view(None, PlayState::Playing, Vec::new()),
        View {
            history: 0,
            volume: 200,
            loop_mode: LoopMode::Queue,
            ..view(None, PlayState::Playing, items(1))
        },
    ];
    insta::assert_snapshot!(all(&views, now_playing));
}

#[test]
fn now_playing_a_live_stream() {
    let stream = view(Some(stream()), PlayState::Playing, Vec::new());
    insta::assert_snapshot!(outline(&now_playing(&stream, Locale::En)));
}

#[test]
fn titles_that_strangers_wrote() {
    let long = "Ä".repeat(256);
    let titles = [RTL, MARKUP, &long, "\u{200b}\n", "👩‍👩‍👧‍👦 Family", "line\nbreak"];
    let messages = titles.map(|title| outline(&now_playing(&playing(title), Locale::En)));
    insta::assert_snapshot!(messages.join("======\n"));
}

#[test]
fn the_queue_when_it_is_empty() {
    let views = [
        view(None, PlayState::Playing, Vec::new()),
        view(Some(stream()), PlayState::Playing, Vec::new()),
    ];
    insta::assert_snapshot!(all(&views, |view, locale| queue_page(view, 1, locale)));
}

#[test]
fn a_queue_of_500_tracks() {
    let view = view(Some(track("Aurora")), PlayState::Playing, items(500));
    let pages = [0, 1, 2, 50, 51, u32::MAX].map(|page| outline(&queue_page(&view, page, Locale::En)));
    assert_eq!(pages[0], pages[1], "page 0 is the first");
    assert_eq!(pages[3], pages[4], "beyond the last is the last");
    assert_eq!(pages[3], pages[5]);
    insta::assert_snapshot!(format!("{}======\n{}======\n{}", pages[1], pages[2], pages[3]));
}

#[test]
fn a_queue_of_strangers() {
    let mut queue = items(6);
    queue[0].track.title = RTL.into();
    queue[1].track.title = MARKUP.into();
    queue[2].track.title = "Ü".repeat(256).into();
    queue[3].track = stream();
    queue[4].track.uri = Some(format!("https://music.example/{}", "x".repeat(300)).into());
    queue[5].track.uri = Some("javascript:alert(1)".into());
    let view = view(None, PlayState::Playing, queue);
    insta::assert_snapshot!(both(|locale| queue_page(&view, 1, locale)));
}

fn every_done() -> Vec<Done> {
    let queued = |count, playlist: Option<&str>, place, left_out| Done::Queued {
        first: track("Aurora"),
        count,
        playlist: playlist.map(str::to_owned),
        place,
        left_out,
    };
    let channel = Id::new(7);
    vec![
        queued(1, None, 0, 0),
        queued(1, None, 3, 0),
        queued(25, Some("Best *of*"), 0, 1),
        queued(25, None, 4, 12),
        Done::Paused {
            track: track(MARKUP),
            position_ms: 83_000,
        },
        Done::Resumed {
            track: track("Aurora"),
            position_ms: 3_723_000,
        },
        Done::Skipped {
            from: None,
            to: Some(track(RTL)),
        },
        Done::Skipped {
            from: Some(track("Aurora")),
            to: None,
        },
        Done::Stopped { dropped: 0 },
        Done::Stopped { dropped: 1 },
        Done::Stopped { dropped: 9 },
        Done::Sought { position_ms: 83_000 },
        Done::Volume { level: 35 },
        Done::Loop { mode: LoopMode::Off },
        Done::Loop { mode: LoopMode::Track },
        Done::Loop { mode: LoopMode::Queue },
        Done::Shuffled { count: 9 },
        Done::Removed {
            first: track("Aurora"),
            count: 1,
        },
        Done::Removed {
            first: track("Aurora"),
            count: 3,
        },
        Done::Moved {
            track: track("Aurora"),
            to: 1,
        },
        Done::Cleared { count: 9 },
        Done::Joined { channel },
        Done::Left { channel, kept: 0 },
        Done::Left { channel, kept: 4 },
        Done::AutoResume { on: true },
        Done::AutoResume { on: false },
        Done::Already,
    ]
}

#[test]
fn everything_done() {
    insta::assert_snapshot!(all(&every_done(), done));
}

#[test]
fn everything_refused() {
    let refusals = [
        Refusal::NothingPlays,
        Refusal::QueueEmpty,
        Refusal::NoPrevious,
        Refusal::NoSuchPlace { asked: 9, len: 0 },
        Refusal::NoSuchPlace { asked: 9, len: 1 },
        Refusal::NoSuchPlace { asked: 9, len: 4 },
        Refusal::QueueFull { limit: 1_000 },
        Refusal::NotSeekable,
        Refusal::PastEnd { length_ms: 200_000 },
        Refusal::AlreadyPaused,
        Refusal::NotPaused,
        Refusal::NotInVoice,
        Refusal::YouAreNotInVoice,
        Refusal::OtherChannel { bot: Id::new(7) },
        Refusal::BadVolume,
    ];
    insta::assert_snapshot!(all(&refusals, refusal));
}

#[test]
fn everything_misread() {
    let link = |refusal| ParseError::Query(QueryError::Link(refusal));
    let errors = [
        ParseError::NotInGuild,
        ParseError::Outdated,
        ParseError::StaleButton,
        ParseError::Malformed("for the log"),
        ParseError::Missing { option: "query" },
        ParseError::OutOfRange {
            option: "level",
            from: 0,
            to: 200,
        },
        ParseError::TooLong {
            option: "position",
            limit: 20,
        },
        ParseError::BadPosition,
        ParseError::Query(QueryError::Empty),
        ParseError::Query(QueryError::TooLong),
        link(LinkRefusal::Malformed),
        link(LinkRefusal::Scheme),
        link(LinkRefusal::UserInfo),
        link(LinkRefusal::Private),
        link(LinkRefusal::OddHost),
    ];
    insta::assert_snapshot!(all(&errors, misread));
}

#[test]
fn everything_noticed() {
    let restored = |paused| Notice::Restored {
        track: track("Aurora"),
        position_ms: 83_000,
        paused,
    };
    let failed = |reason| Notice::RestoreFailed { reason };
    let notices = [
        restored(None),
        restored(Some(PauseReason::Restored)),
        restored(Some(PauseReason::Kept)),
        restored(Some(PauseReason::Person)),
        failed(FailReason::ChannelGone),
        failed(FailReason::CannotView),
        failed(FailReason::CannotConnect),
        failed(FailReason::CannotSpeak),
        failed(FailReason::ChannelFull),
        failed(FailReason::NoAnswer),
        failed(FailReason::NodeRefused),
        Notice::TrackFailed { track: track(MARKUP) },
        Notice::LeftEmpty { channel: Id::new(7) },
        Notice::NoNode,
        Notice::Kicked,
    ];
    insta::assert_snapshot!(all(&notices, notice));
}

#[test]
fn everything_in_trouble() {
    let channel = Id::new(7);
    let texts = [
        ReplyText::StoreDown,
        ReplyText::NotSavedYet,
        ReplyText::NodeDown,
        ReplyText::TooLate,
        ReplyText::NothingFound {
            query: MARKUP.to_owned(),
        },
        ReplyText::NothingFound {
            query: "\u{200b}".to_owned(),
        },
        ReplyText::LoadFailed,
        ReplyText::NoPermission {
            channel,
            reason: FailReason::CannotSpeak,
        },
        ReplyText::NotVoice { channel },
        ReplyText::LeftGuild,
        ReplyText::Busy,
        ReplyText::Moving,
        ReplyText::VoiceUnknown,
        ReplyText::Interrupted,
        ReplyText::Internal,
    ];
    insta::assert_snapshot!(all(&texts, reply));
}

#[test]
fn settings_say_where_they_come_from() {
    let chosen = |auto_resume| View {
        settings: GuildSettings {
            auto_resume,
            ..GuildSettings::default()
        },
        ..playing("Aurora")
    };
    let views = [chosen(None), chosen(Some(true)), chosen(Some(false))];
    insta::assert_snapshot!(all(&views, settings) + "======\n" + &all(&views[..1], volume));
}

#[test]
fn suggestions_fit_and_lead_back_to_their_track() {
    let tracks = [
        track("Aurora"),
        track("the same link again"),
        Track {
            uri: None,
            ..track(RTL)
        },
        Track {
            uri: None,
            author: "".into(),
            ..track(&"Ä".repeat(256))
        },
        Track {
            uri: None,
            identifier: "dQw4".into(),
            ..track("<b>Just</b> words")
        },
        Track {
            uri: Some("http://10.0.0.1/a.mp3".into()),
            ..stream()
        },
        Track {
            uri: None,
            identifier: "".into(),
            ..track("http://127.0.0.1/")
        },
    ];
    let lines = choices(&tracks, Locale::En).into_iter().map(|choice| {
        let CommandOptionChoiceValue::String(value) = choice.value else {
            panic!("not text")
        };
        format!("{} -> {value}\n", choice.name)
            .replace('\u{2068}', "⟨")
            .replace('\u{2069}', "⟩")
    });
    insta::assert_snapshot!(lines.collect::<String>());
    let many: Vec<Track> = (0..40)
        .map(|n| Track {
            uri: None,
            ..track(&format!("T{n}"))
        })
        .collect();
    assert_eq!(choices(&many, Locale::En).len(), 25);
}
