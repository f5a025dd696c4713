//! Standard base64 as Go's `base64.StdEncoding` reads it: padded, CR and LF skipped, nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Code, Error, Result};

/// Padded standard base64.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes padded standard base64. CR and LF are skipped, since real files wrap their lines; the URL alphabet, missing
/// padding, spaces and non-zero trailing bits are errors.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    let bad = |_| Error::new(Code::Encoding, "not standard base64 with padding");
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return STANDARD.decode(joined).map_err(bad);
    }
    STANDARD.decode(text).map_err(bad)
}
