//! The judgement of a blob: a file and what was signed beside it, judged while the file passes by.
//!
//! Several signatures of one blob are judged together, by the same policy and with the same threshold as those of an
//! image. Each goes through its checks in the order in which `docs/verification.md` explains them: what it is made of
//! before the blob is read, who made it after the last byte.

use std::sync::Arc;

use serde_json::{Value, json};

use super::checks::{Steps, refusal};
use super::log::{self, LogAnswer};
use super::policy::Policy;
use super::report::{Report, SCHEMA, SignatureReport, Verdict};
use super::verified::Verified;
use crate::bundle::blob::BlobBundle;
use crate::bundle::sigstore::{LogEntry, MAX_SIGNATURE_BYTES};
use crate::crypto::Hash;
use crate::encoding::{base64, hex};
use crate::error::{Code, Error, Result};
use crate::key::{MessageVerifier, PublicKey};
use crate::trust::{LogProof, Subject};

/// A signature's file in base64, with its lines wrapped or not, is at most this long.
const MAX_TEXT_BYTES: usize = 8192;

/// What is said to be a signature of a blob. Nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobSignature {
    place: String,
    form: Form,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Detached,
    Bundle,
}

impl BlobSignature {
    /// A signature by itself: raw, or in base64. Which one is found out as cosign does it: what is base64, white space at
    /// both ends aside, is base64. `place` is for the report: a file's name.
    pub fn detached(place: impl Into<String>, bytes: impl Into<Vec<u8>>) -> BlobSignature {
        BlobSignature { place: place.into(), form: Form::Detached, bytes: bytes.into() }
    }

    /// A bundle: sigstore's with a message signature, or the JSON before it (`base64Signature`). `place` is for the report.
    pub fn bundle(place: impl Into<String>, bytes: impl Into<Vec<u8>>) -> BlobSignature {
        BlobSignature { place: place.into(), form: Form::Bundle, bytes: bytes.into() }
    }
}

/// One signature that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlobSignature {
    place: String,
    format: &'static str,
    key_fingerprint: String,
    log: Option<LogProof>,
}

impl VerifiedBlobSignature {
    /// What it was called.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// `bundle` for a sigstore bundle, `legacy` for a signature by itself and for the JSON before bundles.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Lower-case hex of SHA-256 over the signer's SPKI.
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// What a trusted transparency log proves about it; `None` when no log was judged.
    pub fn log(&self) -> Option<&LogProof> {
        self.log.as_ref()
    }
}

/// A blob that met a policy.
#[derive(Debug, Clone)]
pub struct BlobVerification {
    name: String,
    digest: String,
    signatures: Vec<VerifiedBlobSignature>,
    report: Report,
}

impl BlobVerification {
    /// What the blob was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hash of what was read, such as `sha256:<hex>`: SHA-256 when it was computed, else the hash that was signed. A
    /// file can change after it was read; this is what it was.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The signatures that counted.
    pub fn signatures(&self) -> &[VerifiedBlobSignature] {
        &self.signatures
    }

    /// Every check of every signature.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// `{"blob", "digest", "signatures": [{"place", "format", "key"}], "report"}`.
    pub fn json(&self) -> String {
        let signature =
            |s: &VerifiedBlobSignature| json!({"place": s.place, "format": s.format, "key": s.key_fingerprint});
        let signatures: Vec<Value> = self.signatures.iter().map(signature).collect();
        json!({
            "blob": self.name,
            "digest": self.digest,
            "signatures": signatures,
            "report": serde_json::to_value(&self.report).unwrap_or_default(),
        })
        .to_string()
    }
}

/// A judgement in the making: the blob is shown to it in pieces and never held.
#[derive(Debug)]
pub struct BlobJudge<'a> {
    policy: &'a Policy,
    name: String,
    message: MessageVerifier,
    signatures: Vec<Pending>,
}

/// One signature whose first checks were made.
#[derive(Debug)]
struct Pending {
    report: SignatureReport,
    /// Gone when one of them failed.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    signature: Vec<u8>,
    /// The hash that a bundle claims the blob to have.
    claimed: Option<(Hash, Vec<u8>)>,
    /// The log entries beside it.
    log: Result<Vec<LogEntry>>,
    has_timestamps: bool,
}

/// What the first checks of a signature found.
struct Parsed {
    keys: Vec<PublicKey>,
    held: Held,
}

impl<'a> BlobJudge<'a> {
    /// Nothing was seen yet of the blob, which is called `name`. With `hash`, signatures must be over that hash.
    ///
    /// # Errors
    /// [`Code::PolicyEmpty`] for a policy that demands nothing; [`Code::Argument`] without a signature, for a policy that
    /// demands annotations (a blob's signature has none), and for a signature that is longer than any.
    pub fn new(
        name: &str,
        signatures: &[BlobSignature],
        policy: &'a Policy,
        hash: Option<Hash>,
    ) -> Result<BlobJudge<'a>> {
        policy.check()?;
        if !policy.annotations().is_empty() {
            let what = "the policy demands annotations, and signatures of blobs have none";
            return Err(Error::new(Code::Argument, what));
        }
        if signatures.is_empty() {
            return Err(Error::new(Code::Argument, "verifying a blob needs a signature or a bundle"));
        }
        let mut judge =
            BlobJudge { policy, name: name.to_owned(), message: MessageVerifier::new(), signatures: Vec::new() };
        for (index, signature) in signatures.iter().enumerate() {
            judge.add(index, signature, hash);
        }
        if judge.message.hashes().next().is_none() {
            // Ed25519 needs none, and the result is to name what was read.
            judge.message.demand(Hash::Sha256);
        }
        Ok(judge)
    }

    fn add(&mut self, index: usize, signature: &BlobSignature, hash: Option<Hash>) {
        let mut report = SignatureReport {
            place: signature.place.clone(),
            format: "legacy",
            index,
            verdict: Verdict::Refused,
            key: None,
            checks: Vec::new(),
        };
        let parsed = match signature.form {
            Form::Detached => detached(&signature.bytes, self.policy, Steps::new(&mut report)),
            Form::Bundle => bundle(&signature.bytes, self.policy, hash, &mut report),
        };
        let trusts_a_log = !self.policy.trusted().logs().is_empty();
        let held = parsed.ok().map(|Parsed { keys, held }| {
            let claimed = held.claimed.as_ref().map(|(hash, _)| *hash);
            if let Some(claimed) = claimed {
                self.message.demand(claimed);
            }
            if trusts_a_log && held.log.as_ref().is_ok_and(|entries| !entries.is_empty()) {
                // Logs name a blob by one of these, whatever was signed.
                self.message.demand(Hash::Sha256);
                self.message.demand(Hash::Sha512);
            }
            self.message.add(&keys, &held.signature, hash.or(claimed));
            held
        });
        self.signatures.push(Pending { report, held });
    }

    /// Appends to the blob.
    pub fn update(&mut self, piece: &[u8]) {
        self.message.update(piece);
    }

    /// The verdict, after the whole blob.
    ///
    /// # Errors
    /// [`Code::NoSignatureMatches`] or [`Code::Threshold`], with the [`Report`].
    pub fn finish(self) -> Result<Verified<BlobVerification>> {
        let digests: Vec<(Hash, Vec<u8>)> =
            self.message.hashes().filter_map(|hash| Some((hash, self.message.digest(hash)?))).collect();
        let signers = self.message.finish();
        verdict(self.policy, self.name, self.signatures, signers, &digests, Vec::new())
    }

    /// The verdict on a blob of which only a hash is known. Plain Ed25519 signs no hash, so it cannot be verified.
    ///
    /// # Errors
    /// As [`BlobJudge::finish`]; [`Code::Argument`] for a hash of a wrong length.
    pub fn finish_digest(self, hash: Hash, digest: &[u8]) -> Result<Verified<BlobVerification>> {
        if digest.len() != hash.size() {
            let (found, expected) = (digest.len(), hash.size());
            return Err(Error::new(Code::Argument, format!("{} has {expected} bytes, not {found}", hash.name())));
        }
        let mut notes = Vec::new();
        if self.policy.keys().iter().any(|key| key.algorithm() == crate::crypto::KeyAlgorithm::Ed25519) {
            notes.push("an Ed25519 signature is of the blob, not of a hash: give the blob itself".to_owned());
        }
        let signers = self.message.finish_digest(hash, digest);
        verdict(self.policy, self.name, self.signatures, signers, &[(hash, digest.to_vec())], notes)
    }
}

/// The first checks of a signature that stands alone.
fn detached(bytes: &[u8], policy: &Policy, mut steps: Steps<'_>) -> Result<Parsed, ()> {
    // 1. It is base64 of a signature, or one as it is.
    let signature = steps.run("encoding", raw(bytes))?;
    // 2. Nothing stands beside it.
    steps.skip("certificate", "the signature has none");
    let held = Held { signature, claimed: None, log: Ok(Vec::new()), has_timestamps: false };
    Ok(Parsed { keys: policy.keys().to_vec(), held })
}

fn raw(bytes: &[u8]) -> Result<Vec<u8>> {
    let refused = |what: &str| Error::new(Code::SignatureInvalid, what.to_owned());
    let trimmed = bytes.trim_ascii();
    if trimmed.is_empty() {
        return Err(refused("empty signature"));
    }
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(refused("the signature is longer than any signature"));
    }
    let decoded = std::str::from_utf8(trimmed).ok().and_then(|text| base64::decode(text).ok());
    let signature = decoded.unwrap_or_else(|| bytes.to_vec());
    if signature.is_empty() || signature.len() > MAX_SIGNATURE_BYTES {
        return Err(refused("the signature is longer than any signature"));
    }
    Ok(signature)
}

/// The first checks of a bundle.
fn bundle(bytes: &[u8], policy: &Policy, hash: Option<Hash>, report: &mut SignatureReport) -> Result<Parsed, ()> {
    let parsed = BlobBundle::parse(bytes);
    if let Ok(BlobBundle::Sigstore(_)) = &parsed {
        report.format = "bundle";
    }
    let mut steps = Steps::new(report);
    // 1. It is exactly one bundle of either form, with a signature of a blob.
    let bundle = steps.run("encoding", parsed.and_then(|bundle| is_over(bundle, hash)))?;
    // 2. It is to be verified with a key, and one that stands inside is an accepted one.
    let keys = steps.run("certificate", bundle.candidates(policy.keys()))?;
    let claimed = bundle.digest().map(|(hash, digest)| (hash, digest.to_vec()));
    let held = Held {
        signature: bundle.signature().to_vec(),
        claimed,
        log: bundle.log_entries(),
        has_timestamps: bundle.has_timestamps(),
    };
    Ok(Parsed { keys, held })
}

/// A bundle that says which hash it is over must say the demanded one.
fn is_over(bundle: BlobBundle, hash: Option<Hash>) -> Result<BlobBundle> {
    match (hash, bundle.digest()) {
        (Some(hash), Some((claimed, _))) if claimed != hash => {
            let what = format!("the bundle is over {}, {} was asked for", claimed.name(), hash.name());
            Err(Error::new(Code::SignatureInvalid, what))
        }
        _ => Ok(bundle),
    }
}

/// The last checks of every signature, and then of all of them.
fn verdict(
    policy: &Policy,
    name: String,
    pending: Vec<Pending>,
    signers: Vec<Option<PublicKey>>,
    digests: &[(Hash, Vec<u8>)],
    notes: Vec<String>,
) -> Result<Verified<BlobVerification>> {
    let digest = digests.first().map(|(hash, digest)| format!("{}:{}", hash.name(), hex::encode(digest)));
    let digest = digest.unwrap_or_default();
    let mut report = Report {
        schema: SCHEMA,
        reference: if name.is_empty() { "blob".to_owned() } else { name.clone() },
        digest: digest.clone(),
        verdict: Verdict::Refused,
        threshold: policy.threshold(),
        signers: Vec::new(),
        signatures: Vec::new(),
        unread: Vec::new(),
        notes,
        insecure: Vec::new(),
    };
    let mut signatures = Vec::new();
    let mut signers = signers.into_iter();
    for Pending { report: mut checks, held } in pending {
        // Only what is held was given to the verifier.
        if let Some(held) = held
            && let Ok((key, log)) = last(policy, held, signers.next().flatten(), digests, Steps::new(&mut checks))
        {
            let key_fingerprint = key.fingerprint();
            checks.verdict = Verdict::Verified;
            if !report.signers.contains(&key_fingerprint) {
                report.signers.push(key_fingerprint.clone());
            }
            let (place, format) = (checks.place.clone(), checks.format);
            signatures.push(VerifiedBlobSignature { place, format, key_fingerprint, log });
        }
        report.signatures.push(checks);
    }
    if report.signers.len() >= policy.threshold() {
        report.verdict = Verdict::Verified;
        return Ok(Verified::assertion(BlobVerification { name, digest, signatures, report }));
    }
    let mut error = refusal(policy, &report);
    if let Some(note) = report.notes.first() {
        error = Error::new(error.code(), format!("{} ({note})", error.message()));
    }
    Err(error
        .with("reference", report.reference.as_str())
        .with("report", serde_json::to_value(&report).unwrap_or_default())
        .attach(Arc::new(report)))
}

fn last(
    policy: &Policy,
    held: Held,
    signer: Option<PublicKey>,
    digests: &[(Hash, Vec<u8>)],
    mut steps: Steps<'_>,
) -> Result<(PublicKey, Option<LogProof>), ()> {
    // 3. One of the policy's keys made the signature over the blob.
    let refused = || Error::new(Code::SignatureInvalid, "the signature was not made by an accepted key");
    let key = steps.run("key", signer.ok_or_else(refused))?;
    steps.report.key = Some(key.fingerprint());
    // 4. The blob has the hash that the bundle says. With a hash that was signed this holds already; Ed25519 signs none.
    match &held.claimed {
        None => steps.skip("digest", "the signature claims none"),
        Some((hash, claimed)) => {
            let is_it = digests.iter().any(|(known, digest)| known == hash && digest == claimed);
            let what = "the blob is not the one that the bundle's message digest names";
            let mismatch = || Error::new(Code::PayloadMismatch, what);
            steps.run("digest", if is_it { Ok(()) } else { Err(mismatch()) })?;
        }
    }
    // 5. An entry in a transparency log is of this signature, this key and this blob. No log is asked about blobs.
    let subject = || Subject::hashed(digests.to_vec(), &held.signature, &key);
    let proof = log::check(held.log, subject, policy, &LogAnswer::NotAsked, &mut steps)?;
    // 6. Timestamps: with a key they are not demanded, and without a trusted authority they prove nothing.
    steps.skip("timestamp", if held.has_timestamps { "no trusted root" } else { "the signature has none" });
    Ok((key, proof))
}
