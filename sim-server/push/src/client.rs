//! One attempt at one receiver.
//!
//! Every connection is made anew, to an address that was looked up and judged for it: a name that means a public address when
//! the webhook is made and the server's own network later gets nowhere. Redirects are not followed.

use crate::address::Reach;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// What is read of an answer that refuses, to show why.
const SHOWN_BYTES: usize = 1_024;
const SHOWN_CHARS: usize = 200;

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver's status.
    Delivered(String),
    Failed {
        reason: String,
        /// The receiver asks to be left alone for so long.
        retry_after_ms: Option<i64>,
        /// The receiver says that it is there no more (410).
        gone: bool,
    },
}

impl Outcome {
    fn failed(reason: impl Into<String>) -> Outcome {
        Outcome::Failed { reason: reason.into(), retry_after_ms: None, gone: false }
    }
}

pub(crate) struct Poster {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    reach: Arc<Reach>,
    answer_within: Duration,
}

impl Poster {
    pub(crate) fn new(reach: Reach, answer_within: Duration) -> Result<Poster, rustls::Error> {
        let reach = Arc::new(reach);
        let mut tcp = HttpConnector::new_with_resolver(Resolver(Arc::clone(&reach)));
        tcp.set_connect_timeout(Some(answer_within));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Poster { client, reach, answer_within })
    }

    /// Sends a body once. All of it, looking up the name included, has the time that an answer may take.
    pub(crate) async fn post(&self, url: &str, headers: HeaderMap, body: String) -> Outcome {
        let uri: Uri = match url.parse() {
            Ok(uri) => uri,
            Err(error) => return Outcome::failed(format!("{url} cannot be asked: {error}")),
        };
        // Addresses as such are not looked up.
        if let Some(address) = literal(&uri)
            && !self.reach.includes(address)
        {
            return Outcome::failed(Reach::refusal(address));
        }
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let exchange = async {
            match self.client.request(request).await {
                Ok(response) => judge(response).await,
                Err(error) => Outcome::failed(causes(&error)),
            }
        };
        tokio::time::timeout(self.answer_within, exchange).await.unwrap_or_else(|_| {
            Outcome::failed(format!("no answer within {} s", self.answer_within.as_secs_f64()))
        })
    }
}

/// The address in the place of a name.
fn literal(uri: &Uri) -> Option<IpAddr> {
    uri.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

async fn judge(response: http::Response<Incoming>) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return Outcome::Delivered(status.to_string());
    }
    let retry_after_ms = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok())
        .map(|seconds| i64::from(seconds) * 1_000);
    let reason = if status.is_redirection() {
        let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let target: String = target.unwrap_or("elsewhere").chars().take(SHOWN_CHARS).collect();
        format!("{status}: redirects are not followed; it points to {target}")
    } else {
        let said = beginning(response.into_body()).await;
        if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }
    };
    Outcome::Failed { reason, retry_after_ms, gone: status == StatusCode::GONE }
}

/// The first of what a body says, fit to be shown.
async fn beginning(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < SHOWN_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data.as_ref()));
    }
    bytes.truncate(SHOWN_BYTES);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    line.collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARS).collect()
}

/// An error and what caused it, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Trusts what the system trusts. A system without certificates can still speak plain HTTP within its own network.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Looks names up and passes on only addresses that may be reached.
#[derive(Clone)]
struct Resolver(Arc<Reach>);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let reached: Vec<SocketAddr> =
                found.iter().copied().filter(|at| reach.includes(at.ip())).collect();
            match found.first() {
                Some(first) if reached.is_empty() => {
                    let refusal = format!("{name}: {}", Reach::refusal(first.ip()));
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal))
                }
                _ => Ok(reached.into_iter()),
            }
        })
    }
}
