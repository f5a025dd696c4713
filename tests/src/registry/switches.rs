//! What kind of registry this is: everything that is true for all requests until a test changes it.
//!
//! [`Registry::set`](super::Registry::set) changes switches while the registry runs. What shall happen to single requests
//! is a [`Fault`](super::Fault) instead. Patterns of tags are whole names in which `*` stands for anything.

use serde::{Deserialize, Serialize};

use super::auth::{Auth, Tokens};

/// All switches. The default is an open registry that keeps every rule of the specification but has no referrers API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Who may come in.
    pub auth: Auth,
    /// How the token server behaves.
    pub tokens: Tokens,
    /// Whether there is a referrers API, and what stands in its place.
    pub referrers: Referrers,
    /// Whether `?artifactType=` filters (and `OCI-Filters-Applied` says so).
    pub artifact_filter: bool,
    /// How referrers are listed.
    pub referrers_list: Listing,
    /// How `tags/list` lists.
    pub tags_list: Listing,
    /// Whether a PUT with a `subject` is answered with `OCI-Subject` (only where the referrers API is on).
    pub oci_subject: bool,
    /// Whether `Docker-Content-Digest` is sent.
    pub digest_header: bool,
    /// Whether `POST …?digest=` stores at once; otherwise it is answered 202, as if it were `POST` alone.
    pub single_post: bool,
    /// Whether `POST …?mount=&from=` mounts; otherwise it is answered 202.
    pub mount: bool,
    /// Where uploads continue, instead of a relative path: `{path}` stands for the path and query.
    pub upload_location: Option<String>,
    /// What must exist before a manifest may name it.
    pub check: Check,
    /// What may be deleted.
    pub delete: Delete,
    /// Whether every write is refused with 405.
    pub read_only: bool,
    /// Tags that are never overwritten, and in whose words that is said.
    pub immutable: Option<Immutable>,
    /// Tags for which there is no space.
    pub quota: Option<Quota>,
    /// Whether tag `sha256-<hex>` answers the manifest `sha256:<hex>`, as GitLab does.
    pub digest_alias: bool,
    /// Tags that are listed, but 404 for their first reads.
    pub unreadable: Option<Unreadable>,
    /// Whether reading a tag is a 500 while a PUT of it is held or not yet committed, as Distribution 2.8 does.
    pub torn_reads: bool,
    /// Whether answers carry `Date`.
    pub date: bool,
    /// How far the registry's clock is ahead of ours, seconds.
    pub date_skew: i64,
    /// One round trip, milliseconds: half of it passes before the request has its effect, half before the answer.
    pub latency_ms: u64,
    /// What a new connection costs before its first request, milliseconds.
    pub connect_latency_ms: u64,
    /// Answers wait until no request has come for so long, milliseconds: what a client sends at once is then one round
    /// of [`Registry::rounds`](super::Registry::rounds), however slow the machine.
    pub gather_ms: u64,
    /// So many next connections are reset before a byte is read.
    pub reset_connections: usize,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            auth: Auth::None,
            tokens: Tokens::default(),
            referrers: Referrers::Off,
            artifact_filter: true,
            referrers_list: Listing::default(),
            tags_list: Listing::default(),
            oci_subject: true,
            digest_header: true,
            single_post: false,
            mount: true,
            upload_location: None,
            check: Check::Blobs,
            delete: Delete::Any,
            read_only: false,
            immutable: None,
            quota: None,
            digest_alias: false,
            unreadable: None,
            torn_reads: false,
            date: true,
            date_skew: 0,
            latency_ms: 0,
            connect_latency_ms: 0,
            gather_ms: 0,
            reset_connections: 0,
        }
    }
}

/// The referrers API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Referrers {
    /// It is there.
    On,
    /// `404 text/plain`, as Distribution answers.
    Off,
    /// 200 with a web page.
    WrongType,
    /// This status (401, 429, …) with an OCI error.
    Status(u16),
}

/// A list that comes in pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listing {
    /// Instead of the list: this status (401, 403, 404, 405, …) with an OCI error.
    pub status: Option<u16>,
    /// Entries in lexical order; otherwise in an order that is fixed but looks like none.
    pub sorted: bool,
    /// Whether `n` and `last` are read; Distribution 2.8 ignores both and lists everything.
    pub parameters: bool,
    /// The most entries of a page, whatever `n` says.
    pub page: Option<usize>,
    /// What `Link` says when there is more.
    pub link: Link,
    /// The list is the one of this many requests ago.
    pub stale: u64,
}

impl Default for Listing {
    fn default() -> Listing {
        Listing { status: None, sorted: true, parameters: true, page: None, link: Link::Relative, stale: 0 }
    }
}

/// Where the next page is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A path, as most registries answer.
    Relative,
    /// A whole address of the same origin.
    Absolute,
    /// Nowhere: there is more, and no word of it.
    Silent,
    /// Always the first page again.
    Cyclic,
    /// The next page, at this origin (`http://host:port`).
    Foreign(String),
    /// Another page, for ever; each repeats its entries under new names.
    Endless,
}

/// What must exist before a manifest may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Nothing, as Google's `pkg/registry`.
    Off,
    /// Config and layers, else `MANIFEST_BLOB_UNKNOWN`.
    Blobs,
    /// Also the children of an index, as Distribution.
    All,
}

/// What may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delete {
    /// Tags and digests.
    Any,
    /// Digests only (Distribution 2.8): 400 for a tag. A digest takes all its tags with it.
    Digest,
    /// Tags only: 405 for a digest.
    Tag,
    /// Nothing: 405.
    Off,
}

/// Whose words an immutable tag is refused in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// 400 `TAG_INVALID`.
    Ecr,
    /// 412 `PRECONDITION`.
    Harbor,
    /// 409 `TAG_IMMUTABLE`.
    Quay,
}

/// Tags that are never overwritten, not even with the same manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Immutable {
    /// Which tags.
    pub tags: String,
    /// Whose answer.
    pub vendor: Vendor,
}

/// Tags for which there is no space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Which tags.
    pub tags: String,
    /// 403, 413 or 507.
    pub status: u16,
}

/// Tags that are listed before they can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreadable {
    /// Which tags.
    pub tags: String,
    /// How many reads of each tag are a 404.
    pub reads: usize,
}
