//! The role of an entry whose `iam_role_arn` is a template: `{database}` and `{user}` in it stand for names.
//!
//! Only names that the files give are put in. One that a client chooses (a database that `*` makes, a user
//! that no entry forces) would let it choose the role as well, and with it another tenant's: a template that
//! needs one is refused at load. Pure.

/// The names that the files give; `None`: a client would choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names<'a> {
    /// Of the database.
    pub database: Option<&'a str>,
    /// Of the user.
    pub user: Option<&'a str>,
}

/// The ARN that `template` means.
///
/// # Errors
/// What is wrong with it, for an operator.
pub(super) fn fill(template: &str, names: Names<'_>) -> Result<String, String> {
    let (mut arn, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (what, behind) = after.split_once('}').ok_or("a brace is not closed")?;
        let name = match what {
            "database" => {
                names.database.ok_or("{database} would come from the client here: name the database")?
            }
            "user" => names.user.ok_or("{user} would come from the client here: give the entry a user")?,
            _ => return Err("accepted in braces: database, user".to_owned()),
        };
        if !is_plain(name) {
            return Err(format!("\"{name}\" cannot stand in the name of a role"));
        }
        arn.push_str(before);
        arn.push_str(name);
        rest = behind;
    }
    Ok(arn + rest)
}

/// What IAM takes in names, but for the slash, which would lead to another path.
fn is_plain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, database: Option<&str>, user: Option<&str>) -> Result<String, String> {
        fill(template, Names { database, user })
    }

    #[test]
    fn names_of_the_files_are_put_in() {
        for (template, expected) in [
            ("arn:aws:iam::1:role/x", "arn:aws:iam::1:role/x"),
            ("role/t-{database}", "role/t-acme"),
            ("role/{database}/{user}-ro", "role/acme/app-ro"),
            ("{user}{user}", "appapp"),
        ] {
            assert_eq!(filled(template, Some("acme"), Some("app")).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn nothing_else_is() {
        for (template, database, user) in [
            ("role/{database}", None, Some("app")),
            ("role/{user}", Some("acme"), None),
            ("role/{database}", Some("a/b"), None),
            ("role/{database}", Some("a:b"), None),
            ("role/{database}", Some("a b"), None),
            ("role/{database}", Some("a*"), None),
            ("role/{database}", Some("{user}"), Some("app")),
            ("role/{database}", Some(""), None),
            ("role/{user}", None, Some("ä")),
            ("role/{Database}", Some("acme"), Some("app")),
            ("role/{}", Some("acme"), Some("app")),
            ("role/{database", Some("acme"), Some("app")),
        ] {
            assert!(filled(template, database, user).is_err(), "{template} {database:?} {user:?}");
        }
    }
}
