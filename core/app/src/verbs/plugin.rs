//! `patchbay plugin`.

mod detail;

use std::time::Duration;

use patchbay_host::view::{
    AttachedView, GenerationView, LogLine, PluginDetail, PluginView, PurgedView,
};
use patchbay_manifest::PluginName;
use patchbay_wire::TopicPattern;

use super::{block_on, link};
use crate::{
    args::{AttachArgs, LogsArgs, PluginVerb, PurgeArgs},
    build,
    client::escaped,
    context::Context,
    failure::Failure,
    output::{Rows, harmless},
};

/// Period at which new log lines are asked for.
const FOLLOW: Duration = Duration::from_millis(250);

pub(super) fn run(context: &Context, verb: PluginVerb) -> Result<(), Failure> {
    match verb {
        PluginVerb::New(args) => build::scaffold(context, &args),
        PluginVerb::Build(args) => build::build(context, &args),
        PluginVerb::Check(args) => build::check(context, &args),
        PluginVerb::Activate(args) => block_on(link::activate(context, &args)),
        PluginVerb::Deactivate(args) => block_on(link::deactivate(context, &args.name)),
        PluginVerb::Purge(args) => block_on(purge(context, &args)),
        PluginVerb::Attach(args) => block_on(attach(context, &args)),
        PluginVerb::List => block_on(list(context)),
        PluginVerb::Info(args) => block_on(info(context, &args.name)),
        PluginVerb::Pause(args) => block_on(change(context, &args.name, "pause")),
        PluginVerb::Resume(args) => block_on(change(context, &args.name, "resume")),
        PluginVerb::Reset(args) => block_on(change(context, &args.name, "reset")),
        PluginVerb::Restart(args) => block_on(change(context, &args.name, "restart")),
        PluginVerb::Logs(args) => block_on(logs(context, &args)),
        PluginVerb::Generations(args) => block_on(generations(context, args.name.as_ref())),
    }
}

/// The path of a plugin in the interface.
pub(super) fn path(name: &PluginName) -> String {
    format!("/api/v1/plugins/{}", escaped(name.as_str()))
}

async fn list(context: &Context) -> Result<(), Failure> {
    let plugins: Vec<PluginView> = context.client.get("/api/v1/plugins").await?;
    context.output.show(&plugins, |plugins| table(plugins))
}

/// Plugins, one a line, with why one is not running.
pub(crate) fn table(plugins: &[PluginView]) -> String {
    let mut rows = Rows::new([
        "NAME",
        "STATE",
        "VERSION",
        "GEN",
        "WORKERS",
        "QUEUED",
        "IN FLIGHT",
        "HEALTH",
        "WHY",
    ]);
    for plugin in plugins {
        let why = match &plugin.failure {
            Some(failure) => failure.reason.lines().next().unwrap_or_default().to_owned(),
            None => String::new(),
        };
        let dash = || "-".to_owned();
        rows.row([
            plugin.name.clone(),
            plugin.state.clone(),
            plugin.version.clone().unwrap_or_else(dash),
            plugin.generation.map_or_else(dash, |number| number.to_string()),
            format!("{}/{}", plugin.workers.count, plugin.workers.max),
            (plugin.queue.queued + plugin.queue.delayed).to_string(),
            plugin.queue.in_flight.to_string(),
            plugin.health.status.clone(),
            why,
        ]);
    }
    rows.text("no plugins are enabled; `patchbay plugin activate NAME` adds one")
}

async fn info(context: &Context, name: &PluginName) -> Result<(), Failure> {
    let detail: PluginDetail = context.client.get(&path(name)).await?;
    context.output.show(&detail, detail::text)
}

async fn change(context: &Context, name: &PluginName, verb: &str) -> Result<(), Failure> {
    let plugin: PluginView = context.client.post(&format!("{}/{verb}", path(name))).await?;
    context.output.show(&plugin, line)
}

/// A plugin in one sentence.
pub(super) fn line(plugin: &PluginView) -> String {
    let version = plugin.version.as_deref().map_or(String::new(), |v| format!(", version {v}"));
    let generation =
        plugin.generation.map_or(String::new(), |number| format!(", generation {number}"));
    format!("{} is {}{version}{generation}", plugin.name, plugin.state)
}

/// Why a plugin is not what it was meant to become.
pub(super) fn not_there(plugin: &PluginView, wanted: &str) -> Failure {
    let message = format!("plugin `{}` is {}, not {wanted}", plugin.name, plugin.state);
    let failure = match &plugin.failure {
        Some(failure) => Failure::failed(message).cause(failure.reason.clone()),
        None => Failure::failed(message).cause(plugin.cause.why.clone()),
    };
    failure.hint(format!("`patchbay plugin info {0}` and `plugin logs {0}` tell more", plugin.name))
}

async fn logs(context: &Context, args: &LogsArgs) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let lines: Vec<LogLine> =
            context.client.get(&format!("{}/logs?after={after}", path(&args.name))).await?;
        for line in &lines {
            context.output.show_line(line, |line| {
                let text = harmless(&line.text);
                format!("{} {:<5} {}: {text}", line.at, line.level, harmless(&line.target))
            })?;
            after = after.max(line.seq);
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// The part of an address that asks for one pattern only.
fn of_pattern(pattern: Option<&TopicPattern>) -> String {
    pattern.map(|it| format!("?pattern={}", escaped(it.as_str()))).unwrap_or_default()
}

async fn attach(context: &Context, args: &AttachArgs) -> Result<(), Failure> {
    let (path, query) = (path(&args.name), of_pattern(args.pattern.as_ref()));
    let attached: AttachedView = context.client.post(&format!("{path}/attach{query}")).await?;
    context.output.show(&attached, |attached| {
        let AttachedView { plugin, subscriptions } = attached;
        match subscriptions {
            0 => format!("no subscription of {plugin} is cut off"),
            _ => format!("{subscriptions} subscriptions of {plugin} get messages again"),
        }
    })
}

async fn purge(context: &Context, args: &PurgeArgs) -> Result<(), Failure> {
    let query = of_pattern(args.pattern.as_ref());
    let name = escaped(args.name.as_str());
    let purged: PurgedView =
        context.client.post(&format!("/api/v1/orphans/{name}/purge{query}")).await?;
    context.output.show(&purged, |purged| {
        let PurgedView { plugin, subscriptions, dropped } = purged;
        format!("{subscriptions} subscriptions of {plugin} are gone, {dropped} messages dropped")
    })
}

async fn generations(context: &Context, name: Option<&PluginName>) -> Result<(), Failure> {
    let path = match name {
        Some(name) => format!("{}/generations", path(name)),
        None => "/api/v1/generations".to_owned(),
    };
    let generations: Vec<GenerationView> = context.client.get(&path).await?;
    context.output.show(&generations, |generations| generation_table(generations))
}

fn generation_table(generations: &[GenerationView]) -> String {
    let mut rows = Rows::new([
        "PLUGIN",
        "GEN",
        "STATE",
        "SHARE",
        "VERSION",
        "DIGEST",
        "LOADED",
        "MAPPED BECAUSE",
    ]);
    for of in generations {
        rows.row([
            of.plugin.clone(),
            of.generation.to_string(),
            of.state.clone(),
            format!("{} %", of.share),
            of.version.clone(),
            of.digest.chars().take(12).collect(),
            of.loaded_at.clone(),
            match &of.mapped_because {
                Some(reason) => harmless(reason),
                None => "it serves".to_owned(),
            },
        ]);
    }
    rows.text("no library is mapped")
}
