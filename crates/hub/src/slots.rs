//! Things found by identities that this gives out: at the cost of an index, each in memory of its own size. A tree would
//! cost a fan-out several searches for every reader, and keeps half its nodes empty when identities only grow.

use std::marker::PhantomData;

/// An identity: a slot, and a number that tells those apart that had the same slot one after the other.
pub(crate) trait Identity: Copy + Eq {
    /// The identity of this number.
    fn new(number: u64) -> Self;

    /// Its number.
    fn number(self) -> u64;
}

/// How many bits of an identity's number are its slot. The others count, so that identities grow and are never used again.
const SLOT_BITS: u32 = 20;
/// There are at most so many things at once.
const SLOTS: usize = 1 << SLOT_BITS;

/// The slot of the identity of this number.
pub(crate) fn slot(number: u64) -> usize {
    number as usize & (SLOTS - 1)
}

/// Things by identity.
#[derive(Debug)]
pub(crate) struct Slots<K, T> {
    slots: Vec<Option<Kept<T>>>,
    free: Vec<usize>,
    /// How many were ever kept. No number is 0.
    kept: u64,
    of: PhantomData<K>,
}

#[derive(Debug)]
struct Kept<T> {
    number: u64,
    thing: Box<T>,
}

impl<K, T> Default for Slots<K, T> {
    fn default() -> Slots<K, T> {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
            kept: 0,
            of: PhantomData,
        }
    }
}

impl<K: Identity, T> Slots<K, T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Keeps what is made for this identity.
    pub(crate) fn insert(&mut self, make: impl FnOnce(K) -> T) -> K {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        assert!(slot < SLOTS, "there are more than a million at once");
        self.kept += 1;
        let number = self.kept << SLOT_BITS | slot as u64;
        let key = K::new(number);
        let thing = Box::new(make(key));
        self.slots[slot] = Some(Kept { number, thing });
        key
    }

    /// Forgets what has this identity.
    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let slot = slot(key.number());
        let kept = self.slots.get_mut(slot)?;
        let kept = kept.take_if(|kept| kept.number == key.number())?;
        self.free.push(slot);
        Some(*kept.thing)
    }

    /// What has this identity.
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let kept = self.slots.get(slot(key.number()))?.as_ref()?;
        (kept.number == key.number()).then_some(&*kept.thing)
    }

    /// What has this identity.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let kept = self.slots.get_mut(slot(key.number()))?.as_mut()?;
        (kept.number == key.number()).then_some(&mut *kept.thing)
    }

    /// All of them, in no order that means anything.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let kept = self.slots.iter_mut().flatten();
        kept.map(|kept| (K::new(kept.number), &mut *kept.thing))
    }

    /// All of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|kept| &*kept.thing)
    }

    /// All of them.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.iter_mut().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
    struct Id(u64);

    impl Identity for Id {
        fn new(number: u64) -> Id {
            Id(number)
        }

        fn number(self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_slot_is_used_again_and_an_identity_never() {
        let mut slots = Slots::<Id, &str>::default();
        let [a, b] = ["a", "b"].map(|name| slots.insert(|_| name));
        assert_eq!((slots.get(a), slots.get(b)), (Some(&"a"), Some(&"b")));
        assert_eq!(slots.remove(a), Some("a"));
        assert_eq!(
            (slots.remove(a), slots.get(a), slots.len()),
            (None, None, 1)
        );
        let c = slots.insert(|id| if id > b { "later" } else { "not later" });
        assert_eq!(slot(c.0), slot(a.0));
        assert_eq!(slots.get(a), None);
        assert_eq!(slots.get_mut(a), None);
        assert_eq!((slots.get(c), slots.len()), (Some(&"later"), 2));
        assert_eq!(
            slots.iter_mut().map(|(id, _)| id).collect::<Vec<_>>(),
            [c, b]
        );
        assert_eq!(slots.get(Id(0)), None);
    }
}
