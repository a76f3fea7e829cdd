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

/// This program once more, as a process that dies with the test: for what ends a process.
///
/// # Panics
/// When it does not know where it is.
#[must_use]
pub fn this_again() -> Command {
    let this = std::env::current_exe().expect("this program");
    let Some((first, rest)) = tether().split_first() else { return Command::new(this) };
    let mut command = Command::new(first);
    command.args(rest).arg(this);
    command
}
