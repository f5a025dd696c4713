//! The public key inside a certificate, for comparing it with a given key; nothing else of a certificate is trusted.

use crate::encoding::pem;
use crate::error::{Code, Error, Result};

fn bad(what: &str) -> Error {
    Error::new(Code::KeyFormat, format!("the certificate annotation is malformed: {what}"))
}

/// One DER element: its tag, its content, its whole encoding, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn element(input: &[u8]) -> Result<Element<'_>> {
    let short = || bad("it ends too early");
    let (&tag, after) = input.split_first().ok_or_else(short)?;
    let (&first, after) = after.split_first().ok_or_else(short)?;
    let (length, header, after) = match first {
        0..=0x7f => (usize::from(first), 2, after),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let (digits, after) = after.split_at_checked(count).ok_or_else(short)?;
            let length = digits.iter().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit));
            (length, 2 + count, after)
        }
        _ => return Err(bad("a length is not DER")),
    };
    let (content, rest) = after.split_at_checked(length).ok_or_else(short)?;
    let whole = input.get(..header + length).ok_or_else(short)?;
    Ok(Element { tag, content, whole, rest })
}

/// The SubjectPublicKeyInfo (DER) of the one PEM certificate in `text` (RFC 5280 §4.1).
pub fn public_key_der(text: &str) -> Result<Vec<u8>> {
    let (block, rest) = pem::decode_with_rest(text.as_bytes()).map_err(|_| bad("no PEM block"))?;
    if block.label != "CERTIFICATE" || !rest.trim_ascii().is_empty() {
        return Err(bad("expected one CERTIFICATE"));
    }
    let certificate = element(&block.der)?;
    let mut next = element(certificate.content)?.content;
    // version [0] (optional), serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    let first = element(next)?;
    if first.tag == 0xa0 {
        next = first.rest;
    }
    for _ in 0..5 {
        next = element(next)?.rest;
    }
    let spki = element(next)?;
    if spki.tag != 0x30 {
        return Err(bad("no public key where one must be"));
    }
    Ok(spki.whole.to_vec())
}
