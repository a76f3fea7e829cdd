//! The hash of an ordering key. The same on every host and in every version: shares of a gradual
//! transition are cut from it, so it must not depend on a seed of the process.

const ODD_1: u64 = 0x9E37_79B9_7F4A_7C15;
const ODD_2: u64 = 0xBF58_476D_1CE4_E5B9;

/// The hash of `key`; 0 only for the empty key, which means "none".
#[must_use]
pub fn hash(key: &str) -> u64 {
    let mut rest = key.as_bytes();
    if rest.is_empty() {
        return 0;
    }
    let mut state = (rest.len() as u64).wrapping_mul(ODD_1);
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        state = mix(state ^ u64::from_le_bytes(*word));
        rest = tail;
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = mix(state ^ u64::from_le_bytes(last));
    }
    state.max(1)
}

/// A bijection that spreads every bit of the input over the whole word.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_mul(ODD_1);
    let word = (word ^ (word >> 29)).wrapping_mul(ODD_2);
    word ^ (word >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_never_changes() {
        assert_eq!(hash(""), 0);
        assert_eq!(hash("order-1"), 9_974_421_564_475_187_443);
    }

    #[test]
    fn short_keys_spread_over_all_bits() {
        let (mut low, mut high) = ([0u32; 16], [0u32; 16]);
        for i in 0..16_000 {
            let h = hash(&format!("customer-{i}"));
            low[(h & 15) as usize] += 1;
            high[(h >> 60) as usize] += 1;
        }
        for count in low.iter().chain(&high) {
            assert!((850..1150).contains(count), "{low:?} {high:?}");
        }
    }
}
