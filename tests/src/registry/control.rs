//! The same registry by lines of JSON, for tests in C, Go, Python and shell.
//!
//! `cosign-test-registry [OPTIONS]` prints `listening 127.0.0.1:PORT`, then reads one command per line and answers each
//! with one line, `{"ok": …}` or `{"error": "…"}`. It ends with its standard input. OPTIONS is a JSON object; all it says is
//! `{"tls": {"http2": true, "client_certificate": false, "certificate": "good"}}`. The commands:
//!
//! | command | meaning |
//! |---|---|
//! | `{"set": {"single_post": true, "referrers": "on", "tags_list": {"page": 2}}}` | changes these switches ([`Switches`]), merged by member |
//! | `{"switches": {}}` | all switches |
//! | `{"fault": {"when": "PUT *sha256-*.sig$", "skip": 0, "times": 1, "do": {"reset_at": 17}}}` | [`Registry::fault_at`]; `skip` 0 and `times` unlimited by default |
//! | `{"fail": {"request": 3, "do": "truncate"}}` | [`Registry::fail`] |
//! | `{"hold": {"when": "PUT", "answer": false}}` | [`Registry::hold`] or [`Registry::hold_answer`]; answers the hold's number |
//! | `{"wait": {"hold": 0, "count": 1}}`, `{"release_one": 0}`, `{"release": 0}` | the handle's methods |
//! | `{"heal": {}}`, `{"commit_late": {}}`, `{"revoke_tokens": {}}`, `{"hits": {}}` | as their namesakes |
//! | `{"mark": {}}` | a number for the next three |
//! | `{"log": 0}`, `{"seen": 0}`, `{"rounds": 0}` | lines, whole entries (bodies by length), lines by round, since that mark |
//! | `{"expect": {"since": 0, "batches": [["GET /v2/r/manifests/v1 200"]]}}` | [`Registry::expect`]; a difference is an error |
//! | `{"add_image": {"repository": "r", "tag": "v1"}}` | answers the digest |
//! | `{"add_blob": {"repository": "r", "base64": ""}}`, `{"add_manifest": {"repository": "r", "tag": "t", "media_type": "", "base64": ""}}` | answers the digest; no tag: untagged |
//! | `{"remove_tag": {"repository": "r", "tag": "t"}}`, `{"tags": "r"}` | |
//! | `{"manifest": {"repository": "r", "reference": "v1"}}`, `{"blob": {"repository": "r", "reference": "sha256:…"}}` | base64, or null |
//! | `{"credentials": {}}` | with TLS: `ca`, `client`, `client_key`, as PEM |
//!
//! Faults are written as the variants of [`Fault`] in snake_case: `"truncate"`, `{"reset_at": 17}`,
//! `{"oci_error": [503, "UNAVAILABLE"]}`, `{"redirect": [307, "http://127.0.0.1:1{path}"]}`,
//! `{"late": {"requests": 2, "answer": {"text": [502, "gateway"]}}}`, `{"delay": 50}` (milliseconds).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fault, Hold, Mark, Options, Registry, Seen, Switches, Tls, compare};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A registry that is driven by lines.
pub struct Control {
    registry: Registry,
    holds: Vec<Hold>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Set(Value),
    Switches(Empty),
    Fault {
        when: String,
        #[serde(default)]
        skip: usize,
        times: Option<usize>,
        r#do: Fault,
    },
    Fail {
        request: usize,
        r#do: Fault,
    },
    Hold {
        when: String,
        #[serde(default)]
        answer: bool,
    },
    Wait {
        hold: usize,
        count: usize,
    },
    ReleaseOne(usize),
    Release(usize),
    Heal(Empty),
    CommitLate(Empty),
    RevokeTokens(Empty),
    Hits(Empty),
    Mark(Empty),
    Log(u64),
    Seen(u64),
    Rounds(u64),
    Expect {
        since: u64,
        batches: Vec<Vec<String>>,
    },
    AddImage {
        repository: String,
        tag: String,
    },
    AddBlob {
        repository: String,
        base64: String,
    },
    AddManifest {
        repository: String,
        tag: Option<String>,
        media_type: String,
        base64: String,
    },
    RemoveTag {
        repository: String,
        tag: String,
    },
    Tags(String),
    Manifest {
        repository: String,
        reference: String,
    },
    Blob {
        repository: String,
        reference: String,
    },
    Credentials(Empty),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Start {
    tls: Option<Tls>,
}

impl Control {
    /// Starts a registry; `options` is a JSON object, or empty.
    ///
    /// # Errors
    /// When `options` is not what the module's comment says.
    pub fn start(options: &str) -> Outcome<Control> {
        let start: Start = serde_json::from_str(if options.is_empty() { "{}" } else { options })?;
        let registry = Registry::with(Options { tls: start.tls, ..Options::default() });
        Ok(Control { registry, holds: Vec::new() })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.registry.host()
    }

    /// Does what one line says and answers with one line.
    pub fn line(&mut self, line: &str) -> String {
        let outcome = serde_json::from_str(line).map_err(Into::into).and_then(|command| self.run(command));
        match outcome {
            Ok(value) => json!({"ok": value}).to_string(),
            Err(error) => json!({"error": error.to_string()}).to_string(),
        }
    }

    fn run(&mut self, command: Command) -> Outcome<Value> {
        let registry = &self.registry;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
        let hold = |number: usize| self.holds.get(number).ok_or_else(|| format!("there is no hold {number}"));
        Ok(match command {
            Command::Set(change) => {
                let mut all = serde_json::to_value(registry.switches())?;
                merge(&mut all, change);
                let switches: Switches = serde_json::from_value(all)?;
                registry.set(|now| *now = switches);
                Value::Null
            }
            Command::Switches(_) => serde_json::to_value(registry.switches())?,
            Command::Fault { when, skip, times, r#do } => {
                registry.fault_at(&when, skip, times.unwrap_or(usize::MAX), r#do);
                Value::Null
            }
            Command::Fail { request: 0, .. } => return Err("requests are counted from 1".into()),
            Command::Fail { request, r#do } => {
                registry.fail(request, r#do);
                Value::Null
            }
            Command::Hold { when, answer } => {
                let hold = if answer { registry.hold_answer(&when) } else { registry.hold(&when) };
                self.holds.push(hold);
                json!(self.holds.len() - 1)
            }
            Command::Wait { hold: number, count } => {
                hold(number)?.wait_for(count);
                Value::Null
            }
            Command::ReleaseOne(number) => {
                hold(number)?.release_one();
                Value::Null
            }
            Command::Release(number) => {
                hold(number)?.release();
                Value::Null
            }
            Command::Heal(_) => {
                registry.heal();
                Value::Null
            }
            Command::CommitLate(_) => {
                registry.commit_late();
                Value::Null
            }
            Command::RevokeTokens(_) => {
                registry.revoke_tokens();
                Value::Null
            }
            Command::Hits(_) => json!(registry.hits()),
            Command::Mark(_) => json!(registry.mark().0),
            Command::Log(mark) => json!(registry.since(Mark(mark))),
            Command::Seen(mark) => registry.seen_since(Mark(mark)).iter().map(entry).collect(),
            Command::Rounds(mark) => json!(registry.rounds(Mark(mark))),
            Command::Expect { since, batches } => {
                let batches: Vec<Vec<&str>> =
                    batches.iter().map(|batch| batch.iter().map(String::as_str).collect()).collect();
                let batches: Vec<&[&str]> = batches.iter().map(Vec::as_slice).collect();
                compare(&registry.since(Mark(since)), &batches)?;
                Value::Null
            }
            Command::AddImage { repository, tag } => json!(registry.add_image(&repository, &tag)),
            Command::AddBlob { repository, base64 } => json!(registry.add_blob(&repository, &bytes(&base64)?)),
            Command::AddManifest { repository, tag, media_type, base64 } => json!(match tag {
                Some(tag) => registry.add_manifest(&repository, &tag, &media_type, &bytes(&base64)?),
                None => registry.add_untagged(&repository, &media_type, &bytes(&base64)?),
            }),
            Command::RemoveTag { repository, tag } => json!(registry.remove_tag(&repository, &tag)),
            Command::Tags(repository) => json!(registry.tags(&repository)),
            Command::Manifest { repository, reference } => {
                json!(registry.manifest(&repository, &reference).map(|(_, bytes)| STANDARD.encode(bytes)))
            }
            Command::Blob { repository, reference } => {
                json!(registry.blob(&repository, &reference).map(|bytes| STANDARD.encode(bytes)))
            }
            Command::Credentials(_) => {
                let made = registry.credentials.as_ref().ok_or("this registry was started without TLS")?;
                json!({"ca": made.ca, "client": made.client, "client_key": made.client_key})
            }
        })
    }
}

fn entry(seen: &Seen) -> Value {
    json!({
        "number": seen.number, "connection": seen.connection, "round": seen.round, "http2": seen.http2,
        "method": seen.method, "path": seen.path(), "query": seen.query(), "status": seen.status,
        "authorized": seen.authorization().is_some(), "headers": seen.headers, "length": seen.body.len(),
    })
}

/// Members of objects replace their namesakes; everything else is replaced whole.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}
