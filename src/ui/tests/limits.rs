//! Discord's limits, over whatever strangers may write.

use proptest::prelude::*;
use twilight_model::application::command::CommandOptionChoiceValue;
use twilight_model::id::Id;

use super::super::clean::units;
use super::super::*;
use super::{buttons, track, view};
use crate::model::ids::ItemId;
use crate::model::order::Done;
use crate::model::record::PauseReason;
use crate::model::track::{Item, Track};
use crate::model::view::{Notice, PlayState, View};

fn fits(message: &Message) -> Result<(), TestCaseError> {
    prop_assert!(units(&message.content) <= 2_000);
    prop_assert!(message.embeds.len() <= 1 && message.components.len() <= 5);
    for embed in &message.embeds {
        let of = |text: Option<&str>| text.map_or(0, units);
        let title = of(embed.title.as_deref());
        let description = of(embed.description.as_deref());
        let author = of(embed.author.as_ref().map(|author| author.name.as_str()));
        let footer = of(embed.footer.as_ref().map(|footer| footer.text.as_str()));
        prop_assert!((1..=256).contains(&title), "title {title}");
        prop_assert!((1..=4_096).contains(&description), "description {description}");
        prop_assert!(author <= 256 && footer <= 2_048);
        prop_assert!(title + description + author + footer <= 6_000);
        prop_assert!(
            !embed.description.as_ref().unwrap().ends_with('…'),
            "cut as a last resort"
        );
    }
    for row in &message.components {
        let buttons = buttons(row);
        prop_assert!((1..=5).contains(&buttons.len()));
        let mut ids: Vec<_> = message
            .components
            .iter()
            .flat_map(super::buttons)
            .map(|b| &b.custom_id)
            .collect();
        ids.sort();
        prop_assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "two buttons with one id");
        for button in buttons {
            let label = units(button.label.as_deref().unwrap());
            prop_assert!((1..=80).contains(&label), "label {label}");
            prop_assert!(button.custom_id.as_ref().unwrap().len() <= 100);
        }
    }
    Ok(())
}

#[test]
fn the_fullest_page_needs_no_cutting() {
    let start = "https://music.example/";
    let full = Track {
        uri: Some(format!("{start}{}", "x".repeat(150 - start.len())).into()),
        length_ms: Some(u64::MAX),
        ..track(&"*".repeat(256))
    };
    let item = |id| Item {
        id: ItemId(id),
        track: full.clone(),
        requester: Id::new(u64::MAX),
    };
    let view = view(Some(full.clone()), PlayState::Playing, (0..1_000).map(item).collect());
    for locale in Locale::ALL {
        let message = queue_page(&view, 100, locale);
        fits(&message).unwrap();
        let description = message.embeds[0].description.as_deref().unwrap();
        assert!(description.contains(start), "links are short enough to be shown");
        assert!(description.contains("`1000.`"));
    }
}

fn any_track() -> impl Strategy<Value = Track> {
    let uri = prop_oneof![
        Just(None),
        "https://music.example/[a-z()]{0,600}".prop_map(Some),
        "\\PC{0,80}".prop_map(Some),
    ];
    let title = prop_oneof!["\\PC{0,256}", "[*_`~|\\[\\]()<>@:/]{200,256}", any::<String>()];
    (title, "\\PC{0,256}", uri, any::<Option<u64>>()).prop_map(|(title, author, uri, length_ms)| Track {
        author: author.into(),
        artwork: uri.clone().map(Into::into),
        uri: uri.map(Into::into),
        length_ms,
        ..track(&title)
    })
}

proptest! {
    #[test]
    fn no_message_is_larger_than_discord_takes(
        now in any_track(),
        tracks in prop::collection::vec(any_track(), 10..12),
        repeat in 1usize..90,
        page in any::<u32>(),
        position_ms in any::<u64>(),
        volume in any::<u16>(),
    ) {
        let item = |track: &Track| Item { id: ItemId(1), track: track.clone(), requester: Id::new(u64::MAX) };
        let queue: Vec<Item> = tracks.iter().cycle().take(repeat * tracks.len()).map(item).collect();
        let mut view = View { volume, ..view(Some(now.clone()), PlayState::Paused(PauseReason::Kept), queue) };
        if let Some(now) = &mut view.now {
            now.position_ms = position_ms;
            now.requester = Id::new(u64::MAX);
        }
        for locale in Locale::ALL {
            fits(&now_playing(&view, locale))?;
            fits(&queue_page(&view, page, locale))?;
            fits(&queue_page(&view, 1, locale))?;
            let queued = Done::Queued { first: now.clone(), count: 2, playlist: Some(now.title.to_string()), place: 1, left_out: 9 };
            fits(&done(&queued, locale))?;
            fits(&notice(&Notice::Restored { track: now.clone(), position_ms, paused: None }, locale))?;
            fits(&reply(&ReplyText::NothingFound { query: now.title.to_string() }, locale))?;
            for choice in choices(&tracks, locale) {
                prop_assert!((1..=100).contains(&units(&choice.name)), "{}", choice.name);
                let CommandOptionChoiceValue::String(value) = choice.value else { panic!("not text") };
                prop_assert!((1..=100).contains(&units(&value)), "{value}");
            }
        }
    }
}
