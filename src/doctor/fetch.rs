//! Single HTTP requests, with or without TLS, whose answers keep what the checks judge.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, USER_AGENT};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST_BYTES: usize = 1 << 20;

/// What Discord asks every client to call itself (<https://docs.discord.com/developers/reference#user-agent>).
const AGENT: &str = concat!("DiscordBot (segue, ", env!("CARGO_PKG_VERSION"), ")");

/// An answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `Date` header.
    pub(super) date: Option<String>,
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.body).ok()
    }
}

/// Sends requests.
#[derive(Clone, Debug)]
pub(super) struct Fetch(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Fetch {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    pub(super) async fn get(&self, url: &Url, authorization: &str) -> Result<Answer, String> {
        self.send(Method::GET, url, authorization, None).await
    }

    pub(super) async fn patch(&self, url: &Url, authorization: &str, body: String) -> Result<Answer, String> {
        self.send(Method::PATCH, url, authorization, Some(body)).await
    }

    /// `Err` says why there was no answer; it never contains the authorization.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        authorization: &str,
        body: Option<String>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, authorization)
            .header(USER_AGENT, AGENT);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::from(body.unwrap_or_default()))
            .map_err(|_| "the request cannot be written".to_owned())?;
        let exchange = async {
            let response = self.0.request(request).await.map_err(|error| causes(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            let date = parts.headers.get(DATE).and_then(|date| date.to_str().ok());
            Ok(Answer {
                status: parts.status.as_u16(),
                date: date.map(str::to_owned),
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::time::timeout(WITHIN, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
    }
}

/// An error with what caused it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
