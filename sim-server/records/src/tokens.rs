//! Tokens that outlive a request: a person's refresh token, rotated at each use, and a wall's view-only token.

use crate::{
    Records, RecordsError,
    error::database,
    secrets::{random_text, sha256_hex},
    users::{User, user_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use uuid::Uuid;

/// What became of a refresh token that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It is spent now; `token` takes its place.
    Rotated {
        user: User,
        token: String,
    },
    Unknown,
    Expired,
    /// It had been spent before, so someone else holds a copy: every token of that login is revoked.
    Reused {
        user: String,
    },
}

/// A wall's token without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WallTokenInfo {
    pub id: String,
    /// Which wall it is for.
    pub name: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// Tells a wall's token from an access token at a glance.
pub const WALL_TOKEN_PREFIX: &str = "wall_";

type WallRow = (String, String, i64, Option<i64>);

fn wall_of((id, name, created_at, revoked_at): WallRow) -> WallTokenInfo {
    WallTokenInfo { id, name, created_at: Timestamp(created_at), revoked_at: revoked_at.map(Timestamp) }
}

const INSERT: &str = "INSERT INTO refresh_tokens (sha256, family, user_name, issued_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5)";

impl Records {
    /// The first token of a new login. Tokens of this user that expired are forgotten.
    pub async fn issue_refresh_token(
        &self,
        user: &str,
        now: Timestamp,
        lifetime_ms: i64,
    ) -> Result<String, RecordsError> {
        const DOING: &str = "issuing a refresh token";
        let token = random_text();
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            sqlx::query("DELETE FROM refresh_tokens WHERE user_name = $1 AND expires_at < $2")
                .bind(user)
                .bind(now.0)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            sqlx::query(INSERT)
                .bind(sha256_hex(&token))
                .bind(Uuid::now_v7().to_string())
                .bind(user)
                .bind(now.0)
                .bind(now.0.saturating_add(lifetime_ms))
                .execute(&mut *transaction)
                .await
                .map_err(|source| match &source {
                    sqlx::Error::Database(e) if e.is_foreign_key_violation() => {
                        RecordsError::NotFound { what: "user", id: user.to_owned() }
                    }
                    _ => RecordsError::Database { doing: DOING, source },
                })?;
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(token)
    }

    /// Spends a refresh token for the next one of its login.
    pub async fn rotate_refresh_token(
        &self,
        token: &str,
        now: Timestamp,
        lifetime_ms: i64,
    ) -> Result<Rotation, RecordsError> {
        const DOING: &str = "rotating a refresh token";
        let digest = sha256_hex(token);
        let next = random_text();
        let rotation = on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            // Marking it spent comes first: of two who show the same token at once, one changes the row.
            let spent = sqlx::query(
                "UPDATE refresh_tokens SET spent_at = $1 WHERE sha256 = $2 AND spent_at IS NULL AND expires_at > $1",
            )
            .bind(now.0)
            .bind(&digest)
            .execute(&mut *transaction)
            .await
            .map_err(database(DOING))?
            .rows_affected();
            let row: Option<(String, i64, Option<i64>, String, String, i64)> = sqlx::query_as(
                "SELECT t.family, t.expires_at, t.spent_at, u.name, u.role, u.created_at
                 FROM refresh_tokens t JOIN users u ON u.name = t.user_name WHERE t.sha256 = $1",
            )
            .bind(&digest)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database(DOING))?;
            let Some((family, expires_at, spent_at, name, role, created_at)) = row else {
                return Ok(Rotation::Unknown);
            };
            if spent == 0 {
                if spent_at.is_none() || expires_at <= now.0 {
                    return Ok(Rotation::Expired);
                }
                sqlx::query("DELETE FROM refresh_tokens WHERE family = $1")
                    .bind(&family)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
                transaction.commit().await.map_err(database(DOING))?;
                return Ok(Rotation::Reused { user: name });
            }
            sqlx::query(INSERT)
                .bind(sha256_hex(&next))
                .bind(&family)
                .bind(&name)
                .bind(now.0)
                .bind(now.0.saturating_add(lifetime_ms))
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            let user = user_of((name, role, created_at))?;
            transaction.commit().await.map_err(database(DOING))?;
            Rotation::Rotated { user, token: next }
        });
        Ok(rotation)
    }

    /// Ends the login a refresh token belongs to: signing out. Unknown tokens are nothing to end.
    pub async fn revoke_refresh_token(&self, token: &str) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "DELETE FROM refresh_tokens
                 WHERE family IN (SELECT family FROM refresh_tokens WHERE sha256 = $1)",
            )
            .bind(sha256_hex(token))
            .execute(pool)
            .await
            .map_err(database("ending a login"))?;
        });
        Ok(())
    }

    /// Ends all of a user's logins.
    pub async fn revoke_refresh_tokens(&self, user: &str) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query("DELETE FROM refresh_tokens WHERE user_name = $1")
                .bind(user)
                .execute(pool)
                .await
                .map_err(database("ending a user's logins"))?;
        });
        Ok(())
    }

    /// A new view-only token, to be shown once.
    pub async fn create_wall_token(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(WallTokenInfo, String), RecordsError> {
        let length = name.chars().count();
        if !(1..=100).contains(&length) || name.chars().any(char::is_control) {
            return Err(RecordsError::Invalid {
                field: "name",
                message: "a wall's name has 1 to 100 characters".into(),
            });
        }
        let token = format!("{WALL_TOKEN_PREFIX}{}", random_text());
        let info = WallTokenInfo {
            id: Uuid::now_v7().to_string(),
            name: name.to_owned(),
            created_at: now,
            revoked_at: None,
        };
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO wall_tokens (id, sha256, name, created_at) VALUES ($1, $2, $3, $4)")
                .bind(&info.id)
                .bind(sha256_hex(&token))
                .bind(name)
                .bind(now.0)
                .execute(pool)
                .await
                .map_err(database("creating a wall token"))?;
        });
        Ok((info, token))
    }

    /// The wall a token was made for, unless it is unknown or revoked.
    pub async fn check_wall_token(&self, token: &str) -> Result<Option<WallTokenInfo>, RecordsError> {
        let row: Option<WallRow> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT id, name, created_at, revoked_at FROM wall_tokens
                 WHERE sha256 = $1 AND revoked_at IS NULL",
            )
            .bind(sha256_hex(token))
            .fetch_optional(pool)
            .await
            .map_err(database("checking a wall token"))?
        });
        Ok(row.map(wall_of))
    }

    /// `false` when there is no such token, or it was revoked before.
    pub async fn revoke_wall_token(&self, id: &str, now: Timestamp) -> Result<bool, RecordsError> {
        if id.contains('\0') {
            return Ok(false);
        }
        let changed = on_writer!(self, pool => {
            sqlx::query("UPDATE wall_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                .bind(now.0)
                .bind(id)
                .execute(pool)
                .await
                .map_err(database("revoking a wall token"))?
                .rows_affected()
        });
        Ok(changed == 1)
    }

    /// All that were ever made, newest first.
    pub async fn wall_tokens(&self) -> Result<Vec<WallTokenInfo>, RecordsError> {
        let rows: Vec<WallRow> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT id, name, created_at, revoked_at FROM wall_tokens ORDER BY created_at DESC, id DESC",
            )
            .fetch_all(pool)
            .await
            .map_err(database("reading the wall tokens"))?
        });
        Ok(rows.into_iter().map(wall_of).collect())
    }
}
