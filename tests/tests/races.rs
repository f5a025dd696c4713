//! Many signers of one image on a real Distribution registry: some are killed after their first round, some are plain
//! cosign, and nobody waits for anybody.
//!
//! Each signer of ours is a process: this program again, so that killing it is what a crash is. A killed one may have said
//! `stored` before; what was said must hold.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, ClientOptions, Code, Digest, Format, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, SignOptions,
    VerifyOptions,
};
use cosign_tests::oracle::{self, PASSWORD, Registry, Sandbox, root};

const SIGNERS: usize = 16;
/// Three in ten are killed.
const KILLED: usize = 5;
const REPOSITORY: &str = "team/app";

struct Pair {
    key: PrivateKey,
    private: String,
    public: String,
}

fn pair(folder: &Sandbox, name: &str) -> Pair {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_pem(PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap();
    let private = folder.write(&format!("{name}.key"), pem.as_bytes());
    let public = folder.write(&format!("{name}.pub"), key.public_key().to_pem());
    Pair { key, private, public }
}

fn client() -> Client {
    Client::new(ClientOptions::new()).unwrap()
}

/// What a child does instead of the tests: signs, says how it was stored, and ends.
#[test]
fn one_signer() {
    let Ok(image) = std::env::var("SIGNER_IMAGE") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let pem = std::fs::read(variable("SIGNER_KEY")).unwrap();
    let key = PrivateKey::from_pem(&pem, Some(PASSWORD.as_bytes())).unwrap();
    let format = Format::parse(&variable("SIGNER_FORMAT")).unwrap();
    let options = SignOptions { format, journal: variable("SIGNER_JOURNAL") == "1", ..Default::default() };
    // All of them have opened their keys before the first one signs.
    std::fs::write(format!("{}.ready", variable("SIGNER_KEY")), "").unwrap();
    while !std::path::Path::new(&variable("SIGNER_START")).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let signed = client().sign(&ImageRef::parse(&image).unwrap(), &key, &options, &Call::new()).unwrap();
    let done = format!("{}.done", variable("SIGNER_KEY"));
    std::fs::write(done, signed.protection().name()).unwrap();
}

fn signer(image: &str, pair: &Pair, format: Format, journal: bool, start: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_signer", "--nocapture"])
        .env("SIGNER_IMAGE", image)
        .env("SIGNER_KEY", &pair.private)
        .env("SIGNER_FORMAT", format.name())
        .env("SIGNER_JOURNAL", if journal { "1" } else { "0" })
        .env("SIGNER_START", start)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until `there` says so.
#[track_caller]
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(100);
    while !there() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The keys of the signers, and a folder for them.
fn keys(folder: &Sandbox, count: usize) -> Vec<Pair> {
    (0..count).map(|n| pair(folder, &format!("signer{n}"))).collect()
}

fn push(registry: &Registry, folder: &Sandbox) -> String {
    let source = format!("{}:v1", root().join("examples/image").display());
    let image = format!("{}/{REPOSITORY}:v1", registry.host());
    folder.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &image]).success();
    image
}

/// The names of a place and its journal, as the registry itself lists them.
fn journal_tags(registry: &Registry, image: &str, format: Format) -> usize {
    let digest = client().resolve(&ImageRef::parse(image).unwrap(), &Call::new()).unwrap();
    let digest = Digest::parse(digest.rsplit_once('@').unwrap().1).unwrap();
    let base = digest.to_string().replace(':', "-");
    let prefix = if format == Format::Legacy { format!("{base}.sig.j") } else { format!("{base}.j") };
    registry.tags(REPOSITORY).iter().filter(|tag| tag.starts_with(&prefix)).count()
}

fn verifies(image: &str, pair: &Pair, format: Format, journal: bool) -> bool {
    let policy = Policy::new().with_key(pair.key.public_key());
    let options = VerifyOptions { format: Some(format), journal, ..Default::default() };
    match client().verify(&ImageRef::parse(image).unwrap(), &policy, &options, &Call::new()) {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error.code(), Code::NoSignatureMatches | Code::NoSignatures), "{error}");
            false
        }
    }
}

/// Starts everybody, kills some as soon as journal entries appear, and answers who ended and said what.
fn race(
    registry: &Registry,
    image: &str,
    pairs: &[Pair],
    folder: &Sandbox,
    format: Format,
    killed: usize,
) -> Vec<Option<String>> {
    let start = folder.arg("start");
    let mut children: Vec<Child> = pairs.iter().map(|pair| signer(image, pair, format, true, &start)).collect();
    for pair in pairs {
        until("a signer does not start", || std::path::Path::new(&format!("{}.ready", pair.private)).exists());
    }
    std::fs::write(&start, "").unwrap();
    // Their first round: some have written their entry, and nobody knows who has looked again.
    until("no journal entry appears", || journal_tags(registry, image, format) > 0);
    for child in &mut children[..killed] {
        child.kill().unwrap();
    }
    for child in &mut children {
        child.wait().unwrap();
    }
    let said = |pair: &Pair| std::fs::read_to_string(format!("{}.done", pair.private)).ok();
    pairs.iter().map(said).collect()
}

/// Plain signers lose most of theirs in the same race: the test must be able to fail.
#[test]
fn plain_signers_lose_signatures_on_a_real_registry() {
    let (registry, folder) = (Registry::start(), Sandbox::new());
    let image = push(&registry, &folder);
    let (pairs, start) = (keys(&folder, SIGNERS), folder.arg("start"));
    let children: Vec<Child> = pairs.iter().map(|pair| signer(&image, pair, Format::Legacy, false, &start)).collect();
    for pair in &pairs {
        until("a signer does not start", || std::path::Path::new(&format!("{}.ready", pair.private)).exists());
    }
    std::fs::write(&start, "").unwrap();
    for mut child in children {
        child.wait().unwrap();
    }
    let left = pairs.iter().filter(|pair| verifies(&image, pair, Format::Legacy, true)).count();
    assert!(left < SIGNERS, "plain signers happened not to collide");
}

#[test]
fn what_signers_said_to_be_stored_outlives_those_who_are_killed() {
    for format in [Format::Legacy, Format::Bundle] {
        let (registry, folder) = (Registry::start(), Sandbox::new());
        let image = push(&registry, &folder);
        let pairs = keys(&folder, SIGNERS);
        let said = race(&registry, &image, &pairs, &folder, format, KILLED);
        let stored: BTreeSet<usize> =
            (0..SIGNERS).filter(|&n| said[n].as_deref() == Some(Protection::Stored.name())).collect();
        assert!((KILLED..SIGNERS).all(|n| stored.contains(&n)), "{said:?}");
        for &n in &stored {
            assert!(verifies(&image, &pairs[n], format, true), "{format:?}: signer {n} said stored, and is lost");
        }
        // A crash may leave the tag behind the journal; the next signer brings both together.
        let next = pair(&folder, "next");
        let options = SignOptions { format, ..Default::default() };
        let signed = client().sign(&ImageRef::parse(&image).unwrap(), &next.key, &options, &Call::new()).unwrap();
        assert_eq!(signed.protection().name(), "stored", "{}", signed.json());
        for (n, pair) in pairs.iter().enumerate() {
            let found = verifies(&image, pair, format, true);
            assert_eq!(found, verifies(&image, pair, format, false), "{format:?}: signer {n} was not brought back");
            assert!(found || n < KILLED);
        }
        // Only ours wrote: the peers see every one of them, in the standard places.
        for pair in &pairs[KILLED..] {
            let verify = ["verify", "--key", &pair.public, "--insecure-ignore-tlog=true", &image];
            folder.run("cosign3", verify).success();
            if format == Format::Legacy {
                folder.run("cosign2", verify).success();
            }
        }
        if format == Format::Legacy {
            for pair in [&pairs[KILLED], &pairs[SIGNERS - 1], &next] {
                skopeo_accepts(&folder, &registry.host(), &image, &pair.public);
            }
        }
    }
}

fn skopeo_accepts(folder: &Sandbox, host: &str, image: &str, public: &str) {
    let policy = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{host}":[{{"type":"sigstoreSigned",
        "keyPath":"{public}","signedIdentity":{{"type":"matchRepository"}}}}]}}}}}}"#
    );
    let (policy, registries) = (folder.write("policy.json", policy), folder.arg("registries.d"));
    let copied = folder.path("copied");
    let _ = std::fs::remove_dir_all(&copied);
    let head = ["--policy", &policy, "--registries.d", &registries, "copy", "--src-tls-verify=false"];
    let tail = ["--remove-signatures", &format!("docker://{image}"), &format!("dir:{}", copied.display())];
    folder.run("skopeo", head.iter().chain(&tail)).success();
}

/// Real cosign writes the same place without looking again: what it overwrites of ours, our journal still shows.
#[test]
fn what_real_cosign_overwrites_is_found_in_the_journal() {
    for (format, peer) in [(Format::Legacy, "cosign2"), (Format::Bundle, "cosign3")] {
        let (registry, folder) = (Registry::start(), Sandbox::new());
        let image = push(&registry, &folder);
        let pairs = keys(&folder, 8);
        let peers: Vec<Pair> = (0..6).map(|n| pair(&folder, &format!("peer{n}"))).collect();
        let said = std::thread::scope(|scope| {
            let (folder, image) = (&folder, &image);
            for theirs in &peers {
                scope.spawn(move || {
                    let start = folder.path("start");
                    until("nobody starts", || start.exists());
                    let mut arguments = vec!["sign", "--key", &theirs.private, "--tlog-upload=false", "-y"];
                    if format == Format::Bundle {
                        arguments.push("--use-signing-config=false");
                    }
                    arguments.push(image);
                    // It may fail where two of it collide on the registry; it is not what is tested.
                    folder.run(peer, arguments);
                });
            }
            race(&registry, image, &pairs, folder, format, 2)
        });
        for (n, pair) in pairs.iter().enumerate() {
            if said[n].as_deref() == Some("stored") {
                assert!(verifies(&image, pair, format, true), "{format:?}: signer {n} said stored, and is lost");
            }
            assert!(n < 2 || said[n].is_some(), "{said:?}");
        }
        // The next signer of ours brings back to the standard place what cosign took away.
        let next = pair(&folder, "next");
        let options = SignOptions { format, ..Default::default() };
        client().sign(&ImageRef::parse(&image).unwrap(), &next.key, &options, &Call::new()).unwrap();
        for (n, pair) in pairs.iter().enumerate().filter(|(n, _)| said[*n].as_deref() == Some("stored")) {
            assert!(verifies(&image, pair, format, false), "{format:?}: signer {n}");
        }
        let signed_last = oracle_verify(&folder, peer, &next.public, &image);
        assert_eq!(signed_last.code, 0, "{signed_last:#?}");
    }
}

fn oracle_verify(folder: &Sandbox, peer: &str, public: &str, image: &str) -> oracle::Outcome {
    folder.run(peer, ["verify", "--key", public, "--insecure-ignore-tlog=true", image])
}
