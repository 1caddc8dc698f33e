//! The little language that simulated servers speak. Words of PostgreSQL where the pooler looks at them (SET,
//! DISCARD ALL, BEGIN, …), our own where it does not.
//!
//! A statement of a client ends with its tag in a comment: `rows 3 100 /*c7n42*/` is statement 42 of client
//! 7. In a shared prepared statement the comment is `/*$1*/` and the tag comes as Bind's first parameter.
//! What the pooler sends by itself has no tag.

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sql {
    /// So many rows of so many bytes.
    Rows {
        count: usize,
        bytes: usize,
    },
    /// Fails.
    Fail,
    /// Sends a notice.
    Notice,
    /// Takes its time; can be cancelled.
    Sleep {
        us: u64,
    },
    /// COPY from the client; fails by itself after so many bytes (`usize::MAX`: never; 0:
    /// before it asks for data).
    CopyIn {
        fail_after: usize,
    },
    /// COPY to the client.
    CopyOut {
        count: usize,
        bytes: usize,
    },
    Begin,
    Commit,
    Rollback,
    Set {
        name: String,
        value: String,
    },
    /// What is set for the request at hand; back to nothing where that is empty.
    SetContext {
        value: String,
        command: &'static str,
    },
    DiscardAll,
    DeallocateAll,
    /// Nothing at all.
    Empty,
}

/// A statement and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub sql: Sql,
    /// `c7n42`; empty where the pooler itself speaks.
    pub tag: String,
}

/// The client that a tag names.
pub fn client_of(tag: &str) -> Option<u32> {
    tag.strip_prefix('c')?.split('n').next()?.parse().ok()
}

/// The statements of a simple query; blank ones are left out, quotes are respected.
pub fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars() {
        match (quote, letter) {
            (None, ';') => parts.push(std::mem::take(&mut part)),
            (None, '\'' | '"') => {
                quote = Some(letter);
                part.push(letter);
            }
            (Some(open), letter) if open == letter => {
                quote = None;
                part.push(letter);
            }
            _ => part.push(letter),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Reads one statement; `None` where it is none of ours.
pub fn parse(text: &str, params: &[String]) -> Option<Statement> {
    let (body, tag) = match text.split_once("/*") {
        Some((body, rest)) => (body.trim(), rest.trim_end().strip_suffix("*/")?),
        None => (text.trim(), ""),
    };
    let tag = if tag == "$1" { params.first()?.clone() } else { tag.to_owned() };
    let words: Vec<&str> = body.split_ascii_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<usize>().ok();
    let sql = match words.first()?.to_ascii_lowercase().as_str() {
        "rows" => Sql::Rows { count: number(1)?, bytes: number(2)? },
        "select" if body.contains("set_config") => set_config(body)?,
        "select" => Sql::Rows { count: 1, bytes: 0 },
        "fail" => Sql::Fail,
        "notice" => Sql::Notice,
        "sleep" => Sql::Sleep { us: number(1)? as u64 },
        "copyin" => Sql::CopyIn { fail_after: number(1).unwrap_or(usize::MAX) },
        "copyout" => Sql::CopyOut { count: number(1)?, bytes: number(2)? },
        "begin" => Sql::Begin,
        "commit" => Sql::Commit,
        "rollback" => Sql::Rollback,
        "discard" => Sql::DiscardAll,
        "deallocate" => Sql::DeallocateAll,
        "set" if body.contains("context") => set_context(body)?,
        "reset" => Sql::SetContext { value: String::new(), command: "RESET" },
        "set" => set(body)?,
        _ => return None,
    };
    Some(Statement { sql, tag })
}

/// `SET pgweir.context` as clients write it, and as the pooler does.
fn set_context(body: &str) -> Option<Sql> {
    let (_, value) =
        body.split_once(" = ").or_else(|| body.split_once(" to ")).or_else(|| body.split_once(" TO "))?;
    Some(Sql::SetContext { value: unquote(value)?, command: "SET" })
}

fn set(body: &str) -> Option<Sql> {
    let (name, value) = body[3..].split_once('=')?;
    Some(Sql::Set { name: name.trim().to_owned(), value: unquote(value.trim())? })
}

/// `SELECT pg_catalog.set_config('name','value',false)`, as the pooler writes it.
fn set_config(body: &str) -> Option<Sql> {
    let (name, rest) = body.split_once("set_config('")?.1.split_once("',")?;
    let value = unquote(rest.strip_suffix(",false)")?)?;
    Some(Sql::Set { name: name.to_owned(), value })
}

/// Takes the quotes off a literal, `E''` included; a list of identifiers stays as it is.
fn unquote(literal: &str) -> Option<String> {
    let (escapes, rest) = match literal.strip_prefix('E') {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let Some(inner) = rest.strip_prefix('\'') else { return Some(literal.to_owned()) };
    let inner = inner.strip_suffix('\'')?;
    let mut value = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' if letters.next() != Some('\'') => return None,
            '\\' if escapes => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
    Some(value)
}

/// `SET name='value'` as a client writes it.
pub fn set_text(name: &str, value: &str) -> String {
    if name.eq_ignore_ascii_case("search_path") {
        return format!("set {name} = {value}");
    }
    let quoted = value.replace('\\', "\\\\").replace('\'', "''");
    format!("set {name} = E'{quoted}'")
}

#[test]
fn the_language_reads_what_it_writes() {
    let text = set_text("application_name", r"it's \ me");
    let expected = Sql::Set { name: "application_name".into(), value: r"it's \ me".into() };
    assert_eq!(parse(&text, &[]).map(|statement| statement.sql), Some(expected.clone()));
    let poolers =
        r"SET application_name=E'it''s \\ me';SELECT pg_catalog.set_config('search_path','a, public',false);";
    let parts = split(poolers);
    assert_eq!(parse(&parts[0], &[]).map(|statement| statement.sql), Some(expected));
    let expected = Sql::Set { name: "search_path".into(), value: "a, public".into() };
    assert_eq!(parse(&parts[1], &[]).map(|statement| statement.sql), Some(expected));
    let shared = parse("rows 2 10 /*$1*/", &["c7n1".into()]).map(|statement| statement.tag);
    assert_eq!(shared.as_deref(), Some("c7n1"));
}
