//! Tokens that clients have made for themselves (`rds_iam`): shown to the endpoint that they are for, as they
//! are, and refused here where that can be told without it (cases 23 and 24). Tokens are botocore's.

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, programs, secrets, wait_until};
use crate::proof::{GOOD, Request, botocore};
use crate::rig::{KEY, RDS_PORT, Rds};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The access key of the clients.
const CLIENT_KEY: &str = "AKIACLIENTEXAMPLE";

const CLIENT_SECRET: &str = "hUsHhUsH/client+secret=";

/// What a client signs for `app`.
const OWN: Request<'static> = Request { key: CLIENT_KEY, secret: CLIENT_SECRET, ..GOOD };

const RULES: &str = "
local   all        all                  trust
host    pgbouncer  all   127.0.0.1/32   trust
hostssl all        all   127.0.0.1/32   rds_iam
";

fn setup(rds: &Rds) -> PoolerSetup {
    rds.add_key(CLIENT_KEY, CLIENT_SECRET, "-", "-");
    rds.pooler()
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules")
        .set("client_iam_mode", "pass_through")
        .set("iam_client_source_rate", 1000)
        .set("client_tls_sslmode", "allow")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .file("rules", RULES)
}

/// A client that shows a token; the error that it ended with.
fn shown(pooler: &Pooler, user: &str, database: &str, token: &str) -> Result<Raw, String> {
    let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
    client.startup(&[("user", user), ("database", database)]);
    let asked = client.read().expect("an answer");
    if asked.tag == b'E' {
        return Err(asked.message());
    }
    assert_eq!((asked.tag, &asked.body[..]), (b'R', &[0, 0, 0, 3][..]), "the password in clear");
    client.send(&raw::frame(b'p', format!("{token}\0").as_bytes()));
    let welcome = client.outcome();
    if welcome.status.is_some() { Ok(client) } else { Err(welcome.errors.join("; ")) }
}

#[track_caller]
fn refused(outcome: Result<Raw, String>) {
    let error = outcome.expect_err("must be refused");
    assert_eq!(error, "FATAL 28000: RDS IAM authentication failed");
}

/// A client of the pool that is let in without a token.
fn trusted(pooler: &Pooler) -> Result<String, String> {
    let mut client = Raw::unix(pooler.directory(), pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    let welcome = client.outcome();
    if welcome.status.is_none() {
        return Err(welcome.errors.join("; "));
    }
    let outcome = client.simple("select current_user");
    if outcome.errors.is_empty() { Ok(outcome.value()) } else { Err(outcome.errors.join("; ")) }
}

/// Process ids of the backends that this key's tokens were shown to, of logins of that code.
fn of_key(rds: &Rds, key: &str, code: u16) -> Vec<u32> {
    let all = rds.verdicts();
    all.iter()
        .filter(|verdict| verdict.key == key && verdict.code == code)
        .map(|verdict| verdict.pid)
        .collect()
}

#[test]
fn a_clients_own_token_is_its_verdict_and_its_server_joins_the_pool() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[OWN, Request { ago_s: 2, ..OWN }, Request { ago_s: 4, ..OWN }]) else {
        return;
    };
    let pooler = setup(&rds).start();
    // no pool yet: the login goes no further than its verdict, and the pool's first server is our own
    let mut first = shown(&pooler, "app", "app", &tokens[0]).expect("it is let in");
    assert_eq!(first.simple("select current_user").value(), "app");
    assert_eq!((of_key(&rds, CLIENT_KEY, 200).len(), of_key(&rds, KEY, 200).len()), (1, 1));
    for _ in 0..3 {
        drop(shown(&pooler, "app", "app", &tokens[0]).expect("it is known"));
    }
    assert_eq!(of_key(&rds, CLIENT_KEY, 200).len(), 1, "one login for one token");
    let _second = shown(&pooler, "app", "app", &tokens[1]).expect("it is let in");
    wait_until("the server that it has opened joins", || {
        let joined = of_key(&rds, CLIENT_KEY, 200);
        joined.len() == 2 && rds.backends("app").contains(&joined[1])
    });
    assert_eq!((rds.backends("app").len(), of_key(&rds, KEY, 200).len()), (2, 1));
    let servers = pooler.ask("show servers").records();
    assert_eq!(servers.iter().filter(|row| row["database"] == "app" && row["user"] == "app").count(), 2);
    // nobody else's pool has it, and no role but its own
    refused(shown(&pooler, "reader", "app", &tokens[2]));
    assert_eq!(rds.asked("reader"), 0);
    // what the token of one has opened serves another in the pool of that role
    let mut third = shown(&pooler, "app", "app", &tokens[2]).expect("it is let in");
    assert_eq!(third.simple("select current_user").value(), "app");
}

#[test]
fn one_token_is_one_login_and_is_shown_again_when_its_verdict_is_over() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[OWN, Request { ago_s: 880, ..OWN }]) else { return };
    let pooler = setup(&rds).start();
    rds.behave("delay_ms=500");
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| shown(&pooler, "app", "app", &tokens[0]).map(drop))).collect();
        for client in clients {
            assert_eq!(client.join().expect("no panic"), Ok(()));
        }
    });
    assert_eq!(of_key(&rds, CLIENT_KEY, 200).len(), 1);
    rds.behave("");
    for logins in [2, 3] {
        drop(shown(&pooler, "app", "app", &tokens[1]).expect("it is let in"));
        assert_eq!(of_key(&rds, CLIENT_KEY, 200).len(), logins, "within its last seconds it is never known");
    }
    let pooler = setup(&rds).set("iam_client_cache_ttl", 0).start();
    for logins in [4, 5] {
        drop(shown(&pooler, "app", "app", &tokens[0]).expect("it is let in"));
        assert_eq!(of_key(&rds, CLIENT_KEY, 200).len(), logins);
    }
    rds.behave(&format!("denied_key={CLIENT_KEY}"));
    refused(shown(&pooler, "app", "app", &tokens[0]));
}

#[test]
fn no_output_shows_a_token() {
    let Some(rds) = Rds::start() else { return };
    let wrong = Request { secret: "hUsHhUsH/wrong", ..OWN };
    let session = "hUsHhUsH//session+token=";
    let temporary = Request { key: "ASIACLIENTEXAMPLE", session: Some(session), ..OWN };
    let Some(tokens) = botocore(&[OWN, wrong, temporary]) else { return };
    let pooler = setup(&rds).set("verbose", 3).start();
    rds.add_key("ASIACLIENTEXAMPLE", CLIENT_SECRET, session, "-");
    let mut kept = vec![shown(&pooler, "app", "app", &tokens[0]).expect("it is let in")];
    refused(shown(&pooler, "app", "app", &tokens[1]));
    refused(shown(&pooler, "app", "app", &format!("{}x", tokens[0])));
    kept.push(shown(&pooler, "app", "app", &tokens[2]).expect("it is let in"));
    let told = crate::secrecy::shown(&pooler, pooler.page_port()) + &pooler.log();
    for outcome in ["unfit", "accepted", "refused"] {
        let line = format!("pgweir_rds_token_logins_total{{outcome=\"{outcome}\"}}");
        let count = told.lines().find_map(|shown| shown.strip_prefix(&line)).expect("it is on the page");
        assert_ne!(count.trim(), "0", "{outcome}");
    }
    for token in &tokens {
        let signature = &token[token.len() - 64..];
        assert!(!told.contains(signature) && !told.contains("X-Amz-Signature="), "a token is shown");
    }
    secrets::none_in("the console, the page or the log", &told);
}

#[test]
fn a_full_pool_gives_no_place_to_a_token_that_may_be_no_good() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[OWN, Request { ago_s: 2, ..OWN }]) else { return };
    let pooler = setup(&rds).set("default_pool_size", 2).start();
    let _first = shown(&pooler, "app", "app", &tokens[0]).expect("it is let in");
    wait_until("the pool has a server", || rds.backends("app").len() == 1);
    let _second = shown(&pooler, "app", "app", &tokens[1]).expect("it is let in");
    assert_eq!(of_key(&rds, CLIENT_KEY, 200).len(), 2, "it was shown");
    assert_eq!(rds.backends("app").len(), 1, "the last place is the pool's own");
}

#[test]
fn what_is_for_anybody_else_is_refused_without_a_login() {
    let Some(rds) = Rds::start() else { return };
    let requests = [
        Request { host: "other.abc.eu-central-1.rds.amazonaws.com", ..OWN },
        Request { port: RDS_PORT + 1, ..OWN },
        Request { user: "reader", ..OWN },
        Request { region: "eu-west-1", ..OWN },
        Request { ago_s: 901, ..OWN },
        Request { ago_s: -400, ..OWN },
        OWN,
    ];
    let Some(mut tokens) = botocore(&requests) else { return };
    let pooler = setup(&rds).start();
    let good = tokens.pop().expect("the last one is good");
    let longest = 65_530 - good.len();
    tokens.extend([
        format!("{good}&DBUser=app"),
        format!("{good}&dbuser=reader"),
        format!("{good}&X-Amz-Date=20240826T220000Z"),
        format!("{good}&Foo=1"),
        format!("https://{good}"),
        format!("{good}#"),
        good.replace("Action=connect", "Action=DbConnect"),
        good.replace("DBUser=app", "DBUser=%61pp"),
        good.to_ascii_uppercase(),
        good.replace("X-Amz-Expires=900", "X-Amz-Expires=901"),
        format!("{good}{}", "x".repeat(longest)),
        "app-secret".to_owned(),
    ]);
    for token in &tokens {
        refused(shown(&pooler, "app", "app", token));
    }
    refused(shown(&pooler, "nobody", "app", &good));
    refused(shown(&pooler, "app", "nowhere", &good));
    // nobody becomes an administrator by a role of a database's, not even where `*` is for every name
    let open = setup(&rds).database_at("*", &rds.database()).set("admin_users", "app").file(
        "rules",
        "local all all trust\nhostssl all all 127.0.0.1/32 rds_iam\nhost all all 127.0.0.1/32 trust",
    );
    refused(shown(&open.start(), "app", "pgbouncer", &good));
    // a password message of 70 KB is not read to its end
    refused(shown(&pooler, "app", "app", &"x".repeat(70_000)));
    for user in ["app", "reader", "nobody"] {
        assert_eq!(rds.asked(user), 0, "no server was logged in to as {user}");
    }
    for why in [
        "role: it is too long",
        "it is for another host",
        "it is for another user",
        "it has expired",
        "it has DBUser twice",
    ] {
        pooler.wait_for_log(why);
    }
    assert_eq!(pooler.ask("show pools").records().iter().filter(|row| row["database"] == "app").count(), 0);
    drop(shown(&pooler, "app", "app", &good).expect("it is let in"));
    let log = pooler.log();
    assert!(
        !log.contains("X-Amz-Signature=") && !log.contains(&good[good.len() - 64..]),
        "a token in the log"
    );
    secrets::none_in("the log", &log);
}

#[test]
fn no_token_is_asked_for_without_tls_and_the_mode_is_asked_for_at_load() {
    let Some(rds) = Rds::start() else { return };
    let pooler = setup(&rds).file("rules", "local all all trust").set("auth_type", "rds_iam").start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(client.outcome().tags, "E", "nothing is asked for");
    for (setup, expected) in [
        (setup(&rds).unset("client_iam_mode"), "allow that by client_iam_mode=pass_through"),
        (
            setup(&rds).set("auth_type", "rds_iam").set("client_tls_sslmode", "disable"),
            "auth_type=rds_iam needs TLS: ",
        ),
        (
            setup(&rds).file("rules", "hostnossl all all all rds_iam"),
            "tokens would come without TLS: rds_iam",
        ),
        (setup(&rds).file("rules", "hostssl all all all rds_iam map=x"), "unsupported parameters"),
    ] {
        let output = setup.check(&[]);
        let said = programs::said(&output);
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_refusal_holds_for_a_moment_and_what_is_no_verdict_does_not() {
    let Some(rds) = Rds::start() else { return };
    let other = Request { secret: "hUsHhUsH/wrong", ..OWN };
    let Some(tokens) = botocore(&[other, OWN]) else { return };
    let pooler = setup(&rds).set("iam_login_timeout", 1).start();
    for _ in 0..3 {
        refused(shown(&pooler, "app", "app", &tokens[0]));
    }
    assert_eq!(of_key(&rds, CLIENT_KEY, 403).len(), 1, "a moment later it is not shown again");
    pooler.wait_for_log("RDS token login failed: ");
    rds.behave("delay_ms=30000");
    refused(shown(&pooler, "app", "app", &tokens[1]));
    pooler.wait_for_log("RDS tokens cannot be judged: ");
    rds.behave("");
    drop(shown(&pooler, "app", "app", &tokens[1]).expect("it is shown again"));
    assert_eq!(trusted(&pooler).as_deref(), Ok("app"));
}

/// The token with another signature, which nobody has made.
fn forged(token: &str, number: usize) -> String {
    format!("{}{number:064x}", &token[..token.len() - 64])
}

#[test]
fn a_flood_of_tokens_keeps_its_budget_and_the_pools_own_logins_are_not_in_it() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[OWN]) else { return };
    let pooler = setup(&rds).set("iam_client_login_rate", 5).set("log_connections", 0).start();
    assert_eq!(trusted(&pooler).as_deref(), Ok("app"));
    let (ends, sent, number) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (pooler, ends, sent, number, token) = (&pooler, &ends, &sent, &number, &tokens[0]);
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let at = number.fetch_add(1, Ordering::Relaxed);
                    // two of three are told without a login
                    let text = if thread % 3 == 0 { forged(token, at) } else { format!("garbage-{at}") };
                    refused(shown(pooler, "app", "app", &text));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut served = 0;
        while begun.elapsed() < Duration::from_secs(4) || sent.load(Ordering::Relaxed) < 300 {
            assert_eq!(pooler.ask("reconnect").commands, ["RECONNECT"]);
            assert_eq!(trusted(&pooler).as_deref(), Ok("app"), "the pool's own logins go on");
            served += 1;
        }
        ends.store(true, Ordering::Relaxed);
        assert!(served > 3, "{served} clients were served by servers that were logged in to meanwhile");
    });
    let elapsed_s = begun.elapsed().as_secs_f64();
    let shown = of_key(&rds, CLIENT_KEY, 403).len();
    let most = 5.0 + 5.0 * elapsed_s;
    assert!(shown > 5 && shown as f64 <= most, "{shown} tokens were shown in {elapsed_s} s");
    assert!(of_key(&rds, KEY, 200).len() > 3 && of_key(&rds, KEY, 403).is_empty());
}

#[test]
fn one_address_has_a_pace_of_its_own() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[OWN]) else { return };
    let pooler = setup(&rds).set("iam_client_source_rate", 1).start();
    let begun = Instant::now();
    for number in 0..3 {
        refused(shown(&pooler, "app", "app", &forged(&tokens[0], number)));
    }
    assert!(begun.elapsed() >= Duration::from_millis(1900), "three logins within {:?}", begun.elapsed());
}
