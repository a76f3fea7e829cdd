//! `patchbay publish` and `request`.

mod source;

use patchbay_gateway::Outcome;
use patchbay_host::view::Published;
use patchbay_wire::api::{Headers, MessageView, Publish, Request};
use serde::de::IgnoredAny;

use self::source::{content_type, read_lines, read_whole};
use crate::{
    args::{LevelArg, PublishArgs, RequestArgs},
    client::{escaped, refused},
    context::Context,
    failure::Failure,
    output::{note, print_bytes},
};

/// Messages of one HTTP request.
const BATCH_MESSAGES: usize = 1_000;
/// Bytes after which a batch is sent.
const BATCH_BYTES: usize = 4 << 20;
/// Refusals that are told one by one.
const REFUSALS_TOLD: u64 = 10;

/// What became of everything that was published.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    first: Option<Failure>,
}

pub(super) async fn run(context: &Context, args: PublishArgs) -> Result<(), Failure> {
    let mut message = Publish {
        topic: args.topic.to_string(),
        key: args.key,
        headers: Headers(args.headers),
        ttl: args.ttl.map(|ttl| humantime::format_duration(ttl).to_string()),
        expires: args.expires,
        not_before: args.not_before,
        dedup_key: args.dedup_key,
        level: args.level.map(|level| word(level).to_owned()),
        ..Publish::default()
    };
    let path = match args.wait {
        Some(wait) => {
            let wait = humantime::format_duration(wait).to_string();
            format!("/api/v1/messages?wait={}", escaped(&wait))
        }
        None => "/api/v1/messages".to_owned(),
    };
    let mut tally = Tally::default();
    if args.lines {
        let file = args.file.unwrap_or_else(|| "-".into());
        let mut lines = read_lines(file)?;
        while let Some(first) = lines.recv().await {
            let mut batch = Vec::new();
            let mut next = Some(first);
            // What is there by now goes together; nothing waits for more to come.
            for _ in 0..BATCH_MESSAGES {
                let Some(line) = next.take() else { break };
                message.set_payload(line?);
                add(&mut batch, &message)?;
                if batch.len() < BATCH_BYTES {
                    next = lines.try_recv().ok();
                }
            }
            send(context, &path, batch, &mut tally).await?;
        }
    } else {
        if let Some(file) = &args.file {
            content_type(file, &mut message.headers);
        }
        payload(&mut message, args.json, args.file.as_deref())?;
        let mut one = Vec::new();
        add(&mut one, &message)?;
        let mut left = args.count.map_or(1, std::num::NonZeroU64::get);
        while left > 0 {
            let fit = (BATCH_BYTES / one.len()).clamp(1, BATCH_MESSAGES);
            let now = usize::try_from(left).map_or(fit, |left| left.min(fit));
            send(context, &path, one.repeat(now), &mut tally).await?;
            left -= now as u64;
        }
    }
    tally.end()
}

pub(super) async fn request(context: &Context, args: RequestArgs) -> Result<(), Failure> {
    let mut message = Publish {
        topic: args.topic.to_string(),
        key: args.key,
        headers: Headers(args.headers),
        ..Publish::default()
    };
    payload(&mut message, args.json, args.file.as_deref())?;
    let timeout = Some(humantime::format_duration(args.timeout).to_string());
    let request = Request { message, timeout };
    if context.output.is_json() {
        let reply: MessageView = context.client.send("/api/v1/requests", &request).await?;
        context.output.show(&reply, |_| String::new())
    } else {
        print_bytes(&context.client.send_for_bytes("/api/v1/requests", &request).await?)
    }
}

/// The payload as typed, or a file's. JSON goes as it was typed, digit by digit.
fn payload(
    message: &mut Publish,
    json: Option<String>,
    file: Option<&std::path::Path>,
) -> Result<(), Failure> {
    if let Some(json) = json {
        serde_json::from_str::<IgnoredAny>(&json).map_err(|error| {
            Failure::usage("the payload is not JSON")
                .because(&error)
                .hint("quote texts, as in '\"hello\"', or use --file for bytes that are not JSON")
        })?;
        message.text = Some(json);
    } else if let Some(file) = file {
        message.set_payload(read_whole(file)?);
    }
    Ok(())
}

fn add(batch: &mut Vec<u8>, message: &Publish) -> Result<(), Failure> {
    serde_json::to_writer(&mut *batch, message)
        .map_err(|error| Failure::failed("cannot write the message").because(&error))?;
    batch.push(b'\n');
    Ok(())
}

async fn send(
    context: &Context,
    path: &str,
    batch: Vec<u8>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    for outcome in context.client.send_lines::<Outcome>(path, batch).await? {
        match outcome {
            Outcome::Published(published) => {
                tally.accepted += 1;
                context.output.show_line(&published, told)?;
            }
            Outcome::Refused(problem) => tally.refuse(refused(&problem)),
        }
    }
    Ok(())
}

fn word(level: LevelArg) -> &'static str {
    match level {
        LevelArg::Memory => "memory",
        LevelArg::Process => "process",
        LevelArg::Disk => "disk",
    }
}

fn told(published: &Published) -> String {
    if published.duplicate {
        return format!("repeated {} ({}); nobody got it again", published.mid, published.level);
    }
    let receivers = match published.routed {
        0 => "nobody subscribes to the topic".to_owned(),
        1 => "1 subscription got it".to_owned(),
        count => format!("{count} subscriptions got it"),
    };
    format!("published {} ({}); {receivers}", published.mid, published.level)
}

// === impl Tally ===

impl Tally {
    fn refuse(&mut self, failure: Failure) {
        self.refused += 1;
        if self.first.is_none() {
            self.first = Some(failure);
        } else if self.refused <= REFUSALS_TOLD {
            note(failure.text().trim_end());
        }
    }

    /// The first refusal is how the verb ends; how many there were is said before.
    fn end(self) -> Result<(), Failure> {
        let Some(failure) = self.first else { return Ok(()) };
        if self.accepted + self.refused > 1 {
            note(&format!("{} messages accepted, {} refused", self.accepted, self.refused));
        }
        Err(failure)
    }
}
