//! A failed login in words: what happened, where, and what to do next.
//!
//! The whole is for our log and console; clients are told what happened and where, and nothing of who signs.
//! Holds no secret; the server's own words are not repeated. Pure.

use super::denial::{Asked, Class, Judgement, Kind};
use super::endpoint::Endpoint;
use super::service::Service;
use std::fmt;

/// A judgement as an operator reads it.
#[derive(Clone, Copy)]
pub struct Explanation<'a> {
    /// The judgement.
    pub judgement: Judgement,
    /// Where the login was tried.
    pub endpoint: &'a Endpoint,
    /// As whom.
    pub user: &'a str,
    /// What signed the token, as [`super::SourceKey`] prints.
    pub source: &'a dyn fmt::Display,
    /// What the system says of it, where there is no connection.
    pub detail: Option<&'a str>,
}

impl Explanation<'_> {
    /// What clients may read of it.
    pub fn brief(&self) -> String {
        format!("{} (endpoint {})", fmt::from_fn(|f| self.what(f)), self.endpoint)
    }

    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { judgement: Judgement { kind, class, .. }, endpoint, user, .. } = self;
        match kind {
            Kind::TokenRefused => {
                write!(f, "the token for role {user} was refused, probably {}", probably(*class))?
            }
            Kind::TooMany => write!(f, "the proxy takes no more IAM logins at present")?,
            Kind::NotMember(asked) => {
                let why = match endpoint.service() {
                    Service::Rds => format!("role {user} is not a member of rds_iam"),
                    Service::Dsql => format!("no token was asked for from role {user}"),
                };
                write!(f, "{why}: the server asked for {}", asked_text(*asked))?;
            }
            Kind::NoProofAsked => write!(f, "the server let role {user} in without asking for a token")?,
            Kind::RoleForbidden => {
                write!(f, "the token was accepted, but role {user} may not log in or does not exist")?
            }
            Kind::NoRule => write!(f, "the server has no rule that lets role {user} in from this address")?,
            Kind::Busy => write!(f, "the server takes no connections at present")?,
            Kind::EndedInLogin => write!(
                f,
                "the server closed the connection while it checked the token of role {user}: IAM was slow"
            )?,
            Kind::Unreachable => write!(f, "no connection to the server")?,
            Kind::Untrusted => write!(f, "no verified TLS with the server; no token was sent")?,
        }
        Ok(())
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { judgement: Judgement { kind, class, .. }, endpoint, user, source, detail } = self;
        self.what(f)?;
        detail.map_or(Ok(()), |detail| write!(f, ": {detail}"))?;
        write!(f, " (endpoint {endpoint}, region {}, source {source})", endpoint.region())?;
        write!(f, "; {}", next_step(*kind, *class, endpoint, user))
    }
}

fn asked_text(asked: Asked) -> &'static str {
    match asked {
        Asked::Scram => "SCRAM",
        Asked::Md5 => "md5",
        Asked::Nothing => "nothing",
        Asked::Other => "another proof",
    }
}

fn probably(class: Class) -> &'static str {
    match class {
        Class::Throttled => "because of too many logins at a time",
        Class::Clock => "because the clocks disagree",
        Class::Credentials => "because the credentials could not be renewed",
        Class::Service => "because IAM fails at present",
        Class::Denied | Class::Unreachable => "because the principal has no permission",
    }
}

/// What to do about it. What passes by itself says so, with what to look at if it does not.
fn next_step(kind: Kind, class: Class, endpoint: &Endpoint, user: &str) -> String {
    let quoted = user.replace('"', "\"\"");
    match kind {
        Kind::TokenRefused | Kind::TooMany => after_a_refused_token(class, endpoint, user),
        Kind::NotMember(_) if endpoint.service() == Service::Rds => {
            format!("run: GRANT rds_iam TO \"{quoted}\"")
        }
        Kind::NotMember(_) | Kind::NoProofAsked => {
            format!("check that this is the {} endpoint it should be", endpoint.service().name())
        }
        Kind::RoleForbidden => format!("create the role or run: ALTER ROLE \"{quoted}\" LOGIN"),
        Kind::NoRule if endpoint.service() == Service::Dsql => {
            "check the cluster's resource policy, and that it lets this network in".to_owned()
        }
        Kind::NoRule => "check that IAM database authentication is enabled there".to_owned(),
        Kind::Busy => {
            "it is tried again; if it stays so, raise max_connections there or lower pool_size".to_owned()
        }
        Kind::EndedInLogin => {
            "it is tried again; if it stays so, lower iam_login_rate and see that the server is not \
             overloaded"
                .to_owned()
        }
        Kind::Unreachable => {
            format!("check that it runs, its security group, port {} and iam_login_timeout", endpoint.port())
        }
        Kind::Untrusted => "check server_tls_ca_file and tls_server_name".to_owned(),
    }
}

fn after_a_refused_token(class: Class, endpoint: &Endpoint, user: &str) -> String {
    match class {
        Class::Throttled => {
            "the pace is lowered by itself; if it stays so, lower iam_login_rate or open fewer connections"
                .to_owned()
        }
        Class::Clock => "synchronise this machine's clock".to_owned(),
        Class::Credentials => "look at the source in SHOW IAM".to_owned(),
        Class::Service if endpoint.service() == Service::Dsql => {
            "it is tried again; look at the state of the cluster".to_owned()
        }
        Class::Service => {
            "it is tried again; the log iam-db-auth-error of the RDS instance has the reason".to_owned()
        }
        Class::Denied | Class::Unreachable if endpoint.service() == Service::Dsql => {
            after_a_denial_by_dsql(endpoint, user)
        }
        Class::Denied | Class::Unreachable => format!(
            "check rds-db:connect for dbuser {user} in the principal's policy, and that {} is RDS's own name \
             of it",
            endpoint.host()
        ),
    }
}

fn after_a_denial_by_dsql(endpoint: &Endpoint, user: &str) -> String {
    let (action, host) = (Service::dsql_action(user), endpoint.host());
    let of_role = match action {
        "DbConnect" => {
            let quoted = user.replace('"', "\"\"");
            format!(", that its role was granted this one (AWS IAM GRANT \"{quoted}\" TO 'ARN')")
        }
        _ => String::new(),
    };
    format!(
        "check dsql:{action} in the principal's policy{of_role}, and that {host} is the cluster's own name"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::denial::Step;

    #[test]
    fn explanations_name_what_and_where_and_what_to_do() {
        let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap();
        let explain = |kind, class, user: &str| {
            let judgement = Judgement { kind, class, step: Step::Again };
            Explanation { judgement, endpoint: &endpoint, user, source: &"imds", detail: None }.to_string()
        };
        assert_eq!(
            explain(Kind::NotMember(Asked::Scram), Class::Denied, "app"),
            "role app is not a member of rds_iam: the server asked for SCRAM \
             (endpoint db.abc.eu-west-1.rds.amazonaws.com:5432, region eu-west-1, source imds); \
             run: GRANT rds_iam TO \"app\""
        );
        let judgement = Judgement { kind: Kind::Untrusted, class: Class::Unreachable, step: Step::Again };
        let detail = Some("TLS handshake failed: certificate verify failed: UnknownIssuer");
        let untrusted = Explanation { judgement, endpoint: &endpoint, user: "app", source: &"imds", detail };
        let text = untrusted.to_string();
        assert!(text.contains("was sent: TLS handshake failed: certificate verify failed: Unk"), "{text}");
        let brief = untrusted.brief();
        assert!(brief.ends_with("was sent (endpoint db.abc.eu-west-1.rds.amazonaws.com:5432)"), "{brief}");
        let denied = explain(Kind::TokenRefused, Class::Denied, "app");
        assert!(denied.contains("rds-db:connect for dbuser app"), "{denied}");
        for class in [Class::Throttled, Class::Clock, Class::Credentials, Class::Service] {
            let text = explain(Kind::TokenRefused, class, "app");
            assert!(text.contains("probably because"), "{text}");
        }
        let service = explain(Kind::TokenRefused, Class::Service, "app");
        assert!(
            service.ends_with("the log iam-db-auth-error of the RDS instance has the reason"),
            "{service}"
        );
        let quoted = explain(Kind::NotMember(Asked::Md5), Class::Denied, "a\"b");
        assert!(quoted.ends_with("GRANT rds_iam TO \"a\"\"b\""), "{quoted}");
    }

    #[test]
    fn what_is_said_of_dsql_is_dsqls() {
        let endpoint = Endpoint::of(Service::Dsql, "foo.dsql.us-east-1.on.aws", 5432, None).unwrap();
        let next = |kind, class, user| next_at(&endpoint, kind, class, user);
        let denied = next(Kind::TokenRefused, Class::Denied, "a\"b");
        assert!(denied.contains("dsql:DbConnect in") && denied.contains("GRANT \"a\"\"b\" TO"), "{denied}");
        let denied = next(Kind::TokenRefused, Class::Denied, "admin");
        assert!(denied.contains("dsql:DbConnectAdmin in") && !denied.contains("GRANT"), "{denied}");
        for kind in KINDS {
            for class in Class::ALL {
                let next = next(kind, class, "app");
                assert!(
                    next.len() > 20 && !next.contains("rds") && !next.contains("RDS"),
                    "{kind:?}: {next}"
                );
            }
        }
    }

    const KINDS: [Kind; 10] = [
        Kind::TokenRefused,
        Kind::TooMany,
        Kind::NotMember(Asked::Scram),
        Kind::NoProofAsked,
        Kind::RoleForbidden,
        Kind::NoRule,
        Kind::Busy,
        Kind::EndedInLogin,
        Kind::Unreachable,
        Kind::Untrusted,
    ];

    fn next_at(endpoint: &Endpoint, kind: Kind, class: Class, user: &str) -> String {
        let judgement = Judgement { kind, class, step: Step::Again };
        let text = Explanation { judgement, endpoint, user, source: &"imds", detail: None }.to_string();
        text.split_once("source imds); ").map(|(_, next)| next.to_owned()).unwrap_or_default()
    }

    #[test]
    fn there_is_always_a_next_step() {
        let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 6432, None).unwrap();
        let next = |kind, class| next_at(&endpoint, kind, class, "app");
        for kind in KINDS {
            for class in Class::ALL {
                assert!(next(kind, class).len() > 20, "{kind:?} {class:?}");
            }
        }
        let unreachable = next(Kind::Unreachable, Class::Unreachable);
        for word in ["security group", "port 6432", "iam_login_timeout"] {
            assert!(unreachable.contains(word), "{unreachable}");
        }
        assert!(next(Kind::Busy, Class::Unreachable).contains("max_connections"));
        assert!(next(Kind::EndedInLogin, Class::Unreachable).starts_with("it is tried again"));
    }
}
