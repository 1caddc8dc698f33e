//! Who may be here by what holds now: the list of those that are denied, what has been found about sessions
//! by tokens (`token_sessions.rs`), and, where `identity_recheck` says so, the rules and users that have let
//! a client in.
//!
//! Asked at each login, and of those who are logged in by workers ([`crate::core::Judge`]). A worker keeps
//! the judge and asks it of each newcomer, so nobody slips in between the two: whoever was let in by an older
//! list comes to his worker behind the letter that tells of the newer one, or is there when that comes.

use super::grounds::{Grounds, Lapse};
use super::plane::Plane;
use super::policy::Policy;
use crate::auth::Method;
use crate::auth::hba::{Origin, Visit};
use crate::base::{Address, DenyReason, Proof, limits, log_about};
use crate::config::{AuthType, CONSOLE_DATABASE, Recheck};
use crate::core::{Answer, ClientIdentity, Command, Judge};
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
        let of_token = client.proof.principal.as_ref().and_then(|principal| principal.standing.lapsed());
        if of_token.is_some() {
            return of_token;
        }
        let policy = self.policy.load();
        match policy.snapshot.settings.identity_recheck {
            Recheck::Off => None,
            Recheck::All => reason_of_policy(&policy, client),
        }
    }

    /// Whether that is the policy in force.
    pub(crate) fn is_in_force(&self, policy: &Policy) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.policy.load()), policy)
    }

    /// Whether the policy in force would let in who stands on these grounds; its session is marked where it
    /// would not.
    ///
    /// # Errors
    /// Why it would not.
    pub(crate) fn judge_grounds(&self, grounds: &Grounds) -> Result<(), Lapse> {
        let policy = self.policy.load_full();
        let verdict = grounds.judge(&policy);
        if let Err(lapse) = &verdict
            && grounds.principal.standing.lapse(lapse.reason())
        {
            self.token_sessions.has_lost_one();
            log_about!(info, grounds.about(), "session is to end: {lapse}");
        }
        verdict
    }

    /// Judges all sessions by tokens by the policy in force, each as long as a login takes for its claims:
    /// not for a thread that others wait for. [`Plane::judge_sessions`] then has workers end those that are
    /// marked. Returns how many were marked by it.
    pub(crate) fn judge_token_sessions(&self) -> usize {
        let (mut last, mut lapsed) = (0, 0);
        loop {
            let some = self.token_sessions.behind(last);
            let Some(end) = some.last() else { return lapsed };
            last = end.socket_id;
            for grounds in &some {
                let is_marked = grounds.principal.standing.lapsed().is_some();
                lapsed += usize::from(!is_marked && self.judge_grounds(grounds).is_err());
            }
        }
    }

    /// Has every worker judge its clients by what holds now, and those that come from then on. Returns how
    /// many sessions end.
    ///
    /// # Cancel safety
    /// Some workers have judged all of theirs by then; newcomers are judged by those that were told.
    pub async fn judge_sessions(self: &Arc<Self>) -> usize {
        let has_cause = self.denials.list.load().count() > 0
            || self.token_sessions.has_lapsed()
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

    /// KILL_PRINCIPAL: disconnects the clients of a principal; of one issuer, or method, where that is given.
    /// Returns how many there were.
    ///
    /// # Cancel safety
    /// Some of them are disconnected.
    pub async fn kill_principal(&self, name: &str, whose: Option<&str>) -> usize {
        let name: Box<str> = name.into();
        let whose: Option<Box<str>> = whose.map(|whose| Method::word_of_proofs(whose).into());
        let is_meant = move |client: &ClientIdentity| {
            let issuer = client.proof.principal.as_ref().map_or("", |principal| &principal.issuer);
            let is_of = |whose: &str| whose == issuer || whose == client.proof.method;
            let is_meant = client.principal() == &*name && whose.as_deref().is_none_or(is_of);
            is_meant.then_some(DenyReason::Denied)
        };
        let of_console = self.console_clients.kill_meant(|client| is_meant(client).is_some());
        let is_meant = Judge(Arc::new(is_meant));
        of_console + self.in_slices(|from| Command::KillMeant(is_meant.clone(), from)).await
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
    // A pass over tokens' grounds has judged those that came by one.
    let is_of_token = client.proof.method == Method::Jwt.word();
    let has_rules = policy.snapshot.settings.auth_type == AuthType::Hba;
    if !has_rules || is_of_token || &*client.database == CONSOLE_DATABASE {
        return None;
    }
    let origin = match client.remote {
        Address::Tcp(address) => Origin::Tcp { ip: address.ip(), is_tls: !client.tls.is_empty() },
        Address::Unix { .. } => Origin::Local,
    };
    let (database, user) = (&*client.database, &*client.user);
    let visit = Visit { origin, database, user, replication: client.replication };
    let Some(rule) = policy.hba.rule_for(&visit).filter(|rule| rule.method != Method::Reject) else {
        return Some(DenyReason::NoRule);
    };
    if rule.method.word() != client.proof.method {
        return Some(DenyReason::OtherMethod);
    }
    // Whom a certificate, or an account, has named may be that user by the map, or by the same name.
    let name = client.principal();
    let is_given = match rule.map() {
        Some(map) => map.name_for(&client.user, |mapped| mapped == name).is_some(),
        None => !rule.method.takes_map() || name == &*client.user,
    };
    (!is_given).then_some(DenyReason::RoleNotGiven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Question;
    use crate::auth::hba::{Hba, IdentMaps};
    use crate::control::tests::policy;
    use crate::wire::startup::Replication;

    const RULES: &str = "local all all peer map=staff\nhost all all all cert map=staff\n";

    /// Why a client of the database `app` may not stay, by that proof, rules and maps.
    fn reason(proof: Proof, rules: &str, maps: &str) -> Option<DenyReason> {
        let mut policy = policy("app =", "auth_type = hba\nauth_hba_file = h\nidentity_recheck = all");
        let maps = IdentMaps::load("i", &|_| Ok(maps.as_bytes().to_vec())).unwrap().0;
        let read = |_: &str| Ok(rules.as_bytes().to_vec());
        policy.hba = Arc::new(Hba::load("h", &maps, &read).unwrap().0);
        let client = ClientIdentity {
            socket_id: 1,
            database: "app".into(),
            user: "app".into(),
            proof,
            remote: Address::Tcp("192.0.2.7:40000".parse().unwrap()),
            local: Address::Tcp("192.0.2.1:6432".parse().unwrap()),
            tls: "TLSv1.3".to_owned(),
            connected_at_epoch_s: 0,
            replication: Replication::No,
            internal: false,
        };
        reason_of_policy(&policy, &client)
    }

    #[test]
    fn a_rule_must_fit_and_ask_for_what_was_proven() {
        let of_map = || Proof::under_name("cert", "alice", "app");
        let staff = "staff alice app\n";
        assert_eq!(reason(of_map(), RULES, staff), None);
        assert_eq!(reason(of_map(), "host other all all cert\n", staff), Some(DenyReason::NoRule));
        assert_eq!(reason(of_map(), "host all all all reject\n", staff), Some(DenyReason::NoRule));
        assert_eq!(reason(of_map(), "host all all all md5\n", staff), Some(DenyReason::OtherMethod));
        assert_eq!(reason(Proof::by("trust"), RULES, staff), Some(DenyReason::OtherMethod));
        assert_eq!(reason(Proof::by("md5"), "host all all all md5\n", staff), None);
    }

    #[test]
    fn an_ident_map_must_still_give_the_user() {
        let of_map = || Proof::under_name("cert", "alice", "app");
        let not_given = Some(DenyReason::RoleNotGiven);
        assert_eq!(reason(of_map(), RULES, "staff alice app\nstaff alice other\n"), None);
        assert_eq!(reason(of_map(), RULES, "staff alice all\n"), None);
        assert_eq!(reason(of_map(), RULES, "staff alice other\nstaff bob app\n"), not_given);
        assert_eq!(reason(of_map(), "host all all all cert\n", ""), not_given, "there is no map any more");
        assert_eq!(reason(Proof::by("cert"), "host all all all cert\n", ""), None);
        assert_eq!(reason(Proof::by("cert"), RULES, "staff app app\n"), None);
        assert_eq!(reason(Proof::by("cert"), RULES, "staff alice app\n"), not_given);
    }

    #[test]
    fn the_methods_of_files_have_their_words() {
        let asked = [Question::Plain, Question::Md5, Question::ScramSha256].map(Method::Asked);
        let methods = [Method::Trust].into_iter().chain(asked).chain([Method::Cert, Method::Peer]);
        assert_eq!(methods.map(Method::word).collect::<Vec<_>>(), FROM_FILES);
    }
}
