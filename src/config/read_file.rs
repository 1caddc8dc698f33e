//! Reads a file that the configuration names: whole, up to a bound, never waiting for another program.
//!
//! A pipe would hold up a reload for as long as nobody writes to it, and a device has no end: neither is a
//! file. `/dev/null` is an empty one.

use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

/// Reads a file of the file system; of whoever calls the bytes are.
///
/// # Errors
/// The system's; `FileTooLarge` where it has more than `bytes_max`; where it is no regular file, what it is.
pub(crate) fn read_file(name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    // A pipe without a writer is opened at once, too.
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(name)?;
    let metadata = file.metadata()?;
    if is_null(&metadata) {
        return Ok(Vec::new());
    }
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("it is a directory"),
        () if kind.is_fifo() => Some("it is a pipe, not a file"),
        () => Some("it is a device, not a file"),
    };
    if let Some(what) = what {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Whether it is `/dev/null`, by whatever name.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device()
        && std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == metadata.rdev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn what_is_no_file_is_said_at_once() {
        let directory = std::env::temp_dir().join(format!("pgweir-read-file-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let pipe = directory.join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let text = directory.join("text");
        std::fs::write(&text, "12345").unwrap();
        let read = |name: &std::path::Path, bytes_max| {
            read_file(name.to_str().unwrap(), bytes_max).map_err(|error| error.to_string())
        };
        assert_eq!(read(&pipe, 9), Err("it is a pipe, not a file".into()));
        assert_eq!(read(&directory, 9), Err("it is a directory".into()));
        assert_eq!(read("/dev/zero".as_ref(), 9), Err("it is a device, not a file".into()));
        assert_eq!(read("/dev/null".as_ref(), 9), Ok(Vec::new()), "an empty auth_file, for some");
        assert_eq!(read(&text, 5), Ok(b"12345".to_vec()));
        assert!(read(&text, 4).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
