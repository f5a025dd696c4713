//! Python arguments as Rust values. Each is read once; what another thread could change meanwhile is copied.

use std::path::PathBuf;

use cosign_core::{Code, Error, ImageRef};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString};
use zeroize::Zeroizing;

use crate::errors::raise;
use crate::{files, runtime};

/// Bytes to sign, to verify or to parse: `bytes` are borrowed (they never change), other buffers are copied.
pub enum Data<'py> {
    Borrowed(Bound<'py, PyBytes>),
    Copied(Zeroizing<Vec<u8>>),
}

impl Data<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Data::Borrowed(bytes) => bytes.as_bytes(),
            Data::Copied(bytes) => bytes,
        }
    }
}

impl<'py> Data<'py> {
    pub fn from(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Data<'py>> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Data::Borrowed(bytes.clone()));
        }
        if value.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(format!("{name} must be bytes, not str: encode text first")));
        }
        let buffer = match PyBuffer::<u8>::get(value) {
            Ok(buffer) => buffer,
            Err(error) if error.is_instance_of::<PyValueError>(value.py()) => return Err(error),
            Err(_) => {
                let kind = value.get_type().name()?;
                return Err(PyTypeError::new_err(format!("{name} must be bytes or a buffer of bytes, not {kind}")));
            }
        };
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err(format!("{name} must be contiguous")));
        }
        Ok(Data::Copied(Zeroizing::new(buffer.to_vec(value.py())?)))
    }
}

/// The path of a file: `str` or `os.PathLike`.
pub fn path(value: &Bound<'_, PyAny>, name: &str) -> PyResult<PathBuf> {
    let expected = |_| {
        let kind = value.get_type().name().map(|kind| kind.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{name} must be a path (str or os.PathLike), not {kind}"))
    };
    if value.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err(format!("{name} must be a path (str or os.PathLike), not bytes")));
    }
    value.extract::<PathBuf>().map_err(expected)
}

/// The content of a path, or bytes as they are.
pub fn content(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Zeroizing<Vec<u8>>> {
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        let path = path(value, name)?;
        return runtime::work(value.py(), move || files::read(&path));
    }
    Ok(Zeroizing::new(Data::from(value, name)?.as_slice().to_vec()))
}

/// An image reference.
pub fn image(py: Python<'_>, text: &str) -> PyResult<ImageRef> {
    ImageRef::parse(text).map_err(|error| raise(py, &error))
}

/// Pairs of text from a mapping or from an iterable of pairs, in order.
pub fn pairs(value: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Vec<(String, String)>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let wrong = |_| PyTypeError::new_err(format!("{name} must map str to str"));
    let items = match value.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) if value.is_instance_of::<PyString>() => return Err(wrong(())),
        Err(_) => value.clone(),
    };
    items.try_iter()?.map(|item| item?.extract::<(String, String)>().map_err(|_| wrong(()))).collect()
}

/// A password: text (as UTF-8), bytes, or a function that is asked when the password is needed.
pub struct Password<'py>(Option<Bound<'py, PyAny>>);

impl<'py> Password<'py> {
    pub fn new(value: Option<Bound<'py, PyAny>>) -> Self {
        Password(value)
    }

    /// The password if it was given as a value.
    pub fn given(&self) -> PyResult<Option<Zeroizing<Vec<u8>>>> {
        match &self.0 {
            Some(value) if !value.is_callable() => secret(value).map(Some),
            _ => Ok(None),
        }
    }

    /// Asks the function, if there is one.
    pub fn ask(&self) -> PyResult<Option<Zeroizing<Vec<u8>>>> {
        let Some(function) = self.0.as_ref().filter(|value| value.is_callable()) else { return Ok(None) };
        let py = function.py();
        let answer = match function.call0() {
            Ok(answer) => answer,
            Err(cause) => return Err(failed(py, "the password function raised an exception", cause)),
        };
        secret(&answer).map(Some).map_err(|cause| failed(py, "the password function must return str or bytes", cause))
    }

    /// The password for a new key file: there must be one.
    pub fn required(&self, py: Python<'_>) -> PyResult<Zeroizing<Vec<u8>>> {
        if let Some(password) = self.given()? {
            return Ok(password);
        }
        self.ask()?.ok_or_else(|| {
            raise(py, &Error::new(Code::PasswordRequired, "a new key file needs a password (it may be empty)"))
        })
    }
}

/// Errors of this library and what is not an error at all (Ctrl-C, exit) pass through a callback unchanged.
pub fn failed(py: Python<'_>, message: &str, cause: PyErr) -> PyErr {
    let ours = py
        .import("cosign.errors")
        .and_then(|errors| errors.getattr("CosignError"))
        .is_ok_and(|base| cause.matches(py, base).unwrap_or(false));
    if ours || !cause.is_instance_of::<PyException>(py) {
        return cause;
    }
    let error = raise(py, &Error::new(Code::Callback, message));
    error.set_cause(py, Some(cause));
    error
}

fn secret(value: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    if let Ok(text) = value.cast::<PyString>() {
        // Python's own exception would carry the password.
        let text = text.to_cow().map_err(|_| {
            raise(value.py(), &Error::new(Code::Encoding, "the password cannot be written as UTF-8; give it as bytes"))
        })?;
        return Ok(Zeroizing::new(text.into_owned().into_bytes()));
    }
    match Data::from(value, "password") {
        Ok(data) => Ok(Zeroizing::new(data.as_slice().to_vec())),
        Err(_) => {
            let kind = value.get_type().name()?;
            Err(PyTypeError::new_err(format!("password must be str, bytes or a function, not {kind}")))
        }
    }
}

/// JSON text as Python objects.
pub fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (json,))
}

/// The pairs as a fresh `dict`.
pub fn dict<'py>(py: Python<'py>, pairs: &[(String, String)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in pairs {
        dict.set_item(key, value)?;
    }
    Ok(dict)
}
