//! Settings that files move from their defaults and that have no effect beside the others: what an operator
//! should know, and no error.
//!
//! Pure. What has none in any company is the table of settings' own to tell; entries' keys are
//! `config/doubts.rs`'s.

use crate::auth::Method;
use crate::auth::hba::Hba;
use crate::config::{AuditLog, AuditStatements, AuthType, OnDenied, Setting, Settings, Snapshot};
use crate::control::Policy;

/// Whether what some settings need is there.
type Holds = fn(&Settings, &Hba) -> bool;

/// Settings, and without what they have no effect.
const NEEDS: [(&[&str], &str, Holds); 8] = [
    (&["audit_file"], "audit_log=file", |settings, _| settings.audit_log == AuditLog::File),
    (&["audit_overflow", "audit_queue", "audit_statements"], "audit_log", |settings, _| {
        settings.audit_log != AuditLog::Off
    }),
    (&["audit_redact"], "audit_log and audit_statements=text", |settings, _| {
        settings.audit_log != AuditLog::Off && settings.audit_statements == AuditStatements::Text
    }),
    (&["emf_file", "emf_pooler"], "emf_interval", |settings, _| settings.emf_interval.0 != 0),
    (&["identity_drain_timeout"], "identity_on_denied=drain", |settings, _| {
        settings.identity_on_denied == OnDenied::Drain
    }),
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

/// Everything of that kind, a line each.
pub(super) fn warnings(snapshot: &Snapshot, hba: &Hba) -> Vec<String> {
    idle(snapshot, hba).into_iter().map(|(_, warning)| warning).collect()
}

/// What a SET of `key` has to be told: that it has no effect, and what had one under `before` and has none
/// now.
pub(super) fn news(before: &Policy, snapshot: &Snapshot, hba: &Hba, key: &str) -> Vec<String> {
    let known = warnings(&before.snapshot, &before.hba);
    let is_new = |(name, warning): &(&str, String)| *name == key || !known.contains(warning);
    idle(snapshot, hba).into_iter().filter(is_new).map(|(_, warning)| warning).collect()
}

/// What has no effect, by its name, and the words for that.
fn idle(snapshot: &Snapshot, hba: &Hba) -> Vec<(&'static str, String)> {
    let (settings, defaults) = (&snapshot.settings, Settings::default());
    let is_moved = |name: &str| Setting::named(name).is_some_and(|row| !row.same(settings, &defaults));
    let idle = NEEDS.iter().filter(|(_, _, holds)| !holds(settings, hba));
    let named = idle.flat_map(|(names, what, _)| names.iter().map(move |name| (*name, *what)));
    let tell = |(name, what)| (name, format!("setting {name} has no effect without {what}"));
    let of_settings = named.filter(|(name, _)| is_moved(name)).map(tell);
    of_settings.chain(issuers_of_nobody(snapshot, hba).map(|warning| ("issuers", warning))).collect()
}

fn issuers_of_nobody(snapshot: &Snapshot, hba: &Hba) -> Option<String> {
    let is_idle = !snapshot.issuers.is_empty() && !is_asked_for(Method::Jwt, &snapshot.settings, hba);
    is_idle.then(|| "section [issuers] has no effect without auth_type=jwt, or a rule with jwt".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hba::IdentMaps;
    use std::sync::Arc;

    fn read(text: &str, rules: &str) -> (Snapshot, Hba) {
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let read = |_: &str| Ok(rules.as_bytes().to_vec());
        (snapshot, Hba::load("h", &IdentMaps::default(), &read).unwrap().0)
    }

    fn told_of(text: &str, rules: &str) -> Vec<String> {
        let (snapshot, hba) = read(text, rules);
        warnings(&snapshot, &hba)
    }

    /// What `SET key = value` is told behind these settings.
    fn told_to(text: &str, key: &str, value: &str) -> Vec<String> {
        let (snapshot, hba) = read(text, "");
        let after = snapshot.with_setting(key, value).unwrap();
        let before = Policy { hba: Arc::new(hba), ..Policy::without_tls(snapshot) };
        news(&before, &after, &before.hba, key)
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

    /// What has it without effect, where the defaults do not.
    fn idle_by(name: &str) -> &'static str {
        if name == "identity_drain_timeout" { "identity_on_denied = drop_now\n" } else { "" }
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
            let without = format!("[pgbouncer]\n{}", idle_by(name));
            let set = format!("{name} = {}\n", moved(name));
            let expected = format!("setting {name} has no effect without {what}");
            assert_eq!(told_of(&format!("{without}{set}"), ""), [&*expected]);
            assert_eq!(told_to(&without, name, moved(name)), [&*expected], "a SET of it is told");
            assert_eq!(told_to(&format!("{without}{set}"), name, moved(name)), [&*expected], "each of them");
            assert_eq!(
                told_to(&format!("{without}{set}"), "pool_mode", "session"),
                [""; 0],
                "others are not"
            );
            let is_told = |more: &&str| told_of(&format!("[pgbouncer]\n{more}{set}"), "").contains(&expected);
            assert!(!whole.iter().all(is_told), "{name}: there is a file in which it has effect");
        }
        assert_eq!(told_of("[pgbouncer]\naudit_redact = 1\nemf_interval = 0\n", ""), [""; 0]);
    }

    #[test]
    fn a_set_that_makes_others_idle_is_told_of_them() {
        let text = "[pgbouncer]\nauth_type = jwt\nauth_jwt_options = issuer=staff\nemf_file = x\n[issuers]\n\
                    staff = issuer=https://login.example.org audience=postgres\n";
        let expected = [
            "setting auth_jwt_options has no effect without auth_type=jwt",
            "section [issuers] has no effect without auth_type=jwt, or a rule with jwt",
        ];
        assert_eq!(told_to(text, "auth_type", "trust"), expected);
    }

    #[test]
    fn rules_count_as_auth_type_does() {
        let text = "[pgbouncer]\nauth_type = hba\nauth_hba_file = h\niam_caller_map = zz\n\
                    iam_client_cache_ttl = 1\n[issuers]\n\
                    staff = issuer=https://login.example.org audience=postgres\n";
        let told = |rules: &str| told_of(text, rules);
        assert_eq!(told("local all all trust\n").len(), 3);
        let all = "local all all jwt\nhostssl all all all iam_caller\nhostssl all all all rds_iam\n";
        assert_eq!(told(all), [""; 0]);
        assert_eq!(
            told("hostssl all all all iam_caller\nlocal all all rds_iam\n"),
            ["section [issuers] has no effect without auth_type=jwt, or a rule with jwt"]
        );
    }
}
