//! Blobs: what `Signer.sign_blob` and `Verifier.verify_blob` read, and what they return.

use std::fs::File;
use std::io::{Error as IoError, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use cosign_core::crypto::Hash;
use cosign_core::verify::{BlobSignature, BlobVerification};
use cosign_core::{
    Call, Code, Error, PrivateKey, Result, SignBlobOptions, Verified, VerifyBlobOptions, sign_blob, verify_blob,
    verify_blob_digest,
};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use zeroize::Zeroizing;

use crate::errors::raise;
use crate::inputs::{Data, failed, loads, path};
use crate::{files, runtime};

/// A bundle has at most 4 MiB; the judge says what is wrong with a larger one.
const MAX_BUNDLE: u64 = (4 << 20) + 1;

/// Where a blob comes from.
enum Source {
    Path(PathBuf),
    /// `bytes`, which never change.
    Bytes(PyBackedBytes),
    /// What could change while it is read.
    Copied(Zeroizing<Vec<u8>>),
    /// Anything with `read`.
    Reader(Py<PyAny>),
}

impl Source {
    fn from(value: &Bound<'_, PyAny>) -> PyResult<Source> {
        if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
            return Ok(Source::Path(path(value, "data")?));
        }
        if value.is_instance_of::<PyBytes>() {
            return Ok(Source::Bytes(value.extract()?));
        }
        if value.hasattr("read")? {
            return Ok(Source::Reader(value.clone().unbind()));
        }
        match Data::from(value, "data")? {
            Data::Copied(bytes) => Ok(Source::Copied(bytes)),
            Data::Borrowed(bytes) => Ok(Source::Copied(Zeroizing::new(bytes.as_bytes().to_vec()))),
        }
    }

    /// What the blob is called when the caller gives it no name.
    fn name(&self) -> String {
        match self {
            Source::Path(path) => path.display().to_string(),
            _ => String::new(),
        }
    }

    /// Runs `verb` on the blob, detached from the interpreter and open to Ctrl-C.
    fn run<T: Send + 'static>(
        self,
        py: Python<'_>,
        call: &Call,
        verb: impl FnOnce(&mut dyn Read, &Call) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        if let Source::Reader(object) = self {
            // In place: an object may belong to its thread. Its own code, and we between two pieces, look for signals.
            let raised = Mutex::new(None);
            let outcome =
                py.detach(|| runtime::caught(|| verb(&mut Reader { object: &object, raised: &raised }, call)));
            if let Some(raised) = raised.into_inner().ok().flatten() {
                return Err(raised);
            }
            return outcome.map_err(|error| raise(py, &error));
        }
        let bounds = call.clone();
        runtime::wait(py, true, call, async move {
            match self {
                Source::Path(path) => {
                    let mut file: File = files::open(&path)?;
                    verb(&mut file, &bounds).map_err(|error| match error.code() {
                        Code::Io => error.context(path.display()).with("path", path.display().to_string()),
                        _ => error,
                    })
                }
                Source::Bytes(bytes) => verb(&mut &*bytes, &bounds),
                Source::Copied(bytes) => verb(&mut bytes.as_slice(), &bounds),
                Source::Reader(_) => Err(Error::new(Code::Internal, "a reader on a thread that is not its own")),
            }
        })
    }
}

/// A Python object with `read`; an exception is kept for the caller.
struct Reader<'a> {
    object: &'a Py<PyAny>,
    raised: &'a Mutex<Option<PyErr>>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let outcome = Python::attach(|py| {
            py.check_signals()?;
            let piece = match self.object.bind(py).call_method1("read", (buffer.len(),)) {
                Ok(piece) => piece,
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    return Err(failed(py, "the blob's read() raised an exception", error));
                }
                Err(error) => return Err(error),
            };
            if piece.is_instance_of::<PyString>() {
                return Err(PyTypeError::new_err(
                    "data.read() must return bytes, not str: open the file in binary mode",
                ));
            }
            let piece = Data::from(&piece, "what data.read() returns")?;
            let piece = piece.as_slice();
            match buffer.get_mut(..piece.len()) {
                Some(room) => room.copy_from_slice(piece),
                None => return Err(raise(py, &Error::new(Code::Callback, "data.read() returned more than was asked"))),
            }
            Ok(piece.len())
        });
        outcome.map_err(|error| {
            if let Ok(mut raised) = self.raised.lock() {
                *raised = Some(error);
            }
            IoError::other(Error::new(Code::Callback, "the blob's read() failed"))
        })
    }
}

/// A hash by its name.
fn hash(py: Python<'_>, name: Option<&str>) -> PyResult<Option<Hash>> {
    name.map(Hash::parse).transpose().map_err(|error| raise(py, &error))
}

/// `Signer.sign_blob`.
pub fn sign(
    py: Python<'_>,
    key: PrivateKey,
    call: &Call,
    data: &Bound<'_, PyAny>,
    digest_algorithm: Option<&str>,
) -> PyResult<SignedBlob> {
    let mut options = SignBlobOptions::new();
    options.hash = hash(py, digest_algorithm)?;
    let signed = Source::from(data)?.run(py, call, move |blob, call| sign_blob(blob, &key, &options, call))?;
    Ok(SignedBlob {
        signature: signed.signature().to_vec(),
        digest: signed.digest().to_owned(),
        key_fingerprint: signed.key().fingerprint(),
        bundle: signed.bundle().into_bytes(),
        old_bundle: signed.old_bundle().into_bytes(),
    })
}

/// What a verification is asked for, beside the blob.
pub struct Question<'a, 'py> {
    pub policy: cosign_core::Policy,
    pub signature: Option<&'a Bound<'py, PyAny>>,
    pub bundle: Option<&'a Bound<'py, PyAny>>,
    pub digest_algorithm: Option<&'a str>,
    pub name: Option<String>,
}

/// `Verifier.verify_blob`.
pub fn verify(
    py: Python<'_>,
    call: &Call,
    data: &Bound<'_, PyAny>,
    question: Question<'_, '_>,
) -> PyResult<VerifiedBlob> {
    let source = Source::from(data)?;
    let mut options = VerifyBlobOptions::new();
    options.hash = hash(py, question.digest_algorithm)?;
    options.name = question.name.clone().unwrap_or_else(|| source.name());
    let (signatures, policy) = (signatures(py, &question)?, question.policy);
    let verified = source.run(py, call, move |blob, call| verify_blob(blob, &signatures, &policy, &options, call))?;
    Ok(VerifiedBlob::new(&verified))
}

/// `Verifier.verify_blob_digest`.
pub fn verify_digest(py: Python<'_>, digest: &str, question: Question<'_, '_>) -> PyResult<VerifiedBlob> {
    let wrong = || {
        let shown: String = digest.chars().take(150).collect();
        let message =
            format!("{shown:?} is not the hash of a blob: expected sha256:<hex>, sha384:<hex> or sha512:<hex>");
        raise(py, &Error::new(Code::Argument, message))
    };
    let (algorithm, hex) = digest.split_once(':').ok_or_else(wrong)?;
    let algorithm = Hash::parse(algorithm).map_err(|_| wrong())?;
    let bytes = unhex(hex).ok_or_else(wrong)?;
    let mut options = VerifyBlobOptions::new();
    options.hash = hash(py, question.digest_algorithm)?;
    options.name = question.name.clone().unwrap_or_else(|| digest.to_owned());
    let (signatures, policy) = (signatures(py, &question)?, question.policy);
    let verified = runtime::quick(py, move || verify_blob_digest(algorithm, &bytes, &signatures, &policy, &options))?;
    Ok(VerifiedBlob::new(&verified))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase()).and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// The signatures and bundles that the caller gave: one of each, or lists.
fn signatures(py: Python<'_>, question: &Question<'_, '_>) -> PyResult<Vec<BlobSignature>> {
    let mut all = Vec::new();
    for (given, name, make) in [
        (question.signature, "signature", BlobSignature::detached as fn(String, Vec<u8>) -> BlobSignature),
        (question.bundle, "bundle", BlobSignature::bundle),
    ] {
        let Some(given) = given else { continue };
        let several = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
        let items: Vec<Bound<'_, PyAny>> =
            if several { given.try_iter()?.collect::<PyResult<_>>()? } else { vec![given.clone()] };
        for item in items {
            let (place, bytes) = read_signature(py, &item, name)?;
            all.push(make(place, bytes));
        }
    }
    Ok(all)
}

fn read_signature(py: Python<'_>, value: &Bound<'_, PyAny>, name: &str) -> PyResult<(String, Vec<u8>)> {
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        let path = path(value, name)?;
        let place = path.display().to_string();
        let bytes = runtime::work(py, move || files::read_up_to(&path, MAX_BUNDLE))?;
        return Ok((place, bytes.to_vec()));
    }
    Ok((String::new(), Data::from(value, name)?.as_slice().to_vec()))
}

/// A signature of a blob; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct SignedBlob {
    signature: Vec<u8>,
    #[pyo3(get)]
    digest: String,
    #[pyo3(get)]
    key_fingerprint: String,
    bundle: Vec<u8>,
    old_bundle: Vec<u8>,
}

#[pymethods]
impl SignedBlob {
    #[getter]
    fn signature<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.signature)
    }

    #[getter]
    fn base64(&self) -> String {
        cosign_core::encoding::base64::encode(&self.signature)
    }

    #[getter]
    fn bundle<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bundle)
    }

    #[getter]
    fn old_bundle<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.old_bundle)
    }

    fn __repr__(&self) -> String {
        format!("<SignedBlob {} by sha256:{}>", self.digest, self.key_fingerprint)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (self.signature(py), &self.digest, &self.key_fingerprint, self.bundle(py), self.old_bundle(py));
        Ok((py.import("cosign._native")?.getattr("_restore_signed_blob")?, state.into_pyobject(py)?))
    }
}

/// A blob whose signatures satisfy the policy; see `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "cosign")]
#[derive(PartialEq, Eq, Hash)]
pub struct VerifiedBlob {
    #[pyo3(get)]
    name: String,
    #[pyo3(get)]
    digest: String,
    signers: Vec<String>,
    report: String,
    json: String,
}

impl VerifiedBlob {
    fn new(verified: &Verified<BlobVerification>) -> VerifiedBlob {
        VerifiedBlob {
            name: verified.name().to_owned(),
            digest: verified.digest().to_owned(),
            signers: verified.report().signers.clone(),
            report: verified.report().json(),
            json: verified.json(),
        }
    }
}

#[pymethods]
impl VerifiedBlob {
    #[getter]
    fn signers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.signers)
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

    fn __repr__(&self) -> String {
        format!("<VerifiedBlob {:?} {} by {} signers>", self.name, self.digest, self.signers.len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (&self.name, &self.digest, self.signers(py)?, &self.report, &self.json);
        Ok((py.import("cosign._native")?.getattr("_restore_verified_blob")?, state.into_pyobject(py)?))
    }
}

#[pyfunction]
pub fn _restore_signed_blob(
    signature: Vec<u8>,
    digest: String,
    key_fingerprint: String,
    bundle: Vec<u8>,
    old_bundle: Vec<u8>,
) -> SignedBlob {
    SignedBlob { signature, digest, key_fingerprint, bundle, old_bundle }
}

#[pyfunction]
pub fn _restore_verified_blob(
    name: String,
    digest: String,
    signers: Vec<String>,
    report: String,
    json: String,
) -> VerifiedBlob {
    VerifiedBlob { name, digest, signers, report, json }
}
