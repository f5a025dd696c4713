//! The distribution specification: what each request means and does.

use serde_json::{Value, json};

use super::answer::Answer;
use super::log::Seen;
use super::state::{Key, State, key};
use super::switches::{Check, Delete, Referrers, Vendor};
use super::{auth, digest, list, pattern};

/// The parts of a path below `/v2/`.
pub(super) struct Route<'a> {
    pub repository: &'a str,
    pub kind: &'static str,
    pub name: &'a str,
}

const KINDS: [&str; 5] = ["/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/", "/tags/"];

pub(super) fn route(seen: &Seen) -> Option<Route<'_>> {
    let rest = seen.path().strip_prefix("/v2/")?;
    let (kind, at) = KINDS.iter().find_map(|kind| rest.rfind(kind).map(|at| (*kind, at)))?;
    Some(Route { repository: &rest[..at], kind, name: &rest[at + kind.len()..] })
}

/// The tag that a request sets.
pub(super) fn overwrites(seen: &Seen) -> Option<Key> {
    let route = route(seen).filter(|route| route.kind == "/manifests/" && !route.name.contains(':'))?;
    (seen.method == "PUT").then(|| key(route.repository, route.name))
}

/// The refusal of those who may not, if this is one of them.
pub(super) fn refuse(state: &mut State, seen: &Seen) -> Option<Answer> {
    if !seen.path().starts_with("/v2/") {
        return None;
    }
    auth::refuse(state, seen, route(seen).map_or("", |route| route.repository))
}

/// What the registry does and answers, once it is known who asks.
pub(super) fn perform(state: &mut State, seen: &Seen) -> Answer {
    if seen.path() == "/token" {
        return auth::token(state, seen);
    }
    if !seen.path().starts_with("/v2/") {
        return Answer::text(404, "404 page not found\n");
    }
    let Some(Route { repository, kind, name }) = route(seen) else { return Answer::json(200, &json!({})) };
    if state.switches.read_only && !matches!(seen.method.as_str(), "GET" | "HEAD") {
        return Answer::error(405, "UNSUPPORTED");
    }
    match (kind, seen.method.as_str()) {
        ("/manifests/", "GET" | "HEAD") => get_manifest(state, repository, name),
        ("/manifests/", "PUT") => put_manifest(state, repository, name, seen),
        ("/manifests/", "DELETE") => delete_manifest(state, repository, name),
        ("/blobs/uploads/", _) => upload(state, repository, name, seen),
        ("/blobs/", "GET" | "HEAD") => match state.blobs.get(&key(repository, name)) {
            Some(bytes) => Answer::new(200).header("Content-Type", "application/octet-stream").body(bytes.clone()),
            None => Answer::error(404, "BLOB_UNKNOWN"),
        },
        ("/blobs/", "DELETE") => match (state.switches.delete, state.blobs.remove(&key(repository, name))) {
            (Delete::Off, Some(bytes)) => {
                state.blobs.insert(key(repository, name), bytes);
                Answer::error(405, "UNSUPPORTED")
            }
            (Delete::Off, None) => Answer::error(405, "UNSUPPORTED"),
            (_, Some(_)) => Answer::new(202),
            (_, None) => Answer::error(404, "BLOB_UNKNOWN"),
        },
        ("/referrers/", "GET") => list::referrers(state, repository, name, seen),
        ("/tags/", "GET") if name == "list" => list::tags(state, repository, seen),
        _ => Answer::error(405, "UNSUPPORTED"),
    }
}

fn get_manifest(state: &mut State, repository: &str, name: &str) -> Answer {
    if state.switches.torn_reads && state.is_torn(repository, name) {
        return Answer::error_saying(500, "UNKNOWN", "invalid checksum digest format");
    }
    let early = state.too_early(repository, name);
    match state.manifest(repository, name).filter(|_| !early) {
        Some((media_type, bytes)) => {
            let answer = Answer::new(200).header("Content-Type", media_type);
            match state.switches.digest_header {
                true => answer.header("Docker-Content-Digest", digest(&bytes)).body(bytes),
                false => answer.body(bytes),
            }
        }
        None if state.knows(repository) => Answer::error(404, "MANIFEST_UNKNOWN"),
        None => Answer::error(404, "NAME_UNKNOWN"),
    }
}

fn put_manifest(state: &mut State, repository: &str, name: &str, seen: &Seen) -> Answer {
    let Ok(json) = serde_json::from_slice::<Value>(&seen.body) else { return Answer::error(400, "MANIFEST_INVALID") };
    if let Some(refusal) = missing_part(state, repository, &json) {
        return refusal;
    }
    let found = digest(&seen.body);
    let is_tag = !name.contains(':');
    if !is_tag && name != found {
        return Answer::error(400, "DIGEST_INVALID");
    }
    if is_tag && let Some(refusal) = refuse_tag(state, repository, name) {
        return refusal;
    }
    let media_type = seen.headers.get("content-type").cloned().unwrap_or_default();
    let now = state.log.now();
    state.put_manifest(repository, &media_type, &seen.body, now);
    if is_tag {
        state.set_tag(repository, name, &found, now);
    }
    let mut answer = Answer::new(201).header("Location", format!("/v2/{repository}/manifests/{found}"));
    if state.switches.digest_header {
        answer = answer.header("Docker-Content-Digest", found);
    }
    match json.pointer("/subject/digest").and_then(Value::as_str) {
        Some(subject) if state.switches.oci_subject && state.switches.referrers == Referrers::On => {
            answer.header("OCI-Subject", subject)
        }
        _ => answer,
    }
}

/// `MANIFEST_BLOB_UNKNOWN`, with the digest that is missing.
fn missing_part(state: &State, repository: &str, json: &Value) -> Option<Answer> {
    let array = |name: &str| json.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let named = |one: &Value| key(repository, one.get("digest").and_then(Value::as_str).unwrap_or_default());
    let (layers, children) = (array("layers"), array("manifests"));
    let mut missing = Vec::new();
    if state.switches.check != Check::Off {
        let blobs = layers.iter().chain(json.get("config")).map(named);
        missing.extend(blobs.filter(|blob| !state.blobs.contains_key(blob)));
    }
    if state.switches.check == Check::All {
        missing.extend(children.iter().map(named).filter(|child| !state.manifests.contains_key(child)));
    }
    let (_, digest) = missing.into_iter().next()?;
    let error =
        json!({"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": {"digest": digest}});
    Some(Answer::json(400, &json!({"errors": [error]})))
}

/// What the rules for tags say against writing this one.
fn refuse_tag(state: &State, repository: &str, tag: &str) -> Option<Answer> {
    if let Some(quota) = &state.switches.quota
        && pattern::is(&quota.tags, tag)
    {
        let code = match quota.status {
            413 => "SIZE_INVALID",
            507 => "UNKNOWN",
            _ => "DENIED",
        };
        return Some(Answer::error_saying(quota.status, code, "the quota of this repository is used up"));
    }
    let immutable = state.switches.immutable.as_ref()?;
    if !pattern::is(&immutable.tags, tag) || !state.has_tag(repository, tag) {
        return None;
    }
    let (status, code, message) = match immutable.vendor {
        Vendor::Ecr => (
            400,
            "TAG_INVALID",
            format!(
                "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten \
                 because the repository is immutable."
            ),
        ),
        Vendor::Harbor => {
            (412, "PRECONDITION", format!("Failed to process request due to '{tag}' configured as immutable."))
        }
        Vendor::Quay => (409, "TAG_IMMUTABLE", format!("tag '{tag}' is immutable")),
    };
    Some(Answer::error_saying(status, code, &message))
}

fn delete_manifest(state: &mut State, repository: &str, name: &str) -> Answer {
    let now = state.log.now();
    let gone = match (state.switches.delete, name.contains(':')) {
        (Delete::Off, _) | (Delete::Tag, true) => return Answer::error(405, "UNSUPPORTED"),
        (Delete::Digest, false) => return Answer::error(400, "DIGEST_INVALID"),
        (_, true) => state.remove_manifest(repository, name, now),
        (_, false) => state.has_tag(repository, name) && state.remove_tag(repository, name, now),
    };
    match gone {
        true => Answer::new(202),
        false => Answer::error(404, "MANIFEST_UNKNOWN"),
    }
}

fn upload(state: &mut State, repository: &str, id: &str, seen: &Seen) -> Answer {
    let query = seen.query();
    if seen.method == "POST" {
        if let (true, Some(wanted), Some(from)) =
            (state.switches.mount, auth::value(query, "mount"), auth::value(query, "from"))
            && let Some(bytes) = state.blobs.get(&key(&from, &wanted)).cloned()
        {
            return store(state, repository, &wanted, bytes);
        }
        return match auth::value(query, "digest") {
            Some(wanted) if state.switches.single_post => store(state, repository, &wanted, seen.body.clone()),
            _ => {
                let id = format!("upload-{}", state.next());
                state.uploads.insert(id.clone(), Vec::new());
                Answer::new(202).header("Location", location(state, repository, &id))
            }
        };
    }
    let Some(upload) = state.uploads.get_mut(id) else { return Answer::error(404, "BLOB_UPLOAD_UNKNOWN") };
    match seen.method.as_str() {
        "PATCH" | "GET" => {
            let status = if seen.method == "GET" { 204 } else { 202 };
            if status == 202 {
                upload.extend_from_slice(&seen.body);
            }
            let range = format!("0-{}", upload.len().saturating_sub(1));
            Answer::new(status).header("Location", location(state, repository, id)).header("Range", range)
        }
        "PUT" => {
            let Some(wanted) = auth::value(query, "digest") else { return Answer::error(400, "DIGEST_INVALID") };
            let mut bytes = state.uploads.remove(id).unwrap_or_default();
            bytes.extend_from_slice(&seen.body);
            store(state, repository, &wanted, bytes)
        }
        "DELETE" => {
            state.uploads.remove(id);
            Answer::new(204)
        }
        _ => Answer::error(405, "UNSUPPORTED"),
    }
}

fn location(state: &State, repository: &str, id: &str) -> String {
    let path = format!("/v2/{repository}/blobs/uploads/{id}?state=x");
    match &state.switches.upload_location {
        Some(location) => location.replace("{path}", &path),
        None => path,
    }
}

fn store(state: &mut State, repository: &str, wanted: &str, bytes: Vec<u8>) -> Answer {
    if digest(&bytes) != wanted {
        return Answer::error(400, "DIGEST_INVALID");
    }
    state.blobs.insert(key(repository, wanted), bytes);
    let answer = Answer::new(201).header("Location", format!("/v2/{repository}/blobs/{wanted}"));
    match state.switches.digest_header {
        true => answer.header("Docker-Content-Digest", wanted),
        false => answer,
    }
}
