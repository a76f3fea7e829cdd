//! Message ids: UUIDs of version 7, so that they sort by time.

/// Makes the ids of one publisher: a millisecond, a random part of the publisher, and a counter that
/// starts anywhere. Ids of one publisher rise.
#[derive(Debug)]
pub(crate) struct Ids {
    publisher: u64,
    counter: u64,
}

const VERSION: u64 = 7 << 12;
const VARIANT: u64 = 0b10 << 62;

// === impl Ids ===

impl Ids {
    pub(crate) fn new(random: u128) -> Ids {
        let (high, low) = ((random >> 64) as u64, random as u64);
        // The top bit of the counter is left free, so that it does not wrap within a publisher.
        Ids { publisher: high & 0xFFF, counter: low & (u64::MAX >> 3) }
    }

    #[inline]
    pub(crate) fn next(&mut self, unix_ns: u64) -> u128 {
        self.counter += 1;
        let high = (unix_ns / 1_000_000) << 16 | VERSION | self.publisher;
        let low = VARIANT | self.counter & (u64::MAX >> 2);
        u128::from(high) << 64 | u128::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_seven_that_rise_and_tell_their_time() {
        let mut ids = Ids::new(7 << 70 | 5);
        let mut last = 0;
        for at in [1_700_000_000_123_456_789, 1_700_000_000_123_900_000, 1_700_000_000_124_000_000]
        {
            let id = ids.next(at);
            let uuid = uuid::Uuid::from_u128(id);
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert!(id > last);
            let (seconds, nanos) = uuid.get_timestamp().unwrap().to_unix();
            assert_eq!(seconds * 1000 + u64::from(nanos) / 1_000_000, at / 1_000_000);
            last = id;
        }
    }
}
