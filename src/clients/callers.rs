//! Who has signed a presigned GetCallerIdentity: asked of AWS STS once for each, within a budget.
//!
//! What STS has said of a request holds for as long as the request does, and is all that holds where STS
//! cannot be asked. A refusal is kept for a moment, since it may have been one of STS's own making. Never
//! lets anybody in: that is the mapping's, and the login's.

use crate::base::{Address, Expiry, Micros, limits};
use crate::control::{PacedTurns, Plane, Randomness, TokenId, Verdict, Verdicts};
use crate::iam::caller::{CallerEndpoint, CallerError, CallerSts};
use crate::identity::presigned::Caller;
use crate::identity::sts_answer::CallerIdentity;
use crate::stats::TOKEN_OUTCOMES;
use crate::tasks;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Somebody whom STS has named, and until when that holds.
#[derive(Clone, Debug)]
pub(super) struct Identified {
    /// Whom.
    pub identity: Arc<CallerIdentity>,
    /// Until when.
    pub expiry: Expiry,
}

/// Why nobody was named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unidentified {
    /// By STS.
    #[error("AWS STS refuses it: {0}")]
    Refused(Arc<str>),
    /// STS could not be asked.
    #[error("AWS STS cannot tell: {0}")]
    Unavailable(String),
    /// The system has no randomness, or the call has panicked, which the log has told.
    #[error("the pooler cannot ask")]
    Fault,
}

/// Callers of AWS, as STS has named them.
pub struct Callers {
    sts: CallerSts,
    verdicts: Arc<Verdicts<Identified>>,
    turns: PacedTurns,
    /// In the order of [`TOKEN_OUTCOMES`].
    counts: [AtomicU64; TOKEN_OUTCOMES.len()],
}

/// What a login asks with.
pub(super) struct Question<'a> {
    /// Where.
    pub endpoint: &'a Arc<CallerEndpoint>,
    /// Calls a second at the most.
    pub per_second: u32,
    /// The token as the client has sent it.
    pub token: &'a str,
    /// The same, read.
    pub caller: Caller,
    /// Whose token it is.
    pub client: &'a Address,
    /// Seconds since the epoch.
    pub now_epoch_s: u64,
}

impl Default for Callers {
    fn default() -> Self {
        let turns = PacedTurns::new("AWS STS");
        Self { sts: CallerSts::default(), verdicts: Arc::default(), turns, counts: Default::default() }
    }
}

impl Callers {
    /// How many logins came to what, in the order of [`TOKEN_OUTCOMES`].
    pub fn counts(&self) -> [u64; TOKEN_OUTCOMES.len()] {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }

    /// One has sent what is no request of a caller.
    pub(super) fn is_unfit(&self) {
        self.count(0);
    }

    /// Who has signed the request.
    ///
    /// # Errors
    /// Nobody that STS knows, or STS cannot be asked.
    /// # Cancel safety
    /// STS may be asked all the same, and what it says is kept.
    pub(super) async fn identify(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        random: &Randomness,
        question: Question<'_>,
    ) -> Result<Identified, Unidentified> {
        let (endpoint, server_id) = (question.endpoint.to_string(), question.endpoint.server_id());
        let parts = [question.token, &endpoint, server_id];
        let id = self.verdicts.id(random, &parts).ok_or(Unidentified::Fault)?;
        if let Some(known) = self.known(&id, plane.now()) {
            return known;
        }
        let judging = self.verdicts.judge(id).await;
        if let Some(known) = self.known(&id, plane.now()) {
            return known;
        }
        let turn = self.turns.take(question.client, question.per_second, plane).await;
        let (callers, plane) = (Arc::clone(self), Arc::clone(plane));
        let Question { caller, now_epoch_s, .. } = question;
        let (asked_at, endpoint) = (plane.now(), Arc::clone(question.endpoint));
        // A task of its own: whoever leaves meanwhile has asked for the next one, and a panic ends it alone.
        let asking = async move {
            let outcome = callers.sts.identify(&endpoint, &caller).await;
            let left_s = caller.signed.expires_at_epoch_s.saturating_sub(now_epoch_s);
            let at = asked_at + Micros::from_secs(left_s);
            let expiry = Expiry { at, at_epoch_s: caller.signed.expires_at_epoch_s };
            let judged = callers.judged(id, outcome, expiry, plane.now());
            drop((turn, judging));
            judged
        };
        let asked = tasks::spawn("question for a caller", question.client.to_string(), asking).await;
        asked.ok().flatten().unwrap_or(Err(Unidentified::Fault))
    }

    fn known(&self, id: &TokenId, now: Micros) -> Option<Result<Identified, Unidentified>> {
        let known = self.verdicts.known(id, now)?;
        self.count(1);
        Some(match known {
            Verdict::Accepted(identified) => Ok(identified),
            Verdict::Refused(why) => Err(Unidentified::Refused(why)),
        })
    }

    /// Keeps what STS has said, where it has said something.
    fn judged(
        &self,
        id: TokenId,
        outcome: Result<CallerIdentity, CallerError>,
        expiry: Expiry,
        now: Micros,
    ) -> Result<Identified, Unidentified> {
        match outcome {
            Ok(identity) => {
                self.count(2);
                let identified = Identified { identity: Arc::new(identity), expiry };
                self.verdicts.accept(id, identified.clone(), expiry.at);
                Ok(identified)
            }
            Err(CallerError::Refused(why)) => {
                self.count(3);
                let why: Arc<str> = why.to_string().into();
                let until = now + Micros::from_millis(limits::TOKEN_REFUSED_MS);
                self.verdicts.refuse(id, Arc::clone(&why), until);
                Err(Unidentified::Refused(why))
            }
            Err(CallerError::Unavailable(why)) => {
                self.count(4);
                Err(Unidentified::Unavailable(why.to_string()))
            }
        }
    }

    fn count(&self, outcome: usize) {
        self.counts[outcome].fetch_add(1, Ordering::Relaxed);
    }
}
