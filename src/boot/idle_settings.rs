//! Settings that files move from their defaults and that have no effect beside the others: what an operator
//! should know, and no error.
//!
//! Pure. What has none in any company is the table of settings' own to tell; entries' keys are
//! `config/doubts.rs`'s.

use crate::auth::Method;
use crate::auth::hba::Hba;
use crate::config::{AuditLog, AuditStatements, AuthType, Settings, Snapshot};

/// Whether what some settings need is there.
type Holds = fn(&Settings, &Hba) -> bool;

/// Settings, and without what they have no effect.
const NEEDS: [(&[&str], &str, Holds); 7] = [
    (&["audit_file"], "audit_log=file", |settings, _| settings.audit_log == AuditLog::File),
    (&["audit_overflow", "audit_queue", "audit_statements"], "audit_log", |settings, _| {
        settings.audit_log != AuditLog::Off
    }),
    (&["audit_redact"], "audit_log and audit_statements=text", |settings, _| {
        settings.audit_log != AuditLog::Off && settings.audit_statements == AuditStatements::Text
    }),
    (&["emf_file", "emf_pooler"], "emf_interval", |settings, _| settings.emf_interval.0 != 0),
    (&["auth_jwt_options"], "auth_type=jwt", |settings, _| settings.auth_type == AuthType::Jwt),
    (
        &["iam_caller_endpoint", "iam_caller_server_id", "iam_caller_map", "iam_caller_rate"],
        "auth_type=iam_caller, or a rule with iam_caller",
        |settings, hba| is_asked_for(Method::IamCaller, settings, hba),
    ),
    (
        &["iam_client_cache_ttl", "iam_client_login_rate", "iam_client_source_rate"],
        "auth_type=rds_iam, or a rule with rds_iam",
        |settings, hba| is_asked_for(Method::RdsIam, settings, hba),
    ),
];

/// Whether clients may have to prove themselves by `method`.
fn is_asked_for(method: Method, settings: &Settings, hba: &Hba) -> bool {
    let is_of_setting = Method::of_setting(settings.auth_type) == Some(method);
    is_of_setting || hba.rules().iter().any(|rule| rule.method == method)
}

/// Everything of that kind, a line each; with `set` only what a SET of that setting has to be told.
pub(super) fn warnings(snapshot: &Snapshot, hba: &Hba, set: Option<&str>) -> Vec<String> {
    let (settings, defaults) = (&snapshot.settings, Settings::default());
    let idle = NEEDS.iter().filter(|(_, _, holds)| !holds(settings, hba));
    let named = idle.flat_map(|(names, what, _)| names.iter().map(move |name| (*name, *what)));
    let is_moved = |name: &str| {
        let row = crate::config::Setting::named(name);
        set.is_none_or(|set| set == name) && row.is_some_and(|row| !row.same(settings, &defaults))
    };
    let tell = |(name, what): (&str, &str)| {
        is_moved(name).then(|| format!("setting {name} has no effect without {what}"))
    };
    let of_issuers =
        set.is_none_or(|set| set == "auth_type").then(|| issuers_of_nobody(snapshot, hba)).flatten();
    named.filter_map(tell).chain(of_issuers).collect()
}

fn issuers_of_nobody(snapshot: &Snapshot, hba: &Hba) -> Option<String> {
    let is_idle = !snapshot.issuers.is_empty() && !is_asked_for(Method::Jwt, &snapshot.settings, hba);
    is_idle.then(|| "section [issuers] has no effect without auth_type=jwt, or a rule with jwt".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hba::IdentMaps;

    fn told_of(text: &str, rules: &str, set: Option<&str>) -> Vec<String> {
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let read = |_: &str| Ok(rules.as_bytes().to_vec());
        let (hba, _) = Hba::load("h", &IdentMaps::default(), &read).unwrap();
        warnings(&snapshot, &hba, set)
    }

    /// A value that is not the default's.
    fn moved(name: &str) -> &'static str {
        match name {
            "audit_overflow" => "block",
            "audit_queue" => "1 MB",
            "audit_statements" => "text",
            "audit_redact" => "0",
            _ => "77",
        }
    }

    #[test]
    fn each_setting_is_told_where_what_it_needs_is_not_there_and_only_there() {
        let whole = [
            "audit_log = file\naudit_statements = text\nemf_interval = 60\nauth_type = jwt\n",
            "auth_type = iam_caller\n",
            "auth_type = rds_iam\n",
        ];
        let all = NEEDS.iter().flat_map(|(names, what, _)| names.iter().map(move |name| (name, what)));
        for (name, what) in all {
            let set = format!("{name} = {}\n", moved(name));
            let expected = format!("setting {name} has no effect without {what}");
            let told =
                |settings: &str, set: Option<&str>| told_of(&format!("[pgbouncer]\n{settings}"), "", set);
            assert_eq!(told(&set, None), [&*expected]);
            assert_eq!(told(&set, Some(name)), [&*expected], "a SET of it is told");
            assert_eq!(told(&set, Some("pool_mode")), [""; 0], "another SET is not");
            let is_told = |more: &&str| told(&format!("{more}{set}"), None).contains(&expected);
            assert!(!whole.iter().all(is_told), "{name}: there is a file in which it has effect");
        }
        assert_eq!(told_of("[pgbouncer]\naudit_redact = 1\nemf_interval = 0\n", "", None), [""; 0]);
    }

    #[test]
    fn rules_count_as_auth_type_does() {
        let text = "[pgbouncer]\nauth_type = hba\nauth_hba_file = h\niam_caller_map = zz\n\
                    iam_client_cache_ttl = 1\n[issuers]\n\
                    staff = issuer=https://login.example.org audience=postgres\n";
        let told = |rules: &str| told_of(text, rules, None);
        assert_eq!(told("local all all trust\n").len(), 3);
        let all = "local all all jwt\nhostssl all all all iam_caller\nhostssl all all all rds_iam\n";
        assert_eq!(told(all), [""; 0]);
        assert_eq!(
            told("hostssl all all all iam_caller\nlocal all all rds_iam\n"),
            ["section [issuers] has no effect without auth_type=jwt, or a rule with jwt"]
        );
    }
}
