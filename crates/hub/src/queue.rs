//! A queue that most ports never need: as long as nothing was ever in it, it is one null pointer. Not for what every byte
//! passes through.

use std::collections::VecDeque;

/// First in, first out.
#[derive(Debug, Clone)]
#[allow(clippy::box_collection)] // empty it is 24 bytes less than a VecDeque, which is all it is for
pub(crate) struct Queue<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue(None)
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.0.as_ref()?.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.front_mut()
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.back_mut()
    }

    /// From the front to the back.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|queue| queue.iter())
    }

    pub(crate) fn push_back(&mut self, thing: T) {
        self.0.get_or_insert_default().push_back(thing);
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    /// Puts all of another one, which is empty then, behind the last.
    pub(crate) fn append(&mut self, other: &mut Queue<T>) {
        match (&mut self.0, &mut other.0) {
            (Some(queue), Some(other)) => queue.append(other),
            (None, other) => self.0 = other.take(),
            (Some(_), None) => {}
        }
    }

    /// Puts the first one behind the last.
    pub(crate) fn rotate(&mut self) {
        if let Some(first) = self.pop_front() {
            self.push_back(first);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(queue) = &mut self.0 {
            queue.retain(keep);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// All there is, from `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> VecDeque<T> {
        let queue = self.0.as_mut();
        queue.map_or_else(VecDeque::new, |queue| queue.split_off(at.min(queue.len())))
    }
}
