//! What keeps a host from starting, with the exit status that says so, and what to try.

use std::{io::ErrorKind, path::Path};

use patchbay_host::StartError;
use patchbay_journal::OpenError;

use crate::failure::{Exit, Failure, io_error, remedy};

/// A host that did not start.
pub(super) fn told(error: &StartError) -> Failure {
    let (exit, hint) = match error {
        StartError::Journal { path, source } => of_journal(path, source),
        StartError::JournalGone { known, .. } | StartError::OtherJournal { known, .. } => {
            (Exit::Damaged, Some(how_to_go_on(known)))
        }
        StartError::Folder { path, .. }
        | StartError::File { path, .. }
        | StartError::Store { path, .. } => {
            let kind = io_error(error).map_or(ErrorKind::Other, std::io::Error::kind);
            (Exit::Failed, remedy(kind, path))
        }
        _ => (Exit::Failed, None),
    };
    let failure = Failure::new(exit, "cannot start the host").because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn of_journal(path: &Path, error: &OpenError) -> (Exit, Option<String>) {
    match error {
        OpenError::Owned { .. } => (
            Exit::Locked,
            Some(
                "`patchbay shutdown` ends a host; --home DIR runs another one elsewhere".to_owned(),
            ),
        ),
        OpenError::Refused { .. } => (
            Exit::Damaged,
            Some(
                "`patchbay journal verify` lists what is lost; with `journal.on_corruption: \
                 quarantine` the host goes on with what can be read"
                    .to_owned(),
            ),
        ),
        OpenError::ReadOnly { .. } => (Exit::Failed, remedy(ErrorKind::ReadOnlyFilesystem, path)),
        OpenError::Permission { .. } => (Exit::Failed, remedy(ErrorKind::PermissionDenied, path)),
        // It says itself what to do, and nothing was changed.
        OpenError::Version { .. } | OpenError::Config { .. } => (Exit::Failed, None),
        other => {
            let kind = io_error(other).map_or(ErrorKind::Other, std::io::Error::kind);
            let judge = || "`patchbay journal verify` judges the folder without a host".to_owned();
            (Exit::Failed, Some(remedy(kind, path).unwrap_or_else(judge)))
        }
    }
}

/// There was a journal, and what is there now is not it.
fn how_to_go_on(known: &Path) -> String {
    let known = known.display();
    format!(
        "mount its volume, or bring the folder back from a backup; if its messages are lost for good \
         or not wanted, delete `{known}`, and the host starts without them"
    )
}
