//! Why logins by IAM fail: a row for each [`Kind`] and class, in the words that [`Explanation`] finds.

use super::Row;
use crate::iam::denial::{Asked, Class, Judgement, Kind, Step};
use crate::iam::{Endpoint, Explanation, Service};

/// The words for an endpoint of one service, in two: what, and what to do.
fn words(service: Service, kind: Kind, class: Class) -> (String, String) {
    let (host, region) = match service {
        Service::Rds => ("name.abc.eu-west-1.rds.amazonaws.com", "eu-west-1"),
        Service::Dsql => ("name.dsql.eu-west-1.on.aws", "eu-west-1"),
    };
    let endpoint = Endpoint::of(service, host, 5432, None).expect("an endpoint");
    let judgement = Judgement { kind, class, step: Step::Again };
    let told = Explanation { judgement, endpoint: &endpoint, user: "{role}", source: &"x", detail: None };
    let told = told.to_string();
    let place = format!(" (endpoint {endpoint}, region {region}, source x); ");
    let (what, next) = told.split_once(&place).expect("it names the place");
    let next = next.replace(host, "{host}");
    (what.to_owned(), next[..1].to_uppercase() + &next[1..] + ".")
}

fn row_of(kind: Kind, class: Class, meaning: &str) -> Row {
    let ((what, next), (_, of_dsql)) = (words(Service::Rds, kind, class), words(Service::Dsql, kind, class));
    let action = if of_dsql == next { next } else { format!("{next} Aurora DSQL: {of_dsql}") };
    Row::new(class.name(), &what, meaning, &action)
}

fn row(kind: &Kind, meaning: &str, class: Class) -> Row {
    row_of(*kind, class, meaning)
}

each_variant! { Kind, row;
    TokenRefused:
        "RDS refuses the token, and nothing is known that would explain it: this role and principal may \
         not.",
        Class::Denied;
    TooMany: "An RDS Proxy says that too many log in at a time.", Class::Throttled;
    NotMember(Asked::Scram):
        "The server asks for a password's proof: the role does not log in by IAM there.",
        Class::Denied;
    NoProofAsked:
        "The server has let the role in without asking for anything: it is not the server that the token \
         is for, or it trusts whoever comes.",
        Class::Denied;
    RoleForbidden: "PostgreSQL itself refuses the role after the token was accepted.", Class::Denied;
    NoRule: "PostgreSQL has no rule for this role from this address.", Class::Denied;
    Busy: "The server is starting, stopping or full.", Class::Unreachable;
    EndedInLogin: "RDS has closed the connection while it looked at the token.", Class::Unreachable;
    Unreachable: "No connection, or no answer.", Class::Unreachable;
    Untrusted: "The server's certificate does not prove that it is the one.", Class::Unreachable;
}

/// The same for tokens whose refusal something else explains.
pub(super) fn excused() -> Vec<Row> {
    let rows = [
        (
            Class::Throttled,
            "RDS refuses some and lets some in, or logins come as fast as the pace lets them.",
        ),
        (Class::Clock, "This machine's clock is minutes off."),
        (Class::Credentials, "The credentials could not be renewed and may be dead."),
        (
            Class::Service,
            "Others are refused there, too; or it is a moment's refusal of a role that was let in.",
        ),
    ];
    rows.map(|(class, meaning)| row_of(Kind::TokenRefused, class, meaning)).into()
}
