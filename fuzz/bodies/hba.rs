//! What must hold for any bytes as hba and ident files: no panic, errors and rules with a line that there
//! is, and a rule that fits only where an equal file says so again.

use pgweir::auth::hba::{Hba, IdentMaps, Origin, Visit};
use pgweir::auth::ldap::{LdapLookup, LdapOptions, direct_name};
use pgweir::wire::startup::Replication;
use std::io;

/// Reads `data` as three files with a line `%%` between them: rules, maps, and a list of names (`@l`).
pub fn run(data: &[u8]) {
    let mut files = data.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    files.truncate(10_000);
    let mut parts = files.split(|line| *line == b"%%").map(|lines| lines.join(&b'\n'));
    let [rules, maps, list] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let read = |name: &str| match name {
        "hba" => Ok(rules.clone()),
        "ident" => Ok(maps.clone()),
        "l" => Ok(list.clone()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let maps = IdentMaps::load("ident", &read).map(|(maps, _)| maps);
    if let Err(errors) = &maps {
        assert!(!errors.is_empty());
    }
    let maps = maps.unwrap_or_default();
    match (Hba::load("hba", &maps, &read), Hba::load("hba", &maps, &read)) {
        (Ok((hba, _)), Ok((again, _))) => decide(&hba, &again),
        (Err(errors), Err(again)) => {
            assert!(!errors.is_empty() && errors == again);
            assert!(errors.iter().all(|error| !error.to_string().contains('\n')));
        }
        _ => panic!("the same bytes are not the same file"),
    }
}

fn decide(hba: &Hba, again: &Hba) {
    let ips = ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "fe80::1"];
    let ips = ips.map(|ip| ip.parse().expect("an address"));
    let tcp = ips.into_iter().flat_map(|ip| [true, false].map(|is_tls| Origin::Tcp { ip, is_tls }));
    for origin in tcp.chain([Origin::Local]) {
        for (database, user) in [("a", "a"), ("a", "b"), ("replication", "postgres"), ("all", "all")] {
            for replication in [Replication::No, Replication::Logical, Replication::Physical] {
                let visit = Visit { origin, database, user, replication };
                let rule = hba.rule_for(&visit);
                assert_eq!(rule, again.rule_for(&visit));
                if let Some(rule) = rule {
                    assert!(rule.place.line >= 1 && hba.rules().contains(rule));
                    if let Some(ldap) = rule.ldap() {
                        look_up(ldap, user);
                    }
                    let _ = rule.map().map(|map| map.name_for(user, |name| name == database).is_some());
                }
            }
        }
    }
}

/// Whatever the options: there is a server, and a name adds nothing to a filter but itself.
fn look_up(ldap: &LdapOptions, user: &str) {
    assert!(!ldap.servers.is_empty());
    match &ldap.lookup {
        LdapLookup::Direct { prefix, suffix } => {
            let name = direct_name(prefix, suffix, user).expect("a plain name fits");
            assert_eq!(name, format!("{prefix}{user}{suffix}"));
        }
        LdapLookup::Search(search) => {
            let parentheses = |name: &str| search.filter_for(name).matches(['(', ')', '*']).count();
            assert_eq!(parentheses("a)(*"), parentheses(user));
        }
    }
}
