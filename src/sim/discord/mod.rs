//! A Discord: gateway v10 and REST v10 on one port.

mod channel;
mod codec;
mod command;
mod fault;
pub(crate) mod gateway;
pub(crate) mod ids;
pub(crate) mod interaction;
mod later;
mod limits;
pub(crate) mod message;
mod payload;
pub(crate) mod permission;
mod registration;
mod respond;
mod rest;
mod session;
#[cfg(test)]
mod tests;
mod voice;
pub(crate) mod world;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, Request};
use axum::http::Response;
use axum::response::IntoResponse as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use self::fault::KINDS as FAULT_KINDS;
pub(crate) use self::session::MOST_SHARDS;
use self::world::World;
use super::http::{Call, query_of, serve};

/// The one simulated Discord. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Discord(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    conns: AtomicU64,
    stop: CancellationToken,
}

impl Discord {
    /// A Discord with this world, until `stop`.
    pub(crate) fn new(world: World, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            world: Mutex::new(world),
            conns: AtomicU64::new(0),
            stop,
        }))
    }

    /// The world, for a short section.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, of which nobody else holds anything any more.
    #[cfg(test)]
    fn into_world(self) -> World {
        let inner = Arc::into_inner(self.0).expect("nobody else has it");
        inner.world.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.lock().now()
    }

    fn next_conn(&self) -> u64 {
        self.0.conns.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Serves gateway and REST until the simulator ends.
    pub(crate) async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let stop = self.0.stop.clone();
        serve(listener, stop, move |request| answer(self.clone(), request)).await
    }
}

/// A channel as REST and events show it.
pub(crate) fn channel_payload(channel: &world::Channel, guild: u64) -> Value {
    payload::channel(channel, Some(guild))
}

async fn answer(discord: Discord, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    // Clients append `/?v=10` to an address that may end in a slash.
    let place = parts.uri.path().trim_matches('/');
    let general = place.is_empty();
    if general || place.starts_with("gateway-") {
        let query = query_of(parts.uri.query());
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade
                .max_message_size(1 << 16)
                .on_upgrade(move |socket| gateway::serve(discord, socket, query, general)),
            Err(rejection) => rejection.into_response(),
        };
    }
    let call = Call::read(&parts, body).await;
    rest::answer(&discord, call).await.into_response()
}
