//! What the pooler says to make a session's parameters a client's: SQL, and when there is nothing to say.
//!
//! Pure. Values are a client's, or a server's word for them: whatever stands in them, each stays one literal.

/// Parameters whose values mean something else in another case: names of roles and of schemas.
const EXACT: [&str; 2] = ["search_path", "session_authorization"];

/// Whether a session that has one value serves whoever wants the other: case is no difference, but in names
/// of roles and schemas.
pub(super) fn is_same(name: &str, want: &str, have: &str) -> bool {
    let is_exact = || EXACT.iter().any(|exact| exact.eq_ignore_ascii_case(name));
    want == have || (want.eq_ignore_ascii_case(have) && !is_exact())
}

/// Appends `SET name='value';`, or for `search_path`, where a literal would be the name of one schema, a call
/// that reads a list of them as PostgreSQL reads the startup packet's (PostgreSQL, "System Administration
/// Functions", set_config).
pub(super) fn push_set(sql: &mut String, name: &str, value: &str) {
    if name.eq_ignore_ascii_case("search_path") {
        sql.push_str("SELECT pg_catalog.set_config('search_path',");
        push_literal(sql, value);
        sql.push_str(",false);");
    } else {
        sql.push_str("SET ");
        sql.push_str(name);
        sql.push('=');
        push_literal(sql, value);
        sql.push(';');
    }
}

fn push_literal(sql: &mut String, value: &str) {
    if value.contains('\\') {
        sql.push('E');
    }
    sql.push('\'');
    for letter in value.chars() {
        if letter == '\'' || letter == '\\' {
            sql.push(letter);
        }
        sql.push(letter);
    }
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> String {
        let mut sql = String::new();
        push_set(&mut sql, name, value);
        sql
    }

    #[test]
    fn values_are_one_literal_whatever_stands_in_them() {
        assert_eq!(set("application_name", r"it's \ me"), r"SET application_name=E'it''s \\ me';");
        assert_eq!(set("TimeZone", ""), "SET TimeZone='';");
        let call = |value| format!("SELECT pg_catalog.set_config('search_path','{value}',false);");
        assert_eq!(set("search_path", "\"$user\", public"), call("\"$user\", public"));
        assert_eq!(set("Search_Path", "x;begin'"), call("x;begin''"));
    }

    #[test]
    fn case_is_no_difference_but_in_names_of_roles_and_schemas() {
        assert!(is_same("TimeZone", "utc", "UTC") && is_same("client_encoding", "utf8", "UTF8"));
        assert!(!is_same("TimeZone", "UTC", "CET"));
        for name in ["session_authorization", "SEARCH_PATH"] {
            assert!(is_same(name, "app", "app") && !is_same(name, "app", "APP"), "{name}");
        }
    }
}
