//! Signing in and out.

use crate::{
    ApiError, Context,
    answer::{self, ok},
    auth::Caller,
    extract::Body,
};
use axum::{extract::State, http::StatusCode};
use records::{Role, Rotation, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use std::net::IpAddr;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    username: String,
    password: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshToken {
    refresh_token: String,
}

/// What signing in gives.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// Good for one `POST /api/v1/auth/refresh`, which gives the next one.
    refresh_token: String,
    token_type: &'static str,
    /// Seconds the access token lives.
    expires_in: i64,
    username: String,
    role: Role,
}

fn session(app: &crate::App, user: User, refresh_token: String, now: Timestamp) -> answer::Result<Session> {
    let (access_token, expires_in) =
        app.state.auth.issue(&user, now).map_err(|error| ApiError::internal(&error))?;
    ok(Session {
        access_token,
        refresh_token,
        token_type: "Bearer",
        expires_in,
        username: user.name,
        role: user.role,
    })
}

impl crate::App {
    fn refuse_guessing(&self, user: &str, address: IpAddr, now: Timestamp) -> Result<(), ApiError> {
        match self.state.auth.limiter().wait_s(user, address, now) {
            None => Ok(()),
            Some(seconds) => {
                let message = format!("too many failed logins; try again in {seconds} s");
                let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", message);
                Err(error.retry_after(seconds))
            }
        }
    }
}

/// Sign in
///
/// Wrong passwords are counted per user and address: after five, further tries must wait (429 with `Retry-After`).
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "signing in",
    request_body = ref("Login"), responses((status = 200, body = ref("Session"))))]
pub(crate) async fn login(
    State(app): Context,
    Caller(address): Caller,
    Body(login): Body<Login>,
) -> answer::Result<Session> {
    let now = (app.state.clock)();
    app.refuse_guessing(&login.username, address, now)?;
    let verified = app.state.records.verify_password(&login.username, &login.password).await?;
    // Again: of many guesses sent at once, those that finish after the limit is reached learn nothing.
    app.refuse_guessing(&login.username, address, now)?;
    let limiter = app.state.auth.limiter();
    let Some(user) = verified else {
        limiter.failed(&login.username, address, now);
        let shown: String = login.username.chars().take(64).collect();
        app.audit(&shown, "login.failed", &address.to_string(), now).await;
        return Err(ApiError::unauthenticated("INVALID_CREDENTIALS", "wrong user name or password"));
    };
    limiter.succeeded(&login.username, address);
    let lifetime = app.state.auth.options().refresh_lifetime_ms;
    let refresh_token = app.state.records.issue_refresh_token(&user.name, now, lifetime).await?;
    app.audit(&user.name, "login", &address.to_string(), now).await;
    session(&app, user, refresh_token, now)
}

/// Exchange a refresh token
///
/// Each refresh token is good once. One that comes back a second time was copied: it ends the whole login.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "signing in",
    request_body = ref("RefreshToken"), responses((status = 200, body = ref("Session"))))]
pub(crate) async fn refresh(
    State(app): Context,
    Caller(address): Caller,
    Body(shown): Body<RefreshToken>,
) -> answer::Result<Session> {
    let now = (app.state.clock)();
    let lifetime = app.state.auth.options().refresh_lifetime_ms;
    match app.state.records.rotate_refresh_token(&shown.refresh_token, now, lifetime).await? {
        Rotation::Rotated { user, token } => session(&app, user, token, now),
        Rotation::Unknown => {
            Err(ApiError::unauthenticated("INVALID_TOKEN", "the refresh token is not known")
                .about("refreshToken"))
        }
        Rotation::Expired => {
            Err(ApiError::unauthenticated("TOKEN_EXPIRED", "the refresh token has expired")
                .about("refreshToken"))
        }
        Rotation::Reused { user } => {
            app.audit(&user, "refresh.reused", &address.to_string(), now).await;
            app.state.auth.end_tokens(&user, now);
            let message = "the refresh token was used before; this login has been ended";
            Err(ApiError::unauthenticated("TOKEN_REUSED", message).about("refreshToken"))
        }
    }
}

/// Sign out
///
/// Ends the login the refresh token belongs to. An unknown token is nothing to end: that is success too.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "signing in",
    request_body = ref("RefreshToken"), responses((status = 200, body = ref("Nothing"))))]
pub(crate) async fn logout(State(app): Context, Body(shown): Body<RefreshToken>) -> answer::Result<()> {
    app.state.records.revoke_refresh_token(&shown.refresh_token).await?;
    ok(())
}
