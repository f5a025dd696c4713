//! Text encodings, each in one place: base64 as Go reads it, hex, PEM, Go's JSON, strict JSON and protobuf's JSON.

pub mod base64;
pub mod go_json;
pub mod hex;
pub mod pem;
pub mod proto_json;
pub mod rfc3339;
pub mod strict_json;
