//! `copy`: images with all that hangs on them, between registries, repositories and layouts; nothing is lost, nothing is
//! sent twice, and what was not copied is never said to be.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::client::{CleanKind, CleanOptions, Copied, CopyKind, CopyOptions};
use cosign_core::{
    Call, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey,
    SignOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Sandbox};
use cosign_tests::oracle_registries::{Kind, Server};
use cosign_tests::registry::{Fault, OCI_INDEX, OCI_MANIFEST, Referrers, Registry, RetryAfter, digest};

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..4).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn reference(text: &str) -> ImageRef {
    ImageRef::parse(text).unwrap()
}

fn at(registry: &Registry, rest: &str) -> ImageRef {
    reference(&format!("{}/{rest}", registry.host()))
}

fn sign(image: &ImageRef, n: usize, format: Format) {
    let options = SignOptions { format, ..Default::default() };
    client().sign(image, key(n), &options, &Call::new()).unwrap();
}

fn verify(image: &ImageRef, n: usize) -> Result<usize, Error> {
    let policy = Policy::new().with_key(key(n).public_key());
    client().verify(image, &policy, &VerifyOptions::default(), &Call::new()).map(|verified| verified.count())
}

/// Without looking into the journal.
fn standard(image: &ImageRef, n: usize) -> Result<usize, Error> {
    let policy = Policy::new().with_key(key(n).public_key());
    let options = VerifyOptions { journal: false, ..Default::default() };
    client().verify(image, &policy, &options, &Call::new()).map(|verified| verified.count())
}

fn copy(from: &ImageRef, to: &ImageRef) -> Result<Copied, Error> {
    copy_with(from, to, &CopyOptions::default())
}

fn copy_with(from: &ImageRef, to: &ImageRef, options: &CopyOptions) -> Result<Copied, Error> {
    client().copy(from, to, options, &Call::new())
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn registry(referrers: Referrers) -> Registry {
    let registry = Registry::start();
    registry.set(|is| is.referrers = referrers);
    registry
}

/// An image signed by keys 0 (legacy), 1 (bundle) and 2 (both).
fn signed(registry: &Registry) -> (ImageRef, String) {
    let digest = registry.add_image("team/app", "v1");
    let image = at(registry, "team/app:v1");
    for (n, format) in [(0, Format::Legacy), (1, Format::Bundle), (2, Format::Both)] {
        sign(&image, n, format);
    }
    (image, digest)
}

fn assert_whole(image: &ImageRef) {
    for (n, count) in [(0, 1), (1, 1), (2, 2)] {
        assert_eq!(standard(image, n).unwrap(), count, "{image} {n}");
    }
}

#[test]
fn everything_arrives_between_registries_of_every_kind() {
    for from in [Referrers::On, Referrers::Off] {
        for to in [Referrers::On, Referrers::Off] {
            let (source, destination) = (registry(from), registry(to));
            let (image, digest) = signed(&source);
            let target = at(&destination, "mirror/app:v1");
            let copied = copy(&image, &target).unwrap();
            assert_eq!(copied.digest().to_string(), digest);
            assert_eq!(copied.destination(), format!("{}/mirror/app@{digest}", destination.host()));
            assert_eq!((copied.added().len(), copied.left(), copied.protection().name()), (4, &[][..], "stored"));
            assert_whole(&target);
            // Again: nothing is written.
            let mark = destination.mark();
            let again = copy(&image, &target).unwrap();
            assert_eq!((again.added().len(), again.blobs_sent()), (0, 0), "{}", again.json());
            let written = destination
                .since(mark)
                .into_iter()
                .filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD"));
            assert_eq!(written.collect::<Vec<_>>(), [""; 0], "{from:?} {to:?}");
        }
    }
}

#[test]
fn blobs_then_the_image_then_what_refers_to_it_and_signatures_last() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    let digest = source.add_image("team/app", "v1");
    let image = at(&source, "team/app:v1");
    sign(&image, 0, Format::Both);
    let (mark, read) = (destination.mark(), source.mark());
    copy(&image, &at(&destination, "mirror/app:v1")).unwrap();
    let tag = format!("sha256-{}", hex(&digest));
    let puts: Vec<String> = destination
        .since(mark)
        .into_iter()
        .filter(|line| {
            line.starts_with("PUT /v2/mirror/app/manifests/") || line.starts_with("PUT /v2/mirror/app/blobs")
        })
        .map(|line| line.trim_start_matches("PUT /v2/mirror/app/").trim_end_matches(" 201").to_owned())
        .collect();
    let at =
        |what: &str| puts.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what} {puts:?}"));
    assert!(puts[..2].iter().all(|line| line.starts_with("blobs/")), "{puts:?}");
    assert!(at("manifests/v1") < at(&format!("manifests/{tag}.j")));
    assert!(
        at(&format!("manifests/{tag}.j")) < puts.iter().position(|line| *line == format!("manifests/{tag}")).unwrap()
    );
    assert!(at(&format!("manifests/{tag}")) < at(&format!("manifests/{tag}.sig.j")));
    assert!(puts[puts.len() - 2..].iter().all(|line| line.starts_with(&format!("manifests/{tag}.sig"))), "{puts:?}");
    // The source is only read.
    assert!(source.since(read).iter().all(|line| line.starts_with("GET") || line.starts_with("HEAD")));
}

#[test]
fn a_neighbour_in_the_same_registry_gets_its_blobs_by_mounting() {
    let here = registry(Referrers::Off);
    let (image, _) = signed(&here);
    let mark = here.mark();
    copy(&image, &at(&here, "team/copy:v2")).unwrap();
    let lines = here.since(mark);
    let mounted = here.seen_since(mark).into_iter().filter(|seen| seen.query().contains("from=team%2Fapp"));
    // Two blobs of the image, two of each bundle, a payload for both legacy signatures.
    assert_eq!(mounted.count(), 8, "{lines:?}");
    assert!(lines.iter().all(|line| !line.starts_with("GET /v2/team/app/blobs/")), "{lines:?}");
    assert_whole(&at(&here, "team/copy:v2"));
    // A registry that does not mount is sent the bytes.
    here.set(|is| is.mount = false);
    copy(&image, &at(&here, "team/third:v2")).unwrap();
    assert_whole(&at(&here, "team/third:v2"));
    // In the same repository it is one more tag.
    let mark = here.mark();
    let copied = copy(&image, &at(&here, "team/app:stable")).unwrap();
    assert_eq!((copied.added().len(), copied.blobs_sent()), (0, 0));
    let written: Vec<String> = here.since(mark).into_iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(written, ["PUT /v2/team/app/manifests/stable 201"]);
}

#[test]
fn signatures_are_merged_into_those_that_are_there() {
    for to in [Referrers::On, Referrers::Off] {
        let (source, destination) = (registry(Referrers::Off), registry(to));
        let (image, digest) = signed(&source);
        let (media, bytes) = source.manifest("team/app", "v1").unwrap();
        destination.add_manifest("mirror/app", "v1", &media, &bytes);
        let target = at(&destination, "mirror/app:v1");
        sign(&target, 3, Format::Both);
        let copied = copy(&image, &target).unwrap();
        assert_eq!(copied.added().len(), 4, "{}", copied.json());
        assert_whole(&target);
        assert_eq!(standard(&target, 3).unwrap(), 2);
        // The journal of the source is not copied: the destination has one entry of its own for each signature.
        if to == Referrers::Off {
            let journal = format!("sha256-{}.sig.j", hex(&digest));
            let entries = destination.tags("mirror/app").into_iter().filter(|tag| tag.starts_with(&journal)).count();
            assert_eq!(entries, 3);
        }
    }
}

#[test]
fn what_a_concurrent_signer_overwrote_at_the_source_is_copied_while_it_is_young() {
    for (hours, arrives) in [(0, true), (30, false)] {
        let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
        let digest = source.add_image("team/app", "v1");
        let image = at(&source, "team/app:v1");
        sign(&image, 3, Format::Legacy);
        source.set(|is| is.date_skew = -hours * 3600);
        sign(&image, 0, Format::Legacy);
        source.set(|is| is.date_skew = 0);
        source.remove_tag("team/app", &format!("sha256-{}.sig", hex(&digest)));
        let naive = SignOptions { journal: false, ..Default::default() };
        client().sign(&image, key(1), &naive, &Call::new()).unwrap();
        assert_eq!(standard(&image, 0).unwrap_err().code(), Code::NoSignatureMatches);
        let target = at(&destination, "mirror/app:v1");
        copy(&image, &target).unwrap();
        assert_eq!(standard(&target, 0).is_ok(), arrives, "{hours} h");
        assert_eq!((standard(&target, 1).unwrap(), standard(&target, 3).unwrap()), (1, 1));
    }
}

/// An index of two images, with a signature on the index and one on the second child.
fn index(registry: &Registry) -> (ImageRef, String, [String; 2]) {
    let mut children = Vec::new();
    for (n, architecture) in ["amd64", "arm64"].iter().enumerate() {
        let config = format!("{{\"architecture\":\"{architecture}\",\"os\":\"linux\"}}");
        let layer = format!("layer {n}");
        let (c, l) =
            (registry.add_blob("team/multi", config.as_bytes()), registry.add_blob("team/multi", layer.as_bytes()));
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{c}"}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{},"digest":"{l}"}}]}}"#,
            config.len(),
            layer.len(),
        );
        let digest = registry.add_untagged("team/multi", OCI_MANIFEST, manifest.as_bytes());
        children.push((digest, manifest.len(), *architecture));
    }
    let entry = |(digest, size, architecture): &(String, usize, &str)| {
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","size":{size},"digest":"{digest}","platform":{{"architecture":"{architecture}","os":"linux"}}}}"#
        )
    };
    let list = children.iter().map(entry).collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{list}]}}"#);
    let digest = registry.add_manifest("team/multi", "v1", OCI_INDEX, text.as_bytes());
    let image = at(registry, "team/multi:v1");
    sign(&image, 0, Format::Both);
    sign(&at(registry, &format!("team/multi@{}", children[1].0)), 1, Format::Both);
    (image, digest, [children[0].0.clone(), children[1].0.clone()])
}

#[test]
fn an_index_comes_with_its_children_and_their_signatures() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::On));
    let (image, digest, children) = index(&source);
    let target = at(&destination, "mirror/multi:v1");
    let copied = copy(&image, &target).unwrap();
    assert_eq!((copied.digest().to_string(), copied.added().len()), (digest, 4));
    assert_eq!(standard(&target, 0).unwrap(), 2);
    assert_eq!(standard(&at(&destination, &format!("mirror/multi@{}", children[1])), 1).unwrap(), 2);
    assert!(children.iter().all(|child| destination.manifest("mirror/multi", child).is_some()));

    // One platform only: that image gets the name, and only its signatures come along.
    let arm = CopyOptions { platform: Some("linux/arm64".into()), ..Default::default() };
    let target = at(&destination, "mirror/arm:v1");
    let copied = copy_with(&image, &target, &arm).unwrap();
    assert_eq!(copied.digest().to_string(), children[1]);
    assert_eq!(standard(&target, 1).unwrap(), 2);
    assert!(destination.manifest("mirror/arm", &children[0]).is_none());
    for (platform, from) in [("linux/s390x", &image), ("linux", &image), ("linux/arm64", &target), ("", &image)] {
        let options = CopyOptions { platform: Some(platform.into()), ..Default::default() };
        let error = copy_with(from, &at(&destination, "mirror/none:v1"), &options).unwrap_err();
        assert_eq!(error.code(), Code::Argument, "{platform:?} {error}");
    }
    assert!(destination.manifest("mirror/none", "v1").is_none());
}

#[test]
fn only_what_was_asked_for_is_copied() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    let (image, digest) = signed(&source);
    let sbom = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
    source.add_blob("team/app", b"{}");
    source.add_manifest("team/app", &format!("sha256-{}.sbom", hex(&digest)), OCI_MANIFEST, sbom.as_bytes());
    let target = at(&destination, "mirror/app:v1");
    let only = |only: &[CopyKind]| CopyOptions { only: only.to_vec(), ..Default::default() };
    copy_with(&image, &target, &only(&[CopyKind::Sboms])).unwrap();
    assert!(destination.manifest("mirror/app", "v1").is_none());
    assert!(destination.manifest("mirror/app", &format!("sha256-{}.sbom", hex(&digest))).is_some());
    copy_with(&image, &target, &only(&[CopyKind::Attestations])).unwrap();
    let by_digest = at(&destination, &format!("mirror/app@{digest}"));
    assert_eq!(verify(&by_digest, 0).unwrap_err().code(), Code::NoSignatures);
    copy_with(&image, &target, &only(&[CopyKind::Signatures])).unwrap();
    assert_whole(&by_digest);
    assert!(destination.manifest("mirror/app", "v1").is_none());
    for (name, kind) in [("sig", CopyKind::Signatures), ("att", CopyKind::Attestations), ("sbom", CopyKind::Sboms)] {
        assert_eq!(CopyKind::parse(name).unwrap(), kind);
    }
    assert_eq!(CopyKind::parse("all").unwrap_err().code(), Code::Argument);
}

#[test]
fn another_image_of_that_name_stays_unless_forced() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    let (image, digest) = signed(&source);
    let (media, bytes) = source.manifest("team/app", "v1").unwrap();
    let other = destination.add_manifest("mirror/app", "v1", &media, &[bytes.as_slice(), b"\n"].concat());
    let target = at(&destination, "mirror/app:v1");
    let mark = destination.mark();
    let error = copy(&image, &target).unwrap_err();
    assert_eq!((error.code(), error.code().class()), (Code::FileExists, Class::File), "{error}");
    assert!(destination.since(mark).iter().all(|line| line.starts_with("GET")));
    assert_eq!(destination.manifest("mirror/app", "v1").map(|(_, bytes)| digest_of(&bytes)), Some(other));
    copy_with(&image, &target, &CopyOptions { force: true, ..Default::default() }).unwrap();
    assert_whole(&target);
    // A digest is a promise.
    let wrong = at(&destination, &format!("mirror/app@{}", digest_of(b"another")));
    assert_eq!(copy(&image, &wrong).unwrap_err().code(), Code::Argument);
    copy(&image, &at(&destination, &format!("mirror/new@{digest}"))).unwrap();
    let gone = at(&source, "team/app:nothing");
    assert_eq!(copy(&gone, &target).unwrap_err().code(), Code::ImageNotFound);
}

fn digest_of(bytes: &[u8]) -> String {
    digest(bytes)
}

// --- large blobs, lies and faults

/// An image with one layer of 5 MiB.
fn large(registry: &Registry) -> (ImageRef, String) {
    let layer: Vec<u8> = (0..5 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (c, l) = (registry.add_blob("team/large", b"{}"), registry.add_blob("team/large", &layer));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{c}"}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{},"digest":"{l}"}}]}}"#,
        layer.len()
    );
    registry.add_manifest("team/large", "v1", OCI_MANIFEST, manifest.as_bytes());
    (at(registry, "team/large:v1"), l)
}

#[test]
fn large_blobs_flow_through_and_lies_on_the_way_are_never_stored() {
    let sandbox = Sandbox::new();
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    let (image, layer) = large(&source);
    let target = at(&destination, "mirror/large:v1");
    let local = sandbox.path("layout");
    let layout = reference(&format!("oci:{}:v1", local.display()));
    let blob = local.join("blobs/sha256").join(hex(&layer));
    for (fault, code) in [
        (Fault::WrongBytes, Code::Content),
        (Fault::Truncate, Code::Network),
        (Fault::OverLong(10), Code::Content),
        (Fault::Endless, Code::Content),
        (Fault::OciError(503, "UNAVAILABLE".into()), Code::Network),
        (Fault::RateLimit(RetryAfter::Seconds(0)), Code::RateLimited),
    ] {
        source.fault(&format!("GET /v2/team/large/blobs/{layer}"), fault.clone());
        for to in [&target, &layout] {
            let error = copy(&image, to).unwrap_err();
            assert_eq!(error.code(), code, "{fault:?} {to}: {error}");
        }
        source.heal();
        assert!(
            destination.manifest("mirror/large", "v1").is_none() && destination.blob("mirror/large", &layer).is_none()
        );
        assert!(!blob.exists() && std::fs::read_dir(local.join("blobs/sha256")).unwrap().count() <= 1);
    }
    for to in [&target, &layout] {
        let copied = copy(&image, to).unwrap();
        assert_eq!(copied.blobs_sent() + copied.blobs_there(), 2, "{}", copied.json());
        assert_eq!(copy(&image, to).unwrap().blobs_sent(), 0);
    }
    assert_eq!(destination.blob("mirror/large", &layer), source.blob("team/large", &layer));
    assert_eq!(std::fs::read(&blob).unwrap(), source.blob("team/large", &layer).unwrap());
    // Out of the layout again, and a blob that was changed there does not leave it.
    let back = at(&destination, "back/large:v1");
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[3 << 20] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    let third = registry(Referrers::Off);
    let error = copy(&layout, &at(&third, "back/large:v1")).unwrap_err();
    assert_eq!(error.code(), Code::Content, "{error}");
    assert!(third.blob("back/large", &layer).is_none());
    bytes[3 << 20] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    copy(&layout, &back).unwrap();
    copy(&layout, &at(&third, "back/large:v1")).unwrap();
    assert_eq!(third.blob("back/large", &layer), source.blob("team/large", &layer));
}

#[test]
fn an_answer_that_fails_on_either_side_is_never_a_copy() {
    let faults: [fn() -> Fault; 5] = [
        || Fault::RateLimit(RetryAfter::Seconds(0)),
        || Fault::OciError(500, "UNKNOWN".into()),
        || Fault::OciError(403, "DENIED".into()),
        || Fault::Portal,
        || Fault::Reset,
    ];
    let mut errors = 0;
    for (n, fault) in faults.into_iter().enumerate() {
        let (from, to) = if n % 2 == 0 { (Referrers::On, Referrers::Off) } else { (Referrers::Off, Referrers::On) };
        let source = registry(from);
        let (image, _) = signed(&source);
        for side in [0, 1] {
            // Every request for the first of them, some for the others.
            for k in (1..200).step_by(if n == 0 { 1 } else { 6 }) {
                let destination = registry(to);
                let target = at(&destination, "mirror/app:v1");
                let spoiled = if side == 0 { &source } else { &destination };
                let mark = spoiled.mark();
                spoiled.fault_at("*", k - 1, 4, fault());
                let outcome = copy(&image, &target);
                let count = spoiled.since(mark).len();
                spoiled.heal();
                match &outcome {
                    // What signing calls unprotected is there, too.
                    Ok(copied) => {
                        let whole = (0..3).all(|n| verify(&target, n).is_ok());
                        assert!(whole || !copied.left().is_empty(), "{side} {k} {:?}: {}", fault(), copied.json());
                    }
                    Err(error) => {
                        errors += 1;
                        assert!(matches!(error.code().class(), Class::Unknown | Class::Refused), "{k}: {error}");
                    }
                }
                // Another try completes it.
                copy(&image, &target).unwrap();
                assert_whole(&target);
                if k > count {
                    break;
                }
            }
        }
    }
    assert!(errors > 50, "{errors}");
}

#[test]
fn hostile_indexes_end() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    let target = at(&destination, "mirror/app:v1");
    let entry =
        |digest: &str, size: usize| format!(r#"{{"mediaType":"{OCI_INDEX}","size":{size},"digest":"{digest}"}}"#);
    let text = |list: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{list}]}}"#);
    // Too deep.
    let mut below = text("");
    for _ in 0..12 {
        let digest = source.add_untagged("team/app", OCI_INDEX, below.as_bytes());
        below = text(&entry(&digest, below.len()));
    }
    source.add_manifest("team/app", "deep", OCI_INDEX, below.as_bytes());
    // Too wide: never asked for.
    let wide: Vec<String> = (0..2000).map(|n: u32| entry(&digest_of(&n.to_be_bytes()), 10)).collect();
    source.add_manifest("team/app", "wide", OCI_INDEX, text(&wide.join(",")).as_bytes());
    source.add_manifest("team/app", "missing", OCI_INDEX, text(&entry(&digest_of(b"x"), 1)).as_bytes());
    for (name, code) in [("deep", Code::TooLarge), ("wide", Code::TooLarge), ("missing", Code::Content)] {
        let mark = source.mark();
        let error = copy(&at(&source, &format!("team/app:{name}")), &target).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(source.since(mark).len() < 20);
    }
    let written = destination.log().into_iter().filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD"));
    assert_eq!(written.collect::<Vec<_>>(), [""; 0]);
}

// --- signatures elsewhere, layouts, and tools of others

#[test]
fn signatures_kept_elsewhere_come_beside_the_copy() {
    let (source, destination) = (registry(Referrers::Off), registry(Referrers::Off));
    source.add_image("team/app", "v1");
    let mut options = ClientOptions::new();
    options.set_signature_repository(&format!("{}/signatures", source.host())).unwrap();
    let ours = Client::new(options).unwrap();
    let image = at(&source, "team/app:v1");
    let both = SignOptions { format: Format::Both, ..Default::default() };
    ours.sign(&image, key(0), &both, &Call::new()).unwrap();
    let target = at(&destination, "mirror/app:v1");
    ours.copy(&image, &target, &CopyOptions::default(), &Call::new()).unwrap();
    assert_eq!(standard(&target, 0).unwrap(), 2);
}

#[test]
fn layouts_take_and_give_images_and_signatures() {
    let sandbox = Sandbox::new();
    let (source, destination) = (registry(Referrers::On), registry(Referrers::Off));
    let (image, digest) = signed(&source);
    let layout = |name: &str| reference(&format!("oci:{}:v1", sandbox.path(name).display()));
    let copied = copy(&image, &layout("a")).unwrap();
    assert_eq!((copied.added().len(), copied.digest().to_string()), (4, digest));
    assert_whole(&layout("a"));
    copy(&layout("a"), &layout("b")).unwrap();
    assert_whole(&layout("b"));
    copy(&layout("b"), &at(&destination, "mirror/app:v1")).unwrap();
    assert_whole(&at(&destination, "mirror/app:v1"));
    // Union, and nothing twice.
    sign(&layout("b"), 3, Format::Both);
    assert_eq!(copy(&layout("b"), &layout("a")).unwrap().added().len(), 2);
    assert_eq!(copy(&layout("b"), &layout("a")).unwrap().added().len(), 0);
    assert_whole(&layout("a"));
    assert_eq!(standard(&layout("a"), 3).unwrap(), 2);
    // A second image under another name; not under the same.
    let (multi, _, _) = index(&source);
    let error = copy(&multi, &layout("a")).unwrap_err();
    assert_eq!(error.code(), Code::FileExists, "{error}");
    let error = copy(&multi, &reference(&format!("oci:{}", sandbox.path("a").display()))).unwrap_err();
    assert_eq!(error.code(), Code::FileExists, "{error}");
    let second = reference(&format!("oci:{}:multi", sandbox.path("a").display()));
    copy(&multi, &second).unwrap();
    assert_eq!(standard(&second, 0).unwrap(), 2);
    assert_whole(&layout("a"));
    copy(&second, &at(&destination, "mirror/multi:v1")).unwrap();
    assert_eq!(standard(&at(&destination, "mirror/multi:v1"), 0).unwrap(), 2);
    // A folder with something else in it is left alone.
    std::fs::create_dir(sandbox.path("other")).unwrap();
    std::fs::write(sandbox.path("other").join("file"), "x").unwrap();
    assert_eq!(copy(&image, &layout("other")).unwrap_err().code(), Code::ImageNotFound);
    assert_eq!(std::fs::read_dir(sandbox.path("other")).unwrap().count(), 1);
    // A client that takes no layouts makes none.
    let mut options = ClientOptions::new();
    options.set_layouts(false);
    let strict = Client::new(options).unwrap();
    let error = strict.copy(&image, &layout("none"), &CopyOptions::default(), &Call::new()).unwrap_err();
    assert_eq!(error.code(), Code::Reference);
    assert!(!sandbox.path("none").exists());
}

#[test]
fn real_tools_verify_what_was_copied_everywhere() {
    let (distribution, sandbox) = (oracle::Registry::start(), Sandbox::new());
    let (olareg, ggcr) = (Server::start(Kind::Olareg), Server::start(Kind::GgcrTagOnly));
    let pem = key(0).to_pem(oracle::PASSWORD.as_bytes(), KeyFormat::Sigstore).unwrap();
    let (private, public) =
        (sandbox.write("k.key", pem.as_bytes()), sandbox.write("k.pub", key(0).public_key().to_pem()));
    let source = format!("{}:v1", oracle::root().join("examples/image").display());
    let first = format!("{}/team/app:v1", distribution.host());
    sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &first]).success();
    let base = ["sign", "--key", &private, "-y", "--tlog-upload=false"];
    sandbox.run("cosign2", base.into_iter().chain([&*first])).success();
    sandbox.run("cosign3", base.into_iter().chain(["--use-signing-config=false", &first])).success();
    sign(&reference(&first), 1, Format::Both);
    let folder = sandbox.path("layout");
    let layout = format!("oci:{}:v1", folder.display());
    let places = [format!("{}/a/app:v1", olareg.host()), layout.clone(), format!("{}/b/app:v1", ggcr.host())];
    let mut from = first.clone();
    for to in places.iter().chain([&format!("{}/c/app:v1", distribution.host())]) {
        copy(&reference(&from), &reference(to)).unwrap();
        assert_eq!((standard(&reference(to), 0).unwrap(), standard(&reference(to), 1).unwrap()), (2, 2), "{to}");
        for tool in ["cosign2", "cosign3"] {
            let verify = ["verify", "--key", &public, "--insecure-ignore-tlog=true"];
            let folder = folder.to_str().unwrap();
            let rest = if to == &layout { vec!["--local-image", folder] } else { vec![to.as_str()] };
            sandbox.run(tool, verify.into_iter().chain(rest)).success();
        }
        from = to.clone();
    }
    // skopeo's policy demands a sigstore signature.
    let policy = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"":[{{"type":"sigstoreSigned","keyPath":"{public}","signedIdentity":{{"type":"exactRepository","dockerRepository":"{}/team/app"}}}}]}}}}}}"#,
        distribution.host()
    );
    let (policy, out) = (sandbox.write("policy.json", policy), sandbox.arg("skopeo-out"));
    let registries = sandbox.path("registries.d");
    std::fs::create_dir_all(&registries).unwrap();
    std::fs::write(registries.join("default.yaml"), "default-docker:\n  use-sigstore-attachments: true\n").unwrap();
    let at_end = format!("docker://{from}");
    let flags = ["--policy", &policy, "--registries.d", registries.to_str().unwrap(), "copy", "--src-tls-verify=false"];
    sandbox
        .run("skopeo", flags.into_iter().chain(["--remove-signatures", &at_end, &format!("oci:{out}:v1")]))
        .success();
    // What real cosign copied is not lost when we copy it on: its copy names the image by the tag of the fallback index.
    let theirs = format!("{}/theirs/app:v1", distribution.host());
    sandbox.run("cosign2", ["copy", &first, &theirs]).success();
    let on = format!("{}/on/app:v1", ggcr.host());
    copy(&reference(&theirs), &reference(&on)).unwrap();
    assert_eq!((standard(&reference(&on), 0).unwrap(), standard(&reference(&on), 1).unwrap()), (1, 1));
    client().clean(&reference(&theirs), &CleanOptions { kind: CleanKind::All }, &Call::new()).unwrap();
    sandbox.run("skopeo", ["inspect", "--tls-verify=false", &format!("docker://{theirs}")]).success();
    assert!(Path::new(&out).exists());
}
