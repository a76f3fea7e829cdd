//! Processes that die with the test that started them, however that ends.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
};

/// What a command is started with so that it is killed when the thread that starts it ends, also
/// when the whole test is killed: nothing, where the system has no such program. Both end up in the
/// same process, and it stays the parent's child.
#[must_use]
pub fn tether() -> &'static [&'static str] {
    static FOUND: OnceLock<&[&str]> = OnceLock::new();
    FOUND.get_or_init(|| {
        let words: &[&str] = &["setpriv", "--pdeathsig", "KILL", "--"];
        let mut trial = Command::new(words[0]);
        trial.args(&words[1..]).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
        if trial.status().is_ok_and(|status| status.success()) { words } else { &[] }
    })
}
