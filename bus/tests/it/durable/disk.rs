//! A disk of values: what was written survives the process, what was flushed survives the power.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::*},
    },
};

use patchbay_journal::{LockError, Storage, StoredFile};

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Folder>);

#[derive(Debug, Default)]
struct Folder {
    files: Mutex<BTreeMap<String, Arc<Blocks>>>,
    /// Writes and flushes so far.
    operations: Arc<AtomicU64>,
    /// The operation from which on all fail; 0 = none.
    fails_from: Arc<AtomicU64>,
    /// What is taken of the room there is.
    used: Arc<Used>,
}

#[derive(Debug)]
struct Used {
    bytes: AtomicU64,
    limit: AtomicU64,
}

#[derive(Debug, Default)]
struct Blocks {
    content: Mutex<Content>,
    operations: Arc<AtomicU64>,
    fails_from: Arc<AtomicU64>,
    used: Arc<Used>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    written: Vec<u8>,
    flushed: Vec<u8>,
}

impl Default for Used {
    fn default() -> Used {
        Used { bytes: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX / 2) }
    }
}

impl Used {
    fn free(&self) -> u64 {
        self.limit.load(SeqCst).saturating_sub(self.bytes.load(SeqCst))
    }
}

impl Disk {
    /// Files that are made from now on may take so much, with those that are there.
    pub(super) fn limit(&self, bytes: u64) {
        self.0.used.limit.store(bytes, SeqCst);
    }

    /// What another life finds.
    pub(super) fn copy(&self, power_lost: bool) -> Disk {
        let copy = Disk::default();
        for (name, blocks) in &*self.0.files.lock().unwrap() {
            let content = blocks.content.lock().unwrap().clone();
            let survived = if power_lost { content.flushed } else { content.written };
            let content = Content { written: survived.clone(), flushed: survived };
            copy.0.files.lock().unwrap().insert(name.clone(), Arc::new(copy.blocks(content)));
        }
        copy
    }

    /// From the next write or flush but `n` on, nothing succeeds any more.
    pub(super) fn fail_after(&self, n: u64) {
        self.0.fails_from.store(self.0.operations.load(SeqCst) + n + 1, SeqCst);
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.operations.load(SeqCst)
    }

    fn blocks(&self, content: Content) -> Blocks {
        Blocks {
            content: Mutex::new(content),
            operations: Arc::clone(&self.0.operations),
            fails_from: Arc::clone(&self.0.fails_from),
            used: Arc::clone(&self.0.used),
        }
    }
}

impl Storage for Disk {
    fn make_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.files.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let blocks = Arc::new(self.blocks(Content::default()));
        self.0.files.lock().unwrap().insert(name.to_owned(), Arc::clone(&blocks));
        Ok(blocks)
    }

    fn open(&self, name: &str, _writable: bool) -> io::Result<Arc<dyn StoredFile>> {
        let found = self.0.files.lock().unwrap().get(name).cloned();
        Ok(found.ok_or(io::ErrorKind::NotFound)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.files.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if let Some(gone) = self.0.files.lock().unwrap().remove(name) {
            let length = gone.content.lock().unwrap().written.len() as u64;
            self.0.used.bytes.fetch_sub(length.min(self.0.used.bytes.load(SeqCst)), SeqCst);
        }
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockError> {
        Ok(Box::new(()))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.0.used.free())
    }

    fn random(&self) -> u64 {
        self.0.operations.fetch_add(1, SeqCst).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn stay(&self) -> u64 {
        0
    }

    fn place(&self) -> String {
        "a disk of values".to_owned()
    }
}

impl Blocks {
    fn operate(&self) -> io::Result<()> {
        let number = self.operations.fetch_add(1, SeqCst) + 1;
        let from = self.fails_from.load(SeqCst);
        if from != 0 && number >= from { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl StoredFile for Blocks {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let rest = content.written.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.operate()?;
        let mut content = self.content.lock().unwrap();
        let end = offset as usize + bytes.len();
        if content.written.len() < end {
            content.written.resize(end, 0);
        }
        content.written[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<bool> {
        let mut content = self.content.lock().unwrap();
        let more = length.saturating_sub(content.written.len() as u64);
        if more > self.used.free() {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.used.bytes.fetch_add(more, SeqCst);
        if more > 0 {
            content.written.resize(length as usize, 0);
        }
        Ok(true)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate()?;
        let mut content = self.content.lock().unwrap();
        content.flushed = content.written.clone();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().written.len() as u64)
    }
}
