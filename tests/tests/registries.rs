//! Both formats on real registries of three makers, across with real cosign 2.5.0 and 3.1.1; and many signers at once on a
//! real Distribution registry.

use std::sync::OnceLock;

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, Class, ClientOptions, Code, Digest, Format, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey,
    SignOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Outcome, Sandbox, Setup, root};
use cosign_tests::oracle_registries::{Certificates, HASH, Kind, PASSWORD, Server, USER};
use cosign_tests::oracle_tokens::TokenServer;

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..16).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn options(format: Format) -> SignOptions {
    SignOptions { format, ..Default::default() }
}

fn count(client: &Client, image: &ImageRef, key: &PublicKey) -> usize {
    let policy = Policy::new().with_key(key.clone());
    client.verify(image, &policy, &VerifyOptions::default(), &Call::new()).unwrap().count()
}

fn pair(sandbox: &Sandbox, name: &str) -> (String, String, PrivateKey) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_pem(oracle::PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap();
    let private = sandbox.write(&format!("{name}.key"), pem.as_bytes());
    let public = sandbox.write(&format!("{name}.pub"), key.public_key().to_pem());
    (private, public, key)
}

/// How a registry is spoken to.
#[derive(Default)]
struct Way {
    /// As [`USER`].
    user: bool,
    /// Over TLS, with this authority.
    ca: Option<String>,
}

/// A folder from which programs reach one registry.
struct Peers<'a> {
    sandbox: Sandbox,
    way: &'a Way,
    host: &'a str,
    image: String,
}

impl Peers<'_> {
    fn new<'a>(host: &'a str, way: &'a Way) -> Peers<'a> {
        let sandbox = Sandbox::new();
        if way.user {
            let auth = cosign_core::encoding::base64::encode(format!("{USER}:{PASSWORD}").as_bytes());
            sandbox.write("docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
        }
        let image = format!("{host}/team/app:v1");
        Peers { sandbox, way, host, image }
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Outcome {
        match &self.way.ca {
            // Go reads it where the system's authorities would be.
            Some(ca) => self.sandbox.run_with(name, arguments, &[("SSL_CERT_FILE", ca)]),
            None => self.sandbox.run(name, arguments),
        }
    }

    fn push(&self) {
        let source = format!("{}:v1", root().join("examples/image").display());
        let plain: &[&str] = if self.way.ca.is_some() { &[] } else { &["--to-plain-http"] };
        self.run("oras", &[&["cp", "--from-oci-layout", source.as_str()], plain, &[self.image.as_str()]].concat())
            .success();
    }

    fn cosign_verify(&self, name: &str, public: &str, flags: &[&str]) -> Outcome {
        let arguments = ["verify", "--key", public, "--insecure-ignore-tlog=true"];
        self.run(name, &[&arguments, flags, &[self.image.as_str()]].concat())
    }

    /// What skopeo is told about a registry on one side of a copy.
    fn skopeo_flags(&self, side: &str) -> Vec<String> {
        let mut flags = Vec::new();
        match &self.way.ca {
            Some(ca) => flags.extend([format!("--{side}-cert-dir"), ca.strip_suffix("/ca.crt").unwrap().to_owned()]),
            None => flags.push(format!("--{side}-tls-verify=false")),
        }
        if self.way.user {
            flags.extend([format!("--{side}-creds"), format!("{USER}:{PASSWORD}")]);
        }
        flags
    }

    fn skopeo(&self, policy: &str, flags: &[String], from: &str, to: &str) -> Outcome {
        let registries = self.sandbox.arg("registries.d");
        let head = ["--policy", policy, "--registries.d", &registries, "copy"];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.sandbox.run("skopeo", [&head[..], &flags, &[from, to]].concat())
    }

    fn skopeo_verify(&self, public: &str) -> Outcome {
        let policy = format!(
            r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{}":[{{"type":"sigstoreSigned",
            "keyPath":"{public}","signedIdentity":{{"type":"matchRepository"}}}}]}}}}}}"#,
            self.host
        );
        let policy = self.sandbox.write("policy.json", policy);
        let copied = self.sandbox.path("copied");
        let _ = std::fs::remove_dir_all(&copied);
        let mut flags = self.skopeo_flags("src");
        // The copy itself is thrown away; only whether the policy lets the image pass matters.
        flags.push("--remove-signatures".to_owned());
        self.skopeo(&policy, &flags, &format!("docker://{}", self.image), &format!("dir:{}", copied.display()))
    }

    fn skopeo_sign(&self, private: &str) -> Outcome {
        let mut flags = self.skopeo_flags("dest");
        let passphrase = self.sandbox.arg("passphrase");
        let sign = ["--sign-by-sigstore-private-key", private, "--sign-passphrase-file", &passphrase];
        flags.extend(sign.map(str::to_owned));
        let source = format!("oci:{}:v1", root().join("examples/image").display());
        self.skopeo(&self.sandbox.arg("accept.json"), &flags, &source, &format!("docker://{}", self.image))
    }
}

/// A client for that way.
fn client(host: &str, way: &Way) -> Client {
    let mut options = ClientOptions::new();
    if way.user {
        options.set_auth_basic(host, USER, PASSWORD);
    }
    if let Some(ca) = &way.ca {
        options.add_ca_pem(&std::fs::read(ca).unwrap()).unwrap();
    }
    Client::new(options).unwrap()
}

/// Pushes the example image, and lets every pair of signer and verifier meet on it.
fn cross(host: &str, way: &Way, what: &str) {
    let client = &client(host, way);
    let peers = Peers::new(host, way);
    peers.push();
    let sandbox = &peers.sandbox;
    let image = ImageRef::parse(&peers.image).unwrap();
    let unsigned =
        client.verify(&image, &Policy::new().with_key(key(0).public_key()), &VerifyOptions::default(), &Call::new());
    assert_eq!(unsigned.unwrap_err().code(), Code::NoSignatures, "{what}");

    let (_, ours_public, ours) = pair(sandbox, "ours");
    let signed = client.sign(&image, &ours, &options(Format::Both), &Call::new()).unwrap();
    for signature in signed.signatures() {
        assert_eq!(signature.added.protection, Protection::Stored, "{what}: {}", signed.json());
    }
    peers.cosign_verify("cosign3", &ours_public, &[]).success();
    peers.cosign_verify("cosign3", &ours_public, &["--new-bundle-format=false"]).success();
    peers.cosign_verify("cosign2", &ours_public, &[]).success();
    peers.skopeo_verify(&ours_public).success();

    let (bundle_private, bundle_public, bundle) = pair(sandbox, "bundle");
    let flags = ["--use-signing-config=false", "--tlog-upload=false", "-y", &peers.image];
    let theirs = peers.run("cosign3", &[&["sign", "--key", bundle_private.as_str()][..], &flags].concat());
    // cosign 3.1.1 takes "405 method not allowed" to a list of referrers for a failure; it finds
    // no bundles there either.
    let bundles_of_theirs = if what == "OlaregTagOnly" { 0 } else { 1 };
    match bundles_of_theirs {
        0 => drop(theirs.refusal("method not allowed")),
        _ => drop(theirs.success()),
    }
    let (legacy_private, legacy_public, legacy) = pair(sandbox, "legacy");
    peers.run("cosign2", &["sign", "--key", &legacy_private, "--tlog-upload=false", "-y", &peers.image]).success();
    let (copied_private, copied_public, copied) = pair(sandbox, "copied");
    peers.skopeo_sign(&copied_private).success();
    // A second bundle of ours after theirs.
    let (_, second_public, second) = pair(sandbox, "second");
    client.sign(&image, &second, &options(Format::Bundle), &Call::new()).unwrap();

    for (key, signatures) in [(&ours, 2), (&legacy, 1), (&second, 1), (&copied, 1)] {
        assert_eq!(count(client, &image, &key.public_key()), signatures, "{what}");
    }
    if bundles_of_theirs == 1 {
        assert_eq!(count(client, &image, &bundle.public_key()), 1, "{what}");
        peers.cosign_verify("cosign3", &bundle_public, &[]).success();
        peers.cosign_verify("cosign3", &second_public, &[]).success();
    }
    peers.cosign_verify("cosign3", &ours_public, &[]).success();
    peers.cosign_verify("cosign2", &legacy_public, &[]).success();
    peers.cosign_verify("cosign2", &ours_public, &[]).success();
    peers.cosign_verify("cosign2", &copied_public, &[]).success();
    peers.skopeo_verify(&ours_public).success();
    peers.skopeo_verify(&legacy_public).success();
}

/// Who shows nothing, or the wrong password, is told so, and that is no verdict.
fn strangers_are_refused(host: &str, way: &Way) {
    let image = ImageRef::parse(&format!("{host}/team/app:v1")).unwrap();
    let policy = Policy::new().with_key(key(0).public_key());
    let mut wrong = ClientOptions::new();
    wrong.set_auth_basic(host, USER, "another");
    if let Some(ca) = &way.ca {
        wrong.add_ca_pem(&std::fs::read(ca).unwrap()).unwrap();
    }
    for client in [client(host, &Way { user: false, ca: way.ca.clone() }), Client::new(wrong).unwrap()] {
        let refused = client.verify(&image, &policy, &VerifyOptions::default(), &Call::new()).unwrap_err();
        assert!(matches!(refused.code(), Code::Auth | Code::Denied), "{refused}");
        let refused = client.sign(&image, key(0), &options(Format::Both), &Call::new()).unwrap_err();
        assert!(matches!(refused.code(), Code::Auth | Code::Denied), "{refused}");
    }
}

#[test]
fn formats_cross_on_registries_with_and_without_referrers() {
    let distribution = oracle::Registry::start();
    cross(&distribution.host(), &Way::default(), "Distribution");
    for kind in [Kind::Olareg, Kind::OlaregTagOnly, Kind::Ggcr, Kind::GgcrTagOnly] {
        cross(&Server::start(kind).host(), &Way::default(), &format!("{kind:?}"));
    }
}

#[test]
fn formats_cross_on_registries_that_ask_who_is_there() {
    let way = Way { user: true, ca: None };
    for kind in [Kind::OlaregBasic, Kind::OlaregBearer] {
        let server = Server::start(kind);
        cross(&server.host(), &way, &format!("{kind:?}"));
        strangers_are_refused(&server.host(), &way);
    }
}

/// Distribution's way to ask for a password: a file of bcrypt hashes.
fn htpasswd(folder: &Sandbox) -> String {
    let file = folder.write("htpasswd", format!("{USER}:{HASH}\n"));
    format!("auth:\n  htpasswd:\n    realm: tests\n    path: {file}\n")
}

#[test]
fn formats_cross_on_distribution_with_a_password_file() {
    let (folder, way) = (Sandbox::new(), Way { user: true, ca: None });
    let registry = oracle::Registry::with(&Setup { sections: htpasswd(&folder), ..Setup::default() });
    cross(&registry.host(), &way, "htpasswd");
    strangers_are_refused(&registry.host(), &way);
}

#[test]
fn formats_cross_on_distribution_with_a_token_server() {
    let (folder, way, tokens) = (Sandbox::new(), Way { user: true, ca: None }, TokenServer::start());
    let sections = tokens.section(&folder.write("root.pem", tokens.root()));
    let registry = oracle::Registry::with(&Setup { sections, ..Setup::default() });
    cross(&registry.host(), &way, "tokens");
    strangers_are_refused(&registry.host(), &way);
    // One token serves a whole signature, one more its verification by a new client.
    let image = ImageRef::parse(&format!("{}/team/app:v1", registry.host())).unwrap();
    let before = tokens.given();
    client(&registry.host(), &way).sign(&image, key(1), &options(Format::Both), &Call::new()).unwrap();
    assert_eq!(tokens.given() - before, 1);
    assert_eq!(count(&client(&registry.host(), &way), &image, &key(1).public_key()), 2);
    assert_eq!(tokens.given() - before, 2);
}

#[test]
fn formats_cross_over_tls() {
    let folder = Sandbox::new();
    let made = Certificates::make(&folder.path(""));
    let http = format!("  tls:\n    certificate: {}\n    key: {}\n", made.certificate, made.key);
    let setup = Setup { http, sections: htpasswd(&folder), access_log: true, ..Setup::default() };
    let registry = oracle::Registry::with(&setup);
    let way = Way { user: true, ca: Some(made.ca) };
    cross(&registry.host(), &way, "TLS");
    strangers_are_refused(&registry.host(), &way);
    let of_ours: Vec<String> =
        registry.log().lines().filter(|line| line.contains(" \"libcosign/")).map(str::to_owned).collect();
    assert!(of_ours.len() > 20 && of_ours.iter().all(|line| line.contains("HTTP/2.0")), "{of_ours:#?}");
    // Without the authority nothing is believed, and nothing is said of signatures.
    let image = ImageRef::parse(&format!("{}/team/app:v1", registry.host())).unwrap();
    let mut other = ClientOptions::new();
    other.add_ca_pem(&std::fs::read(Certificates::make(&folder.path("docker")).ca).unwrap()).unwrap();
    let policy = Policy::new().with_key(key(0).public_key());
    let refused = Client::new(other).unwrap().verify(&image, &policy, &VerifyOptions::default(), &Call::new());
    assert_eq!(refused.unwrap_err().code(), Code::Tls);

    let server = Server::start(Kind::OlaregTls);
    cross(&server.host(), &Way { user: false, ca: Some(server.ca()) }, "OlaregTls");
}

#[test]
fn a_registry_that_became_read_only_keeps_what_it_has_and_takes_nothing() {
    let way = Way::default();
    let mut registry = oracle::Registry::start();
    let host = registry.host();
    let peers = Peers::new(&host, &way);
    peers.push();
    let image = ImageRef::parse(&peers.image).unwrap();
    let (_, public, ours) = pair(&peers.sandbox, "ours");
    let signed = client(&host, &way).sign(&image, &ours, &options(Format::Both), &Call::new()).unwrap();
    let tag = signed.signature_reference().rsplit_once(':').unwrap().1.to_owned();
    let index = tag.strip_suffix(".sig").unwrap();
    let before = [registry.tag("team/app", &tag), registry.tag("team/app", index)];
    assert!(before.iter().all(Option::is_some));

    let storage = "  maintenance:\n    readonly:\n      enabled: true\n".to_owned();
    registry.restart(&Setup { storage, ..Setup::default() });
    for format in [Format::Legacy, Format::Bundle, Format::Both] {
        let refused = client(&host, &way).sign(&image, key(0), &options(format), &Call::new()).unwrap_err();
        assert_eq!(refused.code().row().class, Class::Unknown, "{refused}");
        let stages = refused.detail("stages").unwrap();
        assert!(["blobs", "journal", "tag", "checked"].iter().all(|stage| stages[stage] == false), "{stages}");
    }
    assert_eq!(before, [registry.tag("team/app", &tag), registry.tag("team/app", index)]);
    assert_eq!(count(&client(&host, &way), &image, &ours.public_key()), 2);
    peers.cosign_verify("cosign2", &public, &[]).success();
    peers.cosign_verify("cosign3", &public, &[]).success();
    peers.skopeo_verify(&public).success();
    let unsigned = client(&host, &way).verify(
        &image,
        &Policy::new().with_key(key(0).public_key()),
        &VerifyOptions::default(),
        &Call::new(),
    );
    assert_eq!(unsigned.unwrap_err().code(), Code::NoSignatureMatches);

    registry.restart(&Setup::default());
    let signed = client(&host, &way).sign(&image, key(0), &options(Format::Both), &Call::new()).unwrap();
    assert_eq!(*signed.protection(), Protection::Stored);
}

#[test]
fn a_bundle_in_a_layout_is_verified_by_cosign() {
    let sandbox = Sandbox::new();
    let copied = sandbox.arg("layout");
    let copy = std::process::Command::new("cp").arg("-r").arg(root().join("examples/image")).arg(&copied).status();
    assert!(copy.unwrap().success());
    let image = ImageRef::parse(&format!("oci:{copied}:v1")).unwrap();
    let client = Client::new(ClientOptions::new()).unwrap();
    let (_, public, ours) = pair(&sandbox, "ours");
    client.sign(&image, &ours, &options(Format::Bundle), &Call::new()).unwrap();
    let arguments = ["verify", "--key", &public, "--insecure-ignore-tlog=true", "--local-image", &copied];
    sandbox.run("cosign3", arguments).success();
    let (_, other, _) = pair(&sandbox, "other");
    let arguments = ["verify", "--key", &other, "--insecure-ignore-tlog=true", "--local-image", &copied];
    assert_ne!(sandbox.run("cosign3", arguments).code, 0);
    let listed = sandbox.run("oras", ["discover", "--oci-layout", &format!("{copied}:v1")]).success();
    assert!(listed.stdout.contains("application/vnd.dev.sigstore.bundle.v0.3+json"), "{listed:#?}");
}

#[test]
fn sixteen_signers_sixty_times_lose_nothing_on_a_real_registry() {
    const ROUNDS: usize = 60;
    let registry = oracle::Registry::start();
    let subjects: Vec<Digest> = (0..ROUNDS).map(|n| Digest::sha256(format!("image {n}").as_bytes())).collect();
    let image = |subject: &Digest| ImageRef::parse(&format!("{}/team/app@{subject}", registry.host())).unwrap();
    let unprotected = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (subjects, image, unprotected) = (&subjects, &image, &unprotected);
            scope.spawn(move || {
                let client = Client::new(ClientOptions::new()).unwrap();
                for subject in subjects {
                    let signed = client.sign(&image(subject), key(n), &SignOptions::default(), &Call::new()).unwrap();
                    if *signed.protection() != Protection::Stored {
                        unprotected.lock().unwrap().push((n, subject, signed.json()));
                    }
                }
            });
        }
    });
    // Of those who were told `stored` only the standard place counts: the journal must not be what saves it. On a machine
    // without breath some are told less, and are found all the same.
    let unprotected = unprotected.into_inner().unwrap();
    let client = Client::new(ClientOptions::new()).unwrap();
    let plain = VerifyOptions { journal: false, format: Some(Format::Legacy), ..Default::default() };
    let all = |signers: &mut dyn Iterator<Item = usize>| {
        let mut policy = signers.fold(Policy::new(), |policy, n| policy.with_key(key(n).public_key()));
        policy.require_all_keys();
        policy
    };
    for subject in &subjects {
        let told_less = |n: &usize| unprotected.iter().any(|(who, what, _)| who == n && *what == subject);
        for (policy, options) in [
            (all(&mut (0..16).filter(|n| !told_less(n))), &plain),
            (all(&mut (0..16)), &VerifyOptions { format: Some(Format::Legacy), ..Default::default() }),
        ] {
            let verified = client.verify(&image(subject), &policy, options, &Call::new());
            verified.unwrap_or_else(|error| panic!("{error}; told less: {unprotected:?}"));
        }
    }
    assert!(unprotected.len() < 16 * ROUNDS / 20, "{unprotected:?}");
}
