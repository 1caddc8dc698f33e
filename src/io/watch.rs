//! A place in a worker's epoll instance for something that is no connection of its driver's
//! yet: a task's one socket.
//!
//! What is ready is the task, whatever has happened: it looks itself. So nothing is kept here but whether the
//! socket is watched. Never reads, never writes. Source: epoll(7); epoll_ctl(2), EPOLLEXCLUSIVE.

use rustix::event::epoll;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;

/// A task's place in an epoll instance. What it watches must be taken out ([`Watch::end`]) or closed before
/// another is watched.
#[derive(Debug)]
pub struct Watch {
    epoll: Arc<OwnedFd>,
    task: u32,
    watched: Option<Interest>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A connection's bytes, or its end.
    Bytes,
    /// A connection's room for bytes, beside that.
    Room,
    /// Connections of a listening socket that other loops wait at, too: it wakes one that sleeps.
    Connections,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        use epoll::EventFlags as On;
        match self {
            Self::Bytes => On::IN | On::RDHUP | On::ET,
            Self::Room => On::IN | On::RDHUP | On::OUT | On::ET,
            Self::Connections => On::IN | On::EXCLUSIVE | On::ET,
        }
    }
}

/// What epoll carries for the task of that number: no connection has generation 0, and no task number 0,
/// which is [`super::WAKE`].
pub(super) const fn data(task: u32) -> u64 {
    task as u64
}

/// The task whose event carries `data`, if it is a task's.
pub(super) fn task(data: u64) -> Option<u32> {
    u32::try_from(data).ok()
}

impl Watch {
    /// Watches nothing yet. `task` is the number under which the loop of `epoll` finds the task, from 1.
    pub fn new(epoll: Arc<OwnedFd>, task: u32) -> Self {
        Self { epoll, task, watched: None }
    }

    /// Has the loop find the task ready from now on, whenever there is what it waits for; what is there
    /// already is the first time.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_for(&mut self, interest: Interest, socket: BorrowedFd<'_>) -> io::Result<()> {
        let data = epoll::EventData::new_u64(data(self.task));
        match self.watched {
            Some(before) if before == interest => {}
            None => epoll::add(&self.epoll, socket, data, interest.flags())?,
            Some(_) => epoll::modify(&self.epoll, socket, data, interest.flags())?,
        }
        self.watched = Some(interest); // not where the system has refused it: the next one asks again
        Ok(())
    }

    /// Takes the socket out.
    ///
    /// # Errors
    /// The system's.
    pub fn end(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.watched.is_some() {
            epoll::delete(&self.epoll, socket)?;
            self.watched = None; // not where the system has refused it: it is watched still
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kernel, Linux};
    use super::*;
    use rustix::event::{EventfdFlags, Timespec, eventfd};
    use std::io::Write;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// What the loop has events of.
    fn ready(kernel: &Linux) -> Vec<u64> {
        let mut space = [const { MaybeUninit::uninit() }; 4];
        let events = kernel.wait(&mut space, &Timespec { tv_sec: 0, tv_nsec: 0 }).expect("events");
        events.iter().map(|event| event.data.u64()).collect()
    }

    #[test]
    fn a_socket_is_its_tasks_until_the_driver_takes_it_over() {
        const CONNECTION: u64 = 1 << 32 | 7;
        let kernel = Linux::new(eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd")).expect("epoll");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let near = OwnedFd::from(near);
        let mut watch = Watch::new(kernel.instance(), 7);
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&kernel), [0; 0], "nothing is watched yet");
        watch.wait_for(Interest::Bytes, near.as_fd()).expect("watched");
        assert_eq!(ready(&kernel), [7], "what is there already is the first time");
        assert_eq!((task(7), task(CONNECTION)), (Some(7), None));
        watch.wait_for(Interest::Room, near.as_fd()).expect("watched");
        assert_eq!(ready(&kernel), [7]);
        watch.wait_for(Interest::Room, near.as_fd()).expect("watched");
        assert_eq!(ready(&kernel), [0; 0], "who waits on for the same hears of news alone");
        kernel.add(&near, CONNECTION, Interest::Bytes.flags()).expect("taken over");
        assert_eq!(ready(&kernel), [CONNECTION]);
        let mut watch = Watch::new(kernel.instance(), 8);
        watch.end(near.as_fd()).expect("it has watched nothing");
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&kernel), [CONNECTION], "and nothing ends it for the driver");
    }

    #[test]
    fn what_the_system_has_refused_to_watch_is_asked_for_again() {
        let kernel = Linux::new(eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd")).expect("epoll");
        let file = std::fs::File::open("/proc/self/stat").expect("a file"); // epoll takes none
        let mut watch = Watch::new(kernel.instance(), 7);
        for _ in 0..2 {
            watch.wait_for(Interest::Bytes, file.as_fd()).expect_err("it cannot be watched");
        }
        let (near, mut far) = UnixStream::pair().expect("a pair");
        watch.wait_for(Interest::Bytes, near.as_fd()).expect("watched");
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&kernel), [7]);
    }
}
