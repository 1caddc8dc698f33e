//! Where credentials come from, as the settings name it: the kind of source, a profile, a role on top.
//!
//! Two databases whose [`SourceKey`]s are equal share one source, its memory and its calls. Pure. Source: AWS
//! SDKs and Tools Reference Guide, "Standardized credential providers"; IAM and STS quotas on names.

use super::endpoint::Region;
use std::fmt;
use std::str::FromStr;

/// The session name that AWS's logs show where none is set.
pub(super) const SESSION_NAME: &str = "pgweir";

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// The first of `env`, `profile`, `web_identity`, `container`, `imds` that is there. One hands over to
    /// the next only if it is not there at all: half of one is an error.
    Default,
    /// `AWS_ACCESS_KEY_ID` and its kin.
    Env,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`.
    Profile,
    /// A token file that STS exchanges (EKS's roles for service accounts).
    WebIdentity,
    /// The endpoint of ECS, or of EKS Pod Identity.
    Container,
    /// The instance's metadata service, version 2.
    Imds,
    /// The `credential_process` of a profile.
    Process,
}

impl SourceKind {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::Env,
        Self::Profile,
        Self::WebIdentity,
        Self::Container,
        Self::Imds,
        Self::Process,
    ];

    /// What `default` tries, in this order.
    pub const CHAIN: [Self; 5] = [Self::Env, Self::Profile, Self::WebIdentity, Self::Container, Self::Imds];

    /// The value of `iam_credential_source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Env => "env",
            Self::Profile => "profile",
            Self::WebIdentity => "web_identity",
            Self::Container => "container",
            Self::Imds => "imds",
            Self::Process => "process",
        }
    }

    /// Whether `iam_profile` means anything to it.
    pub(super) fn reads_profiles(self) -> bool {
        matches!(self, Self::Default | Self::Profile | Self::Process)
    }

    /// Whether it may ask STS by itself.
    pub(super) fn may_call_sts(self) -> bool {
        matches!(self, Self::Default | Self::Profile | Self::WebIdentity)
    }

    /// Whether fetching may run a program, which does not end just because nobody waits for it any more.
    pub(super) fn may_run_programs(self) -> bool {
        self.reads_profiles()
    }

    /// Whether AWS itself takes expired credentials of this source while it cannot give newer ones.
    pub(super) fn is_of_the_platform(self) -> bool {
        matches!(self, Self::Imds | Self::Container)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of an `iam_*` setting that is refused; the text tells what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accepted: {0}")]
pub struct BadName(pub &'static str);

impl FromStr for SourceKind {
    type Err = BadName;

    /// Reads the value of `iam_credential_source`; hyphens do for underscores.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let text = text.replace('-', "_");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or(BadName("default, env, profile, web_identity, container, imds, process"))
    }
}

/// A role to assume with the source's credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Role {
    arn: Box<str>,
    external_id: Option<Box<str>>,
}

impl Role {
    /// The role named `arn`, with the external id that its trust policy may ask for.
    ///
    /// # Errors
    /// A text that is no ARN of a role; an external id that IAM would not take.
    pub fn new(arn: &str, external_id: Option<&str>) -> Result<Self, BadName> {
        const ARN: BadName = BadName("the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME");
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else { return Err(ARN) };
        let is_partition = partition == "aws" || partition.starts_with("aws-");
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let name = resource.strip_prefix("role/").unwrap_or_default();
        let is_name =
            (1..=600).contains(&name.len()) && name.bytes().all(|byte| is_of_names(byte) || byte == b'/');
        if !is_partition
            || partition.len() > 32
            || !partition.bytes().all(is_of_names)
            || !is_account
            || !is_name
        {
            return Err(ARN);
        }
        if let Some(id) = external_id {
            let allowed = |byte: u8| is_of_names(byte) || matches!(byte, b':' | b'/');
            if !(2..=1224).contains(&id.len()) || !id.bytes().all(allowed) {
                return Err(BadName("an external id: 2 to 1224 letters, digits or any of _+=,.@:/-"));
            }
        }
        Ok(Self { arn: arn.into(), external_id: external_id.map(Into::into) })
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The external id: not a secret to AWS, but whoever shares it may think so; it is not shown.
    pub(super) fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// The name of a session of a role, as AWS's logs show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(Box<str>);

impl FromStr for SessionName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let fits = (2..=64).contains(&text.len()) && text.bytes().all(is_of_names);
        fits.then(|| Self(text.into()))
            .ok_or(BadName("a session name: 2 to 64 letters, digits or any of _+=,.@-"))
    }
}

/// Letters, digits and what else IAM has in names.
fn is_of_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
}

/// What tells one source from another. Parts that make no difference to a kind of source are left out, so
/// that databases share it although they differ in them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    kind: SourceKind,
    profile: Option<Box<str>>,
    role: Option<Role>,
    session_name: Option<SessionName>,
    region: Option<Region>,
    sts_region: Option<Region>,
}

impl SourceKey {
    /// The source of that kind; `region` is the one of the databases, whose STS is called
    /// where STS is called at all.
    pub fn new(
        kind: SourceKind,
        profile: Option<&str>,
        role: Option<Role>,
        session_name: Option<SessionName>,
        region: &Region,
    ) -> Self {
        let names_session = role.is_some() || kind.may_call_sts();
        let calls_sts = role.is_some() || kind.may_call_sts();
        Self {
            kind,
            profile: profile.filter(|_| kind.reads_profiles()).map(Into::into),
            role,
            session_name: session_name.filter(|_| names_session),
            region: calls_sts.then(|| region.clone()),
            sts_region: None,
        }
    }

    /// The same, calling the STS of `region`, whatever else names one; `None` leaves it to that.
    #[must_use]
    pub fn at_sts_of(self, region: Option<Region>) -> Self {
        let of_databases = if region.is_some() { None } else { self.region };
        Self { region: of_databases, sts_region: region, ..self }
    }

    /// The source whose credentials assume this one's role; `None` where there is no role.
    pub(super) fn base(&self) -> Option<Self> {
        self.role.as_ref()?;
        let calls_sts = self.kind.may_call_sts();
        Some(Self {
            role: None,
            session_name: self.session_name.clone().filter(|_| calls_sts),
            region: self.region.clone().filter(|_| calls_sts),
            ..self.clone()
        })
    }

    /// The kind of source.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The profile to read; `None` is the one that the environment names.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The role assumed on top, if one is.
    pub fn role(&self) -> Option<&Role> {
        self.role.as_ref()
    }

    /// The name that sessions of a role get.
    pub fn session_name(&self) -> &str {
        self.session_name.as_ref().map_or(SESSION_NAME, |name| &name.0)
    }

    /// Whether that name was set, and not left to the environment or the default, for a
    /// session that this source opens.
    pub fn names_its_session(&self) -> bool {
        self.session_name.is_some()
    }

    /// The region whose STS is called in any case, where one is set.
    pub fn sts_region(&self) -> Option<&Region> {
        self.sts_region.as_ref()
    }

    /// The region whose STS is called where nothing else names one, if this source calls it.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }
}

impl fmt::Display for SourceKey {
    /// As SHOW IAM and logs name it: `imds`, `profile(prod) as arn:aws:iam::123456789012:role/db`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(profile) = &self.profile {
            write!(f, "({profile})")?;
        }
        self.role.as_ref().map_or(Ok(()), |role| write!(f, " as {}", role.arn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/db-ro";

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        for kind in SourceKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("web-identity".parse(), Ok(SourceKind::WebIdentity));
        for text in ["", "IMDS", "ec2", "default,imds", "env "] {
            assert!(text.parse::<SourceKind>().is_err(), "{text}");
        }
    }

    #[test]
    fn roles_are_arns_of_roles() {
        for arn in [
            ROLE,
            "arn:aws-cn:iam::123456789012:role/a",
            "arn:aws-us-gov:iam::123456789012:role/path/to/a+b=c,d.e@f-g_h",
        ] {
            assert_eq!(Role::new(arn, None).unwrap().arn(), arn);
        }
        for arn in [
            "",
            "db-ro",
            "arn:aws:iam::123456789012:user/me",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::12345678901:role/a",
            "arn:aws:iam:us-east-1:123456789012:role/a",
            "arn:azure:iam::123456789012:role/a",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam::123456789012:role/a:b",
            "arn:aws:sts::123456789012:assumed-role/a/b",
        ] {
            assert!(Role::new(arn, None).is_err(), "{arn}");
        }
        assert!(Role::new(ROLE, Some("tenant:7/a")).is_ok());
        for id in ["", "a", "a b", "ä7", &"x".repeat(1225)] {
            assert!(Role::new(ROLE, Some(id)).is_err(), "{id}");
        }
        for name in ["", "a", "a b", "a/b", &"x".repeat(65)] {
            assert!(name.parse::<SessionName>().is_err(), "{name}");
        }
    }

    #[test]
    fn what_makes_no_difference_makes_no_second_source() {
        let key = |kind, profile, role: Option<Role>, at: &str| {
            SourceKey::new(kind, profile, role, "me".repeat(4).parse().ok(), &region(at))
        };
        use SourceKind::{Container, Imds, Profile, WebIdentity};
        assert_eq!(key(Imds, Some("x"), None, "eu-west-1"), key(Imds, None, None, "us-east-1"));
        assert_eq!(key(Container, None, None, "eu-west-1"), key(Container, Some("y"), None, "us-east-1"));
        assert_ne!(key(WebIdentity, None, None, "eu-west-1"), key(WebIdentity, None, None, "us-east-1"));
        assert_ne!(key(Profile, Some("x"), None, "eu-west-1"), key(Profile, Some("y"), None, "eu-west-1"));
        let role = |id| Some(Role::new(ROLE, id).unwrap());
        assert_ne!(key(Imds, None, role(None), "eu-west-1"), key(Imds, None, None, "eu-west-1"));
        assert_ne!(
            key(Imds, None, role(Some("t1")), "eu-west-1"),
            key(Imds, None, role(Some("t2")), "eu-west-1")
        );
        assert_ne!(key(Imds, None, role(None), "eu-west-1"), key(Imds, None, role(None), "us-east-1"));
        let base_of = |kind| key(kind, None, role(None), "eu-west-1").base();
        assert_eq!(base_of(Imds), Some(key(Imds, None, None, "us-east-1")));
        assert_eq!(base_of(WebIdentity), Some(key(WebIdentity, None, None, "eu-west-1")));
        assert_eq!(key(Imds, None, None, "eu-west-1").base(), None);
        let at = |of: &str, sts: &str| key(WebIdentity, None, None, of).at_sts_of(sts.parse().ok());
        assert_eq!(at("eu-west-1", "eu-west-3"), at("us-east-1", "eu-west-3"));
        assert_ne!(at("eu-west-1", "eu-west-3"), at("eu-west-1", ""));
        let named = |kind| key(kind, None, None, "eu-west-1").session_name().to_owned();
        assert_eq!((named(Profile), named(WebIdentity)), ("memememe".into(), "memememe".into()));
        assert_eq!((named(Imds), named(Container)), (SESSION_NAME.into(), SESSION_NAME.into()));
    }

    #[test]
    fn its_name_shows_no_external_id() {
        let role = Role::new(ROLE, Some("hush-hush")).unwrap();
        let key = SourceKey::new(SourceKind::Profile, Some("prod"), Some(role), None, &region("eu-west-1"));
        assert_eq!(key.to_string(), "profile(prod) as arn:aws:iam::123456789012:role/db-ro");
        assert_eq!(key.session_name(), "pgweir");
        assert!(!format!("{key:?}").contains("hush"), "{key:?}");
    }
}
