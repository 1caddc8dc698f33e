//! Host-based rules (`auth_hba_file`) and user name maps (`auth_ident_file`): which clients have to prove
//! who they are in which way.
//!
//! Both are read whole. A line that PostgreSQL would go by and PgBouncer leaves out is left out and told; one
//! that neither can read refuses all, where PgBouncer goes on, and so does a `reject` that would have to be
//! left out, since that lets somebody in. Pure: files are read by a function that is handed in.
//! Matching is a function of what is known of a client before its proof; the first rule that fits counts.
//! Sources: PgBouncer, doc/config.md ("HBA file format", "Ident map file format"), src/hba.c; PostgreSQL
//! documentation, "The pg_hba.conf File" and "User Name Maps".

mod address;
mod doubt;
mod error;
mod files;
mod ident;
mod index;
mod name_set;
mod names;
mod parse;
mod rule;
mod tokens;
mod words;

pub use error::{Doubt, FileError, FileKind, Unsupported, Wrong};
pub use ident::{IdentMap, IdentMaps};
pub use rule::{Origin, Rule, TcpWay, Visit};
pub(crate) use tokens::{Token, Tokens};

use files::Files;
use index::Index;
use std::io;

/// What reads a file by its name.
pub type Read<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

/// The rules of an hba file, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hba {
    rules: Box<[Rule]>,
    index: Index,
}

impl Hba {
    /// Reads the rules of the file `path`, and what is to be said about them.
    ///
    /// # Errors
    /// Everything that is wrong with the file, and with those that it names.
    pub fn load(path: &str, maps: &IdentMaps, read: Read<'_>) -> Result<(Self, Vec<Doubt>), Vec<FileError>> {
        let mut files = Files::new(FileKind::Hba, read);
        let mut rules: Vec<Rule> = Vec::new();
        files.each_line(path, &mut |files, place, tokens| {
            let mut rule = parse::rule(files, place, tokens, maps)?;
            if let (Some(rule), Some(last)) = (&mut rule, rules.last()) {
                rule.share_options(last);
            }
            rules.extend(rule);
            Ok(())
        });
        doubt::doubt_order(&mut files, &rules);
        let index = Index::of(&rules);
        files.end(Self { rules: rules.into(), index })
    }

    /// The rule that decides about this client; `None`: nobody has said how it may log in.
    pub fn rule_for(&self, visit: &Visit<'_>) -> Option<&Rule> {
        self.index.candidates(visit).map(|number| &self.rules[number]).find(|rule| rule.fits(visit))
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

#[cfg(test)]
mod tests;
