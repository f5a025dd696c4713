//! What gets signed: cosign's simple-signing payload.

pub mod simple_signing;

pub use simple_signing::SimpleSigning;
