//! The atomics, fences and locks of what threads share and a model checks (`make model`): the standard
//! library's, or with the feature `model` loom's, which tries every order of the threads and every value that
//! a weak load may see. Adds nothing.

#[cfg(not(feature = "model"))]
pub use {
    std::hash::RandomState,
    std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    std::sync::{Mutex, MutexGuard},
};

#[cfg(feature = "model")]
pub use {
    loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    loom::sync::{Mutex, MutexGuard},
};

/// Hashes the same way in every run of a model, which has to repeat itself.
#[cfg(feature = "model")]
pub type RandomState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// A fence, unless the model is to show that it fails without.
#[cfg(feature = "model")]
pub fn fence(order: Ordering) {
    if std::env::var_os("PGWEIR_MODEL_UNFENCED").is_none() {
        loom::sync::atomic::fence(order);
    }
}
