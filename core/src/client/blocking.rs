//! The verbs for programs without a tokio runtime.

use std::future::Future;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{
    BatchOptions, BatchResult, CleanOptions, Cleaned, ClientOptions, Copied, CopyOptions, Detached, Diagnosis,
    DownloadOptions, Gc, GcOptions, SignOptions, Signed, Tree, TriangulateOptions, UnverifiedSignature, VerifyOptions,
    run_local,
};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::key::PrivateKey;
use crate::oci::ImageRef;
use crate::verify::{Policy, Verification, Verified};

/// [`super::Client`], blocking. Layouts are worked on in place; a runtime of one thread, the caller's, is made when a
/// registry is first touched. Batches have a thread beside it, so that they go on while the caller looks at a result. Do
/// not use it inside an async runtime.
#[derive(Debug)]
pub struct Client {
    client: super::Client,
    runtime: OnceLock<Runtime>,
    batches: OnceLock<Runtime>,
}

impl Client {
    /// A client with these options.
    pub fn new(options: ClientOptions) -> Result<Client> {
        Ok(Client { client: super::Client::new(options)?, runtime: OnceLock::new(), batches: OnceLock::new() })
    }

    fn run<T>(&self, image: &ImageRef, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_here(image.is_local(), future)
    }

    fn run_here<T>(&self, is_local: bool, future: impl Future<Output = Result<T>>) -> Result<T> {
        if is_local {
            return run_local(future);
        }
        self.runtime()?.block_on(future)
    }

    /// The runtime, made once. Threads may block on it at the same time: one of them drives the sockets for all.
    fn runtime(&self) -> Result<&Runtime> {
        once(&self.runtime, &mut Builder::new_current_thread())
    }

    /// See [`super::Client::resolve`].
    pub fn resolve(&self, image: &ImageRef, call: &Call) -> Result<String> {
        self.run(image, self.client.resolve(image, call))
    }

    /// See [`super::Client::triangulate`].
    pub fn triangulate(&self, image: &ImageRef, options: &TriangulateOptions, call: &Call) -> Result<String> {
        self.run(image, self.client.triangulate(image, options, call))
    }

    /// See [`super::Client::sign`].
    pub fn sign(&self, image: &ImageRef, key: &PrivateKey, options: &SignOptions, call: &Call) -> Result<Signed> {
        self.run_here(options.is_local(image), self.client.sign(image, key, options, call))
    }

    /// See [`super::Client::generate`].
    pub fn generate(&self, image: &ImageRef, options: &SignOptions, call: &Call) -> Result<Vec<u8>> {
        self.run(image, self.client.generate(image, options, call))
    }

    /// See [`super::Client::sign_detached`].
    pub fn sign_detached(
        &self,
        image: &ImageRef,
        key: &PrivateKey,
        options: &SignOptions,
        call: &Call,
    ) -> Result<Detached> {
        self.run(image, self.client.sign_detached(image, key, options, call))
    }

    /// See [`super::Client::attach_signature`].
    pub fn attach_signature(
        &self,
        image: &ImageRef,
        signature: &[u8],
        options: &SignOptions,
        call: &Call,
    ) -> Result<Signed> {
        self.run(image, self.client.attach_signature(image, signature, options, call))
    }

    /// See [`super::Client::download`].
    pub fn download(
        &self,
        image: &ImageRef,
        options: &DownloadOptions,
        call: &Call,
    ) -> Result<Vec<UnverifiedSignature>> {
        self.run(image, self.client.download(image, options, call))
    }

    /// See [`super::Client::tree`].
    pub fn tree(&self, image: &ImageRef, call: &Call) -> Result<Tree> {
        self.run(image, self.client.tree(image, call))
    }

    /// See [`super::Client::doctor`].
    pub fn doctor(&self, image: &ImageRef, call: &Call) -> Result<Diagnosis> {
        self.run(image, self.client.doctor(image, call))
    }

    /// See [`super::Client::clean`].
    pub fn clean(&self, image: &ImageRef, options: &CleanOptions, call: &Call) -> Result<Cleaned> {
        self.run(image, self.client.clean(image, options, call))
    }

    /// See [`super::Client::copy`].
    pub fn copy(&self, from: &ImageRef, to: &ImageRef, options: &CopyOptions, call: &Call) -> Result<Copied> {
        if from.is_local() && to.is_local() {
            return run_local(self.client.copy(from, to, options, call));
        }
        self.runtime()?.block_on(self.client.copy(from, to, options, call))
    }

    /// See [`super::Client::gc`].
    pub fn gc(&self, image: &ImageRef, options: &GcOptions, call: &Call) -> Result<Gc> {
        self.run(image, self.client.gc(image, options, call))
    }

    /// See [`super::Client::verify`].
    pub fn verify(
        &self,
        image: &ImageRef,
        policy: &Policy,
        options: &VerifyOptions,
        call: &Call,
    ) -> Result<Verified<Verification>> {
        self.run_here(options.is_local(image, policy), self.client.verify(image, policy, options, call))
    }

    /// See [`super::Client::verify_images`].
    pub fn verify_images<I>(
        &self,
        references: I,
        policy: &Policy,
        options: &VerifyOptions,
        batch: &BatchOptions,
        call: &Call,
    ) -> Result<Batch<'_, I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let batch = self.client.verify_images(references, policy, options, batch, call)?;
        let runtime = || Ok(once(&self.batches, Builder::new_multi_thread().worker_threads(1))?.handle().clone());
        Ok(Batch(batch.on(runtime)))
    }
}

fn once<'a>(slot: &'a OnceLock<Runtime>, builder: &mut Builder) -> Result<&'a Runtime> {
    if let Some(runtime) = slot.get() {
        return Ok(runtime);
    }
    let made = builder
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::Internal, format!("cannot start the network runtime: {e}")))?;
    Ok(slot.get_or_init(|| made))
}

/// The results of [`Client::verify_images`], each as soon as it is known; dropping it stops what is under way.
#[derive(Debug)]
pub struct Batch<'a, I>(super::BatchOf<'a, I>);

impl<I> Iterator for Batch<'_, I>
where
    I: Iterator,
    I::Item: Into<String>,
{
    type Item = BatchResult;

    fn next(&mut self) -> Option<BatchResult> {
        loop {
            if let Poll::Ready(result) = self.0.wait(Duration::MAX) {
                return result;
            }
        }
    }
}
