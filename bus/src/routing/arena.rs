//! Things that are named by 32 bits instead of an address, close to each other in memory.

/// Names nothing.
pub(super) const NONE: u32 = u32::MAX;

/// Things by their numbers; a number is used again when its thing is gone. Four billion of the
/// smallest thing kept here would be 128 GiB, so numbers do not run out before memory does.
#[derive(Debug)]
pub(super) struct Arena<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

// === impl Arena ===

impl<T> Arena<T> {
    pub(super) fn insert(&mut self, item: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.items[number as usize] = Some(item);
                number
            }
            None => {
                self.items.push(Some(item));
                (self.items.len() - 1) as u32
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let item = self.items.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(item)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { items: Vec::new(), free: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_and_names_nothing_in_between() {
        let mut arena = Arena::default();
        let (a, b) = (arena.insert("a"), arena.insert("b"));
        assert_eq!(arena.remove(a), Some("a"));
        assert_eq!((arena.remove(a), arena.get(a), arena.len()), (None, None, 1));
        assert_eq!(arena.insert("c"), a);
        assert_eq!((arena.get(a), arena.get(b), arena.len()), (Some(&"c"), Some(&"b"), 2));
        assert_eq!(arena.get(NONE), None);
    }
}
