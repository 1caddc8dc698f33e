//! One pool's use of a secret: which version its servers took last, and since when they take none.
//!
//! Pure: time comes in as an argument. Two pools that share a secret may have different servers, so what one
//! has learnt is not the other's.

use super::keeper::{KeptSecret, Version};
use crate::base::Micros;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first pause after all versions were refused; it doubles.
const PAUSE_MIN: Micros = Micros::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Micros = Micros::from_secs(60);

/// For so long all versions may be refused because a rotation is under way: clients of a pool whose servers
/// took one before wait meanwhile.
const ROTATION: Micros = Micros::from_secs(60);

/// A pool's use of a secret.
pub struct PoolSecret {
    /// The secret.
    pub kept: Arc<KeptSecret>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accepted: Option<Accepted>,
    refused: Option<Refused>,
}

/// A version to be shown, and which one was current when it was chosen.
#[derive(Debug)]
pub struct Choice {
    /// What is shown.
    pub version: Arc<Version>,
    current: Option<Arc<str>>,
}

/// A version's name, and that of the one that was current when it was chosen.
pub type ChoiceNames = (Arc<str>, Option<Arc<str>>);

impl Choice {
    /// What it is called.
    pub fn names(&self) -> ChoiceNames {
        (Arc::clone(&self.version.id), self.current.clone())
    }
}

/// What a server took last, and which version was the current one when it was chosen.
struct Accepted {
    id: Arc<str>,
    current: Option<Arc<str>>,
}

struct Refused {
    since: Micros,
    pause: Micros,
    until: Micros,
}

/// What follows when a server takes no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when no login is tried, unless the secret changes.
    pub until: Micros,
    /// It may be a rotation that is under way.
    pub may_pass: bool,
}

impl PoolSecret {
    /// One that nobody has logged in with.
    pub fn new(kept: Arc<KeptSecret>) -> Self {
        Self { kept, state: Mutex::default() }
    }

    /// The version to be shown next, behind those that were refused: the one that servers took last, as long
    /// as no newer one is current; then the current one, the pending one, the previous one.
    pub fn next(&self, refused: &[Arc<str>]) -> Option<Choice> {
        let versions: Vec<_> =
            self.kept.versions().filter(|version| !refused.contains(&version.id)).collect();
        let current = self.kept.current().map(|current| Arc::clone(&current.id));
        let state = self.state();
        let accepted = state.accepted.as_ref().filter(|accepted| accepted.current == current);
        let preferred = accepted.and_then(|accepted| versions.iter().find(|found| found.id == accepted.id));
        let version = preferred.or(versions.first()).cloned()?;
        Some(Choice { version, current })
    }

    /// A server has taken what was chosen, which says nothing of a version that has become current
    /// meanwhile. Returns whether all were refused before.
    pub fn accepted(&self, Choice { version, current }: Choice) -> bool {
        let mut state = self.state();
        state.accepted = Some(Accepted { id: Arc::clone(&version.id), current });
        state.refused.take().is_some()
    }

    /// A server has refused every version. Logins that were under way together count as one refusal.
    pub fn refused(&self, now: Micros) -> Pause {
        let mut state = self.state();
        let was_accepted = state.accepted.is_some();
        let none = Refused { since: now, pause: Micros(0), until: now };
        let refused = state.refused.get_or_insert(none);
        if now >= refused.until {
            refused.pause = Micros((2 * refused.pause.0).clamp(PAUSE_MIN.0, PAUSE_MAX.0));
            refused.until = now + refused.pause;
        }
        Pause { until: refused.until, may_pass: was_accepted && now.since(refused.since) < ROTATION }
    }

    /// What servers have refused is true no more: they are others, or an operator says so. What they took
    /// last is tried first all the same.
    pub fn forget_refusals(&self) {
        self.state().refused = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
