//! The signatures of an image as they are stored.

use std::sync::Arc;

use cosign_core::client::parse_tag_suffix;
use cosign_core::{DownloadOptions, Format};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::client::Inner;
use crate::errors::raise;
use crate::runtime;

/// `Client.download`.
pub fn download(
    py: Python<'_>,
    client: &Arc<Inner>,
    image: &str,
    format: Option<&str>,
    tag_suffix: Option<String>,
    timeout: Option<f64>,
) -> PyResult<Vec<UnverifiedSignature>> {
    let reference = crate::inputs::image(py, image)?;
    let format = format.map(Format::parse).transpose().map_err(|error| raise(py, &error))?;
    if let Some(suffix) = &tag_suffix {
        parse_tag_suffix(suffix).map_err(|error| raise(py, &error))?;
    }
    let options = DownloadOptions { format, tag_suffix };
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let found =
        runtime::wait(py, local, &call, async move { client.client()?.download(&reference, &options, &bounds).await })?;
    let signatures = found.iter().map(|signature| UnverifiedSignature {
        format: signature.format().name().to_owned(),
        place: signature.place().to_owned(),
        payload: signature.payload().map(<[u8]>::to_vec),
        json: signature.json(),
        json_2021: signature.json_2021(),
    });
    Ok(signatures.collect())
}

/// A stored signature that nobody has verified; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct UnverifiedSignature {
    #[pyo3(get)]
    format: String,
    #[pyo3(get)]
    place: String,
    payload: Option<Vec<u8>>,
    json: String,
    json_2021: Option<String>,
}

#[pymethods]
impl UnverifiedSignature {
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.payload.as_ref().map(|payload| PyBytes::new(py, payload))
    }

    fn to_json(&self) -> &str {
        &self.json
    }

    fn to_json_2021(&self) -> Option<&str> {
        self.json_2021.as_deref()
    }

    fn __repr__(&self) -> String {
        format!("<UnverifiedSignature {} at {}>", self.format, self.place)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let payload = self.payload.as_ref().map(|payload| PyBytes::new(py, payload));
        let state = (&self.format, &self.place, payload, &self.json, &self.json_2021);
        Ok((py.import("cosign._native")?.getattr("_restore_unverified")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_unverified(
    format: String,
    place: String,
    payload: Option<Vec<u8>>,
    json: String,
    json_2021: Option<String>,
) -> UnverifiedSignature {
    UnverifiedSignature { format, place, payload, json, json_2021 }
}
