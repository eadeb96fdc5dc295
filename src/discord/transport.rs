//! One HTTP call to Discord: what it carries, how long it may take, what came back.
//!
//! twilight-http describes the routes; it does not send here, because its client repeats every 429 by itself, at once when the
//! limit is global, and shows neither `Retry-After` nor `Date`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::Instrument as _;
use twilight_http::request::Method;
use twilight_http::routing::Route;

use super::clock::{Offset, parse_date};
use super::error::{DiscordError, classify};
use super::limits::{Heard, Limits, RETRY_MAX, Wait};

/// How long a call may take, waiting and one retry included.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;
/// Calls in flight at once: that a person waits for, that nobody waits for, and for interactions.
const IN_FLIGHT: [usize; 3] = [64, 64, 256];
/// Before a call that a server error or a broken connection ended is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long a refused token is not tried again.
const REFUSED_MS: i64 = 60_000;

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// `GET`, …
    pub method: &'static str,
    /// The route's template.
    pub route: &'static str,
    /// 0 without an answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Of a 429, whose limit it was: `user`, `global` or `shared`.
    pub limited: Option<&'static str>,
}

/// Told about every attempt.
pub type CallHook = Arc<dyn Fn(&Attempted) + Send + Sync>;

/// Whether somebody waits for what a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A person who gave a command, or a start.
    Person,
    /// A message that is kept up to date, or one of hundreds of guilds that come back.
    Nobody,
}

/// Who answers for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Carries the bot's token; limited.
    Bot(Waits),
    /// Carries the interaction's token in its path; not bound by the global limit, and never behind a bot's call.
    Interaction,
}

/// A call.
pub(super) struct Call {
    lane: Lane,
    template: &'static str,
    major: u64,
    method: Method,
    path: String,
    body: Option<Bytes>,
    deadline: Duration,
}

impl Call {
    /// `template` is the route with names for ids, for logs and metrics; `major` the id that Discord limits by.
    pub(super) fn new(lane: Lane, template: &'static str, major: u64, route: &Route<'_>) -> Self {
        Self {
            lane,
            template,
            major,
            method: route.method(),
            path: route.to_string(),
            body: None,
            deadline: DEADLINE,
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, DiscordError> {
        // What is sent are our own types; one that cannot be written is refused as Discord would.
        let bytes = serde_json::to_vec(body).map_err(|_| DiscordError::Refused { status: 0, code: 0 })?;
        self.body = Some(bytes.into());
        Ok(self)
    }

    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Doing it twice is doing it once.
    fn repeatable(&self) -> bool {
        self.method != Method::Post
    }
}

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

/// What one attempt led to.
enum Attempt {
    Done(Answer),
    Limited { retry_after: Duration },
    Failed { error: DiscordError, unsent: bool },
}

/// Sends calls.
pub(super) struct Transport {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    authorization: HeaderValue,
    user_agent: HeaderValue,
    limits: Mutex<Limits>,
    /// Who asks the limits: those that wait for all calls' limit go in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// Of either kind one at a time is among those: under load both get half of what there is.
    persons: tokio::sync::Mutex<()>,
    background: tokio::sync::Mutex<()>,
    offset: Mutex<Offset>,
    in_flight: [Semaphore; 3],
    refused_ms: AtomicI64,
    hook: Option<CallHook>,
    now_ms: fn() -> i64,
}

/// The settings of a [`Transport`], checked.
pub(super) struct Setup {
    pub(super) base: String,
    pub(super) authorization: HeaderValue,
    pub(super) user_agent: HeaderValue,
    pub(super) hook: Option<CallHook>,
    pub(super) now_ms: fn() -> i64,
}

impl Transport {
    pub(super) fn new(setup: Setup) -> Result<Self, rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(2)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self {
            http: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_mins(1))
                .build(connector),
            base: setup.base,
            authorization: setup.authorization,
            user_agent: setup.user_agent,
            limits: Mutex::new(Limits::new(Instant::now())),
            turn: tokio::sync::Mutex::default(),
            persons: tokio::sync::Mutex::default(),
            background: tokio::sync::Mutex::default(),
            offset: Mutex::default(),
            in_flight: IN_FLIGHT.map(Semaphore::new),
            refused_ms: AtomicI64::new(i64::MIN),
            hook: setup.hook,
            now_ms: setup.now_ms,
        })
    }

    pub(super) fn share(&self, members: u32) {
        lock(&self.limits).share(members);
    }

    /// Not while anybody waits for the limit.
    pub(super) fn may_spare(&self) -> bool {
        self.turn.try_lock().is_ok() && lock(&self.limits).may_spare(Instant::now())
    }

    pub(super) fn offset_ms(&self) -> i64 {
        lock(&self.offset).ms()
    }

    pub(super) fn arrived(&self, issued_ms: i64, received_ms: i64) {
        lock(&self.offset).arrived(issued_ms, received_ms);
    }

    /// A call whose answer is read.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, DiscordError> {
        let answer = self.send(call).await?;
        serde_json::from_slice(&answer.body).map_err(|_| DiscordError::Down { status: answer.status })
    }

    /// A call whose answer says nothing.
    pub(super) async fn act(&self, call: Call) -> Result<(), DiscordError> {
        self.send(call).await.map(drop)
    }

    async fn send(&self, call: Call) -> Result<Answer, DiscordError> {
        let deadline = Instant::now() + call.deadline;
        let span = tracing::debug_span!(
            "discord",
            method = call.method.name(),
            route = call.template,
            status = tracing::field::Empty
        );
        let within = timeout_at(deadline, self.attempts(&call, deadline)).instrument(span);
        within.await.unwrap_or(Err(DiscordError::Timeout))
    }

    /// At most two attempts.
    async fn attempts(&self, call: &Call, deadline: Instant) -> Result<Answer, DiscordError> {
        let lane = match call.lane {
            Lane::Bot(Waits::Person) => &self.in_flight[0],
            Lane::Bot(Waits::Nobody) => &self.in_flight[1],
            Lane::Interaction => &self.in_flight[2],
        };
        let _place = lane.acquire().await.map_err(|_| DiscordError::Timeout)?;
        for last in [false, true] {
            self.may_send(call, deadline).await?;
            let pause = match self.attempt(call).await {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Limited { retry_after } => {
                    if last || Instant::now() + retry_after >= deadline {
                        return Err(DiscordError::RateLimited { retry_after });
                    }
                    retry_after
                }
                Attempt::Failed { error, unsent } => {
                    let again = matches!(error, DiscordError::Down { .. }) && (unsent || call.repeatable());
                    if last || !again {
                        return Err(error);
                    }
                    RETRY_PAUSE
                }
            };
            sleep(pause).await;
        }
        Err(DiscordError::Timeout)
    }

    /// Waits for the limits; fails at once when they last longer than the call may take.
    async fn may_send(&self, call: &Call, deadline: Instant) -> Result<(), DiscordError> {
        let Lane::Bot(waits) = call.lane else { return Ok(()) };
        if (self.now_ms)().saturating_sub(self.refused_ms.load(Ordering::Relaxed)) < REFUSED_MS {
            return Err(DiscordError::TokenRefused);
        }
        loop {
            let at = {
                let _first = match waits {
                    Waits::Person => self.persons.lock().await,
                    Waits::Nobody => self.background.lock().await,
                };
                let _turn = self.turn.lock().await;
                loop {
                    let asked = lock(&self.limits).ask((call.template, call.major), Instant::now());
                    match asked {
                        Ok(()) => return Ok(()),
                        Err(Wait::All(at)) if at < deadline => sleep_until(at).await,
                        Err(wait) => break wait.until(),
                    }
                }
            };
            if at >= deadline {
                let retry_after = at - Instant::now();
                return Err(DiscordError::RateLimited { retry_after });
            }
            sleep_until(at).await;
        }
    }

    async fn attempt(&self, call: &Call) -> Attempt {
        let (began, sent_ms) = (Instant::now(), (self.now_ms)());
        let answer = self.exchange(call).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        tracing::Span::current().record("status", status);
        tracing::debug!(status, took_ms = began.elapsed().as_millis(), "discord answered");
        if let Some(hook) = &self.hook {
            hook(&Attempted {
                method: call.method.name(),
                route: call.template,
                status,
                took: began.elapsed(),
                limited: answer.as_ref().ok().filter(|answer| answer.status == 429).map(scope),
            });
        }
        match answer {
            Ok(answer) => self.judge(call, answer, sent_ms),
            Err(unsent) => Attempt::Failed {
                error: DiscordError::Down { status: 0 },
                unsent,
            },
        }
    }

    /// `Err(true)` when nothing was sent.
    async fn exchange(&self, call: &Call) -> Result<Answer, bool> {
        let mut request = hyper::Request::builder()
            .method(call.method.name())
            .uri(format!("{}/api/v10/{}", self.base, call.path))
            .header(USER_AGENT, &self.user_agent);
        if call.lane != Lane::Interaction {
            request = request.header(AUTHORIZATION, &self.authorization);
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(call.body.clone().unwrap_or_default());
        let request = request.body(body).map_err(|_| false)?;
        let response = self.http.request(request).await.map_err(|error| error.is_connect())?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|_| false)?;
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// Learns from an answer, and says what it means.
    fn judge(&self, call: &Call, answer: Answer, sent_ms: i64) -> Attempt {
        let (now, key) = (Instant::now(), (call.template, call.major));
        if let Some(date) = text(&answer.headers, &DATE).and_then(parse_date) {
            lock(&self.offset).answered(date, sent_ms, (self.now_ms)());
        }
        if let (Lane::Bot(_), Some(heard)) = (call.lane, heard(&answer.headers)) {
            lock(&self.limits).heard(key, heard, now);
        }
        match answer.status {
            200..=299 => Attempt::Done(answer),
            429 => {
                let retry_after = retry_after(&answer);
                let global = scope(&answer) == "global";
                tracing::warn!(route = call.template, ?retry_after, global, "rate limited by Discord");
                if call.lane != Lane::Interaction {
                    lock(&self.limits).refused(key, retry_after, global, now);
                }
                Attempt::Limited { retry_after }
            }
            status => {
                let error = classify(status, &answer.body, call.lane != Lane::Interaction);
                if error == DiscordError::TokenRefused {
                    self.refused_ms.store((self.now_ms)(), Ordering::Relaxed);
                    tracing::debug!("Discord refused the bot's token");
                }
                Attempt::Failed { error, unsent: false }
            }
        }
    }
}

/// Whose limit a 429 is about. Older answers name the global one in a header of its own, and no other.
fn scope(answer: &Answer) -> &'static str {
    let named = |word| {
        let scope = answer.headers.get("x-ratelimit-scope");
        scope.is_some_and(|scope| scope == word)
    };
    if answer.headers.contains_key("x-ratelimit-global") || named("global") {
        "global"
    } else if named("shared") {
        "shared"
    } else {
        "user"
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

fn heard(headers: &HeaderMap) -> Option<Heard> {
    let remaining = headers.get("x-ratelimit-remaining")?.to_str().ok()?.parse().ok()?;
    let reset_after = seconds(headers.get("x-ratelimit-reset-after")?.to_str().ok()?)?;
    Some(Heard { remaining, reset_after })
}

/// The body's is finer than the header's; the longer of both counts.
fn retry_after(answer: &Answer) -> Duration {
    #[derive(serde::Deserialize)]
    struct Body {
        retry_after: f64,
    }
    let header = text(&answer.headers, &RETRY_AFTER).and_then(seconds);
    let body = serde_json::from_slice::<Body>(&answer.body)
        .ok()
        .and_then(|body| Duration::try_from_secs_f64(body.retry_after).ok());
    header.max(body).unwrap_or(Duration::from_secs(1)).min(RETRY_MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport() -> Transport {
        Transport::new(Setup {
            base: "http://127.0.0.1:9".to_owned(),
            authorization: HeaderValue::from_static("Bot token"),
            user_agent: HeaderValue::from_static("test"),
            hook: None,
            now_ms: || 0,
        })
        .expect("it needs nothing")
    }

    #[tokio::test]
    async fn what_nobody_waits_for_lets_those_go_first_who_wait() {
        let transport = transport();
        assert!(transport.may_spare());
        let somebody = transport.turn.lock().await;
        assert!(!transport.may_spare());
        drop(somebody);
        assert!(transport.may_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn people_and_what_nobody_waits_for_get_half_of_the_limit_each() {
        let transport = transport();
        let began = Instant::now();
        let call = |waits| {
            let transport = &transport;
            async move {
                let call = Call::new(Lane::Bot(waits), "/users/@me", 0, &Route::GetCurrentUser);
                let may = transport.may_send(&call, began + Duration::from_mins(1)).await;
                assert!(may.is_ok(), "{may:?}");
                began.elapsed()
            }
        };
        let crowd = |size: usize, waits| futures_util::future::join_all((0..size).map(|_| call(waits)));
        let alone = async {
            sleep(Duration::from_millis(500)).await;
            call(Waits::Person).await
        };
        let (backlog, alone) = tokio::join!(crowd(100, Waits::Nobody), alone);
        assert!(alone < Duration::from_millis(560), "{alone:?}: behind one of them");
        let last = backlog.iter().max().expect("there are some");
        assert!(*last > Duration::from_secs(2), "{last:?}: they are limited");
        let (people, backlog) = tokio::join!(crowd(100, Waits::Person), crowd(100, Waits::Nobody));
        let median = |all: &[Duration]| all[all.len() / 2].saturating_sub(*last);
        let ratio = median(&people).as_secs_f64() / median(&backlog).as_secs_f64();
        assert!((0.9..1.1).contains(&ratio), "{ratio}: {people:?} {backlog:?}");
    }
}
