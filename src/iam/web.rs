//! One document of the web, for whoever keeps keys of issuers of tokens: the client of HTTP is that of calls
//! to AWS, proxies included.
//!
//! No redirect is followed: who is asked is who was named. The answer, and the time for it, have bounds. The
//! authorities are the system's, or those of a file. Never logs, never shows what came.

use super::environment::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT};
use super::failure::{FetchError, chain};
use super::http::{Trust, connector};
use super::tls_refusal;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use std::time::Duration;

/// For one document, from the look-up of its host to its last byte.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a document did not come. Fit for logs and SHOW: it holds nothing of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebError {
    #[error("the address cannot be asked")]
    BadAddress,
    #[error(
        "the server's certificate was refused: its issuer is not trusted; jwks_ca_file must name a file that \
         has it"
    )]
    Untrusted,
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is HTTP {0}")]
    Status(u16),
    #[error("the answer is a redirect (HTTP {0}), and none is followed")]
    Redirect(u16),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the answer has broken off")]
    Broken,
    #[error("{0}")]
    Setup(String),
}

/// What stands at `address`, of at most `bytes_max` bytes. `ca_file`: its authorities in place of the
/// system's.
///
/// # Errors
/// Why nothing came.
/// # Cancel safety
/// Nothing is lost.
pub(crate) async fn document(
    address: &str,
    ca_file: Option<&str>,
    bytes_max: usize,
) -> Result<Vec<u8>, WebError> {
    let fetch = async {
        let answer = ask(address, ca_file).await?;
        let status = answer.status().as_u16();
        match status {
            200 => body(answer, bytes_max).await,
            300..400 => Err(WebError::Redirect(status)),
            _ => Err(WebError::Status(status)),
        }
    };
    tokio::time::timeout(DOCUMENT_TIMEOUT, fetch).await.unwrap_or(Err(WebError::Timeout))
}

async fn ask(address: &str, ca_file: Option<&str>) -> Result<HttpResponse, WebError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    let headers =
        [("accept", "application/json"), ("user-agent", concat!("pgweir/", env!("CARGO_PKG_VERSION")))];
    let fits = request.set_uri(address).is_ok()
        && headers.iter().all(|(name, value)| request.headers_mut().try_insert(*name, *value).is_ok());
    if !fits {
        return Err(WebError::BadAddress);
    }
    let trust = ca_file.map_or(Trust::System, |file| Trust::File { setting: "jwks_ca_file", file });
    let setup = |why: FetchError| WebError::Setup(why.to_string());
    let connector = connector(trust, CONNECT_TIMEOUT, ATTEMPT_TIMEOUT).await.map_err(setup)?;
    connector.call(request).await.map_err(|error| refused(&error))
}

fn refused(error: &ConnectorError) -> WebError {
    match chain(error).find_map(tls_refusal::refusal) {
        Some(tls_refusal::UNTRUSTED) => WebError::Untrusted,
        Some(why) => WebError::Connect(why.to_owned()),
        None if error.is_timeout() => WebError::Timeout,
        None => WebError::Connect(FetchError::of_connector(error).to_string()),
    }
}

async fn body(answer: HttpResponse, bytes_max: usize) -> Result<Vec<u8>, WebError> {
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| WebError::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(WebError::TooLong(bytes_max));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
