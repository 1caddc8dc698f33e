//! Text that must never be shown: passwords and whatever stands for one.

use zeroize::Zeroizing;

/// A secret text. `Debug` and logs show only that there is one; the bytes are wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes ownership of the secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Takes over a text that wipes itself already: no copy is left behind.
    pub fn of_wiped(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that proves or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret at all: an empty one never matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Password(empty)" } else { "Password(***)" })
    }
}
