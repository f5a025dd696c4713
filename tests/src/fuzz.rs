//! What must hold for any bytes at all, one function for each format that strangers write.
//!
//! Each is called by cargo-fuzz (`tests/fuzz/`), which looks for bytes that break it, and by `tests/fuzz_corpus.rs`, which
//! runs the corpora and some thousand mutations of them with every test run. A function panics when a promise is broken
//! and returns whether the bytes were accepted as anything, so that a corpus of nothing but garbage is noticed.
//!
//! The promises, where they make sense: what is read and written again is read as the same; what we read, an
//! independent and laxer reader finds at the same place; no cap is exceeded; both crypto backends agree; an error is
//! short and quotes no secret.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use cosign_core::bundle::blob::BlobBundle;
use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::bundle::referrer::{self, Fallback};
use cosign_core::bundle::sigstore::{self, Bundle, Content, KeyMaterial};
use cosign_core::crypto::Backend;
use cosign_core::encoding::{pem, strict_json};
use cosign_core::oci::{Descriptor, Document, Index, Manifest, media_type};
use cosign_core::payload::dsse::{self, Envelope};
use cosign_core::payload::simple_signing::{self, ParseOptions, SimpleSigning};
use cosign_core::payload::statement::{self, Statement};
use cosign_core::registry::{Credential, DockerConfig, canonical_host, challenge};
use cosign_core::verify::{BlobJudge, BlobSignature};
use cosign_core::{Code, Digest, Error, ImageRef, KeyAlgorithm, Policy, PrivateKey, PublicKey};
use serde_json::Value;

/// A target: its name, which is that of its corpus and of its file in `fuzz_targets/`, and its function.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every target.
pub const TARGETS: &[Target] = &[
    ("key_file", key_file),
    ("payload", payload),
    ("manifest_and_index", manifest_and_index),
    ("bundle", bundle),
    ("reference", reference),
    ("auth_challenge", auth_challenge),
    ("docker_config", docker_config),
    ("backends", backends),
];

/// Long enough for a sentence around a shortened name, too short for what a stranger would like to see in a log.
const MAX_MESSAGE: usize = 2500;

fn is_short(error: &Error) {
    assert!(error.message().len() <= MAX_MESSAGE, "an error message of {} bytes", error.message().len());
}

/// The value, or nothing, with the error looked at.
fn accepted<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(is_short).ok()
}

/// The document as serde_json reads it, which takes more than we do: what we accept, it must read.
fn lax(data: &[u8]) -> Value {
    serde_json::from_slice(data).expect("serde_json reads what was accepted")
}

/// Keys that the test knows.
struct Keys {
    private: Vec<PrivateKey>,
    public: Vec<PublicKey>,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let files: [&[u8]; 4] = [
            include_bytes!("../vectors/keys/import/p256.pkcs8.pem"),
            include_bytes!("../vectors/keys/import/p384.pkcs8.pem"),
            include_bytes!("../vectors/keys/import/p521.pkcs8.pem"),
            include_bytes!("../vectors/keys/import/ed25519.pkcs8.pem"),
        ];
        // RustCrypto's signatures are deterministic, so that an input does the same each time it runs.
        let load = |file: &[u8]| PrivateKey::import_pem(file)?.with_backend(Backend::RustCrypto);
        let private: Vec<PrivateKey> = files.iter().map(|file| load(file).expect("the vectors are keys")).collect();
        Keys { public: private.iter().map(PrivateKey::public_key).collect(), private }
    })
}

/// The verdict of both backends, which must be the same.
fn verdict(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let [aws_lc, rust_crypto] = [Backend::AwsLc, Backend::RustCrypto].map(|backend| {
        let answer = key.verify_with(backend, message, signature);
        match answer.as_ref().map_err(Error::code) {
            Ok(()) => true,
            Err(Code::SignatureInvalid) => false,
            Err(code) => panic!("{} answers {code:?}", backend.name()),
        }
    });
    assert_eq!(aws_lc, rust_crypto, "the backends differ about a {} signature", key.algorithm());
    aws_lc
}

fn check_public(key: &PublicKey) {
    assert_eq!(&PublicKey::from_der(key.to_der()).expect("its own DER"), key);
    assert_eq!(&PublicKey::from_pem(key.to_pem().as_bytes()).expect("its own PEM"), key);
    assert_eq!(&PublicKey::from_inline(&STANDARD.encode(key.to_der())).expect("its own base64"), key);
    if key.algorithm().name().starts_with("rsa") {
        assert!(key.verify(b"message", &[1; 256]).is_err());
    } else {
        assert!(!verdict(key, b"message", &[0; 64]));
    }
}

/// Key files: encrypted, imported, public in PEM, DER and inline. scrypt is not run: what would reach it is looked at.
pub fn key_file(data: &[u8]) -> bool {
    let mut any = false;
    let closed = PrivateKey::from_pem(data, None).expect_err("a key file without its password");
    is_short(&closed);
    match closed.code() {
        Code::KeyFormat => {}
        Code::PasswordRequired => {
            let block = pem::decode_first(data).expect("an accepted file is PEM");
            let params = &lax(&block.der)["kdf"]["params"];
            assert!([32768, 65536, 131_072].map(Value::from).contains(&params["N"]), "{params}");
            assert_eq!((&params["r"], &params["p"]), (&8.into(), &1.into()));
            any = true;
        }
        code => panic!("a key file answers {code:?}"),
    }
    match PrivateKey::import_pem(data) {
        Ok(key) => {
            check_public(&key.public_key());
            let signature = key.sign(b"message").expect("an imported key signs");
            key.public_key().verify(b"message", &signature).expect("and verifies");
            any = true;
        }
        Err(error) => {
            is_short(&error);
            assert!(
                matches!(error.code(), Code::KeyFormat | Code::KeyAlgorithm),
                "an import answers {:?}",
                error.code()
            );
        }
    }
    if let Some(key) = accepted(PublicKey::from_der(data)) {
        assert_eq!(key.to_der(), data, "one key has one encoding");
        check_public(&key);
        any = true;
    }
    let inline = std::str::from_utf8(data).ok().and_then(|text| accepted(PublicKey::from_inline(text)));
    for key in accepted(PublicKey::from_pem(data)).into_iter().chain(inline) {
        check_public(&key);
        any = true;
    }
    any
}

/// How Go folds a member name.
fn folded(name: &str) -> String {
    name.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase()
}

/// A member as Go's `encoding/json` finds it for a struct: any case, and objects under several spellings are merged.
fn as_go(value: &Value, path: &[&str]) -> Option<Value> {
    let Some((name, rest)) = path.split_first() else { return Some(value.clone()) };
    let members = value.as_object()?.iter().filter(|(key, _)| folded(key) == *name);
    members.filter_map(|(_, value)| as_go(value, rest)).next_back()
}

/// The simple-signing payload.
pub fn payload(data: &[u8]) -> bool {
    let parse = |bare_digest, any_type| accepted(SimpleSigning::parse(data, ParseOptions { bare_digest, any_type }));
    let strict = parse(false, false);
    for lenient in [parse(true, false), parse(false, true), parse(true, true)] {
        assert!(strict.is_none() || lenient == strict, "options widen, they never change what is read");
    }
    let Some(found) = strict else { return parse(true, true).is_some() };
    assert!(data.len() <= simple_signing::MAX_BYTES);
    assert!([simple_signing::TYPE, simple_signing::TYPE_2021].contains(&found.payload_type.as_str()));
    // The claim is the one that cosign itself would find in these bytes.
    let value = lax(data);
    let go = |path: &[&str]| as_go(&value, path).unwrap_or_default();
    assert_eq!(go(&["critical", "image", "docker-manifest-digest"]), found.digest.to_string());
    assert_eq!(go(&["critical", "identity", "docker-reference"]), found.docker_reference);
    assert_eq!(go(&["critical", "type"]), found.payload_type);
    let optional = go(&["optional"]).as_object().cloned().unwrap_or_default();
    assert_eq!(optional.into_iter().collect::<BTreeMap<_, _>>(), found.optional);
    // What we write of it is read as the same claim.
    if let Some(texts) = texts(&found.optional) {
        let written = simple_signing::write(&found.docker_reference, &found.digest, &texts);
        let again = SimpleSigning::parse(&written, ParseOptions::default()).expect("what was written");
        assert_eq!(again, SimpleSigning { payload_type: simple_signing::TYPE.into(), ..found });
    }
    true
}

fn texts(annotations: &BTreeMap<String, Value>) -> Option<BTreeMap<String, String>> {
    annotations.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Image manifests, indexes, and what is written back of them when a signature is added.
pub fn manifest_and_index(data: &[u8]) -> bool {
    const LIMITS: strict_json::Limits = strict_json::Limits { max_bytes: 4 << 20, max_depth: 32, max_members: 100_000 };
    const TYPES: [&str; 4] = [
        media_type::OCI_MANIFEST,
        media_type::OCI_INDEX,
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_MANIFEST_LIST,
    ];
    let mut any = None;
    for declared in TYPES {
        if let Some(found) = accepted(Document::parse(data, Some(declared))) {
            let (Document::Manifest(Manifest { media_type, .. }) | Document::Index(Index { media_type, .. })) = &found;
            assert_eq!(media_type, declared, "a document is what the place says");
            any = Some(found);
        }
    }
    let found = match accepted(Document::parse(data, None)).or(any) {
        None => return false,
        Some(found) => found,
    };
    assert!(data.len() <= LIMITS.max_bytes);
    let value = lax(data);
    assert_eq!(strict_json::parse(data, LIMITS).expect("it was parsed before"), value);
    match found {
        Document::Manifest(manifest) => check_manifest(&manifest, &value),
        Document::Index(index) => {
            let written = index.to_json();
            let Ok(Document::Index(again)) = Document::parse(written.as_bytes(), Some(&index.media_type)) else {
                panic!("an index written back is none");
            };
            assert_eq!(again, index);
            assert_eq!(without_nothing(lax(written.as_bytes())), without_nothing(value), "no member is lost");
            check_fallback(data, &index);
        }
    }
    true
}

/// What is missing, null or empty is the same to everyone, for the members that go-containerregistry's writer leaves out or
/// always writes.
fn without_nothing(mut value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if let Some(object) = value.as_object_mut() {
        for name in ["manifests", "layers", "annotations", "subject", "artifactType", "mediaType"] {
            if object.get(name).is_some_and(empty) {
                object.shift_remove(name);
            }
        }
        for value in object.values_mut() {
            match value {
                Value::Array(list) => list.iter_mut().for_each(|item| *item = without_nothing(item.take())),
                Value::Object(_) => *value = without_nothing(value.take()),
                _ => {}
            }
        }
    }
    value
}

fn check_manifest(manifest: &Manifest, value: &Value) {
    let _ = accepted(referrer::bundle_layer(manifest));
    let written = match legacy::with_layers(Some(manifest), &manifest.layers, false) {
        Ok(written) => written,
        Err(error) => {
            assert!(error.code() == Code::TooLarge && manifest.layers.len() > legacy::MAX_LAYERS);
            return;
        }
    };
    let mut again = Manifest::parse(&written.manifest, Some(&manifest.media_type)).expect("a manifest written back");
    assert!(again.config.digest.matches(&written.config));
    again.config = manifest.config.clone();
    assert_eq!(&again, manifest);
    let compared = |value: &Value| {
        let mut value = value.clone();
        for (name, new) in [("config", Value::Null), ("mediaType", Value::Null)] {
            value[name] = new;
        }
        without_nothing(value)
    };
    let rewritten = lax(&written.manifest);
    assert_eq!(compared(&rewritten), compared(value), "no member is lost");
    let new = NewSignature { payload: b"{}".to_vec(), signature: vec![1], ..NewSignature::default() };
    if let Ok(appended) = legacy::append(Some(manifest), &new, false) {
        let appended = Manifest::parse(&appended.manifest, Some(&manifest.media_type)).expect("a manifest appended to");
        assert_eq!(appended.layers.split_last(), Some((&legacy::layer(&new), &manifest.layers[..])));
        assert!(!legacy::is_duplicate(&appended.layers, &new, Some(&keys().public[0])), "{{}} was not signed");
    }
}

fn check_fallback(data: &[u8], index: &Index) {
    let parse = |bytes: &[u8], of: &[u8]| referrer::parse_fallback(bytes, Some(&index.media_type), &Digest::sha256(of));
    assert_eq!(parse(data, data).expect("an alias"), Fallback::Alias);
    let Some(Fallback::Index(list)) = accepted(parse(data, b"subject")) else { return };
    assert!(list.manifests.len() <= referrer::MAX_REFERRERS);
    let new = Descriptor::of(media_type::OCI_MANIFEST, b"a new entry");
    let Some(longer) = accepted(referrer::with_entries(Some(&list), [&new])) else { return };
    let Ok(Fallback::Index(longer)) = parse(longer.to_json().as_bytes(), b"subject") else {
        panic!("a list with a new entry is none");
    };
    assert_eq!(longer.manifests.len(), list.manifests.len() + 1);
    assert!(list.manifests.iter().all(|old| longer.manifests.contains(old)), "an entry of others changed");
}

/// The bytes of a text in base64, by either alphabet: protobuf's JSON mapping.
fn unbase64(value: &Value) -> Vec<u8> {
    let text: String = value.as_str().unwrap_or_default().chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    engines.iter().find_map(|engine| engine.decode(&text).ok()).expect("base64 of one alphabet")
}

/// Sigstore bundles, the blob bundles before them, DSSE envelopes and in-toto statements.
pub fn bundle(data: &[u8]) -> bool {
    let found = accepted(Bundle::parse(data, sigstore::MAX_BYTES));
    let mut any = found.is_some();
    if let Some(found) = &found {
        check_bundle(found, &lax(data));
    }
    if let Some(blob) = accepted(BlobBundle::parse(data)) {
        any = true;
        match &blob {
            BlobBundle::Sigstore(blob) => assert_eq!(Some(blob), found.as_ref(), "two readers of one bundle"),
            BlobBundle::Old(old) => {
                assert!(found.is_none(), "a document is one bundle or the other");
                let again = BlobBundle::parse(old.to_json().as_bytes()).expect("an old bundle written back");
                assert_eq!(again, blob);
                assert_eq!(unbase64(&lax(data)["base64Signature"]), old.signature);
            }
        }
        if let Some(candidates) = accepted(blob.candidates(&keys().public)) {
            assert!(candidates.iter().all(|key| keys().public.contains(key)), "a key that nobody gave");
        }
        let policy = keys().public.iter().cloned().fold(Policy::new(), Policy::with_key);
        let signature = [BlobSignature::bundle("", data)];
        let mut judge = BlobJudge::new("", &signature, &policy, None).expect("a policy and a bundle");
        judge.update(b"a message that nobody signed");
        assert!(judge.finish().is_err());
    }
    if let Some(envelope) = accepted(Envelope::parse(data, sigstore::MAX_BYTES)) {
        any = true;
        assert!(found.is_none());
        check_envelope(&envelope, &lax(data));
    }
    if let Some(statement) = accepted(Statement::parse(data)) {
        any = true;
        check_statement(&statement, &lax(data));
    }
    // A document that is larger than allowed is refused before it is read.
    if !data.is_empty() {
        let cap = data.len() - 1;
        assert_eq!(Bundle::parse(data, cap).expect_err("too large").code(), Code::TooLarge);
        assert_eq!(Envelope::parse(data, cap).expect_err("too large").code(), Code::TooLarge);
    }
    any
}

fn check_bundle(found: &Bundle, value: &Value) {
    assert!((1..=3).contains(&found.minor_version));
    assert!(found.log_entries.len() <= sigstore::MAX_EVIDENCE && found.timestamps.len() <= sigstore::MAX_EVIDENCE);
    let written = found.to_json();
    assert_eq!(&Bundle::parse(written.as_bytes(), usize::MAX).expect("a bundle written back"), found);
    let material = &value["verificationMaterial"];
    match &found.key {
        KeyMaterial::PublicKey { hint } => {
            assert_eq!(material["publicKey"]["hint"].as_str().unwrap_or_default(), hint);
        }
        KeyMaterial::Certificate(der) => assert_eq!(&unbase64(&material["certificate"]["rawBytes"]), der),
        KeyMaterial::CertificateChain(chain) => {
            let list = material["x509CertificateChain"]["certificates"].as_array().expect("a chain");
            assert_eq!(&list.iter().map(|one| unbase64(&one["rawBytes"])).collect::<Vec<_>>(), chain);
            assert!(found.minor_version < 3);
        }
    }
    match &found.content {
        Content::Envelope(envelope) => {
            assert_eq!(envelope.signatures.len(), 1);
            check_envelope(envelope, &value["dsseEnvelope"]);
        }
        Content::Message(message) => {
            let value = &value["messageSignature"];
            assert_eq!(unbase64(&value["signature"]), message.signature);
            if let Some((hash, digest)) = &message.digest {
                assert_eq!(digest.len(), hash.size());
                assert_eq!(&unbase64(&value["messageDigest"]["digest"]), digest);
            }
        }
    }
}

fn check_envelope(envelope: &Envelope, value: &Value) {
    assert!((1..=dsse::MAX_SIGNATURES).contains(&envelope.signatures.len()));
    assert_eq!(unbase64(&value["payload"]), envelope.payload, "the payload's bytes are kept");
    assert_eq!(value["payloadType"].as_str(), Some(envelope.payload_type.as_str()));
    let again = Envelope::parse(envelope.to_json().as_bytes(), usize::MAX).expect("an envelope written back");
    assert_eq!(&again, envelope);
    // What is signed tells type and payload apart: read back by the lengths in it, it gives both.
    let signed = dsse::pae(&envelope.payload_type, &envelope.payload);
    let rest = signed.strip_prefix(b"DSSEv1 ").expect("the prefix");
    let (kind, rest) = length_and_bytes(rest);
    let (payload, rest) = length_and_bytes(rest.strip_prefix(b" ").expect("a space"));
    assert_eq!((kind, payload, rest), (envelope.payload_type.as_bytes(), &envelope.payload[..], &[][..]));
    if let Some(key) = envelope.signer(&keys().public) {
        assert!(envelope.signatures.iter().any(|one| verdict(key, &signed, &one.signature)));
    }
    if let Some(statement) = accepted(Statement::parse(&envelope.payload)) {
        check_statement(&statement, &lax(&envelope.payload));
    }
}

fn length_and_bytes(text: &[u8]) -> (&[u8], &[u8]) {
    let space = text.iter().position(|byte| *byte == b' ').expect("a space after a length");
    let length: usize = std::str::from_utf8(&text[..space]).expect("digits").parse().expect("a length");
    text[space + 1..].split_at(length)
}

fn check_statement(found: &Statement, value: &Value) {
    assert!((1..=statement::MAX_SUBJECTS).contains(&found.subjects.len()));
    assert_eq!(value["predicateType"], found.predicate_type);
    assert_eq!(value["predicate"], found.predicate);
    for (n, subject) in found.subjects.iter().enumerate() {
        assert!((1..=statement::MAX_DIGESTS).contains(&subject.digests.len()));
        for (algorithm, hex) in &subject.digests {
            assert_eq!(&value["subject"][n]["digest"][algorithm], hex);
            let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) else { continue };
            assert!(found.subjects_of(&digest).any(|one| one == subject));
            let Some(annotations) = texts(&subject.annotations) else { continue };
            let again = Statement::parse(&statement::write_signature(&digest, &annotations)).expect("what was written");
            assert_eq!(again.predicate_type, statement::COSIGN_SIGN);
            assert_eq!(again.subjects_of(&digest).count(), 1);
            assert_eq!(again.subjects[0].annotations, subject.annotations);
        }
    }
}

/// Image references, and the address that a registry's becomes.
pub fn reference(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Some(found) = accepted(ImageRef::parse(text)) else { return false };
    assert_eq!(found, ImageRef::parse(&found.to_string()).expect("a reference written back"));
    let digest = Digest::sha256(data);
    let pinned = found.pinned(&digest);
    assert_eq!((pinned.digest(), pinned.is_local()), (Some(&digest), found.is_local()));
    assert_eq!(pinned, ImageRef::parse(&pinned.to_string()).expect("a pinned reference written back"));
    if let ImageRef::Registry(found) = &found {
        assert!(found.tag().is_none() || found.digest().is_none());
        let tag = found.digest().map(Digest::to_string).or(found.tag().map(str::to_owned)).expect("a tag or a digest");
        let path = format!("/v2/{}/manifests/{tag}", found.repository());
        // A host that the web takes for none, such as 1.2.3.4.5, reaches nobody.
        if let Ok(url) = url::Url::parse(&format!("https://{}{path}", found.registry())) {
            assert_eq!(url.path(), path, "the path is the one that was asked for");
            assert_eq!((url.username(), url.password(), url.query(), url.fragment()), ("", None, None, None));
            let (host, port) = match found.registry().rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, port.parse().expect("a port")),
                _ => (found.registry(), 443),
            };
            assert_eq!(url.port_or_known_default(), Some(port));
            match url.host().expect("a host") {
                url::Host::Domain(domain) => assert_eq!(domain, host.to_ascii_lowercase()),
                // Numbers have many spellings; which machine they mean is judged as resolved.
                url::Host::Ipv4(_) => {
                    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                    assert!(last.starts_with(|c: char| c.is_ascii_digit()), "a name became a number");
                }
                url::Host::Ipv6(address) => {
                    let ours = host.trim_matches(['[', ']']).parse();
                    assert_eq!(ours, Ok(address));
                }
            }
        }
    }
    true
}

/// `WWW-Authenticate`.
pub fn auth_challenge(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Some(found) = challenge::parse(text) else { return false };
    let params = |list: &[challenge::Challenge]| list.iter().map(|one| one.params.len()).sum::<usize>();
    assert!(found.len() <= 32 && params(&found) <= 32);
    let mut written = String::new();
    for one in &found {
        assert!(!one.scheme.is_empty() && one.scheme.is_ascii() && !one.scheme.contains(char::is_uppercase));
        written.push_str(&format!("{} ", one.scheme));
        for (name, value) in &one.params {
            assert!(!name.is_empty() && name.is_ascii() && !name.contains(char::is_uppercase));
            assert!(text.to_ascii_lowercase().contains(name.as_str()));
            let first = one.params.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
            assert_eq!(one.get(name), first, "the first of two is the one");
            written.push_str(&format!("{name}=\"{}\", ", value.replace('\\', "\\\\").replace('"', "\\\"")));
        }
    }
    assert_eq!(challenge::parse(&written).expect("a challenge written back"), found);
    // Several headers and one with commas are the same (RFC 9110, 5.3).
    if found.len() <= 16 && params(&found) <= 16 {
        let twice = challenge::parse(&format!("{text}, {text}")).expect("the same challenges twice");
        assert_eq!(twice, [&found[..], &found[..]].concat());
    }
    !found.is_empty()
}

/// Docker's `config.json` and podman's `auth.json`.
pub fn docker_config(data: &[u8]) -> bool {
    let config = match DockerConfig::parse(data) {
        Ok(config) => config,
        Err(error) => {
            is_short(&error);
            if let Ok(value) = serde_json::from_slice::<Value>(data) {
                quotes_no_secret(error.message(), &value);
            }
            return false;
        }
    };
    assert!(data.len() <= 1 << 20);
    // Members that nobody needs may hold what no text can; they are not decoded.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return true };
    let auths = value["auths"].as_object().cloned().unwrap_or_default();
    let hosts: std::collections::BTreeSet<&str> = auths.keys().map(String::as_str).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    assert_eq!(format!("{config:?}"), format!("DockerConfig {{ hosts: {hosts:?}, .. }}"), "names only, no secret");
    assert_eq!(config.store().unwrap_or_default(), value["credsStore"].as_str().unwrap_or_default());
    for key in auths.keys() {
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        for repository in [path, "app", "team/app"] {
            let found = config.lookup(host, repository);
            let Some(found) = found else { continue };
            // It is the credential of a key that names this very host and, if any, a part of this path.
            let fits = |key: &String| {
                let with_scheme = key.starts_with("https://") || key.starts_with("http://");
                let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
                let (of, path) = bare.split_once('/').unwrap_or((bare, ""));
                let part = repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                canonical_host(of) == canonical_host(host) && (with_scheme || path.is_empty() || part)
            };
            let fitting = auths.iter().filter(|(key, _)| fits(key)).map(|(_, entry)| entry);
            assert!(fitting.into_iter().any(|entry| is_of(&found, entry)), "a credential of another host or path");
        }
    }
    for stranger in ["stranger.invalid", "", "a.test.evil"] {
        let known = |key: &String| {
            let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
            canonical_host(bare.split('/').next().unwrap_or(bare)) == stranger
        };
        assert!(auths.keys().any(known) || config.lookup(stranger, "team/app").is_none(), "{stranger:?} is unknown");
    }
    !auths.is_empty() || config.store().is_some() || value["credHelpers"].is_object()
}

/// Whether an entry of the file holds this credential.
fn is_of(credential: &Credential, entry: &Value) -> bool {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let auth: String = text("auth").trim().chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = String::from_utf8(STANDARD.decode(auth).unwrap_or_default()).unwrap_or_default();
    match credential {
        Credential::Token(token) => **token == text("registrytoken"),
        Credential::IdentityToken(token) if decoded.is_empty() && text("identitytoken").is_empty() => {
            text("username") == "<token>" && **token == text("password")
        }
        Credential::IdentityToken(token) => {
            **token == text("identitytoken") || decoded.trim_end_matches('\0') == format!("<token>:{}", **token)
        }
        Credential::Basic { user, password } if decoded.is_empty() => {
            *user == text("username") && **password == text("password")
        }
        Credential::Basic { user, password } => {
            decoded.trim_end_matches('\0') == format!("{user}:{}", **password).trim_end_matches('\0')
        }
    }
}

/// No text under the names of secrets is part of a message. Short ones are left out: they are part of anything.
fn quotes_no_secret(message: &str, value: &Value) {
    let Some(auths) = value["auths"].as_object() else { return };
    for (key, entry) in auths {
        for name in ["auth", "password", "identitytoken", "registrytoken"] {
            let secret = entry[name].as_str().unwrap_or_default();
            let is_name =
                key.contains(secret) || "docker config: the auth of is not base64 of user:password".contains(secret);
            assert!(secret.len() < 8 || is_name || !message.contains(secret), "an error quotes a secret");
        }
    }
}

/// Both crypto backends about the same key, message and signature. The first byte says what the rest is: which kind of
/// key, whether the key is one of ours or stands in the bytes, and whether the signature is in the bytes, made of the
/// numbers in them, or a true one with bytes changed.
pub fn backends(data: &[u8]) -> bool {
    let Some((how, rest)) = data.split_first() else { return false };
    let n = usize::from(how & 3);
    let (private, ours) = (&keys().private[n], &keys().public[n]);
    let width = match ours.algorithm() {
        KeyAlgorithm::EcdsaP384 => 48,
        KeyAlgorithm::EcdsaP521 => 66,
        _ => 32,
    };
    let (key, rest) = match how & 4 {
        0 => (ours.clone(), rest),
        _ => {
            // The SPKI of ours with another point in it.
            let length = if ours.algorithm() == KeyAlgorithm::Ed25519 { 32 } else { 1 + 2 * width };
            let Some((point, rest)) = rest.split_at_checked(length) else { return false };
            let head = ours.to_der().len() - length;
            let Some(key) = accepted(PublicKey::from_der(&[&ours.to_der()[..head], point].concat())) else {
                return false;
            };
            (key, rest)
        }
    };
    let Some((length, rest)) = rest.split_first() else { return false };
    let (message, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    let signature = match how & 24 {
        0 => rest.to_vec(),
        8 if ours.algorithm() != KeyAlgorithm::Ed25519 => {
            let (r, s) = rest.split_at(rest.len().min(width));
            sequence(&[integer(r), integer(s)].concat())
        }
        _ => {
            let true_one = private.sign(message).expect("our key signs");
            assert_eq!(&key == ours, verdict(&key, message, &true_one), "a signature is of one key");
            let mut changed = true_one.clone();
            for change in rest.chunks_exact(2) {
                let at = usize::from(change[0]) % changed.len();
                changed[at] ^= change[1];
            }
            assert!(verdict(&key, message, &changed) == (changed == true_one && &key == ours), "a changed signature");
            changed
        }
    };
    verdict(&key, message, &signature)
}

/// A whole number from 0, DER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut digits = bytes[start..].to_vec();
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    [&[2, digits.len() as u8][..], &digits].concat()
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = match contents.len() {
        short @ ..128 => vec![short as u8],
        long => vec![0x81, long as u8],
    };
    [&[0x30][..], &length, contents].concat()
}
