use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers one question with `answer`, and hands back what was asked.
struct Service {
    at: SocketAddr,
    asked: JoinHandle<String>,
}

impl Service {
    fn answering(answer: impl Into<Vec<u8>>) -> Service {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            // The client may hang up on a long answer.
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
            String::from_utf8(asked).unwrap()
        });
        Service { at, asked }
    }

    fn ask(self, name: &str) -> (Result<Option<String>, AskError>, String) {
        let answer = ask(&format!("http://{}", self.at), TIMEOUT, name);
        (answer, self.asked.join().unwrap())
    }
}

fn ask(url: &str, timeout: Duration, name: &str) -> Result<Option<String>, AskError> {
    let client = Client::new(url, timeout).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.ask(name))
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_name_that_is_known_has_a_meaning() {
    let service = Service::answering(http("200 OK", r#"{"name":"CC","meaning":"Houston"}"#));
    let (answer, asked) = service.ask("CC");
    assert_eq!(answer.unwrap().as_deref(), Some("Houston"));
    assert!(asked.starts_with("GET /names/CC HTTP/1.1\r\n"), "{asked}");
}

#[test]
fn a_name_that_is_not_known_has_none() {
    let (answer, _) = Service::answering(http("404 Not Found", "")).ask("Nobody");
    assert_eq!(answer.unwrap(), None);
}

#[test]
fn a_name_cannot_break_out_of_the_path() {
    let service = Service::answering(http("404 Not Found", ""));
    let (_, asked) = service.ask("../a b\r\nX: y?é");
    assert!(asked.starts_with("GET /names/%2E%2E%2Fa%20b%0D%0AX%3A%20y%3F%C3%A9 HTTP"), "{asked}");
}

#[test]
fn an_answer_in_chunks_is_put_together() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        c\r\n{\"meaning\":\"\r\n4\r\nA\"} \r\n0\r\n\r\n";
    let (answer, _) = Service::answering(answer).ask("A");
    assert_eq!(answer.unwrap().as_deref(), Some("A"));
}

#[test]
fn a_service_that_is_not_there_is_away() {
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(&format!("http://{at}"), TIMEOUT, "CC").unwrap_err();
    assert!(error.is_away(), "{error}");
}

#[test]
fn a_service_that_hangs_up_or_is_overloaded_is_away() {
    for answer in ["", "HTTP/1.1 200 OK\r\n", &http("503 Service Unavailable", "")] {
        let (outcome, _) = Service::answering(answer).ask("CC");
        let error = outcome.unwrap_err();
        assert!(error.is_away(), "{answer:?}: {error}");
    }
}

#[test]
fn a_service_that_says_nothing_is_given_up() {
    // Bound and never accepted from: the kernel completes the connection, and that is all.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let error = ask(&url, Duration::from_millis(50), "CC").unwrap_err();
    assert!(matches!(error, AskError::Silent { .. }) && error.is_away(), "{error}");
}

#[test]
fn nonsense_is_not_taken_for_absence() {
    let long = http("200 OK", &" ".repeat(ANSWER_BYTES_MAX + 1));
    for answer in [&http("200 OK", "hello"), &http("400 Bad Request", ""), &long] {
        let (outcome, _) = Service::answering(answer.as_str()).ask("CC");
        let error = outcome.unwrap_err();
        assert!(!error.is_away(), "{error}");
    }
}

#[test]
fn only_an_http_address_is_accepted() {
    for url in ["", "127.0.0.1:80", "https://a:1", "http://", "ftp://a", "/names"] {
        let error = Client::new(url, TIMEOUT).unwrap_err();
        assert!(error.to_string().contains("http://host:port"), "{url}");
    }
    let client = Client::new("http://[::1]:8080/v1/", TIMEOUT).unwrap();
    assert_eq!((client.at().as_str(), client.base.as_str()), ("[::1]:8080", "/v1"));
}
