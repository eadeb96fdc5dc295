//! Orders, tracks and voice while everything lives.

use super::scene::{Scene, channel, person, play, track};
use crate::model::order::{Done, Order, Refusal, When};
use crate::model::record::{LoopMode, PauseReason};
use crate::model::signal::{EndReason, NodeEvent, Signal};
use crate::model::view::{Notice, PlayState};
use crate::player::{Call, Effect, Policy};

#[test]
fn the_first_track_joins_waits_for_both_voice_events_and_starts_with_everything_in_one_patch() {
    let mut scene = Scene::new();
    scene.order(play(&["One"])).unwrap();
    assert!(matches!(scene.effects[0], Effect::Voice { channel: Some(c), .. } if c == channel(1)));
    scene.signal(Signal::VoiceServer {
        token: "token".into(),
        endpoint: Some("voice:443".into()),
    });
    assert!(scene.patches().is_empty(), "one of two events");
    scene.signal(Signal::OwnVoice {
        channel: Some(channel(1)),
        session_id: "session".into(),
        suppressed: false,
    });
    let patches = scene.patches();
    let (_, patch) = &patches[0];
    assert_eq!(patch.track, Some(Some("encoded One".into())));
    assert_eq!(
        (patch.position_ms, patch.paused, patch.volume),
        (Some(0), Some(false), Some(100))
    );
    assert!(patch.voice.is_some());
}

#[test]
fn the_answer_to_a_call_is_not_waited_for_once_the_node_was_told_something_else() {
    let told = |scene: &Scene| {
        let mut updates = scene.effects.iter().filter_map(|effect| {
            if let Effect::Call(Call::Update { generation, .. }) = effect {
                Some(*generation)
            } else {
                None
            }
        });
        updates.next().unwrap()
    };
    let mut scene = Scene::new();
    scene.order(play(&["One", "Two"])).unwrap();
    scene.joins(1);
    let first = told(&scene);
    assert!(scene.player.awaits(first));
    scene.answered();
    scene.order(Order::Skip { to: None }).unwrap();
    let second = told(&scene);
    assert!(scene.player.awaits(second) && !scene.player.awaits(first));
}

#[test]
fn an_endpoint_that_discord_still_looks_for_is_waited_for() {
    let mut scene = Scene::new();
    scene.order(play(&["One"])).unwrap();
    scene.signal(Signal::OwnVoice {
        channel: Some(channel(1)),
        session_id: "session".into(),
        suppressed: false,
    });
    scene.signal(Signal::VoiceServer {
        token: "token".into(),
        endpoint: None,
    });
    assert!(scene.patches().is_empty());
    scene.signal(Signal::VoiceServer {
        token: "token".into(),
        endpoint: Some("voice:443".into()),
    });
    assert_eq!(scene.patches().len(), 1);
}

#[test]
fn at_a_tracks_end_the_loop_mode_decides() {
    for (mode, plays, queued) in [
        (LoopMode::Off, "Two", vec!["Three"]),
        (LoopMode::Track, "One", vec!["Two", "Three"]),
        (LoopMode::Queue, "Two", vec!["Three", "One"]),
    ] {
        let mut scene = Scene::playing();
        scene.order(Order::Loop { mode }).unwrap();
        scene.ended("One", EndReason::Finished);
        assert_eq!(
            (scene.title().as_deref(), scene.queued()),
            (Some(plays), queued.iter().map(ToString::to_string).collect()),
            "{mode:?}"
        );
    }
}

#[test]
fn an_end_that_is_late_foreign_or_our_own_doing_changes_nothing() {
    let mut scene = Scene::playing();
    for (title, reason) in [
        ("Other", EndReason::Finished),
        ("One", EndReason::Replaced),
        ("One", EndReason::Stopped),
    ] {
        scene.ended(title, reason);
        assert_eq!(scene.title().as_deref(), Some("One"), "{title} {reason:?}");
    }
    scene.ended("One", EndReason::Finished);
    scene.ended("One", EndReason::Finished);
    assert_eq!(scene.title().as_deref(), Some("Two"), "told twice, advanced once");
}

#[test]
fn tracks_that_fail_are_told_and_skipped_but_not_for_ever() {
    let mut scene = Scene::playing();
    scene.order(play(&["A", "B", "C", "D", "E", "F"])).unwrap();
    for title in ["One", "Two", "Three", "A", "B"] {
        scene.ended(title, EndReason::LoadFailed);
        assert!(
            scene
                .effects
                .contains(&Effect::Notice(Notice::TrackFailed { track: track(title) })),
            "{title}"
        );
    }
    let now = scene.player.view(scene.now).now.unwrap();
    assert_eq!(
        (now.track.title.as_str(), now.state),
        ("C", PlayState::Paused(PauseReason::Kept))
    );
}

#[test]
fn a_format_that_cannot_start_in_the_middle_starts_at_the_beginning_and_is_moved() {
    let mut scene = Scene::playing();
    scene.order(Order::Seek { position_ms: 50_000 }).unwrap();
    scene.from(
        "a",
        NodeEvent::Gone {
            alive_until_ms: scene.now,
        },
    );
    scene.from(
        "a",
        NodeEvent::Ready {
            resumed: false,
            player: None,
        },
    );
    scene.ended("One", EndReason::LoadFailed);
    assert_eq!(
        scene.patches()[0].1.position_ms,
        Some(0),
        "from the beginning, silently"
    );
    assert_eq!(scene.patches()[0].1.volume, Some(0));
    scene.answered();
    scene.now = scene.player.deadline().unwrap();
    scene.step(crate::player::Input::Tick);
    let (_, patch) = &scene.patches()[0];
    assert!(
        patch.position_ms.unwrap() > 49_000 && patch.volume == Some(100),
        "{patch:?}"
    );
}

#[test]
fn an_order_is_applied_once_and_a_refusal_changes_nothing() {
    let mut scene = Scene::playing();
    scene.player.take_dirty();
    assert_eq!(scene.order(Order::Resume), Err(Refusal::NotPaused));
    assert_eq!(scene.order(Order::Volume { level: 201 }), Err(Refusal::BadVolume));
    assert_eq!(
        scene.order(Order::Seek { position_ms: 100_000 }),
        Err(Refusal::PastEnd { length_ms: 100_000 })
    );
    assert!(scene.effects.is_empty() && !scene.player.has_dirty());
    let asked = crate::model::order::Asked {
        interaction: crate::model::ids::InteractionId::new(77),
        user: person(1),
        text_channel: channel(9),
        voice_channel: Some(channel(1)),
    };
    let again = crate::player::Input::Order {
        asked,
        order: Order::Skip { to: None },
    };
    assert!(matches!(scene.step(again.clone()), Some(Ok(Done::Skipped { .. }))));
    assert_eq!(scene.step(again), Some(Ok(Done::Already)));
    assert_eq!(scene.title().as_deref(), Some("Two"));
}

#[test]
fn play_next_and_now_find_their_places_and_a_full_queue_says_so() {
    let mut scene = Scene::playing();
    let with = |titles: &[&str], when| Order::Play {
        tracks: titles.iter().map(|title| track(title)).collect(),
        playlist: None,
        when,
        channel: channel(1),
    };
    scene.order(with(&["N1", "N2"], When::Next)).unwrap();
    assert_eq!(scene.queued(), ["N1", "N2", "Two", "Three"]);
    scene.order(with(&["Now", "Then"], When::Now)).unwrap();
    assert_eq!(
        (scene.title().as_deref(), scene.queued()[0].as_str()),
        (Some("Now"), "Then")
    );
    let many: Vec<String> = (0..1_200).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let Ok(Done::Queued { count, left_out, .. }) = scene.order(with(&many, When::Queue)) else {
        panic!("refused")
    };
    assert_eq!((count + left_out, scene.queued().len()), (1_200, 1_000));
    assert_eq!(
        scene.order(with(&["One more"], When::Queue)),
        Err(Refusal::QueueFull { limit: 1_000 })
    );
}

#[test]
fn a_voice_connection_that_is_torn_hushes_the_node_and_goes_on_where_it_was_heard() {
    for code in [4006, 4014] {
        let mut scene = Scene::playing();
        scene.now += 10_000;
        scene.from("a", NodeEvent::VoiceClosed { code, by_remote: true });
        assert_eq!(
            scene.patches()[0].1.track,
            Some(None),
            "{code}: it would play on to nobody"
        );
        if code == 4014 {
            scene.now = scene.player.deadline().unwrap();
            scene.step(crate::player::Input::Tick);
        }
        assert!(
            scene.effects.contains(&Effect::CheckAccess { channel: channel(1) }),
            "{code}"
        );
        scene.step(crate::player::Input::Access {
            channel: channel(1),
            result: Ok(()),
        });
        scene.joins(1);
        let position = scene.patches()[0].1.position_ms.unwrap();
        assert!((9_600..=10_000).contains(&position), "{code}: {position}");
    }
}

#[test]
fn a_kick_keeps_everything_and_a_move_takes_the_music_along() {
    let mut scene = Scene::playing();
    scene.now += 5_000;
    scene.from(
        "a",
        NodeEvent::VoiceClosed {
            code: 4014,
            by_remote: true,
        },
    );
    scene.signal(Signal::OwnVoice {
        channel: None,
        session_id: "session".into(),
        suppressed: false,
    });
    assert!(scene.effects.contains(&Effect::Notice(Notice::Kicked)));
    assert_eq!((scene.player.is_active(), scene.queued().len()), (false, 2));
    let mut scene = Scene::playing();
    scene.joins(2);
    assert_eq!(scene.player.voice_channel(), Some(channel(2)));
    assert_eq!(scene.patches()[0].1.voice.as_ref().unwrap().channel, channel(2));
}

#[test]
fn three_attempts_to_join_then_everything_is_kept_and_told() {
    let mut scene = Scene::new();
    scene.order(play(&["One", "Two"])).unwrap();
    let op_4 = |scene: &Scene| -> Vec<_> {
        let sent = scene.effects.iter().filter_map(|effect| match effect {
            Effect::Voice { channel, .. } => Some(("once", *channel)),
            Effect::Rejoin { channel, .. } => Some(("leave first", Some(*channel))),
            Effect::Call(_)
            | Effect::CheckAccess { .. }
            | Effect::Unsuppress { .. }
            | Effect::Show
            | Effect::Notice(_)
            | Effect::Recovered(_)
            | Effect::Forget => None,
        });
        sent.collect()
    };
    let mut told = false;
    let mut sent = op_4(&scene);
    for _ in 0..20 {
        let Some(deadline) = scene.player.deadline() else { break };
        assert!(deadline > scene.now, "no busy loop");
        scene.now = deadline;
        scene.step(crate::player::Input::Tick);
        if scene.effects.contains(&Effect::CheckAccess { channel: channel(1) }) {
            scene.step(crate::player::Input::Access {
                channel: channel(1),
                result: Ok(()),
            });
        }
        sent.extend(op_4(&scene));
        told |= scene
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Notice(Notice::RestoreFailed { .. })));
    }
    assert!(told && !scene.player.is_active());
    let again = ("leave first", Some(channel(1)));
    assert_eq!(sent, [("once", Some(channel(1))), again, again, ("once", None)]);
    assert_eq!(
        (scene.title().as_deref(), scene.queued()),
        (Some("One"), vec!["Two".to_owned()])
    );
    assert!(
        (89_000..110_000).contains(&(scene.now - super::scene::BEGIN)),
        "three times 30 s and the waits between"
    );
}

#[test]
fn an_attempt_to_join_begins_when_discord_hears_of_it() {
    let mut scene = Scene::new();
    scene.order(play(&["One"])).unwrap();
    scene.voice_waits = true;
    let sent = scene.now + 180_000;
    while scene.now < sent {
        let deadline = scene.player.deadline().unwrap();
        assert!(deadline > scene.now, "no busy loop");
        scene.now = deadline;
        scene.step(crate::player::Input::Tick);
        assert_eq!(scene.effects, [], "asked once, and not given up");
    }
    scene.voice_waits = false;
    scene.joins(1);
    assert_eq!(scene.patches().len(), 1, "it joined and plays");
}

#[test]
fn an_empty_channel_is_left_after_the_timeout_unless_not_everybody_is_known() {
    let mut scene = Scene::playing();
    scene.signal(Signal::GuildSeen {
        voices: vec![(person(1), channel(1))],
        bot: None,
    });
    scene.signal(Signal::MemberVoice {
        user: person(1),
        bot: false,
        channel: None,
    });
    scene.now += Policy::default().alone_timeout_ms;
    scene.step(crate::player::Input::Tick);
    assert!(
        scene
            .effects
            .contains(&Effect::Notice(Notice::LeftEmpty { channel: channel(1) }))
    );
    let mut scene = Scene::playing();
    scene.signal(Signal::MemberVoice {
        user: person(1),
        bot: false,
        channel: None,
    });
    assert_eq!(
        scene.player.deadline(),
        None,
        "somebody may be there whom nobody saw come"
    );
}

/// `One` plays, and a thousand wait: `0` to `999`.
fn full() -> Scene {
    let mut scene = Scene::playing();
    scene.order(Order::Clear).unwrap();
    let many: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    scene
        .order(play(&many.iter().map(String::as_str).collect::<Vec<_>>()))
        .unwrap();
    scene
}

fn now(title: &str) -> Order {
    Order::Play {
        tracks: vec![track(title)],
        playlist: None,
        when: When::Now,
        channel: channel(1),
    }
}

#[test]
fn in_a_full_queue_that_goes_round_nothing_is_lost() {
    let full = || {
        let mut scene = full();
        scene.order(Order::Loop { mode: LoopMode::Queue }).unwrap();
        scene
    };
    let mut ended = full();
    ended.ended("One", EndReason::Finished);
    let mut skipped = full();
    skipped.order(Order::Skip { to: None }).unwrap();
    for scene in [ended, skipped] {
        assert_eq!((scene.title().as_deref(), scene.queued().len()), (Some("0"), 1_000));
        assert_eq!(scene.queued()[998..], ["999", "One"]);
    }
    let mut far = full();
    far.order(Order::Skip { to: Some(3) }).unwrap();
    assert_eq!((far.title().as_deref(), far.queued().len()), (Some("2"), 1_000));
    assert_eq!(far.queued()[996..], ["999", "0", "1", "One"]);
    let mut between = full();
    assert_eq!(
        between.order(now("Now")),
        Err(Refusal::QueueFull { limit: 1_000 }),
        "the one that plays would find no place"
    );
}

#[test]
fn a_thousand_and_one_into_an_empty_player_are_all_there() {
    let mut scene = Scene::new();
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    let order = play(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(scene.order(order), Ok(Done::Queued { count: 1_001, .. })));
    assert_eq!(scene.title().as_deref(), Some("0"));
    assert_eq!(scene.queued().last().map(String::as_str), Some("1000"));
}

#[test]
fn what_was_gone_back_from_in_a_full_queue_is_there_after_a_restart() {
    let mut scene = full();
    for _ in 0..60 {
        scene.order(now("Now")).unwrap();
    }
    let mut back = 0;
    while scene.order(Order::Previous).is_ok_and(|_| back < 100) {
        back += 1;
    }
    assert_eq!((back, scene.queued().len()), (50, 1_050));
    assert_eq!(scene.order(now("More")), Err(Refusal::QueueFull { limit: 1_000 }));
    let before = scene.queued();
    let again = scene.dies(1_000, Policy::default());
    assert_eq!(again.queued(), before);
}
