//! What hangs on an image, whoever made it: the ground of tree and doctor.

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Manifest};
use crate::store::journal::{self, Place};
use crate::store::{Image, Store, StoredManifest};

/// Requests that are under way together.
const AT_ONCE: usize = 16;
/// Manifests of one image that are read.
const MAX_READ: usize = 2000;
/// The suffixes that are looked for although no list may show them: cosign's, and that of 2021.
const SUFFIXES: [&str; 4] = [legacy::SUFFIX, legacy::SUFFIX_2021, ".att", ".sbom"];

/// What kind of thing hangs on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A signature image of the legacy format (`.sig`).
    Signatures,
    /// A signature image of 2021 (`.cosign`).
    Signatures2021,
    /// Attestations of the legacy format (`.att`).
    Attestations,
    /// An SBOM of the legacy format (`.sbom`).
    Sbom,
    /// A manifest that refers to the image: a bundle, or anything else.
    Referrer,
    /// An entry of this library's journal.
    Journal,
    /// A tag named after the image by another tool.
    Other,
}

impl Kind {
    /// The word in JSON: `signatures`, `signatures-2021`, `attestations`, `sbom`, `referrer`, `journal` or `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Signatures => "signatures",
            Kind::Signatures2021 => "signatures-2021",
            Kind::Attestations => "attestations",
            Kind::Sbom => "sbom",
            Kind::Referrer => "referrer",
            Kind::Journal => "journal",
            Kind::Other => "other",
        }
    }
}

/// One manifest or index that hangs on an image.
pub(super) struct Hung {
    pub kind: Kind,
    pub place: String,
    /// `tag`, `referrers`, `fallback index` or `layout`.
    pub found_by: &'static str,
    pub digest: Digest,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Why the document says nothing more, when it does not.
    pub manifest: Result<Manifest>,
    /// The annotations of the manifest, or of its entry.
    pub predicate_type: Option<String>,
}

/// Everything that was found, and what could not be read.
pub(super) struct Hanging {
    pub hung: Vec<Hung>,
    pub unread: Vec<(String, Error)>,
    pub notes: Vec<String>,
}

/// Where one thing is to be read.
enum Source {
    Tag(String),
    Referrer(Descriptor),
}

/// Reads everything that hangs on `image`. What cannot be read is told; only the caller's own limits end it.
pub(super) async fn gather(store: &dyn Store, image: &Image, call: &Call) -> Result<Hanging> {
    let subject = &image.digest;
    let standard = SUFFIXES.into_iter().map(|suffix| read_tag(store, subject, suffix, call));
    let (standard, listed) = futures_util::future::join(join_all(standard), store.listed(subject, call)).await;
    let mut found = Hanging { hung: Vec::new(), unread: Vec::new(), notes: Vec::new() };
    for (suffix, read) in SUFFIXES.iter().zip(standard) {
        found.take(read, &store.signature_reference(subject, suffix), call)?;
    }

    let mut sources = Vec::new();
    match listed.suffixes {
        Ok(suffixes) => {
            let others =
                suffixes.into_iter().filter(|suffix| !suffix.is_empty() && !SUFFIXES.contains(&suffix.as_str()));
            sources.extend(others.map(Source::Tag));
        }
        Err(error) if refuses_lists(&error) => {
            let what = "the tags are not listed, so a journal and tags of other tools cannot be seen";
            found.notes.push(format!("{what}: {error}"));
        }
        Err(error) => found.fail("the list of tags", error, call)?,
    }
    match listed.referrers {
        Ok(referrers) => sources.extend(referrers.into_iter().map(Source::Referrer)),
        Err(error) => found.fail("the list of referrers", error, call)?,
    }
    if sources.len() > MAX_READ {
        let what = format!("{} manifests hang on the image, the limit is {MAX_READ}", sources.len());
        found.fail("the rest", Error::new(Code::TooLarge, what).with("limit", MAX_READ), call)?;
        sources.truncate(MAX_READ);
    }
    let found_by = listed.found_by;
    let reads = sources.into_iter().map(|source| async move {
        match source {
            Source::Tag(suffix) => {
                let read = read_tag(store, subject, &suffix, call).await;
                (store.signature_reference(subject, &suffix), read)
            }
            Source::Referrer(entry) => {
                let read = read_referrer(store, subject, &entry, found_by, call).await;
                (store.pinned(&entry.digest), read)
            }
        }
    });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some((place, read)) = reads.next().await {
        found.take(read, &place, call)?;
    }
    found.hung.sort_by_key(|hung| hung.kind);
    Ok(found)
}

impl Hanging {
    fn take(&mut self, read: Result<Option<Hung>>, place: &str, call: &Call) -> Result<()> {
        match read {
            Ok(hung) => {
                self.hung.extend(hung);
                Ok(())
            }
            Err(error) => self.fail(place, error, call),
        }
    }

    fn fail(&mut self, place: &str, error: Error, call: &Call) -> Result<()> {
        call.check()?;
        if error.code() == Code::Internal {
            return Err(error);
        }
        self.unread.push((place.to_owned(), error));
        Ok(())
    }
}

async fn read_tag(store: &dyn Store, subject: &Digest, suffix: &str, call: &Call) -> Result<Option<Hung>> {
    let Some(stored) = store.signature_image(subject, suffix, call).await? else { return Ok(None) };
    let kind = match suffix {
        legacy::SUFFIX => Kind::Signatures,
        legacy::SUFFIX_2021 => Kind::Signatures2021,
        ".att" => Kind::Attestations,
        ".sbom" => Kind::Sbom,
        other if is_journal(subject, other) => Kind::Journal,
        _ => Kind::Other,
    };
    Ok(Some(hung(kind, store.signature_reference(subject, suffix), "tag", stored, None)))
}

async fn read_referrer(
    store: &dyn Store,
    subject: &Digest,
    entry: &Descriptor,
    found_by: &'static str,
    call: &Call,
) -> Result<Option<Hung>> {
    // Listed and gone.
    let Some(stored) = store.manifest(entry, call).await? else { return Ok(None) };
    let mut hung = hung(Kind::Referrer, store.pinned(&entry.digest), found_by, stored, Some(entry));
    if hung.artifact_type.as_deref() == Some(journal::JOURNAL_TYPE) {
        hung.kind = Kind::Journal;
    }
    // A list is anybody's word where it is an index behind a tag.
    let is_of_another = |manifest: &Manifest| manifest.subject.as_ref().is_none_or(|named| named.digest != *subject);
    if hung.manifest.as_ref().is_ok_and(is_of_another) {
        hung.manifest = Err(Error::new(Code::Protocol, "it is listed, but does not refer to this image"));
    }
    Ok(Some(hung))
}

fn hung(kind: Kind, place: String, found_by: &'static str, stored: StoredManifest, entry: Option<&Descriptor>) -> Hung {
    let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
    let document = Document::parse(&stored.bytes, declared);
    let media_type = document.as_ref().map_or(stored.media_type.as_str(), Document::media_type).to_owned();
    let manifest = document.and_then(|document| match document {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(Error::new(Code::Protocol, "it is an index")),
    });
    let known = manifest.as_ref().ok();
    // Old writers say the type in the configuration only; entries of lists are often wrong, so they come last.
    let empty = |config: &&str| *config != crate::oci::media_type::EMPTY;
    let artifact_type = known
        .and_then(|manifest| manifest.artifact_type.clone())
        .or_else(|| known.map(|manifest| manifest.config.media_type.as_str()).filter(empty).map(str::to_owned))
        .or_else(|| entry.and_then(|entry| entry.artifact_type.clone()))
        .filter(|_| entry.is_some());
    let predicate_type = known.and_then(|manifest| manifest.annotations.get(referrer::PREDICATE_TYPE).cloned());
    Hung { kind, place, found_by, digest: stored.digest, media_type, artifact_type, manifest, predicate_type }
}

/// Whether this is a journal entry beside one of the shared tags.
fn is_journal(subject: &Digest, suffix: &str) -> bool {
    let tag = legacy::tag(subject, suffix);
    let places = SUFFIXES.iter().map(|suffix| Place::image(subject, suffix)).chain([Place::index(subject)]);
    places.flatten().any(|place| place.parse(&tag).is_some())
}

/// Whether a registry refuses to list tags at all, which says nothing about signatures.
fn refuses_lists(error: &Error) -> bool {
    matches!(error.detail("status").and_then(serde_json::Value::as_u64), Some(401 | 403 | 404 | 405))
}
