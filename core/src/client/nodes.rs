//! What an index leads to: the images that `sign --recursive` signs beside it.
//!
//! The descriptors of the children come from their parents, whose bytes were hashed, so only indexes are read. Strangers
//! write indexes: their depth, the number of what they lead to and the sizes they declare are bounded and checked.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, media_type};
use crate::registry::limits;
use crate::store::{Image, Store};

/// An index within an index within an index: the deepest image is this many steps below the one that was named.
pub(super) const MAX_DEPTH: usize = 4;
/// Images of one index, itself and the indexes below it included.
pub(super) const MAX_NODES: usize = 1000;
/// Indexes read at the same time.
const AT_ONCE: usize = 16;

/// `root` and everything that it leads to, each digest once, level by level.
///
/// # Errors
/// [`Code::TooLarge`] for more than 1,000 images or four levels, [`Code::Content`] for a child that is not as its parent
/// says, [`Code::ImageNotFound`] for an index that is not there, [`Code::Unsupported`] for a child that is neither an image
/// nor an index, as cosign refuses it: before anything is signed.
pub(super) async fn all(store: &dyn Store, mut root: Image, call: &Call) -> Result<Vec<Image>> {
    let mut seen = BTreeSet::from([root.digest.clone()]);
    let mut level = match root.children.take() {
        Some(children) => children,
        None => {
            let (descriptor, children) = read(store, &root.digest, None, call).await?;
            root.descriptor = Some(descriptor);
            children
        }
    };
    let identity = root.identity.clone();
    let mut nodes = vec![root];
    for depth in 1_usize.. {
        level.retain(|child| seen.insert(child.digest.clone()));
        if level.is_empty() {
            break;
        }
        let limit = |what: String, limit: usize| Err(Error::new(Code::TooLarge, what).with("limit", limit as u64));
        if depth > MAX_DEPTH {
            return limit(format!("indexes within the index are more than {MAX_DEPTH} levels deep"), MAX_DEPTH);
        }
        if nodes.len().saturating_add(level.len()) > MAX_NODES {
            return limit(format!("the index leads to more than {MAX_NODES} images"), MAX_NODES);
        }
        let mut next = Vec::new();
        let mut indexes = Vec::new();
        for child in level {
            if is_index(&child)? {
                indexes.push(child.clone());
            }
            let descriptor = Descriptor::new(&child.media_type, child.digest.clone(), child.size);
            nodes.push(Image {
                digest: child.digest,
                descriptor: Some(descriptor),
                identity: identity.clone(),
                needs_name: false,
                children: None,
            });
        }
        for some in indexes.chunks(AT_ONCE) {
            let reads = some.iter().map(|index| read(store, &index.digest, Some(index), call));
            for children in join_all(reads).await {
                next.extend(children?.1);
                if next.len() > MAX_NODES.saturating_mul(AT_ONCE) {
                    return limit(format!("the index leads to more than {MAX_NODES} images"), MAX_NODES);
                }
            }
        }
        level = next;
    }
    Ok(nodes)
}

/// Whether a child is an index; an error when it is no image either, or declares a size that no manifest has.
fn is_index(child: &Descriptor) -> Result<bool> {
    if child.size == 0 || child.size > limits::MANIFEST {
        let what = format!("the index declares {} with {} bytes", child.digest, child.size);
        return Err(Error::new(Code::Content, format!("{what}, a manifest has 1 to {}", limits::MANIFEST)));
    }
    match child.media_type.as_str() {
        media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST => Ok(true),
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => Ok(false),
        other => {
            let shown: String = other.chars().take(100).collect();
            let what =
                format!("the index holds {}, which is of type {shown:?}: neither an image nor an index", child.digest);
            Err(Error::new(Code::Unsupported, what))
        }
    }
}

/// The descriptor and the children of an index; of an image when nobody `declared` it to be an index.
async fn read(
    store: &dyn Store,
    digest: &Digest,
    declared: Option<&Descriptor>,
    call: &Call,
) -> Result<(Descriptor, Vec<Descriptor>)> {
    let Some(found) = store.document(digest, call).await? else {
        return Err(Error::new(Code::ImageNotFound, format!("{} does not exist", store.pinned(digest))));
    };
    let wrong = |what: String| Error::new(Code::Content, format!("{}: {what}", store.pinned(digest)));
    let size = found.bytes.len() as u64;
    if let Some(declared) = declared.filter(|declared| declared.size != size) {
        return Err(wrong(format!("it has {size} bytes, the index that leads to it says {}", declared.size)));
    }
    let document = Document::parse(&found.bytes, Some(&found.media_type))?;
    if declared.is_some() && matches!(document, Document::Manifest(_)) {
        return Err(wrong("it is an image where its parent says index".to_owned()));
    }
    Ok((Descriptor::new(document.media_type(), digest.clone(), size), document.children()))
}
