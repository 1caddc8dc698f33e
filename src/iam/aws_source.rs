//! Fetching credentials from a source, by the AWS libraries.
//!
//! Providers are made anew for each fetch: those of the library keep what they once read (a profile's file,
//! the last credentials of the metadata service) and give it out again without a word when reading fails.
//! Keeping is done here, by [`super::keeper`]. Each call is bounded in time; pauses between fetches are the
//! keeper's too. The library panics over some answers and settings that make no sense (a role's name that
//! makes no path, a relative URI without its slash, a full one without its scheme): that ends the fetch, as
//! [`Reason::Garbage`]. Never logs, never prints; errors come out as [`FetchError`], which holds no text of
//! an answer. Source: aws-config 1.13, read and measured.

use super::clock::{Shared, Standing, WallClock};
use super::credentials::{Credentials, checked};
use super::endpoint::Region;
use super::environment::{env, timeouts};
use super::failure::{FetchError, Reason};
use super::fetch::{Fetch, Fetched, Fetching, panicked};
use super::http::Http;
use super::keeper::Source;
use super::profile::{self, Base};
use super::role::RoleToAssume;
use super::source::{Role, SourceKey, SourceKind};
use super::sts::{Given, IdentityFile, Sts};
use super::{process, sso};
use crate::tasks;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::ProvideCredentials;
use std::sync::Arc;

/// Calls of a container's endpoint within one fetch: the second one is for a connection
/// that had died unnoticed.
const ATTEMPTS: u32 = 2;

/// The source of [`SourceKey`], at AWS.
pub struct AwsSource {
    key: SourceKey,
    /// What assumes its role; `None`: it fetches that itself, each time.
    base: Option<Arc<Source>>,
    sts: Sts,
    clock: Arc<dyn WallClock>,
    http: Http,
}

impl AwsSource {
    /// The source of that key; nothing is called before [`Fetch::fetch`]. `near`: whose STS is called where
    /// nothing else names one.
    pub fn new(key: SourceKey, near: Region, clock: Arc<dyn WallClock>, http: Http) -> Self {
        let sts = Sts::new(&key, near, Arc::clone(&clock), http.clone());
        Self { key, base: None, sts, clock, http }
    }

    /// The same, with a role that the credentials of `base` assume: one source for any number of roles.
    pub(super) fn on(self, base: Option<Arc<Source>>) -> Self {
        Self { base, ..self }
    }

    async fn fetch_all(&self) -> Result<Fetched, FetchError> {
        match (self.key.role(), &self.base) {
            (Some(role), Some(base)) => self.fetch_on(base, role).await,
            _ => self.fetch_alone().await,
        }
    }

    async fn fetch_on(&self, base: &Source, role: &Role) -> Result<Fetched, FetchError> {
        let (credentials, via) = base.lend().await.map_err(FetchError::of_base)?;
        let assumed = self.sts.assume(&RoleToAssume::from(role), credentials).await;
        let is_of_base = |error: &FetchError| matches!(error.reason, Reason::Identity | Reason::Denied);
        if assumed.as_ref().is_err_and(is_of_base) {
            base.force_refresh(); // it may have another key by now
        }
        let Given { credentials, principal } = assumed?;
        Ok(Fetched { credentials, via, principal })
    }

    async fn fetch_alone(&self) -> Result<Fetched, FetchError> {
        let (given, via) = match self.key.kind() {
            SourceKind::Default => self.fetch_chain().await?,
            kind => (self.fetch_from(kind).await?, kind),
        };
        let Given { credentials, principal } = match self.key.role() {
            None => given,
            Some(role) => {
                let assumed = self.sts.assume(&RoleToAssume::from(role), given.credentials).await;
                let is_of_chain = self.key.kind() == SourceKind::Default;
                assumed.map_err(|error| if is_of_chain { error.through(via) } else { error })?
            }
        };
        Ok(Fetched { credentials, via, principal })
    }

    /// The first of the chain that is there. A machine without a metadata service, the last one, looks like
    /// one that cannot reach it.
    async fn fetch_chain(&self) -> Result<(Given, SourceKind), FetchError> {
        for via in SourceKind::CHAIN {
            match self.fetch_from(via).await {
                Ok(given) => return Ok((given, via)),
                Err(error) if error.reason == Reason::NotConfigured => {}
                Err(error) => return Err(error.through(via)),
            }
        }
        Err(FetchError::new(Reason::NotConfigured))
    }

    /// Those below the role of its key.
    async fn sessions_of_own(&self) -> u32 {
        let of_profile = async || profile::read(self.key.profile()).await.map(|path| path.sessions());
        let of_identity = u32::from(env("AWS_WEB_IDENTITY_TOKEN_FILE").is_ok());
        match self.key.kind() {
            _ if self.base.is_some() => 0,
            SourceKind::Profile | SourceKind::Process => of_profile().await.unwrap_or(0),
            SourceKind::WebIdentity => 1,
            SourceKind::Default if is_environment().is_ok() => 0,
            SourceKind::Default => of_profile().await.unwrap_or(of_identity),
            SourceKind::Env | SourceKind::Container | SourceKind::Imds => 0,
        }
    }

    async fn fetch_from(&self, kind: SourceKind) -> Result<Given, FetchError> {
        match kind {
            SourceKind::Profile | SourceKind::Process => self.fetch_from_profile(kind).await,
            SourceKind::WebIdentity => {
                const VARIABLE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
                let token_file = IdentityFile { path: env(VARIABLE)?, named_by: VARIABLE };
                let arn = env("AWS_ROLE_ARN").map_err(half)?;
                let named = env("AWS_ROLE_SESSION_NAME").ok().filter(|_| !self.key.names_its_session());
                let role = RoleToAssume { arn, external_id: None, session_name: named };
                self.sts.exchange(&token_file, &role).await
            }
            kind => self.fetch_here(kind).await.map(of_nobody),
        }
    }

    /// From a source that asks neither STS nor another one.
    async fn fetch_here(&self, kind: SourceKind) -> Result<AwsCredentials, FetchError> {
        match kind {
            SourceKind::Imds => self.fetch_from_imds().await,
            SourceKind::Container => {
                is_container()?;
                provide(EcsCredentialsProvider::builder().configure(&self.provider_config().await?).build())
                    .await
            }
            _ => {
                is_environment()?;
                provide(EnvironmentVariableCredentialsProvider::new()).await
            }
        }
    }

    async fn fetch_from_profile(&self, kind: SourceKind) -> Result<Given, FetchError> {
        let path = profile::read(self.key.profile()).await?;
        if kind == SourceKind::Process && !matches!(path.base, Base::Process(_)) {
            return Err(FetchError::with(Reason::Misconfigured, "the profile has no credential_process"));
        }
        let mut given = match path.base {
            Base::Keys(keys) => of_nobody(checked(keys)?),
            Base::Process(command) => of_nobody(process::run(&command).await?),
            Base::Sso(role) => of_nobody(sso::fetch(&role, &*self.clock, &self.http).await?),
            Base::WebIdentity { token_file, role } => {
                let file = IdentityFile { path: token_file, named_by: "web_identity_token_file" };
                self.sts.exchange(&file, &role).await?
            }
            Base::Other(kind) => of_nobody(self.fetch_here(kind).await?),
        };
        for role in &path.roles {
            given = self.sts.assume(role, given.credentials).await?;
        }
        Ok(given)
    }

    /// The library lengthens the life of expired credentials by its own clock; one that stands still lets
    /// them come out as they are.
    async fn fetch_from_imds(&self) -> Result<AwsCredentials, FetchError> {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        if env(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(FetchError::with(Reason::NotConfigured, format!("{DISABLED} is set")));
        }
        let config = self.provider_config().await?.with_time_source(Standing);
        provide(ImdsCredentialsProvider::builder().configure(&config).build()).await
    }

    async fn provider_config(&self) -> Result<ProviderConfig, FetchError> {
        Ok(ProviderConfig::without_region()
            .with_http_client(self.http.client().await?)
            .with_time_source(Shared(Arc::clone(&self.clock)))
            .with_retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .with_timeout_config(timeouts()))
    }
}

/// Credentials whose source does not say whose they are.
fn of_nobody(credentials: AwsCredentials) -> Given {
    Given { credentials, principal: None }
}

impl Fetch for AwsSource {
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>> {
        Box::pin(async move { alone("fetch of credentials", &self.key, Box::pin(self.fetch_all())).await })
    }

    fn sessions(self: Arc<Self>) -> Fetching<u32> {
        Box::pin(async move { self.sessions_of_own().await + u32::from(self.key.role().is_some()) })
    }

    fn identify(self: Arc<Self>, credentials: Arc<Credentials>) -> Fetching<Result<String, FetchError>> {
        Box::pin(async move {
            let question = self.sts.principal(credentials.provider());
            alone("question for the principal", &self.key, Box::pin(question)).await
        })
    }
}

impl From<&Role> for RoleToAssume {
    /// Under the session name that the source's key has.
    fn from(role: &Role) -> Self {
        let external_id = role.external_id().map(ToOwned::to_owned);
        Self { arn: role.arn().to_owned(), external_id, session_name: None }
    }
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

/// One half is there and this one is not: whoever set that meant this source, and no
/// other is to take its place.
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
