//! The types of settings that are more than a number, and how each is read from text.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::problem::Wrong;
use crate::model::ids::NodeName;

/// Where state is kept. Its `Debug` and `Display` hide the password.
#[derive(Clone, Debug)]
pub enum StoreAddress {
    /// A file on this machine.
    Sqlite(PathBuf),
    /// A MongoDB deployment.
    Mongodb {
        /// The connection string, password and all.
        uri: SecretString,
        /// The same without credentials and options.
        shown: String,
        /// The database; `segue` when the connection string names none.
        database: String,
    },
}

impl StoreAddress {
    /// The whole address, password and all, as the store wants it: `sqlite:PATH` or `mongodb://…`.
    pub fn whole(&self) -> SecretString {
        match self {
            Self::Sqlite(path) => SecretString::from(format!("sqlite:{}", path.display())),
            Self::Mongodb { uri, .. } => uri.clone(),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Mongodb { shown, .. } => f.write_str(shown),
        }
    }
}

/// One Lavalink node.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The operator's name for it.
    pub name: NodeName,
    /// Its address, `http` or `https`, without credentials.
    pub url: Url,
    /// Its password, percent-decoded.
    pub password: SecretString,
}

/// How replicas agree who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterMode {
    /// Kubernetes when in a pod, else the store.
    Auto,
    /// A Kubernetes Lease.
    Kubernetes,
    /// The store.
    Store,
}

/// How many gateway shards there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// As many as Discord recommends.
    Auto,
    /// This many, at least one.
    Count(u32),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Most shards that may be asked for; Discord's largest bots have a few thousand.
const MOST_SHARDS: u32 = 16_384;

pub(super) fn store(text: &str) -> Result<StoreAddress, Wrong> {
    const FIX: &str = "Write sqlite:PATH or mongodb://HOST/segue";
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err(Wrong::new("no path follows sqlite:", FIX)),
            ":memory:" => Err(Wrong::new("a store in memory is lost with the process", FIX)),
            path => Ok(StoreAddress::Sqlite(PathBuf::from(path))),
        };
    }
    let Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) = text.split_once("://") else {
        return Err(Wrong::new("neither sqlite: nor mongodb://", FIX));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let (hosts, _) = hosts.split_once('?').unwrap_or((hosts, ""));
    let named = path.split(['?', '/', '#']).next().unwrap_or_default();
    let database = if named.is_empty() { "segue" } else { named };
    if hosts.is_empty() {
        return Err(Wrong::new("no host", FIX));
    }
    if path.contains('@') {
        return Err(Wrong::new(
            "the user or password holds a character that ends it early",
            "Percent-encode / ? # @ and : in it (/ is %2F, @ is %40)",
        ));
    }
    Ok(StoreAddress::Mongodb {
        uri: SecretString::from(text),
        shown: format!("{scheme}://{hosts}/{database}"),
        database: database.to_owned(),
    })
}

/// Reads `a=http://:password@host:2333,b=…`. Its errors name an entry by its place, never by its text: what was meant
/// to be a password may have ended up anywhere.
pub(super) fn nodes(text: &str) -> Result<Vec<NodeSettings>, Wrong> {
    let mut nodes: Vec<NodeSettings> = Vec::new();
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    for (index, entry) in entries.enumerate() {
        let node =
            node(entry).map_err(|wrong| Wrong::new(format!("entry {}: {}", index + 1, wrong.what), wrong.fix))?;
        if nodes.iter().any(|other| other.name == node.name) {
            return Err(Wrong::new(
                format!("two nodes are called {}", node.name),
                "Give each node a name of its own",
            ));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn node(entry: &str) -> Result<NodeSettings, Wrong> {
    const FIX: &str = "Write NAME=http://:PASSWORD@HOST:PORT, with a comma in the password as %2C and @ as %40";
    let (name, address) = entry
        .split_once('=')
        .ok_or_else(|| Wrong::new("no name before =", FIX))?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = name.trim();
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(Wrong::new(
            "the name is not 1 to 63 letters, digits, dashes, dots or underscores",
            FIX,
        ));
    }
    let mut url = Url::parse(address.trim()).map_err(|error| Wrong::new(format!("not a URL ({error})"), FIX))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(Wrong::new("neither http:// nor https:// and a host", FIX));
    }
    let Some(encoded) = url.password().map(str::to_owned) else {
        return Err(if url.username().is_empty() {
            Wrong::new("no password", FIX)
        } else {
            Wrong::new(
                "a user but no password",
                "Put a colon before the password: http://:PASSWORD@HOST:PORT",
            )
        });
    };
    let password = percent_decode_str(&encoded)
        .decode_utf8()
        .map_err(|_| Wrong::new("the password is not UTF-8 once percent-decoded", FIX))?;
    if password.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(Wrong::new(
            "the password cannot be sent in an HTTP header",
            "Choose one of printable ASCII characters",
        ));
    }
    let password = SecretString::from(password.as_ref());
    let cleared = url.set_password(None).and_then(|()| url.set_username(""));
    cleared.map_err(|()| Wrong::new("not a URL that has a host", FIX))?;
    Ok(NodeSettings {
        name: NodeName(name.to_owned()),
        url,
        password,
    })
}

/// A token as it stands in a header: printable, without blanks.
pub(super) fn token(text: &str) -> Result<SecretString, Wrong> {
    let bare = text.strip_prefix("Bot ").unwrap_or(text).trim();
    if bare.chars().all(|c| c.is_ascii_graphic()) {
        Ok(SecretString::from(bare))
    } else {
        Err(Wrong::new(
            "it holds blanks or characters that no token has",
            "Copy it again from the developer portal, without quotes",
        ))
    }
}

pub(super) fn cluster(text: &str) -> Result<ClusterMode, Wrong> {
    one_of(
        text,
        &[
            ("auto", ClusterMode::Auto),
            ("kubernetes", ClusterMode::Kubernetes),
            ("store", ClusterMode::Store),
        ],
    )
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    one_of(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    one_of(
        &text.to_lowercase(),
        &[
            ("true", true),
            ("false", false),
            ("1", true),
            ("0", false),
            ("yes", true),
            ("no", false),
            ("on", true),
            ("off", false),
        ],
    )
    .map_err(|Wrong { what, .. }| Wrong::new(what, "Write true or false"))
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Wrong::new(
            format!("{text:?} is not known"),
            format!("Write one of: {}", names.join(", ")),
        )
    })
}

/// The name of a Kubernetes object: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
pub(super) fn lease(text: &str) -> Result<String, Wrong> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let well = text.len() <= 253
        && text.chars().all(|c| inner(c) || c == '-' || c == '.')
        && text.starts_with(inner)
        && text.ends_with(inner);
    if well {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            format!("{text:?} is no name that Kubernetes takes"),
            "Write lower-case letters, digits and dashes, such as segue",
        ))
    }
}

pub(super) fn trace_url(text: &str) -> Result<String, Wrong> {
    const FIX: &str = "Write an address such as https://tempo.example/trace/{trace_id}";
    let url = Url::parse(&text.replace("{trace_id}", "0"));
    let web = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    match (web, text.contains("{trace_id}")) {
        (true, true) => Ok(text.to_owned()),
        (true, false) => Err(Wrong::new("it does not say where the trace's id stands", FIX)),
        (false, _) => Err(Wrong::new("it is no http or https address", FIX)),
    }
}

pub(super) fn shards(text: &str) -> Result<Shards, Wrong> {
    if text == "auto" {
        return Ok(Shards::Auto);
    }
    match text.parse() {
        Ok(count) if (1..=MOST_SHARDS).contains(&count) => Ok(Shards::Count(count)),
        Ok(_) | Err(_) => Err(Wrong::new(
            format!("{text:?} is neither auto nor a number from 1 to {MOST_SHARDS}"),
            "Write auto, or a number such as 4",
        )),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    humantime::parse_duration(text).map_err(|error| {
        Wrong::new(
            format!("{text:?} is not a duration ({error})"),
            "Write a number and a unit: 10s, 5m, 1h",
        )
    })
}

/// A duration for something that happens again and again, or that must leave people some time.
pub(super) fn interval(text: &str) -> Result<Duration, Wrong> {
    const LEAST: Duration = Duration::from_millis(10);
    let parsed = duration(text)?;
    if parsed < LEAST {
        return Err(Wrong::new(format!("{text:?} is too short"), "Write at least 10ms"));
    }
    Ok(parsed)
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("{text:?} is not an address and a port"),
            "Write 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 to be reached from elsewhere",
        )
    };
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| wrong())?;
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| wrong())
}

/// `host` or `host:port`; who listens fills a missing port in.
pub(super) fn advertise(text: &str) -> Result<String, Wrong> {
    if text.parse::<SocketAddr>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "1"));
    let host_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !host.is_empty() && host.chars().all(host_fits) && port.parse::<u16>().is_ok_and(|port| port > 0) {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            format!("{text:?} is not a host or host:port"),
            "Write what others can reach, such as 10.0.0.7:7946",
        ))
    }
}

pub(super) fn api_url(text: &str) -> Result<Url, Wrong> {
    const FIX: &str = "Write scheme, host and port only, such as http://127.0.0.1:3000";
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("not a URL ({error})"), FIX))?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare && anonymous {
        Ok(url)
    } else {
        Err(Wrong::new("more or less than scheme, host and port", FIX))
    }
}

pub(super) fn gateway_url(text: &str) -> Result<String, Wrong> {
    const FIX: &str = "Write ws://HOST:PORT or wss://HOST";
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("not a URL ({error})"), FIX))?;
    if matches!(url.scheme(), "ws" | "wss") && url.has_host() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(Wrong::new("neither ws:// nor wss:// and a host", FIX))
    }
}

pub(super) fn name(text: &str) -> Result<String, Wrong> {
    if text.len() <= 63
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            "not at most 63 letters, digits, dashes, dots or underscores",
            "Write a short name such as b",
        ))
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, Wrong> {
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| {
            Wrong::new(
                format!("not a log filter ({error})"),
                "Write a level (error, warn, info, debug, trace), or pairs such as info,segue::gateway=debug",
            )
        })
}
