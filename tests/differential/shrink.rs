//! Makes a session shorter as long as it still shows a difference.

use super::play::Session;
use super::steps::Step;

/// So many sessions are tried.
const TRIES: usize = 40;

/// The shortest session found that `differs`.
pub fn shrink(session: &Session, mut differs: impl FnMut(&Session) -> bool) -> Session {
    let mut best = session.clone();
    let mut tries = 0;
    let mut size = best.steps.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < best.steps.len() && tries < TRIES {
            let mut shorter = best.clone();
            let end = (start + size).min(shorter.steps.len());
            shorter.steps.drain(start..end);
            tries += 1;
            if shorter.steps.iter().any(is_a_start) && differs(&shorter) {
                best = shorter;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    best
}

fn is_a_start(step: &Step) -> bool {
    matches!(step, Step::Connect { .. })
}
