//! JSON read the way security needs it: one document, no duplicate members, valid UTF-8, bounded.
//!
//! Go's `encoding/json` matches member names without regard to case and lets the last of two duplicates win; a parser
//! that quietly differs from it is how one document comes to mean two things. Here such documents are errors.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Code, Error, Result};

/// What a document may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole document.
    pub max_bytes: usize,
    /// Nesting of arrays and objects; never more than 128.
    pub max_depth: usize,
    /// Members and elements in the whole document.
    pub max_members: usize,
}

/// Parses exactly one JSON document.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::new(
            Code::TooLarge,
            format!("the JSON document has {} bytes, the limit is {}", bytes.len(), limits.max_bytes),
        ));
    }
    let left = Cell::new(limits.max_members);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict { depth_left: limits.max_depth, members_left: &left };
    let bad = |e: serde_json::Error| Error::new(Code::Encoding, format!("not acceptable JSON: {e}"));
    let value = seed.deserialize(&mut reader).map_err(bad)?;
    reader.end().map_err(bad)?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    members_left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left, ..self }),
            None => Err(E::custom("nested too deeply")),
        }
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.members_left.get().checked_sub(1) {
            Some(left) => {
                self.members_left.set(left);
                Ok(())
            }
            None => Err(E::custom("too many members")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            inner.count()?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            inner.count()?;
            let value = map.next_value_seed(inner)?;
            if members.contains_key(&key) {
                let shown: String = key.chars().take(80).collect();
                return Err(A::Error::custom(format!("the member {shown:?} stands twice")));
            }
            if members.is_empty() {
                // Room for one: a hostile document is full of small objects, and growing would take room for four.
                members = Map::with_capacity(1);
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 1000, max_depth: 4, max_members: 10 };

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for bad in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"a":1} x"#,
            br#"{"a":1}{"a":1}"#,
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\ud800"}"#,
            b"",
            br#"{"a":1,}"#,
            br#"[[[[[1]]]]]"#,
            br#"[1,2,3,4,5,6,7,8,9,10,11]"#,
        ] {
            assert!(parse(bad, LIMITS).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(b"{\"b\":1,\"a\":[null,true]}\n", LIMITS).unwrap().to_string(), r#"{"b":1,"a":[null,true]}"#);
    }
}
