//! One guild that plays, an end, what happens meanwhile, and a new start: with everything that is asserted of it.

use serde_json::{Value, json};

use crate::harness::{Bot, Setup, World, eventually, plain};

/// How the bot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM.
    Asked,
}

/// A guild that plays `Alpha` with three tracks behind it, volume 70, loop mode queue, and auto-resume as the operator
/// chose.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) setup: Setup,
    pub(super) guild: String,
    pub(super) text: String,
    pub(super) before: Value,
}

/// What happened between the end and now.
pub(super) struct Aftermath {
    /// The bot's own words.
    pub(super) recovered: Value,
    /// Position (ms) up to which was heard before, and from which is heard after, as far as both are there.
    pub(super) heard: Option<(u64, u64)>,
    /// Milliseconds of silence in between.
    pub(super) silence_ms: u64,
    /// IDENTIFYs and op 4 since the end.
    pub(super) identifies: u64,
    pub(super) joins: u64,
}

impl Scene {
    pub(super) async fn open(setup: impl FnOnce(&World) -> Setup) -> (Self, Bot) {
        let world = World::start(1).await;
        let setup = setup(&world);
        let guild = world.guilds().await[0].clone();
        let text = world.channel(&guild, "text", 0).await;
        let bot = setup.ready().await;
        world.play(&guild, "Alpha").await;
        for title in ["Beta", "Gamma", "Delta"] {
            world
                .command(&guild, "play", json!({ "query": format!("sim:{title}?length=500") }))
                .await;
        }
        world.command(&guild, "volume", json!({ "level": 70 })).await;
        world.command(&guild, "loop", json!({ "mode": "queue" })).await;
        // Past the first renewal, so that "alive until" is not the start itself.
        world.heard_for(&guild, 2_500).await;
        (
            Self {
                world,
                setup,
                guild,
                text,
                before: Value::Null,
            },
            bot,
        )
    }

    /// Ends the bot.
    pub(super) async fn end(&mut self, bot: Bot, end: End) {
        self.before = self.world.counters().await;
        match end {
            End::Killed => drop(bot.kill().await),
            End::Asked => {
                let (status, log) = bot.terminate().await;
                assert!(status.success(), "{status:?} {log:#?}");
            }
        }
    }

    /// Starts the bot again and waits until it says what became of the guild.
    pub(super) async fn again(&self) -> (Bot, Value) {
        let bot = self.setup.spawn();
        let recovered = bot.logged("recovered").await;
        (bot, recovered)
    }

    /// What was heard and done since the end, once `Alpha` is audible again.
    pub(super) async fn aftermath(&self, recovered: Value) -> Aftermath {
        let audio = self.world.heard(&self.guild, "Alpha").await;
        let after = self.world.counters().await;
        let since = |what: &str| after[what].as_u64().unwrap() - self.before[what].as_u64().unwrap();
        let segments = audio["segments"].as_array().unwrap();
        let now = segments.last().unwrap();
        let number = |segment: &Value, key: &str| segment[key].as_u64().unwrap();
        let previous = segments.iter().rev().nth(1).filter(|_| number(now, "from_ms") > 2_500);
        let heard = previous.map(|before| (number(before, "position_to_ms"), number(now, "position_from_ms")));
        let silence_ms = previous.map_or(0, |before| {
            number(now, "from_ms").saturating_sub(number(before, "to_ms"))
        });
        Aftermath {
            recovered,
            heard,
            silence_ms,
            identifies: since("identify"),
            joins: since("voice_state_update"),
        }
    }

    /// Queue, volume and loop mode are what they were.
    pub(super) async fn assert_nothing_lost(&self) {
        let queue = self.world.command(&self.guild, "queue", json!({})).await.text();
        let places: Vec<_> = ["Beta", "Gamma", "Delta"].map(|title| queue.find(title)).to_vec();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "the queue in its order: {queue}"
        );
        let volume = self.world.command(&self.guild, "volume", json!({})).await.text();
        assert!(volume.contains("70"), "{volume}");
        let view = self.world.command(&self.guild, "nowplaying", json!({})).await;
        assert!(view.text().contains("Alpha"), "{view:#?}");
        self.world.assert_no_violations().await;
    }

    /// Messages of their own (not the Now Playing message) that tell of an interruption.
    pub(super) async fn notices(&self) -> Vec<String> {
        let messages = self.world.messages(&self.text).await;
        let alone = messages
            .iter()
            .filter(|message| message["embeds"].as_array().is_none_or(Vec::is_empty));
        alone.map(plain).filter(|text| text.contains("interrupted")).collect()
    }

    /// Waits for exactly one such message.
    pub(super) async fn assert_one_notice(&self) {
        let one = eventually("one notice", || async {
            let notices = self.notices().await;
            if notices.len() == 1 { Ok(notices) } else { Err(notices) }
        })
        .await;
        assert!(one[0].contains("Alpha"), "{one:?}");
    }
}

impl Aftermath {
    /// Nobody heard anything, and Discord was not bothered.
    pub(super) fn assert_carried_on(&self) {
        assert_eq!(self.recovered["outcome"], "carried_on", "{:#}", self.recovered);
        assert_eq!((self.identifies, self.joins, self.silence_ms), (0, 0, 0));
    }

    /// It goes on at most 2.5 s (0.5 s when asked to leave) before, and at most 0.3 s after what was heard last.
    pub(super) fn assert_position(&self, end: End) {
        let (before, after) = self.heard.expect("audio stopped and came back");
        let behind = if end == End::Killed { 2_500 } else { 500 };
        assert!(
            after + behind >= before && after <= before + 300,
            "heard until {before} ms, went on at {after} ms"
        );
    }
}
