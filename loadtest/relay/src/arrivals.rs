//! Clients that have logged in, on their way from the thread that welcomes to the one that relays.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Where they come out.
pub struct Arrivals {
    wake: Arc<OwnedFd>,
    receiver: Receiver<TcpStream>,
}

/// Where they are put in.
pub struct Door {
    wake: Arc<OwnedFd>,
    sender: Sender<TcpStream>,
}

/// A door, and where it leads.
pub fn arrivals() -> io::Result<(Door, Arrivals)> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = channel();
    Ok((Door { wake: wake.clone(), sender }, Arrivals { wake, receiver }))
}

impl Door {
    /// Hands one over.
    pub fn enter(&self, stream: TcpStream) {
        // It fails where the relay has ended, and the process with it.
        let _ = self.sender.send(stream);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Arrivals {
    /// Those that have come since the last call.
    pub fn take(&self) -> impl Iterator<Item = TcpStream> + '_ {
        let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
        self.receiver.try_iter()
    }
}

impl AsFd for Arrivals {
    /// Readable when somebody has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
