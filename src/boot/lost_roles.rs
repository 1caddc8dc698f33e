//! Entries of `[databases]` whose `user` takes the place of the roles that claims give to clients: what an
//! operator should know, and no error, since one user for all may be meant.
//!
//! Pure. A map that gives no other role than that user takes nothing from anybody, and is not told; nor are
//! logins without a map, whose role is the name of a principal.

use crate::auth::Method;
use crate::auth::hba::{Hba, Rule};
use crate::auth::jwt::JwtOptions;
use crate::config::{AuthType, Database, Snapshot, shown};
use crate::control::{Policy, Tokens};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A method, and a map that gives roles to whom it lets in.
type Way<'a> = (Method, &'a Arc<str>);

/// Everything of that kind, a line each.
pub(super) fn warnings(snapshot: &Snapshot, hba: &Hba, tokens: &Tokens) -> Vec<String> {
    let entries = snapshot.databases.values().chain(&snapshot.fallback);
    entries.flat_map(|entry| of_entry(entry, snapshot, hba, tokens)).collect()
}

/// What a SET has to be told: what was not so under `before`.
pub(super) fn news(before: &Policy, snapshot: &Snapshot, hba: &Hba, tokens: &Tokens) -> Vec<String> {
    let known = warnings(&before.snapshot, &before.hba, &before.tokens);
    let found = warnings(snapshot, hba, tokens).into_iter();
    found.filter(|warning| !known.contains(warning)).collect()
}

fn of_entry(entry: &Database, snapshot: &Snapshot, hba: &Hba, tokens: &Tokens) -> Vec<String> {
    let Some(user) = &entry.user else { return Vec::new() };
    let rules = hba.rules().iter().filter(|rule| &*entry.name == "*" || rule.may_be_for(&entry.name));
    let ways: BTreeSet<_> = rules
        .flat_map(|rule| of_rule(rule, snapshot, tokens))
        .chain(of_setting(snapshot, tokens))
        .filter(|(_, map)| tokens.maps.gives_others(map, user))
        .map(|(method, map)| (method.word(), map))
        .collect();
    let tell = |(method, map): (&str, &Arc<str>)| {
        let (name, user, map) = (&entry.name, shown(user), shown(map));
        format!(
            "database \"{name}\": clients by {method} all work as user={user}, whatever role map {map} gives \
             them"
        )
    };
    ways.into_iter().map(tell).collect()
}

fn of_setting<'a>(snapshot: &'a Snapshot, tokens: &'a Tokens) -> Vec<Way<'a>> {
    match snapshot.settings.auth_type {
        AuthType::Jwt => by_tokens(&tokens.options, tokens),
        AuthType::IamCaller => vec![(Method::IamCaller, &snapshot.settings.iam_caller_map)],
        _ => Vec::new(),
    }
}

fn of_rule<'a>(rule: &'a Rule, snapshot: &'a Snapshot, tokens: &'a Tokens) -> Vec<Way<'a>> {
    match rule.method {
        Method::Jwt => rule.jwt().map(|options| by_tokens(options, tokens)).unwrap_or_default(),
        Method::IamCaller => {
            vec![(Method::IamCaller, rule.claims_map().unwrap_or(&snapshot.settings.iam_caller_map))]
        }
        _ => Vec::new(),
    }
}

fn by_tokens<'a>(options: &'a JwtOptions, tokens: &'a Tokens) -> Vec<Way<'a>> {
    let is_taken = |name: &Arc<str>| options.issuer.as_ref().is_none_or(|issuer| issuer == name);
    let issuers = tokens.issuers.iter().filter(|issuer| is_taken(&issuer.rules.name));
    let maps = issuers.filter_map(|issuer| options.map.as_ref().or(issuer.entry.map.as_ref()));
    maps.map(|map| (Method::Jwt, map)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hba::IdentMaps;
    use crate::boot::tokens;

    const MAPS: &str = "staff groups readers ro\nstaff groups writers rw\none sub ada app\n\
                        made sub /(.*) \\1\n";

    struct Scratch(std::path::PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    fn claims_file() -> Scratch {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("pgweir-lost-roles-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, MAPS).unwrap();
        Scratch(path)
    }

    fn read(settings: &str, entries: &str, rules: &str) -> (Snapshot, Hba, Tokens) {
        let file = claims_file();
        let text = format!(
            "[databases]\n{entries}\n[issuers]\n\
             a = issuer=https://login.example.org audience=x map=staff\n\
             b = issuer=https://other.example.org audience=x map=one\n\
             c = issuer=https://third.example.org audience=x\n\
             [pgbouncer]\nauth_claims_file = {}\n{settings}\n",
            file.0.display()
        );
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
        let (hba, _) = Hba::load("h", &IdentMaps::default(), &|_| Ok(rules.as_bytes().to_vec())).unwrap();
        let tokens = tokens::read(&snapshot, &hba).unwrap();
        (snapshot, hba, tokens)
    }

    fn told(settings: &str, entries: &str, rules: &str) -> Vec<String> {
        let (snapshot, hba, tokens) = read(settings, entries, rules);
        warnings(&snapshot, &hba, &tokens)
    }

    fn line(name: &str, method: &str, map: &str) -> String {
        format!(
            "database \"{name}\": clients by {method} all work as user=app, whatever role map {map} gives \
             them"
        )
    }

    #[test]
    fn an_entry_with_a_user_is_told_where_a_map_gives_other_roles() {
        let entry = "d = host=h user=app";
        let jwt = |options: &str| told(&format!("auth_type = jwt\n{options}"), entry, "");
        assert_eq!(jwt(""), [line("d", "jwt", "staff")]);
        assert_eq!(jwt("auth_jwt_options = issuer=b"), [""; 0], "that map gives this role alone");
        assert_eq!(jwt("auth_jwt_options = issuer=b map=made"), [line("d", "jwt", "made")]);
        assert_eq!(jwt("auth_jwt_options = issuer=c"), [""; 0], "no map: the principal is the role");
        assert_eq!(told("auth_type = jwt", "d = host=h", ""), [""; 0]);
        let caller = told("auth_type = iam_caller\niam_caller_map = staff", "* = user=app", "");
        assert_eq!(caller, [line("*", "iam_caller", "staff")]);
        assert_eq!(told("auth_type = trust", entry, ""), [""; 0]);
    }

    #[test]
    fn rules_count_for_the_databases_that_they_are_for() {
        let entries = "d = host=h user=app\ne = host=h user=app\n* = host=h user=app";
        let rules = "hostssl d all all jwt issuer=a\nhostssl d all all iam_caller map=made\n\
                     hostssl f all all jwt issuer=b map=staff\nlocal e all trust\n";
        let expected = [
            line("d", "iam_caller", "made"),
            line("d", "jwt", "staff"),
            line("*", "iam_caller", "made"),
            line("*", "jwt", "staff"),
        ];
        assert_eq!(told("auth_type = hba\nauth_hba_file = h", entries, rules), expected);
        let same_user =
            told("auth_type = hba\nauth_hba_file = h", "d = user=app", "local sameuser all jwt\n");
        assert_eq!(same_user, [line("d", "jwt", "staff")]);
    }

    #[test]
    fn a_set_is_told_of_those_that_it_brings() {
        let (before, hba, tokens) = read("auth_type = trust", "d = host=h user=app", "");
        let (after, _, tokens_after) = read("auth_type = jwt", "d = host=h user=app", "");
        let before = Policy { hba: Arc::new(hba), tokens, ..Policy::without_tls(before) };
        assert_eq!(news(&before, &after, &before.hba, &tokens_after), [line("d", "jwt", "staff")]);
        let before = Policy { tokens: tokens_after.clone(), ..Policy::without_tls(after.clone()) };
        assert_eq!(news(&before, &after, &before.hba, &tokens_after), [""; 0]);
    }
}
