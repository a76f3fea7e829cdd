//! The record while a host runs.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::*},
    },
};

use super::{
    BOOT, CALL_WORDS, CALLS, CALLS_MAX, CHECK, ENDED, G_CONFIG, G_LENGTHS, G_LIBRARY, G_NAME,
    G_VERSION, GENERATION_WORDS, GENERATIONS, GENERATIONS_MAX, LANE_WORDS, LANES, LANES_MAX, MAGIC,
    NAME_BYTES, OWNER, RUNNING, SIZES, STATE, UNPLACED, VERSION_BYTES, WORDS, boot, check, halves,
    lane::LaneRecord, stamp,
};

/// Calls that a lane takes places for at one time.
const PLACES: usize = 16;

/// The crash record of one host. Lanes keep it alive.
pub struct CrashRecord {
    words: NonNull<AtomicU64>,
    spare: Mutex<Spare>,
}

/// What is not in use.
struct Spare {
    lanes: Vec<usize>,
    calls: Vec<usize>,
    generations: Vec<usize>,
}

/// A generation, for those who read the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub generation: u64,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Hash of its library.
    pub library: [u8; 32],
    /// Hash of its configuration.
    pub config: [u8; 32],
}

// SAFETY: the words are atomic, and stay mapped for as long as the value lives.
unsafe impl Send for CrashRecord {}
// SAFETY: as above.
unsafe impl Sync for CrashRecord {}

// === impl CrashRecord ===

impl CrashRecord {
    /// Makes a record, in the place of another one that was [taken](super::found::take). Faults of
    /// this process are stamped from now on.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be mapped.
    pub fn begin(path: &Path, owner: u128) -> io::Result<Arc<CrashRecord>> {
        // In a file of its own: lanes of a host before, in this process, may still write to theirs.
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file =
            File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let mapped = map(&file).inspect_err(|_| drop(fs::remove_file(path)))?;
        let record = CrashRecord {
            words: mapped,
            spare: Mutex::new(Spare {
                lanes: (0..LANES_MAX).rev().collect(),
                calls: (0..CALLS_MAX).rev().collect(),
                generations: (0..GENERATIONS_MAX).rev().collect(),
            }),
        };
        let [owner, boot] = [halves(owner), halves(boot())];
        let head = [MAGIC, SIZES, owner[0], owner[1], boot[0], boot[1]];
        debug_assert_eq!((OWNER, BOOT, CHECK), (2, 4, head.len()));
        for (at, word) in head.iter().enumerate().chain([(CHECK, &check(&head))]) {
            record.word(at).store(*word, Relaxed);
        }
        record.word(STATE).store(RUNNING, Release);
        // So that not even a file system that forgets can bring another life's record back.
        file.sync_data()?;
        stamp::watch(record.words);
        Ok(Arc::new(record))
    }

    /// The host ends in order: there is nothing to be told.
    pub fn end(&self) {
        self.word(STATE).store(ENDED, Release);
        stamp::unwatch(self.words);
    }

    /// Tells a generation by name. Once too many are told, the others are numbers.
    pub fn know(&self, named: &Named) {
        let Some(at) = self.spare().generations.pop() else { return };
        let first = GENERATIONS + at * GENERATION_WORDS;
        let (plugin, version) =
            (cut(&named.plugin, NAME_BYTES), cut(&named.version, VERSION_BYTES));
        self.put(first + G_LIBRARY, &named.library);
        self.put(first + G_CONFIG, &named.config);
        self.put(first + G_NAME, plugin.as_bytes());
        self.put(first + G_VERSION, version.as_bytes());
        let lengths = plugin.len() as u64 | (version.len() as u64) << 16;
        self.word(first + G_LENGTHS).store(lengths, Relaxed);
        self.word(first).store(named.generation, Release);
    }

    /// A generation is gone.
    pub fn forget(&self, generation: u64) {
        for at in 0..GENERATIONS_MAX {
            let word = self.word(GENERATIONS + at * GENERATION_WORDS);
            if generation != 0 && word.load(Relaxed) == generation {
                word.store(0, Release);
                self.spare().generations.push(at);
            }
        }
    }

    /// The calling thread is a lane of a generation, until what is returned is dropped, on the same
    /// thread.
    pub fn lane(self: &Arc<Self>, generation: u64, number: u32) -> LaneRecord {
        let slot = self.spare().lanes.pop();
        if slot.is_none() {
            self.word(UNPLACED).fetch_add(1, Relaxed);
        }
        LaneRecord::new(Arc::clone(self), slot, generation, number)
    }

    pub(super) fn leave(&self, slot: Option<usize>, mut places: Vec<usize>) {
        let mut spare = self.spare();
        match slot {
            Some(slot) => spare.lanes.push(slot),
            None => {
                self.word(UNPLACED).fetch_sub(1, Relaxed);
            }
        }
        spare.calls.append(&mut places);
    }

    /// Places for calls that do not run; none when there are too many.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut spare = self.spare();
        let left = spare.calls.len().saturating_sub(PLACES);
        spare.calls.split_off(left)
    }

    pub(super) fn words(&self) -> NonNull<AtomicU64> {
        self.words
    }

    /// The words of a lane's slot.
    pub(super) fn lane_words(&self, slot: usize) -> &[AtomicU64; LANE_WORDS] {
        self.array(LANES + slot * LANE_WORDS)
    }

    /// The words of a call that does not run.
    pub(super) fn call_words(&self, place: usize) -> &[AtomicU64; CALL_WORDS] {
        self.array(CALLS + place * CALL_WORDS)
    }

    fn array<const N: usize>(&self, at: usize) -> &[AtomicU64; N] {
        assert!(at + N <= WORDS, "word {at} of {WORDS}");
        // SAFETY: inside the mapping, as just checked, which lives as long as `self`; the words are
        // aligned and atomic.
        unsafe { self.words.add(at).cast::<[AtomicU64; N]>().as_ref() }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        let [word] = self.array::<1>(at);
        word
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(at + index).store(u64::from_ne_bytes(word), Relaxed);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CrashRecord {
    fn drop(&mut self) {
        stamp::unwatch(self.words);
        if stamp::is_stamping() {
            // The process dies on another thread, and writes its last words here.
            return;
        }
        // SAFETY: mapped by `map` with this length; no lane is left, and nobody stamps it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), WORDS * 8) };
    }
}

impl fmt::Debug for CrashRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashRecord").finish_non_exhaustive()
    }
}

/// Makes room for all of it and maps it: a page without room behind it would be a fatal signal of
/// its own.
fn map(file: &File) -> io::Result<NonNull<AtomicU64>> {
    let bytes = WORDS * 8;
    // SAFETY: an open file.
    let refused = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    if refused != 0 {
        return Err(io::Error::from_raw_os_error(refused));
    }
    // SAFETY: a new mapping of an open file that is as long as that.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    match NonNull::new(mapped.cast::<AtomicU64>()) {
        Some(mapped) if mapped.as_ptr().cast() != libc::MAP_FAILED => Ok(mapped),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The beginning of a text, of so many bytes at most.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
