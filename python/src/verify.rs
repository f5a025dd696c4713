//! `Verifier` and what a successful verification returns.

use std::sync::Arc;

use cosign_core::client::parse_tag_suffix;
use cosign_core::{Code, Error, Format, Verification, Verified, VerifyOptions};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::batch::{self, Batch};
use crate::blobs::{self, Question, VerifiedBlob};
use crate::client::{Client, Inner, or_default};
use crate::errors::raise;
use crate::inputs::loads;
use crate::policy::Policy;
use crate::runtime;

/// A policy and the way to the registries; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct Verifier {
    policy: Py<Policy>,
    client: Arc<Inner>,
}

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (policy, client = None))]
    fn new(policy: Py<Policy>, client: Option<&Bound<'_, Client>>) -> Self {
        Verifier { policy, client: or_default(client) }
    }

    #[getter]
    fn policy(&self, py: Python<'_>) -> Py<Policy> {
        self.policy.clone_ref(py)
    }

    #[pyo3(signature = (
        image, *, format = None, journal = true, timeout = None, tag_suffix = None, insecure_ignore_claims = false,
        any_payload_type = false, any_predicate_type = false, signature_reference = None, offline = false
    ))]
    #[allow(clippy::too_many_arguments)]
    fn verify(
        &self,
        py: Python<'_>,
        image: &str,
        format: Option<&str>,
        journal: bool,
        timeout: Option<f64>,
        tag_suffix: Option<String>,
        insecure_ignore_claims: bool,
        any_payload_type: bool,
        any_predicate_type: bool,
        signature_reference: Option<&str>,
        offline: bool,
    ) -> PyResult<VerifiedImage> {
        let reference = crate::inputs::image(py, image)?;
        let loose = (insecure_ignore_claims, any_payload_type, any_predicate_type);
        let named = signature_reference.map(|text| crate::inputs::image(py, text)).transpose()?;
        let options =
            VerifyOptions { signature_reference: named, ..options(py, format, journal, tag_suffix, loose, offline)? };
        let policy = self.policy.get().0.clone();
        let call = self.client.call(py, timeout)?;
        let (client, bounds, local) = (self.client.clone(), call.clone(), options.is_local(&reference, &policy));
        let verified = runtime::wait(py, local, &call, async move {
            client.client()?.verify(&reference, &policy, &options, &bounds).await
        })?;
        VerifiedImage::new(py, image, &verified)
    }

    #[pyo3(signature = (
        images, *, at_once = None, per_host = None, image_timeout = None, format = None, journal = true, timeout = None,
        tag_suffix = None, insecure_ignore_claims = false, any_payload_type = false, any_predicate_type = false,
        offline = false, signature_reference = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn verify_images(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        at_once: Option<usize>,
        per_host: Option<usize>,
        image_timeout: Option<f64>,
        format: Option<&str>,
        journal: bool,
        timeout: Option<f64>,
        tag_suffix: Option<String>,
        insecure_ignore_claims: bool,
        any_payload_type: bool,
        any_predicate_type: bool,
        offline: bool,
        signature_reference: Option<&str>,
    ) -> PyResult<Batch> {
        let loose = (insecure_ignore_claims, any_payload_type, any_predicate_type);
        let named = signature_reference.map(|text| crate::inputs::image(py, text)).transpose()?;
        let options =
            VerifyOptions { signature_reference: named, ..options(py, format, journal, tag_suffix, loose, offline)? };
        let limits = batch::limits(py, at_once, per_host, self.client.image_timeout(image_timeout))?;
        let call = runtime::call(py, timeout)?;
        let client = runtime::quick(py, || self.client.client())?;
        Batch::start(py, &client, images, &self.policy.get().0, &options, &limits, call)
    }

    #[pyo3(signature = (
        data, *, signature = None, bundle = None, digest_algorithm = None, name = None, timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn verify_blob(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        signature: Option<&Bound<'_, PyAny>>,
        bundle: Option<&Bound<'_, PyAny>>,
        digest_algorithm: Option<&str>,
        name: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<VerifiedBlob> {
        let policy = self.policy.get().0.clone();
        let call = self.client.call(py, timeout)?;
        blobs::verify(py, &call, data, Question { policy, signature, bundle, digest_algorithm, name })
    }

    #[pyo3(signature = (digest, *, signature = None, bundle = None, digest_algorithm = None, name = None))]
    fn verify_blob_digest(
        &self,
        py: Python<'_>,
        digest: &str,
        signature: Option<&Bound<'_, PyAny>>,
        bundle: Option<&Bound<'_, PyAny>>,
        digest_algorithm: Option<&str>,
        name: Option<String>,
    ) -> PyResult<VerifiedBlob> {
        let policy = self.policy.get().0.clone();
        blobs::verify_digest(py, digest, Question { policy, signature, bundle, digest_algorithm, name })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Verifier {}>", self.policy.bind(py).repr()?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let client = Bound::new(py, Client(self.client.clone()))?;
        let state = (self.policy.clone_ref(py), client).into_pyobject(py)?;
        Ok((py.get_type::<Verifier>().into_any(), state))
    }
}

/// What both ways to verify take; `loose` are ignored claims, any payload type, any predicate type.
fn options(
    py: Python<'_>,
    format: Option<&str>,
    journal: bool,
    tag_suffix: Option<String>,
    loose: (bool, bool, bool),
    offline: bool,
) -> PyResult<VerifyOptions> {
    let format = format.map(Format::parse).transpose().map_err(|error| raise(py, &error))?;
    if let Some(suffix) = &tag_suffix {
        parse_tag_suffix(suffix).map_err(|error| raise(py, &error))?;
    }
    let (ignore_claims, any_payload_type, any_predicate_type) = loose;
    let check_claims = !ignore_claims;
    Ok(VerifyOptions {
        check_claims,
        format,
        journal,
        any_payload_type,
        any_predicate_type,
        tag_suffix,
        signature_reference: None,
        offline,
    })
}

/// One signature that counted; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct VerifiedSignature {
    format: String,
    payload: Vec<u8>,
    key_fingerprint: String,
    annotations: String,
    log: Option<String>,
}

#[pymethods]
impl VerifiedSignature {
    #[getter]
    fn format(&self) -> &str {
        &self.format
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    #[getter]
    fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    #[getter]
    fn annotations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.annotations)
    }

    #[getter]
    fn log<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.log.as_deref().map(|log| loads(py, log)).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<VerifiedSignature ({}) by sha256:{}>", self.format, self.key_fingerprint)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let payload = PyBytes::new(py, &self.payload);
        let state = (&self.format, payload, &self.key_fingerprint, &self.annotations, &self.log);
        Ok((py.import("cosign._native")?.getattr("_restore_signature")?, state.into_pyobject(py)?))
    }
}

/// An image whose signatures satisfy the policy; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct VerifiedImage {
    image: String,
    digest: String,
    reference: String,
    signatures: Py<PyTuple>,
    report: String,
    json: String,
}

impl VerifiedImage {
    /// What `image` proved to be.
    pub fn new(py: Python<'_>, image: &str, verified: &Verified<Verification>) -> PyResult<Self> {
        let mut signatures = Vec::new();
        for signature in verified.signatures() {
            let annotations = serde_json::to_string(&signature.annotations())
                .map_err(|error| raise(py, &Error::new(Code::Internal, error.to_string())))?;
            let signature = VerifiedSignature {
                format: signature.format().to_owned(),
                payload: signature.payload().to_vec(),
                key_fingerprint: signature.key_fingerprint().to_owned(),
                annotations,
                log: signature.log().map(|_| signature.log_json().to_string()),
            };
            signatures.push(Py::new(py, signature)?);
        }
        Ok(VerifiedImage {
            image: image.to_owned(),
            digest: verified.digest().to_string(),
            reference: verified.reference().to_owned(),
            signatures: PyTuple::new(py, signatures)?.unbind(),
            report: verified.report().json(),
            json: verified.json(),
        })
    }
}

#[pymethods]
impl VerifiedImage {
    #[getter]
    fn image(&self) -> &str {
        &self.image
    }

    #[getter]
    fn digest(&self) -> &str {
        &self.digest
    }

    #[getter]
    fn reference(&self) -> &str {
        &self.reference
    }

    #[getter]
    fn signatures(&self, py: Python<'_>) -> Py<PyTuple> {
        self.signatures.clone_ref(py)
    }

    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.report)
    }

    fn to_json(&self) -> &str {
        &self.json
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.json)
    }

    fn __eq__(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        let same = self.image == other.image && self.reference == other.reference && self.json == other.json;
        Ok(same && self.signatures.bind(py).eq(&other.signatures)?)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.image, &self.reference).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<VerifiedImage {} with {} signatures>", self.reference, self.signatures.bind(py).len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state =
            (&self.image, &self.digest, &self.reference, self.signatures.clone_ref(py), &self.report, &self.json);
        Ok((py.import("cosign._native")?.getattr("_restore_verified")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_signature(
    format: String,
    payload: Vec<u8>,
    key_fingerprint: String,
    annotations: String,
    log: Option<String>,
) -> VerifiedSignature {
    VerifiedSignature { format, payload, key_fingerprint, annotations, log }
}

#[pyfunction]
pub fn _restore_verified(
    image: String,
    digest: String,
    reference: String,
    signatures: Py<PyTuple>,
    report: String,
    json: String,
) -> VerifiedImage {
    VerifiedImage { image, digest, reference, signatures, report, json }
}
