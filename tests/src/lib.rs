//! What the whole-system tests share.
#![allow(clippy::expect_used, clippy::panic)]

pub mod fuzz;
pub mod log_server;
pub mod oracle;
pub mod oracle_registries;
pub mod oracle_stack;
pub mod oracle_tokens;
pub mod reader;
pub mod registry;
