//! One log call as a line: in PgBouncer's format, or as one JSON object. Pure.
//!
//! Text prints the message and the prefix made of `side`, `id`, `db`, `user`, `peer`, and no other field:
//! what a field may hold is decided where it is logged, and only JSON readers see the rest. Invariant: a
//! line is one line, and no longer than `limits::LOG_LINE_BYTES_MAX` (JSON: its message and each field
//! are). Source: PgBouncer, include/util.h (slog_…) and doc/config.md (Log settings); RFC 3164 for
//! syslog; RFC 8259 for JSON.

use crate::base::limits::LOG_LINE_BYTES_MAX;
use jiff::{Timestamp, tz::TimeZone};
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};

/// How much a line matters, by PgBouncer's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The process ends.
    Fatal,
    /// Something failed that should not.
    Error,
    /// Something that an operator may want to look at.
    Warning,
    /// What happens.
    Log,
    /// With `verbose` 1.
    Debug,
    /// With `verbose` 2.
    Noise,
}

impl Level {
    /// The word in the line.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Log => "LOG",
            Self::Debug => "DEBUG",
            Self::Noise => "NOISE",
        }
    }

    /// The severity of RFC 3164.
    pub const fn syslog_severity(self) -> u8 {
        match self {
            Self::Fatal => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Log => 6,
            Self::Debug | Self::Noise => 7,
        }
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Log,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Noise,
        }
    }
}

/// A field that has no place of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extra {
    Text(String),
    /// A number or a truth value, as JSON writes it.
    Bare(String),
}

/// One log call.
#[derive(Clone, Debug)]
pub struct Entry {
    at: Timestamp,
    /// How much it matters.
    pub level: Level,
    message: String,
    side: Option<char>,
    id: Option<u64>,
    db: String,
    user: String,
    peer: String,
    extra: Vec<(&'static str, Extra)>,
}

impl Entry {
    /// An entry of `message` alone.
    pub fn new(at: Timestamp, level: Level, message: String) -> Self {
        let text = String::new;
        Self {
            at,
            level,
            message,
            side: None,
            id: None,
            db: text(),
            user: text(),
            peer: text(),
            extra: Vec::new(),
        }
    }

    /// The call that `event` records.
    pub fn of(event: &tracing::Event<'_>, at: Timestamp) -> Self {
        let mut entry = Self::new(at, event.metadata().level().into(), String::new());
        event.record(&mut entry);
        entry
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm TZ [pid] LEVEL prefix message`, with its newline.
    pub fn text(&self, zone: &TimeZone, pid: u32) -> String {
        let at = self.at.to_zoned(zone.clone());
        let mut line = format!(
            "{} [{pid}] {} {}",
            at.strftime("%Y-%m-%d %H:%M:%S%.3f %Z"),
            self.level.text(),
            self.words()
        );
        cut(&mut line);
        line.push('\n');
        line
    }

    /// `prefix message`, with its newline: for who knows the time, the process and the level.
    pub fn bare(&self) -> String {
        let mut line = self.words();
        cut(&mut line);
        line.push('\n');
        line
    }

    /// A datagram for syslog: `<priority>Mmm dd hh:mm:ss ident[pid]: prefix message`.
    pub fn syslog(&self, facility: u8, ident: &str, zone: &TimeZone, pid: u32) -> String {
        let priority = facility * 8 + self.level.syslog_severity();
        let at = self.at.to_zoned(zone.clone());
        let mut line =
            format!("<{priority}>{} {ident}[{pid}]: {}", at.strftime("%b %e %H:%M:%S"), self.words());
        cut(&mut line);
        line
    }

    /// One JSON object with all fields, with its newline. Times are UTC.
    pub fn json(&self, pid: u32) -> String {
        let at = self.at.to_zoned(TimeZone::UTC);
        let mut line = format!(
            "{{\"at\":\"{}\",\"pid\":{pid},\"level\":\"{}\"",
            at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
            self.level.text()
        );
        if let Some(side) = self.side {
            json_text(&mut line, "side", side.encode_utf8(&mut [0; 4]));
        }
        if let Some(id) = self.id {
            let _ = write!(line, ",\"id\":{id}");
        }
        for (name, value) in [("db", &self.db), ("user", &self.user), ("peer", &self.peer)] {
            if !value.is_empty() {
                json_text(&mut line, name, value);
            }
        }
        for (name, value) in &self.extra {
            match value {
                Extra::Text(text) => json_text(&mut line, name, text),
                Extra::Bare(text) => {
                    let _ = write!(line, ",\"{name}\":{text}");
                }
            }
        }
        json_text(&mut line, "message", &self.message);
        line.push_str("}\n");
        line
    }

    /// Prefix and message, on one line.
    fn words(&self) -> String {
        let mut words = String::with_capacity(self.message.len() + 64);
        if let (Some(side), Some(id)) = (self.side, self.id) {
            let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
            let _ = write!(words, "{side}-{id:#x}: {}", or(&self.db, "(nodb)"));
            // A peer has no users.
            if !self.is_of_peer() {
                let _ = write!(words, "/{}", or(&self.user, "(nouser)"));
            }
            if !self.peer.is_empty() {
                let _ = write!(words, "@{}", self.peer);
            }
            words.push(' ');
        }
        words.push_str(&self.message);
        if words.contains(is_unprintable) { printable(&words) } else { words }
    }

    /// Whether it is about a connection to a pooler that is our peer, or one that leads there: `peer-2@…`.
    fn is_of_peer(&self) -> bool {
        self.user.is_empty() && !self.db.is_empty()
    }

    fn text_field(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "side" => self.side = value.chars().next(),
            "db" => self.db = value,
            "user" => self.user = value,
            "peer" => self.peer = value,
            name => self.extra.push((name, Extra::Text(value))),
        }
    }
}

/// What a terminal obeys in place of showing it: control characters, and those that turn the direction of
/// writing. Names and texts come from clients and servers.
fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Further lines are set in, as PgBouncer's are; all else that is not printable is escaped.
fn printable(words: &str) -> String {
    let mut printed = String::with_capacity(words.len() + 16);
    for character in words.chars() {
        match character {
            '\n' => printed.push_str("\n\t"),
            '\t' => printed.push('\t'),
            odd if is_unprintable(odd) => printed.extend(odd.escape_unicode()),
            usual => printed.push(usual),
        }
    }
    printed
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text_field(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text_field(field, value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "id" {
            self.id = Some(value);
        } else {
            self.extra.push((field.name(), Extra::Bare(value.to_string())));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.extra.push((field.name(), Extra::Bare(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "fatal" {
            if value {
                self.level = Level::Fatal;
            }
        } else {
            self.extra.push((field.name(), Extra::Bare(value.to_string())));
        }
    }
}

/// Shortens `line` to the bound, at the edge of a character.
fn cut(line: &mut String) {
    if line.len() >= LOG_LINE_BYTES_MAX {
        line.truncate(edge_before(line, LOG_LINE_BYTES_MAX - 1));
    }
}

fn edge_before(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Appends `,"name":"value"`, the value cut to the bound.
fn json_text(line: &mut String, name: &str, value: &str) {
    let value = &value[..edge_before(value, value.len().min(LOG_LINE_BYTES_MAX))];
    let _ = write!(line, ",\"{name}\":\"");
    for c in value.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str) -> Entry {
        // 2026-11-22 04:13:50.980 UTC
        Entry::new(Timestamp::from_millisecond(1_795_320_830_980).unwrap(), Level::Log, message.to_owned())
    }

    fn client(message: &str) -> Entry {
        let mut entry = entry(message);
        (entry.side, entry.id) = (Some('C'), Some(0x1a2b));
        (entry.db, entry.user, entry.peer) = ("shop".into(), "ada".into(), "127.0.0.1:41496".into());
        entry
    }

    #[test]
    fn a_line_is_pgbouncers_byte_for_byte() {
        assert_eq!(
            entry("process up: pgweir").text(&TimeZone::UTC, 19783),
            "2026-11-22 04:13:50.980 UTC [19783] LOG process up: pgweir\n"
        );
        let mut line = client("pooler error: no such user");
        line.level = Level::Warning;
        assert_eq!(
            line.text(&TimeZone::UTC, 1),
            "2026-11-22 04:13:50.980 UTC [1] WARNING C-0x1a2b: shop/ada@127.0.0.1:41496 pooler error: no \
             such user\n"
        );
    }

    #[test]
    fn the_zone_is_told_by_its_abbreviation() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert!(entry("x").text(&zone, 1).starts_with("2026-11-22 05:13:50.980 CET [1]"));
    }

    #[test]
    fn what_is_not_known_yet_is_said_so() {
        let mut line = client("closing because: no username supplied (age=0s)");
        (line.db, line.user) = (String::new(), String::new());
        line.peer = "unix(77):6432".into();
        assert!(
            line.text(&TimeZone::UTC, 1)
                .contains(" LOG C-0x1a2b: (nodb)/(nouser)@unix(77):6432 closing because")
        );
    }

    #[test]
    fn a_line_stays_one_line_and_bounded() {
        assert!(entry("a\nb").text(&TimeZone::UTC, 1).ends_with("LOG a\n\tb\n"));
        let odd = "ä\t\u{1b}]0;x\u{7}\r\u{202e}\u{9b}z";
        assert!(
            entry(odd).text(&TimeZone::UTC, 1).ends_with("LOG ä\t\\u{1b}]0;x\\u{7}\\u{d}\\u{202e}\\u{9b}z\n")
        );
        let long = entry(&"é".repeat(LOG_LINE_BYTES_MAX)).text(&TimeZone::UTC, 1);
        assert!(long.len() <= LOG_LINE_BYTES_MAX && long.ends_with("é\n"));
    }

    #[test]
    fn json_has_every_field_and_escapes() {
        let mut line = client("say \"hi\"\\\n\u{1}");
        line.extra.push(("age", Extra::Bare("7".into())));
        line.extra.push(("host", Extra::Text("a\tb".into())));
        assert_eq!(
            line.json(9),
            "{\"at\":\"2026-11-22T04:13:50.980Z\",\"pid\":9,\"level\":\"LOG\",\
             \"side\":\"C\",\"id\":6699,\"db\":\"shop\",\
             \"user\":\"ada\",\"peer\":\"127.0.0.1:41496\",\"age\":7,\"host\":\"a\\u0009b\",\
             \"message\":\"say \\\"hi\\\"\\\\\\n\\u0001\"}\n"
        );
    }

    #[test]
    fn syslog_has_priority_and_ident() {
        let mut line = client("x");
        line.level = Level::Error;
        assert_eq!(
            line.syslog(3, "pgbouncer", &TimeZone::UTC, 5),
            "<27>Nov 22 04:13:50 pgbouncer[5]: C-0x1a2b: shop/ada@127.0.0.1:41496 x"
        );
    }
}
