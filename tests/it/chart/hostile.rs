//! Values that somebody got wrong are refused, with the key and what to do.

use super::render::Chart;

/// What is set, and words that must be in the answer: the key, and what is wanted.
const CASES: &[(&str, &[&str])] = &[
    // Wrong types.
    (
        "replicaCount=two",
        &["/replicaCount", "got string, want null or integer"],
    ),
    ("replicaCount=0", &["/replicaCount", "minimum"]),
    ("discord=token", &["/discord", "want object"]),
    ("lavalink.external=http://a", &["/lavalink/external", "want array"]),
    (
        "podDisruptionBudget.enabled=yes",
        &["/podDisruptionBudget/enabled", "want boolean"],
    ),
    ("config.shards=many", &["/config/shards"]),
    ("config.restore_max_age=2", &["/config/restore_max_age"]),
    ("config.music_auto_resume=maybe", &["/config/music_auto_resume"]),
    ("metrics.podMonitor.interval=fast", &["/metrics/podMonitor/interval"]),
    // Settings of the bot may be written so, Prometheus takes it from nobody.
    ("metrics.podMonitor.interval=5us", &["/metrics/podMonitor/interval"]),
    ("metrics.podMonitor.interval=1h 30m", &["/metrics/podMonitor/interval"]),
    ("metrics.podMonitor.interval=", &["/metrics/podMonitor/interval"]),
    (
        "metrics.prometheusRule.overrides.SegueDown.for=1m1h",
        &["/metrics/prometheusRule/overrides/SegueDown/for"],
    ),
    (
        "metrics.prometheusRule.overrides.SegueDown.for=null",
        &["/metrics/prometheusRule/overrides/SegueDown/for", "want string"],
    ),
    ("podLabels.team[0]=music", &["/podLabels/team"]),
    ("networkPolicy.dnsPorts=", &["/networkPolicy/dnsPorts", "want array"]),
    ("otel.protocol=thrift", &["/otel/protocol", "http/protobuf"]),
    ("otel.samplerArg=7", &["/otel/samplerArg"]),
    ("env[0]=A", &["/env", "want object"]),
    (
        "env.lower-case=1",
        &["propertyName 'lower-case'", "does not match pattern"],
    ),
    ("resources.limits.memory=a lot", &["/resources/limits/memory"]),
    // Names that no cluster takes.
    ("discord.existingSecret=My_Secret", &["/discord/existingSecret"]),
    ("image.digest=sha256:abc", &["/image/digest", "sha256"]),
    ("image.tag=-x", &["/image/tag"]),
    ("lavalink.external[0].url=lavalink:2333", &["/lavalink/external/0/url"]),
    (
        "lavalink.external[0].url=http://:secret@lavalink:2333",
        &["/lavalink/external/0/url"],
    ),
    (
        "metrics.prometheusRule.disabled[0]=KubePodCrashLooping",
        &["/metrics/prometheusRule/disabled/0"],
    ),
    // Keys that were never taken, or are said elsewhere.
    ("replicas=3", &["replicas: it is called replicaCount"]),
    ("extraEnv.A=1", &["extraEnv: it is called env, and is a map"]),
    (
        "lavalink.nodes.a=1",
        &["lavalink.nodes: it is called lavalink.external"],
    ),
    (
        "drain.timeoutSeconds=60",
        &["drain.timeoutSeconds", "terminationGracePeriodSeconds"],
    ),
    (
        "updateStrategy.rollingUpdate.maxUnavailable=2",
        &["updateStrategy.rollingUpdate.maxUnavailable", "one by one"],
    ),
    (
        "config.store=sqlite:a",
        &["config.store: say mongodb.existingSecret instead"],
    ),
    (
        "config.discord_token=a",
        &["config.discord_token: say discord.existingSecret instead"],
    ),
    (
        "config.otel_propagators=none",
        &["config.otel_propagators", "env.OTEL_PROPAGATORS"],
    ),
    (
        "env.SEGUE_RESTORE_MAX_AGE=2h",
        &["env.SEGUE_RESTORE_MAX_AGE: say config.restore_max_age instead"],
    ),
    (
        "env.DISCORD_TOKEN_FILE=/a",
        &["env.DISCORD_TOKEN_FILE: say discord.existingSecret instead"],
    ),
    (
        "env.SEGUE_HTTP_LISTEN=0.0.0.0:1",
        &["env.SEGUE_HTTP_LISTEN: the chart decides it"],
    ),
    (
        "env.OTEL_TRACES_SAMPLER=always_on",
        &["env.OTEL_TRACES_SAMPLER: say it under otel instead"],
    ),
    // What contradicts itself.
    (
        "mongodb.bundled.enabled=true",
        &["mongodb.existingSecret", "give only one of them"],
    ),
    (
        "lavalink.enabled=true",
        &["lavalink.existingSecret: name the Secret with the nodes' password"],
    ),
    (
        "serviceAccount.create=false",
        &["serviceAccount.name", "name one that is there"],
    ),
    (
        "autoscaling.enabled=true,autoscaling.minReplicas=9",
        &["autoscaling.minReplicas", "autoscaling.maxReplicas"],
    ),
];

#[test]
fn wrong_values_are_refused_with_their_key_and_what_to_do() {
    let Some(chart) = Chart::here() else { return };
    for (set, expected) in CASES {
        let words = chart.refused(&[set]);
        for part in *expected {
            assert!(words.contains(part), "{set}: no {part:?} in {words}");
        }
    }
}

#[test]
fn names_that_do_not_fit_are_refused_and_not_cut() {
    let Some(chart) = Chart::here() else { return };
    let long = "a".repeat(300);
    for key in [
        "nameOverride",
        "fullnameOverride",
        "discord.existingSecret",
        "serviceAccount.name",
        "image.repository",
    ] {
        let words = chart.refused(&[&format!("{key}={long}")]);
        assert!(words.contains(&key.replace('.', "/")), "{key}: {words}");
    }
    let values = "charts/segue/ci/default-values.yaml";
    let ended = chart.helm(&["template", &"b".repeat(53), "charts/segue", "-f", values]);
    let words = String::from_utf8(ended.stderr).unwrap();
    assert!(
        words.contains("fullnameOverride: the name") && words.contains("59 characters, 43 fit"),
        "{words}"
    );
    let ended = chart.helm(&["template", &"b".repeat(37), "charts/segue", "-f", values]);
    assert!(ended.status.success(), "43 characters fit");
}

#[test]
fn a_release_whose_name_is_none_for_a_service_is_refused() {
    let Some(chart) = Chart::here() else { return };
    let values = "charts/segue/ci/default-values.yaml";
    // Helm takes each of them as a release's name.
    for name in ["my.bot", "24bot", "segue.1"] {
        let ended = chart.helm(&["template", name, "charts/segue", "-f", values]);
        let words = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{name} was accepted");
        assert!(
            words.contains(&format!("fullnameOverride: the name {name}"))
                && words.contains("set one of small letters, digits and hyphens"),
            "{name}: {words}"
        );
        let other = "fullnameOverride=bot-24";
        let ended = chart.helm(&["template", name, "charts/segue", "-f", values, "--set", other]);
        assert!(ended.status.success(), "{name} with fullnameOverride");
    }
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let Some(chart) = Chart::here() else { return };
    let second = [
        "lavalink.external[1].name=a",
        "lavalink.external[1].url=http://b",
        "lavalink.external[1].existingSecret=b",
    ];
    let words = chart.refused(&second);
    assert!(
        words.contains("lavalink.external: two nodes would be called a"),
        "{words}"
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    let Some(chart) = Chart::here() else { return };
    let words = chart.refused(&[
        "replicas=3",
        "discord.existingSecret=",
        "terminationGracePeriodSeconds=1",
    ]);
    assert!(words.contains("3 thing(s) to correct"), "{words}");
}
