//! The programs that we did not write, as the tests run them: real cosign 2.5 and 3.1, skopeo, crane, oras, and
//! Debian's registry. `scripts/tools.sh` fetches them; a missing one fails the test that needs it.
//!
//! Each runs with an empty environment, a home of its own and no way out of the machine, so that neither a setting of
//! the user nor the network decides a test, and none of them can hang on a server.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password of every key file that the tests make.
pub const PASSWORD: &str = "test";

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// Where `scripts/tools.sh` put a tool.
///
/// # Panics
/// When it is not there: nothing is skipped.
pub fn tool(name: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let bin = set("COSIGN_TOOLS")
        .or_else(|| set("COSIGN_CACHE").map(|cache| cache.join("bin")))
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("libcosign/bin")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/libcosign/bin")))
        .expect("HOME or COSIGN_TOOLS must be set");
    let path = bin.join(name);
    assert!(path.is_file(), "{} is missing: run scripts/tools.sh", path.display());
    path
}

/// What a program answered.
#[derive(Debug)]
pub struct Outcome {
    /// The command, as one would type it.
    pub command: String,
    /// Its exit code.
    pub code: i32,
    /// Its standard output, lossily as text.
    pub stdout: String,
    /// Its standard error, lossily as text.
    pub stderr: String,
}

impl Outcome {
    /// Demands exit code 0.
    ///
    /// # Panics
    /// With everything the program said.
    #[track_caller]
    pub fn success(self) -> Outcome {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Demands a refusal that says `why`, so that a program that failed for another reason does not count as refusing.
    ///
    /// # Panics
    /// With everything the program said.
    #[track_caller]
    pub fn refusal(self, why: &str) -> Outcome {
        assert_ne!(self.code, 0, "{self:#?}");
        assert!(self.stderr.contains(why), "the reason is not {why:?}: {self:#?}");
        self
    }
}

/// A folder in which programs run; gone with the value.
#[derive(Debug)]
pub struct Sandbox(TempDir);

impl Default for Sandbox {
    fn default() -> Self {
        Sandbox::new()
    }
}

impl Sandbox {
    /// A new folder, with what skopeo wants to find.
    pub fn new() -> Sandbox {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["home", "tuf", "docker", "registries.d"] {
            fs::create_dir(dir.path().join(name)).expect("a folder in it");
        }
        let sandbox = Sandbox(dir);
        sandbox.write("registries.d/default.yaml", "default-docker:\n  use-sigstore-attachments: true\n");
        sandbox.write("passphrase", PASSWORD);
        sandbox.write("accept.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
        sandbox
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same, as text for a command line.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().expect("a temporary path is UTF-8").to_owned()
    }

    /// Writes a file of the folder and returns its path as text.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).expect("a file in the temporary folder");
        self.arg(name)
    }

    /// Runs a fetched tool in the folder, for a minute at most.
    pub fn run<A: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.run_with(name, arguments, &[])
    }

    /// [`Sandbox::run`] with additional environment variables.
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Outcome {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "120"]).arg(tool(name)).args(arguments);
        let typed = command.get_args().skip(2).fold(String::new(), |mut line, word| {
            let _ = write!(line, "{} ", word.to_string_lossy());
            line
        });
        command
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("TUF_ROOT", self.path("tuf"))
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("COSIGN_PASSWORD", PASSWORD)
            .env("TMPDIR", self.0.path())
            // Port 9 of this machine refuses every connection; loopback hosts go past a proxy.
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        let output = command.output().expect("`timeout` of coreutils runs");
        Outcome {
            command: typed.trim_end().to_owned(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What a Distribution registry is told besides where it stores and listens, in its own YAML.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Members of `storage`, each line indented by two.
    pub storage: String,
    /// Members of `http`, each line indented by two.
    pub http: String,
    /// Whole sections.
    pub sections: String,
    /// Whether it writes down each request ([`Registry::log`]).
    pub access_log: bool,
}

/// Debian's Distribution 2.8 on a free port of 127.0.0.1, storing files; stopped with the value.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    port: u16,
    dir: TempDir,
}

impl Registry {
    /// Starts an open one and waits until it answers.
    pub fn start() -> Registry {
        Registry::with(&Setup::default())
    }

    /// Starts one that is set up so and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(setup: &Setup) -> Registry {
        // Another process may take the port between our probe and the server's bind: then another one is tried.
        for _ in 0..10 {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let probe = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port");
            if let Some(server) = serve(dir.path(), probe.port(), setup) {
                return Registry { server, port: probe.port(), dir };
            }
        }
        panic!("docker-registry does not start");
    }

    /// Stops it and starts it again, over the same files and at the same port, but set up so.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self, setup: &Setup) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        for _ in 0..50 {
            if let Some(server) = serve(self.dir.path(), self.port, setup) {
                self.server = server;
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("docker-registry does not start again");
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The digest that a tag names, read from the registry's own files.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let link = format!("data/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link");
        fs::read_to_string(self.dir.path().join(link)).ok()
    }

    /// The tags of a repository, from the registry's own files.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let folder = format!("data/docker/registry/v2/repositories/{repository}/_manifests/tags");
        let entries = fs::read_dir(self.dir.path().join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The bytes stored for a digest.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        fs::read(self.dir.path().join(path)).unwrap_or_else(|error| panic!("the registry has no {digest}: {error}"))
    }
}

/// Starts the program; `None` when it ends at once, because somebody else has the port.
fn serve(dir: &Path, port: u16, setup: &Setup) -> Option<Child> {
    let config = dir.join("config.yml");
    let Setup { storage, http, sections, access_log } = setup;
    let (level, silent) = if *access_log { ("info", "false") } else { ("error", "true") };
    let text = format!(
        "version: 0.1\nlog:\n  level: {level}\n  accesslog:\n    disabled: {silent}\nstorage:\n  delete:\n    enabled: true\n  \
         filesystem:\n    rootdirectory: {}\n{storage}http:\n  addr: 127.0.0.1:{port}\n{http}{sections}",
        dir.join("data").display()
    );
    fs::write(&config, text).expect("its configuration");
    let log = fs::File::create(dir.join("log")).expect("its log");
    let mut server = Command::new(tool("docker-registry"))
        .arg("serve")
        .arg(&config)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("its log, twice"))
        .stderr(log)
        .spawn()
        .expect("docker-registry runs");
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if server.try_wait().expect("the state of docker-registry").is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(server);
        }
        sleep(Duration::from_millis(20));
    }
    let _ = server.kill();
    let _ = server.wait();
    None
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
