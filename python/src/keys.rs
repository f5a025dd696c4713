//! `PrivateKey` and `PublicKey`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cosign_core::{Code, Error, KeyAlgorithm, KeyFormat};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::errors::{argument, raise};
use crate::inputs::{Data, Password, content, path};
use crate::{files, runtime};

/// A decrypted private key; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct PrivateKey(Mutex<Option<cosign_core::PrivateKey>>);

impl PrivateKey {
    pub fn wrap(key: cosign_core::PrivateKey) -> Self {
        PrivateKey(Mutex::new(Some(key)))
    }

    /// A handle on the key, which `close` may have taken away.
    pub fn key(&self, py: Python<'_>) -> PyResult<cosign_core::PrivateKey> {
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        key.ok_or_else(|| argument(py, "this private key was closed"))
    }
}

#[pymethods]
impl PrivateKey {
    #[staticmethod]
    #[pyo3(signature = (algorithm = "ecdsa-p256"))]
    fn generate(py: Python<'_>, algorithm: &str) -> PyResult<Self> {
        let algorithm = KeyAlgorithm::parse(algorithm).map_err(|error| raise(py, &error))?;
        runtime::quick(py, || cosign_core::PrivateKey::generate(algorithm)).map(Self::wrap)
    }

    #[staticmethod]
    #[pyo3(signature = (source, *, password = None))]
    fn load(py: Python<'_>, source: &Bound<'_, PyAny>, password: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let name = file_name(source);
        let in_file = |error: Error| raise(py, &in_file(error, name.as_deref()));
        let pem = content(source, "source")?;
        let password = Password::new(password);
        let given = password.given()?;
        let first = runtime::quick(py, || {
            Ok(cosign_core::PrivateKey::from_pem(&pem, given.as_ref().map(|password| password.as_slice())))
        })?;
        let error = match first {
            Ok(key) => return Ok(Self::wrap(key)),
            Err(error) => error,
        };
        // Only a well-formed, encrypted key is worth asking somebody for a password.
        if error.code() != Code::PasswordRequired || given.is_some() {
            return Err(in_file(error));
        }
        let Some(asked) = password.ask()? else { return Err(in_file(error)) };
        let second = runtime::quick(py, || Ok(cosign_core::PrivateKey::from_pem(&pem, Some(&asked))))?;
        second.map(Self::wrap).map_err(in_file)
    }

    #[staticmethod]
    fn import_pem(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let name = file_name(source);
        let pem = content(source, "source")?;
        let key = runtime::quick(py, || Ok(cosign_core::PrivateKey::import_pem(&pem)))?;
        key.map(Self::wrap).map_err(|error| raise(py, &in_file(error, name.as_deref())))
    }

    #[getter]
    fn public_key(&self, py: Python<'_>) -> PyResult<PublicKey> {
        self.key(py).map(|key| PublicKey(key.public_key()))
    }

    #[getter]
    fn algorithm(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.key(py).map(|key| key.algorithm().name())
    }

    #[pyo3(signature = (*, password, format = "sigstore"))]
    fn export<'py>(
        &self,
        py: Python<'py>,
        password: Option<Bound<'py, PyAny>>,
        format: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let pem = self.to_pem(py, password, format)?;
        Ok(PyBytes::new(py, pem.as_bytes()))
    }

    #[pyo3(signature = (path, *, password, format = "sigstore", overwrite = false))]
    fn save(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        password: Option<Bound<'_, PyAny>>,
        format: &str,
        overwrite: bool,
    ) -> PyResult<()> {
        let target = crate::inputs::path(path, "path")?;
        let pem = self.to_pem(py, password, format)?;
        runtime::quick(py, || files::write(&target, pem.as_bytes(), 0o600, overwrite))
    }

    #[pyo3(signature = (prefix, *, password, format = "sigstore", overwrite = false))]
    fn save_pair(
        &self,
        py: Python<'_>,
        prefix: &Bound<'_, PyAny>,
        password: Option<Bound<'_, PyAny>>,
        format: &str,
        overwrite: bool,
    ) -> PyResult<(OsString, OsString)> {
        let prefix = path(prefix, "prefix")?;
        let (private, public) = (with_extension(&prefix, ".key"), with_extension(&prefix, ".pub"));
        let pem = self.to_pem(py, password, format)?;
        let public_pem = self.key(py)?.public_key().to_pem();
        runtime::quick(py, || {
            files::write_pair((&private, pem.as_bytes()), (&public, public_pem.as_bytes()), overwrite)
        })?;
        Ok((private.into(), public.into()))
    }

    fn sign<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let key = self.key(py)?;
        let data = Data::from(data, "data")?;
        let message = data.as_slice();
        let signature = runtime::quick(py, || key.sign(message))?;
        Ok(PyBytes::new(py, &signature))
    }

    fn close(&self) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(taken);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.key(py) {
            Ok(key) => {
                let fingerprint = key.public_key().fingerprint();
                format!("<PrivateKey {} sha256:{}>", key.algorithm().name(), short(&fingerprint))
            }
            Err(_) => "<PrivateKey closed>".to_owned(),
        }
    }

    fn __reduce__(&self) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        Err(PyTypeError::new_err("a private key cannot be pickled or copied; send PrivateKey.export(password=...)"))
    }

    fn __copy__(&self) -> PyResult<Py<PyAny>> {
        self.__reduce__().map(|(function, _)| function)
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__reduce__().map(|(function, _)| function)
    }
}

impl PrivateKey {
    fn to_pem(
        &self,
        py: Python<'_>,
        password: Option<Bound<'_, PyAny>>,
        format: &str,
    ) -> PyResult<zeroize::Zeroizing<String>> {
        let key = self.key(py)?;
        let format = KeyFormat::parse(format).map_err(|error| raise(py, &error))?;
        let password = Password::new(password).required(py)?;
        runtime::quick(py, || key.to_pem(&password, format))
    }
}

/// A public key; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct PublicKey(pub cosign_core::PublicKey);

#[pymethods]
impl PublicKey {
    #[staticmethod]
    fn load(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let inline = match source.cast::<PyString>() {
            Ok(text) => Some(text.to_cow()?.into_owned()),
            Err(_) => None,
        };
        if let Some(text) = inline.filter(|text| !Path::new(text).exists()) {
            return Self::inline(&text).map_err(|error| raise(py, &error));
        }
        let name = file_name(source);
        let pem = content(source, "source")?;
        let key = cosign_core::PublicKey::from_pem(&pem);
        key.map(PublicKey).map_err(|error| raise(py, &in_file(error, name.as_deref())))
    }

    #[staticmethod]
    fn from_der(py: Python<'_>, der: &Bound<'_, PyAny>) -> PyResult<Self> {
        let der = Data::from(der, "der")?;
        cosign_core::PublicKey::from_der(der.as_slice()).map(PublicKey).map_err(|error| raise(py, &error))
    }

    #[getter]
    fn algorithm(&self) -> &'static str {
        self.0.algorithm().name()
    }

    #[getter]
    fn pem(&self) -> String {
        self.0.to_pem()
    }

    #[getter]
    fn der<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.to_der())
    }

    #[getter]
    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    fn verify(&self, py: Python<'_>, data: &Bound<'_, PyAny>, signature: &Bound<'_, PyAny>) -> PyResult<()> {
        let (data, signature) = (Data::from(data, "data")?, Data::from(signature, "signature")?);
        let (message, signature) = (data.as_slice(), signature.as_slice());
        runtime::quick(py, || self.0.verify(message, signature))
    }

    #[pyo3(signature = (path, *, overwrite = false))]
    fn save(&self, py: Python<'_>, path: &Bound<'_, PyAny>, overwrite: bool) -> PyResult<()> {
        let target = crate::inputs::path(path, "path")?;
        runtime::quick(py, || files::write(&target, self.0.to_pem().as_bytes(), 0o644, overwrite))
    }

    fn __repr__(&self) -> String {
        format!("<PublicKey {} sha256:{}>", self.0.algorithm().name(), short(&self.0.fingerprint()))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((py.import("cosign._native")?.getattr("_restore_public_key")?, (self.der(py),)))
    }
}

impl PublicKey {
    /// Text that is not the name of a file: PEM, or a key in one line of base64.
    fn inline(text: &str) -> cosign_core::Result<Self> {
        if text.contains("-----BEGIN") {
            return cosign_core::PublicKey::from_pem(text.as_bytes()).map(PublicKey);
        }
        cosign_core::PublicKey::from_inline(text).map(PublicKey).map_err(|error| {
            let shown: String = text.chars().take(100).collect();
            let message = format!("{shown:?} is neither a file that exists nor a public key in base64");
            // What can only be a path was meant as one.
            let code = if text.contains('.') || text.starts_with('/') { Code::Io } else { error.code() };
            Error::new(code, message).with("path", shown)
        })
    }
}

#[pyfunction]
pub fn _restore_public_key(py: Python<'_>, der: &[u8]) -> PyResult<PublicKey> {
    cosign_core::PublicKey::from_der(der).map(PublicKey).map_err(|error| raise(py, &error))
}

#[pyfunction]
#[pyo3(signature = (prefix = None, *, password, algorithm = "ecdsa-p256", format = "sigstore", overwrite = false))]
pub fn generate_key_pair(
    py: Python<'_>,
    prefix: Option<Bound<'_, PyAny>>,
    password: Option<Bound<'_, PyAny>>,
    algorithm: &str,
    format: &str,
    overwrite: bool,
) -> PyResult<PrivateKey> {
    let prefix = prefix.unwrap_or_else(|| PyString::new(py, "cosign").into_any());
    let key = PrivateKey::generate(py, algorithm)?;
    key.save_pair(py, &prefix, password, format, overwrite)?;
    Ok(key)
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}

fn with_extension(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

/// The name of the file that `source` is, for messages.
fn file_name(source: &Bound<'_, PyAny>) -> Option<String> {
    path(source, "source").ok().map(|path| path.display().to_string())
}

fn in_file(error: Error, name: Option<&str>) -> Error {
    match name {
        Some(name) => error.context(name).with("path", name),
        None => error,
    }
}
