//! The JSON of blob signatures.
