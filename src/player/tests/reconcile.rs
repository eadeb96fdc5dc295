//! What was confirmed is done, whatever became of the call.

use super::scene::{Scene, play};
use crate::model::order::Order;
use crate::model::signal::NodeEvent;
use crate::model::view::PlayState;
use crate::player::{Failure, Input, Patch};

/// Node a's socket closes; its audio goes on.
fn away(scene: &mut Scene) {
    let at_ms = scene.now;
    scene.from("a", NodeEvent::Lost { at_ms });
}

fn fails(scene: &mut Scene, failure: Failure) {
    let generation = scene.player.seat.generation;
    let answer = Err(failure);
    scene.step(Input::Answer { generation, answer });
}

fn tick(scene: &mut Scene) {
    scene.now = scene.player.deadline().expect("something is due");
    scene.step(Input::Tick);
}

/// An order, and what a node that plays on at 25 s is to be told that did not hear of it.
fn orders() -> [(Order, Patch); 4] {
    [
        (
            Order::Stop,
            Patch {
                track: Some(None),
                ..Patch::default()
            },
        ),
        (
            Order::Pause,
            Patch {
                paused: Some(true),
                ..Patch::default()
            },
        ),
        (
            Order::Seek { position_ms: 50_000 },
            Patch {
                position_ms: Some(50_000),
                ..Patch::default()
            },
        ),
        (
            Order::Volume { level: 30 },
            Patch {
                volume: Some(30),
                ..Patch::default()
            },
        ),
    ]
}

#[test]
fn what_was_confirmed_while_the_nodes_socket_was_away_is_done_when_it_is_back() {
    for (order, expected) in orders() {
        let mut scene = Scene::playing();
        away(&mut scene);
        scene.order(order.clone()).unwrap();
        assert_eq!(scene.patches(), [], "{order:?}: nobody would hear it");
        scene.now += 5_000;
        scene.resumed("One", 25_000, false);
        let mut told = scene.patches().remove(0).1;
        // A pause names its voice again: what is paused is told of a new one by itself, and that may have been lost too.
        told.voice = None;
        assert_eq!(told, expected, "{order:?}");
        scene.resumed("One", 25_000, order == Order::Pause);
        assert!(!scene.player.seat.owes, "{order:?}");
    }
}

#[test]
fn what_was_confirmed_and_could_not_be_called_is_called_again() {
    for failure in [Failure::SessionGone, Failure::NoAuthority, Failure::Unreachable] {
        for (order, expected) in orders() {
            let mut scene = Scene::playing();
            scene.order(order.clone()).unwrap();
            for attempt in 0..2 {
                fails(&mut scene, failure);
                assert_eq!(scene.patches(), [], "{order:?}: not at once");
                tick(&mut scene);
                let told = scene.patches().remove(0).1;
                let same = |told: bool, asked: bool| told || !asked;
                assert!(
                    same(told.track == expected.track, expected.track.is_some())
                        && same(told.paused == expected.paused, expected.paused.is_some())
                        && told.position_ms == expected.position_ms
                        && same(told.volume == expected.volume, expected.volume.is_some()),
                    "{order:?}, attempt {attempt}: {told:?}"
                );
            }
            scene.did(50_000);
            assert_eq!(scene.player.deadline(), None, "{order:?}");
        }
    }
}

#[test]
fn what_a_node_refuses_is_not_said_again() {
    for (order, _) in orders() {
        let mut scene = Scene::playing();
        scene.did(0);
        scene.order(order).unwrap();
        fails(&mut scene, Failure::Refused);
        assert_eq!((scene.player.deadline(), scene.player.seat.sought), (None, None));
    }
}

#[test]
fn a_track_that_was_stopped_or_replaced_by_a_paused_one_does_not_play_on() {
    let mut scene = Scene::playing();
    scene.order(Order::Skip { to: None }).unwrap();
    scene.answered();
    scene.order(Order::Pause).unwrap();
    scene.resumed("One", 25_000, false);
    assert_eq!(scene.patches()[0].1.track, Some(None));
    scene.order(Order::Resume).unwrap();
    assert_eq!(scene.patches()[0].1.track, Some(Some("encoded Two".into())));
}

#[test]
fn a_pause_that_the_node_heard_late_stands_where_the_node_does() {
    let mut scene = Scene::playing();
    scene.now += 20_000;
    away(&mut scene);
    scene.order(Order::Pause).unwrap();
    scene.now += 5_000;
    scene.resumed("One", 25_330, false);
    let now = scene.player.view(scene.now).now.unwrap();
    assert!(matches!(now.state, PlayState::Paused(_)));
    assert_eq!(now.position_ms, 25_330);
    assert!(scene.player.take_dirty().head);
}

#[test]
fn a_position_that_the_node_tells_before_it_heard_of_a_seek_does_not_undo_it() {
    let mut scene = Scene::playing();
    // Of the start.
    scene.did(0);
    scene.order(Order::Volume { level: 100 }).unwrap();
    scene.order(Order::Seek { position_ms: 50_000 }).unwrap();
    let tells = |scene: &mut Scene, position_ms| {
        let (at_ms, connected) = (scene.now, true);
        scene.from(
            "a",
            NodeEvent::Update {
                position_ms,
                at_ms,
                connected,
            },
        );
    };
    tells(&mut scene, 3_000);
    assert_eq!(scene.position(), 50_000 - 330);
    // Of the volume.
    scene.did(3_000);
    tells(&mut scene, 3_000);
    assert_eq!(scene.position(), 50_000 - 330);
    scene.did(50_000);
    tells(&mut scene, 51_000);
    assert_eq!(scene.position(), 51_000 - 330);
}

#[test]
fn a_call_that_fails_late_closes_nothing_for_good() {
    let mut scene = Scene::playing();
    scene.order(Order::Volume { level: 30 }).unwrap();
    away(&mut scene);
    scene.resumed("One", 1_000, false);
    fails(&mut scene, Failure::SessionGone);
    scene.order(Order::Pause).unwrap();
    tick(&mut scene);
    let told = scene.patches().remove(0).1;
    assert_eq!((told.paused, told.volume), (Some(true), Some(30)));
}

#[test]
fn nothing_is_said_again_to_a_node_whose_socket_is_away_or_that_was_told_to_start_another_track() {
    let mut scene = Scene::playing();
    scene.order(Order::Volume { level: 30 }).unwrap();
    fails(&mut scene, Failure::SessionGone);
    away(&mut scene);
    tick(&mut scene);
    assert_eq!((scene.patches(), scene.player.deadline()), (Vec::new(), None));
    let mut scene = Scene::playing();
    scene.order(Order::Stop).unwrap();
    fails(&mut scene, Failure::Unreachable);
    scene.order(play(&["Four"])).unwrap();
    assert_eq!(scene.patches()[0].1.track, Some(Some("encoded Four".into())));
    tick(&mut scene);
    assert_eq!(scene.patches(), []);
}
