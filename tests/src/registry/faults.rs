//! What can be done to one request or its answer.
//!
//! A fault is chosen by a pattern over `METHOD path?query` and by counting matches, so that "fail request k of this
//! operation in this way" is one line. The first rule that wants a request has it. A fault that answers by itself keeps
//! the request from having an effect; one that spoils the right answer does not.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::hold::Gate;
use super::pattern;

/// What is done to a chosen request or its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    // Answers of its own; the request has no effect.
    /// This status, these headers, this body.
    #[serde(skip)]
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The same for those who do not speak Rust.
    Reply {
        /// The status.
        status: u16,
        /// The headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// This status and an OCI error body with this code.
    OciError(u16, String),
    /// This status and plain text.
    Text(u16, String),
    /// This status and a web page.
    Html(u16),
    /// A web page with status 404, as a captive portal or proxy shows.
    Portal,
    /// 401 with the registry's own challenge: repeated, a storm.
    Unauthorized,
    /// 429 `TOOMANYREQUESTS`.
    RateLimit(RetryAfter),
    /// A redirect; `{path}` in the location stands for the path and query asked for.
    Redirect(u16, String),
    /// So many redirects within the origin, then the right answer.
    Hops(usize),

    // No answer; the request has no effect.
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// The connection is reset when only the head was read.
    ResetUnread,
    /// No answer, for ever.
    Stall,

    // The right answer, spoilt; the request has its effect.
    /// The connection is reset after so many bytes of the answer, its head counted (HTTP/2: of its body).
    ResetAt(usize),
    /// The right head, half of the body, then the connection ends.
    Truncate,
    /// The right head, so many bytes of the body, then the connection ends.
    TruncateAt(usize),
    /// The head, and then never a body.
    StallBody,
    /// The head, so many bytes of the body, and then nothing for ever.
    StallAt(usize),
    /// The right body and this many more bytes, chunked.
    OverLong(usize),
    /// A body that never ends.
    Endless,
    /// The right answer, and behind it bytes that nobody asked for (HTTP/1.1 only).
    Trailing(String),
    /// The right answer with one bit of the body changed.
    WrongBytes,
    /// The right answer under a digest that is not its own.
    WrongDigest,
    /// The right answer with another content type.
    ContentType(String),
    /// The right answer with a header set or replaced.
    Header(String, String),
    /// The right answer without a header.
    WithoutHeader(String),
    /// The right answer, truly compressed, with `Content-Encoding: gzip`.
    Gzip,
    /// The right answer with so many more headers.
    HeaderFlood(usize),
    /// The right answer with a header of so many bytes.
    HugeHeader(usize),
    /// The right answer, later.
    #[serde(with = "milliseconds")]
    Delay(Duration),
    /// The right answer, and then the connection ends without a warning.
    CloseAfter,

    // The time of the effect.
    /// The request has its effect just before the `requests + 1`-th request after it (0: at once), and is answered
    /// now as `answer` says, which stands for a gateway that gave up: an error, [`Fault::Reset`], [`Fault::Close`].
    Late {
        /// After how many other requests.
        requests: u64,
        /// What is said now.
        answer: Box<Fault>,
    },
    /// The request waits before it has its effect: [`Registry::hold`](super::Registry::hold).
    #[serde(skip)]
    Hold(Arc<Gate>),
    /// The request has its effect, then its answer waits: [`Registry::hold_answer`](super::Registry::hold_answer).
    #[serde(skip)]
    HoldAnswer(Arc<Gate>),
}

/// The form of `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// None.
    Absent,
    /// Seconds.
    Seconds(u64),
    /// A date so many seconds from the registry's now.
    Date(i64),
}

impl Fault {
    /// An OCI error with this status and code.
    pub fn error(status: u16, code: &str) -> Fault {
        Fault::OciError(status, code.to_owned())
    }

    /// Has its effect `requests` requests later, and is answered with this status now.
    pub fn late(requests: u64, status: u16) -> Fault {
        Fault::Late { requests, answer: Box::new(Fault::Text(status, "the gateway gave up".to_owned())) }
    }
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

struct Rule {
    pattern: String,
    skip: usize,
    left: usize,
    fault: Fault,
}

/// The faults in force.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    hits: usize,
}

impl Rules {
    pub fn add(&mut self, pattern: &str, skip: usize, times: usize, fault: Fault) {
        self.rules.push(Rule { pattern: pattern.to_owned(), skip, left: times, fault });
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// How often a rule has taken a request.
    pub fn hits(&self) -> usize {
        self.hits
    }

    /// The fault for this request, counted as used. Every rule counts the request, the first that wants it has it.
    pub fn choose(&mut self, method: &str, target: &str) -> Option<Fault> {
        let line = format!("{method} {target}");
        let mut chosen = None;
        for rule in self.rules.iter_mut().filter(|rule| pattern::occurs(&rule.pattern, &line)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.left > 0 && chosen.is_none() {
                rule.left -= 1;
                self.hits += 1;
                chosen = Some(rule.fault.clone());
            }
        }
        chosen
    }
}

/// How an answer goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    Whole,
    CloseAfter,
    OverLong(usize),
    Endless,
    Trailing(String),
    /// So many bytes of the whole answer.
    CutAll(usize, End),
    /// So many bytes of the body.
    CutBody(usize, End),
    Nothing(End),
}

/// What comes instead of the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Close,
    Reset,
    Stall,
}

/// The answer that stands in place of the right one; `None` if this fault needs the right one.
pub(super) fn instead(fault: &Fault, target: &str, skew: i64) -> Option<Answer> {
    Some(match fault {
        Fault::Answer(status, headers, body) => {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            Answer { status: *status, headers, body: body.clone() }
        }
        Fault::Reply { status, headers, body } => {
            Answer { status: *status, headers: headers.clone(), body: body.clone().into_bytes() }
        }
        Fault::OciError(status, code) => Answer::error(*status, code),
        Fault::Text(status, text) => Answer::text(*status, text),
        Fault::Html(status) => portal(*status),
        Fault::Portal => portal(404),
        Fault::RateLimit(after) => {
            let answer = Answer::error(429, "TOOMANYREQUESTS");
            match after {
                RetryAfter::Absent => answer,
                RetryAfter::Seconds(seconds) => answer.header("Retry-After", seconds.to_string()),
                RetryAfter::Date(seconds) => answer.header("Retry-After", super::date::http(skew + seconds)),
            }
        }
        Fault::Redirect(status, location) => {
            Answer::new(*status).header("Location", location.replace("{path}", target))
        }
        Fault::Close | Fault::Reset | Fault::ResetUnread | Fault::Stall => Answer::new(0),
        _ => return None,
    })
}

fn portal(status: u16) -> Answer {
    Answer::new(status)
        .header("Content-Type", "text/html")
        .body("<html><body>Please accept our terms of use.</body></html>")
}

/// The redirect of [`Fault::Hops`], while there are hops left.
pub(super) fn hop(target: &str, hops: usize) -> Option<Answer> {
    let (start, done) = match target.rsplit_once("hop=") {
        Some((start, number)) => (start.to_owned(), number.parse().unwrap_or(0)),
        None => (format!("{target}{}", if target.contains('?') { '&' } else { '?' }), 0),
    };
    (done < hops).then(|| Answer::new(307).header("Location", format!("{start}hop={}", done + 1)))
}

/// Spoils the right answer and says how it is sent.
pub(super) fn spoil(fault: Option<&Fault>, answer: &mut Answer) -> How {
    let Some(fault) = fault else { return How::Whole };
    match fault {
        Fault::Close => return How::Nothing(End::Close),
        Fault::Reset | Fault::ResetUnread => return How::Nothing(End::Reset),
        Fault::Stall => return How::Nothing(End::Stall),
        Fault::ResetAt(bytes) => return How::CutAll(*bytes, End::Reset),
        Fault::Truncate => return How::CutBody(answer.body.len() / 2, End::Close),
        Fault::TruncateAt(bytes) => return How::CutBody(*bytes, End::Close),
        Fault::StallBody => return How::CutBody(0, End::Stall),
        Fault::StallAt(bytes) => return How::CutBody(*bytes, End::Stall),
        Fault::OverLong(extra) => return How::OverLong(*extra),
        Fault::Endless => return How::Endless,
        Fault::Trailing(bytes) => return How::Trailing(bytes.clone()),
        Fault::CloseAfter => return How::CloseAfter,
        Fault::WrongBytes => {
            if let Some(last) = answer.body.last_mut() {
                *last ^= 1;
            }
        }
        Fault::WrongDigest => answer.set("Docker-Content-Digest", super::digest(b"something else")),
        Fault::ContentType(value) => answer.set("Content-Type", value),
        Fault::Header(name, value) => answer.set(name, value),
        Fault::WithoutHeader(name) => answer.remove(name),
        Fault::Gzip => {
            answer.body = gzip(&answer.body);
            answer.set("Content-Encoding", "gzip");
        }
        Fault::HeaderFlood(count) => {
            answer.headers.extend((0..*count).map(|number| (format!("X-Flood-{number}"), "x".to_owned())));
        }
        Fault::HugeHeader(bytes) => answer.set("X-Huge", "x".repeat(*bytes)),
        _ => {}
    }
    How::Whole
}

/// A gzip file of stored blocks (RFC 1952, RFC 1951 3.2.4): bigger than its content, but every reader unpacks it.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(0xffff).collect() };
    for (at, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(at + 1 == blocks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(*block);
    }
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    out.extend(crc.to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}
