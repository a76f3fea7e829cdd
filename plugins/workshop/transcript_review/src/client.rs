//! One GET to the glossary service.
//!
//! A connection for each question: the cache in [`glossary`](crate::glossary) keeps questions rare,
//! and a connection that is never kept cannot go stale. The answer is bounded in time and size.

use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::{net::TcpStream, time};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Asks one service.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    port: u16,
    /// What stands in front of `/names/`; empty or `/like/this`.
    base: String,
    timeout: Duration,
}

/// An address that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is no address of a glossary; write `http://host:port`")]
pub(crate) struct AddressError {
    url: String,
}

/// A question without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("cannot connect to the glossary at {at}")]
    Connect {
        at: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the glossary at {at} broke off")]
    Broken {
        at: String,
        #[source]
        source: hyper::Error,
    },
    #[error("the glossary at {at} said nothing for {timeout:?}")]
    Silent { at: String, timeout: Duration },
    #[error("the glossary at {at} answered {status}")]
    Status { at: String, status: StatusCode },
    #[error("the glossary at {at} gave an answer that cannot be read: {problem}")]
    Answer { at: String, problem: String },
}

/// What the service answers for a name that it knows; other members are ignored.
#[derive(Deserialize)]
struct Entry {
    meaning: String,
}

// === impl Client ===

impl Client {
    /// A client of the service at `url`.
    ///
    /// # Errors
    /// Anything but `http://host:port`, optionally with a path.
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Client, AddressError> {
        let refused = || AddressError { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(refused());
        };
        // A literal IPv6 address stands in brackets in a URL, and without them in a socket.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Client { host, port: uri.port_u16().unwrap_or(80), base, timeout })
    }

    /// What the name stands for; `None` when the service does not know it.
    ///
    /// # Errors
    /// The service is away, slow, or answers nonsense.
    ///
    /// # Cancel safety
    /// Nothing is kept: a dropped question closes its connection.
    pub(crate) async fn ask(&self, name: &str) -> Result<Option<String>, AskError> {
        let silent = || AskError::Silent { at: self.at(), timeout: self.timeout };
        time::timeout(self.timeout, self.exchange(name)).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn exchange(&self, name: &str) -> Result<Option<String>, AskError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|source| AskError::Connect { at: self.at(), source })?;
        let broken = |source| AskError::Broken { at: self.at(), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let request = Request::get(format!("{}/names/{name}", self.base))
            .header(header::HOST, self.at())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.unreadable(error.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.unreadable(error.to_string()))?;
            self.understand(status, &body.to_bytes())
        };
        // The connection moves the bytes that `answer` waits for, so both are driven here. It may
        // end first, with the answer already read from it.
        match select(std::pin::pin!(answer), std::pin::pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((ended, answer)) => {
                ended.map_err(broken)?;
                answer.await
            }
        }
    }

    fn understand(&self, status: StatusCode, body: &[u8]) -> Result<Option<String>, AskError> {
        match status {
            StatusCode::OK => {
                let entry: Entry = serde_json::from_slice(body)
                    .map_err(|error| self.unreadable(error.to_string()))?;
                Ok(Some(entry.meaning))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(AskError::Status { at: self.at(), status }),
        }
    }

    fn unreadable(&self, problem: String) -> AskError {
        AskError::Answer { at: self.at(), problem }
    }

    fn at(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

// === impl AskError ===

impl AskError {
    /// Whether the service is away or overloaded, so that waiting is the cure. An answer that makes
    /// no sense is another matter: that is a fault, and somebody should learn of it.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            AskError::Connect { .. } | AskError::Broken { .. } | AskError::Silent { .. } => true,
            AskError::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            AskError::Answer { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
