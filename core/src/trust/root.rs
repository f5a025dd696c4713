//! The keys of transparency logs that the caller trusts: given one by one, or in a `trusted_root.json`
//! (sigstore/protobuf-specs, `sigstore_trustroot.proto`).

use serde_json::{Map, Value};

use crate::crypto::Hash;
use crate::encoding::strict_json::{self, Limits};
use crate::encoding::{proto_json, rfc3339};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;

/// A trusted root is at most 1 MiB.
const MAX_BYTES: usize = 1 << 20;
/// Logs in one trusted root.
const MAX_LOGS: usize = 100;

/// When a key counts, in seconds after 1970; both ends are part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// From this moment on.
    pub start: u64,
    /// Until this moment; open when `None`.
    pub end: Option<u64>,
}

impl Validity {
    /// Whether `moment` is in it.
    pub fn covers(&self, moment: u64) -> bool {
        self.start <= moment && self.end.is_none_or(|end| moment <= end)
    }
}

/// A transparency log that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedLog {
    /// The key that it signs with.
    pub key: PublicKey,
    /// What its entries call it: SHA-256 over the SPKI of its key, for logs of the first generation.
    pub id: Vec<u8>,
    /// When its key counts.
    pub validity: Validity,
}

impl TrustedLog {
    /// A log known by its key alone, which counts at all times.
    pub fn of_key(key: PublicKey) -> TrustedLog {
        TrustedLog { id: Hash::Sha256.digest(key.to_der()), key, validity: Validity::default() }
    }

    /// Whether it is a log of the second generation, whose id is made of its name, too. Their entries are not read yet.
    pub fn is_second_generation(&self) -> bool {
        self.id != Hash::Sha256.digest(self.key.to_der())
    }
}

/// Whom to trust beside the signers. Empty unless the caller fills it: nothing is built in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedRoot {
    logs: Vec<TrustedLog>,
}

impl TrustedRoot {
    /// Trusts nobody.
    pub fn new() -> TrustedRoot {
        TrustedRoot::default()
    }

    /// Reads the logs (`tlogs`) of a `trusted_root.json`; its certificate authorities are not needed for keys.
    ///
    /// # Errors
    /// [`Code::PolicyEmpty`] for anything that is not one, with an unknown member, a key that is not accepted, or a
    /// validity that cannot be read: a limit that is not understood is never dropped.
    pub fn from_json(json: &[u8]) -> Result<TrustedRoot> {
        let limits = Limits { max_bytes: MAX_BYTES, max_depth: 16, max_members: 10_000 };
        let value = strict_json::parse(json, limits).map_err(|e| bad(e.message()))?;
        let known = ["mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities"];
        let object = proto_json::object(&value, &known).map_err(bad)?;
        let media_type = proto_json::text(object, "mediaType").map_err(bad)?.unwrap_or_default();
        if !media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(bad("its mediaType is not that of a trusted root"));
        }
        let list = proto_json::list(object, "tlogs").map_err(bad)?;
        if list.len() > MAX_LOGS {
            return Err(bad(format!("it has more than {MAX_LOGS} logs")));
        }
        Ok(TrustedRoot { logs: list.iter().map(trusted_log).collect::<Result<_>>()? })
    }

    /// Trusts a log.
    pub fn add_log(&mut self, log: TrustedLog) {
        if !self.logs.contains(&log) {
            self.logs.push(log);
        }
    }

    /// The trusted logs.
    pub fn logs(&self) -> &[TrustedLog] {
        &self.logs
    }

    /// Trusts all that `other` trusts, too.
    pub fn merge(&mut self, other: TrustedRoot) {
        for log in other.logs {
            self.add_log(log);
        }
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::PolicyEmpty, format!("the trusted root is not acceptable: {}", what.into()))
}

fn trusted_log(value: &Value) -> Result<TrustedLog> {
    let log = |what: String| bad(format!("a log: {what}"));
    let known = ["baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator"];
    let object = proto_json::object(value, &known).map_err(log)?;
    let part = |name: &str, known: &[&str]| -> Result<Map<String, Value>> {
        let part = proto_json::member(object, name).ok_or_else(|| log(format!("it has no {name}")))?;
        proto_json::object(part, known).cloned().map_err(log)
    };
    let hash = proto_json::text(object, "hashAlgorithm").map_err(log)?;
    if hash != Some("SHA2_256") {
        return Err(log("its hashAlgorithm is not SHA2_256".into()));
    }
    let key = part("publicKey", &["rawBytes", "keyDetails", "validFor"])?;
    let der = proto_json::bytes(&key, "rawBytes").map_err(log)?.unwrap_or_default();
    let id = proto_json::bytes(&part("logId", &["keyId"])?, "keyId").map_err(log)?.unwrap_or_default();
    if id.is_empty() || id.len() > 32 {
        return Err(log("its keyId is missing or too long".into()));
    }
    let validity = match proto_json::member(&key, "validFor") {
        None => Validity::default(),
        Some(range) => {
            let range = proto_json::object(range, &["start", "end"]).map_err(log)?;
            let moment = |name: &str| -> Result<Option<u64>> {
                let text = proto_json::text(range, name).map_err(log)?;
                let moment = |text| rfc3339::parse_utc(text).ok_or_else(|| log(format!("{name:?} is no time in UTC")));
                text.map(moment).transpose()
            };
            Validity { start: moment("start")?.unwrap_or(0), end: moment("end")? }
        }
    };
    Ok(TrustedLog { key: PublicKey::from_der(&der).map_err(|e| log(e.message().into()))?, id, validity })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::KeyAlgorithm;
    use crate::encoding::base64;
    use crate::key::PrivateKey;

    #[test]
    fn a_trusted_root_is_read_strictly() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key();
        let good = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.test", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64::encode(key.to_der()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2021-01-12T11:53:27.000Z", "end": "2022-01-01T00:00:00Z"},
                },
                "logId": {"keyId": base64::encode(&Hash::Sha256.digest(key.to_der()))},
            }],
            "certificateAuthorities": [{"anything": 1}],
        });
        let root = TrustedRoot::from_json(good.to_string().as_bytes()).unwrap();
        let log = &root.logs()[0];
        assert_eq!(log.id, TrustedLog::of_key(key).id);
        assert!(log.validity.covers(1_610_452_407) && log.validity.covers(1_640_995_200));
        assert!(!log.validity.covers(1_610_452_406) && !log.validity.covers(1_640_995_201));
        for (pointer, value) in [
            ("/mediaType", json!("application/json")),
            ("/tlogs", json!({})),
            ("/tlogs/0/hashAlgorithm", json!("SHA2_512")),
            ("/tlogs/0/publicKey", json!(null)),
            ("/tlogs/0/publicKey/rawBytes", json!("AAAA")),
            ("/tlogs/0/publicKey/validFor/end", json!("tomorrow")),
            ("/tlogs/0/publicKey/validFor/start", json!(1)),
            ("/tlogs/0/logId", json!(null)),
            ("/tlogs/0/logId/keyId", json!("")),
            ("/tlogs/0", json!({"unknown": 1})),
            ("/certificateAuthorities", json!(1)),
            ("", json!([])),
        ] {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            let refused = TrustedRoot::from_json(changed.to_string().as_bytes());
            if pointer == "/certificateAuthorities" {
                assert!(refused.is_ok());
            } else {
                assert_eq!(refused.unwrap_err().code(), Code::PolicyEmpty, "{pointer}");
            }
        }
        let mut more = good.clone();
        more["tlogs"][0]["publicKey"]["validFor"]["until"] = json!("2022-01-01T00:00:00Z");
        assert!(TrustedRoot::from_json(more.to_string().as_bytes()).is_err());
        let mut many = good;
        many["tlogs"] = json!(vec![many["tlogs"][0].clone(); MAX_LOGS + 1]);
        assert!(TrustedRoot::from_json(many.to_string().as_bytes()).is_err());
    }
}
