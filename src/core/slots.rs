//! Slabs of one worker that are indexed by an id of their own: a client's id never finds a server.
//!
//! An id is a slot's number and is given again once its slot is free. Indexing a free slot is a bug and
//! panics, which ends the process; [`Slots::find`] is for ids that may be out of date.

use crate::base::{ClientId, ServerId};
use slab::Slab;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// An id that is a slot's number.
pub(in crate::core) trait Slot: Copy {
    /// The id of the slot with this number.
    fn of(number: usize) -> Self;

    /// The slot's number.
    fn number(self) -> usize;
}

/// Makes ids of numbers that are `u32`.
macro_rules! slot {
    ($($id:ident),*) => {
        $(impl $crate::core::slots::Slot for $id {
            fn of(number: usize) -> Self {
                Self(number as u32)
            }

            fn number(self) -> usize {
                self.0 as usize
            }
        })*
    };
}

slot!(ClientId, ServerId);
pub(in crate::core) use slot;

/// What stands in slots, each found by its id.
#[derive(Debug)]
pub(in crate::core) struct Slots<I, T> {
    slab: Slab<T>,
    id: PhantomData<fn(I) -> I>,
}

impl<I, T> Default for Slots<I, T> {
    fn default() -> Self {
        Self { slab: Slab::new(), id: PhantomData }
    }
}

impl<I: Slot, T> Slots<I, T> {
    /// Room for so many at once.
    pub(in crate::core) fn with_capacity(count: usize) -> Self {
        Self { slab: Slab::with_capacity(count), id: PhantomData }
    }

    /// The id that the next [`Slots::insert`] gives.
    pub(in crate::core) fn next_id(&self) -> I {
        I::of(self.slab.vacant_key())
    }

    pub(in crate::core) fn insert(&mut self, value: T) -> I {
        I::of(self.slab.insert(value))
    }

    /// Takes out what stands there.
    pub(in crate::core) fn remove(&mut self, id: I) -> T {
        self.slab.remove(id.number())
    }

    pub(in crate::core) fn find(&self, id: I) -> Option<&T> {
        self.slab.get(id.number())
    }

    pub(in crate::core) fn find_mut(&mut self, id: I) -> Option<&mut T> {
        self.slab.get_mut(id.number())
    }

    pub(in crate::core) fn contains(&self, id: I) -> bool {
        self.slab.contains(id.number())
    }

    pub(in crate::core) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Beyond the greatest number that a slot has now.
    pub(in crate::core) fn capacity(&self) -> usize {
        self.slab.capacity()
    }

    /// The ids of those that are as asked for: a list, since what is done with one may end others.
    pub(in crate::core) fn ids(&self, is_asked_for: impl Fn(&T) -> bool) -> Vec<I> {
        self.iter().filter(|(_, value)| is_asked_for(value)).map(|(id, _)| id).collect()
    }

    pub(in crate::core) fn values(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, value)| value)
    }

    pub(in crate::core) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slab.iter_mut().map(|(_, value)| value)
    }

    pub(in crate::core) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.slab.iter().map(|(number, value)| (I::of(number), value))
    }

    pub(in crate::core) fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        self.slab.iter_mut().map(|(number, value)| (I::of(number), value))
    }
}

impl<I: Slot, T> Index<I> for Slots<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.slab[id.number()]
    }
}

impl<I: Slot, T> IndexMut<I> for Slots<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.slab[id.number()]
    }
}
