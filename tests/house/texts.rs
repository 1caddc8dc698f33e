//! The rules of what is written: how long a line is, what it may cite, and what it never names.

use super::{Source, none, pages, sources};
use std::path::{Path, PathBuf};

#[test]
fn lines_of_code_and_prose_are_short() {
    const COLUMNS_MAX: usize = 110;
    let is_row = |line: &str| line.trim_start().trim_start_matches("//!").trim_start().starts_with('|');
    // A message, a query: to be found as it stands.
    let is_one_span = |line: &str| line.split('`').skip(1).step_by(2).any(|span| span.chars().count() > 80);
    // A key, an address: what cannot be broken.
    let is_one_word = |line: &str| line.split_whitespace().any(|word| word.chars().count() > 80);
    let mut offences = Vec::new();
    for file in ["src", "tests", "benches", "fuzz", "loadtest"].into_iter().flat_map(sources).chain(pages()) {
        let mut fenced = false;
        for (index, line) in file.text.lines().enumerate() {
            fenced ^= file.path.ends_with(".md") && line.trim_start().starts_with("```");
            let may_be_long = fenced || is_row(line) || is_one_word(line) || is_one_span(line);
            if line.chars().count() > COLUMNS_MAX && !may_be_long {
                offences.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none("a line has 110 columns at the most, but rows of tables and examples", offences);
}

#[test]
fn open_ends_are_not_left_in_the_code() {
    let files: Vec<Source> =
        ["src", "tests", "benches", "fuzz", "loadtest"].into_iter().flat_map(sources).collect();
    // Written in halves, so that this file may be searched, too.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("]];
    let words = words.map(|halves| halves.concat());
    let mut offences = Vec::new();
    for file in &files {
        for (index, line) in file.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                offences.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none("open ends are issues or lines of ARCHITECTURE.md", offences);
}

#[test]
fn sources_are_those_that_a_reader_can_open() {
    let mut files: Vec<Source> =
        ["src", "tests", "benches", "fuzz", "loadtest"].into_iter().flat_map(sources).collect();
    files.extend(pages());
    // Written in halves, so that this file may be searched, too.
    let notes = [["surface ", "section"], ["surface ", "notes"], ["sur", "face, section"], ["../", "shared"]];
    let notes = notes.map(|halves| halves.concat());
    let mut offences = Vec::new();
    for file in &files {
        for (index, line) in file.text.lines().enumerate() {
            if notes.iter().any(|note| line.contains(note.as_str())) {
                offences.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none("PgBouncer's documents and source, PostgreSQL's documentation and RFCs are cited", offences);
}

#[test]
fn the_repository_names_no_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Written in parts, so that this file may be searched, too.
    let parts: [&[&str]; 5] = [
        &[&root.to_string_lossy()],
        &["/", "root", "/"],
        &["/", "home", "/"],
        &["registry", ".npmjs"],
        &["pypi", ".org"],
    ];
    let places = parts.map(|parts| parts.concat());
    let mut offences = Vec::new();
    let mut open: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs",
        "CHANGELOG.md",
        "Makefile",
        "src",
        "tests",
        "configs",
        "loadtest",
        "benches",
        ".ci",
    ]
    .map(|name| root.join(name))
    .into();
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["node_modules", "target", "results", "__pycache__"].contains(&name.as_str()) {
            open.extend(
                std::fs::read_dir(&path).expect("ours").map(|entry| entry.expect("can be read").path()),
            );
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let found = places.iter().filter(|place| text.contains(place.as_str()));
            offences.extend(found.map(|place| format!("{}: {place}", path.display())));
        }
    }
    none("no absolute path of a machine, no host of a registry", offences);
}
