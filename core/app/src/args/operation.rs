//! Verbs about operations.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum OperationVerb {
    /// List operations that run or ended lately, newest first
    List,
    /// Show how far an operation came
    #[command(after_help = "\
Examples:
  patchbay operation show 0198c0de-0000-7000-8000-000000000001

`dlq redrive --no-wait` prints the id, as `operation list` does.")]
    Show {
        /// Id of the operation
        id: String,
    },
    /// End an operation before its next dead letters; what was done stays done
    #[command(after_help = "\
Examples:
  patchbay operation cancel 0198c0de-0000-7000-8000-000000000001")]
    Cancel {
        /// Id of the operation
        id: String,
    },
}
