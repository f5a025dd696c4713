//! tree: everything that hangs on an image.

use serde::Serialize;

use super::Client;
use super::hanging::{self, Hung};
use crate::bundle::legacy;
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, ImageRef};
use crate::registry::limits;
use crate::store::{Image, Store};
use crate::verify::UnreadReport;

pub use super::hanging::Kind as AttachmentKind;

/// The shape of [`Tree`] in JSON.
pub const SCHEMA: &str = "libcosign.tree.v1";

/// Everything that hangs on an image, as its places list it. Nothing of it was verified.
#[derive(Debug, Clone, Serialize)]
pub struct Tree {
    /// The version of this shape.
    pub schema: &'static str,
    /// The image, pinned by digest.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// False when something could not be read: then what is missing here is unknown, not absent.
    pub complete: bool,
    /// What was found: the signatures first.
    pub attachments: Vec<Attachment>,
    /// Places that could not be read.
    pub unread: Vec<UnreadReport>,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// One manifest or index that hangs on an image.
#[derive(Debug, Clone, Serialize)]
pub struct Attachment {
    /// See [`AttachmentKind::name`].
    pub kind: &'static str,
    /// Where it is: `registry/repo:sha256-<hex>.sig`, or pinned by its digest.
    pub place: String,
    /// How it was found: `tag`, `referrers`, `fallback index` or `layout`.
    pub found_by: &'static str,
    /// The digest of the manifest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// What a referrer calls itself: its artifact type, or the type of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What a bundle's manifest says that it states. Unsigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// Its layers: one for each signature, attestation or document.
    pub items: Vec<Item>,
    /// Why nothing is known of its layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One layer of an [`Attachment`].
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The digest of the layer.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What stands beside it: of `signature`, `certificate`, `log` and `timestamp`, those that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<&'static str>,
    /// What an attestation's layer says that it states. Unsigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
}

impl Tree {
    /// The tree as one line of JSON.
    pub fn json(&self) -> String {
        // Only strings, numbers and lists: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Client {
    /// Everything that hangs on `image`: signatures, attestations and SBOMs of cosign's formats, the tag of 2021, whatever
    /// refers to it, and the journal. Nothing is verified.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], and the caller's own limits. What could not be read is no error: [`Tree::unread`] names it.
    pub async fn tree(&self, image: &ImageRef, call: &Call) -> Result<Tree> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let store = self.store(image, None)?;
        let found = store.image(call).await?;
        let hanging = hanging::gather(store.as_ref(), &found, call).await?;
        if hanging.hung.is_empty() && hanging.unread.is_empty() {
            exists(store.as_ref(), &found, call).await?;
        }
        Ok(Tree {
            schema: SCHEMA,
            reference: store.pinned(&found.digest),
            digest: found.digest.to_string(),
            complete: hanging.unread.is_empty(),
            attachments: hanging.hung.iter().map(attachment).collect(),
            unread: unread_reports(hanging.unread),
            notes: hanging.notes,
        })
    }
}

/// What could not be read, as data.
pub(super) fn unread_reports(unread: Vec<(String, Error)>) -> Vec<UnreadReport> {
    let report = |(place, error): (String, Error)| UnreadReport {
        place,
        code: error.code().number(),
        message: error.message().to_owned(),
    };
    unread.into_iter().map(report).collect()
}

/// Refuses an image that is not there; a digest is taken as given until something is asked of it.
pub(super) async fn exists(store: &dyn Store, image: &Image, call: &Call) -> Result<()> {
    if image.descriptor.is_some()
        || store.manifest(&Descriptor::new("", image.digest.clone(), 0), call).await?.is_some()
    {
        return Ok(());
    }
    let reference = store.pinned(&image.digest);
    let what = format!("{reference} does not exist: the registry knows no such digest or repository");
    Err(Error::new(Code::ImageNotFound, what).with("reference", reference))
}

fn attachment(hung: &Hung) -> Attachment {
    let (items, problem) = match &hung.manifest {
        Ok(manifest) => (manifest.layers.iter().map(item).collect(), None),
        Err(error) => (Vec::new(), Some(error.message().to_owned())),
    };
    Attachment {
        kind: hung.kind.name(),
        place: hung.place.clone(),
        found_by: hung.found_by,
        digest: hung.digest.to_string(),
        media_type: hung.media_type.clone(),
        artifact_type: hung.artifact_type.clone(),
        predicate_type: hung.predicate_type.clone(),
        items,
        problem,
    }
}

fn item(layer: &Descriptor) -> Item {
    let known = [
        (legacy::SIGNATURE, "signature"),
        (legacy::CERTIFICATE, "certificate"),
        (legacy::LOG_BUNDLE, "log"),
        (legacy::TIMESTAMP, "timestamp"),
    ];
    let has = |name: &str| layer.annotations.get(name).is_some_and(|text| !text.is_empty());
    Item {
        digest: layer.digest.to_string(),
        media_type: layer.media_type.clone(),
        size: layer.size,
        evidence: known.iter().filter(|(name, _)| has(name)).map(|(_, word)| *word).collect(),
        predicate_type: layer.annotations.get("predicateType").cloned(),
    }
}
