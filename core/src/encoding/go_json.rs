//! JSON text as Go's `encoding/json` writes it, byte for byte.

/// Appends `text` as a JSON string with Go's escapes: `<`, `>` and `&` as `\u003c`…, U+2028 and U+2029 escaped, all
/// other non-ASCII raw (Go `encoding/json`, `appendString` with HTML escaping on).
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape(out, c),
            c if u32::from(c) < 0x20 => push_escape(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_escape(out: &mut String, c: char) {
    out.push_str(&format!("\\u{:04x}", u32::from(c)));
}

/// A JSON document as Go's `json.Marshal` passes on one that it is given: without white space between its parts, with
/// Go's escapes inside its strings. `json` is a valid document; its numbers and its other escapes stay as they are.
pub fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            ' ' | '\t' | '\r' | '\n' if !inside => {}
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape(&mut out, c),
            c => out.push(c),
        }
        match c {
            '"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    out
}

/// Appends a map of strings as Go writes one: members sorted by their bytes.
pub fn push_string_map<'a>(out: &mut String, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let sorted: std::collections::BTreeMap<&str, &str> = members.into_iter().collect();
    out.push('{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, key);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_document_keeps_its_strings() {
        let given = "{\"a\" : [1.0, \"x \\\" y\\\\\" ,\n true],\t\"b<\":\"\u{2028} \\u00e9\"}";
        let expected = "{\"a\":[1.0,\"x \\\" y\\\\\",true],\"b\\u003c\":\"\\u2028 \\u00e9\"}";
        assert_eq!(compact(given), expected);
    }
}
