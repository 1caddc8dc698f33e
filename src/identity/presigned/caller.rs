//! A presigned GetCallerIdentity: a client's proof to whoever shows it to AWS STS.
//!
//! What keeps one that was made for somebody else from being taken here is a header that is signed along and
//! that we set to our own name when we show it: [`SERVER_ID_HEADER`].

use super::{Refusal, Request, Scope, Signed, without_scheme};
use crate::base::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// The header that must be signed. Its value is ours to set.
pub const SERVER_ID_HEADER: &str = "x-pgweir-server-id";

/// What stands in front of base64url in tokens of the form that Amazon EKS has.
pub const EKS_PREFIX: &str = "k8s-aws-v1.";

/// What must hold for a request before it is shown to STS.
#[derive(Clone, Copy, Debug)]
pub struct CallerRules<'a> {
    /// `https`; `http` for an endpoint on this machine.
    pub scheme: &'a str,
    /// Host, and port where it is not the scheme's own.
    pub authority: &'a str,
    /// The region of the endpoint.
    pub region: &'a str,
}

/// A request that may be shown to STS.
pub struct Caller {
    /// What its signature says.
    pub signed: Signed,
    /// The query, to be sent as it is.
    query: Zeroizing<String>,
}

impl Caller {
    /// Reads what a client has sent: `[SCHEME://]HOST/?QUERY`, or the same in base64url behind
    /// [`EKS_PREFIX`].
    ///
    /// # Errors
    /// It is no presigned GetCallerIdentity for that endpoint, or its time is over.
    pub fn parse(text: &str, rules: CallerRules<'_>, now_epoch_s: u64) -> Result<Self, Refusal> {
        if text.len() > limits::CALLER_TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let Some(encoded) = text.strip_prefix(EKS_PREFIX) else {
            return Self::of_url(text, rules, now_epoch_s);
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(encoded.len()));
        URL_SAFE_NO_PAD.decode_vec(encoded, &mut bytes).map_err(|_| Refusal::NotPresigned)?;
        let url = std::str::from_utf8(&bytes).map_err(|_| Refusal::NotPresigned)?;
        Self::of_url(url, rules, now_epoch_s)
    }

    fn of_url(text: &str, rules: CallerRules<'_>, now_epoch_s: u64) -> Result<Self, Refusal> {
        let text = without_scheme(text, rules.scheme)?;
        let request = Request::cut(text, &["Action", "Version"])?;
        if request.authority != rules.authority {
            return Err(Refusal::OtherHost);
        }
        request.must_be("Action", "GetCallerIdentity")?;
        request.must_be("Version", "2011-06-15")?;
        let headers = format!("host;{SERVER_ID_HEADER}");
        let scope = Scope { service: "sts", region: rules.region, headers: &headers };
        let signed = request.signed(scope, now_epoch_s)?;
        let query = text.split_once('?').map_or("", |(_, query)| query);
        Ok(Self { signed, query: Zeroizing::new(query.to_owned()) })
    }

    /// The query, for the one place that sends it.
    pub fn expose_query(&self) -> &str {
        &self.query
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("signed", &self.signed).finish_non_exhaustive()
    }
}
