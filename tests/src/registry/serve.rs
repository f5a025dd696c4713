//! One request from its head to its answer, whatever protocol it came over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::faults::{End, Fault, How, hop, instead, spoil};
use super::log::Seen;
use super::state::State;
use super::{auth, date, lock, oci};

pub(super) struct Shared {
    pub state: Mutex<State>,
    pub last_arrival: Mutex<Instant>,
    pub connections: AtomicU64,
}

impl Shared {
    /// The number of a new connection.
    pub fn connect(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes a request of which the head is here, and chooses its fault.
    pub fn arrive(&self, seen: &mut Seen) -> Option<Fault> {
        *lock(&self.last_arrival) = Instant::now();
        let mut state = lock(&self.state);
        state.arrive(seen);
        state.rules.choose(&seen.method, &seen.target)
    }

    /// Does what the request asks for and says what goes back, when it is time to send it.
    pub async fn answer(&self, seen: Seen, fault: Option<Fault>) -> (Answer, How) {
        let (round_trip, gather) = {
            let mut state = lock(&self.state);
            state.log.set_body(seen.number, &seen.body);
            (state.switches.latency_ms, Duration::from_millis(state.switches.gather_ms))
        };
        let there = Duration::from_millis(round_trip / 2);
        pause(there).await;
        if let Some(Fault::Hold(gate)) = &fault {
            let tag = oci::overwrites(&seen);
            if let Some(tag) = tag.clone() {
                lock(&self.state).tear(tag);
            }
            gate.pass().await;
            if let Some(tag) = tag {
                lock(&self.state).untear(&tag);
            }
        }
        let (answer, how) = {
            let mut state = lock(&self.state);
            let (mut answer, how) = decide(&mut state, &seen, fault.as_ref());
            if state.switches.date && !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Date")) {
                answer = answer.header("Date", date::http(state.switches.date_skew));
            }
            let status = if matches!(how, How::Nothing(_)) { 0 } else { answer.status };
            state.log.set_status(seen.number, status);
            (answer, how)
        };
        match &fault {
            Some(Fault::HoldAnswer(gate)) => gate.pass().await,
            Some(Fault::Delay(time)) => pause(*time).await,
            _ => {}
        }
        pause(Duration::from_millis(round_trip) - there).await;
        loop {
            let quiet = lock(&self.last_arrival).elapsed();
            if quiet >= gather {
                break;
            }
            pause(gather - quiet).await;
        }
        lock(&self.state).log.leave(seen.round);
        (answer, how)
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn decide(state: &mut State, seen: &Seen, fault: Option<&Fault>) -> (Answer, How) {
    let skew = state.switches.date_skew;
    match fault {
        Some(Fault::Unauthorized) => {
            let repository = oci::route(seen).map_or("", |route| route.repository);
            return (auth::challenge(state, seen, repository, None), How::Whole);
        }
        Some(Fault::Hops(hops)) => {
            if let Some(answer) = hop(&seen.target, *hops) {
                return (answer, How::Whole);
            }
        }
        Some(Fault::Late { requests, answer: said }) => {
            if let Some(refusal) = oci::refuse(state, seen) {
                return (refusal, How::Whole);
            }
            let right = match requests {
                0 => oci::perform(state, seen),
                requests => {
                    state.postpone(seen.number + requests + 1, seen.clone());
                    Answer::new(201)
                }
            };
            let mut answer = instead(said, &seen.target, skew).unwrap_or(right);
            let how = spoil(Some(said), &mut answer);
            return (answer, how);
        }
        Some(fault) => {
            if let Some(mut answer) = instead(fault, &seen.target, skew) {
                let how = spoil(Some(fault), &mut answer);
                return (answer, how);
            }
        }
        None => {}
    }
    let mut answer = oci::refuse(state, seen).unwrap_or_else(|| oci::perform(state, seen));
    let how = spoil(fault, &mut answer);
    (answer, how)
}

/// How a connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum After {
    KeepAlive,
    End(End),
}
