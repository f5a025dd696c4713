//! The layout under real processes: many at once, killed at every step, on a full disk, in a folder that is not theirs.
//!
//! The process is the example program (`examples/rust`), as a user would build it. What must not happen by luck is
//! arranged: sixteen writers are held at one lock until all wait for it; a kill comes at each system call in turn; a
//! disk is full, and a folder closed, once a canary has shown that writing fails.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use cosign_core::blocking::Client;
use cosign_core::{
    Call, ClientOptions, Code, Digest, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, SignOptions,
    VerifyOptions,
};
use cosign_tests::oracle::{Sandbox, root};
use serde_json::Value;

const PASSWORD: &str = "correct horse battery";
const NOBODY: u32 = 65534;
/// The one name under which a file is written before it gets its own.
const TEMPORARY: &str = ".cosign-writing";

/// A key, and the file that a process reads it from.
struct Pair {
    key: PrivateKey,
    pem: String,
}

impl Pair {
    fn new() -> Pair {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.to_pem(PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap().to_string();
        Pair { key, pem }
    }
}

/// Keys that many tests use; making their files costs a key derivation each.
fn pair(n: usize) -> &'static Pair {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    &PAIRS.get_or_init(|| (0..3).map(|_| Pair::new()).collect())[n]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A folder that every user may enter, with a copy of the program, a key and a layout.
struct Place {
    _dir: tempfile::TempDir,
    folder: PathBuf,
    layout: Layout,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_path_buf();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let layout = Layout(folder.join("layout"));
        copy(&root().join("examples/image"), &layout.0);
        // Another user could not start it where it was built.
        fs::copy(env!("CARGO_BIN_EXE_example-program"), folder.join("program")).unwrap();
        fs::write(folder.join("a.key"), &pair(0).pem).unwrap();
        Place { _dir: dir, folder, layout }
    }

    fn key_file(&self, name: &str, pair: &Pair) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, &pair.pem).unwrap();
        path
    }

    fn program<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(self.folder.join("program"));
        command.args(arguments).env_clear().env("COSIGN_PASSWORD", PASSWORD).stdin(Stdio::null());
        command
    }

    fn signs(&self, key: &Path, layout: &Layout) -> Command {
        self.program([std::ffi::OsStr::new("sign"), key.as_os_str(), layout.image().as_ref()])
    }
}

/// A layout as the tests look at it.
#[derive(Clone)]
struct Layout(PathBuf);

impl Layout {
    fn image(&self) -> String {
        format!("oci:{}:v1", self.0.display())
    }

    fn reference(&self) -> ImageRef {
        self.image().parse().unwrap()
    }

    fn sign(&self, key: &PrivateKey) {
        let client = Client::new(ClientOptions::default()).unwrap();
        client.sign(&self.reference(), key, &SignOptions::default(), &Call::new()).unwrap();
    }

    fn has(&self, key: &PrivateKey) -> bool {
        let client = Client::new(ClientOptions::default()).unwrap();
        let policy = Policy::new().with_key(key.public_key());
        match client.verify(&self.reference(), &policy, &VerifyOptions::default(), &Call::new()) {
            Ok(_) => true,
            Err(error) if matches!(error.code(), Code::NoSignatureMatches | Code::NoSignatures) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Makes `index.json` larger than a signature's blobs, so that a limit can let these pass and stop it.
    fn widen(&self) {
        let path = self.0.join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        index["manifests"][0]["annotations"]["note"] = "x".repeat(10_000).into();
        fs::write(path, index.to_string()).unwrap();
    }

    /// Every file and folder with its mode, owner and content.
    fn snapshot(&self) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        fn walk(path: &Path, into: &mut BTreeMap<PathBuf, (u32, u32, Vec<u8>)>) {
            let meta = fs::symlink_metadata(path).unwrap();
            let content = if meta.is_dir() { Vec::new() } else { fs::read(path).unwrap() };
            into.insert(path.to_path_buf(), (meta.mode(), meta.uid(), content));
            if meta.is_dir() {
                fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), into));
            }
        }
        let mut into = BTreeMap::new();
        walk(&self.0, &mut into);
        into
    }

    /// Demands a layout in which everything named is there and is what it is named. Returns how many files a killed
    /// writer left.
    fn check(&self) -> usize {
        let parse = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
        assert_eq!(parse(&fs::read(self.0.join("oci-layout")).unwrap())["imageLayoutVersion"], "1.0.0");
        let mut left = 0;
        for entry in fs::read_dir(&self.0).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            match name.as_str() {
                "oci-layout" | "index.json" | "blobs" | "README.md" => {}
                TEMPORARY => left += 1,
                other => panic!("{other} is in the layout"),
            }
        }
        for entry in fs::read_dir(self.0.join("blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == TEMPORARY {
                left += 1;
            } else {
                // Nothing has a blob's name before it is whole.
                assert_eq!(Digest::sha256(&fs::read(entry.path()).unwrap()).hex(), name);
            }
        }
        let mut wanted = vec![parse(&fs::read(self.0.join("index.json")).unwrap())];
        while let Some(document) = wanted.pop() {
            let lists = ["manifests", "layers"].map(|name| document[name].as_array().cloned().unwrap_or_default());
            let is_index = !lists[0].is_empty();
            for descriptor in lists.into_iter().flatten().chain([document["config"].clone()]) {
                let Some(digest) = descriptor["digest"].as_str() else { continue };
                let bytes = fs::read(self.0.join("blobs").join(digest.replace(':', "/"))).unwrap();
                assert_eq!(descriptor["size"], bytes.len(), "{digest}");
                if is_index {
                    wanted.push(parse(&bytes));
                }
            }
        }
        left
    }
}

/// Runs a program that must fail: its exit code, one line that says all of `words`, no secret, no panic.
#[track_caller]
fn refused(command: &mut Command, exit_code: i32, words: &[&str]) -> String {
    let output = command.output().unwrap();
    let (out, message) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), out.as_str()), (Some(exit_code), ""), "{message}");
    assert!(message.starts_with("error: ") && message.ends_with('\n') && message.lines().count() == 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is missing: {message}");
    }
    tells_no_secret(&message);
    message
}

#[track_caller]
fn tells_no_secret(message: &str) {
    assert!(!message.contains(PASSWORD) && !message.contains("panicked"), "{message}");
    for line in pair(0).pem.lines().filter(|line| !line.starts_with('-')) {
        assert!(!message.contains(&line[..16.min(line.len())]), "{message}");
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// --- many at once ---------------------------------------------------------------------------------------------------

/// Starts one signer for each pair, all held at the layout's lock until everyone waits for it.
fn start_together(place: &Place, pairs: &[Pair]) -> Vec<Child> {
    let gate = File::open(&place.layout.0).unwrap();
    gate.lock().unwrap();
    let children: Vec<Child> = pairs
        .iter()
        .enumerate()
        .map(|(n, pair)| {
            let key = place.key_file(&format!("{n}.key"), pair);
            place.signs(&key, &place.layout).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in &children {
        // At the lock a writer has the folder open twice: to work in, and to lock.
        while handles_on(&place.layout.0, child.id()) < 2 {
            assert!(fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| !stat.contains(") Z")));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    gate.unlock().unwrap();
    children
}

fn handles_on(path: &Path, pid: u32) -> usize {
    let Ok(handles) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    handles.flatten().filter(|handle| fs::read_link(handle.path()).is_ok_and(|target| target == path)).count()
}

#[test]
fn sixteen_processes_sign_one_layout_and_nothing_is_lost() {
    let place = Place::new();
    place.layout.sign(&pair(0).key);
    let pairs: Vec<Pair> = (0..16).map(|_| Pair::new()).collect();
    let children = start_together(&place, &pairs);
    // A reader takes no lock, and at no moment sees anything but a whole layout.
    let (done, layout) = (AtomicBool::new(false), &place.layout);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = 0;
            while !done.load(Ordering::Acquire) || read == 0 {
                assert!(layout.has(&pair(0).key));
                read += 1;
            }
        });
        let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        outputs.iter().for_each(succeeded);
    });
    assert_eq!(place.layout.check(), 0);
    for pair in &pairs {
        assert!(place.layout.has(&pair.key));
    }
    // And by what we did not write.
    let sandbox = Sandbox::new();
    let public = sandbox.write("last.pub", pairs[15].key.public_key().to_pem());
    let stranger = sandbox.write("stranger.pub", pair(1).key.public_key().to_pem());
    let path = place.layout.0.to_str().unwrap();
    for (tool, flags) in [("cosign2", &[][..]), ("cosign3", &["--new-bundle-format=false"][..])] {
        let verify = |key: &str| {
            let arguments = ["verify", "--key", key, "--insecure-ignore-tlog=true"];
            sandbox.run(tool, arguments.iter().chain(flags).chain(&["--local-image", path]))
        };
        verify(&public).success();
        verify(&stranger).refusal("no matching signatures");
    }
}

#[test]
fn writers_killed_among_others_take_nothing_with_them() {
    let place = Place::new();
    place.layout.sign(&pair(0).key);
    let pairs: Vec<Pair> = (0..16).map(|_| Pair::new()).collect();
    let mut children = start_together(&place, &pairs);
    // Every other one is killed, a little later each time, while all of them write.
    for child in children.iter_mut().step_by(2) {
        child.kill().unwrap();
        std::thread::sleep(Duration::from_millis(3));
    }
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(place.layout.check() <= 2);
    assert!(place.layout.has(&pair(0).key));
    for (n, (pair, output)) in pairs.iter().zip(&outputs).enumerate() {
        if n % 2 == 1 {
            succeeded(output);
        }
        assert!(!output.status.success() || place.layout.has(&pair.key), "{n} was told that it had signed");
    }
    assert!(outputs.iter().any(|output| output.status.signal() == Some(libc::SIGKILL)));
}

// --- killed at every step -------------------------------------------------------------------------------------------

/// What a process did to the layout, and whether it was stopped at a step.
struct Trace {
    /// Each system call since the lock that changes something; `None` for one that does not.
    steps: Vec<Option<String>>,
    killed: bool,
}

/// Runs `command` under ptrace. It is killed at the entry of the first system call after the lock that `kill` chooses by
/// its number and by what it changes.
#[expect(clippy::zombie_processes, reason = "waitpid, which also sees the stops, waits for it")]
fn trace(mut command: Command, layout: &Layout, kill: impl Fn(usize, Option<&str>) -> bool) -> Trace {
    // SAFETY: the child only asks to be traced between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id() as libc::pid_t;
    let wait = || {
        let mut status = 0;
        // SAFETY: our own child, and a local to write to.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) }, pid);
        status
    };
    let request = |request, data: usize| {
        // SAFETY: our own child, which is stopped.
        let done = unsafe { libc::ptrace(request, pid, 0, data) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    };
    assert!(libc::WIFSTOPPED(wait()), "the start of the program");
    request(libc::PTRACE_SETOPTIONS, (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize);
    let mut trace = Trace { steps: Vec::new(), killed: false };
    let mut locked = false;
    loop {
        request(libc::PTRACE_SYSCALL, 0);
        let status = wait();
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            assert_eq!(status, 0, "the program failed");
            return trace;
        }
        assert_eq!(libc::WSTOPSIG(status), libc::SIGTRAP | 0x80, "the program got a signal");
        // SAFETY: a struct of integers, filled by the kernel up to its size.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let size = unsafe {
            libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of_val(&info), std::ptr::from_mut(&mut info))
        };
        assert!(size > 0, "{}", std::io::Error::last_os_error());
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            continue;
        }
        // SAFETY: at an entry, this is what the kernel filled in.
        let entry = unsafe { info.u.entry };
        if locked {
            let step = describe(pid, layout, entry.nr as libc::c_long, entry.args);
            if kill(trace.steps.len(), step.as_deref()) {
                // SAFETY: our own child, not yet waited for.
                assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
                // The system call at whose entry it stands is not carried out.
                assert_eq!(libc::WTERMSIG(wait()), libc::SIGKILL);
                trace.killed = true;
                return trace;
            }
            trace.steps.push(step);
        }
        locked |= entry.nr as libc::c_long == libc::SYS_flock;
    }
}

/// A system call that changes the layout, as a line.
fn describe(pid: libc::pid_t, layout: &Layout, number: libc::c_long, args: [u64; 6]) -> Option<String> {
    let handle = |fd: u64| -> Option<String> {
        let path = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
        Some(path.strip_prefix(&layout.0).ok()?.display().to_string())
    };
    let text = |address: u64| -> Option<String> {
        let mut bytes = [0; 256];
        let length = File::open(format!("/proc/{pid}/mem")).ok()?.read_at(&mut bytes, address).ok()?;
        let end = bytes[..length].iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    let at = |folder: u64, name: u64| Some(Path::new(&handle(folder)?).join(text(name)?).display().to_string());
    match number {
        libc::SYS_openat if args[2] & libc::O_CREAT as u64 != 0 => Some(format!("create {}", at(args[0], args[1])?)),
        libc::SYS_write => Some(format!("write {}", handle(args[0])?)),
        libc::SYS_fsync => Some(format!("sync {}", handle(args[0])?)),
        libc::SYS_unlinkat => Some(format!("remove {}", at(args[0], args[1])?)),
        libc::SYS_renameat | libc::SYS_renameat2 => {
            let name = at(args[2], args[3])?;
            Some(format!("rename {} {}", at(args[0], args[1])?, if name.len() > 64 { "blob" } else { &name }))
        }
        _ => None,
    }
}

#[test]
fn a_kill_at_any_system_call_leaves_a_valid_layout() {
    let place = Place::new();
    let key = place.folder.join("a.key");
    let (signer, earlier, next) = (&pair(0).key, &pair(1).key, &pair(2).key);
    let fresh = || {
        let layout = Layout(place.folder.join("killed"));
        let _ = fs::remove_dir_all(&layout.0);
        copy(&place.layout.0, &layout.0);
        layout
    };
    place.layout.sign(earlier);
    let mut stored_at = None;
    let mut left_behind = 0;
    for step in 0.. {
        let layout = fresh();
        let trace = trace(place.signs(&key, &layout), &layout, |n, _| n == step);
        if !trace.killed {
            assert!(step >= 20 && trace.steps.len() == step, "{step} steps");
            break;
        }
        let left = layout.check();
        left_behind += left;
        assert!(left <= 1, "step {step}");
        assert!(layout.has(earlier), "step {step}");
        // The signature is there from one step on, and never half.
        let stored = layout.has(signer);
        assert!(stored || stored_at.is_none(), "step {step}");
        if stored {
            stored_at.get_or_insert(step);
        }
        layout.sign(next);
        assert_eq!(layout.check(), 0, "step {step}: the next writer takes away what the killed one left");
        assert!(layout.has(earlier) && layout.has(next) && layout.has(signer) == stored, "step {step}");
    }
    assert!(stored_at.is_some() && left_behind > 4, "{stored_at:?} {left_behind}");
}

#[test]
fn files_reach_the_disk_before_their_names_and_blobs_before_the_index() {
    let place = Place::new();
    let trace = trace(place.signs(&place.folder.join("a.key"), &place.layout), &place.layout, |_, _| false);
    let steps: Vec<String> = trace.steps.into_iter().flatten().collect();
    let put = |folder: &str, name: &str| {
        let temporary = Path::new(folder).join(TEMPORARY).display().to_string();
        [
            format!("remove {temporary}"),
            format!("create {temporary}"),
            format!("write {temporary}"),
            format!("sync {temporary}"),
            format!("rename {temporary} {name}"),
        ]
    };
    let mut expected: Vec<String> = (0..3).flat_map(|_| put("blobs/sha256", "blob")).collect();
    expected.push("sync blobs/sha256".into());
    expected.extend(put("", "index.json"));
    expected.push("sync ".into());
    assert_eq!(steps, expected);
}

#[test]
fn what_killed_writers_leave_does_not_add_up_and_disturbs_nobody() {
    let place = Place::new();
    place.layout.sign(&pair(1).key);
    let key = place.folder.join("a.key");
    // Twenty times, with a file written and not yet named: a blob, then the index.
    for n in 0..20 {
        let half = format!("sync {}", Path::new(["blobs/sha256", ""][n % 2]).join(TEMPORARY).display());
        let trace = trace(place.signs(&key, &place.layout), &place.layout, |_, step| step == Some(&half));
        assert!(trace.killed);
        assert!(place.layout.check() <= 2);
        assert!(place.layout.has(&pair(1).key));
    }
    assert!(place.layout.check() >= 1);
    let sandbox = Sandbox::new();
    let public = sandbox.write("key.pub", pair(1).key.public_key().to_pem());
    let path = place.layout.0.to_str().unwrap();
    for tool in ["cosign2", "cosign3"] {
        let arguments = ["verify", "--key", &public, "--insecure-ignore-tlog=true", "--local-image", path];
        let flags: &[&str] = if tool == "cosign3" { &["--new-bundle-format=false"] } else { &[] };
        sandbox.run(tool, arguments.iter().chain(flags)).success();
    }
    place.layout.sign(&pair(2).key);
    assert_eq!(place.layout.check(), 0);
}

// --- a disk that is full --------------------------------------------------------------------------------------------

/// Lets the process write no file beyond `bytes`; what it attempts fails instead of killing it.
fn limit_files(command: &mut Command, bytes: u64) {
    // SAFETY: two system calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

/// Shows that `prepare` makes writing fail for a process, in this folder.
fn canary(folder: &Path, bytes: usize, prepare: impl Fn(&mut Command)) {
    let path = folder.join("canary");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("head -c {bytes} /dev/zero > \"$1\""), "sh"]).arg(&path).stderr(Stdio::null());
    prepare(&mut command);
    assert!(!command.status().unwrap().success(), "the canary could be written: this test proves nothing here");
    let _ = fs::remove_file(path);
}

#[test]
fn a_file_that_reaches_its_limit_leaves_the_layout_as_it_was() {
    let place = Place::new();
    place.layout.sign(&pair(1).key);
    place.layout.widen();
    let before = place.layout.snapshot();
    let key = place.folder.join("a.key");
    let path = place.layout.0.display().to_string();
    let mut failed_at = Vec::new();
    for limit in [0, 1, 100, 200, 500, 1000, 2000, 3000, 4000, 10_000, 1 << 20] {
        canary(&place.folder, limit as usize + 1, |command| limit_files(command, limit));
        let mut command = place.signs(&key, &place.layout);
        limit_files(&mut command, limit);
        let output = command.output().unwrap();
        if output.status.success() {
            break;
        }
        let message = refused(&mut command, 1, &[&path, "cannot write", "File too large", "ulimit -f", "sign again"]);
        assert_eq!(place.layout.snapshot(), before, "limit {limit}");
        assert!(place.layout.has(&pair(1).key) && !place.layout.has(&pair(0).key));
        failed_at.push(message.contains("index.json"));
    }
    // It failed at the first blob, at the index, and then no more.
    assert!(failed_at.first() == Some(&false) && failed_at.last() == Some(&true), "{failed_at:?}");
    assert!(place.layout.has(&pair(0).key) && place.layout.has(&pair(1).key));
    assert_eq!(place.layout.check(), 0);
    let prefix = place.folder.join("new");
    let mut command = place.program([std::ffi::OsStr::new("keygen"), prefix.as_os_str()]);
    limit_files(&mut command, 300);
    refused(&mut command, 1, &["new.key", "File too large", "free some space"]);
    assert!(!prefix.with_extension("key").exists() && !prefix.with_extension("pub").exists());
}

const SMALL_DISK: &str = "COSIGN_TEST_SMALL_DISK";

/// A disk of its own in a namespace of its own: this test starts itself there. Without user namespaces only the limit on
/// files can stand for a full disk, and the test above is the one that must pass.
#[test]
fn a_full_disk_leaves_the_layout_as_it_was() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return on_a_small_disk(Path::new(&disk));
    }
    let namespace = |script: &str, argument: &Path| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(argument);
        command
    };
    let dir = tempfile::tempdir().unwrap();
    const MOUNT: &str = "mount -t tmpfs -o size=512k,mode=755 none \"$1\"";
    if !namespace(MOUNT, dir.path()).output().is_ok_and(|output| output.status.success()) {
        return a_file_that_reaches_its_limit_leaves_the_layout_as_it_was();
    }
    let run = format!("{MOUNT} && shift && exec \"$@\"");
    let output = namespace(&run, dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_leaves_the_layout_as_it_was", "--nocapture"])
        .env(SMALL_DISK, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed") && said.contains("the disk was full"), "{said}");
}

fn on_a_small_disk(disk: &Path) {
    let place = Place::new();
    let layout = Layout(disk.join("layout"));
    copy(&place.layout.0, &layout.0);
    layout.sign(&pair(1).key);
    layout.widen();
    let before = layout.snapshot();
    let key = place.folder.join("a.key");
    let filler = disk.join("filler");
    let path = layout.0.display().to_string();
    let mut fill = File::create(&filler).unwrap();
    while fill.write_all(&[1; 4096]).is_ok() {}
    let full = fill.metadata().unwrap().len();
    let mut failures = 0;
    // From no free page on, until everything fits.
    for pages in 0..20 {
        fill.set_len(full - pages * 4096).unwrap();
        canary(disk, pages as usize * 4096 + 4097, |_| {});
        let mut command = place.signs(&key, &layout);
        let output = command.output().unwrap();
        if output.status.success() {
            break;
        }
        let words = [path.as_str(), "cannot write", "No space left on device", "free some space"];
        refused(&mut command, 1, &words);
        assert_eq!(layout.snapshot(), before, "{pages} free pages");
        assert!(layout.has(&pair(1).key) && !layout.has(&pair(0).key));
        failures += 1;
    }
    assert!((2..20).contains(&failures), "{failures}");
    assert!(layout.has(&pair(0).key) && layout.has(&pair(1).key));
    assert_eq!(layout.check(), 0);
    // A disk mounted read-only says so.
    drop(fill);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    canary(disk, 1, |_| {});
    let other = place.key_file("c.key", pair(2));
    refused(&mut place.signs(&other, &layout), 1, &[&path, "Read-only file system", "sign a copy"]);
    assert!(layout.has(&pair(0).key));
    println!("the disk was full {failures} times");
}

// --- a folder of somebody else --------------------------------------------------------------------------------------

/// Root may write everywhere: it becomes another user.
fn as_nobody(command: &mut Command) {
    // SAFETY: getuid has no preconditions.
    if unsafe { libc::getuid() } == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_read_only_folder_is_named_and_left_alone() {
    let place = Place::new();
    place.layout.sign(&pair(1).key);
    let public = place.folder.join("b.pub");
    fs::write(&public, pair(1).key.public_key().to_pem()).unwrap();
    let key = place.folder.join("a.key");
    let folders = [place.layout.0.clone(), place.layout.0.join("blobs"), place.layout.0.join("blobs/sha256")];
    let path = place.layout.0.display().to_string();
    // All of it, only where the index is, only where the blobs are.
    for closed in [&[0, 1, 2][..], &[0], &[2]] {
        for (n, folder) in folders.iter().enumerate() {
            set_mode(folder, if closed.contains(&n) { 0o555 } else { 0o777 });
        }
        let before = place.layout.snapshot();
        for n in closed {
            canary(&folders[*n], 1, as_nobody);
        }
        let mut command = place.signs(&key, &place.layout);
        as_nobody(&mut command);
        refused(&mut command, 1, &[&path, "cannot write", "Permission denied", "sign a copy"]);
        assert_eq!(place.layout.snapshot(), before, "{closed:?}");
        // Reading needs no right to write.
        let mut verify = place.program([Path::new("verify"), &public, Path::new(&place.layout.image())]);
        as_nobody(&mut verify);
        succeeded(&verify.output().unwrap());
    }
    let mut command = place.program([Path::new("keygen"), &place.layout.0.join("blobs/sha256/new")]);
    as_nobody(&mut command);
    refused(&mut command, 1, &["new.key", "Permission denied", "choose a place"]);
    // Nor is a layout that may not be read a layout without signatures.
    set_mode(&place.layout.0.join("index.json"), 0o000);
    let mut verify = place.program([Path::new("verify"), &public, Path::new(&place.layout.image())]);
    as_nobody(&mut verify);
    refused(&mut verify, 1, &[&path, "index.json", "Permission denied", "must be readable"]);
    folders.iter().for_each(|folder| set_mode(folder, 0o755));
}

// --- bad input ------------------------------------------------------------------------------------------------------

/// The PEM of a key file whose JSON was changed.
fn changed(pem: &str, from: &str, to: &str) -> String {
    let engine = base64::engine::general_purpose::STANDARD;
    let lines: Vec<&str> = pem.lines().collect();
    let json = String::from_utf8(engine.decode(lines[1..lines.len() - 1].concat()).unwrap()).unwrap();
    assert!(json.contains(from));
    format!("{}\n{}\n{}\n", lines[0], engine.encode(json.replace(from, to)), lines[lines.len() - 1])
}

#[test]
fn bad_keys_are_refused_by_file_and_nothing_is_signed() {
    let place = Place::new();
    let before = place.layout.snapshot();
    let file = |name: &str, content: &str| {
        let path = place.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let pem = &pair(0).pem;
    let key = place.folder.join("a.key");
    let mut command = place.signs(&key, &place.layout);
    let message =
        refused(command.env("COSIGN_PASSWORD", "not it 4711"), 3, &["a.key: ", "password is wrong", "give the"]);
    assert!(!message.contains("4711"));
    refused(command.env_remove("COSIGN_PASSWORD"), 3, &["set COSIGN_PASSWORD"]);
    let huge = file("huge.key", &changed(pem, r#""N":32768"#, r#""N":1099511627776"#));
    let words = ["huge.key: ", "found N = 1099511627776", "expected N of 32768, 65536 or 131072", "use a key file"];
    let mut command = place.signs(&huge, &place.layout);
    // scrypt with this cost would want 2^50 bytes; a gigabyte of address space is enough to refuse it.
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
            (libc::setrlimit(libc::RLIMIT_AS, &limit) == 0).then_some(()).ok_or_else(std::io::Error::last_os_error)
        });
    }
    refused(&mut command, 3, &words);
    let unencrypted = file("plain.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    refused(&mut place.signs(&unencrypted, &place.layout), 3, &["plain.key: ", "not encrypted", "import"]);
    refused(&mut place.signs(&place.folder.join("none.key"), &place.layout), 1, &["none.key: ", "No such file"]);
    for length in (0..pem.len() - 1).step_by(97) {
        let cut = file("cut.key", &pem[..length]);
        refused(&mut place.signs(&cut, &place.layout), 3, &["cut.key: ", "expected a whole key file"]);
    }
    assert_eq!(place.layout.snapshot(), before);
}

#[test]
fn a_key_cut_off_at_any_byte_says_what_is_missing() {
    let pem = &pair(0).pem;
    // Without its last line end the file is whole.
    for length in 0..pem.len() - 1 {
        let error = PrivateKey::from_pem(&pem.as_bytes()[..length], Some(PASSWORD.as_bytes())).unwrap_err();
        assert_eq!(error.code(), Code::KeyFormat, "{length}");
        let message = error.message();
        assert!(message.contains("expected a whole key file") && message.lines().count() == 1, "{message}");
        assert!(message.contains("no PEM block") || message.contains("cut off"), "{message}");
        tells_no_secret(message);
    }
}

#[test]
fn a_layout_that_does_not_hold_what_it_says_is_named() {
    let place = Place::new();
    place.layout.sign(&pair(1).key);
    let public = place.folder.join("b.pub");
    fs::write(&public, pair(1).key.public_key().to_pem()).unwrap();
    let key = place.folder.join("a.key");
    let path = place.layout.0.display().to_string();
    let both = |image: String, exit_code: i32, words: &[&str]| {
        let before = place.layout.snapshot();
        refused(&mut place.program([Path::new("sign"), &key, Path::new(&image)]), exit_code, words);
        refused(&mut place.program([Path::new("verify"), &public, Path::new(&image)]), exit_code, words);
        assert_eq!(place.layout.snapshot(), before);
    };
    both(format!("oci:{path}:v9"), 11, &[&path, ":v9: no such image", "name one that it holds: v1"]);
    both(format!("oci:{path}/none:v1"), 11, &["none", "no OCI image layout", "expected a folder with"]);
    let index = fs::read_to_string(place.layout.0.join("index.json")).unwrap();
    let parsed: Value = serde_json::from_str(&index).unwrap();
    for (entry, size, words) in [
        (0, 1i64, ["bytes, its descriptor says", "copy the image"]),
        (0, -1, ["bytes, its descriptor says", "copy the image"]),
        (0, 1 << 40, ["is declared with 1099511", "copy the image"]),
        (1, 1, ["bytes, its descriptor says", "copy the image"]),
    ] {
        let mut lie = parsed.clone();
        let old = lie["manifests"][entry]["size"].as_i64().unwrap();
        lie["manifests"][entry]["size"] = (old + size).into();
        fs::write(place.layout.0.join("index.json"), lie.to_string()).unwrap();
        both(place.layout.image(), 20, &[&path, words[0], words[1]]);
    }
    fs::write(place.layout.0.join("index.json"), &index[..index.len() / 2]).unwrap();
    both(place.layout.image(), 20, &[&path, "index.json"]);
    fs::remove_file(place.layout.0.join("index.json")).unwrap();
    symlink("/etc/passwd", place.layout.0.join("index.json")).unwrap();
    both(place.layout.image(), 20, &[&path, "index.json is a symbolic link"]);
}

#[test]
fn an_existing_key_is_never_overwritten() {
    let place = Place::new();
    let prefix = place.folder.join("mine");
    for (there, gone) in [("mine.key", "mine.pub"), ("mine.pub", "mine.key")] {
        fs::write(place.folder.join(there), "precious").unwrap();
        let mut command = place.program([Path::new("keygen"), &prefix]);
        refused(&mut command, 1, &[there, "is there already and is not overwritten", "choose another name"]);
        assert_eq!(fs::read_to_string(place.folder.join(there)).unwrap(), "precious");
        assert!(!place.folder.join(gone).exists());
        fs::remove_file(place.folder.join(there)).unwrap();
    }
    succeeded(&place.program([Path::new("keygen"), &prefix]).output().unwrap());
    let mut made = String::new();
    File::open(place.folder.join("mine.key")).unwrap().read_to_string(&mut made).unwrap();
    assert!(made.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
    assert_eq!(fs::metadata(place.folder.join("mine.key")).unwrap().mode() & 0o777, 0o600);
}
