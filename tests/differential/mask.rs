//! A frame as a line of text: every byte of it, but keys, pids, times and what else cannot be the same twice.
//!
//! What is masked is named here and nowhere else; a difference in anything else has to stand in the list of
//! `known.rs`.

use crate::common::raw::Frame;

/// Columns of the console's tables that hold times, ports, pids, pointers and ids; those whose names end in
/// `_time`, and values behind such a name, are times, too.
const OF_THE_MOMENT: [&str; 8] = ["port", "local_port", "wait", "wait_us", "ptr", "link", "remote_pid", "id"];

/// What one connection's frames are masked with.
pub struct Mask {
    /// What is the pooler's own, and what stands in its place.
    names: Vec<(String, &'static str)>,
    /// Whether it is a connection to the console.
    is_console: bool,
    /// Columns of the last RowDescription.
    columns: Vec<String>,
}

impl Mask {
    pub fn new(names: Vec<(String, &'static str)>, is_console: bool) -> Self {
        Self { names, is_console, columns: Vec::new() }
    }

    pub fn with(mut self, name: String, instead: &'static str) -> Self {
        self.names.push((name, instead));
        self
    }

    pub fn line(&mut self, frame: &Frame) -> String {
        let Frame { tag, body } = frame;
        let text = match tag {
            b'K' => format!("({} bytes)", body.len()),
            b'A' => format!("(pid) {}", body.get(4..).unwrap_or_default().escape_ascii()),
            b'R' => authentication(body),
            b'E' | b'N' => fields(body),
            b'D' if self.is_console => self.row(body),
            _ => body.escape_ascii().to_string(),
        };
        if *tag == b'T' {
            self.columns = columns(body);
        }
        let text = self.names.iter().fold(text, |text, (name, instead)| text.replace(name, instead));
        format!("{} {text}", char::from(*tag)).trim_end().into()
    }

    fn row(&self, body: &[u8]) -> String {
        let Some((count, mut rest)) = body.split_first_chunk::<2>() else { return String::new() };
        let mut cells: Vec<String> = Vec::new();
        for index in 0..u16::from_be_bytes(*count) {
            let name = self.columns.get(usize::from(index)).map_or("?", String::as_str);
            let Some((length, after)) = rest.split_first_chunk() else { break };
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, after) = after.split_at_checked(length.unwrap_or(0)).unwrap_or((after, &[]));
            let is_time = name.ends_with("_time") || cells.last().is_some_and(|cell| cell.ends_with("_time"));
            let is_masked = (is_time || OF_THE_MOMENT.contains(&name)) && !value.is_empty();
            cells.push(match length {
                None => format!("{name} is null"),
                Some(_) if is_masked => format!("{name}=(masked)"),
                Some(_) => format!("{name}={}", value.escape_ascii()),
            });
            rest = after;
        }
        cells.join("|")
    }
}

/// Salts, nonces and proofs are made anew for each login.
fn authentication(body: &[u8]) -> String {
    let Some((kind, rest)) = body.split_first_chunk() else { return body.escape_ascii().to_string() };
    match u32::from_be_bytes(*kind) {
        5 => format!("md5 (salt of {})", rest.len()),
        11 => {
            let text = String::from_utf8_lossy(rest);
            let parts = text.split(',').map(|part| match part.split_at_checked(2) {
                Some((name @ ("r=" | "s="), value)) => format!("{name}({} bytes)", value.len()),
                _ => part.to_owned(),
            });
            format!("scram {}", parts.collect::<Vec<_>>().join(","))
        }
        12 => format!("scram final of {}", rest.len()),
        _ => body.escape_ascii().to_string(),
    }
}

/// Of an error or a notice: all its fields, in order.
fn fields(body: &[u8]) -> String {
    let parts: Vec<_> = body.split(|byte| *byte == 0).map(|part| part.escape_ascii().to_string()).collect();
    parts.join("|")
}

fn columns(body: &[u8]) -> Vec<String> {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = rest.get(end + 19..).unwrap_or_default();
    }
    names
}
