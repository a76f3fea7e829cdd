//! What publishers, plugins and the host's reports say of a run, before the independent checker.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    fs::{self, File},
    io::BufReader,
};

use patchbay_lifecycle::transition::Entry;
use patchbay_testkit::{
    Home,
    checker::{
        Began, Casebook, Cause, Event, Expectations, Listener, Ordering, Record, Records, Tag,
        Verdict,
    },
};

use super::{
    course::Course,
    load::published,
    scene::{Files, NAMES},
};

/// Collects everything that was written down.
pub(super) struct Judge {
    book: Casebook,
    judged: Judged,
}

/// What was found.
#[derive(Default)]
pub(super) struct Judged {
    verdict: Verdict,
    cutovers: u64,
    copies: u64,
    /// Calls that forced transitions took away.
    revoked: u64,
    /// Between the last hand-off before a cutover and the first one after it, nanoseconds.
    pauses: Vec<u64>,
}

/// One plugin's part.
struct Part<'a> {
    subscription: String,
    courses: Vec<&'a Course>,
    /// Every hand-off that was not one of a copy, in the order of time.
    calls: Vec<Began>,
    /// Instances by when they were made, with their version.
    instances: BTreeMap<u64, String>,
}

// === impl Judge ===

impl Judge {
    pub(super) fn read(files: &Files) -> Judge {
        let listener = |name: &str| {
            let listener = Listener::new(&format!("{name}:0"), &format!("in.{name}"));
            let ordered = ["three", "four"].contains(&name);
            listener.ordered(if ordered { Ordering::PerKey } else { Ordering::None })
        };
        let expectations = Expectations::new(NAMES.map(listener).into());
        let mut judge = Judge { book: Casebook::new(expectations), judged: Judged::default() };
        let text = fs::read_to_string(files.courses()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let courses = whole.lines().map(|line| serde_json::from_str(line).expect("a course"));
        let courses: Vec<Course> = courses.collect();
        for name in NAMES {
            judge.plugin(files, name, &courses);
        }
        let records = read_records(&files.records());
        for record in &records {
            judge.book.add(record);
        }
        judge.cut_short(files, &courses, &records);
        judge
    }

    /// Transitions that a death of the host cut short: nobody knows how far they came, and calls
    /// may have been taken away.
    fn cut_short(&mut self, files: &Files, courses: &[Course], records: &[Record]) {
        let deaths = records.iter().filter_map(|record| match record {
            Record::Cause(cause) if cause.event == Event::HostDeath => Some(cause.until),
            _ => None,
        });
        let deaths: Vec<u64> = deaths.collect();
        let text = fs::read_to_string(files.begun()).unwrap_or_default();
        for line in text.lines() {
            let (name, t) = line.split_once(' ').expect("a name and a time");
            let t: u64 = t.parse().expect("a time");
            let Some(until) = deaths.iter().copied().filter(|death| *death > t).min() else {
                continue;
            };
            let is_over = |it: &Course| it.plugin == name && it.started >= t && it.ended <= until;
            if !courses.iter().any(is_over) {
                let event = Event::ForcedTransition { subscription: format!("{name}:0") };
                self.book.add(&Cause { t, until, event }.into());
            }
        }
    }

    pub(super) fn close(self) -> Judged {
        let mut judged = self.judged;
        judged.pauses.sort_unstable();
        Judged { verdict: self.book.close(), ..judged }
    }

    fn plugin(&mut self, files: &Files, name: &'static str, courses: &[Course]) {
        for publisher in [name.to_owned(), format!("{name}-drag")] {
            for one in published(files, name, &publisher).into_values() {
                self.book.add(&one.into());
            }
        }
        let mut own: Vec<&Course> = courses.iter().filter(|it| it.plugin == name).collect();
        own.sort_by_key(|course| course.started);
        let mut records = read_records(&files.witnessed(name));
        // Probes are asked by nobody.
        records.retain(|record| tag_of(record).is_none_or(|tag| tag.publisher != "probe"));
        let mut instances = BTreeMap::new();
        for record in &records {
            if let Record::Began(it) = record {
                instances.entry(it.generation).or_insert_with(|| it.version.clone());
            }
        }
        let copies = copies(&records, &own);
        self.judged.copies += copies.len() as u64;
        let is_copy = |record: &Record| match record {
            Record::Began(it) => copies.contains(&(it.tag.clone(), it.delivery)),
            Record::Ended(it) => copies.contains(&(it.tag.clone(), it.delivery)),
            _ => false,
        };
        records.retain(|record| !is_copy(record));
        records.iter().for_each(|record| self.book.add(record));
        let calls = records.into_iter().filter_map(|record| match record {
            Record::Began(it) => Some(it),
            _ => None,
        });
        let mut calls: Vec<Began> = calls.collect();
        calls.sort_by_key(|call| call.t);
        let subscription = format!("{name}:0");
        let part = Part { subscription, courses: own, calls, instances };
        for course in &part.courses {
            self.course(&part, course);
        }
    }

    /// What one transition promised, and what it excuses.
    fn course(&mut self, part: &Part<'_>, course: &Course) {
        let subscription = || part.subscription.clone();
        let mut happened = |t: u64, until: u64, event: Event| {
            self.book.add(&Cause { t, until, event }.into());
        };
        let version = |instance: u64| part.instances[&instance].clone();
        let candidate = part.instances.range(course.started + 1..=course.ended).next();
        let commit = course.entry("cutting_over", "records the cutover").map(|it| it.at_unix_ns);
        let cut = course.entry("draining", "serves").map(|it| it.at_unix_ns);
        let back = course.entry("rolling_back", "").map(|it| it.at_unix_ns);
        let returned = course.entry("rolling_back", "serves again").map(|it| it.at_unix_ns);
        let old = part.before(cut.unwrap_or(course.ended), course.started);
        if let (Some(t), Some(until)) = (commit, cut) {
            self.judged.cutovers += 1;
            self.judged.pauses.extend(part.pause(t, until));
            if let Some(old) = old {
                let (subscription, version) = (subscription(), version(old));
                happened(t, until, Event::Cutover { subscription, version, begun: vec![] });
            }
        }
        if let (Some(t), Some(old)) = (back, old) {
            let (subscription, version) = (subscription(), version(old));
            happened(t, 0, Event::Serving { subscription, version });
        }
        if let Some((instance, _)) = candidate
            && !course.outcome.starts_with("completed")
        {
            let (subscription, version) = (subscription(), version(*instance));
            let until = returned.unwrap_or(course.ended);
            happened(
                course.started,
                until,
                Event::Cutover { subscription, version, begun: vec![] },
            );
        }
        for entry in &course.entries {
            let taken = entry.text.split(' ').next().and_then(|it| it.parse::<u64>().ok());
            let taken = taken.filter(|calls| *calls > 0 && entry.text.contains("calls"));
            if let Some(calls) = taken {
                self.judged.revoked += calls;
                let forced = Event::ForcedTransition { subscription: subscription() };
                happened(commit.unwrap_or(course.started), course.ended, forced);
            }
        }
        if course.abandoned {
            let event = Event::InstanceDeath { subscription: subscription() };
            happened(course.started, course.ended, event);
        }
        if course.manner == "hang" {
            let event = Event::LeaseExpiry { subscription: subscription() };
            happened(course.started, course.ended, event);
        }
    }
}

fn read_records(path: &std::path::Path) -> Vec<Record> {
    let mut records = Records::default();
    if let Ok(file) = File::open(path) {
        records.read_lines(BufReader::new(file)).expect("records");
    }
    records.0
}

fn tag_of(record: &Record) -> Option<&Tag> {
    match record {
        Record::Began(it) => Some(&it.tag),
        Record::Ended(it) => Some(&it.tag),
        _ => None,
    }
}

/// Hand-offs of copies to candidates (blue-green): a bus of their own numbers them from 1 on, so
/// their numbers are smaller than that of the message's own delivery. Before its cutover such a
/// candidate gets nothing else.
fn copies(records: &[Record], courses: &[&Course]) -> HashSet<(Tag, u64)> {
    let calls = || {
        records.iter().filter_map(|record| match record {
            Record::Began(it) => Some(it),
            _ => None,
        })
    };
    let mut own: HashMap<&Tag, u64> = HashMap::new();
    for call in calls() {
        let highest = own.entry(&call.tag).or_default();
        *highest = call.delivery.max(*highest);
    }
    let is_copy = |call: &&Began| {
        let at = courses.partition_point(|course| course.started < call.generation);
        let Some(course) = at.checked_sub(1).map(|at| courses[at]).filter(|it| it.mirror) else {
            return false;
        };
        if call.generation > course.ended {
            return false;
        }
        let commit = course.entry("cutting_over", "records the cutover");
        let cut = course.entry("draining", "serves");
        let before = |entry: Option<&Entry>| entry.is_none_or(|entry| call.t < entry.at_unix_ns);
        before(commit) || before(cut) && call.delivery < own[&call.tag]
    };
    calls().filter(is_copy).map(|call| (call.tag.clone(), call.delivery)).collect()
}

// === impl Course ===

impl Course {
    /// The first entry of that phase with these words.
    fn entry(&self, phase: &str, words: &str) -> Option<&Entry> {
        self.entries.iter().find(|it| it.phase == phase && it.text.contains(words))
    }
}

// === impl Part ===

impl Part<'_> {
    /// The instance that had the last call before that time, of those made before another.
    fn before(&self, t: u64, made: u64) -> Option<u64> {
        let end = self.calls.partition_point(|call| call.t < t);
        let mut all = self.calls[..end].iter().rev().map(|call| call.generation);
        all.find(|generation| *generation < made)
    }

    /// The longest time without a hand-off that has a part in this one.
    fn pause(&self, from: u64, to: u64) -> Option<u64> {
        let first = self.calls.partition_point(|call| call.t < from).checked_sub(1)?;
        let pairs = self.calls[first..].windows(2).take_while(|pair| pair[0].t <= to);
        pairs.map(|pair| pair[1].t - pair[0].t).max()
    }
}

// === impl Judged ===

impl Judged {
    /// Every promise was kept, and there was something to judge. Else what was written down stays in
    /// the home.
    pub(super) fn assert_clean(&self, home: Home) {
        if !self.verdict.is_clean() {
            println!("what was written down is kept in {}", home.keep().display());
        }
        self.verdict.assert_clean();
        let seen = [self.cutovers, self.pauses.len() as u64, self.verdict.summary.accepted];
        assert!(!seen.contains(&0), "there is nothing to judge: {self}");
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judged { cutovers, copies, revoked, pauses, verdict } = self;
        let at = |share: f64| {
            let last = pauses.len().saturating_sub(1);
            let at = (last as f64 * share) as usize;
            pauses.get(at).copied().unwrap_or_default() as f64 / 1e6
        };
        writeln!(
            f,
            "{cutovers} cutovers, {copies} hand-offs of copies, {revoked} calls taken away; \
             longest time between two hand-offs around a cutover: p50 {:.1} ms, p99 {:.1} ms, \
             most {:.1} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        )?;
        verdict.fmt(f)
    }
}
