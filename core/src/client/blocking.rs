//! The verbs for programs without a tokio runtime.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use super::{ClientOptions, SignOptions, Signed, TriangulateOptions, VerifyOptions, run_local};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::key::PrivateKey;
use crate::oci::ImageRef;
use crate::verify::{Policy, Verification, Verified};

/// [`super::Client`], blocking. Layouts are worked on in place; a runtime of one thread, the caller's, is made when a
/// registry is first touched. Do not use it inside an async runtime.
#[derive(Debug)]
pub struct Client {
    client: super::Client,
    runtime: OnceLock<Runtime>,
}

impl Client {
    /// A client with these options.
    pub fn new(options: ClientOptions) -> Result<Client> {
        Ok(Client { client: super::Client::new(options)?, runtime: OnceLock::new() })
    }

    fn run<T>(&self, image: &ImageRef, future: impl Future<Output = Result<T>>) -> Result<T> {
        if image.is_local() {
            return run_local(future);
        }
        self.runtime()?.block_on(future)
    }

    /// The runtime, made once. Threads may block on it at the same time: one of them drives the sockets for all.
    fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(Code::Internal, format!("cannot start the network runtime: {e}")))?;
        Ok(self.runtime.get_or_init(|| made))
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
        self.run(image, self.client.sign(image, key, options, call))
    }

    /// See [`super::Client::verify`].
    pub fn verify(
        &self,
        image: &ImageRef,
        policy: &Policy,
        options: &VerifyOptions,
        call: &Call,
    ) -> Result<Verified<Verification>> {
        self.run(image, self.client.verify(image, policy, options, call))
    }
}
