//! Who may do what: every operation, as documented, tried by everyone.

use crate::park::Park;
use axum::http::{Method, Request};
use serde_json::{Value, json};

/// Method, path with ids filled in, and the least role; `None` where no token is needed.
async fn operations(park: &Park) -> Vec<(Method, String, Option<String>)> {
    described(park).await.into_iter().map(|(method, path, role, _)| (method, path, role)).collect()
}

/// The same, and whether it is open for API keys.
async fn described(park: &Park) -> Vec<(Method, String, Option<String>, bool)> {
    let document = park.call(Method::GET, "/api/v1/openapi.json", None, "").await.json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let role = operation["security"][0]["bearer"][0].as_str().map(str::to_owned);
            // Things that do not exist, so that what is allowed does no harm.
            let path = ["{id}", "{name}", "{commandId}", "{deliveryId}"]
                .iter()
                .fold(path.clone(), |p, id| p.replace(id, "none"));
            let schemes = operation["security"].as_array().into_iter().flatten();
            let is_open_for_keys = schemes.into_iter().any(|scheme| scheme.get("apiKey").is_some());
            all.push((method, path, role, is_open_for_keys));
        }
    }
    all
}

fn rank(role: &str) -> usize {
    ["viewer", "operator", "admin"].iter().position(|r| *r == role).unwrap()
}

#[tokio::test]
async fn every_operation_asks_for_the_role_it_documents() {
    let park = Park::open().await;
    let mut tokens = vec![];
    for role in ["viewer", "operator", "admin"] {
        tokens.push((role, park.token(role).await));
    }
    let (_, wall) = park.wall_token().await;
    let operations = operations(&park).await;
    let guarded = operations.iter().filter(|(_, _, role)| role.is_some()).count();
    assert!(guarded >= 25, "only {guarded} operations need a role");
    for (method, path, role) in operations {
        let Some(role) = role else { continue };
        let body = || if method == Method::GET { "" } else { "{}" };
        let nobody = park.call(method.clone(), &path, None, body()).await;
        assert_eq!(nobody.fault().1, "UNAUTHENTICATED", "{method} {path} without a token");
        let forged = park.call(method.clone(), &path, Some("a.b.c"), body()).await;
        assert_eq!(forged.fault().1, "INVALID_TOKEN", "{method} {path} with a forged token");
        for (mine, token) in &tokens {
            let reply = park.call(method.clone(), &path, Some(token), body()).await;
            let expected = if rank(mine) >= rank(&role) { "allowed" } else { "FORBIDDEN" };
            let got = match reply.status.as_u16() {
                401 | 403 => reply.fault().1,
                _ => "allowed".into(),
            };
            assert_eq!(got, expected, "{method} {path} as {mine}: {}", reply.status);
        }
        let reply = park.call(method.clone(), &path, Some(&wall), body()).await;
        let may = method == Method::GET && role == "viewer";
        assert_eq!(reply.status != 403, may, "{method} {path} as a wall: {}", reply.status);
    }
}

#[tokio::test]
async fn a_key_passes_where_it_is_documented_and_nowhere_else() {
    let park = Park::open().await;
    let rights = json!({ "name": "erp", "rights": { "read": true, "write": true } });
    let made = park.post("/api/v1/keys", &park.token("admin").await, rights).await.data();
    let key = made["key"].as_str().unwrap();
    let mut open = Vec::new();
    for (method, path, role, is_open_for_keys) in described(&park).await {
        let body = if method == Method::GET { "" } else { "{}" };
        for scheme in ["Bearer", "Token"] {
            let request = Request::builder().method(method.clone()).uri(&path);
            let request = request.header("authorization", format!("{scheme} {key}"));
            let reply = park.request(request.body(body.into()).unwrap()).await;
            if role.is_some() {
                let is_let_in = !matches!(reply.status.as_u16(), 401 | 403);
                assert_eq!(is_let_in, is_open_for_keys, "{method} {path}: {}", reply.status);
            }
        }
        if is_open_for_keys {
            open.push(format!("{method} {path}"));
        }
    }
    // Whoever opens another route for keys says so here too.
    let expected = [
        "GET /api/v1/devices",
        "GET /api/v1/devices/none",
        "GET /api/v1/devices/none/history",
        "GET /api/v1/telemetry/query",
    ];
    assert_eq!(open, expected);
}

#[tokio::test]
async fn what_needs_no_token_is_what_cannot_ask_for_one() {
    let park = Park::open().await;
    let mut open: Vec<String> = operations(&park)
        .await
        .into_iter()
        .filter(|(_, _, role)| role.is_none())
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    open.sort();
    assert_eq!(
        open,
        [
            "GET /api/docs",
            "GET /api/v1/openapi.json",
            "GET /api/v1/stream",
            "GET /healthz",
            "GET /metrics",
            "GET /readyz",
            "POST /api/v1/auth/login",
            "POST /api/v1/auth/logout",
            "POST /api/v1/auth/refresh",
        ]
    );
}

#[tokio::test]
async fn a_role_is_told_what_it_lacks() {
    let park = Park::open().await;
    let reply = park.post("/api/v1/devices", &park.token("operator").await, Value::Null).await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("admin") && message.contains("operator"), "{message}");
}
