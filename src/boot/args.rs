//! The command line, as PgBouncer has it, and `--check`.
//!
//! Pure but for reading the program's own name. Source: PgBouncer, doc/usage.md
//! (Synopsis, Command line switches).

use crate::base::VERSION;
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// `--check FILE`.
    Check(Options),
    /// `--check FILE --iam`; the user to try where an entry names none.
    CheckIam(Options, Option<String>),
    /// Run the pooler.
    Run(Options),
}

/// How to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The configuration file.
    pub file: PathBuf,
    /// `--overlay FILE`.
    pub overlay: Option<PathBuf>,
    /// `-d`.
    pub daemon: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-R`.
    pub reboot: bool,
    /// How many `-v`.
    pub verbose: u32,
    /// `-u`.
    pub user: Option<String>,
}

impl Options {
    /// What the command line says goes before what the file says.
    pub(super) fn apply(&self, settings: &mut crate::config::Settings) {
        if self.verbose > 0 {
            settings.verbose = settings.verbose.saturating_add(self.verbose);
        }
        if let Some(user) = &self.user {
            settings.user = Some(user.as_str().into());
        }
    }
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// A text for the user.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(args);
    let mut options = Options::default();
    let mut files = Vec::new();
    let mut check = false;
    let mut iam = None;
    let text = |error: lexopt::Error| error.to_string();
    while let Some(arg) = parser.next().map_err(text)? {
        match arg {
            Arg::Short('d') | Arg::Long("daemon") => options.daemon = true,
            Arg::Short('q') | Arg::Long("quiet") => options.quiet = true,
            Arg::Short('R') | Arg::Long("reboot") => options.reboot = true,
            Arg::Short('v') | Arg::Long("verbose") => options.verbose += 1,
            Arg::Short('u') | Arg::Long("user") => {
                options.user = Some(parser.value().and_then(|value| value.string()).map_err(text)?);
            }
            Arg::Long("overlay") => {
                options.overlay = Some(parser.value().map(PathBuf::from).map_err(text)?);
            }
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("check") => check = true,
            Arg::Long("iam") => {
                iam = Some(parser.optional_value().map(ValueExt::string).transpose().map_err(text)?);
            }
            Arg::Value(file) => files.push(PathBuf::from(file)),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let mut files = files.into_iter();
    match (files.next(), files.next()) {
        (None, _) => Err("no configuration file specified".to_owned()),
        (Some(_), Some(_)) => Err("too many arguments".to_owned()),
        (Some(file), None) if check => {
            let options = Options { file, ..options };
            Ok(match iam {
                Some(user) => Command::CheckIam(options, user),
                None => Command::Check(options),
            })
        }
        (Some(_), None) if iam.is_some() => Err("--iam belongs to --check".to_owned()),
        (Some(file), None) => Ok(Command::Run(Options { file, ..options })),
    }
}

/// What the program was called.
pub(super) fn program_name() -> String {
    std::env::args().next().unwrap_or_else(|| "pgweir".to_owned())
}

/// The text of `--help`.
pub(super) fn help(program: &str) -> String {
    format!(
        "pgweir is a PostgreSQL connection pooler that takes PgBouncer's place.\n\n\
         Usage:\n  {program} [OPTION]... CONFIG_FILE\n\n\
         Options:\n\
         \x20     --check        report every error and warning of CONFIG_FILE and exit\n\
         \x20     --iam[=USER]   with --check: also fetch AWS credentials, and try a login by IAM\n\
         \x20                    of each entry (as USER where it names none)\n\
         \x20 -d, --daemon       run in background (as a daemon)\n\
         \x20     --overlay=FILE add the keys of FILE to those of CONFIG_FILE, which a PgBouncer may still \
         read\n\
         \x20 -q, --quiet        run quietly\n\
         \x20 -R, --reboot       as without it, but no start where another instance runs\n\
         \x20                    (online restart is not available in this version)\n\
         \x20 -u, --user=USER    assume identity of user USER\n\
         \x20 -v, --verbose      increase verbosity\n\
         \x20 -V, --version      show version, then exit\n\
         \x20 -h, --help         show this help, then exit\n"
    )
}

/// The text of `--version`: the first line is that of SHOW VERSION.
pub(super) fn version() -> String {
    format!("{}\nio: epoll\nasync: tokio\ntls: rustls, aws-lc-rs\nsystemd: yes\n", VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn options_may_stand_behind_the_file_and_together() {
        let Ok(Command::Run(options)) = read(&["-qv", "a.ini", "--verbose", "-u", "nobody"]) else {
            panic!("refused");
        };
        assert_eq!((options.file, options.verbose), (PathBuf::from("a.ini"), 2));
        assert!(options.quiet && !options.daemon);
        assert_eq!(options.user.as_deref(), Some("nobody"));
    }

    #[test]
    fn exactly_one_file() {
        assert_eq!(read(&[]), Err("no configuration file specified".to_owned()));
        assert!(read(&["a", "b"]).is_err());
        assert!(read(&["--nonsense", "a"]).is_err());
    }

    #[test]
    fn help_and_version_need_no_file() {
        assert_eq!(read(&["-h"]), Ok(Command::Help));
        assert_eq!(read(&["-V"]), Ok(Command::Version));
        let Ok(Command::Check(options)) = read(&["--check", "a.ini", "--overlay", "b.ini"]) else {
            panic!("refused");
        };
        assert_eq!((options.file, options.overlay), ("a.ini".into(), Some("b.ini".into())));
        assert!(version().starts_with(VERSION));
    }

    #[test]
    fn iam_goes_with_check_and_may_name_a_user() {
        for (args, user) in [
            (["--check", "--iam", "--overlay=b.ini", "a.ini"], None),
            (["--overlay=b.ini", "--check", "a.ini", "--iam=ann"], Some("ann".to_owned())),
        ] {
            let (file, overlay) = ("a.ini".into(), Some("b.ini".into()));
            let options = Options { file, overlay, ..Options::default() };
            assert_eq!(read(&args), Ok(Command::CheckIam(options, user)), "{args:?}");
        }
        assert_eq!(read(&["a.ini", "--iam"]), Err("--iam belongs to --check".to_owned()));
    }
}
