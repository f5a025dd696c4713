//! From a password to the key of a key file: scrypt with r = 8 and p = 1.

use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

/// scrypt (RFC 7914) of `password` and `salt` with r = 8 and p = 1, 32 bytes long.
///
/// `n` is 32768, 65536 or 131072, the costs that cosign accepts; it takes 1 KiB of memory per unit of `n` (128 MiB at
/// most) and 70 to 300 ms. Any other `n` is [`Code::KeyFormat`], before anything is allocated. Password and salt are
/// taken as they are: empty, long, with NUL or not UTF-8.
pub fn scrypt(password: &[u8], salt: &[u8], n: u32) -> Result<Zeroizing<[u8; 32]>> {
    let unsupported = || Error::new(Code::KeyFormat, "unsupported scrypt parameters");
    let log_n = match n {
        0x8000 => 15,
        0x1_0000 => 16,
        0x2_0000 => 17,
        _ => return Err(unsupported()),
    };
    let params = ::scrypt::Params::new(log_n, 8, 1).map_err(|_| unsupported())?;
    let mut key = Zeroizing::new([0; 32]);
    ::scrypt::scrypt(password, salt, &params, key.as_mut_slice()).map_err(|_| unsupported())?;
    Ok(key)
}
