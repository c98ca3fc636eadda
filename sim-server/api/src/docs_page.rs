//! The page at `/api/docs`: reads the API's description and lets one try it. All of it is served from here.

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};

const PAGE: &str = include_str!("docs_page.html");
/// The page's own script and style, this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn respond() -> Response {
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_fetches_nothing_from_elsewhere() {
        assert!(!super::PAGE.contains("http://") && !super::PAGE.contains("https://"));
        assert!(super::PAGE.contains("/api/v1/openapi.json"));
    }
}
