//! The process: arguments, start, signals, reload, shutdown. The only room that knows all others.
//!
//! Never touches a connection. Source: PgBouncer, doc/usage.md and src/main.c.

mod args;
mod audit;
mod callers;
mod check_iam;
mod config_changes;
mod denials;
mod idle_settings;
mod in_clear;
mod lost_roles;
mod open_files;
mod options;
mod orders;
mod policy;
mod process;
mod rules;
mod run;
mod signals;
mod systemd;
mod tokens;

use crate::config::{Settings, differences};
use crate::observe::line::{Entry, Level};
use args::{Command, Options};
use std::process::ExitCode;

/// The program: reads the arguments, does what they ask, and says by the exit code how it went (0 for every
/// orderly end, 1 for every failure to start).
pub fn main() -> ExitCode {
    let program = args::program_name();
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(&options::help(&program)),
        Ok(Command::Version) => print(&args::version()),
        Ok(Command::Check(options)) => check(&options).map_or_else(|failed| failed, |_| ExitCode::SUCCESS),
        Ok(Command::CheckIam(options, user)) => check_iam(&options, user.as_deref()),
        Ok(Command::Run(options)) => start(&options),
        Err(error) => {
            eprintln!("{program}: {error}");
            eprintln!("Try \"{program} --help\" for more information.");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the user asked for")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

/// `--check FILE`: every error with file and line, or every warning and what changes for a file of
/// PgBouncer's; starts nothing.
fn check(options: &Options) -> Result<policy::Loaded, ExitCode> {
    match policy::load_first(&options.file, options.overlay.as_deref()) {
        Ok(loaded) => {
            let mut warnings = loaded.warnings();
            warnings.extend(loaded.problems.iter().cloned());
            warnings.extend(refusal_of_a_start(options, &loaded.policy.snapshot.settings));
            warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
            say(&format!("{}: ok", options.file.display()));
            say(differences::of(&loaded.policy.snapshot).trim_end());
            Ok(loaded)
        }
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            Err(ExitCode::FAILURE)
        }
    }
}

/// What a start by who runs this, with these options, would be refused for; another one may well start it,
/// and a service manager may bring its own sockets.
fn refusal_of_a_start(options: &Options, settings: &Settings) -> Vec<String> {
    let mut settings = settings.clone();
    options.apply(&mut settings);
    let user = process::user_to_become(&settings);
    let of_user = process::foresee_user(user, nix::unistd::Uid::effective()).err();
    let of_socket = process::check_socket_path(&settings).err();
    let of_audit = audit::foresee(&settings).err();
    let refused = of_user.into_iter().chain(of_socket).chain(of_audit);
    refused.map(|why| format!("a start from here would be refused: {why}")).collect()
}

/// `--check FILE --iam`: the same, then whether logins by IAM work, as `user` where an entry names none.
fn check_iam(options: &Options, user: Option<&str>) -> ExitCode {
    let loaded = match check(options) {
        Ok(loaded) => loaded,
        Err(failed) => return failed,
    };
    match check_iam::check(loaded.policy, user, &mut say) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One line for the user.
fn say(line: &str) {
    print(&format!("{line}\n"));
}

fn start(options: &Options) -> ExitCode {
    match run::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            // On stderr whatever -q says: the log may not be there yet, and a start that
            // fails must not be silent. The last word says that it ends.
            if let Some((last, before)) = errors.split_last() {
                before.iter().for_each(|error| complain(Level::Error, error));
                complain(Level::Fatal, last);
            }
            ExitCode::FAILURE
        }
    }
}

/// One line on stderr, in the form of the log.
fn complain(level: Level, text: &str) {
    let entry = Entry::new(jiff::Timestamp::now(), level, text.to_owned());
    eprint!("{}", entry.text(&crate::console::times::local_zone(), std::process::id()));
}

#[cfg(test)]
mod manual;
