//! Talking to registries: one transport of our own, small enough to read in one sitting.
//!
//! A request goes out without a ping (`transport.rs`). If the registry answers 401, its challenge is read
//! (`challenge.rs`), a credential is looked up and the token server judged before anything is sent to it (`auth.rs`);
//! the request is then repeated once. TLS trusts the system's authorities, loaded at the first https request
//! (`tls.rs`). Everything that arrives has a cap and every wait an end (`limits.rs`). What the rest of the library gets
//! to see is bytes that have the digest and size that were asked for, an honest "it is not there", or an error whose
//! class says that nothing is known.

pub mod limits;

mod auth;
mod challenge;
mod tls;
mod transport;

pub use auth::{Credential, DockerConfig, canonical_host};
pub use transport::{FetchedManifest, Transport, TransportOptions};
