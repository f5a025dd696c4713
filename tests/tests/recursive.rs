//! `sign --recursive`: an index and everything that it leads to, in a registry and in a layout; and indexes that strangers
//! wrote to be too deep, too wide or false.

use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::{
    Call, ClientOptions, Code, Digest, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions, Signed,
    VerifyOptions,
};
use cosign_tests::registry::{Fault, Referrers, Registry};
use serde_json::json;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
}

fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn registry(referrers: bool) -> Registry {
    let registry = Registry::start();
    registry.set(|switches| {
        switches.referrers = if referrers { Referrers::On } else { Referrers::Off };
        switches.single_post = true;
    });
    registry
}

/// An entry of an index, with the size that the registry's manifest has.
fn entry(registry: &Registry, digest: &str) -> serde_json::Value {
    let (media_type, bytes) = registry.manifest("app", digest).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

fn index_of(entries: &[serde_json::Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes()
}

fn add_index(registry: &Registry, tag: &str, entries: &[serde_json::Value]) -> String {
    registry.add_manifest("app", tag, INDEX, &index_of(entries))
}

/// An index of two images; their digests, the index's first.
fn two_images(registry: &Registry) -> [String; 3] {
    let images = ["one", "two"].map(|tag| registry.add_image("app", tag));
    let index = add_index(registry, "all", &images.each_ref().map(|image| entry(registry, image)));
    let [one, two] = images;
    [index, one, two]
}

fn at(registry: &Registry, what: &str) -> ImageRef {
    let separator = if what.starts_with("sha256:") { "@" } else { ":" };
    ImageRef::parse(&format!("{}/app{separator}{what}", registry.host())).unwrap()
}

fn sign(client: &Client, image: &ImageRef, format: Format) -> Result<Signed, Error> {
    let options = SignOptions { format, recursive: true, ..Default::default() };
    client.sign(image, key(), &options, &Call::new())
}

fn verify(client: &Client, image: &ImageRef, format: Format) -> Result<usize, Error> {
    let options = VerifyOptions { format: Some(format), journal: false, ..Default::default() };
    let policy = Policy::new().with_key(key().public_key());
    client.verify(image, &policy, &options, &Call::new()).map(|verified| verified.count())
}

#[test]
fn every_image_that_an_index_leads_to_is_signed_for_itself() {
    for referrers in [false, true] {
        let registry = registry(referrers);
        let [inner, one, two] = two_images(&registry);
        let three = registry.add_image("app", "three");
        // The same image twice, an index within the index, and an image of both.
        let entries = [&inner, &three, &one, &three].map(|digest| entry(&registry, digest));
        let outer = add_index(&registry, "outer", &entries);
        let client = client();
        let signed = sign(&client, &at(&registry, "outer"), Format::Both).unwrap();
        assert_eq!(signed.digest().to_string(), outer);
        let order: Vec<String> = signed.signatures().iter().map(|signature| signature.digest.to_string()).collect();
        let expected = [&outer, &inner, &three, &one, &two].map(|digest| [digest.clone(), digest.clone()]).concat();
        assert_eq!(order, expected);
        for signature in signed.signatures() {
            assert_eq!(signature.added.protection.name(), "stored", "{}", signed.json());
            assert_eq!(signature.reference, format!("{}/app@{}", registry.host(), signature.digest));
        }
        for digest in [&outer, &inner, &one, &two, &three] {
            for format in [Format::Legacy, Format::Bundle] {
                assert_eq!(verify(&client, &at(&registry, digest), format).unwrap(), 1, "{digest} {format:?}");
            }
        }
        // Without it, the index alone.
        let alone = registry.add_image("app", "alone");
        let index = add_index(&registry, "index", &[entry(&registry, &alone)]);
        let plain = client.sign(&at(&registry, "index"), key(), &SignOptions::default(), &Call::new()).unwrap();
        assert_eq!((plain.signatures().len(), plain.digest().to_string()), (1, index));
        assert_eq!(verify(&client, &at(&registry, &alone), Format::Legacy).unwrap_err().code(), Code::NoSignatures);
        // An image leads to nothing.
        assert_eq!(sign(&client, &at(&registry, &alone), Format::Legacy).unwrap().signatures().len(), 1);
    }
}

#[test]
fn a_childs_descriptor_comes_from_its_parent_and_children_are_signed_side_by_side() {
    let world = registry(false);
    let client = client();
    sign(&client, &at(&world, &world.add_image("app", "other")), Format::Bundle).unwrap();
    let [index, one, two] = two_images(&world);
    let sig = |digest: &str, status: u16| format!("GET /v2/app/manifests/{}.sig {status}", digest.replace(':', "-"));
    let put =
        |digest: &str, suffix: &str| format!("PUT /v2/app/manifests/{}.sig{suffix} 201", digest.replace(':', "-"));
    let (post, list) = ("POST /v2/app/blobs/uploads/ 201", "GET /v2/app/tags/list 200");
    let mark = world.mark();
    sign(&client, &at(&world, &index), Format::Legacy).unwrap();
    world.expect(
        mark,
        &[
            &[&format!("GET /v2/app/manifests/{index} 200")],
            &[&sig(&index, 404), post, post],
            &[&put(&index, ""), &put(&index, ".j*")],
            &[&sig(&index, 200), list],
            &[&sig(&one, 404), &sig(&two, 404), post, post, post, post],
            &[&put(&one, ""), &put(&one, ".j*"), &put(&two, ""), &put(&two, ".j*")],
            &[&sig(&one, 200), &sig(&two, 200), list, list],
        ],
    );

    let world = registry(true);
    sign(&client, &at(&world, &world.add_image("app", "other")), Format::Bundle).unwrap();
    let [index, _, _] = two_images(&world);
    let mark = world.mark();
    sign(&client, &at(&world, &index), Format::Bundle).unwrap();
    let referrer = "PUT /v2/app/manifests/sha256:* 201";
    // The empty configuration of both children is uploaded once.
    let get = format!("GET /v2/app/manifests/{index} 200");
    world.expect(mark, &[&[&get], &[post, post], &[referrer], &[post, post, post], &[referrer, referrer]]);
}

#[test]
fn hostile_indexes_are_refused_before_anything_is_signed() {
    let registry = registry(false);
    let client = client();
    let image = registry.add_image("app", "image");
    let one = entry(&registry, &image);
    let refused = |tag: &str, code: Code| {
        let mark = registry.mark();
        let error = sign(&client, &at(&registry, tag), Format::Legacy).unwrap_err();
        assert_eq!(error.code(), code, "{tag}: {error}");
        let lines = registry.since(mark);
        assert!(lines.iter().all(|line| line.starts_with("GET")), "{tag}: {lines:#?}");
    };
    // Four levels below the one named are signed, five are not.
    let mut inner = add_index(&registry, "level-0", std::slice::from_ref(&one));
    for level in 1..=4 {
        inner = add_index(&registry, &format!("level-{level}"), &[entry(&registry, &inner)]);
    }
    assert_eq!(sign(&client, &at(&registry, "level-3"), Format::Legacy).unwrap().signatures().len(), 5);
    refused("level-4", Code::TooLarge);
    let wide = |count: usize| -> Vec<serde_json::Value> {
        let digest = |n: usize| Digest::sha256(&n.to_be_bytes()).to_string();
        (0..count).map(|n| json!({"mediaType": MANIFEST, "digest": digest(n), "size": 400})).collect()
    };
    add_index(&registry, "wide", &wide(1000));
    refused("wide", Code::TooLarge);
    // A nested index of another size than its parent says, one that is an image, and one that is not there.
    let nested = add_index(&registry, "nested", std::slice::from_ref(&one));
    let mut long = entry(&registry, &nested);
    long["size"] = json!(long["size"].as_u64().unwrap() + 1);
    add_index(&registry, "long", &[long]);
    refused("long", Code::Content);
    let mut posing = one.clone();
    posing["mediaType"] = json!(INDEX);
    add_index(&registry, "posing", &[posing]);
    assert!(sign(&client, &at(&registry, "posing"), Format::Legacy).is_err());
    let absent = json!({"mediaType": INDEX, "digest": Digest::sha256(b"absent").to_string(), "size": 400});
    add_index(&registry, "absent", &[absent]);
    refused("absent", Code::ImageNotFound);
    // A manifest has a size, and is an image or an index, as cosign has it.
    for size in [0, (4 << 20) + 1] {
        let mut false_size = one.clone();
        false_size["size"] = json!(size);
        add_index(&registry, "size", &[false_size]);
        refused("size", Code::Content);
    }
    let mut other = one.clone();
    other["mediaType"] = json!("application/vnd.example.thing");
    add_index(&registry, "other", &[other]);
    refused("other", Code::Unsupported);
}

#[test]
fn a_child_that_cannot_be_signed_is_named_and_what_is_signed_stays() {
    let registry = registry(false);
    let client = client();
    let [index, one, two] = two_images(&registry);
    let tag = two.replace(':', "-");
    registry.fault(&format!("PUT /v2/app/manifests/{tag}.sig"), Fault::OciError(403, "DENIED".into()));
    let error = sign(&client, &at(&registry, "all"), Format::Legacy).unwrap_err();
    let pinned = |digest: &str| format!("{}/app@{digest}", registry.host());
    assert_eq!(error.detail("reference").unwrap(), &pinned(&two), "{error}");
    assert!(error.message().contains(&pinned(&two)) && error.message().contains("2 of 3"), "{error}");
    let each = error.detail("signatures").unwrap().as_array().unwrap();
    let each: Vec<(&str, &str)> =
        each.iter().map(|one| (one["reference"].as_str().unwrap(), one["status"].as_str().unwrap())).collect();
    let expected = [(&index, "stored"), (&one, "stored"), (&two, "failed")];
    assert_eq!(
        each,
        expected.map(|(digest, status)| (pinned(digest), status)).each_ref().map(|(r, s)| (r.as_str(), *s))
    );
    registry.heal();
    let again = sign(&client, &at(&registry, "all"), Format::Legacy).unwrap();
    let added: Vec<bool> = again.signatures().iter().map(|signature| signature.added.added).collect();
    assert_eq!(added, [false, false, true]);
}

#[test]
fn an_index_in_a_layout_is_signed_with_what_it_leads_to_in_one_change() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let config = put("application/vnd.oci.image.config.v1+json", b"{}");
    let images = [1, 2].map(|n| {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "annotations": {"n": n.to_string()}});
        put(MANIFEST, manifest.to_string().as_bytes())
    });
    let index = put(INDEX, &index_of(&images));
    std::fs::write(folder.path().join("index.json"), index_of(std::slice::from_ref(&index))).unwrap();
    let client = client();
    let reference = |what: &str| ImageRef::parse(&format!("oci:{}{what}", folder.path().display())).unwrap();
    let options =
        SignOptions { format: Format::Both, recursive: true, layout_tag: Some("v1".to_owned()), ..Default::default() };
    let signed = client.sign(&reference(""), key(), &options, &Call::new()).unwrap();
    assert_eq!((signed.signatures().len(), signed.layout_needs_name()), (6, false));
    for image in images.iter().chain([&index]) {
        let image = reference(&format!("@{}", image["digest"].as_str().unwrap()));
        for format in [Format::Legacy, Format::Bundle] {
            assert_eq!(verify(&client, &image, format).unwrap(), 1);
        }
    }
    assert_eq!(verify(&client, &reference(":v1"), Format::Legacy).unwrap(), 1);
}
