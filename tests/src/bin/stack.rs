//! `cosign-test-stack`: a whole Sigstore on loopback for tests in other languages. Prints `NAME=value` lines (those of
//! `tests/stack/up.sh`) and an empty one, and stops the servers when its standard input ends.

use std::io::{Read as _, Write as _};

use cosign_tests::oracle_stack::Stack;

fn main() -> std::io::Result<()> {
    let stack = Stack::start();
    let mut out = std::io::stdout().lock();
    for (name, value) in stack.values() {
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out)?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
