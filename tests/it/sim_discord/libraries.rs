//! Unmodified libraries as clients: what they cannot read is no Discord.

use twilight_gateway::{
    CloseFrame as TwilightClose, ConfigBuilder, EventTypeFlags, Intents, Shard, ShardId, StreamExt as _,
};
use twilight_http::Client as TwilightClient;
use twilight_model::gateway::event::Event;
use twilight_model::id::Id;

use super::*;

/// Polls a twilight shard until an event of the wanted kind.
async fn twilight_event(shard: &mut Shard, wanted: impl Fn(&Event) -> bool) -> Event {
    let mut seen = Vec::new();
    let polling = async {
        loop {
            match shard.next_event(EventTypeFlags::all()).await {
                Some(Ok(event)) if wanted(&event) => return event,
                Some(Ok(event)) => seen.push(format!("{:?}", event.kind())),
                Some(Err(error)) => panic!("twilight could not read an event: {error}"),
                None => panic!("the shard ended"),
            }
        }
    };
    let found = timeout(LIMIT, polling).await;
    found.unwrap_or_else(|_| panic!("the event never came; seen: {seen:?}"))
}

#[tokio::test]
async fn twilight_logs_in_with_zstd_is_dropped_and_resumes_with_replay() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let sim = sim(3).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&rest).await;
    let intents = Intents::GUILDS | Intents::GUILD_VOICE_STATES;
    let config = ConfigBuilder::new(sim.ready.token.clone(), intents)
        .proxy_url(sim.ready.discord_gateway.clone())
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    twilight_event(&mut shard, |event| matches!(event, Event::Ready(_))).await;
    for _ in 0..3 {
        twilight_event(&mut shard, |event| matches!(event, Event::GuildCreate(_))).await;
    }
    rest.fault(json!({"kind": "drop_gateway", "shard": 0})).await;
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    let body = json!({"user": at.people[0], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
        .await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "join", "options": {"channel": at.voice[1]}});
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let state = twilight_event(&mut shard, |event| matches!(event, Event::VoiceStateUpdate(_))).await;
    let Event::VoiceStateUpdate(state) = state else {
        unreachable!()
    };
    assert_eq!(state.channel_id.unwrap().to_string(), at.voice[0]);
    twilight_event(&mut shard, |event| matches!(event, Event::InteractionCreate(_))).await;
    twilight_event(&mut shard, |event| matches!(event, Event::Resumed)).await;
    let counters = rest.look("/counters").await;
    assert_eq!((&counters["identify"], &counters["resume"]), (&json!(1), &json!(1)));
    shard.close(TwilightClose::RESUME);
}

#[tokio::test]
async fn twilight_reads_every_object_that_rest_gives() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let address = sim.ready.discord_api.strip_prefix("http://").unwrap().to_owned();
    let client = TwilightClient::builder()
        .token(sim.ready.token.clone())
        .proxy(address, true)
        .build();
    let guild = Id::new(at.guild.parse().unwrap());
    let voice = Id::new(at.voice[0].parse().unwrap());
    let text = Id::new(at.text.parse().unwrap());
    let person = Id::new(at.people[0].parse().unwrap());

    let gateway = client.gateway().authed().await.unwrap().model().await.unwrap();
    assert_eq!((gateway.url, gateway.shards), (sim.ready.discord_gateway.clone(), 1));
    client.current_user_application().await.unwrap().model().await.unwrap();
    client.current_user().await.unwrap().model().await.unwrap();
    assert_eq!(client.guild(guild).await.unwrap().model().await.unwrap().id, guild);
    assert_eq!(
        client
            .guild_channels(guild)
            .await
            .unwrap()
            .models()
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(client.roles(guild).await.unwrap().models().await.unwrap().len(), 3);
    let member = client.guild_member(guild, person).await.unwrap().model().await.unwrap();
    assert_eq!(member.user.id, person);
    assert_eq!(
        client.channel(voice).await.unwrap().model().await.unwrap().user_limit,
        Some(0)
    );
    let sent = client
        .create_message(text)
        .content("hello")
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    let edited = client.update_message(text, sent.id).content(Some("hi")).await.unwrap();
    assert_eq!(edited.model().await.unwrap().content, "hi");
    client.delete_message(text, sent.id).await.unwrap();
    assert_eq!(rest.look(&format!("/channels/{}/messages", at.text)).await, json!([]));

    let refused = client.channel(Id::new(1)).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");

    let body = json!({"user": at.people[0], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
        .await;
    let state = client
        .user_voice_state(guild, person)
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(state.channel_id, Some(voice));
    let agents = rest.log().await;
    let named = |event: &Value| event["kind"] == "rest" && text_of(&event["user_agent"]).contains("twilight");
    assert!(agents.iter().any(named), "the log names who asked");
}

/// What Discord says is registered, which is what twilight's models are made for.
async fn full_commands(rest: &Rest, application: &str) -> Value {
    register(rest).await;
    rest.api(Method::GET, &format!("/applications/{application}/commands"), None)
        .await
        .1
}

#[tokio::test]
async fn twilight_registers_commands_and_reads_them_back() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    let address = sim.ready.discord_api.strip_prefix("http://").unwrap().to_owned();
    let client = TwilightClient::builder()
        .token(sim.ready.token.clone())
        .proxy(address, true)
        .build();
    let application = client.current_user_application().await.unwrap().model().await.unwrap();
    let registered = client
        .interaction(application.id)
        .set_global_commands(
            &serde_json::from_value::<Vec<_>>(full_commands(&rest, &application.id.to_string()).await).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(registered.models().await.unwrap().len(), 4);
}
