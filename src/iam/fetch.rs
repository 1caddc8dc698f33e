//! Fetching credentials from a source, by the AWS libraries.
//!
//! Providers are made anew for each fetch: those of the library keep what they once read (a profile's file, the last
//! credentials of the metadata service) and give it out again without a word when reading fails. Keeping is done here, by
//! [`super::keeper`]. Each call is bounded in time; pauses between fetches are the keeper's too.
//! The library panics over some answers and settings that make no sense (a role's name that makes no path, a relative URI without
//! its slash, a full one without its scheme): that ends the fetch, as [`Reason::Garbage`].
//! Never logs, never prints; errors come out as [`FetchError`], which holds no text of an answer.
//! Source: aws-config 1.13, read and measured.

use super::clock::{Shared, Standing, WallClock};
use super::credentials::Credentials;
use super::endpoint::Region;
use super::failure::{self, FetchError, Reason};
use super::profile::{self, Base, Step};
use super::source::{Role, SourceKey, SourceKind};
use super::token;
use crate::tasks;
use aws_config::BehaviorVersion;
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{Region as AwsRegion, SdkConfig};
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// To connect to STS, a metadata service or a container's endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For one call of STS and its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls of STS within one fetch: the second one is for a connection that had died unnoticed.
const ATTEMPTS: u32 = 2;

/// What a fetch brings.
pub struct Fetched {
    /// The credentials as the library holds them.
    pub credentials: AwsCredentials,
    /// The source that gave them; of `default`, the one of its chain that did.
    pub via: SourceKind,
}

/// A future that can wait in a task.
pub type Fetching<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that credentials can be fetched from: AWS, or what a test puts in its place.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches once.
    ///
    /// # Errors
    /// Why nothing came.
    /// # Cancel safety
    /// Nothing is lost; a program that was started goes on.
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>>;

    /// Asks whom `credentials` belong to: the principal's ARN.
    ///
    /// # Errors
    /// Why it is not known.
    fn identify(self: Arc<Self>, credentials: Arc<Credentials>) -> Fetching<Result<String, FetchError>>;
}

/// One client for all calls: its connections and the roots of trust are shared.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .build_https()
}

/// The source of [`SourceKey`], at AWS.
pub struct AwsSource {
    key: SourceKey,
    near: Region,
    clock: Arc<dyn WallClock>,
    http: SharedHttpClient,
}

impl AwsSource {
    /// The source of that key; nothing is called before [`Fetch::fetch`]. `near`: whose STS is asked for the principal's name
    /// where the source itself calls none.
    pub fn new(key: SourceKey, near: Region, clock: Arc<dyn WallClock>, http: SharedHttpClient) -> Self {
        Self { key, near, clock, http }
    }

    async fn fetch_all(&self) -> Result<Fetched, FetchError> {
        let base = match self.key.kind() {
            SourceKind::Default => self.fetch_chain().await?,
            kind => Fetched { credentials: self.fetch_from(kind).await?, via: kind },
        };
        match self.key.role() {
            None => Ok(base),
            Some(role) => {
                let role = Step::from(role);
                Ok(Fetched { credentials: self.assume(&role, base.credentials).await?, ..base })
            }
        }
    }

    /// The first of the chain that is there. A machine without a metadata service, the last one, looks like one that cannot
    /// reach it.
    async fn fetch_chain(&self) -> Result<Fetched, FetchError> {
        for via in SourceKind::CHAIN {
            match self.fetch_from(via).await {
                Ok(credentials) => return Ok(Fetched { credentials, via }),
                Err(error) if error.reason == Reason::NotConfigured => {}
                Err(error) => return Err(error),
            }
        }
        Err(FetchError::new(Reason::NotConfigured))
    }

    async fn fetch_from(&self, kind: SourceKind) -> Result<AwsCredentials, FetchError> {
        match kind {
            SourceKind::Profile | SourceKind::Process => self.fetch_from_profile(kind).await,
            SourceKind::WebIdentity => {
                let token_file = env("AWS_WEB_IDENTITY_TOKEN_FILE")?;
                let arn = env("AWS_ROLE_ARN").map_err(half)?;
                let named = env("AWS_ROLE_SESSION_NAME").ok().filter(|_| !self.key.names_its_session());
                self.exchange(token_file, Step { arn, external_id: None, session_name: named }).await
            }
            kind => self.fetch_here(kind).await,
        }
    }

    /// From a source that asks neither STS nor another one.
    async fn fetch_here(&self, kind: SourceKind) -> Result<AwsCredentials, FetchError> {
        let config = self.provider_config();
        match kind {
            SourceKind::Imds => self.fetch_from_imds(config).await,
            SourceKind::Container => {
                is_container()?;
                provide(EcsCredentialsProvider::builder().configure(&config).build()).await
            }
            _ => {
                is_environment()?;
                provide(EnvironmentVariableCredentialsProvider::new()).await
            }
        }
    }

    async fn fetch_from_profile(&self, kind: SourceKind) -> Result<AwsCredentials, FetchError> {
        let path = profile::read(self.key.profile()).await?;
        if kind == SourceKind::Process && !matches!(path.base, Base::Process(_)) {
            return Err(FetchError::with(Reason::Misconfigured, "the profile has no credential_process"));
        }
        let mut credentials = match path.base {
            Base::Keys(keys) => checked(keys)?,
            Base::Process(command) => provide(CredentialProcessProvider::new(command)).await?,
            Base::WebIdentity { token_file, role } => self.exchange(token_file, role).await?,
            Base::Other(kind) => self.fetch_here(kind).await?,
        };
        for role in &path.roles {
            credentials = self.assume(role, credentials).await?;
        }
        Ok(credentials)
    }

    /// STS gives credentials of a role for the token in a file.
    async fn exchange(&self, token_file: String, role: Step) -> Result<AwsCredentials, FetchError> {
        let session = StaticConfiguration {
            web_identity_token_file: token_file.into(),
            role_arn: role.arn,
            session_name: role.session_name.unwrap_or_else(|| self.key.session_name().to_owned()),
        };
        let builder = WebIdentityTokenCredentialsProvider::builder().configure(&self.provider_config());
        provide(builder.static_configuration(session).build()).await
    }

    /// The library lengthens the life of expired credentials by its own clock; one that stands still lets them come out as they
    /// are.
    async fn fetch_from_imds(&self, config: ProviderConfig) -> Result<AwsCredentials, FetchError> {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        if env(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(FetchError::with(Reason::NotConfigured, format!("{DISABLED} is set")));
        }
        let config = config.with_time_source(Standing);
        provide(ImdsCredentialsProvider::builder().configure(&config).build()).await
    }

    async fn assume(&self, role: &Step, base: AwsCredentials) -> Result<AwsCredentials, FetchError> {
        let session_name = role.session_name.as_deref().unwrap_or(self.key.session_name());
        let mut builder = AssumeRoleProvider::builder(&role.arn).session_name(session_name);
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        let config = self.sdk_config(SharedCredentialsProvider::new(base.clone())).await;
        provide(builder.configure(&config).build_from_provider(base).await).await
    }

    fn region(&self) -> AwsRegion {
        AwsRegion::new(self.key.region().unwrap_or(&self.near).as_str().to_owned())
    }

    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(Some(self.region()))
            .with_http_client(self.http.clone())
            .with_time_source(Shared(Arc::clone(&self.clock)))
            .with_retry_config(retries())
            .with_timeout_config(timeouts())
    }

    /// For calls of STS; reads what the environment and the profile say of its endpoint.
    async fn sdk_config(&self, credentials: SharedCredentialsProvider) -> SdkConfig {
        let defaults = aws_config::defaults(BehaviorVersion::latest());
        let defaults = match self.key.profile() {
            Some(name) => defaults.profile_name(name),
            None => defaults,
        };
        defaults
            .region(self.region())
            .http_client(self.http.clone())
            .time_source(Shared(Arc::clone(&self.clock)))
            .retry_config(retries())
            .timeout_config(timeouts())
            .credentials_provider(credentials)
            .load()
            .await
    }

    async fn principal(&self, credentials: &Credentials) -> Result<String, FetchError> {
        let config = self.sdk_config(credentials.provider()).await;
        let client = aws_sdk_sts::Client::new(&config);
        let answer = client.get_caller_identity().send().await.map_err(|error| {
            failure::answered::<GetCallerIdentityError>(&error)
                .unwrap_or_else(|| FetchError::new(Reason::Unreachable))
        })?;
        let plain = |arn: &&str| arn.len() <= 2048 && arn.bytes().all(|byte| byte.is_ascii_graphic());
        let arn = answer.arn().filter(plain).map(ToOwned::to_owned);
        arn.ok_or_else(|| FetchError::new(Reason::Garbage))
    }
}

impl Fetch for AwsSource {
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>> {
        Box::pin(async move { alone("fetch of credentials", &self.key, Box::pin(self.fetch_all())).await })
    }

    fn identify(self: Arc<Self>, credentials: Arc<Credentials>) -> Fetching<Result<String, FetchError>> {
        Box::pin(async move {
            alone("question for the principal", &self.key, Box::pin(self.principal(&credentials))).await
        })
    }
}

impl From<&Role> for Step {
    /// Under the session name that the source's key has.
    fn from(role: &Role) -> Self {
        let external_id = role.external_id().map(ToOwned::to_owned);
        Self { arn: role.arn().to_owned(), external_id, session_name: None }
    }
}

/// What a panic of the AWS library comes to.
pub(super) fn panicked() -> FetchError {
    FetchError::with(Reason::Garbage, "the AWS library has panicked over it")
}

/// Calls of the library, whose panic ends them alone.
async fn alone<T>(
    what: &'static str,
    key: &SourceKey,
    calls: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tasks::guarded(what, key, calls).await.unwrap_or_else(|| Err(panicked()))
}

async fn provide(provider: impl ProvideCredentials) -> Result<AwsCredentials, FetchError> {
    checked(provider.provide_credentials().await.map_err(|error| FetchError::read(&error))?)
}

/// An access key's id is letters and digits at AWS, a session token such as a URL can hold. What cannot be one is refused before
/// anything is signed with it: tokens made with it would be refused one by one, or not be sent at all.
fn checked(credentials: AwsCredentials) -> Result<AwsCredentials, FetchError> {
    let garbage = |why: &str| Err(FetchError::with(Reason::Garbage, why));
    let id = credentials.access_key_id();
    if !(1..=128).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return garbage("the access key's id has signs that none can have");
    }
    match credentials.session_token() {
        // programs that print keys which need none write it so
        Some("") => Ok(without_session(&credentials)),
        Some(session) if !token::is_session_token(session) => {
            garbage("the session token has signs that none can have, or is longer than any that can sign")
        }
        _ => Ok(credentials),
    }
}

/// The same keys, without a session token.
fn without_session(credentials: &AwsCredentials) -> AwsCredentials {
    let (id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
    AwsCredentials::new(id, secret, None, credentials.expiry(), "without session")
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

/// A variable of the environment that must be set.
fn env(name: &str) -> Result<String, FetchError> {
    let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    value.ok_or_else(|| FetchError::with(Reason::NotConfigured, format!("{name} is not set")))
}

/// One half is there and this one is not: whoever set that meant this source, and no other is to take its place.
fn half(mut missing: FetchError) -> FetchError {
    missing.reason = Reason::Misconfigured;
    missing
}

/// Whether the environment holds keys; whole ones, or what is there is an error.
fn is_environment() -> Result<(), FetchError> {
    let id = env("AWS_ACCESS_KEY_ID");
    let secret = env("AWS_SECRET_ACCESS_KEY").or_else(|unset| env("SECRET_ACCESS_KEY").map_err(|_| unset));
    match (id, secret) {
        (Ok(_), Ok(_)) => Ok(()),
        (Err(unset), Err(_)) if env("AWS_SESSION_TOKEN").is_err() => Err(unset),
        (Err(unset), _) | (_, Err(unset)) => Err(half(unset)),
    }
}

/// Whether this is a container with credentials; else the library calls it one that answers wrong.
fn is_container() -> Result<(), FetchError> {
    let relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    relative.or_else(|unset| env("AWS_CONTAINER_CREDENTIALS_FULL_URI").map_err(|_| unset)).map(drop)
}
