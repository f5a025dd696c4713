//! Signatures in an OCI image layout on disk: the embedded default, needs no server.
//!
//! A signature image is an entry of `index.json` named `sha256-<hex>.sig` and of cosign's `kind` for signatures, so that
//! real `cosign verify --local-image` and everything that copies by name read it (docs/formats.md).
//!
//! The folder is hostile (`folder.rs`): paths come only from parsed digests, sizes are checked before reading and digests
//! after. Writers hold a lock on the folder and replace files whole (write beside, sync, rename), so a reader needs no
//! lock and a kill leaves a valid layout.
//!
//! Plain file calls: the futures here never wait for anything but the lock.

mod clean;
mod copy;
mod folder;

pub use copy::LayoutTarget;

use std::fs::{File, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, Mode, OFlags};

use self::folder::{FileError, Folder};
use super::{
    Added, Adding, BoxFuture, CleanKind, Collected, Image, Journalled, Listed, NewItem, Protection, Referring, Store,
    StoredManifest, Swept, Young,
};
use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::digest::Digest;
use crate::encoding::rfc3339;
use crate::encoding::strict_json::{self, Limits};
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Index, IndexEntry, LAYOUT_LIMITS, LayoutRef, Manifest, media_type};
use crate::registry::Pieces;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";
const KIND: &str = "kind";
const KIND_IMAGE: &str = "dev.cosignproject.cosign/image";
const KIND_INDEX: &str = "dev.cosignproject.cosign/imageIndex";
const KIND_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const KIND_ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

/// `index.json` and manifests.
const MAX_DOCUMENT: u64 = 4 << 20;
/// Where blobs are written: signatures are named by SHA-256.
const BLOBS: [&str; 2] = ["blobs", "sha256"];
/// Blobs that are looked at in search of a bundle's manifest.
const MAX_SCANNED_BLOBS: usize = 10_000;
/// Bytes of documents that are read in that search.
const MAX_SCANNED_BYTES: u64 = 64 << 20;

/// What to do about content that is not what its descriptor says.
const DAMAGED: &str = "copy the image and its signatures into the layout again";

/// An image in a layout.
#[derive(Debug, Clone)]
pub struct Layout {
    image: LayoutRef,
    new_name: Option<String>,
}

impl Layout {
    /// The image that `image` names; `new_name` is given to its entry when it is signed.
    pub fn new(image: LayoutRef, new_name: Option<String>) -> Layout {
        Layout { image, new_name }
    }

    fn error(&self, code: Code, what: impl std::fmt::Display) -> Error {
        Error::new(code, format!("{}: {what}", self.image)).with("path", self.image.path().display().to_string())
    }

    fn open(&self) -> Result<Folder> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let path = self.image.path();
        // The folder itself may be reached through a link: it is the caller's own word.
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => self.error(
                Code::ImageNotFound,
                format_args!(
                    "no OCI image layout at {}: expected a folder with the files oci-layout and index.json",
                    path.display()
                ),
            ),
            e => self.error(Code::Io, format_args!("cannot open {}: {e}", path.display())),
        })?;
        let folder = Folder { fd };
        let marker = folder.read(&["oci-layout"], 4096).map_err(|e| self.file_error("oci-layout", e))?;
        let marker = marker.ok_or_else(|| {
            self.error(
                Code::ImageNotFound,
                format_args!("{} is no OCI image layout: it has no file oci-layout", path.display()),
            )
        })?;
        let limits = Limits { max_bytes: 4096, max_depth: 8, max_members: 100 };
        let version = strict_json::parse(&marker, limits).ok();
        let version = version.as_ref().and_then(|v| v.get("imageLayoutVersion")).and_then(serde_json::Value::as_str);
        match version {
            Some("1.0.0") => Ok(folder),
            _ => Err(self.error(Code::Protocol, "oci-layout does not say imageLayoutVersion 1.0.0")),
        }
    }

    fn file_error(&self, name: &str, error: FileError) -> Error {
        match error {
            FileError::Io(e) => self
                .error(Code::Io, format_args!("cannot read {name}: {e}: the layout must be readable for this user"))
                .with("errno", e.raw_os_error()),
            FileError::NotRegular => {
                self.error(Code::Content, format_args!("{name} is a symbolic link or no regular file, and is not read"))
            }
            FileError::TooLarge(size, cap) => {
                self.error(Code::TooLarge, format_args!("{name} has {size} bytes, the limit is {cap}"))
            }
        }
    }

    fn index(&self, folder: &Folder) -> Result<Index> {
        let bytes = folder.read(&["index.json"], MAX_DOCUMENT).map_err(|e| self.file_error("index.json", e))?;
        let bytes = bytes.ok_or_else(|| self.error(Code::ImageNotFound, "the layout has no index.json"))?;
        // `index.json` need not say its media type (image-spec): declare it only then.
        match Document::parse_within(&bytes, Some(media_type::OCI_INDEX), LAYOUT_LIMITS) {
            Ok(Document::Index(index)) => Ok(index),
            Ok(Document::Manifest(_)) => Err(self.error(Code::Protocol, "index.json is a manifest, not an index")),
            Err(e) => Err(e.context(format_args!("{}: index.json", self.image))),
        }
    }

    /// The entry of the image, or `None` when the reference names a digest that no entry has.
    fn find<'a>(&self, index: &'a Index) -> Result<Option<&'a IndexEntry>> {
        if let Some(digest) = self.image.digest() {
            let named = |entry: &&IndexEntry| self.image.tag().is_some_and(|tag| has_name(entry, tag));
            let mut same = index.manifests.iter().filter(|entry| entry.descriptor.digest == *digest);
            return Ok(same.clone().find(named).or_else(|| same.next()));
        }
        let images = index.manifests.iter().filter(|entry| !is_attachment(entry));
        let candidates: Vec<&IndexEntry> = match self.image.tag() {
            Some(tag) => images.filter(|entry| has_name(entry, tag)).collect(),
            None => images.collect(),
        };
        let first = match candidates.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.descriptor.digest == first.descriptor.digest) => first,
            Some(_) => {
                return Err(self.error(
                    Code::Protocol,
                    format_args!(
                        "the layout holds several images for this reference, name one of them: {}",
                        names(index)
                    ),
                ));
            }
            None => {
                return Err(self.error(
                    Code::ImageNotFound,
                    format_args!("no such image in the layout; name one that it holds: {}", names(index)),
                ));
            }
        };
        Ok(Some(first))
    }

    /// The place in `index.json` of the signatures of `subject`.
    fn find_signatures(&self, index: &Index, subject: &Digest, suffix: &str) -> Result<Option<usize>> {
        let name = legacy::tag(subject, suffix);
        let named = |entry: &&IndexEntry| entry.annotation(REF_NAME) == Some(name.as_str());
        let at = |wanted: &dyn Fn(&&IndexEntry) -> bool| {
            let mut found = index.manifests.iter().enumerate().filter(|(_, entry)| wanted(entry));
            let first = found.next();
            let differs =
                found.any(|(_, other)| first.is_some_and(|(_, f)| f.descriptor.digest != other.descriptor.digest));
            (first.map(|(n, _)| n), differs)
        };
        let (first, ambiguous) = at(&named);
        if ambiguous {
            return Err(
                self.error(Code::Protocol, format_args!("index.json has several different entries named {name}"))
            );
        }
        if first.is_some() || suffix != legacy::SUFFIX {
            return Ok(first);
        }
        // `cosign save` writes the kind alone, into layouts of one image.
        let is_image = |entry: &&IndexEntry| matches!(entry.annotation(KIND), Some(KIND_IMAGE | KIND_INDEX));
        let images: Vec<_> = index.manifests.iter().filter(is_image).collect();
        if !images.iter().all(|image| image.descriptor.digest == *subject) || images.is_empty() {
            return Ok(None);
        }
        let unnamed = |entry: &&IndexEntry| {
            entry.annotation(KIND) == Some(KIND_SIGNATURES) && entry.annotation(REF_NAME).is_none()
        };
        match at(&unnamed) {
            (_, true) => Err(self.error(Code::Protocol, "index.json has several signature entries without a name")),
            (first, false) => Ok(first),
        }
    }

    fn read_blob(&self, folder: &Folder, descriptor: &Descriptor, cap: u64) -> Result<Option<Vec<u8>>> {
        let digest = &descriptor.digest;
        if descriptor.size > cap {
            return Err(self.error(
                Code::TooLarge,
                format_args!("blob {digest} is declared with {} bytes, the limit is {cap}: {DAMAGED}", descriptor.size),
            ));
        }
        let path = ["blobs", digest.algorithm_name(), digest.hex()];
        let name = format!("blob {digest}");
        let bytes = match folder.read(&path, descriptor.size) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(FileError::TooLarge(size, declared)) => {
                return Err(self.error(
                    Code::Content,
                    format_args!("{name} has {size} bytes, its descriptor says {declared}: {DAMAGED}"),
                ));
            }
            Err(e) => return Err(self.file_error(&name, e)),
        };
        if bytes.len() as u64 != descriptor.size {
            return Err(self.error(
                Code::Content,
                format_args!("{name} has {} bytes, its descriptor says {}: {DAMAGED}", bytes.len(), descriptor.size),
            ));
        }
        if !digest.matches(&bytes) {
            return Err(self
                .error(Code::Content, format_args!("{name} was changed, its content has another digest: {DAMAGED}")));
        }
        Ok(Some(bytes))
    }

    fn read_image(&self) -> Result<Image> {
        let folder = self.open()?;
        let index = self.index(&folder)?;
        let Some(entry) = self.find(&index)? else {
            // A child of an index, by digest: it has no entry of its own.
            let digest = self.image.digest().cloned();
            let digest = digest.ok_or_else(|| self.error(Code::Internal, "a reference without digest has no entry"))?;
            let bytes = self.read_document(&folder, &digest)?;
            let bytes = bytes
                .ok_or_else(|| self.error(Code::ImageNotFound, format_args!("the layout has no blob {digest}")))?;
            let document = Document::parse(&bytes, None).map_err(|e| e.context(&self.image))?;
            let descriptor = Some(Descriptor::new(document.media_type(), digest.clone(), bytes.len() as u64));
            let children = Some(document.children());
            return Ok(Image { digest, descriptor, identity: String::new(), needs_name: false, children });
        };
        let descriptor = &entry.descriptor;
        let bytes = self.read_blob(&folder, descriptor, MAX_DOCUMENT)?;
        let bytes = bytes.ok_or_else(|| {
            self.error(
                Code::ImageNotFound,
                format_args!("index.json names {}, but its blob is missing: {DAMAGED}", descriptor.digest),
            )
        })?;
        let document = Document::parse(&bytes, Some(&descriptor.media_type)).map_err(|e| e.context(&self.image))?;
        let whole = Descriptor::new(document.media_type(), descriptor.digest.clone(), descriptor.size);
        let full_name = entry.annotation(REF_NAME).filter(|name| name.contains('/'));
        let identity = match entry.annotation(CONTAINERD_NAME).or(full_name) {
            // cosign signs the repository, without tag or digest.
            Some(name) => crate::oci::RegistryRef::parse(name).map_or_else(|_| name.to_owned(), |parsed| parsed.name()),
            None => String::new(),
        };
        Ok(Image {
            digest: descriptor.digest.clone(),
            descriptor: Some(whole),
            identity,
            needs_name: entry.annotation(REF_NAME).is_none() && self.new_name.is_none(),
            children: Some(document.children()),
        })
    }

    /// What the reference names, be it an image or a signature image.
    fn read_itself(&self) -> Result<Option<StoredManifest>> {
        let folder = self.open()?;
        let index = self.index(&folder)?;
        let named = |entry: &&IndexEntry| match (self.image.digest(), self.image.tag()) {
            (Some(digest), _) => entry.descriptor.digest == *digest,
            (None, Some(tag)) => has_name(entry, tag),
            (None, None) => is_signature_image(entry),
        };
        let mut found = index.manifests.iter().filter(named);
        let Some(first) = found.next() else { return Ok(None) };
        if found.any(|other| other.descriptor.digest != first.descriptor.digest) {
            return Err(self.error(Code::Protocol, "several different entries of index.json have this name"));
        }
        let descriptor = &first.descriptor;
        let bytes = self.read_blob(&folder, descriptor, MAX_DOCUMENT)?;
        let bytes = bytes.ok_or_else(|| {
            let what = format_args!("index.json names {}, but its blob is missing: {DAMAGED}", descriptor.digest);
            self.error(Code::Content, what)
        })?;
        let (media_type, digest) = (descriptor.media_type.clone(), descriptor.digest.clone());
        Ok(Some(StoredManifest { bytes, media_type, digest }))
    }

    /// A manifest or index that only its digest names.
    fn read_document(&self, folder: &Folder, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = ["blobs", digest.algorithm_name(), digest.hex()];
        let bytes = folder.read(&path, MAX_DOCUMENT).map_err(|e| self.file_error(&format!("blob {digest}"), e))?;
        if bytes.as_ref().is_some_and(|bytes| !digest.matches(bytes)) {
            return Err(self.error(
                Code::Content,
                format_args!("blob {digest} was changed, its content has another digest: {DAMAGED}"),
            ));
        }
        Ok(bytes)
    }

    fn read_signature_image(
        &self,
        folder: &Folder,
        index: &Index,
        subject: &Digest,
        suffix: &str,
    ) -> Result<Option<StoredManifest>> {
        let Some(at) = self.find_signatures(index, subject, suffix)? else { return Ok(None) };
        let Some(entry) = index.manifests.get(at) else { return Ok(None) };
        let bytes = self.read_blob(folder, &entry.descriptor, MAX_DOCUMENT)?.ok_or_else(|| {
            self.error(
                Code::Content,
                format_args!(
                    "index.json names the signatures {}, but their blob is missing: {DAMAGED}",
                    entry.descriptor.digest
                ),
            )
        })?;
        Ok(Some(StoredManifest {
            bytes,
            media_type: entry.descriptor.media_type.clone(),
            digest: entry.descriptor.digest.clone(),
        }))
    }

    /// All of them in one change of `index.json`, or none.
    async fn write(&self, adding: &[Adding<'_>], call: &Call) -> Result<Vec<Added>> {
        let folder = self.open()?;
        let _lock = self.lock(&folder, call).await?;
        let mut index = self.index(&folder)?;
        let (mut blobs, mut all) = (Vec::new(), Vec::new());
        let mut changed = self.name_image(&mut index)?;
        for adding in adding {
            let added = self.write_item(&folder, &mut index, adding, &mut blobs)?;
            changed |= added.added;
            all.push(added);
        }
        if changed || !blobs.iter().all(|bytes| holds(&folder, bytes)) {
            self.put(&folder, &blobs, index.to_json().as_bytes())?;
        }
        Ok(all)
    }

    /// Enters one signature into `index`; what it refers to goes into `blobs`.
    fn write_item(
        &self,
        folder: &Folder,
        index: &mut Index,
        adding: &Adding<'_>,
        blobs: &mut Vec<Vec<u8>>,
    ) -> Result<Added> {
        let (image, subject) = (adding.image, &adding.image.digest);
        let (added, place) = match &adding.item {
            NewItem::Layer { signature, key, suffix, docker } => {
                let place = self.signature_reference(subject, suffix);
                let stored = self.read_signature_image(folder, index, subject, suffix)?;
                let existing =
                    stored.map(|stored| Manifest::parse(&stored.bytes, Some(&stored.media_type))).transpose();
                let existing = existing.map_err(|e| e.context("the signature image that is there"))?;
                let layers = existing.as_ref().map_or(&[][..], |existing| &existing.layers);
                legacy::check_layer_count(layers.len())?;
                blobs.push(signature.payload.clone());
                if legacy::is_duplicate(layers, signature, *key) {
                    (false, place)
                } else {
                    let made = legacy::append(existing.as_ref(), signature, *docker)?;
                    let mut descriptor = Descriptor::of(&made.media_type, &made.manifest);
                    descriptor.annotations.insert(KIND.to_owned(), KIND_SIGNATURES.to_owned());
                    descriptor.annotations.insert(REF_NAME.to_owned(), legacy::tag(subject, suffix));
                    match self.find_signatures(index, subject, suffix)? {
                        Some(at) => index.replace_entry(at, descriptor),
                        None => index.manifests.push(IndexEntry::new(descriptor)),
                    }
                    blobs.extend([made.config, made.manifest]);
                    (true, place)
                }
            }
            NewItem::Bundle { json, predicate_type } => {
                let of = image.descriptor.as_ref().ok_or_else(|| self.error(Code::Internal, "an unread image"))?;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let made = referrer::image(json, predicate_type, of, &rfc3339::utc(now));
                let place = self.pinned(&made.entry.digest);
                index.manifests.push(IndexEntry::new(made.entry));
                blobs.extend([json.to_vec(), referrer::CONFIG.to_vec(), made.manifest]);
                (true, place)
            }
        };
        Ok(Added { place, added, protection: Protection::Stored })
    }

    /// Blobs first, `index.json` last, so that it never names what is not there; each on the disk before the next step.
    /// When a step fails, what this call had added goes again.
    fn put(&self, folder: &Folder, blobs: &[Vec<u8>], index: &[u8]) -> Result<()> {
        // Nothing is written that could not be read again.
        for (name, bytes) in
            blobs.iter().map(|bytes| ("a signature's blob", bytes.as_slice())).chain([("index.json", index)])
        {
            if bytes.len() as u64 > MAX_DOCUMENT {
                let size = bytes.len();
                return Err(self.error(
                    Code::TooLarge,
                    format_args!(
                        "{name} would have {size} bytes, the limit is {MAX_DOCUMENT}: remove signatures that nobody needs"
                    ),
                ));
            }
        }
        let mut added = Vec::new();
        let placed = blobs
            .iter()
            .try_for_each(|bytes| self.write_blob(folder, bytes, &mut added))
            .and_then(|()| match blobs {
                [] => Ok(()),
                // Also for a blob that a killed writer had put there and not synced.
                _ => folder.sync(&BLOBS).map_err(|e| self.cannot_write("blobs/sha256", &e.into())),
            })
            .and_then(|()| folder.replace(&[], "index.json", index).map_err(|e| self.cannot_write("index.json", &e)));
        if let Err(error) = placed {
            for digest in &added {
                folder.remove(&BLOBS, digest.hex());
            }
            return Err(error);
        }
        folder.sync(&[]).map_err(|e| self.cannot_write("index.json", &e.into()))
    }

    /// Gives the image's entry the kind by which cosign finds it, and the name the caller asked for.
    fn name_image(&self, index: &mut Index) -> Result<bool> {
        let entry = match self.find(index)? {
            Some(entry) => entry.clone(),
            None => return Ok(false),
        };
        if let Some(name) = &self.new_name {
            let other = |other: &IndexEntry| other.descriptor.digest != entry.descriptor.digest;
            if index.manifests.iter().any(|taken| taken.annotation(REF_NAME) == Some(name) && other(taken)) {
                return Err(self.error(Code::Argument, format_args!("another image of the layout is named {name:?}")));
            }
        }
        let Some(entry) = index.manifests.iter_mut().find(|other| **other == entry) else { return Ok(false) };
        let mut changed = false;
        if entry.annotation(KIND).is_none() {
            let is_index = matches!(
                entry.descriptor.media_type.as_str(),
                media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST
            );
            entry.set_annotation(KIND, if is_index { KIND_INDEX } else { KIND_IMAGE });
            changed = true;
        }
        if let Some(name) = &self.new_name
            && entry.annotation(REF_NAME) != Some(name)
        {
            entry.set_annotation(REF_NAME, name);
            changed = true;
        }
        Ok(changed)
    }

    async fn lock(&self, folder: &Folder, call: &Call) -> Result<File> {
        let fd = folder.fd.try_clone().map_err(|e| self.error(Code::Io, e))?;
        // A clone shares its lock with the original; another open of the same folder does not.
        let fd = rustix::fs::openat(&fd, ".", OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| self.error(Code::Io, e))?;
        let file = File::from(fd);
        loop {
            call.check().map_err(|e| e.context(format_args!("{}: waiting for another writer", self.image)))?;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
                Err(TryLockError::Error(e)) => {
                    return Err(self.error(Code::Io, format_args!("cannot lock the layout: {e}")));
                }
            }
        }
    }

    /// Puts a blob there unless it is there already; `added` gets its digest.
    fn write_blob(&self, folder: &Folder, bytes: &[u8], added: &mut Vec<Digest>) -> Result<()> {
        if holds(folder, bytes) {
            return Ok(());
        }
        let digest = Digest::sha256(bytes);
        folder
            .replace(&BLOBS, digest.hex(), bytes)
            .map_err(|e| self.cannot_write(&format!("blobs/sha256/{}", digest.hex()), &e))?;
        added.push(digest);
        Ok(())
    }

    /// What could not be written, why, and what to do.
    fn cannot_write(&self, name: &str, e: &std::io::Error) -> Error {
        use rustix::io::Errno;
        let advice = match Errno::from_io_error(e) {
            Some(Errno::NOSPC | Errno::DQUOT) => "free some space and sign again",
            Some(Errno::FBIG) => "raise the limit on the size of files (ulimit -f) and sign again",
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                "signing needs a layout that this user may write; sign as its owner, or sign a copy"
            }
            _ => "make sure that the layout can be written and sign again",
        };
        let file = self.image.path().join(name);
        self.error(Code::Io, format_args!("cannot write {}: {e}: {advice}", file.display()))
            .with("errno", e.raw_os_error())
    }

    /// The manifests whose subject is `subject` and whose content is a sigstore bundle: entries of `index.json`, and blobs
    /// without an entry, as `cosign save` leaves them.
    fn list(&self, subject: &Digest) -> Result<Referring> {
        let may_be = |entry: &IndexEntry| referrer::may_be_bundle(&entry.descriptor) && !is_signature_image(entry);
        let is_bundle = |layer: &Descriptor| layer.media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX);
        let entries = self.scan(subject, may_be, |manifest| manifest.layers.iter().any(is_bundle))?;
        Ok(Referring { entries, ..Referring::default() })
    }

    /// The manifests whose subject is `subject`: among the entries of `index.json` that `may_be` takes, and the blobs.
    fn scan(
        &self,
        subject: &Digest,
        may_be: impl Fn(&IndexEntry) -> bool,
        is_wanted: impl Fn(&Manifest) -> bool,
    ) -> Result<Vec<Descriptor>> {
        let folder = self.open()?;
        let index = self.index(&folder)?;
        let mut entries: Vec<Descriptor> = Vec::new();
        let mut left = MAX_SCANNED_BYTES;
        let mut names: Vec<String> = Vec::new();
        for entry in &index.manifests {
            if may_be(entry) {
                names.push(entry.descriptor.digest.hex().to_owned());
            }
        }
        let blobs =
            folder.open_folder(&BLOBS).map_err(|e| self.error(Code::Io, format_args!("cannot list the blobs: {e}")))?;
        let list = rustix::fs::Dir::read_from(&blobs).map_err(|e| self.error(Code::Io, e))?;
        for (count, file) in list.enumerate() {
            if count > MAX_SCANNED_BLOBS {
                return Err(self.error(Code::TooLarge, "the layout holds too many blobs to look for bundles"));
            }
            let file = file.map_err(|e| self.error(Code::Io, e))?;
            if let Ok(name) = file.file_name().to_str()
                && name.len() == 64
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        for name in names {
            let Ok(digest) = Digest::parse(&format!("sha256:{name}")) else { continue };
            let named = index.manifests.iter().any(|entry| entry.descriptor.digest == digest && is_bundle_entry(entry));
            let bytes = self.read_if_manifest(&folder, &digest, &mut left)?.filter(|bytes| digest.matches(bytes));
            let Some(bytes) = bytes else {
                if named {
                    let what =
                        format_args!("index.json names the bundle {digest}, which is missing or changed: {DAMAGED}");
                    return Err(self.error(Code::Content, what));
                }
                continue;
            };
            let Ok(manifest) = Manifest::parse(&bytes, None) else { continue };
            if manifest.subject.as_ref().is_some_and(|s| s.digest == *subject) && is_wanted(&manifest) {
                let mut entry = Descriptor::new(&manifest.media_type, digest, bytes.len() as u64);
                entry.annotations = manifest.annotations;
                entry.artifact_type = manifest.artifact_type;
                entries.push(entry);
                if entries.len() > referrer::MAX_REFERRERS {
                    return Err(self.error(Code::TooLarge, "too many bundles refer to the image"));
                }
            }
        }
        Ok(entries)
    }

    /// The blob `digest` if it may be a manifest. `left` is what may still be read in search of bundles.
    fn read_if_manifest(&self, folder: &Folder, digest: &Digest, left: &mut u64) -> Result<Option<Vec<u8>>> {
        let path = [BLOBS[0], BLOBS[1], digest.hex()];
        let bytes = match folder.read_if(&path, MAX_DOCUMENT, b"{") {
            Ok(bytes) => bytes,
            // Layers are larger than any manifest, and other things are no blobs.
            Err(FileError::TooLarge(..) | FileError::NotRegular) => None,
            Err(e) => return Err(self.file_error(&format!("blob {digest}"), e)),
        };
        let size = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        *left = left
            .checked_sub(size)
            .ok_or_else(|| self.error(Code::TooLarge, "the layout holds too many documents to look for bundles"))?;
        Ok(bytes)
    }
}

impl Store for Layout {
    fn image<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Image>> {
        Box::pin(async { self.read_image() })
    }

    fn itself<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async { self.read_itself() })
    }

    fn document<'a>(&'a self, digest: &'a Digest, _call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move {
            let bytes = self.read_document(&self.open()?, digest)?;
            Ok(bytes.map(|bytes| StoredManifest { bytes, media_type: String::new(), digest: digest.clone() }))
        })
    }

    fn signature_image<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move {
            let folder = self.open()?;
            let index = self.index(&folder)?;
            self.read_signature_image(&folder, &index, subject, suffix)
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        cap: u64,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            self.read_blob(&self.open()?, descriptor, cap).map_err(|error| match error.code() {
                // A file that is there and is something else.
                Code::Content => error.with("evidence", "content"),
                _ => error,
            })
        })
    }

    fn referring<'a>(&'a self, subject: &'a Digest, _call: &'a Call) -> BoxFuture<'a, Result<Referring>> {
        Box::pin(async move { self.list(subject) })
    }

    fn listed<'a>(&'a self, subject: &'a Digest, _call: &'a Call) -> BoxFuture<'a, Listed> {
        let prefix = referrer::fallback_tag(subject);
        let names = || {
            let index = self.index(&self.open()?)?;
            let names = index.manifests.iter().filter_map(|entry| entry.annotation(REF_NAME));
            let suffixes: std::collections::BTreeSet<String> =
                names.filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
            Ok(suffixes.into_iter().collect())
        };
        let listed =
            Listed { suffixes: names(), referrers: self.scan(subject, |_| true, |_| true), found_by: "layout" };
        Box::pin(std::future::ready(listed))
    }

    /// A layout has a lock and needs no journal.
    fn journal<'a>(
        &'a self,
        _subject: &'a Digest,
        _suffix: &'a str,
        _tag: Option<&'a StoredManifest>,
        _referring: Option<&'a Referring>,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Journalled>> {
        Box::pin(async { Ok(Journalled::default()) })
    }

    fn manifest<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move {
            let bytes = self.read_blob(&self.open()?, descriptor, MAX_DOCUMENT)?;
            Ok(bytes.map(|bytes| StoredManifest {
                bytes,
                media_type: descriptor.media_type.clone(),
                digest: descriptor.digest.clone(),
            }))
        })
    }

    fn add_all<'a>(
        &'a self,
        adding: &'a [Adding<'a>],
        _journal: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Vec<Result<Added>>> {
        Box::pin(async move {
            match self.write(adding, call).await {
                Ok(added) => added.into_iter().map(Ok).collect(),
                Err(error) => adding.iter().map(|_| Err(error.clone())).collect(),
            }
        })
    }

    fn pieces<'a>(&'a self, descriptor: &'a Descriptor, _call: &'a Call) -> BoxFuture<'a, Result<Option<Pieces>>> {
        Box::pin(async { self.open_pieces(descriptor) })
    }

    fn origin(&self) -> Option<(&str, &str)> {
        None
    }

    /// A layout has a lock and needs no journal.
    fn young_journal<'a>(
        &'a self,
        _subject: &'a Digest,
        _suffixes: &'a [&'a str],
        _referring: &'a Referring,
        _known: &'a std::collections::BTreeSet<crate::store::journal::EntryId>,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Young>> {
        Box::pin(async { Ok(Young::default()) })
    }

    fn clean<'a>(&'a self, subject: &'a Digest, kind: CleanKind, call: &'a Call) -> BoxFuture<'a, Result<Swept>> {
        Box::pin(self.clean_layout(subject, kind, call))
    }

    /// A layout has no journal, so there is nothing to collect.
    fn collect<'a>(
        &'a self,
        _subject: Option<&'a Digest>,
        _repair: bool,
        _call: &'a Call,
    ) -> BoxFuture<'a, Result<Collected>> {
        Box::pin(async { Ok(Collected { images: 1, ..Collected::default() }) })
    }

    fn signature_reference(&self, subject: &Digest, suffix: &str) -> String {
        format!("oci:{}:{}", self.image.path().display(), legacy::tag(subject, suffix))
    }

    fn pinned(&self, digest: &Digest) -> String {
        format!("oci:{}@{digest}", self.image.path().display())
    }
}

/// Whether this blob is there, whole.
fn holds(folder: &Folder, bytes: &[u8]) -> bool {
    let there = folder.read(&["blobs", "sha256", Digest::sha256(bytes).hex()], bytes.len() as u64);
    there.is_ok_and(|there| there.is_some_and(|there| there == bytes))
}

fn has_name(entry: &IndexEntry, name: &str) -> bool {
    entry.annotation(REF_NAME) == Some(name) || entry.annotation(CONTAINERD_NAME) == Some(name)
}

/// Whether an entry is a signature image of the legacy format, by its kind.
fn is_signature_image(entry: &IndexEntry) -> bool {
    matches!(entry.annotation(KIND), Some(KIND_SIGNATURES | KIND_ATTESTATIONS))
}

/// Whether an entry is a signature, attestation or SBOM rather than an image.
fn is_attachment(entry: &IndexEntry) -> bool {
    let by_name = entry.annotation(REF_NAME).and_then(|name| name.strip_prefix("sha256-")).is_some_and(|rest| {
        rest.len() > 64 && rest.is_char_boundary(64) && {
            let (hex, suffix) = rest.split_at(64);
            hex.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(suffix, ".sig" | ".att" | ".sbom" | ".cosign")
        }
    });
    is_signature_image(entry) || by_name || is_bundle_entry(entry)
}

/// Whether an entry says that it is a bundle.
fn is_bundle_entry(entry: &IndexEntry) -> bool {
    let artifact_type = entry.descriptor.artifact_type.as_deref();
    artifact_type.is_some_and(|text| text.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX))
}

/// The images of a layout, for messages.
fn names(index: &Index) -> String {
    let images = index.manifests.iter().filter(|entry| !is_attachment(entry)).take(10);
    let names: Vec<String> = images
        .map(|entry| match entry.annotation(REF_NAME) {
            Some(name) => name.chars().take(100).collect(),
            None => entry.descriptor.digest.to_string(),
        })
        .collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
