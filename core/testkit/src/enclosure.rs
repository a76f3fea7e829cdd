//! Mounts of one test, seen by nobody else, and gone with it however it ends.
//!
//! A shell holds a set of mounts of its own, for as long as its input is open: also a test that is
//! killed leaves nothing mounted. The host is started in there.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A set of mounts of its own.
#[derive(Debug)]
pub struct Enclosure {
    holder: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    enter: Vec<String>,
}

// === impl Enclosure ===

impl Enclosure {
    /// As root where that is allowed, else (for what needs no device) in a user namespace.
    #[must_use]
    pub fn open(root_only: bool) -> Option<Enclosure> {
        let ways: &[&[&str]] = &[&["-m"], &["-U", "-r", "-m"]];
        let ways = if root_only { &ways[..1] } else { ways };
        ways.iter().find_map(|way| Enclosure::with(way))
    }

    fn with(way: &[&str]) -> Option<Enclosure> {
        let mut command = Command::new("unshare");
        command.args(way).args(["--", "sh"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().ok()?;
        let (input, output) = (holder.stdin.take(), holder.stdout.take()?);
        let mut enter = vec!["nsenter".to_owned(), "-t".to_owned(), holder.id().to_string()];
        enter.push("-m".to_owned());
        if way.contains(&"-U") {
            enter.extend(["-U".to_owned(), "--preserve-credentials".to_owned()]);
        }
        enter.push("--".to_owned());
        let output = BufReader::new(output);
        let mut enclosure = Enclosure { holder, input, output, enter };
        // Nothing of it is seen outside.
        enclosure.run("mount --make-rprivate /").then_some(enclosure)
    }

    /// Runs a line in there, and says whether it succeeded.
    pub fn run(&mut self, line: &str) -> bool {
        let Some(input) = self.input.as_mut() else { return false };
        if writeln!(input, "{{ {line}; }} </dev/null >/dev/null 2>&1; echo ended $?").is_err() {
            return false;
        }
        let mut said = String::new();
        self.output.read_line(&mut said).is_ok() && said == "ended 0\n"
    }

    /// What a command is started with to run in there.
    #[must_use]
    pub fn enter(&self) -> Vec<String> {
        self.enter.clone()
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.holder.wait();
    }
}

/// Quoted for a shell.
#[must_use]
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
