//! Cancel requests for one server: few are carried at a time; the others join one that has not been sent yet.
//!
//! Pure: who carries them is `cancel_request.rs`, who waits for that `cancel_keys.rs`.

use crate::base::limits;

/// Something that another can go for, too.
pub trait Joins {
    /// Goes for another one, too.
    fn join(&mut self, other: Self);
}

/// Cancel requests for one server.
#[derive(Debug)]
pub struct CancelQueue<E> {
    /// So many are being carried.
    under_way: usize,
    /// Carried when one of those is over. What comes meanwhile joins it.
    next: Option<E>,
}

/// What becomes of a new request.
#[derive(Debug)]
pub enum TakenIn<E> {
    /// It is carried at once.
    Carry(E),
    /// It is carried when another is over.
    Next,
    /// Another that has not been sent yet goes there for it.
    Joined,
}

impl<E> Default for CancelQueue<E> {
    fn default() -> Self {
        Self { under_way: 0, next: None }
    }
}

impl<E: Joins> CancelQueue<E> {
    /// Whether `request` may be carried now; if not, what becomes of it.
    pub fn take_in(&mut self, request: E) -> TakenIn<E> {
        if self.under_way < limits::CANCELS_PER_SERVER_MAX {
            self.under_way += 1;
            return TakenIn::Carry(request);
        }
        match &mut self.next {
            Some(next) => {
                next.join(request);
                TakenIn::Joined
            }
            next => {
                *next = Some(request);
                TakenIn::Next
            }
        }
    }

    /// One of them is over. Returns the one that is carried in its stead.
    pub fn over(&mut self) -> Option<E> {
        let next = self.next.take();
        self.under_way -= usize::from(next.is_none());
        next
    }

    /// Whether none is being carried, nor waits.
    pub fn is_empty(&self) -> bool {
        self.under_way == 0
    }
}
