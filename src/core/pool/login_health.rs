//! How logins to a pool's servers fare, and what that means for clients that need one.

use crate::wire::{Fault, sqlstate};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// How logins to a pool's servers fare: one state, which is replaced as a whole.
#[derive(Debug, Default)]
pub(in crate::core) struct LoginHealth(ArcSwap<State>);

/// | failing | obstacle | for clients that need a server |
/// |---|---|---|
/// | no | no | they work |
/// | yes | no | they fail: who needs one is refused at once, with the reason |
/// | no | yes | they fail, and it may pass: who needs one waits, and is told why when its time is over |
/// | yes | yes | the role is denied: refused at once, as such |
#[derive(Clone, Debug, Default)]
struct State {
    failing: Option<Arc<String>>,
    obstacle: Option<Arc<String>>,
}

impl LoginHealth {
    /// Why the last login failed.
    pub(super) fn failing(&self) -> Option<Arc<String>> {
        self.0.load().failing.clone()
    }

    /// Why servers cannot be had although clients may wait for one.
    pub(super) fn obstacle(&self) -> Option<Arc<String>> {
        self.0.load().obstacle.clone()
    }

    pub(super) fn set_failing(&self, why: Option<Arc<String>>) {
        self.0.rcu(|state| State { failing: why.clone(), obstacle: state.obstacle.clone() });
    }

    pub(super) fn set_obstacle(&self, why: Option<Arc<String>>) {
        self.0.rcu(|state| State { failing: state.failing.clone(), obstacle: why.clone() });
    }

    /// What a client is told at once that needs a server while there is none; `None` = it may wait.
    pub(super) fn refusal(&self) -> Option<Fault> {
        let state = self.0.load();
        let cached = state.failing.as_ref()?.to_string();
        Some(match &state.obstacle {
            Some(why) => {
                Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: why.to_string() }
            }
            None => Fault::LoginFailing { cached },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_four_states_has_its_answer() {
        let (health, why) = (LoginHealth::default(), |text: &str| Some(Arc::new(text.to_owned())));
        assert_eq!(health.refusal(), None);
        health.set_failing(why("no route"));
        assert_eq!(health.refusal(), Some(Fault::LoginFailing { cached: "no route".to_owned() }));
        health.set_obstacle(why("denied"));
        let denied =
            Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: "denied".to_owned() };
        assert_eq!(health.refusal(), Some(denied));
        health.set_failing(None);
        assert_eq!((health.refusal(), health.obstacle()), (None, why("denied")));
    }
}
