//! What signing costs, request by request; and what is known when one of several signatures cannot be stored.
//!
//! In the lists `~` is the image's hex digest. Inside a batch the order is free; that a batch is one round trip is shown in
//! `core/tests/together.rs`.

use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions, Signed,
    VerifyOptions,
};
use cosign_tests::registry::{Fault, Mark, Referrers, Registry};

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..16).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

/// A registry with an image, and a client of it.
struct World {
    registry: Registry,
    digest: String,
    client: Client,
}

impl World {
    /// A client that has never spoken to the registry.
    fn unknown(referrers: bool, single_post: bool) -> World {
        let registry = Registry::start();
        let digest = registry.add_image("team/app", "v1");
        registry.set(|switches| {
            switches.referrers = if referrers { Referrers::On } else { Referrers::Off };
            switches.single_post = single_post;
        });
        let mut options = ClientOptions::new();
        options.set_retry_base(Duration::ZERO);
        World { registry, digest, client: Client::new(options).unwrap() }
    }

    /// One that knows what the registry can do: it has signed another image there.
    fn known(referrers: bool, single_post: bool) -> World {
        let world = World::unknown(referrers, single_post);
        let other = world.registry.add_image("team/app", "other");
        world.sign(&other, 0, Format::Bundle).unwrap();
        world
    }

    fn at(&self, what: &str) -> ImageRef {
        let separator = if what.starts_with("sha256:") { "@" } else { ":" };
        ImageRef::parse(&format!("{}/team/app{separator}{what}", self.registry.host())).unwrap()
    }

    fn sign(&self, what: &str, n: usize, format: Format) -> Result<Signed, Error> {
        let options = SignOptions { format, ..Default::default() };
        self.client.sign(&self.at(what), key(n), &options, &Call::new())
    }

    /// Signs, and compares the requests with `batches`.
    #[track_caller]
    fn costs(&self, what: &str, n: usize, format: Format, batches: &[&[&str]]) {
        let mark = self.registry.mark();
        let signed = self.sign(what, n, format).unwrap();
        assert_eq!(*signed.protection(), Protection::Stored, "{}", signed.json());
        self.expect(mark, batches);
    }

    #[track_caller]
    fn expect(&self, mark: Mark, batches: &[&[&str]]) {
        let hex = self.digest.strip_prefix("sha256:").unwrap();
        let spelled: Vec<Vec<String>> =
            batches.iter().map(|batch| batch.iter().map(|line| spell(line, hex)).collect()).collect();
        let lines: Vec<Vec<&str>> = spelled.iter().map(|batch| batch.iter().map(String::as_str).collect()).collect();
        let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
        self.registry.expect(mark, &lines);
    }

    fn verifies(&self, n: usize, format: Format) -> bool {
        let options = VerifyOptions { format: Some(format), journal: false, ..Default::default() };
        let policy = Policy::new().with_key(key(n).public_key());
        self.client.verify(&self.at("v1"), &policy, &options, &Call::new()).is_ok()
    }
}

/// `METHOD rest` below the repository.
fn spell(line: &str, hex: &str) -> String {
    let (method, rest) = line.split_once(' ').unwrap();
    format!("{method} /v2/team/app/{}", rest.replace('~', hex))
}

const NO_SIG: &str = "GET manifests/sha256-~.sig 404";
const SIG: &str = "GET manifests/sha256-~.sig 200";
const NO_INDEX: &str = "GET manifests/sha256-~ 404";
const INDEX: &str = "GET manifests/sha256-~ 200";
const SUBJECT: &str = "HEAD manifests/sha256:~ 200";
const POST: &str = "POST blobs/uploads/ 201";
const OPEN: &str = "POST blobs/uploads/ 202";
const FILL: &str = "PUT blobs/uploads/* 201";
const PUT_SIG: &str = "PUT manifests/sha256-~.sig 201";
const PUT_SIG_ENTRY: &str = "PUT manifests/sha256-~.sig.j* 201";
const PUT_INDEX: &str = "PUT manifests/sha256-~ 201";
const PUT_BUNDLE: &str = "PUT manifests/sha256-~.j* 201";
const PUT_REFERRER: &str = "PUT manifests/sha256:* 201";
const LIST: &str = "GET tags/list 200";
const REFERRERS: &str = "GET referrers/sha256:~ 200";
const NO_REFERRERS: &str = "GET referrers/sha256:~ 404";
const TAG: &str = "GET manifests/v1 200";

#[test]
fn a_legacy_signature_takes_seven_requests_with_tags_alone() {
    let world = World::known(false, true);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Legacy, &[&[NO_SIG, POST, POST], &[PUT_SIG_ENTRY, PUT_SIG], &[SIG, LIST]]);
    // A further one takes one upload and one round trip more: its image has the configuration of all layers, and its entry
    // that of its own.
    let further: &[&[&str]] = &[&[SIG, POST, POST], &[POST], &[PUT_SIG_ENTRY, PUT_SIG], &[SIG, LIST]];
    world.costs(&digest, 1, Format::Legacy, further);
    world.costs(&digest, 2, Format::Legacy, further);
    // What is there already is looked for, and nothing is written.
    world.costs(&digest, 1, Format::Legacy, &[&[SIG, POST, POST], &[SIG, LIST]]);
    // By tag: the tag, in a round trip of its own.
    let world = World::known(false, true);
    world.costs("v1", 0, Format::Legacy, &[&[TAG], &[NO_SIG, POST, POST], &[PUT_SIG_ENTRY, PUT_SIG], &[SIG, LIST]]);
}

#[test]
fn a_legacy_signature_takes_eight_requests_with_the_referrers_api() {
    let world = World::known(true, true);
    let commit = &[PUT_REFERRER, PUT_SIG];
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Legacy, &[&[NO_SIG, POST, POST, SUBJECT], commit, &[SIG, REFERRERS]]);
    // By tag none more: reading the tag gives the descriptor.
    let world = World::known(true, true);
    world.costs("v1", 0, Format::Legacy, &[&[TAG], &[NO_SIG, POST, POST], commit, &[SIG, REFERRERS]]);
}

#[test]
fn a_bundle_takes_eight_requests_with_tags_alone() {
    let rest: [&[&str]; 3] = [&[PUT_BUNDLE], &[PUT_INDEX], &[INDEX, LIST]];
    let world = World::known(false, true);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Bundle, &[&[NO_INDEX, POST, POST, SUBJECT], rest[0], rest[1], rest[2]]);
    world.costs(&digest, 1, Format::Bundle, &[&[INDEX, POST, POST, SUBJECT], rest[0], rest[1], rest[2]]);
    let world = World::known(false, true);
    world.costs("v1", 0, Format::Bundle, &[&[TAG], &[NO_INDEX, POST, POST], rest[0], rest[1], rest[2]]);
}

#[test]
fn a_bundle_takes_four_requests_with_the_referrers_api_and_five_where_it_does_not_vouch_for_itself() {
    let world = World::known(true, true);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Bundle, &[&[POST, POST, SUBJECT], &[PUT_REFERRER]]);
    world.costs("v1", 1, Format::Bundle, &[&[TAG], &[POST, POST], &[PUT_REFERRER]]);
    world.registry.set(|switches| switches.oci_subject = false);
    world.costs(&digest, 2, Format::Bundle, &[&[POST, POST, SUBJECT], &[PUT_REFERRER], &[REFERRERS]]);
}

#[test]
fn both_formats_take_fourteen_requests_in_four_round_trips_with_tags_alone() {
    let world = World::known(false, true);
    let open = [NO_SIG, NO_INDEX, POST, POST, POST, POST, SUBJECT];
    let commit = [PUT_SIG_ENTRY, PUT_SIG, PUT_BUNDLE];
    let check = [SIG, INDEX, LIST];
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Both, &[&open, &commit, &[PUT_INDEX], &check]);
    assert!(world.verifies(0, Format::Legacy) && world.verifies(0, Format::Bundle));
    // The configuration of the second image is uploaded beside the bundle's manifest: no round trip more.
    let open = [SIG, INDEX, POST, POST, POST, POST, SUBJECT];
    let commit: [&[&str]; 2] = [&[POST, PUT_BUNDLE], &[PUT_SIG_ENTRY, PUT_SIG, PUT_INDEX]];
    world.costs(&digest, 1, Format::Both, &[&open, commit[0], commit[1], &check]);
    // By tag none more: reading the tag gives the descriptor.
    let world = World::known(false, true);
    let open = [NO_SIG, NO_INDEX, POST, POST, POST, POST];
    let commit = [PUT_SIG_ENTRY, PUT_SIG, PUT_BUNDLE];
    world.costs("v1", 0, Format::Both, &[&[TAG], &open, &commit, &[PUT_INDEX], &check]);
}

#[test]
fn both_formats_take_eleven_requests_in_three_round_trips_with_the_referrers_api() {
    let world = World::known(true, true);
    let open = [NO_SIG, POST, POST, POST, POST, SUBJECT];
    let commit = [PUT_REFERRER, PUT_SIG, PUT_REFERRER];
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Both, &[&open, &commit, &[SIG, REFERRERS]]);
    assert!(world.verifies(0, Format::Legacy) && world.verifies(0, Format::Bundle));
    // Where the registry does not vouch for the bundle, the list that is read anyway does.
    let world = World::known(true, true);
    world.registry.set(|switches| switches.oci_subject = false);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Both, &[&open, &commit, &[SIG, REFERRERS]]);
}

#[test]
fn the_first_contact_takes_one_request_more() {
    let opened = |world: &World, format, batches: &[&[&str]]| world.costs(&world.digest.clone(), 0, format, batches);
    let commit: &[&str] = &[PUT_SIG_ENTRY, PUT_SIG];
    let world = World::unknown(false, true);
    opened(&world, Format::Legacy, &[&[NO_SIG, POST, POST, NO_REFERRERS], commit, &[SIG, LIST]]);
    let world = World::unknown(true, true);
    let commit: &[&str] = &[PUT_REFERRER, PUT_SIG];
    opened(&world, Format::Legacy, &[&[NO_SIG, POST, POST, REFERRERS], &[SUBJECT], commit, &[SIG, REFERRERS]]);
    let world = World::unknown(false, true);
    let rest: [&[&str]; 3] = [&[PUT_BUNDLE], &[PUT_INDEX], &[INDEX, LIST]];
    let open: &[&str] = &[NO_INDEX, POST, POST, SUBJECT, NO_REFERRERS];
    opened(&world, Format::Bundle, &[open, rest[0], rest[1], rest[2]]);
    let world = World::unknown(false, true);
    let open = [NO_SIG, NO_INDEX, POST, POST, POST, POST, SUBJECT, NO_REFERRERS];
    opened(&world, Format::Both, &[&open, &[PUT_SIG_ENTRY, PUT_SIG, PUT_BUNDLE], &[PUT_INDEX], &[SIG, INDEX, LIST]]);
    // The API shows itself to both at once; the index that it makes superfluous was asked for meanwhile.
    let world = World::unknown(true, true);
    let open = [NO_SIG, NO_INDEX, POST, POST, POST, POST, SUBJECT, REFERRERS];
    opened(&world, Format::Both, &[&open, &[PUT_REFERRER, PUT_SIG, PUT_REFERRER], &[SIG, REFERRERS]]);
}

#[test]
fn a_registry_of_two_step_uploads_takes_one_request_more_for_each_blob() {
    let commit: &[&str] = &[PUT_SIG_ENTRY, PUT_SIG];
    let world = World::known(false, false);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Legacy, &[&[NO_SIG, OPEN, OPEN, FILL, FILL], commit, &[SIG, LIST]]);
    let world = World::known(false, false);
    let open: &[&str] = &[NO_INDEX, OPEN, OPEN, SUBJECT, FILL, FILL];
    world.costs(&world.digest.clone(), 0, Format::Bundle, &[open, &[PUT_BUNDLE], &[PUT_INDEX], &[INDEX, LIST]]);
    let world = World::known(true, false);
    let digest = world.digest.clone();
    world.costs(&digest, 0, Format::Bundle, &[&[OPEN, OPEN, SUBJECT, FILL, FILL], &[PUT_REFERRER]]);
}

#[test]
fn without_a_journal_signing_takes_what_it_takes_others() {
    let world = World::known(false, true);
    let plain = |n: usize, format| {
        let options = SignOptions { journal: false, format, ..Default::default() };
        let signed = world.client.sign(&world.at(&world.digest), key(n), &options, &Call::new()).unwrap();
        assert_eq!(signed.protection().name(), "stored_unprotected");
    };
    let mark = world.registry.mark();
    plain(0, Format::Legacy);
    world.expect(mark, &[&[NO_SIG], &[POST, POST], &[PUT_SIG]]);
    let mark = world.registry.mark();
    plain(1, Format::Bundle);
    world.expect(mark, &[&[SUBJECT], &[POST, POST], &[PUT_REFERRER], &[NO_INDEX], &[PUT_INDEX]]);
    // The index is the same that a signer with a journal writes: sorted, and nothing of it lost.
    world.sign(&world.digest, 2, Format::Bundle).unwrap();
    plain(3, Format::Bundle);
    let hex = world.digest.strip_prefix("sha256:").unwrap();
    let (_, index) = world.registry.manifest("team/app", &format!("sha256-{hex}")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let digests: Vec<&str> = entries.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert!(digests.len() == 3 && digests.is_sorted(), "{digests:?}");
}

#[test]
fn one_half_that_cannot_be_stored_is_an_error_that_names_it_and_the_other_stays() {
    // The bundle's manifest is refused, under its journal tag and by its digest.
    let world = World::unknown(false, true);
    let hex = world.digest.strip_prefix("sha256:").unwrap().to_owned();
    let denied = || Fault::OciError(403, "DENIED".into());
    world.registry.fault(&format!("PUT /v2/team/app/manifests/sha256-{hex}.j"), denied());
    world.registry.fault("PUT /v2/team/app/manifests/sha256:", denied());
    let error = world.sign("v1", 0, Format::Both).unwrap_err();
    assert_eq!(error.detail("format").unwrap(), "bundle", "{error}");
    assert!(error.message().contains("the bundle signature of"), "{error}");
    assert!(error.message().contains("1 of 2 signatures"), "{error}");
    let signatures = error.detail("signatures").unwrap();
    assert_eq!((&signatures[0]["format"], &signatures[0]["status"]), (&"legacy".into(), &"stored".into()));
    assert_eq!((&signatures[1]["format"], &signatures[1]["status"]), (&"bundle".into(), &"failed".into()));
    assert_eq!(signatures[1]["stages"]["journal"], false);
    world.registry.heal();
    assert!(world.verifies(0, Format::Legacy) && !world.verifies(0, Format::Bundle));
    // Signing again completes it: the legacy half is there already.
    let signed = world.sign("v1", 0, Format::Both).unwrap();
    let added: Vec<bool> = signed.signatures().iter().map(|signature| signature.added.added).collect();
    assert_eq!(added, [false, true]);
    assert!(world.verifies(0, Format::Bundle));

    // The legacy tag and its entry are refused.
    let world = World::unknown(false, true);
    let hex = world.digest.strip_prefix("sha256:").unwrap().to_owned();
    world.registry.fault(&format!("PUT /v2/team/app/manifests/sha256-{hex}.sig"), denied());
    let error = world.sign("v1", 0, Format::Both).unwrap_err();
    assert_eq!(error.detail("format").unwrap(), "legacy", "{error}");
    world.registry.heal();
    assert!(!world.verifies(0, Format::Legacy) && world.verifies(0, Format::Bundle));
}

#[test]
fn what_is_known_before_anything_is_written_is_not_half_done() {
    // The tag of the legacy format holds something else.
    let world = World::unknown(false, true);
    let hex = world.digest.strip_prefix("sha256:").unwrap().to_owned();
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    world.registry.add_manifest(
        "team/app",
        &format!("sha256-{hex}.sig"),
        "application/vnd.oci.image.index.v1+json",
        index,
    );
    let mark = world.registry.mark();
    let error = world.sign("v1", 0, Format::Both).unwrap_err();
    assert_eq!((error.code(), error.detail("format").unwrap()), (Code::Protocol, &"legacy".into()), "{error}");
    assert!(error.message().contains("no other is"), "{error}");
    let lines = world.registry.since(mark);
    assert!(!lines.iter().any(|line| line.starts_with("PUT")), "{lines:#?}");
}

#[test]
fn sixteen_signers_of_both_formats_at_once_lose_nothing() {
    for referrers in [false, true] {
        let world = World::unknown(referrers, false);
        world.registry.set(|switches| switches.latency_ms = 5);
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for n in 0..16 {
                let (world, start) = (&world, &start);
                scope.spawn(move || {
                    let client = Client::new(ClientOptions::new()).unwrap();
                    let options = SignOptions { format: Format::Both, ..Default::default() };
                    start.wait();
                    let signed = client.sign(&world.at("v1"), key(n), &options, &Call::new()).unwrap();
                    assert_eq!(*signed.protection(), Protection::Stored, "{}", signed.json());
                });
            }
        });
        for n in 0..16 {
            assert!(world.verifies(n, Format::Legacy) && world.verifies(n, Format::Bundle), "{n}");
        }
    }
}
