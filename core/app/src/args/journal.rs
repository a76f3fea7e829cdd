//! Verbs about the journal.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum JournalVerb {
    /// Show the journal of the running host, and what it found when it started
    Status,
    /// Read a whole journal and say what it is worth; needs no host, and changes nothing
    #[command(after_help = "\
Examples:
  patchbay journal verify
  patchbay journal verify /backup/data/journal

Ends with 1 when the journal is damaged, and lists what is lost. While a host writes to it, its end
may look unfinished.")]
    Verify {
        /// Folder of the journal [default: data/journal in the home folder]
        folder: Option<PathBuf>,
    },
}
