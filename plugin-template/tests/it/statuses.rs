//! The ways a message is dealt with.

use std::time::Duration;

use patchbay_plugin::{
    ErrorClass, Plugin,
    testing::{Handled, MockHost, Running, TestMessage},
};

use crate::acts::{Acts, LANE, SHARED, SLOTS};

async fn act<P: Plugin>(plugin: &Running<P>, topic: &str) -> Handled {
    plugin.deliver(&TestMessage::new(topic).text("payload").build()).await
}

async fn every_way<P: Plugin>() {
    let host = MockHost::new();
    let plugin = host.run::<P>().unwrap();
    assert!(act(&plugin, "ack").await.is_acknowledged());
    assert!(act(&plugin, "ack.later").await.is_acknowledged());

    let Handled::RetryLater(delay) = act(&plugin, "retry").await else { panic!("no retry") };
    assert_eq!(delay, Duration::from_millis(1500));
    let Handled::RetryLater(delay) = act(&plugin, "retry.ever").await else { panic!("no retry") };
    assert_eq!(delay, Duration::from_nanos(u64::MAX), "longer than can be said is the longest");

    let Handled::Failed(reason) = act(&plugin, "failed").await else { panic!("not failed") };
    assert_eq!(reason, "no use");

    let message = TestMessage::new("forward").text("the very payload").build();
    let forwarded = plugin.deliver(&message).await;
    let Handled::Forward(topic, same) = forwarded else { panic!("not forwarded") };
    assert_eq!((topic.as_str(), &same), ("elsewhere", &message), "the message itself");

    for (topic, class, text) in [
        ("error.transient", ErrorClass::Transient, "not now"),
        ("error.permanent", ErrorClass::Permanent, "never"),
        ("error.data", ErrorClass::InvalidData, "nonsense"),
    ] {
        let Handled::Error(error) = act(&plugin, topic).await else { panic!("no error") };
        assert_eq!((error.class(), error.text()), (class, text));
    }
}

#[tokio::test]
async fn every_status_and_error_class_crosses_the_boundary_from_a_slot() {
    every_way::<Acts<SLOTS>>().await;
}

#[tokio::test]
async fn every_status_and_error_class_crosses_the_boundary_from_an_own_loop() {
    every_way::<Acts<LANE>>().await;
}

#[tokio::test]
async fn every_status_and_error_class_crosses_the_boundary_from_a_shared_loop() {
    every_way::<Acts<SHARED>>().await;
}
