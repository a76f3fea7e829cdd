//! The socket in `run/`: only the user who runs the host may open it.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::{SocketAddr, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process,
};

use crate::failure::{Exit, Failure};

/// The bound socket. Its file goes with it; one that a killed host left is replaced.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

// === impl Socket ===

impl Socket {
    /// Binds the socket. It is made in a folder that nobody else may enter, and moved to its place
    /// once it is closed to others: there is no moment at which it stands open.
    pub(super) fn bind(path: &Path) -> Result<Socket, Failure> {
        let cannot = |error: io::Error| {
            let failure = Failure::failed(format!("cannot listen at `{}`", path.display()))
                .because_of(&error, path);
            match error.kind() {
                io::ErrorKind::InvalidInput => {
                    failure.hint("the path of a socket may have 107 bytes: use a shorter --home")
                }
                _ => failure,
            }
        };
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(cannot)?;
        clear(path)?;
        let private = folder.join(format!(".{}", process::id()));
        DirBuilder::new().recursive(true).mode(0o700).create(&private).map_err(cannot)?;
        let made = make(&private.join("s"), path);
        let _ = fs::remove_dir_all(&private);
        Ok(Socket { listener: made.map_err(cannot)?, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The listener for the runtime.
    pub(super) fn listener(&self) -> Result<UnixListener, Failure> {
        self.listener
            .try_clone()
            .map_err(|error| Failure::failed("cannot share the socket").because(&error))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody answers there any more; a file that stays is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn make(at: &Path, place: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(at)?;
    fs::set_permissions(at, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    // A path that is too long to be connected to is refused here, not by the first client.
    SocketAddr::from_pathname(place)?;
    fs::rename(at, place)?;
    Ok(listener)
}

/// Makes room: a socket at which nobody answers is removed, anything else is left alone and named.
fn clear(path: &Path) -> Result<(), Failure> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(_) => return Ok(()),
    };
    let shown = path.display();
    if !found.file_type().is_socket() {
        return Err(Failure::failed(format!("cannot listen at `{shown}`"))
            .cause("there is a file, and it is not a socket")
            .hint("move it away, or use another --home"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Failure::new(Exit::Locked, format!("the socket `{shown}` is taken"))
            .cause("another process answers there")
            .hint("`patchbay shutdown` ends a host; --home DIR runs another one elsewhere")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| {
                Failure::failed(format!("cannot remove the old socket `{shown}`")).because(&error)
            }),
        Err(error) => {
            Err(Failure::failed(format!("cannot tell whether `{shown}` is taken")).because(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_its_user_only_and_gone_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/s");
        let socket = Socket::bind(&path).expect("a socket");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_a_living_one_and_a_file_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).expect("a dead socket"));
        let living = Socket::bind(&path).expect("replaced");
        let taken = Socket::bind(&path).expect_err("refused");
        assert_eq!(taken.exit, Exit::Locked);
        assert!(taken.text().contains("is taken"));
        drop(living);
        fs::write(&path, "mine").expect("a file");
        let kept = Socket::bind(&path).expect_err("refused");
        assert!(kept.text().contains("not a socket"));
        assert_eq!(fs::read(&path).expect("the file"), b"mine");
    }

    #[test]
    fn a_path_that_is_too_long_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x".repeat(120)).join("s");
        assert!(Socket::bind(&path).expect_err("refused").text().contains("shorter --home"));
    }
}
