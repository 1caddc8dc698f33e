//! Randomness for logins, drawn from the generator many bytes at a time: a few bytes
//! cost as much as a hundred.
//!
//! No byte is given twice; what has been given is wiped here.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use zeroize::{Zeroize, Zeroizing};

/// Bytes drawn at once.
const DRAWN_BYTES: usize = 512;

/// A source of random bytes that are drawn many at a time.
#[derive(Default)]
pub struct Randomness(Mutex<Drawn>);

struct Drawn {
    bytes: Zeroizing<[u8; DRAWN_BYTES]>,
    /// So many at the end have not been given.
    left: usize,
}

impl Default for Drawn {
    fn default() -> Self {
        Self { bytes: Zeroizing::new([0; DRAWN_BYTES]), left: 0 }
    }
}

impl Randomness {
    /// Fresh random bytes; `None` where the system has none.
    pub fn take<const N: usize>(&self) -> Option<[u8; N]> {
        const { assert!(N <= DRAWN_BYTES) };
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.left < N {
            drawn.left = 0;
            aws_lc_rs::rand::fill(&mut *drawn.bytes).ok()?;
            drawn.left = DRAWN_BYTES;
        }
        let at = DRAWN_BYTES - drawn.left;
        drawn.left -= N;
        let given = &mut drawn.bytes[at..at + N];
        let mut taken = [0; N];
        taken.copy_from_slice(given);
        given.zeroize();
        Some(taken)
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bytes_are_given_twice_and_none_are_kept() {
        let random = Randomness::default();
        let mut seen = HashSet::new();
        for _ in 0..10 * DRAWN_BYTES {
            assert!(seen.insert(random.take::<18>().expect("randomness")));
            let drawn = random.0.lock().expect("no panic");
            assert!(drawn.bytes[..DRAWN_BYTES - drawn.left].iter().all(|byte| *byte == 0));
        }
        assert!(seen.iter().flatten().collect::<HashSet<_>>().len() == 256, "every byte there is");
    }
}
