//! Private keys made by other tools, unencrypted: PKCS#8 (`PRIVATE KEY`), SEC1 (`EC PRIVATE KEY`) and PKCS#1
//! (`RSA PRIVATE KEY`). Only the first PEM block counts, as in cosign. What is refused is refused with the command that
//! makes it acceptable.

use super::{decode_pem, encrypted, pkcs8};
use crate::crypto::{KeyAlgorithm, Secret};
use crate::error::{Code, Error, Result};

/// The key in the first PEM block of `input`.
pub(super) fn from_pem(input: &[u8]) -> Result<(KeyAlgorithm, Secret)> {
    let block = decode_pem(input)?;
    let refuse = |message: String| Err(Error::new(Code::KeyFormat, format!("unsupported private key: {message}")));
    if block.headers.iter().any(|(name, _)| name == "DEK-Info" || name == "Proc-Type") {
        return refuse(format!(
            "this {} is encrypted with a password of the old PEM kind; \
             decrypt it with `openssl pkey -in KEY -out PLAIN` and import the result",
            block.label
        ));
    }
    if !block.headers.is_empty() {
        return refuse("the PEM block has headers, which no key has".to_owned());
    }
    match block.label.as_str() {
        "PRIVATE KEY" => pkcs8::parse(&block.der),
        "EC PRIVATE KEY" => pkcs8::parse_sec1(&block.der),
        "RSA PRIVATE KEY" => pkcs8::parse_pkcs1(&block.der),
        "ENCRYPTED PRIVATE KEY" => refuse(
            "this PKCS#8 key is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN` and import the result"
                .to_owned(),
        ),
        label if encrypted::is_label(label) => {
            refuse(format!("{label}: this is a cosign key already and needs no import"))
        }
        "EC PARAMETERS" => refuse(
            "the file begins with EC PARAMETERS and only the first block is read; \
             write the key alone with `openssl pkey -in KEY -out PLAIN`"
                .to_owned(),
        ),
        "OPENSSH PRIVATE KEY" => refuse(
            "this is a key of OpenSSH; convert a copy with `ssh-keygen -p -m PKCS8 -N '' -f COPY` and import that"
                .to_owned(),
        ),
        label @ ("PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE") => {
            refuse(format!("{label}: this holds no private key"))
        }
        label => {
            let shown: String = label.chars().take(60).collect();
            refuse(format!("PEM type {shown:?}; expected PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"))
        }
    }
}
