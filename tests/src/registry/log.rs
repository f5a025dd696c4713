//! The request log: what arrived, in which order, and what belonged together.
//!
//! A request is logged when its head has arrived; its status is there before a byte of the answer is sent. [`Mark`] cuts
//! the log per operation. A *round* is what a client can do in one round trip: a request belongs to the round after
//! the last one of which an answer had left before it arrived.

use std::collections::BTreeMap;

use super::pattern;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// One request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// The status answered, 0 when there was no answer (yet).
    pub status: u16,
    /// Which request since the registry started, from 1.
    pub number: u64,
    /// Which connection it came over, from 1.
    pub connection: u64,
    /// Which round of requests it belongs to, growing.
    pub round: u64,
    /// Whether it came over HTTP/2.
    pub http2: bool,
}

impl Seen {
    /// The `Authorization` header.
    pub fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query without its `?`, perhaps empty.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// `METHOD path status`.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.method, self.path(), self.status)
    }
}

#[derive(Default)]
pub(super) struct Log {
    entries: Vec<Seen>,
    arrived: u64,
    answered_round: u64,
}

impl Log {
    /// Notes a request and gives it its number and round.
    pub fn arrive(&mut self, seen: &mut Seen) {
        self.arrived += 1;
        seen.number = self.arrived;
        seen.round = self.answered_round + 1;
        self.entries.push(seen.clone());
    }

    pub fn set_body(&mut self, number: u64, body: &[u8]) {
        if let Some(seen) = self.find(number) {
            seen.body = body.to_vec();
        }
    }

    pub fn set_status(&mut self, number: u64, status: u16) {
        if let Some(seen) = self.find(number) {
            seen.status = status;
        }
    }

    /// An answer of this round leaves now.
    pub fn leave(&mut self, round: u64) {
        self.answered_round = self.answered_round.max(round);
    }

    fn find(&mut self, number: u64) -> Option<&mut Seen> {
        self.entries.iter_mut().rev().find(|seen| seen.number == number)
    }

    pub fn now(&self) -> u64 {
        self.arrived
    }

    pub fn since(&self, mark: Mark) -> Vec<Seen> {
        self.entries.iter().filter(|seen| seen.number > mark.0).cloned().collect()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The lines of each round, sorted within the round.
pub fn rounds(entries: &[Seen]) -> Vec<Vec<String>> {
    let mut rounds: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for seen in entries {
        rounds.entry(seen.round).or_default().push(seen.line());
    }
    rounds.into_values().map(sorted).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Compares lines with batches of expected ones: the batches in order, the lines of a batch in any order. `*` in an
/// expected line stands for anything.
///
/// # Errors
/// The first batch that differs, what was expected of it and what was there.
pub fn compare(lines: &[String], batches: &[&[&str]]) -> Result<(), String> {
    let mut rest = lines;
    for (at, batch) in batches.iter().enumerate() {
        let (here, after) = rest.split_at(batch.len().min(rest.len()));
        let mut open: Vec<&String> = here.iter().collect();
        // Exact lines first, so that a pattern does not take what another line names.
        let mut wanted: Vec<&&str> = batch.iter().collect();
        wanted.sort_by_key(|line| line.contains('*'));
        for line in wanted {
            match open.iter().position(|seen| pattern::is(line, seen)) {
                Some(found) => {
                    open.remove(found);
                }
                None => return Err(format!("batch {at}: no {line:?} among {here:#?}\nin {lines:#?}")),
            }
        }
        rest = after;
    }
    match rest {
        [] => Ok(()),
        more => Err(format!("more requests than expected: {more:#?}\nin {lines:#?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn order_is_free_only_inside_a_batch() {
        let lines: Vec<String> = ["GET /a 200", "PUT /up-2 201", "PUT /up-1 201"].map(String::from).to_vec();
        assert!(compare(&lines, &[&["GET /a 200"], &["PUT /up-1 201", "PUT /up-2 201"]]).is_ok());
        assert!(compare(&lines, &[&["GET /a 200"], &["PUT /up-* 201", "PUT /up-2 201"]]).is_ok());
        assert!(compare(&lines, &[&["PUT /up-1 201", "PUT /up-2 201"], &["GET /a 200"]]).is_err());
        assert!(compare(&lines, &[&["GET /a 200"], &["PUT /up-1 201"]]).is_err());
        assert!(compare(&lines, &[&["GET /a 200"], &["PUT /up-1 201", "PUT /up-1 201"]]).is_err());
        assert!(compare(&lines, &[&["GET /a 200"], &["PUT /up-1 201", "PUT /up-2 201", "X"]]).is_err());
    }
}
