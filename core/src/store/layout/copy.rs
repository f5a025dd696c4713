//! Copying into a layout and out of it. Into it: under the lock from the first blob to the last, `index.json` after what it
//! names; a folder that is not there yet becomes a layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, stream};

use super::folder::{FileError, Folder};
use super::{
    BLOBS, DAMAGED, KIND, KIND_ATTESTATIONS, KIND_IMAGE, KIND_INDEX, KIND_SIGNATURES, Layout, MAX_DOCUMENT, REF_NAME,
    has_name, is_attachment,
};
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Index, IndexEntry, LayoutRef};
use crate::registry::{Pieces, checked};
use crate::store::copy::{Target, is_there, referrer_entry};
use crate::store::journal::{Content, EntryId, Kind, Place, item_id};
use crate::store::{BoxFuture, Protection, Store, StoredManifest};

/// Bytes read from a file at once.
const PIECE: usize = 64 << 10;

impl Layout {
    /// The content of a blob, piece by piece.
    pub(super) fn open_pieces(&self, descriptor: &Descriptor) -> Result<Option<Pieces>> {
        let digest = &descriptor.digest;
        let name = format!("blob {digest}");
        let folder = self.open()?;
        let path = ["blobs", digest.algorithm_name(), digest.hex()];
        let file = match folder.open_file(&path) {
            Ok(Some((file, size))) if size == descriptor.size => file,
            Ok(None) => return Ok(None),
            Ok(Some((_, size))) => {
                let what = format_args!("{name} has {size} bytes, its descriptor says {}: {DAMAGED}", descriptor.size);
                return Err(self.error(Code::Content, what));
            }
            Err(e) => return Err(self.file_error(&name, e)),
        };
        let what = format!("{}: {name}", self.image);
        let read = move |(mut file, at): (File, String)| async move {
            let mut piece = vec![0; PIECE];
            match file.read(&mut piece) {
                Ok(0) => None,
                Ok(length) => {
                    piece.truncate(length);
                    Some((Ok(piece), (file, at)))
                }
                Err(e) => Some((Err(Error::new(Code::Io, format!("{at}: cannot read: {e}"))), (file, at))),
            }
        };
        let pieces = stream::unfold((file, what.clone()), read);
        Ok(Some(checked(Box::pin(pieces), digest, descriptor.size, what)))
    }
}

/// A layout that is copied to. It holds the layout's lock.
pub struct LayoutTarget {
    layout: Layout,
    folder: Folder,
    index: Mutex<Index>,
    _lock: File,
}

impl LayoutTarget {
    /// Opens or makes the layout of `image` and waits for its lock.
    pub async fn new(image: LayoutRef, call: &Call) -> Result<LayoutTarget> {
        let layout = Layout::new(image, None);
        layout.make_folder()?;
        let folder = layout.open()?;
        let lock = layout.lock(&folder, call).await?;
        let index = layout.index(&folder)?;
        Ok(LayoutTarget { layout, folder, index: Mutex::new(index), _lock: lock })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes `blobs` and then the index.
    fn write(&self, index: &Index, blobs: &[Vec<u8>]) -> Result<()> {
        self.layout.put(&self.folder, blobs, index.to_json().as_bytes())
    }

    async fn take_blob(&self, blob: &Descriptor, from: &dyn Store, call: &Call) -> Result<bool> {
        let digest = &blob.digest;
        if digest.algorithm_name() != "sha256" {
            let what = format_args!("{digest}: only blobs named by sha256 are copied into a layout");
            return Err(self.layout.error(Code::Unsupported, what));
        }
        let path = ["blobs", "sha256", digest.hex()];
        // Whole by its size: who reads it hashes it.
        match self.folder.open_file(&path) {
            Ok(Some((_, size))) if size == blob.size => return Ok(false),
            Ok(_) | Err(FileError::NotRegular | FileError::TooLarge(..)) => {}
            Err(e) => return Err(self.layout.file_error(&format!("blob {digest}"), e)),
        }
        let Some(mut pieces) = from.pieces(blob, call).await? else {
            return Err(Error::new(Code::Content, format!("the blob {digest} is missing at the source")));
        };
        let failed = |e: std::io::Error| self.layout.cannot_write(&format!("blobs/sha256/{}", digest.hex()), &e);
        let mut writing = self.folder.begin(&BLOBS).map_err(failed)?;
        while let Some(piece) = pieces.next().await {
            call.check()?;
            writing.write(&piece?).map_err(failed)?;
        }
        writing.place(digest.hex()).map_err(failed)?;
        Ok(true)
    }

    fn take_manifest(&self, manifest: &StoredManifest, named: bool) -> Result<()> {
        self.with(|index| {
            if named {
                let declared = Some(manifest.media_type.as_str()).filter(|declared| !declared.is_empty());
                let document = Document::parse(&manifest.bytes, declared)?;
                let kind = if matches!(document, Document::Index(_)) { KIND_INDEX } else { KIND_IMAGE };
                let mut entry = Descriptor::of(document.media_type(), &manifest.bytes);
                entry.annotations.insert(KIND.to_owned(), kind.to_owned());
                let name = self.layout.image.tag();
                if let Some(name) = name {
                    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
                    index.manifests.retain(|other| !has_name(other, name) || other.descriptor.digest == entry.digest);
                }
                let same = |other: &IndexEntry| {
                    other.descriptor.digest == entry.digest && name.is_none_or(|name| has_name(other, name))
                };
                if !index.manifests.iter().any(same) {
                    index.manifests.push(IndexEntry::new(entry));
                }
            }
            self.write(index, std::slice::from_ref(&manifest.bytes))
        })
    }

    fn take_layers(&self, subject: &Digest, suffix: &str, layers: &[Descriptor]) -> Result<Vec<Protection>> {
        self.with(|index| {
            let place = Place::image(subject, suffix)?;
            let stored = self.layout.read_signature_image(&self.folder, index, subject, suffix)?;
            let content = Content::read(&place, stored.as_ref())?;
            let here = content.ids();
            let new = layers.iter().map(|layer| (item_id(Kind::Image, layer), layer.clone()));
            let new: BTreeMap<EntryId, Descriptor> = new.filter(|(id, _)| !here.contains(id)).collect();
            if new.is_empty() {
                return Ok(Vec::new());
            }
            let union = content.union(None, &new, false)?;
            if !union.left_out.is_empty() {
                return Err(self.layout.error(Code::TooLarge, "not all signatures have room in one signature image"));
            }
            let mut entry = Descriptor::of(&union.media_type, &union.bytes);
            let kind = if suffix == ".att" { KIND_ATTESTATIONS } else { KIND_SIGNATURES };
            entry.annotations.insert(KIND.to_owned(), kind.to_owned());
            entry.annotations.insert(REF_NAME.to_owned(), legacy::tag(subject, suffix));
            match self.layout.find_signatures(index, subject, suffix)? {
                Some(at) => index.replace_entry(at, entry),
                None => index.manifests.push(IndexEntry::new(entry)),
            }
            let blobs: Vec<Vec<u8>> = union.config.into_iter().chain([union.bytes]).collect();
            self.write(index, &blobs)?;
            Ok(new.values().map(|_| Protection::Stored).collect())
        })
    }

    fn take_referrer(&self, stored: &StoredManifest) -> Result<Option<Protection>> {
        let entry = referrer_entry(stored)?;
        self.with(|index| {
            if index.manifests.iter().any(|other| other.descriptor.digest == entry.digest) {
                return Ok(None);
            }
            index.manifests.push(IndexEntry::new(entry));
            self.write(index, std::slice::from_ref(&stored.bytes))?;
            Ok(Some(Protection::Stored))
        })
    }

    fn take_whole(&self, subject: &Digest, suffix: &str, manifest: &StoredManifest, force: bool) -> Result<bool> {
        let name = legacy::tag(subject, suffix);
        self.with(|index| {
            let named = |entry: &IndexEntry| entry.annotation(REF_NAME) == Some(name.as_str());
            match index.manifests.iter().find(|entry| named(entry)) {
                Some(there) if there.descriptor.digest == manifest.digest => return Ok(false),
                Some(_) if !force => {
                    return Err(is_there(&format!("oci:{}:{name}", self.layout.image.path().display())));
                }
                _ => {}
            }
            index.manifests.retain(|entry| !named(entry));
            let mut entry = Descriptor::of(&manifest.media_type, &manifest.bytes);
            entry.annotations.insert(REF_NAME.to_owned(), name.clone());
            index.manifests.push(IndexEntry::new(entry));
            self.write(index, std::slice::from_ref(&manifest.bytes))?;
            Ok(true)
        })
    }
}

impl Layout {
    /// Makes the folder a layout if it is not there or empty.
    fn make_folder(&self) -> Result<()> {
        let path = self.image.path();
        let failed = |e: std::io::Error| self.cannot_write("", &e);
        std::fs::create_dir_all(path).map_err(failed)?;
        let empty = std::fs::read_dir(path).map_err(failed)?.next().is_none();
        if !empty {
            return Ok(());
        }
        std::fs::create_dir_all(path.join("blobs/sha256")).map_err(failed)?;
        let index = Index::empty().to_json();
        std::fs::write(path.join("index.json"), index).map_err(failed)?;
        // Last: what has it is a layout.
        std::fs::write(path.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").map_err(failed)
    }
}

impl Target for LayoutTarget {
    fn existing<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Option<Digest>>> {
        Box::pin(async {
            self.with(|index| {
                let Some(name) = self.layout.image.tag() else {
                    // Without names, two images in one layout cannot be told apart.
                    let image = index.manifests.iter().find(|entry| !is_attachment(entry));
                    return Ok(image.map(|entry| entry.descriptor.digest.clone()));
                };
                let found = index.manifests.iter().find(|entry| has_name(entry, name));
                Ok(found.map(|entry| entry.descriptor.digest.clone()))
            })
        })
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, from: &'a dyn Store, call: &'a Call) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.take_blob(blob, from, call))
    }

    fn manifest<'a>(&'a self, manifest: &'a StoredManifest, named: bool, _call: &'a Call) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if manifest.bytes.len() as u64 > MAX_DOCUMENT {
                return Err(self.layout.error(Code::TooLarge, "a manifest is larger than 4 MiB"));
            }
            self.take_manifest(manifest, named)
        })
    }

    fn layers<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        layers: &'a [Descriptor],
        from: &'a dyn Store,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Vec<Protection>>> {
        Box::pin(async move {
            for layer in layers {
                self.take_blob(layer, from, call).await?;
            }
            self.take_layers(&subject.digest, suffix, layers)
        })
    }

    fn referrers<'a>(&'a self, subject: &'a Digest, _call: &'a Call) -> BoxFuture<'a, Result<Vec<Digest>>> {
        Box::pin(async move {
            let there = self.layout.list(subject)?;
            Ok(there.entries.into_iter().map(|entry| entry.digest).collect())
        })
    }

    fn referrer<'a>(
        &'a self,
        _subject: &'a Descriptor,
        manifest: &'a StoredManifest,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Protection>>> {
        Box::pin(async { self.take_referrer(manifest) })
    }

    fn whole<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        manifest: &'a StoredManifest,
        force: bool,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.take_whole(&subject.digest, suffix, manifest, force) })
    }

    fn pinned(&self, digest: &Digest) -> String {
        Store::pinned(&self.layout, digest)
    }
}
