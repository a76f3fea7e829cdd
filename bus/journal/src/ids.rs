//! A set of delivery ids: a bit each where it is mixed, nothing where all or none are in it.
//!
//! Ids come in rising order and go in nearly the same: the set is a window that moves on.

use std::collections::VecDeque;

const WORDS: usize = 64;
const BLOCK: u64 = 64 * WORDS as u64;

/// Ids, by blocks of 4096.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdSet {
    /// Number of the first block.
    base: u64,
    blocks: VecDeque<Block>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Block {
    Empty,
    Full,
    Mixed(Box<[u64; WORDS]>),
}

// === impl IdSet ===

impl IdSet {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[inline]
    pub(crate) fn contains(&self, id: u64) -> bool {
        let Some(block) = self.block(id / BLOCK) else { return false };
        match block {
            Block::Empty => false,
            Block::Full => true,
            Block::Mixed(words) => words[word_of(id)] >> (id % 64) & 1 == 1,
        }
    }

    /// Whether it is new.
    #[inline]
    pub(crate) fn insert(&mut self, id: u64) -> bool {
        self.change(id, 1, true) == 1
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.change(id, 1, false) == 1
    }

    /// How many are new.
    pub(crate) fn insert_span(&mut self, first: u64, count: u64) -> u64 {
        self.change(first, count, true)
    }

    /// How many were there.
    pub(crate) fn remove_span(&mut self, first: u64, count: u64) -> u64 {
        self.change(first, count, false)
    }

    /// How many of `first .. end` are in it.
    pub(crate) fn count(&self, first: u64, end: u64) -> u64 {
        let mut sum = 0;
        let mut at = first.max(self.base * BLOCK);
        let end = end.min((self.base + self.blocks.len() as u64) * BLOCK);
        while at < end {
            let stop = end.min((at / BLOCK + 1) * BLOCK);
            sum += match self.block(at / BLOCK) {
                None | Some(Block::Empty) => 0,
                Some(Block::Full) => stop - at,
                Some(Block::Mixed(words)) => masks(at, stop)
                    .map(|(word, mask)| u64::from((words[word] & mask).count_ones()))
                    .sum(),
            };
            at = stop;
        }
        sum
    }

    /// The first one that is not below `from`.
    pub(crate) fn next(&self, from: u64) -> Option<u64> {
        let mut at = from.max(self.base * BLOCK);
        loop {
            match self.block(at / BLOCK)? {
                Block::Empty => at = (at / BLOCK + 1) * BLOCK,
                Block::Full => return Some(at),
                Block::Mixed(words) => {
                    let stop = (at / BLOCK + 1) * BLOCK;
                    let found = masks(at, stop).find(|&(word, mask)| words[word] & mask != 0);
                    if let Some((word, mask)) = found {
                        let bit = u64::from((words[word] & mask).trailing_zeros());
                        return Some(at / BLOCK * BLOCK + word as u64 * 64 + bit);
                    }
                    at = stop;
                }
            }
        }
    }

    /// As few `(first, count)` as there can be.
    pub(crate) fn spans(&self) -> Vec<(u64, u64)> {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let mut push = |first: u64, count: u64| match spans.last_mut() {
            Some(last) if last.0 + last.1 == first => last.1 += count,
            _ => spans.push((first, count)),
        };
        for (block, number) in self.blocks.iter().zip(self.base..) {
            match block {
                Block::Empty => {}
                Block::Full => push(number * BLOCK, BLOCK),
                Block::Mixed(words) => {
                    for (word, &bits) in words.iter().enumerate() {
                        let first = number * BLOCK + word as u64 * 64;
                        let mut left = bits;
                        while left != 0 {
                            let skip = left.trailing_zeros();
                            let run = (left >> skip).trailing_ones();
                            push(first + u64::from(skip), u64::from(run));
                            let end = skip + run;
                            left = if end == 64 { 0 } else { left >> end << end };
                        }
                    }
                }
            }
        }
        spans
    }

    fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }

    fn change(&mut self, first: u64, count: u64, on: bool) -> u64 {
        let end = first.saturating_add(count);
        let mut changed = 0;
        let mut at = first;
        while at < end {
            let number = at / BLOCK;
            let stop = end.min((number + 1) * BLOCK);
            if on {
                self.reach(number);
            }
            if let Some(index) = number.checked_sub(self.base)
                && let Some(block) = self.blocks.get_mut(index as usize)
            {
                changed += block.change(at, stop, on);
            } else if !on && self.base.saturating_add(self.blocks.len() as u64) <= number {
                break;
            }
            at = stop;
        }
        if on {
            self.len += changed;
        } else {
            self.len -= changed;
            self.shrink();
        }
        changed
    }

    /// Makes the window reach that block.
    #[inline]
    fn reach(&mut self, number: u64) {
        if self.blocks.is_empty() {
            self.base = number;
        }
        while number < self.base {
            self.blocks.push_front(Block::Empty);
            self.base -= 1;
        }
        while number - self.base >= self.blocks.len() as u64 {
            self.blocks.push_back(Block::Empty);
        }
    }

    fn shrink(&mut self) {
        while let Some(Block::Empty) = self.blocks.front() {
            self.blocks.pop_front();
            self.base += 1;
        }
    }
}

// === impl Block ===

impl Block {
    /// Sets `at .. stop`, which lie in this block. Returns how many changed.
    #[inline]
    fn change(&mut self, at: u64, stop: u64, on: bool) -> u64 {
        let whole = stop - at == BLOCK;
        match self {
            Block::Empty if !on => return 0,
            Block::Full if on => return 0,
            Block::Empty if whole => {
                *self = Block::Full;
                return BLOCK;
            }
            Block::Full if whole => {
                *self = Block::Empty;
                return BLOCK;
            }
            Block::Empty => *self = Block::Mixed(Box::new([0; WORDS])),
            Block::Full => *self = Block::Mixed(Box::new([u64::MAX; WORDS])),
            Block::Mixed(_) => {}
        }
        let Block::Mixed(words) = self else { return 0 };
        let mut changed = 0;
        for (word, mask) in masks(at, stop) {
            let was = words[word];
            words[word] = if on { was | mask } else { was & !mask };
            changed += u64::from((was ^ words[word]).count_ones());
        }
        // Looked at only where a block can have become one of the others: at its last bits.
        if on && stop.is_multiple_of(BLOCK) && words.iter().all(|&word| word == u64::MAX) {
            *self = Block::Full;
        } else if !on && changed != 0 && words.iter().all(|&word| word == 0) {
            *self = Block::Empty;
        }
        changed
    }
}

fn word_of(id: u64) -> usize {
    (id % BLOCK / 64) as usize
}

/// The words of a block that `at .. stop` touches, and which bits of them.
fn masks(at: u64, stop: u64) -> impl Iterator<Item = (usize, u64)> {
    let base = at / BLOCK * BLOCK;
    let (first, last) = (word_of(at), word_of(stop - 1));
    (first..=last).map(move |word| {
        let start = base + word as u64 * 64;
        let low = at.saturating_sub(start);
        let high = (stop - start).min(64);
        let below = if high == 64 { u64::MAX } else { (1 << high) - 1 };
        (word, below & !((1_u64 << low) - 1))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_holds_what_a_tree_of_ids_holds(
            changes in prop::collection::vec((0_u64..20_000, 1_u64..9_000, any::<bool>()), 1..30),
            asked in prop::collection::vec((0_u64..30_000, 0_u64..30_000), 10),
        ) {
            let mut set = IdSet::default();
            let mut tree = BTreeSet::new();
            for (first, count, on) in changes {
                let range = first..first + count;
                let changed = range.filter(|&id| if on { tree.insert(id) } else { tree.remove(&id) });
                let changed = changed.count() as u64;
                let said = if on { set.insert_span(first, count) } else { set.remove_span(first, count) };
                prop_assert_eq!(said, changed);
                prop_assert_eq!(set.len(), tree.len() as u64);
            }
            for (from, to) in asked {
                prop_assert_eq!(set.contains(from), tree.contains(&from));
                prop_assert_eq!(set.next(from), tree.range(from..).next().copied());
                let (from, to) = (from.min(to), from.max(to));
                prop_assert_eq!(set.count(from, to), tree.range(from..to).count() as u64);
            }
            let spans = set.spans();
            prop_assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
            let ids: Vec<u64> = spans.iter().flat_map(|&(first, count)| first..first + count).collect();
            prop_assert_eq!(ids, tree.into_iter().collect::<Vec<_>>());
        }
    }
}
