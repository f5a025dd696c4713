//! `Policy`: which signatures are enough.

use cosign_core::trust::{TrustedLog, TrustedRoot, Validity};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::errors::raise;
use crate::inputs::{content, dict, pairs};
use crate::keys::PublicKey;

/// What a signature must satisfy; see `_native.pyi`.
#[pyclass(frozen, eq, module = "cosign")]
#[derive(PartialEq, Eq)]
pub struct Policy(pub cosign_core::Policy);

/// Each of `keys`, which the caller calls `name`.
fn each(keys: &Bound<'_, PyAny>, name: &str, mut take: impl FnMut(cosign_core::PublicKey)) -> PyResult<()> {
    for item in keys.try_iter()? {
        let item = item?;
        let Ok(key) = item.cast::<PublicKey>() else {
            let kind = item.get_type().name()?;
            return Err(PyTypeError::new_err(format!("{name} must hold PublicKey objects, not {kind}")));
        };
        take(key.get().0.clone());
    }
    Ok(())
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (
        *, keys, annotations = None, threshold = 1, tlog = false, log_keys = None, trusted_root = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        annotations: Option<&Bound<'_, PyAny>>,
        threshold: u32,
        tlog: bool,
        log_keys: Option<&Bound<'_, PyAny>>,
        trusted_root: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut policy = cosign_core::Policy::new();
        each(keys, "keys", |key| policy.add_key(key))?;
        for (name, value) in pairs(annotations, "annotations")? {
            policy.require_annotation(&name, &value).map_err(|error| raise(py, &error))?;
        }
        policy.set_threshold(threshold);
        policy.require_tlog(tlog);
        if let Some(keys) = log_keys {
            each(keys, "log_keys", |key| policy.add_log_key(key))?;
        }
        if let Some(root) = trusted_root {
            let json = content(root, "trusted_root")?;
            policy.trust(TrustedRoot::from_json(&json).map_err(|error| raise(py, &error))?);
        }
        policy.check().map_err(|error| raise(py, &error))?;
        Ok(Policy(policy))
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        cosign_core::Policy::from_json(text).map(Policy).map_err(|error| raise(py, &error))
    }

    #[getter]
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let keys = self.0.keys().iter().map(|key| Bound::new(py, PublicKey(key.clone())));
        PyTuple::new(py, keys.collect::<PyResult<Vec<_>>>()?)
    }

    #[getter]
    fn annotations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pairs: Vec<_> = self.0.annotations().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        dict(py, &pairs)
    }

    #[getter]
    fn threshold(&self) -> usize {
        self.0.threshold()
    }

    #[getter]
    fn tlog(&self) -> bool {
        self.0.requires_tlog()
    }

    #[getter]
    fn log_keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let logs = self.0.trusted().logs();
        let keys = logs.iter().map(|log| Bound::new(py, PublicKey(log.key.clone())));
        PyTuple::new(py, keys.collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.0.annotations().keys().map(String::as_str).collect();
        let (needed, keys) = (self.0.threshold(), self.0.keys().len());
        let log = if self.0.requires_tlog() { ", in a transparency log" } else { "" };
        format!("<Policy {needed} of {keys} keys, annotations [{}]{log}>", names.join(", "))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let logs = self.0.trusted().logs().iter().map(|log| {
            let (key, id) = (PyBytes::new(py, log.key.to_der()), PyBytes::new(py, &log.id));
            (key, id, log.validity.start, log.validity.end).into_pyobject(py)
        });
        let logs = PyTuple::new(py, logs.collect::<PyResult<Vec<_>>>()?)?;
        let state = (self.keys(py)?, self.annotations(py)?, self.threshold(), self.tlog(), logs).into_pyobject(py)?;
        Ok((py.import("cosign._native")?.getattr("_restore_policy")?, state))
    }
}

/// A trusted log's key, id, and when its key counts.
type OpenLog = (Vec<u8>, Vec<u8>, u64, Option<u64>);

#[pyfunction]
pub fn _restore_policy(
    py: Python<'_>,
    keys: &Bound<'_, PyAny>,
    annotations: &Bound<'_, PyAny>,
    threshold: u32,
    tlog: bool,
    logs: Vec<OpenLog>,
) -> PyResult<Policy> {
    // With its logs it may demand an entry; not before.
    let Policy(mut policy) = Policy::new(py, keys, Some(annotations), threshold, false, None, None)?;
    let mut root = TrustedRoot::new();
    for (key, id, start, end) in logs {
        let key = cosign_core::PublicKey::from_der(&key).map_err(|error| raise(py, &error))?;
        root.add_log(TrustedLog { key, id, validity: Validity { start, end } });
    }
    policy.trust(root);
    policy.require_tlog(tlog);
    policy.check().map_err(|error| raise(py, &error))?;
    Ok(Policy(policy))
}
