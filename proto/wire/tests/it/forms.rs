//! Every form gives back the message that was written in it.

use patchbay_wire::{BaseMessage, ContentTypeHeader, MessageId, Received, Timestamp, Topic};
use proptest::prelude::*;

use crate::samples::{any_message, minimal};

/// What no message of these tests should need.
pub(crate) fn nothing_known<'a>(topic: Option<&'a Topic>) -> Received<'a> {
    Received { topic, at: Timestamp(7), id: MessageId(7), source: "/transport" }
}

fn through_wire(message: &BaseMessage) -> BaseMessage {
    BaseMessage::from_wire(&message.to_wire()).expect("what was written")
}

fn through_json(message: &BaseMessage) -> BaseMessage {
    BaseMessage::from_json(message.to_json().to_string().as_bytes()).expect("what was written")
}

fn through_cloud_event(message: &BaseMessage) -> BaseMessage {
    let event = message.to_cloud_event().to_string();
    BaseMessage::from_cloud_event(event.as_bytes(), &nothing_known(None)).expect("what was written")
}

fn through_binary(message: &BaseMessage, header: ContentTypeHeader) -> BaseMessage {
    let headers = message.to_binary_headers(header);
    let received = nothing_known(Some(&message.topic));
    BaseMessage::from_transport(&headers, message.data.clone(), &received)
        .expect("what was written")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_form_gives_back_the_message(message in any_message()) {
        prop_assert_eq!(message.check(), Ok(()));
        prop_assert_eq!(&through_wire(&message), &message);
        prop_assert_eq!(&through_json(&message), &message);
        prop_assert_eq!(&through_cloud_event(&message), &message);
        for header in [ContentTypeHeader::ContentType, ContentTypeHeader::CloudEvents] {
            prop_assert_eq!(&through_binary(&message, header), &message);
        }
    }

    #[test]
    fn a_chain_of_forms_gives_back_the_message(message in any_message()) {
        let there = through_binary(&through_wire(&message), ContentTypeHeader::CloudEvents);
        prop_assert_eq!(through_json(&through_cloud_event(&there)), message);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = BaseMessage::from_wire(&bytes);
        let _ = BaseMessage::from_json(&bytes);
        let _ = BaseMessage::from_cloud_event(&bytes, &nothing_known(None));
    }

    #[test]
    fn no_change_of_a_written_message_makes_a_reader_panic(
        message in any_message(),
        at in any::<proptest::sample::Index>(),
        other in any::<u8>(),
    ) {
        let mutated = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] = other;
            bytes
        };
        if let Ok(read) = BaseMessage::from_wire(&mutated(message.to_wire())) {
            prop_assert_eq!(read.check(), Ok(()));
        }
        let _ = BaseMessage::from_json(&mutated(message.to_json().to_string().into()));
        let event = mutated(message.to_cloud_event().to_string().into());
        let _ = BaseMessage::from_cloud_event(&event, &nothing_known(None));
    }

    #[test]
    fn no_headers_make_the_reader_panic(
        headers in proptest::collection::vec(
            (prop_oneof![
                any::<String>(),
                "ce-[a-z]{1,12}",
                proptest::sample::select(vec![
                    "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "content-type",
                    "Patchbay-Key", "Patchbay-Hops", "Patchbay-Expires", "traceparent", "baggage",
                ]).prop_map(String::from),
            ], any::<String>()),
            0..8,
        ),
        payload in proptest::collection::vec(any::<u8>(), 0..32),
    ) {
        let topic = minimal().topic;
        let read = BaseMessage::from_transport(&headers, payload, &nothing_known(Some(&topic)));
        if let Ok(message) = read {
            prop_assert_eq!(message.check(), Ok(()));
        }
    }
}

#[test]
fn a_json_payload_loses_its_white_space_and_nothing_else() {
    let pretty = BaseMessage { data: b"{ \"a b\" :\n [ 1 ] }\n".to_vec(), ..minimal() };
    for back in [through_json(&pretty), through_cloud_event(&pretty)] {
        assert_eq!(back.data, b"{\"a b\":[1]}");
    }
    assert_eq!(through_wire(&pretty), pretty);
}

#[test]
fn fields_of_a_newer_writer_are_ignored() {
    let mut bytes = minimal().to_wire();
    // Field 1000, a text.
    bytes.extend([0xc2, 0x3e, 3, b'n', b'e', b'w']);
    assert_eq!(BaseMessage::from_wire(&bytes).expect("a message"), minimal());
}
