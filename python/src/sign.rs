//! `Signer` and what signing returns.

use std::sync::Arc;

use cosign_core::SignOptions;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::client::{Client, Inner, or_default};
use crate::inputs::{loads, pairs};
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
        image, *, annotations = None, identity = None, docker_media_types = false, layout_tag = None,
        tag_suffix = None, timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn sign_image(
        &self,
        py: Python<'_>,
        image: &str,
        annotations: Option<&Bound<'_, PyAny>>,
        identity: Option<String>,
        docker_media_types: bool,
        layout_tag: Option<String>,
        tag_suffix: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<SignedImage> {
        let reference = crate::inputs::image(py, image)?;
        let annotations = pairs(annotations, "annotations")?;
        let options =
            SignOptions { annotations, identity, docker_media_types, layout_tag, tag_suffix, ..SignOptions::default() };
        let key = self.key.get().key(py)?;
        let call = self.client.call(py, timeout)?;
        let (client, bounds, local) = (self.client.clone(), call.clone(), reference.is_local());
        let signed = runtime::wait(py, local, &call, async move {
            client.client()?.sign(&reference, &key, &options, &bounds).await
        })?;
        Ok(SignedImage {
            image: image.to_owned(),
            digest: signed.digest().to_string(),
            reference: signed.reference().to_owned(),
            signature_reference: signed.signature_reference().to_owned(),
            added: signed.added(),
            layout_needs_name: signed.layout_needs_name(),
            json: signed.json(),
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Signer {}>", self.key.bind(py).repr()?))
    }

    fn __reduce__(&self) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        Err(PyTypeError::new_err("a signer holds a private key and cannot be pickled or copied"))
    }
}

/// A signature that is now in its place; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
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
    layout_needs_name: bool,
    json: String,
}

#[pymethods]
impl SignedImage {
    fn to_json(&self) -> &str {
        &self.json
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.json)
    }

    fn __repr__(&self) -> String {
        format!("<SignedImage {} at {}>", self.reference, self.signature_reference)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (
            &self.image,
            &self.digest,
            &self.reference,
            &self.signature_reference,
            self.added,
            self.layout_needs_name,
            &self.json,
        );
        Ok((py.import("cosign._native")?.getattr("_restore_signed")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_signed(
    image: String,
    digest: String,
    reference: String,
    signature_reference: String,
    added: bool,
    layout_needs_name: bool,
    json: String,
) -> SignedImage {
    SignedImage { image, digest, reference, signature_reference, added, layout_needs_name, json }
}
