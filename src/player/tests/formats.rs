//! Ogg/Opus: it cannot start in the middle, and the node says so only after it said that it began.

use super::scene::{Scene, track};
use crate::model::order::Order;
use crate::model::signal::{EndReason, NodeEvent};
use crate::model::view::{Notice, PlayState};
use crate::player::{Effect, Input, Patch, Policy};

/// `One` plays for 20 s; its owner and its node die, and both are back.
fn restored(order: Option<Order>) -> Scene {
    let mut scene = Scene::playing();
    scene.now += 20_000;
    if let Some(order) = order {
        scene.order(order).unwrap();
    }
    let mut scene = scene.dies(1_000, Policy::default());
    scene.shard(true);
    scene.from("a", NodeEvent::Gone { alive_until_ms: 0 });
    scene
}

/// It began, it threw, it ended.
fn began_and_failed(scene: &mut Scene) {
    scene.answered();
    scene.ended("One", EndReason::LoadFailed);
}

fn told(scene: &Scene) -> Patch {
    scene.patches().remove(0).1
}

fn tick(scene: &mut Scene) {
    scene.now = scene.player.deadline().expect("something is due");
    scene.step(Input::Tick);
}

fn tells(scene: &mut Scene, position_ms: u64) {
    let (at_ms, connected) = (scene.now, true);
    scene.from(
        "a",
        NodeEvent::Update {
            position_ms,
            at_ms,
            connected,
        },
    );
}

#[test]
fn what_began_in_the_middle_and_failed_before_it_was_heard_is_started_at_the_beginning_and_moved() {
    let mut scene = restored(None);
    let from_ms = told(&scene).position_ms;
    assert!(from_ms.is_some_and(|from_ms| from_ms > 19_000));
    tells(&mut scene, 0);
    scene.answered();
    tells(&mut scene, 0);
    scene.ended("One", EndReason::LoadFailed);
    assert_eq!(scene.title().as_deref(), Some("One"), "it is not skipped");
    assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::Notice(_))));
    let patch = told(&scene);
    assert_eq!(
        (patch.track, patch.position_ms, patch.volume),
        (Some(Some("encoded One".into())), Some(0), Some(0))
    );
    scene.answered();
    tick(&mut scene);
    let patch = told(&scene);
    assert_eq!((patch.position_ms, patch.volume), (from_ms, Some(100)));
}

#[test]
fn what_failed_after_it_was_heard_or_at_its_beginning_is_skipped() {
    let skipped = |scene: &Scene| {
        assert_eq!(scene.title().as_deref(), Some("Two"));
        let notice = Notice::TrackFailed { track: track("One") };
        assert!(scene.effects.contains(&Effect::Notice(notice)));
    };
    let mut heard = restored(None);
    heard.answered();
    tells(&mut heard, 24_000);
    heard.ended("One", EndReason::LoadFailed);
    skipped(&heard);
    let mut broken = restored(None);
    began_and_failed(&mut broken);
    began_and_failed(&mut broken);
    skipped(&broken);
}

#[test]
fn what_is_restored_paused_and_cannot_start_there_stays_and_starts_when_it_is_to_be_heard() {
    let mut scene = restored(Some(Order::Pause));
    assert_eq!(told(&scene).paused, Some(true));
    scene.ended("One", EndReason::LoadFailed);
    let now = scene.player.view(scene.now).now.unwrap();
    assert!(now.track == track("One") && matches!(now.state, PlayState::Paused(_)));
    assert!(!scene.player.is_recovering());
    scene.order(Order::Resume).unwrap();
    assert_eq!(told(&scene).position_ms, Some(20_000));
    began_and_failed(&mut scene);
    assert_eq!(told(&scene).position_ms, Some(0));
}

#[test]
fn a_pause_before_it_is_moved_does_not_leave_it_at_its_beginning() {
    let mut scene = restored(None);
    began_and_failed(&mut scene);
    scene.answered();
    let position = scene.position();
    scene.order(Order::Pause).unwrap();
    assert_eq!(told(&scene).track, Some(None));
    tick(&mut scene);
    assert_eq!(scene.patches(), []);
    scene.order(Order::Resume).unwrap();
    let patch = told(&scene);
    assert_eq!((patch.position_ms, patch.volume), (Some(position), Some(100)));
}

/// `One` of a format, sought to 60 s, and the node did so.
fn sought() -> Scene {
    let mut scene = Scene::playing();
    scene.did(0);
    scene.now += 10_000;
    scene.order(Order::Seek { position_ms: 60_000 }).unwrap();
    scene.now += 30;
    scene.did(60_000);
    scene
}

#[test]
fn a_format_that_counts_from_zero_after_a_seek_is_where_it_was_sent() {
    let mut scene = sought();
    tells(&mut scene, 60_000);
    scene.now += 5_000;
    tells(&mut scene, 5_000);
    assert_eq!(scene.position(), 65_000 - 330);
    scene.now += 5_000;
    // It stood for a second.
    tells(&mut scene, 9_000);
    assert_eq!(scene.position(), 69_000 - 330);
    scene.resumed("One", 9_000, false);
    assert_eq!(scene.position(), 69_000 - 330);
    assert_eq!(scene.patches(), []);
    scene.order(Order::Pause).unwrap();
    scene.resumed("One", 9_500, false);
    assert_eq!(scene.position(), 69_500);
    scene.order(Order::Seek { position_ms: 30_000 }).unwrap();
    scene.did(30_000);
    scene.order(Order::Resume).unwrap();
    scene.now += 5_000;
    tells(&mut scene, 5_000);
    assert_eq!(scene.position(), 35_000 - 330, "it counts from the last one");
    scene.ended("One", EndReason::Finished);
    scene.answered();
    scene.now += 5_000;
    tells(&mut scene, 5_000);
    assert_eq!(scene.position(), 5_000 - 330, "another track");
}

#[test]
fn a_format_that_counts_on_after_a_seek_is_where_it_says() {
    let mut scene = sought();
    let mut late = scene.now;
    for position_ms in [62_000, 67_000] {
        late += 5_000;
        // It took three seconds to go on.
        scene.now = late;
        tells(&mut scene, position_ms);
        assert_eq!(scene.position(), position_ms - 330);
    }
}

#[test]
fn what_was_started_at_its_beginning_and_moved_is_where_it_was_moved_to() {
    let mut scene = restored(None);
    let from_ms = told(&scene).position_ms.unwrap();
    began_and_failed(&mut scene);
    scene.answered();
    scene.did(0);
    tick(&mut scene);
    scene.now += 30;
    scene.did(0);
    scene.now += 5_000;
    tells(&mut scene, 5_000);
    assert_eq!(scene.position(), from_ms + 5_000 - 330);
}
