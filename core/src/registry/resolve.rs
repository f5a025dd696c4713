//! Names to addresses, with an eye on where they lead.
//!
//! A stranger's URL (a redirect, an upload's location, a token server) is judged by its text first (`exchange.rs`,
//! `realm.rs`). A name can still lead into this machine or a private network, and differently at each look (DNS
//! rebinding); so the addresses that are connected to are themselves what is judged here.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::bounded::Bounded;
use super::realm::is_private_ip;

/// Names that led into a private network when the registry itself was looked up. One that is forgotten is noted again when
/// it is looked up for the next connection; until then its neighbours count as strangers.
#[derive(Clone, Default)]
pub(super) struct PrivateNames(Arc<Mutex<Bounded<String, ()>>>);

impl PrivateNames {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn insert(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), ());
    }
}

/// The resolver of one HTTP client.
pub(super) struct Resolver {
    /// Refuse names that lead into a private network.
    pub(super) public_only: bool,
    /// Names that may lead anywhere: the proxies that the user chose.
    pub(super) exempt: HashSet<String>,
    /// Where to note names that lead into a private network.
    pub(super) private: PrivateNames,
    /// Names with addresses of the caller's choice; they are judged like any other.
    pub(super) fixed: Vec<(String, SocketAddr)>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_ascii_lowercase();
        let fixed: Vec<SocketAddr> = self.fixed.iter().filter(|(of, _)| *of == name).map(|(_, to)| *to).collect();
        let (refuse, private) = (self.public_only && !self.exempt.contains(&name), self.private.clone());
        Box::pin(async move {
            let found: Vec<SocketAddr> = match fixed.is_empty() {
                false => fixed,
                true => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            if found.iter().any(|address| is_private_ip(address.ip())) {
                if refuse {
                    return Err(Box::new(PrivateAddress) as Box<dyn std::error::Error + Send + Sync>);
                }
                private.insert(&name);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads into a private network")
    }
}

impl std::error::Error for PrivateAddress {}

/// Whether a request failed because a name led into a private network.
pub(super) fn is_private_address(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<PrivateAddress>() {
            return true;
        }
        next = error.source();
    }
    false
}
