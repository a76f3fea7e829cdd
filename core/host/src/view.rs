//! What the host shows of itself: plain values, serialised by the gateway and read by the command
//! line.
//!
//! Instants are texts in RFC 3339, UTC. Names of states are those of
//! `patchbay_lifecycle::State`. Fields are only ever added.
//!
//! **Absent on purpose.** No behaviour, and nothing that borrows from a running part of the host:
//! a view is a copy of one moment.

mod bus;
mod journal;
mod life;
mod operation;
mod plugin;
mod supervision;
mod telemetry;

pub use self::{
    bus::{
        DeadLetterView, DeadLettersView, DroppedView, FailureRecord, HostStatus, LedgerView,
        Published, SeenMessage, ShutdownReport, TopicView, UnfinishedPlugin, UnreadableView,
    },
    journal::{
        AttachedView, DamageView, DeathView, DedupView, JournalView, LevelRule, OrphanView,
        PurgedView, RecoveryView,
    },
    life::{DeliveryLife, LifeRecord, MessageLife},
    operation::{LetterProblem, OperationPlan, OperationView, PlannedLetter},
    plugin::{
        Cause, FailureView, GenerationView, HealthView, PluginDetail, PluginView, QueueView,
        RescanReport, StateChange, SubscriptionView, WorkersView,
    },
    supervision::{BreakerView, SetbackView, SupervisionView, WrittenOffView},
    telemetry::{EventView, LogLine, MeasureKind, MeasureView, MetricView, SpanView},
};
