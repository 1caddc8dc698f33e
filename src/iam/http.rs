//! The HTTP client of all calls to AWS: whom it trusts, which proxy it goes through.
//!
//! Trusted are the system's authorities, or in their place those of the file `AWS_CA_BUNDLE`. Calls over TLS go
//! through `HTTPS_PROXY`, but for hosts that `NO_PROXY` names; those of the instance's metadata and of a
//! container's endpoint have no TLS, and go through none. All that is read once, when the first call is made;
//! what cannot be read fails that call, and is read again for the next.
//! Never logs, never shows a proxy's address, in which a password may stand.
//! Source: AWS SDKs and Tools Reference Guide, "General configuration"; curl's meaning of the proxy variables.

use super::failure::{FetchError, Reason};
use super::fetch::env;
use super::skew::{Dated, Skew};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The client, made when it is first wanted: its connections and the roots of trust are shared. Cheap to clone.
#[derive(Clone, Default)]
pub struct Http {
    made: Arc<Mutex<Option<SharedHttpClient>>>,
    skew: Skew,
}

impl Http {
    /// One whose answers tell `skew` the time.
    pub(super) fn telling(skew: Skew) -> Self {
        Self { made: Arc::default(), skew }
    }

    /// The client.
    ///
    /// # Errors
    /// What the environment says makes no sense.
    pub(super) fn client(&self) -> Result<SharedHttpClient, FetchError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*made {
            return Ok(client.clone());
        }
        let client = SharedHttpClient::new(Dated { inner: new_client()?, skew: self.skew.clone() });
        *made = Some(client.clone());
        Ok(client)
    }
}

impl From<SharedHttpClient> for Http {
    /// A client that somebody else has made.
    fn from(client: SharedHttpClient) -> Self {
        Self { made: Arc::new(Mutex::new(Some(client))), skew: Skew::default() }
    }
}

fn new_client() -> Result<SharedHttpClient, FetchError> {
    let trust = env("AWS_CA_BUNDLE").ok().map_or_else(|| Ok(TrustStore::default()), |file| trust(&file))?;
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|_| wrong("no TLS can be set up with AWS_CA_BUNDLE"))?;
    let proxy = proxy()?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(proxy.clone());
        let provider = Provider::rustls(CryptoMode::AwsLc);
        connector.tls_provider(provider).tls_context(context.clone()).build()
    }))
}

/// The authorities in a file. Only those that can be one are handed on, each by itself: the library panics over others.
fn trust(file: &str) -> Result<TrustStore, FetchError> {
    let pem = std::fs::read(file).map_err(|_| wrong("the file AWS_CA_BUNDLE cannot be read"))?;
    let (mut roots, mut trusted) = (RootCertStore::empty(), TrustStore::empty());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong("the file AWS_CA_BUNDLE is not PEM"))?;
        let text = STANDARD.encode(&certificate);
        if roots.add(certificate).is_ok() {
            let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
            trusted.add_pem_certificate(text);
        }
    }
    match roots.is_empty() {
        true => Err(wrong("the file AWS_CA_BUNDLE holds no certificate")),
        false => Ok(trusted),
    }
}

/// The proxy for calls over TLS. A name without a scheme is that of an HTTP proxy.
fn proxy() -> Result<Option<ProxyConfig>, FetchError> {
    let either = |lower: &str, upper: &str| env(lower).or_else(|_| env(upper)).ok();
    let Some(proxy) = either("https_proxy", "HTTPS_PROXY") else { return Ok(None) };
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    let config = ProxyConfig::https(proxy).map_err(|_| wrong("HTTPS_PROXY is no address of a proxy"))?;
    Ok(Some(match either("no_proxy", "NO_PROXY") {
        Some(hosts) => config.no_proxy(hosts),
        None => config,
    }))
}

/// What TLS has against the other side: it lies within errors of the system, which do not show it as their source.
fn tls_error<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        error = error.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

/// The refusal of a certificate or of TLS, which hides in what looks like a failed connection.
pub(super) fn no_tls(error: &(dyn Error + 'static)) -> Option<FetchError> {
    use rustls::CertificateError as Bad;
    let why = match tls_error(error)? {
        rustls::Error::InvalidCertificate(bad) => match bad {
            // an authority of the same name, with another key
            Bad::UnknownIssuer | Bad::BadSignature => {
                "its certificate was refused: the issuer is not trusted here; AWS_CA_BUNDLE names the file of who is"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate was refused: it has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate was refused: it is not valid yet"
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "its certificate was refused: it is another host's"
            }
            _ => "its certificate was refused",
        },
        _ => "no TLS could be agreed on",
    };
    Some(FetchError::with(Reason::Unreachable, why))
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}
