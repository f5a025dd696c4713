//! What must hold: keys, how many of them, annotations, an entry in a transparency log. A policy that demands nothing is
//! an error, never a pass.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::encoding::strict_json::{self, Limits};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::trust::{TrustedLog, TrustedRoot};

/// What a verification demands. One signature must satisfy all of it; `threshold` distinct signers must have one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    keys: Vec<PublicKey>,
    annotations: BTreeMap<String, String>,
    threshold: Threshold,
    tlog: bool,
    trusted: TrustedRoot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threshold {
    Count(u32),
    All,
}

impl Default for Policy {
    fn default() -> Self {
        Policy::new()
    }
}

impl Policy {
    /// A policy that accepts nobody yet: add keys.
    pub fn new() -> Policy {
        Policy {
            keys: Vec::new(),
            annotations: BTreeMap::new(),
            threshold: Threshold::Count(1),
            tlog: false,
            trusted: TrustedRoot::new(),
        }
    }

    /// Accepts signatures by `key`. The same key twice counts once.
    pub fn add_key(&mut self, key: PublicKey) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    /// [`Policy::add_key`] for chains.
    #[must_use]
    pub fn with_key(mut self, key: PublicKey) -> Policy {
        self.add_key(key);
        self
    }

    /// Demands that each counted signature carries the annotation `key` with exactly this text.
    ///
    /// # Errors
    /// [`Code::Argument`] when `key` is empty or was demanded before with another value.
    pub fn require_annotation(&mut self, key: &str, value: &str) -> Result<()> {
        if key.is_empty() {
            return Err(Error::new(Code::Argument, "a demanded annotation needs a name"));
        }
        match self.annotations.get(key) {
            Some(old) if old != value => Err(Error::new(
                Code::Argument,
                format!("the annotation {key:?} is demanded twice with different values"),
            )),
            _ => {
                self.annotations.insert(key.to_owned(), value.to_owned());
                Ok(())
            }
        }
    }

    /// Demands signatures by `count` distinct keys.
    pub fn set_threshold(&mut self, count: u32) {
        self.threshold = Threshold::Count(count);
    }

    /// Demands a signature by every key.
    pub fn require_all_keys(&mut self) {
        self.threshold = Threshold::All;
    }

    /// Demands that each counted signature has an entry in a transparency log that the policy trusts
    /// ([`Policy::add_log_key`], [`Policy::trust`]): one that stands beside the signature, or one that is found in the log.
    ///
    /// Without this demand an entry beside the signature is judged all the same if the policy trusts any log, and one that
    /// is not good makes the signature bad.
    pub fn require_tlog(&mut self, demanded: bool) {
        self.tlog = demanded;
    }

    /// Trusts the transparency log with this key. No log is trusted unless the caller says so.
    pub fn add_log_key(&mut self, key: PublicKey) {
        self.trusted.add_log(TrustedLog::of_key(key));
    }

    /// Trusts the logs of a trusted root, beside those trusted before.
    pub fn trust(&mut self, root: TrustedRoot) {
        self.trusted.merge(root);
    }

    /// Reads `{"keys": ["PEM or base64", …], "annotations": {"k": "v"}, "threshold": 1 | "all", "tlog": true,
    /// "log_keys": ["PEM or base64", …], "trusted_root": {…}}`. An unknown member is an error: a demand that is not
    /// understood is never dropped.
    pub fn from_json(text: &str) -> Result<Policy> {
        let bad = |what: String| Error::new(Code::PolicyEmpty, format!("the policy is not acceptable: {what}"));
        // A trusted root in it is nested deeper than the policy itself.
        let limits = Limits { max_bytes: 1 << 20, max_depth: 16, max_members: 10_000 };
        let value = strict_json::parse(text.as_bytes(), limits).map_err(|e| bad(e.message().to_owned()))?;
        let object = value.as_object().ok_or_else(|| bad("it is not a JSON object".into()))?;
        let key_of = |key: &Value| {
            let text = key.as_str().ok_or_else(|| bad("a key must be text".into()))?;
            match text.contains("-----BEGIN") {
                true => PublicKey::from_pem(text.as_bytes()),
                false => PublicKey::from_inline(text),
            }
        };
        let mut policy = Policy::new();
        for (name, value) in object {
            match (name.as_str(), value) {
                ("keys", Value::Array(keys)) => {
                    for key in keys {
                        policy.add_key(key_of(key)?);
                    }
                }
                ("log_keys", Value::Array(keys)) => {
                    for key in keys {
                        policy.add_log_key(key_of(key)?);
                    }
                }
                ("tlog", Value::Bool(demanded)) => policy.require_tlog(*demanded),
                ("trusted_root", root @ Value::Object(_)) => {
                    policy.trust(TrustedRoot::from_json(root.to_string().as_bytes())?);
                }
                ("annotations", Value::Object(annotations)) => {
                    for (key, value) in annotations {
                        let value = value.as_str().ok_or_else(|| bad(format!("annotation {key:?} must be text")))?;
                        policy.require_annotation(key, value)?;
                    }
                }
                ("threshold", Value::String(all)) if all == "all" => policy.require_all_keys(),
                ("threshold", Value::Number(count)) => {
                    let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
                    policy.set_threshold(count.ok_or_else(|| bad("threshold must be a whole number".into()))?);
                }
                ("keys" | "annotations" | "threshold" | "tlog" | "log_keys" | "trusted_root", _) => {
                    return Err(bad(format!("{name} has the wrong type")));
                }
                _ => return Err(bad(format!("unknown member {name:?}"))),
            }
        }
        policy.check()?;
        Ok(policy)
    }

    /// The accepted keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The demanded annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// How many distinct signers are needed.
    pub fn threshold(&self) -> usize {
        match self.threshold {
            Threshold::Count(count) => count as usize,
            Threshold::All => self.keys.len(),
        }
    }

    /// Whether an entry in a transparency log is demanded.
    pub fn requires_tlog(&self) -> bool {
        self.tlog
    }

    /// Whom the policy trusts beside the signers.
    pub fn trusted(&self) -> &TrustedRoot {
        &self.trusted
    }

    /// Refuses a policy that would accept everything or can accept nothing.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::new(Code::PolicyEmpty, what));
        if self.keys.is_empty() {
            return bad("the policy accepts no key: add at least one public key".into());
        }
        if self.threshold() == 0 {
            return bad("the policy's threshold is 0, which anything would satisfy".into());
        }
        if self.threshold() > self.keys.len() {
            return bad(format!(
                "the policy demands {} signers of {} distinct keys",
                self.threshold(),
                self.keys.len()
            ));
        }
        if self.tlog && self.trusted.logs().is_empty() {
            return bad("the policy demands a transparency log's entry and trusts no log: give the log's public key, \
                 or a trusted root that has it"
                .into());
        }
        Ok(())
    }
}
