//! Registries of other makers on a free port of 127.0.0.1: olareg and Google's `pkg/registry`, which keep lists of
//! referrers or not, and ask who is there in their own ways. Built from `tests/stack` by `scripts/tools.sh`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::oracle::tool;

/// Which registry, and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// olareg with the referrers API.
    Olareg,
    /// olareg without it.
    OlaregTagOnly,
    /// olareg that asks for a user and password ([`USER`], [`PASSWORD`]).
    OlaregBasic,
    /// olareg that asks for a token from its own token server, for the same user.
    OlaregBearer,
    /// olareg behind TLS, with a certificate of [`Server::ca`].
    OlaregTls,
    /// Google's `pkg/registry` with the referrers API, which never says `OCI-Subject`.
    Ggcr,
    /// The same without it.
    GgcrTagOnly,
}

/// Who may do everything where somebody is asked for.
pub const USER: &str = "u";
/// Their password.
pub const PASSWORD: &str = "pw";

/// bcrypt of it.
pub const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW";

const RULES: &str = "acls:\n  - {repo: \"*\", access: [read, write, delete], members: [u]}\n";

/// A running registry; it ends with the value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// An authority's certificate, and a server's certificate and key for 127.0.0.1 and localhost, as PEM files.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Certificates {
    /// Makes them: `ca.crt`, `server.pem` and `server-key.pem` in `folder`.
    ///
    /// # Panics
    /// When they cannot be made or written.
    pub fn make(folder: &Path) -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "the tests' authority");
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("an authority's certificate").pem();
        let issuer = Issuer::new(params, key);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &issuer));
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("a file of certificates");
            folder.join(name).display().to_string()
        };
        Certificates {
            ca: write("ca.crt", &ca),
            certificate: write("server.pem", &server.expect("a server's certificate").pem()),
            key: write("server-key.pem", &key.serialize_pem()),
        }
    }
}

impl Server {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it is not there or does not start.
    pub fn start(kind: Kind) -> Server {
        for _ in 0..10 {
            if let Some(server) = Server::try_start(kind) {
                return server;
            }
        }
        panic!("{kind:?} does not start");
    }

    fn try_start(kind: Kind) -> Option<Server> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port").port();
        let accounts = dir.path().join("accounts.yaml");
        let text = format!("users: {{u: {{cred: \"{HASH}\"}}}}\n{RULES}");
        std::fs::write(&accounts, text).expect("its accounts");
        Certificates::make(dir.path());
        let mut child = command(kind, port, &accounts)
            .env_clear()
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry runs");
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if child.try_wait().expect("its state").is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Server { child, port, dir });
            }
            sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    /// The file with the authority that [`Kind::OlaregTls`] is to be trusted by; nothing else is in its folder's `*.crt`.
    pub fn ca(&self) -> String {
        self.dir.path().join("ca.crt").display().to_string()
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn command(kind: Kind, port: u16, accounts: &Path) -> Command {
    let name = if matches!(kind, Kind::Ggcr | Kind::GgcrTagOnly) { "ggcr-registry" } else { "olareg" };
    let mut command = Command::new(tool(name));
    match kind {
        Kind::Ggcr | Kind::GgcrTagOnly => {
            command.args(["-addr", &format!("127.0.0.1:{port}"), &format!("-referrers={}", kind == Kind::Ggcr)]);
        }
        _ => {
            command.args(["serve", "--addr", "127.0.0.1", "--port", &port.to_string(), "--store-type", "mem"]);
            command.arg("--api-delete");
        }
    }
    match kind {
        Kind::OlaregTagOnly => command.arg("--api-referrer=false"),
        Kind::OlaregTls => {
            let folder = accounts.with_file_name("");
            command.arg("--tls-cert").arg(folder.join("server.pem")).arg("--tls-key").arg(folder.join("server-key.pem"))
        }
        Kind::OlaregBasic => command.arg("--auth-basic").arg(accounts),
        Kind::OlaregBearer => {
            let own = format!("http://127.0.0.1:{port}");
            command.arg("--auth-token-opaque").arg(accounts).args(["--external-url", &own])
        }
        _ => &mut command,
    };
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
