//! Opening: hold the folder, read everything, put in order what a crash left, say what was found.

use std::{io, ops::Range, sync::Arc};

use crate::{
    config::{JournalConfig, OnCorruption},
    damage::{Damage, Lost, Wrong},
    error::OpenError,
    folder::{MAKING, SPARES_MAX},
    frame::{self, FRAME, HEAD},
    head::{Buffer, Head},
    journal::{Folder, Journal, Opening},
    manifest::{Found, Manifest},
    mark::{self, Mark, Marker},
    owed::Owed,
    place::Moment,
    recovered::{Recovered, RecoveredKey},
    scan::{Scan, scan},
    segment::Segment,
    storage::{LockError, Storage},
};

/// The file that is locked.
const LOCK: &str = "lock";
/// Copies of damaged files have this before their names.
const QUARANTINE: &str = "quarantine-";
/// The drop reason under which deliveries are counted that are lost to damage.
pub const LOST: u8 = 7;

/// Errors with the folder in them.
pub(crate) struct At<'a> {
    storage: &'a dyn Storage,
    folder: String,
}

// === impl Journal ===

impl Journal {
    /// Opens the journal of a folder, or makes a new one where nothing is. `now` is the time.
    ///
    /// # Errors
    /// When it is somebody else's, of another version, not accessible, or damaged and the
    /// configuration says to refuse.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: JournalConfig,
        now: Moment,
    ) -> Result<(Arc<Journal>, Recovered), OpenError> {
        check(&config)?;
        let at = At::new(&*storage);
        at.try_to("make", "the folder", storage.make_folder())?;
        let lock = at.lock()?;
        let mark = at.mark()?;
        let (mut manifest, broken) = at.manifest(true, mark)?;
        let mut read = at.scan(&manifest, mark, broken, config.dedup_keys_max)?;
        if !read.report.damage.is_empty() {
            at.judge(&config, &read)?;
        }
        at.put_in_order(&mut read, &manifest)?;
        let spares = at.tidy(&config, &manifest)?;
        let from = read.used.front().map_or(read.link.number, |used| used.first);
        let first = manifest.first + missing_before(&manifest, &read);
        if broken || first != manifest.first {
            // What was told is not told again, and a segment that goes after this is missed.
            manifest = Manifest { first, from, ..manifest };
            at.try_to("write", Manifest::FILE, manifest.write(&*storage))?;
        }
        reconcile(&mut read);
        read.books.damaged = false;
        let mut report = read.report;
        report.live = read.books.subs.values().map(|book| book.live.len()).sum();
        let (observed_ns, life) = (read.books.observed_ns, read.books.life + 1);
        let window = u64::try_from(config.dedup_window.as_nanos()).unwrap_or(u64::MAX);
        let dedup: Vec<RecoveredKey> = read
            .keys
            .into_iter()
            .filter(|key| key.observed_ns.saturating_add(window) > observed_ns)
            .collect();
        let folder = Folder {
            first: manifest.first,
            last: manifest.last,
            from,
            spares,
            ahead: 1,
            copied: 0,
            weighed: None,
        };
        let damage = report.damage.clone();
        let head = Head {
            books: read.books,
            link: read.link,
            buffer: Buffer::default(),
            used: read.used,
            ready: read.empty.into(),
            reserve: config.reserve(),
            owed: Owed::default(),
            closed: false,
            started: false,
            full: false,
            starved: 0,
            hungry: false,
            idle: false,
        };
        let recovered = Recovered::from(&head, dedup, report);
        let id = manifest.id;
        let (storage, started) = (storage.clone(), at.folder.clone());
        let mark = mark.filter(|(mark, _)| mark.journal == id);
        let marker = Marker::after(mark);
        let marked = mark.map_or(0, |(mark, _)| mark.number);
        let opening = Opening {
            config,
            storage,
            id,
            head,
            folder,
            marker,
            marked,
            damage,
            observed_ns,
            life,
            now,
            lock,
        };
        let journal = Journal::start(opening);
        let journal =
            journal.map_err(|error| OpenError::io(&started, "start", "the threads", error))?;
        Ok((journal, recovered))
    }
}

fn check(config: &JournalConfig) -> Result<(), OpenError> {
    let wrong = |setting, reason: &str| Err(OpenError::Config { setting, reason: reason.into() });
    if config.segment_bytes < JournalConfig::SEGMENT_MIN {
        return wrong("segment_bytes", "a segment has at least 4096 bytes");
    }
    if config.segment_bytes > 1 << 31 {
        return wrong("segment_bytes", "a segment has at most 2 GiB");
    }
    if config.max_bytes < 2 * config.segment_bytes {
        return wrong("max_bytes", "there must be room for two segments");
    }
    Ok(())
}

/// A manifest that had to be made up.
fn manifest_damage(read: &Scan) -> Damage {
    let first = read.link.number;
    let lost = read.used.is_empty().then_some(Lost { first, last: None, seqs: None, mid: None });
    Damage { what: Wrong::Manifest, file: Manifest::FILE.to_owned(), offset: 0, lost }
}

/// How many segments are missing before the first that is there.
fn missing_before(manifest: &Manifest, read: &Scan) -> u64 {
    let is_missing = |number: &u64| {
        let name = Segment::file_name(*number);
        read.report.damage.iter().any(|it| it.what == Wrong::Missing && it.file == name)
    };
    (manifest.first..=manifest.last).take_while(is_missing).count() as u64
}

/// After damage, the sums of the ledger hold again: what is missing is counted as lost, what comes
/// back although it was settled is not counted as done.
fn reconcile(read: &mut Scan) {
    if read.report.damage.is_empty() {
        return;
    }
    for book in read.books.subs.values_mut() {
        let known = book.counters.settled() + book.live.len();
        let accepted = book.counters.accepted;
        if let Some(lost) = accepted.checked_sub(known) {
            book.counters.dropped[usize::from(LOST)] += lost;
        } else {
            let back = (known - accepted).min(book.counters.done);
            book.counters.done -= back;
            book.counters.accepted += known - accepted - back;
        }
    }
}

// === impl At ===

impl<'a> At<'a> {
    pub(crate) fn new(storage: &'a dyn Storage) -> At<'a> {
        At { storage, folder: storage.place() }
    }

    pub(crate) fn try_to<T>(
        &self,
        operation: &'static str,
        file: &str,
        done: io::Result<T>,
    ) -> Result<T, OpenError> {
        done.map_err(|error| OpenError::io(&self.folder, operation, file, error))
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>, OpenError> {
        self.storage.lock(LOCK).map_err(|error| match error {
            LockError::Held { pid } => OpenError::Owned { folder: self.folder.clone(), pid },
            LockError::Io(error) => OpenError::io(&self.folder, "lock", LOCK, error),
        })
    }

    /// How far the device was. Read before everything else: a host that writes meanwhile only gets
    /// further.
    pub(crate) fn mark(&self) -> Result<Option<(Mark, bool)>, OpenError> {
        self.try_to("read", mark::FILE, Mark::read(self.storage))
    }

    /// Reads all that the manifest names.
    pub(crate) fn scan(
        &self,
        manifest: &Manifest,
        mark: Option<(Mark, bool)>,
        broken: bool,
        keys_max: usize,
    ) -> Result<Scan, OpenError> {
        let mark = mark.filter(|(mark, _)| mark.journal == manifest.id);
        let marked = mark.map_or(0, |(mark, _)| mark.number);
        let read = scan(self.storage, manifest, marked, keys_max);
        let mut read = self.try_to("read", "segments", read)?;
        if let Some(found) = read.version {
            return Err(self.version(found));
        }
        let is_said = read.report.damage.iter().any(|damage| damage.what == Wrong::Manifest);
        if broken && !is_said {
            read.report.damage.insert(0, manifest_damage(&read));
        }
        Ok(read)
    }

    /// The manifest, and whether it had to be made up from what is there.
    pub(crate) fn manifest(
        &self,
        make: bool,
        mark: Option<(Mark, bool)>,
    ) -> Result<(Manifest, bool), OpenError> {
        let found = self.try_to("read", Manifest::FILE, Manifest::read(self.storage))?;
        let broken = match found {
            Found::Whole(manifest) => return Ok((manifest, false)),
            Found::Version(found) => return Err(self.version(found)),
            // Records were there once: it is not a new journal.
            Found::Nothing => mark.is_some(),
            Found::Broken => true,
        };
        let names = self.try_to("list", "the folder", self.storage.list())?;
        let numbers = names.iter().filter_map(|name| Segment::number_of(name));
        let (mut id, mut range): (Option<u128>, Option<(u64, u64)>) = (None, None);
        for number in numbers {
            let name = Segment::file_name(number);
            let file = self.try_to("open", &name, self.storage.open(&name, false))?;
            let mut bytes = [0; HEAD];
            let length = self.try_to("read", &name, file.read_at(0, &mut bytes))?;
            if let Some(head) = frame::Head::decode(&bytes[..length]) {
                id.get_or_insert(head.journal);
            }
            let (first, last) = range.unwrap_or((number, number));
            range = Some((first.min(number), last.max(number)));
        }
        if let Some((first, last)) = range {
            return Ok((Manifest { id: id.unwrap_or(0), first, last, from: 0 }, true));
        }
        let random = || u128::from(self.storage.random());
        let id = mark.map_or_else(|| random() << 64 | random(), |(mark, _)| mark.journal);
        let manifest = Manifest { id, first: 1, last: 0, from: 1 };
        if make && !broken {
            self.try_to("write", Manifest::FILE, manifest.write(self.storage))?;
        }
        Ok((manifest, broken))
    }

    fn version(&self, found: u32) -> OpenError {
        OpenError::Version { folder: self.folder.clone(), found, known: frame::VERSION }
    }

    /// Refuses, or copies aside what is damaged.
    fn judge(&self, config: &JournalConfig, read: &Scan) -> Result<(), OpenError> {
        let damage = &read.report.damage;
        if config.on_corruption == OnCorruption::Refuse {
            return Err(OpenError::Refused { folder: self.folder.clone(), damage: damage.clone() });
        }
        let names = self.try_to("list", "the folder", self.storage.list())?;
        for damage in damage.iter().filter(|damage| damage.what != Wrong::Missing) {
            let copy = format!("{QUARANTINE}{}", damage.file);
            if !names.contains(&copy) && names.contains(&damage.file) {
                self.try_to("copy", &copy, self.copy(&damage.file, &copy))?;
            }
        }
        Ok(())
    }

    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.storage.open(from, false)?;
        let mut bytes = vec![0; file.length()? as usize];
        let length = file.read_at(0, &mut bytes)?;
        let copy = self.storage.create(to)?;
        copy.write_at(0, &bytes[..length])?;
        copy.sync_data()?;
        self.storage.sync_dir()
    }

    /// What was cut is never found again, and what was read is on the device.
    fn put_in_order(&self, read: &mut Scan, manifest: &Manifest) -> Result<(), OpenError> {
        for (segment, range) in &read.scrub {
            self.try_to("write", &segment.name, scrub(segment, range))?;
            self.try_to("flush", &segment.name, segment.file.sync_data())?;
        }
        let cut = !read.scrub.is_empty();
        for segment in read.empty.iter_mut().filter(|_| cut) {
            segment.salt = self.storage.random() as u32;
            let head = frame::Head {
                version: frame::VERSION,
                journal: manifest.id,
                segment: segment.number,
                salt: segment.salt,
                size: segment.size,
            };
            let mut start = head.encode().to_vec();
            start.resize(HEAD + FRAME, 0);
            self.try_to("write", &segment.name, segment.file.write_at(0, &start))?;
            self.try_to("flush", &segment.name, segment.file.sync_data())?;
        }
        for used in read.used.iter().filter(|used| used.last > read.synced) {
            let name = &used.segment.name;
            self.try_to("flush", name, used.segment.file.sync_data())?;
        }
        Ok(())
    }

    /// Removes what an interrupted change of the folder left. Returns what can be used again.
    fn tidy(&self, config: &JournalConfig, manifest: &Manifest) -> Result<Vec<String>, OpenError> {
        let mut spares = Vec::new();
        for name in self.try_to("list", "the folder", self.storage.list())? {
            let number = Segment::number_of(&name);
            let named =
                number.is_some_and(|number| (manifest.first..=manifest.last).contains(&number));
            if named || (number.is_none() && name != MAKING) {
                continue;
            }
            let file = self.try_to("open", &name, self.storage.open(&name, true))?;
            let length = self.try_to("measure", &name, file.length())?;
            if number.is_some() && length == config.segment_bytes && spares.len() < SPARES_MAX {
                spares.push(name);
            } else {
                self.try_to("remove", &name, self.storage.remove(&name))?;
            }
        }
        Ok(spares)
    }
}

fn scrub(segment: &Segment, range: &Range<u64>) -> io::Result<()> {
    let end = (range.end + FRAME as u64).min(segment.size);
    let zeroes = vec![0; (end - range.start) as usize];
    segment.file.write_at(range.start, &zeroes)
}
