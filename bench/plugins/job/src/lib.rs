//! Does what its configuration says: notes how old a message is, forwards it, or answers it.
//!
//! At its end it writes what it noted into the folder that its configuration names, in a file that begins with its version. The name has a fixed length, as that of `bench_ack` has: copies of the file get other digits.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use patchbay_measure::{
    histogram::Histogram,
    source::{age_ns, now_ns},
};
use patchbay_plugin::{
    Message, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime, export_plugin,
};

/// A message after a longer time without one is noted.
const LULL_NS: u64 = 2_000_000;

struct Job {
    context: PluginContext,
    task: Task,
    ages: Histogram,
    /// When the latest stamped message came; 0 = none yet.
    latest_ns: AtomicU64,
    /// When messages came again.
    resumed: Mutex<Vec<u64>>,
}

enum Task {
    Note,
    Forward(String),
    Answer,
}

// === impl Job ===

impl Job {
    fn note(&self, age_ns: u64) {
        self.ages.add(age_ns);
        let now = now_ns();
        let latest = self.latest_ns.swap(now, Relaxed);
        if latest > 0 && now.saturating_sub(latest) > LULL_NS {
            self.resumed.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        }
    }
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
        Ok(Job {
            context,
            task,
            ages: Histogram::new(),
            latest_ns: AtomicU64::new(0),
            resumed: Mutex::default(),
        })
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
                    self.note(age);
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

    async fn shutdown(&self) -> Result<(), PluginError> {
        let folder = self.context.config.text("notes")?;
        if folder.is_empty() || self.ages.is_empty() {
            return Ok(());
        }
        let resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed: Vec<String> = resumed.iter().map(u64::to_string).collect();
        let text = format!("{}\n{}", resumed.join(" "), self.ages.write());
        let version = &self.context.plugin_version;
        std::fs::write(format!("{folder}/{version}-{}", now_ns()), text)
            .map_err(|error| PluginError::permanent(format!("cannot write notes: {error}")))
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
        "config": { "task": "note", "to": "", "notes": "" }
    }"#
);
