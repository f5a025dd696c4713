//! Writes every file that follows from the table of error codes and from the exported functions.
//!
//! `cargo run -p cosign-tests --bin generate` writes them; with `-- --check` it writes nothing, and fails naming each
//! file that differs. One table and one set of signatures, so that no language can drift from another.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cbindgen::{Builder, Config, DocumentationStyle, Language, SortKey, Style};
use cosign_core::error::{Class, Code, Row};

/// The sources of the C ABI, in the order in which the header tells its story.
const SOURCES: &[&str] = &[
    "library",
    "error",
    "buffer",
    "secret",
    "call",
    "key",
    "client",
    "sign",
    "signed",
    "policy",
    "verify",
    "verification",
    "maintain",
    "batch",
    "blob",
    "generate",
    "attach",
    "download",
    "triangulate",
    "tree",
    "doctor",
];
const WIDTH: usize = 120;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|argument| argument == "--check");
    match run(&root(), check) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(stale) => {
            eprintln!("{stale} generated file(s) out of date: run cargo run -p cosign-tests --bin generate");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(root: &Path, check: bool) -> Outcome<usize> {
    let header = header(root)?;
    let files = [
        ("ffi/symbols.txt", symbols(&header)),
        ("include/cosign.h", header),
        ("python/py/cosign/errors_table.py", python()),
        ("examples/go/cosign/codes.go", go()),
        ("docs/errors.md", docs()),
    ];
    let mut stale = 0;
    for (name, text) in &files {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if check {
            eprintln!("{name} differs from what the sources say");
            stale += 1;
        } else {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, text)?;
            println!("wrote {name}");
        }
    }
    println!("{} generated files, {} up to date", files.len(), files.len() - stale);
    Ok(stale)
}

/// cbindgen's output under the recipe that C89 to C++20 accept: opaque types, integers, `#define`s; the include guard
/// and `extern "C"` are written here because cbindgen's own carry `//` comments, which C89 refuses.
fn header(root: &Path) -> Outcome<String> {
    let config = Config {
        language: Language::C,
        style: Style::Type,
        documentation: true,
        documentation_style: DocumentationStyle::Doxy,
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        usize_is_size_t: true,
        line_length: WIDTH,
        header: Some(format!("{}\n#ifndef COSIGN_H\n#define COSIGN_H", preamble(root)?)),
        after_includes: Some(defines()),
        trailer: Some("#ifdef __cplusplus\n}\n#endif\n\n#endif".into()),
        function: cbindgen::FunctionConfig {
            prefix: Some("COSIGN_API".into()),
            must_use: Some("COSIGN_MUST_USE".into()),
            deprecated_with_note: Some("COSIGN_DEPRECATED({})".into()),
            sort_by: Some(SortKey::None),
            args: cbindgen::Layout::Auto,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut builder = Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(root.join(format!("ffi/src/{name}.rs")));
    }
    let mut bytes = Vec::new();
    builder.generate()?.write(&mut bytes);
    let mut text = tidy(&String::from_utf8(bytes)?);
    text.push('\n');
    if !text.is_ascii() {
        // Compilers of every age read the header; only the ellipsis of our comments is not ASCII.
        text = text.replace('…', "...");
    }
    match text.chars().find(|c| !c.is_ascii()) {
        Some(strange) => {
            Err(format!("the header would hold {strange:?}: keep the comments of ffi/src in ASCII").into())
        }
        None => Ok(text),
    }
}

/// One blank line between things, and none at the end.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    let mut blank = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            blank = true;
            continue;
        }
        if blank && !tidy.is_empty() {
            tidy.push('\n');
        }
        blank = false;
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

/// The ten rules: the crate documentation of ffi.
fn preamble(root: &Path) -> Outcome<String> {
    let source = fs::read_to_string(root.join("ffi/src/lib.rs"))?;
    let mut comment = String::new();
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let lead = if comment.is_empty() { "/*" } else { " *" };
        writeln!(comment, "{}", format!("{lead}{line}").trim_end())?;
    }
    comment.push_str(" *\n * Written by the generate tool from ffi/src: change it there.\n */");
    Ok(comment)
}

fn version() -> (&'static str, [u32; 3]) {
    let part = |text: &str| text.parse().unwrap_or(0);
    let numbers = [
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    ];
    (env!("CARGO_PKG_VERSION"), numbers)
}

fn defines() -> String {
    let (text, [major, minor, patch]) = version();
    let mut out = format!(
        r#"
/** The version this header belongs to; cosign_version_number() tells the one that runs. */
#define COSIGN_VERSION_MAJOR {major}
#define COSIGN_VERSION_MINOR {minor}
#define COSIGN_VERSION_PATCH {patch}
#define COSIGN_VERSION_NUMBER 0x{major:02x}{minor:02x}{patch:02x}
#define COSIGN_VERSION "{text}"

#if defined(_WIN32) && !defined(COSIGN_STATIC)
#define COSIGN_API __declspec(dllimport)
#elif defined(__GNUC__)
#define COSIGN_API __attribute__((visibility("default")))
#else
#define COSIGN_API
#endif

#if defined(__GNUC__)
#define COSIGN_MUST_USE __attribute__((warn_unused_result))
#else
#define COSIGN_MUST_USE
#endif

/** Success. */
#define COSIGN_OK 0
/** Only returned by callbacks: "I have no answer, go on without me". */
#define COSIGN_PASSTHROUGH 1

"#
    );
    let widest = Code::TABLE.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut class = None;
    for row in Code::TABLE {
        if class.is_some_and(|previous| previous != row.number / 100) {
            out.push('\n');
        }
        class = Some(row.number / 100);
        let _ = writeln!(out, "/** {} */\n#define COSIGN_ERR_{:widest$} {}", row.summary, row.name, row.number);
    }
    out.push_str("\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    out
}

/// The functions that the header declares, sorted: what the shared library exports and the archive keeps.
fn symbols(header: &str) -> String {
    let mut names: Vec<&str> = header
        .split(';')
        .filter_map(|declaration| declaration.rsplit_once("COSIGN_API"))
        .filter_map(|(_, rest)| rest.split_once('('))
        .filter_map(|(before, _)| before.split([' ', '*', '\n']).rfind(|word| word.starts_with("cosign_")))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join("\n") + "\n"
}

fn python() -> String {
    let mut out = String::from(
        "# Written by `cargo run -p cosign-tests --bin generate` from core/src/error.rs: change it there.\n\
         \"\"\"The table of error codes: name -> (number, exit code, exception class, retryable, class).\"\"\"\n\n\
         from __future__ import annotations\n\n\
         ERRORS: dict[str, tuple[int, int, str, bool, str]] = {\n",
    );
    for row in Code::TABLE {
        let Row { number, exit_code, python, .. } = row;
        let retryable = if row.retryable { "True" } else { "False" };
        let _ = writeln!(
            out,
            "    \"{}\": ({number}, {exit_code}, \"{python}\", {retryable}, \"{}\"),",
            row.name,
            row.class.name()
        );
    }
    out + "}\n"
}

fn go() -> String {
    let mut out = String::from(
        "// Code generated by \"cargo run -p cosign-tests --bin generate\"; DO NOT EDIT.\n\n\
         package cosign\n\n\
         // The codes of [Error.Code].\nconst (\n",
    );
    for row in Code::TABLE {
        let name = format!("{:?}", row.code);
        let _ = writeln!(out, "\t// Err{name}: {}\n\tErr{name} = {}", row.summary, row.number);
    }
    out + ")\n"
}

fn docs() -> String {
    let mut out = String::from(
        "<!-- Written by `cargo run -p cosign-tests --bin generate` from core/src/error.rs: change it there. -->\n\
         # Error codes\n\n\
         One table, the same in every language: `COSIGN_ERR_<NAME>` in C and C++, `cosign.Err<Name>` in Go, the exception\n\
         class in Python, `Code` in Rust, and the exit code of the command line. Numbers never change their meaning; expect\n\
         unknown ones in later versions and treat them by their class, which every error carries in its JSON: it is a column\n\
         of the table, and not the number's hundreds.\n\n\
         The verdicts never mix: **refused** means that evidence was read and rejected, **unknown** that it could not be\n\
         read, so nothing is known about the signatures.\n\n",
    );
    let meaning = |class: Class| match class {
        Class::Usage => "the call was wrong: an argument, a reference, a policy",
        Class::Key => "a key file, password or algorithm",
        Class::Refused => "evidence was read and does not satisfy the policy",
        Class::Unknown => "the evidence could not be read",
        Class::Stopped => "the caller stopped the call",
        Class::File => "a file could not be read or written",
        Class::Internal => "a defect in this library",
    };
    out.push_str("| class | meaning |\n|---|---|\n");
    let mut seen = Vec::new();
    for row in Code::TABLE {
        if !seen.contains(&row.class.name()) {
            seen.push(row.class.name());
            let _ = writeln!(out, "| {} | {} |", row.class.name(), meaning(row.class));
        }
    }
    out.push_str(
        "\n| number | name | class | exit code | Python | retryable | when |\n|---|---|---|---|---|---|---|\n",
    );
    for row in Code::TABLE {
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} | `{}` | {} | {} |",
            row.number,
            row.name,
            row.class.name(),
            row.exit_code,
            row.python,
            if row.retryable { "yes" } else { "no" },
            row.summary
        );
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_are_up_to_date() {
        assert_eq!(super::run(&super::root(), true).unwrap(), 0);
    }

    #[test]
    fn symbols_come_from_declarations_alone() {
        let header = "/** cosign_x(1); */\nCOSIGN_API\nCOSIGN_MUST_USE\ncosign_code cosign_b(int *a);\n\
                      COSIGN_API const char *cosign_a(void);\n";
        assert_eq!(super::symbols(header), "cosign_a\ncosign_b\n");
    }
}
