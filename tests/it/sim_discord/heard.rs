//! Whether people hear a bot that sends, over the wire: F23, and what keeps a bot silent.

use super::*;

/// A bot that plays in the first voice channel of the only guild, with a person beside it.
struct Playing {
    _node: Socket,
    sim: Sim,
    rest: Rest,
    at: Place,
    socket: Socket,
    session: Value,
    player: String,
}

async fn playing() -> Playing {
    let options = Options {
        guilds: 1,
        ..Options::default()
    };
    let sim = start(options).await.unwrap();
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let mut node = Socket::to_node(&sim).await;
    let ready = loop {
        let told = node.next().await;
        if told["op"] == "ready" {
            break told;
        }
    };
    let player = format!(
        "{}/v4/sessions/{}/players/{}",
        sim.ready.lavalink[0].url,
        text_of(&ready["sessionId"]),
        at.guild
    );
    let mut playing = Playing {
        _node: node,
        sim,
        rest,
        at,
        socket,
        session,
        player,
    };
    playing.person_goes(0).await;
    playing.joins(json!({"channel_id": playing.at.voice[0]})).await;
    playing.until_heard(true).await;
    playing
}

impl Playing {
    async fn person_goes(&self, nth: usize) {
        let body = json!({"user": self.at.people[0], "channel": self.at.voice[nth]});
        let path = format!("/guilds/{}/voice", self.at.guild);
        assert_eq!(self.rest.control(Method::POST, &path, body).await.0, 204);
    }

    /// Op 4, and the node is given what comes of it.
    async fn joins(&mut self, mut body: Value) {
        body["guild_id"] = json!(self.at.guild);
        self.socket.send(&json!({"op": 4, "d": body})).await;
        self.plays_on().await;
    }

    /// The node is given the credentials that Discord tells next.
    async fn plays_on(&mut self) {
        let state = loop {
            let state = self.socket.event("VOICE_STATE_UPDATE").await["d"].clone();
            // People come and go as well.
            if state["session_id"] == self.session {
                break state;
            }
        };
        let server = self.socket.event("VOICE_SERVER_UPDATE").await["d"].clone();
        let voice = json!({
            "token": server["token"], "endpoint": server["endpoint"], "sessionId": state["session_id"],
            "channelId": state["channel_id"],
        });
        let body = json!({"voice": voice, "track": {"identifier": "sim:A?length=600"}});
        let request = self.rest.client.patch(format!("{}?noReplace=true", self.player));
        let request = request.header("Authorization", &self.sim.ready.lavalink[0].password);
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
    }

    async fn until_heard(&self, heard: bool) -> Value {
        let path = format!("/guilds/{}/audio", self.at.guild);
        self.rest.until(&path, |report| report["playing"] == heard).await
    }
}

#[tokio::test]
async fn f23_a_bot_on_a_stage_is_heard_only_once_it_lifted_its_suppression() {
    let mut bot = Box::pin(playing()).await;
    let stage = format!("/channels/{}", bot.at.voice[1]);
    bot.rest.control(Method::PATCH, &stage, json!({"kind": "stage"})).await;
    let path = format!("/guilds/{}/voice", bot.at.guild);
    let body = json!({"user": "bot", "channel": bot.at.voice[1]});
    bot.rest.control(Method::POST, &path, body).await;
    bot.plays_on().await;
    bot.person_goes(1).await;
    bot.until_heard(false).await;
    let path = format!("/guilds/{}/audio", bot.at.guild);
    let gap = bot
        .rest
        .until(&path, |report| {
            report["gaps"].as_array().is_some_and(|gaps| gaps.len() == 1)
        })
        .await;
    assert_eq!(
        (&gap["playing"], &gap["gaps"][0]["to_ms"]),
        (&json!(false), &Value::Null)
    );
    let own = format!("/guilds/{}/voice-states/@me", bot.at.guild);
    let lift = json!({"channel_id": bot.at.voice[1], "suppress": false});
    assert_eq!(bot.rest.api(Method::PATCH, &own, Some(lift)).await.0, 204);
    let report = bot.until_heard(true).await;
    assert!(report["gaps"][0]["to_ms"].is_u64(), "{report}");
}

#[tokio::test]
async fn a_bot_that_may_not_speak_or_mutes_itself_is_not_heard() {
    let mut bot = Box::pin(playing()).await;
    let channel = format!("/channels/{}", bot.at.voice[0]);
    for (denied, heard) in [(json!(["speak"]), false), (json!([]), true)] {
        bot.rest
            .control(Method::PATCH, &channel, json!({"bot_denied": denied}))
            .await;
        let report = bot.until_heard(heard).await;
        assert_eq!(report["gaps"], json!([]), "an admin did it");
    }
    let mute = json!({"guild_id": bot.at.guild, "channel_id": bot.at.voice[0], "self_mute": true});
    bot.socket.send(&json!({"op": 4, "d": mute})).await;
    bot.until_heard(false).await;
}

#[tokio::test]
async fn a_parting_that_takes_for_ever_leaves_the_simulator_alone() {
    let mut bot = Box::pin(playing()).await;
    for order in ["close_first", "close_last"] {
        let parting = json!({"kind": "voice_parting", "guild": bot.at.guild, "order": order, "ms": u64::MAX});
        let fault = bot.rest.fault(parting).await;
        for channel in [json!(bot.at.voice[1]), Value::Null, json!(bot.at.voice[0])] {
            let join = json!({"guild_id": bot.at.guild, "channel_id": channel});
            bot.socket.send(&json!({"op": 4, "d": join})).await;
            bot.rest
                .until("/world", |world| world["guilds"][0]["bot"]["voice"] == channel)
                .await;
        }
        bot.rest.end_fault(&fault).await;
    }
    let report = timeout(Duration::from_millis(200), bot.sim.failed()).await;
    assert!(report.is_err(), "{report:?}");
}
