//! The answers owed, batch by batch.

use super::*;
use crate::core::relay::statements::StatementId;

fn expected(list: Vec<Expect>) -> Expected {
    let mut expected = Expected::default();
    list.into_iter().for_each(|expect| expected.push(expect));
    expected
}

#[test]
fn a_pipeline_settles_with_its_last_ready() {
    let mut owed = expected(vec![
        Expect::Parse(None),
        Expect::Bind,
        Expect::Describe,
        Expect::Execute,
        Expect::Sync,
        Expect::Bind,
        Expect::Execute,
        Expect::Sync,
    ]);
    for tag in *b"12TDDCZ" {
        if tag == b'Z' {
            owed.ready(|_| panic!("nothing to undo"));
        } else {
            assert_eq!(owed.answered(tag), Fate::Forward);
        }
    }
    assert!(!owed.is_settled());
    for tag in *b"2C" {
        owed.answered(tag);
    }
    owed.ready(|_| panic!("nothing to undo"));
    assert!(owed.is_settled());
}

#[test]
fn an_error_drops_what_the_server_will_not_answer() {
    let mut owed =
        expected(vec![Expect::Parse(None), Expect::Bind, Expect::Execute, Expect::Sync, Expect::Simple]);
    owed.answered(b'1');
    let mut undone = 0;
    owed.failed(|_| undone += 1);
    assert_eq!(undone, 2);
    owed.ready(|_| panic!("nothing to undo"));
    assert!(!owed.is_settled(), "the simple query is still to be answered");
    owed.ready(|_| panic!("nothing to undo"));
    assert!(owed.is_settled());
}

#[test]
fn what_an_error_undoes_is_undone_from_the_end() {
    let [old, new] = [StatementId(1), StatementId(2)];
    let mut owed = expected(vec![
        Expect::Bind,
        Expect::CloseOurs(old),
        Expect::ParseOurs(new),
        Expect::CloseOurs(new),
        Expect::ParseOurs(old),
        Expect::Sync,
    ]);
    let mut held = std::collections::BTreeSet::from([old]);
    owed.failed(|expect| match expect {
        Expect::ParseOurs(statement) => drop(held.remove(&statement)),
        Expect::CloseOurs(statement) => drop(held.insert(statement)),
        _ => {}
    });
    assert_eq!(held, std::collections::BTreeSet::from([old]), "nothing of it has happened");
    assert!(!owed.changes_statements());
    owed.ready(|_| panic!("nothing to undo"));
    assert!(owed.is_settled());
}

#[test]
fn an_unfinished_batch_is_not_at_rest_though_all_is_answered() {
    let mut owed = expected(vec![Expect::Bind, Expect::Execute]);
    owed.answered(b'2');
    owed.answered(b'C');
    assert!(owed.is_settled() && owed.is_unready());
    owed.push(Expect::Sync);
    owed.ready(drop);
    assert!(!owed.is_unready());
}

#[test]
fn what_is_the_poolers_own_is_no_message_of_a_client() {
    for (sent, is_of_one) in [
        (vec![], false),
        (vec![Expect::Name], false),
        (vec![Expect::Name, Expect::Simple], true),
        (vec![Expect::ParseOurs(StatementId(1)), Expect::Bind], true),
        (vec![Expect::Noted, Expect::Parse(None)], true),
        (vec![Expect::Bind, Expect::Execute], false),
        (vec![Expect::Simple, Expect::Simple], false),
    ] {
        assert_eq!(expected(sent.clone()).is_of_one(), is_of_one, "{sent:?}");
    }
    for (sent, is_of_one) in [
        (vec![Expect::Simple, Expect::Simple], true),
        (vec![Expect::Name, Expect::ParseOurs(StatementId(1)), Expect::Bind], true),
        (vec![Expect::Simple, Expect::ParseOurs(StatementId(1)), Expect::Bind], true),
        (vec![Expect::Simple, Expect::Close, Expect::Bind, Expect::Execute], false),
    ] {
        let mut owed = expected(sent.clone());
        owed.ready(drop);
        assert_eq!((owed.is_of_one(), owed.begins_nothing()), (is_of_one, false), "what is left of {sent:?}");
    }
    let mut owed = expected(vec![Expect::Close, Expect::Close]);
    assert!(owed.begins_nothing(), "a Close begins nothing");
    owed.push(Expect::Execute);
    assert!(!owed.begins_nothing());
}

#[test]
fn an_error_before_the_sync_was_sent_skips_up_to_it() {
    let mut owed = expected(vec![Expect::Bind, Expect::Execute]);
    owed.failed(drop);
    assert!(owed.is_skipping() && !owed.is_settled());
    owed.push(Expect::Sync);
    assert!(!owed.is_skipping());
    owed.ready(drop);
    assert!(owed.is_settled());
}

#[test]
fn answers_of_ours_keep_their_place() {
    let mut owed =
        expected(vec![Expect::Bind, Expect::ParseFake(StatementId(1)), Expect::CloseFake, Expect::Sync]);
    assert_eq!(owed.take_due(), None);
    owed.answered(b'2');
    assert_eq!(owed.take_due(), Some(Due::Answer(b'1')));
    assert_eq!(owed.take_due(), Some(Due::Answer(b'3')));
    assert_eq!(owed.take_due(), None);
}

#[test]
fn a_sync_sent_into_copy_data_is_not_answered() {
    let mut owed = expected(vec![Expect::Bind, Expect::Execute, Expect::Sync]);
    owed.answered(b'2');
    owed.copy_began();
    assert!(owed.copy_ended());
    owed.push(Expect::Sync);
    owed.answered(b'C');
    owed.ready(|_| panic!("nothing to undo"));
    assert!(owed.is_settled());
}

#[test]
fn copy_data_sent_before_the_server_asked_are_no_riddle() {
    let mut owed = expected(vec![Expect::Simple]);
    assert!(owed.takes_copy_data() && owed.copy_ended());
    owed.copy_began();
    owed.answered(b'C');
    owed.ready(drop);
    assert!(owed.is_settled());
    let mut refused = expected(vec![Expect::Simple]);
    refused.copy_ended();
    refused.failed(drop);
    refused.ready(drop);
    assert!(refused.is_settled());
}

#[test]
fn a_failed_copy_waits_for_the_clients_end() {
    let mut owed = expected(vec![Expect::Simple]);
    owed.copy_began();
    owed.failed(drop);
    owed.ready(drop);
    assert!(!owed.is_settled(), "the client's CopyDone is still under way");
    assert!(owed.copy_ended());
    assert!(owed.is_settled());
    assert!(!owed.copy_ended(), "a second one is a stray");
}

#[test]
fn a_sync_amid_data_that_fail_is_never_settled() {
    let mut owed = expected(vec![Expect::Bind, Expect::Execute]);
    owed.answered(b'2');
    owed.copy_began();
    owed.copy_data_sent();
    owed.push(Expect::Sync);
    assert!(owed.copy_ended());
    owed.push(Expect::Sync);
    owed.failed(drop);
    owed.ready(drop);
    assert!(!owed.is_settled(), "one ReadyForQuery or two: both are the client's");
}

#[test]
fn a_failed_copy_is_over_when_the_client_goes_on_without_an_end() {
    let mut owed = expected(vec![Expect::Simple]);
    owed.copy_began();
    owed.failed(drop);
    owed.ready(drop);
    owed.push(Expect::Simple);
    owed.answered(b'C');
    owed.ready(drop);
    assert!(owed.is_settled());
}

#[test]
fn a_failed_extended_copy_waits_for_end_and_sync() {
    let mut owed = expected(vec![Expect::Bind, Expect::Execute, Expect::Sync]);
    owed.answered(b'2');
    owed.copy_began();
    owed.failed(drop);
    assert!(owed.is_skipping());
    owed.copy_ended();
    assert!(!owed.is_settled());
    owed.push(Expect::Sync);
    owed.ready(drop);
    assert!(owed.is_settled());
}

#[test]
fn syncs_amid_copy_data_are_not_kept() {
    let mut owed = expected(vec![Expect::Simple]);
    (0..10).for_each(|_| owed.push(Expect::Sync));
    owed.copy_began();
    (0..10_000).for_each(|_| owed.push(Expect::Sync));
    assert_eq!(owed.queue.len(), 1, "the server ignores them all");
    owed.copy_ended();
    owed.push(Expect::Sync);
    owed.answered(b'C');
    owed.ready(drop);
    assert!(!owed.is_settled(), "the one behind the data is answered");
    owed.ready(drop);
    assert!(owed.is_settled());
}

#[test]
fn pipelined_copies_end_one_by_one() {
    let mut owed = Expected::default();
    for _ in 0..100 {
        owed.push(Expect::Simple);
        owed.copy_ended();
    }
    for n in 1..=100 {
        owed.copy_began();
        owed.answered(b'C');
        owed.ready(drop);
        assert_eq!((owed.queue.len(), owed.copy_ends), (2 * (100 - n), 100 - n));
    }
    assert!(owed.is_settled());
}

#[test]
fn a_close_that_is_answered_before_its_turn_is_known_for_what_it_is() {
    let [old, older, new, newer] = [1, 2, 3, 4].map(StatementId);
    let mut owed = expected(vec![
        Expect::CloseOurs(old),
        Expect::Parse(Some(new)),
        Expect::CloseOurs(older),
        Expect::ParseOurs(newer),
        Expect::Bind,
        Expect::Sync,
    ]);
    let fates: Vec<_> = b"33112".iter().map(|tag| owed.answered(*tag)).collect();
    use Fate::{Forward, Swallow};
    assert_eq!(fates, [Swallow, Swallow, Forward, Swallow, Forward]);
    assert!(!owed.changes_statements());
    owed.ready(|_| panic!("nothing to undo"));
    assert!(owed.is_settled());
    let mut owed = expected(vec![Expect::Parse(None), Expect::Bind, Expect::CloseOurs(old)]);
    assert_eq!(
        (owed.answered(b'3'), owed.queue.len()),
        (Forward, 3),
        "no Close can be answered before a Bind"
    );
}

#[test]
fn what_may_forget_statements_is_pending_until_all_is_answered() {
    let mut owed = expected(vec![Expect::Simple]);
    owed.note_forgetting();
    owed.push(Expect::Bind);
    owed.push(Expect::Sync);
    owed.ready(drop);
    assert!(owed.is_forgetting());
    owed.answered(b'2');
    owed.ready(drop);
    assert!(!owed.is_forgetting());
    owed.push(Expect::Sync);
    assert!(!owed.is_forgetting(), "a new request has nothing to do with it");
}

#[test]
fn copies_sent_ahead_cost_what_they_are_however_they_are_answered() {
    const COUNT: usize = 3000;
    // Ends of data behind queries that never were COPYs, Syncs among them; the server says that each is one.
    let mut owed = expected(vec![Expect::Simple; COUNT]);
    (0..COUNT).for_each(|_| assert!(owed.copy_ended()));
    owed.push(Expect::Sync);
    for _ in 0..COUNT {
        owed.copy_began();
        owed.answered(b'C');
    }
    assert!(owed.looked_at <= 2 * COUNT + 2, "{} were looked at", owed.looked_at);
    assert_eq!(owed.copy_ends, 0);
    // No end of data at all.
    let mut owed = expected(vec![Expect::Simple; COUNT]);
    owed.push(Expect::Sync);
    (0..COUNT).for_each(|_| owed.copy_began());
    assert!(owed.looked_at <= COUNT + 1, "{} were looked at", owed.looked_at);
    (0..COUNT).for_each(|_| {
        owed.answered(b'C');
        owed.ready(drop);
    });
    assert!(owed.is_settled());
}

#[test]
fn what_a_server_says_to_have_forgotten_counts_once_for_what_it_was_asked() {
    let mut owed = expected(vec![Expect::Simple, Expect::Bind, Expect::Execute]);
    assert_eq!(owed.forget(), Forgetting::All);
    assert_eq!(owed.forget(), Forgetting::Nothing, "it has said so");
    owed.ready(drop);
    assert_eq!(owed.forget(), Forgetting::Nothing, "a Bind makes nobody forget");
    owed.answered(b'2');
    owed.push(Expect::ParseFake(StatementId(1)));
    assert_eq!(owed.forget(), Forgetting::ButBehind);
    assert_eq!(Expected::default().forget(), Forgetting::Nothing, "it was asked nothing");
}

#[test]
fn a_server_that_forgets_without_end_is_not_listened_to_without_end() {
    let mut owed = expected(vec![Expect::Simple; 100]);
    owed.push(Expect::Parse(Some(StatementId(1))));
    let mut looked = 0;
    for _ in 0..100 {
        looked += u32::from(owed.forget() == Forgetting::ButBehind);
        owed.ready(drop);
    }
    assert_eq!(looked, FORGETTINGS_MAX);
}

#[test]
fn notes_of_a_failed_batch_are_undone_and_those_behind_it_stay() {
    let mut owed = Expected::default();
    for batch in [&[Expect::Parse(None), Expect::Bind][..], &[Expect::Parse(None)]] {
        for expect in batch {
            owed.push(*expect);
            owed.note_last();
        }
        owed.push(Expect::Sync);
    }
    let mut undone = 0;
    owed.failed(|expect| undone += usize::from(expect.is_noted()));
    assert_eq!(undone, 2);
    assert!(!owed.ready(|_| panic!("nothing to undo")));
    assert_eq!((owed.take_due(), owed.answered(b'1')), (None, Fate::Forward));
    assert_eq!((owed.take_due(), owed.take_due()), (Some(Due::Noted), None));
}

#[test]
fn a_simple_query_sets_a_context_unless_it_fails() {
    for fails in [false, true] {
        let mut owed = Expected::default();
        owed.push(Expect::Simple);
        owed.note_simple();
        assert!(owed.owes_ready() && !owed.needs_flush());
        let mut undone = 0;
        if fails {
            owed.failed(|expect| undone += usize::from(expect.is_noted()));
        }
        assert_eq!(owed.ready(|_| panic!("nothing to undo")), !fails);
        assert!(undone == usize::from(fails) && owed.is_settled());
    }
}
