//! How near the process is to its last descriptor: a new one's number tells, since the kernel gives the
//! lowest that is free. So nothing needs to be counted, and whatever else is open counts, too.
//!
//! Of the last ones the first half is for servers, a quarter for the console and whoever logs in, a quarter
//! for the page of metrics, for files and for look-ups of names. Source: open(2), getrlimit(2).

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::os::fd::{AsFd, AsRawFd};

/// This part of the limit, an eighth, is not for clients of databases …
const KEPT_PART: u64 = 8;

/// … but so many at the most.
const KEPT_MAX: u64 = 1_024;

/// Whether it is one of those that clients of databases leave to others.
pub(crate) fn is_kept_from_clients(file: impl AsFd) -> bool {
    file_limit().is_some_and(|limit| number(&file) >= limit - kept(limit))
}

/// Whether a connection to a server may have it.
///
/// # Errors
/// What the system itself says where there is none left.
pub(crate) fn may_be_a_servers(file: impl AsFd) -> Result<(), Errno> {
    may_be(&file, 2)
}

/// Whether one who has just come may have it.
///
/// # Errors
/// What the system itself says where there is none left.
pub(crate) fn may_be_a_newcomers(file: impl AsFd) -> Result<(), Errno> {
    may_be(&file, 4)
}

fn may_be(file: &impl AsFd, part: u64) -> Result<(), Errno> {
    let is_last = file_limit().is_some_and(|limit| number(file) >= limit - kept(limit) / part);
    if is_last { Err(Errno::MFILE) } else { Ok(()) }
}

fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn number(file: &impl AsFd) -> u64 {
    u64::try_from(file.as_fd().as_raw_fd()).unwrap_or_default()
}

fn kept(limit: u64) -> u64 {
    (limit / KEPT_PART).min(KEPT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_is_kept_but_not_of_a_million() {
        assert_eq!([0, 7, 100, 1_024, 1_048_576].map(kept), [0, 0, 12, 128, KEPT_MAX]);
    }

    #[test]
    fn the_first_descriptors_are_for_everybody() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_kept_from_clients(&file));
        assert_eq!((may_be_a_servers(&file), may_be_a_newcomers(&file)), (Ok(()), Ok(())));
    }
}
