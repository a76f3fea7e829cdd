//! Reading all of a journal: the same for opening and for judging it.
//!
//! A record that is not whole, with nothing whole behind it, is where writing stopped, unless all of
//! it was written: then it is damage. With whole records behind it, it is damage too, as long as the
//! machine has run on since they were written. After a power cut it depends on what they say about the
//! flushes before them: records that may never have reached the device can be missing, and then
//! everything behind them is cut as well, so that what is left is what it was at some instant.
//! Records that *had* reached it are damage when they are missing.

use std::{collections::VecDeque, io, ops::Range};

use crate::{
    books::Books,
    clean::key_of,
    damage::{Damage, Lost, Wrong},
    frame::{self, Frame, HEAD, Head as SegmentHead, Link},
    manifest::Manifest,
    page::{Hole, Page},
    place::Place,
    record::{Kind, Record},
    recovered::{RecoveredKey, RecoveryReport},
    segment::{Segment, Used},
    sheet::{Filled, Sheet},
    storage::Storage,
};

/// All that reading a journal tells.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) books: Books,
    pub(crate) link: Link,
    /// Segments with records.
    pub(crate) used: VecDeque<Used>,
    /// Segments without.
    pub(crate) empty: Vec<Segment>,
    pub(crate) keys: Vec<RecoveredKey>,
    pub(crate) report: RecoveryReport,
    /// Up to which record all are known to be on the device.
    pub(crate) synced: u64,
    /// Whole records that were cut and must not be found again: from there to there.
    pub(crate) scrub: Vec<(Segment, Range<u64>)>,
    /// The version of a segment that is not ours.
    pub(crate) version: Option<u32>,
}

/// Reads segments in order.
struct Reader<'a> {
    storage: &'a dyn Storage,
    scan: Scan,
    /// Up to which record the mark vouches.
    marked: u64,
    keys_max: usize,
    /// Holes since the last whole record.
    holes: Vec<Hole>,
    /// What was begun behind the last whole record and not finished; or finished, and is damaged.
    torn: Option<(Segment, Range<u64>, bool)>,
    /// Where the records of the segment before end.
    end_before: Option<(String, usize)>,
    /// Highest flush that any record behind the first hole vouches for, once asked.
    vouched: Option<u64>,
    /// Cut: what follows is not looked at.
    ended: bool,
    orderly: bool,
    /// Nothing says with which record the journal starts.
    free_start: bool,
    /// What was written since the last record that was read is there, flushed or not: its host was
    /// killed, if anything, and the machine has run on.
    has_stayed: bool,
    stay: u64,
}

/// Reads everything that the manifest names.
pub(crate) fn scan(
    storage: &dyn Storage,
    manifest: &Manifest,
    marked: u64,
    keys_max: usize,
) -> io::Result<Scan> {
    let mut reader = Reader::new(storage, marked, keys_max);
    reader.scan.link.number = manifest.from.max(1);
    reader.free_start = manifest.from == 0;
    let segments = reader.find(manifest)?;
    let mut sheet = Sheet::default();
    for at in 0..segments.len() {
        let Some(segment) = &segments[at] else { continue };
        if reader.ended {
            reader.scan.empty.push(segment.clone());
            continue;
        }
        let Filled { bytes, data } = sheet.fill(segment)?;
        reader.read(&Page { segment, bytes, data }, &segments[at + 1..])?;
    }
    Ok(reader.finish())
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(storage: &'a dyn Storage, marked: u64, keys_max: usize) -> Reader<'a> {
        let scan = Scan {
            books: Books::new(),
            link: Link { number: 1, previous: 0 },
            used: VecDeque::new(),
            empty: Vec::new(),
            keys: Vec::new(),
            report: RecoveryReport::default(),
            synced: 0,
            scrub: Vec::new(),
            version: None,
        };
        Reader {
            storage,
            scan,
            marked,
            keys_max,
            holes: Vec::new(),
            torn: None,
            end_before: None,
            vouched: None,
            ended: false,
            orderly: true,
            free_start: false,
            has_stayed: false,
            stay: storage.stay(),
        }
    }

    /// Opens what the manifest names. What is not there, or not what it should be, is a hole of its
    /// own, noted when its turn comes: `None` in the list, with the hole in the same place.
    fn find(&mut self, manifest: &Manifest) -> io::Result<Vec<Option<Segment>>> {
        let mut heads = Vec::new();
        for number in manifest.first..=manifest.last {
            let name = Segment::file_name(number);
            let file = match self.storage.open(&name, true) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    heads.push((name, None));
                    continue;
                }
                // To judge it is allowed all the same.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
                {
                    self.storage.open(&name, false)?
                }
                file => file?,
            };
            let mut bytes = [0; HEAD];
            let length = file.read_at(0, &mut bytes)?;
            let head = SegmentHead::decode(&bytes[..length]);
            let head = head.filter(|head| head.journal == manifest.id);
            let other = head.map(|head| head.version).filter(|&version| version != frame::VERSION);
            self.scan.version = self.scan.version.or(other);
            heads.push((name, Some((file, head))));
        }
        let mut segments = Vec::new();
        for (number, (name, there)) in (manifest.first..).zip(&heads) {
            let right = |found: &(_, Option<SegmentHead>)| {
                found.1.is_some_and(|head: SegmentHead| head.segment == number)
            };
            let own = there.as_ref().filter(|found| right(found)).map(|found| (name, found));
            // Under another name, if two files were exchanged.
            let found = own.or_else(|| {
                let others = heads.iter().filter_map(|(name, there)| Some((name, there.as_ref()?)));
                others.into_iter().find(|(_, found)| right(found))
            });
            let wrong = match there {
                None => Some(Wrong::Missing),
                Some((_, None)) => Some(Wrong::Head),
                Some((_, Some(head))) if head.segment != number => Some(Wrong::Misplaced),
                Some(_) => None,
            };
            if let Some(what) = wrong {
                let lost = None;
                let damage = Damage { what, file: name.clone(), offset: 0, lost };
                self.scan.report.damage.push(damage);
            }
            segments.push(found.and_then(|(name, (file, head))| {
                let head = (*head)?;
                let (salt, size) = (head.salt, head.size);
                Some(Segment { number, name: name.clone(), file: file.clone(), salt, size })
            }));
        }
        Ok(segments)
    }

    fn read(&mut self, page: &Page<'_>, later: &[Option<Segment>]) -> io::Result<()> {
        let Page { segment, bytes, .. } = *page;
        if (bytes.len() as u64) < segment.size {
            let (file, offset) = (segment.name.clone(), bytes.len() as u64);
            let damage = Damage { what: Wrong::Shortened, file, offset, lost: None };
            self.scan.report.damage.push(damage);
        }
        let mut used = Used::new(segment.clone());
        let mut at = HEAD;
        while let Some((start, frame)) = page.next(at, self.scan.link.number) {
            if start != at {
                self.holes.push(page.hole(at));
            }
            let first = self.scan.report.records == 0;
            let follows = frame.number == self.scan.link.number
                && (first || frame.previous == self.scan.link.previous);
            if !(follows || first && self.free_start) {
                if self.holes.is_empty() {
                    self.holes.push(match self.end_before.take() {
                        Some((file, at)) if start == HEAD => {
                            Hole { file, offset: at as u64, what: Wrong::Record, mid: None }
                        }
                        // Nothing is left of it.
                        _ => Hole { mid: None, ..page.hole(at) },
                    });
                }
                if self.cuts(page, at, later)? {
                    self.cut(page, at);
                    break;
                }
                self.lose(&frame, segment.number);
            }
            self.holes.clear();
            self.take(&frame, start, &mut used, segment);
            at = start + frame.len();
        }
        if self.ended {
            // `cut` has said what was behind.
        } else if let Some(torn) = page.torn(at) {
            let length = torn as usize;
            let is_ended = self.has_stayed && page.is_ended(at, length);
            let is_written = is_ended || page.is_written(at, length);
            self.torn = Some((segment.clone(), at as u64..at as u64 + torn, is_written));
        }
        used.end = at as u64;
        self.end_before = Some((segment.name.clone(), at));
        if used.last == 0 {
            self.scan.empty.push(segment.clone());
        } else {
            self.scan.empty.clear();
            self.scan.used.push_back(used);
        }
        Ok(())
    }

    /// Whether what is missing here was perhaps never on the device, so that everything from here
    /// on is cut. It was, when some later record says so, or when a file itself is damaged; and
    /// where the machine has run on since, it did not have to be.
    fn cuts(&mut self, page: &Page<'_>, at: usize, later: &[Option<Segment>]) -> io::Result<bool> {
        let is_broken = self.scan.report.damage.iter().any(|damage| damage.what != Wrong::Record);
        if is_broken || self.has_stayed {
            return Ok(false);
        }
        let vouched = match self.vouched {
            Some(vouched) => vouched,
            None => {
                let mut vouched = page.vouched(at, self.scan.link.number);
                let mut sheet = Sheet::default();
                for segment in later.iter().flatten() {
                    let Filled { bytes, data } = sheet.fill(segment)?;
                    let page = Page { segment, bytes, data };
                    vouched = vouched.max(page.vouched(HEAD, self.scan.link.number));
                }
                *self.vouched.insert(vouched.max(self.scan.synced).max(self.marked))
            }
        };
        Ok(self.scan.link.number > vouched)
    }

    fn cut(&mut self, page: &Page<'_>, at: usize) {
        self.ended = true;
        self.orderly = false;
        self.holes.clear();
        let (mut from, mut last, mut records) = (at, at, 0);
        while let Some((start, frame)) = page.next(from, self.scan.link.number) {
            records += 1;
            from = start + frame.len();
            last = from;
        }
        self.scan.report.torn_records += records;
        self.scan.report.torn_bytes += (last - at) as u64;
        self.scan.scrub.push((page.segment.clone(), at as u64..last as u64));
    }

    /// The records before that one are lost.
    fn lose(&mut self, frame: &Frame<'_>, segment: u64) {
        self.scan.books.damaged = true;
        let next = self.scan.link.number;
        let seq = match Record::decode(frame.kind, frame.body) {
            Ok(Record::Publish(publish) | Record::Forward { publish, .. }) => Some(publish.seq),
            Ok(Record::Checkpoint(checkpoint)) => Some(checkpoint.next_seq),
            _ => None,
        };
        let seqs = seq
            .filter(|&seq| seq > self.scan.books.next_seq)
            .map(|seq| (self.scan.books.next_seq, seq - 1));
        let last = frame.number.checked_sub(1).filter(|last| *last >= next);
        let lost = last.map(|last| Lost { first: next, last: Some(last), seqs, mid: None });
        let before = self.scan.used.back().map_or(0, |used| used.segment.number);
        let file = self.scan.report.damage.iter_mut().find(|damage| {
            let number = Segment::number_of(&damage.file).unwrap_or(0);
            damage.lost.is_none()
                && damage.what != Wrong::Record
                && (before..segment).contains(&number)
        });
        if let Some(damage) = file {
            // The file is what is wrong.
            damage.lost = lost;
            self.holes.clear();
            return;
        }
        let mut holes = std::mem::take(&mut self.holes).into_iter();
        if let Some(hole) = holes.next() {
            let lost = lost.map(|lost| Lost { mid: hole.mid, ..lost });
            let damage = Damage { what: hole.what, file: hole.file, offset: hole.offset, lost };
            self.scan.report.damage.push(damage);
        }
        for hole in holes {
            let damage =
                Damage { what: hole.what, file: hole.file, offset: hole.offset, lost: None };
            self.scan.report.damage.push(damage);
        }
    }

    fn take(&mut self, frame: &Frame<'_>, start: usize, used: &mut Used, segment: &Segment) {
        let Ok(record) = Record::decode(frame.kind, frame.body) else { return };
        let place = Place { segment: segment.number, offset: start as u64 };
        let scan = &mut self.scan;
        match &record {
            Record::Publish(publish) | Record::Forward { publish, .. } => {
                // What was lost before it took numbers too.
                scan.books.next_seq = publish.seq;
                used.deliveries += publish.targets.len() as u64;
                if let Some(key) = key_of(publish) {
                    used.keys.note(&key);
                }
            }
            Record::Moved(moved) => used.deliveries += moved.targets.len() as u64,
            Record::DedupKeys(keys) => {
                keys.keys.iter().for_each(|key| used.keys.note(&key));
            }
            _ => {}
        }
        scan.books.apply(&record, place);
        self.has_stayed = self.stay != 0 && scan.books.stay == self.stay;
        RecoveredKey::of(frame, &record, &mut scan.keys);
        if scan.keys.len() > 2 * self.keys_max {
            keep_latest(&mut scan.keys, self.keys_max);
        }
        self.orderly = frame.kind == Kind::Stop;
        // What looked unfinished was the end of a segment.
        self.torn = None;
        scan.synced = scan.synced.max(frame.synced().unwrap_or(0));
        scan.link = Link { number: frame.number + 1, previous: frame.crc };
        scan.report.records += 1;
        scan.report.bytes += frame.len() as u64;
        if used.first == 0 {
            used.first = frame.number;
        }
        used.last = frame.number;
    }

    fn finish(mut self) -> Scan {
        keep_latest(&mut self.scan.keys, self.keys_max);
        let next = self.scan.link.number;
        let marked = Some(self.marked).filter(|&marked| marked >= next);
        let is_written = self.torn.as_ref().is_some_and(|(.., is_written)| *is_written);
        let marked = marked.or(is_written.then_some(next));
        let mut torn_at = None;
        if let Some((segment, range, _)) = self.torn.take() {
            if marked.is_some() {
                // No unfinished write: it was on the device, or is there to its last byte.
                torn_at = Some((segment.name.clone(), range.start));
            } else {
                self.scan.report.torn_bytes += range.end - range.start;
            }
            if self.marked >= next || !is_written {
                self.scan.scrub.push((segment, range));
            }
        }
        // Files that are damaged, with nothing behind them that says what was lost.
        let lost = Some(Lost { first: next, last: marked, seqs: None, mid: None });
        let report = &mut self.scan.report;
        let last = self.scan.used.back().map_or(0, |used| used.segment.number);
        let mut is_said = false;
        for damage in report.damage.iter_mut().filter(|damage| damage.lost.is_none()) {
            let number = Segment::number_of(&damage.file).unwrap_or(0);
            if number >= last
                && matches!(damage.what, Wrong::Missing | Wrong::Head | Wrong::Shortened)
            {
                (damage.lost, is_said) = (lost, true);
            }
        }
        if let Some(marked) = marked {
            if !is_said {
                let last = self.scan.used.back();
                let end = last.map(|used| (Wrong::Record, used.segment.name.clone(), used.end));
                let torn = torn_at.map(|(file, at)| (Wrong::Record, file, at));
                let none = || (Wrong::Manifest, Manifest::FILE.to_owned(), 0);
                let (what, file, offset) = torn.or(end).unwrap_or_else(none);
                report.damage.push(Damage { what, file, offset, lost });
            }
            // So the gap is found again for as long as it is there.
            self.scan.link.number = marked + 1;
        }
        report.orderly = self.orderly && report.damage.is_empty() && report.torn_bytes == 0;
        report.last_record = self.scan.link.number - 1;
        report.segments = self.scan.used.len() as u64;
        self.scan
    }
}

/// Keys in the order of time: those that were copied forward stand behind younger ones.
fn keep_latest(keys: &mut Vec<RecoveredKey>, most: usize) {
    keys.sort_by_key(|key| key.observed_ns);
    let over = keys.len().saturating_sub(most);
    keys.drain(..over);
}
