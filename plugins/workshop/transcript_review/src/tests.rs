use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use patchbay_plugin::{
    Message,
    testing::{
        ConfigManager, Handled, LocalTransport, LocalTransportConfig, MockHost, Running,
        TelemetryContext, TestHost, TestMessage, block_on,
    },
};
use patchbay_testkit::eventually;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::processor::REVIEWED_TOPIC;

/// The settings of the manifest, so that it and the plugin cannot differ.
fn manifest_config() -> Value {
    let manifest: Value = serde_saphyr::from_str(include_str!("../manifest.yaml")).unwrap();
    manifest["config"].clone()
}

fn config(glossary: SocketAddr) -> Value {
    let mut config = manifest_config();
    config["glossary"]["url"] = json!(format!("http://{glossary}"));
    config
}

fn draft() -> Value {
    serde_json::from_str(include_str!("../../samples/messages/draft.json")).unwrap()
}

fn message(payload: &Value) -> Message {
    TestMessage::new("transcript.draft").json(payload).build()
}

/// Runs the plugin as a host does, on a lane with the plugin's own tokio.
fn running(host: &MockHost) -> Running<TranscriptReview> {
    host.run().unwrap()
}

fn handle(plugin: &Running<TranscriptReview>, payload: &Value) -> Handled {
    block_on(plugin.deliver(&message(payload)))
}

/// A glossary that knows CDR, until it is dropped.
struct Glossary {
    at: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Glossary {
    fn open() -> Glossary {
        Glossary::on(TcpListener::bind(any_port()).unwrap())
    }

    fn on(listener: TcpListener) -> Glossary {
        let at = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        let thread = thread::spawn(move || {
            for (asked, stream) in listener.incoming().enumerate() {
                if flag.load(Ordering::SeqCst) {
                    return asked;
                }
                answer(stream.unwrap());
            }
            0
        });
        Glossary { at, over, thread: Some(thread) }
    }

    /// Ends the service: how often it was asked.
    fn close(mut self) -> usize {
        self.end()
    }

    fn end(&mut self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        // Lets it look at the flag.
        let _ = TcpStream::connect(self.at);
        self.thread.take().map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for Glossary {
    fn drop(&mut self) {
        self.end();
    }
}

/// The head of a request, as far as it came.
fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    request
}

fn answer(mut stream: TcpStream) {
    let request = request(&mut stream);
    let known = request.starts_with(b"GET /names/CDR ");
    let (status, body) = if known {
        ("200 OK", r#"{"meaning": "Neil A. Armstrong, commander"}"#)
    } else {
        ("404 Not Found", "")
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An address where nobody listens, and nobody else can while this is kept.
struct Silent(Socket);

impl Silent {
    fn new() -> Silent {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&any_port().into()).unwrap();
        Silent(socket)
    }

    fn at(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }

    /// From now on somebody listens.
    fn open(self) -> Glossary {
        self.0.listen(128).unwrap();
        Glossary::on(self.0.into())
    }
}

#[test]
fn a_draft_is_forwarded_with_the_names_that_the_glossary_knows() {
    let glossary = Glossary::open();
    let host = MockHost::with_config(config(glossary.at));
    let plugin = running(&host);
    let handled = handle(&plugin, &draft());
    let Handled::Forward(topic, message) = handled else { panic!("{handled:?}") };
    assert_eq!(topic, REVIEWED_TOPIC);
    assert_eq!(message.key(), Some("apollo-11-landing"));
    let reviewed: Value = message.json().unwrap();
    assert_eq!(
        reviewed["names"],
        json!([{"name": "CDR", "meaning": "Neil A. Armstrong, commander"}])
    );
    assert_eq!(reviewed["text"], draft()["text"]);
    assert_eq!(block_on(plugin.metrics()).unwrap(), r#"{"glossary_answers":4}"#);
    drop(plugin);
    assert_eq!(glossary.close(), 4);
    let spans = host.telemetry.spans();
    assert_eq!(
        spans.iter().map(|span| &*span.name).collect::<Vec<_>>(),
        ["review", "look up names"]
    );
    assert_eq!(spans[1].parent, spans[0].id, "one stands below the other");
    assert_eq!(message.traceparent(), Some(&*spans[0].traceparent), "the message carries it on");
    assert_eq!(host.telemetry.measured("transcript_review.look_up_seconds").len(), 1);
}

#[test]
fn the_glossary_is_asked_for_a_name_once() {
    let glossary = Glossary::open();
    let host = MockHost::with_config(config(glossary.at));
    let plugin = running(&host);
    for _ in 0..3 {
        assert!(matches!(handle(&plugin, &draft()), Handled::Forward(..)));
    }
    drop(plugin);
    assert_eq!(glossary.close(), 4);
}

#[test]
fn while_the_glossary_is_away_a_draft_is_asked_back_and_then_passes() {
    let silent = Silent::new();
    let host = MockHost::with_config(config(silent.at()));
    let plugin = running(&host);
    for _ in 0..3 {
        let handled = handle(&plugin, &draft());
        let Handled::RetryLater(after) = handled else { panic!("{handled:?}") };
        assert_eq!(after, Duration::from_millis(500));
    }
    assert_eq!(host.telemetry.counter("transcript_review.glossary_away"), 3.0);
    let _glossary = silent.open();
    assert!(matches!(handle(&plugin, &draft()), Handled::Forward(..)));
    let logged: Vec<String> = host.telemetry.logs().into_iter().map(|line| line.text).collect();
    assert_eq!(logged.len(), 2, "one line when it goes, one when it is back: {logged:?}");
    assert!(logged[0].contains("Connection refused"), "{logged:?}");
}

#[test]
fn a_glossary_that_answers_nonsense_is_an_error() {
    let listener = TcpListener::bind(any_port()).unwrap();
    let host = MockHost::with_config(config(listener.local_addr().unwrap()));
    let service = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    });
    let plugin = running(&host);
    let handled = handle(&plugin, &draft());
    let Handled::Error(error) = handled else { panic!("{handled:?}") };
    assert!(error.text().contains("cannot be read"), "{error}");
    service.join().unwrap();
}

#[test]
fn a_draft_that_breaks_a_rule_fails_without_a_question() {
    // Nobody listens there: a question would end in RetryLater.
    let silent = Silent::new();
    let host = MockHost::with_config(config(silent.at()));
    let plugin = running(&host);
    for (field, value, reason) in [
        ("text", json!(" "), "nothing is said"),
        ("confidence", json!(0.1), "below 0.5"),
        ("confidence", json!(1.7), "impossible"),
        ("language", json!("de"), "`de` is not among"),
        ("end_ms", json!(1), "not after its start"),
        ("text", json!(7), "`text`"),
    ] {
        let mut wrong = draft();
        wrong[field] = value;
        let handled = handle(&plugin, &wrong);
        let Handled::Failed(said) = handled else { panic!("{field}: {handled:?}") };
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn without_a_glossary_names_are_not_looked_up() {
    let host = MockHost::with_config(manifest_config());
    let handled = handle(&running(&host), &draft());
    let Handled::Forward(_, message) = handled else { panic!("{handled:?}") };
    assert_eq!(message.json::<Value>().unwrap()["names"], json!([]));
}

#[test]
fn an_address_that_is_none_keeps_the_plugin_from_loading() {
    let mut config = manifest_config();
    config["glossary"]["url"] = json!("127.0.0.1:80");
    let error = TranscriptReview::new(MockHost::with_config(config).context()).unwrap_err();
    assert!(error.text().contains("glossary.url"), "{error}");
    let mut config = manifest_config();
    config["glossary"]["timeout"] = json!("2");
    let error = TranscriptReview::new(MockHost::with_config(config).context()).unwrap_err();
    assert!(error.text().contains("glossary.timeout"), "{error}");
}

#[test]
fn on_the_real_bus_drafts_wait_for_the_glossary_and_each_passes_once() {
    let silent = Silent::new();
    let transport = Arc::new(LocalTransport::new(LocalTransportConfig::default()));
    let mut config = config(silent.at());
    config["glossary"]["retry_after"] = json!("20ms");
    let host = TestHost::with_parts(
        "transcript_review",
        "1.0.0",
        transport.clone(),
        Arc::new(ConfigManager::from_json(config)),
        Arc::new(TelemetryContext::new()),
    );
    let plugin: Running<TranscriptReview> = host.run().unwrap();
    let drafts = transport.connect(&plugin, "transcript.draft").unwrap();
    let mut reviewed = block_on(transport.subscribe(REVIEWED_TOPIC)).unwrap();
    for number in 0..20 {
        let mut draft = draft();
        draft["sequence"] = json!(number);
        block_on(transport.publish("transcript.draft", &message(&draft))).unwrap();
    }
    let mut wrong = draft();
    wrong["language"] = json!("de");
    block_on(transport.publish("transcript.draft", &message(&wrong))).unwrap();
    until("every draft was asked back", || drafts.ledger().retried >= 20);
    let _glossary = silent.open();
    let mut sequences: Vec<u64> = (0..20)
        .map(|_| {
            let (_, message) = block_on(reviewed.next()).unwrap().unwrap();
            message.json::<Value>().unwrap()["sequence"].as_u64().unwrap()
        })
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..20).collect::<Vec<_>>());
    until("everything is settled", || drafts.ledger().unsettled() == 0);
    let ledger = drafts.ledger();
    assert_eq!((ledger.forwarded, ledger.dead, ledger.done), (20, 1, 0));
    assert!(ledger.balanced());
}

fn until(what: &str, holds: impl Fn() -> bool) {
    eventually(what, Duration::from_secs(30), || holds().then_some(()));
}
