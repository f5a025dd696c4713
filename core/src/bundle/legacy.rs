//! cosign's legacy signature image: the manifest behind the tag `sha256-<hex>.sig`.
//!
//! One layer per signature: the payload is the layer's blob, the signature stands in its annotations. Everything written
//! here is byte for byte what cosign 2.5 writes for the same layers (member order of go-containerregistry).

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::encoding::{base64, go_json};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::oci::{Descriptor, Manifest, media_type, push_member};

/// The layer annotation that holds the base64 signature.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The layer annotation that holds a PEM certificate.
pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The layer annotation that holds the PEM certificates above it; empty when cosign had none.
pub const CHAIN: &str = "dev.sigstore.cosign/chain";
/// The layer annotation that holds Rekor's signed entry timestamp.
pub const LOG_BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// The layer annotation that holds an RFC 3161 timestamp.
pub const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// A signature has at most this many bytes; the longest, RSA with 4096 bits, has 512.
pub const MAX_SIGNATURE: usize = 4096;

/// cosign reads and writes at most this many signatures per image.
pub const MAX_LAYERS: usize = 1000;

/// The suffix of the signature tag.
pub const SUFFIX: &str = ".sig";
/// The suffix of March 2021.
pub const SUFFIX_2021: &str = ".cosign";

/// The tag that holds the signatures of `digest`: `sha256-<hex>.sig`.
pub fn tag(digest: &Digest, suffix: &str) -> String {
    format!("{}-{}{suffix}", digest.algorithm_name(), digest.hex())
}

/// One signature that is to be stored.
#[derive(Debug, Clone, Default)]
pub struct NewSignature {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The raw signature.
    pub signature: Vec<u8>,
    /// What stands beside the signature in the layer's annotations: a log entry ([`LOG_BUNDLE`]), a certificate. Mostly
    /// empty.
    pub annotations: BTreeMap<String, String>,
}

/// A signature image ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureImage {
    /// The manifest, exact bytes.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration blob, exact bytes.
    pub config: Vec<u8>,
    /// How many signatures it holds.
    pub layers: usize,
}

/// Refuses more layers than cosign reads (CVE-2024-29903: count before looping).
pub fn check_layer_count(count: usize) -> Result<()> {
    if count > MAX_LAYERS {
        return Err(Error::new(
            Code::TooLarge,
            format!("the signature image has {count} layers, the limit is {MAX_LAYERS}"),
        ));
    }
    Ok(())
}

/// The layer that carries `new`.
pub fn layer(new: &NewSignature) -> Descriptor {
    let mut layer = Descriptor::of(media_type::SIMPLE_SIGNING, &new.payload);
    layer.annotations.clone_from(&new.annotations);
    layer.annotations.insert(SIGNATURE.to_owned(), base64::encode(&new.signature));
    layer
}

/// Whether `layers` already hold this payload signed by `key` with the same annotations (cosign's `DupeDetector`).
/// Without a key, which a signature made elsewhere comes without, it has to be the same signature.
pub fn is_duplicate(layers: &[Descriptor], new: &NewSignature, key: Option<&PublicKey>) -> bool {
    let wanted = layer(new);
    let described = |layer: &Descriptor| {
        let mut annotations = layer.annotations.clone();
        annotations.remove(SIGNATURE);
        annotations
    };
    layers.iter().any(|old| {
        let signed = || {
            let signature = old.annotations.get(SIGNATURE).and_then(|text| base64::decode(text).ok());
            signature.is_some_and(|signature| match key {
                Some(key) => key.verify(&new.payload, &signature).is_ok(),
                None => signature == new.signature,
            })
        };
        old.digest == wanted.digest
            && old.size == wanted.size
            && old.media_type == wanted.media_type
            && !old.bad_data
            && described(old) == described(&wanted)
            && signed()
    })
}

/// `existing` with `new` appended, or a new image; `docker` chooses Docker media types for a new one.
pub fn append(existing: Option<&Manifest>, new: &NewSignature, docker: bool) -> Result<SignatureImage> {
    let mut layers = existing.map(|manifest| manifest.layers.clone()).unwrap_or_default();
    layers.push(layer(new));
    with_layers(existing, &layers, docker)
}

/// The image of `layers`, with everything else as in `existing`; `docker` chooses Docker media types for a new one.
///
/// # Errors
/// [`Code::TooLarge`] over [`MAX_LAYERS`].
pub fn with_layers(existing: Option<&Manifest>, layers: &[Descriptor], docker: bool) -> Result<SignatureImage> {
    check_layer_count(layers.len())?;
    let (media_type, config_type) = match existing {
        Some(manifest) => (manifest.media_type.as_str(), manifest.config.media_type.as_str()),
        None if docker => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
        None => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
    };
    let config = config(layers);
    let kept = existing.map(Kept::of).unwrap_or_default();
    let manifest = manifest(media_type, &Descriptor::of(config_type, &config), layers, &kept);
    Ok(SignatureImage { manifest, media_type: media_type.to_owned(), config, layers: layers.len() })
}

/// What a manifest says beside its type, configuration and layers.
#[derive(Default)]
pub(crate) struct Kept<'a> {
    pub annotations: Option<&'a BTreeMap<String, String>>,
    pub subject: Option<&'a Descriptor>,
    pub artifact_type: Option<&'a str>,
    pub rest: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

impl<'a> Kept<'a> {
    fn of(manifest: &'a Manifest) -> Kept<'a> {
        Kept {
            annotations: Some(&manifest.annotations),
            subject: manifest.subject.as_ref(),
            artifact_type: manifest.artifact_type.as_deref(),
            rest: Some(&manifest.rest),
        }
    }
}

/// A manifest in the member order of go-containerregistry.
pub(crate) fn manifest(media_type: &str, config: &Descriptor, layers: &[Descriptor], kept: &Kept<'_>) -> Vec<u8> {
    let mut out = String::from("{\"schemaVersion\":2,\"mediaType\":");
    go_json::push_string(&mut out, media_type);
    out.push_str(",\"config\":");
    config.push_json(&mut out);
    out.push_str(",\"layers\":[");
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        layer.push_json(&mut out);
    }
    out.push(']');
    if let Some(annotations) = kept.annotations.filter(|annotations| !annotations.is_empty()) {
        out.push_str(",\"annotations\":");
        go_json::push_string_map(&mut out, annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    }
    if let Some(subject) = kept.subject {
        out.push_str(",\"subject\":");
        subject.push_json(&mut out);
    }
    if let Some(artifact_type) = kept.artifact_type {
        out.push_str(",\"artifactType\":");
        go_json::push_string(&mut out, artifact_type);
    }
    for member in kept.rest.into_iter().flatten() {
        push_member(&mut out, member);
    }
    out.push('}');
    out.into_bytes()
}

/// The configuration that cosign writes: one `history` entry and one `diff_id` per layer, so it follows from the layers
/// and the old one need not be fetched.
pub(crate) fn config(layers: &[Descriptor]) -> Vec<u8> {
    const EPOCH: &str = "0001-01-01T00:00:00Z";
    let history: Vec<String> = layers.iter().map(|_| format!("{{\"created\":\"{EPOCH}\"}}")).collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.digest)).collect();
    format!(
        "{{\"architecture\":\"\",\"created\":\"{EPOCH}\",\"history\":[{}],\"os\":\"\",\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}},\"config\":{{}}}}",
        history.join(","),
        diff_ids.join(","),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(folder: &str, file: &str) -> Vec<u8> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
        std::fs::read(format!("{root}/{folder}/{file}")).unwrap()
    }

    /// Rebuilds each image from its payloads and signatures and compares with what real cosign stored.
    #[test]
    fn writes_the_bytes_of_real_cosign() {
        for (folder, count) in [("cosign-2.5.0", 3), ("cosign-3.1.1-legacy", 1)] {
            let mut image: Option<SignatureImage> = None;
            for n in 0..count {
                let signature = String::from_utf8(vector(folder, &format!("signature-{n}.b64"))).unwrap();
                let new = NewSignature {
                    payload: vector(folder, &format!("payload-{n}.json")),
                    signature: base64::decode(&signature).unwrap(),
                    ..NewSignature::default()
                };
                let existing = image.map(|image| Manifest::parse(&image.manifest, None).unwrap());
                image = Some(append(existing.as_ref(), &new, false).unwrap());
            }
            let image = image.unwrap();
            assert_eq!(image.layers, count);
            assert_eq!(image.manifest, vector(folder, "manifest.json"), "{folder}");
            assert_eq!(image.config, vector(folder, "config.json"), "{folder}");
        }
    }

    #[test]
    fn stops_at_a_thousand_layers() {
        let new = NewSignature { payload: b"{}".to_vec(), signature: vec![1], ..NewSignature::default() };
        let image = append(None, &new, true).unwrap();
        let mut manifest = Manifest::parse(&image.manifest, None).unwrap();
        assert_eq!(manifest.media_type, media_type::DOCKER_MANIFEST);
        manifest.layers = vec![layer(&new); 999];
        assert_eq!(append(Some(&manifest), &new, false).unwrap().layers, 1000);
        manifest.layers.push(layer(&new));
        assert_eq!(append(Some(&manifest), &new, false).unwrap_err().code(), Code::TooLarge);
    }
}
