//! Base64: as Go's `base64.StdEncoding` reads it (padded, CR and LF skipped, nothing else), and as protobuf's JSON
//! mapping does.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Code, Error, Result};

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ANY: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_ANY: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// Padded standard base64.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes padded standard base64. CR and LF are skipped, since real files wrap their lines; the URL alphabet, missing
/// padding, spaces and non-zero trailing bits are errors.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    decode_with(&STANDARD, text).map_err(|_| Error::new(Code::Encoding, "not standard base64 with padding"))
}

/// Decodes what protobuf's JSON mapping and DSSE allow for bytes: the standard or the URL alphabet (never both in one
/// text), with or without padding. CR and LF are skipped as in Go; other characters and non-zero trailing bits are
/// errors.
pub fn decode_any(text: &str) -> Result<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { &URL_ANY } else { &STANDARD_ANY };
    decode_with(engine, text).map_err(|_| Error::new(Code::Encoding, "not base64"))
}

fn decode_with(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return engine.decode(joined);
    }
    engine.decode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_takes_both_alphabets_and_no_mixture() {
        for good in ["+/+/", "-_-_", "+/8=", "+/8", "-_8", "-_8=", "+/\r\n+/", ""] {
            assert!(decode_any(good).is_ok(), "{good:?}");
        }
        for bad in ["+_+/", "-/8=", "+/9=", "+/8==", "+", "+/ +", "+/8=AAAA", "=", "+/\t8"] {
            assert!(decode_any(bad).is_err(), "{bad:?}");
        }
        assert_eq!(decode_any("-_8").unwrap(), decode("+/8=").unwrap());
        for bad in ["-_8=", "+/8"] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
