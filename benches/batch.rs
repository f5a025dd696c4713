//! Batches: the time for 500 images at a round trip of 50 ms, and the peak memory for 1,000 to 100,000 images.
//!
//! Starts the program cosign-test-registry (COSIGN_TEST_REGISTRY) beside itself, so that only the client is measured.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use cosign_core::blocking::Client;
use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::encoding::base64;
use cosign_core::payload::simple_signing;
use cosign_core::{BatchOptions, Call, Digest, Format, KeyAlgorithm, Policy, PrivateKey, VerifyOptions};

/// More than a batch has in hand, so that going round in them shares nothing.
const IMAGES: usize = 4096;

struct Registry {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    host: String,
}

impl Registry {
    fn start() -> Registry {
        let program = std::env::var("COSIGN_TEST_REGISTRY").unwrap();
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut registry = Registry { child, commands, answers, host: String::new() };
        registry.host = registry.line().trim_start_matches("listening ").to_owned();
        registry
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        let answer = self.line();
        assert!(answer.starts_with("{\"ok\""), "{command}: {answer}");
    }

    /// Signs `count` images that are only digests, in so many repositories; returns their references.
    fn sign(&mut self, key: &PrivateKey, count: usize, repositories: usize) -> Vec<String> {
        self.tell(r#"{"set": {"check": "off"}}"#);
        let image = |n: usize| {
            let repository = format!("team/app{}", n % repositories);
            let name = format!("{}/{repository}", self.host);
            let digest = Digest::sha256(&n.to_le_bytes());
            let payload = simple_signing::write(&name, &digest, &Default::default());
            let signature = key.sign(&payload).unwrap();
            let made =
                legacy::append(None, &NewSignature { signature, payload, annotations: Default::default() }, false)
                    .unwrap();
            let (tag, bytes) = (legacy::tag(&digest, legacy::SUFFIX), base64::encode(&made.manifest));
            self.tell(&format!(
                r#"{{"add_manifest": {{"repository": "{repository}", "tag": "{tag}", "media_type": "{}", "base64": "{bytes}"}}}}"#,
                made.media_type
            ));
            format!("{name}@{digest}")
        };
        (0..count).map(image).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verify(
    client: &Client,
    references: impl Iterator<Item = String>,
    key: &PrivateKey,
    format: Option<Format>,
) -> usize {
    let (policy, options) = (Policy::new().with_key(key.public_key()), VerifyOptions { format, ..Default::default() });
    let batch = client.verify_images(references, &policy, &options, &BatchOptions::default(), &Call::new()).unwrap();
    batch.map(|result| result.outcome.unwrap().count()).sum()
}

/// A number of kB that the kernel tells of this process.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    println!("batches, beside a registry in another process");
    // The test registry looks through a whole repository for each list of referrers: that is not to be measured here.
    for (name, referrers, repositories) in [("tags only", "off", 1), ("a referrers API", "on", 100)] {
        let mut registry = Registry::start();
        registry.tell(&format!(r#"{{"set": {{"referrers": "{referrers}"}}}}"#));
        let references = registry.sign(&key, 500, repositories);
        for (formats, format) in [("legacy", Some(Format::Legacy)), ("both formats", None)] {
            let client = Client::new(Default::default()).unwrap();
            // The host and the repository are known.
            verify(&client, references.iter().take(1).cloned(), &key, format);
            registry.tell(r#"{"set": {"latency_ms": 50}}"#);
            let mut times: Vec<f64> = (0..3)
                .map(|_| {
                    let started = Instant::now();
                    assert_eq!(verify(&client, references.iter().cloned(), &key, format), 500);
                    started.elapsed().as_secs_f64()
                })
                .collect();
            times.sort_by(f64::total_cmp);
            registry.tell(r#"{"set": {"latency_ms": 0}}"#);
            let [least, median, _] = times[..] else { return };
            println!(
                "  500 images at 50 ms, {name}, {formats}: {median:.2} s, at best {least:.2} s (wanted: <= 0.60 s)"
            );
        }
    }
    let mut registry = Registry::start();
    let references = registry.sign(&key, IMAGES, 1);
    let client = Client::new(Default::default()).unwrap();
    for count in [1_000, 10_000, 100_000] {
        let started = Instant::now();
        let cycle = references.iter().cycle().take(count).cloned();
        assert_eq!(verify(&client, cycle, &key, Some(Format::Legacy)), count);
        let seconds = started.elapsed().as_secs_f64();
        let (peak, now) = (memory("VmHWM"), memory("VmRSS"));
        println!("  {count:7} images: peak {peak:6} kB, now {now:6} kB, {:.0} images/s", count as f64 / seconds);
    }
}
