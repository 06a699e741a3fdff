//! Who asks, and who may change state.
//!
//! | way in | may change state | author |
//! | --- | --- | --- |
//! | the control socket | whoever the socket's mode lets in | the peer's user name (`SO_PEERCRED`, `/etc/passwd`), else `uid 1000` |
//! | TCP | with `Authorization: Bearer TOKEN` (RFC 6750) | the token's label |

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::Shared;
use super::problem::Problem;
use super::token::Tokens;

/// Where a connection comes from; every request carries it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp {
        remote: SocketAddr,
        /// The address that the client came to.
        local: SocketAddr,
    },
    /// The control socket, with the user id that the kernel vouches for.
    Socket { uid: u32 },
}

/// Who changes state. Taking one as an argument of a handler is what guards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author(pub String);

impl FromRequestParts<Arc<Shared>> for Author {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        match parts.extensions.get::<Peer>() {
            Some(&Peer::Socket { uid }) => Ok(Self(blocking(move || user_name(uid)).await?)),
            Some(&Peer::Tcp { remote, .. }) => by_token(Arc::clone(shared), parts, remote).await,
            None => Err(Problem::unauthorized("it is not known where this request comes from")),
        }
    }
}

async fn by_token(shared: Arc<Shared>, parts: &Parts, remote: SocketAddr) -> Result<Author, Problem> {
    let Some(secret) = bearer(parts) else {
        return Err(Problem::unauthorized("changing state needs `Authorization: Bearer TOKEN`, or the control socket"));
    };
    let secret = secret.to_owned();
    match blocking(move || label(&shared.tokens, &secret)).await?? {
        Some(label) => Ok(Author(label)),
        None => {
            tracing::warn!(%remote, path = parts.uri.path(), "refused: the token is not in the token file");
            Err(Problem::unauthorized("this token is not known here"))
        }
    }
}

/// The token of the one `Authorization` field, if it is a bearer's (RFC 6750, section 2.1).
fn bearer(parts: &Parts) -> Option<&str> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn label(tokens: &Tokens, secret: &str) -> Result<Option<String>, Problem> {
    tokens.label(secret).map_err(|error| {
        tracing::error!(%error, "the token file cannot be used; nobody can change state over TCP");
        Problem::unavailable("the token file cannot be used; the server's log says why")
    })
}

/// A file is read: off the runtime's own threads, since a disk may hang.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::unavailable("the server is stopping"))
}

/// The user's name, or `uid 1000` where `/etc/passwd` has none.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).map_or_else(|| format!("uid {uid}"), ToOwned::to_owned)
}

/// passwd(5): `name:password:uid:...`, a user a line.
fn name_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn users_are_named_as_passwd_says() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\n# odd\nanna:x:1000:1000::/home/anna:/bin/sh\nbroken\n:x:7:7:::\n";
        assert_eq!(name_in(passwd, 0), Some("root"));
        assert_eq!(name_in(passwd, 1000), Some("anna"));
        assert_eq!(name_in(passwd, 7), None);
        assert_eq!(name_in(passwd, 100), None);
    }

    #[test]
    fn only_one_bearer_field_is_a_token() {
        let of = |fields: &[&str]| {
            let mut request = Request::builder();
            for field in fields {
                request = request.header(AUTHORIZATION, *field);
            }
            let (parts, ()) = request.body(()).expect("good headers").into_parts();
            bearer(&parts).map(ToOwned::to_owned)
        };
        assert_eq!(of(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(of(&["bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(of(&["Basic abc"]), None);
        assert_eq!(of(&["Bearer"]), None);
        assert_eq!(of(&["Bearer abc", "Bearer abc"]), None);
        assert_eq!(of(&[]), None);
    }
}
