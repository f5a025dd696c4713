//! The verbs: sign, verify (one image or many), resolve, triangulate. Each file reads as the recipe of one verb.

mod attach;
mod batch;
pub mod blocking;
mod clean;
mod copy;
mod doctor;
mod download;
mod gc;
mod generate;
mod hanging;
mod nodes;
#[cfg(feature = "oci-client")]
mod oci_client;
mod options;
mod resolve;
mod sign;
mod signed;
mod tlog;
mod tree;
mod verify;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

pub use batch::{Batch, BatchOf, BatchOptions, BatchResult};
pub use clean::{CleanOptions, Cleaned};
pub use copy::{Copied, CopyKind, CopyOptions};
pub use doctor::{Diagnosis, Finding, Reader};
pub use download::UnverifiedSignature;
pub use gc::{Gc, GcOptions};
pub use generate::Detached;
pub use options::{
    ClientOptions, DownloadOptions, Format, SignOptions, TlogUpload, TriangulateOptions, VerifyOptions,
    parse_tag_suffix,
};
pub use signed::{Signed, StoredSignature};
pub use tlog::{LogRecord, TlogOutcome};
pub use tree::{Attachment, AttachmentKind, Item, Tree};

use crate::error::{Code, Error, Result};
use crate::oci::ImageRef;
use crate::registry::Transport;
use crate::store::{Layout, Store, Tags};

pub use crate::store::CleanKind;

/// Signs and verifies images; holds connections and tokens, so make one and share it. Cloning is cheap.
///
/// Making one opens no socket and reads no file. The caller owns the tokio runtime that its futures run on; for images
/// in a layout none is needed ([`run_local`]). [`blocking::Client`] needs none at all.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: ClientOptions,
    transport: OnceLock<Arc<Transport>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client { .. }")
    }
}

impl Client {
    /// A client with these options.
    pub fn new(options: ClientOptions) -> Result<Client> {
        Ok(Client(Arc::new(Inner { options, transport: OnceLock::new() })))
    }

    fn transport(&self) -> Result<Arc<Transport>> {
        if let Some(transport) = self.0.transport.get() {
            return Ok(transport.clone());
        }
        let made = Arc::new(Transport::new(self.0.options.transport.clone())?);
        Ok(self.0.transport.get_or_init(|| made).clone())
    }

    /// Lets the first token for the signatures of `image` allow to delete.
    fn announce_delete(&self, image: &ImageRef) {
        if let (ImageRef::Registry(image), Ok(transport)) = (image, self.transport()) {
            let at = self.0.options.signatures.as_ref().unwrap_or(image);
            transport.announce_delete(at.registry(), at.repository());
        }
    }

    /// The place of what `image` names, whatever repository signatures are kept in.
    fn plain_store(&self, image: &ImageRef) -> Result<Box<dyn Store>> {
        match image {
            ImageRef::Registry(registry) => Ok(Box::new(Tags::new(self.transport()?, registry.clone()))),
            ImageRef::Layout(_) => self.store(image, None),
        }
    }

    /// The place where `image` and its signatures are.
    fn store(&self, image: &ImageRef, layout_name: Option<&str>) -> Result<Box<dyn Store>> {
        match image {
            ImageRef::Layout(_) if !self.0.options.layouts => {
                Err(Error::new(Code::Reference, format!("{image}: this client takes no references to layouts on disk")))
            }
            ImageRef::Layout(layout) => Ok(Box::new(Layout::new(layout.clone(), layout_name.map(str::to_owned)))),
            ImageRef::Registry(_) if layout_name.is_some() => {
                Err(Error::new(Code::Argument, "an entry's name can only be set in an OCI layout"))
            }
            ImageRef::Registry(registry) => {
                let store = Tags::new(self.transport()?, registry.clone());
                Ok(Box::new(store.with_signatures(self.0.options.signatures.as_ref())))
            }
        }
    }
}

/// Runs the future of a verb on an image in a layout ([`ImageRef::is_local`]) that asks no transparency log
/// ([`SignOptions::is_local`], [`VerifyOptions::is_local`]): such futures never wait for anything but files, so no runtime is
/// needed.
pub fn run_local<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}
