//! Control calls.

use std::sync::atomic::Ordering;

use patchbay_abi::source::op;
use patchbay_plugin::{
    ErrorClass, Plugin, PluginError,
    testing::{Handled, Lanes, MockHost, TestMessage},
};
use serde_json::json;

use crate::acts::{Acts, LANE, SHARED, SLOTS};

async fn each_control_call<const RUNTIME: u8>() {
    let host = MockHost::new();
    let lanes = Lanes { count: 2, ..Lanes::default() };
    let plugin = host.run_on::<Acts<RUNTIME>>(lanes).unwrap();
    plugin.init().await.unwrap();
    assert_eq!(host.telemetry.logs()[0].text, "init");

    assert_eq!(plugin.health().await, Ok("fine".to_owned()));
    host.config.set_value("health", json!("tired"));
    assert_eq!(plugin.health().await, Err(PluginError::permanent("tired")));

    for _ in 0..3 {
        assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    }
    assert_eq!(plugin.metrics().await, Ok(r#"{"handled":3}"#.to_owned()));
    let exported = plugin.control(op::EXPORT_STATE, &[]).await;
    assert!(matches!(exported, Handled::Acknowledged(state) if state == "3"));
    assert!(plugin.control(op::RESET, &[]).await.is_acknowledged());
    assert_eq!(plugin.plugin().handled.load(Ordering::SeqCst), 0);
    assert!(plugin.control(op::IMPORT_STATE, b"41").await.is_acknowledged());
    assert_eq!(plugin.plugin().handled.load(Ordering::SeqCst), 41);
    let Handled::Error(error) = plugin.control(op::IMPORT_STATE, b"\xff").await else {
        panic!("state that is no text was taken over")
    };
    assert_eq!(error.class(), ErrorClass::InvalidData);

    assert!(plugin.control(op::RESUME, &[]).await.is_acknowledged(), "by default");
    let Handled::Error(error) = plugin.control(99, &[]).await else {
        panic!("an unknown control call was answered")
    };
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert_eq!(plugin.shutdown().await, Err(PluginError::transient("busy")));
}

#[tokio::test]
async fn each_control_call_reaches_the_plugin_in_a_slot() {
    each_control_call::<SLOTS>().await;
}

#[tokio::test]
async fn each_control_call_reaches_the_plugin_in_its_own_loop() {
    each_control_call::<LANE>().await;
}

#[tokio::test]
async fn each_control_call_reaches_the_plugin_in_a_shared_loop() {
    each_control_call::<SHARED>().await;
}

#[tokio::test]
async fn a_slow_control_call_does_not_hold_back_the_next() {
    struct Slow(patchbay_plugin::PluginContext);

    impl Plugin for Slow {
        fn new(context: patchbay_plugin::PluginContext) -> Result<Self, PluginError> {
            Ok(Slow(context))
        }

        fn name(&self) -> &str {
            &self.0.plugin_name
        }

        async fn health_check(&self) -> bool {
            std::future::pending().await
        }

        async fn process_message(
            &self,
            _topic: &str,
            _message: &patchbay_plugin::Message,
        ) -> Result<patchbay_plugin::ProcessingStatus, PluginError> {
            Ok(patchbay_plugin::ProcessingStatus::Acknowledged)
        }
    }

    let host = MockHost::new();
    let plugin = host.run::<Slow>().unwrap();
    let health = plugin.control(op::HEALTH, &[]);
    plugin.shutdown().await.unwrap();
    health.cancel();
    assert!(matches!(health.await, Handled::Cancelled));
}

#[tokio::test]
async fn a_plugin_that_says_nothing_of_state_refuses_that_of_a_predecessor() {
    let host = MockHost::new();
    let plugin = host.run::<crate::styles::Upper>().unwrap();
    assert!(plugin.control(op::IMPORT_STATE, b"").await.is_acknowledged());
    assert!(matches!(plugin.control(op::IMPORT_STATE, b"x").await, Handled::Error(_)));
}

#[test]
fn a_plugin_that_refuses_its_settings_is_not_made() {
    let host = MockHost::with_config(json!({ "refuse": true }));
    let refused = host.run::<Acts<SLOTS>>().unwrap_err();
    assert_eq!(refused, PluginError::permanent("refused by its settings"));
}
