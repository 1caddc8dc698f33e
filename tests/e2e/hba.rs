//! Host-based rules and user name maps: who is asked for what, who is rejected, and what a broken file does.
//! Source: PgBouncer, doc/config.md ("HBA file format", "Ident map file format").

use crate::common::certs::certs;
use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, account, postgres, programs, wait_until};
use crate::vouched::{outcome, with_certificate};

/// A pooler that goes by these rules and maps; every user is `app` on the server.
fn ruled(rules: &str, maps: &str) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .set("auth_ident_file", "maps.conf")
        .file("rules.conf", rules)
        .file("maps.conf", maps)
        .database("app", "user=app password=app-secret")
        .database("shut", "dbname=app")
}

/// What the client is answered first: what it is asked for, that it is in, or that it is not.
fn first_words(mut raw: Raw, user: &str, database: &str) -> String {
    raw.startup(&[("user", user), ("database", database)]);
    let first = raw.read().expect("an answer");
    match (first.tag, first.body.get(3)) {
        (b'R', Some(0)) => "in".to_owned(),
        (b'R', Some(3)) => "plain".to_owned(),
        (b'R', Some(5)) => "md5".to_owned(),
        (b'R', Some(10)) => "scram".to_owned(),
        _ => first.message(),
    }
}

fn by_tcp(pooler: &Pooler, user: &str, database: &str) -> String {
    first_words(Raw::tcp(pooler.port), user, database)
}

/// psql as `user`, from outside of the account that the pooler runs as.
fn with_password(pooler: &Pooler, user: &str, password: &str) -> Result<String, String> {
    let mut psql = programs::limited(programs::postgres("psql"));
    psql.env("PGPASSWORD", password);
    outcome(psql, &format!("host=127.0.0.1 port={} user={user} dbname=app", pooler.port))
}

/// psql as `user` over the Unix socket, under the account that the pooler runs as.
fn from_account(pooler: &Pooler, user: &str) -> Result<String, String> {
    let target = format!("host={} port={} user={user} dbname=app", pooler.directory().display(), pooler.port);
    outcome(account::command(programs::postgres("psql")), &target)
}

const REJECTED: &str = "FATAL 08P01: login rejected";
const NOT_FOUND: &str = "FATAL 08P01: no authentication method is found";

#[test]
fn the_first_rule_that_fits_says_what_a_client_is_asked_for() {
    let rules = "# TYPE DATABASE USER ADDRESS METHOD\n\
                 host  shut      all         all                   reject\n\
                 host  all       app         127.0.0.1/32          scram-sha-256\n\
                 host  all       other       127.0.0.0 255.0.0.0   md5\n\
                 host  app       @plain.txt  all                   password\n\
                 host  pgbouncer stats       all                   trust\n\
                 host  app       \"postgres\"  all                  trust\n\
                 host  all       all         10.0.0.0/8            trust\n\
                 local all       app         md5\n";
    let pooler = ruled(rules, "")
        .file("plain.txt", "plain\nmissing\n")
        .user("plain", "plain-secret")
        .user("lost", "lost-secret")
        .start();
    for (user, database, answer) in [
        ("app", "app", "scram"),
        ("other", "app", "md5"),
        ("plain", "app", "plain"),
        ("postgres", "app", "in"),
        ("app", "shut", REJECTED),
        ("postgres", "shut", REJECTED),
        ("nobody-known", "shut", REJECTED),
        ("lost", "app", NOT_FOUND),
        ("nobody-known", "app", NOT_FOUND),
        ("plain", "no-such-database", NOT_FOUND),
        ("app", "no-such-database", "scram"),
        ("missing", "app", "plain"),
        ("stats", "pgbouncer", "in"),
        ("admin", "pgbouncer", NOT_FOUND),
    ] {
        assert_eq!(by_tcp(&pooler, user, database), answer, "{user} {database}");
    }
    let unix = |user| first_words(Raw::unix(pooler.directory(), pooler.port), user, "app");
    assert_eq!([unix("app"), unix("postgres")], ["md5", NOT_FOUND]);
    for user in ["app", "other", "plain"] {
        assert_eq!(with_password(&pooler, user, &format!("{user}-secret")).as_deref(), Ok("app"), "{user}");
        let refused = with_password(&pooler, user, "wrong").expect_err("must be refused");
        assert!(refused.contains("authentication failed"), "{refused}");
    }
    let unknown = with_password(&pooler, "missing", "x").expect_err("must be refused");
    assert!(unknown.contains("password authentication failed"), "{unknown}");
}

#[test]
fn a_file_without_rules_lets_nobody_in_and_is_told_of() {
    let pooler = ruled("# nobody yet\n", "").start();
    assert!(pooler.log().contains("WARNING auth_hba_file has no rule: nobody is let in"), "{}", pooler.log());
    assert!(by_tcp(&pooler, "app", "app").contains("FATAL"));
}

#[test]
fn rules_choose_among_users_that_auth_query_finds() {
    let rules = "host app md5er all reject\nhost app all all scram-sha-256\nhost pgbouncer all all trust\n";
    let pooler = ruled(rules, "")
        .database("app", "")
        .set("auth_user", "postgres")
        .set("auth_query", "select rolname, rolpassword from pg_authid where rolname = $1 and rolcanlogin")
        .start();
    assert_eq!(by_tcp(&pooler, "md5er", "app"), REJECTED);
    assert!(!pooler.log().contains("new connection to server"), "nobody has asked for a secret");
    let found = with_password(&pooler, "scrammer", "scrammer-secret");
    assert_eq!(found.as_deref(), Ok("scrammer"), "its keys serve the server, too");
    assert!(with_password(&pooler, "scrammer", "wrong").is_err());
}

#[test]
fn maps_say_whom_an_account_may_be() {
    let own = account::name();
    let rules = "local all all peer map=m\n";
    let pooler = ruled(rules, &format!("# one line for each\nm {own} app\nm nobody all\n")).start();
    assert_eq!(from_account(&pooler, "app").as_deref(), Ok("app"));
    for user in ["other", &own] {
        let refused = from_account(&pooler, user).expect_err("must be refused");
        assert!(refused.contains("unix socket login rejected"), "{refused}");
    }
    pooler.wait_for_log("ident map m cannot be matched");
    pooler.overwrite("maps.conf", &format!("m \"{own}\" all\n"));
    pooler.signal("HUP");
    wait_until("the new map is in force", || from_account(&pooler, "other").is_ok());
    let unknown = from_account(&pooler, "nobody-known").expect_err("must be refused");
    assert!(unknown.contains("unix socket login rejected"), "a map makes no user: {unknown}");
}

#[test]
fn maps_say_whom_a_certificate_may_be() {
    let rules =
        "hostssl all postgres all reject\nhostssl app other,app all cert map=m\nhostssl app all all cert\n";
    let maps = "m robot.example app\nm \"Full Name\" all\n";
    let pooler = ruled(rules, maps)
        .set("client_tls_sslmode", "require")
        .set("client_tls_ca_file", certs().ca().display())
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .user("stats", "")
        .start();
    let [robot, named, stats, own] =
        ["robot.example", "Full Name", "stats", "app"].map(|name| certs().client(name, &[]));
    let by_alternative = certs().client("x", &["robot.example"]);
    let trap = certs().client("robot.example\0.evil.example", &["robot.example"]);
    for (user, certificate, works) in [
        ("app", &robot, true),
        ("app", &by_alternative, true),
        ("other", &robot, false),
        ("app", &trap, false),
        ("app", &named, true),
        ("other", &named, true),
        ("app", &own, false),
        ("stats", &stats, true),
        ("stats", &named, false),
    ] {
        let outcome = with_certificate(&pooler, user, certificate);
        assert_eq!(outcome.is_ok(), works, "{user}: {outcome:?}");
        if let Err(refused) = outcome {
            assert!(refused.contains("certificate authentication failed"), "{refused}");
        }
    }
    for line in ["ident map: m does not have a match", "TLS certificate name mismatch"] {
        pooler.wait_for_log(line);
    }
    let target = format!("host=127.0.0.1 port={} user=app dbname=app sslmode=require", pooler.port);
    let bare = outcome(programs::limited(programs::postgres("psql")), &target).expect_err("must be refused");
    assert!(bare.contains("certificate authentication failed"), "{bare}");
    pooler.wait_for_log("TLS client certificate required");
    let superuser = with_certificate(&pooler, "postgres", &named).expect_err("must be refused");
    assert!(superuser.contains("login rejected"), "{superuser}");
}

#[test]
fn a_broken_file_is_told_line_by_line_and_changes_nothing() {
    let mut pooler = ruled("local all all trust\nhost all all 127.0.0.1/32 trust\n", "").start();
    assert_eq!(by_tcp(&pooler, "app", "app"), "in");
    let broken = "host all all all reject\nhost all all samenet reject\nlocal all all ident sameuser extra\n\
                  local all all\n";
    pooler.overwrite("rules.conf", &format!("{broken}hostssl all all all cert map=nowhere\n"));
    pooler.overwrite("maps.conf", "m only-two\n");
    let outcome = pooler.ask("reload");
    assert!(outcome.errors.iter().any(|error| error.contains("RELOAD failed")), "{outcome:?}");
    let log = pooler.log(); // the reasons are there before the answer
    for line in [
        "could not parse hba config line (rules.conf:2): samenet: host names, samehost and samenet are not \
         supported; a reject that is left out would let in whom it keeps out",
        "could not parse hba config line (rules.conf:4): did not find method",
        "could not parse ident config line (maps.conf:1): a name is missing",
    ] {
        assert!(log.contains(&format!("ERROR {line}")), "{line}\nin\n{log}");
    }
    assert!(!log.contains("nowhere"), "the map may be there once its file is right");
    assert_eq!(by_tcp(&pooler, "app", "app"), "in", "the rules in force stay");
    pooler.overwrite("maps.conf", "nowhere a b\n");
    pooler.overwrite("rules.conf", "host pgbouncer all all trust\nhost all all 192.168.1.1/0 trust\n");
    assert_eq!(pooler.ask("reload").errors, [""; 0]);
    assert!(
        pooler.log().contains("WARNING address does not match mask in rules.conf:2: 192.168.1.1 / 0.0.0.0")
    );
    assert_eq!(by_tcp(&pooler, "app", "app"), NOT_FOUND);
    pooler.rewrite(|setup| setup.set("auth_type", "trust").set("auth_hba_file", "no-such.conf"));
    assert_eq!(pooler.ask("reload").errors, [""; 0], "the file is read for auth_type=hba alone");
    assert_eq!(by_tcp(&pooler, "app", "app"), "in");
    let set = pooler.ask("set auth_type = 'hba'");
    assert!(set.errors.iter().any(|error| error.contains("SET failed")), "{set:?}");
    let why = "could not open hba config file no-such.conf: No such file or directory";
    pooler.wait_for_log(why);
    assert_eq!(by_tcp(&pooler, "app", "app"), "in");
    assert_eq!(pooler.ask("set auth_hba_file = 'rules.conf'").errors, [""; 0]);
    assert_eq!(pooler.ask("set auth_type = 'hba'").errors, [""; 0]);
    assert_eq!(by_tcp(&pooler, "app", "app"), NOT_FOUND);
}

/// What `--check` says of these files, and whether it is content.
fn checked(setup: &PoolerSetup) -> (bool, String) {
    let output = setup.check(&[]);
    (output.status.success(), programs::said(&output))
}

#[test]
fn files_as_they_are_found_in_the_field_are_checked() {
    let all = "local all all peer\nlocal all all md5\nhost all all 0.0.0.0/0 md5\nhost all all ::0/0 md5\n\
               hostssl all all 0.0.0.0/0 cert map=cnmap\nhost replication all 10.0.0.0/8 md5\n";
    let setup = ruled(all, "cnmap \"streaming\" standby\n");
    let (is_fine, said) = checked(&setup);
    assert!(is_fine, "{said}");
    for why in [
        "is for TLS connections, and client_tls_sslmode is disable",
        "is never reached: the one in rules.conf:3 fits first and asks for less",
    ] {
        assert!(said.contains(&format!("rule in rules.conf:5 {why}")), "{said}");
    }
    for (rules, why) in [
        ("local all all plain\n", "rules.conf:1): unsupported method: plain"),
        (
            "host all +blocked all reject\n",
            "rules.conf:1): +blocked: groups of roles are not supported; a reject",
        ),
        ("\nhost all all all\n", "rules.conf:2): did not find method"),
        ("include more.conf\n", "rules.conf:1): could not read more.conf: No such file or directory"),
        ("local all @users all\n", "rules.conf:1): could not read users: No such file or directory"),
    ] {
        let (is_fine, said) = checked(&ruled(rules, ""));
        assert!(!is_fine && said.contains(why), "{why}\nin\n{said}");
    }
    let (is_fine, said) = checked(&ruled("", "").unset("auth_hba_file"));
    assert!(!is_fine && said.contains("auth_type=hba requires auth_hba_file"), "{said}");
    let (is_fine, said) = checked(&ruled("x\n", "y\n").set("listen_backlog", "many"));
    assert!(!is_fine, "{said}");
    for part in ["rules.conf:1)", "maps.conf:1)", "listen_backlog"] {
        assert!(said.contains(part), "all in one run: {part}\nin\n{said}");
    }
}

/// An hba file that a distribution, an operator or an administrator wrote for PostgreSQL.
const FOR_POSTGRESQL: &str = "\
local all postgres peer
local all all ident map=none
local replication all peer
host all +staff samenet md5
host all all db.example.com trust
hostgssenc all all 0.0.0.0/0 gss
hostssl all streaming all cert map=none
host all all all pam pamservice=login
host all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
host all app 127.0.0.1/32 md5
";

#[test]
fn lines_that_only_postgresql_goes_by_are_left_out_one_by_one() {
    let pooler = ruled(FOR_POSTGRESQL, "").start();
    let log = pooler.log();
    for number in [2, 4, 5, 6, 7, 8, 9] {
        let line = format!("WARNING hba config line (rules.conf:{number}) is left out: ");
        assert_eq!(log.matches(&line).count(), 1, "{line}\nin\n{log}");
    }
    assert_eq!(log.matches("is left out").count(), 7, "{log}");
    assert_eq!(by_tcp(&pooler, "app", "app"), "md5");
    assert_eq!(by_tcp(&pooler, "other", "app"), NOT_FOUND, "no door is open that PgBouncer keeps shut");
}

#[test]
fn without_its_file_nobody_is_let_in_until_it_is_there() {
    let pooler = ruled("", "").set("auth_hba_file", "late.conf").start();
    let why = "ERROR could not open hba config file late.conf: No such file or directory";
    assert!(pooler.log().contains(why), "{}", pooler.log());
    assert_eq!(by_tcp(&pooler, "app", "app"), NOT_FOUND);
    pooler.overwrite("late.conf", "host all all all trust\n");
    pooler.signal("HUP");
    wait_until("the file is in force", || by_tcp(&pooler, "app", "app") == "in");
    std::fs::remove_file(pooler.directory().join("late.conf")).expect("it was there");
    let outcome = pooler.ask("reload");
    assert!(outcome.errors.iter().any(|error| error.contains("RELOAD failed")), "{outcome:?}");
    assert_eq!(by_tcp(&pooler, "app", "app"), "in", "the rules in force stay");
}
