//! A random walk over everything that can happen: what must hold whatever happens.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::scene::{BEGIN, Scene, channel, node, person, play};
use crate::model::order::{Done, Order};
use crate::model::record::LoopMode;
use crate::model::signal::{EndReason, NodeEvent, Signal};
use crate::player::{Effect, Failure, Input, Voice};

#[derive(Clone, Debug)]
enum Happens {
    Order(Order),
    Signal(Signal),
    Node(&'static str, NodeEvent),
    Access(bool),
    Answer(Failure),
    NodesGone(bool),
    Wait(i64),
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(play(&["x"])),
        Just(play(&["x", "y", "z"])),
        Just(Order::Pause),
        Just(Order::Resume),
        Just(Order::TogglePause),
        (0_usize..4).prop_map(|to| Order::Skip {
            to: (to > 0).then_some(to)
        }),
        Just(Order::Previous),
        Just(Order::Stop),
        (0_u64..120_000).prop_map(|position_ms| Order::Seek { position_ms }),
        (0_u16..250).prop_map(|level| Order::Volume { level }),
        prop_oneof![Just(LoopMode::Off), Just(LoopMode::Track), Just(LoopMode::Queue)]
            .prop_map(|mode| Order::Loop { mode }),
        any::<u64>().prop_map(|seed| Order::Shuffle { seed }),
        (0_usize..6, 0_usize..6).prop_map(|(from, to)| Order::Remove { from, to }),
        (0_usize..6, 0_usize..6).prop_map(|(from, to)| Order::Move { from, to }),
        Just(Order::Clear),
        (1_u64..3).prop_map(|n| Order::Join { channel: channel(n) }),
        Just(Order::Leave),
    ]
}

fn signal() -> impl Strategy<Value = Signal> {
    let own = |n: u64| Signal::OwnVoice {
        channel: (n > 0).then(|| channel(n)),
        session_id: "session".into(),
        suppressed: n == 2,
    };
    let server = |n: u64| Signal::VoiceServer {
        token: n.to_string(),
        endpoint: (n > 0).then(|| "voice:443".into()),
    };
    prop_oneof![
        (0_u64..3).prop_map(own),
        (0_u64..3).prop_map(server),
        (0_u64..3, 0_u64..3).prop_map(|(who, n)| Signal::MemberVoice {
            user: person(who),
            bot: who == 2,
            channel: (n > 0).then(|| channel(n))
        }),
        Just(Signal::GuildSeen {
            voices: vec![(person(1), channel(1))],
            bot: None
        }),
        any::<bool>().prop_map(|resumed| Signal::ShardReady {
            resumed,
            session_id: "session".into()
        }),
        (1_u64..3).prop_map(|n| Signal::ChannelDeleted { channel: channel(n) }),
        Just(Signal::GuildUnavailable),
        Just(Signal::VoiceGone),
    ]
}

fn event() -> impl Strategy<Value = NodeEvent> {
    let title = prop_oneof![Just("x"), Just("y"), Just("z"), Just("One")].prop_map(str::to_owned);
    let reason = prop_oneof![
        Just(EndReason::Finished),
        Just(EndReason::LoadFailed),
        Just(EndReason::Stopped),
        Just(EndReason::Replaced),
        Just(EndReason::Cleanup)
    ];
    prop_oneof![
        any::<bool>().prop_map(|resumed| NodeEvent::Ready { resumed, player: None }),
        (0_i64..50_000).prop_map(|ago| NodeEvent::Lost { at_ms: BEGIN + ago }),
        (0_i64..50_000).prop_map(|ago| NodeEvent::Gone {
            alive_until_ms: if ago < 9_000 { 0 } else { BEGIN + ago }
        }),
        (0_u64..200_000, any::<bool>()).prop_map(|(position_ms, connected)| NodeEvent::Update {
            position_ms,
            at_ms: BEGIN,
            connected
        }),
        title.clone().prop_map(|identifier| NodeEvent::Started { identifier }),
        (title.clone(), reason).prop_map(|(identifier, reason)| NodeEvent::Ended { identifier, reason }),
        title.prop_map(|identifier| NodeEvent::Stuck { identifier }),
        prop_oneof![Just(1000_u16), Just(4006), Just(4014), Just(4022)]
            .prop_map(|code| NodeEvent::VoiceClosed { code, by_remote: true }),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => order().prop_map(Happens::Order),
        3 => signal().prop_map(Happens::Signal),
        4 => (prop_oneof![Just("a"), Just("b")], event()).prop_map(|(name, event)| Happens::Node(name, event)),
        1 => any::<bool>().prop_map(Happens::Access),
        1 => prop_oneof![Just(Failure::SessionGone), Just(Failure::Unreachable), Just(Failure::Refused)].prop_map(Happens::Answer),
        1 => any::<bool>().prop_map(Happens::NodesGone),
        2 => (0_i64..400_000).prop_map(Happens::Wait),
    ]
}

fn happen(scene: &mut Scene, what: Happens) -> Option<Result<Done, crate::model::order::Refusal>> {
    match what {
        Happens::Order(order) => return Some(scene.order(order)),
        Happens::Signal(signal) => scene.signal(signal),
        Happens::Node(name, event) => scene.from(name, event),
        Happens::Access(yes) => {
            let result = if yes {
                Ok(())
            } else {
                Err(crate::model::view::FailReason::CannotConnect)
            };
            let channel = scene.player.voice_channel().unwrap_or(channel(1));
            scene.step(Input::Access { channel, result });
        }
        Happens::Answer(failure) => {
            let generation = scene.player.seat.generation;
            scene.step(Input::Answer {
                generation,
                answer: Err(failure),
            });
        }
        Happens::NodesGone(gone) => {
            scene.best = (!gone).then(|| node("b"));
            scene.step(Input::NodesChanged);
            scene.step(Input::LeaveNode);
        }
        Happens::Wait(ms) => wait(scene, ms),
    }
    None
}

/// Lets time pass, ticking at every deadline on the way; each tick must move or end its deadline.
fn wait(scene: &mut Scene, ms: i64) {
    let end = scene.now + ms;
    for ticks in 0.. {
        assert!(
            ticks < 2_000,
            "a busy loop: deadline {:?} at {}",
            scene.player.deadline(),
            scene.now
        );
        let Some(deadline) = scene.player.deadline().filter(|deadline| *deadline <= end) else {
            break;
        };
        scene.now = deadline.max(scene.now);
        scene.step(Input::Tick);
        assert_ne!(
            scene.player.deadline(),
            Some(deadline),
            "the tick did not handle its deadline"
        );
    }
    scene.now = end;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_player_stays_sound(story in proptest::collection::vec(happens(), 1..60)) {
        let mut scene = Scene::playing();
        for what in story {
            let before = (scene.player.head(BEGIN), scene.player.lists());
            scene.player.take_dirty();
            let is_order = matches!(what, Happens::Order(_));
            let answer = happen(&mut scene, what.clone());
            let after = (scene.player.head(BEGIN), scene.player.lists());
            let dirty = scene.player.take_dirty();
            prop_assert!(dirty.lists || before.1 == after.1, "{what:?}: lists changed unsaved");
            if !matches!(what, Happens::Node(_, NodeEvent::Update { .. })) {
                prop_assert!(dirty.head || before.0 == after.0, "{what:?}: the head changed unsaved\n{:#?}\n{:#?}", before.0, after.0);
            }
            if is_order && matches!(answer, Some(Err(_))) {
                prop_assert_eq!(&before, &after, "{:?}: refused, and changed", what);
                prop_assert!(scene.effects.is_empty(), "{:?}: refused, and did {:?}", what, scene.effects);
            }
            prop_assert_eq!(scene.player.is_active(), !matches!(scene.player.voice, Voice::Out));
            let view = scene.player.view(scene.now);
            let mut ids: Vec<_> = view.queue.iter().map(|item| item.id).collect();
            ids.extend(scene.player.deck.item().map(|item| item.id));
            prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{:?}: an item stands in two places", what);
            if let Some(now) = &view.now {
                prop_assert!(now.position_ms <= 100_000, "{:?}: {}", what, now.position_ms);
            }
            let out = matches!(scene.player.voice, Voice::Out);
            let updates = scene.effects.iter().any(|effect| matches!(effect, Effect::Call(crate::player::Call::Update { .. })));
            prop_assert!(!(out && updates && !is_order), "{:?}: told a node something while out of voice", what);
        }
    }

    #[test]
    fn a_snapshot_gives_back_what_it_was_made_from(story in proptest::collection::vec(order(), 0..40)) {
        let mut scene = Scene::playing();
        for order in story {
            drop(scene.order(order));
        }
        let (head, lists) = (scene.player.head(scene.now), scene.player.lists());
        let again = crate::player::Player::restore(
            crate::model::ids::GuildId::new(1),
            crate::player::Policy::default(),
            crate::model::record::Snapshot { head: head.clone(), lists: lists.clone() },
            None,
        );
        prop_assert_eq!(&again.lists(), &lists);
        let kept = again.head(scene.now);
        prop_assert_eq!((kept.volume, kept.loop_mode, &kept.applied, &kept.settings, kept.next_item), (head.volume, head.loop_mode, &head.applied, &head.settings, head.next_item));
        prop_assert_eq!(again.view(scene.now).now.map(|now| now.track), scene.player.view(scene.now).now.map(|now| now.track));
    }
}
