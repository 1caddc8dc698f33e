//! The command line, as PgBouncer has it, and `--check`.
//!
//! Pure but for reading the program's own name. What options there are is said in `options.rs`. Source:
//! PgBouncer, doc/usage.md (Synopsis, Command line switches).

use super::options;
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

/// Why `-R` is refused.
const REBOOT: &str = "online restart (-R) is not available: PgBouncer 1.26 has removed it; to restart \
    without a gap, start the new process beside the old one with so_reuseport, then send the old one SIGTERM \
    (docs/coming-from-pgbouncer.md)";

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
        let option = match arg {
            Arg::Value(file) => {
                files.push(PathBuf::from(file));
                continue;
            }
            Arg::Short(letter) => options::with_letter(letter),
            Arg::Long(name) => options::with_name(name)?,
        };
        match option.map(|option| option.long) {
            Some("daemon") => options.daemon = true,
            Some("quiet") => options.quiet = true,
            Some("reboot") => return Err(REBOOT.to_owned()),
            Some("verbose") => options.verbose += 1,
            Some("user") => {
                options.user = Some(parser.value().and_then(|value| value.string()).map_err(text)?);
            }
            Some("overlay") => options.overlay = Some(parser.value().map(PathBuf::from).map_err(text)?),
            Some("version") => return Ok(Command::Version),
            Some("help") => return Ok(Command::Help),
            Some("check") => check = true,
            Some("iam") => {
                iam = Some(parser.optional_value().map(ValueExt::string).transpose().map_err(text)?);
            }
            _ => return Err(arg.unexpected().to_string()),
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
        assert_eq!(read(&["--nonsense", "a"]), Err("invalid option '--nonsense'".to_owned()));
        assert!(read(&["--ver"]).unwrap_err().contains("ambiguous"));
    }

    #[test]
    fn an_online_restart_is_refused_with_its_reason() {
        for args in [["-R", "a.ini"], ["-dqR", "a.ini"], ["--reboot", "a.ini"], ["--check", "-R"]] {
            let why = read(&args).unwrap_err();
            assert!(why.contains("1.26 has removed it") && why.contains("so_reuseport"), "{why}");
        }
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
