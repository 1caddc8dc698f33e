//! What tells a file from the one that stood there before, without reading it: for who watches a file.
//!
//! Never opens a file. A link is followed: what it leads to is another file after a change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// How a file looked. Two texts of it look alike only where they were written within one tick of the file
/// system's clock, with one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    mode: u32,
    /// Times of the last write and of the last change of anything, in seconds and nanoseconds.
    times: [(i64, i64); 2],
}

impl FileStamp {
    /// Of the file with this metadata.
    pub fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            mode: about.mode(),
            times: [(about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec())],
        }
    }
}

#[cfg(test)]
impl FileStamp {
    /// One that equals those of the same number.
    pub(crate) fn numbered(inode: u64) -> Self {
        Self { inode, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_another_file_and_another_mode_are_seen() {
        use std::os::unix::fs::PermissionsExt as _;
        let name = |end: &str| {
            let name = format!("pgweir-file-stamp-{}-{end}", std::process::id());
            std::env::temp_dir().join(name)
        };
        let (file, other) = (name("file"), name("other"));
        let stamp = || FileStamp::of(&std::fs::metadata(&file).unwrap());
        std::fs::write(&file, "one").unwrap();
        let first = stamp();
        assert_eq!(first, stamp());
        std::fs::write(&file, "three").unwrap();
        let longer = stamp();
        assert_ne!(first, longer);
        std::fs::write(&other, "three").unwrap();
        std::fs::rename(&other, &file).unwrap();
        let renamed = stamp();
        assert_ne!(longer, renamed);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_ne!(renamed, stamp());
        std::fs::remove_file(&file).unwrap();
    }
}
