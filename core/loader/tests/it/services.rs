//! What a library asks of the host, and what it gets.

use patchbay_loader::Retired;

use crate::support::{Answer, Desk, Rig, build::Hostile};

fn asked(topics: &[(&str, &str)]) -> (Rig, Vec<String>) {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    for (topic, expected) in topics {
        assert_eq!(desk.ask(topic), Answer::Ack((*expected).to_owned()), "{topic}");
    }
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
    let lines = rig.services.lines();
    (rig, lines)
}

#[test]
fn a_message_that_a_library_makes_is_the_hosts_memory_and_outlives_it() {
    let (rig, lines) = asked(&[("publish:made.here", "0 3 0")]);
    assert_eq!(lines, ["publish made.here because of publish:made.here, wait no"]);
    let published = rig.services.published.lock().unwrap();
    let [message] = &published[..] else { panic!("{published:?}") };
    assert_eq!(message.payload(), b"made by the library");
    assert_eq!(message.header("Made-By"), Some("hostile"));
    assert_eq!(message.key(), "k");
    assert_eq!(rig.copies(), 0, "the library is gone");
}

#[test]
fn a_refused_publish_says_why_and_leaves_the_message_with_the_library() {
    let (_rig, lines) = asked(&[
        ("publish:denied", "-4 0 0"),
        ("publish:full", "1 0 5"),
        ("publishwait:full", "1 0 5"),
    ]);
    assert!(lines[2].ends_with("wait Some(0)"), "{lines:?}");
}

#[test]
fn many_messages_are_taken_from_the_front_up_to_the_first_that_is_refused() {
    let (rig, lines) = asked(&[
        ("many:a,b,a", "0 3 0"),
        ("many:a,denied,c", "-4 1 0"),
        ("manywait:a,b,full,d", "1 2 5"),
        ("many:panic,a", "-3 0 0"),
        ("ack:alive", "alive"),
    ]);
    assert_eq!(lines[1], "publish b because of many:a,b,a, wait no");
    assert!(
        lines[7].starts_with("publish full") && lines[7].ends_with("wait Some(0)"),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.starts_with("publish d ")), "{lines:?}");
    let published = rig.services.published.lock().unwrap();
    let topics: Vec<_> = published.iter().map(patchbay_slab::Message::topic).collect();
    assert_eq!(topics, ["a", "b", "a", "a", "a", "b"]);
    assert!(published.iter().all(|message| message.payload() == b"made by the library"));
}

#[test]
fn what_is_no_message_of_this_host_stops_a_batch_and_too_many_are_not_tried() {
    let (rig, _) = asked(&[
        ("many:a,FOREIGN,c", "-1 1 0"),
        ("many:NOTHING,c", "-1 0 0"),
        ("many:a,denied,FOREIGN", "-4 1 0"),
        ("many:b,1024", "-1 0 0"),
        ("many:b,1023", "0 1024 0"),
    ]);
    assert_eq!(rig.services.published.lock().unwrap().len(), 1026);
}

#[test]
fn a_panic_of_a_service_is_a_refusal_and_not_the_librarys_end() {
    asked(&[("publish:panic", "-3 0 0"), ("ack:alive", "alive")]);
}

#[test]
fn logs_metrics_spans_configuration_and_subscriptions_arrive() {
    let (_rig, lines) = asked(&[
        ("log:hello", ""),
        ("metric:count", ""),
        ("span:v", "00-trace-span-01"),
        ("config:a.b", "\"value\""),
        ("subscribe:a.*", "11"),
        ("subscribe:denied", "-4"),
    ]);
    assert_eq!(
        lines,
        [
            "warn hostile h.rs:7 hello",
            "metric Counter count",
            "record 4 2.5 []",
            "span work of span:v [(\"k\", \"v\")]",
            "end 9 Ok ",
        ]
    );
}
