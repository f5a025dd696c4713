//! Talking to registries: one transport of our own, small enough to read in one sitting.
//!
//! An operation (`manifests.rs`, `blobs.rs`, `lists.rs`) makes a request (`request.rs`), which goes out without a ping
//! (`exchange.rs`). If the registry answers 401, its challenge is read (`challenge.rs`), a credential is looked up
//! (`auth.rs`, `docker_config.rs`, `helper.rs`) and the token server judged (`realm.rs`) before anything is sent to it
//! (`token.rs`); the request is then repeated once. What came back is read under caps (`answer.rs`), and what failed for
//! the moment is tried again (`retry.rs`). What a registry can do is remembered (`capabilities.rs`). TLS trusts the system's authorities, loaded at the first https request
//! (`tls.rs`). Everything that arrives has a cap and every wait an end (`limits.rs`). What the rest of the library gets
//! to see is bytes that have the digest and size that were asked for, an honest "it is not there", or an error whose
//! class says that nothing is known. What is asked of services beside registries goes the same way (`service.rs`).
//!
//! With the feature `oci-client` an `oci_client::Client` of the program can take the place of our own requests
//! (`oci_client.rs`); what it brings is held to the same rules.

pub mod limits;

mod answer;
mod auth;
mod blobs;
pub(crate) mod bounded;
mod capabilities;
mod certs;
// Public for the fuzz targets alone.
#[doc(hidden)]
pub mod challenge;
mod date;
mod docker_config;
mod exchange;
mod helper;
mod lists;
mod manifests;
#[cfg(feature = "oci-client")]
mod oci_client;
mod proxy;
mod realm;
mod request;
mod resolve;
mod retry;
mod service;
mod streams;
mod tag_list;
mod tls;
mod token;
mod transport;

#[cfg(feature = "oci-client")]
pub use self::oci_client::OciClient;
pub use auth::{Credential, canonical_host};
pub use blobs::{Mount, Upload};
pub use docker_config::DockerConfig;
pub use lists::{Referrers, TagList};
pub use manifests::{FetchedManifest, ManifestHead, PutOutcome, StoredManifest};
pub use proxy::ProxyRules;
pub use service::{ServiceAnswer, ServiceAsk, ServiceUrl};
pub use streams::{Open, Pieces, checked};
pub use tls::ClientCertificate;
pub use transport::{Observer, Transport, TransportOptions};
