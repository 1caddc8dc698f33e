//! The console's grammar: text -> `Statement` -> [`Order`]. Pure; never panics, whatever the text.
//!
//! ```text
//! statement = WORD [WORD] [";"] | "SET" WORD ("=" | "TO") (WORD | STRING) [";"]
//!           | "IAM" "REFRESH" [WORD] [";"]
//!           | "KILL_PRINCIPAL" (WORD | STRING) [WORD | STRING] [";"]
//! WORD      = [0-9A-Za-z_]+ | '"' … '"' with "" for a quote
//! STRING    = "'" … "'" with '' for a quote
//! ```
//! Blanks are space, tab, carriage return and newline; keywords ignore case. Lengths are bounded as they are
//! written, quotes included: 15 bytes of verb, 63 of argument, 255 of value, 1,024 of a principal. Source:
//! PgBouncer, doc/usage.md (Admin console) and src/admin.c (admin_parse_query()).

use super::tables::{self, Shown};

/// Longest verb, as written.
const VERB_BYTES_MAX: usize = 15;
/// Longest argument, or name of a setting, as written.
const ARGUMENT_BYTES_MAX: usize = 63;
/// Longest value of SET, as written.
const VALUE_BYTES_MAX: usize = 255;
/// Longest name of a principal, as written: an ARN, a subject.
const PRINCIPAL_BYTES_MAX: usize = 1_024;
/// An unknown command is told back up to here: no more than a screenful.
const ECHO_BYTES_MAX: usize = 440;

/// Why a text is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a statement, or a statement that nobody knows; holds the text told back.
    #[error("invalid command '{0}', use SHOW HELP;")]
    Invalid(String),
    /// A word is too long.
    #[error("bad arguments")]
    TooLong,
    /// DISABLE or ENABLE of nothing.
    #[error("a database is required")]
    DatabaseNeeded,
    /// KILL_CLIENT of what is no number.
    #[error("invalid client pointer supplied")]
    NoClientId,
    /// KILL_PRINCIPAL of nobody.
    #[error("a principal is required")]
    PrincipalNeeded,
}

impl Refusal {
    fn invalid(text: &str) -> Self {
        let mut end = text.len().min(ECHO_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Invalid(text[..end].to_owned())
    }
}

/// How to end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// At once.
    Immediate,
    /// When no server is left; PAUSEs.
    WaitForServers,
    /// When no client is left.
    WaitForClients,
}

/// What the operator wants. A database name of `None` means all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the commands")]
pub enum Order {
    Show(&'static Shown),
    Set { key: String, value: String },
    Reload,
    Pause(Option<String>),
    Resume(Option<String>),
    Suspend,
    Kill(Option<String>),
    KillClient(u64),
    KillPrincipal { name: String, whose: Option<String> },
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    WaitClose(Option<String>),
    Shutdown(Shutdown),
    IamRefresh(Option<String>),
}

/// Reads one statement and finds the order in it.
///
/// # Errors
/// [`Refusal`] with the text that PgBouncer answers.
pub fn parse(text: &str) -> Result<Order, Refusal> {
    match statement(text)? {
        Statement::Set { key, value } => Ok(Order::Set { key, value }),
        Statement::Call { verb, argument } => order(&verb, argument, text),
        Statement::KillPrincipal { name, whose } => Ok(Order::KillPrincipal { name, whose }),
        Statement::IamRefresh { argument } => {
            Ok(Order::IamRefresh((!argument.is_empty()).then_some(argument)))
        }
    }
}

/// A statement by its form alone.
#[derive(Debug, PartialEq, Eq)]
enum Statement {
    /// A verb and its argument, empty where none was given: PgBouncer does not tell `""` from nothing.
    Call { verb: String, argument: String },
    /// SET.
    Set { key: String, value: String },
    /// IAM REFRESH.
    IamRefresh { argument: String },
    /// KILL_PRINCIPAL.
    KillPrincipal { name: String, whose: Option<String> },
}

fn order(verb: &str, argument: String, text: &str) -> Result<Order, Refusal> {
    let optional = |argument: String| (!argument.is_empty()).then_some(argument);
    let required =
        |argument: String| if argument.is_empty() { Err(Refusal::DatabaseNeeded) } else { Ok(argument) };
    let bare = |order: Order| if argument.is_empty() { Ok(order) } else { Err(Refusal::invalid(text)) };
    match &*verb.to_ascii_lowercase() {
        "show" | "select" => match tables::find(&argument) {
            Some(shown) => Ok(Order::Show(shown)),
            None => Err(Refusal::invalid(text)),
        },
        "reload" => bare(Order::Reload),
        "suspend" => bare(Order::Suspend),
        "pause" => Ok(Order::Pause(optional(argument))),
        "resume" => Ok(Order::Resume(optional(argument))),
        "kill" => Ok(Order::Kill(optional(argument))),
        "reconnect" => Ok(Order::Reconnect(optional(argument))),
        "wait_close" => Ok(Order::WaitClose(optional(argument))),
        "disable" => required(argument).map(Order::Disable),
        "enable" => required(argument).map(Order::Enable),
        "kill_client" => client_id(&argument).map(Order::KillClient).ok_or(Refusal::NoClientId),
        "shutdown" => match &*argument.to_ascii_lowercase() {
            "" => Ok(Order::Shutdown(Shutdown::Immediate)),
            "wait_for_servers" => Ok(Order::Shutdown(Shutdown::WaitForServers)),
            "wait_for_clients" => Ok(Order::Shutdown(Shutdown::WaitForClients)),
            _ => Err(Refusal::invalid(text)),
        },
        _ => Err(Refusal::invalid(text)),
    }
}

/// The decimal number in front of `text`; 0 is no client's.
fn client_id(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok().filter(|id| *id > 0)
}

fn statement(text: &str) -> Result<Statement, Refusal> {
    let invalid = || Refusal::invalid(text);
    let mut at = Cursor { rest: text };
    at.blanks();
    let verb = at.word().ok_or_else(invalid)?;
    let blanks = at.blanks();
    if verb.text.eq_ignore_ascii_case("set") && blanks {
        return set(at, text);
    }
    if verb.text.eq_ignore_ascii_case("kill_principal") {
        return principal(at, text);
    }
    if verb.text.eq_ignore_ascii_case("iam") && blanks && at.keyword("refresh") {
        let argument = argument(at, text)?;
        return Ok(Statement::IamRefresh { argument });
    }
    let argument = if blanks { argument(at, text) } else { at.end().then(String::new).ok_or_else(invalid) };
    if argument.is_ok() && verb.written_bytes > VERB_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    Ok(Statement::Call { verb: verb.text, argument: argument? })
}

/// What is left of `text`: one word, or nothing.
fn argument(mut at: Cursor<'_>, text: &str) -> Result<String, Refusal> {
    let word = at.word();
    if !at.end() {
        return Err(Refusal::invalid(text));
    }
    match word {
        Some(word) if word.written_bytes > ARGUMENT_BYTES_MAX => Err(Refusal::TooLong),
        Some(word) => Ok(word.text),
        None => Ok(String::new()),
    }
}

/// What follows `KILL_PRINCIPAL` and its blanks.
fn principal(mut at: Cursor<'_>, text: &str) -> Result<Statement, Refusal> {
    let Some(name) = at.name() else {
        return Err(if at.end() { Refusal::PrincipalNeeded } else { Refusal::invalid(text) });
    };
    let whose = if at.blanks() { at.name() } else { None };
    if !at.end() {
        return Err(Refusal::invalid(text));
    }
    let is_too_long = |word: &Word| word.written_bytes > PRINCIPAL_BYTES_MAX;
    if is_too_long(&name) || whose.as_ref().is_some_and(is_too_long) {
        return Err(Refusal::TooLong);
    }
    if name.text.is_empty() {
        return Err(Refusal::PrincipalNeeded);
    }
    Ok(Statement::KillPrincipal { name: name.text, whose: whose.map(|whose| whose.text) })
}

/// What follows `SET` and its blanks. A `SET` alone reads on as a call of an unknown
/// verb would: it is invalid.
fn set(mut at: Cursor<'_>, text: &str) -> Result<Statement, Refusal> {
    let invalid = || Refusal::invalid(text);
    let key = at.word().ok_or_else(invalid)?;
    at.blanks();
    if !at.take("=") && !at.take("to") {
        return Err(invalid());
    }
    at.blanks();
    let value = at.string().or_else(|| at.word()).ok_or_else(invalid)?;
    if !at.end() {
        return Err(invalid());
    }
    if key.written_bytes > ARGUMENT_BYTES_MAX || value.written_bytes > VALUE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    Ok(Statement::Set { key: key.text, value: value.text })
}

/// A word or string: what it says, and how many bytes it took to write.
struct Word {
    text: String,
    written_bytes: usize,
}

/// A place in the text; what a method does not recognise, it leaves.
struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    /// Skips blanks; whether there was one.
    fn blanks(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let any = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        any
    }

    /// Takes `token`, whatever its case.
    fn take(&mut self, token: &str) -> bool {
        match self.rest.get(..token.len()) {
            Some(front) if front.eq_ignore_ascii_case(token) => {
                self.rest = &self.rest[token.len()..];
                true
            }
            _ => false,
        }
    }

    fn word(&mut self) -> Option<Word> {
        if self.rest.starts_with('"') {
            return self.quoted('"');
        }
        let bytes = self.rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (word, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        (bytes > 0).then(|| Word { text: word.to_owned(), written_bytes: bytes })
    }

    /// Takes this word, whatever its case, and the blanks behind it.
    fn keyword(&mut self, word: &str) -> bool {
        let before = self.rest;
        let taken = self.word().is_some_and(|found| found.text.eq_ignore_ascii_case(word));
        if taken {
            self.blanks();
        } else {
            self.rest = before;
        }
        taken
    }

    /// A word or a string.
    fn name(&mut self) -> Option<Word> {
        self.string().or_else(|| self.word())
    }

    fn string(&mut self) -> Option<Word> {
        if self.rest.starts_with('\'') { self.quoted('\'') } else { None }
    }

    /// Text between `quote`s, a doubled one standing for itself.
    fn quoted(&mut self, quote: char) -> Option<Word> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                text.push(c);
            } else if chars.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                self.rest = &self.rest[at + 1..];
                return Some(Word { text, written_bytes: at + 1 });
            }
        }
        None
    }

    /// Whether nothing but blanks and at most one semicolon is left.
    fn end(&mut self) -> bool {
        self.blanks();
        self.take(";");
        self.blanks();
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests;
