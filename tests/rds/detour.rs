//! A network that can be cut without a word: a proxy that a test stops and continues (`detour.py`).

use crate::common::{account, free_port, programs, reaper, wait_until};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The running proxy. Dropping it ends it, stopped or not.
pub struct Detour {
    /// The port of this machine that leads where it was told.
    pub port: u16,
    child: Child,
}

impl Detour {
    /// One that leads to `target`, a port of this machine.
    #[track_caller]
    pub fn to(target: u16) -> Self {
        let port = free_port();
        let source = programs::in_repository("tests/rds/detour.py");
        let program = reaper::directory().join(format!("detour-{port}.py"));
        account::write(&program, std::fs::read(source).expect("stands beside us"), 0o644);
        let mut command = account::command("python3");
        command.arg("-B").arg(program).args([port, target].map(|port| port.to_string()));
        let child = command.stdin(Stdio::null()).spawn().expect("python3 runs");
        reaper::guard(child.id(), "KILL");
        wait_until("the detour is open", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, child }
    }

    /// Nothing passes any more, and nobody is told.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// Everything passes again, also what was sent meanwhile.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        programs::run(Command::new("kill").args(["-s", name, &self.child.id().to_string()]));
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        reaper::release(self.child.id());
    }
}
