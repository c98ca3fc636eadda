//! Who is asking: access tokens, wall tokens, roles, and a brake on guessing passwords.
//!
//! An access token is a JWT (HS256) that lives for minutes and is checked without the database. Changing or deleting
//! a user ends the tokens issued before that moment at once; the list of such moments needs no disk because a token
//! outlives a restart by minutes at most.

mod caller;
mod limiter;
mod reader;

pub(crate) use caller::{As, Caller, Principal, RoleAdmin, RoleOperator, RoleViewer, principal};
pub(crate) use reader::{PassSlot, Reader};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use limiter::LoginLimiter;
use parking_lot::Mutex;
use records::{Role, User};
use serde::{Deserialize, Serialize};
use shared::time::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// How long tokens live.
#[derive(Debug, Clone, Copy)]
pub struct AuthOptions {
    pub access_lifetime_ms: i64,
    pub refresh_lifetime_ms: i64,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self { access_lifetime_ms: 15 * MINUTE_MS, refresh_lifetime_ms: 30 * DAY_MS }
    }
}

/// Signs and checks access tokens, and counts failed logins. Clones share both.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    options: AuthOptions,
    limiter: LoginLimiter,
    /// Tokens of a user issued before this moment are worth nothing.
    ended: Mutex<HashMap<String, Timestamp>>,
    /// Walls whose token this process revoked: their streams end at once.
    ended_walls: Mutex<HashSet<String>>,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    sub: String,
    role: Role,
    /// Seconds, as RFC 7519 has it.
    iat: i64,
    exp: i64,
    /// When it was issued, to the millisecond.
    iat_ms: i64,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("the token is not one of this server's")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    #[error("the token has been revoked")]
    Revoked,
}

impl Auth {
    /// `key` signs the tokens: at least 32 random bytes, kept in the data folder so that a restart signs nobody out.
    pub fn new(key: &[u8]) -> Auth {
        Auth::with_options(key, AuthOptions::default())
    }

    pub fn with_options(key: &[u8], options: AuthOptions) -> Auth {
        let mut validation = Validation::new(Algorithm::HS256);
        // Time is an argument here: expiry is checked against the server's clock in `verify`.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let inner = Inner {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            options,
            limiter: LoginLimiter::default(),
            ended: Mutex::default(),
            ended_walls: Mutex::default(),
        };
        Auth { inner: Arc::new(inner) }
    }

    pub(crate) fn options(&self) -> AuthOptions {
        self.inner.options
    }

    pub(crate) fn limiter(&self) -> &LoginLimiter {
        &self.inner.limiter
    }

    /// An access token for `user`, and how many seconds it lives.
    pub(crate) fn issue(
        &self,
        user: &User,
        now: Timestamp,
    ) -> Result<(String, i64), jsonwebtoken::errors::Error> {
        let lifetime_ms = self.inner.options.access_lifetime_ms;
        let claims = Claims {
            sub: user.name.clone(),
            role: user.role,
            iat: now.0.div_euclid(SECOND_MS),
            exp: (now.0 + lifetime_ms).div_euclid(SECOND_MS),
            iat_ms: now.0,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.inner.encoding)?;
        Ok((token, lifetime_ms / SECOND_MS))
    }

    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenFault> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.inner.decoding, &self.inner.validation);
        let claims = decoded.map_err(|_| TokenFault::Invalid)?.claims;
        self.still_good(&claims, now)?;
        Ok(claims)
    }

    /// Who holds this access token, and their role: for routes that are served beside ours.
    pub fn holder(&self, token: &str, now: Timestamp) -> Result<(String, Role), TokenFault> {
        self.verify(token, now).map(|claims| (claims.sub, claims.role))
    }

    /// Whether a token that was good still is.
    pub(crate) fn still_good(&self, claims: &Claims, now: Timestamp) -> Result<(), TokenFault> {
        if now.0 >= claims.exp * SECOND_MS {
            return Err(TokenFault::Expired);
        }
        match self.inner.ended.lock().get(&claims.sub) {
            Some(ended) if claims.iat_ms <= ended.0 => Err(TokenFault::Revoked),
            _ => Ok(()),
        }
    }

    /// Ends all of a user's access tokens issued up to `now`.
    pub(crate) fn end_tokens(&self, user: &str, now: Timestamp) {
        let mut ended = self.inner.ended.lock();
        let oldest_alive = now.0 - self.inner.options.access_lifetime_ms;
        ended.retain(|_, at| at.0 >= oldest_alive);
        ended.insert(user.to_owned(), now);
    }

    pub(crate) fn end_wall(&self, id: &str) {
        self.inner.ended_walls.lock().insert(id.to_owned());
    }

    pub(crate) fn is_wall_ended(&self, id: &str) -> bool {
        self.inner.ended_walls.lock().contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn lin() -> User {
        User { name: "lin".into(), role: Role::Operator, created_at: NOW }
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let auth = Auth::new(&[7; 32]);
        let (token, seconds) = auth.issue(&lin(), NOW).unwrap();
        assert_eq!(seconds, 900);
        let claims = auth.verify(&token, Timestamp(NOW.0 + 899_000)).unwrap();
        assert_eq!((claims.sub.as_str(), claims.role), ("lin", Role::Operator));
        assert_eq!(auth.verify(&token, Timestamp(NOW.0 + 900_000)), Err(TokenFault::Expired));
    }

    #[test]
    fn a_forged_token_is_refused() {
        let auth = Auth::new(&[7; 32]);
        let (theirs, _) = Auth::new(&[8; 32]).issue(&lin(), NOW).unwrap();
        let (ours, _) = auth.issue(&lin(), NOW).unwrap();
        let parts: Vec<&str> = ours.split('.').collect();
        // {"alg":"none"} with our own claims.
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
        for token in [theirs.as_str(), &unsigned, "", "a.b.c", "wall_x", &ours[..ours.len() - 2]] {
            assert_eq!(auth.verify(token, NOW), Err(TokenFault::Invalid), "{token}");
        }
    }

    #[test]
    fn a_changed_users_old_tokens_end_and_new_ones_hold() {
        let auth = Auth::new(&[7; 32]);
        let (old, _) = auth.issue(&lin(), NOW).unwrap();
        auth.end_tokens("lin", NOW);
        assert_eq!(auth.verify(&old, NOW), Err(TokenFault::Revoked));
        let later = Timestamp(NOW.0 + 1);
        let (new, _) = auth.issue(&lin(), later).unwrap();
        assert!(auth.verify(&new, later).is_ok());
    }
}
