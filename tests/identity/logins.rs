//! Who is let in by a token, as whom, and what those learn who are not.

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::{page, postgres, wait_until};
use crate::issuer::{Issuer, now_s};
use crate::{console, log_in, log_in_to, no_token_in, prove, setup};
use serde_json::{Value, json};

const REFUSED: &str = "FATAL 28000: JWT authentication failed";

#[test]
fn a_token_in_the_passwords_place_lets_its_principal_in() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").start();
    let token = issuer.token("app");
    let mut client = log_in(&pooler, "app", &token).expect("it is a good token");
    assert_eq!(client.simple("select current_user").value(), "app");
    let refused = log_in(&pooler, "other", &token).expect_err("it is for another role");
    assert_eq!(refused, REFUSED);
    pooler.wait_for_log("JWT login failed: issuer tests: the token is for the role app");
    pooler.wait_for_log("login proven by jwt: principal=app issuer=tests");
    assert_eq!(pooler.log().matches("login proven by").count(), 1, "one line, and none of who was refused");
    no_token_in("the log", &pooler.log(), &token);
}

#[test]
fn over_a_unix_socket_no_tls_is_asked_for_and_over_tcp_it_is() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").start();
    let token = issuer.token("app");
    let mut local = Raw::unix(pooler.directory(), pooler.port);
    local.startup(&[("user", "app"), ("database", "app")]);
    assert!(prove(local, &token).is_ok());
    let mut open = Raw::tcp(pooler.port);
    open.startup(&[("user", "app"), ("database", "app")]);
    let end = prove(open, &token).expect_err("it is not asked for its token");
    assert_eq!(end, "FATAL 08P01: SSL required");
}

#[test]
fn what_is_wrong_with_a_token_is_in_the_log_and_told_to_nobody() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "required_claims=team=red|blue").start();
    let claims = |more: Value| {
        let mut claims = issuer.claims("app");
        claims["team"] = json!("red");
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let sign = |more: Value| issuer.sign("k1", "RS256", &claims(more));
    let good = sign(json!({}));
    assert!(log_in(&pooler, "app", &good).is_ok());
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (_, payload) = head.split_once('.').expect("three parts");
    let now = now_s();
    let cases = [
        ("app-secret".to_owned(), "it is no signed JSON web token"),
        (format!("eyJhbGciOiJub25lIn0.{payload}."), "it is no signed JSON web token"),
        (format!("eyJhbGciOiJIUzI1NiJ9.{payload}.{signature}"), "algorithm is not allowed: HS256"),
        (format!("{head}.{}", signature.replace(['a', 'b', 'c'], "d")), "signature is not that of key k1"),
        (sign(json!({"exp": now - 600, "iat": now - 900})), "the token expired "),
        (sign(json!({"nbf": now + 600})), "(nbf)"),
        (sign(json!({"iat": now + 600, "exp": now + 700})), "(iat)"),
        (sign(json!({"exp": now + 86_400})), "the 3600 s of max_token_age"),
        (sign(json!({"aud": "others"})), "claim aud is others, which is none of the audiences"),
        (sign(json!({"iss": "https://other.example.org"})), "iss is https://other.example.org"),
        (sign(json!({"team": "green"})), "claim team has none of the values"),
        (sign(json!({"sub": "a\nb"})), "claim sub cannot name a principal"),
    ];
    for (token, why) in cases {
        let refused = log_in(&pooler, "app", &token).expect_err(why);
        assert_eq!(refused, REFUSED, "{why}");
        pooler.wait_for_log(why);
        no_token_in("the log", &pooler.log(), &token);
    }
}

#[test]
fn a_map_gives_roles_by_claims() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "map=teams")
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", "teams /groups readers app query_timeout=5\nteams sub /^db-(.*)$ \\1\n")
        .start();
    let token = |sub: &str, groups: Value| {
        let mut claims = issuer.claims(sub);
        claims["groups"] = groups;
        issuer.sign("k1", "RS256", &claims)
    };
    let reader = token("somebody", json!(["others", "readers"]));
    assert!(log_in(&pooler, "app", &reader).is_ok());
    assert_eq!(log_in(&pooler, "other", &reader).map(drop), Err(REFUSED.to_owned()));
    let named = token("db-other", json!([]));
    assert!(log_in(&pooler, "other", &named).is_ok());
    assert_eq!(log_in(&pooler, "app", &named).map(drop), Err(REFUSED.to_owned()));
    pooler.wait_for_log("claims of db-other are in no line of map teams for this role");
    // the console's administrators are those whom a line names, not whom an issuer's users name
    let admin = token("db-admin", json!([]));
    assert_eq!(log_in_to(&pooler, "admin", "pgbouncer", &admin).map(drop), Err(REFUSED.to_owned()));
}

#[test]
fn a_rule_may_name_the_issuer_and_the_map() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let pooler = setup(&one, "")
        .issuer("others", &other.entry(""))
        .set("auth_type", "hba")
        .set("auth_hba_file", "hba.conf")
        .file("hba.conf", "hostssl all app all jwt issuer=others\nhostssl all all all jwt\n")
        .start();
    assert!(log_in(&pooler, "app", &other.token("app")).is_ok());
    assert_eq!(log_in(&pooler, "app", &one.token("app")).map(drop), Err(REFUSED.to_owned()));
    assert!(log_in(&pooler, "other", &one.token("other")).is_ok());
    assert!(log_in(&pooler, "other", &other.token("other")).is_ok());
}

#[test]
fn operators_see_issuers_and_no_token() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").set("verbose", 2).with_page().start();
    let (good, bad) = (issuer.token("app"), issuer.token("nobody"));
    let _held = log_in(&pooler, "app", &good).expect("it is a good token");
    assert!(log_in(&pooler, "app", &bad).is_err());
    let mut console = console(&pooler, &issuer);
    let row = console.simple("show issuers").records().remove(0);
    let seen = |name: &str| row[name].clone();
    assert_eq!((seen("name"), seen("issuer"), seen("keys")), ("tests".into(), issuer.url(), "1".into()));
    // the console's own login is the second one
    assert_eq!((seen("logins_accepted"), seen("logins_refused")), ("2".into(), "1".into()));
    assert_eq!(
        (seen("fetches"), seen("fetches_failed"), seen("last_error")),
        ("1".into(), "0".into(), "".into())
    );
    let (_, page) = page::get(pooler.page_port(), "/metrics");
    for series in [
        "pgweir_issuer_logins_total{issuer=\"tests\",result=\"accepted\"} 2",
        "pgweir_issuer_logins_total{issuer=\"tests\",result=\"refused\"} 1",
        "pgweir_issuer_key_fetches_total{issuer=\"tests\",result=\"ok\"} 1",
        "pgweir_issuer_keys{issuer=\"tests\"} 1",
        "pgweir_issuer_keys_age_seconds{issuer=\"tests\"} ",
    ] {
        assert!(page.contains(series), "{series}\n{page}");
    }
    let tables = ["clients", "servers", "sockets", "pools", "issuers", "users", "lists", "config"];
    let mut told = vec![("the log".to_owned(), pooler.log()), ("the page".to_owned(), page)];
    told.extend(
        tables
            .map(|table| (table.to_owned(), format!("{:?}", console.simple(&format!("show {table}")).rows))),
    );
    for (what, text) in told {
        no_token_in(&what, &text, &good);
        no_token_in(&what, &text, &bad);
    }
}

#[test]
fn the_longest_password_is_taken_and_a_longer_one_is_refused() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").start();
    for length in [16_385, 65_000, 100_000] {
        let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
        client.startup(&[("user", "app"), ("database", "app")]);
        let refused = prove(client, &"e".repeat(length)).map(drop);
        let too_long = Err("FATAL 08P01: password authentication failed".to_owned());
        assert!(refused == Err(REFUSED.to_owned()) || refused == too_long, "{length}: {refused:?}");
    }
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_ok());
}

#[test]
fn a_session_ends_with_its_token_and_a_line_of_the_map_bounds_its_queries() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "map=teams clock_skew=0")
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", "teams sub somebody app query_timeout=1\n")
        .start();
    let slow = issuer.token("somebody");
    let mut bounded = log_in(&pooler, "app", &slow).expect("it is a good token");
    assert_eq!(bounded.simple("select pg_sleep(20)").errors, ["FATAL 08P01: query timeout"]);
    let (mut short, end_s) = for_a_short_while(&issuer, "somebody", |token| {
        let mut session = log_in(&pooler, "app", token)?;
        let answer = session.simple("select 1");
        if answer.errors.is_empty() { Ok(session) } else { Err(answer.errors.concat()) }
    });
    let last_words = short.last_words();
    assert!(last_words.starts_with("FATAL 28000: "), "{last_words}");
    assert!(now_s() >= end_s);
}

/// What `log_in` makes of a token of `subject` that ends soon, and when it does, in seconds since 1970: the
/// shortest that this machine is quick enough for.
fn for_a_short_while<T>(
    issuer: &Issuer,
    subject: &str,
    mut log_in: impl FnMut(&str) -> Result<T, String>,
) -> (T, u64) {
    let mut refusals = Vec::new();
    for lifetime_s in [2, 8, 30] {
        let end_s = now_s() + lifetime_s;
        let mut claims = issuer.claims(subject);
        claims["exp"] = json!(end_s);
        match log_in(&issuer.sign("k1", "RS256", &claims)) {
            Ok(session) => return (session, end_s),
            Err(refusal) => refusals.push(refusal),
        }
    }
    panic!("{refusals:?}");
}

#[test]
fn the_console_ends_with_the_token_and_by_kill_principal() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "clock_skew=0 map=admins")
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", "admins sub root admin\nadmins sub bob admin\nadmins sub carol admin\n")
        .start();
    let root = issuer.token("root");
    let mut root = log_in_to(&pooler, "admin", "pgbouncer", &root).expect("root may come");
    let log_in = |token: &str| log_in_to(&pooler, "admin", "pgbouncer", token);
    let (mut bob, _) = for_a_short_while(&issuer, "bob", log_in);
    wait_until("the token has expired", || {
        bob.send(&raw::query("show version"));
        bob.outcome().errors == ["FATAL 28000: session ended: its token has expired"]
    });
    pooler.wait_for_log(
        "closing because: session ended: its token has expired, principal=bob issuer=tests (age=",
    );
    let mut carol = log_in_to(&pooler, "admin", "pgbouncer", &issuer.token("carol")).expect("carol may come");
    assert_eq!(root.simple("kill_principal 'carol' others").commands, ["KILL_PRINCIPAL 0"]);
    assert_eq!(root.simple("kill_principal 'carol' tests").commands, ["KILL_PRINCIPAL 1"]);
    assert!(carol.last_words().ends_with("admin forced disconnect"));
    assert_eq!(root.simple("show version").rows.len(), 1);
}

/// Whom a reload takes off the lists has no more rights than whoever logs in behind it.
#[test]
fn the_console_takes_rights_away_with_a_reload() {
    let issuer = Issuer::start();
    let with = |admins: &str, more: &str| {
        let claims = "admins sub root root\nadmins sub bob bob\nadmins sub carol carol\n";
        setup(&issuer, "map=admins")
            .set("auth_claims_file", "claims.conf")
            .file("claims.conf", claims)
            .set("admin_users", admins)
            .set("stats_users", more)
    };
    let mut pooler = with("root,bob,carol", "bob").start();
    let come = |user: &str| {
        log_in_to(&pooler, user, "pgbouncer", &issuer.token(user))
            .unwrap_or_else(|_| panic!("{user} may come"))
    };
    let (mut root, mut bob, mut carol) = (come("root"), come("bob"), come("carol"));
    assert_eq!(bob.simple("kill_principal 'nobody'").commands, ["KILL_PRINCIPAL 0"]);
    pooler.rewrite(|_| with("root", "bob"));
    assert_eq!(root.simple("reload").commands, ["RELOAD"]);
    assert!(!bob.simple("kill_principal 'nobody'").errors.is_empty(), "he may look");
    assert_eq!(bob.simple("show version").rows.len(), 1);
    carol.send(&raw::query("kill_principal 'nobody'"));
    assert!(carol.last_words().starts_with("FATAL "), "she may not even look");
    assert_eq!(root.simple("show version").rows.len(), 1);
}

#[test]
fn a_token_that_has_just_expired_lets_in_and_be_for_what_clocks_may_differ() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "clock_skew=5").start();
    let now = now_s();
    let mut claims = issuer.claims("app");
    claims["exp"] = json!(now - 1);
    let token = issuer.sign("k1", "RS256", &claims);
    let mut client = log_in(&pooler, "app", &token).expect("within the skew");
    assert_eq!(client.simple("select 1").value(), "1");
    let last_words = client.last_words();
    assert!(last_words.starts_with("FATAL 28000: "), "{last_words}");
    pooler.wait_for_log("session ended: its token has expired, principal=app issuer=tests (age=");
    assert!(now_s() >= now + 4, "no sooner than a login would be refused");
    assert_eq!(log_in(&pooler, "app", &token).err().as_deref(), Some(REFUSED));
}

/// PostgreSQL cuts a name of a role at 63 bytes: what is left may be somebody else's.
#[test]
fn a_role_of_more_bytes_than_postgresql_keeps_is_refused() {
    let issuer = Issuer::start();
    let long = "r".repeat(63);
    postgres().psql("postgres", &format!("create role {long} login"));
    let pooler = setup(&issuer, "").start();
    let token = |name: &str| issuer.token(name);
    assert!(log_in(&pooler, &long, &token(&long)).is_ok(), "63 bytes are a name");
    let cut = format!("{long}xyz");
    let refused = log_in(&pooler, &cut, &token(&cut)).expect_err("it would be another role");
    assert_eq!(refused, REFUSED);
}
