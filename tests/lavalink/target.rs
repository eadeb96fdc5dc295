//! The two kinds of servers: the simulator, whose Discord gives out credentials, and a Lavalink by its address.

use std::net::{SocketAddr, UdpSocket};

use segue::sim::audio::Audio;
use segue::sim::clock::Clock;
use segue::sim::lavalink::{Nodes, Surroundings, Timing};
use segue::sim::log::Log;
use segue::sim::voice::{Minted, Switchboard};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::wave;

/// How a server's tracks are named.
pub(crate) enum Tracks {
    /// As the simulator knows them.
    Simulated,
    /// Files that this process serves, as the server reaches it: `http://HOST:PORT`.
    Served(String),
}

/// Where sound could go.
pub(crate) enum Sound {
    /// Nowhere.
    None,
    /// To the simulated Discord.
    Simulated(Switchboard),
    /// To a voice server that takes any credentials.
    Endpoint(String),
}

const CHANNEL: u64 = 77;

impl Tracks {
    /// The identifier of a track of that length.
    pub(crate) fn named(&self, title: &str, seconds: u64) -> String {
        match self {
            Self::Simulated => format!("sim:{title}?length={seconds}"),
            Self::Served(at) => format!("{at}/{title}-{seconds}.wav"),
        }
    }

    /// An identifier whose source fails.
    pub(crate) fn failing(&self) -> String {
        match self {
            Self::Simulated => "sim:error".to_owned(),
            // Nobody listens on the port of tcpmux.
            Self::Served(_) => "http://127.0.0.1:1/none.wav".to_owned(),
        }
    }
}

impl Sound {
    /// Credentials that hold for a guild, new ones each time.
    pub(crate) fn credentials(&self, guild: u64) -> Value {
        let token = format!("token-{}", uuid::Uuid::now_v7());
        let endpoint = match self {
            Self::None => "nowhere.invalid:443",
            Self::Simulated(_) => "voice.sim:443",
            Self::Endpoint(endpoint) => endpoint,
        };
        if let Self::Simulated(switchboard) = self {
            let minted = Minted {
                token: token.clone(),
                endpoint: endpoint.to_owned(),
                session_id: "voice".to_owned(),
                channel: CHANNEL,
            };
            switchboard.mint(guild, minted);
        }
        json!({"token": token, "endpoint": endpoint, "sessionId": "voice", "channelId": CHANNEL.to_string()})
    }
}

/// A node of the simulator with the real one's periods.
pub(crate) async fn simulated() -> (Bench, Nodes) {
    let clock = Clock::new();
    let switchboard = Switchboard::default();
    let surroundings = Surroundings {
        clock,
        log: Log::new(clock),
        switchboard: switchboard.clone(),
        audio: Audio::new(clock),
        timing: Timing::default(),
        seed: 1,
    };
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let nodes = Nodes::start_in(&["a".to_owned()], &[free], None, &surroundings)
        .await
        .unwrap();
    let node = nodes.ready().remove(0);
    let bench = Bench::new(
        node.url,
        node.password,
        Tracks::Simulated,
        Sound::Simulated(switchboard),
    );
    (bench, nodes)
}

/// The server that `cargo xtask test lavalink` names.
pub(crate) async fn addressed() -> Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo xtask gives the address in the environment"
    )]
    let told = |name: &str| std::env::var(name).ok();
    let url = told("SEGUE_LAVALINK_URL").expect("run me with `cargo xtask test lavalink --url … --password …`");
    let password = told("SEGUE_LAVALINK_PASSWORD").expect("a password");
    let sound = told("SEGUE_LAVALINK_VOICE").map_or(Sound::None, Sound::Endpoint);
    let files = wave::serve(own_address(&url)).await;
    Bench::new(url, password, Tracks::Served(files), sound)
}

/// This machine's address on the way to a server. Nothing is sent.
fn own_address(url: &str) -> SocketAddr {
    let url = url::Url::parse(url).expect("--url is http://HOST:PORT");
    let server = url.socket_addrs(|| None).expect("the host of --url is known")[0];
    let probe = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(probe).unwrap();
    socket.connect(server).unwrap();
    SocketAddr::new(socket.local_addr().unwrap().ip(), 0)
}
