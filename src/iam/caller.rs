//! Showing a client's presigned GetCallerIdentity to AWS STS, which alone can verify it.
//!
//! The request goes to the endpoint that a setting names, whatever it says itself, with our own name in the
//! header that has to be signed along, and nothing of ours is added: no credentials are used. No redirect is
//! followed, the answer is bounded in length and in time, and only the one form of a success names anybody.
//! Never logs, never shows an answer's text or the request. Source: AWS Security Token Service API Reference,
//! GetCallerIdentity, "Common Errors"; SDKs and Tools Reference Guide, "AWS STS Regional endpoints".

use super::endpoint::Region;
use super::environment::ATTEMPT_TIMEOUT;
use super::failure::{FetchError, Reason};
use super::http::Http;
use crate::base::limits;
use crate::identity::presigned::{Caller, CallerRules, SERVER_ID_HEADER};
use crate::identity::sts_answer::CallerIdentity;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Limited};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Longest name of ours that the header may hold.
const SERVER_ID_BYTES_MAX: usize = 256;

/// Where requests of callers are shown, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerEndpoint {
    scheme: &'static str,
    authority: Box<str>,
    region: Region,
    server_id: Box<str>,
}

/// What is wrong with the settings of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCallerEndpoint {
    /// Not set: whom would a request be shown to?
    #[error("iam_caller needs iam_caller_endpoint, the URL of AWS STS that clients sign for")]
    Unset,
    /// Not `https://HOST`.
    #[error("iam_caller_endpoint is not of the form https://HOST[:PORT]")]
    Url,
    /// In clear over a network.
    #[error("iam_caller_endpoint must begin with https://: http:// is for an address of this machine only")]
    Clear,
    /// Which region requests must be signed for is not known.
    #[error("no region in iam_caller_endpoint: set iam_sts_region to the one that clients sign for")]
    NoRegion,
    /// What tells our requests from others'.
    #[error(
        "iam_caller needs iam_caller_server_id, printable and at most 256 bytes: the value of the header \
         x-pgweir-server-id that clients sign"
    )]
    ServerId,
}

impl CallerEndpoint {
    /// Of `iam_caller_endpoint`, `iam_sts_region` and `iam_caller_server_id`.
    ///
    /// # Errors
    /// One of them is missing or wrong.
    pub fn new(url: &str, region: Option<Region>, server_id: &str) -> Result<Self, BadCallerEndpoint> {
        if url.is_empty() {
            return Err(BadCallerEndpoint::Unset);
        }
        let (scheme, rest) = url.split_once("://").ok_or(BadCallerEndpoint::Url)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let (host, port) = host_and_port(&authority).ok_or(BadCallerEndpoint::Url)?;
        let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => ("https", 443),
            "http" if is_here(host) => ("http", 80),
            "http" => return Err(BadCallerEndpoint::Clear),
            _ => return Err(BadCallerEndpoint::Url),
        };
        let region = Region::of_sts(url).or(region).ok_or(BadCallerEndpoint::NoRegion)?;
        let is_id = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let fits = (1..=SERVER_ID_BYTES_MAX).contains(&server_id.len()) && server_id.trim() == server_id;
        if !fits || !server_id.bytes().all(is_id) {
            return Err(BadCallerEndpoint::ServerId);
        }
        let authority = if port == Some(usual_port) { host } else { &*authority };
        Ok(Self { scheme, authority: authority.into(), region, server_id: server_id.into() })
    }

    /// Whether requests go there in clear.
    pub fn is_clear(&self) -> bool {
        self.scheme == "http"
    }

    /// What we are called there: another name is another question.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// What must hold for a request before it is shown there.
    pub fn rules(&self) -> CallerRules<'_> {
        CallerRules { scheme: self.scheme, authority: &self.authority, region: self.region.as_str() }
    }
}

impl fmt::Display for CallerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Host and port of `HOST[:PORT]`; an IPv6 address stands in brackets.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let is_v6 = |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let fits = !host.is_empty() && host.bytes().all(is_name);
    (fits || (is_v6(host) && address(host).is_some())).then_some((host, port))
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

/// Why STS has named nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerError {
    /// It does not take the request: the code of its error.
    Refused(FetchError),
    /// It could not be asked, or has not answered as it does.
    Unavailable(FetchError),
}

/// Shows requests of callers to AWS STS. One connection is kept for the next.
#[derive(Default)]
pub struct CallerSts {
    http: Http,
    connector: Mutex<Option<SharedHttpConnector>>,
}

impl CallerSts {
    /// Shows one request to STS; whom it names.
    ///
    /// # Errors
    /// It names nobody.
    /// # Cancel safety
    /// Nothing is lost; STS may have been asked.
    pub async fn identify(
        &self,
        endpoint: &CallerEndpoint,
        caller: &Caller,
    ) -> Result<CallerIdentity, CallerError> {
        let ask = async {
            let request = request(endpoint, caller).map_err(CallerError::Unavailable)?;
            let connector = self.connector().await.map_err(CallerError::Unavailable)?;
            let answer = connector.call(request).await;
            let lost = |error| CallerError::Unavailable(FetchError::of_connector(&error));
            read(answer.map_err(lost)?).await
        };
        let late = || Err(CallerError::Unavailable(FetchError::new(Reason::Timeout)));
        tokio::time::timeout(ATTEMPT_TIMEOUT, ask).await.unwrap_or_else(|_| late())
    }

    async fn connector(&self) -> Result<SharedHttpConnector, FetchError> {
        if let Some(connector) = &*self.connector.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(connector.clone());
        }
        // Two callers may make one each: the lock is not held while files are read.
        let new = self.http.connector().await?;
        let mut made = self.connector.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(made.get_or_insert(new).clone())
    }
}

fn request(endpoint: &CallerEndpoint, caller: &Caller) -> Result<HttpRequest, FetchError> {
    let CallerEndpoint { scheme, authority, server_id, .. } = endpoint;
    let mut request = HttpRequest::new(SdkBody::empty());
    let fits = request.set_uri(format!("{scheme}://{authority}/?{}", caller.expose_query())).is_ok()
        && request.headers_mut().try_insert(SERVER_ID_HEADER, server_id.to_string()).is_ok();
    if fits { Ok(request) } else { Err(FetchError::with(Reason::Garbage, "the request cannot be sent")) }
}

async fn read(answer: HttpResponse) -> Result<CallerIdentity, CallerError> {
    let status = answer.status().as_u16();
    let garbage = || CallerError::Unavailable(FetchError::new(Reason::Garbage));
    let body = Limited::new(answer.into_body(), limits::STS_ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|_| garbage())?.to_bytes();
    if status == 200 {
        return CallerIdentity::parse(&body).map_err(|_| garbage());
    }
    let error = FetchError::of_answer(code(&body), None, Some(status));
    // a redirect is no answer of STS's, and 429 and those from 500 on say nothing of the request
    let is_verdict = matches!(status, 400 | 401 | 403);
    match error.reason {
        Reason::Throttled | Reason::Service | Reason::Unreachable | Reason::Timeout => {
            Err(CallerError::Unavailable(error))
        }
        _ if is_verdict => Err(CallerError::Refused(error)),
        _ => Err(CallerError::Unavailable(error)),
    }
}

/// The `Code` of an error of STS's.
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, behind) = text.split_once("<Code>")?;
    Some(behind.split_once("</Code>")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, region: &str) -> Result<CallerEndpoint, BadCallerEndpoint> {
        CallerEndpoint::new(url, region.parse().ok(), "pooler.example.org")
    }

    #[test]
    fn an_endpoint_has_the_form_in_which_it_is_signed() {
        for (url, region, expected, of_region) in [
            ("https://sts.eu-west-1.amazonaws.com", "", "https://sts.eu-west-1.amazonaws.com", "eu-west-1"),
            (
                "https://STS.eu-west-1.amazonaws.com:443/",
                "",
                "https://sts.eu-west-1.amazonaws.com",
                "eu-west-1",
            ),
            ("https://sts.amazonaws.com", "eu-west-3", "https://sts.amazonaws.com", "us-east-1"),
            (
                "https://sts-fips.us-west-2.amazonaws.com",
                "",
                "https://sts-fips.us-west-2.amazonaws.com",
                "us-west-2",
            ),
            (
                "https://vpce-1-x.sts.eu-west-2.vpce.amazonaws.com",
                "",
                "https://vpce-1-x.sts.eu-west-2.vpce.amazonaws.com",
                "eu-west-2",
            ),
            ("http://127.0.0.1:4566", "eu-west-1", "http://127.0.0.1:4566", "eu-west-1"),
            ("http://[::1]:4566", "eu-west-1", "http://[::1]:4566", "eu-west-1"),
            ("http://localhost", "eu-west-1", "http://localhost", "eu-west-1"),
        ] {
            let made = endpoint(url, region).unwrap();
            assert_eq!((&*made.to_string(), made.rules().region), (expected, of_region), "{url}");
            assert_eq!(made.is_clear(), url.starts_with("http:"));
        }
        for (url, region, expected) in [
            ("", "eu-west-1", BadCallerEndpoint::Unset),
            ("sts.eu-west-1.amazonaws.com", "", BadCallerEndpoint::Url),
            ("ftp://127.0.0.1", "eu-west-1", BadCallerEndpoint::Url),
            ("https://", "eu-west-1", BadCallerEndpoint::Url),
            ("https://user@sts.eu-west-1.amazonaws.com", "", BadCallerEndpoint::Url),
            ("https://sts.eu-west-1.amazonaws.com/x", "", BadCallerEndpoint::Url),
            ("https://sts.eu-west-1.amazonaws.com:x", "", BadCallerEndpoint::Url),
            ("https://sts.eu-west-1.amazonaws.com?x", "", BadCallerEndpoint::Url),
            ("https://[::1", "eu-west-1", BadCallerEndpoint::Url),
            ("http://sts.eu-west-1.amazonaws.com", "", BadCallerEndpoint::Clear),
            ("http://127.0.0.1.example.org", "eu-west-1", BadCallerEndpoint::Clear),
            ("http://10.0.0.1", "eu-west-1", BadCallerEndpoint::Clear),
            ("https://sts.example.org", "", BadCallerEndpoint::NoRegion),
        ] {
            assert_eq!(endpoint(url, region), Err(expected), "{url}");
        }
        for id in ["", " x", "x\n", "ü", &"x".repeat(257)] {
            let made = CallerEndpoint::new("https://sts.eu-west-1.amazonaws.com", None, id);
            assert_eq!(made, Err(BadCallerEndpoint::ServerId), "{id}");
        }
    }

    async fn answered(status: u16, body: &str) -> CallerError {
        let status = status.try_into().unwrap();
        read(HttpResponse::new(status, SdkBody::from(body))).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_no_verdict_of_sts_is_no_refusal() {
        let error = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        for (status, code) in [
            (403, "SignatureDoesNotMatch"),
            (403, "InvalidClientTokenId"),
            (403, "ExpiredToken"),
            (403, "AccessDenied"),
            (400, "IncompleteSignature"),
        ] {
            let CallerError::Refused(why) = answered(status, &error(code)).await else {
                panic!("{status} {code} is a verdict")
            };
            assert!(why.to_string().contains(code), "{why}");
        }
        for (status, body) in [
            (400, error("Throttling")),
            (429, String::new()),
            (500, error("InternalFailure")),
            (503, error("ServiceUnavailable")),
            (302, String::new()),
            (200, String::new()),
            (200, error("AccessDenied")),
            (204, String::new()),
            (404, String::new()),
        ] {
            let outcome = answered(status, &body).await;
            assert!(matches!(outcome, CallerError::Unavailable(_)), "{status} {body}: {outcome:?}");
        }
        let huge = "x".repeat(limits::STS_ANSWER_BYTES_MAX + 1);
        assert!(matches!(answered(403, &huge).await, CallerError::Unavailable(_)));
    }
}
