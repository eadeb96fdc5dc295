//! The settings: collected from defaults < TOML file < environment < flags, then proven. The only module that reads
//! the environment.
//!
//! [`load`] never stops at the first problem: all are listed, each with its key, where it was written, and a fix.

pub mod environment;
pub mod flags;
pub mod keys;
mod layers;
pub mod otel;
pub mod problem;
pub mod show;
#[cfg(test)]
mod tests;
pub mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use environment::{Place, Surroundings};
use flags::Flags;
use keys::{Fallback, KEYS, Key};
use layers::{Found, Layers, ReadFile};
use otel::OtelSettings;
use problem::{Problem, Source, Wrong};
use show::Row;
pub use value::{ClusterMode, LogFormat, NodeSettings, Shards, StoreAddress};

/// Everything that can be set, proven. `docs/configuration.md` says what each means.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bot's token without `Bot `; empty only where [`Need::Nothing`] was asked for.
    pub discord_token: SecretString,
    /// Where state is kept.
    pub store: StoreAddress,
    /// The Lavalink nodes, names unique; may be empty.
    pub lavalink_nodes: Vec<NodeSettings>,
    /// How replicas agree; [`Settings::elects_by_kubernetes`] decides `Auto`.
    pub cluster: ClusterMode,
    /// The Kubernetes Lease that elects the leader.
    pub lease: String,
    /// Where a trace can be looked at, `http` or `https`, with `{trace_id}` in it.
    pub trace_url: Option<String>,
    /// How many gateway shards.
    pub shards: Shards,
    /// What people call this replica.
    pub name: String,
    /// Scheme, host and port of Discord's REST API, when it is not Discord's own.
    pub discord_api_url: Option<Url>,
    /// The gateway's address, when it is not what REST says; no slash at its end.
    pub discord_gateway_url: Option<String>,
    /// Where pages, probes and metrics are served.
    pub http_listen: SocketAddr,
    /// Where other members reach this one.
    pub peer_listen: SocketAddr,
    /// What other members are told, `host` or `host:port`; `None`: the address it listens on.
    pub peer_advertise: Option<String>,
    /// How often positions are saved; at least 10 ms.
    pub autosave_interval: Duration,
    /// Wait after everything is ready before players are restored.
    pub restore_stabilization: Duration,
    /// Older players are not restored by themselves.
    pub restore_max_age: Duration,
    /// How long to stay with nobody listening; at least 10 ms.
    pub alone_timeout: Duration,
    /// Whether restored players go on by themselves.
    pub auto_resume: bool,
    /// How things are logged.
    pub log: LogSettings,
    /// Where traces go.
    pub otel: OtelSettings,
    /// Where the process runs.
    pub place: Place,
}

/// How things are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter that was found to parse.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Settings {
    /// Whether leaders are elected by a Kubernetes Lease; else by the store.
    pub fn elects_by_kubernetes(&self) -> bool {
        match self.cluster {
            ClusterMode::Auto => self.place.in_pod,
            ClusterMode::Kubernetes => true,
            ClusterMode::Store => false,
        }
    }
}

/// What a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All required keys.
    Everything,
    /// None: `status` works without a token.
    Nothing,
}

/// What the layers gave: the settings if nothing is wrong, the table for people in any case.
#[derive(Debug)]
pub struct Effective {
    /// The settings; `None` when there are problems.
    pub settings: Option<Settings>,
    /// Every key, in the table's order.
    pub rows: Vec<Row>,
    /// What keeps the program from starting.
    pub problems: Vec<Problem>,
    /// What does not, but should be known.
    pub warnings: Vec<String>,
}

/// Reads all layers. Touches files and the environment.
pub fn load(flags: &Flags, need: Need) -> Effective {
    combine(flags, &Surroundings::of_this_process(), need, &environment::read)
}

/// The same with everything given; pure apart from `read`.
fn combine(flags: &Flags, around: &Surroundings, need: Need, read: ReadFile<'_>) -> Effective {
    let mut layers = Layers::default();
    let place = Place::of(around);
    if let Some((path, source)) = file_to_read(flags, around) {
        match read(&path) {
            Ok(text) => layers.add_toml(&path, &text, read),
            Err(error) => {
                let what = format!("cannot read {} ({error})", path.display());
                layers.problem(
                    "SEGUE_CONFIG",
                    source,
                    Wrong::new(what, "Name a TOML file that the bot may read"),
                );
            }
        }
    }
    layers.add_environment(&around.environment, place.in_pod, read);
    for name in &around.not_unicode {
        let wrong = Wrong::new("its value is not UTF-8", "Set it again as plain text");
        layers.problem(name, Source::Environment, wrong);
    }
    layers.add_flags(&flags.given, read);
    let otel = read_otel(&mut layers, &around.environment);
    let mut reader = Reader {
        layers,
        around,
        place: &place,
        need,
        rows: Vec::new(),
    };
    let settings = reader.settings(otel);
    let Reader { layers, mut rows, .. } = reader;
    rows.sort_by_key(|row| KEYS.iter().position(|key| key.env == row.key));
    Effective {
        settings: settings.filter(|_| layers.problems.is_empty()),
        rows,
        problems: layers.problems,
        warnings: layers.warnings,
    }
}

fn file_to_read(flags: &Flags, around: &Surroundings) -> Option<(PathBuf, Source)> {
    if let Some(path) = &flags.config {
        return Some((path.clone(), Source::Flag("--config".to_owned())));
    }
    around
        .get("SEGUE_CONFIG")
        .map(|path| (Path::new(path).to_owned(), Source::Environment))
}

fn read_otel(layers: &mut Layers, environment: &[(String, String)]) -> OtelSettings {
    let get = |name: &str| {
        let said = layers.found.get(name).map(|found| found.text.clone());
        said.or_else(|| match keys::find(name)?.fallback {
            Fallback::Text(text) => Some(text.to_owned()),
            Fallback::Place { .. } | Fallback::Found(_) | Fallback::Unset(_) | Fallback::Required => None,
        })
    };
    let mut warnings = Vec::new();
    let settings = otel::read(&get, environment, &mut warnings);
    layers.warnings.append(&mut warnings);
    settings
}

/// Takes each key's text, parses it, and keeps the row that people see.
struct Reader<'a> {
    layers: Layers,
    around: &'a Surroundings,
    place: &'a Place,
    need: Need,
    rows: Vec<Row>,
}

impl Reader<'_> {
    fn settings(&mut self, otel: OtelSettings) -> Option<Settings> {
        for key in KEYS.iter().filter(|key| key.env.starts_with("OTEL_")) {
            self.text(key.env);
        }
        let discord_token = self.take("DISCORD_TOKEN", value::token);
        let store = self.take("SEGUE_STORE", value::store);
        let lavalink_nodes = self.take("SEGUE_LAVALINK_NODES", value::nodes);
        let cluster = self.take("SEGUE_CLUSTER", value::cluster);
        let lease = self.take("SEGUE_LEASE", value::lease);
        let shards = self.take("SEGUE_SHARDS", value::shards);
        let name = self.take("SEGUE_NAME", value::name);
        let discord_api_url = self.take("SEGUE_DISCORD_API_URL", value::api_url);
        let discord_gateway_url = self.take("SEGUE_DISCORD_GATEWAY_URL", value::gateway_url);
        let http_listen = self.take("SEGUE_HTTP_LISTEN", value::listen);
        let peer_listen = self.take("SEGUE_PEER_LISTEN", value::listen);
        let peer_advertise = self.take("SEGUE_PEER_ADVERTISE", value::advertise);
        let autosave_interval = self.take("SEGUE_AUTOSAVE_INTERVAL", value::interval);
        let restore_stabilization = self.take("SEGUE_RESTORE_STABILIZATION", value::duration);
        let restore_max_age = self.take("SEGUE_RESTORE_MAX_AGE", value::duration);
        let alone_timeout = self.take("SEGUE_ALONE_TIMEOUT", value::interval);
        let auto_resume = self.take("MUSIC_AUTO_RESUME", value::boolean);
        let trace_url = self.take("SEGUE_TRACE_URL", value::trace_url);
        let filter = self.take("SEGUE_LOG", value::log_filter);
        let format = self.take("SEGUE_LOG_FORMAT", value::log_format);
        Some(Settings {
            discord_token: discord_token.unwrap_or_default(),
            store: store?,
            lavalink_nodes: lavalink_nodes.unwrap_or_default(),
            cluster: cluster?,
            lease: lease?,
            trace_url,
            shards: shards?,
            name: name?,
            discord_api_url,
            discord_gateway_url,
            http_listen: http_listen?,
            peer_listen: peer_listen?,
            peer_advertise,
            autosave_interval: autosave_interval?,
            restore_stabilization: restore_stabilization?,
            restore_max_age: restore_max_age?,
            alone_timeout: alone_timeout?,
            auto_resume: auto_resume?,
            log: LogSettings {
                filter: filter?,
                format: format?,
            },
            otel,
            place: self.place.clone(),
        })
    }

    /// Parses a key's text; `None` when it is not set or wrong.
    fn take<T>(&mut self, env: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let found = self.text(env)?;
        match parse(&found.text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.layers.problem(&found.written, found.source, wrong);
                None
            }
        }
    }

    /// A key's text from the layers or its default, and the row for it.
    fn text(&mut self, env: &str) -> Option<Found> {
        let key = keys::find(env)?;
        let found = self.layers.found.get(env).cloned().or_else(|| self.fallback(key));
        self.rows.push(Row::of(key, found.as_ref()));
        found
    }

    fn fallback(&mut self, key: &'static Key) -> Option<Found> {
        let text = match key.fallback {
            Fallback::Text(text) => Some(text.to_owned()),
            Fallback::Place { outside, inside } => Some(if self.place.in_pod { inside } else { outside }.to_owned()),
            Fallback::Found(_) => self.find_out(key.env),
            Fallback::Unset(_) => None,
            Fallback::Required => {
                if self.need == Need::Everything {
                    let fix = format!("Set {0}, or {0}_FILE to a file that holds it", key.env);
                    self.layers
                        .problem(key.env, Source::Default, Wrong::new("it is required and not set", fix));
                }
                None
            }
        };
        text.map(|text| Found {
            text,
            source: Source::Default,
            written: key.env.to_owned(),
        })
    }

    fn find_out(&mut self, env: &str) -> Option<String> {
        match env {
            "SEGUE_STORE" => self.default_store(),
            "SEGUE_NAME" => {
                let host = self.place.pod_name.clone().or_else(|| self.around.host.clone());
                host.filter(|host| value::name(host).is_ok())
                    .or_else(|| Some("segue".to_owned()))
            }
            "SEGUE_PEER_ADVERTISE" => self.place.pod_ip.clone(),
            "SEGUE_LOG_FORMAT" => Some(if self.around.terminal { "text" } else { "json" }.to_owned()),
            _ => None,
        }
    }

    fn default_store(&mut self) -> Option<String> {
        if let Some(folder) = &self.around.data_folder {
            return Some(format!("sqlite:{}", folder.join("segue").join("segue.db").display()));
        }
        let wrong = Wrong::new(
            "there is no home folder to keep it in",
            "Set SEGUE_STORE to sqlite:PATH or mongodb://…",
        );
        self.layers.problem("SEGUE_STORE", Source::Default, wrong);
        None
    }
}
