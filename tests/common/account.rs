//! The account that PostgreSQL and the pooler run under: ours, or `postgres` where we are root.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// User and group to switch to; `None` where we are an ordinary user already.
fn other() -> Option<(u32, u32)> {
    static OTHER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *OTHER.get_or_init(|| (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"]))))
}

fn id(arguments: &[&str]) -> u32 {
    let output = Command::new("id").args(arguments).output().expect("id runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("`id {arguments:?}` gives no number: as root, user postgres must exist"))
}

/// A command that runs `program` under the account, in a process group of its own, so that Ctrl-C at the
/// terminal reaches the tests alone.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.process_group(0).env("LC_ALL", "C").current_dir("/");
    if let Some((user, group)) = other() {
        command.uid(user).gid(group);
    }
    command
}

/// Name of the account, as PostgreSQL and `SHOW` know it.
pub fn name() -> String {
    if other().is_some() {
        return "postgres".into();
    }
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Gives `path` to the account, with these permission bits.
pub fn hand_over(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions can be set");
    if let Some((user, group)) = other() {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

/// Writes a file that belongs to the account.
pub fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    std::fs::write(path, text).expect("the directory of the test is writable");
    hand_over(path, mode);
}
