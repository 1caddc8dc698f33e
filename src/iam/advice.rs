//! What to do when a source gives no credentials, by what the source is and by why it failed.
//!
//! Of a role it is about the role: the source below it tells of itself. What passes by itself says so, with
//! what to look at if it does not; only what is not there, or not set up, sends to where it is set up. Pure.
//! Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; Amazon EC2 User Guide,
//! "Configure the Instance Metadata Service options".
use super::failure::Reason;
use super::source::SourceKind;

impl Reason {
    /// What to do where a source of that kind has failed for this reason; `has_role`: its credentials were to
    /// assume a role.
    pub(super) fn advice(self, kind: SourceKind, has_role: bool) -> &'static str {
        match self {
            Self::NotConfigured => absent(kind),
            Self::Misconfigured if has_role => "check iam_role_arn, iam_external_id and iam_session_name",
            Self::Misconfigured => wrong(kind),
            Self::Denied if has_role => {
                "see that the source's principal may sts:AssumeRole the role of iam_role_arn, and that this \
                 one's trust policy names it (and iam_external_id, where it asks for one)"
            }
            Self::Denied => denied(kind),
            Self::Identity => unknown(kind),
            Self::ExpiredFromSource if has_role => "it is asked again by itself; check this machine's clock",
            Self::ExpiredFromSource => expired(kind),
            Self::Throttled if has_role || kind.may_call_sts() => {
                "STS is asked less often by itself; if it stays so, see who else of the account asks it, or \
                 let fewer entries have roles of their own"
            }
            Self::Throttled => "it is asked less often by itself; if it stays so, see who else asks there",
            Self::Clock => "synchronise this machine's clock",
            Self::Garbage => answered_by_another(kind, has_role),
            Self::Service => "it is asked again by itself; if it stays so, look at the AWS Health Dashboard",
            Self::Unreachable | Self::Timeout => no_answer(kind, has_role),
        }
    }
}

/// Where a source is set up.
fn absent(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Default => {
            "none of env, profile, web_identity, container, imds gave any; pin one with iam_credential_source"
        }
        SourceKind::Env => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, both, for this process",
        SourceKind::Profile => {
            "check the profile (iam_profile) in the files AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"
        }
        SourceKind::WebIdentity => "set AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, both, for this process",
        SourceKind::Container => {
            "check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI and the task's role or Pod Identity"
        }
        SourceKind::Imds => "give the instance a role (an instance profile)",
        SourceKind::Process => "check that the profile (iam_profile) has a credential_process",
    }
}

fn wrong(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Default => "pin the source that it should be with iam_credential_source, and set that up",
        SourceKind::WebIdentity => "check that AWS_WEB_IDENTITY_TOKEN_FILE can be read, and AWS_ROLE_ARN",
        SourceKind::Imds => "check the instance's role and its trust policy for ec2.amazonaws.com",
        SourceKind::Process => {
            "run the credential_process of the profile (iam_profile) by hand, as the user of this process"
        }
        SourceKind::Env | SourceKind::Profile | SourceKind::Container => absent(kind),
    }
}

/// AWS knows who asks, and that one may not.
fn denied(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Default => {
            "pin the source that it should be with iam_credential_source: another may answer"
        }
        SourceKind::Env => "see in IAM that the key of AWS_ACCESS_KEY_ID is active",
        SourceKind::Profile => {
            "see in IAM that the profile's key is active, and that the trust policy of its role names it"
        }
        SourceKind::WebIdentity => {
            "check that the trust policy of AWS_ROLE_ARN names this provider, audience and service account"
        }
        SourceKind::Container => {
            "check the task's role or the Pod Identity association, and the token file of the container"
        }
        SourceKind::Imds => "check that the instance's metadata service is enabled, and the instance's role",
        SourceKind::Process => "run the credential_process by hand, as the user of this process",
    }
}

/// AWS does not know who asks, or not any more.
fn unknown(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Default => {
            "pin the source that it should be with iam_credential_source: another may answer"
        }
        SourceKind::Env => "give this process other keys: those of its environment are wrong or have expired",
        SourceKind::Profile => "renew the profile's keys or token (of IAM Identity Center: aws sso login)",
        SourceKind::WebIdentity => "see that the file of AWS_WEB_IDENTITY_TOKEN_FILE is renewed in time",
        SourceKind::Container => "see that the token file of the container is renewed in time",
        SourceKind::Imds => "check the instance's role",
        SourceKind::Process => "run the credential_process by hand: what it gives is wrong or has expired",
    }
}

fn expired(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Env | SourceKind::Profile => unknown(kind),
        SourceKind::Process => "run the credential_process by hand: what it gives has expired",
        SourceKind::Imds | SourceKind::Container => {
            "it is asked again by itself; check this machine's clock, and what gives the credentials out here"
        }
        SourceKind::Default | SourceKind::WebIdentity => {
            "it is asked again by itself; check this machine's clock"
        }
    }
}

/// Something else has answered than was asked.
fn answered_by_another(kind: SourceKind, has_role: bool) -> &'static str {
    match kind {
        SourceKind::Process => "run the credential_process by hand: it must print one JSON object",
        SourceKind::Env if !has_role => {
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew: one of them holds what \
             none has, such as a space or the end of a line"
        }
        SourceKind::Imds | SourceKind::Container if !has_role => {
            "see what answers at the address of the source: it is not what AWS runs there"
        }
        _ => "see what answers in AWS's place: a proxy (HTTPS_PROXY), or the endpoint of AWS_ENDPOINT_URL",
    }
}

fn no_answer(kind: SourceKind, has_role: bool) -> &'static str {
    match kind {
        _ if has_role => to_sts(),
        SourceKind::Imds => {
            "check that the instance's metadata service is enabled; inside a container its hop limit must be \
             at least 2"
        }
        SourceKind::Container => "check that the agent that gives credentials out on this host runs",
        SourceKind::Process => "run the credential_process by hand, and see that it ends by itself",
        SourceKind::Default | SourceKind::Env | SourceKind::Profile | SourceKind::WebIdentity => to_sts(),
    }
}

fn to_sts() -> &'static str {
    "check the way to AWS: iam_sts_region, the VPC and its endpoints, HTTPS_PROXY, AWS_CA_BUNDLE"
}

#[cfg(test)]
mod tests {
    use super::super::failure::FetchError;
    use super::*;

    /// What advice that names it is about, and of which source that is true.
    const NAMES: [(&str, &[SourceKind]); 12] = [
        ("AWS_ACCESS_KEY_ID", &[SourceKind::Env]),
        ("environment", &[SourceKind::Env]),
        ("the profile", &[SourceKind::Profile, SourceKind::Process]),
        ("AWS_CONFIG_FILE", &[SourceKind::Profile]),
        ("AWS_WEB_IDENTITY", &[SourceKind::WebIdentity]),
        ("AWS_ROLE_ARN", &[SourceKind::WebIdentity]),
        ("AWS_CONTAINER", &[SourceKind::Container]),
        ("Pod Identity", &[SourceKind::Container]),
        ("metadata", &[SourceKind::Imds]),
        ("instance", &[SourceKind::Imds]),
        ("credential_process", &[SourceKind::Process]),
        ("pin", &[SourceKind::Default]),
    ];

    /// What has nothing to do with how the source is set up.
    const OUTSIDE: [Reason; 4] = [Reason::Throttled, Reason::Clock, Reason::Service, Reason::Garbage];

    fn pairs() -> impl Iterator<Item = (SourceKind, Reason, bool)> {
        let of_kind = |kind| Reason::ALL.into_iter().map(move |reason| (kind, reason));
        SourceKind::ALL
            .into_iter()
            .flat_map(of_kind)
            .flat_map(|(kind, reason)| [false, true].map(|has_role| (kind, reason, has_role)))
    }

    #[test]
    fn advice_is_about_the_source_that_failed() {
        for (kind, reason, has_role) in pairs() {
            let advice = reason.advice(kind, has_role);
            let at = format!("{kind}, {reason:?}, role {has_role}: {advice}");
            assert!(!advice.is_empty() && !advice.ends_with('.') && !advice.contains("  "), "{at}");
            for (name, kinds) in NAMES {
                assert!(!advice.contains(name) || kinds.contains(&kind), "{name}: {at}");
            }
        }
    }

    #[test]
    fn advice_is_about_the_reason() {
        for (kind, reason, has_role) in pairs() {
            let advice = reason.advice(kind, has_role);
            let at = format!("{kind}, {reason:?}, role {has_role}: {advice}");
            let is_of_source = NAMES.iter().any(|(name, _)| advice.contains(name));
            // These two hold what was read, or print it; nobody else answers for them.
            let are_read = kind == SourceKind::Process
                || (kind == SourceKind::Env && reason == Reason::Garbage && !has_role);
            assert!(!(is_of_source && OUTSIDE.contains(&reason)) || are_read, "{at}");
            assert!(is_of_source || !are_read || reason != Reason::Garbage, "{at}");
            assert!(is_of_source || reason != Reason::NotConfigured, "{at}");
            assert_eq!(advice.contains("by itself"), passes(kind, reason, has_role), "{at}");
            assert_eq!(advice.contains("AssumeRole"), has_role && reason == Reason::Denied, "{at}");
            let may_be_the_clock = [Reason::Clock, Reason::ExpiredFromSource].contains(&reason);
            assert!(!advice.contains("clock") || may_be_the_clock, "{at}");
        }
        let below = FetchError::new(Reason::Timeout).of_base().advice(SourceKind::Imds, true);
        assert_eq!(below, Reason::Timeout.advice(SourceKind::Imds, false), "STS was not asked");
        let advice = Reason::Throttled.advice(SourceKind::Env, true);
        assert!(advice.contains("STS"), "{advice}");
        assert_eq!(Reason::Clock.advice(SourceKind::Imds, false), "synchronise this machine's clock");
    }

    /// Whether nobody needs to do anything at first, or it is about a program that should end by itself.
    fn passes(kind: SourceKind, reason: Reason, has_role: bool) -> bool {
        match reason {
            Reason::Throttled | Reason::Service => true,
            Reason::ExpiredFromSource => {
                has_role || !matches!(kind, SourceKind::Env | SourceKind::Profile | SourceKind::Process)
            }
            Reason::Timeout | Reason::Unreachable => kind == SourceKind::Process && !has_role,
            _ => false,
        }
    }
}
