//! Lists of a repository: what refers to a manifest, and tags. Both come in pages that the registry links, and a
//! stranger's links are followed only within the origin, forwards, and not for ever.

use std::collections::HashSet;
use std::time::SystemTime;

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderName, LINK};
use url::Url;

use super::answer::{Answer, Whole, header_text, media_type};
use super::limits;
use super::realm;
use super::request::{Ask, Target};
use super::tag_list::TagPage;
use super::transport::Transport;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Document, IndexEntry, media_type::OCI_INDEX};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What a registry says of the manifests that refer to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// The entries of all pages, each digest once, in the order served.
    Found(Vec<IndexEntry>),
    /// It has no referrers API: the index behind the tag `sha256-<hex>` decides.
    NoApi,
}

/// The tags of a repository with one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList {
    /// The tags, each once, in the order served.
    pub tags: Vec<String>,
    /// The registry's clock (`Date`), if it told.
    pub date: Option<SystemTime>,
}

/// The pages of one list, as far as they were followed.
struct Pages {
    seen: HashSet<String>,
}

impl Pages {
    fn new() -> Pages {
        Pages { seen: HashSet::new() }
    }

    /// The next page, if the answer links one.
    fn next(&mut self, ask: &Ask<'_>, answer: &Answer) -> Result<Option<Url>> {
        self.seen.insert(answer.url.to_string());
        let Some(link) = header_text(ask, &answer.headers, LINK)? else { return Ok(None) };
        let Some(target) = next_link(&link) else { return Ok(None) };
        let bad = |why: &str| ask.error(Code::Protocol, &format!("the link to the next page is refused: {why}"));
        let next = answer.url.join(target).map_err(|_| bad("it is not a URL"))?;
        if realm::origin(&next) != realm::origin(&answer.url) {
            return Err(bad("it leads to another origin"));
        }
        if !next.username().is_empty() || next.password().is_some() {
            return Err(bad("it carries a user name or password"));
        }
        if self.seen.contains(next.as_str()) {
            return Err(bad("it leads in a circle"));
        }
        if self.seen.len() >= limits::PAGES {
            let error = ask.error(Code::TooLarge, &format!("the list has more than {} pages", limits::PAGES));
            return Err(error.with("limit", limits::PAGES));
        }
        Ok(Some(next))
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (target, after) = from.split_once('>')?;
        // Parameters reach to the next link; a comma inside quotes does not begin one, but `<` does not occur there.
        let (parameters, further) = match after.find('<') {
            Some(at) => (after.get(..at)?, after.get(at..)?),
            None => (after, ""),
        };
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.trim().trim_end_matches(',').split_once('=') else { return false };
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = further;
    }
}

impl Transport {
    /// What refers to `digest`, of `artifact_type` if one is given (entries without a type are kept).
    ///
    /// [`Referrers::NoApi`] is remembered for an hour, and forgotten when the registry shows that it has the API.
    ///
    /// # Errors
    /// [`Code::TooLarge`] for more than 32 pages, 1,000 entries, 4 MiB a page, or 8 MiB in all. Everything that leaves the list unknown,
    /// such as 401, 403, 429 and other server errors.
    pub async fn referrers(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        artifact_type: Option<&str>,
        call: &Call,
    ) -> Result<Referrers> {
        let call = &limits::with_deadline(call);
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.referrers(host, repository, digest, artifact_type, call).await;
        }
        let what = format!("GET referrers of {digest}");
        let path = format!("referrers/{digest}");
        let mut ask = Ask::new(Method::GET, host, repository, path, what).header(ACCEPT, OCI_INDEX)?;
        ask.query.extend(artifact_type.map(|wanted| ("artifactType", wanted.to_owned())));
        if self.capabilities(&ask).referrers() == Some(false) {
            return Ok(Referrers::NoApi);
        }
        let (mut pages, mut entries, mut digests) = (Pages::new(), Vec::new(), HashSet::new());
        let mut length = 0_usize;
        loop {
            let mut body = Whole::new(limits::MANIFEST);
            let first = pages.seen.is_empty();
            // Without the API any page at all may come back, of any length.
            let answer = match self.answer(&ask, &mut body, call).await {
                Ok(answer) => answer,
                Err(failure) => return Err(failure.error),
            };
            let is_index = media_type(&answer.headers) == OCI_INDEX;
            match answer.status.as_u16() {
                200 if is_index => {}
                200 | 400 | 404 | 405 | 406 | 501 if first => {
                    // A repository that does not exist yet, or a digest it does not like, says nothing about the API.
                    if matches!(answer.status.as_u16(), 200 | 404 | 405 | 501) && !answer.says_absent() {
                        self.learn(&ask, |known| known.set_referrers(false));
                    }
                    return Ok(Referrers::NoApi);
                }
                200 => return Err(ask.error(Code::Protocol, "a further page is no index")),
                _ => return Err(answer.error(&ask)),
            }
            self.learn(&ask, |known| known.set_referrers(true));
            let context = |error: Error| error.context(format!("registry {host}: {} in {repository}", ask.what));
            length = length.saturating_add(body.bytes.len());
            if length > limits::REFERRERS_BYTES {
                let why = format!("the pages have more than {} bytes together", limits::REFERRERS_BYTES);
                return Err(ask.error(Code::TooLarge, &why).with("limit", limits::REFERRERS_BYTES));
            }
            let Document::Index(page) = Document::parse(&body.bytes, Some(OCI_INDEX)).map_err(context)? else {
                return Err(ask.error(Code::Protocol, "the list of referrers is no index"));
            };
            if entries.len().saturating_add(page.manifests.len()) > limits::REFERRERS {
                let why = format!("more than {} manifests refer to it", limits::REFERRERS);
                return Err(ask.error(Code::TooLarge, &why).with("limit", limits::REFERRERS));
            }
            let filtered = answer.headers.contains_key(FILTERS_APPLIED);
            for entry in page.manifests {
                let fits = match (artifact_type, entry.descriptor.artifact_type.as_deref()) {
                    (Some(wanted), Some(is)) => filtered || wanted == is,
                    _ => true,
                };
                if fits && digests.insert(entry.descriptor.digest.clone()) {
                    entries.push(entry);
                }
            }
            match pages.next(&ask, &answer)? {
                Some(next) => (ask.target, ask.query) = (Target::Url(next), Vec::new()),
                None => return Ok(Referrers::Found(entries)),
            }
        }
    }

    /// The tags of a repository that begin with `prefix`; `None` when the registry itself says that there is no such
    /// repository.
    ///
    /// It is asked for what follows `prefix` in order, and stops at the first tag past it. Registries that refuse the
    /// question, or whose answer lacks `expected`, a tag that must be there, are asked for the whole list instead.
    ///
    /// # Errors
    /// [`Code::TooLarge`] for more than 32 pages, 16 MiB in all, or 10,000 tags with the prefix. The status of a refusal
    /// is in the error's detail `status`.
    pub async fn list_tags(
        &self,
        host: &str,
        repository: &str,
        prefix: &str,
        expected: Option<&str>,
        call: &Call,
    ) -> Result<Option<TagList>> {
        let call = &limits::with_deadline(call);
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.list_tags(host, repository, prefix, expected, call).await;
        }
        let ask = Ask::new(Method::GET, host, repository, "tags/list".to_owned(), "GET tags".to_owned());
        if self.capabilities(&ask).tags_from != Some(false) {
            match self.walk_tags(host, repository, prefix, true, call).await {
                Ok(None) => return Ok(None),
                Ok(Some(list)) if expected.is_none_or(|tag| list.tags.iter().any(|found| found == tag)) => {
                    return Ok(Some(list));
                }
                Ok(Some(_)) => {}
                Err(error) if refuses_parameters(&error) => {
                    self.learn(&ask, |known| known.tags_from = Some(false));
                }
                Err(error) => return Err(error),
            }
        }
        self.walk_tags(host, repository, prefix, false, call).await
    }

    /// The same from the whole list, for registries whose answer to the question of what follows a tag lacks some.
    ///
    /// # Errors
    /// Those of [`Transport::list_tags`].
    pub async fn list_all_tags(
        &self,
        host: &str,
        repository: &str,
        prefix: &str,
        call: &Call,
    ) -> Result<Option<TagList>> {
        self.walk_tags(host, repository, prefix, false, &limits::with_deadline(call)).await
    }

    async fn walk_tags(
        &self,
        host: &str,
        repository: &str,
        prefix: &str,
        from: bool,
        call: &Call,
    ) -> Result<Option<TagList>> {
        let mut ask = Ask::new(Method::GET, host, repository, "tags/list".to_owned(), "GET tags".to_owned());
        if from {
            ask.query = vec![("n", limits::TAGS_PAGE.to_string()), ("last", prefix.to_owned())];
        }
        let (mut pages, mut left) = (Pages::new(), limits::TAG_LIST);
        let mut list = TagList { tags: Vec::new(), date: None };
        let mut known = HashSet::new();
        loop {
            let mut page = TagPage::new(prefix, left);
            let Some(answer) = self.get(&ask, &mut page, call).await? else { return Ok(None) };
            left = left.saturating_sub(page.length());
            list.date = list.date.or_else(|| answer.date());
            let page = page.finish().map_err(|why| ask.error(Code::Protocol, why))?;
            list.tags.extend(page.tags.into_iter().filter(|tag| known.insert(tag.clone())));
            if list.tags.len() > limits::TAGS {
                let why = format!("more than {} tags begin with {prefix}", limits::TAGS);
                return Err(ask.error(Code::TooLarge, &why).with("limit", limits::TAGS));
            }
            let past =
                page.ascending && page.last.is_some_and(|last| last.as_str() > prefix && !last.starts_with(prefix));
            match pages.next(&ask, &answer)? {
                Some(next) if !(from && past) => (ask.target, ask.query) = (Target::Url(next), Vec::new()),
                _ => return Ok(Some(list)),
            }
        }
    }
}

fn refuses_parameters(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 405 | 413))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page_among_links() {
        for (header, target) in [
            (r#"</v2/a/tags/list?n=1&last=b>; rel="next""#, Some("/v2/a/tags/list?n=1&last=b")),
            ("</x>; rel=next", Some("/x")),
            (r#"</p>; rel="prev", </n>; title="a, b"; REL="last next""#, Some("/n")),
            (r#"</p>; rel="prev""#, None),
            ("nonsense", None),
            ("<unclosed", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), target, "{header}");
        }
    }
}
