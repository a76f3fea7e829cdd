//! Cases that end the process run in one of their own: this test executable, again.

use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
};

use patchbay_testkit::this_again;

/// Set in the child: which case it is to run.
const CASE: &str = "PATCHBAY_LOADER_TEST_CASE";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

/// In the child: the case. In the parent: `None`.
pub(crate) fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// Runs the test of that full name in a child, as that case.
pub(crate) fn run(test: &str, case: &str) -> End {
    // A process that is ended so removes no folder of its own: they are all made in here.
    let folder = tempfile::tempdir().expect("a folder");
    let status: ExitStatus = this_again()
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .env("TMPDIR", folder.path())
        // No core file, and no noise in the report of the tests.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("start the child");
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => panic!("the child ended in no known way"),
    }
}
