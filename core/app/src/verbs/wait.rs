//! `patchbay wait` and `shutdown`.

use std::time::Duration;

use patchbay_host::view::{HostStatus, PluginView};
use patchbay_manifest::PluginName;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    args::{ShutdownArgs, WaitArgs},
    client::escaped,
    context::Context,
    failure::{Exit, Failure},
};

/// Period at which a host that is not there is looked for.
const PERIOD: Duration = Duration::from_millis(50);
/// How long the host is asked to wait at once; longer waits ask again.
const ASK: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, args: &WaitArgs) -> Result<(), Failure> {
    let deadline = Instant::now() + args.timeout;
    let status = host(context, deadline, args).await?;
    match &args.plugin {
        None => context.output.show(&status, |status| format!("ready: {}", plugins(status))),
        Some(name) => plugin(context, name, &args.state, deadline).await,
    }
}

/// Waits for the host; without `--plugin` until it is ready, else until it answers.
async fn host(
    context: &Context,
    deadline: Instant,
    args: &WaitArgs,
) -> Result<HostStatus, Failure> {
    loop {
        let failure = match context.client.get::<HostStatus>("/api/v1/status").await {
            Ok(status) if status.ready || args.plugin.is_some() => return Ok(status),
            Ok(status) => Failure::failed("the host is not ready in time")
                .cause(format!("it is {}; {}", status.phase, plugins(&status)))
                .hint("`patchbay plugin list` shows what it waits for; --timeout allows more time"),
            Err(failure) if failure.exit == Exit::Unreachable => failure,
            Err(failure) => return Err(failure),
        };
        if Instant::now() + PERIOD > deadline {
            return Err(failure);
        }
        sleep(PERIOD).await;
    }
}

/// Waits for a state of a plugin. A plugin that has failed for good does not get there by itself.
async fn plugin(
    context: &Context,
    name: &PluginName,
    state: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let name = escaped(name.as_str());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = humantime::format_duration(left.min(ASK)).to_string();
        let until = format!("{},failed", escaped(state));
        let path = format!("/api/v1/plugins/{name}?until={until}&timeout={}", escaped(&limit));
        match context.client.get::<Option<PluginView>>(&path).await {
            Ok(None) => {
                return context.output.show(&Value::Null, |_| format!("{name} is gone"));
            }
            Ok(Some(plugin)) if plugin.state == state => {
                return context.output.show(&plugin, super::plugin::line);
            }
            Ok(Some(plugin)) => {
                let waits = plugin.failure.as_ref().is_some_and(|f| f.retry_at.is_some());
                if !waits || left.is_zero() {
                    return Err(super::plugin::not_there(&plugin, state));
                }
                sleep(PERIOD.min(left)).await;
            }
            Err(failure) if left.is_zero() => return Err(failure),
            Err(failure) if failure.exit != Exit::Failed => return Err(failure),
            // No answer in time: asked again until there is no time left.
            Err(_) => sleep(PERIOD.min(left)).await,
        }
    }
}

pub(super) async fn shutdown(context: &Context, args: &ShutdownArgs) -> Result<(), Failure> {
    let asked = match args.timeout {
        Some(timeout) => json!({"timeout": humantime::format_duration(timeout).to_string()}),
        None => json!({}),
    };
    let _: Value = context.client.send("/api/v1/shutdown", &asked).await?;
    // The host has a deadline of its own; it is gone when nobody answers any more.
    loop {
        match context.client.get::<Value>("/api/v1/status").await {
            Err(failure) if failure.exit == Exit::Unreachable => break,
            Ok(_) | Err(_) => sleep(PERIOD).await,
        }
    }
    context.output.show(&json!({"stopped": true}), |_| "the host has ended".to_owned())
}

fn plugins(status: &HostStatus) -> String {
    if status.plugins.is_empty() {
        return "no plugins are enabled".to_owned();
    }
    let states = status.plugins.iter().map(|(state, count)| format!("{count} {state}"));
    format!("plugins: {}", states.collect::<Vec<_>>().join(", "))
}
