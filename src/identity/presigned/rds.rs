//! A token of RDS that a client has made for itself: whose it is, and for which endpoint and user.

use super::{Refusal, Request, Scope, Signed};
use crate::base::limits;

/// What must hold for a token before it is shown to its endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RdsRules<'a> {
    /// The host that is signed, in lower case.
    pub host: &'a str,
    /// The port that is signed.
    pub port: u16,
    /// The region of the endpoint.
    pub region: &'a str,
    /// The role that logs in.
    pub user: &'a str,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdsToken {
    /// What its signature says.
    pub signed: Signed,
}

impl RdsToken {
    /// Reads `HOST:PORT/?Action=connect&DBUser=…`.
    ///
    /// # Errors
    /// It is no token for that endpoint and user, or its time is over.
    pub fn parse(text: &str, rules: RdsRules<'_>, now_epoch_s: u64) -> Result<Self, Refusal> {
        if text.len() > limits::TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let request = Request::cut(text, &["Action", "DBUser"])?;
        let (host, port) = request.authority.rsplit_once(':').ok_or(Refusal::OtherHost)?;
        // letter by letter: RDS verifies what was signed, which is in lower case
        if host != rules.host || port != rules.port.to_string() {
            return Err(Refusal::OtherHost);
        }
        request.must_be("Action", "connect")?;
        if request.value("DBUser")? != rules.user {
            return Err(Refusal::OtherUser);
        }
        let scope = Scope { service: "rds-db", region: rules.region, headers: "host" };
        Ok(Self { signed: request.signed(scope, now_epoch_s)? })
    }
}
