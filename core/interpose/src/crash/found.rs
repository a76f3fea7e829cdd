//! What the next host reads. Nothing is mapped, and nothing that is read is believed unseen.

use std::{ffi::c_int, fmt, fs, io, path::Path};

use super::{
    BOOT, CALL_WORDS, CALLS, CALLS_MAX, CHECK, Call, ENDED, G_CONFIG, G_LENGTHS, G_LIBRARY, G_NAME,
    G_VERSION, GENERATION_WORDS, GENERATIONS, GENERATIONS_MAX, L_CALL, L_CONTROL, L_GENERATION,
    L_NUMBER, L_UNPLACED, LANE_WORDS, LANES, LANES_MAX, MAGIC, NAME_BYTES, OWNER, RUNNING, SIZES,
    STAMP, STAMP_WORDS, STATE, UNPLACED, VERSION_BYTES, WORDS, boot, check, halves,
    record::Named,
    stamp::{FATAL, WRITTEN},
};

/// What a host that has died was at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Calls that were under way.
    pub under_way: Vec<UnderWay>,
    /// More was under way than the record had room for, in these generations; 0 = in any.
    pub incomplete: Vec<u64>,
    /// The generations that were there.
    pub generations: Vec<Named>,
    /// Who was at fault, if anybody said so.
    pub stamp: Option<Stamp>,
    /// A stamp that cannot be believed, and why.
    pub doubt: Option<Doubt>,
}

/// A call that was under way on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Whose lane it was.
    pub generation: u64,
    /// Number of the lane.
    pub lane: u32,
    /// The call.
    pub call: Call,
}

/// Who was at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The signal; `None`: a library called `exit`.
    pub signal: Option<c_int>,
    /// Number of the lane; `None`: the thread was no lane.
    pub lane: Option<u32>,
    /// The generation that the thread worked for; `None`: the host itself.
    pub generation: Option<u64>,
    /// The call that ran on it.
    pub call: Option<Call>,
    /// The lane was at a control call, and at nothing else.
    pub is_control: bool,
}

/// Why a stamp is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is not whole.
    Torn,
    /// The process lived on after it: its lane went on to something else.
    Survived,
}

/// A record tells nothing.
#[derive(Debug)]
pub enum NoRecord {
    /// It cannot be read, or not removed.
    Io(io::Error),
    /// It is not a record of this format.
    Foreign(&'static str),
    /// It is of another journal.
    OtherJournal,
    /// The machine was started anew since: what was stored last may be missing.
    OtherBoot,
}

// === impl NoRecord ===

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoRecord::Io(error) => write!(f, "it cannot be read: {error}"),
            NoRecord::Foreign(what) => write!(f, "it is no crash record of this host: {what}"),
            NoRecord::OtherJournal => f.write_str("it belongs to another journal"),
            NoRecord::OtherBoot => f.write_str("the machine was started anew since"),
        }
    }
}

impl std::error::Error for NoRecord {}

// === impl Doubt ===

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Torn => "it is not whole",
            Doubt::Survived => "the process lived on after it",
        })
    }
}

/// The name of a signal that a stamp has.
#[must_use]
pub fn signal_name(signal: c_int) -> String {
    let names = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"];
    let found = FATAL.iter().position(|fatal| *fatal == signal);
    found.map_or_else(|| format!("signal {signal}"), |index| names[index].to_owned())
}

/// Reads the record of a host that has ended, once: it is gone after this. `None` when there is
/// none, or the host ended in order.
///
/// # Errors
/// [`NoRecord`]: it names nobody.
pub fn take(path: &Path, owner: u128) -> Result<Option<Found>, NoRecord> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NoRecord::Io(error)),
    };
    fs::remove_file(path).map_err(NoRecord::Io)?;
    read(&bytes, owner, boot())
}

fn read(bytes: &[u8], owner: u128, boot: u128) -> Result<Option<Found>, NoRecord> {
    let (words, rest) = bytes.as_chunks();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    if words.len() != WORDS || !rest.is_empty() {
        return Err(NoRecord::Foreign("its length"));
    }
    if words[0] != MAGIC || words[1] != SIZES {
        return Err(NoRecord::Foreign("its format"));
    }
    if words[CHECK] != check(&words[..CHECK]) {
        return Err(NoRecord::Foreign("its head is damaged"));
    }
    if words[OWNER..OWNER + 2] != halves(owner) {
        return Err(NoRecord::OtherJournal);
    }
    if boot == 0 || words[BOOT..BOOT + 2] != halves(boot) {
        return Err(NoRecord::OtherBoot);
    }
    match words[STATE] {
        RUNNING => found(&words).map(Some),
        ENDED => Ok(None),
        _ => Err(NoRecord::Foreign("its state")),
    }
}

fn found(words: &[u64]) -> Result<Found, NoRecord> {
    let lane_of = |slot: usize| {
        let first = LANES + slot * LANE_WORDS;
        &words[first..first + LANE_WORDS]
    };
    let mut found = Found::default();
    if words[UNPLACED] > 0 {
        found.incomplete.push(0);
    }
    for lane in (0..LANES_MAX).map(lane_of).filter(|lane| lane[L_GENERATION] != 0) {
        let of =
            |call| UnderWay { generation: lane[L_GENERATION], lane: lane[L_NUMBER] as u32, call };
        if let Some(call) = Call::of_words([lane[L_CALL], lane[L_CALL + 1]]) {
            found.under_way.push(of(call));
        }
        if lane[L_UNPLACED] != 0 {
            found.incomplete.push(lane[L_GENERATION]);
        }
    }
    for place in 0..CALLS_MAX {
        let first = CALLS + place * CALL_WORDS;
        let [slot, call @ ..] = [words[first], words[first + 1], words[first + 2]];
        let Some(slot) = slot.checked_sub(1) else { continue };
        let lane = usize::try_from(slot).ok().filter(|slot| *slot < LANES_MAX).map(lane_of);
        let (Some(lane), Some(call)) = (lane, Call::of_words(call)) else {
            return Err(NoRecord::Foreign("a call in it is damaged"));
        };
        let (generation, number) = (lane[L_GENERATION], lane[L_NUMBER] as u32);
        let one = UnderWay { generation, lane: number, call };
        // One that was suspended before stands in two places while it runs.
        if generation != 0 && !found.under_way.contains(&one) {
            found.under_way.push(one);
        }
    }
    found.generations = (0..GENERATIONS_MAX).filter_map(|at| named(words, at)).collect();
    let stamp = &words[STAMP..STAMP + STAMP_WORDS];
    match stamp {
        [0, ..] => {}
        [WRITTEN, facts @ .., sum] if *sum == check(facts) => {
            let slot = usize::try_from(facts[1]).unwrap_or(usize::MAX);
            let lane = slot.checked_sub(1).filter(|slot| *slot < LANES_MAX).map(lane_of);
            let went_on = lane.is_some_and(|lane| {
                let now = [lane[L_GENERATION], lane[L_CALL], lane[L_CALL + 1]];
                now[..] != facts[2..] && (now[2], facts[4]) != (0, 0)
            });
            let signal = c_int::try_from(facts[0]).unwrap_or(-1);
            if (signal != 0 && !FATAL.contains(&signal)) || slot > LANES_MAX {
                found.doubt = Some(Doubt::Torn);
            } else if went_on {
                found.doubt = Some(Doubt::Survived);
            } else {
                let own = |it: &UnderWay| {
                    lane.is_some_and(|lane| {
                        [it.generation, it.lane.into()] == [lane[L_GENERATION], lane[L_NUMBER]]
                    })
                };
                found.stamp = Some(Stamp {
                    signal: (signal != 0).then_some(signal),
                    lane: lane.map(|lane| lane[L_NUMBER] as u32),
                    generation: (facts[2] != 0).then_some(facts[2]),
                    call: Call::of_words([facts[3], facts[4]]),
                    is_control: lane.is_some_and(|lane| lane[L_CONTROL] != 0)
                        && !found.under_way.iter().any(own),
                });
            }
        }
        _ => found.doubt = Some(Doubt::Torn),
    }
    Ok(found)
}

fn named(words: &[u64], at: usize) -> Option<Named> {
    let first = GENERATIONS + at * GENERATION_WORDS;
    let generation = words.get(first).copied().filter(|generation| *generation != 0)?;
    let bytes = |from: usize, count: usize| {
        let words = words[first + from..first + from + count.div_ceil(8)].iter();
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(count);
        bytes
    };
    let hash = |from| <[u8; 32]>::try_from(bytes(from, 32)).unwrap_or_default();
    let lengths = words[first + G_LENGTHS];
    let text = |from, length: u64, most: usize| {
        let length = usize::try_from(length & 0xFFFF).unwrap_or(0).min(most);
        String::from_utf8_lossy(&bytes(from, length)).into_owned()
    };
    Some(Named {
        generation,
        plugin: text(G_NAME, lengths, NAME_BYTES),
        version: text(G_VERSION, lengths >> 16, VERSION_BYTES),
        library: hash(G_LIBRARY),
        config: hash(G_CONFIG),
    })
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use super::{super::record::CrashRecord, *};

    const OWNER_ID: u128 = 0x1234 << 70 | 77;

    /// A file of its own, which is gone afterwards.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let name = format!("patchbay-crash-{}-{name}", std::process::id());
            Place(std::env::temp_dir().join(name))
        }

        fn begin(&self) -> Arc<CrashRecord> {
            CrashRecord::begin(&self.0, OWNER_ID).expect("a record")
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(&self.0).expect("a record")
        }

        fn found(&self) -> Found {
            read(&self.bytes(), OWNER_ID, boot()).expect("a record").expect("of a death")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn call(delivery: u64) -> Call {
        Call { subscription: 3, delivery, attempt: 2, is_durable: true }
    }

    fn deliveries(found: &Found) -> Vec<u64> {
        let calls = found.under_way.iter().map(|it| it.call);
        let mut ids: Vec<u64> = calls.map(|call| call.delivery).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_is_under_way_is_there_at_every_moment_and_nothing_else() {
        let place = Place::new("under-way");
        let record = place.begin();
        let mut lane = record.lane(9, 4);
        assert_eq!(place.found(), Found::default());
        lane.begin(1, call(10));
        let expected = UnderWay { generation: 9, lane: 4, call: call(10) };
        assert_eq!(place.found().under_way, [expected]);
        lane.suspend(1);
        assert_eq!(place.found().under_way, [expected], "suspended is under way");
        lane.begin(2, call(11));
        assert_eq!(deliveries(&place.found()), [10, 11]);
        lane.end(2);
        lane.resume(1);
        assert_eq!(place.found().under_way, [expected], "told once, although it runs again");
        lane.suspend(1);
        lane.end(1);
        assert_eq!(place.found(), Found::default());
        lane.begin(3, call(12));
        drop(lane);
        assert_eq!(place.found(), Found::default(), "a lane that has ended is at nothing");
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let place = Place::new("room");
        let record = place.begin();
        let mut lane = record.lane(9, 0);
        for token in 1..=CALLS_MAX as u64 {
            lane.begin(token, call(token));
            lane.suspend(token);
        }
        assert_eq!(place.found().incomplete, [0; 0]);
        lane.begin(5000, call(5000));
        lane.suspend(5000);
        assert_eq!(place.found().incomplete, [9]);
        lane.end(5000);
        assert_eq!(place.found().incomplete, [0; 0]);
        let many: Vec<_> = (0..LANES_MAX as u32).map(|number| record.lane(9, number)).collect();
        assert_eq!(place.found().incomplete, [0], "a lane without a slot");
        drop(many);
        assert_eq!(place.found().incomplete, [0; 0]);
        drop(lane);
    }

    #[test]
    fn generations_are_known_by_name_until_they_are_gone() {
        let place = Place::new("generations");
        let record = place.begin();
        let named = Named {
            generation: 7,
            plugin: "äöü".repeat(40),
            version: "1.2.3".to_owned(),
            library: [7; 32],
            config: [8; 32],
        };
        record.know(&named);
        let plugin = named.plugin[..NAME_BYTES].to_owned();
        assert_eq!(place.found().generations, [Named { plugin, ..named }]);
        record.forget(7);
        assert_eq!(place.found().generations, []);
    }

    #[test]
    fn a_record_is_read_once_and_an_orderly_end_leaves_nothing_to_tell() {
        let place = Place::new("once");
        assert!(matches!(take(&place.0, OWNER_ID), Ok(None)), "there was none");
        let record = place.begin();
        let mut lane = record.lane(9, 0);
        lane.begin(1, call(1));
        assert!(take(&place.0, OWNER_ID).expect("a record").is_some());
        assert!(matches!(take(&place.0, OWNER_ID), Ok(None)));
        let next = place.begin();
        assert_eq!(place.found(), Found::default(), "a lane of before writes elsewhere");
        next.end();
        assert!(matches!(take(&place.0, OWNER_ID), Ok(None)));
    }

    #[test]
    fn a_record_that_is_foreign_old_or_damaged_names_nobody() {
        let place = Place::new("foreign");
        let _record = place.begin();
        let good = place.bytes();
        assert!(matches!(read(&good, 1, boot()), Err(NoRecord::OtherJournal)));
        assert!(matches!(read(&good, OWNER_ID, 1), Err(NoRecord::OtherBoot)));
        assert!(matches!(read(&good, OWNER_ID, 0), Err(NoRecord::OtherBoot)));
        for length in [0, 7, 8, 512, good.len() - 1] {
            let cut = read(&good[..length], OWNER_ID, boot());
            assert!(matches!(cut, Err(NoRecord::Foreign(_))), "{length} bytes");
        }
        for byte in 0..STATE * 8 + 8 {
            let mut bad = good.clone();
            bad[byte] ^= 0x40;
            assert!(read(&bad, OWNER_ID, boot()).is_err(), "byte {byte}");
        }
        let mut bad = good;
        bad[CALLS * 8..CALLS * 8 + 8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert!(matches!(read(&bad, OWNER_ID, boot()), Err(NoRecord::Foreign(_))));
    }

    #[test]
    fn a_stamp_that_is_torn_or_was_survived_is_not_believed() {
        let place = Place::new("stamp");
        let record = place.begin();
        let mut lane = record.lane(9, 4);
        lane.begin(1, call(10));
        let stamped = |facts: [u64; 5], state: u64, sum: u64| {
            let mut bytes = place.bytes();
            let words = [[state].as_slice(), &facts, &[sum]].concat();
            for (at, word) in words.iter().enumerate() {
                bytes[(STAMP + at) * 8..][..8].copy_from_slice(&word.to_ne_bytes());
            }
            read(&bytes, OWNER_ID, boot()).expect("a record").expect("of a death")
        };
        let [first, second] = call(10).to_words();
        // The first lane got the first slot.
        let facts = [11, 1, 9, first, second];
        let good = stamped(facts, WRITTEN, check(&facts));
        let expected = Stamp {
            signal: Some(11),
            lane: Some(4),
            generation: Some(9),
            call: Some(call(10)),
            is_control: false,
        };
        assert_eq!((good.stamp, good.doubt), (Some(expected), None));
        let exit = [0, 0, 9, 0, 0];
        let expected =
            Stamp { signal: None, lane: None, generation: Some(9), call: None, is_control: false };
        assert_eq!(stamped(exit, WRITTEN, check(&exit)).stamp, Some(expected));
        for (facts, state, sum) in [
            (facts, 1, check(&facts)),
            (facts, WRITTEN, check(&facts) ^ 1),
            ([12, 1, 9, first, second], WRITTEN, check(&[12, 1, 9, first, second])),
            ([11, 99_999, 9, 0, 0], WRITTEN, check(&[11, 99_999, 9, 0, 0])),
        ] {
            let found = stamped(facts, state, sum);
            assert_eq!((found.stamp, found.doubt), (None, Some(Doubt::Torn)), "{facts:?}");
        }
        let idle = [11, 1, 9, first, 0];
        lane.end(1);
        lane.begin_control(0);
        let found = stamped(idle, WRITTEN, check(&idle));
        assert!(found.stamp.is_some_and(|stamp| stamp.is_control), "{found:?}");
        lane.begin(2, call(11));
        lane.suspend(2);
        let found = stamped(idle, WRITTEN, check(&idle));
        assert!(found.stamp.is_none_or(|stamp| !stamp.is_control), "{found:?}");
        lane.end(2);
        lane.end_control();
        lane.begin(2, call(11));
        let found = stamped(facts, WRITTEN, check(&facts));
        assert_eq!((found.stamp, found.doubt), (None, Some(Doubt::Survived)));
    }
}
