//! The one place where roles are checked: a handler that takes `As<RoleOperator>` cannot be reached by less.

use super::{Claims, TokenFault};
use crate::{ApiError, App};
use access::{Credential, KEY_PREFIX, KeyFault, credential};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Method, request::Parts},
};
use records::{Role, WALL_TOKEN_PREFIX, WallTokenInfo};
use shared::{command::Issuer, time::Timestamp};
use std::{
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Principal {
    User(Claims),
    /// A screen on a wall: looks, and nothing else. Its token is kept to be checked again.
    Wall {
        info: WallTokenInfo,
        token: String,
    },
}

impl Principal {
    pub(crate) fn role(&self) -> Role {
        match self {
            Principal::User(claims) => claims.role,
            Principal::Wall { .. } => Role::Viewer,
        }
    }

    /// As the audit trail has it.
    pub(crate) fn name(&self) -> String {
        match self {
            Principal::User(claims) => claims.sub.clone(),
            Principal::Wall { info, .. } => format!("wall:{}", info.name),
        }
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::User { name: self.name() }
    }
}

/// A role as a type, for [`As`].
pub(crate) trait RequiredRole: Send + Sync + 'static {
    const ROLE: Role;
}

pub(crate) struct RoleViewer;
pub(crate) struct RoleOperator;
pub(crate) struct RoleAdmin;

impl RequiredRole for RoleViewer {
    const ROLE: Role = Role::Viewer;
}
impl RequiredRole for RoleOperator {
    const ROLE: Role = Role::Operator;
}
impl RequiredRole for RoleAdmin {
    const ROLE: Role = Role::Admin;
}

/// The caller, who has at least the role `R`.
pub(crate) struct As<R> {
    pub(crate) who: Principal,
    _role: PhantomData<R>,
}

impl<R: RequiredRole> FromRequestParts<Arc<App>> for As<R> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = bearer(parts)?;
        let now = (app.state.clock)();
        let who = principal(app, token, now).await?;
        if matches!(who, Principal::Wall { .. }) && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(ApiError::forbidden("a wall token only looks"));
        }
        if who.role() < R::ROLE {
            let message =
                format!("this needs the role {}, you are {}", R::ROLE.as_str(), who.role().as_str());
            return Err(ApiError::forbidden(message));
        }
        Ok(As { who, _role: PhantomData })
    }
}

fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    match credential(&parts.headers) {
        Ok(Credential::Key(token) | Credential::Other(token)) => Ok(token),
        Err(KeyFault::Missing) => {
            let message = "send Authorization: Bearer <token>; POST /api/v1/auth/login gives one";
            Err(ApiError::unauthenticated("UNAUTHENTICATED", message).about("authorization"))
        }
        Err(KeyFault::Malformed) => {
            let message = "the Authorization header is not Bearer <token>";
            Err(ApiError::unauthenticated("UNAUTHENTICATED", message).about("authorization"))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Who holds this token: a person's access token, or a wall's.
pub(crate) async fn principal(app: &App, token: &str, now: Timestamp) -> Result<Principal, ApiError> {
    if token.starts_with(KEY_PREFIX) {
        return Err(ApiError::forbidden("this is not open for API keys: they read and write telemetry"));
    }
    if token.starts_with(WALL_TOKEN_PREFIX) {
        return match app.state.records.check_wall_token(token).await? {
            Some(info) => Ok(Principal::Wall { info, token: token.to_owned() }),
            None => Err(refused(TokenFault::Invalid)),
        };
    }
    app.state.auth.verify(token, now).map(Principal::User).map_err(refused)
}

fn refused(fault: TokenFault) -> ApiError {
    let code = match fault {
        TokenFault::Invalid => "INVALID_TOKEN",
        TokenFault::Expired => "TOKEN_EXPIRED",
        TokenFault::Revoked => "TOKEN_REVOKED",
    };
    ApiError::unauthenticated(code, &fault.to_string()).about("authorization")
}

/// Whoever opened the connection.
pub(super) fn peer(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

/// The address a request came from, as far as is trusted.
pub(crate) struct Caller(pub(crate) IpAddr);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Caller(app.state.keys.address(&parts.headers, peer(parts))))
    }
}
