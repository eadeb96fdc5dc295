//! Discord's REST API: answers to interactions, messages, voice states, permissions, and what Discord's clock says.
//!
//! Calls with the bot's token share a limit; interactions have a lane of their own, so that a slow or limited call never
//! costs an answer its three seconds. Every call has a deadline, is repeated at most once, and fails with a
//! [`DiscordError`] that says what it means. Nothing sent from here can ping anybody.

pub mod clock;
mod error;
mod interactions;
pub mod limits;
mod messages;
pub mod permissions;
mod transport;
mod voice;

use std::sync::Arc;

use hyper::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use twilight_http::routing::Route;
use twilight_model::application::command::Command;
use twilight_model::gateway::SessionStartLimit;
use url::Url;

pub use self::error::DiscordError;
pub use self::interactions::Response;
pub use self::permissions::{TextAccess, VoiceAccess, VoiceKind};
pub use self::transport::{Attempted, CallHook, Waits};
use self::transport::{Call, Lane, Setup, Transport};
use crate::model::ids::{ApplicationId, InteractionId, MemberId, UserId, issued_ms};

/// Where Discord is without `SEGUE_DISCORD_API_URL`.
const DISCORD: &str = "https://discord.com";

/// How the REST client is set up.
#[derive(Clone)]
pub struct Settings {
    /// With or without `Bot `.
    pub token: SecretString,
    /// Scheme, host and port of another Discord (a simulator or a proxy); `/api/v10` follows.
    pub api_url: Option<Url>,
    /// Stands in the `User-Agent`, so that on the wire a member can be told.
    pub member: MemberId,
    /// This program's version.
    pub version: &'static str,
    /// Told about every attempt.
    pub hook: Option<CallHook>,
    /// Milliseconds since 1970 by this machine.
    pub now_ms: fn() -> i64,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("api_url", &self.api_url.as_ref().and_then(Url::host_str))
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The token or member id has characters that no HTTP header can carry.
    #[error("the {what} cannot stand in an HTTP header")]
    Header {
        /// Which.
        what: &'static str,
    },
    /// No scheme `http` or `https`, or no host.
    #[error("the Discord address needs http or https and a host")]
    Address,
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// What `GET /gateway/bot` says.
#[derive(Clone, Debug, Deserialize)]
pub struct GatewayInfo {
    /// Where to IDENTIFY.
    pub url: String,
    /// How many shards Discord recommends.
    pub shards: u32,
    /// The IDENTIFY budget.
    pub session_start_limit: SessionStartLimit,
}

/// Who the bot is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct BotUser {
    /// Its user id.
    pub id: UserId,
    /// Its name.
    pub username: String,
}

#[derive(Deserialize)]
struct Application {
    id: ApplicationId,
}

/// Discord's REST API, for one member.
#[derive(Clone)]
pub struct Discord(Arc<Transport>);

impl std::fmt::Debug for Discord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discord").finish_non_exhaustive()
    }
}

impl Discord {
    /// Prepares the client; sends nothing.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let Settings {
            token,
            api_url,
            member,
            version,
            hook,
            now_ms,
        } = settings;
        let token = token.expose_secret().trim_start_matches("Bot ").to_owned();
        let mut authorization =
            HeaderValue::try_from(format!("Bot {token}")).map_err(|_| SetupError::Header { what: "token" })?;
        authorization.set_sensitive(true);
        let agent = format!("DiscordBot (segue, {version}) member/{member}");
        let user_agent = HeaderValue::try_from(agent).map_err(|_| SetupError::Header { what: "member id" })?;
        let base = api_url.map_or_else(|| Ok(DISCORD.to_owned()), |url| address(&url))?;
        let transport = Transport::new(Setup {
            base,
            authorization,
            user_agent,
            hook,
            now_ms,
        })?;
        Ok(Self(Arc::new(transport)))
    }

    /// So many live members share Discord's limit.
    pub fn share(&self, members: u32) {
        self.0.share(members);
    }

    /// Whether a call that nobody waits for may be made now. When there is much to do the answer is often no.
    pub fn may_spare(&self) -> bool {
        self.0.may_spare()
    }

    /// Who the bot is; the cheapest way to try the token.
    pub async fn bot_user(&self) -> Result<BotUser, DiscordError> {
        let call = Call::new(Lane::Bot(Waits::Person), "/users/@me", 0, &Route::GetCurrentUser);
        self.0.read(call).await
    }

    /// Which application the bot belongs to.
    pub async fn application_id(&self) -> Result<ApplicationId, DiscordError> {
        let route = Route::GetCurrentUserApplicationInfo;
        let application: Application = self
            .0
            .read(Call::new(Lane::Bot(Waits::Person), "/applications/@me", 0, &route))
            .await?;
        Ok(application.id)
    }

    /// Where the gateway is, and the IDENTIFY budget. Not to be kept for long.
    pub async fn gateway(&self) -> Result<GatewayInfo, DiscordError> {
        let call = Call::new(Lane::Bot(Waits::Person), "/gateway/bot", 0, &Route::GetGatewayBot);
        self.0.read(call).await
    }

    /// Overwrites all global commands. Idempotent, but new ones count towards 200 a day: once per cluster and change.
    pub async fn register_commands(&self, app: ApplicationId, commands: &[Command]) -> Result<(), DiscordError> {
        let route = Route::SetGlobalCommands {
            application_id: app.get(),
        };
        let call = Call::new(
            Lane::Bot(Waits::Person),
            "/applications/{application}/commands",
            app.get(),
            &route,
        )
        .json(&commands)?
        .within(std::time::Duration::from_secs(15));
        self.0.act(call).await
    }

    /// This machine's time, corrected to Discord's clock. Without any answer yet, as it is.
    pub fn discord_now_ms(&self, local_ms: i64) -> i64 {
        local_ms + self.0.offset_ms()
    }

    /// How long ago Discord issued an interaction, in milliseconds by its own clock; at least 0.
    pub fn age_ms(&self, interaction: InteractionId, local_ms: i64) -> i64 {
        (self.discord_now_ms(local_ms) - issued_ms(interaction)).max(0)
    }

    /// An interaction arrived live (not in a replay): Discord's clock is at least where it was issued.
    pub fn arrived(&self, interaction: InteractionId, received_ms: i64) {
        self.0.arrived(issued_ms(interaction), received_ms);
    }
}

fn address(url: &Url) -> Result<String, SetupError> {
    let host = url.host_str().ok_or(SetupError::Address)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SetupError::Address);
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}://{host}{port}", url.scheme()))
}
