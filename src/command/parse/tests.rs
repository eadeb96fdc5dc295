//! Payloads as Discord sends them, and as it never would.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::definitions::{COMMANDS, Definition, Holds, OptionDefinition};
use super::*;

fn envelope(kind: u8, data: &Value) -> Value {
    json!({
        "id": "1111", "application_id": "2222", "type": kind, "token": "tell nobody", "version": 1,
        "guild_id": "3333", "locale": "de", "guild_locale": "en-US", "channel_id": "4444", "entitlements": [],
        "attachment_size_limit": 1, "authorizing_integration_owners": {}, "data": data,
        "member": {
            "avatar": null, "communication_disabled_until": null, "deaf": false, "flags": 0, "joined_at": null,
            "mute": false, "nick": null, "permissions": "0", "premium_since": null, "roles": [],
            "user": {
                "id": "5555", "username": "ada", "discriminator": "0", "avatar": null, "bot": false,
                "global_name": null, "public_flags": 0,
            },
        },
    })
}

fn read(value: Value) -> Result<Request, ParseError> {
    let interaction: Interaction = serde_json::from_value(value).expect("an interaction");
    parse(&interaction)
}

fn slash(name: &str, options: &Value) -> Result<Kind, ParseError> {
    let data = json!({"id": "7", "type": 1, "name": name, "options": options});
    read(envelope(2, &data)).map(|request| request.kind)
}

fn text(name: &str, value: &str) -> Value {
    json!({"name": name, "type": 3, "value": value})
}

fn number(name: &str, value: i64) -> Value {
    json!({"name": name, "type": 4, "value": value})
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what the parser returns")]
fn immediate(order: Order) -> Result<Kind, ParseError> {
    Ok(Kind::Immediate(order))
}

/// A value the table allows.
fn allowed(option: &OptionDefinition) -> Value {
    match option.holds {
        Holds::Text { .. } => text(option.name, "1:23"),
        Holds::Choice(choices) => text(option.name, choices[0].value),
        Holds::Number { to, .. } => number(option.name, to),
        Holds::Switch => json!({"name": option.name, "type": 5, "value": true}),
        Holds::VoiceChannel => json!({"name": option.name, "type": 7, "value": "99"}),
    }
}

fn with_options(definition: &Definition, take: impl Fn(&OptionDefinition) -> bool) -> Value {
    definition
        .options
        .iter()
        .filter(|option| take(option))
        .map(allowed)
        .collect()
}

#[test]
fn the_parser_takes_what_the_table_registers() {
    for definition in COMMANDS {
        let all = slash(definition.name, &with_options(definition, |_| true));
        assert!(all.is_ok(), "/{} with all options: {all:?}", definition.name);
        let least = slash(definition.name, &with_options(definition, |option| option.required));
        assert!(least.is_ok(), "/{} with required options: {least:?}", definition.name);
        for required in definition.options.iter().filter(|option| option.required) {
            let options = with_options(definition, |option| option.name != required.name);
            let expected = Err(ParseError::Missing { option: required.name });
            assert_eq!(slash(definition.name, &options), expected);
        }
    }
}

#[test]
fn every_option_is_read_and_not_only_accepted() {
    for definition in COMMANDS {
        for optional in definition.options.iter().filter(|option| !option.required) {
            let mut with = with_options(definition, |option| option.required || option.name == optional.name);
            if let Holds::Choice(choices) = optional.holds {
                with.as_array_mut().unwrap().pop();
                with.as_array_mut()
                    .unwrap()
                    .push(text(optional.name, choices.last().unwrap().value));
            }
            let without = with_options(definition, |option| option.required);
            if definition.command == Name::Remove {
                with[0]["value"] = json!(3);
            }
            let (with, without) = (slash(definition.name, &with), slash(definition.name, &without));
            assert_ne!(with, without, "/{} ignores {}", definition.name, optional.name);
        }
    }
}

#[test]
fn commands_become_orders() {
    let table = [
        (slash("pause", &json!([])), immediate(Order::Pause)),
        (
            slash("skip", &json!([number("to", 3)])),
            immediate(Order::Skip { to: Some(3) }),
        ),
        (
            slash("seek", &json!([text("position", "1m23s")])),
            immediate(Order::Seek { position_ms: 83_000 }),
        ),
        (
            slash("volume", &json!([number("level", 0)])),
            immediate(Order::Volume { level: 0 }),
        ),
        (slash("volume", &json!([])), Ok(Kind::Show(Show::Volume))),
        (
            slash("loop", &json!([text("mode", "queue")])),
            immediate(Order::Loop { mode: LoopMode::Queue }),
        ),
        (slash("shuffle", &json!([])), immediate(Order::Shuffle { seed: 1111 })),
        (
            slash("remove", &json!([number("from", 4)])),
            immediate(Order::Remove { from: 4, to: 4 }),
        ),
        (
            slash("remove", &json!([number("from", 7), number("to", 3)])),
            immediate(Order::Remove { from: 3, to: 7 }),
        ),
        (
            slash("move", &json!([number("to", 1), number("from", 5)])),
            immediate(Order::Move { from: 5, to: 1 }),
        ),
        (slash("queue", &json!([])), Ok(Kind::Show(Show::Queue { page: 1 }))),
        (slash("join", &json!([])), Ok(Kind::Join { channel: None })),
        (slash("settings", &json!([])), Ok(Kind::Show(Show::Settings))),
        (
            slash("settings", &json!([{"name": "auto-resume", "type": 5, "value": false}])),
            immediate(Order::AutoResume { on: false }),
        ),
        (
            slash("play", &json!([text("query", "lofi"), text("when", "next")])),
            Ok(Kind::Play {
                query: Query::Search("lofi".to_owned()),
                when: When::Next,
            }),
        ),
    ];
    for (got, expected) in table {
        assert_eq!(got, expected);
    }
}

#[test]
fn who_and_where_are_taken_over_and_the_token_is_not_printed() {
    let data = json!({"id": "7", "type": 1, "name": "pause"});
    let request = read(envelope(2, &data)).unwrap();
    assert_eq!(request.asked.user.get(), 5555);
    assert_eq!(request.asked.interaction.get(), 1111);
    assert_eq!(request.asked.text_channel.get(), 4444);
    assert_eq!(request.guild.get(), 3333);
    assert_eq!(request.locale, Locale::De);
    assert_eq!(request.token, "tell nobody");
    assert!(!format!("{request:?}").contains("tell nobody"));
}

#[test]
fn hostile_options_are_refused() {
    let table = [
        (slash("format-disk", &json!([])), ParseError::Outdated),
        (slash("pause", &json!([number("to", 1)])), ParseError::Outdated),
        (slash("loop", &json!([text("mode", "forever")])), ParseError::Outdated),
        (
            slash("volume", &json!([number("level", 201)])),
            ParseError::OutOfRange {
                option: "level",
                from: 0,
                to: 200,
            },
        ),
        (
            slash("skip", &json!([number("to", i64::MIN)])),
            ParseError::OutOfRange {
                option: "to",
                from: 1,
                to: 1_000,
            },
        ),
        (
            slash("seek", &json!([text("position", "soon")])),
            ParseError::BadPosition,
        ),
        (
            slash("seek", &json!([text("position", &"9".repeat(21))])),
            ParseError::TooLong {
                option: "position",
                limit: 20,
            },
        ),
        (
            slash("volume", &json!([text("level", "5")])),
            ParseError::Malformed("an option is of another type"),
        ),
        (
            slash("skip", &json!([number("to", 1), number("to", 2)])),
            ParseError::Malformed("an option was given twice"),
        ),
        (
            slash("play", &json!([text("query", "http://169.254.169.254/")])),
            ParseError::Query(QueryError::Link(super::super::link::LinkRefusal::Private)),
        ),
        (
            slash("play", &json!([{"name": "query", "type": 1, "options": []}])),
            ParseError::Malformed("an option is of another type"),
        ),
        (
            slash(
                "play",
                &json!([{"name": "query", "type": 3, "value": "x", "focused": true}]),
            ),
            ParseError::Malformed("an option is of another type"),
        ),
    ];
    for (got, expected) in table {
        assert_eq!(got, Err(expected));
    }
}

#[test]
fn envelopes_that_do_not_fit_are_refused() {
    let data = json!({"id": "7", "type": 1, "name": "pause"});
    let without = |field: &str| {
        let mut value = envelope(2, &data);
        value.as_object_mut().unwrap().remove(field);
        read(value)
    };
    assert_eq!(without("guild_id"), Err(ParseError::NotInGuild));
    assert_eq!(without("member"), Err(ParseError::Malformed("nobody sent it")));
    assert_eq!(
        without("channel_id"),
        Err(ParseError::Malformed("it came from no channel"))
    );
    let mut empty: Interaction = serde_json::from_value(envelope(2, &data)).unwrap();
    empty.data = None;
    assert!(matches!(parse(&empty), Err(ParseError::Malformed(_))));
    let user_command = json!({"id": "7", "type": 2, "name": "pause", "target_id": "1"});
    assert_eq!(read(envelope(2, &user_command)), Err(ParseError::Outdated));
    assert!(matches!(read(envelope(1, &data)), Err(ParseError::Malformed(_))));
}

#[test]
fn buttons_are_read_and_old_ones_refused_in_words() {
    let press = |id: &str| {
        let data = json!({"component_type": 2, "custom_id": id});
        read(envelope(3, &data)).map(|request| request.kind)
    };
    let skip = ComponentAction::Skip;
    assert_eq!(press(&skip.encode()), Ok(Kind::Component(skip)));
    assert_eq!(press("segue:0:skip"), Err(ParseError::StaleButton));
    assert_eq!(press(""), Err(ParseError::StaleButton));
}

#[test]
fn autocomplete_gives_the_typed_text_whatever_else_is_typed() {
    let complete = |name: &str, options: Value| {
        let data = json!({"id": "7", "type": 1, "name": name, "options": options});
        read(envelope(4, &data)).map(|request| request.kind)
    };
    let focused = |value: &str| json!({"name": "query", "type": 3, "value": value, "focused": true});
    let typed = |text: &str| Ok(Kind::Autocomplete { text: text.to_owned() });
    assert_eq!(complete("play", json!([focused("")])), typed(""));
    assert_eq!(
        complete("play", json!([text("when", "no such"), focused("au")])),
        typed("au")
    );
    assert_eq!(
        complete("play", json!([focused(&"x".repeat(900))])),
        typed(&"x".repeat(500))
    );
    assert!(complete("play", json!([])).is_err());
    assert!(complete("pause", json!([focused("x")])).is_err());
}

proptest! {
    #[test]
    fn no_command_payload_makes_it_panic(
        name in prop::sample::select(COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>()),
        options in prop::collection::vec(
            (
                prop::sample::select(vec!["query", "when", "to", "from", "position", "level", "mode", "page", "x"]),
                any::<i64>(),
                "\\PC{0,40}",
                0u8..3,
            ),
            0..4,
        ),
    ) {
        let options: Value = options
            .iter()
            .map(|(name, count, words, kind)| match kind {
                0 => number(name, *count),
                1 => text(name, words),
                _ => json!({"name": name, "type": 10, "value": 1.5}),
            })
            .collect();
        drop(slash(name, &options));
    }

    #[test]
    fn no_custom_id_makes_it_panic(id in any::<String>()) {
        drop(read(envelope(3, &json!({"component_type": 2, "custom_id": id}))));
    }
}
