//! `clean` and `gc`: what goes, in which order, what stays and why, and that what was not heard is never called cleaned.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::client::{CleanKind, CleanOptions, Cleaned, Gc, GcOptions};
use cosign_core::{
    Call, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions,
    VerifyOptions,
};
use cosign_tests::oracle::{self, Sandbox};
use cosign_tests::oracle_registries::{Kind, Server};
use cosign_tests::registry::{Auth, Delete, Fault, OCI_INDEX, OCI_MANIFEST, Referrers, Registry, RetryAfter};

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..4).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn image(host: &str, rest: &str) -> ImageRef {
    ImageRef::parse(&format!("{host}/team/app{rest}")).unwrap()
}

fn sign(client: &Client, image: &ImageRef, n: usize, format: Format) {
    let options = SignOptions { format, ..Default::default() };
    client.sign(image, key(n), &options, &Call::new()).unwrap();
}

fn verify(client: &Client, image: &ImageRef, n: usize) -> Result<usize, Error> {
    let policy = Policy::new().with_key(key(n).public_key());
    client.verify(image, &policy, &VerifyOptions::default(), &Call::new()).map(|verified| verified.count())
}

fn unsigned(image: &ImageRef, n: usize) -> bool {
    verify(&client(), image, n).is_err_and(|error| error.code() == Code::NoSignatures)
}

fn clean(client: &Client, image: &ImageRef, kind: CleanKind) -> Result<Cleaned, Error> {
    client.clean(image, &CleanOptions { kind }, &Call::new())
}

fn gc(client: &Client, image: &ImageRef, repair: bool, whole_repository: bool) -> Result<Gc, Error> {
    client.gc(image, &GcOptions { repair, whole_repository }, &Call::new())
}

/// A fault with its name.
type Named = (&'static str, fn() -> Fault);

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

/// The tags of the repository but the image's.
fn tags(registry: &Registry) -> Vec<String> {
    let text = http(&registry.host(), "/v2/team/app/tags/list");
    let list: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    let tags = list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
    tags.filter(|tag| tag.starts_with("sha256-")).collect()
}

fn http(host: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn signed(referrers: Referrers, delete: Delete) -> (Registry, String, ImageRef) {
    let registry = Registry::start();
    registry.set(|is| {
        is.referrers = referrers;
        is.delete = delete;
    });
    let digest = registry.add_image("team/app", "v1");
    let by_tag = image(&registry.host(), ":v1");
    for (n, format) in [(0, Format::Legacy), (1, Format::Bundle), (2, Format::Both)] {
        sign(&client(), &by_tag, n, format);
    }
    (registry, digest, by_tag)
}

#[test]
fn nothing_is_left_of_any_format_on_any_kind_of_registry() {
    for referrers in [Referrers::On, Referrers::Off] {
        for delete in [Delete::Any, Delete::Digest] {
            let (registry, digest, by_tag) = signed(referrers, delete);
            let cleaned = clean(&client(), &by_tag, CleanKind::All).unwrap();
            assert_eq!(cleaned.kept(), [], "{referrers:?} {delete:?}");
            assert_eq!(cleaned.digest().to_string(), digest);
            assert!(cleaned.removed().iter().all(|r| r.note.is_none()), "{}", cleaned.json());
            assert_eq!(tags(&registry), [""; 0], "{referrers:?} {delete:?}");
            assert!((0..3).all(|n| unsigned(&by_tag, n)));
            assert!(registry.manifest("team/app", "v1").is_some());
            // Nobody who signs later brings them back.
            sign(&client(), &by_tag, 3, Format::Both);
            assert_eq!(verify(&client(), &by_tag, 3).unwrap(), 2);
            assert_eq!(verify(&client(), &by_tag, 0).unwrap_err().code(), Code::NoSignatureMatches);
            // What is clean stays so.
            clean(&client(), &by_tag, CleanKind::All).unwrap();
            let again = clean(&client(), &by_tag, CleanKind::All).unwrap();
            assert_eq!((again.removed(), again.kept()), (&[][..], &[][..]));
        }
    }
}

#[test]
fn the_journal_goes_before_the_tag_and_nothing_is_asked_twice() {
    let registry = Registry::start();
    registry.set(|is| is.referrers = Referrers::Off);
    let digest = registry.add_image("team/app", "v1");
    let (ours, by_digest) = (client(), image(&registry.host(), &format!("@{digest}")));
    sign(&ours, &by_digest, 0, Format::Legacy);
    let tag = format!("sha256-{}", hex(&digest));
    let journal = tags(&registry).into_iter().find(|name| name.contains(".sig.j")).unwrap();
    let mark = registry.mark();
    clean(&ours, &by_digest, CleanKind::Signatures).unwrap();
    let get = |name: &str, status: u16| format!("GET /v2/team/app/manifests/{name} {status}");
    registry.expect(
        mark,
        &[
            &[
                &get(&format!("{tag}.sig"), 200),
                &get(&format!("{tag}.cosign"), 404),
                &get(&tag, 404),
                "GET /v2/team/app/tags/list* 200",
            ],
            &[&format!("DELETE /v2/team/app/manifests/{journal} 202")],
            &[&format!("DELETE /v2/team/app/manifests/{tag}.sig 202")],
        ],
    );
}

#[test]
fn each_kind_takes_its_own_and_leaves_the_others() {
    for referrers in [Referrers::On, Referrers::Off] {
        let (registry, digest, by_tag) = signed(referrers, Delete::Any);
        let tag = format!("sha256-{}", hex(&digest));
        let other = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
        registry.add_blob("team/app", b"{}");
        for suffix in [".att", ".sbom"] {
            registry.add_manifest("team/app", &format!("{tag}{suffix}"), OCI_MANIFEST, other.as_bytes());
        }
        let has = |suffix: &str| registry.manifest("team/app", &format!("{tag}{suffix}")).is_some();
        clean(&client(), &by_tag, CleanKind::Sboms).unwrap();
        assert_eq!((has(".sig"), has(".att"), has(".sbom")), (true, true, false));
        assert_eq!(verify(&client(), &by_tag, 2).unwrap(), 2);
        clean(&client(), &by_tag, CleanKind::Attestations).unwrap();
        assert_eq!((has(".sig"), has(".att")), (true, false));
        assert_eq!(verify(&client(), &by_tag, 2).unwrap(), 2);
        clean(&client(), &by_tag, CleanKind::Referrers).unwrap();
        assert!(has(".sig"));
        assert_eq!((verify(&client(), &by_tag, 0).unwrap(), verify(&client(), &by_tag, 2).unwrap()), (1, 1));
        assert_eq!(verify(&client(), &by_tag, 1).unwrap_err().code(), Code::NoSignatureMatches);
        clean(&client(), &by_tag, CleanKind::Signatures).unwrap();
        assert!((0..3).all(|n| unsigned(&by_tag, n)), "{referrers:?}");
    }
    for (name, kind) in [("all", CleanKind::All), ("signature", CleanKind::Signatures), ("sbom", CleanKind::Sboms)] {
        assert_eq!(CleanKind::parse(name).unwrap(), kind);
    }
    assert_eq!(CleanKind::parse("Signature").unwrap_err().code(), Code::Argument);
}

#[test]
fn a_registry_that_deletes_nothing_is_an_error_of_its_own() {
    for referrers in [Referrers::On, Referrers::Off] {
        let (registry, _, by_tag) = signed(referrers, Delete::Off);
        let before = tags(&registry);
        let error = clean(&client(), &by_tag, CleanKind::All).unwrap_err();
        assert_eq!((error.code(), error.code().class()), (Code::Unsupported, Class::Usage), "{error}");
        assert_eq!(error.detail("removed"), Some(&serde_json::json!([])));
        assert_eq!(tags(&registry), before);
        assert_eq!(verify(&client(), &by_tag, 0).unwrap(), 1);
    }
    // Tags, but no manifests: the list of referrers is the registry's own, so a bundle cannot go.
    let (_registry, _, by_tag) = signed(Referrers::On, Delete::Tag);
    assert_eq!(clean(&client(), &by_tag, CleanKind::All).unwrap_err().code(), Code::Unsupported);
    // Where the list is ours, a bundle goes from the list; that its manifest stays is told.
    let (_registry, _, by_tag) = signed(Referrers::Off, Delete::Tag);
    let cleaned = clean(&client(), &by_tag, CleanKind::All).unwrap();
    assert_eq!(cleaned.removed().iter().filter(|r| r.note.is_some()).count(), 2, "{}", cleaned.json());
    assert!((0..3).all(|n| unsigned(&by_tag, n)));
}

#[test]
fn a_manifest_that_others_name_is_left_and_told() {
    let (registry, digest, by_tag) = signed(Referrers::Off, Delete::Digest);
    let tag = format!("sha256-{}.sig", hex(&digest));
    let (media, bytes) = registry.manifest("team/app", &tag).unwrap();
    registry.add_manifest("team/app", "release-signatures", &media, &bytes);
    let cleaned = clean(&client(), &by_tag, CleanKind::All).unwrap();
    assert_eq!(cleaned.kept().len(), 1, "{}", cleaned.json());
    assert!(cleaned.kept()[0].place.ends_with(&tag) && cleaned.kept()[0].reason.contains("release-signatures"));
    assert!(registry.manifest("team/app", "release-signatures").is_some());
    registry.remove_tag("team/app", "release-signatures");
    assert_eq!(clean(&client(), &by_tag, CleanKind::All).unwrap().kept(), []);
    assert!(unsigned(&by_tag, 0));
}

#[test]
fn what_strangers_put_where_signatures_belong_never_costs_an_image() {
    for delete in [Delete::Any, Delete::Digest] {
        let registry = Registry::start();
        registry.set(|is| {
            is.referrers = Referrers::Off;
            is.delete = delete;
        });
        let digest_v1 = registry.add_image("team/app", "v1");
        let (media, bytes) = registry.manifest("team/app", "v1").unwrap();
        // An image that only its digest names, as a child of an index is.
        let child = registry.add_untagged("team/app", &media, &[bytes.as_slice(), b"\n"].concat());
        let (_, child_bytes) = registry.manifest("team/app", &child).unwrap();
        let tag = format!("sha256-{}", hex(&digest_v1));
        let old = format!("{tag}.sig.j00000001-0123456789abcdef");
        registry.add_manifest("team/app", &format!("{tag}.sig"), &media, &child_bytes);
        registry.add_manifest("team/app", &format!("{tag}.att"), &media, &bytes);
        registry.add_manifest("team/app", &old, &media, &child_bytes);
        // A fallback index that calls images bundles and journal entries.
        let entry = |digest: &str, size: usize, kind: &str| {
            format!(
                r#"{{"mediaType":"{media}","size":{size},"digest":"{digest}","artifactType":"{kind}","annotations":{{"dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1","dev.libcosign.journal":"00000001","dev.libcosign.journal.id":"0123456789abcdef"}}}}"#
            )
        };
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let journal = "application/vnd.dev.libcosign.journal.v1+json";
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{},{},{},{}]}}"#,
            entry(&digest_v1, bytes.len(), bundle),
            entry(&child, child_bytes.len(), bundle),
            entry(&digest_v1, bytes.len(), journal),
            entry(&child, child_bytes.len(), journal),
        );
        registry.add_manifest("team/app", &tag, OCI_INDEX, index.as_bytes());
        let by_tag = image(&registry.host(), ":v1");
        let cleaned = clean(&client(), &by_tag, CleanKind::All);
        let collected = gc(&client(), &by_tag, true, true);
        assert!(registry.manifest("team/app", "v1").is_some() && registry.manifest("team/app", &digest_v1).is_some());
        assert!(registry.manifest("team/app", &child).is_some(), "{delete:?} {cleaned:?} {collected:?}");
        assert!(!cleaned.unwrap().kept().is_empty());
    }
}

#[test]
fn gitlab_s_alias_is_not_deleted() {
    let registry = Registry::start();
    registry.set(|is| {
        is.referrers = Referrers::Off;
        is.digest_alias = true;
    });
    let digest = registry.add_image("team/app", "v1");
    let by_tag = image(&registry.host(), ":v1");
    sign(&client(), &by_tag, 0, Format::Legacy);
    clean(&client(), &by_tag, CleanKind::All).unwrap();
    assert!(registry.manifest("team/app", &digest).is_some());
    assert!(unsigned(&by_tag, 0));
}

#[test]
fn what_was_not_heard_is_never_called_cleaned() {
    let faults: [Named; 7] = [
        ("429", || Fault::RateLimit(RetryAfter::Seconds(0))),
        ("500", || Fault::OciError(500, "UNKNOWN".into())),
        ("503", || Fault::OciError(503, "UNAVAILABLE".into())),
        ("401", || Fault::OciError(401, "UNAUTHORIZED".into())),
        ("403", || Fault::OciError(403, "DENIED".into())),
        ("portal", || Fault::Portal),
        ("reset", || Fault::Reset),
    ];
    let mut errors = 0;
    for (referrers, delete) in [(Referrers::On, Delete::Any), (Referrers::Off, Delete::Digest)] {
        for (name, fault) in faults {
            for k in 1..40 {
                let (registry, digest, by_tag) = signed(referrers, delete);
                let mark = registry.mark();
                // The request and all its repetitions.
                registry.fault_at("*", k - 1, 4, fault());
                let outcome = clean(&client(), &by_tag, CleanKind::All);
                let count = registry.since(mark).len();
                registry.heal();
                assert!(registry.manifest("team/app", &digest).is_some());
                let left = (0..3).any(|n| !unsigned(&by_tag, n));
                match outcome {
                    Ok(cleaned) => {
                        let what = format!("{name} at {k}, {referrers:?} {delete:?}: {}", cleaned.json());
                        assert!(!left || !cleaned.kept().is_empty(), "{what}");
                    }
                    Err(error) => {
                        errors += 1;
                        let class = error.code().class();
                        // A portal's 404 to the list of referrers means that there is no such list.
                        assert!(matches!(class, Class::Unknown), "{name} at {k}: {error}");
                    }
                }
                if k > count {
                    break;
                }
            }
        }
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn the_token_allows_to_delete() {
    let registry = Registry::with_auth(Auth::token("u", "p"));
    registry.set(|is| is.referrers = Referrers::Off);
    registry.add_image("team/app", "v1");
    let login = || {
        let mut options = ClientOptions::new();
        options.set_auth_basic(&registry.host(), "u", "p");
        Client::new(options).unwrap()
    };
    let ours = login();
    let by_tag = image(&registry.host(), ":v1");
    sign(&ours, &by_tag, 0, Format::Legacy);
    let mark = registry.mark();
    clean(&ours, &by_tag, CleanKind::All).unwrap();
    let asked: Vec<_> = registry.seen_since(mark).into_iter().filter(|seen| seen.path() == "/token").collect();
    assert_eq!(asked.len(), 1, "{:?}", registry.since(mark));
    assert!(asked[0].query().contains("pull%2Cpush%2Cdelete"), "{}", asked[0].query());
    // Who may not delete is told so, unless there is nothing to delete.
    sign(&ours, &by_tag, 0, Format::Legacy);
    registry.set(|is| is.tokens.grant = Some(vec!["pull".to_owned()]));
    let error = clean(&login(), &by_tag, CleanKind::All).unwrap_err();
    assert_eq!(error.code().class(), Class::Unknown, "{error}");
    assert_eq!(verify(&login(), &by_tag, 0).unwrap(), 1);
    assert_eq!(clean(&login(), &by_tag, CleanKind::Sboms).unwrap().removed(), []);
}

#[test]
fn signatures_in_a_repository_of_their_own_are_cleaned_there() {
    let registry = Registry::start();
    registry.set(|is| is.referrers = Referrers::Off);
    registry.add_image("team/app", "v1");
    let mut options = ClientOptions::new();
    options.set_signature_repository(&format!("{}/signatures", registry.host())).unwrap();
    let ours = Client::new(options).unwrap();
    let by_tag = image(&registry.host(), ":v1");
    sign(&ours, &by_tag, 0, Format::Both);
    let mark = registry.mark();
    let cleaned = clean(&ours, &by_tag, CleanKind::All).unwrap();
    assert!(cleaned.removed().iter().all(|r| r.place.contains("/signatures")), "{}", cleaned.json());
    let deleted = registry.since(mark).into_iter().filter(|line| line.starts_with("DELETE"));
    assert!(deleted.into_iter().all(|line| line.contains("/v2/signatures/")));
    assert_eq!(verify(&ours, &by_tag, 0).unwrap_err().code(), Code::NoSignatures);
}

// --- gc

/// A registry whose journal was written that many hours ago, but for the entries of key 3.
fn aged(referrers: Referrers, delete: Delete, hours: i64) -> (Registry, String, ImageRef) {
    let registry = Registry::start();
    registry.set(|is| {
        is.referrers = referrers;
        is.delete = delete;
    });
    let digest = registry.add_image("team/app", "v1");
    let by_tag = image(&registry.host(), ":v1");
    sign(&client(), &by_tag, 3, Format::Both);
    registry.set(|is| is.date_skew = -hours * 3600);
    sign(&client(), &by_tag, 0, Format::Both);
    sign(&client(), &by_tag, 1, Format::Legacy);
    registry.set(|is| is.date_skew = 0);
    (registry, digest, by_tag)
}

#[test]
fn gc_collects_what_is_old_and_in_its_place_and_nothing_else() {
    for referrers in [Referrers::On, Referrers::Off] {
        for (hours, goes) in [(23, false), (25, true)] {
            let (registry, _, by_tag) = aged(referrers, Delete::Any, hours);
            let before = tags(&registry).len();
            let collected = gc(&client(), &by_tag, false, false).unwrap();
            // Two of legacy signatures; a bundle among referrers needs no journal.
            let expected = if !goes {
                0
            } else if referrers == Referrers::Off {
                3
            } else {
                2
            };
            assert_eq!(collected.removed().len(), expected, "{referrers:?} {hours} h: {}", collected.json());
            assert_eq!((collected.lost(), collected.kept().len()), (0, 0), "{}", collected.json());
            if referrers == Referrers::Off {
                assert_eq!(tags(&registry).len(), before - expected);
            }
            assert_eq!((verify(&client(), &by_tag, 0).unwrap(), verify(&client(), &by_tag, 1).unwrap()), (2, 1));
            assert_eq!(gc(&client(), &by_tag, false, true).unwrap().removed(), []);
        }
    }
}

#[test]
fn gc_keeps_what_the_tag_has_lost_until_a_repair_merges_it() {
    for referrers in [Referrers::On, Referrers::Off] {
        let (registry, digest, by_tag) = aged(referrers, Delete::Any, 25 * 10);
        let tag = format!("sha256-{}.sig", hex(&digest));
        // A writer without a journal has overwritten the tag with its own signature alone.
        registry.remove_tag("team/app", &tag);
        let naive = SignOptions { journal: false, ..Default::default() };
        client().sign(&by_tag, key(2), &naive, &Call::new()).unwrap();
        let lost = gc(&client(), &by_tag, false, false).unwrap();
        assert_eq!(lost.lost(), 2, "{}", lost.json());
        let only = VerifyOptions { journal: false, format: Some(Format::Legacy), ..Default::default() };
        let standard = |n: usize| {
            let policy = Policy::new().with_key(key(n).public_key());
            client().verify(&by_tag, &policy, &only, &Call::new()).map(|verified| verified.count())
        };
        assert_eq!(standard(0).unwrap_err().code(), Code::NoSignatureMatches);
        let repaired = gc(&client(), &by_tag, true, false).unwrap();
        assert_eq!(repaired.repaired().len(), 1, "{}", repaired.json());
        assert!(repaired.repaired()[0].0.ends_with(&tag) && repaired.repaired()[0].1.name() == "stored");
        assert_eq!((repaired.lost(), repaired.removed().len()), (0, 2), "{}", repaired.json());
        for n in 0..3 {
            assert_eq!(standard(n).unwrap(), 1, "{referrers:?} {n}");
        }
    }
}

#[test]
fn gc_collects_the_journal_of_a_cleaned_tag_and_of_an_image_that_is_gone() {
    let (registry, digest, by_tag) = aged(Referrers::Off, Delete::Any, 30);
    let tag = format!("sha256-{}.sig", hex(&digest));
    registry.remove_tag("team/app", &tag);
    let collected = gc(&client(), &by_tag, true, true).unwrap();
    assert_eq!((collected.removed().len(), collected.lost(), collected.images()), (3, 0, 1), "{}", collected.json());
    assert!(collected.repaired().is_empty(), "what was cleaned does not come back");

    let (registry, digest, by_tag) = aged(Referrers::Off, Delete::Any, 30);
    registry.remove_tag("team/app", &format!("sha256-{}.sig", hex(&digest)));
    let naive = SignOptions { journal: false, ..Default::default() };
    client().sign(&by_tag, key(2), &naive, &Call::new()).unwrap();
    let by_digest = image(&registry.host(), &format!("@{digest}"));
    assert_eq!(gc(&client(), &by_digest, false, false).unwrap().lost(), 2);
    http_delete(&registry.host(), &format!("/v2/team/app/manifests/{digest}"));
    let collected = gc(&client(), &by_digest, false, false).unwrap();
    assert_eq!((collected.lost(), collected.removed().len()), (0, 2), "{}", collected.json());
}

fn http_delete(host: &str, path: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "DELETE {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains(" 202 "), "{text}");
}

#[test]
fn gc_leaves_a_bundle_s_journal_tag_where_it_cannot_go_alone_and_says_so() {
    let (registry, _, by_tag) = aged(Referrers::Off, Delete::Digest, 30);
    let collected = gc(&client(), &by_tag, false, false).unwrap();
    assert_eq!((collected.removed().len(), collected.kept().len()), (2, 1), "{}", collected.json());
    assert!(collected.kept()[0].reason.contains("would delete the signature"), "{}", collected.json());
    assert!(collected.removed().iter().all(|r| r.by_digest));
    assert_eq!((verify(&client(), &by_tag, 0).unwrap(), verify(&client(), &by_tag, 1).unwrap()), (2, 1));
    drop(registry);
}

#[test]
fn gc_that_was_not_answered_is_an_error_and_loses_nothing() {
    for k in 1..20 {
        let (registry, _, by_tag) = aged(Referrers::Off, Delete::Any, 30);
        let mark = registry.mark();
        registry.fault_at("*", k - 1, 4, Fault::OciError(503, "UNAVAILABLE".into()));
        let outcome = gc(&client(), &by_tag, true, true);
        let count = registry.since(mark).len();
        registry.heal();
        assert_eq!((verify(&client(), &by_tag, 0).unwrap(), verify(&client(), &by_tag, 1).unwrap()), (2, 1));
        match outcome {
            Err(error) => assert_eq!(error.code().class(), Class::Unknown, "{k}: {error}"),
            Ok(_) => assert!(k > count, "{k} of {count}"),
        }
        if k > count {
            return;
        }
    }
    panic!("more requests than expected");
}

#[test]
fn a_list_of_tags_that_is_refused_is_told() {
    let (registry, _, by_tag) = signed(Referrers::Off, Delete::Any);
    registry.set(|is| is.tags_list.status = Some(403));
    let cleaned = clean(&client(), &by_tag, CleanKind::All).unwrap();
    assert!(cleaned.kept().iter().any(|kept| kept.reason.contains("journal cannot be listed")), "{}", cleaned.json());
    assert_eq!(gc(&client(), &by_tag, false, false).unwrap_err().code(), Code::Denied);
}

// --- layouts

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_layout_is_cleaned_and_stays_valid() {
    let sandbox = Sandbox::new();
    let layout = sandbox.path("layout");
    copy_folder(&oracle::root().join("examples/image"), &layout);
    let local = ImageRef::parse(&format!("oci:{}:v1", layout.display())).unwrap();
    let before = std::fs::read(layout.join("index.json")).unwrap();
    sign(&client(), &local, 0, Format::Both);
    sign(&client(), &local, 1, Format::Legacy);
    let bundles = clean(&client(), &local, CleanKind::Referrers).unwrap();
    assert_eq!((bundles.removed().len(), verify(&client(), &local, 0).unwrap()), (1, 1));
    let cleaned = clean(&client(), &local, CleanKind::Signatures).unwrap();
    assert_eq!((cleaned.removed().len(), cleaned.kept().len()), (1, 0), "{}", cleaned.json());
    assert!(unsigned(&local, 0) && unsigned(&local, 1));
    let now: serde_json::Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let then: serde_json::Value = serde_json::from_slice(&before).unwrap();
    assert_eq!(now["manifests"].as_array().unwrap().len(), then["manifests"].as_array().unwrap().len());
    // Every tool still reads it.
    let source = format!("oci:{}:v1", layout.display());
    sandbox.run("skopeo", ["inspect", "--raw", &source]).success();
    assert_eq!(clean(&client(), &local, CleanKind::All).unwrap().removed(), []);
    assert_eq!(gc(&client(), &local, true, true).unwrap().removed(), []);
    sign(&client(), &local, 2, Format::Both);
    assert_eq!(verify(&client(), &local, 2).unwrap(), 2);
    let gone = ImageRef::parse(&format!("oci:{}:nothing", layout.display())).unwrap();
    assert_eq!(clean(&client(), &gone, CleanKind::All).unwrap_err().code(), Code::ImageNotFound);
}

#[test]
fn what_cosign_saved_is_cleaned_with_its_bundles() {
    let (registry, sandbox) = (oracle::Registry::start(), Sandbox::new());
    let pem = key(0).to_pem(oracle::PASSWORD.as_bytes(), cosign_core::KeyFormat::Sigstore).unwrap();
    let private = sandbox.write("k.key", pem.as_bytes());
    let source = format!("{}:v1", oracle::root().join("examples/image").display());
    for (tool, flags) in [("cosign2", vec![]), ("cosign3", vec!["--use-signing-config=false"])] {
        let target = format!("{}/{tool}:v1", registry.host());
        sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &target]).success();
        let sign = ["sign", "--key", &private, "-y", "--tlog-upload=false"].into_iter().chain(flags).chain([&*target]);
        sandbox.run(tool, sign).success();
        let folder = sandbox.arg(tool);
        sandbox.run(tool, ["save", "--dir", &folder, &target]).success();
        let local = ImageRef::parse(&format!("oci:{folder}")).unwrap();
        assert_eq!(verify(&client(), &local, 0).unwrap(), 1, "{tool}");
        assert_eq!(clean(&client(), &local, CleanKind::Signatures).unwrap().kept(), [], "{tool}");
        assert!(unsigned(&local, 0), "{tool}");
    }
}

// --- registries of others

#[test]
fn distribution_and_olareg_are_cleaned_of_what_all_tools_wrote() {
    let (distribution, sandbox) = (oracle::Registry::start(), Sandbox::new());
    let (olareg, tag_only) = (Server::start(Kind::Olareg), Server::start(Kind::GgcrTagOnly));
    let pem = key(0).to_pem(oracle::PASSWORD.as_bytes(), cosign_core::KeyFormat::Sigstore).unwrap();
    let (private, public) =
        (sandbox.write("k.key", pem.as_bytes()), sandbox.write("k.pub", key(0).public_key().to_pem()));
    let source = format!("{}:v1", oracle::root().join("examples/image").display());
    for host in [distribution.host(), olareg.host(), tag_only.host()] {
        let target = format!("{host}/team/app:v1");
        sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &target]).success();
        let by_tag = image(&host, ":v1");
        sign(&client(), &by_tag, 1, Format::Both);
        let base = ["sign", "--key", &private, "-y", "--tlog-upload=false"];
        sandbox.run("cosign2", base.into_iter().chain([&*target])).success();
        sandbox.run("cosign3", base.into_iter().chain(["--use-signing-config=false", &target])).success();
        assert_eq!(verify(&client(), &by_tag, 0).unwrap(), 2, "{host}");
        assert_eq!(gc(&client(), &by_tag, false, true).unwrap().removed(), [], "all of it is young");
        let cleaned = clean(&client(), &by_tag, CleanKind::All).unwrap();
        assert_eq!(cleaned.kept(), [], "{host}");
        assert!(unsigned(&by_tag, 0) && unsigned(&by_tag, 1), "{host}: {}", cleaned.json());
        for tool in ["cosign2", "cosign3"] {
            let verify = ["verify", "--key", &public, "--insecure-ignore-tlog=true", &target];
            sandbox.run(tool, verify).refusal("no signatures found");
        }
        // The image is whole.
        sandbox.run("skopeo", ["inspect", "--tls-verify=false", &format!("docker://{target}")]).success();
        sign(&client(), &by_tag, 2, Format::Both);
        assert_eq!(verify(&client(), &by_tag, 2).unwrap(), 2);
        assert_eq!(verify(&client(), &by_tag, 1).unwrap_err().code(), Code::NoSignatureMatches);
    }
}
