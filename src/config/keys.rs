//! The one table of settings: parsing, `segue config`, the flags and `docs/configuration.md` all follow it.

/// What may be known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Shown as it is.
    Plain,
    /// May carry a password: shown masked; `KEY_FILE` reads it from a file.
    Masked,
    /// Never shown, and no flag takes it, since flags can be seen by everybody on the machine; `KEY_FILE` reads it
    /// from a file.
    Secret,
}

/// What holds where nothing is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text, parsed like any other.
    Text(&'static str),
    /// One text outside, another inside a Kubernetes pod.
    Place {
        /// On a plain machine.
        outside: &'static str,
        /// In a pod.
        inside: &'static str,
    },
    /// Found out at start; the text says how.
    Found(&'static str),
    /// Nothing: it is optional; the text says what that means.
    Unset(&'static str),
    /// Nothing: the bot does not start without it.
    Required,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the environment.
    pub env: &'static str,
    /// What a value looks like, for `--help`.
    pub form: &'static str,
    /// What holds where nothing is set.
    pub fallback: Fallback,
    /// What may be known of it.
    pub exposure: Exposure,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

impl Key {
    /// Its name in the TOML file: `SEGUE_STORE` is `store`, `DISCORD_TOKEN` is `discord_token`.
    pub fn in_file(&self) -> String {
        self.env.strip_prefix("SEGUE_").unwrap_or(self.env).to_lowercase()
    }

    /// Its flag without the dashes; `None` for a secret.
    pub fn flag(&self) -> Option<String> {
        (self.exposure != Exposure::Secret).then(|| self.in_file().replace('_', "-"))
    }

    /// Whether `KEY_FILE` may name a file that holds the value.
    pub fn may_come_from_a_file(&self) -> bool {
        self.exposure != Exposure::Plain
    }

    /// The default as people read it.
    pub fn shown_default(&self) -> String {
        match self.fallback {
            Fallback::Text(text) => format!("`{text}`"),
            Fallback::Place { outside, inside } => format!("`{outside}`; in a pod `{inside}`"),
            Fallback::Found(text) | Fallback::Unset(text) => text.to_owned(),
            Fallback::Required => "required".to_owned(),
        }
    }
}

/// The key with this name in the environment.
pub fn find(env: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.env == env)
}

const fn plain(env: &'static str, form: &'static str, fallback: Fallback, meaning: &'static str) -> Key {
    Key {
        env,
        form,
        fallback,
        exposure: Exposure::Plain,
        meaning,
    }
}

/// Every setting, in the order people read them.
pub const KEYS: &[Key] = &[
    Key {
        env: "DISCORD_TOKEN",
        form: "TOKEN",
        fallback: Fallback::Required,
        exposure: Exposure::Secret,
        meaning: "The bot's token, from Discord's developer portal.",
    },
    Key {
        env: "SEGUE_STORE",
        form: "ADDRESS",
        fallback: Fallback::Found("`segue.db` in the user's data folder"),
        exposure: Exposure::Masked,
        meaning: "Where state is kept: `sqlite:PATH` or `mongodb://…/segue`.",
    },
    Key {
        env: "SEGUE_LAVALINK_NODES",
        form: "NAME=URL,…",
        fallback: Fallback::Unset("none: nothing can be played"),
        exposure: Exposure::Masked,
        meaning: "Lavalink nodes: `a=http://:password@host:2333,b=https://…`; passwords percent-encoded.",
    },
    plain(
        "SEGUE_CLUSTER",
        "MODE",
        Fallback::Text("auto"),
        "How replicas agree: `auto` (Kubernetes when in a pod, else the store), `kubernetes`, `store`.",
    ),
    plain(
        "SEGUE_LEASE",
        "NAME",
        Fallback::Text("segue"),
        "The Kubernetes Lease that elects the leader; one for each deployment in a namespace.",
    ),
    plain(
        "SEGUE_SHARDS",
        "N",
        Fallback::Text("auto"),
        "How many gateway shards: `auto` (as Discord recommends), or a number. Another number is taken when no replica runs.",
    ),
    plain(
        "SEGUE_NAME",
        "NAME",
        Fallback::Found("the pod's name, else the host's"),
        "What people call this replica on pages and in messages.",
    ),
    plain(
        "SEGUE_DISCORD_API_URL",
        "URL",
        Fallback::Unset("Discord's own"),
        "Scheme, host and port of Discord's REST API; `/api/v10` follows.",
    ),
    plain(
        "SEGUE_DISCORD_GATEWAY_URL",
        "URL",
        Fallback::Unset("what Discord's REST API says"),
        "Address of Discord's gateway.",
    ),
    plain(
        "SEGUE_HTTP_LISTEN",
        "ADDRESS:PORT",
        Fallback::Place {
            outside: "127.0.0.1:8080",
            inside: "0.0.0.0:8080",
        },
        "Where pages, probes and metrics are served; port 0 picks a free one.",
    ),
    plain(
        "SEGUE_PEER_LISTEN",
        "ADDRESS:PORT",
        Fallback::Place {
            outside: "127.0.0.1:0",
            inside: "0.0.0.0:7946",
        },
        "Where other replicas reach this one; port 0 picks a free one.",
    ),
    plain(
        "SEGUE_PEER_ADVERTISE",
        "HOST[:PORT]",
        Fallback::Found("the address it listens on; in a pod the pod's address"),
        "The address that other replicas are told.",
    ),
    plain(
        "SEGUE_AUTOSAVE_INTERVAL",
        "DURATION",
        Fallback::Text("10s"),
        "How often positions are saved while music plays.",
    ),
    plain(
        "SEGUE_RESTORE_STABILIZATION",
        "DURATION",
        Fallback::Text("0s"),
        "How long to wait after everything is ready before players are restored.",
    ),
    plain(
        "SEGUE_RESTORE_MAX_AGE",
        "DURATION",
        Fallback::Text("1h"),
        "A player that was last heard longer ago is not restored by itself; its queue is kept.",
    ),
    plain(
        "SEGUE_ALONE_TIMEOUT",
        "DURATION",
        Fallback::Text("5m"),
        "How long the bot stays in a voice channel with nobody to hear it.",
    ),
    plain(
        "MUSIC_AUTO_RESUME",
        "BOOL",
        Fallback::Text("true"),
        "Whether a restored player goes on by itself; a guild can decide otherwise.",
    ),
    plain(
        "SEGUE_TRACE_URL",
        "URL",
        Fallback::Unset("recoveries name their trace without a link"),
        "Where a trace can be looked at, with `{trace_id}` in it, for links on the status page.",
    ),
    plain(
        "SEGUE_LOG",
        "FILTER",
        Fallback::Text("info"),
        "What is logged: a level, or `target=level` pairs with commas between.",
    ),
    plain(
        "SEGUE_LOG_FORMAT",
        "FORMAT",
        Fallback::Found("`text` on a terminal, else `json`"),
        "How it is logged: `text` or `json`.",
    ),
    plain(
        "OTEL_SDK_DISABLED",
        "BOOL",
        Fallback::Text("false"),
        "`true` switches traces and logs off that are sent somewhere, whatever else is set.",
    ),
    plain(
        "OTEL_SERVICE_NAME",
        "NAME",
        Fallback::Found("`service.name` in `OTEL_RESOURCE_ATTRIBUTES`, else `segue`"),
        "The service's name on traces and logs that are sent.",
    ),
    plain(
        "OTEL_TRACES_EXPORTER",
        "EXPORTER",
        Fallback::Text("otlp"),
        "`otlp`, or `none` for no traces.",
    ),
    plain(
        "OTEL_LOGS_EXPORTER",
        "EXPORTER",
        Fallback::Text("otlp"),
        "`otlp`, or `none` for logs on the standard error only.",
    ),
    plain(
        "OTEL_PROPAGATORS",
        "LIST",
        Fallback::Text("tracecontext,baggage"),
        "No effect: trace contexts always travel as `tracecontext`; another value is a warning.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "URL",
        Fallback::Unset("no traces and logs are sent"),
        "Where traces and logs are sent; over HTTP `/v1/traces` and `/v1/logs` follow.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "URL",
        Fallback::Unset("as `OTEL_EXPORTER_OTLP_ENDPOINT`"),
        "Where traces are sent, the whole URL.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "URL",
        Fallback::Unset("as `OTEL_EXPORTER_OTLP_ENDPOINT`"),
        "Where logs are sent, the whole URL.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "PROTOCOL",
        Fallback::Text("http/protobuf"),
        "`http/protobuf` or `grpc`.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "PROTOCOL",
        Fallback::Unset("as `OTEL_EXPORTER_OTLP_PROTOCOL`"),
        "The same for traces alone.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
        "PROTOCOL",
        Fallback::Unset("as `OTEL_EXPORTER_OTLP_PROTOCOL`"),
        "The same for logs alone.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "MILLISECONDS",
        Fallback::Text("10000"),
        "How long one export may take.",
    ),
];
