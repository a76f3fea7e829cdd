//! The folder on a disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, CWD, FallocateFlags, FlockOperation, StatxFlags, fallocate, fdatasync, flock,
        statvfs, statx,
    },
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

use super::{LockError, Storage, StoredFile};

/// Where the kernel says which start of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// `STATX_MNT_ID_UNIQUE`: the number of a mount that no other one ever has.
const MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct DiskStorage {
    folder: PathBuf,
}

#[derive(Debug)]
struct DiskFile(File);

// === impl DiskStorage ===

impl DiskStorage {
    /// The folder, whether or not it is there yet.
    #[must_use]
    pub fn at(folder: &Path) -> DiskStorage {
        DiskStorage { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Storage for DiskStorage {
    fn make_folder(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        // Every folder that was made has an entry in the one above it.
        for above in self.folder.ancestors().skip(1).filter(|above| above.is_dir()).take(4) {
            File::open(above)?.sync_all()?;
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(DiskFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).write(writable).open(self.path(name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(self.path(name))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held { pid: text.trim().parse().ok() });
            }
            Err(errno) => return Err(LockError::Io(errno.into())),
        }
        // For the message of whoever comes second; the lock itself is the kernel's.
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(file))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let volume = statvfs(&self.folder)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }

    fn random(&self) -> u64 {
        let mut word = [0_u8; 8];
        let filled = getrandom(&mut word, GetRandomFlags::empty());
        // Eight bytes are never given in part; without any, the clock is better than nothing.
        if filled.is_err() {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            return now.as_nanos() as u64;
        }
        u64::from_le_bytes(word)
    }

    fn stay(&self) -> u64 {
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
        let Ok(boot) = u128::from_str_radix(&digits, 16) else { return 0 };
        match statx(CWD, &self.folder, AtFlags::empty(), MOUNT) {
            Ok(told) if told.stx_mask & MOUNT.bits() != 0 => {
                (boot as u64) ^ (boot >> 64) as u64 ^ told.stx_mnt_id.rotate_left(32)
            }
            _ => 0,
        }
    }

    fn place(&self) -> String {
        self.folder.display().to_string()
    }
}

// === impl DiskFile ===

impl StoredFile for DiskFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.0.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<bool> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            // There are file systems without it.
            Err(Errno::OPNOTSUPP) => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(fdatasync(&self.0)?)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
