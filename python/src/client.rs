//! `Client`: how registries are reached. It is a plain configuration; connections belong to the process that uses them.

use std::path::PathBuf;
use std::sync::Arc;

use cosign_core::client::{CleanKind, CleanOptions, CopyKind, CopyOptions, GcOptions};
use cosign_core::{Call, ClientOptions, Code, Error, ImageRef, Result, SignOptions, TriangulateOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMapping, PyTuple};

use crate::download::UnverifiedSignature;
use crate::errors::raise;
use crate::generate::Wanted;
use crate::inputs::{content, image, loads, pairs, path};
use crate::runtime::{self, PerProcess};
use crate::sign::SignedImage;

/// How registries are reached; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct Client(pub Arc<Inner>);

/// The configuration, and this process's client made from it.
pub struct Inner {
    config: Config,
    client: PerProcess<cosign_core::Client>,
}

#[derive(Default)]
struct Config {
    from_env: bool,
    timeout: Option<f64>,
    user_agent: Option<String>,
    ca: Option<Vec<u8>>,
    auth: Vec<(String, Auth)>,
    docker_config: Option<zeroize::Zeroizing<Vec<u8>>>,
    http_registries: Vec<String>,
    layouts: bool,
    signature_repository: Option<String>,
    reach: Reach,
}

/// Certificates, helpers, token servers, proxies and the log: what few clients need.
#[derive(Default)]
struct Reach {
    system_ca: bool,
    client_certificate: Option<(Vec<u8>, zeroize::Zeroizing<Vec<u8>>)>,
    certs_dirs: Vec<PathBuf>,
    credential_helpers: Option<bool>,
    token_servers: Vec<(String, String)>,
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`; `None` leaves what the environment said.
    proxies: Option<(String, String, String)>,
    /// The transparency log; `None` leaves what the environment said.
    rekor_url: Option<String>,
    /// A function that is told of each request. Shared, so that it can be handed on without the interpreter.
    on_request: Option<Arc<Py<PyAny>>>,
}

impl Reach {
    fn apply(&self, options: &mut ClientOptions) -> Result<()> {
        if let Some((certificate, key)) = &self.client_certificate {
            options.set_client_certificate(certificate, key)?;
        }
        for folder in &self.certs_dirs {
            options.add_certs_dir(folder);
        }
        if let Some(allowed) = self.credential_helpers {
            options.allow_credential_helpers(allowed);
        }
        for (registry, server) in &self.token_servers {
            options.allow_token_server(registry, server);
        }
        if let Some((https, http, no_proxy)) = &self.proxies {
            options.set_proxy(https, http, no_proxy)?;
        }
        if let Some(url) = &self.rekor_url {
            options.set_rekor_url(url)?;
        }
        if let Some(function) = self.on_request.clone() {
            options.set_observer(Arc::new(move |line: &str| {
                Python::attach(|py| {
                    // A call must not fail because of who watches it.
                    if let Err(error) = function.call1(py, (line,)) {
                        error.write_unraisable(py, None);
                    }
                });
            }));
        }
        Ok(())
    }

    /// Whether this may not be written into a pickle.
    fn is_secret(&self) -> bool {
        let named = |(https, http, _): &(String, String, String)| https.contains('@') || http.contains('@');
        let held = self.client_certificate.is_some() || self.on_request.is_some();
        held || self.proxies.as_ref().is_some_and(named)
    }
}

enum Auth {
    Basic(String, zeroize::Zeroizing<String>),
    Token(zeroize::Zeroizing<String>),
}

impl Config {
    fn options(&self) -> Result<ClientOptions> {
        let mut options = if self.from_env { ClientOptions::from_env()? } else { ClientOptions::default() };
        if let Some(agent) = &self.user_agent {
            options.set_user_agent(agent)?;
        }
        match &self.ca {
            Some(pem) if self.reach.system_ca => options.add_ca_pem(pem).map(drop)?,
            Some(pem) => options.set_ca_pem(pem).map(drop)?,
            None if self.reach.system_ca => {}
            None => return Err(Error::new(Code::Argument, "system_ca=False leaves no certificate authority: give ca")),
        }
        self.reach.apply(&mut options)?;
        for (host, auth) in &self.auth {
            match auth {
                Auth::Basic(user, password) => options.set_auth_basic(host, user, password),
                Auth::Token(token) => options.set_auth_token(host, token),
            };
        }
        if let Some(json) = &self.docker_config {
            options.set_docker_config(json)?;
        }
        for host in &self.http_registries {
            options.dangerous_allow_http(host);
        }
        options.set_layouts(self.layouts);
        if let Some(repository) = &self.signature_repository {
            options.set_signature_repository(repository)?;
        }
        Ok(options)
    }
}

impl Inner {
    /// This process's client. Call it detached: it may build TLS configuration.
    pub fn client(&self) -> Result<cosign_core::Client> {
        self.client.get(|| cosign_core::Client::new(self.config.options()?)).cloned()
    }

    /// What one image of a batch may take: its own timeout, else the client's.
    pub fn image_timeout(&self, timeout: Option<f64>) -> Option<f64> {
        timeout.or(self.config.timeout)
    }

    /// The bounds of one call: its own timeout, else the client's.
    pub fn call(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Call> {
        runtime::call(py, timeout.or(self.config.timeout))
    }
}

/// The client of a signer or verifier that was given none.
pub fn or_default(client: Option<&Bound<'_, Client>>) -> Arc<Inner> {
    match client {
        Some(client) => client.get().0.clone(),
        None => {
            let reach = Reach { system_ca: true, ..Reach::default() };
            let config = Config { layouts: true, reach, ..Config::default() };
            Arc::new(Inner { config, client: PerProcess::new() })
        }
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (
        *, timeout = None, user_agent = None, ca = None, system_ca = true, client_certificate = None,
        certs_dirs = None, auth = None, docker_config = None, credential_helpers = None, token_servers = None,
        https_proxy = None, http_proxy = None, no_proxy = None, http_registries = None, rekor_url = None,
        layouts = true, signature_repository = None, on_request = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        timeout: Option<f64>,
        user_agent: Option<String>,
        ca: Option<&Bound<'_, PyAny>>,
        system_ca: bool,
        client_certificate: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        certs_dirs: Option<Vec<Bound<'_, PyAny>>>,
        auth: Option<&Bound<'_, PyAny>>,
        docker_config: Option<&Bound<'_, PyAny>>,
        credential_helpers: Option<bool>,
        token_servers: Option<&Bound<'_, PyAny>>,
        https_proxy: Option<String>,
        http_proxy: Option<String>,
        no_proxy: Option<String>,
        http_registries: Option<Vec<String>>,
        rekor_url: Option<String>,
        layouts: bool,
        signature_repository: Option<String>,
        on_request: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let proxies = (https_proxy, http_proxy, no_proxy);
        let reach = reach(system_ca, client_certificate, certs_dirs, credential_helpers, token_servers, proxies)?;
        let reach = Reach { rekor_url, on_request: on_request.map(Arc::new), ..reach };
        let places = (http_registries, layouts, signature_repository);
        Self::build(py, false, timeout, user_agent, ca, auth, docker_config, places, reach)
    }

    #[staticmethod]
    #[pyo3(signature = (
        *, timeout = None, user_agent = None, ca = None, system_ca = true, client_certificate = None,
        certs_dirs = None, auth = None, docker_config = None, credential_helpers = None, token_servers = None,
        https_proxy = None, http_proxy = None, no_proxy = None, http_registries = None, rekor_url = None,
        layouts = true, signature_repository = None, on_request = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn from_env(
        py: Python<'_>,
        timeout: Option<f64>,
        user_agent: Option<String>,
        ca: Option<&Bound<'_, PyAny>>,
        system_ca: bool,
        client_certificate: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        certs_dirs: Option<Vec<Bound<'_, PyAny>>>,
        auth: Option<&Bound<'_, PyAny>>,
        docker_config: Option<&Bound<'_, PyAny>>,
        credential_helpers: Option<bool>,
        token_servers: Option<&Bound<'_, PyAny>>,
        https_proxy: Option<String>,
        http_proxy: Option<String>,
        no_proxy: Option<String>,
        http_registries: Option<Vec<String>>,
        rekor_url: Option<String>,
        layouts: bool,
        signature_repository: Option<String>,
        on_request: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let proxies = (https_proxy, http_proxy, no_proxy);
        let reach = reach(system_ca, client_certificate, certs_dirs, credential_helpers, token_servers, proxies)?;
        let reach = Reach { rekor_url, on_request: on_request.map(Arc::new), ..reach };
        let places = (http_registries, layouts, signature_repository);
        Self::build(py, true, timeout, user_agent, ca, auth, docker_config, places, reach)
    }

    #[pyo3(signature = (image, *, timeout = None))]
    fn resolve(&self, py: Python<'_>, image: &str, timeout: Option<f64>) -> PyResult<String> {
        let image = crate::inputs::image(py, image)?;
        let call = self.0.call(py, timeout)?;
        let (inner, bounds, local) = (self.0.clone(), call.clone(), image.is_local());
        runtime::wait(py, local, &call, async move { inner.client()?.resolve(&image, &bounds).await })
    }

    #[pyo3(signature = (image, *, suffix = ".sig", timeout = None))]
    fn triangulate(&self, py: Python<'_>, image: &str, suffix: &str, timeout: Option<f64>) -> PyResult<String> {
        let image = crate::inputs::image(py, image)?;
        let call = self.0.call(py, timeout)?;
        let options = TriangulateOptions { suffix: suffix.to_owned() };
        let (inner, bounds, local) = (self.0.clone(), call.clone(), image.is_local());
        runtime::wait(py, local, &call, async move { inner.client()?.triangulate(&image, &options, &bounds).await })
    }

    #[pyo3(signature = (image, *, annotations = None, identity = None, payload_form = "today", timeout = None))]
    fn generate<'py>(
        &self,
        py: Python<'py>,
        image: &str,
        annotations: Option<&Bound<'py, PyAny>>,
        identity: Option<String>,
        payload_form: &str,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = Wanted { annotations, identity, payload_form, payload: None, tag_suffix: None };
        crate::generate::generate(py, &self.0, image, wanted.options(py)?, timeout)
    }

    #[pyo3(signature = (
        image, signature, *, payload = None, annotations = None, identity = None, payload_form = "today",
        journal = true, docker_media_types = false, layout_tag = None, tag_suffix = None, timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn attach_signature(
        &self,
        py: Python<'_>,
        image: &str,
        signature: &Bound<'_, PyAny>,
        payload: Option<&Bound<'_, PyAny>>,
        annotations: Option<&Bound<'_, PyAny>>,
        identity: Option<String>,
        payload_form: &str,
        journal: bool,
        docker_media_types: bool,
        layout_tag: Option<String>,
        tag_suffix: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<SignedImage> {
        let wanted = Wanted { annotations, identity, payload_form, payload, tag_suffix };
        let options = SignOptions { journal, docker_media_types, layout_tag, ..wanted.options(py)? };
        crate::attach::attach_signature(py, &self.0, image, signature, options, timeout)
    }

    #[pyo3(signature = (image, *, format = None, tag_suffix = None, timeout = None))]
    fn download(
        &self,
        py: Python<'_>,
        image: &str,
        format: Option<&str>,
        tag_suffix: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<Vec<UnverifiedSignature>> {
        crate::download::download(py, &self.0, image, format, tag_suffix, timeout)
    }

    #[pyo3(signature = (image, *, timeout = None))]
    fn tree<'py>(&self, py: Python<'py>, image: &str, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        crate::tree::tree(py, &self.0, image, timeout)
    }

    #[pyo3(signature = (image, *, timeout = None))]
    fn doctor<'py>(&self, py: Python<'py>, image: &str, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        crate::tree::doctor(py, &self.0, image, timeout)
    }

    #[pyo3(signature = (image, *, kind = "all", timeout = None))]
    fn clean<'py>(
        &self,
        py: Python<'py>,
        image: &str,
        kind: &str,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let image = crate::inputs::image(py, image)?;
        let kind = CleanKind::parse(kind).map_err(|error| raise(py, &error))?;
        let call = self.0.call(py, timeout)?;
        let (inner, bounds, local) = (self.0.clone(), call.clone(), image.is_local());
        let done = async move { inner.client()?.clean(&image, &CleanOptions { kind }, &bounds).await };
        loads(py, &runtime::wait(py, local, &call, done)?.json())
    }

    #[pyo3(signature = (image, *, repair = false, whole_repository = false, timeout = None))]
    fn gc<'py>(
        &self,
        py: Python<'py>,
        image: &str,
        repair: bool,
        whole_repository: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let image = crate::inputs::image(py, image)?;
        let call = self.0.call(py, timeout)?;
        let options = GcOptions { repair, whole_repository };
        let (inner, bounds, local) = (self.0.clone(), call.clone(), image.is_local());
        let done = async move { inner.client()?.gc(&image, &options, &bounds).await };
        loads(py, &runtime::wait(py, local, &call, done)?.json())
    }

    #[pyo3(signature = (source, destination, *, only = None, force = false, platform = None, timeout = None))]
    #[allow(clippy::too_many_arguments)]
    fn copy<'py>(
        &self,
        py: Python<'py>,
        source: &str,
        destination: &str,
        only: Option<Vec<String>>,
        force: bool,
        platform: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (from, to) = (crate::inputs::image(py, source)?, crate::inputs::image(py, destination)?);
        let only = only.unwrap_or_default().iter().map(|name| CopyKind::parse(name)).collect::<Result<Vec<_>>>();
        let options = CopyOptions { only: only.map_err(|error| raise(py, &error))?, force, platform };
        let call = self.0.call(py, timeout)?;
        let (inner, bounds, local) = (self.0.clone(), call.clone(), from.is_local() && to.is_local());
        let done = async move { inner.client()?.copy(&from, &to, &options, &bounds).await };
        loads(py, &runtime::wait(py, local, &call, done)?.json())
    }

    fn __repr__(&self) -> String {
        let config = &self.0.config;
        let mut parts = Vec::new();
        if config.from_env {
            parts.push("from_env".to_owned());
        }
        if !config.auth.is_empty() {
            let hosts: Vec<_> = config.auth.iter().map(|(host, _)| host.as_str()).collect();
            parts.push(format!("auth=<{}>", hosts.join(", ")));
        }
        if config.docker_config.is_some() {
            parts.push("auth=<docker-config>".to_owned());
        }
        if config.reach.client_certificate.is_some() {
            parts.push("client_certificate".to_owned());
        }
        if !config.layouts {
            parts.push("layouts=False".to_owned());
        }
        if let Some(repository) = &config.signature_repository {
            parts.push(format!("signature_repository={repository}"));
        }
        format!("<Client {}>", parts.join(" ")).replace(" >", ">")
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let config = &self.0.config;
        if !config.auth.is_empty() || config.docker_config.is_some() || config.reach.is_secret() {
            return Err(PyTypeError::new_err(
                "this client holds credentials or a function and cannot be pickled; use Client.from_env(), which reads \
                 credentials anew",
            ));
        }
        let ca = config.ca.as_deref().map(|pem| PyBytes::new(py, pem));
        let state = (
            config.from_env,
            config.timeout,
            config.user_agent.clone(),
            ca,
            config.http_registries.clone(),
            config.layouts,
            config.signature_repository.clone(),
            (
                config.reach.system_ca,
                config.reach.certs_dirs.clone(),
                config.reach.credential_helpers,
                config.reach.token_servers.clone(),
                config.reach.proxies.clone(),
                config.reach.rekor_url.clone(),
            ),
        );
        Ok((py.import("cosign._native")?.getattr("_restore_client")?, state.into_pyobject(py)?))
    }
}

impl Client {
    #[allow(clippy::too_many_arguments)]
    fn build(
        py: Python<'_>,
        from_env: bool,
        timeout: Option<f64>,
        user_agent: Option<String>,
        ca: Option<&Bound<'_, PyAny>>,
        auth: Option<&Bound<'_, PyAny>>,
        docker_config: Option<&Bound<'_, PyAny>>,
        places: Places,
        reach: Reach,
    ) -> PyResult<Self> {
        let (http_registries, layouts, signature_repository) = places;
        runtime::call(py, timeout)?;
        let config = Config {
            from_env,
            timeout,
            user_agent,
            ca: ca.map(|ca| content(ca, "ca")).transpose()?.map(|pem| pem.to_vec()),
            auth: auth.map(credentials).transpose()?.unwrap_or_default(),
            docker_config: docker_config.map(|json| content(json, "docker_config")).transpose()?,
            http_registries: http_registries.unwrap_or_default(),
            layouts,
            signature_repository,
            reach,
        };
        // A wrong configuration is told here, not at the first call.
        runtime::quick(py, || config.options().map(drop))?;
        Ok(Client(Arc::new(Inner { config, client: PerProcess::new() })))
    }
}

/// Registries of plain HTTP, whether layouts are allowed, and the signatures' repository.
type Places = (Option<Vec<String>>, bool, Option<String>);

type Proxies = (Option<String>, Option<String>, Option<String>);

fn reach(
    system_ca: bool,
    client_certificate: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    certs_dirs: Option<Vec<Bound<'_, PyAny>>>,
    credential_helpers: Option<bool>,
    token_servers: Option<&Bound<'_, PyAny>>,
    proxies: Proxies,
) -> PyResult<Reach> {
    let client_certificate = match &client_certificate {
        None => None,
        Some((certificate, key)) => {
            let certificate = content(certificate, "client_certificate")?.to_vec();
            Some((certificate, content(key, "client_certificate")?))
        }
    };
    let folders = certs_dirs.unwrap_or_default();
    let given = proxies.0.is_some() || proxies.1.is_some() || proxies.2.is_some();
    let (https, http, no_proxy) = proxies;
    let text = Option::unwrap_or_default;
    Ok(Reach {
        system_ca,
        client_certificate,
        certs_dirs: folders.iter().map(|folder| path(folder, "certs_dirs")).collect::<PyResult<_>>()?,
        credential_helpers,
        token_servers: pairs(token_servers, "token_servers")?,
        proxies: given.then(|| (text(https), text(http), text(no_proxy))),
        rekor_url: None,
        on_request: None,
    })
}

fn credentials(auth: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Auth)>> {
    let wrong = || PyTypeError::new_err("auth must map a registry to (user, password) or to a token");
    let mapping = auth.cast::<PyMapping>().map_err(|_| wrong())?;
    let mut list = Vec::new();
    for item in mapping.items()?.iter() {
        let (host, value): (String, Bound<'_, PyAny>) = item.extract().map_err(|_| wrong())?;
        let auth = if let Ok((user, password)) = value.extract::<(String, String)>() {
            Auth::Basic(user, password.into())
        } else {
            Auth::Token(value.extract::<String>().map_err(|_| wrong())?.into())
        };
        list.push((host, auth));
    }
    Ok(list)
}

/// What of [`Reach`] is no secret.
type OpenReach =
    (bool, Vec<PathBuf>, Option<bool>, Vec<(String, String)>, Option<(String, String, String)>, Option<String>);

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn _restore_client(
    py: Python<'_>,
    from_env: bool,
    timeout: Option<f64>,
    user_agent: Option<String>,
    ca: Option<Bound<'_, PyAny>>,
    http_registries: Vec<String>,
    layouts: bool,
    signature_repository: Option<String>,
    reach: OpenReach,
) -> PyResult<Client> {
    let (system_ca, certs_dirs, credential_helpers, token_servers, proxies, rekor_url) = reach;
    let reach =
        Reach { system_ca, certs_dirs, credential_helpers, token_servers, proxies, rekor_url, ..Reach::default() };
    let places = (Some(http_registries), layouts, signature_repository);
    Client::build(py, from_env, timeout, user_agent, ca.as_ref(), None, None, places, reach)
}

#[pyfunction]
#[pyo3(signature = (image, *, client = None, timeout = None))]
pub fn resolve(
    py: Python<'_>,
    image: &str,
    client: Option<&Bound<'_, Client>>,
    timeout: Option<f64>,
) -> PyResult<String> {
    Client(or_default(client)).resolve(py, image, timeout)
}

#[pyfunction]
#[pyo3(signature = (image, *, suffix = ".sig", client = None, timeout = None))]
pub fn triangulate(
    py: Python<'_>,
    image: &str,
    suffix: &str,
    client: Option<&Bound<'_, Client>>,
    timeout: Option<f64>,
) -> PyResult<String> {
    Client(or_default(client)).triangulate(py, image, suffix, timeout)
}

/// The registry of a reference (`host[:port]`), `None` for a layout; for the command line.
#[pyfunction]
pub fn _registry(py: Python<'_>, text: &str) -> PyResult<Option<String>> {
    Ok(match image(py, text)? {
        ImageRef::Layout(_) => None,
        ImageRef::Registry(registry) => Some(registry.registry().to_owned()),
    })
}
