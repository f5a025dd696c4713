//! Batches against the in-process registry: which requests are made, what is shared and what is not, how far ahead the
//! input is read, and that one image's trouble stays its own.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::{
    BatchOptions, BatchResult, Call, Cancel, ClientOptions, Code, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey,
    SignOptions, VerifyOptions,
};
use cosign_tests::oracle::root;
use cosign_tests::registry::{Auth, Fault, Options, Registry, RetryAfter, Tls};

fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
}

fn policy() -> Policy {
    Policy::new().with_key(key().public_key())
}

fn client_with(change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = ClientOptions::new();
    // Nobody waits between attempts here.
    options.set_retry_base(Duration::ZERO);
    change(&mut options);
    Client::new(options).unwrap()
}

fn client() -> Client {
    client_with(|_| {})
}

fn legacy() -> VerifyOptions {
    VerifyOptions { format: Some(Format::Legacy), ..Default::default() }
}

/// Puts `count` signed images into a repository; returns their pinned references.
fn signed(registry: &Registry, repository: &str, count: usize) -> Vec<String> {
    let client = client_with(|options| {
        options.set_auth_basic(&registry.host(), "ann", "pw");
    });
    let image = |n| {
        let digest = registry.add_image(repository, &format!("v{n}"));
        let text = format!("{}/{repository}@{digest}", registry.host());
        let options = SignOptions { journal: false, ..Default::default() };
        client.sign(&ImageRef::parse(&text).unwrap(), key(), &options, &Call::new()).unwrap();
        text
    };
    (0..count).map(image).collect()
}

fn hex(reference: &str) -> &str {
    reference.rsplit_once("sha256:").unwrap().1
}

fn run(client: &Client, references: &[String], options: &VerifyOptions, batch: &BatchOptions) -> Vec<BatchResult> {
    client.verify_images(references.to_vec(), &policy(), options, batch, &Call::new()).unwrap().collect()
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

/// The code of each result by its number in the input; 0 for a verified image.
fn codes(results: &[BatchResult]) -> BTreeMap<u64, i32> {
    let code = |result: &BatchResult| result.outcome.as_ref().map_or_else(|error| error.code().number(), |_| 0);
    results.iter().map(|result| (result.index, code(result))).collect()
}

#[test]
fn a_batch_makes_the_requests_of_its_images_and_no_others() {
    let registry = Registry::start();
    let references = signed(&registry, "team/app", 40);
    let client = client();

    let mark = registry.mark();
    let results = run(&client, &references, &legacy(), &BatchOptions::default());
    let wanted = references.iter().map(|r| format!("GET /v2/team/app/manifests/sha256-{}.sig 200", hex(r)));
    assert_eq!(sorted(registry.since(mark)), sorted(wanted.clone()));
    for result in &results {
        let verified = result.outcome.as_ref().unwrap();
        assert_eq!((&result.reference, verified.reference()), (&references[result.index as usize], &*result.reference));
        assert_eq!(verified.count(), 1);
    }
    assert_eq!(sorted(results.iter().map(|result| result.index)), (0..40).collect::<Vec<_>>());

    // Both formats, on a repository that is known to keep no list of referrers: one request more for each.
    run(&client, &references[..1], &VerifyOptions::default(), &BatchOptions::default());
    let mark = registry.mark();
    let results = run(&client, &references, &VerifyOptions::default(), &BatchOptions::default());
    let index = references.iter().map(|r| format!("GET /v2/team/app/manifests/sha256-{} 404", hex(r)));
    assert_eq!(sorted(registry.since(mark)), sorted(wanted.chain(index)));
    assert!(results.iter().all(|result| result.outcome.is_ok()));
}

#[test]
fn what_is_asked_twice_is_done_once() {
    let registry = Registry::start();
    let pinned = signed(&registry, "team/app", 2);
    let tag = |n| format!("{}/team/app:v{n}", registry.host());
    // A tag many times, a tag and its digest, and the same image by another spelling of its host.
    let mut references: Vec<String> = (0..50).flat_map(|_| [tag(0), tag(1)]).collect();
    references.extend(pinned.clone());
    let client = client();
    let results = {
        let mark = registry.mark();
        // What is in hand at the same time shares even the verification.
        let hold = registry.hold_at("manifests/v0", 0, 1);
        let batch = BatchOptions::default();
        let mut batch = client.verify_images(references, &policy(), &legacy(), &batch, &Call::new()).unwrap();
        hold.release();
        let results: Vec<BatchResult> = batch.by_ref().collect();
        let requests = registry.since(mark);
        let count = |what: &str| requests.iter().filter(|line| line.contains(what)).count();
        assert_eq!((count("manifests/v0 "), count("manifests/v1 ")), (1, 1), "{requests:?}");
        assert!(count(".sig ") >= 2, "{requests:?}");
        results
    };
    assert_eq!(results.len(), 102);
    for result in results {
        let verified = result.outcome.unwrap();
        let which = usize::try_from(result.index % 2).unwrap();
        assert_eq!(verified.reference(), pinned[which]);
    }

    // With one at a time, all are in hand before the first is answered: two tags, two images, four requests.
    let references: Vec<String> = (0..3).flat_map(|_| [tag(0), tag(1)]).collect();
    let mark = registry.mark();
    let hold = registry.hold("manifests/");
    let batch = BatchOptions { at_once: 2, per_host: 1, ..Default::default() };
    let mut batch = client.verify_images(references, &policy(), &legacy(), &batch, &Call::new()).unwrap();
    let results = std::thread::scope(|scope| {
        let results = scope.spawn(|| batch.by_ref().collect::<Vec<_>>());
        hold.wait_for(1);
        hold.release();
        results.join().unwrap()
    });
    assert_eq!((results.len(), registry.since(mark).len()), (6, 4), "{:?}", registry.since(mark));
}

#[test]
fn one_token_serves_a_repository_and_the_first_request_goes_alone() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    let references: Vec<String> =
        ["team/a", "team/b", "team/c"].iter().flat_map(|repository| signed(&registry, repository, 12)).collect();
    let client = client_with(|options| {
        options.set_auth_basic(&registry.host(), "ann", "pw");
    });
    let mark = registry.mark();
    let results = run(&client, &references, &legacy(), &BatchOptions::default());
    assert!(results.iter().all(|result| result.outcome.is_ok()), "{results:?}");
    let requests = registry.since(mark);
    let count = |what: &str| requests.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("GET /token"), count(" 401"), requests.len()), (3, 1, 36 + 3 + 1), "{requests:?}");

    // Tokens that became worthless are fetched again once, however many images notice it.
    registry.revoke_tokens();
    let mark = registry.mark();
    let results = run(&client, &references, &legacy(), &BatchOptions::default());
    assert!(results.iter().all(|result| result.outcome.is_ok()), "{results:?}");
    let tokens = registry.since(mark).iter().filter(|line| line.contains("GET /token")).count();
    assert_eq!(tokens, 3, "{:?}", registry.since(mark));
}

#[test]
fn a_token_that_is_refused_is_asked_for_once_by_all_who_wait() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    let references = signed(&registry, "team/app", 30);
    let client = client_with(|options| {
        options.set_auth_basic(&registry.host(), "ann", "wrong");
    });
    let hold = registry.hold("GET /token");
    let mark = registry.mark();
    let batch = BatchOptions::default();
    let mut batch = client.verify_images(references, &policy(), &legacy(), &batch, &Call::new()).unwrap();
    let results = std::thread::scope(|scope| {
        let results = scope.spawn(|| batch.by_ref().collect::<Vec<_>>());
        hold.wait_for(1);
        hold.release();
        results.join().unwrap()
    });
    assert!(codes(&results).values().all(|code| *code == Code::Auth.number()), "{results:?}");
    let tokens = registry.since(mark).iter().filter(|line| line.contains("GET /token")).count();
    assert!((1..30).contains(&tokens), "{tokens}");
}

#[test]
fn that_a_loopback_registry_speaks_no_tls_is_found_out_by_one_for_all() {
    let registry = Registry::start();
    let references = signed(&registry, "team/app", 30);
    // With an authority of the caller's, such a registry is spoken to in TLS first.
    let tls = Registry::with(Options { tls: Some(Tls::default()), ..Default::default() });
    let client = client_with(|options| {
        options.add_ca_pem(tls.credentials().ca.as_bytes()).unwrap();
    });
    let mark = registry.mark();
    let results = run(&client, &references, &legacy(), &BatchOptions::default());
    assert!(results.iter().all(|result| result.outcome.is_ok()), "{results:?}");
    assert_eq!(registry.since(mark).len(), 30);
}

#[test]
fn trouble_of_one_image_is_its_own() {
    let registry = Registry::start();
    let mut references = signed(&registry, "team/app", 20);
    let unsigned = registry.add_image("team/app", "unsigned");
    references.push(format!("{}/team/app@{unsigned}", registry.host()));
    references.push("not a reference".to_owned());
    references.push(format!("{}/team/app:no-such-tag", registry.host()));
    // One is throttled twice and then answered, one is throttled for ever, one's registry lies.
    let slow = Fault::RateLimit(RetryAfter::Absent);
    registry.fault_at(&format!("sha256-{}.sig", hex(&references[3])), 0, 2, slow.clone());
    registry.fault(&format!("sha256-{}.sig", hex(&references[7])), slow);
    registry.fault(&format!("sha256-{}.sig", hex(&references[9])), Fault::error(500, "UNKNOWN"));
    let mark = registry.mark();
    let results = run(&client(), &references, &legacy(), &BatchOptions::default());
    let mut wanted: BTreeMap<u64, i32> = (0..20).map(|n| (n, 0)).collect();
    for (index, code) in [
        (7, Code::RateLimited),
        (9, Code::Network),
        (20, Code::NoSignatures),
        (21, Code::Reference),
        (22, Code::ImageNotFound),
    ] {
        wanted.insert(index, code.number());
    }
    assert_eq!(codes(&results), wanted);
    let requests = registry.since(mark);
    let asked =
        |n: usize| requests.iter().filter(|line| line.contains(&format!("{}.sig", hex(&references[n])))).count();
    assert_eq!((asked(0), asked(3), asked(7), asked(9)), (1, 3, 3, 3), "{requests:?}");
    assert_eq!(results.iter().find(|result| result.index == 21).unwrap().reference, "not a reference");
}

#[test]
fn a_host_that_keeps_silent_does_not_hinder_another() {
    let (silent, awake) = (Registry::start(), Registry::start());
    let mute = signed(&silent, "team/app", 12);
    let good = signed(&awake, "team/app", 12);
    let hold = silent.hold("manifests/");
    let (client, cancel) = (client(), Cancel::new());
    // The silent ones come first, and fill what one host may have.
    let references: Vec<String> = mute.iter().chain(&good).cloned().collect();
    let batch = BatchOptions { at_once: 4, per_host: 2, image_timeout: None };
    let call = Call::new().with_cancel(cancel.clone());
    let mut batch = client.verify_images(references, &policy(), &legacy(), &batch, &call).unwrap();
    let first: Vec<BatchResult> = batch.by_ref().take(12).collect();
    assert!(first.iter().all(|result| result.index >= 12 && result.outcome.is_ok()), "{first:?}");
    hold.wait_for(2);
    // What is stopped is answered, too.
    cancel.cancel();
    let rest: Vec<BatchResult> = batch.collect();
    let stopped = (0..12).map(|n| (n, Code::Cancelled.number())).collect();
    assert_eq!(codes(&rest), stopped);
    assert_eq!(hold.arrived(), 2);
    hold.release();
}

#[test]
fn results_come_in_the_order_in_which_they_are_known() {
    let registry = Registry::start();
    let references = signed(&registry, "team/app", 3);
    let sig = |n: usize| format!("sha256-{}.sig", hex(&references[n]));
    let (zero, one) = (registry.hold(&sig(0)), registry.hold(&sig(1)));
    let client = client();
    // The host is known, so that nothing waits for the first contact.
    client.resolve(&ImageRef::parse(&format!("{}/team/app:v0", registry.host())).unwrap(), &Call::new()).unwrap();
    let batch = BatchOptions::default();
    let mut batch = client.verify_images(references.clone(), &policy(), &legacy(), &batch, &Call::new()).unwrap();
    assert_eq!(batch.next().unwrap().index, 2);
    one.release();
    assert_eq!(batch.next().unwrap().index, 1);
    zero.release();
    assert_eq!(batch.next().unwrap().index, 0);
    assert!(batch.next().is_none());
}

#[test]
fn the_input_is_read_no_further_ahead_than_the_window() {
    let registry = Registry::start();
    let reference = signed(&registry, "team/app", 1).remove(0);
    let (client, taken) = (client(), AtomicUsize::new(0));
    let options = BatchOptions { at_once: 3, per_host: 2, image_timeout: None };
    let (repository, _) = reference.split_once('@').unwrap();
    // Endless, and each another image: nothing is shared, none is signed.
    let endless = (0..).map(|n: u32| {
        taken.fetch_add(1, Ordering::Relaxed);
        format!("{repository}@sha256:{n:064x}")
    });
    let mut batch = client.verify_images(endless, &policy(), &legacy(), &options, &Call::new()).unwrap();
    assert_eq!(options.window(), 24);
    for given in 0..500 {
        assert_eq!(batch.next().unwrap().outcome.unwrap_err().code(), Code::NoSignatures);
        assert!(taken.load(Ordering::Relaxed) <= given + 1 + options.window());
    }
    // Who does not ask for results gets none made beyond that.
    drop(batch);
    let seen = taken.load(Ordering::Relaxed);
    assert!(registry.log().len() <= seen * 2 + 10);
}

#[test]
fn a_batch_that_is_stopped_says_so_and_ends() {
    let registry = Registry::start();
    let references = signed(&registry, "team/app", 4);
    let (client, cancel) = (client(), Cancel::new());
    let call = Call::new().with_cancel(cancel.clone());
    let batch = BatchOptions { at_once: 2, per_host: 2, image_timeout: None };
    let cancelled = Code::Cancelled.number();

    // A list knows its end: every reference is answered, far beyond the window.
    let list: Vec<String> = (0..5000).map(|n| references[n % 4].clone()).collect();
    let mut all = client.verify_images(list, &policy(), &legacy(), &batch, &call).unwrap();
    let mut answered = codes(&[all.next().unwrap()]);
    cancel.cancel();
    answered.append(&mut codes(&all.collect::<Vec<_>>()));
    assert_eq!(answered.len(), 5000);
    assert!(answered.values().filter(|code| **code == cancelled).count() > 4900);
    assert!(answered.values().all(|code| *code == cancelled || *code == 0));

    // An endless input is left alone; what was taken is answered, and at least one result tells why.
    let endless = || std::iter::repeat_with(|| references[0].clone());
    let rest: Vec<BatchResult> =
        client.verify_images(endless(), &policy(), &legacy(), &batch, &call).unwrap().collect();
    assert_eq!(codes(&rest), [(0, cancelled)].into());
    let cancel = Cancel::new();
    let call = Call::new().with_cancel(cancel.clone());
    let mut some = client.verify_images(endless(), &policy(), &legacy(), &batch, &call).unwrap();
    assert_eq!(codes(&[some.next().unwrap()]), [(0, 0)].into());
    cancel.cancel();
    let rest: Vec<BatchResult> = some.collect();
    assert!(rest.len() <= batch.window() + 1, "{}", rest.len());
    assert!(codes(&rest).values().any(|code| *code == cancelled), "{rest:?}");

    // The deadline is the whole batch's, an image's own is its own.
    let call = Call::new().with_timeout(Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(2));
    let late: Vec<BatchResult> =
        client.verify_images(references.clone(), &policy(), &legacy(), &batch, &call).unwrap().collect();
    assert!(codes(&late).values().all(|code| *code == Code::Timeout.number()) && late.len() == 4);
    let hold = registry.hold(&format!("sha256-{}.sig", hex(&references[1])));
    let patient = BatchOptions { image_timeout: Some(Duration::from_millis(300)), ..batch };
    let codes = codes(&run(&client, &references, &legacy(), &patient));
    assert_eq!(codes, [(0, 0), (1, Code::Timeout.number()), (2, 0), (3, 0)].into());
    hold.release();
}

#[test]
fn layouts_need_no_runtime_and_registries_say_that_they_do() {
    let layout = tempfile::tempdir().unwrap();
    let copy = layout.path().join("image");
    let source = root().join("examples/image");
    std::fs::create_dir_all(copy.join("blobs/sha256")).unwrap();
    for file in ["oci-layout", "index.json"] {
        std::fs::copy(source.join(file), copy.join(file)).unwrap();
    }
    for blob in std::fs::read_dir(source.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(blob.path(), copy.join("blobs/sha256").join(blob.file_name())).unwrap();
    }
    let image = format!("oci:{}:v1", copy.display());
    let sign = SignOptions::default();
    client().sign(&ImageRef::parse(&image).unwrap(), key(), &sign, &Call::new()).unwrap();

    let client = cosign_core::Client::new(ClientOptions::new()).unwrap();
    let references = [image.clone(), "127.0.0.1:1/app:v1".to_owned(), format!("oci:{}:v2", copy.display()), image];
    let (call, batch) = (Call::new(), BatchOptions::default());
    let mut batch = client.verify_images(references, &policy(), &VerifyOptions::default(), &batch, &call).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut results = Vec::new();
    while let Poll::Ready(Some(result)) = std::pin::pin!(batch.next()).poll(&mut context) {
        results.push(result);
    }
    let wanted = [(0, 0), (1, Code::Argument.number()), (2, Code::ImageNotFound.number()), (3, 0)];
    assert_eq!(codes(&results), wanted.into());

    // Where a log may have to be asked, a layout is no longer only files.
    let mut logged = policy();
    logged.require_tlog(true);
    logged.add_log_key(key().public_key());
    let start = |options: &VerifyOptions| {
        let image = format!("oci:{}:v1", copy.display());
        client.verify_images([image], &logged, options, &BatchOptions::default(), &call).unwrap()
    };
    let code = |mut batch: cosign_core::client::BatchOf<'_, std::array::IntoIter<String, 1>>| match std::pin::pin!(
        batch.next()
    )
    .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(Some(result)) => result.outcome.unwrap_err().code(),
        _ => panic!("no result"),
    };
    assert_eq!(code(start(&VerifyOptions::default())), Code::Argument);
    assert_eq!(code(start(&VerifyOptions { offline: true, ..Default::default() })), Code::NoSignatureMatches);
}

#[test]
fn what_would_be_wrong_for_every_image_is_told_at_once() {
    let client = client();
    let none = || Vec::<String>::new();
    let (call, good) = (Call::new(), BatchOptions::default());
    let start = |policy: &Policy, options: &VerifyOptions, batch: &BatchOptions| {
        client.verify_images(none(), policy, options, batch, &call).map(Iterator::count)
    };
    assert_eq!(start(&policy(), &legacy(), &good).unwrap(), 0);
    assert_eq!(start(&Policy::new(), &legacy(), &good).unwrap_err().code(), Code::PolicyEmpty);
    let suffix = VerifyOptions { tag_suffix: Some(".evil".to_owned()), ..Default::default() };
    assert_eq!(start(&policy(), &suffix, &good).unwrap_err().code(), Code::Argument);
    for bad in [
        BatchOptions { at_once: 0, ..good.clone() },
        BatchOptions { per_host: 0, ..good.clone() },
        BatchOptions { image_timeout: Some(Duration::ZERO), ..good.clone() },
    ] {
        assert_eq!(start(&policy(), &legacy(), &bad).unwrap_err().code(), Code::Argument);
    }
}
