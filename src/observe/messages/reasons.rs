//! Why credentials cannot be fetched: a row for each [`Reason`].

use super::{NONE, Row};
use crate::iam::Reason;

fn row(reason: &Reason, meaning: &str, action: &str) -> Row {
    Row::new(reason.name(), reason.text(), meaning, action)
}

each_variant! { Reason, row;
    NotConfigured:
        "The source is not there: a variable is not set, the instance has no role, none of a chain has \
         anything.",
        "Check the source, as the hint in the line says; SHOW IAM names it.";
    Misconfigured:
        "The source is there and wrong: a broken profile, a file that cannot be read, a role that does not \
         exist.",
        "Correct what the detail in brackets names.";
    Denied:
        "AWS says no: no right to assume the role, an access key that is deleted or switched off, an \
         instance whose metadata are forbidden.",
        "Check the role's trust policy and the key; CloudTrail has the refusal.";
    Throttled:
        "STS or the metadata service takes fewer calls at present. It is called again later.",
        "None, unless it lasts: then see who else calls with these credentials.";
    Clock: "What was signed is too old or too new for AWS.", "Synchronise this machine's clock.";
    Identity:
        "The credentials or the token that the source itself uses are no good any more.",
        "Renew them: the web identity token, the keys of the profile, `aws sso login`.";
    ExpiredFromSource:
        "What came had expired: the instance's metadata service, or the program, gives old ones.",
        "None on an instance, where it passes; else look at the program or the file.";
    Garbage: "What came makes no sense.", "See what answers there: a proxy, a stub of the metadata service.";
    Service: "AWS has a fault.", NONE;
    Unreachable:
        "No connection to AWS or to the metadata service.",
        "Check routes, security groups, the VPC endpoint of STS, `HTTPS_PROXY`; in a container the \
         metadata hop limit must be 2 at least.";
    Timeout:
        "No answer in time.",
        "Check routes, security groups, the VPC endpoint of STS, `HTTPS_PROXY`; in a container the \
         metadata hop limit must be 2 at least.";
}
