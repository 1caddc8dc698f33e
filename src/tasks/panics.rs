//! Panics that are caught here: logged once, with where each happened and whom it ended.
//!
//! The place is known to the process's panic hook alone (`observe::log`), whom it ends to whoever catches it.
//! So the hook leaves its words to the catcher, on the thread that both run on ([`leave_to_catcher`]); where
//! nobody catches, it logs them itself. One that a library catches below is logged as soon as that is seen. A
//! second panic before the first is logged gives both back to the hook: the process is about to end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many catch on this thread, one around the other.
    static CATCHERS: Cell<u32> = const { Cell::new(0) };
    /// The words of a panic that one of them is about to catch.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught. `Display` is its place and words, after a colon, where the hook has left any.
#[derive(Debug)]
pub(super) struct Panic(Option<String>);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_deref().map_or(Ok(()), |words| write!(f, ": {words}"))
    }
}

/// Counts a catcher for as long as it lives.
struct Catcher;

impl Catcher {
    fn begin() -> Self {
        CATCHERS.set(CATCHERS.get() + 1);
        Self
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        CATCHERS.set(CATCHERS.get() - 1);
    }
}

/// Runs `what` up to its end or its panic.
pub(super) fn caught<T>(what: impl FnOnce() -> T) -> Result<T, Panic> {
    let catcher = Catcher::begin();
    let result = catch_unwind(AssertUnwindSafe(what));
    drop(catcher);
    match (result, WORDS.take()) {
        (Ok(output), None) => Ok(output),
        (Ok(output), Some(words)) => {
            tracing::error!("{words}; a library has caught it, all goes on");
            Ok(output)
        }
        (Err(_), words) => Err(Panic(words)),
    }
}

/// For the panic hook: leaves the words to who catches this panic, or gives back what is to be logged at
/// once.
pub(crate) fn leave_to_catcher(words: String) -> Option<String> {
    if CATCHERS.get() == 0 {
        return Some(words);
    }
    match WORDS.take() {
        None => {
            WORDS.set(Some(words));
            None
        }
        Some(first) => Some(format!("{first}; and then {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_left_to_who_catches() {
        assert_eq!(leave_to_catcher("alone".into()), Some("alone".into()), "nobody catches");
        let outer = caught(|| {
            let inner = caught(|| {
                assert_eq!(leave_to_catcher("here".into()), None);
                panic!("of the inner one");
            });
            assert_eq!(inner.map_err(|panic| panic.to_string()), Err::<(), _>(": here".into()));
            assert_eq!(leave_to_catcher("there".into()), None, "one still catches");
            assert_eq!(leave_to_catcher("again".into()), Some("there; and then again".into()));
            7
        });
        assert_eq!(outer.ok(), Some(7));
        assert_eq!(leave_to_catcher("alone".into()), Some("alone".into()));
    }

    #[test]
    fn a_panic_that_is_caught_below_is_told_and_given_to_nobody_else() {
        let told = caught(|| {
            let library = catch_unwind(|| {
                assert_eq!(leave_to_catcher("of a library".into()), None);
                panic!("it catches this itself");
            });
            library.is_err()
        });
        assert_eq!(told.ok(), Some(true));
        let next = caught(|| {
            assert_eq!(leave_to_catcher("ours".into()), None, "the earlier one is over");
            panic!("of ours");
        });
        assert_eq!(next.map_err(|panic| panic.to_string()), Err::<(), _>(": ours".into()));
    }

    #[test]
    fn a_panic_of_which_the_hook_has_said_nothing_has_no_words() {
        assert_eq!(Panic(None).to_string(), "");
    }
}
