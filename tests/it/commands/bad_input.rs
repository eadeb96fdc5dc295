//! What hostile, broken or unlucky input does: a clear answer, and nothing else.

use serde_json::json;

use super::{queue, says, stage};
use crate::harness::{Setup, World, eventually, plain};

#[tokio::test(flavor = "multi_thread")]
async fn links_into_private_networks_are_refused() {
    let (world, _bot, guild) = stage().await;
    for link in [
        "http://127.0.0.1/x.mp3",
        "http://[::1]/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest",
        "http://localhost/",
    ] {
        let text = says(&world, &guild, "play", json!({ "query": link })).await;
        assert!(
            text.contains("private network") || text.contains("hides its address"),
            "{link}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_in_the_channel_is_told_where_to_go() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One"]).await;
    let (second, text) = (world.person(&guild, 1).await, world.channel(&guild, "text", 0).await);
    let id = world.issue_as(&guild, &second, &text, "skip", json!({})).await;
    assert!(world.answer(&id).await.text().contains("Join a voice channel first"));
    let elsewhere = world.channel(&guild, "voice", 1).await;
    world.moves(&guild, &second, Some(&elsewhere)).await;
    let id = world.issue_as(&guild, &second, &text, "skip", json!({})).await;
    assert!(world.answer(&id).await.text().contains("Join me there"));
    world.heard(&guild, "One").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_or_room_it_says_what_is_missing() {
    for (change, words) in [
        (json!({ "bot_denied": ["connect"] }), "Connect"),
        (json!({ "bot_denied": ["speak"] }), "Speak"),
        (json!({ "user_limit": 1 }), "full"),
    ] {
        let (world, _bot, guild) = stage().await;
        let voice = world.channel(&guild, "voice", 0).await;
        world
            .call(reqwest::Method::PATCH, &format!("/channels/{voice}"), Some(change))
            .await;
        let text = says(&world, &guild, "play", json!({ "query": "sim:One?length=9" })).await;
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_fails_is_skipped_and_told() {
    let (world, _bot, guild) = stage().await;
    world
        .command(&guild, "play", json!({ "query": "sim:Broken?fail=1&length=60" }))
        .await;
    queue_after(&world, &guild, "Fine").await;
    world.heard(&guild, "Fine").await;
    let text = world.channel(&guild, "text", 0).await;
    world.reads(&text, "could not be played").await;
}

async fn queue_after(world: &World, guild: &str, title: &str) {
    world
        .command(guild, "play", json!({ "query": format!("sim:{title}?length=500") }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_no_length_and_a_track_without_length_ends_at_once() {
    let (world, _bot, guild) = stage().await;
    world
        .command(&guild, "play", json!({ "query": "sim:Radio?stream=1" }))
        .await;
    world.heard(&guild, "Radio").await;
    assert!(
        says(&world, &guild, "seek", json!({ "position": "10" }))
            .await
            .contains("can't jump")
    );
    queue_after(&world, &guild, "After").await;
    world
        .command(
            &guild,
            "play",
            json!({ "query": "sim:Nothing?length=0", "when": "now" }),
        )
        .await;
    world.heard(&guild, "After").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_cannot_ping_format_or_turn_the_text_around() {
    let (world, _bot, guild) = stage().await;
    let title = "%40everyone%20**bold**%20%E2%80%AEevil%20%3C%401%3E%20%60code%60";
    world
        .command(&guild, "play", json!({ "query": format!("sim:{title}?length=900") }))
        .await;
    let text = world.channel(&guild, "text", 0).await;
    let messages = eventually("messages", || async {
        let messages = world.messages(&text).await;
        if messages.len() >= 2 {
            Ok(messages)
        } else {
            Err(messages)
        }
    })
    .await;
    for message in &messages {
        let raw = message.to_string();
        assert!(!raw.contains('\u{202e}'), "{raw}");
        assert!(!plain(message).contains("<@1>") || raw.contains("\\\\<"), "{raw}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_messages_of_a_node_stop_nobody() {
    let (world, bot, guild) = stage().await;
    queue(&world, &guild, &["One", "Two"]).await;
    for node in ["a", "b"] {
        world.fault(json!({ "kind": "malformed", "node": node })).await;
    }
    says(&world, &guild, "skip", json!({})).await;
    world.heard(&guild, "Two").await;
    let (status, metrics) = bot.page("/metrics").await;
    assert_eq!(status, 200);
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("segue_bad_input_total") && line.contains("lavalink"));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_in_the_persons_language() {
    let (world, _bot, guild) = stage().await;
    let (person, text) = (world.person(&guild, 0).await, world.channel(&guild, "text", 0).await);
    world.command(&guild, "queue", json!({})).await;
    let body = json!({ "user": person, "channel": text, "name": "skip", "options": {}, "locale": "de" });
    let asked = world.post(&format!("/guilds/{guild}/commands"), body).await;
    let answer = world.answer(asked["interaction"].as_str().unwrap()).await;
    assert!(
        answer.text().contains("Es läuft") || answer.text().contains("läuft"),
        "{answer:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_keeps_the_music_and_does_not_confirm() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(folder.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        crate::skip::skip("a full disk: no tmpfs can be mounted here");
        return;
    }
    let unmount = Unmount(folder.path().to_owned());
    let bot = Setup::store(&world, format!("sqlite:{}/segue.db", folder.path().display()))
        .ready()
        .await;
    world.play(&guild, "One").await;
    let filler = folder.path().join("filler");
    let mut size = 4 << 20;
    while size > 0 {
        let old = std::fs::read(&filler).unwrap_or_default();
        if std::fs::write(&filler, [old, vec![0; size]].concat()).is_err() {
            size /= 2;
        }
    }
    let playlist = says(&world, &guild, "play", json!({ "query": "sim:playlist:Big?count=900" })).await;
    assert!(playlist.contains("saved"), "not confirmed: {playlist}");
    world.heard(&guild, "One").await;
    std::fs::remove_file(filler).unwrap();
    bot.logged("saving again").await;
    let volume = says(&world, &guild, "volume", json!({ "level": 40 })).await;
    assert!(volume.contains("40"), "{volume}");
    drop(bot.kill().await);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
