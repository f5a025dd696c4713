//! The simple-signing payload: the claim "this digest is this image", as cosign writes and reads it.
//!
//! Written: exactly the bytes of Go's `payload.Cosign` marshalling. Read: two spellings, whole document, never mixed:
//! today's lower-case members with the types that go with them, or the capitalised members of March 2021. Go matches
//! member names without regard to case and lets the last one win, so a document can carry two claims; any member that Go
//! would take for a known one under another spelling is refused here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::encoding::go_json;
use crate::encoding::strict_json::{self, Limits};
use crate::error::{Code, Error, Result};

/// The `type` of today's cosign.
pub const TYPE: &str = "cosign container image signature";
/// The `type` of cosign before v0.5, and the only one of the capitalised form.
pub const TYPE_2021: &str = "cosign container signature";

/// Which spelling of the payload to write. Both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PayloadForm {
    /// What cosign writes since v0.4: lower-case members, and the repository as `docker-reference`.
    #[default]
    Today,
    /// What cosign wrote in March 2021: capitalised members, the type of that time, an empty `docker-reference`.
    Seed,
}

impl PayloadForm {
    /// `today` or `2021`; any other text is [`Code::Argument`].
    pub fn parse(name: &str) -> Result<PayloadForm> {
        match name {
            "today" => Ok(PayloadForm::Today),
            "2021" => Ok(PayloadForm::Seed),
            _ => {
                let shown: String = name.chars().take(40).collect();
                Err(Error::new(Code::Argument, format!("the payload form {shown:?} is not today or 2021")))
            }
        }
    }

    /// The name that [`PayloadForm::parse`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            PayloadForm::Today => "today",
            PayloadForm::Seed => "2021",
        }
    }
}

/// A payload is at most 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;

const LIMITS: Limits = Limits { max_bytes: MAX_BYTES, max_depth: 32, max_members: 10_000 };

/// A parsed payload.
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleSigning {
    /// `critical.identity.docker-reference`; never checked by cosign, empty in 2021.
    pub docker_reference: String,
    /// `critical.image.docker-manifest-digest`: the image that is claimed.
    pub digest: Digest,
    /// `critical.type`.
    pub payload_type: String,
    /// `optional`: the annotations. Strings when cosign wrote them, any JSON from others.
    pub optional: BTreeMap<String, Value>,
}

/// What [`SimpleSigning::parse`] may accept beyond today's rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParseOptions {
    /// In the capitalised form, a digest of 64 hex digits without `sha256:` (before 2021-03-03).
    pub bare_digest: bool,
    /// Any `type`, also none.
    pub any_type: bool,
}

/// The members of one spelling.
struct Names {
    critical: &'static str,
    optional: &'static str,
    identity: &'static str,
    image: &'static str,
    payload_type: &'static str,
    digest: &'static str,
    types: &'static [&'static str],
}

const REFERENCE: &str = "docker-reference";
const TODAY: Names = Names {
    critical: "critical",
    optional: "optional",
    identity: "identity",
    image: "image",
    payload_type: "type",
    digest: "docker-manifest-digest",
    types: &[TYPE, TYPE_2021],
};
const SEED: Names = Names {
    critical: "Critical",
    optional: "Optional",
    identity: "Identity",
    image: "Image",
    payload_type: "Type",
    digest: "Docker-manifest-digest",
    types: &[TYPE_2021],
};

/// Writes the payload: byte for byte what cosign signs.
pub fn write(docker_reference: &str, digest: &Digest, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    write_names(&TODAY, docker_reference, digest, annotations)
}

/// Writes the payload of March 2021: byte for byte what cosign signed then, when `docker_reference` was always empty.
pub fn write_seed(docker_reference: &str, digest: &Digest, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    write_names(&SEED, docker_reference, digest, annotations)
}

fn write_names(
    names: &Names,
    docker_reference: &str,
    digest: &Digest,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut out = String::with_capacity(256);
    let open = |out: &mut String, before: &str, name: &str| {
        out.push_str(before);
        go_json::push_string(out, name);
        out.push(':');
    };
    open(&mut out, "{", names.critical);
    open(&mut out, "{", names.identity);
    open(&mut out, "{", REFERENCE);
    go_json::push_string(&mut out, docker_reference);
    open(&mut out, "},", names.image);
    open(&mut out, "{", names.digest);
    go_json::push_string(&mut out, &digest.to_string());
    open(&mut out, "},", names.payload_type);
    // The first type that a spelling is read with is the one that is written.
    go_json::push_string(&mut out, names.types.first().unwrap_or(&TYPE));
    open(&mut out, "},", names.optional);
    if annotations.is_empty() {
        out.push_str("null");
    } else {
        go_json::push_string_map(&mut out, annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    }
    out.push('}');
    out.into_bytes()
}

/// How Go folds a member name before comparing it: ASCII case, and the two letters that fold into ASCII.
fn folded(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::PayloadMismatch, format!("the signed payload is not acceptable: {}", what.into()))
}

/// Refuses members that Go would read as one of `known`.
fn only_exact(object: &Map<String, Value>, known: &[&str]) -> Result<()> {
    for name in object.keys() {
        if !known.contains(&name.as_str()) && known.iter().any(|known| folded(known) == folded(name)) {
            let shown: String = name.chars().take(60).collect();
            return Err(bad(format!("the member {shown:?} could be read as another spelling of a known one")));
        }
    }
    Ok(())
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Map<String, Value>> {
    object.get(name).and_then(Value::as_object).ok_or_else(|| bad(format!("it has no object {name:?}")))
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| bad(format!("it has no text {name:?}")))
}

impl SimpleSigning {
    /// Parses a payload whose signature was already verified over exactly these bytes.
    pub fn parse(bytes: &[u8], options: ParseOptions) -> Result<SimpleSigning> {
        let value = strict_json::parse(bytes, LIMITS).map_err(|e| bad(e.message()))?;
        let top = value.as_object().ok_or_else(|| bad("it is not a JSON object"))?;
        let seed = top.contains_key(SEED.critical);
        let names = if seed { &SEED } else { &TODAY };
        only_exact(top, &[names.critical, names.optional])?;
        let critical = member(top, names.critical)?;
        only_exact(critical, &[names.identity, names.image, names.payload_type])?;
        let identity = member(critical, names.identity)?;
        only_exact(identity, &[REFERENCE])?;
        let image = member(critical, names.image)?;
        only_exact(image, &[names.digest])?;

        let claimed = text(image, names.digest)?;
        let is_bare = claimed.len() == 64 && !claimed.contains(':');
        let digest = if seed && options.bare_digest && is_bare {
            Digest::parse(&format!("sha256:{claimed}"))
        } else {
            Digest::parse(claimed)
        };
        let digest = digest.map_err(|e| bad(e.message()))?;
        let payload_type = match critical.get(names.payload_type) {
            Some(Value::String(text)) => text.clone(),
            None if options.any_type => String::new(),
            _ => return Err(bad("it has no text \"type\"")),
        };
        if !options.any_type && !names.types.contains(&payload_type.as_str()) {
            let shown: String = payload_type.chars().take(80).collect();
            return Err(bad(format!("its type is {shown:?}, expected {TYPE:?}")));
        }
        let optional = match top.get(names.optional) {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(members)) => members.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            Some(_) => return Err(bad("its annotations are not an object")),
        };
        Ok(SimpleSigning { docker_reference: text(identity, REFERENCE)?.to_owned(), digest, payload_type, optional })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const B: &str = "sha256:ffb0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<SimpleSigning> {
        SimpleSigning::parse(text.as_bytes(), ParseOptions::default())
    }

    fn today(digest: &str, payload_type: &str, optional: &str) -> String {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"r"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{payload_type}"}},"optional":{optional}}}"#
        )
    }

    #[test]
    fn writes_what_it_reads_and_escapes_as_go_does() {
        let annotations: BTreeMap<String, String> =
            [("z", "<x>&y"), ("a", "1"), ("u", "é"), ("n", "\u{2028}\u{1}\n\"")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
        let bytes = write("ghcr.io/a/b", &Digest::parse(A).unwrap(), &annotations);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.ends_with(
            "\"optional\":{\"a\":\"1\",\"n\":\"\\u2028\\u0001\\n\\\"\",\"u\":\"é\",\"z\":\"\\u003cx\\u003e\\u0026y\"}}"
        ));
        let read = SimpleSigning::parse(&bytes, ParseOptions::default()).unwrap();
        assert_eq!(read.digest.to_string(), A);
        assert_eq!(read.optional["z"], Value::from("<x>&y"));
    }

    // security.md 44, 49, 50, 51
    #[test]
    fn reads_both_types_and_unknown_members_but_no_other_digest_spelling() {
        assert!(parse(&today(A, TYPE, "null")).is_ok());
        assert!(parse(&today(A, TYPE_2021, "{}")).is_ok());
        assert!(parse(&today(A, TYPE, "null").replacen('{', r#"{"more":[1],"#, 1)).is_ok());
        let hex = A.trim_start_matches("sha256:");
        for digest in [&A[..40], &A.to_uppercase(), &format!("sha512:{hex}"), &format!("{A} "), hex, "", "sha256:"] {
            assert!(parse(&today(digest, TYPE, "null")).is_err(), "{digest}");
        }
        for payload_type in ["atomic container signature", "", "Cosign container image signature"] {
            assert!(parse(&today(A, payload_type, "null")).is_err(), "{payload_type}");
        }
        assert!(parse(&today(A, TYPE, "null").replace(&format!(r#","type":"{TYPE}""#), "")).is_err());
    }

    // security.md 45-48
    #[test]
    fn refuses_every_document_that_carries_two_claims() {
        let good = today(A, TYPE, "null");
        let other = r#"{"identity":{"docker-reference":"r"},"image":{"docker-manifest-digest":"B"},"type":"cosign container image signature"}"#
            .replace('B', B);
        for bad in [
            good.replacen('{', &format!(r#"{{"critical":{other},"#), 1),
            good.replacen('{', &format!(r#"{{"Critical":{other},"#), 1),
            good.replacen('{', &format!(r#"{{"CRITICAL":{other},"#), 1),
            good.replace(r#"{"docker-manifest"#, &format!(r#"{{"Docker-Manifest-Digest":"{B}","docker-manifest"#)),
            good.replace(r#"{"docker-manifest"#, &format!(r#"{{"doc\u212aer-manifest-digest":"{B}","docker-manifest"#)),
            good.replace(r#"{"docker-manifest"#, &format!(r#"{{"docker-manife\u017ft-digest":"{B}","docker-manifest"#)),
            good.replace("\"image\"", "\"Image\""),
            good.replace("critical", "CRITICAL"),
            good.replace("\"optional\":null", "\"optional\":null,\"Optional\":{\"a\":\"1\"}"),
            good.replace("\"type\"", "\"Type\""),
        ] {
            assert_eq!(parse(&bad).unwrap_err().code(), Code::PayloadMismatch, "{bad}");
        }
    }

    #[test]
    fn writes_the_payload_of_2021() {
        let digest = Digest::parse(A).unwrap();
        let expected = format!(
            r#"{{"Critical":{{"Identity":{{"docker-reference":""}},"Image":{{"Docker-manifest-digest":"{A}"}},"Type":"cosign container signature"}},"Optional":null}}"#
        );
        assert_eq!(write_seed("", &digest, &BTreeMap::new()), expected.as_bytes());
        let annotations = [("k".to_owned(), "<v>".to_owned())].into();
        let bytes = write_seed("", &digest, &annotations);
        assert!(bytes.ends_with(br#""Optional":{"k":"\u003cv\u003e"}}"#));
        let read = SimpleSigning::parse(&bytes, ParseOptions::default()).unwrap();
        assert_eq!((read.digest, read.payload_type.as_str()), (digest, TYPE_2021));
    }

    #[test]
    fn reads_the_payload_of_2021() {
        let seed = |digest: &str| {
            format!(
                r#"{{"Critical":{{"Identity":{{"docker-reference":""}},"Image":{{"Docker-manifest-digest":"{digest}"}},"Type":"cosign container signature"}},"Optional":null}}"#
            )
        };
        assert_eq!(parse(&seed(A)).unwrap().digest.to_string(), A);
        let bare = seed(A.trim_start_matches("sha256:"));
        assert!(parse(&bare).is_err());
        let options = ParseOptions { bare_digest: true, any_type: false };
        assert_eq!(SimpleSigning::parse(bare.as_bytes(), options).unwrap().digest.to_string(), A);
        assert!(parse(&seed(A).replace("cosign container signature", TYPE)).is_err());
        assert!(parse(&seed(A).replace("Docker-manifest", "docker-manifest")).is_err());
    }

    // security.md 56-59
    #[test]
    fn refuses_what_is_no_payload() {
        let deep = today(A, TYPE, &format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)));
        let long = today(A, TYPE, &format!("{{\"a\":\"{}\"}}", "x".repeat(16 << 20)));
        for bad in ["null", "[]", "\"\"", "", "{}", &deep, &long, &today(A, TYPE, "[]"), &today(A, TYPE, "1")] {
            assert!(parse(bad).is_err());
        }
        let good = today(A, TYPE, "{\"a\":\"X\"}");
        for raw in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800"] {
            let at = good.find('X').unwrap();
            let bytes = [&good.as_bytes()[..at], raw, &good.as_bytes()[at + 1..]].concat();
            assert!(SimpleSigning::parse(&bytes, ParseOptions::default()).is_err(), "{raw:?}");
        }
        assert!(parse(&format!("\u{feff}{good}")).is_err());
        assert!(parse(&format!("{good}{good}")).is_err());
    }
}
