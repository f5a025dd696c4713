//! `docs/attacks.md` names a test for every attack; each of them must stand, as a test, in the file that its row names.

use std::path::Path;

/// The texts between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The rows of the tables that have a column of tests, without their heads.
fn rows(document: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in document.lines() {
        if line.starts_with("|---") {
            continue;
        }
        match (line.starts_with('|'), in_table) {
            (true, false) => assert!(line.trim_end().ends_with("| test |"), "a table without tests: {line}"),
            (true, true) => rows.push(line),
            _ => {}
        }
        in_table = line.starts_with('|');
    }
    rows
}

/// Whether `file` has a function `name` that runs as a test: nothing but attributes and comments stands between it and
/// its `#[test]`.
fn has_test(file: &str, name: &str) -> bool {
    let head = format!("fn {name}()");
    let lines: Vec<&str> = file.lines().map(str::trim_start).collect();
    lines.iter().enumerate().filter(|(_, line)| line.trim_start_matches("async ").starts_with(&head)).any(|(at, _)| {
        let before = lines[..at].iter().rev();
        let mut attributes = before.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| matches!(*line, "#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_named_in_the_document_stands_in_the_file_of_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = std::fs::read_to_string(root.join("docs/attacks.md")).expect("docs/attacks.md");
    let mut named = 0;
    for row in rows(&document) {
        let tests = row.trim_end().trim_end_matches('|').rsplit('|').next().expect("a last column");
        let (mut path, mut file, mut found) = ("", String::new(), 0);
        // A file behind which nothing is named maps nothing.
        let mut of_file = 1;
        for word in quoted(tests) {
            if word.ends_with(".rs") {
                assert!(of_file > 0, "{path} is named without a test of it: {row}");
                file = std::fs::read_to_string(root.join(word)).unwrap_or_else(|e| panic!("{word}: {e}"));
                (path, of_file) = (word, 0);
                if tests.contains("`compile_fail` example") {
                    assert!(file.contains("```compile_fail"), "no such example in {path}: {row}");
                    (found, of_file) = (found + 1, 1);
                }
            } else if word != "compile_fail" {
                assert!(has_test(&file, word), "no test {word} in {path:?}: {row}");
                (found, of_file) = (found + 1, of_file + 1);
            }
        }
        assert!(found > 0 && of_file > 0, "no test is named: {row}");
        named += found;
    }
    assert!(named > 100, "only {named} tests are named");
}

#[test]
fn a_test_is_a_function_with_the_attribute_in_that_file() {
    let file = "#[test]\nfn one() {}\n\nfn two() {}\n\n    /// Why.\n    #[test]\n    // 3\n    fn three() {}\n#[test]\nfn three_more() {}\n";
    for (name, is_there) in
        [("one", true), ("two", false), ("three", true), ("three_more", true), ("three_", false), ("four", false)]
    {
        assert_eq!(has_test(file, name), is_there, "{name}");
    }
    assert_eq!(rows("| case | test |\n|---|---|\n| 1 | `a` |\n\ntext | x |\n"), ["| 1 | `a` |"]);
}
