//! What can be changed in a document: its bytes, and its members.

use serde_json::Value;

pub fn all_byte_mutations(bundle: &[u8], mut each: impl FnMut(&[u8], usize)) {
    for at in 0..bundle.len() {
        let old = bundle[at];
        for new in [old ^ 0x01, old ^ 0x02, old ^ 0x20, old ^ 0x80, b'A', b'"', b' ', b'\\', 0] {
            if new != old {
                let mut changed = bundle.to_vec();
                changed[at] = new;
                each(&changed, at);
            }
        }
        each(&[&bundle[..at], &bundle[at + 1..]].concat(), at);
        each(&[&bundle[..at], b"A", &bundle[at..]].concat(), at);
        each(&bundle[..at], at);
    }
}

/// Every place of a document: the pointers to all its values.
pub fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, format!("{at}/{n}"), all));
        }
        _ => {}
    }
    all.push(at);
}
