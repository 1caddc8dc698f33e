//! Whether tokens that clients send could be read on their way: one rule for all methods that take tokens, of
//! `auth_type` and of hba files.
//!
//! Pure. A rule `host` is taken where clients may have TLS, since whoever comes without is refused before it
//! is asked for a token (`clients`).

use crate::auth::Method;
use crate::auth::hba::{FileError, FileKind, Hba, Rule, TcpWay, Wrong};
use crate::base::limits;
use crate::config::{Settings, SslMode};
use crate::control::Policy;

/// What would have tokens come in clear, as far as it is told.
pub(super) fn check(settings: &Settings, hba: &Hba) -> Vec<FileError> {
    let is_disabled = settings.client_tls_sslmode == SslMode::Disable;
    let of_setting = Method::of_setting(settings.auth_type).filter(|method| method.shows_token());
    let of_setting = of_setting.filter(|_| is_disabled && !settings.listen_addr.is_empty());
    let of_setting = of_setting.map(|method| FileError::TokenInClear(method.word()));
    let of_rules = hba.rules().iter().filter(|rule| is_in_clear(rule, is_disabled)).map(|rule| {
        let (method, may_have_tls) = (rule.method.word(), rule.for_tcp() == Some(TcpWay::Any));
        let wrong = Wrong::TokenInClear { method, may_have_tls };
        FileError::Line { kind: FileKind::Hba, place: rule.place.clone(), wrong }
    });
    of_setting.into_iter().chain(of_rules).take(limits::CONFIG_ERRORS_MAX).collect()
}

/// Whether it hangs on `client_tls_sslmode` whether `policy` holds: somebody is asked for a token.
pub(super) fn concerns(policy: &Policy) -> bool {
    let of_setting = Method::of_setting(policy.snapshot.settings.auth_type);
    let of_rules = policy.hba.rules().iter().map(|rule| rule.method);
    of_setting.into_iter().chain(of_rules).any(Method::shows_token)
}

fn is_in_clear(rule: &Rule, is_disabled: bool) -> bool {
    rule.method.shows_token()
        && match rule.for_tcp() {
            Some(TcpWay::Open) => true,
            Some(TcpWay::Any) => is_disabled,
            Some(TcpWay::Tls) | None => false, // that of TLS without TLS fits nobody, and that is told
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hba::IdentMaps;
    use crate::config::Snapshot;

    fn found(settings: &str, rules: &str) -> Vec<FileError> {
        let text = format!("[pgbouncer]\n{settings}\n");
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
        let (hba, _) = Hba::load("h", &IdentMaps::default(), &|_| Ok(rules.as_bytes().to_vec())).unwrap();
        check(&snapshot.settings, &hba)
    }

    fn told(settings: &str, rules: &str) -> Vec<String> {
        found(settings, rules).iter().map(ToString::to_string).collect()
    }

    /// Which of them may be wrong only because a setting could not be read.
    #[test]
    fn a_rule_for_tcp_without_tls_is_wrong_whatever_the_settings_say() {
        let rules = "hostnossl all all all jwt\nhost all all all rds_iam\n";
        let found = found("client_tls_sslmode = disable", rules);
        assert_eq!(found.iter().map(FileError::is_of_absence).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn every_method_that_takes_tokens_is_held_to_the_same() {
        for method in Method::ALL {
            let word = method.word();
            let expected = usize::from(["jwt", "iam_caller", "rds_iam"].contains(&word));
            let of_setting = |more: &str| told(&format!("auth_type = {word}\n{more}"), "");
            if method != Method::Reject {
                let told = of_setting("listen_addr = *\nclient_tls_sslmode = disable");
                assert_eq!(told.len(), expected, "{told:?}");
                assert!(told.iter().all(|line| line.starts_with(&format!("auth_type={word} needs TLS"))));
                assert_eq!(of_setting("client_tls_sslmode = disable"), [""; 0], "a Unix socket alone");
                assert_eq!(of_setting("listen_addr = *\nclient_tls_sslmode = allow"), [""; 0]);
            }
            if Method::of_rule(word) != Some(method) {
                continue;
            }
            for (kind, mode, is_in_clear) in [
                ("hostnossl", "require", true),
                ("host", "disable", true),
                ("host", "allow", false),
                ("hostssl", "require", false),
                ("hostssl", "disable", false),
            ] {
                let options = if method == Method::Ldap { " ldapserver=x ldapprefix=x" } else { "" };
                let rule = format!("{kind} all all all {word}{options}\n");
                let told = told(&format!("client_tls_sslmode = {mode}"), &rule);
                assert_eq!(told.len(), if is_in_clear { expected } else { 0 }, "{rule} {mode} {told:?}");
                let start =
                    format!("could not parse hba config line (h:1): tokens would come without TLS: {word}");
                assert!(told.iter().all(|line| line.starts_with(&start)), "{told:?}");
            }
            let local = told("client_tls_sslmode = disable", "local all all jwt\n");
            assert_eq!(local, [""; 0]);
        }
    }
}
