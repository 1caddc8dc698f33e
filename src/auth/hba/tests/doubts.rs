//! What is told of rules that are read and certainly not meant as they stand, and that nothing is of others.

use super::*;

/// What is told of rules on the lines from the first one on.
fn told(lines: &[&str]) -> Vec<String> {
    load(&[("etc/hba", &lines.join("\n"))]).unwrap().1
}

#[test]
fn a_rule_behind_one_that_asks_for_less_is_never_reached() {
    let why = "rule in etc/hba:2 is never reached: the one in etc/hba:1 fits first and asks for less";
    for (first, second) in [
        ("host all all all trust", "hostssl db u 10.0.0.0/8 scram-sha-256"),
        ("host all all 10.0.0.0/8 md5", "host all u 10.1.0.0/16 reject"),
        ("host all all fe80::/10 md5", "host all all fe80::1/128 cert"),
        ("local a,b u password", "local b u scram-sha-256"),
        ("local sameuser all trust", "local sameuser all peer"),
        ("host all,replication all all trust", "host replication rep all md5"),
    ] {
        assert_eq!(told(&[first, second]), [why], "{first}; {second}");
    }
    for (first, second) in [
        ("host all all all scram-sha-256", "host all all all trust"),
        ("host all all all reject", "host all all all scram-sha-256"),
        ("host all all all trust", "local all all scram-sha-256"),
        ("hostssl all all all trust", "host all all all scram-sha-256"),
        ("host all all 0.0.0.0/0 trust", "host all all all scram-sha-256"),
        ("host all all 10.0.0.0/8 trust", "host all all 11.0.0.0/8 reject"),
        ("host all all 10.1.0.0/16 trust", "host all all 10.0.0.0/8 reject"),
        ("host all all all trust", "host replication all all md5"),
        ("host sameuser all all trust", "host db u all reject"),
        ("host db all all trust", "host all all all reject"),
        ("local all u trust", "local all all scram-sha-256"),
        ("host all all all md5", "host all all all ldap ldapserver=x ldapprefix=x"),
    ] {
        assert_eq!(told(&[first, second]), [""; 0], "{first}; {second}");
    }
}

#[test]
fn of_many_rules_those_behind_a_wide_one_are_told() {
    let mut text = "local db u trust\n".repeat(50_000);
    text += "host all all all trust\nhost db u all reject\n";
    let (_, told) = load(&[("etc/hba", &text)]).unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("rule in etc/hba:50002 is never reached"), "{told:?}");
}

#[test]
fn keywords_that_are_none_are_told() {
    for (name, keyword) in [
        ("\"all\"", "all"),
        ("ALL", "all"),
        ("*", "all"),
        ("\"sameuser\"", "sameuser"),
        ("SameRole", "samerole"),
    ] {
        let why = format!("in etc/hba:1 is taken as a name, not as the keyword {keyword}");
        assert_eq!(told(&[&format!("local db,{name} u reject")]), [format!("{name} {why}")]);
        let files = [("etc/hba", "local @list u md5"), ("etc/list", &format!("\n{name}"))];
        let place = why.replace("etc/hba:1", "etc/list:2");
        assert_eq!(load(&files).unwrap().1, [format!("{name} {place}")]);
    }
    let why = "/^db in etc/hba:1 is taken as a name, not as a regular expression or a group";
    assert_eq!(told(&["local /^db u reject"]), [why]);
    let (_, doubts) = IdentMaps::load("i", &|_| Ok(b"m \"all\" \"all\"\n".to_vec())).unwrap();
    let told: Vec<_> = doubts.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["\"all\" in i:1 is taken as a name, not as the keyword all"], "of the user alone");
}

#[test]
fn methods_that_nobody_can_meet_are_told() {
    for (rule, way) in [
        ("host all all all peer", "TCP has no account"),
        ("hostssl all all all peer", "TCP has no account"),
        ("local all all cert", "a Unix socket has no certificate"),
        ("hostnossl all all all cert", "TCP without TLS has no certificate"),
    ] {
        let why = format!("rule in etc/hba:1 lets nobody in: who comes over {way} to show");
        assert_eq!(told(&[rule]), [why]);
    }
}

/// As PostgreSQL and its packages ship them, and as operators of Kubernetes generate them.
#[test]
fn files_of_the_field_are_not_doubted() {
    let usual = [
        "local all postgres peer",
        "local all all peer",
        "host all all 127.0.0.1/32 scram-sha-256",
        "host all all ::1/128 scram-sha-256",
        "local replication all peer",
        "host replication all 127.0.0.1/32 scram-sha-256",
    ];
    assert_eq!(told(&usual), [""; 0]);
    let generated = [
        "local all all trust",
        "hostnossl all all all reject",
        "hostssl postgres all all reject",
        "hostssl all all all cert",
        "host all all all md5",
        "host \"replication\" all all md5",
    ];
    assert_eq!(told(&generated), [""; 0]);
}
