//! Does what its configuration says: notes how old a message is, forwards it, or answers it.
//!
//! The name has a fixed length, as that of `bench_ack` has: copies of the file get other digits.

use patchbay_measure::{histogram::Histogram, source::age_ns};
use patchbay_plugin::{
    Message, Metrics, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime, export_plugin,
};

struct Job {
    context: PluginContext,
    task: Task,
    ages: Histogram,
}

enum Task {
    Note,
    Forward(String),
    Answer,
}

impl Plugin for Job {
    const RUNTIME: Runtime = Runtime::None;

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        let task = match context.config.text("task")?.as_str() {
            "note" => Task::Note,
            "forward" => Task::Forward(context.config.text("to")?),
            "answer" => Task::Answer,
            other => return Err(PluginError::permanent(format!("there is no task `{other}`"))),
        };
        Ok(Job { context, task, ages: Histogram::new() })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn process_message(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        match &self.task {
            Task::Note => {
                if let Some(age) = age_ns(message.payload()) {
                    self.ages.add(age);
                }
            }
            Task::Forward(to) => {
                return Ok(ProcessingStatus::Forward(to.clone(), message.clone()));
            }
            Task::Answer => {
                self.context.transport.reply(message, message.payload()).await?;
            }
        }
        Ok(ProcessingStatus::Acknowledged)
    }

    async fn metrics(&self) -> Metrics {
        let at = |share| self.ages.micros_at(share);
        Metrics::new()
            .with("count", self.ages.len())
            .with("p50_us", at(0.5))
            .with("p99_us", at(0.99))
            .with("p999_us", at(0.999))
    }
}

export_plugin!(
    Job,
    manifest: r#"{
        "apiVersion": "patchbay/v1",
        "name": "bench_job_000",
        "version": "1.0.0",
        "description": "Does what it is told",
        "subscriptions": [{ "topic": "bench_job_000.>", "queue": { "overflow": "block" } }],
        "worker_pool": { "min_workers": 1, "max_workers": 1 },
        "config": { "task": "note", "to": "" }
    }"#
);
