//! Deaths: of the owner, of the node, of the session, in every combination.

use super::scene::{Scene, channel, node, person};
use crate::model::order::Order;
use crate::model::record::{PauseReason, Snapshot};
use crate::model::signal::{EndReason, NodeEvent, Signal};
use crate::model::view::{Notice, PlayState};
use crate::player::{Call, Effect, Failure, Input, Outcome, Player, Policy, Recovered, Trigger};

fn ended(scene: &Scene) -> Option<&Recovered> {
    scene.effects.iter().find_map(|effect| {
        if let Effect::Recovered(recovered) = effect {
            Some(recovered)
        } else {
            None
        }
    })
}

fn outcome(scene: &Scene) -> Option<Outcome> {
    ended(scene).map(|recovered| recovered.outcome)
}

/// `One` plays for 20 s, the owner dies, and somebody else loads it a second later.
fn dead() -> Scene {
    let mut scene = Scene::playing();
    scene.now += 20_000;
    scene.dies(1_000, Policy::default())
}

#[test]
fn with_both_sessions_resumed_nothing_is_done_in_either_order() {
    for shard_first in [true, false] {
        let mut scene = dead();
        if shard_first {
            scene.shard(true);
            assert_eq!(outcome(&scene), None);
        }
        scene.resumed("One", 21_330, false);
        if !shard_first {
            scene.shard(true);
        }
        assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
        let harmless = |effect: &Effect| matches!(effect, Effect::Show | Effect::Recovered(_));
        assert!(scene.effects.iter().all(harmless), "{:?}", scene.effects);
        assert_eq!(scene.position(), 21_000);
    }
}

/// What the last recovery took, phase by phase.
fn phases(scene: &Scene) -> Vec<(&'static str, u64)> {
    ended(scene).unwrap().phases.clone()
}

#[test]
fn the_phases_of_a_recovery_add_up_and_name_only_what_happened() {
    let mut carried_on = dead();
    carried_on.now += 10;
    carried_on.shard(true);
    carried_on.now += 20;
    carried_on.resumed("One", 21_330, false);
    let expected = [("fence", 40), ("claim", 30), ("resume", 30), ("reconcile", 0)];
    assert_eq!(phases(&carried_on), expected);

    let mut restored = dead();
    restored.now += 10;
    restored.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    restored.now += 5;
    // The guild is described only later.
    restored.signal(Signal::ShardReady {
        resumed: false,
        session_id: "session".into(),
    });
    restored.now += 100;
    restored.signal(Signal::GuildSeen {
        voices: vec![(person(1), channel(1))],
        bot: None,
    });
    restored.now += 50;
    restored.step(Input::Access {
        channel: channel(1),
        result: Ok(()),
    });
    restored.now += 200;
    restored.joins(1);
    restored.now += 7;
    restored.answered();
    let expected = [
        ("fence", 40),
        ("claim", 30),
        ("resume", 115),
        ("load", 250),
        ("reconcile", 7),
    ];
    assert_eq!(phases(&restored), expected);
}

#[test]
fn a_session_that_is_lost_meanwhile_makes_the_phase_longer_and_none_appear_twice() {
    let mut scene = dead();
    scene.shard(true);
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    scene.now += 100;
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    scene.now += 9;
    scene.answered();
    let expected = [
        ("fence", 40),
        ("claim", 30),
        ("resume", 100),
        ("load", 0),
        ("reconcile", 9),
    ];
    assert_eq!(phases(&scene), expected);
}

#[test]
fn with_the_node_gone_it_starts_where_it_was_heard_on_the_stored_voice() {
    let mut scene = dead();
    scene.shard(true);
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    let (on, patch) = scene.patches().remove(0);
    assert_eq!(on, node("a"));
    let position = patch.position_ms.unwrap();
    assert!((19_000..=20_000).contains(&position), "{position}");
    assert!(patch.voice.is_some() && patch.paused == Some(false));
    scene.answered();
    assert_eq!(outcome(&scene), Some(Outcome::Restored));
    assert!(
        scene
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Notice(Notice::Restored { paused: None, .. })))
    );
}

/// `One` was stored as playing; its owner died when it had gone on, and that was not stored.
fn died_unstored(after_ms: i64) -> Scene {
    let mut scene = Scene::playing();
    scene.now += 99_000;
    let mut scene = scene.dies(after_ms, Policy::default());
    scene.shard(true);
    scene
}

#[test]
fn a_track_that_the_owner_before_had_gone_on_to_is_left_to_play() {
    let table = [
        // `One` ended a second after the death was to be seen, and `Two` plays for half a second.
        ("Two", 1_500, 500, vec!["Three"]),
        // The store was away for longer: `Two` ended as well.
        ("Three", 151_000, 50_000, vec![]),
    ];
    for (title, after_ms, position_ms, queued) in table {
        let mut scene = died_unstored(after_ms);
        scene.resumed(title, position_ms, false);
        assert_eq!(scene.patches(), [], "{title} is not begun again");
        assert_eq!(
            (scene.title().as_deref(), scene.queued()),
            (Some(title), queued.into_iter().map(str::to_owned).collect())
        );
        assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
        let dirty = scene.player.take_dirty();
        assert!(dirty.head && dirty.lists, "it is stored now");
    }
}

#[test]
fn a_track_that_came_of_a_command_which_nobody_confirmed_is_not_gone_on_with() {
    let mut scene = died_unstored(1_500);
    // Begun 40 s before `One` was to end.
    scene.resumed("Two", 40_500, false);
    assert_eq!(scene.title().as_deref(), Some("One"));
    let mut scene = died_unstored(1_500);
    scene.resumed("Another", 500, false);
    assert_eq!((scene.title().as_deref(), scene.queued().len()), (Some("One"), 2));
}

#[test]
fn a_track_that_could_not_be_started_for_a_moment_is_started_later() {
    for failure in [Failure::SessionGone, Failure::NoAuthority, Failure::Unreachable] {
        let mut scene = Scene::playing();
        scene.ended("One", EndReason::Finished);
        let generation = scene.player.seat.generation;
        scene.step(Input::Answer {
            generation,
            answer: Err(failure),
        });
        assert_eq!(scene.patches(), []);
        scene.now = scene.player.deadline().unwrap();
        scene.step(Input::Tick);
        assert_eq!(scene.patches().len(), 1, "{failure:?}");
        assert_eq!(scene.title().as_deref(), Some("Two"));
    }
}

/// The owner died, its node is silent for longer than anybody waits, and no other can be had.
fn given_up() -> Scene {
    let mut scene = dead();
    scene.shard(true);
    scene.best = None;
    scene.now += 11_000;
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    assert!(scene.patches().is_empty());
    scene.now += 6_000;
    scene.best = Some(node("a"));
    scene
}

#[test]
fn a_node_that_was_given_up_and_played_on_is_left_to_play() {
    let mut scene = given_up();
    // 20 s before the death, 18 s since.
    scene.resumed("One", 38_100, false);
    assert_eq!(scene.patches(), [], "it is not moved back to where it was heard last");
    assert_eq!(scene.position(), 37_770);
    assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
    assert!(scene.player.take_dirty().head);
}

#[test]
fn a_node_that_was_given_up_and_stands_elsewhere_is_told_where_to_go_on() {
    for (position, paused) in [(20_000, false), (38_100, true), (60_000, false)] {
        let mut scene = given_up();
        scene.resumed("One", position, paused);
        let told = scene.patches().remove(0).1.position_ms.unwrap();
        assert!((19_000..=20_000).contains(&told), "{position}: {told}");
    }
}

#[test]
fn a_node_that_died_before_its_owner_was_heard_until_it_died() {
    let mut scene = dead();
    let died = scene.now - 5_000;
    scene.shard(true);
    scene.from("a", NodeEvent::Gone { alive_until_ms: died });
    let position = scene.patches()[0].1.position_ms.unwrap();
    assert!((15_000..=16_000).contains(&position), "{position}");
}

#[test]
fn with_the_discord_session_gone_voice_is_joined_again_and_the_position_kept() {
    let mut scene = dead();
    scene.resumed("One", 21_330, false);
    scene.shard(false);
    assert!(scene.effects.contains(&Effect::CheckAccess { channel: channel(1) }));
    scene.step(Input::Access {
        channel: channel(1),
        result: Ok(()),
    });
    scene.joins(1);
    assert_eq!(scene.patches()[0].1.position_ms, Some(21_000));
    scene.answered();
    assert_eq!(outcome(&scene), Some(Outcome::Rejoined));
}

#[test]
fn auto_resume_off_loads_it_paused_and_a_guilds_choice_wins() {
    for (operator, guild, paused) in [
        (false, None, true),
        (false, Some(true), false),
        (true, Some(false), true),
    ] {
        let mut scene = Scene::playing();
        if let Some(on) = guild {
            scene.order(Order::AutoResume { on }).unwrap();
        }
        let mut scene = scene.dies(
            1_000,
            Policy {
                auto_resume: operator,
                ..Policy::default()
            },
        );
        scene.shard(true);
        scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
        assert_eq!(scene.patches()[0].1.paused, Some(paused), "{operator} {guild:?}");
        if paused {
            let state = scene.player.view(scene.now).now.unwrap().state;
            assert_eq!(state, PlayState::Paused(PauseReason::Restored));
        }
    }
}

#[test]
fn what_a_person_paused_stays_paused_and_nobody_is_told() {
    for gone in [true, false] {
        let mut scene = Scene::playing();
        scene.order(Order::Pause).unwrap();
        let mut scene = scene.dies(1_000, Policy::default());
        scene.shard(true);
        if gone {
            scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
            assert_eq!(scene.patches()[0].1.paused, Some(true));
        } else {
            scene.resumed("One", 0, true);
            assert!(scene.patches().is_empty());
        }
        assert_eq!(
            scene.player.view(scene.now).now.unwrap().state,
            PlayState::Paused(PauseReason::Person)
        );
        assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::Notice(_))));
    }
}

#[test]
fn what_is_too_old_or_has_no_listener_is_not_joined_and_kept() {
    let old = Scene::playing().dies(3_600_001, Policy::default());
    let mut alone = Scene::playing();
    alone.signal(Signal::GuildSeen {
        voices: vec![(person(1), channel(1))],
        bot: None,
    });
    let mut alone = alone.dies(1_000, Policy::default());
    alone.signal(Signal::MemberVoice {
        user: person(1),
        bot: false,
        channel: None,
    });
    for mut scene in [old, alone] {
        scene.shard(true);
        scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
        assert!(!scene.player.is_active());
        assert_eq!(scene.queued(), ["Two", "Three"]);
        assert!(scene.patches().is_empty());
        assert_eq!(
            scene.player.view(scene.now).now.unwrap().state,
            PlayState::Paused(PauseReason::Kept)
        );
    }
}

/// Node a has its session, and no track.
fn resumed_empty(scene: &mut Scene) {
    let (resumed, player) = (true, None);
    scene.from("a", NodeEvent::Ready { resumed, player });
}

fn tick(scene: &mut Scene) {
    scene.now = scene.player.deadline().unwrap_or(scene.now) + 1;
    scene.step(Input::Tick);
}

#[test]
fn a_track_that_ended_meanwhile_advances_once_with_or_without_its_end_being_told() {
    for told in [true, false] {
        let mut scene = Scene::playing();
        scene.now += 98_500;
        let mut scene = scene.dies(1_000, Policy::default());
        scene.shard(true);
        resumed_empty(&mut scene);
        assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
        if told {
            scene.ended("One", EndReason::Finished);
        }
        tick(&mut scene);
        assert_eq!(
            (scene.title().as_deref(), scene.queued()),
            (Some("Two"), vec!["Three".to_owned()]),
            "{told}"
        );
    }
}

#[test]
fn a_track_that_has_much_left_and_is_missing_on_the_node_is_started_again_where_it_was() {
    let mut scene = dead();
    scene.shard(true);
    resumed_empty(&mut scene);
    assert_eq!(outcome(&scene), None, "its end may still be told");
    tick(&mut scene);
    let (_, patch) = scene.patches().remove(0);
    assert_eq!(patch.track, Some(Some("encoded One".into())));
    let position = patch.position_ms.unwrap();
    assert!((19_000..=20_000).contains(&position), "{position}");
    scene.answered();
    assert_eq!(outcome(&scene), Some(Outcome::Restored), "it was not carried on");
    assert_eq!(scene.queued(), ["Two", "Three"]);
}

#[test]
fn a_track_that_is_shorter_than_it_says_is_over_when_its_end_is_told() {
    for (reason, notices) in [(EndReason::Finished, 0), (EndReason::LoadFailed, 1)] {
        let mut scene = dead();
        scene.shard(true);
        resumed_empty(&mut scene);
        scene.ended("One", reason);
        assert_eq!(outcome(&scene), Some(Outcome::CarriedOn), "{reason:?}");
        assert_eq!(
            scene.patches()[0].1.track,
            Some(Some("encoded Two".into())),
            "{reason:?}"
        );
        let notice = |effect: &&Effect| matches!(effect, Effect::Notice(_));
        assert_eq!(scene.effects.iter().filter(notice).count(), notices, "{reason:?}");
        assert_eq!(scene.player.deadline(), None);
    }
}

#[test]
fn a_track_that_another_node_was_never_told_to_start_is_not_skipped_by_the_successor() {
    let mut scene = Scene::playing();
    scene.now += 20_000;
    scene.best = Some(node("b"));
    scene.from(
        "a",
        NodeEvent::Gone {
            alive_until_ms: scene.now,
        },
    );
    assert_eq!(scene.patches().len(), 1, "and its owner dies before it is sent");
    let mut scene = scene.dies(1_000, Policy::default());
    scene.best = Some(node("b"));
    scene.shard(true);
    let (resumed, player) = (true, None);
    scene.from("b", NodeEvent::Ready { resumed, player });
    tick(&mut scene);
    let (on, patch) = scene.patches().remove(0);
    assert_eq!((on, patch.track), (node("b"), Some(Some("encoded One".into()))));
    let position = patch.position_ms.unwrap();
    assert!((19_000..=20_000).contains(&position), "{position}");
}

#[test]
fn what_a_person_asks_for_while_an_end_may_be_told_is_done() {
    let mut scene = dead();
    scene.shard(true);
    resumed_empty(&mut scene);
    scene.order(Order::Pause).unwrap();
    tick(&mut scene);
    assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
    scene.order(Order::Resume).unwrap();
    assert_eq!(scene.patches()[0].1.track, Some(Some("encoded One".into())));
    let mut scene = dead();
    scene.shard(true);
    resumed_empty(&mut scene);
    scene.order(Order::Skip { to: None }).unwrap();
    tick(&mut scene);
    assert_eq!(scene.patches()[0].1.track, Some(Some("encoded Two".into())));
}

#[test]
fn a_node_that_dies_is_left_for_another_one_and_hushed_when_it_comes_back() {
    let mut scene = Scene::playing();
    scene.now += 10_000;
    scene.best = Some(node("b"));
    scene.from(
        "a",
        NodeEvent::Gone {
            alive_until_ms: scene.now,
        },
    );
    let (on, patch) = scene.patches().remove(0);
    assert_eq!(on, node("b"));
    assert!((9_600..=10_000).contains(&patch.position_ms.unwrap()));
    scene.answered();
    assert_eq!(outcome(&scene), Some(Outcome::Restored));
    scene.resumed("One", 12_000, false);
    assert_eq!(scene.effects, [Effect::Call(Call::Destroy { node: node("a") })]);
}

#[test]
fn without_any_node_it_waits_and_goes_on_when_one_is_back() {
    let mut scene = Scene::playing();
    scene.best = None;
    scene.from(
        "a",
        NodeEvent::Gone {
            alive_until_ms: scene.now,
        },
    );
    assert!(scene.patches().is_empty() && scene.effects.contains(&Effect::Notice(Notice::NoNode)));
    scene.best = Some(node("b"));
    scene.step(Input::NodesChanged);
    assert_eq!(scene.patches()[0].0, node("b"));
}

#[test]
fn a_node_that_is_emptied_stops_only_after_the_other_was_told_to_start() {
    let mut scene = Scene::playing();
    scene.now += 20_000;
    scene.best = Some(node("b"));
    scene.step(Input::LeaveNode);
    let call = |effect: &Effect| {
        if let Effect::Call(call) = effect {
            Some(match call {
                Call::Update { node, patch, .. } => (node.0.clone(), patch.position_ms),
                Call::Destroy { node } => (node.0.clone(), None),
            })
        } else {
            None
        }
    };
    let calls: Vec<_> = scene.effects.iter().filter_map(call).collect();
    assert_eq!(
        calls,
        [("b".to_owned(), Some(19_670)), ("a".to_owned(), None)],
        "heard, not counted by the node"
    );
    scene.now += 30;
    scene.answered();
    assert_eq!(scene.player.node(), Some(&node("b")));
    let told = ended(&scene).unwrap();
    assert_eq!(
        (told.trigger, told.outcome, &told.lost_node, told.gap_ms),
        (Trigger::NodeDrain, Outcome::CarriedOn, &Some(node("a")), 0)
    );
    assert_eq!(told.phases, [("load", 0), ("reconcile", 30)]);
    scene.step(Input::LeaveNode);
    assert!(scene.patches().is_empty(), "it is there already");
}

#[test]
fn a_paused_player_leaves_its_node_paused() {
    let mut scene = Scene::playing();
    scene.order(Order::Pause).unwrap();
    scene.best = Some(node("b"));
    scene.step(Input::LeaveNode);
    let patches = scene.patches();
    assert_eq!((patches[0].0.clone(), patches[0].1.paused), (node("b"), Some(true)));
}

#[test]
fn a_restore_waits_for_the_stabilization_but_carrying_on_does_not() {
    let policy = Policy {
        stabilization_ms: 5_000,
        ..Policy::default()
    };
    let mut scene = Scene::playing().dies(1_000, policy);
    scene.shard(true);
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    assert!(scene.patches().is_empty());
    scene.now += 5_000;
    scene.step(Input::Tick);
    assert_eq!(scene.patches().len(), 1);
    let mut scene = Scene::playing().dies(1_000, policy);
    scene.shard(true);
    scene.resumed("One", 1_330, false);
    assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
}

#[test]
fn being_in_voice_without_a_track_is_recovered_too() {
    let mut scene = Scene::playing();
    scene.order(Order::Stop).unwrap();
    let mut scene = scene.dies(1_000, Policy::default());
    scene.shard(true);
    assert_eq!(outcome(&scene), Some(Outcome::CarriedOn));
    assert_eq!(scene.player.voice_channel(), Some(channel(1)));
}

#[test]
fn restoring_twice_gives_the_same_snapshot() {
    let scene = dead();
    let now = scene.now;
    let once = Snapshot {
        head: scene.player.head(now),
        lists: scene.player.lists(),
    };
    let twice = scene.dies(0, Policy::default());
    assert_eq!(
        once,
        Snapshot {
            head: twice.player.head(now),
            lists: twice.player.lists()
        }
    );
}

#[test]
fn filters_autoplay_and_fields_of_newer_versions_survive() {
    let mut snapshot = Snapshot::default();
    snapshot.head.filters = Some(serde_json::json!({ "timescale": { "speed": 1.2 } }));
    snapshot.head.autoplay = true;
    snapshot.head.unknown.insert("future".into(), serde_json::json!([1, 2]));
    let player = Player::restore(
        crate::model::ids::GuildId::new(1),
        Policy::default(),
        snapshot.clone(),
        None,
    );
    assert_eq!(player.head(0), snapshot.head);
}
