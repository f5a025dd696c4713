//! Where signatures live: an OCI image layout on disk, or a registry. One trait, so that every verb is written once.

mod clean;
mod collect;
mod copy;
pub mod journal;
pub mod layout;
mod lossless;
mod plain;
mod sweep;
pub mod tags;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use crate::bundle::legacy::NewSignature;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::oci::Descriptor;
use crate::registry::Pieces;

pub use clean::{CleanKind, predicate_of as bundle_predicate};
pub use collect::Collected;
pub use copy::{RegistryTarget, Target};
pub use layout::Layout;
pub use sweep::{Kept, Removed, Swept};
pub use tags::Tags;

/// What a manifest may have in bytes whatever its entry in a list says: others write lists too, and not all count.
pub(crate) const UNSIZED_MANIFEST: u64 = 64 << 10;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The image that a reference names now.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its digest, computed from the bytes read unless the caller named it.
    pub digest: Digest,
    /// Its descriptor, when its bytes were read: what a bundle refers to.
    pub descriptor: Option<Descriptor>,
    /// What cosign writes as `docker-reference` when the caller gives no identity.
    pub identity: String,
    /// In a layout: its entry has no name, so tools that copy by name cannot tell it from its signatures.
    pub needs_name: bool,
    /// When its bytes were read: the entries of an index, none of an image.
    pub children: Option<Vec<Descriptor>>,
}

/// A manifest as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The media type that the place gave for it; empty when it gave none.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// A signature that is to be stored.
#[derive(Clone)]
pub enum NewItem<'a> {
    /// A layer of the signature image behind `sha256-<hex><suffix>`.
    Layer {
        /// The payload and its signature.
        signature: &'a NewSignature,
        /// Who signed: tells what is there already. `None` when the signature was made elsewhere.
        key: Option<&'a PublicKey>,
        /// The suffix of the tag.
        suffix: &'a str,
        /// Docker's media types for a new image.
        docker: bool,
    },
    /// A sigstore bundle that refers to the image.
    Bundle {
        /// The bundle.
        json: &'a [u8],
        /// Its statement's predicate type.
        predicate_type: &'a str,
    },
}

/// A signature that is to be stored, and the image that it is of.
#[derive(Clone)]
pub struct Adding<'a> {
    /// The image.
    pub image: &'a Image,
    /// The signature.
    pub item: NewItem<'a>,
}

/// How well a signature is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Where every tool finds it, and no concurrent signer can make it unseen.
    Stored,
    /// Where every tool finds it; for this reason a concurrent or late writer may have overwritten it unseen.
    StoredUnprotected(String),
    /// Only in the journal, for this reason: this library finds it, other tools do not.
    JournalOnly(String),
}

impl Protection {
    /// `stored`, `stored_unprotected` or `journal_only`.
    pub fn name(&self) -> &'static str {
        match self {
            Protection::Stored => "stored",
            Protection::StoredUnprotected(_) => "stored_unprotected",
            Protection::JournalOnly(_) => "journal_only",
        }
    }

    /// Why it is not `stored`.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Protection::Stored => None,
            Protection::StoredUnprotected(why) | Protection::JournalOnly(why) => Some(why),
        }
    }
}

/// What became of a [`NewItem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The name of the place: what `triangulate` prints for a layer, the pinned manifest for a bundle.
    pub place: String,
    /// False when it was there already.
    pub added: bool,
    /// How well it is stored.
    pub protection: Protection,
}

/// The manifests that refer to an image, as far as they may be bundles.
#[derive(Debug, Clone, Default)]
pub struct Referring {
    /// Their descriptors, each digest once.
    pub entries: Vec<Descriptor>,
    /// The journal's entries among them, which are no bundles.
    pub journal: Vec<Descriptor>,
    /// The fallback index, where there is no list of the registry's own.
    pub index: Option<StoredManifest>,
}

/// Everything that a place lists of one image, signature or not; each part with the reason why it could not be read.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The suffixes of the names `sha256-<hex><suffix>`, each once, sorted; the name without a suffix is the fallback
    /// index.
    pub suffixes: Result<Vec<String>>,
    /// Every manifest that says it refers to the image, each digest once.
    pub referrers: Result<Vec<Descriptor>>,
    /// How those were found: `referrers`, `fallback index` or `layout`.
    pub found_by: &'static str,
}

/// What the journal holds beside the standard places.
#[derive(Debug, Clone, Default)]
pub struct Journalled {
    /// Signatures that the tag does not show, with the place of each.
    pub layers: Vec<(String, Descriptor)>,
    /// Bundles that the fallback index does not show.
    pub bundles: Vec<Descriptor>,
    /// Entries that could not be read.
    pub unread: Vec<(String, Error)>,
    /// What the reader of the report should know.
    pub notes: Vec<String>,
}

/// What the journal holds that signers would still merge.
#[derive(Debug, Clone, Default)]
pub struct Young {
    /// Layers, by the suffix of the tag that they belong to.
    pub layers: Vec<(String, Descriptor)>,
    /// Manifests of bundles.
    pub bundles: Vec<Descriptor>,
}

/// A place that holds an image and its signatures.
pub trait Store: Send + Sync {
    /// The image that the reference names. A tag is resolved by reading and hashing; a digest is taken as given where
    /// that costs a request.
    fn image<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Image>>;

    /// The manifest that the reference itself names: a signature image, named directly. `None` when the place says that it
    /// is absent.
    fn itself<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>>;

    /// The image's own manifest or index, or that of one it leads to, by digest; `None` when the place says that it is absent.
    fn document<'a>(&'a self, digest: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>>;

    /// The legacy signature image of `subject`, or `None` when the place says that there is none.
    fn signature_image<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>>;

    /// What refers to `subject`.
    fn referring<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Referring>>;

    /// Everything that the place lists of `subject`.
    fn listed<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Listed>;

    /// The journal beside the tag of `suffix` and the fallback index, given what those hold.
    fn journal<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        tag: Option<&'a StoredManifest>,
        referring: Option<&'a Referring>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Journalled>>;

    /// A manifest by its descriptor; `None` when the place says that it is absent.
    fn manifest<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>>;

    /// A blob of at most `cap` bytes, checked against digest and size; `None` when the place says that it is absent.
    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        cap: u64,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// Stores signatures beside what is there, side by side, in the round trips of one; with `journal` so that concurrent
    /// signers cannot lose them. What came of each, in the order given; when one cannot be stored and that is seen before
    /// any of them is, all end with its error.
    fn add_all<'a>(
        &'a self,
        adding: &'a [Adding<'a>],
        journal: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Vec<Result<Added>>>;

    /// Stores one signature of `image`: see [`Store::add_all`].
    fn add<'a>(
        &'a self,
        image: &'a Image,
        item: NewItem<'a>,
        journal: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Added>> {
        Box::pin(async move {
            let added = self.add_all(&[Adding { image, item }], journal, call).await.pop();
            added.unwrap_or_else(|| Err(Error::new(Code::Internal, "a place that does not say what it did")))
        })
    }

    /// The content of a blob beside the signatures, piece by piece, checked on the way; `None` when the place says that it
    /// is absent.
    fn pieces<'a>(&'a self, descriptor: &'a Descriptor, call: &'a Call) -> BoxFuture<'a, Result<Option<Pieces>>>;

    /// The registry and repository of the signatures; `None` for a layout.
    fn origin(&self) -> Option<(&str, &str)>;

    /// What young entries of the journal hold that the standard places do not show: signers would still merge it. What is
    /// `known` is not read.
    fn young_journal<'a>(
        &'a self,
        subject: &'a Digest,
        suffixes: &'a [&'a str],
        referring: &'a Referring,
        known: &'a BTreeSet<journal::EntryId>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Young>>;

    /// Takes away what `kind` names from beside `subject`, the journal first. What fails on the way is an error that says
    /// what was done.
    fn clean<'a>(&'a self, subject: &'a Digest, kind: CleanKind, call: &'a Call) -> BoxFuture<'a, Result<Swept>>;

    /// Collects journal entries that nobody needs any more, of `subject` or of all images; with `repair` what the standard
    /// places have lost is merged first.
    fn collect<'a>(
        &'a self,
        subject: Option<&'a Digest>,
        repair: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Collected>>;

    /// The name of the place that holds the signatures of `subject`: what `triangulate` prints.
    fn signature_reference(&self, subject: &Digest, suffix: &str) -> String;

    /// The image, pinned.
    fn pinned(&self, digest: &Digest) -> String;

    /// A manifest beside the signatures, pinned: a bundle's, where signatures may have a repository of their own.
    fn pinned_signature(&self, digest: &Digest) -> String {
        self.pinned(digest)
    }
}
