//! `docs/attacks.md` names a test for every attack; each of them must exist where it says.

use std::path::Path;

#[test]
fn every_test_named_in_the_document_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = std::fs::read_to_string(root.join("docs/attacks.md")).expect("docs/attacks.md");
    let (mut file, mut named) = (String::new(), 0);
    for word in document.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            file = std::fs::read_to_string(root.join(word)).unwrap_or_else(|e| panic!("{word}: {e}"));
        } else if word.len() > 10 && word.contains('_') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            if word == "compile_fail" {
                continue;
            }
            assert!(file.contains(&format!("fn {word}()")), "no test {word} in the file that docs/attacks.md names");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}
