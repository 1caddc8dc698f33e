//! The role of a line: a name, or one that is put together from groups of the claim's pattern.
//!
//! A name that arises from a claim is a stranger's: it must be one that PostgreSQL keeps whole.

use crate::base::limits;
use crate::identity::text::is_printable;
use regex::bytes::Captures;

/// As which role a line lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RolePattern {
    Written(Box<str>),
    /// Of the groups of the claim's pattern.
    Made(Box<[Piece]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    /// By its number, from 1.
    Group(usize),
}

/// Why a line's role is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum BadRole {
    #[error("all, +group, @file and /pattern do not stand for roles here: quoted they are names")]
    NoKeywords,
    #[error("the role must be printable, and have 1 to {most} bytes", most = limits::ROLE_BYTES_MAX)]
    NotAName,
    #[error("the role has a \\ that no digit from 1 to 9 follows")]
    BadReference,
    #[error("the role names group \\{0} of the value, which has none of that number")]
    NoGroup(usize),
}

/// Whether PostgreSQL keeps it as it is, and a line of the log can show it.
fn is_name(name: &str) -> bool {
    (1..=limits::ROLE_BYTES_MAX).contains(&name.len()) && name.chars().all(is_printable)
}

impl RolePattern {
    /// Of a word without quotes, which may look like what it is in ident files.
    pub(super) fn of_word(word: &str, groups: usize) -> Result<Self, BadRole> {
        if word == "all" || word.starts_with(['+', '@', '/']) {
            return Err(BadRole::NoKeywords);
        }
        Self::of_name(word, groups)
    }

    /// Of a name, for a value with so many groups.
    pub(super) fn of_name(name: &str, groups: usize) -> Result<Self, BadRole> {
        let mut parts = name.split('\\');
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = |part: &str| (!part.is_empty()).then(|| Piece::Text(part.into()));
        pieces.extend(parts.next().and_then(&mut text));
        for part in parts {
            let digit = part.bytes().next().filter(|byte| (b'1'..=b'9').contains(byte));
            let group = usize::from(digit.ok_or(BadRole::BadReference)? - b'0');
            if group > groups {
                return Err(BadRole::NoGroup(group));
            }
            pieces.push(Piece::Group(group));
            pieces.extend(text(&part[1..]));
        }
        let is_text_a_name =
            |text: &str| text.len() <= limits::ROLE_BYTES_MAX && text.chars().all(is_printable);
        match &*pieces {
            [Piece::Text(name)] if is_name(name) => Ok(Self::Written(name.clone())),
            [] | [Piece::Text(_)] => Err(BadRole::NotAName),
            pieces => {
                let is_fit = |piece: &Piece| matches!(piece, Piece::Text(text) if !is_text_a_name(text));
                if pieces.iter().any(is_fit) { Err(BadRole::NotAName) } else { Ok(Self::Made(pieces.into())) }
            }
        }
    }

    pub(super) fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }

    /// Whether it is `role`, or may be by what a claim says: told without looking at one.
    pub(super) fn can_be(&self, role: &str) -> bool {
        match self {
            Self::Written(name) => **name == *role,
            Self::Made(_) => is_name(role),
        }
    }

    /// Whether it is `role` with these groups.
    pub(super) fn is(&self, role: &str, groups: &Captures<'_>) -> bool {
        let pieces = match self {
            Self::Written(name) => return **name == *role,
            Self::Made(pieces) => pieces,
        };
        let mut rest = role.as_bytes();
        for piece in pieces {
            let bytes = match piece {
                Piece::Text(text) => text.as_bytes(),
                // A group that took no part stands for nothing.
                Piece::Group(group) => groups.get(*group).map_or(&[][..], |group| group.as_bytes()),
            };
            match rest.strip_prefix(bytes) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty() && is_name(role)
    }
}
