//! How tests name requests and tags.

/// Whether `pattern`, in which `*` stands for anything, is all of `text`.
pub fn is(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

/// Whether `pattern` occurs in `text`; a `$` at its end is the end of the text.
pub fn occurs(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('$') {
        Some(start) => is(&format!("*{start}"), text),
        None => is(&format!("*{pattern}*"), text),
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::{is, occurs};

    #[test]
    fn patterns_match_what_they_say() {
        assert!(is("sha256-*.sig", "sha256-00.sig") && is("*", "") && is("a*b*c", "a--b-c"));
        assert!(!is("sha256-*.sig", "sha256-00.sig.j1") && !is("a", "ab") && !is("", "a"));
        assert!(
            occurs("GET /v2/", "GET /v2/r") && occurs("", "GET /") && occurs("PUT *manifests*", "PUT /manifests/x")
        );
        assert!(occurs("/v1$", "GET /v1") && !occurs("/v1$", "GET /v10") && !occurs("PUT *x", "GET /x"));
    }
}
