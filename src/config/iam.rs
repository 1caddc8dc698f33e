//! How servers of an entry are logged in to, as the files have it: `server_auth` and the `iam_*` keys.
//!
//! The texts are kept as they are written: what they mean is known to the room `iam`, above this one, which
//! reads those of a pool as a whole when a configuration is loaded. Pure. Source: Amazon RDS User Guide, "IAM
//! database authentication".

use super::choices::Choice;
use super::value::{BadValue, Value, not_accepted};
use crate::base::{Micros, Password};
use std::sync::Arc;

/// What proves the pooler to servers (`server_auth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServerAuth {
    /// What is stored of a password.
    #[default]
    Password,
    /// A token of AWS IAM, made for each login.
    RdsIam,
    /// The same, as Aurora DSQL takes it.
    DsqlIam,
    /// What a file says that others change.
    SecretFile,
    /// What a secret of AWS Secrets Manager says.
    SecretsManager,
}

impl ServerAuth {
    /// Whether it is a token of AWS IAM.
    pub fn is_by_iam(self) -> bool {
        matches!(self, Self::RdsIam | Self::DsqlIam)
    }

    /// Whether it is a secret that others keep and change.
    pub fn is_by_secret(self) -> bool {
        matches!(self, Self::SecretFile | Self::SecretsManager)
    }

    /// Whether AWS is called for it, or a token is signed: by the credentials that `iam_*` keys name.
    pub fn takes_credentials(self) -> bool {
        self.is_by_iam() || self == Self::SecretsManager
    }
}

impl Choice for ServerAuth {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("password", Self::Password),
        ("rds_iam", Self::RdsIam),
        ("dsql_iam", Self::DsqlIam),
        ("secret_file", Self::SecretFile),
        ("secretsmanager", Self::SecretsManager),
    ];
}

/// What it means where every role of an endpoint is refused at once (`iam_all_denied`): a permission that was
/// taken away from all of them, or a fault of RDS's own. From here both look the same, so it is the
/// operator's choice which of the two mistakes is the lesser one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllDenied {
    /// A fault, but none for whose sake a server serves beyond its age.
    #[default]
    MaxAge,
    /// A fault for so long, then a denial.
    DenyAfter(Micros),
    /// A fault, however long it lasts.
    Service,
}

impl AllDenied {
    const MAX_AGE: &str = "iam_max_age";
    const DENY_AFTER: &str = "deny_after";
    const SERVICE: &str = "service";
    /// The longest time of `deny_after`, in seconds.
    const SPAN_S_MOST: u64 = 86_400;
}

impl Value for AllDenied {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        match words[..] {
            [word] if is(word, Self::MAX_AGE) => Ok(Self::MaxAge),
            [word] if is(word, Self::SERVICE) => Ok(Self::Service),
            [word, span] if is(word, Self::DENY_AFTER) && span.bytes().all(|byte| byte.is_ascii_digit()) => {
                let span = span.parse().ok().filter(|span_s| *span_s <= Self::SPAN_S_MOST);
                span.map(|span_s| Self::DenyAfter(Micros::from_secs(span_s))).ok_or_else(not_accepted::<Self>)
            }
            _ => Err(not_accepted::<Self>()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::MaxAge => Self::MAX_AGE.to_owned(),
            Self::DenyAfter(span) => format!("{} {}", Self::DENY_AFTER, span.as_secs()),
            Self::Service => Self::SERVICE.to_owned(),
        })
    }

    fn accepted() -> String {
        format!(
            "{}, {} SECONDS (0 to {}), {}",
            Self::MAX_AGE,
            Self::DENY_AFTER,
            Self::SPAN_S_MOST,
            Self::SERVICE
        )
    }
}

/// A text that need not be there.
type Text = Option<Arc<str>>;

/// Where the secret is kept that servers are logged in to with. A user may say so, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPlace {
    /// `secret_file`.
    pub file: Text,
    /// `secret_arn`.
    pub arn: Text,
}

impl SecretPlace {
    /// What holds where `self` goes before `base`.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let either = |own: &Text, base: &Text| own.clone().or_else(|| base.clone());
        Self { file: either(&self.file, &base.file), arn: either(&self.arn, &base.arn) }
    }
}

/// Where the secret is kept that clients are proven by. Whoever says so says all of it: nothing is taken over
/// from what goes behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSecretPlace {
    /// `auth_secret_file`; empty as if it were not there.
    pub file: Text,
    /// `auth_secret_arn`; empty as if it were not there.
    pub arn: Text,
}

impl AuthSecretPlace {
    /// The parts that say something: file, ARN.
    pub fn parts(&self) -> [Option<&Arc<str>>; 2] {
        [&self.file, &self.arn].map(|part| part.as_ref().filter(|text| !text.is_empty()))
    }
}

/// What tokens of one database are made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IamEndpoint {
    /// `iam_host`.
    pub host: Text,
    /// `iam_port`.
    pub port: Text,
    /// `iam_region`.
    pub region: Text,
    /// `iam_login_rate`.
    pub login_rate: Text,
}

/// Who signs tokens, and for how long a login counts. A user may say so, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IamIdentity {
    /// `iam_credential_source`.
    pub credential_source: Text,
    /// `iam_profile`.
    pub profile: Text,
    /// `iam_role_arn`.
    pub role_arn: Text,
    /// `iam_external_id`; not shown.
    pub external_id: Option<Password>,
    /// `iam_session_name`.
    pub session_name: Text,
    /// `iam_sts_region`.
    pub sts_region: Text,
    /// `iam_max_age`.
    pub max_age: Text,
    /// `iam_on_denied`.
    pub on_denied: Text,
    /// `iam_strict_lifetime`.
    pub strict_lifetime: Option<bool>,
}

impl IamIdentity {
    /// What holds where `self` goes before `base`. A profile belongs to its source and an external id to its
    /// role: where `self` names those, the ones of `base` do not come with it.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let source = self.credential_source.as_ref();
        let of_base = |names: bool| if names { Self::default() } else { base.clone() };
        let (under_source, under_role) = (of_base(source.is_some()), of_base(self.role_arn.is_some()));
        Self {
            credential_source: source.or(base.credential_source.as_ref()).cloned(),
            profile: self.profile.clone().or(under_source.profile),
            role_arn: self.role_arn.clone().or_else(|| base.role_arn.clone()),
            external_id: self.external_id.clone().or(under_role.external_id),
            session_name: self.session_name.clone().or_else(|| base.session_name.clone()),
            sts_region: self.sts_region.clone().or_else(|| base.sts_region.clone()),
            max_age: self.max_age.clone().or_else(|| base.max_age.clone()),
            on_denied: self.on_denied.clone().or_else(|| base.on_denied.clone()),
            strict_lifetime: self.strict_lifetime.or(base.strict_lifetime),
        }
    }

    /// Its part that decides who it is to AWS.
    pub(super) fn principal(&self) -> Self {
        Self {
            credential_source: self.credential_source.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Snapshot;

    #[test]
    fn the_user_goes_before_the_database_before_the_settings() {
        let text = "[pgbouncer]\niam_credential_source = imds\niam_strict_lifetime = 1\n[databases]\n\
                    a = host=h server_auth=rds_iam iam_role_arn=A iam_external_id=x iam_max_age=30\n\
                    b = host=h iam_credential_source=profile iam_profile=p iam_strict_lifetime=0\n\
                    [users]\nu = iam_role_arn=U\nv = server_auth=rds_iam iam_credential_source=env\n\
                    w = server_auth=password\n";
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let [a, b] = ["a", "b"].map(|name| snapshot.database(name).unwrap());
        let auth = |database, user| snapshot.server_auth(database, user);
        use ServerAuth::{Password, RdsIam};
        assert_eq!(
            (auth(&a, "x"), auth(&a, "w"), auth(&b, "x"), auth(&b, "v")),
            (RdsIam, Password, Password, RdsIam)
        );
        let identity = snapshot.iam_identity(&a, "x");
        assert_eq!(identity.credential_source.as_deref(), Some("imds"));
        assert_eq!((identity.role_arn.as_deref(), identity.strict_lifetime), (Some("A"), Some(true)));
        assert_eq!(identity.external_id.map(|id| id.expose().to_owned()).as_deref(), Some("x"));
        let identity = snapshot.iam_identity(&a, "u");
        assert_eq!((identity.role_arn.as_deref(), identity.external_id), (Some("U"), None));
        assert_eq!(identity.max_age.as_deref(), Some("30"));
        let identity = snapshot.iam_identity(&b, "v");
        assert_eq!((identity.credential_source.as_deref(), identity.profile), (Some("env"), None));
        assert_eq!(snapshot.iam_identity(&b, "u").profile.as_deref(), Some("p"));
        assert_eq!(identity.strict_lifetime, Some(false));
        assert!(
            !format!("{:?}", snapshot.iam_identity(&a, "x")).contains("Some(\"x\")"),
            "not even an external id"
        );
    }

    #[test]
    fn what_all_refusals_mean_is_read_as_it_is_shown() {
        let span = |span_s| AllDenied::DenyAfter(Micros::from_secs(span_s));
        for (text, value) in [
            ("iam_max_age", AllDenied::MaxAge),
            ("service", AllDenied::Service),
            ("deny_after 0", span(0)),
            ("deny_after 86400", span(86_400)),
        ] {
            assert_eq!(AllDenied::parse(text), Ok(value));
            assert_eq!(value.show().as_deref(), Some(text));
        }
        assert_eq!(AllDenied::parse("Deny_After   30"), Ok(span(30)));
        for text in
            ["", "deny_after", "deny_after -1", "deny_after 86401", "deny_after 1 s", "600", "service 1"]
        {
            assert_eq!(AllDenied::parse(text), Err(not_accepted::<AllDenied>()), "{text}");
        }
    }

    #[test]
    fn only_another_principal_is_another_proof() {
        let load = |settings: &str, keys: &str, user: &str| {
            let text =
                format!("[pgbouncer]\n{settings}\n[databases]\na = host=h {keys}\n[users]\nu = {user}\n");
            Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap()
        };
        let keys = "server_auth=rds_iam iam_profile=p iam_max_age=60";
        let before = load("", keys, "");
        let same = |settings: &str, keys: &str, user: &str| {
            load(settings, keys, user).proves_as_before(&before, "a", "u")
        };
        assert!(same("iam_strict_lifetime = 1", "server_auth=rds_iam iam_profile=p iam_login_rate=1", ""));
        assert!(same("", &keys.replace("60", "30"), "iam_on_denied=keep iam_session_name=s"));
        assert!(same("iam_credential_source = env", keys, "iam_credential_source=default iam_profile=p"));
        assert!(!same("iam_credential_source = profile", keys, ""), "by the setting");
        assert!(!same("", &keys.replace("=p", "=q"), ""), "by the database");
        assert!(!same("", keys, "iam_role_arn=R"), "by the user");
        assert!(!same("", keys, "server_auth=password"));
        assert!(!same("", keys, "server_auth=dsql_iam"));
        let password = load("", "password=p", "");
        assert!(load("iam_credential_source = env", "password=q", "").proves_as_before(&password, "a", "u"));
    }
}
