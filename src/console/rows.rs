//! Writes an answer of rows: RowDescription from the columns of a table, then one
//! DataRow for each row pushed.
//!
//! All values are text format. Invariant: a row has exactly the cells that its columns say; whoever writes a
//! SHOW and gets that wrong is stopped by an assert in the first test that calls it. Source: PostgreSQL
//! documentation, "Message Formats"; sizes and modifiers as PgBouncer sends them.

use crate::wire::encode;
use std::borrow::Cow;

/// A column's type, by what PostgreSQL calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// text.
    Text,
    /// integer.
    Int4,
    /// bigint.
    Int8,
    /// numeric.
    Numeric,
    /// bytea.
    Bytea,
}

impl Type {
    /// Object id in pg_type.
    pub const fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Numeric => 1700,
            Self::Bytea => 17,
        }
    }

    /// pg_type.typlen.
    const fn size(self) -> i16 {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
            Self::Text | Self::Numeric | Self::Bytea => -1,
        }
    }
}

/// One column of a SHOW table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as sent.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// For text columns.
    Text(Cow<'a, str>),
    /// For columns of numbers.
    Number(u64),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Cell<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Cell<'_> {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Cell<'_> {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<bool> for Cell<'_> {
    /// As PgBouncer prints flags: 0 or 1.
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An answer being written: a RowDescription and the rows so far.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Cow<'static, [Column]>,
    out: Vec<u8>,
}

impl Rows {
    /// An answer with these columns and no row yet.
    pub(super) fn new(columns: impl Into<Cow<'static, [Column]>>) -> Self {
        let columns = columns.into();
        let mut out = Vec::with_capacity(1024);
        encode::row_description(&mut out, columns.iter().map(|c| (c.name, c.kind.oid(), c.kind.size())));
        Self { columns, out }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// Where the cells are not those of the columns: a bug of the SHOW that calls it.
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) {
        assert_eq!(cells.len(), self.columns.len(), "a row has the cells of its columns: {:?}", self.columns);
        for (cell, column) in cells.iter().zip(self.columns.iter()) {
            let fits = match cell {
                Cell::Null => true,
                Cell::Text(_) => matches!(column.kind, Type::Text | Type::Bytea),
                Cell::Number(_) => matches!(column.kind, Type::Int4 | Type::Int8 | Type::Numeric),
            };
            assert!(fits, "column {} cannot hold {cell:?}", column.name);
        }
        encode::data_row(
            &mut self.out,
            cells.iter().zip(self.columns.iter()).map(|(cell, column)| match cell {
                Cell::Null => None,
                Cell::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
                // An int4 that does not fit would be an error in the driver; the largest it can
                // read is nearer the truth.
                Cell::Number(n) if column.kind == Type::Int4 => {
                    Some((*n).min(i32::MAX as u64).to_string().into_bytes().into())
                }
                Cell::Number(n) => Some(n.to_string().into_bytes().into()),
            }),
        );
    }

    /// The messages written so far.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// What a client reads: names, then rows of texts. For tests.
    #[cfg(test)]
    pub(super) fn read_back(&self) -> Vec<Vec<(String, Option<String>)>> {
        tests::read_back(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tags::server;

    fn number(bytes: &mut &[u8], count: usize) -> i64 {
        let (front, rest) = bytes.split_at(count);
        *bytes = rest;
        match count {
            2 => i16::from_be_bytes(front.try_into().unwrap()).into(),
            _ => i32::from_be_bytes(front.try_into().unwrap()).into(),
        }
    }

    pub(super) fn read_back(mut bytes: &[u8]) -> Vec<Vec<(String, Option<String>)>> {
        let mut names = Vec::new();
        let mut rows = Vec::new();
        while let Some((tag, mut rest)) = bytes.split_first() {
            let length = number(&mut rest, 4) as usize;
            let (mut body, rest) = rest.split_at(length - 4);
            bytes = rest;
            let count = number(&mut body, 2);
            if *tag == server::ROW_DESCRIPTION {
                for _ in 0..count {
                    let end = body.iter().position(|b| *b == 0).unwrap();
                    names.push(String::from_utf8(body[..end].to_vec()).unwrap());
                    body = &body[end + 19..];
                }
            } else {
                let row = names.iter().map(|name| {
                    let size = number(&mut body, 4);
                    let value = usize::try_from(size).ok().map(|size| {
                        let (value, rest) = body.split_at(size);
                        body = rest;
                        String::from_utf8(value.to_vec()).unwrap()
                    });
                    (name.clone(), value)
                });
                rows.push(row.collect());
            }
        }
        rows
    }

    const COLUMNS: &[Column] = &[
        Column { name: "zonename", kind: Type::Text },
        Column { name: "serial", kind: Type::Int8 },
        Column { name: "count", kind: Type::Int4 },
    ];

    #[test]
    fn the_description_is_pgbouncers_byte_for_byte() {
        let expected = b"T\x00\x00\x00R\x00\x03zonename\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\
            \xff\xff\xff\xff\xff\xff\x00\x00serial\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x14\
            \x00\x08\xff\xff\xff\xff\x00\x00\
            count\x00\x00\x00\x00\
            \x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00";
        assert_eq!(Rows::new(COLUMNS).into_bytes(), expected);
    }

    #[test]
    fn a_row_reads_back() {
        let mut rows = Rows::new(COLUMNS);
        rows.push(&["é".into(), u64::MAX.into(), u64::MAX.into()]);
        rows.push(&[Cell::Null, 0u32.into(), true.into()]);
        let read = rows.read_back();
        let texts = |row: &[(String, Option<String>)]| row.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>();
        assert_eq!(
            texts(&read[0]),
            [Some("é".into()), Some("18446744073709551615".into()), Some("2147483647".into())]
        );
        assert_eq!(texts(&read[1]), [None, Some("0".into()), Some("1".into())]);
    }

    #[test]
    #[should_panic(expected = "cannot hold")]
    fn a_text_in_a_number_column_is_a_bug() {
        Rows::new(COLUMNS).push(&["x".into(), "1".into(), 1u32.into()]);
    }
}
