//! NaCl's secretbox: XSalsa20 and Poly1305, the 16-byte tag in front of the ciphertext.

use crypto_secretbox::{AeadInPlace as _, Key, KeyInit as _, Nonce, Tag, XSalsa20Poly1305};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes of the tag in front of the ciphertext.
pub const TAG_LEN: usize = 16;

/// Encrypts `plaintext`. A key and nonce must never meet twice.
pub fn seal(key: &[u8; 32], nonce: &[u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>> {
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key));
    let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(TAG_LEN));
    sealed.extend_from_slice(&[0; TAG_LEN]);
    sealed.extend_from_slice(plaintext);
    let failed = || Error::new(Code::Internal, "secretbox: encryption failed");
    let (front, body) = sealed.split_at_mut_checked(TAG_LEN).ok_or_else(failed)?;
    let tag = cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), &[], body).map_err(|_| failed())?;
    front.copy_from_slice(&tag);
    Ok(sealed)
}

/// Decrypts what [`seal`] made, or `None` if key, nonce or any bit of `sealed` is another.
pub fn open(key: &[u8; 32], nonce: &[u8; NONCE_LEN], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (tag, body) = sealed.split_at_checked(TAG_LEN)?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key));
    let mut plaintext = Zeroizing::new(body.to_vec());
    cipher.decrypt_in_place_detached(Nonce::from_slice(nonce), &[], &mut plaintext, Tag::from_slice(tag)).ok()?;
    Some(plaintext)
}
