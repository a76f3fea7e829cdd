//! Which segments there are: a small text file, replaced as a whole.
//!
//! ```text
//! patchbay journal 1
//! id 0f3c9a…
//! first 12
//! last 15
//! from 4711
//! crc 1a2b3c4d
//! ```
//!
//! `from` is the number of the first record of segment `first`. It is replaced before a segment is used and after one has become free, so that a segment which
//! it names and which is not there is damage, never an empty queue.

use std::io;

use crate::{frame::VERSION, storage::Storage};

const NAME: &str = "manifest";
const NEXT: &str = "manifest.next";
const TITLE: &str = "patchbay journal ";

/// Which segments there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) id: u128,
    pub(crate) first: u64,
    /// The last one that may hold records; below `first` when there is none.
    pub(crate) last: u64,
    /// Number of the first record in `first`; 0 = not known.
    pub(crate) from: u64,
}

/// What stands where the manifest should be.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Whole(Manifest),
    Broken,
    Version(u32),
}

// === impl Manifest ===

impl Manifest {
    pub(crate) const FILE: &str = NAME;

    pub(crate) fn read(storage: &dyn Storage) -> io::Result<Found> {
        let file = match storage.open(NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            file => file?,
        };
        let mut bytes = [0; 512];
        let length = file.read_at(0, &mut bytes)?;
        Ok(parse(&bytes[..length]))
    }

    /// Replaces what is there, durably.
    pub(crate) fn write(&self, storage: &dyn Storage) -> io::Result<()> {
        let body = self.body();
        let text = format!("{body}crc {:08x}\n", crc32c::crc32c(body.as_bytes()));
        let file = storage.create(NEXT)?;
        file.write_at(0, text.as_bytes())?;
        file.sync_data()?;
        storage.rename(NEXT, NAME)?;
        if crate::planted::fault("skip-dir-sync") {
            return Ok(());
        }
        storage.sync_dir()
    }

    fn body(&self) -> String {
        let Manifest { id, first, last, from } = self;
        format!("{TITLE}{VERSION}\nid {id:032x}\nfirst {first}\nlast {last}\nfrom {from}\n")
    }
}

fn parse(bytes: &[u8]) -> Found {
    let text = std::str::from_utf8(bytes).ok().and_then(|text| {
        let (body, crc) = text.split_at_checked(text.rfind("crc ")?)?;
        (crc == format!("crc {:08x}\n", crc32c::crc32c(body.as_bytes()))).then_some(body)
    });
    let Some(text) = text else { return Found::Broken };
    let mut lines = text.lines();
    // Of every version, this much is the same.
    match lines.next().and_then(|line| line.strip_prefix(TITLE)?.parse::<u32>().ok()) {
        None => return Found::Broken,
        Some(VERSION) => {}
        Some(other) => return Found::Version(other),
    }
    let mut field = |name: &str| lines.next()?.strip_prefix(name);
    let manifest = (|| {
        Some(Manifest {
            id: u128::from_str_radix(field("id ")?, 16).ok()?,
            first: field("first ")?.parse().ok()?,
            last: field("last ")?.parse().ok()?,
            from: field("from ")?.parse().ok()?,
        })
    })();
    manifest.map_or(Found::Broken, Found::Whole)
}
