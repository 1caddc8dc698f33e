//! What a token whose signature is good says.
//!
//! Claims are an issuer's words, and may hold what its users have typed: they are compared as they are, and
//! shown on one line.

use super::claim_name::ClaimName;
use super::kept_claims::KeptClaims;
use super::refusal::Refusal;
use super::rules::IssuerRules;
use super::text::{is_printable, shown};
use crate::base::limits;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The claims of a token that was accepted.
#[derive(Clone, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
    /// When it ceases to be good by its issuer's clock, in seconds since the epoch; leeway is not added.
    pub expires_at_epoch_s: u64,
    kept: KeptClaims,
}

impl Claims {
    pub(super) fn new(members: Map<String, Value>, expires_at_epoch_s: u64, kept: KeptClaims) -> Self {
        Self { members, expires_at_epoch_s, kept }
    }

    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// What is to be kept of them while their holder is logged in.
    pub fn to_keep(&self) -> &KeptClaims {
        &self.kept
    }

    /// Of names and texts that somebody else than an issuer of JSON web tokens vouches for.
    pub fn of_texts<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        expires_at_epoch_s: u64,
    ) -> Self {
        let member = |(name, text): (&str, &str)| (name.to_owned(), Value::from(text));
        let members: Map<_, _> = texts.into_iter().map(member).collect();
        let kept = KeptClaims::vouched(Value::from(members.clone()).to_string().into_bytes().into());
        Self { members, expires_at_epoch_s, kept }
    }

    /// A claim's text: of a string, a number, or `true` and `false`; `None`: it is not there, or is a list or
    /// an object.
    pub fn text(&self, name: &ClaimName) -> Option<Cow<'_, str>> {
        text(name.find(&self.members)?)
    }

    /// A claim's texts: the elements of a list, the words of `scope` and `scp`, or its one text.
    pub fn texts(&self, name: &ClaimName) -> Vec<Cow<'_, str>> {
        texts(&self.members, name)
    }

    /// Whom the token names.
    ///
    /// # Errors
    /// The claim is not there, or is no text that a log can hold as it is.
    pub fn principal(&self, rules: &IssuerRules) -> Result<String, Refusal> {
        let name = &rules.principal;
        let text = self.text(name).ok_or_else(|| Refusal::NoClaim { claim: shown(name.as_str()) })?;
        let is_fit =
            (1..=limits::PRINCIPAL_BYTES_MAX).contains(&text.len()) && text.chars().all(is_printable);
        if is_fit {
            Ok(text.into_owned())
        } else {
            Err(Refusal::BadPrincipal { claim: shown(name.as_str()) })
        }
    }

    /// The claims that go into the audit log, of those that are there: name and text on one line, cut where
    /// it is too long. Lists and objects are JSON.
    pub fn audited(&self, rules: &IssuerRules) -> Vec<(Box<str>, Box<str>)> {
        let found = rules.audit.iter().filter_map(|name| Some((name, name.find(&self.members)?)));
        let of = |value: &Value| text(value).map_or_else(|| shown(&value.to_string()), |text| shown(&text));
        found.map(|(name, value)| (name.as_str().into(), of(value).into())).collect()
    }
}

impl fmt::Debug for Claims {
    /// Who a person is belongs into no line that nobody has asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({} members)", self.members.len())
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(is_so) => Some(if *is_so { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// See [`Claims::texts`].
pub(super) fn texts<'a>(members: &'a Map<String, Value>, name: &ClaimName) -> Vec<Cow<'a, str>> {
    match name.find(members) {
        Some(Value::Array(elements)) => elements.iter().filter_map(text).collect(),
        Some(Value::String(words)) if name.is_list_of_words() => {
            words.split(' ').filter(|word| !word.is_empty()).map(Cow::from).collect()
        }
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}
