//! The fuzz targets on stable: every file of their corpora, and mutations of them from a fixed seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cosign_tests::fuzz::TARGETS;

const MAX_FILES: usize = 60;
const MAX_BYTES: usize = 8 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder("corpus").join(target)).unwrap_or_else(|e| panic!("{target} has no corpus: {e}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// xorshift64*: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// What formats are sensitive to.
const TOKENS: [&[u8]; 20] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e9",
    b"0.1",
    b"@",
    b"/",
    b"..",
    b"=",
    b"\0",
    b"\xff",
    b"\xe2\x84\xaa",
    b"\n",
];

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = at + random.below((data.len() - at).min(32) + 1);
        match random.below(7) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 => drop(data.drain(at..end)),
            3 => {
                let copy = data[at..end].to_vec();
                let to = random.below(data.len() + 1);
                data.splice(to..to, copy);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            5 => data.truncate(at),
            _ => drop(data.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
        }
    }
    data.truncate(MAX_BYTES);
    data
}

/// Runs a target's corpus and mutations of it. Its own files must reach both verdicts, or it tests nothing.
fn run(name: &str, mutations: usize) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target of this name");
    let corpus = corpus(name);
    assert!(corpus.len() <= MAX_FILES && corpus.iter().all(|file| file.len() <= MAX_BYTES), "{name}: keep it small");
    let accepted = corpus.iter().filter(|file| target(file)).count();
    assert!(accepted >= 5 && corpus.len() - accepted >= 5, "{name} accepts {accepted} of {} files", corpus.len());
    let mut random = Random(0x6c69_6263_6f73_6967);
    for _ in 0..mutations {
        target(&mutate(&mut random, &corpus));
    }
}

macro_rules! targets {
    ($($name:ident: $mutations:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $mutations);
        })*

        #[test]
        fn every_target_has_a_test_a_corpus_and_a_program() {
            let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(names.len(), TARGETS.len());
            assert_eq!(names, BTreeSet::from([$(stringify!($name).to_owned()),*]));
            let files = |name: &str| -> BTreeSet<String> {
                let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
                entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
            };
            assert_eq!(files("corpus"), names);
            assert_eq!(files("fuzz_targets"), names);
            let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
            for name in &names {
                assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
                let program = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
                assert!(program.contains(&format!("cosign_tests::fuzz::{name}(data)")), "{name}");
            }
        }
    };
}

targets! {
    key_file: 2_000,
    payload: 4_000,
    manifest_and_index: 2_000,
    bundle: 2_000,
    reference: 10_000,
    auth_challenge: 10_000,
    docker_config: 4_000,
    backends: 1_000,
}
