//! Storing without a journal, as other tools do: what is there is read once, and the last writer wins.
//!
//! Fewer requests than `lossless.rs`, and whoever signs at the same time may lose a signature. What is read and written is
//! the same: one content, one union.

use std::collections::BTreeMap;

use futures_util::future::try_join;

use super::journal::{Content, EntryId, Kind, Place, item_id};
use super::tags::{Tags, local_time};
use super::{Added, Adding, Image, NewItem, Protection, Store};
use crate::bundle::legacy::{self, NewSignature};
use crate::bundle::referrer;
use crate::call::Call;
use crate::digest::Digest;
use crate::encoding::rfc3339;
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::oci::Descriptor;
use crate::registry::Referrers;

impl Tags {
    pub(super) async fn add_plainly(&self, adding: &Adding<'_>, call: &Call) -> Result<Added> {
        match &adding.item {
            NewItem::Layer { signature, key, suffix, docker } => {
                self.add_layer(&Place::image(&adding.image.digest, suffix)?, signature, *key, *docker, call).await
            }
            NewItem::Bundle { json, predicate_type } => self.add_bundle(adding.image, json, predicate_type, call).await,
        }
    }

    async fn add_layer(
        &self,
        place: &Place,
        new: &NewSignature,
        key: Option<&PublicKey>,
        docker: bool,
        call: &Call,
    ) -> Result<Added> {
        let content = self.content(place, call).await?;
        let name = self.signature_place(place.tag());
        if content.items().into_iter().any(|old| legacy::is_duplicate(std::slice::from_ref(old), new, key)) {
            return Ok(Added { place: name, added: false, protection: Protection::Stored });
        }
        let layer = legacy::layer(new);
        let union = content.union(Some((item_id(Kind::Image, &layer), &layer)), &BTreeMap::new(), docker)?;
        let config = union.config.as_deref().unwrap_or_default();
        try_join(self.put_blob(&new.payload, call), self.put_blob(config, call)).await?;
        self.put_shared(place.tag(), &union.media_type, &union.bytes, call).await?;
        Ok(Added { place: name, added: true, protection: unprotected() })
    }

    async fn add_bundle(&self, image: &Image, json: &[u8], predicate_type: &str, call: &Call) -> Result<Added> {
        let subject = self.subject(image, call).await?;
        let made = referrer::image(json, predicate_type, &subject, &rfc3339::utc(local_time()));
        try_join(self.put_blob(json, call), self.put_blob(referrer::CONFIG, call)).await?;
        let own = &made.entry.digest;
        let name = self.pinned_signature(own);
        let (host, repository) = self.at();
        let reference = own.to_string();
        let put =
            self.transport.put_manifest(host, repository, &reference, &made.entry.media_type, &made.manifest, call);
        let listed = put.await?.stored()?.oci_subject
            || self.transport.referrers(host, repository, &image.digest, None, call).await? != Referrers::NoApi;
        if listed {
            return Ok(Added { place: name, added: true, protection: Protection::Stored });
        }
        let place = Place::index(&image.digest)?;
        let content = self.content(&place, call).await;
        let content = content.map_err(|error| error.context(format!("{name} is stored, but nothing lists it")))?;
        let id = EntryId::of(own);
        if content.ids().contains(&id) {
            return Ok(Added { place: name, added: false, protection: Protection::Stored });
        }
        let union = content.union(Some((id, &made.entry)), &BTreeMap::new(), false)?;
        self.put_shared(place.tag(), &union.media_type, &union.bytes, call).await?;
        Ok(Added { place: name, added: true, protection: unprotected() })
    }

    /// What the tag of `place` holds now.
    async fn content(&self, place: &Place, call: &Call) -> Result<Content> {
        Content::read(place, self.get(place.tag(), call).await?.map(Into::into).as_ref())
    }

    async fn put_shared(&self, tag: &str, media_type: &str, bytes: &[u8], call: &Call) -> Result<()> {
        let (host, repository) = self.at();
        self.transport.put_manifest(host, repository, tag, media_type, bytes, call).await?.stored().map(|_| ())
    }

    /// The image's descriptor, for what refers to it.
    async fn subject(&self, image: &Image, call: &Call) -> Result<Descriptor> {
        if let Some(descriptor) = &image.descriptor {
            return Ok(descriptor.clone());
        }
        let (host, repository) = self.image_at();
        let head = self.transport.head_manifest(host, repository, &image.digest.to_string(), call).await?;
        let head = head.ok_or_else(|| {
            let what = format!("{} does not exist, so no bundle can refer to it", self.pinned(&image.digest));
            Error::new(Code::ImageNotFound, what)
        })?;
        Ok(Descriptor::new(&head.media_type, head.digest, head.size))
    }

    async fn put_blob(&self, bytes: &[u8], call: &Call) -> Result<()> {
        let (host, repository) = self.at();
        self.transport.put_blob(host, repository, &Digest::sha256(bytes), bytes, call).await
    }
}

fn unprotected() -> Protection {
    Protection::StoredUnprotected("no journal was wanted".to_owned())
}
