//! The crash record (promise P-15): what the lanes of a host are at, in a file that outlives the
//! process, and who was at fault when it died.
//!
//! The file is mapped shared, so that what a lane has stored is there for the next host however the
//! process ends; nothing is flushed, so that after a power cut it is worth nothing, and says so. A
//! lane stores where it is before and after each call of its library. A handler of the fatal signals
//! and the hook of `exit` *stamp* the record: which lane, which call, which signal.
//!
//! Reading order: this page (the format) → [`record`] (the file while a host runs) → [`lane`] (what a
//! lane writes) → `stamp` (what the end writes) → [`found`] (what the next host reads).
//!
//! # Format
//!
//! Words of 64 bits in the order of the machine, which is the only one that may read it.
//!
//! | words | what |
//! |---|---|
//! | 0 | [`MAGIC`], with the version of the format |
//! | 1 | the sizes below |
//! | 2, 3 | whose it is: the id of the journal beside it |
//! | 4, 5 | the boot of the machine; 0 = not known |
//! | 6 | check of the words before |
//! | 7 | 1 while a host runs, 2 once it has ended in order |
//! | 8 | lanes that run and found no slot |
//! | 16 … 22 | the stamp: 1 while it is written and 2 after, signal (0 = `exit`), slot of the lane + 1 (0 = no lane), generation (0 = the host's own), the call's two words, check of these |
//! | from 64 | [`LANES_MAX`] lanes of 8: generation (0 = free), number in the pool, the two words of the call that runs (the second 0 = none), the number of the control call that is under way + 1, calls that are under way and have no place below |
//! | then | [`CALLS_MAX`] calls of 4 that are under way and do not run: slot of the lane + 1 (0 = free), the two words |
//! | then | [`GENERATIONS_MAX`] generations of 24: generation (0 = free), lengths of the texts, hash of the library, hash of the configuration, name of the plugin, its version |
//!
//! The two words of a call: subscription, then (lower half) the attempt, with bit 31 set when the
//! journal has the delivery; id of the delivery + 1. The second is written last and taken back
//! first: while it is not 0, the first belongs to it.

pub mod found;
pub mod lane;
pub mod record;
pub(crate) mod stamp;

/// The first word of every record of this format.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PBCRASH1");
/// Lanes that have a slot at one time.
pub const LANES_MAX: usize = 512;
/// Calls that are under way and do not run, over all lanes.
pub const CALLS_MAX: usize = 2048;
/// Generations that can be told by name.
pub const GENERATIONS_MAX: usize = 1024;

const SIZES: u64 = LANES_MAX as u64 | (CALLS_MAX as u64) << 16 | (GENERATIONS_MAX as u64) << 32;

const OWNER: usize = 2;
const BOOT: usize = 4;
const CHECK: usize = 6;
const STATE: usize = 7;
const UNPLACED: usize = 8;
const STAMP: usize = 16;
const STAMP_WORDS: usize = 7;

const RUNNING: u64 = 1;
const ENDED: u64 = 2;

const LANES: usize = 64;
const LANE_WORDS: usize = 8;
const CALLS: usize = LANES + LANES_MAX * LANE_WORDS;
const CALL_WORDS: usize = 4;
const GENERATIONS: usize = CALLS + CALLS_MAX * CALL_WORDS;
const GENERATION_WORDS: usize = 24;
/// Words of the whole file.
const WORDS: usize = GENERATIONS + GENERATIONS_MAX * GENERATION_WORDS;

/// Words of a lane.
const L_GENERATION: usize = 0;
const L_NUMBER: usize = 1;
const L_CALL: usize = 2;
const L_CONTROL: usize = 4;
const L_UNPLACED: usize = 5;

/// Words of a generation.
const G_LENGTHS: usize = 1;
const G_LIBRARY: usize = 2;
const G_CONFIG: usize = 6;
const G_NAME: usize = 10;
const G_VERSION: usize = 18;
const NAME_BYTES: usize = (G_VERSION - G_NAME) * 8;
const VERSION_BYTES: usize = (GENERATION_WORDS - G_VERSION) * 8;

/// Bit of a call's first word: the journal has the delivery.
const DURABLE: u64 = 1 << 31;

/// One call of a library, as its lane knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// The subscription.
    pub subscription: u32,
    /// The delivery's id within it.
    pub delivery: u64,
    /// Number of the hand-off.
    pub attempt: u32,
    /// Whether the journal has the delivery.
    pub is_durable: bool,
}

// === impl Call ===

impl Call {
    #[inline]
    fn to_words(self) -> [u64; 2] {
        let durable = if self.is_durable { DURABLE } else { 0 };
        let attempt = u64::from(self.attempt) & (DURABLE - 1);
        [u64::from(self.subscription) << 32 | durable | attempt, self.delivery.wrapping_add(1)]
    }

    /// `None` where there is no call.
    fn of_words([first, second]: [u64; 2]) -> Option<Call> {
        Some(Call {
            subscription: (first >> 32) as u32,
            delivery: second.checked_sub(1)?,
            attempt: (first & (DURABLE - 1)) as u32,
            is_durable: first & DURABLE != 0,
        })
    }
}

/// A sum over words that a torn or foreign one does not meet by chance.
fn check(words: &[u64]) -> u64 {
    let mix =
        |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    words.iter().fold(MAGIC, mix)
}

/// The boot of this machine; 0 where it is not told.
fn boot() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16).unwrap_or_default()
}

fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_keeps_all_that_is_said_of_it() {
        for call in [
            Call { subscription: 7, delivery: 0, attempt: 1, is_durable: false },
            Call { subscription: u32::MAX, delivery: 1 << 60, attempt: 99, is_durable: true },
        ] {
            assert_eq!(Call::of_words(call.to_words()), Some(call));
        }
        assert_eq!(Call::of_words([5, 0]), None);
    }
}
