use std::{fs, path::Path};

use patchbay_plugin::{
    ErrorClass, Message, ProcessingStatus,
    testing::{MockHost, TestMessage, block_on},
};
use serde_json::{Value, json};

use super::*;

/// The settings of the manifest, so that it and the plugin cannot differ, with a folder.
fn config(folder: &Path) -> Value {
    let manifest: Value = serde_saphyr::from_str(include_str!("../manifest.yaml")).unwrap();
    let mut config = manifest["config"].clone();
    config["output"]["dir"] = json!(folder);
    config
}

fn reviewed() -> Value {
    serde_json::from_str(include_str!("../../samples/messages/reviewed.json")).unwrap()
}

fn message(payload: &Value) -> Message {
    TestMessage::new("transcript.reviewed").json(payload).build()
}

fn process(plugin: &TranscriptPublish, message: &Message) -> ProcessingStatus {
    block_on(plugin.process_message("transcript.reviewed", message)).unwrap()
}

#[test]
fn a_reviewed_segment_is_published_once_however_often_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let host = MockHost::with_config(config(&folder.path().join("made")));
    let message = message(&reviewed());
    for _ in 0..2 {
        // The second one is a new instance: what is known comes from the files.
        let plugin = TranscriptPublish::new(host.context()).unwrap();
        block_on(plugin.init()).unwrap();
        for _ in 0..2 {
            let status = process(&plugin, &message);
            assert!(matches!(status, ProcessingStatus::Acknowledged), "{status:?}");
        }
        block_on(plugin.shutdown()).unwrap();
    }
    let lines = fs::read_to_string(folder.path().join("made/apollo-11-landing.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1);
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line["text"], "Houston, Tranquility Base here.");
    assert!(line["published_at"].is_string());
    let page = fs::read_to_string(folder.path().join("made/apollo-11-landing.md")).unwrap();
    assert!(page.contains("102:45:59 **Neil A. Armstrong, commander:** Houston"), "{page}");
    assert_eq!(host.telemetry.counter("transcript_publish.published"), 1.0);
    assert_eq!(host.telemetry.counter("transcript_publish.known"), 3.0);
}

#[test]
fn a_message_that_is_no_segment_fails_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let host = MockHost::with_config(config(folder.path()));
    let plugin = TranscriptPublish::new(host.context()).unwrap();
    let mut wrong = reviewed();
    wrong["names"][0]["meaning"] = json!(7);
    let status = process(&plugin, &message(&wrong));
    let ProcessingStatus::Failed(said) = status else { panic!("{status:?}") };
    assert!(said.contains("names[0].meaning"), "{said}");
}

#[test]
fn a_name_that_no_file_can_have_fails() {
    let folder = tempfile::tempdir().unwrap();
    let host = MockHost::with_config(config(folder.path()));
    let plugin = TranscriptPublish::new(host.context()).unwrap();
    let mut long = reviewed();
    long["transcript"] = json!("x".repeat(1_000));
    assert!(matches!(process(&plugin, &message(&long)), ProcessingStatus::Failed(_)));
}

#[test]
fn a_folder_that_cannot_be_made_is_noticed_before_the_first_message() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let host = MockHost::with_config(config(&folder.path().join("file/below")));
    let plugin = TranscriptPublish::new(host.context()).unwrap();
    let error = block_on(plugin.init()).unwrap_err();
    assert!(error.text().contains("cannot make the folder"), "{error}");
}

#[test]
fn an_error_of_the_files_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = MockHost::with_config(config(folder.path()));
    let plugin = TranscriptPublish::new(host.context()).unwrap();
    fs::write(folder.path().join("apollo-11-landing.jsonl"), "somebody else's\n").unwrap();
    let outcome = block_on(plugin.process_message("transcript.reviewed", &message(&reviewed())));
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.text().contains("move the file away"), "{error}");
}
