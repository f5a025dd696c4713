//! PEM blocks as Go's `pem.Decode` reads them and `pem.Encode` writes them: the first block, whatever stands before or
//! after it, any line width, LF or CRLF.

use zeroize::Zeroizing;

use super::base64;
use crate::error::{Code, Error, Result};

/// A decoded PEM block.
pub struct Block {
    /// What stands between `-----BEGIN ` and `-----`.
    pub label: String,
    /// The lines `Name: value` before the data, such as those of an old encrypted key.
    pub headers: Vec<(String, String)>,
    /// The data; wiped when dropped, since it may be a secret.
    pub der: Zeroizing<Vec<u8>>,
}

/// The first PEM block in `input`. [`Code::Encoding`] when there is none, when it does not end, or when its data is not
/// padded base64.
pub fn decode_first(input: &[u8]) -> Result<Block> {
    Ok(decode_with_rest(input)?.0)
}

/// The first PEM block in `input`, and what follows it.
pub fn decode_with_rest(input: &[u8]) -> Result<(Block, &[u8])> {
    let mut rest = input;
    let label = loop {
        let line =
            next_line(&mut rest).ok_or_else(|| Error::new(Code::Encoding, "there is no PEM block (-----BEGIN …)"))?;
        if let Some(label) = marker(line, "-----BEGIN ") {
            break label;
        }
    };
    let unfinished =
        || Error::new(Code::Encoding, format!("the PEM block {label:?} is cut off: its END line is missing"));
    let mut headers = Vec::new();
    // As large as it can get, so that a secret is never copied to a larger buffer.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    loop {
        let line = next_line(&mut rest).ok_or_else(unfinished)?;
        if line.starts_with(b"-----END ") {
            match marker(line, "-----END ") {
                Some(found) if found == label => break,
                _ => return Err(unfinished()),
            }
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::new(Code::Encoding, format!("the PEM block {label:?} is not text")))?;
        match line.split_once(':') {
            Some((name, value)) if text.is_empty() => {
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => text.extend(line.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r'))),
        }
    }
    let contents = base64::decode(&text)
        .map(Zeroizing::new)
        .map_err(|_| Error::new(Code::Encoding, format!("the data of the PEM block {label:?} is not base64")))?;
    Ok((Block { label: label.to_owned(), headers, der: contents }, rest))
}

/// A PEM block: base64 in lines of 64, LF, with a newline at the end.
pub fn encode(label: &str, contents: &[u8]) -> Zeroizing<String> {
    let data = Zeroizing::new(base64::encode(contents));
    let mut out = Zeroizing::new(String::with_capacity(data.len() + data.len() / 64 + 2 * label.len() + 40));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    for (index, c) in data.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    if !data.is_empty() {
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// Takes the next line, without its LF.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (line, after) = match end {
        Some(end) => (rest.get(..end)?, rest.get(end.checked_add(1)?..)?),
        None => (*rest, &[][..]),
    };
    *rest = after;
    Some(line)
}

/// The label of a line that begins a block or ends one; blanks after it are allowed, as in Go.
fn marker<'a>(line: &'a [u8], prefix: &str) -> Option<&'a str> {
    std::str::from_utf8(line).ok()?.trim_end_matches([' ', '\t', '\r']).strip_prefix(prefix)?.strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 47, 48, 49, 500] {
            let bytes = vec![0xa5; length];
            let text = encode("A LABEL", &bytes);
            let block = decode_first(text.as_bytes()).unwrap();
            assert_eq!((block.label.as_str(), &*block.der), ("A LABEL", &bytes));
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn text_around_crlf_and_other_widths_are_read() {
        let text = "hello\n-----BEGIN X-----\r\nAAEC\r\nAwQ=\r\n-----END X-----\r\nbye\n";
        assert_eq!(*decode_first(text.as_bytes()).unwrap().der, [0, 1, 2, 3, 4]);
        let text = "-----BEGIN X-----\nA\nAECA wQ=\n-----END X-----";
        assert_eq!(*decode_first(text.as_bytes()).unwrap().der, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn headers_are_kept_apart() {
        let text = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END X-----\n";
        let block = decode_first(text.as_bytes()).unwrap();
        assert_eq!(block.headers[1], ("DEK-Info".into(), "AES-128-CBC,00".into()));
        assert_eq!(*block.der, [0, 1, 2]);
    }

    #[test]
    fn refuses_what_does_not_end_or_is_not_base64() {
        for bad in [
            "",
            "AAEC",
            " -----BEGIN X-----\nAAEC\n-----END X-----\n",
            "-----BEGIN X-----\nAAEC\n-----END Y-----\n",
            "-----BEGIN X-----\nAAEC\n-----END X----\n",
            "-----BEGIN X-----\nAAEC-----END X-----\n",
            "-----BEGIN X-----\nAAE\n-----END X-----\n",
            "-----BEGIN X-----\nAA-_\n-----END X-----\n",
            "-----BEGIN X-----\n-----BEGIN X-----\nAAEC\n-----END X-----\n",
        ] {
            assert_eq!(decode_first(bad.as_bytes()).err().unwrap().code(), Code::Encoding, "{bad:?}");
        }
    }
}
