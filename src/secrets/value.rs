//! What the text of a secret says: who logs in with which password, or which users clients may be.
//!
//! Pure; never shows a text. The shape of JSON is that of Amazon RDS. What it says of host, port and database
//! is not looked at: the configuration says where servers are. Source: AWS Secrets Manager User Guide, "JSON
//! structure of AWS Secrets Manager secrets"; Kubernetes documentation, "Secrets".

use super::key::Purpose;
use crate::auth::{Secret, UserList};
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
    /// It has more bytes than it may have where it is kept.
    #[error("it has more bytes than a secret may have")]
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
    /// Clients are to be proven by it, and whose it is nobody knows.
    #[error("it does not say whose it is")]
    NoUser,
    /// `users` holds something else than names and texts.
    #[error("its JSON has users that are not names and secrets")]
    BadUsers,
    /// A list of users, of which a line is broken.
    #[error("line {line} of its list of users is broken")]
    BadLine {
        /// Counted from 1.
        line: usize,
    },
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
    /// The password. Towards servers it is always in clear, whatever it looks like.
    pub secret: Arc<Secret>,
}

/// What a secret is for, and says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A login to servers.
    Login(Login),
    /// Users that clients may be, and what proves them.
    Users(Users),
}

/// Users that clients may be, and what proves them: a password, an md5 hash, a SCRAM verifier.
#[derive(Clone, Debug, PartialEq)]
pub enum Users {
    /// One login, in the shape of servers' secrets. Without a user it is of whoever it is kept for.
    One(Login),
    /// A list. An empty secret is of a user whom nothing proves.
    List(HashMap<Arc<str>, Arc<Secret>>),
}

impl Users {
    /// What proves that user; `None`: it says nothing of it.
    pub fn secret(&self, user: &str) -> Option<&Arc<Secret>> {
        match self {
            Self::One(login) => {
                let is_of_user = login.user.as_deref().is_none_or(|own| own == user);
                is_of_user.then_some(&login.secret)
            }
            Self::List(users) => users.get(user),
        }
    }

    /// Those that it names, each with its secret.
    pub fn named(&self) -> Vec<(&Arc<str>, &Arc<Secret>)> {
        match self {
            Self::One(login) => login.user.iter().map(|user| (user, &login.secret)).collect(),
            Self::List(users) => users.iter().collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(users) => users.len(),
        }
    }

    /// The users of a text: JSON with `users`, an object of names and secrets; lines of an auth_file (it
    /// begins with a quote, or a comment's semicolon); or a login, as servers' secrets have it.
    ///
    /// # Errors
    /// Why there are none.
    fn read(text: &[u8]) -> Result<Self, Unreadable> {
        if is_json(text) {
            return match json::members_within(text, "users")? {
                Some(members) => Self::of_members(members),
                None => Login::read(text).map(Login::of_clients).map(Self::One),
            };
        }
        if matches!(text.trim_ascii_start().first(), Some(b'"' | b';')) {
            return Self::of_lines(text);
        }
        Login::of_parts(None, text).map(Login::of_clients).map(Self::One)
    }

    fn of_members(members: Vec<json::Member>) -> Result<Self, Unreadable> {
        let mut users = HashMap::with_capacity(members.len());
        for (name, value) in members {
            let Value::Text(secret) = value else { return Err(Unreadable::BadUsers) };
            check_password(&secret)?;
            users.insert(checked_user(&name)?, Arc::new(Secret::parse(&secret)));
        }
        Ok(Self::List(users))
    }

    /// A list that is broken is none: half of one would shut the other half's users out.
    fn of_lines(text: &[u8]) -> Result<Self, Unreadable> {
        let (list, broken) = UserList::parse(text);
        if let Some(error) = broken {
            return Err(Unreadable::BadLine { line: error.line });
        }
        let mut users = HashMap::with_capacity(list.count());
        for name in list.users() {
            let Some(secret) = list.secret(name) else { continue };
            check_password(secret.to_text().expose())?;
            users.insert(checked_user(name)?, Arc::clone(secret));
        }
        Ok(Self::List(users))
    }

    /// Whether it is of any use for that purpose.
    fn fit_for(self, purpose: Purpose) -> Result<Self, Unreadable> {
        match &self {
            Self::One(Login { user: None, .. }) if purpose != Purpose::User => Err(Unreadable::NoUser),
            _ => Ok(self),
        }
    }
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
    pub fn users(&self) -> Option<&Users> {
        match self {
            Self::Login(_) => None,
            Self::Users(users) => Some(users),
        }
    }

    /// What a text says that is kept for that purpose.
    ///
    /// # Errors
    /// Why it says nothing.
    pub(super) fn read(purpose: Purpose, text: &[u8]) -> Result<Self, Unreadable> {
        match purpose {
            Purpose::Servers => Login::read(checked(text)?).map(Self::Login),
            Purpose::Clients | Purpose::User => {
                Users::read(checked_list(text)?)?.fit_for(purpose).map(Self::Users)
            }
        }
    }

    /// What two files say, as Kubernetes mounts the parts of a secret.
    ///
    /// # Errors
    /// Why they say nothing.
    pub(super) fn of_parts(
        purpose: Purpose,
        user: Option<&[u8]>,
        password: &[u8],
    ) -> Result<Self, Unreadable> {
        let login = Login::of_parts(user, password)?;
        match purpose {
            Purpose::Servers => Ok(Self::Login(login)),
            Purpose::Clients | Purpose::User => {
                Users::One(login.of_clients()).fit_for(purpose).map(Self::Users)
            }
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

    fn of(user: Option<&str>, password: Zeroizing<String>) -> Result<Self, Unreadable> {
        let user = user.map(checked_user).transpose()?;
        check_password(&password)?;
        let secret = Arc::new(Secret::Plain(Password::of_wiped(password)));
        Ok(Self { user, secret })
    }

    /// The same for clients: what looks like a hash or a verifier is one, as in auth_file.
    fn of_clients(self) -> Self {
        let secret = Arc::new(Secret::parse(self.secret.to_text().expose()));
        Self { secret, ..self }
    }
}

fn is_json(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
}

fn checked(text: &[u8]) -> Result<&[u8], Unreadable> {
    within(text, limits::KEPT_SECRET_BYTES_MAX)
}

fn checked_list(text: &[u8]) -> Result<&[u8], Unreadable> {
    within(text, limits::KEPT_USERS_BYTES_MAX)
}

fn within(text: &[u8], bytes_max: usize) -> Result<&[u8], Unreadable> {
    match text {
        text if text.len() > bytes_max => Err(Unreadable::TooLong),
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
