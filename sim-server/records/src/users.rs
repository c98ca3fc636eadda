//! People who may sign in.

use crate::{
    Records, RecordsError,
    error::{database, unique},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

/// What a person may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Also commands devices, plans and acknowledges alarms.
    Operator,
    /// Also registers devices and manages people and tokens.
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Role> {
        [Role::Viewer, Role::Operator, Role::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
}

type UserRow = (String, String, i64);

pub(crate) fn user_of((name, role, created_at): UserRow) -> Result<User, RecordsError> {
    let Some(role) = Role::parse(&role) else {
        return Err(RecordsError::Corrupt {
            what: "user",
            message: format!("role {role:?} is none of ours"),
            id: name,
        });
    };
    Ok(User { name, role, created_at: Timestamp(created_at) })
}

/// Touching every administrator's row makes two who remove each other at once take turns, on either database.
const LOCK_ADMINISTRATORS: &str = "UPDATE users SET role = role WHERE role = 'admin'";

const NAME_MAX: usize = 64;

fn is_valid_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.chars().count())
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

impl Records {
    /// A name has 1 to 64 characters without white space; a password at least 8.
    pub async fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<(), RecordsError> {
        if !is_valid_name(name) {
            return Err(RecordsError::Invalid {
                field: "username",
                message: format!("a user name has 1 to {NAME_MAX} characters and no white space"),
            });
        }
        let hash = self.inner.passwords.hash(password).await?;
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO users (name, role, password_hash, created_at) VALUES ($1, $2, $3, $4)")
                .bind(name)
                .bind(role.as_str())
                .bind(hash)
                .bind(now.0)
                .execute(pool)
                .await
                .map_err(unique("creating a user", "user", name))?;
        });
        Ok(())
    }

    /// The user, if the password is theirs. Takes as long for a user there is not.
    pub async fn verify_password(&self, name: &str, password: &str) -> Result<Option<User>, RecordsError> {
        let row: Option<(String, String, i64, String)> = match is_valid_name(name) {
            false => None,
            true => on_reader!(self, pool => {
                sqlx::query_as("SELECT name, role, created_at, password_hash FROM users WHERE name = $1")
                    .bind(name)
                    .fetch_optional(pool)
                    .await
                    .map_err(database("reading a user"))?
            }),
        };
        let (user, hash) = match row {
            Some((name, role, created_at, hash)) => (Some((name, role, created_at)), Some(hash)),
            None => (None, None),
        };
        match self.inner.passwords.verify(password, hash).await? {
            true => user.map(user_of).transpose(),
            false => Ok(None),
        }
    }

    pub async fn user(&self, name: &str) -> Result<Option<User>, RecordsError> {
        if !is_valid_name(name) {
            return Ok(None);
        }
        let row: Option<UserRow> = on_reader!(self, pool => {
            sqlx::query_as("SELECT name, role, created_at FROM users WHERE name = $1")
                .bind(name)
                .fetch_optional(pool)
                .await
                .map_err(database("reading a user"))?
        });
        row.map(user_of).transpose()
    }

    /// By name.
    pub async fn users(&self) -> Result<Vec<User>, RecordsError> {
        let rows: Vec<UserRow> = on_reader!(self, pool => {
            sqlx::query_as("SELECT name, role, created_at FROM users ORDER BY name")
                .fetch_all(pool)
                .await
                .map_err(database("reading the users"))?
        });
        rows.into_iter().map(user_of).collect()
    }

    /// Sets a password and ends the user's sessions.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), RecordsError> {
        const DOING: &str = "changing a password";
        self.require_user(name).await?;
        let hash = self.inner.passwords.hash(password).await?;
        let changed = on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            let changed = sqlx::query("UPDATE users SET password_hash = $1 WHERE name = $2")
                .bind(hash)
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?
                .rows_affected();
            sqlx::query("DELETE FROM refresh_tokens WHERE user_name = $1")
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            transaction.commit().await.map_err(database(DOING))?;
            changed
        });
        found(changed, name)
    }

    /// Refused when it would leave no administrator.
    pub async fn set_role(&self, name: &str, role: Role) -> Result<(), RecordsError> {
        const DOING: &str = "changing a role";
        self.require_user(name).await?;
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            sqlx::query(LOCK_ADMINISTRATORS).execute(&mut *transaction).await.map_err(database(DOING))?;
            let changed = sqlx::query("UPDATE users SET role = $1 WHERE name = $2")
                .bind(role.as_str())
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?
                .rows_affected();
            found(changed, name)?;
            let administrators: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE role = 'admin'")
                .fetch_one(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            if administrators == 0 {
                return Err(RecordsError::LastAdministrator { name: name.to_owned() });
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    /// Refused when it would leave no administrator. Ends the user's sessions.
    pub async fn delete_user(&self, name: &str) -> Result<(), RecordsError> {
        const DOING: &str = "deleting a user";
        self.require_user(name).await?;
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            sqlx::query(LOCK_ADMINISTRATORS).execute(&mut *transaction).await.map_err(database(DOING))?;
            let changed = sqlx::query("DELETE FROM users WHERE name = $1")
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?
                .rows_affected();
            found(changed, name)?;
            let administrators: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE role = 'admin'")
                .fetch_one(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            if administrators == 0 {
                return Err(RecordsError::LastAdministrator { name: name.to_owned() });
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    async fn require_user(&self, name: &str) -> Result<(), RecordsError> {
        found(u64::from(self.user(name).await?.is_some()), name)
    }
}

fn found(changed: u64, name: &str) -> Result<(), RecordsError> {
    match changed {
        0 => Err(RecordsError::NotFound { what: "user", id: name.to_owned() }),
        _ => Ok(()),
    }
}
