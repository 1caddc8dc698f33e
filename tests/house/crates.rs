//! Which outside crates, and which doors of the standard library to the machine, each room may name.
//!
//! A room that needs another one has got another job: that is decided here, in the open.

use super::{has_word, lines, none, sources};
use std::path::Path;

/// Receivers of the standard library to the machine. `std::net` stands for addresses, too;
/// sockets are another rule's.
const DOORS: &[&str] = &["std::env", "std::fs", "std::net", "std::process", "std::thread"];

/// The rooms, and what they may name. What is for everybody stands in [`EVERYBODY`].
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &["loom", "std::env", "std::net", "zeroize"]),
    ("wire", &[]),
    ("config", &["rustix", "std::fs", "std::net"]),
    ("auth", &["aws_lc_rs", "base64", "md5", "std::net", "stringprep", "subtle", "zeroize"]),
    ("identity", &["aws_lc_rs", "base64", "jiff", "jsonwebtoken", "regex", "serde", "serde_json", "zeroize"]),
    ("stats", &[]),
    ("tasks", &["rustix", "std::process", "std::thread", "tokio"]),
    (
        "audit",
        &["aws_lc_rs", "itoa", "jiff", "rtrb", "rustix", "std::fs", "std::process", "std::thread", "tokio"],
    ),
    ("core", &["arc_swap", "hashbrown", "lru", "slab", "std::net"]),
    ("io", &["io_uring", "libc", "rustix", "rustls", "slab", "socket2", "std::net"]),
    ("tls", &["aws_lc_rs", "rustls", "std::fs", "webpki", "x509_parser", "zeroize"]),
    ("worker", &["rustix", "slab", "std::thread", "tokio"]),
    (
        "iam",
        &[
            "arc_swap",
            "aws_config",
            "aws_credential_types",
            "aws_lc_rs",
            "aws_runtime",
            "aws_sdk_sts",
            "aws_sigv4",
            "aws_smithy_async",
            "aws_smithy_http_client",
            "aws_smithy_json",
            "aws_smithy_runtime_api",
            "aws_smithy_types",
            "aws_types",
            "base64",
            "fastrand",
            "http_body_util",
            "jiff",
            "nix",
            "rustix",
            "rustls",
            "std::env",
            "std::net",
            "std::process",
            "tokio",
            "zeroize",
        ],
    ),
    (
        "secrets",
        &[
            "arc_swap",
            "aws_smithy_json",
            "aws_smithy_types",
            "fastrand",
            // what the system tells of a file; opening is iam's
            "std::fs",
            "tokio",
            "zeroize",
        ],
    ),
    ("control", &["arc_swap", "aws_lc_rs", "dashmap", "lru", "std::thread", "tokio", "zeroize"]),
    (
        "clients",
        &[
            "arc_swap",
            "aws_lc_rs",
            "fastrand",
            "ldap3",
            "nix",
            "nonstick",
            "rustix",
            "rustls",
            "serde_json",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "tokio",
            "tokio_rustls",
            "zeroize",
        ],
    ),
    (
        "servers",
        &[
            "aws_lc_rs",
            "dashmap",
            "fastrand",
            "rustix",
            "rustls",
            "std::net",
            "std::process",
            "tokio",
            "tokio_rustls",
            "zeroize",
        ],
    ),
    ("status", &["std::net", "tokio"]),
    ("console", &["jiff", "tokio"]),
    (
        "observe",
        &[
            "bytes",
            "flate2",
            "jiff",
            "metrics",
            "metrics_exporter_prometheus",
            "rustix",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "tokio",
        ],
    ),
    (
        "boot",
        &[
            "jiff",
            "lexopt",
            "listenfd",
            "nix",
            "rustix",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "tokio",
        ],
    ),
];

/// What every room may name.
const EVERYBODY: &[&str] = &["thiserror", "tracing"];

/// The crates of `[dependencies]`, as code names them.
fn dependencies() -> Vec<String> {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("ours");
    let section = manifest.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next());
    let lines = section.expect("there are some").lines().filter_map(|line| line.split(" =").next());
    lines.map(|name| if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") }).collect()
}

/// Whether a line names the crate or module `name` as the begin of a path.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let is_begin =
            !before.ends_with("::") || before.trim_end_matches("::").is_empty() || before.ends_with(" ::");
        after.starts_with("::")
            && is_begin
            && has_word(&line[at..], name)
            && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn each_room_names_only_the_crates_that_are_its() {
    let known = dependencies();
    assert!(known.iter().any(|name| name == "tokio") && known.iter().any(|name| name == "md5"));
    let mut offences = Vec::new();
    for file in sources("src") {
        let Some(room) = file.room() else { continue };
        let allowed = ALLOWED.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| *allowed);
        for (number, line) in file.program() {
            let outside = known.iter().map(String::as_str).chain(DOORS.iter().copied());
            // `md5::` and the like are modules of ours, too, where a `use` says so
            let named = outside
                .filter(|name| names(line, name) && !allowed.contains(name) && !EVERYBODY.contains(name));
            let named = named.filter(|name| *name != "md5" || room == "auth");
            offences.extend(named.map(|name| format!("{}:{number}: {room} names {name}", file.path)));
        }
    }
    none("a room names no crate that is not its", offences);
}

/// What opens a file, and where it may stand: a pipe or a device in a file's place is no file, and what has
/// no end is not read.
const OPENERS: &[&str] = &[
    "fs::read",
    "fs::File",
    "File::open",
    "File::options",
    "OpenOptions::",
    "from_pem_file",
    "pem_file_iter",
];
const OPENING: &[&str] = &[
    // all that a setting names
    "src/config/read_file.rs",
    // what the environment and profiles of AWS name, by the same rule, without waiting
    "src/iam/file.rs",
    // the pidfile, to write it
    "src/boot/process.rs",
    // the log, to write it
    "src/observe/sink.rs",
    // the audit log, to write it
    "src/audit/output.rs",
    // what the system tells of the process
    "src/observe/system.rs",
    // tests'
    "src/boot/manual.rs",
    "src/tls/client/resumption.rs",
];

#[test]
fn files_are_read_in_one_place() {
    let files = sources("src");
    let opens = |line: &str| OPENERS.iter().any(|opener| line.contains(opener));
    let (inside, outside): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| OPENING.contains(&file.path.as_str()));
    none(
        "files that are named somewhere are read by config::read_file",
        lines(outside, |_, line| opens(line)),
    );
    let idle = inside.iter().filter(|file| !file.program().any(|(_, line)| opens(line)));
    none("each place that may open files does", idle.map(|file| file.path.clone()).collect());
}

/// Two features of jsonwebtoken choose a cryptographic library; which of the two verifies, when both are on,
/// is not ours to say.
#[test]
fn tokens_are_verified_by_the_one_cryptographic_library() {
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let manifest = read("Cargo.toml").expect("ours");
    let line = manifest.lines().find(|line| line.starts_with("jsonwebtoken = ")).expect("it is there");
    assert!(line.contains("default-features = false, features = [\"aws_lc_rs\"] }"), "{line}");
    let lock = read("Cargo.lock").expect("ours");
    let package = lock.split("[[package]]").find(|package| package.contains("\nname = \"jsonwebtoken\"\n"));
    let package = package.expect("it is locked");
    assert!(package.contains("\"aws-lc-rs\""), "{package}");
    for other in ["ed25519-dalek", "hmac", "p256", "p384", "rsa", "sha2"] {
        assert!(!package.contains(&format!("\"{other}\"")), "the feature rust_crypto is on: {package}");
    }
}
