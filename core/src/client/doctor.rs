//! doctor: which tools can read the signatures of an image, and what to do about those that some cannot.
//!
//! What is said of cosign 2 and 3 and of skopeo was tried with 2.5.0, 3.1.1 and 1.18 (podman and CRI-O read as skopeo does);
//! cosign 1 reads what it writes, which is the legacy format.

use serde::Serialize;

use super::hanging::{self, Hung, Kind};
use super::{Client, tree};
use crate::bundle::sigstore::{self, Bundle, Content, KeyMaterial};
use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, ImageRef, Manifest, media_type};
use crate::payload::simple_signing::{self, ParseOptions, SimpleSigning};
use crate::payload::statement::{self, Statement};
use crate::registry::limits;
use crate::store::journal::{Content as Shared, Place, item_id};
use crate::store::{Image, Store};
use crate::verify::UnreadReport;

/// The shape of [`Diagnosis`] in JSON.
pub const SCHEMA: &str = "libcosign.doctor.v1";

/// What Notation calls its signatures.
const NOTATION: &str = "application/vnd.cncf.notary.signature";
/// What cosign calls its signature image where it lets it refer to the image (`--registry-referrers-mode oci-1-1`).
const COSIGN_OCI11: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

const COSIGN1: &str = "cosign 1";
const COSIGN2: &str = "cosign 2";
const COSIGN3: &str = "cosign 3";
const SKOPEO: &str = "skopeo, podman";
const OURS: &str = "libcosign";

/// Who can read the signatures of an image. Nothing of it was verified.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The version of this shape.
    pub schema: &'static str,
    /// The image, pinned by digest.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// False when something could not be read: then whether the image has more signatures is unknown.
    pub complete: bool,
    /// Every signature that was found.
    pub signatures: Vec<Finding>,
    /// How many attestations were found; they are not signatures.
    pub attestations: usize,
    /// Places that could not be read.
    pub unread: Vec<UnreadReport>,
    /// What cannot be seen in the places that were read, and how to look for it.
    pub notes: Vec<String>,
}

/// One signature, and who can read it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Where it is.
    pub place: String,
    /// Its number in that place, from 0.
    pub index: usize,
    /// `cosign legacy`, `cosign of 2021`, `cosign oci-1-1`, `sigstore bundle`, `notation` or `journal`.
    pub format: &'static str,
    /// `key`, `certificate` or `unknown`: what it is to be verified with.
    pub by: &'static str,
    /// The tools, in the order of their age.
    pub readers: Vec<Reader>,
    /// What to do, so that more tools read it.
    pub advice: Vec<String>,
}

/// Whether one tool can read a signature. That it accepts it is another question.
#[derive(Debug, Clone, Serialize)]
pub struct Reader {
    /// The tool.
    pub tool: &'static str,
    /// Whether it reads it.
    pub reads: bool,
    /// With which flag, or why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub how: String,
}

impl Diagnosis {
    /// The diagnosis as one line of JSON.
    pub fn json(&self) -> String {
        // Only strings, numbers and lists: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Finding {
    fn new(place: &str, index: usize, format: &'static str) -> Finding {
        Finding { place: place.to_owned(), index, format, by: "unknown", readers: Vec::new(), advice: Vec::new() }
    }

    fn yes(&mut self, tool: &'static str, how: &str) {
        self.readers.push(Reader { tool, reads: true, how: how.to_owned() });
    }

    fn no(&mut self, tool: &'static str, why: &str) {
        self.readers.push(Reader { tool, reads: false, how: why.to_owned() });
    }

    fn nobody(mut self, why: &str) -> Finding {
        for tool in [COSIGN1, COSIGN2, COSIGN3, SKOPEO, OURS] {
            self.no(tool, why);
        }
        self
    }

    fn advise(&mut self, what: impl Into<String>) {
        self.advice.push(what.into());
    }
}

impl Client {
    /// For each signature of `image` which tools can read it, and what to do about those that cannot. Signatures of other
    /// systems are named, and so is what no registry shows. Nothing is verified.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], and the caller's own limits. What could not be read is no error: [`Diagnosis::unread`]
    /// names it.
    pub async fn doctor(&self, image: &ImageRef, call: &Call) -> Result<Diagnosis> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let store = self.store(image, None)?;
        let found = store.image(call).await?;
        let hanging = hanging::gather(store.as_ref(), &found, call).await?;
        if hanging.hung.is_empty() && hanging.unread.is_empty() {
            tree::exists(store.as_ref(), &found, call).await?;
        }
        let mut doctor = Doctor {
            store: store.as_ref(),
            image: &found,
            call,
            // cosign 3 looks at nothing else as soon as it can load one.
            has_bundles: hanging.hung.iter().any(is_bundle),
            signatures: Vec::new(),
            attestations: 0,
            unread: hanging.unread,
        };
        for hung in &hanging.hung {
            doctor.examine(hung).await?;
        }
        doctor.journalled(&hanging.hung)?;
        let mut notes = hanging.notes;
        notes.extend(unseen(image));
        Ok(Diagnosis {
            schema: SCHEMA,
            reference: store.pinned(&found.digest),
            digest: found.digest.to_string(),
            complete: doctor.unread.is_empty(),
            signatures: doctor.signatures,
            attestations: doctor.attestations,
            unread: tree::unread_reports(doctor.unread),
            notes,
        })
    }
}

/// What no list of a registry or layout shows.
fn unseen(image: &ImageRef) -> Vec<String> {
    let ImageRef::Registry(registry) = image else { return Vec::new() };
    let name = registry.name();
    vec![
        format!(
            "Docker content trust (Notary v1) keeps its signatures on a server of its own, not in the registry, and \
             cannot be seen here: docker trust inspect --pretty {name}"
        ),
        "GPG signatures of podman and skopeo (simple signing) lie on the web server that registries.d names as lookaside, \
         and cannot be seen here: skopeo inspect with that configuration"
            .to_owned(),
    ]
}

fn is_bundle(hung: &Hung) -> bool {
    hung.kind == Kind::Referrer
        && hung.manifest.as_ref().is_ok_and(|m| matches!(referrer::bundle_layer(m), Ok(Some(_))))
}

struct Doctor<'a> {
    store: &'a dyn Store,
    image: &'a Image,
    call: &'a Call,
    has_bundles: bool,
    signatures: Vec<Finding>,
    attestations: usize,
    unread: Vec<(String, Error)>,
}

impl Doctor<'_> {
    async fn examine(&mut self, hung: &Hung) -> Result<()> {
        self.call.check()?;
        match (hung.kind, &hung.manifest) {
            (Kind::Signatures, Ok(manifest)) => self.legacy(hung, manifest, legacy::SUFFIX).await,
            (Kind::Signatures2021, Ok(manifest)) => self.legacy(hung, manifest, legacy::SUFFIX_2021).await,
            (Kind::Signatures | Kind::Signatures2021, Err(error)) => {
                let why = format!("what is there is no signature image: {}", error.message());
                self.signatures.push(Finding::new(&hung.place, 0, "cosign legacy").nobody(&why));
                Ok(())
            }
            (Kind::Attestations, manifest) => {
                let count = manifest.as_ref().map_or(0, |manifest| manifest.layers.len());
                self.attestations = self.attestations.saturating_add(count);
                Ok(())
            }
            (Kind::Referrer, manifest) if hung.artifact_type.as_deref() == Some(NOTATION) => {
                let count = manifest.as_ref().map_or(1, |manifest| manifest.layers.len().max(1));
                for index in 0..count {
                    self.signatures.push(notation(&hung.place, index));
                }
                Ok(())
            }
            (Kind::Referrer, Ok(manifest)) if hung.artifact_type.as_deref() == Some(COSIGN_OCI11) => {
                for index in 0..manifest.layers.len() {
                    self.signatures.push(oci11(&hung.place, index));
                }
                Ok(())
            }
            (Kind::Referrer, Ok(manifest)) => self.bundle(hung, manifest).await,
            (Kind::Referrer | Kind::Sbom | Kind::Journal | Kind::Other, _) => Ok(()),
        }
    }

    /// The bytes that a descriptor names, or why they cannot be had; `None` when they are unread.
    async fn blob(
        &mut self,
        descriptor: &Descriptor,
        cap: u64,
        place: &str,
    ) -> Result<Option<Result<Vec<u8>, String>>> {
        if let Some(data) = &descriptor.data {
            return Ok(Some(Ok(data.clone())));
        }
        match self.store.blob(descriptor, cap, self.call).await {
            Ok(Some(bytes)) => Ok(Some(Ok(bytes))),
            Ok(None) => Ok(Some(Err("its content is missing".to_owned()))),
            Err(error) if error.detail("evidence").is_some() || error.code() == Code::TooLarge => {
                Ok(Some(Err(error.message().to_owned())))
            }
            Err(error) => {
                self.call.check()?;
                self.unread.push((place.to_owned(), error));
                Ok(None)
            }
        }
    }

    async fn legacy(&mut self, hung: &Hung, manifest: &Manifest, suffix: &str) -> Result<()> {
        let is_seed = suffix == legacy::SUFFIX_2021;
        let format = if is_seed { "cosign of 2021" } else { "cosign legacy" };
        for (index, layer) in manifest.layers.iter().enumerate() {
            let mut finding = Finding::new(&hung.place, index, format);
            if let Some(why) = malformed(layer) {
                self.signatures.push(finding.nobody(&why));
                continue;
            }
            let place = format!("{} layer {index}", hung.place);
            let Some(payload) = self.blob(layer, simple_signing::MAX_BYTES as u64, &place).await? else { continue };
            let has_certificate = layer.annotations.get(legacy::CERTIFICATE).is_some_and(|text| !text.is_empty());
            finding.by = if has_certificate { "certificate" } else { "key" };
            let claims = payload.map(|payload| {
                let options = ParseOptions { bare_digest: is_seed, any_type: true };
                (SimpleSigning::parse(&payload, options), payload.starts_with(b"{\"Critical\""))
            });
            let finding = match claims {
                Err(why) => finding.nobody(&why),
                Ok((Ok(claims), _)) if claims.digest != self.image.digest => {
                    finding.nobody(&format!("it signs another image: {}", claims.digest))
                }
                Ok((claims, _)) if is_seed => seed(finding, claims.is_ok()),
                Ok((Err(_), _)) => other_payload(finding),
                Ok((Ok(claims), is_capitalised)) => self.today(finding, &claims, is_capitalised, manifest),
            };
            self.signatures.push(finding);
        }
        Ok(())
    }

    /// A signature where cosign has kept its signatures since May 2021.
    fn today(
        &self,
        mut finding: Finding,
        claims: &SimpleSigning,
        is_capitalised: bool,
        manifest: &Manifest,
    ) -> Finding {
        finding.yes(COSIGN1, "");
        let without_log = "with --insecure-ignore-tlog when no transparency log has it";
        finding.yes(COSIGN2, without_log);
        if self.has_bundles {
            finding.no(COSIGN3, "it looks at bundles only, as soon as one refers to the image");
            finding.advise(
                "cosign 3 reads it with --new-bundle-format=false; or sign in both formats: sign --format both",
            );
        } else {
            finding.yes(COSIGN3, without_log);
        }
        if manifest.media_type != media_type::OCI_MANIFEST {
            finding.no(SKOPEO, "it reads signature images with OCI's media types only, and this one has Docker's");
            finding.advise("remove the signature image and sign again without COSIGN_DOCKER_MEDIA_TYPES");
        } else if is_capitalised || claims.payload_type != simple_signing::TYPE {
            finding.no(SKOPEO, "it reads payloads in today's spelling and type only");
            finding.advise("sign it again, so that skopeo and podman read it too");
        } else if claims.docker_reference.is_empty() {
            finding.no(SKOPEO, "the payload names no image, which every signedIdentity of a policy.json asks for");
            finding.advise("sign it again in its registry, or with --sign-container-identity");
        } else {
            finding.yes(SKOPEO, "with use-sigstore-attachments in registries.d");
        }
        self.ours(&mut finding, claims);
        finding
    }

    fn ours(&self, finding: &mut Finding, claims: &SimpleSigning) {
        let types = [simple_signing::TYPE, simple_signing::TYPE_2021];
        if finding.by == "certificate" {
            finding.yes(OURS, "with the key in its certificate; the certificate itself is not judged");
        } else if types.contains(&claims.payload_type.as_str()) {
            finding.yes(OURS, "");
        } else {
            finding.yes(OURS, "with --check-claims=false: its type is not one of cosign's");
        }
    }

    async fn bundle(&mut self, hung: &Hung, manifest: &Manifest) -> Result<()> {
        let layer = match referrer::bundle_layer(manifest) {
            Ok(None) => return Ok(()),
            Ok(Some(layer)) => layer,
            Err(error) => {
                self.signatures.push(Finding::new(&hung.place, 0, "sigstore bundle").nobody(error.message()));
                return Ok(());
            }
        };
        if hung.predicate_type.as_deref().is_some_and(|kind| kind != statement::COSIGN_SIGN) {
            self.attestations = self.attestations.saturating_add(1);
            return Ok(());
        }
        let finding = Finding::new(&hung.place, 0, "sigstore bundle");
        let Some(bytes) = self.blob(layer, sigstore::MAX_BYTES as u64, &hung.place).await? else { return Ok(()) };
        let bundle = bytes
            .and_then(|bytes| Bundle::parse(&bytes, sigstore::MAX_BYTES).map_err(|error| error.message().to_owned()));
        let finding = match bundle {
            Err(why) => finding.nobody(&why),
            Ok(bundle) => match self.states(&bundle) {
                Stated::Attestation => {
                    self.attestations = self.attestations.saturating_add(1);
                    return Ok(());
                }
                Stated::Refused(why) => finding.nobody(&why),
                Stated::Signature => readable_bundle(finding, &bundle, hung.found_by),
            },
        };
        self.signatures.push(finding);
        Ok(())
    }

    fn states(&self, bundle: &Bundle) -> Stated {
        let Content::Envelope(envelope) = &bundle.content else {
            return Stated::Refused("the bundle signs a blob, not an image".to_owned());
        };
        match Statement::parse(&envelope.payload) {
            Err(error) => Stated::Refused(error.message().to_owned()),
            Ok(statement) if statement.predicate_type != statement::COSIGN_SIGN => Stated::Attestation,
            Ok(statement) if statement.subjects_of(&self.image.digest).next().is_none() => {
                Stated::Refused("it signs another image".to_owned())
            }
            Ok(_) => Stated::Signature,
        }
    }

    /// Journal entries that the shared tag does not show: what another tool has overwritten.
    fn journalled(&mut self, hung: &[Hung]) -> Result<()> {
        for suffix in [legacy::SUFFIX, legacy::SUFFIX_2021] {
            let place = Place::image(&self.image.digest, suffix)?;
            // What an unread tag shows is unknown.
            let shared = self.store.signature_reference(&self.image.digest, suffix);
            if self.unread.iter().any(|(unread, _)| *unread == shared) {
                continue;
            }
            let kind = if suffix == legacy::SUFFIX { Kind::Signatures } else { Kind::Signatures2021 };
            let tag = hung.iter().find(|hung| hung.kind == kind).and_then(|hung| hung.manifest.as_ref().ok());
            let here = Shared::Image(tag.cloned()).ids();
            let prefix = format!("{}{suffix}", referrer::fallback_tag(&self.image.digest));
            for entry in hung.iter().filter(|hung| hung.kind == Kind::Journal) {
                let by_tag = entry.place.contains(&prefix);
                let Ok(manifest) = &entry.manifest else { continue };
                let [layer] = manifest.layers.as_slice() else { continue };
                // Referrers say nothing of the suffix; what is in neither tag is told once, with `.sig`.
                let mine = by_tag || (entry.found_by != "tag" && suffix == legacy::SUFFIX);
                if mine
                    && layer.media_type == media_type::SIMPLE_SIGNING
                    && !here.contains(&item_id(place.kind(), layer))
                {
                    self.signatures.push(lost(&entry.place));
                }
            }
        }
        Ok(())
    }
}

enum Stated {
    Signature,
    Attestation,
    Refused(String),
}

/// Why a layer is no signature that anybody reads.
fn malformed(layer: &Descriptor) -> Option<String> {
    if layer.media_type != media_type::SIMPLE_SIGNING {
        return Some(format!("a layer of type {:.100?} is no cosign signature", layer.media_type));
    }
    let Some(text) = layer.annotations.get(legacy::SIGNATURE) else {
        return Some("the layer has no signature annotation".to_owned());
    };
    match base64::decode(text) {
        Ok(signature) if !signature.is_empty() => None,
        _ => Some("the signature annotation is not base64 of a signature".to_owned()),
    }
}

fn seed(mut finding: Finding, is_payload: bool) -> Finding {
    for tool in [COSIGN1, COSIGN2, COSIGN3, SKOPEO] {
        finding.no(tool, "it looks for the tag .sig only");
    }
    let flags = if is_payload { "" } else { " --check-claims=false" };
    finding.yes(OURS, &format!("with --tag-suffix .cosign{flags}"));
    finding.advise(
        "sign the image again; or attach this signature to the tag of today: cosign download --tag-suffix .cosign, then \
         cosign attach signature --signature SIGNATURE --payload PAYLOAD",
    );
    finding
}

fn other_payload(mut finding: Finding) -> Finding {
    for tool in [COSIGN1, COSIGN2, COSIGN3] {
        finding.yes(tool, "with --check-claims=false: the payload is in a format of its own");
    }
    finding.no(SKOPEO, "the payload is in a format of its own");
    finding.yes(OURS, "with --check-claims=false: the payload is in a format of its own");
    finding
}

fn readable_bundle(mut finding: Finding, bundle: &Bundle, found_by: &str) -> Finding {
    let is_key = matches!(bundle.key, KeyMaterial::PublicKey { .. });
    finding.by = if is_key { "key" } else { "certificate" };
    finding.no(COSIGN1, "it knows no bundles");
    finding.no(COSIGN2, "it reads bundles of attestations and blobs, not of images");
    let without_log =
        if bundle.log_entries.is_empty() { "with --insecure-ignore-tlog: no transparency log has it" } else { "" };
    finding.yes(COSIGN3, if found_by == "layout" { "with --local-image" } else { without_log });
    finding.no(SKOPEO, "it knows no bundles");
    match (bundle.minor_version < 3, is_key) {
        (true, _) => finding.no(OURS, "bundles on images are of version 0.3, this one is older"),
        (false, true) => finding.yes(OURS, ""),
        (false, false) => finding.no(OURS, "certificates are not judged yet"),
    }
    finding.advise(
        "sign in the legacy format too (sign --format both), so that cosign 1 and 2, skopeo and podman read it",
    );
    finding
}

fn notation(place: &str, index: usize) -> Finding {
    let mut finding = Finding::new(place, index, "notation");
    finding.by = "certificate";
    finding.yes("notation", "");
    let mut finding = finding.nobody("it is a signature of Notation (Notary Project)");
    finding
        .advise("verify it with Notation: notation verify IMAGE; or sign it with cosign as well: both signatures stay");
    finding
}

fn oci11(place: &str, index: usize) -> Finding {
    let mut finding = Finding::new(place, index, "cosign oci-1-1");
    finding.no(COSIGN1, "it knows no referrers");
    for tool in [COSIGN2, COSIGN3] {
        finding.yes(tool, "with COSIGN_EXPERIMENTAL=1 and --experimental-oci11; it reads the last one only");
    }
    finding.no(SKOPEO, "it looks for the tag .sig only");
    finding.no(OURS, "cosign's experimental way of OCI 1.1 is not read");
    finding.advise("sign it again without --registry-referrers-mode");
    finding
}

fn lost(place: &str) -> Finding {
    let mut finding = Finding::new(place, 0, "journal");
    for tool in [COSIGN1, COSIGN2, COSIGN3, SKOPEO] {
        finding.no(
            tool,
            "it is in the journal only: another program has overwritten the tag since, or it could not be written",
        );
    }
    finding.yes(OURS, "");
    finding.advise("sign the image again with the same key: the signature is then where every tool looks");
    finding
}
