//! verify-blob: show what the reader yields to the judge, and hand out the verdict.

use std::io::Read;

use super::pieces;
use crate::call::Call;
use crate::crypto::Hash;
use crate::error::Result;
use crate::verify::{BlobJudge, BlobSignature, BlobVerification, Policy, Verified};

/// How a blob is verified.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyBlobOptions {
    /// What the blob is called in the report and in errors; a file's name.
    pub name: String,
    /// The only hash that signatures may be over (cosign's `--signature-digest-algorithm`). By default each that the
    /// key's kind signs with, or the one that a bundle names.
    pub hash: Option<Hash>,
}

impl VerifyBlobOptions {
    /// The defaults.
    pub fn new() -> VerifyBlobOptions {
        VerifyBlobOptions::default()
    }

    /// Sets what the blob is called.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> VerifyBlobOptions {
        self.name = name.into();
        self
    }
}

/// Verifies all that `blob` yields: `signatures` by keys of `policy`, as many distinct ones as its threshold.
///
/// The blob is read once, to its end, in pieces that are not kept.
///
/// # Errors
/// [`Code::NoSignatureMatches`](crate::Code::NoSignatureMatches) or [`Code::Threshold`](crate::Code::Threshold), with the
/// report; usage errors before anything is read ([`BlobJudge::new`]); [`Code::Io`](crate::Code::Io) for what cannot be read
/// to its end; [`Code::Cancelled`](crate::Code::Cancelled) and [`Code::Timeout`](crate::Code::Timeout).
pub fn verify_blob(
    blob: impl Read,
    signatures: &[BlobSignature],
    policy: &Policy,
    options: &VerifyBlobOptions,
    call: &Call,
) -> Result<Verified<BlobVerification>> {
    let mut judge = BlobJudge::new(&options.name, signatures, policy, options.hash)?;
    pieces(blob, call, |piece| {
        judge.update(piece);
        Ok(())
    })?;
    judge.finish()
}

/// [`verify_blob`] of a blob of which only a hash is known. Signatures by Ed25519 keys cannot be verified so.
///
/// # Errors
/// As [`verify_blob`]; [`Code::Argument`](crate::Code::Argument) for a hash of a wrong length.
pub fn verify_blob_digest(
    hash: Hash,
    digest: &[u8],
    signatures: &[BlobSignature],
    policy: &Policy,
    options: &VerifyBlobOptions,
) -> Result<Verified<BlobVerification>> {
    BlobJudge::new(&options.name, signatures, policy, options.hash)?.finish_digest(hash, digest)
}
