//! Bounds of issuers of tokens and of what they serve.

/// Entries of `[issuers]`: each has a task, a connection now and then, and up to 256 KiB of keys.
pub const ISSUERS_MAX: usize = 64;

/// Words of one value of `[issuers]`: audiences, algorithms, claims.
pub const ISSUER_WORDS_MAX: usize = 64;

/// Bytes of an address that keys are fetched from.
pub const ISSUER_TEXT_BYTES_MAX: usize = 1_000;

/// Most bytes of an issuer's discovery document; they have some 2 to 5 kB.
pub const DISCOVERY_BYTES_MAX: usize = 64 * 1024;

/// Between two looks whether a file of an issuer's keys has changed.
pub const KEYS_FILE_LOOK_S: u64 = 5;
