//! What a generation wants to listen to, in the bus's words.

use std::sync::Arc;

use patchbay_bus::{
    KeySource, OnError, Order, Overflow, QueueLimits, RetryPolicy, SubscriptionSpec,
};
use patchbay_lifecycle::PluginName;
use patchbay_manifest::{self as manifest, Manifest, SubscriptionManifest};
use patchbay_slab::Message;
use patchbay_wire::TopicPattern;

/// One wanted subscription. Two generations that wish the same share one queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    /// Number within the generation: what the library is told with each delivery.
    pub(crate) number: u32,
    /// Most messages that may wait.
    pub(crate) queue_count: u32,
    /// Whether the manifest says so; else the plugin asked for it while running.
    pub(crate) declared: bool,
    /// Everything else.
    pub(crate) manifest: SubscriptionManifest,
}

// === impl Wish ===

impl Wish {
    /// What a manifest says, in its order.
    pub(crate) fn of(manifest: &Manifest) -> Vec<Wish> {
        let numbered = (0_u32..).zip(&manifest.subscriptions);
        numbered
            .map(|(number, subscription)| Wish {
                number,
                queue_count: manifest.queue_count(subscription),
                declared: true,
                manifest: subscription.clone(),
            })
            .collect()
    }

    /// What a plugin asks for while running.
    pub(crate) fn dynamic(number: u32, queue_count: u32, pattern: TopicPattern) -> Wish {
        let manifest = SubscriptionManifest::new(pattern);
        Wish { number, queue_count, declared: false, manifest }
    }

    /// Whether both mean the same queue, whatever their numbers.
    pub(crate) fn shares_queue_with(&self, other: &Wish) -> bool {
        let key = |wish: &Wish| {
            let it = &wish.manifest;
            (it.topic.clone(), it.key.clone(), it.order, it.queue, it.retry, wish.queue_count)
        };
        key(self) == key(other)
    }

    /// Calls in flight per lane. A pool has its own bound as well.
    pub(crate) fn concurrency(&self) -> u32 {
        match self.manifest.order {
            manifest::Order::Total => 1,
            _ => self.manifest.concurrency.clamp(1, patchbay_pool::CONCURRENCY_MAX),
        }
    }

    pub(crate) fn spec(&self, owner: &PluginName) -> SubscriptionSpec {
        let it = &self.manifest;
        SubscriptionSpec {
            index: self.number,
            limits: QueueLimits {
                count: self.queue_count as usize,
                bytes: usize::try_from(it.queue.bytes).unwrap_or(usize::MAX),
            },
            backlog: QueueLimits {
                count: it.queue.backlog.count as usize,
                bytes: usize::try_from(it.queue.backlog.bytes).unwrap_or(usize::MAX),
            },
            overflow: match it.queue.overflow {
                manifest::Overflow::Reject => Overflow::Reject,
                manifest::Overflow::Block => Overflow::Block,
                manifest::Overflow::DropOldest => Overflow::DropOldest,
                manifest::Overflow::DropNewest => Overflow::DropNewest,
                manifest::Overflow::DeadLetter => Overflow::DeadLetter,
                manifest::Overflow::Detach => Overflow::Detach,
            },
            order: match it.order {
                manifest::Order::None => Order::None,
                manifest::Order::PerKey => Order::PerKey,
                manifest::Order::Total => Order::Total,
            },
            key: match &it.key {
                None => KeySource::Message,
                Some(manifest::KeySource::Header(name)) => KeySource::Header(name.as_str().into()),
                Some(manifest::KeySource::Json(pointer)) => json_key(pointer.clone()),
            },
            retry: RetryPolicy {
                max_failures: it.retry.max_failures,
                max_attempts: it.retry.max_attempts,
                max_age: it.retry.max_age,
                backoff_min: it.retry.backoff_min,
                backoff_max: it.retry.backoff_max,
                on_error: match it.retry.on_error {
                    manifest::OnError::Retry => OnError::Retry,
                    manifest::OnError::DeadLetter => OnError::DeadLetter,
                },
                ..RetryPolicy::default()
            },
            ..SubscriptionSpec::new(owner.as_str(), it.topic.clone())
        }
    }
}

/// A key out of a JSON payload. A payload that is no JSON, or has nothing there, has no key.
fn json_key(pointer: String) -> KeySource {
    let key = move |message: &Message| {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(message.payload()) else {
            return 0;
        };
        match value.pointer(&pointer) {
            None | Some(serde_json::Value::Null) => 0,
            Some(serde_json::Value::String(text)) => patchbay_slab::key_hash(text),
            Some(other) => patchbay_slab::key_hash(&other.to_string()),
        }
    };
    KeySource::Computed(Arc::new(key))
}
