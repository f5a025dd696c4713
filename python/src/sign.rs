//! `Signer` and what signing returns.

use std::sync::Arc;

use cosign_core::client::{LogRecord, TlogUpload};
use cosign_core::{Format, SignOptions, Signed};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::blobs::{self, SignedBlob};
use crate::client::{Client, Inner, or_default};
use crate::errors::raise;
use crate::generate::{DetachedSignature, Wanted};
use crate::inputs::loads;
use crate::keys::PrivateKey;
use crate::runtime;

/// A private key and the way to the registries; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct Signer {
    key: Py<PrivateKey>,
    client: Arc<Inner>,
}

#[pymethods]
impl Signer {
    #[new]
    #[pyo3(signature = (key, client = None))]
    fn new(key: Py<PrivateKey>, client: Option<&Bound<'_, Client>>) -> Self {
        Signer { key, client: or_default(client) }
    }

    #[getter]
    fn key(&self, py: Python<'_>) -> Py<PrivateKey> {
        self.key.clone_ref(py)
    }

    #[pyo3(signature = (
        image, *, format = "legacy", journal = true, annotations = None, identity = None, docker_media_types = false,
        layout_tag = None, tag_suffix = None, recursive = false, tlog = "never", payload = None, payload_form = "today",
        timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn sign_image(
        &self,
        py: Python<'_>,
        image: &str,
        format: &str,
        journal: bool,
        annotations: Option<&Bound<'_, PyAny>>,
        identity: Option<String>,
        docker_media_types: bool,
        layout_tag: Option<String>,
        tag_suffix: Option<String>,
        recursive: bool,
        tlog: &str,
        payload: Option<&Bound<'_, PyAny>>,
        payload_form: &str,
        timeout: Option<f64>,
    ) -> PyResult<SignedImage> {
        let reference = crate::inputs::image(py, image)?;
        let format = Format::parse(format).map_err(|error| raise(py, &error))?;
        let tlog = TlogUpload::parse(tlog).map_err(|error| raise(py, &error))?;
        let wanted = Wanted { annotations, identity, payload_form, payload, tag_suffix };
        let given = wanted.options(py)?;
        let options = SignOptions { format, journal, docker_media_types, layout_tag, recursive, tlog, ..given };
        let key = self.key.get().key(py)?;
        let call = self.client.call(py, timeout)?;
        let (client, bounds, local) = (self.client.clone(), call.clone(), options.is_local(&reference));
        let signed = runtime::wait(py, local, &call, async move {
            client.client()?.sign(&reference, &key, &options, &bounds).await
        })?;
        SignedImage::new(py, image, &signed)
    }

    #[pyo3(signature = (
        image, *, payload = None, annotations = None, identity = None, payload_form = "today", timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn sign_detached(
        &self,
        py: Python<'_>,
        image: &str,
        payload: Option<&Bound<'_, PyAny>>,
        annotations: Option<&Bound<'_, PyAny>>,
        identity: Option<String>,
        payload_form: &str,
        timeout: Option<f64>,
    ) -> PyResult<DetachedSignature> {
        let wanted = Wanted { annotations, identity, payload_form, payload, tag_suffix: None };
        crate::generate::sign_detached(py, &self.client, self.key.get(), image, wanted.options(py)?, timeout)
    }

    #[pyo3(signature = (data, *, digest_algorithm = None, timeout = None))]
    fn sign_blob(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        digest_algorithm: Option<&str>,
        timeout: Option<f64>,
    ) -> PyResult<SignedBlob> {
        let call = self.client.call(py, timeout)?;
        blobs::sign(py, self.key.get().key(py)?, &call, data, digest_algorithm)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Signer {}>", self.key.bind(py).repr()?))
    }

    fn __reduce__(&self) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        Err(PyTypeError::new_err("a signer holds a private key and cannot be pickled or copied"))
    }
}

/// One signature and how it is stored; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct StoredSignature {
    #[pyo3(get)]
    reference: String,
    #[pyo3(get)]
    format: String,
    #[pyo3(get)]
    place: String,
    #[pyo3(get)]
    added: bool,
    #[pyo3(get)]
    status: String,
    #[pyo3(get)]
    reason: Option<String>,
    log: Option<String>,
}

#[pymethods]
impl StoredSignature {
    #[getter]
    fn log<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.log.as_deref().map(|log| loads(py, log)).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<StoredSignature {} at {}: {}>", self.format, self.place, self.status)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (&self.reference, &self.format, &self.place, self.added, &self.status, &self.reason, &self.log);
        Ok((py.import("cosign._native")?.getattr("_restore_stored")?, state.into_pyobject(py)?))
    }
}

/// An image that is signed, and how its signatures are stored; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct SignedImage {
    #[pyo3(get)]
    image: String,
    #[pyo3(get)]
    digest: String,
    #[pyo3(get)]
    reference: String,
    #[pyo3(get)]
    signature_reference: String,
    #[pyo3(get)]
    added: bool,
    #[pyo3(get)]
    status: String,
    #[pyo3(get)]
    reason: Option<String>,
    signatures: Py<PyTuple>,
    #[pyo3(get)]
    layout_needs_name: bool,
    #[pyo3(get)]
    tlog: String,
    json: String,
}

impl SignedImage {
    /// What became of `image`, as the caller named it.
    pub fn new(py: Python<'_>, image: &str, signed: &Signed) -> PyResult<SignedImage> {
        let signatures = signed.signatures().iter().map(|signature| {
            let (added, protection) = (&signature.added, &signature.added.protection);
            let stored = StoredSignature {
                reference: signature.reference.clone(),
                format: signature.format.name().to_owned(),
                place: added.place.clone(),
                added: added.added,
                status: protection.name().to_owned(),
                reason: protection.reason().map(str::to_owned),
                log: signature.log.as_ref().map(LogRecord::to_value).map(|log| log.to_string()),
            };
            Py::new(py, stored)
        });
        let signatures = PyTuple::new(py, signatures.collect::<PyResult<Vec<_>>>()?)?.unbind();
        Ok(SignedImage {
            image: image.to_owned(),
            digest: signed.digest().to_string(),
            reference: signed.reference().to_owned(),
            signature_reference: signed.signature_reference().to_owned(),
            added: signed.added(),
            status: signed.protection().name().to_owned(),
            reason: signed.protection().reason().map(str::to_owned),
            signatures,
            layout_needs_name: signed.layout_needs_name(),
            tlog: signed.tlog().name().to_owned(),
            json: signed.json(),
        })
    }
}

#[pymethods]
impl SignedImage {
    #[getter]
    fn signatures(&self, py: Python<'_>) -> Py<PyTuple> {
        self.signatures.clone_ref(py)
    }

    fn to_json(&self) -> &str {
        &self.json
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.json)
    }

    // The JSON holds everything but the reference that was given.
    fn __eq__(&self, other: &Self) -> bool {
        self.image == other.image && self.json == other.json
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.image, &self.json).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<SignedImage {} at {}: {}>", self.reference, self.signature_reference, self.status)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (
            &self.image,
            &self.digest,
            &self.reference,
            &self.signature_reference,
            self.added,
            &self.status,
            &self.reason,
            self.signatures.clone_ref(py),
            self.layout_needs_name,
            &self.tlog,
            &self.json,
        );
        Ok((py.import("cosign._native")?.getattr("_restore_signed")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_stored(
    reference: String,
    format: String,
    place: String,
    added: bool,
    status: String,
    reason: Option<String>,
    log: Option<String>,
) -> StoredSignature {
    StoredSignature { reference, format, place, added, status, reason, log }
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn _restore_signed(
    image: String,
    digest: String,
    reference: String,
    signature_reference: String,
    added: bool,
    status: String,
    reason: Option<String>,
    signatures: Py<PyTuple>,
    layout_needs_name: bool,
    tlog: String,
    json: String,
) -> SignedImage {
    SignedImage {
        image,
        digest,
        reference,
        signature_reference,
        added,
        status,
        reason,
        signatures,
        layout_needs_name,
        tlog,
        json,
    }
}
