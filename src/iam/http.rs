//! The HTTP client of all calls to AWS: whom it trusts, which proxy it goes through.
//!
//! Trusted are the system's authorities, or in their place those of the file `AWS_CA_BUNDLE` that may sign.
//! Calls over TLS go through `HTTPS_PROXY`, but for hosts that `NO_PROXY` names; those of the instance's
//! metadata and of a container's endpoint have no TLS, and go through none. All that is read once, when the
//! first call is made; what cannot be read fails that call, and is read again for the next. Never logs, never
//! shows a proxy's address, in which a password may stand. Source: AWS SDKs and Tools Reference Guide,
//! "General configuration"; curl's meaning of the proxy variables.

use super::environment::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, env};
use super::failure::{FetchError, NoAddress, Reason};
use super::file;
use super::skew::{Dated, Skew, dated};
use crate::base::limits;
use crate::tls::authorities::signers_of_servers;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The variable that names a file of authorities.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The client, made when it is first wanted: its connections and the roots of trust
/// are shared. Cheap to clone.
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
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn client(&self) -> Result<SharedHttpClient, FetchError> {
        if let Some(client) = &*self.made() {
            return Ok(client.clone());
        }
        // Two callers may make one each: the lock is not held while files are read.
        let new = SharedHttpClient::new(Dated { inner: new_client().await?, skew: self.skew.clone() });
        Ok(self.made().get_or_insert(new).clone())
    }

    fn made(&self) -> MutexGuard<'_, Option<SharedHttpClient>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends single requests that no client of the library makes, as the client's are sent. Made
    /// anew, connections and all.
    ///
    /// # Errors
    /// What the environment says makes no sense.
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn connector(&self) -> Result<SharedHttpConnector, FetchError> {
        let inner = connector(Trust::Environment, CONNECT_TIMEOUT, ATTEMPT_TIMEOUT).await?;
        Ok(dated(inner, self.skew.clone()))
    }
}

/// Which authorities are trusted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust<'a> {
    /// The system's.
    System,
    /// Those of a file, which that setting names.
    File { setting: &'static str, file: &'a str },
    /// What the environment says for calls to AWS.
    Environment,
}

/// Sends single requests, as the client's are sent. Made anew, connections and all.
///
/// # Errors
/// What the environment or the file says makes no sense.
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn connector(
    trust: Trust<'_>,
    connect: Duration,
    read: Duration,
) -> Result<SharedHttpConnector, FetchError> {
    let settings = HttpConnectorSettings::builder().connect_timeout(connect).read_timeout(read).build();
    let (context, proxy) = (context(trust).await?, proxy()?);
    let mut connector = Connector::builder();
    connector.set_connector_settings(Some(settings));
    connector.set_sleep_impl(Some(SharedAsyncSleep::new(TokioSleep::new())));
    connector.set_proxy_config(proxy);
    let connector = connector.tls_provider(Provider::rustls(CryptoMode::AwsLc)).tls_context(context);
    Ok(SharedHttpConnector::new(connector.build_with_resolver(Resolver)))
}

impl From<SharedHttpClient> for Http {
    /// A client that somebody else has made.
    fn from(client: SharedHttpClient) -> Self {
        Self { made: Arc::new(Mutex::new(Some(client))), skew: Skew::default() }
    }
}

/// The system's, whose failure says which host it was asked for.
#[derive(Clone, Copy, Debug)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            let unknown = |error| ResolveDnsError::new(NoAddress { host: name.into(), error });
            Ok(found.map_err(unknown)?.map(|address| address.ip()).collect())
        })
    }
}

async fn new_client() -> Result<SharedHttpClient, FetchError> {
    let (context, proxy) = (context(Trust::Environment).await?, proxy()?);
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(proxy.clone());
        let provider = Provider::rustls(CryptoMode::AwsLc);
        connector.tls_provider(provider).tls_context(context.clone()).build_with_resolver(Resolver)
    }))
}

async fn context(trust: Trust<'_>) -> Result<TlsContext, FetchError> {
    let of_environment = env(CA_BUNDLE).ok();
    let (setting, file) = match (trust, &of_environment) {
        (Trust::File { setting, file }, _) => (setting, Some(file)),
        (Trust::Environment, Some(file)) => (CA_BUNDLE, Some(file.as_str())),
        (Trust::System, _) | (Trust::Environment, None) => (CA_BUNDLE, None),
    };
    let trusted = match file {
        Some(file) => {
            let unread = |why| wrong(&format!("the file {setting} {why}"));
            let pem = file::read(file, limits::TLS_FILE_BYTES_MAX as usize).await.map_err(unread)?;
            trusted(setting, file, &pem)?
        }
        None => TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|_| wrong(&format!("no TLS can be set up with {setting}")))
}

/// The authorities among the certificates of a file, each by itself: the library takes all that it is given
/// for authorities, and panics over what it cannot read.
fn trusted(setting: &'static str, file: &str, pem: &[u8]) -> Result<TrustStore, FetchError> {
    let signers = signers_of_servers(setting, file, pem);
    let mut trusted = TrustStore::empty();
    for certificate in signers.map_err(|why| FetchError::with(Reason::Misconfigured, why.to_string()))? {
        let text = STANDARD.encode(&certificate);
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        trusted.add_pem_certificate(text);
    }
    Ok(trusted)
}

/// The proxy for calls over TLS. A name without a scheme is that of an HTTP proxy.
fn proxy() -> Result<Option<ProxyConfig>, FetchError> {
    let either = |lower: &str, upper: &str| env(lower).or_else(|_| env(upper)).ok();
    let Some(proxy) = either("https_proxy", "HTTPS_PROXY") else { return Ok(None) };
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    let config = ProxyConfig::https(proxy).map_err(|_| wrong("HTTPS_PROXY is not the address of a proxy"))?;
    Ok(Some(match either("no_proxy", "NO_PROXY") {
        Some(hosts) => config.no_proxy(hosts),
        None => config,
    }))
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}
