//! gc: collect what the journal needs no more.

use serde_json::json;

use super::Client;
use crate::call::Call;
use crate::error::Result;
use crate::oci::ImageRef;
use crate::registry::limits;
use crate::store::{Collected, Kept, Protection, Removed};

/// What to collect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Whether signatures that the standard places have lost are merged back first, whatever their age.
    pub repair: bool,
    /// Whether the journals of all images in the repository are collected, not only that of the image named.
    pub whole_repository: bool,
}

/// What a collection did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gc {
    collected: Collected,
}

impl Gc {
    /// The journal entries that are gone.
    pub fn removed(&self) -> &[Removed] {
        &self.collected.swept.removed
    }

    /// The journal entries that could not go, and why.
    pub fn kept(&self) -> &[Kept] {
        &self.collected.swept.kept
    }

    /// The places that a repair has merged signatures into, and how well they are stored now.
    pub fn repaired(&self) -> &[(String, Protection)] {
        &self.collected.repaired
    }

    /// How many old entries stay because the standard place has lost what they hold: a repair merges them.
    pub fn lost(&self) -> usize {
        self.collected.lost
    }

    /// How many images were looked at.
    pub fn images(&self) -> usize {
        self.collected.images
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        let repaired = self.repaired().iter().map(
            |(place, protection)| json!({"place": place, "status": protection.name(), "reason": protection.reason()}),
        );
        json!({
            "removed": self.collected.swept.removed_json(),
            "kept": self.collected.swept.kept_json(),
            "repaired": repaired.collect::<Vec<_>>(),
            "lost": self.lost(),
            "images": self.images(),
        })
        .to_string()
    }
}

impl Client {
    /// Removes journal entries that are older than 24 hours and in their standard place, or whose image is gone. No signer
    /// merges those any more. A layout has no journal.
    ///
    /// On a registry that deletes no tags (Distribution 2.8) the journal tag of a bundle stays, because it cannot go
    /// without the signature; [`Gc::kept`] says so.
    ///
    /// # Errors
    /// Those of [`Client::clean`]; a list of tags that the registry refuses is one.
    pub async fn gc(&self, image: &ImageRef, options: &GcOptions, call: &Call) -> Result<Gc> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let store = self.store(image, None)?;
        let subject = match (options.whole_repository, image.digest()) {
            (true, _) => None,
            // An image that is gone may still have a journal.
            (false, Some(digest)) => Some(digest.clone()),
            (false, None) => Some(store.image(call).await?.digest),
        };
        self.announce_delete(image);
        Ok(Gc { collected: store.collect(subject.as_ref(), options.repair, call).await? })
    }
}
