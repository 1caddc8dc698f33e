//! The lines of a file and of those that it includes, within bounds: how many files, how deep, how long all
//! are together, how many lines. What breaks a bound ends the reading.
//!
//! `include FILE`, `include_if_exists FILE` and `%include FILE` put a file's lines in their place; its name
//! is relative to the folder of the file that names it. PgBouncer knows none of them and skips such a line.
//! Sources: PostgreSQL documentation, "The pg_hba.conf File"; PgBouncer, src/hba.c (path_join_dirname()).

use super::Read;
use super::error::{Doubt, FileError, FileKind, Wrong};
use super::tokens::{Token, Tokens};
use crate::base::limits;
use crate::config::{Place, shown};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is read, and what was found wrong so far.
pub(super) struct Files<'a> {
    kind: FileKind,
    read: Read<'a>,
    files: usize,
    bytes: usize,
    /// How many lines were taken.
    lines: usize,
    is_over: bool,
    errors: Vec<FileError>,
    doubts: Vec<Doubt>,
}

/// What takes a line that includes no file.
pub(super) type Taker<'t> = dyn FnMut(&mut Files<'_>, &Place, Tokens<'_>) -> Result<(), Wrong> + 't;

impl<'a> Files<'a> {
    pub(super) fn new(kind: FileKind, read: Read<'a>) -> Self {
        let (errors, doubts) = (Vec::new(), Vec::new());
        Self { kind, read, files: 0, bytes: 0, lines: 0, is_over: false, errors, doubts }
    }

    pub(super) fn kind(&self) -> FileKind {
        self.kind
    }

    /// What was made of the files, if nothing is wrong with them.
    pub(super) fn end<T>(self, made: T) -> Result<(T, Vec<Doubt>), Vec<FileError>> {
        if self.errors.is_empty() { Ok((made, self.doubts)) } else { Err(self.errors) }
    }

    /// Notes what may not be meant so.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        match self.doubts.len() {
            0..limits::CONFIG_ERRORS_MAX => self.doubts.push(doubt),
            limits::CONFIG_ERRORS_MAX => self.doubts.push(Doubt::More),
            _ => {}
        }
    }

    /// Gives each line of the file `path` that is not empty to `take`, and those of files that it includes.
    pub(super) fn each_line(&mut self, path: &str, take: &mut Taker<'_>) {
        match self.open(path) {
            Ok(bytes) => self.lines(&path.into(), &bytes, 0, take),
            Err(Wrong::Unreadable { file, why }) => {
                self.errors.push(FileError::Unreadable { kind: self.kind, file: file.into(), why });
            }
            Err(wrong) => self.report(Place { file: path.into(), line: 0 }, wrong),
        }
    }

    fn lines(&mut self, file: &Arc<str>, bytes: &[u8], depth: usize, take: &mut Taker<'_>) {
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            if self.is_over {
                return;
            }
            let place = Place { file: Arc::clone(file), line: number };
            let outcome = match Tokens::of(line) {
                Ok(tokens) if tokens.is_at_end() => Ok(()),
                Ok(tokens) => self.line(&place, line, tokens, depth, take),
                Err(wrong) => Err(wrong),
            };
            if let Err(wrong) = outcome {
                self.report(place, wrong);
            }
        }
    }

    fn line(
        &mut self,
        place: &Place,
        line: &[u8],
        tokens: Tokens<'_>,
        depth: usize,
        take: &mut Taker<'_>,
    ) -> Result<(), Wrong> {
        let (is_include, may_be_missing) = match tokens.current() {
            Token::Word(word) if word == "include" || word == "%include" => (true, false),
            Token::Word(word) if word == "include_if_exists" => (true, true),
            Token::Word(word) if word == "include_dir" => return Err(Wrong::IncludeDir),
            _ => (false, false),
        };
        let included = if is_include { included(line)? } else { None };
        let Some(name) = included else { return self.take(place, tokens, take) };
        let path = beside(&place.file, &name);
        if depth >= limits::HBA_DEPTH_MAX {
            return Err(Wrong::TooDeep);
        }
        match self.read_counted(&path)? {
            Ok(bytes) => self.lines(&path.into(), &bytes, depth + 1, take),
            Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
        Ok(())
    }

    fn take(&mut self, place: &Place, tokens: Tokens<'_>, take: &mut Taker<'_>) -> Result<(), Wrong> {
        let (most, what) = self.kind.lines_max();
        if self.lines >= most {
            return Err(Wrong::TooMany { what, most });
        }
        self.lines += 1;
        take(self, place, tokens)
    }

    /// The bytes of a file, as long as all files are within their bounds.
    pub(super) fn open(&mut self, path: &str) -> Result<Vec<u8>, Wrong> {
        self.read_counted(path)?.map_err(|error| unreadable(path, &error))
    }

    fn read_counted(&mut self, path: &str) -> Result<io::Result<Vec<u8>>, Wrong> {
        if self.files >= limits::HBA_FILES_MAX {
            return Err(Wrong::TooMany { what: "files", most: limits::HBA_FILES_MAX });
        }
        self.files += 1;
        let read = (self.read)(path);
        let is_too_long = |error: &io::Error| error.kind() == io::ErrorKind::FileTooLarge;
        self.bytes += read.as_ref().map_or(0, Vec::len);
        if self.bytes > limits::HBA_BYTES_MAX || read.as_ref().is_err_and(is_too_long) {
            return Err(Wrong::TooLong);
        }
        Ok(read)
    }

    fn report(&mut self, place: Place, wrong: Wrong) {
        let is_cut = self.errors.len() >= limits::CONFIG_ERRORS_MAX;
        let wrong = if is_cut { Wrong::MoreErrors } else { wrong };
        self.is_over |= wrong.is_the_end();
        self.errors.push(FileError::Line { kind: self.kind, place, wrong });
    }
}

/// The file that an `include` names; `None` where the line is of another form.
fn included(line: &[u8]) -> Result<Option<String>, Wrong> {
    let mut tokens = Tokens::of(line)?;
    tokens.take()?;
    tokens.only_name()
}

fn unreadable(path: &str, error: &io::Error) -> Wrong {
    Wrong::Unreadable { file: shown(path), why: error.to_string() }
}

/// `name` as it is meant in the file `file`: relative to its folder.
pub(super) fn beside(file: &str, name: &str) -> String {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    folder.join(name).to_string_lossy().into_owned()
}
