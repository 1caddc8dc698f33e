//! What the text of a secret says: who logs in with which password, or which users clients may be.
//!
//! Pure; never shows a text. The shape of JSON is that of Amazon RDS. What it says of host, port and database
//! is not looked at: the configuration says where servers are. Source: AWS Secrets Manager User Guide, "JSON
//! structure of AWS Secrets Manager secrets"; Kubernetes documentation, "Secrets".

use crate::auth::Secret;
use crate::base::{Password, limits};
use crate::iam::json::{self, JsonError, Value};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why the text of a secret says nothing that can be used. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has more bytes than a secret of AWS may have.
    #[error("it has more than 65536 bytes")]
    TooLong,
    /// Its bytes are no text.
    #[error("it is not valid UTF-8")]
    NotUtf8,
    /// It begins as JSON, and is none.
    #[error("it is not one whole JSON object")]
    NotJson,
    /// Objects within objects within objects.
    #[error("its JSON is nested too deep")]
    TooDeep,
    /// Which one counts is anybody's guess.
    #[error("its JSON has one name twice")]
    Twice,
    /// `password` is missing, empty, or no text.
    #[error("its JSON has no password")]
    NoPassword,
    /// `username` is there and no name of a role.
    #[error("its username is no name of a role")]
    BadUser,
    /// A password that nobody can have.
    #[error("a password in it is too long, or has a zero byte")]
    BadPassword,
    /// A password of one line was expected.
    #[error("it is neither JSON nor a password of one line")]
    ManyLines,
    /// Of users a list is expected.
    #[error("it is not a JSON object of users and their secrets")]
    NoUsers,
}

impl From<JsonError> for Unreadable {
    fn from(why: JsonError) -> Self {
        match why {
            JsonError::NotJson => Self::NotJson,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::Twice => Self::Twice,
        }
    }
}

/// What servers are logged in to with.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// As whom; `None`: the secret does not say.
    pub user: Option<Arc<str>>,
    /// The password: always in clear, whatever it looks like.
    pub secret: Arc<Secret>,
}

/// What a secret is for, and says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A login to servers.
    Login(Login),
    /// Users that clients may be, and what proves them.
    Users(Arc<HashMap<Arc<str>, Arc<Secret>>>),
}

impl Content {
    /// The login, if it is one.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            Self::Users(_) => None,
        }
    }

    /// The users, if it has any.
    pub fn users(&self) -> Option<&HashMap<Arc<str>, Arc<Secret>>> {
        match self {
            Self::Login(_) => None,
            Self::Users(users) => Some(users),
        }
    }
}

impl Login {
    /// The login of a secret's text: JSON with `password` and perhaps `username`, or a password of one line.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let text = checked(text)?;
        if !is_json(text) {
            return Self::of_parts(None, text);
        }
        let (mut user, mut password) = (None, None);
        for (name, value) in json::members(text)? {
            match (&**name, value) {
                ("username", Value::Text(text)) => user = Some(text),
                ("username", _) => return Err(Unreadable::BadUser),
                ("password", Value::Text(text)) => password = Some(text),
                _ => {}
            }
        }
        let password = password.filter(|text| !text.is_empty()).ok_or(Unreadable::NoPassword)?;
        Self::of(user.as_deref().map(String::as_str), password)
    }

    /// The login of two files, as Kubernetes mounts the parts of a secret; a line end at their ends is an
    /// editor's.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn of_parts(user: Option<&[u8]>, password: &[u8]) -> Result<Self, Unreadable> {
        let line = |text: &[u8], broken: Unreadable| -> Result<Zeroizing<String>, Unreadable> {
            let text = std::str::from_utf8(checked(text)?).map_err(|_| Unreadable::NotUtf8)?;
            let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
            match text {
                "" => Err(Unreadable::Empty),
                text if text.contains(['\n', '\r']) => Err(broken),
                text => Ok(Zeroizing::new(text.to_owned())),
            }
        };
        let user = user.map(|user| line(user, Unreadable::BadUser)).transpose()?;
        let password = line(password, Unreadable::ManyLines)?;
        Self::of(user.as_deref().map(String::as_str), password)
    }

    /// The one user that it is of.
    ///
    /// # Errors
    /// It does not say whose it is.
    pub(super) fn into_users(self) -> Result<HashMap<Arc<str>, Arc<Secret>>, Unreadable> {
        let user = self.user.ok_or(Unreadable::NoUsers)?;
        Ok(HashMap::from([(user, self.secret)]))
    }

    fn of(user: Option<&str>, password: Zeroizing<String>) -> Result<Self, Unreadable> {
        let user = user.map(checked_user).transpose()?;
        check_password(&password)?;
        let secret = Arc::new(Secret::Plain(Password::of_wiped(password)));
        Ok(Self { user, secret })
    }
}

/// The users of a secret's text: JSON of user and secret (a password, an md5 hash, a SCRAM verifier), or
/// RDS's `username` and `password` of one user.
///
/// # Errors
/// Why there are none.
pub(super) fn read_users(text: &[u8]) -> Result<HashMap<Arc<str>, Arc<Secret>>, Unreadable> {
    let text = checked(text)?;
    if !is_json(text) {
        return Err(Unreadable::NoUsers);
    }
    let members = json::members(text)?;
    let has = |wanted: &str| members.iter().any(|(name, _)| &***name == wanted);
    if has("username") && has("password") {
        return Login::read(text)?.into_users();
    }
    let mut users = HashMap::with_capacity(members.len());
    for (name, value) in members {
        let Value::Text(secret) = value else { return Err(Unreadable::NoUsers) };
        check_password(&secret)?;
        users.insert(checked_user(&name)?, Arc::new(Secret::parse(&secret)));
    }
    if users.is_empty() { Err(Unreadable::Empty) } else { Ok(users) }
}

fn is_json(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
}

fn checked(text: &[u8]) -> Result<&[u8], Unreadable> {
    match text {
        text if text.len() > limits::KEPT_SECRET_BYTES_MAX => Err(Unreadable::TooLong),
        text if text.trim_ascii().is_empty() => Err(Unreadable::Empty),
        text => Ok(text),
    }
}

fn checked_user(name: &str) -> Result<Arc<str>, Unreadable> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if fits { Ok(name.into()) } else { Err(Unreadable::BadUser) }
}

fn check_password(text: &str) -> Result<(), Unreadable> {
    let fits = text.len() <= limits::SECRET_FIELD_BYTES_MAX && !text.contains('\0');
    if fits { Ok(()) } else { Err(Unreadable::BadPassword) }
}

#[cfg(test)]
mod tests;
