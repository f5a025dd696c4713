//! Who we are to which registry: credentials, docker's `config.json`, and the rules a token server must obey.
//!
//! A registry names the token server itself, so its word is not trusted: the rules in [`check_realm`] keep a password
//! from going to an address the user never chose.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer};
use url::{Host, Url};
use zeroize::{Zeroize, Zeroizing};

use super::limits;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};

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

    fn helper_error(host: &str, name: &str) -> Error {
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        Error::new(
            Code::Unsupported,
            format!(
                "registry {host}: the docker config keeps its credentials in the helper docker-credential-{name}, and \
                 helpers are not run yet; give a user and password or a token for {host}"
            ),
        )
        .with("registry", host)
    }

    /// The credential for a repository: `host/a/b`, then `host/a`, then `host`, whole components only.
    ///
    /// A host whose credential sits in a helper program is an UNSUPPORTED error and never silently anonymous.
    pub fn lookup(&self, host: &str, repository: &str) -> Result<Option<Credential>> {
        let host = canonical_host(host);
        if let Some((_, name)) = self.helpers.iter().find(|(key, _)| key_host(key) == host) {
            return Err(Self::helper_error(&host, name));
        }
        let mut found = None;
        let mut path = format!("{host}/{repository}");
        loop {
            found = found.or_else(|| self.auths.iter().find(|(key, _)| canonical_key(key) == path));
            match path.rfind('/') {
                Some(cut) if found.is_none() => path.truncate(cut),
                _ => break,
            }
        }
        found = found.or_else(|| self.auths.iter().find(|(key, _)| key_host(key) == host));
        match (found, &self.store) {
            (Some((_, Some(credential))), _) => Ok(Some(credential.clone())),
            (Some((_, None)), Some(store)) => Err(Self::helper_error(&host, store)),
            _ => Ok(None),
        }
    }

    /// The credential store of the file, which was not asked for hosts the file does not list.
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }
}

/// Scheme, host and port: the exact border that credentials never cross.
pub fn origin(url: &Url) -> (String, String, u16) {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    (url.scheme().to_owned(), host, url.port_or_known_default().unwrap_or(0))
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_unspecified()
        || ip.is_broadcast()
        || ip.is_multicast()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4() {
        // Mapped and compatible forms reach the same machine; ::1 and :: are among the latter.
        return is_private_v4(v4) || ip.is_loopback() || ip.is_unspecified();
    }
    let [first, second, ..] = ip.segments();
    let nat64 = first == 0x64 && second == 0xff9b;
    (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfe80 || ip.is_multicast() || nat64
}

/// Whether the host is an address literal, or a name, inside this machine or a private network.
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => is_private_v4(ip),
        Some(Host::Ipv6(ip)) => is_private_v6(ip),
        Some(Host::Domain(name)) => is_local_name(name),
        None => true,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether the host is this machine: `localhost`, `*.localhost`, 127.0.0.0/8 or `::1`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => is_local_name(name),
        None => false,
    }
}

/// The name that one owner holds: the last two labels, three under short second levels such as `co.uk`.
///
/// Without the public suffix list this may call two owners one under unusual suffixes; it never sends a credential to
/// a host outside the registry's own suffix.
fn owner(url: &Url) -> String {
    let Some(Host::Domain(name)) = url.host() else { return url.host_str().unwrap_or_default().to_owned() };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let short = |label: Option<&&str>, most: usize| label.is_some_and(|label| label.len() <= most);
    let mut from_end = labels.iter().rev();
    let (last, second) = (from_end.next(), from_end.next());
    let keep = if short(last, 2) && short(second, 3) { 3 } else { 2 };
    labels.iter().skip(labels.len().saturating_sub(keep)).copied().collect::<Vec<_>>().join(".")
}

/// Judges the token server that `registry` names, before anything is sent to it.
///
/// `plain_allowed` tells whether plain HTTP to the realm's host was allowed; `with_credentials` whether a stored
/// credential would go there; `permitted` whether the caller allowed this very host.
pub fn check_realm(
    registry: &Url,
    realm: &str,
    plain_allowed: impl Fn(&Url) -> bool,
    with_credentials: bool,
    permitted: impl Fn(&str) -> bool,
) -> Result<Url> {
    let host = registry.host_str().unwrap_or_default();
    let refuse = |why: &str| {
        let shown: String = realm.chars().filter(|c| !c.is_control()).take(120).collect();
        let shown = shown.split('?').next().unwrap_or_default().to_owned();
        Error::new(
            Code::Auth,
            format!("registry {host}: its token server {shown:?} is refused: {why}; no credentials were sent"),
        )
        .with("registry", host)
    };
    let url = Url::parse(realm).map_err(|_| refuse("it is not a URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" && plain_allowed(&url) => {}
        _ => return Err(refuse("a token server must be https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it carries a user name or password"));
    }
    let same_place =
        url.host_str() == registry.host_str() && url.port_or_known_default() == registry.port_or_known_default();
    if is_private(&url) && !same_place && !is_private(registry) {
        return Err(refuse("it is an address of a private network"));
    }
    let realm_host = url.host_str().unwrap_or_default();
    if with_credentials
        && owner(&url) != owner(registry)
        && !(is_loopback(&url) && is_loopback(registry))
        && !permitted(realm_host)
    {
        return Err(refuse("it belongs to another domain than the registry"));
    }
    Ok(url)
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
        let look = |host: &str, repo: &str| basic(config.lookup(host, repo).unwrap());
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
    fn helpers_are_named_and_never_silently_anonymous() {
        let config = DockerConfig::parse(
            br#"{"auths":{"a.test":{},"b.test":{"auth":"dTpw"}},"credsStore":"desktop","credHelpers":{"e.test":"ecr-login"}}"#,
        )
        .unwrap();
        for (host, name) in [("a.test", "desktop"), ("e.test", "ecr-login")] {
            let error = config.lookup(host, "x").unwrap_err();
            assert_eq!(error.code(), Code::Unsupported);
            assert!(error.message().contains(name), "{error}");
        }
        assert_eq!(basic(config.lookup("b.test", "x").unwrap()), "u:p");
        assert_eq!(basic(config.lookup("f.test", "x").unwrap()), "none");
    }

    #[test]
    fn malformed_config_is_an_error_that_shows_no_secret() {
        for bad in ["", "[]", r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#, r#"{"auths":{"a":{"password":["secret"]}}}"#] {
            let error = DockerConfig::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::Argument);
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", [Credential::basic("user", "pw1"), Credential::token("pw2")]);
        assert!(!text.contains("pw1") && !text.contains("pw2"), "{text}");
    }

    #[test]
    fn realms_of_strangers_are_refused() {
        let registry = Url::parse("https://registry.a.test/").unwrap();
        let judge = |realm: &str| check_realm(&registry, realm, |_| false, true, |host| host == "permitted.test");
        for good in ["https://registry.a.test/token", "https://auth.a.test/t?x=1", "https://permitted.test/t"] {
            judge(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in [
            "http://auth.a.test/t",
            "https://u:p@auth.a.test/t",
            "file:///etc/passwd",
            "gopher://auth.a.test/",
            "https://b.test/t",
            "https://127.0.0.1/t",
            "https://[::1]/t",
            "https://10.1.2.3/t",
            "https://169.254.169.254/t",
            "https://[fd00:ec2::254]/t",
            "https://[::ffff:10.0.0.1]/t",
            "https://0.0.0.0/t",
            "https://localhost/t",
            "https://2130706433/t",
            "nonsense",
        ] {
            assert_eq!(judge(bad).unwrap_err().code(), Code::Auth, "{bad}");
        }
        // Anonymous tokens may come from elsewhere, but not from inside the network.
        assert!(check_realm(&registry, "https://b.test/t", |_| false, false, |_| false).is_ok());
        assert!(check_realm(&registry, "https://10.1.2.3/t", |_| false, false, |_| false).is_err());
        let inside = Url::parse("https://10.0.0.1:5000/").unwrap();
        assert!(check_realm(&inside, "https://10.0.0.1:5001/t", |_| false, true, |_| false).is_ok());
        let two = Url::parse("https://a.co.uk/").unwrap();
        assert!(check_realm(&two, "https://b.co.uk/t", |_| false, true, |_| false).is_err());
    }
}
