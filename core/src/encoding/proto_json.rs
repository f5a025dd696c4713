//! Members of protobuf's JSON mapping, as sigstore's bundles and statements use it, out of a document that was parsed
//! strictly.
//!
//! As Go's `protojson` reads them: an unknown member is an error, `null` is an unset member, bytes are base64 of either
//! alphabet, 64-bit integers are decimal strings or numbers. Stricter: names in `snake_case`, which `protojson` takes for
//! the same members, are unknown here, and integers have one spelling. Nobody writes either.
//!
//! Errors are plain text, since the caller knows what the document is.

use serde_json::{Map, Value};

use super::base64;

/// An object that has no members but `known` ones.
pub fn object<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or("an object is expected where there is none")?;
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown member {:?}", name.chars().take(60).collect::<String>())),
        None => Ok(object),
    }
}

/// A member that is set.
pub fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// A text.
pub fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    member(object, name).map(|value| value.as_str().ok_or_else(|| format!("{name:?} is not a text"))).transpose()
}

/// Bytes.
pub fn bytes(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, String> {
    let decode = |text| base64::decode_any(text).map_err(|_| format!("{name:?} is not base64"));
    text(object, name)?.map(decode).transpose()
}

/// A list; empty when it is not set.
pub fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    match member(object, name) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("{name:?} is not a list")),
    }
}

/// A whole number from 0; 0 when it is not set.
pub fn count(object: &Map<String, Value>, name: &str) -> Result<u64, String> {
    let number = match member(object, name) {
        None => Some(0),
        Some(Value::String(text)) => text.parse().ok().filter(|number: &u64| number.to_string() == *text),
        Some(value) => value.as_u64(),
    };
    // int64 on the wire.
    number
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| format!("{name:?} is not a whole number from 0"))
}
