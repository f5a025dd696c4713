//! `Policy`: which signatures are enough.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::errors::raise;
use crate::inputs::{dict, pairs};
use crate::keys::PublicKey;

/// What a signature must satisfy; see `_native.pyi`.
#[pyclass(frozen, eq, module = "cosign")]
#[derive(PartialEq, Eq)]
pub struct Policy(pub cosign_core::Policy);

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (*, keys, annotations = None, threshold = 1))]
    fn new(
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        annotations: Option<&Bound<'_, PyAny>>,
        threshold: u32,
    ) -> PyResult<Self> {
        let mut policy = cosign_core::Policy::new();
        for item in keys.try_iter()? {
            let item = item?;
            let Ok(key) = item.cast::<PublicKey>() else {
                let kind = item.get_type().name()?;
                return Err(PyTypeError::new_err(format!("keys must hold PublicKey objects, not {kind}")));
            };
            policy.add_key(key.get().0.clone());
        }
        for (name, value) in pairs(annotations, "annotations")? {
            policy.require_annotation(&name, &value).map_err(|error| raise(py, &error))?;
        }
        policy.set_threshold(threshold);
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

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.0.annotations().keys().map(String::as_str).collect();
        let (needed, keys) = (self.0.threshold(), self.0.keys().len());
        format!("<Policy {needed} of {keys} keys, annotations [{}]>", names.join(", "))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (self.keys(py)?, self.annotations(py)?, self.threshold()).into_pyobject(py)?;
        Ok((py.import("cosign._native")?.getattr("_restore_policy")?, state))
    }
}

#[pyfunction]
pub fn _restore_policy(
    py: Python<'_>,
    keys: &Bound<'_, PyAny>,
    annotations: &Bound<'_, PyAny>,
    threshold: u32,
) -> PyResult<Policy> {
    Policy::new(py, keys, Some(annotations), threshold)
}
