//! Messages to a plugin, numbered, and what their publisher was told.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use patchbay_host::{HostHandle, NewMessage, Room};
use patchbay_testkit::checker::{Answer, Published, Tag};

use super::scene::{Files, dice::Dice, now};
use crate::rig::{LONG, message};

/// Keys of the messages.
const KEYS: u64 = 500;
/// What is done with a message, and how often.
const VERBS: [(&str, u64); 4] = [("ack", 60), ("echo", 25), ("later", 5), ("slow", 10)];
/// From one message to the next: a pace that leaves the processors to what is tested, not a wait.
const PERIOD: Duration = Duration::from_millis(2);

/// One publisher at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Publishes from the number after `last` on.
    pub(super) fn start(host: &HostHandle, files: &Files, name: &'static str, last: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (host, until) = (host.clone(), Arc::clone(&stop));
        let path = files.published(name);
        let file = File::options().create(true).append(true).open(path);
        let mut file = file.expect("a file");
        let task = tokio::spawn(async move {
            let topic = format!("in.{name}");
            let mut n = last;
            while !until.load(SeqCst) {
                n += 1;
                let verb = Dice(n).weighted(&VERBS);
                let mut message = message(&topic, &format!("{name} {n} {verb}"));
                message.key = Some(key(name, n));
                publish(&host, message, &mut file, n).await;
                tokio::time::sleep(PERIOD).await;
            }
        });
        Load { stop, task }
    }

    pub(super) async fn end(self) {
        self.stop.store(true, SeqCst);
        self.task.await.expect("it ends");
    }
}

/// Publishes a message that its plugin holds for a while.
pub(super) async fn drag(host: &HostHandle, files: &Files, name: &str) {
    let publisher = format!("{name}-drag");
    let file = File::options().create(true).append(true).open(files.published(&publisher));
    let n = now();
    let mut message = message(&format!("in.{name}"), &format!("{publisher} {n} drag"));
    message.key = Some(key(&publisher, n));
    publish(host, message, &mut file.expect("a file"), n).await;
}

async fn publish(host: &HostHandle, message: NewMessage, file: &mut File, n: u64) {
    // Two lines: where the second is missing, nobody knows.
    file.write_all(format!("sent {n} {}\n", now()).as_bytes()).expect("it is written");
    host.publish(message, Room::Within(LONG)).await.expect("it is accepted");
    file.write_all(format!("told {n} {}\n", now()).as_bytes()).expect("it is written");
}

fn key(publisher: &str, n: u64) -> String {
    format!("{publisher}-{}", n % KEYS)
}

/// What a publisher published to a plugin, by number.
pub(super) fn published(files: &Files, name: &str, publisher: &str) -> BTreeMap<u64, Published> {
    let text = fs::read_to_string(files.published(publisher)).unwrap_or_default();
    let mut all = BTreeMap::new();
    // A last line without its end is what a killed writer leaves behind.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let mut words = line.split(' ');
        let word = words.next();
        let mut number = || words.next().and_then(|it| it.parse::<u64>().ok()).expect("a number");
        let (n, t) = (number(), number());
        if word == Some("sent") {
            let (tag, topic) = (Tag::new(publisher, n), format!("in.{name}"));
            let begun = Published::begun(tag, &topic, &key(publisher, n));
            all.insert(n, Published { level: files.level(name), sent: t, t, ..begun });
        } else {
            let one: &mut Published = all.get_mut(&n).expect("it was sent");
            (one.answer, one.t) = (Answer::Accepted, t);
        }
    }
    all
}
