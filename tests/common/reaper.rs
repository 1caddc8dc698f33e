//! Ends what the tests started and removes their directories, however the tests end: a
//! small shell that outlives us.
//!
//! It reads `add PID SIGNAL`, `del PID` and `file PATH` from a pipe; at the end of the pipe (our exit,
//! orderly or not) it signals what is still there, by pid, and removes the files, through sudo where they are
//! root's, and the directories.

use super::account;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
list=
files=
while read -r verb pid signal; do
    case $verb in
    add) list="$list $pid:$signal" ;;
    file) files="$files $pid" ;;
    del) rest=; for one in $list; do [ "${one%%:*}" = "$pid" ] || rest="$rest $one"; done; list=$rest ;;
    esac
done
for one in $list; do kill -s "${one#*:}" "${one%%:*}" 2>/dev/null; done
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    alive=; for one in $list; do kill -0 "${one%%:*}" 2>/dev/null && alive=1; done
    [ "$alive" ] || break
    sleep 0.1
done
for one in $list; do kill -s KILL "${one%%:*}" 2>/dev/null; done
for one in $files; do [ ! -e "$one" ] || rm -f "$one" 2>/dev/null || sudo -n rm -f "$one"; done
rm -rf "$@"
"#;

/// Where files are memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// So much has to be free there.
const MEMORY_BYTES: u64 = 1 << 30;

struct Reaper {
    pipe: Mutex<ChildStdin>,
    directory: PathBuf,
    /// Of files that are written while something is timed.
    data: PathBuf,
}

#[expect(clippy::zombie_processes, reason = "outlives us by design")]
fn reaper() -> &'static Reaper {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    REAPER.get_or_init(|| {
        let name = format!("pgweir-test-{}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir(&directory).expect("a directory of our own under the temporary one");
        account::hand_over(&directory, 0o711);
        let data = match has_memory().then(|| PathBuf::from(MEMORY).join(&name)) {
            Some(data) if std::fs::create_dir(&data).is_ok() => data,
            _ => directory.clone(),
        };
        account::hand_over(&data, 0o711);
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .args([&directory, &data])
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let pipe = child.stdin.take().expect("was asked for");
        Reaper { pipe: Mutex::new(pipe), directory, data }
    })
}

/// The directory of this test process; removed at its end.
pub fn directory() -> &'static PathBuf {
    &reaper().directory
}

/// Where PostgreSQL's data lies: in memory where there is room, since a disk that is busy with what was built
/// just before makes its queries wait for seconds.
pub fn data_directory() -> &'static PathBuf {
    &reaper().data
}

fn has_memory() -> bool {
    rustix::fs::statvfs(MEMORY).is_ok_and(|there| there.f_bavail * there.f_frsize >= MEMORY_BYTES)
}

/// From now on `pid` is ended with `signal` (as kill(1) names it) should the tests end before [`release`].
pub fn guard(pid: u32, signal: &str) {
    tell(&format!("add {pid} {signal}\n"));
}

/// `path`, which has no spaces, is removed at the end, should it be there then.
pub fn remove(path: &str) {
    tell(&format!("file {path}\n"));
}

/// `pid` has ended in an orderly way.
pub fn release(pid: u32) {
    tell(&format!("del {pid}\n"));
}

fn tell(line: &str) {
    let mut pipe = reaper().pipe.lock().expect("nobody panics while writing a line");
    pipe.write_all(line.as_bytes()).expect("the reaper listens to the end");
}
