//! What is the same for the same seed, and that time moves only forward.

use super::*;

async fn seeded(seed: u64) -> Sim {
    let options = Options {
        guilds: 2,
        seed,
        nodes: vec!["a".to_owned()],
        ..Options::default()
    };
    start(options).await.unwrap()
}

/// What came of the same control calls: the world, then what an interaction and a person's voice were told with.
async fn history(sim: &Sim, chatty: bool) -> (Value, Vec<Value>) {
    let rest = Rest::new(sim);
    let at = place(&rest).await;
    register(&rest).await;
    let mut socket = Socket::open(sim).await;
    socket.identify(sim).await;
    rest.control(Method::POST, "/guilds", json!({"members": 4})).await;
    let mut told = Vec::new();
    for name in ["skip", "skip"] {
        if chatty {
            let path = format!("/channels/{}/messages", at.text);
            rest.api(
                Method::POST,
                &path,
                Some(json!({"content": "something of the bot's own"})),
            )
            .await;
        }
        let wish = json!({"user": at.people[0], "channel": at.text, "name": name, "options": {}});
        rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
            .await;
        let event = socket.event("INTERACTION_CREATE").await["d"].clone();
        let id: u64 = text_of(&event["id"]).parse().unwrap();
        told.push(json!([id & 0x3f_ffff, event["token"], event["member"]["user"]]));
    }
    let move_in = json!({"user": at.people[1], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), move_in)
        .await;
    told.push(socket.event("VOICE_STATE_UPDATE").await["d"]["session_id"].clone());
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}});
    socket.send(&join).await;
    told.push(socket.event("VOICE_SERVER_UPDATE").await["d"]["token"].clone());
    let node = &sim.ready.lavalink[0];
    let url = format!("{}/v4/loadtracks?identifier=ytsearch:moon", node.url);
    let found = rest
        .client
        .get(url)
        .header("Authorization", &node.password)
        .send()
        .await
        .unwrap();
    told.push(found.json().await.unwrap());
    (rest.look("/world").await["guilds"].clone(), told)
}

#[tokio::test]
async fn the_same_seed_and_the_same_calls_make_the_same_history_whatever_the_bot_says_meanwhile() {
    let (one, other, stranger) = (seeded(7).await, seeded(7).await, seeded(8).await);
    assert_eq!(one.ready.token, other.ready.token);
    assert_ne!(one.ready.token, stranger.ready.token);
    let (quiet, chatty) = (history(&one, false).await, history(&other, true).await);
    assert_eq!(quiet, chatty);
    let different = history(&stranger, false).await;
    assert_ne!(quiet.0, different.0);
    for (same, changed) in quiet.1.iter().zip(&different.1) {
        assert_ne!(same, changed);
    }
}

#[tokio::test]
async fn time_moves_only_forward_and_ids_carry_their_moment() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    rest.fault(json!({"kind": "flood", "per_s": 2_000, "for_ms": 300}))
        .await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let path = format!("/channels/{}/messages", at.text);
        let (_, message) = rest.api(Method::POST, &path, Some(json!({"content": "x"}))).await;
        ids.push(text_of(&message["id"]).parse::<u64>().unwrap());
    }
    assert!(ids.is_sorted(), "{ids:?}");
    loop {
        let log = rest.log().await;
        let numbers = |name: &str| {
            log.iter()
                .map(|event| event[name].as_u64().unwrap())
                .collect::<Vec<_>>()
        };
        let seqs = numbers("seq");
        assert!(numbers("at_ms").is_sorted());
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        if log.last().unwrap()["kind"] == "fault_end" {
            break;
        }
    }
}

#[tokio::test]
async fn a_saved_log_is_judged_as_the_running_simulator_judges_it() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    register(&rest).await;
    let folder = tempfile::tempdir().unwrap();
    let judged = async |name: &str| {
        let text = rest
            .client
            .get(format!("{}/log", rest.control))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["sim", "check"])
            .arg(file)
            .output();
        let ended = program.await.unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
    };
    assert_eq!(judged("well.log").await, (Some(0), String::new()));
    register(&rest).await;
    let (code, said) = judged("needless.log").await;
    assert_eq!(code, Some(1));
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(said, rest.look("/violations").await[0]);
    assert_eq!(said["rule"], "needless_registration");
}
