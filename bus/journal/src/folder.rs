//! Making segments ahead of need, and freeing those that nothing needs any more.
//!
//! A segment is made under a name that nobody reads: reserved, filled with zeroes where much is
//! flushed, given its head, flushed. Then it gets its name, the folder is flushed, and the manifest that names it is put in
//! place. Only then is it used. A segment is freed in the opposite order, and only after every
//! record that says so is on the device (P-4).

use std::{io, sync::Arc};

use rustix::io::Errno;

use crate::{
    commit::lock,
    frame::{self, FRAME, HEAD},
    journal::{Folder, Shared},
    level::Level,
    manifest::Manifest,
    planted::fault,
    segment::Segment,
    storage::StoredFile,
};

/// The name of a segment that is being made.
pub(crate) const MAKING: &str = "segment.next";
/// How many freed segments are kept for reuse.
pub(crate) const SPARES_MAX: usize = 4;
/// How many segments are made ahead at most.
const AHEAD_MAX: usize = 4;
/// How many segments are made or copied in one go, so that whoever asked gets on.
const ROUNDS_MAX: usize = 64;
/// Zeroes are written in pieces of this size.
const PIECE: usize = 1 << 20;

/// Why a segment could not be made.
enum NotMade {
    /// There is no room for it now.
    Full,
    /// The journal has failed.
    Failed,
}

// === impl Shared ===

impl Shared {
    /// Makes and frees segments as far as that is due. True when it is worth looking again soon.
    pub(crate) fn tend_folder(&self) -> bool {
        let mut folder = lock(&self.folder);
        for _ in 0..ROUNDS_MAX {
            if self.failed.get().is_some() {
                return false;
            }
            let is_paid = self.pay_now();
            while self.free_oldest(&mut folder) {}
            let wanted = {
                let mut head = lock(&self.head);
                if std::mem::take(&mut head.hungry) && !head.used.is_empty() {
                    folder.ahead = (folder.ahead + 1).min(AHEAD_MAX);
                }
                head.ready.len() < folder.ahead
            };
            if !wanted {
                if self.copying_pays() && self.copy_once(&mut folder, false) {
                    continue;
                }
                return !is_paid || lock(&self.head).used.len() > 1;
            }
            match self.make(&mut folder) {
                Ok(()) => {}
                Err(NotMade::Failed) => return false,
                Err(NotMade::Full) => {
                    if self.copy_once(&mut folder, true) {
                        continue;
                    }
                    lock(&self.head).full = true;
                    self.room.notify_all();
                    return true;
                }
            }
        }
        true
    }

    /// Copies the oldest segment forward, once: what keeps it after that is damaged.
    fn copy_once(&self, folder: &mut Folder, pressure: bool) -> bool {
        folder.copied != folder.first && {
            let copied = self.copy_oldest(pressure, &mut folder.weighed);
            if copied {
                folder.copied = folder.first;
            }
            copied
        }
    }

    fn make(&self, folder: &mut Folder) -> Result<(), NotMade> {
        let number = folder.last + 1;
        let name = Segment::file_name(number);
        let size = self.config.segment_bytes;
        let (made, spare) = match folder.spares.pop() {
            Some(spare) => (self.step("open", &spare, self.storage.open(&spare, true))?, spare),
            None => (self.make_file(folder, size)?, MAKING.to_owned()),
        };
        let salt = self.storage.random() as u32;
        let version = frame::VERSION;
        let head = frame::Head { version, journal: self.id, segment: number, salt, size };
        // No record after it, whatever the file was before.
        let mut start = head.encode().to_vec();
        start.resize(HEAD + FRAME, 0);
        self.step("write", &spare, made.write_at(0, &start))?;
        self.step("flush", &spare, made.sync_data())?;
        self.step("rename", &spare, self.storage.rename(&spare, &name))?;
        if !fault("skip-dir-sync") {
            self.step("flush", "the folder", self.storage.sync_dir())?;
        }
        let Folder { first, from, .. } = *folder;
        let manifest = Manifest { id: self.id, first, last: number, from };
        if let Err(error) = manifest.write(&*self.storage) {
            if is_full(&error) {
                // Not named, so not used: the next try takes it from here.
                folder.spares.push(name);
                return Err(NotMade::Full);
            }
            return Err(self.not_made("replace", Manifest::FILE, &error));
        }
        folder.last = number;
        let segment = Segment { number, name, file: made, salt, size };
        let mut head = lock(&self.head);
        head.ready.push_back(segment);
        head.full = false;
        drop(head);
        self.room.notify_all();
        Ok(())
    }

    /// A file of that size in blocks of its own, all zero.
    fn make_file(&self, folder: &Folder, size: u64) -> Result<Arc<dyn StoredFile>, NotMade> {
        let count = folder.last + 1 - folder.first + 1;
        if count.saturating_mul(size) > self.config.max_bytes {
            return Err(NotMade::Full);
        }
        let free = self.step("measure", "the folder", self.storage.free_bytes())?;
        if free < size.saturating_add(self.config.low_water_bytes) {
            return Err(NotMade::Full);
        }
        let file = self.step("create", MAKING, self.storage.create(MAKING))?;
        let filled = file.allocate(size).and_then(|is_reserved| {
            if is_reserved && !self.config.fill {
                return Ok(());
            }
            let zeroes = vec![0; PIECE.min(size as usize)];
            let mut at = HEAD as u64;
            while at < size {
                let length = (size - at).min(zeroes.len() as u64);
                file.write_at(at, &zeroes[..length as usize])?;
                at += length;
            }
            Ok(())
        });
        match filled {
            Ok(()) => Ok(file),
            Err(error) if is_full(&error) => {
                drop(file);
                self.step("remove", MAKING, self.storage.remove(MAKING))?;
                Err(NotMade::Full)
            }
            Err(error) => Err(self.not_made("fill", MAKING, &error)),
        }
    }

    fn step<T>(
        &self,
        operation: &'static str,
        file: &str,
        done: io::Result<T>,
    ) -> Result<T, NotMade> {
        done.map_err(|error| {
            if is_full(&error) { NotMade::Full } else { self.not_made(operation, file, &error) }
        })
    }

    fn not_made(&self, operation: &'static str, file: &str, error: &io::Error) -> NotMade {
        self.fail(operation, file, error);
        NotMade::Failed
    }

    /// Frees the oldest segment if nothing needs it. Whether it did.
    pub(crate) fn free_oldest(&self, folder: &mut Folder) -> bool {
        let (upto, number, first, from) = {
            let head = lock(&self.head);
            let (Some(oldest), Some(next)) = (head.used.front(), head.used.get(1)) else {
                return false;
            };
            if !head.oldest_is_free(&self.config) {
                return false;
            }
            (head.link.number - 1, oldest.segment.number, next.segment.number, next.first)
        };
        // Every settlement that frees it was appended before: they go to the device first.
        if !fault("free-before-settlement-sync") && self.wait(upto, Level::Disk).is_err() {
            return false;
        }
        let manifest = Manifest { id: self.id, first, last: folder.last, from };
        if let Err(error) = manifest.write(&*self.storage) {
            // On a full disk it stays named, and is freed another time.
            if !is_full(&error) {
                self.fail("replace", Manifest::FILE, &error);
            }
            return false;
        }
        let oldest = {
            let mut head = lock(&self.head);
            head.books.forget_below(number + 1);
            head.used.pop_front()
        };
        (folder.first, folder.from) = (first, from);
        let Some(Segment { name, file, size, .. }) = oldest.map(|oldest| oldest.segment) else {
            return false;
        };
        let unread = Arc::strong_count(&file) == 1;
        drop(file);
        if unread && size == self.config.segment_bytes && folder.spares.len() < SPARES_MAX {
            folder.spares.push(name);
        } else if let Err(error) = self.storage.remove(&name) {
            self.fail("remove", &name, &error);
            return false;
        }
        true
    }
}

/// Whether the volume, or this user's part of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::NOSPC.raw_os_error()) || errno == Some(Errno::DQUOT.raw_os_error())
}
