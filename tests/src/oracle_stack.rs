//! A real Sigstore on loopback, from unmodified servers: Rekor v1 and v2, Fulcio, a timestamp authority, a CT log, OIDC,
//! TUF and a registry. `scripts/tools.sh` builds them from `tests/stack`, whose scripts start and stop them.
//!
//! Two of the servers take a fixed port, so there is one stack at a time on a machine: whoever is second waits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::oracle::{root, tool};

/// A running stack; it ends with the value, and with the process should that die first.
#[derive(Debug)]
pub struct Stack {
    values: BTreeMap<String, String>,
    keeper: Child,
    // Closed when this process ends in whatever way; then the keeper stops the servers.
    alive: Option<ChildStdin>,
    dir: TempDir,
    _turn: File,
}

static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());

impl Stack {
    /// The stack of this process, started by the first who asks and stopped when nobody needs it any more.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn shared() -> Arc<Stack> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.upgrade() {
            Some(stack) => stack,
            None => {
                let stack = Arc::new(Stack::start());
                *shared = Arc::downgrade(&stack);
                stack
            }
        }
    }

    /// Starts one, after any other on this machine has ended.
    ///
    /// # Panics
    /// When it is not built or does not start.
    pub fn start() -> Stack {
        let turn = std::env::temp_dir().join("libcosign-test-stack.lock");
        let turn = File::options().create(true).truncate(false).write(true).open(turn).expect("the lock of the stack");
        turn.lock().expect("the only stack of this machine");
        let servers = tool("stack/tlogd");
        let servers = servers.parent().expect("a folder").to_path_buf();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let scripts = root().join("tests/stack");
        let log = dir.path().join("up.log");
        let output = File::create(&log).expect("the log of up.sh");
        let started = Command::new(scripts.join("up.sh"))
            .arg(dir.path().join("data"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", dir.path())
            .env("STACK_BIN", servers)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("its log, twice"))
            .stderr(output)
            .status()
            .expect("up.sh runs");
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(started.success(), "the stack does not start: {said}");
        // In a session of its own: an interrupt at the terminal ends this process, and then the keeper has work to do.
        let mut keeper = Command::new("setsid")
            .args(["sh", "-c", "read -r _; exec \"$0\" \"$1\" >/dev/null 2>&1"])
            .arg(scripts.join("down.sh"))
            .arg(dir.path().join("data"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("setsid runs");
        let alive = keeper.stdin.take();
        let mut values = BTreeMap::new();
        let env = fs::read_to_string(dir.path().join("data/env")).expect("what up.sh says");
        for line in env.lines() {
            let (name, value) = line.split_once('=').expect("NAME='value'");
            values.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        Stack { values, keeper, alive, dir, _turn: turn }
    }

    /// One of its values, such as `STACK_REKOR1`; `tests/stack/up.sh` says which there are.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("the stack has no {name}"))
    }

    /// All of its values.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Rekor v1: its address.
    pub fn rekor(&self) -> &str {
        self.value("STACK_REKOR1")
    }

    /// The public key of Rekor v1, PEM.
    pub fn rekor_key(&self) -> Vec<u8> {
        let mut pem = Vec::new();
        let mut file = File::open(self.value("STACK_REKOR1_PUB")).expect("the log's key");
        file.read_to_end(&mut pem).expect("the log's key");
        pem
    }

    /// Its folder: keys, configuration, logs.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.keeper.wait();
    }
}
