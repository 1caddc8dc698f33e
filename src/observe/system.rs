//! What the system says of our process: memory, CPU time, open files.
//!
//! Some figures are read from files: where none can be opened, they are absent and the rest is told. Source:
//! proc_pid_status(5), proc_pid_fd(5).

use crate::stats::SystemLevels;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// How things stand now. Blocks for as long as it takes to list the open files.
pub(super) fn levels(started_at_epoch_us: u64) -> SystemLevels {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // The listing has itself open.
    let open_files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1));
    SystemLevels {
        started_at_epoch_us: Some(started_at_epoch_us),
        cpu_us: Some(cpu.tv_sec.unsigned_abs() * 1_000_000 + cpu.tv_nsec.unsigned_abs() / 1_000),
        resident_bytes: field(&status, "VmRSS").map(|kb| kb * 1_024),
        virtual_bytes: field(&status, "VmSize").map(|kb| kb * 1_024),
        open_files: open_files.map(|count| count as u64),
        open_files_max: getrlimit(Resource::Nofile).current,
        threads: field(&status, "Threads"),
    }
}

/// The number of a line of `/proc/PID/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Name:\tpgweir\nVmSizeX:\t9 kB\nVmSize:\t  123456 kB\nVmRSS:\t   789 kB\nThreads:\t7\n";
        let found = ["VmSize", "VmRSS", "Threads", "Vm", "Name", "VmSwap"].map(|name| field(status, name));
        assert_eq!(found, [Some(123_456), Some(789), Some(7), None, None, None]);
    }

    #[test]
    fn the_system_knows_this_process() {
        let before = levels(5);
        let _held: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = levels(5);
        assert!(after.open_files >= Some(50), "{after:?}");
        assert!(after.open_files_max.is_none_or(|most| Some(most) >= after.open_files), "{after:?}");
        assert!(after.cpu_us >= before.cpu_us && after.cpu_us > Some(0), "{after:?}");
        assert!(after.resident_bytes > Some(1 << 20), "{after:?}");
        assert!(after.virtual_bytes >= after.resident_bytes, "{after:?}");
        assert!(after.threads >= Some(1) && after.started_at_epoch_us == Some(5), "{after:?}");
    }
}
