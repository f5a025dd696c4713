//! [`MessageVerifier`]: signatures over a message that comes in pieces.

use super::PublicKey;
use crate::crypto::stream::{Ed25519, Hasher};
use crate::crypto::{Hash, KeyAlgorithm};

/// Verifies signatures, each by one of several keys, over a message that is read once and never held: what
/// [`PublicKey::verify`] accepts, this accepts. It computes only the hashes that some key and signature can need.
#[derive(Default)]
pub struct MessageVerifier {
    hasher: Hasher,
    signatures: Vec<Candidates>,
}

/// One signature and who may have made it.
struct Candidates {
    signature: Vec<u8>,
    keys: Vec<(PublicKey, Way)>,
}

/// How a key verifies a signature.
enum Way {
    /// Over one of these hashes.
    Hashed(Vec<Hash>),
    /// Over the message itself.
    Ed25519(Box<Ed25519>),
    /// Not at all: no such key makes such a signature.
    Never,
}

impl MessageVerifier {
    /// Nothing to verify yet.
    pub fn new() -> MessageVerifier {
        MessageVerifier::default()
    }

    /// Verifies `signature` too, by any of `keys`; before the first piece. With `hash` it must be over that one, and for
    /// Ed25519 keys it is plain unless that is SHA-512, the hash of Ed25519ph.
    pub fn add(&mut self, keys: &[PublicKey], signature: &[u8], hash: Option<Hash>) {
        let way = |key: &PublicKey| {
            if key.algorithm() == KeyAlgorithm::Ed25519 {
                let maybe_prehashed = hash.is_none_or(|hash| hash == Hash::Sha512);
                let ed25519 = Ed25519::new(key.algorithm(), key.raw(), signature, maybe_prehashed);
                return ed25519.map_or(Way::Never, |ed25519| Way::Ed25519(Box::new(ed25519)));
            }
            let accepted = key.algorithm().accepted_hashes().iter().copied();
            Way::Hashed(accepted.filter(|accepted| hash.is_none_or(|hash| hash == *accepted)).collect())
        };
        let keys: Vec<(PublicKey, Way)> = keys.iter().map(|key| (key.clone(), way(key))).collect();
        for (_, way) in &keys {
            if let Way::Hashed(hashes) = way {
                hashes.iter().for_each(|hash| self.hasher.demand(*hash));
            }
        }
        self.signatures.push(Candidates { signature: signature.to_vec(), keys });
    }

    /// Computes `hash` of the message too; before the first piece.
    pub fn demand(&mut self, hash: Hash) {
        self.hasher.demand(hash);
    }

    /// The hashes that are computed, the shortest first.
    pub fn hashes(&self) -> impl Iterator<Item = Hash> + '_ {
        self.hasher.hashes()
    }

    /// Appends to the message.
    pub fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        for (_, way) in self.signatures.iter_mut().flat_map(|signature| &mut signature.keys) {
            if let Way::Ed25519(ed25519) = way {
                ed25519.update(piece);
            }
        }
    }

    /// The hash of the message so far; `None` for one that is not computed.
    pub fn digest(&self, hash: Hash) -> Option<Vec<u8>> {
        self.hasher.digest(hash)
    }

    /// For each signature, in the order in which they were added, the first key that made it over the whole message.
    pub fn finish(self) -> Vec<Option<PublicKey>> {
        let MessageVerifier { hasher, signatures } = self;
        signers(signatures, |hash| hasher.digest(hash), |ed25519| ed25519.finish())
    }

    /// [`MessageVerifier::finish`] for a message of which only a hash is known. Ed25519 signs no hash.
    pub fn finish_digest(self, hash: Hash, digest: &[u8]) -> Vec<Option<PublicKey>> {
        signers(self.signatures, |other| (other == hash).then(|| digest.to_vec()), |_| false)
    }
}

fn signers(
    signatures: Vec<Candidates>,
    digest: impl Fn(Hash) -> Option<Vec<u8>>,
    ed25519: impl Fn(Ed25519) -> bool,
) -> Vec<Option<PublicKey>> {
    let signer = |Candidates { signature, keys }: Candidates| {
        let made_it = |(key, way): (PublicKey, Way)| {
            let is_signer = match way {
                Way::Never => false,
                Way::Ed25519(stream) => ed25519(*stream),
                Way::Hashed(hashes) => hashes.into_iter().any(|hash| {
                    digest(hash).is_some_and(|digest| key.verify_digest(hash, &digest, &signature).is_ok())
                }),
            };
            is_signer.then_some(key)
        };
        keys.into_iter().find_map(made_it)
    };
    signatures.into_iter().map(signer).collect()
}

impl std::fmt::Debug for MessageVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<MessageVerifier of {} signatures, hashes {:?}>", self.signatures.len(), self.hasher)
    }
}
