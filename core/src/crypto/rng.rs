//! Randomness: the operating system's, or on WebAssembly a function of the caller, since a bare
//! `wasm32-unknown-unknown` module has no source of its own.

use crate::error::{Code, Error, Result};

/// Fills `bytes` with random bytes fit for keys. [`Code::Internal`] if the system has none to give; on WebAssembly
/// [`Code::Unsupported`] until a source was set.
pub fn fill(bytes: &mut [u8]) -> Result<()> {
    source(bytes)
}

#[cfg(not(target_family = "wasm"))]
fn source(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| Error::new(Code::Internal, format!("the system gives no random bytes: {error}")))
}

/// A function that fills its argument with random bytes fit for keys (in a browser: `crypto.getRandomValues`), and
/// returns whether it did.
#[cfg(target_family = "wasm")]
pub type Source = fn(&mut [u8]) -> bool;

#[cfg(target_family = "wasm")]
static SOURCE: std::sync::OnceLock<Source> = std::sync::OnceLock::new();

/// Sets the source of randomness, once for the life of the module; a second call is [`Code::Argument`].
#[cfg(target_family = "wasm")]
pub fn set_source(source: Source) -> Result<()> {
    SOURCE.set(source).map_err(|_| Error::new(Code::Argument, "the source of random bytes was set already"))
}

#[cfg(target_family = "wasm")]
fn source(bytes: &mut [u8]) -> Result<()> {
    let source = SOURCE.get().ok_or_else(|| {
        Error::new(Code::Unsupported, "no source of random bytes: call crypto::rng::set_source first")
    })?;
    if source(bytes) { Ok(()) } else { Err(Error::new(Code::Internal, "the source of random bytes failed")) }
}
