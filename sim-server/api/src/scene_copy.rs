//! The scene as it is sent: serialized once, compressed once per encoding, named by its hash.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use shared::scene::Scene;
use std::convert::Infallible;
use tokio::sync::OnceCell;
use tower::{Layer, ServiceExt};
use tower_http::{CompressionLevel, compression::CompressionLayer};

pub(crate) struct SceneCopy {
    etag: String,
    plain: Bytes,
    gzip: OnceCell<Bytes>,
    brotli: OnceCell<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
    Brotli,
}

impl SceneCopy {
    pub(crate) fn of(scene: &Scene) -> SceneCopy {
        let plain = match crate::answer::envelope(scene) {
            Ok(bytes) => bytes,
            Err(error) => {
                // A scene is finite numbers and string keys, which is all that JSON asks for.
                tracing::error!(%error, "the scene cannot be written as JSON");
                Bytes::new()
            }
        };
        let digest: [u8; 32] = Sha256::digest(&plain).into();
        let etag = HEXLOWER.encode(&digest[..16]);
        SceneCopy { etag, plain, gzip: OnceCell::new(), brotli: OnceCell::new() }
    }

    /// Changes when the scene does.
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    pub(crate) async fn respond(&self, request: &HeaderMap) -> Response<Body> {
        // Weak: the bytes differ by coding, the scene does not.
        let tag = format!("W/\"{}\"", self.etag);
        let known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| self.matches(value));
        let coding = accepted(request);
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.coded(coding).await));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(name) = coding.name() {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            response
        };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response
    }

    fn matches(&self, value: &HeaderValue) -> bool {
        let Ok(text) = value.to_str() else { return false };
        text.split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == self.etag)
    }

    async fn coded(&self, coding: Coding) -> Bytes {
        let kept = match coding {
            Coding::Plain => return self.plain.clone(),
            Coding::Gzip => &self.gzip,
            Coding::Brotli => &self.brotli,
        };
        kept.get_or_init(|| compressed(self.plain.clone(), coding)).await.clone()
    }
}

impl Coding {
    fn name(self) -> Option<&'static str> {
        match self {
            Coding::Plain => None,
            Coding::Gzip => Some("gzip"),
            Coding::Brotli => Some("br"),
        }
    }
}

/// The best coding the client takes; a quality of 0 is a refusal.
fn accepted(request: &HeaderMap) -> Coding {
    let mut best = Coding::Plain;
    for value in request.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().unwrap_or_default();
            let refused = pieces
                .any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0)));
            match (name, best) {
                _ if refused => {}
                ("br", _) => best = Coding::Brotli,
                ("gzip", Coding::Plain) => best = Coding::Gzip,
                _ => {}
            }
        }
    }
    best
}

/// Compresses with the same code that compresses other answers. A failure would send the plain bytes under a wrong
/// name, so it falls back to an empty body, which no client takes for a scene.
async fn compressed(plain: Bytes, coding: Coding) -> Bytes {
    let service = tower::service_fn(move |_: Request<Body>| {
        let mut response = Response::new(Body::from(plain.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = CompressionLayer::new().quality(CompressionLevel::Precise(6)).layer(service);
    let mut request = Request::new(Body::empty());
    if let Some(name) = coding.name() {
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(name));
    }
    let body = match service.oneshot(request).await {
        Ok(response) => response.into_body(),
        Err(never) => match never {},
    };
    match axum::body::to_bytes(Body::new(body), usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "the scene cannot be compressed");
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_is_not_refused_is_taken() {
        for (sent, expected) in [
            ("", Coding::Plain),
            ("identity", Coding::Plain),
            ("gzip, deflate, br", Coding::Brotli),
            ("gzip", Coding::Gzip),
            ("br;q=0, gzip;q=0.5", Coding::Gzip),
            ("gzip;q=0", Coding::Plain),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(sent));
            assert_eq!(accepted(&headers), expected, "{sent}");
        }
    }
}
