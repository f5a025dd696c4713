//! The options of clients and verbs. Defaults are the safe ones.

use zeroize::Zeroizing;

use crate::bundle::legacy;
use crate::error::{Code, Error, Result};
use crate::oci::{ImageRef, RegistryRef};
use crate::payload::simple_signing::PayloadForm;
use crate::registry::{ClientCertificate, Credential, DockerConfig, Observer, ProxyRules, Transport, TransportOptions};
use crate::sigstore::PUBLIC_REKOR;
use crate::verify::Policy;

/// How a [`super::Client`] reaches registries. The library reads no environment variable and no file that it was not
/// given; [`ClientOptions::from_env`] does.
#[derive(Clone)]
pub struct ClientOptions {
    pub(super) transport: TransportOptions,
    pub(super) layouts: bool,
    pub(super) signatures: Option<RegistryRef>,
    pub(super) rekor_url: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            transport: TransportOptions::default(),
            layouts: true,
            signatures: None,
            rekor_url: PUBLIC_REKOR.to_owned(),
        }
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

    /// Keeps the signatures of images in registries in this repository (`registry/repository`), of the same or another
    /// registry: cosign's `COSIGN_REPOSITORY`. Every verb looks for them there and nowhere else; only the image itself is
    /// resolved in its own repository. Layouts keep their signatures.
    ///
    /// # Errors
    /// [`Code::Reference`] when it is not a repository, or has a tag or digest.
    pub fn set_signature_repository(&mut self, repository: &str) -> Result<&mut Self> {
        self.signatures = Some(RegistryRef::parse_repository(repository)?);
        Ok(self)
    }

    /// The transparency log to which signatures go, and in which they are looked for; only verbs that were told to use a
    /// log ask it. Rekor's public log by default. Plain http is for loopback, and hosts for which
    /// [`ClientOptions::dangerous_allow_http`] allows it.
    ///
    /// # Errors
    /// [`Code::Argument`] for an address that is not https, nor plain http on loopback; that of another host is refused
    /// when it is used.
    pub fn set_rekor_url(&mut self, url: &str) -> Result<&mut Self> {
        // Which hosts may be spoken to in plain http may still be said.
        if !url.starts_with("http://") {
            Transport::new(TransportOptions::default())?.service("transparency log", url)?;
        }
        self.rekor_url = url.to_owned();
        Ok(self)
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
        self.transport.docker_configs = vec![DockerConfig::parse(json)?];
        Ok(self)
    }

    /// Trusts these PEM certificate authorities instead of the system's, and instead of those added before.
    ///
    /// # Errors
    /// [`Code::Argument`] when there is none in it.
    pub fn set_ca_pem(&mut self, pem: &[u8]) -> Result<&mut Self> {
        let before = std::mem::take(&mut self.transport.ca_pem);
        if let Err(error) = self.add_ca_pem(pem).map(|_| ()) {
            self.transport.ca_pem = before;
            return Err(error);
        }
        self.transport.replace_system_ca = true;
        Ok(self)
    }

    /// Shows this certificate (with its chain) to registries that ask for one; both PEM, the key unencrypted. Hosts that a
    /// registry redirects to do not get to see it.
    ///
    /// # Errors
    /// [`Code::Argument`] when one of them is not PEM of its kind.
    pub fn set_client_certificate(&mut self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<&mut Self> {
        self.transport.client_certificate = Some(ClientCertificate::parse(certificate_pem, key_pem)?);
        Ok(self)
    }

    /// Reads certificates per registry from this folder, as docker and podman keep them: `<folder>/<host:port>/` with
    /// `*.crt` (authorities), `*.cert` and `*.key` (a client's). The first folder that has one for a host counts.
    pub fn add_certs_dir(&mut self, folder: &std::path::Path) -> &mut Self {
        self.transport.certs_dirs.push(folder.to_owned());
        self
    }

    /// Whether the credential helpers that a docker config names may be started (`docker-credential-<name>` from `PATH`;
    /// default no). Without permission a host whose credentials a helper keeps is an error, never anonymous.
    pub fn allow_credential_helpers(&mut self, allowed: bool) -> &mut Self {
        self.transport.credential_helpers = allowed;
        self
    }

    /// Lets the credentials for `registry` (`host[:port]`) go to the token server `server` (a host) although it belongs to
    /// another domain. Without this only names under the registry's own domain get them.
    pub fn allow_token_server(&mut self, registry: &str, server: &str) -> &mut Self {
        self.transport.token_servers.push((registry.to_owned(), server.to_owned()));
        self
    }

    /// Sends requests through proxies; the values are those of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, empty for none.
    /// Loopback hosts are never asked for through a proxy.
    ///
    /// # Errors
    /// [`Code::Argument`] for a proxy that is no http or https URL, [`Code::Unsupported`] for SOCKS.
    pub fn set_proxy(&mut self, https: &str, http: &str, no_proxy: &str) -> Result<&mut Self> {
        self.transport.proxies = ProxyRules::new(https, http, no_proxy)?;
        Ok(self)
    }

    /// Tells `observer` of each HTTP exchange when it is over: one line, without credentials. It runs on the thread of the
    /// request, which waits for it.
    pub fn set_observer(&mut self, observer: Observer) -> &mut Self {
        self.transport.observer = Some(observer);
        self
    }

    /// For tests: how long to wait before the second attempt of a request, at most.
    #[doc(hidden)]
    pub fn set_retry_base(&mut self, base: std::time::Duration) -> &mut Self {
        self.transport.retry_base = Some(base);
        self
    }

    /// Allows plain HTTP for this host (`host[:port]`). Loopback hosts need no permission.
    pub fn dangerous_allow_http(&mut self, host: &str) -> &mut Self {
        self.transport.http_hosts.push(host.to_owned());
        self
    }

    /// What a command line user expects, from the environment:
    ///
    /// - credentials, each looked for in `$REGISTRY_AUTH_FILE`, then `$DOCKER_CONFIG/config.json` (`~/.docker/config.json`),
    ///   `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json` (`~/.config/…`); helpers that
    ///   these files name are started;
    /// - authorities from `$SSL_CERT_FILE` and `$SSL_CERT_DIR`: one of them adds to the system's, both replace them;
    /// - certificates per registry from `~/.config/containers/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d`;
    /// - proxies from `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in upper or lower case, as in Go;
    /// - the repository of the signatures from `COSIGN_REPOSITORY`;
    /// - the transparency log from `REKOR_SERVER`, as in 2021.
    ///
    /// Files that no variable names may be unreadable or malformed: they then count as not there.
    ///
    /// # Errors
    /// [`Code::Io`] when a file that a variable names cannot be read, or the code of a malformed one.
    pub fn from_env() -> Result<ClientOptions> {
        let mut options = ClientOptions::default();
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(std::path::PathBuf::from);
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|e| Error::new(Code::Io, format!("cannot read {}: {e}", path.display())))
        };
        let (file, folder) = (var("SSL_CERT_FILE"), var("SSL_CERT_DIR"));
        options.transport.replace_system_ca = file.is_some() && folder.is_some();
        if let Some(path) = file {
            options.add_ca_pem(&read(&path)?).map_err(|e| e.context(path.display()))?;
        }
        // Several folders, as in a search path.
        for folder in folder.iter().flat_map(std::env::split_paths) {
            for path in files(&folder)? {
                // Folders of authorities hold other files, too.
                let _ = std::fs::read(path).is_ok_and(|pem| options.add_ca_pem(&pem).is_ok());
            }
        }
        let home = var("HOME");
        let config_home = var("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        for folder in [
            config_home.as_ref().map(|dir| dir.join("containers/certs.d")),
            Some("/etc/containers/certs.d".into()),
            Some("/etc/docker/certs.d".into()),
        ] {
            options.transport.certs_dirs.extend(folder);
        }
        let mut configs = Vec::new();
        if let Some(path) = var("REGISTRY_AUTH_FILE") {
            configs.push(DockerConfig::parse(&read(&path)?).map_err(|e| e.context(path.display()))?);
        }
        let named = var("DOCKER_CONFIG").is_some();
        let docker = var("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let candidates = [
            (docker.map(|dir| dir.join("config.json")), named),
            (var("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")), false),
            (config_home.map(|dir| dir.join("containers/auth.json")), false),
        ];
        for (path, named) in candidates {
            let Some(path) = path.filter(|path| path.is_file()) else { continue };
            match read(&path).and_then(|json| DockerConfig::parse(&json)) {
                Ok(config) => configs.push(config),
                Err(error) if named => return Err(error.context(path.display())),
                Err(_) => {}
            }
        }
        options.transport.docker_configs = configs;
        if let Some(repository) = std::env::var_os("COSIGN_REPOSITORY").filter(|value| !value.is_empty()) {
            // What is not UTF-8 is no repository.
            let name = repository.to_string_lossy();
            options.set_signature_repository(&name).map_err(|error| error.context("COSIGN_REPOSITORY"))?;
        }
        options.allow_credential_helpers(true);
        let text = |upper: &str, lower: &str| {
            let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            value(upper).or_else(|| value(lower)).unwrap_or_default()
        };
        // In a CGI program HTTP_PROXY is a header of the client (httpoxy).
        let http = match std::env::var_os("REQUEST_METHOD") {
            Some(_) => text("", "http_proxy"),
            None => text("HTTP_PROXY", "http_proxy"),
        };
        options.set_proxy(&text("HTTPS_PROXY", "https_proxy"), &http, &text("NO_PROXY", "no_proxy"))?;
        let log = std::env::var("REKOR_SERVER").unwrap_or_default();
        if !log.is_empty() {
            options.set_rekor_url(&log).map_err(|e| e.context("REKOR_SERVER"))?;
        }
        Ok(options)
    }
}

/// The files of a folder that a variable names, sorted.
fn files(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let fail = |e: std::io::Error| Error::new(Code::Io, format!("cannot read {}: {e}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(fail)?.take(crate::registry::limits::CERTIFICATE_FILES);
    let mut paths = entries.map(|entry| Ok(entry.map_err(fail)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The format of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// cosign's signature image `sha256-<hex>.sig`, which cosign 1 to 3, skopeo and podman read.
    #[default]
    Legacy,
    /// A sigstore bundle that refers to the image, as cosign 3 writes it.
    Bundle,
    /// Both, for signing.
    Both,
}

impl Format {
    /// `legacy`, `bundle` or `both`: what [`Format::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Format::Legacy => "legacy",
            Format::Bundle => "bundle",
            Format::Both => "both",
        }
    }

    /// `legacy`, `bundle` or `both`.
    ///
    /// # Errors
    /// [`Code::Argument`] for any other name.
    pub fn parse(name: &str) -> Result<Format> {
        match name {
            "legacy" => Ok(Format::Legacy),
            "bundle" => Ok(Format::Bundle),
            "both" => Ok(Format::Both),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Error::new(Code::Argument, format!("the format {shown:?} is not legacy, bundle or both")))
            }
        }
    }
}

/// How to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOptions {
    /// The format to write; legacy unless another is asked for.
    pub format: Format,
    /// Whether a journal protects the signature from concurrent signers (default yes). Without it signing takes fewer
    /// requests, and signatures can be lost.
    pub journal: bool,
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
    /// For an index: signs everything that it leads to as well, each image for itself; cosign's `--recursive`. At most 1,000
    /// images, four levels deep.
    pub recursive: bool,
    /// Whether the signature goes to the transparency log of the client ([`ClientOptions::set_rekor_url`]).
    pub tlog: TlogUpload,
    /// The spelling of the payload: today's, or that of 2021.
    pub payload_form: PayloadForm,
    /// The exact bytes to sign instead of a payload of our own: any format, at most 1 MiB. The legacy format only.
    pub payload: Option<Vec<u8>>,
}

impl Default for SignOptions {
    fn default() -> Self {
        SignOptions {
            format: Format::Legacy,
            journal: true,
            annotations: Vec::new(),
            identity: None,
            docker_media_types: false,
            layout_tag: None,
            tag_suffix: None,
            recursive: false,
            tlog: TlogUpload::Never,
            payload_form: PayloadForm::Today,
            payload: None,
        }
    }
}

impl SignOptions {
    /// Whether signing `image` so touches nothing but files, so that no runtime is needed ([`super::run_local`]).
    pub fn is_local(&self, image: &ImageRef) -> bool {
        image.is_local() && self.tlog == TlogUpload::Never
    }
}

impl VerifyOptions {
    /// Whether verifying `image` so touches nothing but files, so that no runtime is needed ([`super::run_local`]).
    pub fn is_local(&self, image: &ImageRef, policy: &Policy) -> bool {
        let named = self.signature_reference.as_ref().is_none_or(ImageRef::is_local);
        image.is_local() && named && (self.offline || !policy.requires_tlog())
    }
}

/// Whether a signature goes to a transparency log, which tells everybody that it was made, by whom and of what digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlogUpload {
    /// It does not.
    #[default]
    Never,
    /// Of a public image: one that everybody may read. Of a private one it does not, and the result says so. An image in a
    /// layout counts as private.
    IfPublic,
    /// It does, also of a private image.
    Always,
}

impl TlogUpload {
    /// `never`, `public` or `always`.
    ///
    /// # Errors
    /// [`Code::Argument`] for any other name.
    pub fn parse(name: &str) -> Result<TlogUpload> {
        match name {
            "never" => Ok(TlogUpload::Never),
            "public" => Ok(TlogUpload::IfPublic),
            "always" => Ok(TlogUpload::Always),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Error::new(Code::Argument, format!("the log upload {shown:?} is not never, public or always")))
            }
        }
    }
}

/// How to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Whether the payload's claims are checked; cosign's `--check-claims`. Switching it off is reported.
    pub check_claims: bool,
    /// The only format that is looked for; `None` and [`Format::Both`]: both.
    pub format: Option<Format>,
    /// Whether the journal is read when nothing acceptable was found in the standard places (default yes).
    pub journal: bool,
    /// Accepts payloads of any `type`; reported when used.
    pub any_payload_type: bool,
    /// Counts attestations by an accepted key as signatures too, as cosign 3.1 does; reported when used.
    pub any_predicate_type: bool,
    /// The suffix of the signature tag: `.sig`, or `.cosign` as in 2021.
    pub tag_suffix: Option<String>,
    /// The signature image itself, in a registry or a layout: read instead of the places where signatures of the image are
    /// looked for. It is of the legacy format.
    pub signature_reference: Option<ImageRef>,
    /// Whether no transparency log is asked: an entry that the policy demands must stand beside the signature.
    pub offline: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            check_claims: true,
            format: None,
            journal: true,
            any_payload_type: false,
            any_predicate_type: false,
            tag_suffix: None,
            signature_reference: None,
            offline: false,
        }
    }
}

/// What to download.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DownloadOptions {
    /// The only format that is looked for; `None` and [`Format::Both`]: both.
    pub format: Option<Format>,
    /// The suffix of the signature tag: `.sig`, or `.cosign` as in 2021.
    pub tag_suffix: Option<String>,
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

/// A suffix of signature tags that is known: `.sig`, `.att`, `.sbom`, or `.cosign` as in 2021.
///
/// # Errors
/// [`Code::Argument`] for any other.
pub fn parse_tag_suffix(suffix: &str) -> Result<&str> {
    if matches!(suffix, ".sig" | ".cosign" | ".att" | ".sbom") {
        return Ok(suffix);
    }
    let shown: String = suffix.chars().take(40).collect();
    Err(Error::new(Code::Argument, format!("the tag suffix {shown:?} is not .sig, .cosign, .att or .sbom")))
}

/// The suffix to use.
pub(super) fn suffix(wanted: Option<&str>) -> Result<&str> {
    wanted.map_or(Ok(legacy::SUFFIX), parse_tag_suffix)
}
