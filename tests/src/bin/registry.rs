//! `cosign-test-registry`: the in-process registry as a process, driven by lines of JSON on standard input.
//!
//! What it understands stands in `cosign_tests::registry::control`.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use cosign_tests::registry::control::Control;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cosign-test-registry: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = std::env::args().nth(1).unwrap_or_default();
    let mut control = Control::start(&options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {}", control.host())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", control.line(&line?))?;
        out.flush()?;
    }
    Ok(())
}
