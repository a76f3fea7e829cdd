//! How a verb ends when it does not succeed: what was wrong, why, and what to try.

use std::{error::Error, fmt::Write as _, fs, io, os::unix::fs::MetadataExt, path::Path};

use rustix::process::geteuid;

/// Exit status of the process. The numbers are a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// No host answers. From `up`: the deadline of the shutdown was hit.
    Unreachable = 3,
    /// A rule of the host forbids it.
    Refused = 4,
    /// Another host holds the data folder.
    Locked = 73,
    /// The journal is damaged, and the settings say to refuse it.
    Damaged = 78,
    /// A second signal ended the host at once.
    Interrupted = 130,
}

/// Why a verb did not do what was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Status of the process.
    pub(crate) exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// The reader of our output is gone: that is its right, and there is nobody to tell.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, String::new()),
            _ => Failure::failed("cannot write to the standard output").because(error),
        }
    }

    /// Adds an error and what it was caused by.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Failure {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds what an error was caused by, when the message is about the error itself.
    pub(crate) fn because_of_its_source(self, error: &(dyn Error + 'static)) -> Failure {
        match error.source() {
            Some(source) => self.because(source),
            None => self,
        }
    }

    /// Adds an error of the system about a file or folder, and what to try against it.
    pub(crate) fn because_of(self, error: &io::Error, path: &Path) -> Failure {
        let failure = self.because(error);
        match remedy(error.kind(), path) {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        }
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Failure {
        self.causes.push(cause.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The text for the standard error output; empty when there is nothing to say.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.message.is_empty() {
            return text;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "error: {}", self.message);
        for cause in &self.causes {
            let _ = writeln!(text, "  caused by: {}", indented(cause));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "  try: {}", indented(hint));
        }
        text
    }
}

/// What to try when the system refuses a file or folder; `None` where the error says it all.
pub(crate) fn remedy(kind: io::ErrorKind, path: &Path) -> Option<String> {
    let shown = path.display();
    match kind {
        io::ErrorKind::ReadOnlyFilesystem => Some(format!(
            "`{shown}` is on a file system that is mounted read-only: mount it writable, or use \
             another folder (--home DIR)"
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("make room on the volume of `{shown}`"))
        }
        io::ErrorKind::PermissionDenied => {
            // What is not there yet is refused by the folder above it.
            let found = path.ancestors().find_map(|it| Some((it, fs::metadata(it).ok()?)));
            let (place, of) = found?;
            let (place, owner, me) = (place.display(), of.uid(), geteuid().as_raw());
            Some(if owner == me {
                format!(
                    "`{place}` and all that is in it must be writable for user {me}: its mode is \
                     {:o}",
                    of.mode() & 0o7777
                )
            } else {
                format!(
                    "`{place}` belongs to user {owner}, and this is user {me}: run the host as user \
                     {owner}, or give {me} the whole folder"
                )
            })
        }
        _ => None,
    }
}

/// The error of the system that an error was caused by.
pub(crate) fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Keeps the lines of a text of several lines below its first one.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_failure_is_told_with_its_causes_and_what_to_try() {
        let inner = io::Error::other("disk on fire");
        let failure = Failure::failed("cannot read `x`").because(&inner).hint("put it out");
        let text = "error: cannot read `x`\n  caused by: disk on fire\n  try: put it out\n";
        assert_eq!(failure.text(), text);
    }

    #[test]
    fn what_the_system_refuses_is_told_with_a_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let mode = fs::Permissions::from_mode(0o750);
        fs::set_permissions(folder.path(), mode).expect("it is ours");
        let path = folder.path().join("data/lock");
        let told = |kind| remedy(kind, &path).unwrap_or_default();
        assert!(told(io::ErrorKind::ReadOnlyFilesystem).contains("mounted read-only"));
        assert!(told(io::ErrorKind::StorageFull).contains("make room"));
        let me = format!("user {}", geteuid().as_raw());
        let denied = told(io::ErrorKind::PermissionDenied);
        assert!(denied.contains(&me) && denied.contains("its mode is 750"), "{denied}");
        assert_eq!(told(io::ErrorKind::NotFound), "");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.text().as_str()), (Exit::Done, ""));
    }
}
