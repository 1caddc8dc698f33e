//! What logins by tokens go by, of one policy: the issuers' rules, the maps of claims to roles, the options
//! of `auth_type=jwt`.
//!
//! A value, and what it says of claims that were verified. Never holds a key or a token.

use crate::auth::jwt::JwtOptions;
use crate::base::{MappedTimeouts, limits};
use crate::config::IssuerEntry;
use crate::identity::{Claims, ClaimsMap, IssuerRules};
use std::sync::Arc;

/// What logins by tokens go by.
#[derive(Clone, Default)]
pub struct Tokens {
    /// Every entry of `[issuers]`.
    pub issuers: Arc<[Arc<TokenIssuer>]>,
    /// `auth_claims_file`.
    pub maps: Arc<ClaimsMap>,
    /// `auth_jwt_options`; rules of an hba file have their own.
    pub options: Arc<JwtOptions>,
}

/// One entry of `[issuers]`.
pub struct TokenIssuer {
    /// What its tokens are judged by.
    pub rules: IssuerRules,
    /// What the file says of it.
    pub entry: IssuerEntry,
}

/// The role that somebody wants to log in as by a token.
pub struct RoleWanted<'a> {
    /// The map that is asked; `None`: the role is the principal.
    pub map: Option<&'a Arc<str>>,
    /// The role.
    pub role: &'a str,
    /// It is one of the console's.
    pub is_of_console: bool,
}

/// That claims do not give a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGiven {
    /// By no line of that map.
    NotInMap(Arc<str>),
    /// There is no map, and the principal is another.
    OtherRole,
}

impl RoleWanted<'_> {
    /// What the line of the map sets that gives the role to these claims of `principal`.
    ///
    /// # Errors
    /// None does.
    pub fn given_by(
        &self,
        maps: &ClaimsMap,
        claims: &Claims,
        principal: &str,
    ) -> Result<MappedTimeouts, NotGiven> {
        match self.map {
            Some(map) => {
                let admitted = match self.is_of_console {
                    // an administrator's name is not one that an issuer's users may make up
                    true => maps.admits_as_written(map, claims, self.role),
                    false => maps.admits(map, claims, self.role),
                };
                admitted.map(|line| line.timeouts).ok_or_else(|| NotGiven::NotInMap(Arc::clone(map)))
            }
            // PostgreSQL would cut a longer name, which may be another role's then
            None if principal == self.role && self.role.len() <= limits::ROLE_BYTES_MAX => {
                Ok(MappedTimeouts::default())
            }
            None => Err(NotGiven::OtherRole),
        }
    }
}

impl Tokens {
    /// The entry of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<TokenIssuer>> {
        self.issuers.iter().find(|issuer| &*issuer.rules.name == name)
    }

    /// The entry whose tokens say this in `iss`.
    pub fn of_issuer(&self, iss: &str) -> Option<&Arc<TokenIssuer>> {
        self.issuers.iter().find(|issuer| &*issuer.rules.issuer == iss)
    }
}
