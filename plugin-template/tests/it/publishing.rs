//! What a plugin sends.

use patchbay_abi::message::header;
use patchbay_plugin::{
    Message, MessageId, PluginContext, PluginError, PluginProcessor, ProcessingStatus,
    PublishError, Runtime, SubscribeError,
    testing::{Handled, MockHost, TestMessage, block_on, create_test_message},
};
use serde_json::json;

use crate::acts::{Acts, LANE, SHARED, SLOTS};

async fn a_publish_waits_for_room<const RUNTIME: u8>() {
    let host = MockHost::new();
    host.transport.set_room(0);
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let message = TestMessage::new("publish").build();
    let mut calls = [plugin.deliver(&message), plugin.deliver(&message)];
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    assert!(calls.iter_mut().all(|call| call.try_outcome().is_none()), "they wait");
    assert!(host.sent().is_empty());
    host.transport.set_room(1);
    crate::acts::until("one of them is through", || calls.iter().any(|call| call.is_over()));
    assert_eq!(host.sent().len(), 1, "and the other one waits again");
    host.transport.set_room(1);
    for call in calls {
        assert!(call.await.is_acknowledged());
    }
    let sent = host.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].cause, Some(message.id()), "the message that was handled");
}

#[tokio::test]
async fn a_publish_from_a_slot_waits_for_room_by_the_hosts_waker() {
    a_publish_waits_for_room::<SLOTS>().await;
}

#[tokio::test]
async fn a_publish_from_an_own_loop_waits_for_room_by_token_and_bell() {
    a_publish_waits_for_room::<LANE>().await;
}

#[tokio::test]
async fn a_publish_from_a_shared_loop_waits_for_room_by_token_and_bell() {
    a_publish_waits_for_room::<SHARED>().await;
}

async fn a_publish_that_is_given_up_is_not_made_later<const RUNTIME: u8>() {
    let host = MockHost::new();
    host.transport.set_room(0);
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let call = plugin.deliver(&TestMessage::new("publish").build());
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    call.cancel();
    assert!(matches!(call.await, Handled::Cancelled));
    host.transport.set_room(5);
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    assert!(host.sent().is_empty());
}

#[tokio::test]
async fn a_cancelled_publish_publishes_nothing() {
    a_publish_that_is_given_up_is_not_made_later::<SLOTS>().await;
    a_publish_that_is_given_up_is_not_made_later::<LANE>().await;
}

#[test]
fn nobody_can_wake_a_publish_outside_every_call_so_it_says_that_there_is_no_room() {
    let host = MockHost::new();
    host.transport.set_room(0);
    let error = block_on(host.context().publish("out", "x")).unwrap_err();
    let PublishError::Full(message) = error else { panic!("{error}") };
    assert_eq!(message.payload(), b"x", "the message comes back");
    host.transport.set_room(1);
    block_on(host.context().transport.send(message)).unwrap();
    assert_eq!(host.published("out").len(), 1);
}

#[test]
fn try_publish_answers_at_once() {
    let host = MockHost::new();
    let context = host.context();
    host.transport.set_room(1);
    let published = context.message_builder().topic("out").text("1").try_publish().unwrap();
    assert_eq!(published.routed, 1);
    let full = context.message_builder().topic("out").text("2").try_publish();
    assert!(matches!(full, Err(PublishError::Full(message)) if message.payload() == b"2"));
    assert_eq!(PluginError::from(full_error()).class(), patchbay_plugin::ErrorClass::Transient);
    host.transport.deny();
    let denied = context.message_builder().topic("out").try_publish().unwrap_err();
    assert!(matches!(&denied, PublishError::Denied { topic } if topic == "out"), "{denied}");
}

fn full_error() -> PublishError {
    PublishError::Full(TestMessage::new("out").build())
}

#[test]
fn a_built_message_is_what_was_asked_for() {
    let host = MockHost::new();
    let context = host.context();
    let message = context
        .message_builder()
        .topic("orders.new")
        .key("customer-7")
        .header("tenant", "south")
        .header("Tenant", "north")
        .json(&json!({ "price": 12 }))
        .schema("order/1")
        .version("2.1")
        .id(MessageId(77))
        .build()
        .unwrap();
    assert_eq!(message.topic(), "orders.new");
    assert_eq!(message.key(), Some("customer-7"));
    assert_eq!(message.header("TENANT"), Some("north"), "the second one replaces the first");
    assert_eq!(message.content_type(), Some("application/json"));
    assert_eq!((message.schema(), message.version()), (Some("order/1"), Some("2.1")));
    assert_eq!(message.source(), Some("test_plugin"));
    assert_eq!(message.id(), MessageId(77));
    assert_eq!(message.text(), Ok(r#"{"price":12}"#));
    assert_eq!(message.attempt(), 0, "it was not handed over by anybody");
    assert_eq!(message.headers().len(), 5);

    let own = context.message_builder().build().unwrap();
    assert_eq!(own.topic(), "plugin.test_plugin");
    assert_ne!(own.id(), MessageId(0), "the host makes one");
}

#[test]
fn a_payload_is_written_in_place() {
    let host = MockHost::new();
    let context = host.context();
    let message = context
        .message_builder()
        .topic("out")
        .build_with(1000, |room| {
            assert!(room.iter().all(|byte| *byte == 0));
            room[999] = 7;
        })
        .unwrap();
    assert_eq!((message.payload().len(), message.payload()[999]), (1000, 7));
}

#[test]
fn a_message_that_cannot_be_made_says_why() {
    let host = MockHost::new();
    let context = host.context();
    let error = context.message_builder().topic("no topic").build().unwrap_err();
    assert!(error.to_string().contains("`no topic`"), "{error}");
    let own = context.message_builder().topic("out").header("Patchbay-Hops", "0").build();
    assert!(matches!(own, Err(PublishError::Refused { .. })), "a header of the host's");
    let mut unfit = std::collections::HashMap::new();
    unfit.insert(vec![1], 1);
    let error = context.message_builder().topic("out").json(&unfit).build().unwrap_err();
    assert!(error.to_string().contains("no JSON form"), "{error}");
    assert!(block_on(context.message_builder().topic("out").json(&unfit).publish()).is_err());
}

#[test]
fn a_message_goes_on_under_another_topic_without_being_copied() {
    let host = MockHost::new();
    let context = host.context();
    let message = TestMessage::new("in").text("shared").key("k").header("a", "1").build();
    block_on(context.transport.publish("out", &message)).unwrap();
    let out = &host.published("out")[0];
    assert_eq!(out.payload().as_ptr(), message.payload().as_ptr());
    assert_eq!((out.key(), out.header("a")), (Some("k"), Some("1")));

    let built = context.message_builder().topic("third").payload_of(&message).build().unwrap();
    assert_eq!(built.payload().as_ptr(), message.payload().as_ptr());
    assert_eq!(built.key(), None);

    // What was built for a topic goes there as it is.
    block_on(context.transport.publish("third", &built)).unwrap();
    assert_eq!(host.published("third")[0], built);
}

struct Replies(PluginContext);

impl PluginProcessor for Replies {
    const RUNTIME: Runtime = Runtime::None;

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Replies(context))
    }

    fn context(&self) -> &PluginContext {
        &self.0
    }

    async fn process(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        let upper = message.text()?.to_uppercase();
        self.0.transport.reply(message, upper).await?;
        self.0.transport.reply_json(message, &json!({ "done": true })).await?;
        Ok(ProcessingStatus::Acknowledged)
    }
}

#[tokio::test]
async fn a_reply_goes_where_the_request_wants_it() {
    let host = MockHost::new();
    let plugin = host.run::<Replies>().unwrap();
    let request = TestMessage::new("ask").text("hello").reply_to("answers.7", "c-1").build();
    assert!(plugin.deliver(&request).await.is_acknowledged());
    let answers = host.published("answers.7");
    assert_eq!(answers[0].text(), Ok("HELLO"));
    assert_eq!(answers[0].header(header::CORRELATION_ID), Some("c-1"));
    assert_eq!(answers[1].json::<serde_json::Value>().unwrap(), json!({ "done": true }));

    let handled = plugin.deliver(&TestMessage::new("ask").text("hello").build()).await;
    let Handled::Error(error) = handled else { panic!("{handled:?}") };
    assert_eq!(error.class(), patchbay_plugin::ErrorClass::InvalidData);
}

#[test]
fn a_request_keeps_what_ties_it_to_its_reply_when_it_goes_on() {
    let host = MockHost::new();
    let context = host.context();
    let ask = context.message_builder().topic("ask").reply_to("answers").correlation_id("c-2");
    block_on(ask.publish()).unwrap();
    let asked = TestMessage::new("ask").reply_to("answers", "c-2").header("Patchbay-Hops", "3");
    block_on(context.transport.publish("ask.elsewhere", &asked.build())).unwrap();
    for topic in ["ask", "ask.elsewhere"] {
        let request = &host.published(topic)[0];
        assert_eq!(request.reply_to(), Some("answers"));
        assert_eq!(request.correlation_id(), Some("c-2"));
        assert_eq!(request.header("Patchbay-Hops"), None, "that is the host's to say");
    }
}

#[test]
fn a_plugin_subscribes_while_it_runs() {
    let host = MockHost::new();
    let transport = &host.context().transport;
    let first = transport.subscribe("a.*").unwrap();
    transport.subscribe("b.>").unwrap();
    transport.unsubscribe(first).unwrap();
    assert_eq!(host.transport.patterns(), ["b.>"]);
    assert_eq!(transport.unsubscribe(first), Err(SubscribeError::NotFound));
}

#[derive(Debug, serde::Deserialize)]
struct Order<'a> {
    item: &'a str,
    lines: Vec<Line>,
}

#[derive(Debug, serde::Deserialize)]
struct Line {
    price: u32,
}

#[test]
fn a_payload_that_does_not_fit_names_the_field() {
    let good = create_test_message("o", json!({ "item": "tea", "lines": [{ "price": 3 }] }));
    let order: Order<'_> = good.json().unwrap();
    assert_eq!((order.item, order.lines[0].price), ("tea", 3));

    let bad = create_test_message(
        "o",
        json!({ "item": "tea", "lines": [{ "price": 3 }, { "price": "4" }] }),
    );
    let error = bad.json::<Order<'_>>().unwrap_err();
    assert_eq!(error.path, "lines[1].price");
    let error = PluginError::from(error);
    assert_eq!(error.class(), patchbay_plugin::ErrorClass::InvalidData);
    assert!(error.text().contains("`lines[1].price`"), "{error}");
    let trailing = TestMessage::new("o").text("{} x").build();
    assert!(trailing.json::<serde_json::Value>().is_err());
}
