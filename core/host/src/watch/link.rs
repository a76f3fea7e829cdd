//! One link: where it leads, and whether it may lead there.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why a link cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(
        "`{}` is not a link: remove it, put the library into `{}` and link to it",
        link.display(), libraries.display()
    )]
    NotALink { link: PathBuf, libraries: PathBuf },
    #[error(
        "the link `{}` leads to `{}`, which does not exist: build the library, or remove the link",
        link.display(), target.display()
    )]
    Dangling { link: PathBuf, target: PathBuf },
    #[error(
        "the link `{}` leads to `{}`, which leads back to itself: link to the library's own file",
        link.display(), target.display()
    )]
    Looping { link: PathBuf, target: PathBuf },
    #[error(
        "the link `{}` leads to `{}`, outside of `{}`: copy the library there and link to the copy",
        link.display(), target.display(), libraries.display()
    )]
    Outside { link: PathBuf, target: PathBuf, libraries: PathBuf },
    #[error(
        "the link `{}` leads to `{}`, which is not a file: link to the library itself",
        link.display(), target.display()
    )]
    NotAFile { link: PathBuf, target: PathBuf },
    #[error("cannot follow the link `{}` to `{}`", link.display(), target.display())]
    Unreadable {
        link: PathBuf,
        target: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where a link leads, and what tells whether that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The library itself: absolute, no link on the way.
    pub(crate) library: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Last change of content, nanoseconds since the Unix epoch.
    changed_ns: i128,
    /// The file with the settings that the plugin was given, if there is one.
    given: Option<Mark>,
}

/// What tells whether a file was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_ns: i128,
}

/// "Too many levels of symbolic links"; `ErrorKind::FilesystemLoop` is not stable.
const ELOOP: i32 = 40;

// === impl Stamp ===

impl Stamp {
    /// Together with the settings that the plugin was given.
    pub(crate) fn with(self, given: Option<Mark>) -> Stamp {
        Stamp { given, ..self }
    }

    /// How old the content is; `None` when it is from the future.
    pub(crate) fn age_ns(&self, unix_ns: u64) -> Option<u64> {
        let given = self.given.as_ref().map_or(i128::MIN, |mark| mark.changed_ns);
        let changed_ns = self.changed_ns.max(given);
        u64::try_from(i128::from(unix_ns) - changed_ns).ok()
    }
}

// === impl Mark ===

impl Mark {
    /// That of a file; `None` when there is none that could be looked at.
    pub(crate) fn of(file: &Path) -> Option<Mark> {
        let it = fs::metadata(file).ok()?;
        let (device, inode, bytes) = (it.dev(), it.ino(), it.len());
        Some(Mark { device, inode, bytes, changed_ns: changed_ns(&it) })
    }
}

fn changed_ns(it: &fs::Metadata) -> i128 {
    i128::from(it.mtime()) * 1_000_000_000 + i128::from(it.mtime_nsec())
}

/// Follows a link. `libraries` is absolute, with no link on the way.
pub(crate) fn follow(link: &Path, libraries: &Path) -> Result<Stamp, LinkError> {
    let link = link.to_owned();
    let libraries = libraries.to_owned();
    let Ok(target) = fs::read_link(&link) else {
        return Err(LinkError::NotALink { link, libraries });
    };
    let library = match fs::canonicalize(&link) {
        Ok(library) => library,
        Err(source) => {
            return Err(match source.kind() {
                io::ErrorKind::NotFound => LinkError::Dangling { link, target },
                _ if source.raw_os_error() == Some(ELOOP) => LinkError::Looping { link, target },
                _ => LinkError::Unreadable { link, target, source },
            });
        }
    };
    if !library.starts_with(&libraries) {
        return Err(LinkError::Outside { link, target: library, libraries });
    }
    match fs::metadata(&library) {
        Err(source) => Err(LinkError::Unreadable { link, target: library, source }),
        Ok(it) if !it.is_file() => Err(LinkError::NotAFile { link, target: library }),
        Ok(it) => Ok(Stamp {
            device: it.dev(),
            inode: it.ino(),
            bytes: it.len(),
            changed_ns: changed_ns(&it),
            given: None,
            library,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn home() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let home = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(home.path()).expect("it exists");
        let (enabled, libraries) = (root.join("enabled"), root.join("libraries"));
        fs::create_dir(&enabled).expect("a folder");
        fs::create_dir(&libraries).expect("a folder");
        (home, enabled, libraries)
    }

    #[test]
    fn a_link_to_a_library_is_followed() {
        let (_home, enabled, libraries) = home();
        fs::write(libraries.join("libecho.so"), "x").expect("a file");
        symlink("../libraries/libecho.so", enabled.join("echo")).expect("a link");
        let stamp = follow(&enabled.join("echo"), &libraries).expect("usable");
        assert_eq!(stamp.library, libraries.join("libecho.so"));
        assert_eq!(stamp.bytes, 1);
    }

    #[test]
    fn links_that_cannot_be_used_name_themselves_their_target_and_a_remedy() {
        let (_home, enabled, libraries) = home();
        fs::write(libraries.join("../secret.so"), "x").expect("a file");
        fs::create_dir(libraries.join("folder")).expect("a folder");
        fs::write(enabled.join("file"), "x").expect("a file");
        for (name, target) in [
            ("dangling", "../libraries/none.so"),
            ("looping", "looping"),
            ("outside", "../libraries/../secret.so"),
            ("folder", "../libraries/folder"),
        ] {
            symlink(target, enabled.join(name)).expect("a link");
        }
        for (name, problem, remedy) in [
            ("dangling", "does not exist", "build the library"),
            ("looping", "leads back to itself", "the library's own file"),
            ("outside", "outside of", "copy the library there"),
            ("folder", "is not a file", "link to the library itself"),
            ("file", "is not a link", "link to it"),
        ] {
            let error = follow(&enabled.join(name), &libraries).expect_err("not usable");
            let text = error.to_string();
            for part in [name, problem, remedy] {
                assert!(text.contains(part), "{part:?} in {text:?}");
            }
        }
    }
}
