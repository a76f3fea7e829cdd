//! A temporary home, the binary in it, and a host that does not outlive its test.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write},
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use patchbay_testkit::{eventually, fixture, repository, tether};
use serde_json::Value;

/// Longest wait for anything: only a broken test takes it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A home folder with nothing in it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    /// What the binary is started with: nothing, or a way into another set of mounts.
    pub(crate) through: Vec<String>,
}

/// A running `patchbay up`. It is killed when it is dropped.
pub(crate) struct Up {
    child: Child,
    /// The first line of its standard output.
    pub(crate) ready: String,
    log: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

// === impl Home ===

impl Home {
    pub(crate) fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder"), through: Vec::new() }
    }

    /// A home whose workshop holds the plugin `echo`, built.
    pub(crate) fn with_echo() -> Home {
        let home = Home::new();
        home.add_echo("1.2.3");
        home.ok(&["plugin", "build", "echo"]);
        home
    }

    /// Puts the sources of `echo` into the workshop, as some version of it.
    pub(crate) fn add_echo(&self, version: &str) {
        let folder = self.path("plugins/workshop/echo");
        fs::create_dir_all(&folder).expect("a folder");
        let plugin = include_str!("fixtures/echo/plugin.c").replace("1.2.3", version);
        let manifest = include_str!("fixtures/echo/manifest.json").replace("1.2.3", version);
        fs::write(folder.join("plugin.c"), plugin).expect("a file");
        fs::write(folder.join("manifest.json"), manifest).expect("a file");
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// The binary in this home, with an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.started_with(&[], args)
    }

    fn started_with(&self, with: &[&str], args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_patchbay");
        let through = self.through.iter().map(String::as_str);
        let mut words = through.chain(with.iter().copied()).chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY")) {
            command.env_remove(name);
        }
        command.arg("--home").arg(self.folder.path()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().expect("the binary"))
    }

    /// Runs a command with something on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("the whole input");
        drop(stdin);
        Ran::of(&child.wait_with_output().expect("an end"))
    }

    /// Runs a command that must succeed, and returns the JSON that it prints.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{args:?}: {ran:?}");
        ran.json()
    }

    /// Where a library of developers is.
    pub(crate) fn library(&self, stem: &str) -> PathBuf {
        self.path("plugins/libraries/development").join(format!("lib{stem}.so"))
    }

    /// Builds the plugin that does what its messages say (`obedient.c`), with this rest of a
    /// manifest, and puts it among the libraries in one step.
    pub(crate) fn install(&self, name: &str, version: &str, manifest: &Value) -> PathBuf {
        let rest = manifest.to_string();
        let rest = format!(",{}", &rest[1..rest.len() - 1]);
        let quoted = |text: &str| format!("{text:?}");
        let built = fixture::build_c(
            &repository::root().join("core/host/tests/fixtures/obedient.c"),
            &[
                ("NAME", &quoted(name)),
                ("VERSION", &quoted(version)),
                ("VERSION_TOKEN", &quoted(&version.replace('.', "_"))),
                ("REST", &quoted(&rest)),
            ],
            Path::new(env!("CARGO_TARGET_TMPDIR")),
        );
        let place = self.library(&format!("{name}-{version}"));
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        let half = place.with_extension("half");
        fs::copy(built, &half).expect("a copy");
        fs::rename(half, &place).expect("a library");
        place
    }

    /// Makes the link of a plugin lead to a library.
    pub(crate) fn link(&self, name: &str, library: &Path) {
        let (link, half) = (self.path("plugins/enabled"), self.path("plugins/half"));
        fs::create_dir_all(&link).expect("a folder");
        symlink(library, &half).expect("a link");
        fs::rename(half, link.join(name)).expect("a link in its place");
    }

    /// Sends a request to the host's socket and returns status and body.
    pub(crate) fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let mut stream =
            UnixStream::connect(self.path("run/patchbay.sock")).expect("the host's socket");
        stream.set_read_timeout(Some(LONG)).expect("a limit");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: patchbay\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("the whole request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the whole answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Starts a host and waits until it is ready.
    pub(crate) fn up(&self) -> Up {
        self.up_with(&[])
    }

    pub(crate) fn up_with(&self, args: &[&str]) -> Up {
        let log = self.path("up.log");
        let file = fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = self.started_with(tether(), &[&["up"], args].concat());
        command.stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        lines.read_line(&mut ready).expect("a line");
        let up = Up { child, ready, log };
        assert!(up.ready.contains("ready"), "{:?}, log:\n{}", up.ready, up.log());
        // The rest is read, so that the host can write it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        up
    }

    /// Waits until the ledger of `echo` says `count` under `name`.
    pub(crate) fn ledger_says(&self, name: &str, count: u64) {
        eventually(format_args!("{count} {name}"), LONG, || {
            let ledger = self.ok(&["ledger"]);
            let held = ledger[0][name].as_u64();
            (held == Some(count)).then_some(())
        });
    }
}

// === impl Up ===

impl Up {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end and returns the exit status; a signal counts as 128 and its number.
    pub(crate) fn ended(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status =
            eventually("the end of the host", LONG, || self.child.try_wait().expect("a child"));
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the host:\n{}", self.log());
        }
    }
}

// === impl Ran ===

impl Ran {
    pub(crate) fn of(output: &Output) -> Ran {
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Checks that it failed with a status, and said all of these.
    pub(crate) fn failed(&self, status: i32, said: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        for text in said {
            assert!(self.err.contains(text), "no {text:?} in {self:?}");
        }
    }
}

/// A file and its content.
pub(crate) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}
