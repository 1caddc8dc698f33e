//! The rules of the house that a machine can check, by plain text scan of `src/`: the rank of the
//! rooms, where bytes of the protocol may be spelt, where `unsafe` may stand, what files must say
//! and how long they may be.
//!
//! Comments, `tests.rs` and the tests at the foot of a file are left out where a rule is
//! about the program itself.

mod circles;
mod crates;
mod messages;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The rooms, lowest first; a room imports only rooms before it.
const RANK: &[&str] = &[
    "base", "wire", "config", "auth", "identity", "stats", "tasks", "audit", "core", "io", "tls", "worker",
    "iam", "secrets", "control", "clients", "servers", "status", "console", "observe", "boot",
];

/// Rooms that import less than their rank would let them.
const NARROW: &[(&str, &[&str])] = &[
    ("iam", &["base", "wire", "config", "auth", "identity", "stats", "tasks", "audit", "tls", "iam"]),
    ("secrets", &["base", "config", "auth", "stats", "tasks", "audit", "iam", "secrets"]),
    // Clients' logins and logins to servers meet in `control` alone.
    (
        "servers",
        &[
            "base", "wire", "config", "auth", "identity", "stats", "tasks", "audit", "core", "io", "tls",
            "worker", "iam", "secrets", "control", "servers",
        ],
    ),
];

/// Rooms that touch no socket, no task and no clock.
const PURE: &[&str] = &["base", "wire", "config", "auth", "identity", "stats", "core"];

/// Where a `static` may stand, by file and name: tables that never change and are too large to copy.
const STATICS: &[(&str, &str)] = &[
    ("src/console/tables.rs", "TABLES"),
    // A thread's, for as long as it unwinds: the panic hook has no other way to who catches.
    ("src/tasks/panics.rs", "CATCHERS"),
    ("src/tasks/panics.rs", "WORDS"),
];

/// Lines of a file, tests at its foot included.
const LINES_MAX: usize = 500;

/// Lines of a file's program.
const PROGRAM_LINES_MAX: usize = 400;

struct Source {
    /// Path from the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn room(&self) -> Option<&str> {
        let (room, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        Some(room)
    }

    /// Lines before the tests at the foot; none where the file is a test's.
    fn program_lines(&self) -> usize {
        if !self.path.starts_with("src/") || self.path.contains("/tests") {
            return 0;
        }
        self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
    }

    /// Numbered lines of the program itself: no comments, no tests at the foot.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let tests = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let body = numbered.take_while(move |(_, line)| !tests && !line.starts_with("#[cfg(test)]"));
        body.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(directory)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory of ours");
            let skipped = ["target", "node_modules"].map(std::ffi::OsStr::new);
            let kept = |path: &PathBuf| !path.file_name().is_some_and(|name| skipped.contains(&name));
            open.extend(entries.map(|entry| entry.expect("can be read").path()).filter(kept));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("source is UTF-8");
            let path = path.strip_prefix(root).expect("found below it").to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The pages of prose.
fn pages() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("ours");
    let docs = docs.map(|entry| entry.expect("can be read").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let top = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];
    let top = top.into_iter().chain(["configs/README.md"]).map(|name| root.join(name));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("it is there");
        Source { path: path.strip_prefix(root).expect("found below it").to_string_lossy().into_owned(), text }
    };
    docs.chain(top).map(read).collect()
}

/// Panics with every offence, not just the first.
#[track_caller]
fn none(rule: &str, offences: Vec<String>) {
    let mut text = String::new();
    for offence in &offences {
        let _ = writeln!(text, "  {offence}");
    }
    assert!(offences.is_empty(), "{rule}:\n{text}");
}

/// Every line of the program in `files` for which `offends` holds.
fn lines<'a>(
    files: impl IntoIterator<Item = &'a Source>,
    offends: impl Fn(&Source, &str) -> bool,
) -> Vec<String> {
    let mut offences = Vec::new();
    for file in files {
        for (number, line) in file.program().filter(|(_, line)| offends(file, line)) {
            offences.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    offences
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

#[test]
fn rooms_import_downwards_only() {
    let rank: BTreeMap<&str, usize> = RANK.iter().enumerate().map(|(rank, room)| (*room, rank)).collect();
    let files = sources("src");
    let mut offences = Vec::new();
    for file in &files {
        let Some(room) = file.room() else { continue };
        let Some(own) = rank.get(room) else {
            offences.push(format!("{}: room `{room}` has no rank", file.path));
            continue;
        };
        let narrow = NARROW.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        for (number, line) in file.program() {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                match rank.get(name.as_str()) {
                    Some(other) if other <= own && narrow.is_none_or(|all| all.contains(&name.as_str())) => {}
                    Some(_) => offences.push(format!("{}:{number}: {room} imports {name}", file.path)),
                    None => offences.push(format!("{}:{number}: `crate::{name}` is no room", file.path)),
                }
            }
        }
    }
    none("imports go down only, and one room a line (no `use crate::{..}`)", offences);
}

#[test]
fn every_room_is_on_the_map() {
    let read = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("is there")
    };
    let (map, library) = (read("ARCHITECTURE.md"), read("src/lib.rs"));
    let built = RANK.iter().filter(|room| library.contains(&format!("mod {room};")));
    let missing = built.filter(|room| !map.contains(&format!("`{room}`")));
    none("ARCHITECTURE.md tells what each room does", missing.map(ToString::to_string).collect());
}

#[test]
fn a_walk_has_twelve_files_at_the_most() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let map = std::fs::read_to_string(path).expect("is there");
    let (_, walks) = map.split_once("## Five walks\n").expect("the section is there");
    let walks = walks.split("\n## ").next().expect("one part at least");
    let lengths = walks.split("\n\n").filter(|walk| walk.starts_with("**")).map(|walk| {
        let files: BTreeSet<_> = walk.split('`').filter(|name| name.ends_with(".rs")).collect();
        (walk.split("**").nth(1).unwrap_or_default(), files.len())
    });
    let lengths: Vec<_> = lengths.collect();
    assert_eq!(lengths.len(), 5, "{lengths:?}");
    let long = lengths.iter().filter(|(_, files)| *files > 12 || *files < 5);
    none("a walk has twelve files at the most", long.map(|walk| format!("{walk:?}")).collect());
}

#[test]
fn the_map_names_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("is there");
    let names = map.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && name.contains('/'));
    let is_there = |name: &&str| {
        let name = name.trim_start_matches("src/");
        ["", "src"].iter().any(|folder| root.join(folder).join(name).exists()) || name.contains('*')
    };
    let (found, missing): (Vec<_>, Vec<_>) = names.partition(is_there);
    assert!(found.len() > 40, "the walks are there: {found:?}");
    none("ARCHITECTURE.md names files that are there", missing.iter().map(ToString::to_string).collect());
}

#[test]
fn pure_rooms_have_no_sockets_tasks_or_clocks() {
    let banned = [
        "tokio::",
        "rustls::",
        "socket2",
        "std::net::Tcp",
        "std::net::Udp",
        "UnixStream",
        "Instant::now",
        "SystemTime::now",
        "thread::spawn",
        "async fn",
        ".await",
    ];
    let files = sources("src");
    let pure = files.iter().filter(|file| file.room().is_some_and(|room| PURE.contains(&room)));
    none(
        "pure rooms take time and bytes as arguments",
        lines(pure, |_, line| banned.iter().any(|word| line.contains(word))),
    );
}

#[test]
fn sockets_and_tls_are_named_only_where_they_belong() {
    let files = sources("src");
    let allowed = |file: &Source| {
        let is_client_of_aws = ["src/iam/http.rs", "src/iam/tls_refusal.rs"].contains(&&*file.path);
        is_client_of_aws
            || matches!(
                file.room(),
                Some("io" | "tls" | "worker" | "clients" | "servers" | "observe" | "boot" | "console")
            )
    };
    let outside = files.iter().filter(|file| !allowed(file));
    none(
        "sockets and TLS belong to io, tls, worker, clients, servers, observe, boot, and the client of AWS",
        lines(outside, |_, line| {
            ["tokio::net", "rustls::", "socket2::", "rustix::net"].iter().any(|word| line.contains(word))
        }),
    );
}

/// Of the program only the drivers; and one file of the bare relays that it is measured against, where the
/// kernel fills and reads memory that only such a relay leaves to it.
#[test]
fn unsafe_is_only_in_io() {
    let files: Vec<Source> = ["src", "loadtest"].into_iter().flat_map(sources).collect();
    let may = |file: &Source| file.room() == Some("io") || file.path == "loadtest/relay/src/ring.rs";
    let mut offences = lines(files.iter().filter(|file| !may(file)), |_, line| {
        has_word(line, "unsafe") || line.contains("allow(unsafe_code)")
    });
    for file in files.iter().filter(|file| may(file)) {
        let text: Vec<&str> = file.text.lines().collect();
        for (index, _) in text.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            if !text[index.saturating_sub(6)..index].iter().any(|line| line.contains("SAFETY:")) {
                offences.push(format!("{}:{}: no SAFETY: above it", file.path, index + 1));
            }
        }
    }
    none("`unsafe` stands only in io, under its reason", offences);
}

#[test]
fn every_task_begins_in_tasks() {
    let files = sources("src");
    let elsewhere = files.iter().filter(|file| file.room() != Some("tasks"));
    none(
        "a task begins by tasks::spawn or tasks::blocking, so that its panic is told and counted",
        lines(elsewhere, |_, line| {
            let bare = ["tokio::spawn", "spawn_blocking", "spawn_local", "tokio::task::spawn", "set_hook"];
            let of_hook = line.contains("set_hook(") && line.contains("panic::");
            let is_set = line.contains("tasks.spawn(") || line.contains("spawn_on(");
            let of_set = is_set && !line.contains("tasks::keep");
            (bare.iter().any(|word| line.contains(word)) && !of_hook) || of_set
        }),
    );
    let program: String = files.iter().flat_map(|file| file.program().map(|(_, line)| line)).collect();
    assert!(program.contains("tokio::spawn(guarded("), "the rule looks for what is there");
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(manifest.expect("ours").contains("panic = \"unwind\""), "a panic must not end the process");
}

#[test]
fn tags_are_spelt_once() {
    let files = sources("src");
    let elsewhere = files.iter().filter(|file| file.path != "src/wire/tags.rs");
    none(
        "tags of the protocol stand in wire/tags.rs and are used by name",
        lines(elsewhere, |file, line| {
            let room = matches!(
                file.room(),
                Some("wire" | "core" | "clients" | "servers" | "control" | "console" | "worker" | "io")
            );
            room && line.match_indices("b'").any(|(at, _)| {
                let rest = &line.as_bytes()[at + 2..];
                rest.first().is_some_and(u8::is_ascii_alphabetic) && rest.get(1) == Some(&b'\'')
            })
        }),
    );
}

#[test]
fn sqlstates_are_spelt_once() {
    let files = sources("src");
    let elsewhere = files.iter().filter(|file| file.path != "src/wire/sqlstate.rs");
    none(
        "SQLSTATEs stand in wire/sqlstate.rs and are used by name",
        lines(elsewhere, |_, line| {
            line.split('"').skip(1).step_by(2).any(|text| {
                let code = text.len() == 5
                    && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
                code && text.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
                    && text.bytes().any(|byte| byte.is_ascii_digit())
            })
        }),
    );
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut offences = Vec::new();
    for file in ["src", "tests", "benches", "fuzz", "loadtest"].into_iter().flat_map(sources) {
        if !file.text.starts_with("//!") {
            offences.push(format!("{}: does not begin with //!", file.path));
        }
        let count = file.text.lines().count();
        if count > LINES_MAX {
            offences.push(format!("{}: {count} lines, more than {LINES_MAX}", file.path));
        }
        let program = file.program_lines();
        if program > PROGRAM_LINES_MAX {
            offences.push(format!("{}: {program} lines, more than {PROGRAM_LINES_MAX}", file.path));
        }
    }
    none("every file says what it is and stays below the limit", offences);
}

#[test]
fn nothing_is_global() {
    let files = sources("src");
    none(
        "no global state",
        lines(&files, |file, line| {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let name = line.strip_prefix("static ").map(|rest| rest.split(':').next().unwrap_or_default());
            name.is_some_and(|name| !STATICS.contains(&(file.path.as_str(), name)))
        }),
    );
}

#[test]
fn names_and_crates_that_we_do_without() {
    let files = sources("src");
    none(
        "names say what a thing is; errors are typed",
        lines(&files, |_, line| {
            let banned_crate = line.contains("anyhow");
            let declares = ["struct ", "enum ", "trait ", "mod "].iter().any(|word| line.contains(word));
            let vague = ["Manager", "Helper", "Util", "mod utils", "mod helpers", "mod misc", "mod common"];
            banned_crate
                || line.contains("fn get_")
                || (declares && vague.iter().any(|word| line.contains(word)))
        }),
    );
}

#[test]
fn secrets_have_no_readable_debug() {
    let files = sources("src");
    none(
        "a String called password is printed by the first derive(Debug)",
        lines(&files, |_, line| {
            let line = line.trim_start().trim_start_matches("pub ");
            (line.starts_with("password:") || line.starts_with("secret:"))
                && line.contains("String")
                && line.ends_with(',')
        }),
    );
}
