//! Signing in, staying signed in, and being thrown out.

use crate::park::{PASSWORD, Park, Reply};
use axum::http::Method;
use serde_json::{Value, json};

async fn refresh(park: &Park, token: &Value) -> Reply {
    park.call(Method::POST, "/api/v1/auth/refresh", None, json!({ "refreshToken": token }).to_string()).await
}

#[tokio::test]
async fn login_gives_both_tokens_and_the_access_token_opens_the_door() {
    let park = Park::open().await;
    let session = park.login_as("operator", PASSWORD).await.data();
    assert_eq!(session["role"], "operator");
    assert_eq!(session["expiresIn"], 900);
    let me = park.get("/api/v1/me", session["accessToken"].as_str().unwrap()).await.data();
    assert_eq!(me, json!({ "name": "operator", "role": "operator" }));
    let log = park.get("/api/v1/audit", &park.token("admin").await).await.data();
    assert!(
        log["items"].as_array().unwrap().iter().any(|e| e["who"] == "operator" && e["action"] == "login")
    );
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_alike() {
    let park = Park::open().await;
    let wrong = park.login_as("viewer", "not the password").await;
    let unknown = park.login_as("nobody", "not the password").await;
    assert_eq!(wrong.fault(), (401, "INVALID_CREDENTIALS".into(), None));
    assert_eq!(unknown.fault(), wrong.fault());
    assert_eq!(wrong.json()["message"], unknown.json()["message"]);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guessed_user_only() {
    let park = Park::open().await;
    for _ in 0..5 {
        assert_eq!(park.login_as("viewer", "a guess").await.status, 401);
    }
    let braked = park.login_as("viewer", PASSWORD).await;
    assert_eq!(braked.fault(), (429, "TOO_MANY_ATTEMPTS".into(), None));
    let wait: u64 = braked.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(park.login_as("operator", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn many_honest_logins_at_once_are_not_taken_for_guessing() {
    let park = std::sync::Arc::new(Park::open().await);
    let logins: Vec<_> = (0..24)
        .map(|_| {
            let park = park.clone();
            tokio::spawn(async move { park.login_as("viewer", PASSWORD).await.status })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_login() {
    let park = Park::open().await;
    let first = park.login_as("operator", PASSWORD).await.data();
    let second = refresh(&park, &first["refreshToken"]).await.data();
    assert_ne!(first["refreshToken"], second["refreshToken"]);
    let access = second["accessToken"].as_str().unwrap();
    assert_eq!(park.get("/api/v1/me", access).await.status, 200);

    let reused = refresh(&park, &first["refreshToken"]).await;
    assert_eq!(reused.fault(), (401, "TOKEN_REUSED".into(), Some("refreshToken".into())));
    assert_eq!(refresh(&park, &second["refreshToken"]).await.fault().1, "INVALID_TOKEN");
    assert_eq!(park.get("/api/v1/me", access).await.fault().1, "TOKEN_REVOKED");
    assert_eq!(park.login_as("operator", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn signing_out_ends_the_refresh_token() {
    let park = Park::open().await;
    let session = park.login_as("viewer", PASSWORD).await.data();
    let body = json!({ "refreshToken": session["refreshToken"] }).to_string();
    for _ in 0..2 {
        assert_eq!(park.call(Method::POST, "/api/v1/auth/logout", None, body.clone()).await.status, 200);
    }
    assert_eq!(refresh(&park, &session["refreshToken"]).await.fault().1, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_changed_or_deleted_user_is_out_at_once() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let session = park.login_as("operator", PASSWORD).await.data();
    let access = session["accessToken"].as_str().unwrap();
    let change = json!({ "role": "viewer" }).to_string();
    let changed = park.call(Method::PATCH, "/api/v1/users/operator", Some(&admin), change).await.data();
    assert_eq!(changed["role"], "viewer");
    assert_eq!(park.get("/api/v1/me", access).await.fault().1, "TOKEN_REVOKED");
    // The login itself goes on, with the new role.
    let renewed = refresh(&park, &session["refreshToken"]).await.data();
    assert_eq!(renewed["role"], "viewer");
    assert_eq!(park.call(Method::DELETE, "/api/v1/users/operator", Some(&admin), "").await.status, 200);
    assert_eq!(refresh(&park, &renewed["refreshToken"]).await.fault().1, "INVALID_TOKEN");
    assert_eq!(park.login_as("operator", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn people_are_managed_by_administrators() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let new = json!({ "username": "王工", "password": "long enough", "role": "operator" });
    let created = park.post("/api/v1/users", &admin, new.clone()).await;
    assert_eq!(
        (created.status.as_u16(), created.data()["name"].as_str().unwrap().to_owned()),
        (201, "王工".into())
    );
    assert_eq!(park.post("/api/v1/users", &admin, new).await.fault().1, "ALREADY_EXISTS");
    let page = park.get("/api/v1/users?size=2&page=2", &admin).await.data();
    assert_eq!((page["total"].as_u64(), page["items"].as_array().unwrap().len()), (Some(4), 2));
    let last = park.call(Method::DELETE, "/api/v1/users/admin", Some(&admin), "").await;
    assert_eq!(last.fault(), (409, "LAST_ADMINISTRATOR".into(), None));
    let short = json!({ "password": "short" }).to_string();
    let path = "/api/v1/users/%E7%8E%8B%E5%B7%A5";
    let refused = park.call(Method::PATCH, path, Some(&admin), short).await;
    assert_eq!(refused.fault(), (400, "INVALID_VALUE".into(), Some("password".into())));
    assert_eq!(park.login_as("王工", "long enough").await.status, 200);
}

#[tokio::test]
async fn a_wall_token_looks_until_it_is_revoked() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let created = park.post("/api/v1/wall-tokens", &admin, json!({ "name": "大厅" })).await.data();
    let wall = created["token"].as_str().unwrap();
    assert_eq!(park.get("/api/v1/energy/summary", wall).await.status, 200);
    assert_eq!(park.post("/api/v1/vpp/plan", wall, json!({})).await.fault().1, "FORBIDDEN");
    let listed = park.get("/api/v1/wall-tokens", &admin).await.data();
    assert!(listed["items"][0].get("token").is_none(), "{listed}");
    let path = format!("/api/v1/wall-tokens/{}", created["id"].as_str().unwrap());
    assert_eq!(park.call(Method::DELETE, &path, Some(&admin), "").await.status, 200);
    assert_eq!(park.call(Method::DELETE, &path, Some(&admin), "").await.fault().1, "UNKNOWN_WALL_TOKEN");
    assert_eq!(park.get("/api/v1/energy/summary", wall).await.fault().1, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_device_secret_is_no_users_token() {
    let park = Park::open().await;
    let (_, secret) = &park.secrets[0];
    assert_eq!(park.get("/api/v1/devices", &secret.to_string()).await.fault().1, "INVALID_TOKEN");
    assert!(park.twin.authenticate("bess-1", &park.token("admin").await).is_none());
}
