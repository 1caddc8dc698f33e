//! Every message has its row in docs/messages.md, and every row its message.
//!
//! The page is generated from `src/observe/messages.rs`, which another test holds to it. Here the texts are
//! looked for in the program: in the calls of the log, and in those by which an end, a refusal or an error
//! gets its words. Values are left out: `{…}` stands for any.

use super::{Source, none, sources};
use std::collections::BTreeSet;

/// The table itself.
const TABLE: &str = "src/observe/messages";

/// Calls of the log, and the level that each is on; of `log_about!` it is the first word.
const MACROS: [(&str, &str); 5] =
    [("error", "ERROR"), ("warn", "WARNING"), ("info", "LOG"), ("debug", "DEBUG"), ("trace", "NOISE")];

/// Calls of the log that pass a text on: how the paths of their files begin, and the heading below which its
/// rows are.
const PASSED_ON: [(&str, &str, &str); 13] = [
    ("src/boot/audit", "{error}", "The audit log"),
    ("src/boot/denials", "{error}", "Errors of the list of denied principals"),
    ("src/boot/denials", "{warning}", "Warnings of the configuration"),
    ("src/boot/run", "{warning}", "Warnings of the configuration"),
    ("src/boot/run", "{error}", "Why a start fails"),
    ("src/boot/orders", "{warning}", "Warnings of the configuration"),
    ("src/boot/orders", "{error}", "Errors of the configuration"),
    ("src/clients/client", "{reason}", "Ends of clients without a word"),
    ("src/console/control", "{reason}", "Errors of the configuration"),
    ("src/clients/client/vouched", "{problem}", "Why certificates prove nobody"),
    ("src/console/console", "{line}", "Metrics, statistics and the log"),
    ("src/console/session", "{text}", "What the console answers"),
    ("src/servers/attempt", "{why}", "Why logins to servers fail"),
];

/// What words are given to that an operator sees: the first text behind each begin is one of them, in
/// files whose paths begin so.
const WORDS_FOR: [(&str, &str); 40] = [
    ("", "#[error("),
    ("", "AttemptError::System("),
    ("", "ConnectError::new("),
    ("", "ConnectError::untrusted("),
    ("", "Due::EndServer("),
    ("", "End::fault("),
    ("", "End::silent("),
    ("", "Failure::new("),
    ("", "FetchError::with("),
    ("", "Fitness::Close("),
    ("", "LoginEnd::Handshake("),
    ("", "LoginEnd::Silent("),
    ("", "Problem::Syntax("),
    ("", "Reply::error("),
    ("", "Request::Malformed("),
    ("", "Request::Misplaced("),
    ("", "WrongPasswordType("),
    ("", "abort("),
    ("", "close_reason.get_or_insert("),
    ("", "close_server("),
    ("", "complain("),
    ("", "end_server("),
    ("", "garbage("),
    ("", "lose_step("),
    ("", "wrong("),
    ("src/boot/", "Err(format!("),
    ("src/boot/", "error| format!("),
    ("src/boot/", "one("),
    ("src/boot/args", "Err("),
    ("src/boot/audit", "Err("),
    ("src/boot/", "say(&format!("),
    ("src/config/doubts", "format!("),
    ("src/config/errors", "write!("),
    ("src/config/load", "format!("),
    ("src/config/sections", "format!("),
    ("src/config/setting.rs", "Some(format!("),
    ("src/servers/iam/entry", "format!("),
    ("src/servers/iam/entry/role", "ok_or("),
    ("src/servers/iam/preflight", "refused("),
    ("src/servers/launcher", "format!("),
];

/// Files of which every text is one that an operator sees.
const TEXTS_ONLY: [&str; 4] = [
    "src/control/cancel_end.rs",
    "src/core/conn/close_reason.rs",
    "src/iam/tls_refusal.rs",
    "src/servers/login_error.rs",
];

/// Pieces that rows hold with what is around them.
const PIECES: [&str; 6] = [
    "server_auth={}",
    "fetch {url}",
    "database \"{name}\"",
    "user \"{}\"",
    "user \"{}\" and {others} with the same keys",
    "{named} and {more} more",
];

/// A program's text without comments, each literal of a string in it replaced by `"<its number>"`.
struct Masked {
    code: String,
    literals: Vec<String>,
}

impl Masked {
    fn of(source: &Source) -> Self {
        let program: String = source.program().map(|(_, line)| format!("{line}\n")).collect();
        let mut masked = Self { code: String::new(), literals: Vec::new() };
        let mut rest = program.as_str();
        while let Some(character) = rest.chars().next() {
            let taken = match character {
                '"' => masked.literal(rest),
                '\'' => quoted_character(rest),
                '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                _ => 0,
            };
            if taken == 0 {
                masked.code.push(character);
                rest = &rest[character.len_utf8()..];
            } else {
                rest = &rest[taken..];
            }
        }
        masked
    }

    /// Takes the literal that `text` begins with; returns its length. A raw one is told by what is before it.
    fn literal(&mut self, text: &str) -> usize {
        let hashes = self.code.len() - self.code.trim_end_matches('#').len();
        let is_raw = self.code[..self.code.len() - hashes].ends_with('r');
        let (value, end) = if is_raw {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = text[1..].find(&close).expect("it is closed");
            (text[1..=end].to_owned(), end + 1 + close.len())
        } else {
            unescaped(text)
        };
        self.code += &format!("\"{}\"", self.literals.len());
        self.literals.push(value);
        end
    }

    /// The literals between the bracket at `open` and the one that closes it, and the code there.
    fn inside(&self, open: usize) -> (Vec<&str>, &str) {
        let mut depth = 0;
        let end = self.code[open..].find(|character| {
            depth += i32::from(matches!(character, '(' | '[' | '{'));
            depth -= i32::from(matches!(character, ')' | ']' | '}'));
            depth == 0
        });
        let code = &self.code[open..open + end.expect("it is closed")];
        let numbers = code.split('"').skip(1).step_by(2).filter_map(|number| number.parse::<usize>().ok());
        (numbers.map(|number| self.literals[number].as_str()).collect(), code)
    }

    /// Where calls that begin with `begin` have their bracket.
    fn calls<'a>(&'a self, begin: &'a str) -> impl Iterator<Item = usize> + 'a {
        let in_word = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let found = self.code.match_indices(begin).map(|(at, _)| at);
        let found = found.filter(move |at| begin.starts_with('#') || !in_word(&self.code[..*at]));
        found.filter(|at| !self.code[..*at].ends_with("fn ")).map(move |at| at + begin.len() - 1)
    }
}

/// What a literal means, and its length in the source.
fn unescaped(text: &str) -> (String, usize) {
    let (mut value, mut characters) = (String::new(), text.char_indices().skip(1).peekable());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, at + 1),
            '\\' => match characters.next() {
                Some((_, '\n')) => while characters.next_if(|(_, next)| next.is_whitespace()).is_some() {},
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            other => value.push(other),
        }
    }
    panic!("a literal is not closed: {text:.60}")
}

/// The length of the literal of a character that `text` begins with; 0 of a lifetime.
fn quoted_character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[2..].find('\'').map_or(0, |at| if at == 0 { 4 } else { at + 3 }),
        Some(_) => characters.next().filter(|(_, next)| *next == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// A text without its values: `{…}` is `{}`, whatever stands in it.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        bare += before;
        let (_, after) = behind.split_once('}').unwrap_or((behind, ""));
        bare += "{}";
        rest = after;
    }
    bare + rest
}

/// Whether there is more in it than values.
fn says_something(text: &str) -> bool {
    bare(text).chars().any(char::is_alphabetic)
}

/// A call of the log: the file, the level, the text.
type Call = (String, &'static str, String);

fn calls(path: &str, masked: &Masked) -> Vec<Call> {
    let mut found = Vec::new();
    for (name, level) in MACROS {
        let begin = format!("tracing::{name}!(");
        let direct = masked.calls(&begin).map(|open| masked.inside(open));
        let about = masked.calls("log_about!(").map(|open| masked.inside(open));
        let about = about.filter(|(_, code)| code[1..].trim_start().starts_with(&format!("{name},")));
        for (literals, code) in direct.chain(about) {
            let level = if code.contains("fatal = true") { "FATAL" } else { level };
            let text = literals.first().expect("a message is a literal, so that it can be looked for");
            found.push((path.to_owned(), level, (*text).to_owned()));
        }
    }
    found
}

/// A row of the page: the heading, the level or what else the first column has, the text.
struct Row {
    heading: String,
    label: String,
    text: String,
}

/// The rows of the page. Those below the headings that `unwritten` names have texts that are put together.
fn rows(unwritten: &[&str]) -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/messages.md");
    let page = std::fs::read_to_string(path).expect("`BLESS=1 cargo test messages_page` writes it");
    let (mut heading, mut rows) = ("", Vec::new());
    // An item is one line again.
    let page = page.replace("\n  ", " ");
    for line in page.lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        let Some((before, behind)) = line.strip_prefix("- ").and_then(|item| item.split_once('`')) else {
            continue;
        };
        let Some((text, _)) = behind.split_once("`: ") else { continue };
        let label = before.trim().trim_matches('*').to_owned();
        if !unwritten.contains(&heading) {
            rows.push(Row { heading: heading.to_owned(), label, text: text.to_owned() });
        }
    }
    rows
}

/// Texts that are put together from more than one literal, or come from a type of the program's.
const PUT_TOGETHER: [&str; 2] = ["What clients are told", "Why logins by IAM fail"];

fn program() -> Vec<(String, Masked)> {
    let files = sources("src").into_iter().filter(|file| !file.path.starts_with(TABLE));
    files.map(|file| (file.path.clone(), Masked::of(&file))).collect()
}

#[test]
fn every_call_of_the_log_has_its_row() {
    let rows = rows(&[]);
    let known: BTreeSet<(&str, String)> = rows.iter().map(|row| (&*row.label, bare(&row.text))).collect();
    let found: Vec<Call> = program().iter().flat_map(|(path, masked)| calls(path, masked)).collect();
    assert!(found.len() > 100, "the rule looks for what is there");
    let passes_on = |(path, _, text): &Call, (place, passed, _): &(&str, &str, &str)| {
        path.starts_with(place) && passed == text
    };
    let is_passed_on = |call: &Call| PASSED_ON.iter().any(|passed| passes_on(call, passed));
    let offends = |call: &&Call| !is_passed_on(call) && !known.contains(&(call.1, bare(&call.2)));
    let offences = found.iter().filter(offends).map(|(path, level, text)| format!("{path}: {level} {text}"));
    none(
        "a message has its row in src/observe/messages.rs (then BLESS=1 cargo test messages_page)",
        offences.collect(),
    );
    for passed in &PASSED_ON {
        assert!(found.iter().any(|call| passes_on(call, passed)), "{passed:?} is gone");
        assert!(rows.iter().any(|row| row.heading == passed.2), "no rows below {}", passed.2);
    }
}

#[test]
fn every_word_for_an_end_or_a_refusal_has_its_row() {
    let rows = rows(&[]);
    let known: BTreeSet<String> = rows.iter().map(|row| bare(&row.text)).collect();
    let is_missing =
        |text: &&str| says_something(text) && !PIECES.contains(text) && !known.contains(&bare(text));
    let (mut offences, program) = (BTreeSet::new(), program());
    for (place, begin) in WORDS_FOR {
        let files = program.iter().filter(|(path, _)| path.starts_with(place));
        assert!(files.flat_map(|(_, masked)| masked.calls(begin)).next().is_some(), "{place} has no {begin}");
    }
    for file in TEXTS_ONLY {
        assert!(program.iter().any(|(path, _)| path == file), "{file} is gone");
    }
    for (path, masked) in &program {
        let begins = WORDS_FOR.iter().filter(|(place, _)| path.starts_with(place));
        let opened = begins.flat_map(|(_, begin)| masked.calls(begin));
        let given = opened.filter_map(|open| masked.inside(open).0.first().copied());
        let all = TEXTS_ONLY.contains(&path.as_str()).then_some(masked.literals.iter().map(String::as_str));
        let texts = given.chain(all.into_iter().flatten());
        offences.extend(texts.filter(is_missing).map(|text| format!("{path}: {text}")));
    }
    none("what an operator sees has its row in src/observe/messages.rs", offences.into_iter().collect());
}

#[test]
fn every_row_has_its_message() {
    let program = program();
    let literals = program.iter().flat_map(|(_, masked)| &masked.literals);
    let known: BTreeSet<String> = literals.map(|literal| bare(literal)).collect();
    let stale = rows(&PUT_TOGETHER).into_iter().filter(|row| !known.contains(&bare(&row.text)));
    none("a row's text stands in the program", stale.map(|row| row.text).collect());
}
