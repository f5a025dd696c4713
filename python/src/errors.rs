//! Errors of the core as the Python exceptions of `cosign.errors`.

use cosign_core::{Code, Error};
use pyo3::prelude::*;

/// The exception for an error. If the exception cannot be built, what went wrong there is raised instead.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match build(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(trouble) => trouble,
    }
}

/// An [`Code::Argument`] error.
pub fn argument(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, &Error::new(Code::Argument, message))
}

fn build<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let row = error.code().row();
    let report = error.report().map(|report| report.json());
    py.import("cosign.errors")?.getattr("_make")?.call1((
        row.python,
        error.message(),
        row.name,
        row.number,
        row.exit_code,
        row.retryable,
        error.json(),
        report,
    ))
}

/// The error table of the core: (name, number, class, exit code, Python class, retryable, summary) per code.
#[pyfunction]
pub fn error_table() -> Vec<(&'static str, i32, &'static str, u8, &'static str, bool, &'static str)> {
    Code::TABLE
        .iter()
        .map(|row| (row.name, row.number, row.class.name(), row.exit_code, row.python, row.retryable, row.summary))
        .collect()
}
