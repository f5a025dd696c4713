//! Cleaning in a layout: entries of `index.json` and the manifests behind them go, under the lock. Payloads and other blobs
//! stay: nothing leads to them any more, and another entry may share them.

use super::folder::Folder;
use super::{
    BLOBS, KIND, KIND_ATTESTATIONS, KIND_IMAGE, KIND_INDEX, KIND_SIGNATURES, Layout, REF_NAME, Swept, is_bundle_entry,
};
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::Result;
use crate::oci::{Index, IndexEntry};
use crate::store::clean::{CleanKind, predicate_of};

impl Layout {
    pub(super) async fn clean_layout(&self, subject: &Digest, kind: CleanKind, call: &Call) -> Result<Swept> {
        let folder = self.open()?;
        let _lock = self.lock(&folder, call).await?;
        let mut index = self.index(&folder)?;
        let mut swept = Swept::default();
        let mut going: Vec<Digest> = Vec::new();
        let alone = is_alone(&index, subject);
        index.manifests.retain(|entry| {
            let goes = kind.suffixes().iter().any(|suffix| is_attached(entry, subject, suffix, alone));
            if goes {
                going.push(entry.descriptor.digest.clone());
                let name = entry.annotation(REF_NAME).map(str::to_owned);
                let place = name.map_or_else(
                    || format!("oci:{}@{}", self.image.path().display(), entry.descriptor.digest),
                    |name| format!("oci:{}:{name}", self.image.path().display()),
                );
                swept.remove(place, false, None);
            }
            !goes
        });
        if kind.has_bundles() {
            for entry in self.list(subject)?.entries {
                let bytes = self.read_blob(&folder, &entry, entry.size)?.unwrap_or_default();
                let place = format!("oci:{}@{}", self.image.path().display(), entry.digest);
                match predicate_of(&bytes, &entry.media_type, subject).map(|of| kind.takes(of.as_deref())) {
                    None | Some(Ok(false)) => {}
                    Some(Ok(true)) => {
                        index.manifests.retain(|other| other.descriptor.digest != entry.digest);
                        going.push(entry.digest);
                        swept.remove(place, true, None);
                    }
                    Some(Err(why)) => swept.keep(place, why),
                }
            }
        }
        if going.is_empty() {
            return Ok(swept);
        }
        // The index first: it never names what is not there.
        swept.ended(self.put(&folder, &[], index.to_json().as_bytes()))?;
        remove_manifests(&folder, &index, &going);
        Ok(swept)
    }
}

/// Takes the manifests away that no entry names any more.
fn remove_manifests(folder: &Folder, index: &Index, going: &[Digest]) {
    let named = |digest: &Digest| index.manifests.iter().any(|entry| entry.descriptor.digest == *digest);
    for digest in going.iter().filter(|digest| digest.algorithm_name() == "sha256" && !named(digest)) {
        folder.remove(&BLOBS, digest.hex());
    }
}

/// Whether every image of the layout is `subject`: then entries that have only a kind belong to it (`cosign save`).
fn is_alone(index: &Index, subject: &Digest) -> bool {
    let is_image = |entry: &&IndexEntry| matches!(entry.annotation(KIND), Some(KIND_IMAGE | KIND_INDEX));
    let mut images = index.manifests.iter().filter(is_image).peekable();
    images.peek().is_some() && images.all(|image| image.descriptor.digest == *subject)
}

/// Whether an entry holds what belongs behind the tag of `suffix`.
fn is_attached(entry: &IndexEntry, subject: &Digest, suffix: &str, alone: bool) -> bool {
    if entry.descriptor.digest == *subject || is_bundle_entry(entry) {
        return false;
    }
    match entry.annotation(REF_NAME) {
        Some(name) => name == legacy::tag(subject, suffix),
        None => {
            let kind = match suffix {
                legacy::SUFFIX => KIND_SIGNATURES,
                ".att" => KIND_ATTESTATIONS,
                _ => return false,
            };
            alone && entry.annotation(KIND) == Some(kind)
        }
    }
}
