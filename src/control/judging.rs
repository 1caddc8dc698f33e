//! Who may be here by what holds now: the list of those that are denied, and, where `identity_recheck` says
//! so, the rules and users that have let a client in.
//!
//! Asked at each login, and of those who are logged in by workers ([`crate::core::Judge`]). A worker keeps
//! the judge and asks it of each newcomer, so nobody slips in between the two: whoever was let in by an older
//! list comes to his worker behind the letter that tells of the newer one, or is there when that comes.

use super::plane::Plane;
use super::policy::Policy;
use crate::auth::Method;
use crate::auth::hba::{Origin, Visit};
use crate::base::{Address, Proof, limits};
use crate::config::{AuthType, CONSOLE_DATABASE, Recheck};
use crate::core::{Answer, ClientIdentity, Command, DenyReason, Judge};
use crate::identity::DenyList;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Plane {
    /// Who is denied.
    pub fn deny_list(&self) -> Arc<DenyList> {
        self.denials.list.load_full()
    }

    /// From now on these are denied. Those who are logged in are judged by [`Plane::judge_sessions`].
    pub fn set_deny_list(&self, list: DenyList) {
        self.denials.list.store(Arc::new(list));
    }

    /// Whether who has proven himself so, or as that user, is denied.
    pub fn is_denied(&self, user: &str, proof: &Proof) -> bool {
        let list = self.denials.list.load();
        match &proof.principal {
            Some(principal) => list.denies(&principal.name, &principal.issuer, proof.method),
            None => list.denies(user, "", proof.method),
        }
    }

    /// Why a client that is logged in may not stay.
    pub fn deny_reason(&self, client: &ClientIdentity) -> Option<DenyReason> {
        if self.is_denied(&client.user, &client.proof) {
            return Some(DenyReason::Denied);
        }
        let policy = self.policy.load();
        match policy.snapshot.settings.identity_recheck {
            Recheck::Off => None,
            Recheck::All => reason_of_policy(&policy, client),
        }
    }

    /// Has every worker judge its clients by what holds now, and those that come from then on. Returns how
    /// many sessions end.
    ///
    /// # Cancel safety
    /// Some workers have judged all of theirs by then; newcomers are judged by those that were told.
    pub async fn judge_sessions(self: &Arc<Self>) -> usize {
        let has_cause = self.denials.list.load().count() > 0
            || self.policy.load().snapshot.settings.identity_recheck != Recheck::Off;
        // Once told, a worker has to be told that there is no cause any more, too.
        if !has_cause && !self.denials.are_workers_told.load(Ordering::Relaxed) {
            return 0;
        }
        self.denials.are_workers_told.store(true, Ordering::Relaxed);
        let plane = Arc::clone(self);
        let judge = Judge(Arc::new(move |client: &ClientIdentity| plane.deny_reason(client)));
        self.in_slices(|from| Command::Judge(judge.clone(), from)).await
    }

    /// KILL_PRINCIPAL: disconnects the clients of a principal, of one issuer where that is given. Returns how
    /// many there were.
    ///
    /// # Cancel safety
    /// Some of them are disconnected.
    pub async fn kill_principal(&self, name: &str, issuer: Option<&str>) -> usize {
        let (name, issuer): (Box<str>, Option<Box<str>>) = (name.into(), issuer.map(Into::into));
        let is_meant = move |client: &ClientIdentity| {
            let of = client.proof.principal.as_ref().map_or("", |principal| &principal.issuer);
            let is_issuers = issuer.as_deref().is_none_or(|issuer| issuer == of);
            (client.principal() == &*name && is_issuers).then_some(DenyReason::Denied)
        };
        let is_meant = Judge(Arc::new(is_meant));
        self.in_slices(|from| Command::KillMeant(is_meant.clone(), from)).await
    }

    /// Has each worker look at its clients, some at a time.
    async fn in_slices(&self, command: impl Fn(usize) -> Command) -> usize {
        let mut all = 0;
        for worker in 0..self.workers.len().min(limits::WORKERS_MAX) {
            let mut place = Some(0);
            while let Some(from) = place {
                let answer = self.ask(crate::base::WorkerId(worker as u16), command(from)).await;
                let Some(Answer::Judged { ended, next }) = answer else { break };
                all += ended;
                place = next;
            }
        }
        all
    }
}

/// Methods of which the users stand in a file, or are asked for by auth_query; by their words.
const FROM_FILES: [&str; 6] = ["trust", "plain", "md5", "scram-sha-256", "cert", "peer"];

/// Why what has let a client in does not any more; what nobody has looked up in a file is not looked at.
fn reason_of_policy(policy: &Policy, client: &ClientIdentity) -> Option<DenyReason> {
    if FROM_FILES.contains(&client.proof.method) && policy.users.is_gone(&client.user) {
        return Some(DenyReason::UserGone);
    }
    let is_of_token = client.proof.method == Method::Jwt.word();
    let issuer = client.proof.principal.as_ref().filter(|_| is_of_token).map(|principal| &*principal.issuer);
    if issuer.is_some_and(|issuer| policy.tokens.named(issuer).is_none()) {
        return Some(DenyReason::RoleNotGiven);
    }
    if policy.snapshot.settings.auth_type != AuthType::Hba || &*client.database == CONSOLE_DATABASE {
        return None;
    }
    let origin = match client.remote {
        Address::Tcp(address) => Origin::Tcp { ip: address.ip(), is_tls: !client.tls.is_empty() },
        Address::Unix { .. } => Origin::Local,
    };
    let (database, user) = (&*client.database, &*client.user);
    let visit = Visit { origin, database, user, replication: client.replication };
    let rule = policy.hba.rule_for(&visit);
    rule.is_none_or(|rule| rule.method == Method::Reject).then_some(DenyReason::NoRule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Question;

    #[test]
    fn the_methods_of_files_have_their_words() {
        let asked = [Question::Plain, Question::Md5, Question::ScramSha256].map(Method::Asked);
        let methods = [Method::Trust].into_iter().chain(asked).chain([Method::Cert, Method::Peer]);
        assert_eq!(methods.map(Method::word).collect::<Vec<_>>(), FROM_FILES);
    }
}
