//! Logins for the sake of knowing: whether somebody can be logged in by IAM, while a pool at its cap
//! keeps the servers that work.
//!
//! Where there is room, a renewal opens the new server first, and tries again as soon as the back-off allows:
//! nothing is to be done here. Where there is none, an old server has to go before the new one can come: not
//! before it is known that it can. And while logins fail there, a denial would never be proven, and a trouble
//! that has passed would go unnoticed. A probe shows its token and goes no further: it asks for a database
//! that there is not, so PostgreSQL ends it before it counts as a session, and no cap is touched. It takes
//! its turn in the endpoint's budget, last of all, and its pauses are those of any other login. At most one
//! goes on for each ([`Who`]) that logs in to an entry's endpoints.

use super::entry;
use super::shared::Probe;
use crate::base::{Micros, limits};
use crate::control::PoolEntry;
use crate::core::{Command, Scope, Stance};
use crate::iam::Alarm;
use crate::iam::denial::Who;
use crate::iam::rules::Rules;
use crate::servers::attempt::Attempt;
use crate::servers::servers::Servers;
use crate::tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two looks at what servers are worth, so that a verdict that time brings about
/// takes effect within a second.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Between two log lines about a clock that stays off.
const REMIND: Micros = Micros::from_secs(600);

/// When logins work again after a time in which servers were kept beyond their hard age, those are replaced
/// within this time; whatever is left is closed then. At the usual pace it is enough for 1,200.
const CATCH_UP: Micros = Micros::from_secs(60);

/// For how long a login that was accepted shows that the next one will be: until a renewal that was put
/// off for a probe is asked for again. A pool whose servers are idle asks at a janitor's pass, which may
/// come late by another one.
const SURE_FOR: Micros = Micros::from_millis(LOOK_AGAIN.as_millis() as u64 + 3 * limits::JANITOR_PERIOD_MS);

impl Servers {
    /// Keeps up what the servers of every pool are worth, for as long as the process lives.
    ///
    /// # Cancel safety
    /// May be dropped at any time; probes that are under way end by themselves.
    pub async fn watch_iam(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_AGAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut was_calm, mut alarm) = (true, (Alarm::default(), self.plane.now()));
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.iam.credentials_arrive() => {
                    self.go_on_with_credentials();
                    was_calm = false;
                    continue; // what servers are worth is looked at by the clock: workers look in between
                }
            }
            alarm = self.tell_skew(alarm);
            self.iam.look_for_credentials();
            let is_calm = self.iam.is_calm() && !self.iam.is_catching_up(self.plane.now());
            if !(is_calm && was_calm) {
                self.look_at_pools();
            }
            was_calm = is_calm;
        }
    }

    /// Logs how far the clocks are apart when that is another matter than what was said last, and when, and
    /// now and again while it lasts. Returns what is said now.
    fn tell_skew(&self, (before, told_at): (Alarm, Micros)) -> (Alarm, Micros) {
        let (skew_s, now) = (self.iam.skew_s(), self.plane.now());
        let alarm = before.next(skew_s);
        if alarm == before && (alarm == Alarm::None || now.since(told_at) < REMIND) {
            return (before, told_at);
        }
        let skew_s = skew_s.unwrap_or_default();
        let (off_s, side) = (skew_s.unsigned_abs(), if skew_s > 0 { "behind" } else { "ahead of" });
        match alarm {
            Alarm::Grave => tracing::error!(
                "iam: this machine's clock is {off_s}s {side} AWS's, so that RDS may refuse tokens: \
                 synchronise it"
            ),
            Alarm::Notable => {
                tracing::warn!("iam: this machine's clock is {off_s}s {side} AWS's: synchronise it");
            }
            Alarm::None => tracing::info!("iam: this machine's clock agrees with AWS's again"),
        }
        (alarm, now)
    }

    /// A source has got credentials: pools whose logins need not be put off any more are looked at. One whose
    /// logins are put off for another reason puts the next one off, too.
    fn go_on_with_credentials(&self) {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        for entry in self.plane.registry.entries() {
            let rules = entry::rules(&snapshot, &entry.config.load(), &entry.share.user);
            if let Some(Ok(rules)) = rules
                && self.iam.may_sign(&rules).is_ok()
                && entry.is_put_off()
            {
                entry.replication.forget_failure();
                self.plane.places.forget_failure(&entry.share);
                self.plane.launcher.look_again(entry.share.id);
            }
        }
    }

    fn look_at_pools(self: &Arc<Self>) {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        for entry in self.plane.registry.entries() {
            match entry::rules(&snapshot, &entry.config.load(), &entry.share.user).and_then(Result::ok) {
                Some(rules) => self.look_at_pool(&entry, rules),
                // What stands in the way of its logins is not IAM's to take back; a reload has (`renew`).
                None => self.renew_as_usual(&entry),
            }
        }
    }

    /// What the servers of `entry`, which are logged in to by IAM, are worth by now.
    fn look_at_pool(self: &Arc<Self>, entry: &Arc<PoolEntry>, rules: Rules) {
        let (share, who) = (&entry.share, rules.who(&entry.share.user));
        if self.iam.trouble(&rules, &who).is_none() {
            self.renew_as_usual(entry);
            share.set_obstacle(None);
            entry.replication.forget_failure();
            return;
        }
        if let Err(why) = self.iam.may_sign(&rules)
            && share.obstacle().is_some()
            && share.failing().is_none()
        {
            share.set_obstacle(Some(why.to_string())); // as it is by now
        }
        self.set_stance(entry, self.iam.stance(&rules, &who));
        self.probe_if_due(entry, rules, &who);
    }

    fn renew_as_usual(&self, entry: &PoolEntry) {
        self.set_stance(entry, Stance::Renew);
        self.end_catch_up(entry);
    }

    /// The one door to a pool's stance. Where servers were kept beyond their hard age, they catch up
    /// first when logins work again.
    pub(in crate::servers) fn set_stance(&self, entry: &PoolEntry, stance: Stance) {
        let (share, now) = (&entry.share, self.plane.now());
        let stance = match (share.stance(), stance) {
            (Stance::KeepOn, Stance::Renew) if share.has_overstay() => {
                entry.catch_up_until_then(now + CATCH_UP);
                self.iam.expect_catch_up(now + CATCH_UP);
                Stance::CatchUp
            }
            (Stance::CatchUp, Stance::Renew) => Stance::CatchUp,
            (_, stance) => stance,
        };
        if share.stance() == stance {
            return;
        }
        share.set_stance(stance);
        if stance == Stance::CloseNow {
            self.plane.tell_all(|| Command::Sweep(Scope::Pool(share.id)));
        }
    }

    /// Ends catching up when no server is seen any more that should, or the time for it is over. To be called
    /// once in a while: workers must have looked in between.
    fn end_catch_up(&self, entry: &PoolEntry) {
        let share = &entry.share;
        let is_over = || self.plane.now() >= entry.catch_up_until() || !share.take_overstay();
        if share.stance() == Stance::CatchUp && is_over() {
            share.set_stance(Stance::Renew);
        }
    }

    /// Whether a server of `entry`, at a cap, may be given up for a younger one: a login has shown
    /// a moment ago that it can be had. If not, a probe finds out, and the renewal may be asked
    /// for again a little later.
    pub(in crate::servers) fn is_sure_of_login(self: &Arc<Self>, entry: &Arc<PoolEntry>) -> bool {
        let (share, snapshot) = (&entry.share, Arc::clone(&self.plane.policy.load().snapshot));
        let Some(Ok(rules)) = entry::rules(&snapshot, &entry.config.load(), &share.user) else {
            return true;
        };
        let (now, who) = (self.plane.now(), rules.who(&share.user));
        if !share.stance().renews() || self.iam.has_accepted(&rules, &who, now - SURE_FOR) {
            return true; // under another stance the ledger says no by itself
        }
        share.postpone_renewal(now + Micros(LOOK_AGAIN.as_micros() as u64));
        if let Some(under_way) = self.iam.begin_probe(&rules, &who) {
            self.probe(entry, rules, under_way);
        }
        false
    }

    fn probe(self: &Arc<Self>, entry: &Arc<PoolEntry>, rules: Rules, under_way: Probe) {
        let attempt = Attempt::probe(Arc::clone(self), Arc::clone(entry));
        tasks::spawn("login probe", entry.name(), async move {
            attempt.find_out(&rules).await;
            drop(under_way);
        });
    }

    fn probe_if_due(self: &Arc<Self>, entry: &Arc<PoolEntry>, rules: Rules, who: &Who) {
        let share = &entry.share;
        let is_in_use = share.live_count() > 0 && !share.database.is_paused();
        if !is_in_use || !self.iam.is_probe_due(&rules, who) {
            return;
        }
        if let Some(under_way) = self.iam.begin_probe(&rules, who) {
            self.probe(entry, rules, under_way);
        }
    }
}
