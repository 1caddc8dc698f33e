//! Files that the environment or a profile names, read without waiting for ever and
//! without filling the memory.
//!
//! Only regular files: of a pipe or a device nobody knows when, or whether, it ends.
//! Never shows what it has read.

use crate::tasks;
use rustix::fs::OFlags;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// Why a file was not read, in words that follow its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// There is none.
    Missing,
    /// The system says no.
    Unreadable,
    /// It is no regular file.
    Irregular,
    /// It is longer than it may be.
    TooLong,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing | Self::Unreadable => "cannot be read",
            Self::Irregular => "is no regular file",
            Self::TooLong => "is too long",
        })
    }
}

/// All of a file of at most `bytes_max` bytes.
///
/// # Errors
/// Why not.
pub(super) async fn read(path: &str, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let read = open(path).await?.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await;
    read.map_err(|_| Unread::Unreadable)?;
    if bytes.len() <= bytes_max { Ok(bytes) } else { Err(Unread::TooLong) }
}

/// The same, of a secret: into one buffer with all its room from the start. One that grows, and one of
/// tokio's, leaves what it held behind in freed memory.
///
/// # Errors
/// Why not.
pub(crate) async fn read_wiped(
    path: impl AsRef<Path>,
    bytes_max: usize,
) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let file = open(path).await?.into_std().await;
    let read = move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|_| Unread::Unreadable)?;
        if bytes.len() <= bytes_max { Ok(bytes) } else { Err(Unread::TooLong) }
    };
    tasks::blocking("reading a secret", "a file", read).await.unwrap_or(Err(Unread::Unreadable))
}

/// A regular file, for a caller that bounds what it reads.
///
/// # Errors
/// Why not.
pub(super) async fn open(path: impl AsRef<Path>) -> Result<File, Unread> {
    let mut open = tokio::fs::OpenOptions::new();
    // Without it, opening a pipe waits for whoever writes into it.
    open.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = open.open(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Unreadable,
    })?;
    match file.metadata().await.is_ok_and(|about| about.is_file()) {
        true => Ok(file),
        false => Err(Unread::Irregular),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::path::PathBuf;
    use std::time::Duration;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("pgweir-file-{}-{name}", std::process::id()))
    }

    #[tokio::test]
    async fn what_does_not_end_is_not_read() {
        let (pipe, long, most) = (path("pipe"), path("long"), path("most"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::write(&long, "12345").unwrap();
        std::fs::write(&most, "1234").unwrap();
        for (file, expected) in [
            (&*pipe, Err(Unread::Irregular)),
            (Path::new("/dev/zero"), Err(Unread::Irregular)),
            (&*std::env::temp_dir(), Err(Unread::Irregular)),
            (&*path("none"), Err(Unread::Missing)),
            (&*long, Err(Unread::TooLong)),
            (&*most, Ok(b"1234".to_vec())),
        ] {
            let read = read(file.to_str().unwrap(), 4);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await.expect("it hangs nobody");
            assert_eq!(read, expected, "{}", file.display());
        }
        for file in [pipe, long, most] {
            std::fs::remove_file(file).unwrap();
        }
    }
}
