//! Several machines side by side: both formats of one image, or an index and its children, in the round trips of one.
//!
//! Their batches are sent as one, and what several of them ask is asked once: the image's descriptor, what the registry can
//! do, a blob, the list of the journal. Two rules beside those of each machine:
//!
//! - A check waits for the writes of the others, so that one list shows the entries of all. Waiting makes no check wrong:
//!   it only has to follow the own writes.
//! - Until something is written that others see, one that cannot go on ends all. What is known before is never half done.

use super::machine::Machine;
use super::protocol::{Answer, Batch, Outcome, Phase, Reply, Request, Step};
use crate::error::{Code, Error, Result};

/// Requests to send together, of several machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JointBatch {
    /// What they are for: [`Phase::Commit`] as soon as one of them is.
    pub phase: Phase,
    /// The requests, each with the number of a machine to whose place it belongs; the replies have the same order.
    pub requests: Vec<(usize, Request)>,
}

/// Machines that go on together.
#[derive(Debug, Clone)]
pub struct Together {
    parts: Vec<Part>,
    asked: Vec<(usize, Request)>,
    committed: bool,
}

#[derive(Debug, Clone)]
struct Part {
    machine: Machine,
    step: Step,
    /// Where the answers to its batch are among those of the joint one; none while it waits.
    answers: Vec<usize>,
}

impl Together {
    /// Begins with the first batch of each.
    pub fn new(machines: Vec<Machine>) -> Together {
        let begin = |mut machine: Machine| Part { step: machine.start(), machine, answers: Vec::new() };
        Together { parts: machines.into_iter().map(begin).collect(), asked: Vec::new(), committed: false }
    }

    /// What to ask now; `None` when all are done.
    pub fn ask(&mut self) -> Option<JointBatch> {
        if let Some(error) = self.first_error().filter(|_| !self.committed).cloned() {
            self.stop(&error);
        }
        let batches = || self.parts.iter().filter_map(|part| part.batch());
        let writing = batches().any(|batch| matches!(batch.phase, Phase::Prepare | Phase::Commit));
        let mut phase = batches().map(|batch| batch.phase).find(|phase| !writing || *phase != Phase::Check)?;
        let mut requests: Vec<(usize, Request)> = Vec::new();
        for number in 0..self.parts.len() {
            let Some(batch) = self.parts.get(number).and_then(Part::batch).cloned() else { continue };
            if writing && batch.phase == Phase::Check {
                continue;
            }
            if batch.phase == Phase::Commit {
                phase = Phase::Commit;
                self.committed = true;
            }
            let answers = batch.requests.into_iter().map(|request| self.join(&mut requests, number, request)).collect();
            if let Some(part) = self.parts.get_mut(number) {
                part.answers = answers;
            }
        }
        self.asked.clone_from(&requests);
        Some(JointBatch { phase, requests })
    }

    /// Puts a request among the others, unless one of them asks the same; where its answer will be.
    fn join(&self, requests: &mut Vec<(usize, Request)>, number: usize, request: Request) -> usize {
        let subject = |number: usize| self.parts.get(number).map(|part| part.machine.place().subject());
        for (at, (other, asked)) in requests.iter_mut().enumerate() {
            let same = match (&request, &*asked) {
                (Request::PutBlob { .. }, _) => request == *asked,
                (Request::HeadSubject | Request::GetReferrers, _) => {
                    request == *asked && subject(number) == subject(*other)
                }
                (Request::ListJournal { whole, .. }, Request::ListJournal { whole: as_well, .. }) => {
                    whole == as_well && subject(number) == subject(*other)
                }
                _ => false,
            };
            if !same {
                continue;
            }
            if let (Request::ListJournal { prefix: wanted, .. }, Request::ListJournal { prefix, .. }) =
                (&request, asked)
            {
                let common = prefix.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
                prefix.truncate(common);
            }
            return at;
        }
        requests.push((number, request));
        requests.len().saturating_sub(1)
    }

    /// The replies to the last batch, in its order; `local` as in [`Machine::resume`].
    pub fn resume(&mut self, replies: &[Reply], local: u64) {
        let asked = std::mem::take(&mut self.asked);
        if replies.len() != asked.len() {
            let what = "the journal was given another number of answers than it asked";
            return self.stop(&Error::new(Code::Internal, what));
        }
        for ((number, _), reply) in asked.iter().zip(replies) {
            let Answer::Subject(Some(subject)) = &reply.answer else { continue };
            let image = self.parts.get(*number).map(|part| part.machine.place().subject().clone());
            for part in &mut self.parts {
                if Some(part.machine.place().subject()) == image.as_ref() {
                    part.machine.know_subject(subject);
                }
            }
        }
        for part in &mut self.parts {
            let answers = std::mem::take(&mut part.answers);
            if !answers.is_empty() {
                let own = answers.iter().filter_map(|at| replies.get(*at).cloned()).collect();
                part.step = part.machine.resume(own, local);
            }
        }
    }

    /// Ends all that are not done, before their time: cancelled, or not enough time left to commit and check.
    pub fn stop(&mut self, error: &Error) {
        for part in &mut self.parts {
            if part.batch().is_some() {
                part.step = part.machine.stop(error.clone());
            }
        }
    }

    /// Whether something was asked to be written that others see.
    pub fn committed(&self) -> bool {
        self.committed
    }

    fn first_error(&self) -> Option<&Error> {
        self.parts.iter().find_map(|part| match &part.step {
            Step::Done(Err(error)) => Some(error),
            _ => None,
        })
    }

    /// The place of a machine.
    pub fn machine(&self, number: usize) -> Option<&Machine> {
        self.parts.get(number).map(|part| &part.machine)
    }

    /// The machines with their ends, in the order given.
    pub fn finish(self) -> Vec<(Machine, Result<Outcome>)> {
        let end = |step| match step {
            Step::Done(outcome) => outcome,
            Step::Ask(_) => Err(Error::new(Code::Internal, "a machine that is not done")),
        };
        self.parts.into_iter().map(|part| (part.machine, end(part.step))).collect()
    }
}

impl Part {
    fn batch(&self) -> Option<&Batch> {
        match &self.step {
            Step::Ask(batch) => Some(batch),
            Step::Done(_) => None,
        }
    }
}
