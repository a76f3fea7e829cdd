//! What plugins get from the host.

use patchbay_host::{PublishError, Room};
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, message};

#[tokio::test(flavor = "multi_thread")]
async fn logs_metrics_and_spans_of_a_plugin_are_shown() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let mut traced = message("in.echo", "metrics");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    traced.headers.push(("traceparent".to_owned(), traceparent.to_owned()));
    rig.host.publish(traced, Room::Now).await.expect("accepted");
    rig.publish("in.echo", "metrics").await;
    rig.publish("in.echo", "log").await;
    rig.ledger_until("echo", |it| it.done == 3).await;

    let detail = rig.host.plugin_detail("echo").await.expect("it is known");
    let told = detail.metrics.iter().find(|it| it.name == "told").expect("a counter");
    assert_eq!((told.kind.as_str(), told.value, told.count), ("counter", 4.0, 2));
    assert_eq!(told.attributes["kind"], "test");
    let took = detail.metrics.iter().find(|it| it.name == "took").expect("a histogram");
    assert_eq!((took.min, took.max), (Some(4.0), Some(4.0)));
    let ours = |it: &&patchbay_host::view::SpanView| it.trace_id.starts_with("0af7651916cd43dd");
    let span = detail.spans.iter().find(ours).expect("a span in the message's trace");
    assert_eq!(span.parent_id.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!((span.name.as_str(), span.status.as_str()), ("tell", "ok"));
    assert_eq!(detail.spans.len(), 2);
    assert_eq!(detail.own_metrics, Some(json!({"seen": 3})));
    let lines = rig.host.logs("echo", 0).expect("it is known");
    let line = lines.iter().find(|line| line.level == "warn").expect("its line");
    assert_eq!(line.text, "a line\\nin two");
    assert_eq!(line.generation, detail.plugin.generation);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_and_one_that_nobody_hears_is_refused_at_once() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let reply = rig.host.request(message("in.echo", "reply"), LONG).await.expect("a reply");
    assert_eq!(reply.payload, b"1.0.0");
    let refused = rig.host.request(message("in.nobody", "reply"), LONG).await;
    assert!(matches!(refused, Err(PublishError::NoResponders { .. })), "{refused:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_host_publishes_its_topics() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.publish("in.echo", "system").await;
    let ledger = rig.ledger_until("echo", |it| it.done + it.dead == 1).await;
    assert_eq!(ledger.done, 1, "the plugin was denied: {:#?}", rig.host.dead_letters());
    let refused = rig.host.publish(message("$PB.plugin.echo.state", "{}"), Room::Now).await;
    assert!(matches!(refused, Err(PublishError::Reserved { .. })), "{refused:?}");
    let mut forged = message("in.echo", "ack");
    forged.headers.push(("Patchbay-Hops".to_owned(), "0".to_owned()));
    let refused = rig.host.publish(forged, Room::Now).await;
    assert!(matches!(refused, Err(PublishError::Invalid { .. })), "{refused:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_publishes_only_where_its_manifest_says() {
    let plan = Plan::new();
    let permissions = json!({"publish": ["elsewhere.>"]});
    let retry = json!([{"topic": "in.echo", "retry": {"on_error": "dead_letter"}}]);
    let plugin = Plugin::new("echo", "1.0.0").with("permissions", permissions);
    plan.enable(&plugin.with("subscriptions", retry));
    let rig = plan.start().await;
    rig.publish("in.echo", "echo").await;
    let ledger = rig.ledger_until("echo", |it| it.done + it.dead == 1).await;
    assert_eq!(ledger.dead, 1, "the echo was refused, and the plugin said so");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_refused_with_what_is_wrong() {
    let rig = Plan::new().start().await;
    for topic in ["", "a..b", "a.#", "a b", "a.*"] {
        let refused = rig.host.publish(message(topic, "x"), Room::Now).await;
        assert!(matches!(refused, Err(PublishError::Invalid { .. })), "{topic:?}: {refused:?}");
    }
    assert!(rig.host.tap("a.+", 1).is_err());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_a_publisher_that_waits_gets_room() {
    let plan = Plan::new();
    let small = json!([{"topic": "in.echo", "queue": {"count": 2}}]);
    plan.enable(&Plugin::new("echo", "1.0.0").with("subscriptions", small));
    let rig = plan.start().await;
    rig.host.pause("echo", "test").await.expect("it pauses");
    for _ in 0..2 {
        rig.host.publish(message("in.echo", "ack"), Room::Now).await.expect("there is room");
    }
    let refused = rig.host.publish(message("in.echo", "ack"), Room::Now).await;
    let Err(PublishError::Full { subscription }) = refused else { panic!("{refused:?}") };
    assert!(subscription.contains("echo") && subscription.contains("in.echo"), "{subscription}");
    let host = rig.host.clone();
    let waiting =
        tokio::spawn(
            async move { host.publish(message("in.echo", "ack"), Room::Within(LONG)).await },
        );
    rig.host.resume("echo", "test").await.expect("it resumes");
    waiting.await.expect("it ends").expect("it got room");
    rig.ledger_until("echo", |it| it.done == 3).await;
    rig.end().await;
}
