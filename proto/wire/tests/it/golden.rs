//! The golden samples: what this version writes today, every later version must read.
//!
//! They are never edited. `WRITE_GOLDEN=1` writes those that are missing, and only those.

use std::path::PathBuf;

use patchbay_wire::{BaseMessage, ContentTypeHeader};

use crate::{forms::nothing_known, samples::named};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The stored sample; first written when it is asked for and not there.
fn stored(file: &str, made: &[u8]) -> Vec<u8> {
    let path = folder().join(file);
    if !path.exists() && std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).expect("the sample is written");
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("golden/{file}: {error}"))
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    (serde_json::to_string_pretty(value).expect("text") + "\n").into()
}

fn header_lines(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn parse_header_lines(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
    text.lines().map(|line| pair(line).expect("a header line")).collect()
}

#[test]
fn samples_are_written_and_read_as_ever() {
    for (name, message) in named() {
        let wire = stored(&format!("{name}.pb"), &message.to_wire());
        assert_eq!(message.to_wire(), wire, "{name}.pb: the writer changed");
        assert_eq!(BaseMessage::from_wire(&wire).expect(name), message, "{name}.pb");

        let json = stored(&format!("{name}.json"), &pretty(&message.to_json()));
        assert_eq!(pretty(&message.to_json()), json, "{name}.json: the writer changed");
        assert_eq!(BaseMessage::from_json(&json).expect(name), message, "{name}.json");

        let event = stored(&format!("{name}.ce.json"), &pretty(&message.to_cloud_event()));
        assert_eq!(pretty(&message.to_cloud_event()), event, "{name}.ce.json: the writer changed");
        let read = BaseMessage::from_cloud_event(&event, &nothing_known(None)).expect(name);
        assert_eq!(read, message.clone().with_attributes_first(), "{name}.ce.json");

        for (ending, style) in [
            ("headers", ContentTypeHeader::ContentType),
            ("nats-headers", ContentTypeHeader::CloudEvents),
        ] {
            let made = header_lines(&message.to_binary_headers(style));
            let lines = stored(&format!("{name}.{ending}"), made.as_bytes());
            let lines = String::from_utf8(lines).expect("text");
            assert_eq!(made, lines, "{name}.{ending}: the writer changed");
            let received = nothing_known(Some(&message.topic));
            let headers = parse_header_lines(&lines);
            let read = BaseMessage::from_transport(&headers, message.data.clone(), &received);
            let expected = message.clone().with_attributes_first();
            assert_eq!(read.expect(name), expected, "{name}.{ending}");
        }
    }
}

#[test]
fn every_stored_sample_is_one_that_is_tested() {
    let known: Vec<&str> = named().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(folder()).expect("golden") {
        let file = entry.expect("an entry").file_name().into_string().expect("a plain name");
        let name = file.split('.').next().unwrap_or_default();
        assert!(file == "README.md" || known.contains(&name), "golden/{file} is not tested");
    }
}

/// Reading a CloudEvent puts the type first, as it comes out of the attributes.
trait AttributesFirst {
    fn with_attributes_first(self) -> Self;
}

impl AttributesFirst for BaseMessage {
    fn with_attributes_first(mut self) -> BaseMessage {
        self.headers.sort_by_key(|(name, _)| name != "ce-type");
        self
    }
}
