//! `tags/list` and the referrers API: what is listed, in which pages, and where the next page is said to be.

use serde_json::{Value, json};

use super::answer::Answer;
use super::log::Seen;
use super::state::{State, was};
use super::switches::{Link, Listing, Referrers};
use super::{OCI_INDEX, auth, digest};

pub(super) fn tags(state: &State, repository: &str, seen: &Seen) -> Answer {
    let listing = &state.switches.tags_list;
    if let Some(status) = listing.status {
        return Answer::error(status, refusal(status));
    }
    if !state.knows(repository) {
        return Answer::error(404, "NAME_UNKNOWN");
    }
    let tags = state.tags_as_of(repository, seen.number, listing.stale);
    let (tags, link) = page(listing, tags, seen, &state.url);
    let tags: Vec<String> = tags.into_iter().map(|(tag, page)| renamed(&tag, page)).collect();
    linked(Answer::json(200, &json!({"name": repository, "tags": tags})), link)
}

pub(super) fn referrers(state: &State, repository: &str, subject: &str, seen: &Seen) -> Answer {
    match state.switches.referrers {
        Referrers::On => {}
        Referrers::Off => return Answer::text(404, "404 page not found\n"),
        Referrers::WrongType => {
            return Answer::new(200).header("Content-Type", "text/html").body("<html><body>Welcome</body></html>");
        }
        Referrers::Status(401) => return auth::challenge(state, seen, repository, None),
        Referrers::Status(status) => return Answer::error(status, refusal(status)),
    }
    let listing = &state.switches.referrers_list;
    if let Some(status) = listing.status {
        return Answer::error(status, refusal(status));
    }
    let wanted = auth::value(seen.query(), "artifactType").filter(|_| state.switches.artifact_filter);
    let mut found = std::collections::BTreeMap::new();
    for ((of, digest), manifest) in &state.manifests {
        let Ok(json) = serde_json::from_slice::<Value>(&manifest.bytes) else { continue };
        let points_here = json.pointer("/subject/digest").and_then(Value::as_str) == Some(subject);
        if of != repository || !points_here || !was(manifest.at, seen.number, listing.stale) {
            continue;
        }
        let artifact = json.get("artifactType").or_else(|| json.pointer("/config/mediaType")).cloned();
        if wanted.is_some() && artifact.as_ref().and_then(Value::as_str) != wanted.as_deref() {
            continue;
        }
        let descriptor = json!({
            "mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len(), "artifactType": artifact,
            "annotations": json.get("annotations").cloned().unwrap_or_else(|| json!({})),
        });
        found.insert(digest.clone(), descriptor);
    }
    let (page, link) = page(listing, found.keys().cloned().collect(), seen, &state.url);
    let described = page.into_iter().map(|(name, number)| {
        let mut descriptor = found.get(&name).cloned().unwrap_or_default();
        if number > 0 {
            descriptor["digest"] = digest(format!("{name} {number}").as_bytes()).into();
        }
        descriptor
    });
    let manifests: Vec<Value> = described.collect();
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
    let mut answer = Answer::new(200).header("Content-Type", OCI_INDEX).body(body);
    if wanted.is_some() {
        answer = answer.header("OCI-Filters-Applied", "artifactType");
    }
    linked(answer, link)
}

fn refusal(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 | 405 => "UNSUPPORTED",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    }
}

fn renamed(name: &str, page: usize) -> String {
    match page {
        0 => name.to_owned(),
        page => format!("{name}-{page}"),
    }
}

fn linked(answer: Answer, link: Option<String>) -> Answer {
    match link {
        Some(target) => answer.header("Link", format!("<{target}>; rel=\"next\"")),
        None => answer,
    }
}

/// The names of this page, each with the number of the endless page it stands on, and where the next page is.
fn page(listing: &Listing, mut names: Vec<String>, seen: &Seen, url: &str) -> (Vec<(String, usize)>, Option<String>) {
    names.sort_by_cached_key(|name| if listing.sorted { name.clone() } else { digest(name.as_bytes()) });
    let query = seen.query();
    let asked = |name: &str| auth::value(query, name).filter(|_| listing.parameters);
    let endless = auth::value(query, "page").and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    if let Some(last) = asked("last") {
        // In an order that is none, only a listed name has a place.
        let start = match listing.sorted {
            true => names.iter().position(|name| *name > last).unwrap_or(names.len()),
            false => names.iter().position(|name| *name == last).map_or(0, |at| at + 1),
        };
        names.drain(..start);
    }
    let n = asked("n").and_then(|n| n.parse::<usize>().ok());
    let size = [n, listing.page].into_iter().flatten().min();
    // `n=0` asks for no entry, and there is nothing after it (distribution-spec, "Listing Tags").
    let more = listing.parameters && size.is_some_and(|size| size > 0 && names.len() > size);
    if let Some(size) = size.filter(|_| listing.parameters) {
        names.truncate(size);
    }
    // What else was asked for stays asked for.
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !["last=", "page=", "n="].iter().any(|name| pair.starts_with(name)))
        .collect();
    let to = |parameters: Vec<String>| {
        let kept = kept.iter().map(|pair| (*pair).to_owned()).chain(n.map(|n| format!("n={n}")));
        let all: Vec<String> = kept.chain(parameters).collect();
        let mark = if all.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", seen.path(), all.join("&"))
    };
    let next = || to(names.last().map(|last| format!("last={last}")).into_iter().collect());
    let link = match (&listing.link, more) {
        (Link::Cyclic, _) => Some(to(Vec::new())),
        (Link::Endless, _) => Some(to(vec![format!("page={}", endless + 1)])),
        (Link::Silent, _) | (_, false) => None,
        (Link::Relative, true) => Some(next()),
        (Link::Absolute, true) => Some(format!("{url}{}", next())),
        (Link::Foreign(origin), true) => Some(format!("{origin}{}", next())),
    };
    (names.into_iter().map(|name| (name, endless)).collect(), link)
}
