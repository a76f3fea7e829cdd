//! Native plugins in a real host, fed by publishers that the host made.

use std::time::{Duration, Instant};

use patchbay_bus::Outgoing;
use patchbay_measure::{
    meter::{self, Window},
    record::Record,
    work::{Kind, Work},
};
use serde_json::{Map, Value, json};

use super::{TOPIC, publishing::Publishers, warm_up};
use crate::home::{Copies, Home, Outcome, name_of};

const REQUEST_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(
    work: &Work,
    length: Duration,
    record: impl Fn(Window) -> Record,
) -> Outcome<Record> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match work.kind {
            Kind::Flow if work.is_latency() => latency(work, length, record).await,
            Kind::Flow => Ok(record(flow(work, length).await?)),
            Kind::Among(idle) => Ok(record(among(work, length, idle).await?)),
            Kind::Chain(plugins) => Ok(record(chain(work, length, plugins).await?)),
            Kind::Request => Ok(record(requests(work, length).await?)),
            Kind::Process | Kind::Disk | Kind::Match { .. } | Kind::Depth(_) => {
                Err(format!("`patchbay` does not do `{}`", work.name).into())
            }
        }
    })
}

/// Into plugins that acknowledge.
async fn flow(work: &Work, length: Duration) -> Outcome<Window> {
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
    let copies = [Copies { library: "ack", first: 1, count: work.consumers }];
    let home = Home::start(&copies, json!({ "plugins": plugins })).await?;
    let topics: Vec<String> = match work.topics {
        1 => vec![TOPIC.to_owned()],
        many => (0..many).map(|number| format!("bench.topic.{number}")).collect(),
    };
    Ok(measured(home, work, &topics, length, |_| true).await)
}

/// Into some plugins in turn, beside `idle` ones that get nothing.
async fn among(work: &Work, length: Duration, idle: usize) -> Outcome<Window> {
    let copies = [Copies { library: "job", first: 1, count: work.topics + idle }];
    let mut plugins = Map::new();
    for number in work.topics + 1..=work.topics + idle {
        let none = json!({ "worker_pool": { "min_workers": 0 } });
        plugins.insert(name_of("job", number), none);
    }
    let home = Home::start(&copies, json!({ "plugins": plugins })).await?;
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
    let window = meter::measure(warm_up(length), length, || home.done(&counts));
    publishers.stop();
    home.stop().await;
    window
}

/// One way, at a fixed rate, as the plugin sees it.
async fn latency(
    work: &Work,
    length: Duration,
    record: impl Fn(Window) -> Record,
) -> Outcome<Record> {
    let name = name_of("job", 1);
    let copies = [Copies { library: "job", first: 1, count: 1 }];
    let home = Home::start(&copies, json!({})).await?;
    let topic = name.clone() + ".x";
    let publishers = Publishers::start(work, &[topic], || home.host.publisher("bench"));
    let window = meter::measure(Duration::ZERO, length, || home.done(|_| true));
    publishers.stop();
    let detail = home.host.plugin_detail(&name).await?;
    let seen = serde_json::to_value(detail)?;
    let figure = |field: &str| find(&seen, field).and_then(Value::as_f64);
    let mut record = record(window);
    if let (Some(p50), Some(p99), Some(p999)) =
        (figure("p50_us"), figure("p99_us"), figure("p999_us"))
    {
        record.latency_us = Some([p50, p99, p999]);
    }
    home.stop().await;
    Ok(record)
}

/// A member of that name, wherever it stands.
fn find<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => {
            members.get(field).or_else(|| members.values().find_map(|member| find(member, field)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, field)),
        _ => None,
    }
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
    let done = patchbay_measure::meter::Tally::default();
    let counted = done.clone();
    let asking = tokio::spawn(async move {
        let end = Instant::now() + warm_up(length) + length + Duration::from_millis(50);
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
        tokio::task::spawn_blocking(move || meter::measure(warm_up(length), length, || done.get()))
            .await?;
    asking.await?;
    home.stop().await;
    Ok(window)
}
