//! Docker's `config.json` and podman's `auth.json`: which credential belongs to which repository.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::auth::{Credential, canonical_host};
use super::limits;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};

/// Text that is wiped when dropped, taken over from the parser without a copy.
#[derive(Default)]
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Ok(Secret(Zeroizing::new(Option::<String>::deserialize(from)?.unwrap_or_default())))
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Secret,
    #[serde(default)]
    username: Secret,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    identitytoken: Secret,
    #[serde(default)]
    registrytoken: Secret,
}

impl Entry {
    fn credential(&self, key: &str) -> Result<Option<Credential>> {
        if !self.registrytoken.0.is_empty() {
            return Ok(Some(Credential::Token(self.registrytoken.0.clone())));
        }
        if !self.identitytoken.0.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.0.clone())));
        }
        let (user, password) = if self.auth.0.is_empty() {
            (self.username.0.to_string(), self.password.0.clone())
        } else {
            let bad = || {
                let key: String = key.chars().take(200).collect();
                Error::new(Code::Argument, format!("docker config: the auth of {key:?} is not base64 of user:password"))
            };
            let decoded = Zeroizing::new(base64::decode(self.auth.0.trim()).map_err(|_| bad())?);
            let text = std::str::from_utf8(&decoded).map_err(|_| bad())?;
            let (user, password) = text.split_once(':').ok_or_else(bad)?;
            // Old docker clients padded the password with NUL bytes.
            (user.to_owned(), Zeroizing::new(password.trim_end_matches('\0').to_owned()))
        };
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        if user == "<token>" {
            return Ok(Some(Credential::IdentityToken(password)));
        }
        Ok(Some(Credential::Basic { user, password }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

/// A parsed docker `config.json` or containers `auth.json`.
#[derive(Clone, Default)]
pub struct DockerConfig {
    // Key as written in the file, and what it grants; None for the empty entries that a credential store leaves behind.
    auths: Vec<(String, Option<Credential>)>,
    helpers: Vec<(String, String)>,
    store: Option<String>,
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.auths.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("DockerConfig").field("hosts", &hosts).finish_non_exhaustive()
    }
}

// The host a key stands for: without scheme; cut at the first slash only if there was a scheme.
fn key_host(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    match bare {
        Some(rest) => canonical_host(rest.split('/').next().unwrap_or(rest)),
        None => canonical_host(key),
    }
}

// A key as written without a scheme, its host part canonical.
fn canonical_key(key: &str) -> String {
    match key.split_once('/') {
        Some((host, path)) => format!("{}/{path}", canonical_host(host)),
        None => canonical_host(key),
    }
}

impl DockerConfig {
    /// Parses the file; malformed JSON or a malformed entry is an error, unknown members are ignored as docker does.
    pub fn parse(json: &[u8]) -> Result<DockerConfig> {
        let bad = |why: String| Error::new(Code::Argument, format!("docker config: {why}"));
        if json.len() > limits::DOCKER_CONFIG {
            return Err(bad("larger than 1 MiB".to_owned()));
        }
        // A derived reader would take a list for the object.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(bad("not a JSON object".to_owned()));
        }
        // serde_json's message may quote a value, so only the place is shown.
        let file: File = serde_json::from_slice(json)
            .map_err(|error| bad(format!("malformed at line {} column {}", error.line(), error.column())))?;
        let mut auths = Vec::new();
        for (key, entry) in file.auths.unwrap_or_default() {
            let credential = entry.credential(&key)?;
            auths.push((key, credential));
        }
        Ok(DockerConfig {
            auths,
            helpers: file.cred_helpers.unwrap_or_default().into_iter().collect(),
            store: file.creds_store.filter(|store| !store.is_empty()),
        })
    }

    pub(super) fn helper_error(host: &str, name: &str) -> Error {
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        Error::new(
            Code::Unsupported,
            format!(
                "registry {host}: the docker config keeps its credentials in the helper docker-credential-{name}, and \
                 this client runs no helpers; allow them, or give a user and password or a token for {host}"
            ),
        )
        .with("registry", host)
    }

    /// The helper programs to ask for a host's credential before [`DockerConfig::lookup`], first choice first.
    pub(super) fn helpers(&self, host: &str) -> impl Iterator<Item = &str> {
        let host = canonical_host(host);
        let own = self.helpers.iter().filter(move |(key, _)| key_host(key) == host).map(|(_, name)| name.as_str());
        own.chain(self.store.as_deref())
    }

    /// The credential that the file itself holds for a repository: `host/a/b`, then `host/a`, then `host`, whole
    /// components only; then keys in the form of a URL.
    pub fn lookup(&self, host: &str, repository: &str) -> Option<Credential> {
        self.entry(host, repository).and_then(|(_, credential)| credential.clone())
    }

    /// The helper program that is known to keep the credential of this host.
    pub(super) fn keeper(&self, host: &str, repository: &str) -> Option<&str> {
        let canonical = canonical_host(host);
        let own = self.helpers.iter().find(|(key, _)| key_host(key) == canonical).map(|(_, name)| name.as_str());
        // An empty entry is what docker leaves behind when it gives a credential to the store.
        own.or_else(|| match self.entry(host, repository) {
            Some((_, None)) => self.store.as_deref(),
            _ => None,
        })
    }

    fn entry(&self, host: &str, repository: &str) -> Option<&(String, Option<Credential>)> {
        let host = canonical_host(host);
        let mut path = format!("{host}/{repository}");
        loop {
            if let Some(found) = self.auths.iter().find(|(key, _)| canonical_key(key) == path) {
                return Some(found);
            }
            match path.rfind('/') {
                Some(cut) => path.truncate(cut),
                None => return self.auths.iter().find(|(key, _)| key_host(key) == host),
            }
        }
    }

    /// The credential store of the file, which was not asked for hosts the file does not list.
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn basic(found: Option<Credential>) -> String {
        match found {
            Some(Credential::Basic { user, password }) => format!("{user}:{}", *password),
            Some(Credential::Token(token)) => format!("token:{}", *token),
            Some(Credential::IdentityToken(token)) => format!("identity:{}", *token),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn docker_config_lookup_takes_the_most_specific_key() {
        let auth = |text: &str| base64::encode(text.as_bytes());
        let json = format!(
            r#"{{"auths":{{"a.test":{{"auth":"{}"}},"a.test/x":{{"auth":"{}"}},"a.test/x/y":{{"username":"u3","password":"p3"}},
                "https://index.docker.io/v1/":{{"auth":"{}"}},"https://b.test/v2/":{{"registrytoken":"r"}},
                "c.test":{{"identitytoken":"i","auth":"{}"}},"d.test":{{}}}},"other":[1]}}"#,
            auth("u1:p:1"),
            auth("u2:p2\0\0"),
            auth("hub:pw"),
            auth("ignored:x"),
        );
        let config = DockerConfig::parse(json.as_bytes()).unwrap();
        let look = |host: &str, repo: &str| basic(config.lookup(host, repo));
        assert_eq!(look("a.test", "z"), "u1:p:1");
        assert_eq!(look("a.test", "x/z"), "u2:p2");
        assert_eq!(look("a.test", "x/y/z"), "u3:p3");
        assert_eq!(look("a.test", "x/yy"), "u2:p2");
        assert_eq!(look("a.test", "xx"), "u1:p:1");
        for hub in ["index.docker.io", "docker.io", "registry-1.docker.io"] {
            assert_eq!(look(hub, "library/alpine"), "hub:pw");
        }
        assert_eq!(look("b.test", "z"), "token:r");
        assert_eq!(look("c.test", "z"), "identity:i");
        for none in ["d.test", "a.test.evil", "b.a.test", "a.test:444"] {
            assert_eq!(look(none, "x"), "none", "{none}");
        }
        assert!(!format!("{config:?}").contains("pw"));
    }

    #[test]
    fn helpers_are_named_for_the_hosts_they_keep() {
        let config = DockerConfig::parse(
            br#"{"auths":{"a.test":{},"b.test":{"auth":"dTpw"}},"credsStore":"desktop","credHelpers":{"e.test":"ecr-login"}}"#,
        )
        .unwrap();
        let asked = |host: &str| config.helpers(host).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(asked("e.test"), ["ecr-login", "desktop"]);
        assert_eq!(asked("a.test"), ["desktop"]);
        let keeper = |host: &str| config.keeper(host, "x");
        assert_eq!((keeper("a.test"), keeper("e.test")), (Some("desktop"), Some("ecr-login")));
        assert_eq!((keeper("b.test"), keeper("f.test"), keeper("e.test.evil")), (None, None, None));
        assert_eq!(basic(config.lookup("b.test", "x")), "u:p");
        assert_eq!(basic(config.lookup("f.test", "x")), "none");
    }

    #[test]
    fn malformed_config_is_an_error_that_shows_no_secret() {
        for bad in ["", "[]", r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#, r#"{"auths":{"a":{"password":["secret"]}}}"#] {
            let error = DockerConfig::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::Argument);
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}
