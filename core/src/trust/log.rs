//! Whether an entry of a transparency log proves that the log has a signature: the checks, top to bottom in the order they
//! are made.

use super::body::{self, Subject};
use super::checkpoint::Checkpoint;
use super::merkle;
use super::root::{TrustedLog, TrustedRoot};
use crate::bundle::rekor;
use crate::bundle::sigstore::{InclusionProof, LogEntry};
use crate::encoding::hex;
use crate::error::{Code, Error, Result};

/// What an entry has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// The index of the entry in the whole log; without the log's promise, that in the tree that holds it.
    pub index: u64,
    /// The log, lower-case hex.
    pub log_id: String,
    /// When the log took it, in seconds after 1970; `None` without the log's promise, which alone vouches for it.
    pub integrated_time: Option<u64>,
    /// Whether the entry was proven to be in the log, not only promised.
    pub included: bool,
}

fn bad(what: &str) -> Error {
    Error::new(Code::SignatureInvalid, format!("the log entry is not acceptable: {what}"))
}

/// Checks that a log in `root` has promised to include, or has included, the entry, and that it is about `subject`. What
/// the entry has of both must be good: a bad promise is not made up for by a good proof.
///
/// # Errors
/// [`Code::SignatureInvalid`] or [`Code::PayloadMismatch`], with what is wrong.
pub fn check_entry(entry: &LogEntry, subject: &Subject, root: &TrustedRoot) -> Result<LogProof> {
    // 1. A trusted log has this id.
    let logs: Vec<&TrustedLog> = root.logs().iter().filter(|log| log.id == entry.log_id).collect();
    if logs.is_empty() {
        return Err(bad("no log that is trusted has made it"));
    }
    // 2. It is about this signature, key and payload.
    body::is_about(entry, subject)?;
    // 3. The log's promise, if there is one, is over exactly this entry, and given while its key counted. Only then
    // something is known of the time.
    let promised = entry.promise.as_deref().map(|promise| promise_by(entry, promise, &logs)).transpose()?;
    // 4. The proof, if there is one, leads from exactly this entry to a root that the log has signed.
    let included = entry.proof.as_ref().map(|proof| included_by(entry, proof, &logs)).transpose()?;
    // 5. One of them is there. A proof tells no time, so it counts only under a key that has not ended.
    match (promised, included) {
        (None, None) => return Err(bad("the log neither promises nor proves that it has it")),
        (None, Some(log)) if log.validity.end.is_some() => {
            return Err(bad("its log's key has ended, and nothing says that it is from before"));
        }
        _ => {}
    }
    // Without a promise only the index in the log's tree is proven.
    let proven = entry.proof.as_ref().filter(|_| promised.is_none()).map_or(entry.index, |proof| proof.index);
    Ok(LogProof {
        index: proven,
        log_id: hex::encode(&entry.log_id),
        integrated_time: promised.map(|_| entry.integrated_time),
        included: included.is_some(),
    })
}

/// [`check_entry`] of an entry that a log answered when it was asked: it must prove that it includes it.
///
/// # Errors
/// Those of [`check_entry`].
pub fn check_included(logged: &rekor::Logged, subject: &Subject, root: &TrustedRoot) -> Result<LogProof> {
    let entry = &logged.entry;
    let proof = check_entry(entry, subject, root)?;
    if !proof.included {
        return Err(bad("the log does not prove that it includes it"));
    }
    // Only the promise covers the time and the index of the whole log, and a log that is asked gives it.
    if proof.integrated_time.is_none() {
        return Err(bad("the log has not signed its timestamp"));
    }
    // Its name is the hash of what it is, behind the tree that holds it.
    let leaf = hex::encode(&merkle::leaf_hash(&entry.body));
    let (tree, hash) = logged.uuid.split_at_checked(logged.uuid.len().saturating_sub(64)).unwrap_or_default();
    if hash != leaf {
        return Err(bad("its name is that of another entry"));
    }
    let signed = entry.proof.as_ref().and_then(|proof| tree_of(&proof.checkpoint));
    if !tree.is_empty() && signed.as_deref() != Some(tree) {
        return Err(bad("its name is that of an entry in another tree"));
    }
    Ok(proof)
}

/// The tree that the origin of a checkpoint names. Its signature was verified before.
fn tree_of(checkpoint: &str) -> Option<String> {
    let (_, tree) = checkpoint.lines().next()?.rsplit_once(" - ")?;
    tree.parse::<u64>().ok().map(|tree| format!("{tree:016x}"))
}

/// The log that made the promise (the signed entry timestamp).
fn promise_by<'a>(entry: &LogEntry, promise: &[u8], logs: &[&'a TrustedLog]) -> Result<&'a TrustedLog> {
    let message = rekor::promised(entry);
    let signed = |log: &&&TrustedLog| log.key.verify(message.as_bytes(), promise).is_ok();
    let log = logs.iter().find(signed).ok_or_else(|| bad("the log has not signed its timestamp"))?;
    if entry.integrated_time == 0 {
        return Err(bad("its timestamp has no time"));
    }
    if !log.validity.covers(entry.integrated_time) {
        return Err(bad("its log's key did not count at its time"));
    }
    Ok(log)
}

/// The log that signed the root to which the proof leads.
fn included_by<'a>(entry: &LogEntry, proof: &InclusionProof, logs: &[&'a TrustedLog]) -> Result<&'a TrustedLog> {
    let root = merkle::root_from_path(&merkle::leaf_hash(&entry.body), proof.index, proof.tree_size, &proof.hashes);
    let root = root.ok_or_else(|| bad("its proof fits no tree of that size"))?;
    if root != proof.root {
        return Err(bad("its proof does not lead to the root that it names"));
    }
    if proof.index > entry.index {
        return Err(bad("its index in its tree is larger than that in the whole log"));
    }
    let mut refused = None;
    for log in logs {
        match Checkpoint::open(&proof.checkpoint, &log.key) {
            Ok(checkpoint) => {
                if !checkpoint.is_of_a_tree() {
                    return Err(bad("its checkpoint is not that of a log which writes such entries"));
                }
                if checkpoint.size != proof.tree_size || checkpoint.root != root {
                    return Err(bad("its proof is for another tree than the log has signed"));
                }
                return Ok(log);
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| bad("no log signed its checkpoint")))
}
