//! `Verifier.verify_images`: an iterator over the results, made by an iterator over the images.
//!
//! The images are taken from the caller's iterable on the thread that asks for a result, one at a time; what was taken is
//! verified by the threads of the runtime meanwhile. The iterator belongs to the process that made it: in a child its
//! tasks have no threads, so there it answers `ForkedError` and is leaked.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::Poll;
use std::thread::ThreadId;
use std::time::Duration;

use cosign_core::client::BatchOf;
use cosign_core::{BatchOptions, BatchResult as Outcome, Call, Client, Code, Error, Policy, Result, VerifyOptions};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyTuple};

use crate::errors::raise;
use crate::runtime;
use crate::verify::VerifiedImage;

/// What a batch does at once, from Python's arguments; what is not given is as in the core.
pub fn limits(
    py: Python<'_>,
    at_once: Option<usize>,
    per_host: Option<usize>,
    image_timeout: Option<f64>,
) -> PyResult<BatchOptions> {
    let mut limits = BatchOptions::default();
    limits.at_once = at_once.unwrap_or(limits.at_once);
    limits.per_host = per_host.unwrap_or(limits.per_host);
    if let Some(seconds) = image_timeout {
        let bad = |_| {
            let what = format!("image_timeout must be a positive number of seconds, not {seconds}");
            raise(py, &Error::new(Code::Argument, what))
        };
        limits.image_timeout = Some(Duration::try_from_secs_f64(seconds).map_err(bad)?);
    }
    Ok(limits)
}

/// The caller's iterable; what it raises ends it, and is kept to be raised again.
struct Images {
    iterator: Py<PyIterator>,
    /// How many are left, if the iterable knows its length.
    left: Option<usize>,
    trouble: Arc<Mutex<Option<PyErr>>>,
}

impl Iterator for Images {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.left = self.left.map(|left| left.saturating_sub(1));
        let next = Python::attach(|py| match self.iterator.bind(py).clone().next() {
            None => Ok(None),
            Some(item) => {
                let item = item?;
                let wrong = || PyTypeError::new_err("images must yield references as str");
                item.extract::<String>().map(Some).map_err(|_| wrong())
            }
        });
        next.unwrap_or_else(|trouble| {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
            None
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.left)
    }
}

/// The iterator over the results; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct Batch {
    pid: u32,
    call: Call,
    trouble: Arc<Mutex<Option<PyErr>>>,
    /// `None` once closed.
    running: Mutex<Option<BatchOf<'static, Images>>>,
    /// Who is asking for a result now: the images' iterator must not.
    asking: Mutex<Option<ThreadId>>,
}

impl Batch {
    /// Begins; the first image is taken when the first result is asked for.
    pub fn start(
        py: Python<'_>,
        client: &Client,
        images: &Bound<'_, PyAny>,
        policy: &Policy,
        options: &VerifyOptions,
        limits: &BatchOptions,
        call: Call,
    ) -> PyResult<Batch> {
        if images.extract::<&str>().is_ok() {
            return Err(PyTypeError::new_err("images is one str: give a list of references"));
        }
        let trouble = Arc::new(Mutex::new(None));
        let (iterator, left) = (images.try_iter()?.unbind(), images.len().ok());
        let images = Images { iterator, left, trouble: trouble.clone() };
        let batch = client.verify_images(images, policy, options, limits, &call).map_err(|error| raise(py, &error))?;
        let running = Mutex::new(Some(batch.on(runtime::handle)));
        Ok(Batch { pid: std::process::id(), call, trouble, running, asking: Mutex::new(None) })
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.pid == std::process::id() {
            return Ok(());
        }
        let what = format!("the batch was made in process {} before fork(): make a new one in the child", self.pid);
        Err(raise(py, &Error::new(Code::Forked, what)))
    }

    /// Waits a moment for a result, detached. `Pending` also while another thread waits for one.
    fn wait(&self) -> Result<Poll<Option<Outcome>>> {
        let mut running = match self.running.try_lock() {
            Ok(running) => running,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(runtime::TICK / 10);
                return Ok(Poll::Pending);
            }
        };
        let Some(batch) = running.as_mut() else { return Ok(Poll::Ready(None)) };
        *self.asking() = Some(std::thread::current().id());
        let result = runtime::caught(|| Ok(batch.wait(runtime::TICK)));
        *self.asking() = None;
        if !matches!(result, Ok(Poll::Pending | Poll::Ready(Some(_)))) {
            *running = None;
        }
        result
    }

    fn asking(&self) -> std::sync::MutexGuard<'_, Option<ThreadId>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_caller(&self) -> PyResult<()> {
        match *self.asking() == Some(std::thread::current().id()) {
            true => Err(PyValueError::new_err("the batch is asked for a result by the iterator of its images")),
            false => Ok(()),
        }
    }
}

#[pymethods]
impl Batch {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<BatchResult>> {
        self.check_process(py)?;
        self.check_caller()?;
        loop {
            let waited = py.detach(|| self.wait());
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(trouble) = trouble {
                self.close(py)?;
                return Err(trouble);
            }
            match waited.map_err(|error| raise(py, &error))? {
                Poll::Ready(None) => return Ok(None),
                Poll::Ready(Some(outcome)) => return BatchResult::new(py, outcome).map(Some),
                Poll::Pending => {}
            }
            if let Err(interrupt) = py.check_signals() {
                self.close(py)?;
                return Err(interrupt);
            }
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        self.check_caller()?;
        // Whoever waits for a result in another thread gets it soon, or an end.
        self.call.cancel().cancel();
        let running = py.detach(|| self.running.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(running);
        Ok(())
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            // Its tasks belong to threads that this process does not have.
            let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(running.take());
        }
    }
}

/// What became of one image; see `_native.pyi`.
#[pyclass(frozen, module = "cosign")]
pub struct BatchResult {
    index: u64,
    image: String,
    verified: Option<Py<VerifiedImage>>,
    error: Option<Py<PyAny>>,
}

impl BatchResult {
    fn new(py: Python<'_>, outcome: Outcome) -> PyResult<Self> {
        let Outcome { index, reference: image, outcome, .. } = outcome;
        Ok(match outcome {
            Ok(verified) => {
                let verified = Py::new(py, VerifiedImage::new(py, &image, &verified)?)?;
                BatchResult { index, image, verified: Some(verified), error: None }
            }
            Err(error) => {
                let error = raise(py, &error).into_value(py).into_any();
                BatchResult { index, image, verified: None, error: Some(error) }
            }
        })
    }
}

#[pymethods]
impl BatchResult {
    #[getter]
    fn index(&self) -> u64 {
        self.index
    }

    #[getter]
    fn image(&self) -> &str {
        &self.image
    }

    #[getter]
    fn verified(&self, py: Python<'_>) -> Option<Py<VerifiedImage>> {
        self.verified.as_ref().map(|verified| verified.clone_ref(py))
    }

    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.error.as_ref().map(|error| error.clone_ref(py))
    }

    /// An object that is always true would accept every image in an `if`.
    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err("a BatchResult is neither true nor false: look at .verified or .error"))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let what = match (&self.verified, &self.error) {
            (Some(verified), _) => verified.bind(py).repr()?,
            (None, Some(error)) => error.bind(py).repr()?,
            (None, None) => return Ok(format!("<BatchResult {} {}>", self.index, self.image)),
        };
        Ok(format!("<BatchResult {} {}: {what}>", self.index, self.image))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let state = (self.index, &self.image, self.verified(py), self.error(py)).into_pyobject(py)?;
        Ok((py.import("cosign._native")?.getattr("_restore_batch_result")?, state))
    }
}

#[pyfunction]
#[pyo3(signature = (index, image, verified, error))]
pub fn _restore_batch_result(
    index: u64,
    image: String,
    verified: Option<Py<VerifiedImage>>,
    error: Option<Py<PyAny>>,
) -> BatchResult {
    BatchResult { index, image, verified, error }
}
