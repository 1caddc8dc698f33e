//! The programs that tests run: PostgreSQL's, the pooler under test, the drivers' interpreters.

use super::{account, reaper};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// PostgreSQL's program `name`: from `PGBIN`, the newest of Debian's versioned directories, or PATH.
pub fn postgres(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        if let Some(named) = std::env::var_os("PGBIN") {
            return Some(named.into());
        }
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut found: Vec<(u32, PathBuf)> = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .filter(|(_, bin)| bin.join("initdb").exists())
            .collect();
        found.sort();
        found.pop().map(|(_, bin)| bin)
    });
    directory.as_ref().map_or_else(|| name.into(), |directory| directory.join(name))
}

/// A command that is ended should it take longer than any test may: a client that hangs is
/// a failure with a message.
pub fn limited(program: impl AsRef<OsStr>) -> Command {
    limited_to(100, program)
}

/// The same, for one that may run for so many seconds.
pub fn limited_to(seconds: u64, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).arg(program).env("PGCONNECT_TIMEOUT", "20");
    command
}

/// The pooler under test, copied to where its account can reach it.
pub fn pooler() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = std::env::var_os("PGWEIR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_pgweir").into());
        let copy = reaper::directory().join("pgweir");
        std::fs::copy(&built, &copy)
            .unwrap_or_else(|error| panic!("no program {}: {error}", built.display()));
        account::hand_over(&copy, 0o755);
        copy
    })
}

/// PgBouncer, from PATH or where Debian puts it, copied to where its account can reach it.
pub fn pgbouncer() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let mut files = directories.map(|directory| directory.join("pgbouncer"));
        let found = files.find(|file| file.is_file())?;
        let copy = reaper::directory().join("pgbouncer");
        std::fs::copy(&found, &copy).expect("a program can be read");
        account::hand_over(&copy, 0o755);
        Some(copy)
    });
    program.as_deref()
}

/// A file of this repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a program that has ended said: standard output and error together, for assertions and their messages.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command to its end; panics with all it said when it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, said(&output));
    said(&output)
}

/// Runs SQL as the superuser at the PostgreSQL whose Unix socket lies in `directory`; rows come back
/// as psql -At prints them.
#[track_caller]
pub fn psql(directory: &Path, port: u16, database: &str, sql: &str) -> String {
    let mut psql = Command::new(postgres("psql"));
    psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
    psql.arg("-h").arg(directory).args(["-p", &port.to_string(), "-c", sql]);
    run(&mut psql).trim_end().into()
}
