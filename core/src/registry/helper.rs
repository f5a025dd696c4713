//! Credential helpers: docker's protocol for programs that keep secrets elsewhere (keychains, clouds).
//!
//! `docker-credential-<name> get` reads the server's name from its input and writes one JSON object. Nothing of it is
//! ever shown, and it does not outlive the call that waits for it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::auth::Credential;
use super::limits::{self, bounded};
use crate::call::Call;
use crate::error::{Code, Error, Result};

/// What a helper says when it has nothing for the server; everything else is an error.
const NOTHING: &str = "credentials not found in native keychain";

/// The credential that the helper `name` keeps for `host`.
pub(super) async fn get(name: &str, host: &str, call: &Call) -> Result<Option<Credential>> {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    let fail = |why: &str| {
        let text = format!("registry {host}: the credential helper docker-credential-{shown} {why}");
        Error::new(Code::Auth, text).with("registry", host).with("helper", shown.as_str())
    };
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(sound) {
        return Err(fail("is not started: its name is not made of letters, digits, '.', '_' and '-'"));
    }
    let program = format!("docker-credential-{name}");
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that what it starts ends with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| fail(&format!("cannot be started: {error}")))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut child = Running(child);
    let server = match host {
        "index.docker.io" => "https://index.docker.io/v1/".to_owned(),
        host => host.to_owned(),
    };
    let (done, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // A helper that does not read its input may still answer.
        let _ = input.map(|mut input| input.write_all(server.as_bytes()));
        let cap = usize::try_from(limits::HELPER).unwrap_or(usize::MAX).saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let mut piece = Zeroizing::new([0; 4096]);
        let mut output = output;
        while let Some(Ok(read @ 1..)) = output.as_mut().map(|output| output.read(piece.as_mut())) {
            bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
            if bytes.len() >= cap {
                break;
            }
        }
        let _ = done.send(bytes);
    });
    let late = || fail("did not answer within 30 s");
    let bytes = bounded(call, limits::HELPER_TIME, late, answer).await?.unwrap_or_default();
    if u64::try_from(bytes.len()).map_or(true, |length| length > limits::HELPER) {
        return Err(fail("answered more than 1 MiB"));
    }
    let status = async {
        loop {
            match child.0.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(2)).await,
                other => return other,
            }
        }
    };
    let status = bounded(call, limits::HELPER_TIME, || fail("did not end within 30 s"), status).await?;
    if !matches!(status, Ok(Some(status)) if status.success()) {
        return match String::from_utf8_lossy(&bytes).contains(NOTHING) {
            true => Ok(None),
            false => Err(fail("failed")),
        };
    }
    parse(&bytes).ok_or_else(|| fail("did not answer with a user name and a secret"))
}

/// `Some(None)`: an answer that holds nothing.
fn parse(bytes: &[u8]) -> Option<Option<Credential>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // A derived reader would take a list for the object.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let (user, password) = (answer.username, Zeroizing::new(answer.secret));
    Some(match (user.as_str(), password.is_empty()) {
        ("", true) => None,
        ("<token>", _) => Some(Credential::IdentityToken(password)),
        _ => Some(Credential::Basic { user, password }),
    })
}

/// A helper that ends when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        let read = |json: &str| parse(json.as_bytes());
        let basic = read(r#"{"ServerURL":"a","Username":"u","Secret":"s"}"#);
        assert!(matches!(basic, Some(Some(Credential::Basic { user, password })) if user == "u" && *password == "s"));
        let token = read(r#"{"ServerURL":"a","Username":"<token>","Secret":"s"}"#);
        assert!(matches!(token, Some(Some(Credential::IdentityToken(token))) if *token == "s"));
        assert!(matches!(read(r#"{"ServerURL":"a","Username":"","Secret":""}"#), Some(None)));
        for bad in ["", "{}", r#"["a","u","s"]"#, r#"{"Username":"u"}"#, r#"{"Username":1,"Secret":"s"}"#] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
