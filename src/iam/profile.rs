//! What a profile of `~/.aws` says: where its first credentials come from, and which roles are
//! assumed one after the other.
//!
//! The files are read by the AWS library, anew each time; what follows from them is read here and not there,
//! because the library then asks the metadata service and calls STS by itself, under its own clock and
//! session names; here each step is one of [`super::fetch`]'s. Never calls anything, never shows a value:
//! they may be secrets. Source: AWS SDKs and Tools Reference Guide, "Assume role credential provider"; the
//! order of aws-config 1.13.

use super::failure::{FetchError, Reason};
use super::role::RoleToAssume;
use super::source::SourceKind;
use super::sso::SsoRole;
use aws_config::profile::{Profile, ProfileSet};
use aws_credential_types::Credentials as AwsCredentials;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

/// The profile that is read where nobody names one.
const DEFAULT: &str = "default";

/// The way to a profile's credentials.
pub(super) struct Path {
    /// Where the first ones come from.
    pub base: Base,
    /// The roles assumed with them, the first one first.
    pub roles: Vec<RoleToAssume>,
}

impl Path {
    /// How many sessions of STS lie on it.
    pub(super) fn sessions(&self) -> u32 {
        let of_base = u32::from(matches!(self.base, Base::WebIdentity { .. }));
        of_base.saturating_add(u32::try_from(self.roles.len()).unwrap_or(u32::MAX))
    }
}

/// Where a profile's first credentials come from.
pub(super) enum Base {
    /// They stand in the file.
    Keys(AwsCredentials),
    /// This program prints them.
    Process(String),
    /// IAM Identity Center gives them for a cached token.
    Sso(SsoRole),
    /// STS gives them for a token in a file.
    WebIdentity {
        /// The file.
        token_file: String,
        /// The role to ask for.
        role: RoleToAssume,
    },
    /// Another source has them: the environment, the container's endpoint or the instance's metadata.
    Other(SourceKind),
}

/// Reads the files and follows the profile `name`, or the one that the environment names.
///
/// # Errors
/// Files that make no sense, a profile that is not there or says nothing of credentials, or
/// what [`follow`] refuses.
pub(super) async fn read(name: Option<&str>) -> Result<Path, FetchError> {
    read_from(&Fs::real(), &Env::real(), name).await
}

/// What the profile `name`, or the one that the environment names, says under each of `names`; nothing where
/// the files cannot be read.
pub(super) async fn values<const N: usize>(name: Option<&str>, names: [&str; N]) -> [Option<String>; N] {
    let profiles = load(&Fs::real(), &Env::real(), name).await.ok();
    names.map(|name| profiles.as_ref()?.get(name).map(ToOwned::to_owned))
}

async fn read_from(fs: &Fs, env: &Env, name: Option<&str>) -> Result<Path, FetchError> {
    follow(&load(fs, env, name).await?)
}

async fn load(fs: &Fs, env: &Env, name: Option<&str>) -> Result<ProfileSet, FetchError> {
    let of_environment = env.get("AWS_PROFILE").unwrap_or_default();
    // The library takes an empty name for one.
    let name = name.or_else(|| of_environment.is_empty().then_some(DEFAULT));
    let name = name.map(|name| name.to_owned().into());
    let profiles = aws_config::profile::load(fs, env, &EnvConfigFiles::default(), name).await;
    profiles.map_err(|_| wrong("the profiles' files cannot be read"))
}

/// Follows a profile to its first credentials. Keys in the file go first where
/// another profile refers to them.
fn follow(profiles: &ProfileSet) -> Result<Path, FetchError> {
    let mut roles = Vec::new();
    let mut visited = vec![profiles.selected_profile()];
    let mut profile = profiles.get_profile(visited[0]).ok_or_else(|| missing(visited[0]))?;
    let base = loop {
        if let (2.., Some(Ok(keys))) = (visited.len(), keys(profile)) {
            break Base::Keys(keys);
        }
        let Some(role) = role(profile) else { break base(profile, profiles, visited.len() == 1)? };
        if profile.get("mfa_serial").is_some() {
            return Err(wrong("mfa_serial is not supported: nobody is there to type a code"));
        }
        roles.push(role);
        let source = match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(source), None) if source != profile.name() => source,
            (Some(_), None) | (None, Some(_)) => break base(profile, profiles, false)?,
            _ => return Err(wrong("a role needs either a source_profile or a credential_source")),
        };
        if visited.contains(&source) {
            return Err(wrong("its source_profile refers back to it"));
        }
        visited.push(source);
        profile = profiles.get_profile(source).ok_or_else(|| wrong("its source_profile does not exist"))?;
    };
    roles.reverse();
    Ok(Path { base, roles })
}

/// There need not be a profile `default`, which nobody has asked for; any other one was named.
fn missing(name: &str) -> FetchError {
    let reason = if name == DEFAULT { Reason::NotConfigured } else { Reason::Misconfigured };
    FetchError::with(reason, "no such profile")
}

/// The role that a profile assumes with the credentials of another one or of a source.
fn role(profile: &Profile) -> Option<RoleToAssume> {
    match profile.get("web_identity_token_file") {
        Some(_) => None,
        None => step(profile),
    }
}

fn step(profile: &Profile) -> Option<RoleToAssume> {
    Some(RoleToAssume {
        arn: profile.get("role_arn")?.to_owned(),
        external_id: profile.get("external_id").map(ToOwned::to_owned),
        session_name: profile.get("role_session_name").map(ToOwned::to_owned),
    })
}

/// Where the credentials of a profile come from that needs no other one. `may_be_empty`: the one that was
/// asked for; if it says nothing of credentials they are looked for elsewhere, while one that another
/// refers to must have some.
fn base(profile: &Profile, profiles: &ProfileSet, may_be_empty: bool) -> Result<Base, FetchError> {
    if let Some(source) = profile.get("credential_source") {
        let named = |kind: &&(&str, SourceKind)| source.eq_ignore_ascii_case(kind.0);
        let found = [
            ("Environment", SourceKind::Env),
            ("Ec2InstanceMetadata", SourceKind::Imds),
            ("EcsContainer", SourceKind::Container),
        ];
        let found = found.iter().find(named).map(|(_, kind)| Base::Other(*kind));
        return found.ok_or_else(|| wrong("no such credential_source"));
    }
    if let Some(token_file) = profile.get("web_identity_token_file") {
        let role = step(profile).ok_or_else(|| wrong("web_identity_token_file is given without role_arn"))?;
        return Ok(Base::WebIdentity { token_file: token_file.to_owned(), role });
    }
    if let Some(role) = SsoRole::of(profile, profiles) {
        return role.map(Base::Sso);
    }
    if profile.get("login_session").is_some() {
        return Err(wrong("interactive login (login_session) is not supported"));
    }
    if let Some(command) = profile.get("credential_process") {
        return Ok(Base::Process(command.to_owned()));
    }
    let reason = if may_be_empty { Reason::NotConfigured } else { Reason::Misconfigured };
    let none = || FetchError::with(reason, "the profile has no credentials");
    keys(profile).ok_or_else(none)?.map(Base::Keys)
}

/// The keys that stand in a profile; `None` if nothing of them does.
fn keys(profile: &Profile) -> Option<Result<AwsCredentials, FetchError>> {
    let session = profile.get("aws_session_token").map(ToOwned::to_owned);
    match (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")) {
        (None, None) if session.is_none() => None,
        (Some(id), Some(secret)) => Some(Ok(AwsCredentials::new(id, secret, session, None, "profile"))),
        _ => Some(Err(wrong("aws_access_key_id and aws_secret_access_key go together"))),
    }
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way to profile `p` of `config`, in words.
    async fn way(config: &str) -> Result<String, Reason> {
        let (fs, env) = (Fs::from_slice(&[("/c", config)]), Env::from_slice(&[("AWS_CONFIG_FILE", "/c")]));
        let path = read_from(&fs, &env, Some("p")).await.map_err(|error| error.reason)?;
        let mut words = match path.base {
            Base::Keys(keys) => format!("keys {}", keys.access_key_id()),
            Base::Process(command) => format!("process {command}"),
            Base::WebIdentity { token_file, role } => format!("token {token_file} for {}", role.arn),
            Base::Sso(SsoRole { cached_as, region, account, role }) => {
                format!("sso {cached_as} {region} {account} {role}")
            }
            Base::Other(kind) => kind.to_string(),
        };
        for role in path.roles {
            let parts = [Some(role.arn), role.external_id, role.session_name];
            words.push_str(&format!(", {}", parts.into_iter().flatten().collect::<Vec<_>>().join("/")));
        }
        Ok(words)
    }

    async fn assert_way(config: &str, expected: Result<&str, Reason>) {
        assert_eq!(way(config).await.as_deref(), expected.as_ref().copied(), "{config}");
    }

    #[tokio::test]
    async fn profiles_lead_to_their_first_credentials() {
        const BASE: &str = "[profile base]\naws_access_key_id=A\naws_secret_access_key=s\n";
        for (config, expected) in [
            ("aws_access_key_id=A\naws_secret_access_key=s", "keys A"),
            ("credential_process=/bin/x --y", "process /bin/x --y"),
            ("credential_process=/bin/x\naws_access_key_id=A\naws_secret_access_key=s", "process /bin/x"),
            ("role_arn=r\nweb_identity_token_file=/t\nsource_profile=base", "token /t for r"),
            ("role_arn=r\nsource_profile=base", "keys A, r"),
            ("role_arn=r\nsource_profile=base\nexternal_id=e\nrole_session_name=n", "keys A, r/e/n"),
            ("role_arn=r\ncredential_source=Environment", "env, r"),
            ("role_arn=r\ncredential_source=Ec2InstanceMetadata", "imds, r"),
            ("credential_source=ecscontainer", "container"),
            ("role_arn=r\nsource_profile=p\naws_access_key_id=B\naws_secret_access_key=s", "keys B, r"),
            ("aws_access_key_id=B\naws_secret_access_key=s\nrole_arn=r\nsource_profile=base", "keys A, r"),
        ] {
            assert_way(&format!("[profile p]\n{config}\n{BASE}"), Ok(expected)).await;
        }
        let chain = format!(
            "[profile p]\nrole_arn=c\nsource_profile=q\n[profile q]\nrole_arn=b\nsource_profile=o\n\
             [profile o]\nrole_arn=a\nsource_profile=base\n{BASE}role_arn=never\nsource_profile=p\n"
        );
        assert_way(&chain, Ok("keys A, a, b, c")).await;
    }

    #[tokio::test]
    async fn a_profile_of_identity_center_has_a_session_or_an_address() {
        const ROLE: &str = "sso_account_id=123456789012\nsso_role_name=Ops\n";
        const PORTAL: &str = "sso_start_url=https://d-1.awsapps.com/start\nsso_region=eu-west-1\n";
        let session = format!("[sso-session dev]\n{PORTAL}");
        for (config, expected) in [
            (format!("sso_session=dev\n{ROLE}{session}"), "sso dev eu-west-1 123456789012 Ops"),
            (format!("sso_session=dev\n{PORTAL}{ROLE}{session}"), "sso dev eu-west-1 123456789012 Ops"),
            (format!("{PORTAL}{ROLE}"), "sso https://d-1.awsapps.com/start eu-west-1 123456789012 Ops"),
            (
                format!("role_arn=r\nsource_profile=q\n[profile q]\n{PORTAL}{ROLE}"),
                "sso https://d-1.awsapps.com/start eu-west-1 123456789012 Ops, r",
            ),
        ] {
            assert_way(&format!("[profile p]\n{config}"), Ok(expected)).await;
        }
        for config in [
            format!("sso_session=gone\n{ROLE}{session}"),
            format!("sso_session=dev\nsso_region=us-east-1\n{ROLE}{session}"),
            format!("sso_session=dev\nsso_account_id=123456789012\n{session}"),
            format!("sso_session=dev\nsso_role_name=Ops\n{session}"),
            format!("{PORTAL}{}", ROLE.replace("123456789012", "12")),
            format!("{PORTAL}{}", ROLE.replace("Ops", "a/b?c")),
            format!("{}{ROLE}", PORTAL.replace("eu-west-1", "EU WEST")),
            ROLE.to_owned(),
            "sso_region=eu-west-1".to_owned(),
        ] {
            assert_way(&format!("[profile p]\n{config}"), Err(Reason::Misconfigured)).await;
        }
    }

    #[tokio::test]
    async fn only_the_profile_that_nobody_named_may_be_missing() {
        for (name, reason) in [
            (None, Reason::NotConfigured),
            (Some("default"), Reason::NotConfigured),
            (Some("prod"), Reason::Misconfigured),
        ] {
            let of_environment: Vec<_> = name.map(|name| ("AWS_PROFILE", name)).into_iter().collect();
            for (environment, given) in [(&of_environment[..], None), (&[], name)] {
                let (fs, env) = (Fs::from_slice(&[]), Env::from_slice(environment));
                let error = read_from(&fs, &env, given).await.err().map(|error| error.reason);
                assert_eq!(error, Some(reason), "{name:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        use Reason::{Misconfigured, NotConfigured};
        for (config, reason) in [
            ("", Misconfigured),
            ("[profile q]\n", Misconfigured),
            ("[profile p]\nregion=eu-west-1\n", NotConfigured),
            ("[profile p]\nrole_arn=r\nsource_profile=gone\n", Misconfigured),
            ("[profile p]\nrole_arn=r\n", Misconfigured),
            ("[profile p]\nrole_arn=r\nsource_profile=q\ncredential_source=Environment\n", Misconfigured),
            ("[profile p]\nrole_arn=r\ncredential_source=Elsewhere\n", Misconfigured),
            ("[profile p]\nrole_arn=r\nsource_profile=p\n", Misconfigured),
            ("[profile p]\nrole_arn=r\nsource_profile=q\n[profile q]\nregion=x\n", Misconfigured),
            (
                "[profile p]\nrole_arn=r\nsource_profile=q\n[profile q]\nrole_arn=r\nsource_profile=p\n",
                Misconfigured,
            ),
            ("[profile p]\naws_access_key_id=A\n", Misconfigured),
            ("[profile p]\nrole_arn=r\ncredential_source=Environment\nmfa_serial=m\n", Misconfigured),
            ("[profile p]\nweb_identity_token_file=/t\n", Misconfigured),
            ("[profile p]\nsso_session=x\n", Misconfigured),
            ("[profile p]\nlogin_session=x\n", Misconfigured),
            ("no file of profiles\n", Misconfigured),
        ] {
            assert_way(config, Err(reason)).await;
        }
    }
}
