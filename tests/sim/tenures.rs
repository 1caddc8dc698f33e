//! What the end of an identity comes to, case by case: one `Core` without a network, its peers played by
//! hand.

use super::cases::{
    Bench, CLIENT, SERVER, bind, complete, empties, error, execute, frame, notice, parse, query, ready,
};
use super::identities::{DENIED, EXPIRED, TOLD};
use pgweir::base::{DenyReason, Expiry, Micros, Peer, PoolId, Principal, Proof};
use pgweir::config::{OnDenied, OnExpired, PoolMode, PoolRules};
use pgweir::core::{Answer, Command, Judge, Note};
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

const END: Micros = Micros(1_000);

/// A client whose token is good to [`END`], and an idle server.
fn bench(mode: PoolMode) -> (Bench, Peer) {
    let mut bench = Bench::new(mode, 0);
    let principal = Principal {
        name: "someone".into(),
        issuer: "idp".into(),
        claims: Box::default(),
        expiry: Some(Expiry { at: END, at_epoch_s: 0 }),
        timeouts: Default::default(),
        standing: Default::default(),
    };
    bench.proof = Proof { method: "jwt", principal: Some(Arc::new(principal)) };
    let client = bench.client();
    (bench, client)
}

impl Bench {
    fn rule(&mut self, change: impl FnOnce(&mut PoolRules)) {
        let mut rules = PoolRules::clone(&self.share.rules());
        change(&mut rules);
        self.command(Command::Rules(PoolId(0), Arc::new(rules)));
    }

    /// A client sends bytes, of which the core takes as many as it likes.
    fn goes_on(&mut self, client: Peer, bytes: &[u8]) {
        let mut left = self.says(client, bytes);
        loop {
            let before = std::mem::replace(&mut left, self.says(client, b""));
            if left == before {
                return;
            }
        }
    }

    fn expire(&mut self) {
        self.now = END;
        self.janitor();
    }

    fn deny(&mut self, name: &'static str, reason: DenyReason) -> usize {
        let judge =
            move |client: &pgweir::core::ClientIdentity| (client.principal() == name).then_some(reason);
        match self.command(Command::Judge(Judge(Arc::new(judge)), 0)) {
            Answer::Judged { ended, .. } => ended,
            answer => panic!("{answer:?}"),
        }
    }

    fn is_closed(&mut self, peer: Peer) -> bool {
        self.acts().iter().any(|act| act.starts_with(&format!("close {peer:?}")))
    }

    fn counted(&mut self) -> [u64; 4] {
        match self.command(Command::Stats(0)) {
            Answer::Stats(stats, _) => {
                let counters = &stats[0].1;
                let ended =
                    [counters.sessions_expired, counters.sessions_denied, counters.sessions_rule_changed];
                [ended[0], ended[1], ended[2], counters.sessions_killed]
            }
            answer => panic!("{answer:?}"),
        }
    }
}

fn told(text: &str) -> String {
    format!("E[SFATAL~C28000~M{text}~~]")
}

const SESSIONS: [PoolMode; 2] = [PoolMode::Transaction, PoolMode::Session];

#[test]
fn an_idle_session_ends_with_the_pass_behind_its_tokens_end() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.now = Micros(END.0 - 1);
    bench.janitor();
    assert!(!bench.is_closed(client));
    bench.expire();
    assert_eq!(bench.sent(client), told(EXPIRED));
    assert!(bench.is_closed(client) && !bench.is_closed(CLIENT), "the other one has no token");
    assert_eq!(bench.counted(), [1, 0, 0, 0]);
}

#[test]
fn a_transaction_is_finished_and_its_server_lent_on() {
    for mode in SESSIONS {
        let (mut bench, client) = bench(mode);
        bench.says(client, &query("begin"));
        bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
        bench.expire();
        assert!(!bench.is_closed(client), "{mode:?}");
        bench.says(client, &query("commit"));
        bench.sent(client);
        bench.sent(SERVER);
        bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
        assert_eq!(bench.sent(client), format!("C[COMMIT~] Z[I] {}", told(EXPIRED)), "{mode:?}");
        if mode == PoolMode::Session {
            assert_eq!(bench.sent(SERVER), "Q[DISCARD ALL~]");
            bench.says(SERVER, &[complete("DISCARD ALL"), ready(b'I')].concat());
        }
        let acts = bench.acts();
        assert!(acts.iter().any(|act| act.starts_with(&format!("close {client:?}"))), "{acts:?}");
        assert!(!acts.iter().any(|act| act.starts_with(&format!("close {SERVER:?}"))), "{acts:?}");
        bench.says(CLIENT, &query("select 2"));
        assert_eq!(bench.sent(SERVER), "Q[select 2~]", "{mode:?}");
    }
}

#[test]
fn a_session_with_a_server_ends_between_its_transactions() {
    let (mut bench, client) = bench(PoolMode::Session);
    bench.says(client, &query("select 1"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.sent(client);
    bench.sent(SERVER);
    bench.expire();
    assert_eq!((bench.sent(client), bench.sent(SERVER)), (told(EXPIRED), "Q[DISCARD ALL~]".to_owned()));
}

#[test]
fn who_waits_does_not_begin() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(CLIENT, &query("begin"));
    bench.says(client, &query("select 1"));
    bench.expire();
    assert_eq!(bench.sent(client), told(EXPIRED));
    assert_eq!(bench.share.oldest_waiter(), None);
}

#[test]
fn a_batch_that_was_cancelled_before_it_had_a_server_is_answered_to_its_end() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(CLIENT, &query("begin"));
    bench.says(client, &parse("", "select 1"));
    bench.command(Command::Cancel(2, 0));
    bench.says(client, &bind(""));
    assert!(bench.sent(client).contains("~C57014~"), "it is told why");
    bench.expire();
    assert_eq!(bench.sent(client), "", "ReadyForQuery comes first");
    bench.says(client, &[execute(), empties(&[ask::SYNC])].concat());
    for _ in 0..4 {
        bench.says(client, b"");
    }
    bench.janitor();
    assert_eq!(bench.sent(client), format!("Z[I] {}", told(EXPIRED)));
}

#[test]
fn nothing_that_is_sent_ahead_begins_another_transaction() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.expire();
    bench.sent(SERVER);
    // It never lets the server owe nothing outside a transaction.
    bench.says(client, &[query("commit"), query("begin"), query("select 1")].concat());
    assert_eq!(bench.says(client, b""), query("begin").len() + query("select 1").len());
    assert_eq!(bench.sent(SERVER), "Q[commit~]");
    bench.sent(client);
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    assert_eq!(bench.sent(client), format!("C[COMMIT~] Z[I] {}", told(EXPIRED)));
    assert_eq!(bench.sent(SERVER), "");
}

#[test]
fn a_block_that_goes_on_goes_on() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.expire();
    bench.sent(SERVER);
    bench.acts();
    bench.says(client, &[query("select 1"), query("select 2")].concat());
    bench.says(client, b"");
    assert_eq!(
        (bench.sent(SERVER), bench.acts()),
        (
            "Q[select 1~]".to_owned(),
            vec![format!("pause {client:?}"), format!("resume {client:?}"), format!("pause {client:?}"),]
        )
    );
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'T')].concat());
    assert_eq!(bench.acts(), [format!("resume {client:?}")]);
    bench.says(client, b"");
    assert_eq!(bench.sent(SERVER), "Q[select 2~]");
    bench.says(client, &[parse("", "commit"), bind(""), execute(), empties(&[ask::SYNC])].concat());
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'T')].concat());
    while bench.says(client, b"") > 0 {}
    assert!(bench.sent(SERVER).ends_with("S[]"), "a batch goes on to its end");
    bench.sent(client);
    let answers = empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]);
    bench.says(SERVER, &[answers, complete("COMMIT"), ready(b'I')].concat());
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

#[test]
fn copy_data_pass_and_their_end_is_the_boundary() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("copy t from stdin"));
    bench.expire();
    bench.sent(SERVER);
    let data = frame(ask::COPY_DATA, b"1\n");
    bench.says(client, &[data.clone(), data].concat());
    bench.says(SERVER, &frame(answer::COPY_IN_RESPONSE, &[0, 0, 0]));
    while bench.says(client, b"") > 0 {}
    bench.says(client, &[empties(&[ask::COPY_DONE]), query("select 1")].concat());
    while bench.sent(SERVER).contains("c[]") {
        bench.says(client, b"");
    }
    bench.says(client, b"");
    bench.sent(client);
    bench.says(SERVER, &[complete("COPY 2"), ready(b'I')].concat());
    assert_eq!(bench.sent(client), format!("C[COPY 2~] Z[I] {}", told(EXPIRED)));
    assert!(!bench.sent(SERVER).contains("select 1"));
}

#[test]
fn a_failed_transaction_is_one_where_answers_are_not_counted_any_more_too() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    // A Sync that is sent amid the data of a COPY is answered or is not: which, the pooler cannot know.
    let data = [frame(ask::COPY_DATA, b"1\n"), empties(&[ask::SYNC])].concat();
    bench.says(client, &[parse("", "copy t from stdin"), bind(""), execute(), data].concat());
    while bench.says(client, b"") > 0 {}
    bench.says(SERVER, &frame(answer::PARSE_COMPLETE, b""));
    bench.says(SERVER, &frame(answer::BIND_COMPLETE, b""));
    bench.says(SERVER, &[frame(answer::COPY_IN_RESPONSE, &[0, 0, 0]), error(), ready(b'E')].concat());
    bench.expire();
    assert!(!bench.sent(client).contains(EXPIRED), "what is left of it is ROLLBACK");
    bench.says(client, &query("rollback"));
    bench.says(SERVER, &[complete("ROLLBACK"), ready(b'I')].concat());
    bench.janitor();
    assert_eq!(bench.sent(client), format!("C[ROLLBACK~] Z[I] {}", told(EXPIRED)));
}

#[test]
fn a_failed_batch_is_read_to_its_sync() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &parse("", "select 1/0"));
    bench.expire();
    bench.says(SERVER, &error());
    bench.says(client, &[bind(""), empties(&[ask::SYNC]), query("select 1")].concat());
    while bench.says(client, b"") > query("select 1").len() {}
    assert!(bench.sent(SERVER).ends_with("S[]"));
    bench.says(SERVER, &ready(b'I'));
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

#[test]
fn nothing_is_said_in_the_middle_of_a_notice() {
    let (mut bench, client) = bench(PoolMode::Session);
    bench.says(client, &query("select 1"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    let notice = notice();
    bench.says(SERVER, &notice[..7]);
    bench.expire();
    assert!(!bench.is_closed(client));
    bench.sent(SERVER);
    bench.says(client, &query("select 2"));
    assert_eq!(bench.sent(SERVER), "", "it is too late to begin");
    bench.sent(client);
    bench.says(SERVER, &notice[7..]);
    bench.says(client, b"");
    let sent = bench.net.sent.remove(&client).unwrap_or_default();
    let last = sent.strip_prefix(&notice[7..]).unwrap_or_default();
    assert!(last.windows(EXPIRED.len()).any(|text| text == EXPIRED.as_bytes()), "{sent:?}");
}

#[test]
fn grace_notice_and_nothing_are_settings() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.rule(|rules| rules.expiry_grace = Micros(5));
    bench.expire();
    assert_eq!(bench.sent(client), "");
    bench.rule(|rules| (rules.expiry_grace, rules.on_expired) = (Micros(0), OnExpired::Ignore));
    bench.janitor();
    assert_eq!(bench.sent(client), "");
    bench.rule(|rules| rules.on_expired = OnExpired::Notify);
    bench.janitor();
    assert_eq!(bench.sent(client), format!("N[SNOTICE~C00000~M{TOLD}~~]"));
    bench.janitor();
    assert_eq!((bench.sent(client), bench.counted()), (String::new(), [0; 4]), "once");
    bench.says(client, &query("select 1"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.sent(client), "C[SELECT 1~] Z[I]");
    bench.rule(|rules| rules.on_expired = OnExpired::Drain);
    bench.janitor();
    assert_eq!(bench.sent(client), told(EXPIRED));
}

#[test]
fn who_is_denied_ends_and_nobody_else_does() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    assert_eq!(bench.deny("nobody", DenyReason::Denied), 0);
    assert_eq!(bench.deny("someone", DenyReason::Denied), 1);
    assert_eq!((bench.sent(client), bench.sent(CLIENT)), (told(DENIED), String::new()));
    let newcomer = bench.client();
    assert_eq!(bench.sent(newcomer), told(DENIED), "he was let in by an older list");
    assert_eq!(bench.counted(), [0, 2, 0, 0]);
    bench.deny("someone", DenyReason::RoleNotGiven);
    let newcomer = bench.client();
    assert!(bench.sent(newcomer).contains("~C28000~Msession ended: its role is no longer"));
    assert_eq!(bench.counted(), [0, 2, 1, 0]);
}

#[test]
fn a_denial_drains_or_drops() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("select pg_sleep(1)"));
    bench.deny("someone", DenyReason::Denied);
    assert!(!bench.is_closed(client));
    bench.rule(|rules| rules.on_denied = OnDenied::DropNow);
    bench.net.notes.clear();
    bench.janitor();
    assert_eq!(bench.sent(client), told(DENIED));
    assert!(matches!(bench.net.notes[..], [Note::SendCancel { client: 0, .. }, ..]), "{:?}", bench.net.notes);
    let acts = bench.acts();
    assert!(acts.iter().any(|act| act.starts_with(&format!("close {SERVER:?}"))), "{acts:?}");
}

/// What was asked for before the end was known is answered, each to its end.
#[test]
fn what_was_sent_ahead_of_the_end_is_no_new_transaction() {
    let (mut bench, client) = bench(PoolMode::Session);
    bench.says(client, &[query("begin"), query("commit"), query("begin")].concat());
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.expire();
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.janitor();
    assert!(!bench.is_closed(client));
    bench.sent(client);
    bench.says(client, &query("rollback to a"));
    bench.says(SERVER, &[complete("ROLLBACK"), ready(b'T')].concat());
    bench.janitor();
    assert!(!bench.is_closed(client), "it is the same transaction");
    bench.says(client, &query("commit"));
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

/// Whoever never commits may read for ever.
#[test]
fn a_denied_transaction_that_never_ends_is_ended() {
    let goes_on = |bench: &mut Bench, client| {
        bench.says(client, &query("select"));
        bench.says(SERVER, &[complete("SELECT 0"), ready(b'T')].concat());
        bench.janitor();
    };
    for timeout in [Micros::from_secs(10), Micros(0)] {
        let (mut bench, client) = bench(PoolMode::Transaction);
        bench.rule(|rules| rules.drain_timeout = timeout);
        goes_on(&mut bench, client);
        bench.deny("someone", DenyReason::Denied);
        let begin = bench.now;
        bench.now = begin + Micros::from_secs(9);
        bench.deny("someone", DenyReason::Denied);
        goes_on(&mut bench, client);
        assert!(!bench.is_closed(client));
        bench.sent(client);
        bench.now = begin + Micros::from_secs(10);
        bench.janitor();
        let told_of = if timeout == Micros(0) { String::new() } else { told(DENIED) };
        assert_eq!(bench.sent(client), told_of, "{timeout:?}");
    }
}

/// Who has worked for longer than his token holds is no one who must go: what he has begun may be long.
#[test]
fn an_expired_token_cuts_no_transaction_however_long() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.rule(|rules| rules.drain_timeout = Micros(1));
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.now = END + Micros::from_secs(1_000);
    bench.janitor();
    bench.now = END + Micros::from_secs(2_000);
    bench.janitor();
    assert!(!bench.is_closed(client));
}

#[test]
fn a_timeout_holds_for_who_is_to_end() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.rule(|rules| rules.transaction_timeout = Micros(50));
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.expire();
    bench.sent(client);
    bench.now = END + Micros(100);
    bench.janitor();
    assert!(bench.sent(client).contains("transaction timeout"), "a block is not for ever");
}

#[test]
fn kill_ends_those_that_are_meant() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("begin"));
    let meant = |client: &pgweir::core::ClientIdentity| {
        (client.principal() == "someone").then_some(DenyReason::Denied)
    };
    let answer = bench.command(Command::KillMeant(Judge(Arc::new(meant)), 0));
    assert!(matches!(answer, Answer::Judged { ended: 1, .. }), "{answer:?}");
    assert!(bench.is_closed(client));
    let newcomer = bench.client();
    assert!(!bench.is_closed(newcomer), "it bars nobody");
    assert_eq!(bench.counted(), [0, 0, 0, 1]);
}

mod ahead;
mod amid;
