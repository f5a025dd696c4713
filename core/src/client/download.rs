//! download: the signatures of an image as they are stored, for other programs to verify or to keep.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Client, DownloadOptions, Format};
use crate::bundle::{legacy, referrer, sigstore};
use crate::call::Call;
use crate::encoding::{base64, go_json, pem, strict_json};
use crate::error::{Code, Error, Result};
use crate::oci::{DOCUMENT_LIMITS, Descriptor, ImageRef, Manifest};
use crate::payload::simple_signing;
use crate::registry::limits;
use crate::store::{Image, Referring, Store, StoredManifest};

/// Requests that are under way together.
const AT_ONCE: usize = 16;
/// Bytes of all signatures of one image.
const MAX_HELD: u64 = 256 << 20;

/// One stored signature. Nothing of it was verified: it says what somebody stored, not what is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedSignature {
    place: String,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Legacy { layer: Box<Descriptor>, payload: Vec<u8> },
    Bundle { json: String },
}

impl UnverifiedSignature {
    /// Where it is: the signature image of a legacy signature, the pinned manifest of a bundle.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// [`Format::Legacy`] or [`Format::Bundle`].
    pub fn format(&self) -> Format {
        match self.content {
            Content::Legacy { .. } => Format::Legacy,
            Content::Bundle { .. } => Format::Bundle,
        }
    }

    /// The signed bytes of a legacy signature, not verified; a bundle holds its own.
    pub fn payload(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Legacy { payload, .. } => Some(payload),
            Content::Bundle { .. } => None,
        }
    }

    /// The line of `cosign download` in 2021, `{"Base64Signature":"…","Payload":"…"}`; a bundle has none.
    pub fn json_2021(&self) -> Option<String> {
        let Content::Legacy { layer, payload } = &self.content else { return None };
        let mut out = String::new();
        push_signature(&mut out, layer, payload);
        out.push('}');
        Some(out)
    }

    /// The line of today's `cosign download signature`: a bundle as compact JSON, a legacy signature with everything that
    /// hangs on it.
    ///
    /// `Cert` and the members of `Chain` have only the member `Raw` (DER) of the many that Go prints of a certificate.
    pub fn json(&self) -> String {
        let (layer, payload) = match &self.content {
            Content::Legacy { layer, payload } => (layer, payload),
            Content::Bundle { json } => return go_json::compact(json),
        };
        let annotation = |name: &str| layer.annotations.get(name).filter(|text| !text.is_empty());
        let document = |name: &str| {
            let text = annotation(name)?;
            strict_json::parse(text.as_bytes(), DOCUMENT_LIMITS).is_ok().then(|| go_json::compact(text))
        };
        let null = || "null".to_owned();
        let certificates = |name: &str| annotation(name).map(|text| raw_certificates(text)).unwrap_or_default();
        let mut out = String::new();
        push_signature(&mut out, layer, payload);
        out.push_str(",\"Cert\":");
        out.push_str(certificates(legacy::CERTIFICATE).first().map_or("null", String::as_str));
        out.push_str(",\"Chain\":");
        match certificates(legacy::CHAIN) {
            chain if chain.is_empty() => out.push_str("null"),
            chain => out.push_str(&format!("[{}]", chain.join(","))),
        }
        out.push_str(",\"Bundle\":");
        out.push_str(&document(legacy::LOG_BUNDLE).unwrap_or_else(null));
        out.push_str(",\"RFC3161Timestamp\":");
        out.push_str(&document(legacy::TIMESTAMP).unwrap_or_else(null));
        out.push('}');
        out
    }
}

/// `{"Base64Signature":…,"Payload":…`, open.
fn push_signature(out: &mut String, layer: &Descriptor, payload: &[u8]) {
    out.push_str("{\"Base64Signature\":");
    go_json::push_string(out, layer.annotations.get(legacy::SIGNATURE).map(String::as_str).unwrap_or_default());
    out.push_str(",\"Payload\":");
    go_json::push_string(out, &base64::encode(payload));
}

/// `{"Raw":"…"}` of each certificate in PEM.
fn raw_certificates(text: &str) -> Vec<String> {
    let mut certificates = Vec::new();
    let mut rest = text.as_bytes();
    while let Ok((block, after)) = pem::decode_with_rest(rest) {
        if block.label == "CERTIFICATE" {
            certificates.push(format!("{{\"Raw\":\"{}\"}}", base64::encode(&block.der)));
        }
        rest = after;
    }
    certificates
}

impl Client {
    /// The signatures that are stored for `image`, as they are; none of them is verified. Bundles come first, attestations
    /// among them as in cosign 3.1, then the legacy signatures in the order of their image. Only when those places hold
    /// none is the journal read.
    ///
    /// # Errors
    /// [`Code::NoSignatures`] when the places were read and hold none; [`Code::ImageNotFound`]; any error of a place or a
    /// signature that could not be read: what is returned is complete.
    pub async fn download(
        &self,
        image: &ImageRef,
        options: &DownloadOptions,
        call: &Call,
    ) -> Result<Vec<UnverifiedSignature>> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        let store = self.store(image, None)?;
        let found = store.image(call).await?;
        let reader = Reader { store: store.as_ref(), image: &found, call };

        let tag = match options.format {
            Some(Format::Bundle) => None,
            _ => store.signature_image(&found.digest, suffix, call).await?,
        };
        let referring = match options.format {
            Some(Format::Legacy) => None,
            _ => Some(store.referring(&found.digest, call).await?),
        };
        let mut signatures = Vec::new();
        if let Some(referring) = &referring {
            reader.bundles(&referring.entries, &mut signatures).await?;
        }
        if let Some(stored) = &tag {
            let place = store.signature_reference(&found.digest, suffix);
            let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type));
            let manifest = manifest.map_err(|error| error.context(&place))?;
            legacy::check_layer_count(manifest.layers.len())?;
            let layers = manifest.layers.into_iter().map(|layer| (place.clone(), layer));
            reader.layers(layers.collect(), &mut signatures).await?;
        }
        if signatures.is_empty() {
            reader.journal(suffix, options.format, tag.as_ref(), referring.as_ref(), &mut signatures).await?;
        }
        if signatures.is_empty() {
            let what = format!("{}: no signatures associated", store.pinned(&found.digest));
            return Err(Error::new(Code::NoSignatures, what));
        }
        Ok(signatures)
    }
}

struct Reader<'a> {
    store: &'a dyn Store,
    image: &'a Image,
    call: &'a Call,
}

impl Reader<'_> {
    async fn bundles(&self, entries: &[Descriptor], into: &mut Vec<UnverifiedSignature>) -> Result<()> {
        let reads = entries.iter().cloned().map(|entry| async move { self.bundle(&entry).await });
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some(read) = reads.try_next().await? {
            self.keep(read, into)?;
        }
        Ok(())
    }

    async fn bundle(&self, entry: &Descriptor) -> Result<Option<UnverifiedSignature>> {
        let place = self.store.pinned(&entry.digest);
        // Listed and gone: nobody's signature, if it was one.
        let Some(stored) = self.store.manifest(entry, self.call).await? else { return Ok(None) };
        let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
        let manifest = Manifest::parse(&stored.bytes, declared).map_err(|error| error.context(&place))?;
        if manifest.subject.as_ref().is_none_or(|subject| subject.digest != self.image.digest) {
            return Ok(None);
        }
        let layer = referrer::bundle_layer(&manifest).map_err(|error| error.context(&place))?;
        let Some(layer) = layer else { return Ok(None) };
        let bytes = self.blob(layer, sigstore::MAX_BYTES as u64, &place).await?;
        let limits = strict_json::Limits { max_bytes: sigstore::MAX_BYTES, ..DOCUMENT_LIMITS };
        strict_json::parse(&bytes, limits).map_err(|error| error.context(&place))?;
        let json = String::from_utf8(bytes).map_err(|_| Error::new(Code::Protocol, format!("{place}: not UTF-8")))?;
        Ok(Some(UnverifiedSignature { place, content: Content::Bundle { json } }))
    }

    async fn layers(&self, layers: Vec<(String, Descriptor)>, into: &mut Vec<UnverifiedSignature>) -> Result<()> {
        let reads = layers.into_iter().map(|(place, layer)| async move {
            if !layer.annotations.contains_key(legacy::SIGNATURE) {
                // Not a signature, whatever it is.
                return Ok(None);
            }
            let payload = self.blob(&layer, simple_signing::MAX_BYTES as u64, &place).await?;
            Ok(Some(UnverifiedSignature { place, content: Content::Legacy { layer: Box::new(layer), payload } }))
        });
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some(read) = reads.try_next().await? {
            self.keep(read, into)?;
        }
        Ok(())
    }

    fn keep(&self, read: Option<UnverifiedSignature>, into: &mut Vec<UnverifiedSignature>) -> Result<()> {
        self.call.check()?;
        into.extend(read);
        let size = |signature: &UnverifiedSignature| match &signature.content {
            Content::Legacy { payload, .. } => payload.len() as u64,
            Content::Bundle { json } => json.len() as u64,
        };
        let held = into.iter().map(size).fold(0, u64::saturating_add);
        if held > MAX_HELD {
            let what = format!("the signatures have more than {MAX_HELD} bytes");
            return Err(Error::new(Code::TooLarge, what).with("limit", MAX_HELD));
        }
        Ok(())
    }

    /// What a descriptor names, whole.
    async fn blob(&self, descriptor: &Descriptor, cap: u64, place: &str) -> Result<Vec<u8>> {
        if let Some(data) = &descriptor.data {
            return Ok(data.clone());
        }
        let missing = || Error::new(Code::Content, format!("the blob {} is missing", descriptor.digest));
        let read = self.store.blob(descriptor, cap, self.call).await;
        read.and_then(|bytes| bytes.ok_or_else(missing)).map_err(|error| error.context(place))
    }

    async fn journal(
        &self,
        suffix: &str,
        format: Option<Format>,
        tag: Option<&StoredManifest>,
        referring: Option<&Referring>,
        into: &mut Vec<UnverifiedSignature>,
    ) -> Result<()> {
        let found = self.store.journal(&self.image.digest, suffix, tag, referring, self.call).await?;
        if let Some((place, error)) = found.unread.into_iter().next() {
            return Err(error.context(place));
        }
        if format != Some(Format::Legacy) {
            self.bundles(&found.bundles, into).await?;
        }
        if format != Some(Format::Bundle) {
            self.layers(found.layers, into).await?;
        }
        Ok(())
    }
}
