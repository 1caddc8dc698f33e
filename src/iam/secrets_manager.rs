//! One call of AWS Secrets Manager: a version of a secret, by the credentials of a source.
//!
//! A POST of JSON, signed here by the library's key and hash, as tokens are; bounded in time and in bytes.
//! Keeps nothing, never logs, never shows a text of an answer but AWS's codes and names. Source: AWS Secrets
//! Manager API Reference, "GetSecretValue"; IAM User Guide, "Create a signed AWS API request"; AWS SDKs and
//! Tools Reference Guide, "Service-specific endpoints".

use super::clock::WallClock;
use super::endpoint::Region;
use super::environment::{ATTEMPT_TIMEOUT, env};
use super::failure::{FetchError, Reason};
use super::http::Http;
use super::json::{self, Value};
use super::keeper::Source;
use crate::base::limits;
use aws_credential_types::Credentials as AwsCredentials;
use aws_lc_rs::digest;
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// The service's name in the scope of a signature.
const SERVICE: &str = "secretsmanager";

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

const TARGET: &str = "secretsmanager.GetSecretValue";

/// Says which error it is, where the body does not.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// One version of a secret.
pub struct SecretValue {
    /// Its name.
    pub version: Arc<str>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// Its text.
    pub text: Zeroizing<String>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// AWS's code, without `Exception`, where AWS has answered.
    pub code: Option<Box<str>>,
    /// What is known of it; fit for logs.
    pub error: FetchError,
}

impl From<FetchError> for CallError {
    fn from(error: FetchError) -> Self {
        Self { code: None, error }
    }
}

/// Secrets Manager of one region, as one source's credentials may call it.
pub struct SecretsApi {
    pub(super) region: Region,
    pub(super) source: Arc<Source>,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) http: Http,
}

impl SecretsApi {
    /// The version of the secret `arn` that has the label `stage` now.
    ///
    /// # Errors
    /// Why there is none.
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn get(&self, arn: &str, stage: &str) -> Result<SecretValue, CallError> {
        let (credentials, _) = self.source.lend().await.map_err(FetchError::of_base)?;
        let body = format!("{{\"SecretId\":\"{arn}\",\"VersionStage\":\"{stage}\"}}");
        let url = self.url();
        let request = sign(&url, &body, &credentials, &self.region, self.clock.now())?;
        let call = async {
            let answer = self.http.connector().await?.call(request).await;
            read(answer.map_err(|error| FetchError::of_connector(&error))?).await
        };
        let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, call).await;
        let outcome = outcome.unwrap_or_else(|_| Err(FetchError::new(Reason::Timeout).into()));
        if outcome.as_ref().is_err_and(|error: &CallError| error.error.reason == Reason::Identity) {
            self.source.force_refresh(); // it may have another key by now
        }
        outcome
    }

    /// The longest that [`Self::get`] takes: the wait for credentials, then the call.
    pub fn longest(&self) -> Duration {
        self.source.longest_lend() + ATTEMPT_TIMEOUT
    }

    /// Where it is called.
    fn url(&self) -> String {
        let set = env("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|_| env("AWS_ENDPOINT_URL"));
        set.unwrap_or_else(|_| {
            let is_fips = env("AWS_USE_FIPS_ENDPOINT").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
            let host = if is_fips { "secretsmanager-fips" } else { SERVICE };
            format!("https://{host}.{}.{}/", self.region, self.region.dns_suffix())
        })
    }
}

/// The signed request.
fn sign(
    url: &str,
    body: &str,
    credentials: &AwsCredentials,
    region: &Region,
    now: SystemTime,
) -> Result<HttpRequest, FetchError> {
    let (host, path) = parts(url).ok_or_else(|| wrong("AWS_ENDPOINT_URL is not the address of a service"))?;
    let at = jiff::Timestamp::try_from(now).map_err(|_| FetchError::new(Reason::Clock))?;
    let time = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut headers = vec![("content-type", CONTENT_TYPE), ("host", host), ("x-amz-date", &*time)];
    headers.extend(credentials.session_token().map(|token| ("x-amz-security-token", token)));
    headers.push(("x-amz-target", TARGET));
    let scope = format!("{}/{region}/{SERVICE}/aws4_request", &time[..8]);
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let hash = hash_of_request(path, &headers, &names, body);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let key = v4::generate_signing_key(credentials.secret_access_key(), now, region.as_str(), SERVICE);
    let signature = v4::calculate_signature(key, text.as_bytes());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id()
    );
    let mut request = HttpRequest::new(SdkBody::from(body));
    let mut fits = request.set_method("POST").is_ok() && request.set_uri(url.to_owned()).is_ok();
    headers.push(("authorization", &authorization));
    for (name, value) in headers {
        fits &= request.headers_mut().try_insert(name, value.to_owned()).is_ok();
    }
    if fits { Ok(request) } else { Err(wrong("the request cannot be sent")) }
}

/// Host with port, and path, of an address.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(usual).unwrap_or(host);
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
    (["http", "https"].contains(&scheme) && !host.is_empty() && is_plain(rest)).then_some((host, path))
}

/// The hash of the request in its canonical form.
fn hash_of_request(path: &str, headers: &[(&str, &str)], names: &str, body: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in ["POST\n", path, "\n\n"] {
        hash.update(part.as_bytes());
    }
    for (name, value) in headers {
        for part in [name, ":", value, "\n"] {
            hash.update(part.as_bytes());
        }
    }
    for part in ["\n", names, "\n", &hex(digest::digest(&digest::SHA256, body.as_bytes()))] {
        hash.update(part.as_bytes());
    }
    hex(hash.finish())
}

fn hex(hash: digest::Digest) -> String {
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into a String: nothing can fail
        text
    })
}

async fn read(answer: HttpResponse) -> Result<SecretValue, CallError> {
    let status = answer.status().as_u16();
    let is_success = answer.status().is_success();
    let of_header = answer.headers().get(ERROR_TYPE).map(ToOwned::to_owned);
    let body = bounded(answer.into_body()).await?;
    if is_success {
        return value(&body).ok_or_else(|| FetchError::new(Reason::Garbage).into());
    }
    Err(refusal(&body, of_header.as_deref(), status))
}

/// All of a body, in one buffer that is wiped.
async fn bounded(mut body: SdkBody) -> Result<Zeroizing<Vec<u8>>, FetchError> {
    let garbage = || FetchError::new(Reason::Garbage);
    let mut bytes = Zeroizing::new(Vec::with_capacity(limits::SECRET_ANSWER_BYTES_MAX));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| garbage())?.into_data() else { continue };
        if bytes.len() + data.len() > limits::SECRET_ANSWER_BYTES_MAX {
            return Err(FetchError::with(Reason::Garbage, "it is too long"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn value(body: &[u8]) -> Option<SecretValue> {
    let (mut version, mut created_at, mut text) = (None, None, None);
    for (name, value) in json::members(body).ok()? {
        match (&**name, value) {
            ("VersionId", Value::Text(id)) if is_plain_id(&id) => version = Some(Arc::from(id.as_str())),
            ("CreatedDate", Value::Number(seconds)) => {
                let since = Duration::try_from_secs_f64(seconds).ok()?;
                created_at = SystemTime::UNIX_EPOCH.checked_add(since);
            }
            ("SecretString", Value::Text(secret)) => text = Some(secret),
            _ => {}
        }
    }
    Some(SecretValue { version: version?, created_at, text: text? })
}

/// A version's name is shown: letters, digits and hyphens, as AWS makes them.
fn is_plain_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What AWS has against it.
fn refusal(body: &[u8], of_header: Option<&str>, status: u16) -> CallError {
    let (mut of_body, mut message) = (None, None);
    for (name, value) in json::members(body).unwrap_or_default() {
        match (&**name, value) {
            ("__type" | "code", Value::Text(text)) => of_body = Some(text),
            ("Message" | "message", Value::Text(text)) => message = Some(text),
            _ => {}
        }
    }
    let full = of_body.as_deref().map(String::as_str).or(of_header).unwrap_or_default();
    // `com.amazonaws.secretsmanager#NameException`, `NameException:http://…`
    let full = full.rsplit('#').next().unwrap_or_default();
    let full = full.split(':').next().unwrap_or_default();
    let message = message.as_deref().map(String::as_str);
    let error = FetchError::of_answer((!full.is_empty()).then_some(full), message, Some(status));
    let code = full.strip_suffix("Exception").unwrap_or(full);
    CallError { code: (!code.is_empty()).then(|| code.into()), error }
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf";

    /// What botocore 1.44.5 signs for the same.
    #[test]
    fn known_answers_are_reproduced() {
        for (session, signature) in [
            (None, "3e19dc3d48a13e1f90084d205ff5cf233b3be2f25ba47f62d3562185b5ff83ce"),
            (
                Some("session/+=token".to_owned()),
                "1d8256fbcd985273b7b1e1b6b3b7c6c7166bfe29bc0e2c424293692e44c9e52a",
            ),
        ] {
            let credentials = AwsCredentials::new("AKIDEXAMPLE", "secret", session.clone(), None, "test");
            let body = format!("{{\"SecretId\":\"{ARN}\",\"VersionStage\":\"AWSCURRENT\"}}");
            let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
            let url = "https://secretsmanager.eu-west-1.amazonaws.com/";
            let request = sign(url, &body, &credentials, &"eu-west-1".parse().unwrap(), now.into()).unwrap();
            let shown = request.headers().get("authorization").unwrap();
            assert!(shown.ends_with(&format!("Signature={signature}")), "{shown}");
            assert_eq!(request.headers().get("x-amz-security-token"), session.as_deref());
            assert_eq!(request.headers().get("x-amz-date"), Some("20260102T030405Z"));
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (url, expected) in [
            ("https://h.example.org", Some(("h.example.org", "/"))),
            ("https://h.example.org:443/", Some(("h.example.org", "/"))),
            ("http://localhost:5000/base", Some(("localhost:5000", "/base"))),
            ("http://localhost:5000/a?b", None),
            ("ftp://h/", None),
            ("https:///", None),
            ("localhost", None),
            ("http://a b/", None),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn an_answer_is_read_and_anything_else_is_garbage() {
        let read = |text: &str| value(text.as_bytes());
        let whole = r#"{"ARN":"a","CreatedDate":1.523477145713E9,"Name":"n","SecretString":"{\"password\":\"x\"}",
            "VersionId":"EXAMPLE1-90ab-cdef-fedc-ba987SECRET1","VersionStages":["AWSCURRENT"]}"#;
        let found = read(whole).unwrap();
        assert_eq!(&*found.version, "EXAMPLE1-90ab-cdef-fedc-ba987SECRET1");
        assert_eq!(found.text.as_str(), r#"{"password":"x"}"#);
        let since = found.created_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_523_477_145);
        for text in [
            "",
            "[]",
            r#"{"VersionId":"a"}"#,
            r#"{"SecretString":"x"}"#,
            r#"{"SecretString":"x","VersionId":"a b"}"#,
            r#"{"SecretBinary":"eA==","VersionId":"a"}"#,
            r#"{"SecretString":"x","VersionId":"a"#,
            r#"{"SecretString":"x","VersionId":"a","CreatedDate":-1}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_answer_has_an_end() {
        let read = async |bytes: usize| {
            let read = bounded(SdkBody::from(vec![b'x'; bytes])).await;
            read.map(|read| read.len()).map_err(|why| why.to_string())
        };
        let most = limits::SECRET_ANSWER_BYTES_MAX;
        assert_eq!(read(most).await, Ok(most));
        let told = read(most + 1).await.unwrap_err();
        assert!(told.contains("it is too long"), "{told}");
    }

    #[test]
    fn refusals_have_their_codes_and_show_no_more_than_names() {
        let of = |body: &str, header: Option<&str>| refusal(body.as_bytes(), header, 400);
        let words = "User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized";
        let denied = of(&format!(r#"{{"__type":"AccessDeniedException","Message":"{words}"}}"#), None);
        assert!(denied.error.to_string().contains(words), "{}", denied.error);
        assert_eq!(denied.code.as_deref(), Some("AccessDenied"));
        let missing =
            of(r#"{"__type":"com.amazonaws.x#ResourceNotFoundException","message":"SECRET"}"#, None);
        assert_eq!(missing.code.as_deref(), Some("ResourceNotFound"));
        assert!(!missing.error.to_string().contains("SECRET"));
        let by_header = of("{}", Some("ThrottlingException:http://internal.amazon.com/"));
        assert_eq!(
            (by_header.code.as_deref(), by_header.error.reason),
            (Some("Throttling"), Reason::Throttled)
        );
        assert_eq!(of("<html>", None).code, None);
    }
}
