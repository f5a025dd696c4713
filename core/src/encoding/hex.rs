//! Lower-case hexadecimal.

/// `bytes` as lower-case hex.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// The bytes of lower-case hex, exactly `length` of them.
pub fn decode(text: &str, length: usize) -> Option<Vec<u8>> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != length.checked_mul(2)? {
        return None;
    }
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(high)? << 4) | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_one_spelling() {
        assert_eq!(decode("00ff1a", 3).unwrap(), [0, 255, 26]);
        assert_eq!(encode(&[0, 255, 26]), "00ff1a");
        for bad in ["", "00", "00ff1", "00ff1a00", "00FF1A", "00ff1g", "+0ff1a", "00ff1\u{e9}"] {
            assert_eq!(decode(bad, 3), None, "{bad}");
        }
    }
}
