//! What must hold for any bytes as a client's presigned request, as a token of RDS and as an answer of AWS
//! STS: no panic, no refusal that shows a part of the token, and what is accepted is spelt in the one way.
//! `tests/corpus.rs` replays the corpus through this.

use pgweir::identity::arn::CallerArn;
use pgweir::identity::presigned::{Caller, CallerRules, EKS_PREFIX, RdsRules, RdsToken};
use pgweir::identity::sts_answer::CallerIdentity;

/// 2024-08-26, 22:00:00 UTC.
const NOW: u64 = 1_724_709_600;

/// Runs all of them on `data`.
pub fn run(data: &[u8]) {
    if let Ok(identity) = CallerIdentity::parse(data) {
        assert!(identity.arn.arn.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(identity.arn.account.len(), 12);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(arn) = CallerArn::parse(text) {
        assert!(arn.arn.contains(&arn.account) && !arn.arn.contains(":assumed-role/"));
        let names = [arn.role, arn.session];
        assert!(names.iter().flatten().all(|name| !name.is_empty() && !name.contains([':', '/', '*'])));
    }
    let rules =
        CallerRules { scheme: "https", authority: "sts.eu-west-1.amazonaws.com", region: "eu-west-1" };
    match Caller::parse(text, rules, NOW) {
        Ok(caller) => {
            let query = caller.expose_query();
            assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!query.contains(['#', '?', '+', ' ']) && query.matches("Action=").count() == 1);
            assert!(text.starts_with(EKS_PREFIX) || text.ends_with(query));
            assert!(caller.signed.expires_at_epoch_s > NOW);
            assert!(caller.signed.expires_at_epoch_s <= NOW + 300 + 900);
        }
        Err(refusal) => assert!(refusal.to_string().len() < 100),
    }
    let host = "db.abc.us-east-1.rds.amazonaws.com";
    for user in ["app", "a b"] {
        let rules = RdsRules { host, port: 5432, region: "us-east-1", user };
        if RdsToken::parse(text, rules, NOW).is_ok() {
            assert!(text.starts_with(&format!("{host}:5432/?")));
            assert_eq!(text.to_ascii_lowercase().matches("dbuser=").count(), 1);
        }
    }
}
