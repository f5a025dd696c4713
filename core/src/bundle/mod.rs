//! How signatures are packed: cosign's legacy signature image.

pub mod certificate;
pub mod legacy;
