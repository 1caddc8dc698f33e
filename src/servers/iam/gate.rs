//! One at a time: the logins of one user with one principal at one endpoint, while their
//! tokens are refused there.
//!
//! A role that a hundred databases use is tried by a hundred pools. Once it is revoked, each try would take a
//! turn in the endpoint's budget, for nothing, and the roles that work would wait behind them. So one goes
//! first, the lead, and the others wait for what it hears; it may be in a hurry for the sake of their
//! clients. A wait or a lead that is dropped leaves nothing behind. Holds no lock across an await.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Where they meet.
#[derive(Default)]
pub struct Gate {
    is_led: AtomicBool,
    is_hurried: AtomicBool,
    changed: Notify,
}

/// Whoever goes first; the next one may when it is dropped.
pub struct Lead(Arc<Gate>);

impl Gate {
    /// Goes first, if nobody does.
    pub fn lead(self: &Arc<Self>) -> Option<Lead> {
        (!self.is_led.swap(true, Ordering::AcqRel)).then(|| Lead(Arc::clone(self)))
    }

    /// Ends when something is to be looked at anew that was told after it was enabled.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Has all look anew.
    pub fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Clients wait for what the lead hears.
    pub fn hurry(&self) {
        if !self.is_hurried.swap(true, Ordering::AcqRel) {
            self.tell();
        }
    }

    /// Ends when clients of anybody wait for what the lead hears.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn hurried(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed());
            changed.as_mut().enable();
            if self.is_hurried.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.0.is_hurried.store(false, Ordering::Release);
        self.0.is_led.store(false, Ordering::Release);
        self.0.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks;

    #[tokio::test]
    async fn one_goes_first_and_the_next_one_when_it_has_gone() {
        let gate: Arc<Gate> = Arc::default();
        let lead = gate.lead();
        assert!(lead.is_some() && gate.lead().is_none());
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let gate = Arc::clone(&gate);
                tasks::spawn("waits", number, async move {
                    loop {
                        let mut changed = std::pin::pin!(gate.changed());
                        changed.as_mut().enable();
                        if gate.lead().is_some() {
                            return;
                        }
                        changed.await;
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|one| !one.is_finished()));
        drop(lead);
        for one in waiting {
            one.await.unwrap();
        }
        assert!(gate.lead().is_some());
    }

    #[tokio::test]
    async fn the_lead_is_hurried_by_who_comes_behind_it_and_the_next_one_is_not() {
        let gate: Arc<Gate> = Arc::default();
        let lead = gate.lead();
        let behind = Arc::clone(&gate);
        let hurried = tasks::spawn("hurried", 0, async move { behind.hurried().await });
        tokio::task::yield_now().await;
        assert!(!hurried.is_finished());
        gate.hurry();
        hurried.await.unwrap();
        gate.hurried().await;
        drop(lead);
        assert!(!gate.is_hurried.load(Ordering::Acquire));
    }
}
