//! Layers, problems and secrets, as tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::environment::Surroundings;
use super::flags::Flags;
use super::*;

mod otel_cases;

/// A secret that no output may contain.
const SECRET: &str = "hunter2sesame";

/// Files that exist in a test.
#[derive(Default)]
struct World {
    around: Surroundings,
    flags: Flags,
    files: BTreeMap<PathBuf, String>,
}

impl World {
    fn new() -> Self {
        let world = Self {
            around: Surroundings {
                data_folder: Some(PathBuf::from("/home/ann/.local/share")),
                host: Some("box".to_owned()),
                terminal: true,
                ..Surroundings::default()
            },
            ..Self::default()
        };
        world.env("DISCORD_TOKEN", "token")
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.around.environment.retain(|(known, _)| known != name);
        self.around.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn toml(mut self, text: &str) -> Self {
        self.flags.config = Some(PathBuf::from("segue.toml"));
        self.file("segue.toml", text)
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }

    fn flag(mut self, env: &str, value: &str) -> Self {
        self.flags
            .given
            .push((keys::find(env).unwrap(), false, value.to_owned()));
        self
    }

    fn load(&self) -> Effective {
        let read = |path: &Path| {
            let text = self.files.get(path).cloned();
            text.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
        };
        combine(&self.flags, &self.around, Need::Everything, &read)
    }

    fn settings(&self) -> Settings {
        let effective = self.load();
        assert_eq!(effective.problems, []);
        effective.settings.unwrap()
    }

    /// All problems as people read them.
    fn problems(&self) -> Vec<String> {
        let effective = self.load();
        assert!(effective.settings.is_none(), "{:?}", effective.settings);
        effective.problems.iter().map(ToString::to_string).collect()
    }
}

fn source(effective: &Effective, key: &str) -> String {
    let row = effective.rows.iter().find(|row| row.key == key).unwrap();
    row.source.clone()
}

/// Table, problems and warnings, for people and for developers, and of the settings what tells of collectors.
fn all_that_is_shown(effective: &Effective) -> String {
    let Effective {
        settings,
        rows,
        problems,
        warnings,
    } = effective;
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let (table, lines) = (show::table(rows), lines.join("\n"));
    let collectors = settings.as_ref().map(|settings| &settings.otel);
    format!("{rows:?}\n{problems:?}\n{warnings:?}\n{collectors:?}\n{table}\n{lines}")
}

#[test]
fn a_token_alone_is_enough_and_the_rest_has_the_documented_defaults() {
    let settings = World::new().settings();
    assert_eq!(settings.discord_token.expose_secret(), "token");
    assert_eq!(
        settings.store.to_string(),
        "sqlite:/home/ann/.local/share/segue/segue.db"
    );
    assert_eq!(settings.http_listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.peer_listen.to_string(), "127.0.0.1:0");
    assert_eq!(settings.autosave_interval, Duration::from_secs(10));
    assert_eq!(settings.restore_stabilization, Duration::ZERO);
    assert_eq!(settings.restore_max_age, Duration::from_hours(1));
    assert_eq!(settings.alone_timeout, Duration::from_mins(5));
    assert!(settings.auto_resume);
    assert_eq!(settings.shards, Shards::Auto);
    assert_eq!(settings.name, "box");
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.otel.traces, None);
    assert!(!settings.elects_by_kubernetes());
}

#[test]
fn in_a_pod_it_listens_to_everybody_and_elects_by_kubernetes() {
    let world = World::new()
        .env("KUBERNETES_SERVICE_HOST", "10.96.0.1")
        .env("POD_NAME", "segue-0")
        .env("POD_IP", "10.0.0.7");
    let settings = world.settings();
    assert_eq!(settings.http_listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.peer_listen.to_string(), "0.0.0.0:7946");
    assert_eq!(settings.peer_advertise.as_deref(), Some("10.0.0.7"));
    assert_eq!(settings.name, "segue-0");
    assert!(settings.elects_by_kubernetes());
    assert!(!world.env("SEGUE_CLUSTER", "store").settings().elects_by_kubernetes());
}

#[test]
fn each_layer_overrides_the_ones_before_it_and_its_source_is_kept() {
    let world = World::new();
    assert_eq!(source(&world.load(), "SEGUE_SHARDS"), "default");
    let world = world.toml("# comment\nshards = 2\n");
    assert_eq!(world.settings().shards, Shards::Count(2));
    assert_eq!(source(&world.load(), "SEGUE_SHARDS"), "segue.toml:2");
    let world = world.env("SEGUE_SHARDS", "3");
    assert_eq!(world.settings().shards, Shards::Count(3));
    assert_eq!(source(&world.load(), "SEGUE_SHARDS"), "environment");
    let world = world.flag("SEGUE_SHARDS", "4");
    assert_eq!(world.settings().shards, Shards::Count(4));
    assert_eq!(source(&world.load(), "SEGUE_SHARDS"), "--shards");
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let world = World::new().toml("shards = 2\nlog = \"\"").env("SEGUE_SHARDS", " ");
    assert_eq!(world.settings().shards, Shards::Count(2));
    assert_eq!(world.settings().log.filter, "info");
}

#[test]
fn all_problems_are_listed_at_once_with_key_source_and_fix() {
    let world = World::new()
        .env("DISCORD_TOKEN", "")
        .env("SEGUE_AUTOSAVE_INTERVAL", "10")
        .toml("shards = \"many\"\nhttp_listen = 8080\nlavalink_node = \"a=http://:x@h\"\n\nmusic_auto_resume = \"perhaps\"")
        .flag("SEGUE_LOG", "loud,,=x");
    let problems = world.problems();
    let expect = |start: &str, fix: &str| {
        assert!(
            problems
                .iter()
                .any(|line| line.starts_with(start) && line.contains(fix)),
            "no {start:?} with {fix:?} in {problems:#?}"
        );
    };
    expect("DISCORD_TOKEN: it is required", "DISCORD_TOKEN_FILE");
    expect(
        "SEGUE_AUTOSAVE_INTERVAL (environment): \"10\" is not a duration",
        "10s, 5m, 1h",
    );
    expect("shards (segue.toml:1): \"many\"", "Write auto");
    expect("http_listen (segue.toml:2)", "127.0.0.1:8080");
    expect("lavalink_node (segue.toml:3): no such setting", "lavalink_nodes");
    expect("music_auto_resume (segue.toml:5)", "true or false");
    expect("SEGUE_LOG (--log)", "Write a level");
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn a_mistyped_name_in_the_environment_is_a_warning_that_names_the_right_one() {
    let world = World::new()
        .env("SEGUE_LAVALINK_NODE", SECRET)
        .env("SEGUE_MONGOD", "/bin/mongod");
    let effective = world.load();
    assert!(effective.settings.is_some());
    assert_eq!(
        effective.warnings,
        ["SEGUE_LAVALINK_NODE (environment) is not a setting; did you mean SEGUE_LAVALINK_NODES?"]
    );
}

#[test]
fn what_kubernetes_injects_for_a_service_called_segue_is_no_mistake() {
    let injected = [
        "SEGUE_SERVICE_HOST",
        "SEGUE_PORT",
        "SEGUE_PORT_8080_TCP_ADDR",
        "SEGUE_HTTP_SERVICE_PORT_HTTP",
    ];
    let world = injected
        .iter()
        .fold(World::new(), |world, name| world.env(name, "tcp://10.0.0.1:1"));
    assert_eq!(world.load().warnings.len(), injected.len());
    let world = world.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    assert_eq!(world.load().warnings, [""; 0]);
}

#[test]
fn secrets_come_from_files_too_and_their_last_line_break_is_not_part_of_them() {
    let world = World::new()
        .env("DISCORD_TOKEN", "")
        .env("DISCORD_TOKEN_FILE", "/run/token")
        .file("/run/token", "abc.def\n")
        .toml("lavalink_nodes_file = \"/run/nodes\"")
        .file("/run/nodes", "a=http://:pw@lava:2333\n");
    let settings = world.settings();
    assert_eq!(settings.discord_token.expose_secret(), "abc.def");
    assert_eq!(settings.lavalink_nodes[0].password.expose_secret(), "pw");
    assert_eq!(
        source(&world.load(), "DISCORD_TOKEN"),
        "environment (DISCORD_TOKEN_FILE)"
    );
}

#[test]
fn a_key_and_its_file_in_one_layer_are_a_contradiction_but_a_higher_layer_just_wins() {
    let world = World::new()
        .env("DISCORD_TOKEN_FILE", "/run/token")
        .file("/run/token", "other");
    assert!(world.problems()[0].contains("both it and DISCORD_TOKEN are set"));
    let world = World::new().toml("discord_token_file = \"/nowhere\"");
    assert!(
        world.problems()[0].contains("cannot read /nowhere"),
        "a file that cannot be read is told"
    );
    let world = World::new().toml("discord_token = \"low\"");
    assert_eq!(world.settings().discord_token.expose_secret(), "token");
}

#[test]
fn nodes_may_be_a_table_and_their_passwords_are_decoded() {
    let world =
        World::new().toml("[lavalink_nodes]\na = \"http://:p%40ss,w@h:2333\"\nb = \"https://:x@lava.example/sub\"");
    let nodes = world.settings().lavalink_nodes;
    assert_eq!(nodes[0].password.expose_secret(), "p@ss,w");
    assert_eq!(nodes[0].url.as_str(), "http://h:2333/");
    assert_eq!(nodes[1].name.0, "b");
    assert_eq!(nodes[1].url.as_str(), "https://lava.example/sub");
}

#[test]
fn a_node_that_is_wrong_is_refused_by_its_place() {
    let cases = [
        ("a", "entry 1: no name before ="),
        ("a=ftp://:x@h", "entry 1: neither http://"),
        ("a=http://h:2333", "entry 1: no password"),
        ("a=http://x@h", "entry 1: a user but no password"),
        ("a=http://:x@h,a=http://:y@g", "two nodes are called a"),
        ("a=http://:x@h, b c=http://:y@g", "entry 2: the name is not"),
        ("a=http://:%ff@h", "entry 1: the password is not UTF-8"),
        ("a=http://:%0a@h", "entry 1: the password cannot be sent"),
    ];
    for (text, expected) in cases {
        let problems = World::new().env("SEGUE_LAVALINK_NODES", text).problems();
        assert!(problems[0].contains(expected), "{text}: {problems:?}");
    }
}

#[test]
fn store_addresses_are_read_and_shown_without_their_password() {
    let cases = [
        ("sqlite:a.db", "sqlite:a.db"),
        ("sqlite:///var/a.db", "sqlite:/var/a.db"),
        (
            "mongodb://u:hunter2sesame@a:1,b:2/prod?replicaSet=r",
            "mongodb://a:1,b:2/prod",
        ),
        (
            "mongodb+srv://u:hunter2sesame@c.example",
            "mongodb+srv://c.example/segue",
        ),
        ("mongodb://a", "mongodb://a/segue"),
    ];
    for (text, shown) in cases {
        let settings = World::new().env("SEGUE_STORE", text).settings();
        assert_eq!(settings.store.to_string(), shown);
        assert!(!format!("{settings:?}").contains(SECRET));
    }
    for text in [
        "sqlite:",
        "sqlite::memory:",
        "postgres://x",
        "mongodb://",
        "mongodb://u:p/w@h/db",
        "a.db",
    ] {
        assert_eq!(World::new().env("SEGUE_STORE", text).problems().len(), 1, "{text}");
    }
}

#[test]
fn no_secret_is_ever_shown_whatever_is_wrong_with_it() {
    let values = [
        format!("mongodb://u:{SECRET}@h/db"),
        format!("mongodb://u:{SECRET}/x@h/db"),
        format!("a=http://:{SECRET}@h:2333"),
        format!("a=http://:{SECRET},{SECRET}=x@h:2333"),
        format!("a=http://{SECRET}@h:2333"),
        format!("{SECRET}=http://h"),
        format!("{SECRET} x"),
        format!("a=http://:{SECRET}@h:notaport"),
        SECRET.to_owned(),
    ];
    for value in values {
        for key in ["DISCORD_TOKEN", "SEGUE_STORE", "SEGUE_LAVALINK_NODES"] {
            let quoted = format!("{} = '{value}'", keys::find(key).unwrap().in_file());
            let unclosed = format!("{} = '{value}", keys::find(key).unwrap().in_file());
            for world in [
                World::new().env(key, &value),
                World::new().toml(&quoted),
                World::new().toml(&unclosed),
                World::new()
                    .env(key, "")
                    .env(&format!("{key}_FILE"), "/s")
                    .file("/s", &value),
            ] {
                let effective = world.load();
                let all = format!("{}\n{:?}", all_that_is_shown(&effective), effective.settings);
                assert!(!all.contains(SECRET), "{key}={value}: {all}");
            }
        }
    }
}

#[test]
fn a_password_in_any_url_is_not_shown() {
    for key in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "SEGUE_DISCORD_API_URL",
        "SEGUE_DISCORD_GATEWAY_URL",
    ] {
        for (given, shown) in [
            ("https://user:hunter2sesame@host/x", "https://***@host/x"),
            ("user:hunter2sesame@host:1", "***@host:1"),
        ] {
            let all = all_that_is_shown(&World::new().env(key, given).load());
            assert!(all.contains(shown) && !all.contains(SECRET), "{all}");
        }
    }
}

#[test]
fn a_password_in_a_flag_is_warned_of() {
    let effective = World::new()
        .flag("SEGUE_LAVALINK_NODES", "a=http://:hunter2sesame@h")
        .load();
    assert!(
        effective.warnings[0].contains("--lavalink-nodes-file"),
        "{:?}",
        effective.warnings
    );
    assert!(!effective.warnings[0].contains(SECRET));
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line() {
    let problems = World::new().toml("shards = 1\nwhat is this").problems();
    assert!(
        problems[0].starts_with("the file (segue.toml:2): not TOML"),
        "{problems:?}"
    );
    let mut world = World::new();
    world.flags.config = Some(PathBuf::from("gone.toml"));
    assert!(world.problems()[0].contains("cannot read gone.toml"));
}

#[test]
fn every_key_is_read_and_has_a_row_in_the_tables_order() {
    let rows = World::new().load().rows;
    let read: Vec<&str> = rows.iter().map(|row| row.key).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.env).collect();
    assert_eq!(read, known);
}

#[test]
fn the_documentation_lists_exactly_the_keys() {
    let doc = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    let documented: Vec<&str> = doc.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let file = if key.may_come_from_a_file() { " (`_FILE`)" } else { "" };
            let flag = key
                .flag()
                .unwrap_or_else(|| format!("{}-file", key.in_file().replace('_', "-")));
            let default = key.shown_default();
            format!(
                "| `{}`{file} | `{}` | `--{flag}` | {default} | {} |",
                key.env,
                key.in_file(),
                key.meaning
            )
        })
        .collect();
    assert_eq!(
        documented,
        expected,
        "docs/configuration.md should hold:\n{}",
        expected.join("\n")
    );
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,60}") {
        let world = KEYS.iter().fold(World::new(), |world, key| world.env(key.env, &text));
        world.load();
        World::new().toml(&text).load();
    }

    #[test]
    fn any_printable_password_survives_percent_encoding(password in "[ -~]{1,30}") {
        let encoded = percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC);
        let nodes = value::nodes(&format!("a=http://:{encoded}@h:2333")).unwrap();
        prop_assert_eq!(nodes[0].password.expose_secret(), password.as_str());
    }
}

#[test]
fn a_lease_has_a_name_that_kubernetes_takes_and_a_trace_url_says_where_the_id_stands() {
    for wrong in ["Segue", "-a", "a-", "a_b", &"a".repeat(254)] {
        let world = World::new().flag("SEGUE_LEASE", wrong);
        assert!(world.problems()[0].contains("no name that Kubernetes takes"), "{wrong}");
    }
    for wrong in ["https://tempo.example/", "ftp://x/{trace_id}", "{trace_id}"] {
        let world = World::new().flag("SEGUE_TRACE_URL", wrong);
        assert!(
            world.problems()[0].contains("{trace_id}"),
            "{wrong}: {:?}",
            world.problems()
        );
    }
    let right = World::new().flag("SEGUE_TRACE_URL", "http://jaeger:16686/trace/{trace_id}");
    assert_eq!(
        right.settings().trace_url.as_deref(),
        Some("http://jaeger:16686/trace/{trace_id}")
    );
}
