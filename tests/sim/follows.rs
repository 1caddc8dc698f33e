//! Whose value a session has: the client's own where it has set one, else the server's, which may have
//! changed since the client's login (ALTER DATABASE … SET, then RECONNECT).

use super::cases::{Bench, CLIENT, SERVER, complete, frame, params, query, ready};
use pgweir::base::{Micros, Peer};
use pgweir::config::PoolMode;
use pgweir::wire::tags::server as answer;

const ZONE: usize = 2;

fn zone(value: &str) -> Vec<u8> {
    frame(answer::PARAMETER_STATUS, format!("TimeZone\0{value}\0").as_bytes())
}

/// A client of the old days, and a server of its pool that says `zone` by itself.
fn reconnected(zone: &str) -> Bench {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.core.closed(SERVER, Micros(2), &mut bench.net);
    bench.params = params().with(ZONE, zone);
    assert_eq!(bench.server(), SERVER);
    bench
}

/// `client` asks, its server answers.
fn asks(bench: &mut Bench, client: Peer, sql: &str) {
    bench.says(client, &query(sql));
    assert_eq!(bench.sent(SERVER), format!("Q[{sql}~]"), "nothing is set before it");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
}

/// `client` sets its time zone.
fn sets(bench: &mut Bench, client: Peer, value: &str) {
    bench.says(client, &query("set timezone"));
    bench.sent(SERVER);
    bench.says(SERVER, &[complete("SET"), zone(value), ready(b'I')].concat());
    bench.sent(client);
}

/// The SET that comes before `sql` of `client`, and is answered.
fn set_first(bench: &mut Bench, client: Peer, sql: &str, value: &str) {
    bench.says(client, &query(sql));
    assert_eq!(bench.sent(SERVER), format!("Q[SET TimeZone='{value}';~]"));
    bench.says(SERVER, &[complete("SET"), zone(value), ready(b'I')].concat());
    bench.says(client, b"");
    assert_eq!(bench.sent(SERVER), format!("Q[{sql}~]"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
}

#[test]
fn who_has_set_nothing_has_what_the_server_has_and_hears_of_it_once() {
    let mut bench = reconnected("CET");
    asks(&mut bench, CLIENT, "one");
    assert_eq!(bench.sent(CLIENT), "S[TimeZone~CET~] C[SELECT 1~] Z[I]");
    asks(&mut bench, CLIENT, "two");
    assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I]");
}

#[test]
fn what_another_client_has_set_is_set_back_to_what_the_server_had() {
    let mut bench = reconnected("CET");
    let other = bench.client();
    sets(&mut bench, other, "EET");
    set_first(&mut bench, CLIENT, "one", "CET");
    assert_eq!(bench.sent(CLIENT), "S[TimeZone~CET~] C[SELECT 1~] Z[I]");
    set_first(&mut bench, other, "two", "EET");
    assert_eq!(bench.sent(other), "C[SELECT 1~] Z[I]", "its own is no news");
}

#[test]
fn who_has_set_one_keeps_it_and_who_has_set_it_back_does_not() {
    for (value, is_own) in [("EET", true), ("UTC", false)] {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        sets(&mut bench, CLIENT, "EET");
        sets(&mut bench, CLIENT, value);
        bench.core.closed(SERVER, Micros(2), &mut bench.net);
        bench.params = params().with(ZONE, "CET");
        bench.server();
        if is_own {
            set_first(&mut bench, CLIENT, "one", "EET");
        } else {
            asks(&mut bench, CLIENT, "one");
        }
    }
}

#[test]
fn who_has_asked_for_one_in_its_startup_message_keeps_it() {
    let mut bench = reconnected("CET");
    let asking = bench.client_with(params().with(ZONE, "EET"));
    set_first(&mut bench, asking, "one", "EET");
    assert_eq!(bench.sent(asking), "C[SELECT 1~] Z[I]");
}
