//! What is signed: cosign's simple-signing payload; the in-toto statement in a DSSE envelope.

pub mod dsse;
pub mod simple_signing;
pub mod statement;

pub use simple_signing::SimpleSigning;
