//! The cases of server logins by IAM: which tests go through each ([`every_case_has_its_tests`] holds the
//! list to be true), and how they assert one at every side.
//!
//! A [`Case`] is told by the pooler to its operators ([`Story`]), by the verifier (RDS's `iam-db-auth-error`
//! log), and by PostgreSQL's own log. Beyond what a test asks for, the sides have to agree: as many tokens
//! were taken as the pooler counts logins, as many refused as it counts refusals, and PostgreSQL has logged
//! each under the same backend. Only where a login was cut off while the verifier looked at it may the pooler
//! know of fewer. What clients see is each test's own matter.
//!
//! `tokens` is `tests/tokens.rs`, where a server records every byte that it is sent.
//!
//! - 1: expired token:
//!   `logins::an_expired_token_is_followed_by_a_fresh_one_at_once`,
//!   `logins::clocks_that_disagree_are_told_as_such`
//! - 2: wrong region:
//!   `logins::a_token_for_the_wrong_region_is_refused_and_the_region_named`
//! - 3: wrong host, an alias:
//!   `logins::a_token_for_an_alias_is_refused_and_the_alias_warned_of`
//! - 4: wrong key:
//!   `logins::a_wrong_key_is_tried_less_and_less_often_and_told_once`
//! - 5: role revoked, pool alive:
//!   `denial::a_role_that_left_rds_iam_keeps_its_transactions_and_loses_its_servers`,
//!   `denial::a_revoked_permission_ends_the_pool_with_the_age_of_its_servers`,
//!   `denial::on_denied_decides_what_becomes_of_the_servers`,
//!   `bounds::one_revoked_role_begins_nothing_beyond_the_bound_of_each_choice`,
//!   `bounds::all_revoked_roles_begin_nothing_beyond_the_bound_of_each_choice`,
//!   `bounds::drop_now_drops_within_a_second_of_the_verdict`
//! - 6: role restored:
//!   `denial::a_role_that_is_permitted_later_is_served_without_a_reload`
//! - 7: clocks 5 and 20 minutes apart:
//!   `logins::clocks_that_disagree_are_told_as_such`,
//!   `logins::a_clock_that_is_set_wrong_is_told_without_an_answer_of_aws`
//! - 8: no IMDS at the start:
//!   `credentials::clients_wait_for_credentials_that_are_not_there_yet`
//! - 9: no IMDS at a refresh:
//!   `credentials::a_source_that_fails_later_is_not_noticed_while_its_credentials_are_good`,
//!   `credentials::nor_is_one_that_does_not_answer`
//! - 10: expired credentials from the source:
//!   `credentials::nothing_is_signed_with_credentials_that_came_dead`,
//!   `credentials::dead_credentials_of_the_platform_may_sign_while_there_are_no_others_but_aws_decides`,
//!   `credentials::a_refusal_of_dead_credentials_is_not_put_down_to_those_that_came_meanwhile`
//! - 11: STS throttles:
//!   `credentials::one_throttled_source_is_one_caller_however_many_databases_share_it`
//! - 12: short-lived credentials:
//!   `credentials::tokens_never_outlive_the_credentials_that_signed_them`
//! - 13: cut off in a login:
//!   `denial::a_slow_service_holds_up_only_those_who_need_it`,
//!   `denial::a_server_that_hangs_up_over_a_token_is_no_denial`,
//!   `denial::a_network_that_is_cut_in_the_middle_of_a_login_holds_up_nobody_else`
//! - 14: another authority:
//!   `safety::another_authority_or_another_name_sees_no_token`,
//!   `tokens::another_authority_sees_no_token`
//! - 15: no TLS:
//!   `safety::a_server_without_tls_sees_no_token`,
//!   `tokens::a_server_without_tls_sees_no_token`
//! - 16: another proof asked for:
//!   `safety::a_request_for_another_proof_gets_no_token`,
//!   `tokens::a_request_for_another_proof_gets_no_token`
//! - 17: another name:
//!   `safety::another_authority_or_another_name_sees_no_token`,
//!   `tokens::another_name_sees_no_token`
//! - 18: storm of clients:
//!   `denial::a_storm_of_clients_logs_in_at_the_pace_of_the_budget`,
//!   `denial::a_server_that_takes_fewer_logins_than_are_tried_is_told_as_that_and_tried_less`
//! - 19: renewal under load:
//!   `recycling::a_loaded_pool_is_renewed_again_and_again_and_nobody_notices`
//! - 20: long tokens, odd names:
//!   `logins::names_of_roles_are_encoded_and_long_session_tokens_sent_whole`
//! - 21: chain of sources:
//!   `credentials::a_pinned_source_does_not_fall_through_to_another`
//! - 22: secrets:
//!   `secrecy::no_output_shows_a_secret`,
//!   `secrecy::no_token_stays_in_memory`

use crate::common::story::{Story, Told};
use crate::common::{Pooler, programs, wait_for};
use crate::rig::{Rds, Verdict};

/// A pooler in front of a rig, from now on.
pub struct Case<'a> {
    rds: &'a Rds,
    pooler: &'a Pooler,
    verdicts: usize,
    log_bytes: usize,
}

/// What the server's side should tell.
pub struct Server<'a> {
    /// How the reasons begin for which tokens were refused. Each has occurred, and no other.
    pub refused: &'a [&'a str],
    /// Words of PostgreSQL's log.
    pub log: &'a [&'a str],
}

impl<'a> Case<'a> {
    /// Begin it before the first login.
    pub fn of(rds: &'a Rds, pooler: &'a Pooler) -> Self {
        Self { rds, pooler, verdicts: rds.verdicts().len(), log_bytes: rds.log().len() }
    }

    /// Waits until every side tells it so; what the operators read then.
    #[track_caller]
    pub fn is(&self, story: &Story<'_>, server: &Server<'_>) -> Told {
        wait_for(|| {
            let told = story.told_by(self.pooler);
            let log = self.rds.log().split_off(self.log_bytes);
            let verdicts = self.rds.verdicts().split_off(self.verdicts);
            let of_user: Vec<_> = verdicts.into_iter().filter(|verdict| verdict.user == story.user).collect();
            let complaints = [server.contradictions(&of_user, &log), disagreements(&told, &of_user, &log)];
            let complaints = complaints.concat();
            match complaints.is_empty() {
                true => Ok(told),
                false => Err(format!("{}\n{:?}\n{of_user:?}\n{log}", complaints.join("\n"), told.row)),
            }
        })
    }
}

impl Server<'_> {
    /// No token was refused.
    pub const FINE: Self = Self { refused: &[], log: &[] };

    /// Where it is told otherwise.
    fn contradictions(&self, verdicts: &[Verdict], log: &str) -> Vec<String> {
        let mut all = Vec::new();
        let refusals = || verdicts.iter().filter(|verdict| verdict.code != 200);
        for reason in self.refused {
            if !refusals().any(|verdict| verdict.reason.starts_with(reason)) {
                all.push(format!("no token was refused for {reason}"));
            }
        }
        for verdict in refusals() {
            if !self.refused.iter().any(|reason| verdict.reason.starts_with(reason)) {
                all.push(format!("a token was refused: {verdict:?}"));
            }
        }
        all.extend(
            self.log.iter().filter(|words| !log.contains(**words)).map(|words| format!("no {words:?}")),
        );
        all
    }
}

/// Where the sides disagree.
fn disagreements(told: &Told, verdicts: &[Verdict], log: &str) -> Vec<String> {
    let mut all = Vec::new();
    let user = &told.row["user"];
    let cut_off = told.logins("failed", "unreachable");
    let (taken, refused): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.code == 200);
    let accepted = told.number("logins_ok");
    if !(accepted..=accepted + cut_off).contains(&(taken.len() as u64)) {
        all.push(format!("{} tokens were taken, but {accepted} logins counted", taken.len()));
    }
    // Where no token was refused, something else was: the role is no member of rds_iam, TLS is not verified.
    let unseen = if refused.is_empty() { told.refused() } else { cut_off };
    let (counted, judged) = (told.refused(), refused.len() as u64);
    if !(judged..=judged + unseen).contains(&counted) {
        all.push(format!("{judged} tokens were refused, but {counted} refusals counted"));
    }
    let says = |verdict: &Verdict, words: &str| {
        log.lines().any(|line| line.starts_with(&format!("{} ", verdict.pid)) && line.contains(words))
    };
    let (welcome, refusal) = (
        format!("connection authenticated: identity=\"{user}\" method=pam"),
        format!("PAM authentication failed for user \"{user}\""),
    );
    let gave_up = "canceling authentication due to timeout";
    all.extend(
        verdicts
            .iter()
            .filter(|verdict| !says(verdict, if verdict.code == 200 { &welcome } else { &refusal }))
            .filter(|verdict| !says(verdict, gave_up))
            .map(|verdict| format!("PostgreSQL has not logged {verdict:?}")),
    );
    if log.matches(&welcome).count() > taken.len() {
        all.push(format!("PostgreSQL has let {user} in without the verifier"));
    }
    all
}

/// The source of a module of tests.
fn source(module: &str) -> String {
    let path = if module == "tokens" { "tests/tokens.rs".into() } else { format!("tests/rds/{module}.rs") };
    std::fs::read_to_string(programs::in_repository(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_case_has_its_tests() {
    let text = source("cases");
    let (list, _) = text.split_once("\n\n").expect("the code comes behind the list");
    let mut numbers = Vec::new();
    for case in list.split("\n//! - ").skip(1) {
        let (number, rest) = case.split_once(": ").expect("a number");
        numbers.push(number.parse::<u32>().expect("a number"));
        let tests: Vec<_> = rest.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "case {number} has no test");
        for test in tests {
            let (module, name) = test.split_once("::").expect("module::name");
            assert!(source(module).contains(&format!("#[test]\nfn {name}() {{")), "there is no test {test}");
        }
    }
    assert_eq!(numbers, (1..=22).collect::<Vec<_>>());
}
