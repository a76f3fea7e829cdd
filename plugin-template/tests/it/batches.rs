//! What a plugin sends many at once.

use patchbay_plugin::{
    ErrorClass, PluginError, PublishError,
    testing::{Handled, MockHost, TestMessage, block_on},
};

use crate::acts::{Acts, LANE, SHARED, SLOTS, numbered, until};

fn numbers(host: &MockHost) -> Vec<String> {
    host.sent().iter().map(|sent| sent.message.text().unwrap().to_owned()).collect()
}

async fn a_batch_waits_for_room_and_goes_on<const RUNTIME: u8>(host: MockHost) {
    host.transport.set_room(2);
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let message = TestMessage::new("publish.batch").build();
    let mut call = plugin.deliver(&message);
    until("it is there as far as there was room", || host.sent().len() == 2);
    host.transport.set_room(1);
    until("the next one is there", || host.sent().len() == 3);
    assert!(call.try_outcome().is_none(), "it waits again");
    host.transport.set_room(9);
    assert!(call.await.is_acknowledged());
    assert_eq!(numbers(&host), ["0", "1", "2", "3", "4"]);
    let sent = host.sent();
    assert_eq!(sent[2].message.topic(), "other");
    assert!(sent.iter().all(|sent| sent.cause == Some(message.id())), "the message it handles");
}

#[tokio::test]
async fn a_batch_from_a_slot_waits_for_room_by_the_hosts_waker() {
    a_batch_waits_for_room_and_goes_on::<SLOTS>(MockHost::new()).await;
}

#[tokio::test]
async fn a_batch_from_a_loop_of_its_own_waits_for_room_by_token_and_bell() {
    a_batch_waits_for_room_and_goes_on::<LANE>(MockHost::new()).await;
    a_batch_waits_for_room_and_goes_on::<SHARED>(MockHost::new()).await;
}

#[tokio::test]
async fn a_host_of_1_0_gets_a_batch_one_by_one() {
    let host = MockHost::new();
    host.speak_1_0();
    host.transport.set_room(3);
    let batch = numbered(&host.context(), 5).unwrap();
    let error = host.context().transport.try_publish_batch(batch).unwrap_err();
    assert_eq!((error.accepted, error.rest.len()), (3, 1));
    assert_eq!(numbers(&host), ["0", "1", "2"]);
    let host = MockHost::new();
    host.speak_1_0();
    a_batch_waits_for_room_and_goes_on::<SLOTS>(host).await;
    let host = MockHost::new();
    host.speak_1_0();
    a_batch_waits_for_room_and_goes_on::<LANE>(host).await;
}

async fn what_a_cancelled_batch_had_left_is_not_made_later<const RUNTIME: u8>() {
    let host = MockHost::new();
    host.transport.set_room(2);
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let call = plugin.deliver(&TestMessage::new("publish.batch").build());
    until("it is there as far as there was room", || host.sent().len() == 2);
    call.cancel();
    assert!(matches!(call.await, Handled::Cancelled));
    host.transport.set_room(9);
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    assert_eq!(numbers(&host), ["0", "1"]);
}

#[tokio::test]
async fn a_cancelled_batch_publishes_no_more() {
    what_a_cancelled_batch_had_left_is_not_made_later::<SLOTS>().await;
    what_a_cancelled_batch_had_left_is_not_made_later::<LANE>().await;
}

#[test]
fn what_stops_a_batch_is_told_with_what_is_left() {
    let host = MockHost::new();
    let context = host.context();
    host.transport.set_room(2);
    let full = context.transport.try_publish_batch(numbered(&context, 5).unwrap()).unwrap_err();
    assert_eq!(full.accepted, 2);
    let PublishError::Full(refused) = &full.error else { panic!("{full}") };
    assert_eq!(refused.text(), Ok("2"), "the message comes back");
    let rest: Vec<_> = full.rest.iter().map(|message| message.text().unwrap()).collect();
    assert_eq!(rest, ["3", "4"]);
    assert_eq!(full.to_string(), "published 2 of 5 messages");

    let again = std::iter::once(refused.clone()).chain(full.rest.clone());
    host.transport.set_room(9);
    assert_eq!(block_on(context.transport.publish_batch(again)).unwrap(), 3);
    assert_eq!(numbers(&host), ["0", "1", "2", "3", "4"]);
    let error = PluginError::from(full);
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.text().contains("2 of 5 messages: cannot publish to `other`"), "{error}");

    host.transport.deny();
    let denied = block_on(context.transport.publish_batch(numbered(&context, 2).unwrap()));
    let denied = denied.unwrap_err();
    assert_eq!((denied.accepted, denied.rest.len()), (0, 1));
    assert!(matches!(&denied.error, PublishError::Denied { topic } if topic == "out"), "{denied}");
    assert_eq!(PluginError::from(denied).class(), ErrorClass::Permanent);
}

#[test]
fn a_batch_has_no_bound_but_memory_and_may_be_empty() {
    let host = MockHost::new();
    let context = host.context();
    let many = numbered(&context, 2_500).unwrap();
    assert_eq!(block_on(context.transport.publish_batch(many)).unwrap(), 2_500);
    let expected: Vec<_> = (0..2_500).map(|n| n.to_string()).collect();
    assert_eq!(numbers(&host), expected);
    assert_eq!(block_on(context.transport.publish_batch([])).unwrap(), 0);
}

#[test]
fn a_task_says_itself_what_its_batch_follows_from() {
    let host = MockHost::new();
    let context = host.context();
    let cause = TestMessage::new("in").build();
    let batch = context.transport.publish_batch(numbered(&context, 2).unwrap());
    block_on(batch.cause(&cause)).unwrap();
    assert!(host.sent().iter().all(|sent| sent.cause == Some(cause.id())));
}
