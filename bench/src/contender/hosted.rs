//! Native plugins in a real host, fed by publishers that the host made.

use std::time::{Duration, Instant};

use patchbay_bus::Outgoing;
use patchbay_measure::{
    entry::{Asked, Outcome},
    meter::{self, Tally, Window},
    work::{Kind, Work},
};
use serde_json::{Map, Value, json};

use super::{TOPIC, durable::Voice, idle, publishing::Publishers, replaced};
use crate::home::{Copies, Home, name_of};

const REQUEST_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(asked: &Asked<'_>) -> Outcome<Window> {
    let Asked { contender, work, length } = *asked;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    if let Kind::Among(_) = work.kind {
        // Threads that loaded libraries are waited for, and would stay longer.
        runtime.thread_keep_alive(Duration::from_secs(1));
    }
    let runtime = runtime.build()?;
    runtime.block_on(async {
        match (contender, work.kind) {
            ("patchbay", Kind::Flow) if work.is_latency() => latency(work, length).await,
            ("patchbay", Kind::Flow) => flow(work, length).await,
            ("patchbay-split", Kind::Flow) => replaced::split(work, length).await,
            ("patchbay-after", Kind::Flow) => replaced::after(work, length).await,
            ("patchbay", Kind::Among(idle)) => among(work, length, idle).await,
            ("patchbay", Kind::Chain(plugins)) => chain(work, length, plugins).await,
            ("patchbay-hop", Kind::Chain(_)) => chain(work, length, 1).await,
            ("patchbay", Kind::Request) => requests(work, length).await,
            ("patchbay", Kind::Process) => durable(work, length, "process").await,
            ("patchbay", Kind::Disk) => durable(work, length, "disk").await,
            ("patchbay", Kind::Idle(plugins)) => idle::run(plugins).await,
            (_, Kind::Replaced) => replaced::under_load(asked).await,
            _ => asked.refused(),
        }
    })
}

/// A host with plugins that acknowledge, one for each consumer. `more` is laid over its settings.
pub(super) async fn acknowledging(work: &Work, more: Value) -> Outcome<Home> {
    let workers = if work.keys > 0 { 2 } else { 1 };
    let order = if work.keys > 0 { "per_key" } else { "none" };
    let mut plugins = Map::new();
    for number in 1..=work.consumers {
        plugins.insert(
            name_of("ack", number),
            json!({
                "worker_pool": { "min_workers": workers, "max_workers": workers },
                "subscriptions": {
                    "bench.>": {
                        "queue": { "overflow": "block", "count": 1024, "bytes": "128MiB" },
                        "order": order,
                    },
                },
            }),
        );
    }
    let mut settings = json!({ "plugins": plugins });
    if let (Value::Object(settings), Value::Object(more)) = (&mut settings, more) {
        settings.extend(more);
    }
    Home::start(&[Copies { library: "ack", first: 1, count: work.consumers }], settings).await
}

/// Into plugins that acknowledge.
async fn flow(work: &Work, length: Duration) -> Outcome<Window> {
    let home = acknowledging(work, json!({})).await?;
    Ok(into_acknowledging(home, work, length).await)
}

pub(super) async fn into_acknowledging(home: Home, work: &Work, length: Duration) -> Window {
    let topics: Vec<String> = match work.topics {
        1 => vec![TOPIC.to_owned()],
        many => (0..many).map(|number| format!("bench.topic.{number}")).collect(),
    };
    measured(home, work, &topics, length, |_| true).await
}

/// Into a plugin that acknowledges, at a level; what counts is what is settled.
async fn durable(work: &Work, length: Duration, level: &str) -> Outcome<Window> {
    let rule = json!({ "topics": "bench.>", "level": level });
    let home = acknowledging(work, json!({ "durability": [rule] })).await?;
    let voice = Voice::start(home.host.publisher("bench"), work, TOPIC);
    let window = meter::measure(meter::warm_up(work, length), length, None, || home.done(|_| true));
    let published = voice.stop();
    home.stop().await;
    published.map(|()| window)
}

/// Into some plugins in turn, beside `idle` ones that get nothing.
async fn among(work: &Work, length: Duration, idle: usize) -> Outcome<Window> {
    let copies = [Copies { library: "job", first: 1, count: work.topics + idle }];
    let mut plugins = Map::new();
    for number in work.topics + 1..=work.topics + idle {
        let none = json!({ "worker_pool": { "min_workers": 0, "idle_timeout": "1s" } });
        plugins.insert(name_of("job", number), none);
    }
    let home = Home::start(&copies, json!({ "plugins": plugins })).await?;
    idle::settled(work.topics as u64).await?;
    let topics: Vec<String> =
        (1..=work.topics).map(|number| name_of("job", number) + ".x").collect();
    Ok(measured(home, work, &topics, length, |_| true).await)
}

/// Through plugins of which each forwards to the next; the last one acknowledges.
async fn chain(work: &Work, length: Duration, plugins: usize) -> Outcome<Window> {
    let mut settings = Map::new();
    for number in 1..=plugins {
        let config = if number < plugins {
            json!({ "task": "forward", "to": name_of("job", number + 1) + ".x" })
        } else {
            json!({ "task": "note" })
        };
        settings.insert(name_of("job", number), json!({ "config": config }));
    }
    let copies = [Copies { library: "job", first: 1, count: plugins }];
    let home = Home::start(&copies, json!({ "plugins": settings })).await?;
    let last = name_of("job", plugins);
    let topic = name_of("job", 1) + ".x";
    Ok(measured(home, work, &[topic], length, |plugin| plugin == last).await)
}

async fn measured(
    home: Home,
    work: &Work,
    topics: &[String],
    length: Duration,
    counts: impl Fn(&str) -> bool,
) -> Window {
    let publishers = Publishers::start(work, topics, || home.host.publisher("bench"));
    let finished = || home.done(&counts);
    let window = meter::measure(meter::warm_up(work, length), length, None, finished);
    publishers.stop();
    home.stop().await;
    window
}

/// One way, at a fixed rate, as the plugin sees it.
async fn latency(work: &Work, length: Duration) -> Outcome<Window> {
    let name = name_of("job", 1);
    let notes = tempfile::tempdir()?;
    let home = noting(&name, notes.path()).await?;
    let window = measured(home, work, &[name + ".x"], length, |_| true).await;
    Ok(window.with_latency(&replaced::noted(notes.path())?.ages))
}

/// A host with one plugin that notes in a folder how old messages are.
pub(super) async fn noting(name: &str, notes: &std::path::Path) -> Outcome<Home> {
    let config = json!({ "config": { "task": "note", "notes": notes } });
    let copies = [Copies { library: "job", first: 1, count: 1 }];
    Home::start(&copies, json!({ "plugins": { name: config } })).await
}

/// One request after the other, each waiting for its answer.
async fn requests(work: &Work, length: Duration) -> Outcome<Window> {
    let name = name_of("job", 1);
    let settings = json!({ "plugins": { name.clone(): { "config": { "task": "answer" } } } });
    let copies = [Copies { library: "job", first: 1, count: 1 }];
    let home = Home::start(&copies, settings).await?;
    let mut publisher = home.host.publisher("bench");
    let broker = publisher.broker();
    let (topic, payload) = (name + ".x", vec![7; work.size]);
    let (done, warm_up) = (Tally::default(), meter::warm_up(work, length));
    let counted = done.clone();
    let asking = tokio::spawn(async move {
        let end = Instant::now() + warm_up + length + Duration::from_millis(50);
        while Instant::now() < end {
            let request = Outgoing { topic: &topic, payload: &payload, ..Outgoing::default() };
            let reply = match broker.request(&mut publisher, request, REQUEST_MAX) {
                Ok(reply) => reply.await,
                Err(error) => Err(error),
            };
            if let Err(error) = reply {
                return eprintln!("a request was not answered: {error}");
            }
            counted.add(1);
        }
    });
    let window =
        tokio::task::spawn_blocking(move || meter::measure(warm_up, length, None, || done.get()))
            .await?;
    asking.await?;
    home.stop().await;
    Ok(window)
}
