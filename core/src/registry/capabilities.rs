//! What a repository's registry can do, as far as its answers showed; in memory only, and wrong only until the next
//! answer that contradicts it.

use std::time::Instant;

use super::auth::canonical_host;
use super::limits;
use super::request::Ask;
use super::transport::{Transport, lock};

/// What was learned about one repository. `None`: nothing yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Capabilities {
    /// A blob can be stored by the request that opens its upload.
    pub(super) single_post: Option<bool>,
    /// The referrers API; that it is missing is believed for [`limits::CAPABILITY_LIFE`].
    referrers: Option<(bool, Instant)>,
    /// `tags/list` takes `n` and `last`.
    pub(super) tags_from: Option<bool>,
}

impl Capabilities {
    pub(super) fn referrers(&self) -> Option<bool> {
        let (there, since) = self.referrers?;
        (there || since.elapsed() < limits::CAPABILITY_LIFE).then_some(there)
    }

    pub(super) fn set_referrers(&mut self, there: bool) {
        self.referrers = Some((there, Instant::now()));
    }
}

impl Transport {
    /// Whether a repository's registry keeps lists of referrers, as far as it is known.
    pub fn has_referrers(&self, host: &str, repository: &str) -> Option<bool> {
        let key = (canonical_host(host), repository.to_owned());
        lock(&self.state).capabilities.get(&key).and_then(|known| known.referrers())
    }

    pub(super) fn capabilities(&self, ask: &Ask<'_>) -> Capabilities {
        let key = (canonical_host(ask.host), ask.repository.to_owned());
        lock(&self.state).capabilities.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn learn(&self, ask: &Ask<'_>, what: impl FnOnce(&mut Capabilities)) {
        let key = (canonical_host(ask.host), ask.repository.to_owned());
        what(lock(&self.state).capabilities.get_or_default(key));
    }
}
