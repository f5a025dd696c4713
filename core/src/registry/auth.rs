//! Who we are to a registry.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::encoding::base64;

/// What proves to a registry who we are.
#[derive(Clone)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A bearer token that the registry itself accepts (docker's `registrytoken`).
    Token(Zeroizing<String>),
    /// A refresh token for the registry's token server (docker's `identitytoken`).
    IdentityToken(Zeroizing<String>),
}

impl Credential {
    /// A user name and a password.
    pub fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }
    }

    /// A bearer token.
    pub fn token(token: &str) -> Credential {
        Credential::Token(Zeroizing::new(token.to_owned()))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Basic { .. } => "<Credential basic>",
            Credential::Token(_) => "<Credential token>",
            Credential::IdentityToken(_) => "<Credential identity-token>",
        })
    }
}

/// The one name of a registry host: lower case, Docker Hub's aliases as `index.docker.io`.
pub fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "docker.io" | "registry-1.docker.io" => "index.docker.io".to_owned(),
        _ => host,
    }
}

/// The `Authorization` value of a user and password.
pub fn basic_value(user: &str, password: &str) -> Zeroizing<String> {
    let mut joined = format!("{user}:{password}");
    let value = Zeroizing::new(format!("Basic {}", base64::encode(joined.as_bytes())));
    joined.zeroize();
    value
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", [Credential::basic("user", "pw1"), Credential::token("pw2")]);
        assert!(!text.contains("pw1") && !text.contains("pw2"), "{text}");
    }
}
