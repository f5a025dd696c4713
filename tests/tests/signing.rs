//! Signing and verifying through the verbs against the in-process registry: which requests are made, that concurrent
//! signers lose nothing, and that what could not be read is never called unsigned.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions, Signed,
    VerifyOptions,
};
use cosign_tests::registry::{Delete, Fault, Referrers, Registry, RetryAfter};

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..16).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn policy(n: usize) -> Policy {
    Policy::new().with_key(key(n).public_key())
}

/// A client that does not wait before it tries again.
fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn at(registry: &Registry, what: &str) -> ImageRef {
    let separator = if what.starts_with("sha256:") { "@" } else { ":" };
    ImageRef::parse(&format!("{}/team/app{separator}{what}", registry.host())).unwrap()
}

fn options(format: Format) -> SignOptions {
    SignOptions { format, ..Default::default() }
}

fn sign(client: &Client, image: &ImageRef, n: usize, format: Format) -> Result<Signed, Error> {
    client.sign(image, key(n), &options(format), &Call::new())
}

fn verify(client: &Client, image: &ImageRef, n: usize) -> Result<usize, Error> {
    client.verify(image, &policy(n), &VerifyOptions::default(), &Call::new()).map(|verified| verified.count())
}

fn verify_as(client: &Client, image: &ImageRef, n: usize, format: Format) -> Result<usize, Error> {
    let options = VerifyOptions { format: Some(format), ..Default::default() };
    client.verify(image, &policy(n), &options, &Call::new()).map(|verified| verified.count())
}

/// A registry with an image, its digest, and a client that knows what the registry can do.
fn known(referrers: bool) -> (Registry, String, Client) {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    registry.set(|switches| {
        switches.referrers = if referrers { Referrers::On } else { Referrers::Off };
        switches.single_post = true;
    });
    let client = client();
    // The first contact teaches what the repository can do; the budgets are for the calls after it.
    let other = registry.add_image("team/app", "other");
    sign(&client, &at(&registry, &other), 0, Format::Bundle).unwrap();
    (registry, digest, client)
}

#[test]
fn both_formats_are_written_and_read_on_every_kind_of_registry() {
    for referrers in [Referrers::On, Referrers::Off, Referrers::WrongType] {
        let registry = Registry::start();
        registry.add_image("team/app", "v1");
        registry.set(|switches| switches.referrers = referrers);
        let (client, image) = (client(), at(&registry, "v1"));
        assert_eq!(verify(&client, &image, 0).unwrap_err().code(), Code::NoSignatures);
        for (n, format) in [Format::Legacy, Format::Bundle, Format::Both].into_iter().enumerate() {
            let signed = sign(&client, &image, n, format).unwrap();
            assert_eq!(*signed.protection(), Protection::Stored, "{}", signed.json());
            let count = if format == Format::Both { 2 } else { 1 };
            assert_eq!(verify(&client, &image, n).unwrap(), count);
        }
        for (n, legacy, bundle) in [(0, true, false), (1, false, true), (2, true, true)] {
            assert_eq!(verify_as(&client, &image, n, Format::Legacy).is_ok(), legacy);
            assert_eq!(verify_as(&client, &image, n, Format::Bundle).is_ok(), bundle);
        }
        // A threshold is met by signers of different formats.
        let mut two = policy(0).with_key(key(1).public_key());
        two.set_threshold(2);
        assert_eq!(client.verify(&image, &two, &VerifyOptions::default(), &Call::new()).unwrap().count(), 2);
        assert_eq!(verify(&client, &image, 5).unwrap_err().code(), Code::NoSignatureMatches);
        // Again with the same key: nothing is written in the legacy format.
        let again = sign(&client, &image, 0, Format::Legacy).unwrap();
        assert_eq!((again.added(), again.protection().name()), (false, "stored"));
    }
}

#[test]
fn verifying_takes_the_fewest_requests() {
    let (registry, digest, client) = known(false);
    let image = at(&registry, &digest);
    sign(&client, &image, 0, Format::Legacy).unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();

    // A payload that can be foretold is not fetched.
    let mark = registry.mark();
    verify_as(&client, &image, 0, Format::Legacy).unwrap();
    registry.expect(mark, &[&[&format!("GET /v2/team/app/manifests/sha256-{hex}.sig 200")]]);

    // One that cannot be: one request more.
    let signed = SignOptions { annotations: vec![("a".into(), "b".into())], ..Default::default() };
    client.sign(&image, key(1), &signed, &Call::new()).unwrap();
    let mark = registry.mark();
    verify_as(&client, &image, 1, Format::Legacy).unwrap();
    assert_eq!(registry.since(mark).len(), 2);

    // The default asks for bundles as well: on a registry known to have tags only, one request more.
    let mark = registry.mark();
    verify(&client, &image, 0).unwrap();
    assert_eq!(registry.since(mark).len(), 3, "{:?}", registry.since(mark));

    let (registry, digest, client) = known(true);
    let image = at(&registry, &digest);
    sign(&client, &image, 0, Format::Bundle).unwrap();
    let mark = registry.mark();
    verify_as(&client, &image, 0, Format::Bundle).unwrap();
    assert_eq!(registry.since(mark).len(), 3, "{:?}", registry.since(mark));
    let mark = registry.mark();
    verify(&client, &image, 0).unwrap();
    assert_eq!(registry.since(mark).len(), 4, "{:?}", registry.since(mark));
}

#[test]
fn sixteen_signers_at_once_lose_nothing_where_plain_ones_lose_almost_all() {
    let run = |format: Format, journal: bool| {
        let registry = Arc::new(Registry::start());
        let digest = registry.add_image("team/app", "v1");
        registry.set(|switches| {
            switches.referrers = Referrers::Off;
            switches.latency_ms = 5;
        });
        let image = at(&registry, &digest);
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for n in 0..16 {
                let (image, start) = (&image, &start);
                scope.spawn(move || {
                    let client = client();
                    let options = SignOptions { journal, format, ..Default::default() };
                    start.wait();
                    let signed = client.sign(image, key(n), &options, &Call::new()).unwrap();
                    assert_eq!(*signed.protection() == Protection::Stored, journal, "{}", signed.json());
                });
            }
        });
        // Only the standard places count: the journal must not be what saves it.
        let client = client();
        let options = VerifyOptions { journal: false, format: Some(format), ..Default::default() };
        (0..16).filter(|n| client.verify(&image, &policy(*n), &options, &Call::new()).is_ok()).count()
    };
    // The test must be able to fail.
    let plain = run(Format::Legacy, false);
    assert!(plain < 16, "plain signers happened not to collide");
    assert_eq!(run(Format::Legacy, true), 16);
    assert_eq!(run(Format::Bundle, true), 16);
}

#[test]
fn what_a_plain_signer_overwrote_is_found_in_the_journal_and_healed_by_the_next() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    registry.set(|switches| switches.referrers = Referrers::Off);
    let (client, image) = (client(), at(&registry, &digest));
    let tag = format!("sha256-{}.sig", digest.strip_prefix("sha256:").unwrap());
    // A plain signer has read "nothing there" and writes last.
    let plain = SignOptions { journal: false, ..Default::default() };
    client.sign(&image, key(1), &plain, &Call::new()).unwrap();
    let (media_type, stale) = registry.manifest("team/app", &tag).unwrap();
    registry.remove_tag("team/app", &tag);
    sign(&client, &image, 0, Format::Legacy).unwrap();
    registry.add_manifest("team/app", &tag, &media_type, &stale);

    let never = VerifyOptions { journal: false, ..Default::default() };
    let lost = client.verify(&image, &policy(0), &never, &Call::new());
    assert_eq!(lost.unwrap_err().code(), Code::NoSignatureMatches);
    let found = client.verify(&image, &policy(0), &VerifyOptions::default(), &Call::new()).unwrap();
    assert!(found.report().signatures.iter().any(|s| s.place.contains(".sig.j")), "{}", found.report().json());
    sign(&client, &image, 2, Format::Legacy).unwrap();
    for n in 0..3 {
        assert!(client.verify(&image, &policy(n), &never, &Call::new()).is_ok(), "{n}");
    }
    // Whoever cannot list says so and changes no verdict.
    registry.set(|switches| switches.tags_list.status = Some(403));
    let refused = verify(&client, &image, 7).unwrap_err();
    assert_eq!(refused.code(), Code::NoSignatureMatches);
    assert!(refused.report().unwrap().notes.iter().any(|note| note.contains("not readable")));
    registry.set(|switches| switches.tags_list.status = Some(429));
    assert_eq!(verify(&client, &image, 7).unwrap_err().code().row().class, Class::Unknown);
}

#[test]
fn nothing_that_could_not_be_read_is_a_verdict() {
    let faults = || {
        [
            Fault::RateLimit(RetryAfter::Absent),
            Fault::OciError(500, "UNKNOWN".into()),
            Fault::OciError(403, "DENIED".into()),
            Fault::OciError(413, "SIZE_INVALID".into()),
            Fault::Portal,
            Fault::Reset,
            Fault::Truncate,
            Fault::OverLong(10),
            Fault::HeaderFlood(200),
            Fault::Redirect(307, "{path}".into()),
            Fault::Gzip,
        ]
    };
    for referrers in [Referrers::On, Referrers::Off] {
        for format in [Format::Legacy, Format::Bundle] {
            let registry = Registry::start();
            let digest = registry.add_image("team/app", "v1");
            registry.set(|switches| switches.referrers = referrers);
            let image = at(&registry, &digest);
            let annotated = SignOptions { format, annotations: vec![("a".into(), "b".into())], ..Default::default() };
            client().sign(&image, key(0), &annotated, &Call::new()).unwrap();
            let mark = registry.mark();
            verify(&client(), &image, 0).unwrap();
            let requests = registry.since(mark).len();
            for k in 0..requests {
                for fault in faults() {
                    registry.heal();
                    let portal = matches!(fault, Fault::Portal);
                    // Every attempt of the k-th request fails, so that the retries do not save it.
                    let asked = {
                        let mark = registry.mark();
                        verify(&client(), &image, 0).unwrap();
                        registry.since(mark)
                    };
                    let path = asked[k].rsplit_once(' ').unwrap().0.to_owned();
                    // A 404 in whatever words means "no such API" there, and the fallback tag decides.
                    if portal && path.contains("/referrers/") {
                        continue;
                    }
                    registry.fault(&format!("{path}$"), fault.clone());
                    match verify(&client(), &image, 0) {
                        // The other format's place is not needed.
                        Ok(count) => assert_eq!(count, 1, "{path} {fault:?}"),
                        Err(error) => assert_eq!(
                            error.code().row().class,
                            Class::Unknown,
                            "{path} {fault:?}: {error} {:?}",
                            error.report()
                        ),
                    }
                    // A stranger's key is never told that there are no signatures when not all could be read.
                    let error = verify(&client(), &image, 5).unwrap_err();
                    assert_ne!(error.code(), Code::NoSignatures, "{path} {fault:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn an_immutable_tag_leaves_the_signature_in_the_journal_and_says_so() {
    use cosign_tests::registry::{Immutable, Vendor};
    for vendor in [Vendor::Ecr, Vendor::Harbor, Vendor::Quay] {
        let registry = Registry::start();
        let digest = registry.add_image("team/app", "v1");
        registry.set(|switches| {
            switches.referrers = Referrers::Off;
            switches.immutable = Some(Immutable { tags: "*.sig".into(), vendor });
            switches.delete = Delete::Off;
        });
        let (client, image) = (client(), at(&registry, &digest));
        assert_eq!(sign(&client, &image, 0, Format::Legacy).unwrap().protection().name(), "stored");
        let second = sign(&client, &image, 1, Format::Legacy).unwrap();
        assert_eq!(second.protection().name(), "journal_only", "{}", second.json());
        assert_eq!(verify(&client, &image, 1).unwrap(), 1);
    }
}

#[test]
fn gitlabs_alias_is_never_overwritten() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    registry.set(|switches| {
        switches.referrers = Referrers::Off;
        switches.digest_alias = true;
    });
    let (client, image) = (client(), at(&registry, &digest));
    let signed = sign(&client, &image, 0, Format::Bundle).unwrap();
    assert_eq!(signed.protection().name(), "journal_only", "{}", signed.json());
    assert_eq!(verify(&client, &image, 0).unwrap(), 1);
    assert_eq!(registry.tags("team/app").iter().filter(|tag| tag.len() == 71).count(), 0);
}

#[test]
fn a_portals_404_does_not_let_a_signer_begin_anew() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let image = at(&registry, &digest);
    sign(&client(), &image, 0, Format::Legacy).unwrap();
    let tag = format!("sha256-{}.sig", digest.strip_prefix("sha256:").unwrap());
    let before = registry.manifest("team/app", &tag).unwrap();
    registry.fault(&format!("GET /v2/team/app/manifests/{tag}$"), Fault::Portal);
    let error = sign(&client(), &image, 1, Format::Legacy).unwrap_err();
    assert_eq!(error.code().row().class, Class::Unknown, "{error}");
    registry.heal();
    assert_eq!(registry.manifest("team/app", &tag).unwrap(), before);
    assert_eq!(verify(&client(), &image, 0).unwrap(), 1);
}

#[test]
fn signatures_as_two_bare_numbers_are_refused_for_every_curve() {
    for (algorithm, half) in
        [(KeyAlgorithm::EcdsaP256, 32), (KeyAlgorithm::EcdsaP384, 48), (KeyAlgorithm::EcdsaP521, 66)]
    {
        let key = PrivateKey::generate(algorithm).unwrap();
        let der = key.sign(b"message").unwrap();
        key.public_key().verify(b"message", &der).unwrap();
        // SEQUENCE, its length in one or two bytes, then two INTEGERs.
        let body = if der[1] == 0x81 { &der[3..] } else { &der[2..] };
        let first = usize::from(body[1]);
        let (r, s) = (&body[2..2 + first], &body[2 + first + 2..]);
        let mut bare = Vec::new();
        for number in [r, s] {
            let digits = &number[usize::from(number[0] == 0)..];
            bare.extend(std::iter::repeat_n(0, half - digits.len()));
            bare.extend(digits);
        }
        assert_eq!(bare.len(), 2 * half);
        assert_eq!(key.public_key().verify(b"message", &bare).unwrap_err().code(), Code::SignatureInvalid);
    }
}

#[test]
fn a_payload_of_a_hundred_thousand_members_is_refused() {
    use cosign_core::payload::simple_signing::{ParseOptions, SimpleSigning};
    let members: Vec<String> = (0..100_001).map(|n| format!("\"{n}\":0")).collect();
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let payload = |optional: &str| {
        format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"\"}},\"image\":{{\"docker-manifest-digest\":\"{digest}\"}},\
             \"type\":\"cosign container image signature\"}},\"optional\":{{{optional}}}}}"
        )
    };
    let options = || ParseOptions { bare_digest: false, any_type: false };
    SimpleSigning::parse(payload("\"a\":\"b\"").as_bytes(), options()).unwrap();
    assert!(SimpleSigning::parse(payload(&members.join(",")).as_bytes(), options()).is_err());
}
