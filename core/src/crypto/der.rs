//! The little DER that keys and signatures need, read in exactly one way: definite lengths in their shortest form,
//! one-byte tags, whole input. BER, long forms, trailing bytes and non-minimal integers are malformed.

/// Not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// `INTEGER`
pub(crate) const INTEGER: u8 = 0x02;
/// `BIT STRING`
pub(crate) const BIT_STRING: u8 = 0x03;
/// `OCTET STRING`
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `NULL`
pub(crate) const NULL: u8 = 0x05;
/// `OBJECT IDENTIFIER`
pub(crate) const OID: u8 = 0x06;
/// `SEQUENCE`
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// `[1]`, constructed
pub(crate) const CONTEXT_1: u8 = 0xa1;
/// `[1]`, primitive
pub(crate) const CONTEXT_1_PRIMITIVE: u8 = 0x81;

/// Reads elements from the front of `rest`.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest }
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The tag and contents of the next element.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (&tag, rest) = self.rest.split_first().ok_or(Malformed)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // 0x80 is the indefinite form; more than two length bytes is more than any key or signature has.
            0x81 | 0x82 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x0f)).ok_or(Malformed)?;
                rest = after;
                let length = bytes.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
                let shortest = if first == 0x81 { 0x80 } else { 0x100 };
                if length < shortest {
                    return Err(Malformed);
                }
                length
            }
            _ => return Err(Malformed),
        };
        let (contents, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, contents) if found == tag => Ok(contents),
            _ => Err(Malformed),
        }
    }

    /// The contents of the next element if it has this tag.
    pub(crate) fn take_if(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == Some(tag) { self.take(tag).map(Some) } else { Ok(None) }
    }

    /// A non-negative INTEGER in its shortest form, without the leading zero; zero is the empty slice.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(INTEGER)? {
            [] => Err(Malformed),
            [0] => Ok(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Ok(rest),
            bytes if bytes.first().is_some_and(|byte| (1..0x80).contains(byte)) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(BIT_STRING)?.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// A SEQUENCE, to be read in turn.
    pub(crate) fn sequence(&mut self) -> Result<Reader<'a>, Malformed> {
        self.take(SEQUENCE).map(Reader::new)
    }

    /// The end of the input.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// One element whose contents are `parts` in a row. The vector is allocated once, so that a caller that holds it in
/// `Zeroizing` leaves no copy of a secret behind.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    let bytes = length.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    match length {
        0..=0x7f => out.extend(bytes.last()),
        _ => {
            let count = bytes.len().saturating_sub(skip);
            out.push(0x80 | u8::try_from(count).unwrap_or(0x7f));
            out.extend(bytes.iter().skip(skip));
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A non-negative INTEGER from its magnitude.
pub(crate) fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    match magnitude.first() {
        Some(byte) if *byte < 0x80 => element(INTEGER, &[magnitude]),
        _ => element(INTEGER, &[&[0], magnitude]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        for length in [0usize, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let der = element(OCTET_STRING, &[&vec![7; length]]);
            let mut reader = Reader::new(&der);
            assert_eq!(reader.take(OCTET_STRING).unwrap().len(), length);
            assert!(reader.finish().is_ok());
        }
        for bad in [
            &[0x04, 0x81, 0x01, 0x00][..],
            &[0x04, 0x82, 0x00, 0x80],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0x84, 0, 0, 0, 1, 0],
            &[0x04, 0xff],
            &[0x04],
            &[0x1f, 0x01, 0x00],
            &[0x04, 0x02, 0x00],
        ] {
            assert_eq!(Reader::new(bad).any(), Err(Malformed), "{bad:02x?}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        let read = |bytes: &[u8]| Reader::new(&element(INTEGER, &[bytes])).unsigned().map(<[u8]>::to_vec);
        assert_eq!(read(&[0]), Ok(vec![]));
        assert_eq!(read(&[1]), Ok(vec![1]));
        assert_eq!(read(&[0, 0x80]), Ok(vec![0x80]));
        for bad in [&[][..], &[0, 1], &[0, 0], &[0x80], &[0xff, 0x01]] {
            assert_eq!(read(bad), Err(Malformed), "{bad:02x?}");
        }
    }
}
