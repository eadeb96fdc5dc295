//! The HTTP client of the exporter. The exporter has a thread of its own and waits there; the request itself runs on the
//! process's runtime. (The library's default client speaks no TLS here, and its other ones stall on that thread.)

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::ExporterBuildError;
use tokio::runtime::Handle;

/// Most bytes of a collector's answer that are read.
const MOST_ANSWER: usize = 1 << 20;

/// Sends export requests.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Client {
    runtime: Handle,
    hyper: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Client {
    /// Must be called inside the runtime that is to carry the requests.
    pub(in crate::telemetry) fn new(timeout: Duration) -> Result<Self, ExporterBuildError> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(|error| ExporterBuildError::InternalFailure(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            runtime: Handle::current(),
            hyper: Hyper::builder(TokioExecutor::new()).build(connector),
            timeout,
        })
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.hyper.request(request.map(Full::new)).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MOST_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let within = self.timeout;
        let sending = self.clone().send(request);
        self.runtime
            .spawn(async move { tokio::time::timeout(within, sending).await })
            .await??
    }
}
