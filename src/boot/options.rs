//! The options of the command line, one row each: what the reader knows, `--help` prints, and the manual
//! page and the completions of shells are written from.
//!
//! Pure. Source: PgBouncer, doc/usage.md (Command line switches).

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandOption {
    /// Its letter.
    pub short: Option<char>,
    /// Its name behind two hyphens.
    pub long: &'static str,
    /// What it is given.
    pub value: Given,
    /// What it does, for `--help`.
    pub doc: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// None.
    Nothing,
    /// One of this kind.
    Value(&'static str),
    /// Perhaps one, behind `=`.
    Perhaps(&'static str),
}

const fn option(short: char, long: &'static str, doc: &'static str) -> CommandOption {
    CommandOption { short: Some(short), long, value: Given::Nothing, doc }
}

const fn ours(long: &'static str, value: Given, doc: &'static str) -> CommandOption {
    CommandOption { short: None, long, value, doc }
}

/// Every option, PgBouncer's first.
pub(super) const OPTIONS: &[CommandOption] = &[
    option('d', "daemon", "run in background (as a daemon)"),
    option('q', "quiet", "run quietly: no log lines on stderr"),
    option('R', "reboot", "refused: PgBouncer 1.26 has removed it, too"),
    CommandOption {
        value: Given::Value("USER"),
        ..option('u', "user", "assume identity of USER, whatever the setting user says")
    },
    option('v', "verbose", "increase verbosity: once for DEBUG lines, twice for NOISE"),
    option('V', "version", "show version, then exit"),
    option('h', "help", "show this help, then exit"),
    ours("check", Given::Nothing, "report what is wrong with CONFIG_FILE and what will change, then exit"),
    ours("iam", Given::Perhaps("USER"), "with --check: also try a login by IAM of each entry (as USER)"),
    ours("overlay", Given::Value("FILE"), "add the keys of FILE to those of CONFIG_FILE"),
];

impl CommandOption {
    /// `-u, --user=USER`.
    pub(super) fn synopsis(&self) -> String {
        let short = self.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match self.value {
            Given::Nothing => String::new(),
            Given::Value(value) => format!("={value}"),
            Given::Perhaps(value) => format!("[={value}]"),
        };
        format!("{short}--{}{value}", self.long)
    }
}

/// The option whose letter this is.
pub(super) fn with_letter(letter: char) -> Option<&'static CommandOption> {
    OPTIONS.iter().find(|option| option.short == Some(letter))
}

/// The option of this name, which may be cut short as long as it fits one alone (getopt_long(3)).
///
/// # Errors
/// A text for the user, where it fits several.
pub(super) fn with_name(name: &str) -> Result<Option<&'static CommandOption>, String> {
    if let Some(whole) = OPTIONS.iter().find(|option| option.long == name) {
        return Ok(Some(whole));
    }
    let fitting: Vec<_> = OPTIONS.iter().filter(|option| option.long.starts_with(name)).collect();
    match fitting[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let names: Vec<_> = fitting.iter().map(|option| format!("'--{}'", option.long)).collect();
            Err(format!("option '--{name}' is ambiguous; possibilities: {}", names.join(" ")))
        }
    }
}

/// The text of `--help`.
pub(super) fn help(program: &str) -> String {
    let mut text = format!(
        "pgweir is a PostgreSQL connection pooler that takes PgBouncer's place.\n\n\
         Usage:\n  {program} [OPTION]... CONFIG_FILE\n\nOptions:\n"
    );
    for option in OPTIONS {
        text += &format!("  {:<22} {}\n", option.synopsis(), option.doc);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_cut_short_where_they_fit_one_alone() {
        let long = |name| with_name(name).map(|found| found.map(|option| option.long));
        assert_eq!(long("verb"), Ok(Some("verbose")));
        assert_eq!(long("user"), Ok(Some("user")));
        assert_eq!(long("nonsense"), Ok(None));
        let why = "option '--ver' is ambiguous; possibilities: '--verbose' '--version'";
        assert_eq!(long("ver"), Err(why.to_owned()));
    }

    #[test]
    fn help_has_every_option_on_a_line_that_a_terminal_shows_whole() {
        let text = help("pgweir");
        for option in OPTIONS {
            assert!(text.contains(&format!("  {} ", option.synopsis())), "{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
}
