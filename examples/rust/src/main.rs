//! The smallest program around the library that keeps its keys in files; `make demo` runs it.
//!
//!     cosign-example keygen PREFIX            writes PREFIX.key and PREFIX.pub
//!     cosign-example sign PREFIX.key IMAGE
//!     cosign-example verify PREFIX.pub IMAGE
//!
//! The key's password is the environment variable COSIGN_PASSWORD. The exit code is that of the command `cosign`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use cosign_core::blocking::Client;
use cosign_core::{Call, ClientOptions, Code, Error, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey};
use cosign_core::{Result, SignOptions, VerifyOptions};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["keygen", prefix] => keygen(prefix),
        ["sign", key, image] => sign(key, image),
        ["verify", key, image] => verify(key, image),
        _ => Err(Error::new(Code::Argument, "usage: cosign-example keygen PREFIX | sign KEY IMAGE | verify PUB IMAGE")),
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code().row().exit_code)
        }
    }
}

fn keygen(prefix: &str) -> Result<String> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let pem = key.to_pem(password()?.as_bytes(), KeyFormat::Sigstore)?;
    let (private, public) = (format!("{prefix}.key"), format!("{prefix}.pub"));
    write_new(&private, pem.as_bytes(), 0o600)?;
    // Both, or neither.
    write_new(&public, key.public_key().to_pem().as_bytes(), 0o644).inspect_err(|_| {
        let _ = std::fs::remove_file(&private);
    })?;
    Ok(format!("wrote {prefix}.key and {prefix}.pub"))
}

fn sign(key: &str, image: &str) -> Result<String> {
    let key = PrivateKey::from_pem(&read(key)?, Some(password()?.as_bytes())).map_err(|error| error.context(key))?;
    let client = Client::new(ClientOptions::default())?;
    let signed = client.sign(&ImageRef::parse(image)?, &key, &SignOptions::default(), &Call::new())?;
    Ok(format!("signed {}", signed.digest()))
}

fn verify(key: &str, image: &str) -> Result<String> {
    let policy = Policy::new().with_key(PublicKey::from_pem(&read(key)?).map_err(|error| error.context(key))?);
    let client = Client::new(ClientOptions::default())?;
    let verified = client.verify(&ImageRef::parse(image)?, &policy, &VerifyOptions::default(), &Call::new())?;
    Ok(format!("verified {}: {} good signature(s)", verified.digest(), verified.count()))
}

fn password() -> Result<String> {
    std::env::var("COSIGN_PASSWORD")
        .map_err(|_| Error::new(Code::PasswordRequired, "set COSIGN_PASSWORD to the password of the key"))
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::new(Code::Io, format!("{path}: {error}")))
}

/// An existing file is never overwritten: it may be the only copy of a key. What cannot be written whole is removed.
fn write_new(path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::new(Code::FileExists, format!("{path} is there already and is not overwritten: choose another name"))
        }
        _ => Error::new(Code::Io, format!("{path}: {error}: choose a place that can be written")),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = std::fs::remove_file(path);
        Error::new(Code::Io, format!("{path}: {error}: free some space or choose another place"))
    })
}
