//! Numbers and strings inside records: LEB128 numbers, strings after their length.

use std::{fmt, marker::PhantomData};

/// A record that is whole, and yet says something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record ends too early or holds what its kind does not allow")]
pub struct Malformed;

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// Something that stands in a list of a record.
pub trait Item<'a>: Copy {
    #[doc(hidden)]
    fn put(&self, out: &mut Vec<u8>);
    #[doc(hidden)]
    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed>;
}

/// Where items are read from.
#[doc(hidden)]
pub struct ItemReader<'a>(pub(crate) Reader<'a>);

/// A list inside a record: the caller's slice on the way in, bytes of the record on the way out, so
/// that neither way allocates.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    source: Source<'a, T>,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Slice(&'a [T]),
    Packed { count: usize, bytes: &'a [u8], items: PhantomData<T> },
}

/// The items of a [`List`], one by one.
pub struct Items<'a, T>(Walk<'a, T>);

enum Walk<'a, T> {
    Slice(std::slice::Iter<'a, T>),
    Packed { left: usize, from: ItemReader<'a> },
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&first, tail) = self.0.split_first().ok_or(Malformed)?;
        self.0 = tail;
        Ok(first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7F);
            if at == 9 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.bytes(8)?.try_into().map_err(|_| Malformed)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        let bytes = self.bytes(16)?.try_into().map_err(|_| Malformed)?;
        Ok(u128::from_le_bytes(bytes))
    }

    pub(crate) fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.bytes(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed)
    }

    pub(crate) fn list<T: Item<'a>>(&mut self) -> Result<List<'a, T>, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let start = self.0;
        let mut walk = ItemReader(*self);
        for _ in 0..count {
            T::take(&mut walk)?;
        }
        *self = walk.0;
        let bytes = &start[..start.len() - self.0.len()];
        Ok(List { source: Source::Packed { count, bytes, items: PhantomData } })
    }
}

// === writing ===

#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn put_list<'a, T: Item<'a>>(out: &mut Vec<u8>, list: List<'a, T>) {
    put_number(out, list.len() as u64);
    match list.source {
        Source::Slice(items) => items.iter().for_each(|item| item.put(out)),
        Source::Packed { bytes, .. } => out.extend_from_slice(bytes),
    }
}

// === impl List ===

impl<'a, T: Item<'a>> List<'a, T> {
    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.source {
            Source::Slice(items) => items.len(),
            Source::Packed { count, .. } => count,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items there are, and their bytes; `None` for a list on the way in.
    pub(crate) fn packed(&self) -> Option<(usize, &'a [u8])> {
        match self.source {
            Source::Slice(_) => None,
            Source::Packed { count, bytes, .. } => Some((count, bytes)),
        }
    }

    /// A list that [`packed`](List::packed) took apart.
    pub(crate) fn of_packed(count: usize, bytes: &'a [u8]) -> List<'a, T> {
        List { source: Source::Packed { count, bytes, items: PhantomData } }
    }

    /// The items in order.
    #[must_use]
    pub fn iter(&self) -> Items<'a, T> {
        Items(match self.source {
            Source::Slice(items) => Walk::Slice(items.iter()),
            Source::Packed { count, bytes, .. } => {
                Walk::Packed { left: count, from: ItemReader(Reader::new(bytes)) }
            }
        })
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> List<'a, T> {
        List { source: Source::Slice(items) }
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(items: &'a [T; N]) -> List<'a, T> {
        List { source: Source::Slice(items) }
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        List { source: Source::Slice(&[]) }
    }
}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &List<'a, T>) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

// === impl Items ===

impl<'a, T: Item<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Walk::Slice(items) => items.next().copied(),
            Walk::Packed { left, from } => {
                *left = left.checked_sub(1)?;
                // Walked once when the record was read: it does not fail here.
                T::take(from).ok()
            }
        }
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

impl fmt::Debug for ItemReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ItemReader").field(&self.0.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_no_number_is_longer_than_its_type() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.number(), Ok(value));
            assert!(reader.rest().is_empty());
            assert_eq!(Reader::new(&out[..out.len() - 1]).number(), Err(Malformed));
        }
        assert_eq!(Reader::new(&[0xFF; 11]).number(), Err(Malformed));
    }
}
