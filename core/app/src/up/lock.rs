//! One host for one home folder (P-11).
//!
//! The lock is the kernel's: it ends with the process, however that ends, so nothing is ever left
//! to clean. The number in the file is for people.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    failure::{Exit, Failure},
    home::Home,
};

/// The right to run a host in a home folder.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

// === impl Lock ===

impl Lock {
    /// Takes the lock, or names who holds it.
    pub(super) fn take(home: &Home) -> Result<Lock, Failure> {
        let path = home.lock();
        let cannot = |error: io::Error| {
            Failure::failed(format!("cannot lock `{}`", path.display())).because_of(&error, &path)
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(cannot)?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(cannot)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                let folder = home.folder().display();
                return Err(Failure::new(
                    Exit::Locked,
                    format!("a host runs in `{folder}` already: {holder}"),
                )
                .hint("`patchbay shutdown` ends it; --home DIR runs another one elsewhere"));
            }
            Err(error) => return Err(cannot(error.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(cannot)?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_is_refused_by_name_and_a_later_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(folder.path());
        let first = Lock::take(&home).expect("the lock");
        let refused = Lock::take(&home).expect_err("refused");
        assert_eq!(refused.exit, Exit::Locked);
        assert!(refused.text().contains(&format!("process {}", std::process::id())));
        drop(first);
        Lock::take(&home).expect("the lock");
    }
}
