//! What follows a login that has failed: for those who wait, and for the logins to come.

use super::Attempt;
use crate::control::Place;
use crate::core::Command;
use crate::servers::outcome::{Failure, LoginConnection, RetryDecision};
use crate::wire::Fault;

impl Attempt {
    pub(super) async fn fail(&self, mut connection: LoginConnection, mut failure: Failure, mut place: Place) {
        let share = &self.entry.share;
        if self.is_of_yesterday() {
            // nobody hears of this one, nor waits for it
            (failure.sequel, failure.fault) = (RetryDecision::Nothing, None);
        }
        let text = || failure.why.as_deref().unwrap_or(&failure.reason).to_owned();
        let is_known = share.obstacle().is_some_and(|known| *known == text());
        // one line is enough for what is tried each second and fails before there is a connection
        if connection.opened.is_some() || !is_known {
            self.log_close(&connection.peer, &failure.reason);
            self.record_refusal(&text());
        }
        let is_answer = self.draw_conclusions(&failure, text(), &mut place);
        self.look_for_change(failure.sequel);
        // who may still be served by another login that is under way goes on waiting: the last
        // one to fail is his answer
        let unusable = share.live_count() == 0 || self.entry.welcome.known(self.generation).is_none();
        if let Some(fault) = failure.fault.filter(|_| is_answer && unusable) {
            self.entry.welcome.refuse(fault.clone());
            self.servers.plane.tell_all(|| Command::FailWaiting(share.id, fault.clone()));
        }
        connection.end().await;
        drop(place);
    }

    /// What has changed while conclusions were drawn found none to take back.
    pub(super) fn look_for_change(&self, sequel: RetryDecision) {
        if sequel != RetryDecision::Nothing && self.is_of_yesterday() {
            self.servers.plane.forget_failures(&self.entry);
        }
    }

    /// What the failure of the login in `place` means for those to come. Returns whether it is the
    /// answer to those who wait.
    fn draw_conclusions(&self, failure: &Failure, text: String, place: &mut Place) -> bool {
        let (share, retry) = (&self.entry.share, self.policy.snapshot.settings.server_login_retry);
        match failure.sequel {
            RetryDecision::Nothing => false,
            // in this order, so that nobody takes a failure for a denial (`PoolShare::refusal`)
            RetryDecision::Retry => {
                share.set_obstacle(None);
                self.entry.last_failure.failed(self.sent.clone());
                place.login_failed(text, retry)
            }
            RetryDecision::Refused => {
                share.set_obstacle(None);
                let (sent, fault) = (self.sent.clone(), failure.fault.clone());
                let fault = fault.unwrap_or(Fault::LoginFailing { cached: text.clone() });
                let until = self.entry.last_failure.refused(
                    sent,
                    fault,
                    (self.started, self.servers.plane.now()),
                    retry,
                );
                place.login_failed(text, until.since(self.started))
            }
            RetryDecision::RefuseUntil(until) => {
                share.set_obstacle(Some(text.clone()));
                let fault = failure.fault.clone();
                let fault = fault.unwrap_or(Fault::LoginFailing { cached: text.clone() });
                self.entry.last_failure.refused_until(self.sent.clone(), fault, until);
                place.login_failed(text, until.since(self.started))
            }
            RetryDecision::WaitUntil(until) => {
                self.entry.last_failure.failed(self.sent.clone());
                place.login_postponed(until.since(self.started));
                share.set_obstacle(Some(text));
                false
            }
        }
    }
}
