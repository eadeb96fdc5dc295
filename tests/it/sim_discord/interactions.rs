//! Commands, buttons, modals, autocomplete and their answers.

use super::*;

#[tokio::test]
async fn commands_take_the_registered_shape_and_unregistered_ones_are_409() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let path = format!("/guilds/{}/commands", at.guild);
    let wish = |name: &str, options: Value| json!({"user": at.people[1], "channel": at.text, "name": name, "options": options, "locale": "de"});
    let (status, _) = rest
        .control(Method::POST, &path, wish("play", json!({"query": "x"})))
        .await;
    assert_eq!(status, 409);
    register(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;

    rest.control(Method::POST, &path, wish("skip", json!({"to": 3}))).await;
    let skip = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(skip["data"]["options"][0], json!({"name": "to", "type": 4, "value": 3}));
    assert_eq!(
        (&skip["locale"], &skip["guild_locale"]),
        (&json!("de"), &json!("en-US"))
    );
    assert!(skip["member"]["permissions"].is_string() && skip["app_permissions"].is_string());

    rest.control(Method::POST, &path, wish("playlist save", json!({"name": "n"})))
        .await;
    let save = socket.event("INTERACTION_CREATE").await["d"]["data"].clone();
    assert_eq!(save["name"], "playlist");
    assert_eq!(save["options"][0]["options"][0]["value"], "n");

    rest.control(Method::POST, &path, wish("join", json!({"channel": at.voice[0]})))
        .await;
    let join = socket.event("INTERACTION_CREATE").await["d"]["data"].clone();
    assert_eq!(join["resolved"]["channels"][&at.voice[0]]["type"], 2);

    for (name, options) in [
        ("play", json!({})),
        ("skip", json!({"to": 0})),
        ("skip", json!({"to": "x"})),
        ("skip", json!({"odd": 1})),
        ("play", json!({"query": "q", "when": "never"})),
        ("playlist", json!({})),
    ] {
        let (status, body) = rest.control(Method::POST, &path, wish(name, options.clone())).await;
        assert_eq!(status, 400, "{name} {options}: {body}");
    }
}

#[tokio::test]
async fn r2_an_interaction_is_answered_once_in_three_seconds_and_then_edited_and_followed_up() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let application = text_of(&register(&rest).await);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "play", "options": {"query": "q"}});
    let (_, issued) = rest
        .control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(told["id"], issued["interaction"]);
    let token = text_of(&told["token"]);
    let callback = format!("/interactions/{}/{token}/callback", text_of(&told["id"]));
    let original = format!("/webhooks/{application}/{token}/messages/@original");
    let deferral = Some(json!({"type": 5}));

    let (early, _) = rest
        .api(Method::PATCH, &original, Some(json!({"content": "early"})))
        .await;
    assert_eq!(early, 404);
    let (status, _) = rest.api(Method::POST, &callback, deferral.clone()).await;
    assert_eq!(status, 204);
    let (status, twice) = rest.api(Method::POST, &callback, deferral).await;
    assert_eq!((status, &twice["code"]), (400, &json!(40_060)));
    assert_eq!(rest.look(&format!("/channels/{}/messages", at.text)).await, json!([]));

    let look = format!("/interactions/{}?wait_ms=5000", text_of(&told["id"]));
    let (view, ()) = tokio::join!(rest.look(&look), async {
        let body = json!({"content": "done", "embeds": [{"title": "t"}]});
        let (status, _) = rest.api(Method::PATCH, &original, Some(body)).await;
        assert_eq!(status, 200);
    });
    assert_eq!(
        (&view["kind"], &view["message"]["content"]),
        (&json!("deferred"), &json!("done"))
    );
    assert!(view["replied_ms"].as_u64() >= view["acknowledged_ms"].as_u64());
    let (_, more) = rest
        .api(
            Method::POST,
            &format!("/webhooks/{application}/{token}"),
            Some(json!({"content": "more"})),
        )
        .await;
    assert_eq!(more["content"], "more");
    let seen = rest.look(&format!("/channels/{}/messages", at.text)).await;
    assert_eq!(seen.as_array().unwrap().len(), 2, "{seen}");
    let counters = rest.look("/counters").await;
    assert_eq!(
        counters["interactions"],
        json!({"issued": 1, "acknowledged_in_time": 1, "late": 0, "never": 0})
    );
    assert_eq!(rest.look("/violations").await, json!([]));
}

#[tokio::test]
async fn an_answer_after_three_seconds_is_refused_and_the_oracle_says_so() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "skip", "options": {}});
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    let found = rest
        .until("/violations", |found| !found.as_array().unwrap().is_empty())
        .await;
    assert_eq!(
        (&found[0]["rule"], &found[0]["guild"]),
        (&json!("unanswered"), &json!(at.guild))
    );
    let callback = format!(
        "/interactions/{}/{}/callback",
        text_of(&told["id"]),
        text_of(&told["token"])
    );
    let (status, late) = rest.api(Method::POST, &callback, Some(json!({"type": 5}))).await;
    assert_eq!((status, &late["code"]), (404, &json!(10_062)));
    assert_eq!(rest.look("/counters").await["interactions"]["late"], 1);
}

#[tokio::test]
async fn buttons_and_modals_reach_the_bot_and_back() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let button = json!([{"type": 1, "components": [{"type": 2, "style": 1, "label": "p", "custom_id": "pause"}]}]);
    let panel = json!({"content": "panel", "components": button});
    let (status, message) = rest
        .api(Method::POST, &format!("/channels/{}/messages", at.text), Some(panel))
        .await;
    assert_eq!(status, 200, "{message}");
    let press = format!("/messages/{}/components", text_of(&message["id"]));
    let (status, _) = rest
        .control(Method::POST, &press, json!({"user": at.people[0], "custom_id": "odd"}))
        .await;
    assert_eq!(status, 409);
    rest.control(
        Method::POST,
        &press,
        json!({"user": at.people[0], "custom_id": "pause"}),
    )
    .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!((&told["type"], &told["message"]["id"]), (&json!(3), &message["id"]));
    let answer = |told: &Value| {
        format!(
            "/interactions/{}/{}/callback",
            text_of(&told["id"]),
            text_of(&told["token"])
        )
    };
    let modal = json!({"type": 9, "data": {"custom_id": "m", "title": "t", "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "level", "label": "l", "style": 1}]}]}});
    rest.api(Method::POST, &answer(&told), Some(modal)).await;
    let submit = format!("/interactions/{}/modal", text_of(&told["id"]));
    rest.control(
        Method::POST,
        &submit,
        json!({"user": at.people[0], "values": {"level": "80"}}),
    )
    .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(told["data"]["components"][0]["components"][0]["value"], "80");
    let update = json!({"type": 7, "data": {"content": "80 %"}});
    let (status, full) = rest
        .api(Method::POST, &(answer(&told) + "?with_response=true"), Some(update))
        .await;
    assert_eq!((status, &full["resource"]["message"]["content"]), (200, &json!("80 %")));
    assert_eq!(
        rest.look(&format!("/channels/{}/messages", at.text)).await[0]["content"],
        "80 %"
    );
}

#[tokio::test]
async fn what_is_being_typed_reaches_the_bot_and_choices_come_back() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "play", "options": {"query": "so"}, "focused": "query"});
    let (_, issued) = rest
        .control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(
        (&told["type"], &told["data"]["options"][0]["focused"]),
        (&json!(4), &json!(true))
    );
    let answer = format!(
        "/interactions/{}/{}/callback",
        text_of(&told["id"]),
        text_of(&told["token"])
    );
    let choices = json!({"type": 8, "data": {"choices": [{"name": "Song", "value": "song"}]}});
    let (status, _) = rest.api(Method::POST, &answer, Some(choices)).await;
    assert_eq!(status, 204);
    let view = rest
        .look(&format!(
            "/interactions/{}?wait_ms=1000",
            text_of(&issued["interaction"])
        ))
        .await;
    assert_eq!(
        (&view["kind"], &view["choices"][0]["name"]),
        (&json!("autocomplete"), &json!("Song"))
    );
}

#[tokio::test]
async fn r6_registering_the_same_twice_changes_nothing_and_is_called_needless() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    let application = text_of(&register(&rest).await);
    let path = format!("/applications/{application}/commands");
    let (_, before) = rest.api(Method::GET, &path, None).await;
    assert_eq!(rest.look("/violations").await, json!([]));
    let (_, after) = rest.api(Method::PUT, &path, Some(commands())).await;
    assert_eq!(before, after);
    assert_eq!(rest.look("/violations").await[0]["rule"], "needless_registration");
}

#[tokio::test]
async fn a_deferred_button_is_replied_to_by_an_edit_of_its_message_until_a_person_deletes_it() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let button = json!([{"type": 1, "components": [{"type": 2, "style": 1, "label": "s", "custom_id": "skip"}]}]);
    let messages = format!("/channels/{}/messages", at.text);
    let panel = json!({"content": "panel", "components": button});
    let (_, message) = rest.api(Method::POST, &messages, Some(panel)).await;
    let id = text_of(&message["id"]);
    let press = json!({"user": at.people[0], "custom_id": "skip"});
    rest.control(Method::POST, &format!("/messages/{id}/components"), press)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    let interaction = text_of(&told["id"]);
    let callback = format!("/interactions/{interaction}/{}/callback", text_of(&told["token"]));
    rest.api(Method::POST, &callback, Some(json!({"type": 6}))).await;
    let view = rest.look(&format!("/interactions/{interaction}")).await;
    assert_eq!((&view["kind"], &view["replied_ms"]), (&json!("deferred"), &Value::Null));
    rest.api(
        Method::PATCH,
        &format!("{messages}/{id}"),
        Some(json!({"content": "next"})),
    )
    .await;
    let view = rest.look(&format!("/interactions/{interaction}?wait_ms=5000")).await;
    assert_eq!(view["message"]["content"], "next");

    let (status, _) = rest
        .control(Method::DELETE, &format!("/messages/{id}"), Value::Null)
        .await;
    assert_eq!(status, 204);
    let (status, gone) = rest
        .api(
            Method::PATCH,
            &format!("{messages}/{id}"),
            Some(json!({"content": "x"})),
        )
        .await;
    assert_eq!((status, &gone["code"]), (404, &json!(10_008)));
}
