//! The payload that signing signs, for signing it elsewhere; and a signature that is made and not stored.

use cosign_core::SignOptions;
use cosign_core::client::parse_tag_suffix;
use cosign_core::payload::simple_signing::PayloadForm;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::client::Inner;
use crate::errors::raise;
use crate::inputs::{Data, pairs};
use crate::keys::PrivateKey;
use crate::runtime;

/// What the methods that sign, generate and attach take of [`SignOptions`].
pub struct Wanted<'a, 'py> {
    pub annotations: Option<&'a Bound<'py, PyAny>>,
    pub identity: Option<String>,
    pub payload_form: &'a str,
    pub payload: Option<&'a Bound<'py, PyAny>>,
    pub tag_suffix: Option<String>,
}

impl Wanted<'_, '_> {
    pub fn options(self, py: Python<'_>) -> PyResult<SignOptions> {
        if let Some(suffix) = &self.tag_suffix {
            parse_tag_suffix(suffix).map_err(|error| raise(py, &error))?;
        }
        let payload = self.payload.map(|payload| Data::from(payload, "payload")).transpose()?;
        Ok(SignOptions {
            annotations: pairs(self.annotations, "annotations")?,
            identity: self.identity,
            payload_form: PayloadForm::parse(self.payload_form).map_err(|error| raise(py, &error))?,
            payload: payload.map(|payload| payload.as_slice().to_vec()),
            tag_suffix: self.tag_suffix,
            ..SignOptions::default()
        })
    }
}

/// `Client.generate`.
pub fn generate<'py>(
    py: Python<'py>,
    client: &std::sync::Arc<Inner>,
    image: &str,
    options: SignOptions,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let reference = crate::inputs::image(py, image)?;
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let payload =
        runtime::wait(py, local, &call, async move { client.client()?.generate(&reference, &options, &bounds).await })?;
    Ok(PyBytes::new(py, &payload))
}

/// `Signer.sign_detached`.
pub fn sign_detached(
    py: Python<'_>,
    client: &std::sync::Arc<Inner>,
    key: &PrivateKey,
    image: &str,
    options: SignOptions,
    timeout: Option<f64>,
) -> PyResult<DetachedSignature> {
    let reference = crate::inputs::image(py, image)?;
    let key = key.key(py)?;
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let made = runtime::wait(py, local, &call, async move {
        client.client()?.sign_detached(&reference, &key, &options, &bounds).await
    })?;
    Ok(DetachedSignature { payload: made.payload().to_vec(), signature: made.signature().to_vec() })
}

/// A signature that was made and not stored; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct DetachedSignature {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[pymethods]
impl DetachedSignature {
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    #[getter]
    fn signature<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.signature)
    }

    #[getter]
    fn base64(&self) -> String {
        cosign_core::encoding::base64::encode(&self.signature)
    }

    fn __repr__(&self) -> String {
        format!("<DetachedSignature of {} bytes>", self.payload.len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (PyBytes::new(py, &self.payload), PyBytes::new(py, &self.signature));
        Ok((py.import("cosign._native")?.getattr("_restore_detached")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_detached(payload: Vec<u8>, signature: Vec<u8>) -> DetachedSignature {
    DetachedSignature { payload, signature }
}
