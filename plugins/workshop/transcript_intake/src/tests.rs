use std::time::Duration;

use patchbay_plugin::{
    Message, ProcessingStatus,
    testing::{MockHost, TestMessage, block_on},
};
use serde_json::{Value, json};

use super::*;
use crate::processor::DRAFT_TOPIC;

const APOLLO: &str = include_str!("../../samples/apollo-11-landing.vtt");
const GETTYSBURG: &str = include_str!("../../samples/gettysburg-address.txt");

/// The settings of the manifest, so that it and the plugin cannot differ.
fn manifest_config() -> Value {
    let manifest: Value = serde_saphyr::from_str(include_str!("../manifest.yaml")).unwrap();
    manifest["config"].clone()
}

fn plugin(host: &MockHost) -> TranscriptIntake {
    TranscriptIntake::new(host.context()).unwrap()
}

fn raw(text: &str) -> TestMessage {
    TestMessage::new("transcript.raw").key("a-transcript").text(text)
}

fn process(plugin: &TranscriptIntake, message: &Message) -> ProcessingStatus {
    block_on(plugin.process_message("transcript.raw", message)).unwrap()
}

fn draft(message: &Message) -> Value {
    message.json().unwrap()
}

#[test]
fn a_single_line_is_forwarded_as_a_draft() {
    let host = MockHost::with_config(manifest_config());
    let status = process(&plugin(&host), &raw("LINCOLN: Four score").id(0x2a).build());
    let ProcessingStatus::Forward(topic, message) = status else { panic!("{status:?}") };
    assert_eq!(topic, DRAFT_TOPIC);
    assert_eq!(message.key(), Some("a-transcript"));
    assert_eq!(message.content_type(), Some("application/json"));
    let draft = draft(&message);
    assert_eq!(draft["segment"], "a-transcript#0000000000000000000000000000002a");
    assert_eq!(draft["speaker"], "LINCOLN");
    assert_eq!(draft["text"], "Four score");
    assert_eq!(draft["language"], "en");
    assert!(host.sent().is_empty(), "a forward is not published besides");
}

#[test]
fn a_document_is_published_segment_by_segment_and_acknowledged() {
    let host = MockHost::with_config(manifest_config());
    let message = raw(APOLLO).header("content-type", "text/vtt").build();
    let status = process(&plugin(&host), &message);
    assert!(matches!(status, ProcessingStatus::Acknowledged), "{status:?}");
    let drafts: Vec<Value> = host.published(DRAFT_TOPIC).iter().map(draft).collect();
    assert_eq!(drafts.len(), 102);
    assert_eq!(drafts[0]["text"], "Got the Earth right out our front window.");
    assert_eq!(drafts[0]["speaker"], "LMP (EAGLE)");
    assert_eq!(drafts[0]["start_ms"], 369_500_000);
    assert_eq!(drafts[101]["segment"], "a-transcript#00102");
    let landed = drafts.iter().find(|draft| draft["text"] == "The Eagle has landed.").unwrap();
    assert_eq!(landed["speaker"], "CDR (TRANQ)");
    assert_eq!(host.telemetry.counter("transcript_intake.drafts"), 102.0);
}

#[test]
fn a_document_without_a_content_type_is_known_by_its_looks() {
    let host = MockHost::with_config(manifest_config());
    let status = process(&plugin(&host), &raw(GETTYSBURG).build());
    assert!(matches!(status, ProcessingStatus::Acknowledged), "{status:?}");
    assert_eq!(host.published(DRAFT_TOPIC).len(), 10);
}

#[test]
fn a_document_that_finds_no_room_goes_on_where_it_stopped() {
    let host = MockHost::with_config(manifest_config());
    let plugin = plugin(&host);
    let message = raw(APOLLO).header("content-type", "text/vtt").build();
    for room in [40, 0, 40] {
        host.transport.set_room(room);
        let status = process(&plugin, &message);
        let ProcessingStatus::RetryLater(after) = status else { panic!("{status:?}") };
        assert!(after > Duration::ZERO);
    }
    host.transport.set_room(1_000);
    assert!(matches!(process(&plugin, &message), ProcessingStatus::Acknowledged));
    let names: Vec<Value> = host
        .published(DRAFT_TOPIC)
        .iter()
        .map(|message| draft(message)["segment"].clone())
        .collect();
    let expected: Vec<Value> =
        (1..=102).map(|number| json!(format!("a-transcript#{number:05}"))).collect();
    assert_eq!(names, expected);
    assert_eq!(block_on(plugin.metrics()).as_json(), r#"{"documents_under_way":0}"#);
}

#[test]
fn a_topic_that_may_not_be_published_to_is_an_error_and_no_loss() {
    let host = MockHost::with_config(manifest_config());
    host.transport.deny();
    let message = raw(GETTYSBURG).build();
    let outcome = block_on(plugin(&host).process_message("transcript.raw", &message));
    assert!(outcome.unwrap_err().text().contains("permission"));
}

#[test]
fn what_cannot_be_read_fails_with_line_and_remedy() {
    let host = MockHost::with_config(manifest_config());
    let plugin = plugin(&host);
    for (text, reason) in [
        ("WEBVTT\n\n102:45:40.000 -> 102:45:43.000\nhello", "line 3"),
        (r#"{"speaker": "CC", "words": "Roger."}"#, "unknown field `words`"),
    ] {
        let status = process(&plugin, &raw(text).build());
        let ProcessingStatus::Failed(said) = status else { panic!("{status:?}") };
        assert!(said.contains(reason), "{said}");
    }
    assert!(host.sent().is_empty());
}

#[test]
fn a_blank_line_is_no_segment_and_no_failure() {
    let host = MockHost::with_config(manifest_config());
    let status = process(&plugin(&host), &raw("  \n").build());
    assert!(matches!(status, ProcessingStatus::Acknowledged), "{status:?}");
    assert!(host.sent().is_empty());
}

#[test]
fn a_document_larger_than_allowed_is_refused_whole() {
    let mut config = manifest_config();
    config["document"]["cues_max"] = json!(9);
    let host = MockHost::with_config(config);
    let status = process(&plugin(&host), &raw(GETTYSBURG).build());
    let ProcessingStatus::Failed(said) = status else { panic!("{status:?}") };
    assert!(said.contains("document.cues_max"), "{said}");
    assert!(host.sent().is_empty());
}

#[test]
fn a_setting_that_does_not_exist_keeps_the_plugin_from_loading() {
    let mut config = manifest_config();
    config["langauge"] = json!("de");
    let host = MockHost::with_config(config);
    let error = TranscriptIntake::new(host.context()).unwrap_err();
    assert!(error.text().contains("langauge"), "{error}");
}
