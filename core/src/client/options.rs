//! The options of clients and verbs. Defaults are the safe ones.

use zeroize::Zeroizing;

use crate::bundle::legacy;
use crate::error::{Code, Error, Result};
use crate::registry::{Credential, DockerConfig, Transport, TransportOptions};

/// How a [`super::Client`] reaches registries. The library reads no environment variable and no file that it was not
/// given; [`ClientOptions::from_env`] does.
#[derive(Clone)]
pub struct ClientOptions {
    pub(super) transport: TransportOptions,
    pub(super) layouts: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions { transport: TransportOptions::default(), layouts: true }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientOptions { .. }")
    }
}

impl ClientOptions {
    /// The defaults: anonymous, system certificate authorities, layouts allowed.
    pub fn new() -> Self {
        ClientOptions::default()
    }

    /// The `User-Agent` of requests.
    ///
    /// # Errors
    /// [`Code::Argument`] for characters that a header cannot carry.
    pub fn set_user_agent(&mut self, user_agent: &str) -> Result<&mut Self> {
        Transport::new(TransportOptions { user_agent: user_agent.to_owned(), ..TransportOptions::default() })?;
        self.transport.user_agent = user_agent.to_owned();
        Ok(self)
    }

    /// Whether `oci:PATH` references are taken (default yes). Switch them off where references come from strangers.
    pub fn set_layouts(&mut self, allowed: bool) -> &mut Self {
        self.layouts = allowed;
        self
    }

    /// Trusts these PEM certificate authorities beside the system's.
    ///
    /// # Errors
    /// [`Code::Argument`] when there is none in it.
    pub fn add_ca_pem(&mut self, pem: &[u8]) -> Result<&mut Self> {
        Transport::new(TransportOptions { ca_pem: vec![pem.to_vec()], ..TransportOptions::default() })?;
        self.transport.ca_pem.push(pem.to_vec());
        Ok(self)
    }

    /// User and password for one registry host (`host[:port]`).
    pub fn set_auth_basic(&mut self, host: &str, user: &str, password: &str) -> &mut Self {
        let credential = Credential::Basic { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) };
        self.set_auth(host, credential)
    }

    /// A bearer token for one registry host (`host[:port]`).
    pub fn set_auth_token(&mut self, host: &str, token: &str) -> &mut Self {
        self.set_auth(host, Credential::Token(Zeroizing::new(token.to_owned())))
    }

    fn set_auth(&mut self, host: &str, credential: Credential) -> &mut Self {
        self.transport.auth.retain(|(old, _)| old != host);
        self.transport.auth.push((host.to_owned(), credential));
        self
    }

    /// Credentials from the text of a docker `config.json` or podman `auth.json`.
    ///
    /// # Errors
    /// [`Code::Encoding`] or [`Code::Argument`] when it is malformed.
    pub fn set_docker_config(&mut self, json: &[u8]) -> Result<&mut Self> {
        self.transport.docker_config = Some(DockerConfig::parse(json)?);
        Ok(self)
    }

    /// Allows plain HTTP for this host (`host[:port]`). Loopback hosts need no permission.
    pub fn dangerous_allow_http(&mut self, host: &str) -> &mut Self {
        self.transport.http_hosts.push(host.to_owned());
        self
    }

    /// What a command line user expects: credentials from `$REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG/config.json`,
    /// `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`; more certificate
    /// authorities from `$SSL_CERT_FILE`.
    ///
    /// # Errors
    /// [`Code::Io`] when a file that a variable names cannot be read, or the code of a malformed one.
    pub fn from_env() -> Result<ClientOptions> {
        let mut options = ClientOptions::default();
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(std::path::PathBuf::from);
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|e| Error::new(Code::Io, format!("cannot read {}: {e}", path.display())))
        };
        if let Some(path) = var("SSL_CERT_FILE") {
            options.add_ca_pem(&read(&path)?).map_err(|e| e.context(path.display()))?;
        }
        if let Some(path) = var("REGISTRY_AUTH_FILE") {
            options.set_docker_config(&read(&path)?).map_err(|e| e.context(path.display()))?;
            return Ok(options);
        }
        let home = var("HOME");
        let config_home = var("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let docker = var("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let candidates = [
            docker.map(|dir| dir.join("config.json")),
            var("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            config_home.map(|dir| dir.join("containers/auth.json")),
        ];
        if let Some(path) = candidates.into_iter().flatten().find(|path| path.is_file()) {
            options.set_docker_config(&read(&path)?).map_err(|e| e.context(path.display()))?;
        }
        Ok(options)
    }
}

/// How to sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignOptions {
    /// Signed annotations, in any order; a name given twice must have one value.
    pub annotations: Vec<(String, String)>,
    /// What the payload calls the image instead of its repository; cosign's `--sign-container-identity`.
    pub identity: Option<String>,
    /// Docker media types for a new signature image; cosign's `COSIGN_DOCKER_MEDIA_TYPES=1`.
    pub docker_media_types: bool,
    /// In a layout: names the image's entry.
    pub layout_tag: Option<String>,
    /// The suffix of the signature tag: `.sig`, or `.cosign` as in 2021.
    pub tag_suffix: Option<String>,
}

/// How to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Whether the payload's claims are checked; cosign's `--check-claims`. Switching it off is reported.
    pub check_claims: bool,
    /// Accepts payloads of any `type`; reported when used.
    pub any_payload_type: bool,
    /// The suffix of the signature tag: `.sig`, or `.cosign` as in 2021.
    pub tag_suffix: Option<String>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions { check_claims: true, any_payload_type: false, tag_suffix: None }
    }
}

/// What `triangulate` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriangulateOptions {
    /// The suffix of the tag: `.sig`, `.att`, `.sbom`, or `.cosign` as in 2021.
    pub suffix: String,
}

impl Default for TriangulateOptions {
    fn default() -> Self {
        TriangulateOptions { suffix: legacy::SUFFIX.to_owned() }
    }
}

/// The suffix to use: one that cosign knows.
pub(super) fn suffix(wanted: Option<&str>) -> Result<&str> {
    match wanted {
        None => Ok(legacy::SUFFIX),
        Some(suffix @ (".sig" | ".cosign" | ".att" | ".sbom")) => Ok(suffix),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::new(Code::Argument, format!("the tag suffix {shown:?} is not .sig, .cosign, .att or .sbom")))
        }
    }
}
