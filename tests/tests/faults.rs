//! Verdicts under faults: every request of every operation fails in every way the test registry knows.
//!
//! What must hold after each of them, whatever the call answered:
//! - a call that says `stored` is believed by a reader that does not know this library;
//! - no signature of others is gone, and nothing that is half written breaks their verification;
//! - an error is "unknown" or "stopped", never a verdict, and its stages claim nothing that is not there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, Cancel, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions,
    Signed, TriangulateOptions, VerifyOptions,
};
use cosign_tests::reader::{self, Signatures};
use cosign_tests::registry::{Auth, Fault, Referrers, Registry, RetryAfter, Seen, Snapshot};

const REPOSITORY: &str = "team/app";
/// Sweeps run in so many threads: most of the time is spent waiting for sockets.
const WORKERS: usize = 8;
/// The patience of a caller whose server falls silent.
const PATIENCE: Duration = Duration::from_millis(400);

/// 0 signs under faults; 1 signed before, with a journal; 2 signed before as cosign does, without one; 3 is a stranger.
fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..4).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn policy(n: usize) -> Policy {
    Policy::new().with_key(key(n).public_key())
}

/// What a sweep starts from.
#[derive(Debug, Clone, Copy)]
struct Setup {
    format: Format,
    referrers: bool,
    /// Others have signed before, and the image is named by its digest; else it is the first signature, by tag.
    later: bool,
    journal: bool,
    token: bool,
}

impl Setup {
    fn new(format: Format, referrers: bool, later: bool) -> Setup {
        Setup { format, referrers, later, journal: true, token: false }
    }

    fn formats(&self) -> &'static [&'static str] {
        match self.format {
            Format::Legacy => &["legacy"],
            Format::Bundle => &["bundle"],
            _ => &["legacy", "bundle"],
        }
    }
}

/// How many of the requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// One; the next attempt goes well.
    Once,
    /// It and all that ask the same.
    Always,
    /// It and everything after it.
    Dead,
}

#[derive(Debug, Clone)]
struct Case {
    /// The request, counted from 0.
    request: usize,
    /// What it asks.
    pattern: String,
    scope: Scope,
    fault: Fault,
}

impl Case {
    /// What bounds the call: only who waits for a silent server loses patience.
    fn call(&self) -> Call {
        match self.fault {
            Fault::Stall | Fault::StallBody => Call::new().with_timeout(PATIENCE),
            _ => Call::new(),
        }
    }
}

/// Ways to fail in which the request has no effect, or its effect is not told rightly.
fn faults() -> Vec<Fault> {
    let text = |status: u16| Fault::Text(status, "no".into());
    vec![
        Fault::RateLimit(RetryAfter::Absent),
        Fault::RateLimit(RetryAfter::Date(-5)),
        Fault::OciError(500, "UNKNOWN".into()),
        text(502),
        Fault::Html(503),
        text(504),
        Fault::Unauthorized,
        text(401),
        Fault::OciError(403, "DENIED".into()),
        Fault::OciError(400, "MANIFEST_INVALID".into()),
        Fault::OciError(405, "UNSUPPORTED".into()),
        Fault::OciError(413, "SIZE_INVALID".into()),
        text(507),
        Fault::Portal,
        Fault::Html(200),
        Fault::Close,
        Fault::Reset,
        Fault::ResetUnread,
        Fault::ResetAt(20),
        Fault::Truncate,
        Fault::TruncateAt(0),
        Fault::OverLong(10),
        Fault::WrongBytes,
        Fault::WrongDigest,
        Fault::ContentType("text/html".into()),
        Fault::WithoutHeader("Location".into()),
        Fault::Gzip,
        Fault::HeaderFlood(200),
        Fault::Redirect(307, "{path}".into()),
        Fault::Redirect(307, "http://169.254.169.254{path}".into()),
        Fault::CloseAfter,
        Fault::Stall,
        Fault::StallBody,
        // Done, and said otherwise, or done later.
        Fault::late(0, 504),
        Fault::late(2, 502),
        Fault::Late { requests: 1, answer: Box::new(Fault::Reset) },
        // Said to be done, and not done.
        Fault::Reply { status: 201, headers: Vec::new(), body: String::new() },
        // Said to be absent, and there.
        Fault::OciError(404, "MANIFEST_UNKNOWN".into()),
    ]
}

/// The registry's own words for something that is there: nobody can tell that from the truth.
fn says_absent(fault: &Fault) -> bool {
    matches!(fault, Fault::OciError(404, _))
}

/// A success that is none.
fn lies(fault: &Fault) -> bool {
    matches!(fault, Fault::Reply { .. })
}

fn is_late(fault: &Fault) -> bool {
    matches!(fault, Fault::Late { .. })
}

/// Whether the request may have had its effect although its answer was spoilt.
fn may_have_effect(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::ResetAt(_)
            | Fault::Truncate
            | Fault::TruncateAt(_)
            | Fault::OverLong(_)
            | Fault::WrongBytes
            | Fault::WrongDigest
            | Fault::ContentType(_)
            | Fault::WithoutHeader(_)
            | Fault::Gzip
            | Fault::HeaderFlood(_)
            | Fault::CloseAfter
            | Fault::StallBody
    ) || is_late(fault)
}

/// A registry in the state from which each case starts.
struct World {
    setup: Setup,
    registry: Registry,
    image: ImageRef,
    digest: String,
    start: Snapshot,
}

impl World {
    fn new(setup: Setup) -> World {
        let auth = if setup.token { Auth::token("ann", "pw") } else { Auth::None };
        let registry = Registry::with_auth(auth);
        registry.set(|is| is.referrers = if setup.referrers { Referrers::On } else { Referrers::Off });
        let digest = registry.add_image(REPOSITORY, "v1");
        let name = if setup.later { format!("@{digest}") } else { ":v1".to_owned() };
        let image = ImageRef::parse(&format!("{}/{REPOSITORY}{name}", registry.host())).unwrap();
        let mut world = World { setup, registry, image, digest, start: Registry::start().snapshot() };
        if setup.later {
            for (n, journal) in [(1, true), (2, false)] {
                let options = SignOptions { format: setup.format, journal, ..Default::default() };
                world.client().sign(&world.image, key(n), &options, &Call::new()).unwrap();
            }
        }
        world.start = world.registry.snapshot();
        world
    }

    /// A client that knows nothing of this registry yet and does not wait before it tries again.
    fn client(&self) -> Client {
        let mut options = ClientOptions::new();
        options.set_retry_base(Duration::ZERO).set_auth_basic(&self.registry.host(), "ann", "pw");
        Client::new(options).unwrap()
    }

    fn restart(&self) {
        self.registry.heal();
        self.registry.restore(&self.start);
    }

    fn sign(&self, call: &Call) -> Result<Signed, Error> {
        let options = SignOptions { format: self.setup.format, journal: self.setup.journal, ..Default::default() };
        self.client().sign(&self.image, key(0), &options, call)
    }

    fn verify(&self, n: usize, journal: bool, call: &Call) -> Result<usize, Error> {
        let options = VerifyOptions { journal, ..Default::default() };
        self.client().verify(&self.image, &policy(n), &options, call).map(|verified| verified.count())
    }

    fn read(&self) -> Signatures {
        reader::read(&self.registry, REPOSITORY, &self.digest)
    }

    /// What an operation asks, as patterns with the number of equal ones before each.
    fn trace(&self, operation: &dyn Fn()) -> Vec<(String, usize)> {
        self.restart();
        let mark = self.registry.mark();
        operation();
        let mut before: BTreeMap<String, usize> = BTreeMap::new();
        let patterns = self.registry.seen_since(mark);
        patterns
            .iter()
            .map(|seen| {
                let pattern = pattern(seen);
                let count = before.entry(pattern.clone()).or_default();
                *count += 1;
                (pattern, *count - 1)
            })
            .collect()
    }

    fn spoil(&self, trace: &[(String, usize)], case: &Case) {
        let (pattern, before) = &trace[case.request];
        match case.scope {
            Scope::Once => self.registry.fault_at(pattern, *before, 1, case.fault.clone()),
            Scope::Always => self.registry.fault_at(pattern, *before, usize::MAX, case.fault.clone()),
            Scope::Dead => self.registry.fault_at("", case.request, usize::MAX, case.fault.clone()),
        }
    }
}

/// The request without what differs from run to run: the number of an upload, the time and name of a journal entry, the
/// digest of what was just made.
fn pattern(seen: &Seen) -> String {
    let mut path = seen.path().to_owned();
    if let Some(at) = path.find("/uploads/upload-") {
        path.replace_range(at.., "/uploads/upload-*");
    } else if let Some(at) = path.find(".j") {
        path.replace_range(at.., ".j*");
    } else if let Some(at) = path.find("/manifests/sha256:").filter(|_| seen.method == "PUT") {
        path.replace_range(at.., "/manifests/sha256:*");
    }
    let end = if seen.query().is_empty() { "$" } else { "?" };
    let end = if path.ends_with('*') { "" } else { end };
    format!("{} {path}{end}", seen.method)
}

fn cases(trace: &[(String, usize)], faults: &[Fault]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (request, (pattern, _)) in trace.iter().enumerate() {
        for fault in faults {
            let scopes: &[Scope] = match fault {
                // A server that keeps silent costs all of the caller's patience.
                Fault::Stall | Fault::StallBody => &[Scope::Always],
                Fault::Reset | Fault::Html(_) | Fault::RateLimit(_) => &[Scope::Once, Scope::Always, Scope::Dead],
                _ => &[Scope::Once, Scope::Always],
            };
            let case = |&scope| Case { request, pattern: pattern.clone(), scope, fault: fault.clone() };
            cases.extend(scopes.iter().map(case));
        }
    }
    cases
}

/// Runs every case of every setup, and answers how many of them met their fault.
fn sweep(setups: &[Setup], faults: &[Fault], operation: fn(&World), check: fn(&World, &Case)) -> usize {
    let hits = AtomicUsize::new(0);
    for setup in setups {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Vec<String>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let world = World::new(*setup);
                    let trace = world.trace(&|| operation(&world));
                    let cases = cases(&trace, faults);
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        world.restart();
                        world.spoil(&trace, case);
                        let before = world.registry.hits();
                        let mark = world.registry.mark();
                        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&world, case)));
                        hits.fetch_add(usize::from(world.registry.hits() > before), Ordering::Relaxed);
                        if let Err(panic) = outcome {
                            let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                            let log = world.registry.since(mark);
                            failed.lock().unwrap().push(format!("{setup:?}\n{case:?}: {said}\n{log:#?}"));
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap();
        assert!(failed.is_empty(), "{} cases, some:\n{}", failed.len(), failed[..failed.len().min(5)].join("\n\n"));
    }
    hits.into_inner()
}

/// An error that is no verdict.
#[track_caller]
fn unknown(error: &Error, case: &Case) {
    let absent = error.code() == Code::ImageNotFound && says_absent(&case.fault);
    let class = error.code().row().class;
    assert!(absent || matches!(class, Class::Unknown | Class::Stopped), "{error} {:?}", error.code());
}

fn stage(error: &Error, name: &str) -> bool {
    error.detail("stages").and_then(|stages| stages.get(name)).and_then(|stage| stage.as_bool()).unwrap_or(false)
}

fn signs(world: &World, case: &Case) {
    let outcome = world.sign(&case.call());
    world.registry.heal();
    let mut found = world.read();
    let own = key(0).public_key();
    match &outcome {
        Ok(signed) => {
            assert_eq!(signed.digest().to_string(), world.digest);
            let formats: Vec<&str> = signed.signatures().iter().map(|signature| signature.format.name()).collect();
            assert_eq!(formats, world.setup.formats());
            for signature in signed.signatures() {
                let format = signature.format.name();
                match &signature.added.protection {
                    Protection::Stored => assert_eq!(found.count(format, &own), 1, "{}", signed.json()),
                    Protection::JournalOnly(_) => assert!(found.is_anywhere(format, &own), "{}", signed.json()),
                    // A write that may still take effect, or that was only said to.
                    Protection::StoredUnprotected(_) => {
                        let open = is_late(&case.fault) || lies(&case.fault);
                        assert!(open || found.count(format, &own) == 1, "{}", signed.json());
                    }
                }
            }
        }
        Err(error) => {
            unknown(error, case);
            let format = match world.setup.format {
                Format::Both => error.detail("format").and_then(|format| format.as_str()).unwrap_or("legacy"),
                format => format.name(),
            };
            if stage(error, "tag") && !lies(&case.fault) {
                assert!(found.count(format, &own) > 0 || is_late(&case.fault), "{error}: nothing in the tag");
            }
            if stage(error, "journal") && !lies(&case.fault) {
                assert!(found.is_anywhere(format, &own) || is_late(&case.fault), "{error}: nothing in the journal");
            }
            if stage(error, "checked") {
                assert!(found.count(format, &own) > 0, "{error}: it was not there to be checked");
            }
            // What is there without having been said must come from a request whose answer was spoilt.
            if found.count(format, &own) > 0 && !stage(error, "tag") && world.setup.journal {
                assert!(may_have_effect(&case.fault) || stage(error, "journal"), "{error}: there, and not said");
            }
        }
    }
    // What was under way takes effect now.
    world.registry.commit_late();
    if is_late(&case.fault) {
        found = world.read();
    }
    // A manifest that the registry says it has, and has not, may be named by an index.
    assert!(found.broken.is_empty() || lies(&case.fault), "{:?}", found.broken);
    // An absence in the registry's own words is believed; only the journal survives that.
    let believed = says_absent(&case.fault);
    if world.setup.later && (world.setup.journal || !believed) {
        for format in world.setup.formats() {
            assert_eq!(found.count(format, &key(1).public_key()), 1, "the signature with a journal is gone");
            if !believed {
                assert_eq!(found.count(format, &key(2).public_key()), 1, "the signature without a journal is gone");
            }
        }
        let others = world.setup.formats().len();
        assert_eq!(world.verify(1, false, &Call::new()).unwrap(), others);
    }
    // This library sees what the other reader sees.
    let there: usize = world.setup.formats().iter().map(|format| found.count(format, &own)).sum();
    let anywhere = world.setup.formats().iter().any(|format| found.is_anywhere(format, &own));
    match world.verify(0, true, &Call::new()) {
        Ok(count) => assert!(count >= 1 && count >= there && anywhere, "{count} verified, {there} there"),
        Err(error) => {
            assert!(matches!(error.code(), Code::NoSignatures | Code::NoSignatureMatches), "{error}");
            assert!(!anywhere, "{error}");
        }
    }
    // And the next attempt heals.
    if case.scope == Scope::Once {
        return;
    }
    let again = world.sign(&Call::new()).unwrap();
    if world.setup.journal {
        assert_eq!(again.protection().name(), "stored", "{}", again.json());
    }
    assert!(world.verify(0, false, &Call::new()).unwrap() >= world.setup.formats().len());
}

/// Answers that mean "there is no list of referrers here", from whomever they come: the fallback tag decides then.
fn says_no_api(case: &Case) -> bool {
    case.pattern.contains("/referrers/")
        && matches!(
            case.fault,
            Fault::Portal
                | Fault::Html(200)
                | Fault::ContentType(_)
                | Fault::OciError(400 | 405, _)
                | Fault::Reply { .. }
        )
}

fn verifies(world: &World, case: &Case) {
    match world.verify(1, true, &case.call()) {
        Ok(count) => assert!((1..=world.setup.formats().len()).contains(&count), "{count}"),
        Err(_) if says_no_api(case) || says_absent(&case.fault) => {}
        // A blob that came whole and is another one was read, and refused.
        Err(error) if error.code() == Code::NoSignatureMatches => {
            assert!(matches!(case.fault, Fault::WrongBytes) && case.pattern.contains("/blobs/"), "{error}");
        }
        Err(error) => unknown(&error, case),
    }
}

/// Who is no signer hears "none of these is yours", or that not all could be read; never "there are none".
fn verifies_for_a_stranger(world: &World, case: &Case) {
    let error = world.verify(3, true, &case.call()).unwrap_err();
    if !says_no_api(case) && !says_absent(&case.fault) && error.code() != Code::NoSignatureMatches {
        unknown(&error, case);
    }
}

fn verify_rightly(world: &World) {
    world.verify(1, true, &Call::new()).unwrap();
}

fn verify_for_a_stranger(world: &World) {
    assert_eq!(world.verify(3, true, &Call::new()).unwrap_err().code(), Code::NoSignatureMatches);
}

fn resolves(world: &World, case: &Case) {
    let call = &case.call();
    match world.client().resolve(&world.image, call) {
        Ok(pinned) => assert!(pinned.ends_with(&world.digest), "{pinned}"),
        Err(error) => unknown(&error, case),
    }
}

fn resolve_rightly(world: &World) {
    world.client().resolve(&world.image, &Call::new()).unwrap();
}

fn triangulates(world: &World, case: &Case) {
    let call = &case.call();
    match world.client().triangulate(&world.image, &TriangulateOptions::default(), call) {
        Ok(name) => assert!(name.ends_with(&format!("{}.sig", world.digest.replace(':', "-"))), "{name}"),
        Err(error) => unknown(&error, case),
    }
}

fn triangulate_rightly(world: &World) {
    world.client().triangulate(&world.image, &TriangulateOptions::default(), &Call::new()).unwrap();
}

fn sign_rightly(world: &World) {
    world.sign(&Call::new()).unwrap();
}

#[test]
fn a_first_signature_is_stored_or_not_said_to_be() {
    let setups = [
        Setup::new(Format::Legacy, false, false),
        Setup::new(Format::Legacy, true, false),
        Setup::new(Format::Bundle, false, false),
        Setup::new(Format::Bundle, true, false),
    ];

    let met = sweep(&setups, &faults(), sign_rightly, signs);
    assert!(met > 1000, "only {met} cases met their fault");
}

#[test]
fn a_further_signature_loses_none_and_is_stored_or_not_said_to_be() {
    let mut setups = vec![
        Setup::new(Format::Legacy, false, true),
        Setup::new(Format::Legacy, true, true),
        Setup::new(Format::Bundle, false, true),
        Setup::new(Format::Bundle, true, true),
    ];
    for format in [Format::Legacy, Format::Bundle] {
        setups.push(Setup { journal: false, ..Setup::new(format, false, true) });
    }

    // What the first signature has shown to be the same as others of the list is left out.
    let mut faults = faults();
    faults.retain(|fault| {
        let date = matches!(fault, Fault::RateLimit(RetryAfter::Date(_)));
        let same = matches!(fault, Fault::Text(504 | 507, _) | Fault::Html(503) | Fault::Close | Fault::ResetUnread);
        !date && !same && !matches!(fault, Fault::TruncateAt(_) | Fault::HeaderFlood(_) | Fault::CloseAfter)
    });
    let met = sweep(&setups, &faults, sign_rightly, signs);
    assert!(met > 1000, "only {met} cases met their fault");
}

#[test]
fn of_two_signatures_each_is_stored_or_not_said_to_be() {
    let token = Setup { token: true, ..Setup::new(Format::Both, false, true) };
    // One of each kind: what they do to a single signature, the other sweeps show.
    let faults = [
        Fault::OciError(500, "UNKNOWN".into()),
        Fault::OciError(403, "DENIED".into()),
        Fault::Unauthorized,
        Fault::Reset,
        Fault::Truncate,
        Fault::WrongBytes,
        Fault::StallBody,
        Fault::late(2, 502),
    ];
    let met = sweep(&[token, Setup::new(Format::Both, true, true)], &faults, sign_rightly, signs);
    assert!(met > 300, "only {met} cases met their fault");
}

#[test]
fn what_could_not_be_read_is_no_verdict_whichever_request_fails() {
    let mut setups = vec![
        Setup::new(Format::Legacy, false, true),
        Setup::new(Format::Bundle, false, true),
        Setup::new(Format::Bundle, true, true),
        Setup { token: true, ..Setup::new(Format::Both, true, true) },
    ];
    let met = sweep(&setups, &faults(), verify_rightly, verifies);
    assert!(met > 800, "only {met} cases met their fault");
    // The stranger's verification reads the journal, too.
    setups.truncate(3);
    let met = sweep(&setups, &faults(), verify_for_a_stranger, verifies_for_a_stranger);
    assert!(met > 600, "only {met} cases met their fault");
}

#[test]
fn a_name_is_resolved_rightly_or_not_at_all() {
    let token = Setup { token: true, ..Setup::new(Format::Legacy, false, false) };
    let setups = [Setup::new(Format::Legacy, false, false), token];
    let met = sweep(&setups, &faults(), resolve_rightly, resolves);
    assert!(met > 200, "only {met} cases met their fault");
    let met = sweep(&setups, &faults(), triangulate_rightly, triangulates);
    assert!(met > 200, "only {met} cases met their fault");
}

/// Every request of an operation is stopped with all that follow, and never let go before the call has ended.
fn stopped(setup: Setup, operation: fn(&World, &Call) -> Result<(), Error>) {
    for by_deadline in [false, true] {
        let world = World::new(setup);
        let requests = world.trace(&|| drop(operation(&world, &Call::new()))).len();
        assert!(requests >= 3);
        for k in 0..requests {
            world.restart();
            let held = world.registry.hold_at("", k, usize::MAX);
            let mark = world.registry.mark();
            let cancel = Cancel::new();
            let call = Call::new().with_cancel(cancel.clone());
            let call = if by_deadline { call.with_timeout(PATIENCE) } else { call };
            let outcome = std::thread::scope(|scope| {
                let outcome = scope.spawn(|| operation(&world, &call));
                if !by_deadline {
                    held.wait_for(1);
                    cancel.cancel();
                }
                outcome.join().unwrap()
            });
            let error = outcome.unwrap_err();
            let expected = if by_deadline { Code::Timeout } else { Code::Cancelled };
            assert_eq!(error.code(), expected, "{setup:?}, request {k}: {error}");
            // Nothing is sent once the call has ended but that an upload is given up, for whose answer nobody waits: the
            // next other request that comes is the test's own.
            let asked = || world.registry.since(mark).iter().filter(|line| !line.starts_with("DELETE")).count();
            let sent = asked();
            assert!(sent <= requests, "{setup:?}, request {k}: {:#?}", world.registry.since(mark));
            world.registry.heal();
            world.client().resolve(&world.image, &Call::new()).unwrap();
            let own = usize::from(!setup.later);
            assert_eq!(asked(), sent + own, "{:#?}", world.registry.since(mark));
            // What the server was still holding takes effect after the end of the call, and breaks nothing.
            held.release();
            let count = world.verify(1, true, &Call::new());
            assert!(!setup.later || count.unwrap() == setup.formats().len(), "{setup:?}, request {k}");
            assert!(world.read().broken.is_empty(), "{setup:?}, request {k}");
        }
    }
}

#[test]
fn cancel_and_deadline_end_a_signature_at_every_request() {
    let sign: fn(&World, &Call) -> Result<(), Error> = |world, call| world.sign(call).map(drop);
    std::thread::scope(|scope| {
        for (format, referrers) in
            [(Format::Both, false), (Format::Legacy, false), (Format::Legacy, true), (Format::Bundle, true)]
        {
            scope.spawn(move || stopped(Setup::new(format, referrers, true), sign));
        }
        scope.spawn(move || stopped(Setup::new(Format::Bundle, false, false), sign));
    });
}

#[test]
fn cancel_and_deadline_end_a_verification_at_every_request() {
    let verify: fn(&World, &Call) -> Result<(), Error> = |world, call| match world.verify(3, true, call) {
        // A stranger's verification reads everything there is.
        Err(error) if error.code() == Code::NoSignatureMatches => Ok(()),
        other => other.map(drop),
    };
    std::thread::scope(|scope| {
        for (format, referrers) in [(Format::Both, false), (Format::Legacy, false), (Format::Both, true)] {
            scope.spawn(move || stopped(Setup::new(format, referrers, true), verify));
        }
    });
}
