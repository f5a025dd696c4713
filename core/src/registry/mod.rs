//! Talking to registries: one transport of our own, small enough to read in one sitting.
//!
//! An operation on manifests or blobs (`content.rs`) makes a request (`request.rs`), which goes out without a ping
//! (`exchange.rs`). If the registry answers 401, its challenge is read (`challenge.rs`), a credential is looked up and
//! the token server judged before anything is sent to it (`auth.rs`, `token.rs`); the request is then repeated once.
//! What came back is read under caps (`answer.rs`). TLS trusts the system's authorities, loaded at the first https request
//! (`tls.rs`). Everything that arrives has a cap and every wait an end (`limits.rs`). What the rest of the library gets
//! to see is bytes that have the digest and size that were asked for, an honest "it is not there", or an error whose
//! class says that nothing is known.

pub mod limits;

mod answer;
mod auth;
mod challenge;
mod content;
mod exchange;
mod request;
mod tls;
mod token;
mod transport;

pub use auth::{Credential, DockerConfig, canonical_host};
pub use content::FetchedManifest;
pub use transport::{Transport, TransportOptions};
