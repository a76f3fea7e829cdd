//! A glossary service, small enough to read in a minute: what the reviewer asks.
//!
//! `GET /names/NAME` answers `{"name": ..., "meaning": ...}`, or 404 for a name it does not know.
//! It prints its address and serves until it is ended.
//!
//! ```text
//! cargo run -p transcript_review --example glossary              # any free port of the loopback
//! cargo run -p transcript_review --example glossary -- --port 0 --pick   # print one and end
//! ```

#![forbid(unsafe_code)]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// Names of the shipped transcripts, in lower case, and what they stand for.
const NAMES: &[(&str, &str)] = &[
    ("ags", "the abort guidance system of the lunar module"),
    ("cc", "Charles M. Duke, capsule communicator in Houston"),
    ("cdr", "Neil A. Armstrong, commander"),
    ("cmp", "Michael Collins, command module pilot"),
    ("columbia", "the command module, in lunar orbit"),
    ("eagle", "the lunar module"),
    ("houston", "the Mission Control Center"),
    ("lincoln", "Abraham Lincoln, President of the United States"),
    ("lmp", "Edwin E. Aldrin, lunar module pilot"),
    ("pgns", "the primary guidance and navigation system"),
    ("tranq", "the lunar module, on the ground"),
    ("tranquility", "the landing site in the Sea of Tranquility"),
    ("tranquility base", "the landing site, and the lunar module once it stands there"),
];

/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: u64 = 8 * 1024;
/// How long a client may take to ask and to listen.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

const USAGE: &str = "usage: glossary [--port PORT] [--pick]
  --port PORT  listen there instead of on a free port
  --pick       print the address of a free port and end, without serving";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glossary: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let (mut port, mut pick) = (0_u16, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pick" => pick = true,
            "--port" => {
                let given = arguments.next().and_then(|text| text.parse().ok());
                port = given.ok_or_else(|| io::Error::other(USAGE))?;
            }
            _ => return Err(io::Error::other(USAGE)),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    if pick {
        return Ok(());
    }
    // One client after the other: its time is bounded, and there is but one reviewer.
    for stream in listener.incoming() {
        // A client that goes away harms nobody but itself.
        let _ = stream.and_then(|stream| serve(&stream));
    }
    Ok(())
}

fn serve(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut request = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut header = String::new();
    while request.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, body) = answer(&first);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn answer(request: &str) -> (&'static str, String) {
    let mut words = request.split_whitespace();
    let (Some("GET"), Some(path)) = (words.next(), words.next()) else {
        return ("405 Method Not Allowed", String::new());
    };
    let Some(name) = path.strip_prefix("/names/").and_then(decode) else {
        return ("404 Not Found", String::new());
    };
    let known = NAMES.iter().find(|(known, _)| *known == name.to_lowercase());
    match known {
        // Neither side needs escaping: the names are those above, and the meanings are ours.
        Some((name, meaning)) => {
            ("200 OK", format!("{{\"name\":\"{name}\",\"meaning\":\"{meaning}\"}}"))
        }
        None => ("404 Not Found", String::new()),
    }
}

/// Undoes percent encoding; `None` when it is wrong or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
