//! A log's signed statement about its tree: a note (golang.org/x/mod/sumdb/note, C2SP `signed-note`) whose text is a
//! checkpoint (C2SP `tlog-checkpoint`): origin, size, root, one per line.
//!
//! Read byte by byte, since what two readers could split differently is how a statement comes to say two things.

use crate::crypto::Hash;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;

const MAX_BYTES: usize = 64 << 10;
const MAX_SIGNATURES: usize = 100;

/// A checkpoint of which one signature was made by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Who says so: for logs of the first generation `<host> - <tree id>`.
    pub origin: String,
    /// How many entries the tree has.
    pub size: u64,
    /// Its root.
    pub root: Vec<u8>,
}

fn bad(what: &str) -> Error {
    Error::new(Code::SignatureInvalid, format!("the log's checkpoint is not acceptable: {what}"))
}

impl Checkpoint {
    /// Reads a note and verifies the signature of `key` on it; signatures by others (witnesses) say nothing here.
    ///
    /// The hint of a signature is compared and not relied on: of several signatures with the key's hint one must verify.
    ///
    /// # Errors
    /// [`Code::SignatureInvalid`] for a malformed note, or one that the key has not signed.
    pub fn open(note: &str, key: &PublicKey) -> Result<Checkpoint> {
        if note.len() > MAX_BYTES {
            return Err(bad("it is longer than 64 KiB"));
        }
        if note.chars().any(|c| c != '\n' && c.is_control()) {
            return Err(bad("it has control characters"));
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or_else(|| bad("it has no blank line"))?;
        let signatures = signatures.strip_suffix('\n').ok_or_else(|| bad("its last line does not end"))?;
        let text = format!("{text}\n");
        let checkpoint = Checkpoint::parse(&text)?;
        let hint = Hash::Sha256.digest(key.to_der());
        let hint = hint.get(..4).unwrap_or_default();
        // The log signs with its host's name; the rest of the origin names the tree.
        let host = checkpoint.origin.split_once(" - ").map_or("", |(host, _)| host);
        let lines: Vec<&str> = signatures.split('\n').collect();
        if lines.len() > MAX_SIGNATURES {
            return Err(bad("it has too many signatures"));
        }
        let mut signed = false;
        for line in lines {
            let (name, packed) = line
                .strip_prefix("\u{2014} ")
                .and_then(|rest| rest.split_once(' '))
                .filter(|(name, _)| !name.is_empty() && !name.contains(['+', '\u{a0}']))
                .ok_or_else(|| bad("a line of a signature is malformed"))?;
            let packed = base64::decode(packed).map_err(|_| bad("a signature is not base64"))?;
            let Some((of, signature)) = packed.split_at_checked(4).filter(|(_, signature)| !signature.is_empty())
            else {
                return Err(bad("a signature is too short"));
            };
            signed |= of == hint && name == host && key.verify(text.as_bytes(), signature).is_ok();
        }
        match signed {
            true => Ok(checkpoint),
            false => Err(bad("the log's key has not signed it")),
        }
    }

    fn parse(text: &str) -> Result<Checkpoint> {
        let mut lines = text.split('\n');
        let mut line = |what: &str| lines.next().filter(|line| !line.is_empty()).ok_or_else(|| bad(what));
        let origin = line("it has no origin")?;
        let size = line("it has no size")?;
        let root = line("it has no root")?;
        let number: Option<u64> = size.parse().ok();
        let size = number.filter(|number| number.to_string() == size).ok_or_else(|| bad("its size is no number"))?;
        let root = base64::decode(root).ok().filter(|root| root.len() == 32);
        let root = root.ok_or_else(|| bad("its root is no hash"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root })
    }

    /// Whether a log of the first generation signed it: its origin ends in the number of a tree.
    pub fn is_of_a_tree(&self) -> bool {
        let tree = self.origin.rsplit_once(" - ").map(|(_, tree)| tree);
        tree.is_some_and(|tree| !tree.is_empty() && tree.bytes().all(|b| b.is_ascii_digit()))
    }

    /// The number of the tree, as the names of entries carry it: 16 hex digits.
    pub fn tree_id(&self) -> Option<String> {
        let (_, tree) = self.origin.rsplit_once(" - ")?;
        let tree: u64 = tree.parse().ok()?;
        Some(format!("{tree:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyAlgorithm;
    use crate::key::PrivateKey;

    fn line(name: &str, key: &PrivateKey, text: &str) -> String {
        let mut packed = Hash::Sha256.digest(key.public_key().to_der())[..4].to_vec();
        packed.extend(key.sign(text.as_bytes()).unwrap());
        format!("\u{2014} {name} {}\n", base64::encode(&packed))
    }

    #[test]
    fn a_checkpoint_is_what_the_log_signed_and_nothing_else() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let root = base64::encode(&[7; 32]);
        let text = format!("log.test - 42\n9\n{root}\n");
        let public = key.public_key();
        let open = |note: &str| Checkpoint::open(note, &public);
        let note = |text: &str| format!("{text}\n{}", line("log.test", &key, text));
        let good = open(&note(&text)).unwrap();
        assert_eq!(good, Checkpoint { origin: "log.test - 42".into(), size: 9, root: vec![7; 32] });
        assert_eq!(good.tree_id().unwrap(), "000000000000002a");
        assert!(good.is_of_a_tree());
        // More lines of text, and witnesses before and behind the log.
        let more = format!("{text}Timestamp: 5\n");
        let witness = line("witness.test", &other, &more);
        assert!(open(&format!("{more}\n{witness}{}{witness}", line("log.test", &key, &more))).is_ok());

        for size in ["+9", "09", "9 ", " 9", "", "-1", "0x9", "18446744073709551616", &"9".repeat(31)] {
            assert!(open(&note(&format!("log.test - 42\n{size}\n{root}\n"))).is_err(), "{size:?}");
        }
        for wrong in [
            String::new(),
            text.clone(),
            format!("{text}\n"),
            note("log.test - 42\n9\n"),
            note("log.test - 42\n"),
            note(&format!("\n9\n{root}\n")),
            note(&format!("log.test - 42\n9\n{}\n", base64::encode(&[7; 31]))),
            note(&format!("log.test - 42\n9\n{}\n", "!".repeat(44))),
            // Another text under the same signature, and another key.
            note(&text).replacen("\n9\n", "\n8\n", 1),
            note(&text).replacen("log.test - 42", "log.test - 43", 1),
            note(&text).replacen("log.test", "evil.test", 1),
            format!("{text}\n{}", line("log.test", &other, &text)),
            // Only a witness; the log's key under another name.
            format!("{text}\n{}", line("witness.test", &other, &text)),
            format!("{text}\n{}", line("evil.test", &key, &text)),
            // Malformed lines beside a good one.
            note(&text).replace('\u{2014}', "-"),
            note(&text).replace("\n\n", "\n"),
            format!("{}\u{2014} x\n", note(&text)),
            format!("{}\u{2014} x !!!!\n", note(&text)),
            format!("{}\u{2014} x AAAA\n", note(&text)),
            format!("{}trailing", note(&text)),
            format!("{}\n", note(&text)),
            note(&text).trim_end().to_owned(),
            note(&text).replace('\n', "\r\n"),
            format!("{text}\n{}", line("log.test", &key, &text).repeat(101)),
        ] {
            assert!(open(&wrong).is_err(), "{wrong:?}");
        }
        // The hint of another key in front of a good signature, and this key's hint before a stranger's.
        let packed = |hint: &[u8], signature: &[u8]| base64::encode(&[hint, signature].concat());
        let signature = key.sign(text.as_bytes()).unwrap();
        let foreign = other.sign(text.as_bytes()).unwrap();
        let hint = &Hash::Sha256.digest(public.to_der())[..4];
        assert!(open(&format!("{text}\n\u{2014} log.test {}\n", packed(hint, &signature))).is_ok());
        assert!(open(&format!("{text}\n\u{2014} log.test {}\n", packed(&[0; 4], &signature))).is_err());
        assert!(open(&format!("{text}\n\u{2014} log.test {}\n", packed(hint, &foreign))).is_err());
        // Any bit of it changed.
        let whole = note(&text);
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(open(&changed).is_err(), "{at}");
            }
        }
    }
}
