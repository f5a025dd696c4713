//! verify, for many images: shared connections, a limit for each host, results as they come.
//!
//! References are taken from the caller one at a time, as many ahead as the window allows, wait in the queue of their
//! host, and are verified as tasks of the runtime, so that they go on while the caller looks at a result. What is asked
//! twice is done once: a tag is resolved once a minute, and the same image under several references in hand is verified
//! once and answered to each. Nothing else is shared: every image is judged by its own evidence, under its own limits.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;
use std::time::{Duration, Instant};

use futures_util::{Stream, stream};
use tokio::runtime::Handle;
use tokio::task::{Id, JoinSet};

use super::{Client, VerifyOptions, run_local};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::oci::ImageRef;
use crate::registry::bounded::Bounded;
use crate::registry::limits;
use crate::verify::{Policy, Verification, Verified};

/// How much a batch does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    /// Images verified at once, on all hosts together; default 256.
    pub at_once: usize,
    /// Images verified at once on one registry host; default 100. An image takes one or two requests at a time.
    pub per_host: usize,
    /// What one image may take, from its first request on; by default it has what a single call has, three minutes.
    pub image_timeout: Option<Duration>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions { at_once: 256, per_host: 100, image_timeout: None }
    }
}

impl BatchOptions {
    /// How many references are taken from the input before their results were given out: eight times `at_once`, so that
    /// the images of a slow host do not keep those of another from being seen.
    pub fn window(&self) -> usize {
        self.at_once.saturating_mul(8)
    }

    /// # Errors
    /// [`Code::Argument`] for a limit of zero, with which nothing would ever be verified.
    pub fn check(&self) -> Result<()> {
        let zero = |name: &str| Err(Error::new(Code::Argument, format!("{name} is 0: nothing would be verified")));
        match self {
            BatchOptions { at_once: 0, .. } => zero("at_once"),
            BatchOptions { per_host: 0, .. } => zero("per_host"),
            BatchOptions { image_timeout: Some(Duration::ZERO), .. } => zero("image_timeout"),
            _ => Ok(()),
        }
    }
}

/// What became of one reference of a batch.
#[derive(Debug, Clone)]
pub struct BatchResult {
    /// Its number in the input, from 0.
    pub index: u64,
    /// The reference as it was given.
    pub reference: String,
    /// As [`Client::verify`] would have answered.
    pub outcome: Result<Verified<Verification>>,
}

/// The results of [`Client::verify_images`], each as soon as it is known; dropping it stops what is under way.
///
/// It is a `Stream`; [`Batch::next`] is for programs that use no stream library, [`Batch::wait`] for threads.
pub struct Batch<'a, S> {
    work: Arc<Work>,
    options: BatchOptions,
    references: Pin<Box<S>>,
    exhausted: bool,
    taken: u64,
    /// Taken, and not answered yet.
    in_hand: usize,
    /// What is waited for or under way, by what it is: `registry/repository:tag` or `registry/repository@digest`.
    jobs: HashMap<Arc<str>, Job>,
    hosts: HashMap<Arc<str>, Host>,
    /// Hosts with a job that may start, each once.
    turn: VecDeque<Arc<str>>,
    running: JoinSet<Done>,
    tasks: HashMap<Id, Arc<str>>,
    answers: VecDeque<Answer>,
    /// The pinned form of tags that were resolved, and when that was.
    resolved: Bounded<Arc<str>, (ImageRef, Instant), 2048>,
    /// Whether a result has told that the call was stopped.
    told: bool,
    tick: Option<Pin<Box<tokio::time::Sleep>>>,
    runtime: Box<dyn Fn() -> Result<Handle> + Send + 'a>,
}

/// A batch over an iterator.
pub type BatchOf<'a, I> = Batch<'a, stream::Iter<I>>;

/// How long a batch believes that a tag still names the same image.
const RESOLUTION_LIFE: Duration = Duration::from_secs(60);

/// What every task needs.
struct Work {
    client: Client,
    policy: Policy,
    options: VerifyOptions,
    call: Call,
}

struct Job {
    image: ImageRef,
    host: Arc<str>,
    /// Its bounds, from when it was first started.
    call: Option<Call>,
    askers: Vec<Asker>,
}

/// A place in the input that waits for a job.
struct Asker {
    index: u64,
    reference: String,
}

#[derive(Default)]
struct Host {
    running: usize,
    waiting: VecDeque<Arc<str>>,
    /// Whether it is in `turn`.
    queued: bool,
}

enum Done {
    Resolved(ImageRef),
    Judged(Result<Verified<Verification>>),
}

struct Answer {
    outcome: Result<Verified<Verification>>,
    askers: std::vec::IntoIter<Asker>,
}

impl Client {
    /// Verifies many images, sharing connections, tokens and resolved tags. Every result is what [`Client::verify`] would
    /// have said of that reference, in the order in which they become known; a reference that cannot be parsed is an error
    /// of its own.
    ///
    /// `references` may be endless: no more than [`BatchOptions::window`] are taken ahead of the results. The deadline and
    /// cancel of `call` are those of the whole batch: what is in hand then ends with [`Code::Timeout`] or
    /// [`Code::Cancelled`], and so does the rest when `references` knows its end (as a list does); of another input
    /// nothing more is taken, and at least one result says that the batch was stopped unless all were answered.
    ///
    /// Must be polled inside a tokio runtime with time and network, unless [`Batch::on`] names one or all images are in layouts.
    ///
    /// # Errors
    /// [`Code::PolicyEmpty`], and [`Code::Argument`] for options that cannot be: what would be wrong for every image.
    pub fn verify_images<I>(
        &self,
        references: I,
        policy: &Policy,
        options: &VerifyOptions,
        batch: &BatchOptions,
        call: &Call,
    ) -> Result<BatchOf<'static, I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.verify_images_from(stream::iter(references), policy, options, batch, call)
    }

    /// [`Client::verify_images`] for references that come as a stream.
    ///
    /// # Errors
    /// As [`Client::verify_images`].
    pub fn verify_images_from<S>(
        &self,
        references: S,
        policy: &Policy,
        options: &VerifyOptions,
        batch: &BatchOptions,
        call: &Call,
    ) -> Result<Batch<'static, S>>
    where
        S: Stream,
        S::Item: Into<String>,
    {
        policy.check()?;
        batch.check()?;
        super::options::suffix(options.tag_suffix.as_deref())?;
        let work = Work { client: self.clone(), policy: policy.clone(), options: options.clone(), call: call.clone() };
        Ok(Batch {
            work: Arc::new(work),
            options: batch.clone(),
            references: Box::pin(references),
            exhausted: false,
            taken: 0,
            in_hand: 0,
            jobs: HashMap::new(),
            hosts: HashMap::new(),
            turn: VecDeque::new(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            answers: VecDeque::new(),
            resolved: Bounded::default(),
            told: false,
            tick: None,
            runtime: Box::new(|| {
                Handle::try_current()
                    .map_err(|_| Error::new(Code::Argument, "a batch on registries is polled inside a tokio runtime"))
            }),
        })
    }
}

impl<S> fmt::Debug for Batch<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("taken", &self.taken).field("in_hand", &self.in_hand).finish_non_exhaustive()
    }
}

impl<'a, S> Batch<'a, S>
where
    S: Stream,
    S::Item: Into<String>,
{
    /// The same batch, working on the runtime that `runtime` gives when a registry is first needed.
    pub fn on<'b>(self, runtime: impl Fn() -> Result<Handle> + Send + 'b) -> Batch<'b, S>
    where
        'a: 'b,
    {
        Batch { runtime: Box::new(runtime), ..self }
    }

    /// The next result; `None` when every reference was answered.
    pub async fn next(&mut self) -> Option<BatchResult> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// [`Batch::next`] for a thread: waits at most `limit`, else `Pending`. The runtime of [`Batch::on`] does the work.
    pub fn wait(&mut self, limit: Duration) -> Poll<Option<BatchResult>> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let ends = Instant::now().checked_add(limit);
        loop {
            if let Poll::Ready(result) = self.poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(result);
            }
            match ends.map(|ends| ends.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Poll::Pending,
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<BatchResult>> {
        loop {
            let stopped = self.work.call.check().err();
            if let Some(error) = &stopped {
                self.drop_waiting(error);
            }
            if let Some(result) = self.give() {
                self.told |= matches!((&result.outcome, &stopped), (Err(e), Some(stop)) if e.code() == stop.code());
                return Poll::Ready(Some(result));
            }
            // One at a time: an input that takes its time must not hold back the results.
            let took = self.take(stopped, context);
            self.start();
            if self.join(context) || took || !self.answers.is_empty() {
                continue;
            }
            if self.exhausted && self.in_hand == 0 {
                return Poll::Ready(None);
            }
            if self.ticks(context) {
                continue;
            }
            return Poll::Pending;
        }
    }

    /// Looks at the call again soon while only the input is waited for: what is under way looks by itself. Whether it is
    /// time to.
    fn ticks(&mut self, context: &mut Context<'_>) -> bool {
        if !self.running.is_empty() || Handle::try_current().is_err() {
            return false;
        }
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::TICK)));
        let rang = tick.as_mut().poll(context).is_ready();
        if rang {
            self.tick = None;
        }
        rang
    }

    /// One result that is known.
    fn give(&mut self) -> Option<BatchResult> {
        loop {
            let mut answer = self.answers.pop_front()?;
            let Some(Asker { index, reference }) = answer.askers.next() else { continue };
            self.in_hand = self.in_hand.saturating_sub(1);
            if answer.askers.as_slice().is_empty() {
                return Some(BatchResult { index, reference, outcome: answer.outcome });
            }
            let outcome = answer.outcome.clone();
            self.answers.push_front(answer);
            return Some(BatchResult { index, reference, outcome });
        }
    }

    /// Takes one reference from the input, if there is room; whether anything came of it.
    fn take(&mut self, stopped: Option<Error>, context: &mut Context<'_>) -> bool {
        if self.exhausted {
            return false;
        }
        let room = match &stopped {
            None => self.running.len() < self.options.at_once && self.in_hand < self.options.window(),
            Some(_) => self.in_hand == 0,
        };
        if !room {
            return false;
        }
        let left = self.references.size_hint().1;
        let ends = left.is_some();
        if stopped.is_some() && self.told && !ends {
            self.exhausted = true;
            return true;
        }
        match self.references.as_mut().poll_next(context) {
            Poll::Ready(Some(reference)) => self.accept(reference.into(), stopped),
            Poll::Ready(None) => self.exhausted = true,
            // Nobody waits for an answer, and nobody may ever come.
            Poll::Pending if stopped.is_some() && matches!(left, None | Some(0)) => self.exhausted = true,
            Poll::Pending => return false,
        }
        true
    }

    fn accept(&mut self, reference: String, stopped: Option<Error>) {
        let index = self.taken;
        self.taken = self.taken.saturating_add(1);
        self.in_hand = self.in_hand.saturating_add(1);
        let parsed = match stopped {
            Some(error) => Err(error),
            None => ImageRef::parse(&reference),
        };
        let asker = Asker { index, reference };
        let given = match parsed {
            Err(error) => return self.answer(Err(error), vec![asker]),
            Ok(image) if self.work.options.is_local(&image, &self.work.policy) => {
                // Files are here: there is nothing to wait for, and no runtime is needed.
                let (work, call) = (self.work.clone(), self.image_call());
                let outcome = run_local(work.client.verify(&image, &work.policy, &work.options, &call));
                return self.answer(outcome, vec![asker]);
            }
            Ok(image) => image,
        };
        let host: Arc<str> = match &given {
            ImageRef::Registry(image) => image.registry().to_ascii_lowercase().into(),
            // Whose log is to be asked.
            ImageRef::Layout(_) => "".into(),
        };
        let known = self.resolved.get(given.to_string().as_str());
        let image = match known {
            Some((pinned, since)) if since.elapsed() < RESOLUTION_LIFE => pinned.clone(),
            _ => given,
        };
        self.enqueue(Job { image, host, call: None, askers: vec![asker] });
    }

    /// Puts a job into the queue of its host, or beside the one that does the same.
    fn enqueue(&mut self, job: Job) {
        let key: Arc<str> = job.image.to_string().into();
        if let Some(same) = self.jobs.get_mut(&key) {
            same.askers.extend(job.askers);
            return;
        }
        let host = self.hosts.entry(job.host.clone()).or_default();
        // What has begun goes first.
        match job.call {
            Some(_) => host.waiting.push_front(key.clone()),
            None => host.waiting.push_back(key.clone()),
        }
        let name = job.host.clone();
        self.jobs.insert(key, job);
        self.queue(name);
    }

    /// Gives a host its turn if it has work and room, and forgets it when it has none.
    fn queue(&mut self, name: Arc<str>) {
        let Some(host) = self.hosts.get_mut(&name) else { return };
        if host.running == 0 && host.waiting.is_empty() && !host.queued {
            self.hosts.remove(&name);
        } else if !host.queued && !host.waiting.is_empty() && host.running < self.options.per_host {
            host.queued = true;
            self.turn.push_back(name);
        }
    }

    /// Starts what may start, the hosts by turns.
    fn start(&mut self) {
        while self.running.len() < self.options.at_once {
            let Some(name) = self.turn.pop_front() else { return };
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.queued = false;
            if let Some(key) = host.waiting.pop_front() {
                match (self.runtime)() {
                    Ok(runtime) => {
                        host.running = host.running.saturating_add(1);
                        self.spawn(&runtime, key);
                    }
                    Err(error) => {
                        let job = self.jobs.remove(&key);
                        self.answer(Err(error), job.map(|job| job.askers).unwrap_or_default());
                    }
                }
            }
            self.queue(name);
        }
    }

    fn image_call(&self) -> Call {
        match self.options.image_timeout {
            Some(timeout) => self.work.call.at_most(timeout),
            None => self.work.call.clone(),
        }
    }

    fn spawn(&mut self, runtime: &Handle, key: Arc<str>) {
        let fresh = self.image_call();
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let call = job.call.get_or_insert_with(|| limits::with_deadline(&fresh)).clone();
        let (work, image) = (self.work.clone(), job.image.clone());
        let task = async move {
            if image.is_local() || image.digest().is_some() {
                return Done::Judged(work.client.verify(&image, &work.policy, &work.options, &call).await);
            }
            match work.client.pin(&image, &call).await {
                Ok(pinned) => Done::Resolved(pinned),
                Err(error) => Done::Judged(Err(error)),
            }
        };
        self.tasks.insert(self.running.spawn_on(task, runtime).id(), key);
    }

    /// Takes what a finished task brings; whether one had finished.
    fn join(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(joined)) = self.running.poll_join_next_with_id(context) else { return false };
        let (id, done) = match joined {
            Ok((id, done)) => (id, done),
            Err(error) => {
                let what = Error::new(Code::Internal, format!("the verification of this image failed: {error}"));
                (error.id(), Done::Judged(Err(what)))
            }
        };
        let Some((key, job)) = self.tasks.remove(&id).and_then(|key| self.jobs.remove_entry(&key)) else {
            return true;
        };
        let name = job.host.clone();
        if let Some(host) = self.hosts.get_mut(&name) {
            host.running = host.running.saturating_sub(1);
        }
        match done {
            Done::Judged(outcome) => self.answer(outcome, job.askers),
            Done::Resolved(image) => {
                self.resolved.insert(key, (image.clone(), Instant::now()));
                self.enqueue(Job { image, ..job });
            }
        }
        self.queue(name);
        true
    }

    fn answer(&mut self, outcome: Result<Verified<Verification>>, askers: Vec<Asker>) {
        self.answers.push_back(Answer { outcome, askers: askers.into_iter() });
    }

    /// The call was stopped: what has not begun ends with it. What is under way notices by itself.
    fn drop_waiting(&mut self, error: &Error) {
        self.turn.clear();
        for host in self.hosts.values_mut() {
            host.queued = false;
            for key in host.waiting.drain(..) {
                if let Some(job) = self.jobs.remove(&key) {
                    self.answers.push_back(Answer { outcome: Err(error.clone()), askers: job.askers.into_iter() });
                }
            }
        }
    }
}

impl Client {
    /// The image by its digest: what a tag names now.
    async fn pin(&self, image: &ImageRef, call: &Call) -> Result<ImageRef> {
        call.check()?;
        let found = self.store(image, None)?.image(call).await?;
        Ok(image.pinned(&found.digest))
    }
}

impl<S> Stream for Batch<'_, S>
where
    S: Stream,
    S::Item: Into<String>,
{
    type Item = BatchResult;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<BatchResult>> {
        let result = ready!(self.get_mut().poll(context));
        Poll::Ready(result)
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::call::Cancel;
    use crate::key::PrivateKey;

    #[test]
    fn a_stream_that_keeps_silent_can_be_cancelled() {
        let client = Client::new(Default::default()).unwrap();
        let key = PrivateKey::generate(crate::KeyAlgorithm::EcdsaP256).unwrap();
        let policy = Policy::new().with_key(key.public_key());
        let cancel = Cancel::new();
        let call = Call::new().with_cancel(cancel.clone());
        let silent = stream::pending::<String>();
        let mut batch =
            client.verify_images_from(silent, &policy, &Default::default(), &Default::default(), &call).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let soon = async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                cancel.cancel();
            };
            futures_util::future::join(batch.next(), soon).await.0
        });
        assert!(result.is_none());
    }
}
