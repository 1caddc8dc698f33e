//! Calls of AWS STS: where it is, which region its requests are signed for, and what it gives.
//!
//! The region is the first that is named: by `iam_sts_region`, whose own endpoint is then called in any case;
//! by the endpoint's own name, where one is set; by `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile; else it
//! is that of the databases. Endpoints, FIPS and dual stack are what the environment and the profile say, as
//! the AWS library reads it. Every call is bounded in time and made twice at the most, the second time
//! because a connection had died unnoticed. Never logs, never shows an answer's text. Source: AWS SDKs and
//! Tools Reference Guide, "AWS Region", "AWS STS Regional endpoints", "Service-specific endpoints",
//! "Dual-stack and FIPS endpoints"; AWS STS API Reference.

use super::clock::{Shared, WallClock};
use super::credentials::checked;
use super::endpoint::Region;
use super::environment::{env, timeouts};
use super::failure::{FetchError, Reason};
use super::file::{self, Unread};
use super::http::Http;
use super::profile;
use super::role::RoleToAssume;
use super::source::SourceKey;
use crate::base::limits;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region as AwsRegion, SdkConfig};
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::Client;
use aws_sdk_sts::types::{AssumedRoleUser, Credentials as StsCredentials};
use aws_types::service_config::ServiceConfigKey;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

/// The name of STS's old endpoint, which belongs to no region and lies in [`GLOBAL_REGION`].
const GLOBAL: &str = "aws-global";

/// See [`GLOBAL`].
const GLOBAL_REGION: &str = "us-east-1";

/// The regions that `legacy` sends to the old endpoint; all later ones have only their own.
const LEGACY_REGIONS: [&str; 16] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "aws-global",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Credentials of a role, and whose they are.
pub(super) struct Given {
    pub credentials: AwsCredentials,
    pub principal: Option<String>,
}

/// STS as one source calls it.
pub(super) struct Sts {
    profile: Option<String>,
    /// `iam_sts_region`.
    region: Option<Region>,
    /// The databases' own.
    near: Region,
    session_name: String,
    clock: Arc<dyn WallClock>,
    http: Http,
}

impl Sts {
    /// For the source of that key; nothing is called yet. `near`: a region of its databases.
    pub(super) fn new(key: &SourceKey, near: Region, clock: Arc<dyn WallClock>, http: Http) -> Self {
        Self {
            profile: key.profile().map(ToOwned::to_owned),
            region: key.sts_region().cloned(),
            near: key.region().cloned().unwrap_or(near),
            session_name: key.session_name().to_owned(),
            clock,
            http,
        }
    }

    /// Credentials of `role` for whoever holds `base`.
    pub(super) async fn assume(
        &self,
        role: &RoleToAssume,
        base: AwsCredentials,
    ) -> Result<Given, FetchError> {
        let client = self.client(Some(SharedCredentialsProvider::new(base))).await?;
        let call = client
            .assume_role()
            .role_arn(&role.arn)
            .role_session_name(self.session_of(role))
            .set_external_id(role.external_id.clone());
        let answer = twice(|| call.clone().send()).await?;
        given(answer.credentials, answer.assumed_role_user)
    }

    /// Credentials of `role` for the token in a file.
    pub(super) async fn exchange(
        &self,
        token_file: &IdentityFile,
        role: &RoleToAssume,
    ) -> Result<Given, FetchError> {
        let token = read_identity(token_file).await?;
        let client = self.client(None).await?;
        let call = client
            .assume_role_with_web_identity()
            .role_arn(&role.arn)
            .role_session_name(self.session_of(role))
            .web_identity_token(token);
        let answer = twice(|| call.clone().send()).await?;
        given(answer.credentials, answer.assumed_role_user)
    }

    /// Whom credentials belong to: an ARN.
    pub(super) async fn principal(
        &self,
        credentials: SharedCredentialsProvider,
    ) -> Result<String, FetchError> {
        let client = self.client(Some(credentials)).await?;
        let answer = twice(|| client.get_caller_identity().send()).await?;
        answer.arn.and_then(plain_arn).ok_or_else(|| FetchError::new(Reason::Garbage))
    }

    fn session_of<'a>(&'a self, role: &'a RoleToAssume) -> &'a str {
        role.session_name.as_deref().unwrap_or(&self.session_name)
    }

    async fn client(&self, credentials: Option<SharedCredentialsProvider>) -> Result<Client, FetchError> {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(AwsRegion::new(self.near.as_str().to_owned()))
            .http_client(self.http.client().await?)
            .time_source(Shared(Arc::clone(&self.clock)))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts());
        let loader = match &self.profile {
            Some(name) => loader.profile_name(name),
            None => loader,
        };
        let loader = match credentials {
            Some(credentials) => loader.credentials_provider(credentials),
            None => loader.no_credentials(),
        };
        let config = loader.load().await;
        let hints = self.hints(&config).await;
        let region = AwsRegion::new(hints.signed_for(self.region.as_ref(), &self.near)?);
        Ok(Client::new(&config.into_builder().region(region).build()))
    }

    async fn hints(&self, config: &SdkConfig) -> Hints {
        let key =
            ServiceConfigKey::builder().service_id("STS").env("AWS_ENDPOINT_URL").profile("endpoint_url");
        let own = config.service_config().zip(key.build().ok());
        let own = own.and_then(|(settings, key)| settings.load_config(key));
        let [of_profile, legacy] =
            profile::values(self.profile.as_deref(), ["region", "sts_regional_endpoints"]).await;
        let of_environment = env("AWS_REGION").or_else(|_| env("AWS_DEFAULT_REGION")).ok();
        Hints {
            endpoint: own.or_else(|| config.endpoint_url().map(ToOwned::to_owned)),
            of_environment,
            of_profile,
            endpoints: env("AWS_STS_REGIONAL_ENDPOINTS").ok().or(legacy),
            is_special: config.use_fips() == Some(true) || config.use_dual_stack() == Some(true),
        }
    }
}

/// What the environment and the profile say of regions and endpoints.
#[derive(Clone, Default)]
struct Hints {
    endpoint: Option<String>,
    of_environment: Option<String>,
    of_profile: Option<String>,
    /// `legacy` or `regional`.
    endpoints: Option<String>,
    /// FIPS or dual stack, which the old endpoint has not.
    is_special: bool,
}

impl Hints {
    /// The region that requests are signed for, and whose endpoint is called where none is set.
    fn signed_for(&self, set: Option<&Region>, near: &Region) -> Result<String, FetchError> {
        let region = match set {
            Some(set) => set.clone(),
            None => self.named()?.unwrap_or_else(|| near.clone()),
        };
        let is_legacy = match self.endpoints.as_deref() {
            _ if set.is_some() => false, // who names STS's region means that region's
            None | Some("regional") => false,
            Some("legacy") => LEGACY_REGIONS.contains(&region.as_str()),
            Some(_) => return Err(wrong("sts_regional_endpoints is neither regional nor legacy")),
        };
        Ok(match (&self.endpoint, is_legacy && !self.is_special) {
            (None, true) => GLOBAL.to_owned(),
            (Some(_), _) if region.as_str() == GLOBAL => GLOBAL_REGION.to_owned(),
            _ => region.as_str().to_owned(),
        })
    }

    fn named(&self) -> Result<Option<Region>, FetchError> {
        if let Some(region) = self.endpoint.as_deref().and_then(Region::of_sts) {
            return Ok(Some(region));
        }
        let named = [(&self.of_environment, "AWS_REGION"), (&self.of_profile, "the profile's region")];
        let first = named.into_iter().find_map(|(text, name)| Some((text.as_ref()?, name)));
        first
            .map(|(text, name)| text.trim().parse().map_err(|_| wrong(&format!("{name} is not a region"))))
            .transpose()
    }
}

/// A file with a web identity.
pub(super) struct IdentityFile {
    pub path: String,
    /// The variable or the profile's key that names it.
    pub named_by: &'static str,
}

/// A token that stands in a file, which is read anew each time.
async fn read_identity(file: &IdentityFile) -> Result<String, FetchError> {
    let IdentityFile { path, named_by } = file;
    let shown: String = path.chars().filter(|c| !c.is_control()).take(PATH_CHARS_MAX).collect();
    let unread = |why: Unread| wrong(&format!("the web identity {shown} ({named_by}) {why}"));
    let token = file::read(path, limits::WEB_IDENTITY_BYTES_MAX).await.map_err(unread)?;
    let token = String::from_utf8(token).map_err(|_| unread(Unread::Unreadable))?;
    Ok(token.trim().to_owned())
}

/// Most characters of a file's path that are shown.
const PATH_CHARS_MAX: usize = 200;

/// What STS gave, looked at before anything is signed with it.
fn given(given: Option<StsCredentials>, user: Option<AssumedRoleUser>) -> Result<Given, FetchError> {
    let given = given.ok_or_else(|| FetchError::new(Reason::Garbage))?;
    let expiry = SystemTime::try_from(given.expiration).map_err(|_| FetchError::new(Reason::Garbage))?;
    let (id, secret, session) = (given.access_key_id, given.secret_access_key, given.session_token);
    let credentials = checked(AwsCredentials::new(id, secret, Some(session), Some(expiry), "sts"))?;
    Ok(Given { credentials, principal: user.and_then(|user| plain_arn(user.arn)) })
}

fn plain_arn(arn: String) -> Option<String> {
    let is_plain = arn.len() <= 2048 && arn.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some(arn)
}

/// Once more where the first call did not come through.
async fn twice<T, E, F>(call: impl Fn() -> F) -> Result<T, FetchError>
where
    E: Error + Send + Sync + 'static,
    F: Future<Output = Result<T, E>>,
{
    let failed = |error| FetchError::read(&CredentialsError::provider_error(error));
    match call().await.map_err(failed) {
        Err(error) if error.reason == Reason::Unreachable && !error.is_final() => {
            call().await.map_err(failed)
        }
        result => result,
    }
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    fn text(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Of endpoint, environment and profile.
    fn hints([endpoint, of_environment, of_profile]: [&str; 3]) -> Hints {
        let [endpoint, of_environment, of_profile] = [endpoint, of_environment, of_profile].map(text);
        Hints { endpoint, of_environment, of_profile, ..Hints::default() }
    }

    #[test]
    fn the_region_is_the_first_that_is_named() {
        let near = region("us-east-1");
        const VPC: &str = "https://vpce-0a1b-x.sts.eu-west-2.vpce.amazonaws.com";
        for (named, expected) in [
            (["", "", ""], "us-east-1"),
            (["", "", "eu-west-3"], "eu-west-3"),
            (["", "eu-west-1", "eu-west-3"], "eu-west-1"),
            (["http://127.0.0.1:4566", "eu-west-1", ""], "eu-west-1"),
            (["http://127.0.0.1:4566", "", ""], "us-east-1"),
            ([VPC, "eu-west-1", "eu-west-3"], "eu-west-2"),
            (["https://sts.amazonaws.com", "eu-west-1", ""], "us-east-1"),
            (["https://sts.amazonaws.com", "aws-global", ""], "us-east-1"),
            (["", "aws-global", ""], "aws-global"),
        ] {
            assert_eq!(hints(named).signed_for(None, &near).as_deref(), Ok(expected), "{named:?}");
            let set = region("ap-south-2");
            assert_eq!(hints(named).signed_for(Some(&set), &near).as_deref(), Ok("ap-south-2"), "{named:?}");
        }
        for named in [["", "EU WEST", ""], ["", "{\"a\":1}", ""], ["", "", "eu/west"]] {
            let error = hints(named).signed_for(None, &near).unwrap_err();
            assert_eq!(error.reason, Reason::Misconfigured, "{named:?}");
        }
    }

    #[test]
    fn the_old_endpoint_is_called_by_old_regions_that_ask_for_it() {
        let near = region("us-east-1");
        let signed_for = |at: &str, endpoint: &str, endpoints: &str, is_special| {
            let hints = Hints { endpoints: text(endpoints), is_special, ..hints([endpoint, at, ""]) };
            hints.signed_for(None, &near).map_err(|error| error.reason)
        };
        assert_eq!(signed_for("eu-west-1", "", "legacy", false).as_deref(), Ok("aws-global"));
        assert_eq!(signed_for("eu-west-1", "", "regional", false).as_deref(), Ok("eu-west-1"));
        assert_eq!(signed_for("eu-west-1", "", "legacy", true).as_deref(), Ok("eu-west-1"));
        assert_eq!(signed_for("eu-west-1", "http://localhost", "legacy", false).as_deref(), Ok("eu-west-1"));
        assert_eq!(signed_for("il-central-1", "", "legacy", false).as_deref(), Ok("il-central-1"));
        assert_eq!(signed_for("eu-west-1", "", "nearby", false), Err(Reason::Misconfigured));
        let legacy = Hints { endpoints: text("legacy"), ..hints(["", "eu-west-2", ""]) };
        let set = legacy.signed_for(Some(&region("eu-west-1")), &near);
        assert_eq!(set.as_deref(), Ok("eu-west-1"), "iam_sts_region goes first");
    }
}
