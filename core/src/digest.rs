//! Content digests: parsed once at the door, so that no raw string ever reaches a path, a tag or a URL.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use crate::encoding::hex;
use crate::error::{Code, Error, Result};

/// The hash functions that a content digest may use (OCI image-spec, "Digests").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// `sha256:` and 64 hex digits.
    Sha256,
    /// `sha512:` and 128 hex digits.
    Sha512,
}

/// A content digest such as `sha256:e3b0…`: lower-case hex of exactly the right length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest { algorithm: DigestAlgorithm::Sha256, hex: hex::encode(&Sha256::digest(bytes)) }
    }

    /// Parses `sha256:<64 hex>` or `sha512:<128 hex>`; upper case, other lengths and other algorithms are errors.
    pub fn parse(text: &str) -> Result<Digest> {
        let bad = || {
            let shown: String = text.chars().take(80).collect();
            Error::new(
                Code::Reference,
                format!("{shown:?} is not a digest: expected sha256: and 64 lower-case hex digits"),
            )
        };
        let (algorithm, rest) = text.split_once(':').ok_or_else(bad)?;
        let (algorithm, length) = match algorithm {
            "sha256" => (DigestAlgorithm::Sha256, 64),
            "sha512" => (DigestAlgorithm::Sha512, 128),
            _ => return Err(bad()),
        };
        let is_hex = rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if rest.len() != length || !is_hex {
            return Err(bad());
        }
        Ok(Digest { algorithm, hex: rest.to_owned() })
    }

    /// The hash function.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// `sha256` or `sha512`.
    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Sha512 => "sha512",
        }
    }

    /// The lower-case hex part.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Whether `bytes` have this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let found = match self.algorithm {
            DigestAlgorithm::Sha256 => hex::encode(&Sha256::digest(bytes)),
            DigestAlgorithm::Sha512 => hex::encode(&Sha512::digest(bytes)),
        };
        found == self.hex
    }
}

/// Content that comes in pieces, compared with a digest at its end.
#[derive(Debug, Clone)]
pub struct Matcher {
    digest: Digest,
    hash: Hash,
}

#[derive(Debug, Clone)]
enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Matcher {
    /// A matcher of nothing yet.
    pub fn new(digest: &Digest) -> Matcher {
        let hash = match digest.algorithm {
            DigestAlgorithm::Sha256 => Hash::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => Hash::Sha512(Sha512::new()),
        };
        Matcher { digest: digest.clone(), hash }
    }

    /// Appends to the content.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(piece),
            Hash::Sha512(hash) => hash.update(piece),
        }
    }

    /// Whether the content has the digest.
    pub fn matches(self) -> bool {
        let found = match self.hash {
            Hash::Sha256(hash) => hex::encode(&hash.finalize()),
            Hash::Sha512(hash) => hex::encode(&hash.finalize()),
        };
        found == self.digest.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm_name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        Digest::parse(text)
    }
}
