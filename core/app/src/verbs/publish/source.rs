//! Where payloads come from: files and the standard input.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    thread,
};

use patchbay_wire::api::Headers;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 1_000;
/// Bytes of one payload; the host's own limit is lower by default.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

/// The bytes of a file, or of the standard input.
pub(super) fn read_whole(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open(file)?
        .take(PAYLOAD_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read(file, &error))?;
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(Failure::failed(format!("cannot read `{}`", file.display()))
            .cause(format!("it has more than {PAYLOAD_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The lines of a file as they come, without their ends; empty ones are left out. A thread of its
/// own reads them, so that the last line of a pipe that stays open is sent, not held.
pub(super) fn read_lines(
    file: PathBuf,
) -> Result<mpsc::Receiver<Result<Vec<u8>, Failure>>, Failure> {
    let mut reader = BufReader::new(open(&file)?);
    let (to, lines) = mpsc::channel(LINES_AHEAD);
    let read = move || {
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(PAYLOAD_BYTES_MAX).read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(_) => line.trim_ascii_end().to_vec(),
                Err(error) => {
                    // The receiver is gone when the verb has failed already.
                    let _ = to.blocking_send(Err(cannot_read(&file, &error)));
                    return;
                }
            };
            if !line.is_empty() && to.blocking_send(Ok(line)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("lines".to_owned())
        .spawn(read)
        .map_err(|error| Failure::failed("cannot start a thread").because(&error))?;
    Ok(lines)
}

/// Says what a file holds, by the end of its name, unless a header says so.
pub(super) fn content_type(file: &Path, headers: &mut Headers) {
    let kind = match file.extension().and_then(|end| end.to_str()) {
        Some("json") => "application/json",
        Some("vtt") => "text/vtt",
        Some("srt") => "application/x-subrip",
        Some("txt") => "text/plain",
        _ => return,
    };
    if headers.get("Content-Type").is_none() {
        headers.0.push(("Content-Type".to_owned(), kind.to_owned()));
    }
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(file) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(cannot_read(file, &error)),
    }
}

fn cannot_read(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read `{}`", file.display())).because(error)
}
