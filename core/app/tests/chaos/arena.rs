//! A home with recording plugins in it, and the real host that is started and killed there.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use patchbay_testkit::{
    Home,
    checker::{
        Cause, Dead, Event, Expectations, LedgerTerms, Listener, Published, Records, Tag, Verdict,
        check, now,
    },
    eventually, fixture, tether,
};
use serde_json::{Value, json};

use crate::connection::Connection;

/// Longest wait for anything: only a broken host takes it.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A plugin made of `fixtures/recorder.c`.
pub(crate) struct Recorder {
    pub(crate) name: &'static str,
    /// Its subscriptions, as the manifest has them.
    pub(crate) subscriptions: Value,
    pub(crate) pool: Value,
}

/// The home, everything that was written down in it, and the host if one runs.
pub(crate) struct Arena {
    pub(crate) home: Home,
    recorders: Vec<Recorder>,
    /// What the host is started with: nothing, or a way into another set of mounts.
    pub(crate) through: Vec<String>,
    host: Option<Child>,
    /// How many hosts have run here.
    pub(crate) lives: u32,
    pub(crate) records: Records,
}

// === impl Recorder ===

impl Recorder {
    fn install(&self, home: &Home) {
        let rest = json!({"subscriptions": self.subscriptions, "worker_pool": self.pool});
        let rest = rest.to_string();
        let rest = format!(",{}", &rest[1..rest.len() - 1]);
        let built = fixture::build_c(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/fixtures/recorder.c"),
            &[("NAME", &format!("{:?}", self.name)), ("REST", &format!("{rest:?}"))],
            Path::new(env!("CARGO_TARGET_TMPDIR")),
        );
        let place = home.install(&built, &format!("lib{}.so", self.name));
        home.link(self.name, &place);
    }

    fn topics(&self) -> Vec<String> {
        let all = self.subscriptions.as_array().into_iter().flatten();
        all.map(|one| one["topic"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

// === impl Arena ===

impl Arena {
    /// A home with these plugins, and these settings beside theirs.
    pub(crate) fn new(recorders: Vec<Recorder>, settings: &Value) -> Arena {
        let home = Home::new();
        for recorder in &recorders {
            recorder.install(&home);
        }
        let arena = Arena {
            home,
            recorders,
            through: vec![],
            host: None,
            lives: 0,
            records: Records::default(),
        };
        let mut settings = settings.clone();
        for recorder in &arena.recorders {
            let config = json!({
                "records": arena.written(recorder.name), "gate": arena.path("gate"),
            });
            settings["plugins"][recorder.name]["config"] = config;
        }
        // JSON is YAML.
        fs::write(arena.path("patchbay.yaml"), settings.to_string()).expect("the settings");
        arena
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    fn written(&self, recorder: &str) -> PathBuf {
        self.path(&format!("{recorder}.jsonl"))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/patchbay.sock")
    }

    /// Starts a host and waits until it is ready; false if it died on the way, as it may when a
    /// message kills it.
    pub(crate) fn try_start(&mut self) -> bool {
        assert!(self.host.is_none(), "a host runs");
        let log = File::options().create(true).append(true).open(self.path("up.log"));
        let binary = env!("CARGO_BIN_EXE_patchbay");
        let through = self.through.iter().map(String::as_str);
        let mut words = through.chain(tether().iter().copied()).chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY")) {
            command.env_remove(name);
        }
        command.arg("--home").arg(self.home.path()).args(["up", "--log", "warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("a log"));
        let mut child = command.spawn().expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        self.host = Some(child);
        self.lives += 1;
        let mut first = String::new();
        let _ = lines.read_line(&mut first);
        first.contains("ready")
    }

    pub(crate) fn start(&mut self) {
        assert!(self.try_start(), "the host did not start:\n{}", self.log());
    }

    /// Waits for the end of a host that dies by itself.
    pub(crate) fn died(&mut self) -> i32 {
        let host = self.host.as_mut().expect("a host");
        let status = eventually("the end of the host", LONG, || host.try_wait().expect("a child"));
        self.host = None;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Whether the host that was started has ended.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.host.as_mut().is_none_or(|host| host.try_wait().expect("a child").is_some())
    }

    /// The terms of one subscription, or none where the host does not answer any more.
    pub(crate) fn try_terms(&self, subscription: &str) -> Option<Value> {
        let said = Connection::open(&self.socket()).ok()?.get("/api/v1/ledger").ok()?;
        let (plugin, index) = subscription.split_once(':')?;
        let index: u64 = index.parse().ok()?;
        let rows = said.json();
        let ours = |row: &&Value| row["plugin"] == plugin && row["index"] == index;
        rows.as_array()?.iter().find(ours).cloned()
    }

    /// Waits until a term of a subscription has that value.
    pub(crate) fn until(&self, subscription: &str, term: &str, wanted: u64) {
        eventually(format_args!("{wanted} {term} at {subscription}"), LONG, || {
            let row = self.try_terms(subscription)?;
            (row[term].as_u64() == Some(wanted)).then_some(())
        });
    }

    /// Tells the host something that it must do.
    pub(crate) fn post(&self, path: &str) {
        let mut connection = Connection::open(&self.socket()).expect("a host");
        let said = connection.post(path, b"{}").expect("an answer");
        assert!(said.status < 300, "{path}: {}", String::from_utf8_lossy(&said.body));
    }

    /// Lets the calls go that hang.
    pub(crate) fn open_gate(&self) {
        fs::write(self.path("gate"), "").expect("a file");
    }

    /// Ends the host without a word.
    pub(crate) fn kill(&mut self) {
        let t = now();
        let host = self.host.as_mut().expect("a host");
        host.kill().expect("a child");
        self.died();
        self.note(Event::HostDeath, t);
    }

    /// Ends the host in an orderly way; its exit status.
    pub(crate) fn stop(&mut self) -> i32 {
        let t = now();
        let host = self.host.as_ref().expect("a host");
        let sent = Command::new("kill").args(["-s", "TERM", &host.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        let status = self.died();
        self.note(Event::HostStop, t);
        status
    }

    /// Writes down what happened between `t` and now.
    pub(crate) fn note(&mut self, event: Event, t: u64) {
        self.records.push(Cause { t, until: now(), event }.into());
    }

    pub(crate) fn add(&mut self, published: impl IntoIterator<Item = Published>) {
        self.records.0.extend(published.into_iter().map(Into::into));
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let mut connection = Connection::open(&self.socket()).expect("a host");
        let said = connection.get(path).expect("an answer");
        assert_eq!(said.status, 200, "{path}: {}", String::from_utf8_lossy(&said.body));
        said.json()
    }

    /// The ledger as the host shows it. The sum is checked, and it is kept for the checker.
    pub(crate) fn ledger(&mut self) -> Vec<LedgerTerms> {
        let (t, view) = (now(), self.get("/api/v1/ledger"));
        let mut all = Vec::new();
        for row in view.as_array().expect("rows") {
            let term = |name: &str| row[name].as_u64().unwrap_or_default();
            let dropped = row["dropped"].as_object().into_iter().flatten();
            let terms = LedgerTerms {
                subscription: format!("{}:{}", row["plugin"].as_str().unwrap_or(""), row["index"]),
                life: self.lives,
                t,
                accepted: term("accepted"),
                queued: term("queued"),
                delayed: term("delayed"),
                in_flight: term("in_flight"),
                done: term("done"),
                forwarded: term("forwarded"),
                dead: term("dead"),
                dead_pending: term("dead_pending"),
                dropped: dropped.filter_map(|(_, count)| count.as_u64()).sum(),
            };
            assert_eq!(terms.accepted, terms.sum(), "the ledger does not add up: {row}");
            all.push(terms.clone());
            self.records.push(terms.into());
        }
        all
    }

    /// Waits until every delivery is settled.
    pub(crate) fn drained(&mut self) {
        // What a handler forwarded counts nowhere before its record is on the disk: behind a
        // message that is, everything before it is. So when nothing is open on either side of such
        // a message, and nothing was accepted between, nothing was on its way either.
        let mut before = None;
        eventually("every delivery is settled", LONG, || {
            let all = self.ledger();
            let open: u64 = all.iter().map(LedgerTerms::unsettled).sum();
            let accepted: u64 = all.iter().map(|terms| terms.accepted).sum();
            let last = before.replace((open, accepted));
            if open == 0 && last == before {
                return Some(());
            }
            let body = json!({"topic": "recorder.barrier", "dedup_key": now().to_string()});
            let mut connection = Connection::open(&self.socket()).expect("a host");
            connection.post("/api/v1/messages", body.to_string().as_bytes()).expect("an answer");
            None
        });
    }

    /// The dead letters that are there now, for the checker.
    pub(crate) fn dead_letters(&mut self) -> Vec<Dead> {
        let listed = self.get("/api/v1/dead-letters?limit=100000");
        let letters = listed.as_array().expect("letters").iter();
        let dead: Vec<Dead> = letters
            .map(|letter| Dead {
                tag: tag_of(&letter["message"]),
                subscription: format!(
                    "{}:{}",
                    letter["plugin"].as_str().unwrap_or_default(),
                    letter["subscription"]
                ),
                cause: letter["class"].as_str().unwrap_or_default().to_owned(),
            })
            .collect();
        self.records.0.extend(dead.iter().cloned().map(Into::into));
        dead
    }

    /// What the host wrote to its log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.path("up.log")).unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(40);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Every subscription of every plugin, under its name in the records.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let mut all = Vec::new();
        for recorder in &self.recorders {
            for (index, topic) in recorder.topics().iter().enumerate() {
                all.push(Listener::new(&format!("{}:{index}", recorder.name), topic));
            }
        }
        all
    }

    /// Reads what the plugins wrote down, and hands everything to the checker.
    pub(crate) fn judge(&mut self, change: impl FnOnce(&mut Expectations)) -> Verdict {
        for recorder in &self.recorders {
            if let Ok(file) = File::open(self.written(recorder.name)) {
                self.records.read_lines(BufReader::new(file)).expect("records of a plugin");
            }
        }
        let mut expectations = Expectations::new(self.listeners());
        change(&mut expectations);
        check(&self.records, &expectations)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(mut host) = self.host.take() {
            let _ = host.kill();
            let _ = host.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the host:\n{}", self.log());
        }
    }
}

/// Which message a view of the host shows, by its payload.
fn tag_of(message: &Value) -> Tag {
    let text = message["text"].as_str().or(message["data"].as_str()).unwrap_or_default();
    let mut words = text.split(' ');
    let publisher = words.next().unwrap_or_default();
    Tag::new(publisher, words.next().and_then(|n| n.parse().ok()).unwrap_or_default())
}
