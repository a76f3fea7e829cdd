//! The way to a running host: HTTP over the socket of its home folder.
//!
//! One connection a request. The host may be slow on purpose (it waits for an outcome), so there is
//! no limit of time here; the verbs that wait have one of their own.

use std::{io, path::PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use patchbay_wire::api::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use crate::failure::{Exit, Failure};

/// Bytes that one answer may have: far above what any view needs.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Bytes that one line of a stream may have.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Speaks to the host behind a socket.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// Values that come one a line, for as long as the host sends them.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    held: BytesMut,
    driver: tokio::task::JoinHandle<()>,
}

/// A body and what it is.
#[derive(Debug)]
enum Payload {
    None,
    /// Nothing, under a key of the caller.
    NoneUnder(String),
    Json(Vec<u8>),
    /// JSON, under a key of the caller.
    JsonUnder(Vec<u8>, String),
    /// JSON, to be answered with bytes.
    JsonForBytes(Vec<u8>),
    Lines(Vec<u8>),
}

// === impl Client ===

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.value(Method::GET, path, Payload::None).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.value(Method::POST, path, Payload::None).await
    }

    /// Asks for something under a key: if the answer gets lost, whoever asks again with the key has
    /// it done once.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
    ) -> Result<T, Failure> {
        let asked = self.value(Method::POST, path, Payload::NoneUnder(key.to_owned())).await;
        asked.map_err(|failure| once(failure, key))
    }

    /// Asks for something with a body, under a key.
    pub(crate) async fn send_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed("cannot write the request").because(&error))?;
        let asked = self.value(Method::POST, path, Payload::JsonUnder(body, key.to_owned())).await;
        asked.map_err(|failure| once(failure, key))
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed("cannot write the request").because(&error))?;
        self.value(Method::POST, path, Payload::Json(body)).await
    }

    /// Sends a value and returns the answer's bytes as they are.
    pub(crate) async fn send_for_bytes(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Bytes, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed("cannot write the request").because(&error))?;
        let payload = Payload::JsonForBytes(body);
        let (answer, driver) = self.ask(Method::POST, path, payload).await?;
        let answer = whole(answer).await;
        driver.abort();
        answer
    }

    /// Sends one JSON value a line and reads as many answers.
    pub(crate) async fn send_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<T>, Failure> {
        let (answer, driver) = self.ask(Method::POST, path, Payload::Lines(body)).await?;
        let answer = whole(answer).await;
        driver.abort();
        let answer = answer?;
        let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(read).collect()
    }

    /// Opens a stream of values.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, Failure> {
        let (answer, driver) = self.ask(Method::GET, path, Payload::None).await?;
        Ok(Lines { body: answer.into_body(), held: BytesMut::new(), driver })
    }

    async fn value<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
    ) -> Result<T, Failure> {
        let (answer, driver) = self.ask(method, path, payload).await?;
        let answer = whole(answer).await;
        driver.abort();
        read(&answer?)
    }

    /// Sends a request; an answer that is an error becomes a failure.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
    ) -> Result<(Response<Incoming>, tokio::task::JoinHandle<()>), Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let driver = tokio::spawn(async move {
            // What goes wrong on the connection, the request that uses it is told.
            let _ = connection.await;
        });
        let request = request(method, path, payload)?;
        let answer = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        if answer.status().is_success() {
            return Ok((answer, driver));
        }
        let status = answer.status();
        let text = whole(answer).await;
        driver.abort();
        Err(refusal(status, &text?))
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let message = format!("no host answers at `{}`", self.socket.display());
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::Refused, format!("may not open `{}`", self.socket.display()))
                    .because(error)
                    .hint("only the user who runs the host may speak to it")
            }
            _ => Failure::new(Exit::Unreachable, message)
                .because(error)
                .hint("`patchbay up` starts a host here; --home names another folder"),
        }
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        let message = format!("the host at `{}` hung up before it answered", self.socket.display());
        Failure::new(Exit::Unreachable, message)
            .because(error)
            .hint("its log says why; `patchbay wait` returns when it is there again")
    }
}

/// A request under a key got no answer: nobody knows whether it was heard.
fn once(failure: Failure, key: &str) -> Failure {
    match failure.exit {
        Exit::Unreachable => {
            failure.hint(format!("asked again with `--key {key}`, it is done once"))
        }
        _ => failure,
    }
}

/// Makes a part of a path or of a query of any text.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn request(method: Method, path: &str, payload: Payload) -> Result<Request<Full<Bytes>>, Failure> {
    // A unix socket has no name; HTTP wants one.
    let mut builder = Request::builder().method(method).uri(path).header(HOST, "patchbay");
    let accept = match &payload {
        Payload::JsonForBytes(_) => "application/octet-stream",
        _ => "application/json, application/x-ndjson",
    };
    builder = builder.header(ACCEPT, accept);
    let body = match payload {
        Payload::None => Vec::new(),
        Payload::NoneUnder(key) => {
            builder = builder.header("idempotency-key", key);
            Vec::new()
        }
        Payload::JsonUnder(body, key) => {
            builder = builder.header(CONTENT_TYPE, "application/json");
            builder = builder.header("idempotency-key", key);
            body
        }
        Payload::Json(body) | Payload::JsonForBytes(body) => {
            builder = builder.header(CONTENT_TYPE, "application/json");
            body
        }
        Payload::Lines(body) => {
            builder = builder.header(CONTENT_TYPE, "application/x-ndjson");
            body
        }
    };
    builder
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::failed(format!("cannot ask for `{path}`")).because(&error))
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    let mut body = answer.into_body();
    let mut held = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Exit::Unreachable, "the host hung up in the middle of its answer")
                .because(&error)
        })?;
        if let Ok(data) = frame.into_data() {
            if held.len() + data.len() > ANSWER_BYTES_MAX {
                let message = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
                return Err(Failure::failed(message));
            }
            held.extend_from_slice(&data);
        }
    }
    Ok(held.freeze())
}

fn read<T: DeserializeOwned>(answer: impl AsRef<[u8]>) -> Result<T, Failure> {
    serde_json::from_slice(answer.as_ref()).map_err(|error| {
        Failure::failed("cannot read what the host answered")
            .because(&error)
            .hint("`patchbay --version` and the host's version in `patchbay status` should agree")
    })
}

/// What an error of the host means for the one who typed the command.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => refused(&problem),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            Failure::failed(format!("the host answered {status}")).cause(text.trim().to_owned())
        }
    }
}

/// The same, of a problem that was read already.
pub(crate) fn refused(problem: &Problem) -> Failure {
    let exit = match problem.status {
        403 | 409 | 413 | 429 => Exit::Refused,
        400 | 422 => Exit::Usage,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, problem.detail.clone());
    match &problem.hint {
        Some(hint) => failure.hint(hint.clone()),
        None => failure,
    }
}

// === impl Lines ===

impl Lines {
    /// The next value; `None` when the host ends the stream.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line = self.held.split_to(end);
                self.held.advance(1);
                if !line.is_empty() {
                    return read(&line).map(Some);
                }
                continue;
            }
            if self.held.len() > LINE_BYTES_MAX {
                let message = format!("a line of the stream has more than {LINE_BYTES_MAX} bytes");
                return Err(Failure::failed(message));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(Failure::new(Exit::Unreachable, "the host ended the stream")
                        .because(&error));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.held.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
