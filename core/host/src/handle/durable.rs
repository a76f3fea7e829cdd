//! The journal, what waits in it for plugins that are gone, and what is counted, from outside.

use super::HostHandle;
use crate::{
    closing,
    error::HostError,
    orphans, show,
    telemetry::measures,
    view::{AttachedView, DamageView, JournalView, MeasureView, OrphanView, PurgedView},
};

// === impl HostHandle ===

impl HostHandle {
    /// The journal in one page.
    #[must_use]
    pub fn journal(&self) -> JournalView {
        self.context().record.view(&self.context().broker)
    }

    /// Every place where the journal was not as it was written, when the host started.
    #[must_use]
    pub fn damage(&self) -> Vec<DamageView> {
        self.context().record.damage()
    }

    /// Whether durable publishes are accepted, if any topic is durable (P-46).
    #[must_use]
    pub fn keeps_what_it_accepts(&self) -> bool {
        let durable = !self.context().broker.config().durability.is_empty();
        !durable || self.context().record.health().0.accepts()
    }

    /// What the host counts of itself, at this moment; rows of one name stand together.
    #[must_use]
    pub fn measures(&self) -> Vec<MeasureView> {
        measures::all(self.context())
    }

    /// Subscriptions whose plugin is gone.
    #[must_use]
    pub fn orphans(&self) -> Vec<OrphanView> {
        orphans::all(self.context())
    }

    /// Deletes what waits for a plugin that is gone, of one pattern or of all, with its dead letters.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`] when nothing waits under that name; [`HostError::Closing`].
    ///
    /// # Cancel safety
    /// It is deleted all the same.
    pub async fn purge_orphans(
        &self,
        name: &str,
        pattern: Option<String>,
        who: &str,
    ) -> Result<PurgedView, HostError> {
        self.refuse_when_closing()?;
        let is_meant = |orphan: &&OrphanView| {
            orphan.plugin == name && pattern.as_ref().is_none_or(|it| *it == orphan.pattern)
        };
        let count = self.orphans().iter().filter(is_meant).count() as u64;
        if count == 0 {
            return Err(HostError::NoOrphan { plugin: name.to_owned() });
        }
        let (broker, plugin) = (self.context().broker.clone(), name.to_owned());
        let purging = move || broker.purge_orphans(&plugin, pattern.as_deref());
        let dropped = tokio::task::spawn_blocking(purging).await.unwrap_or_default();
        tracing::info!(target: "audit", who, plugin = name, dropped, "orphans purged");
        Ok(PurgedView { plugin: name.to_owned(), subscriptions: count, dropped })
    }

    /// Lets the subscriptions of a plugin in again that were cut off because of their backlog
    /// (`overflow: detach`), of one pattern or all. Where the backlog is still full, the next message
    /// cuts them off anew.
    ///
    /// # Errors
    /// [`HostError::UnknownPlugin`] when nothing subscribes under that name; [`HostError::Closing`].
    ///
    /// # Cancel safety
    /// They are let in all the same.
    pub async fn attach(
        &self,
        name: &str,
        pattern: Option<String>,
        who: &str,
    ) -> Result<AttachedView, HostError> {
        self.refuse_when_closing()?;
        if !show::ledger(self.context()).iter().any(|row| row.plugin == name) {
            return Err(HostError::UnknownPlugin { plugin: name.to_owned() });
        }
        let (broker, plugin) = (self.context().broker.clone(), name.to_owned());
        let attaching = move || {
            let all = broker.subscriptions();
            let mine = all.iter().filter(|it| it.owner() == plugin);
            let mine = mine.filter(|it| {
                pattern.as_ref().is_none_or(|pattern| it.spec().pattern.as_str() == pattern)
            });
            mine.filter(|subscription| broker.let_in(subscription)).count() as u64
        };
        let subscriptions = tokio::task::spawn_blocking(attaching).await.unwrap_or_default();
        tracing::info!(target: "audit", who, plugin = name, subscriptions, "attached");
        Ok(AttachedView { plugin: name.to_owned(), subscriptions })
    }

    /// Forces everything to the disk and closes the journal, whatever else goes on: what a second
    /// signal leads to (P-35). Nothing is accepted after it.
    ///
    /// # Cancel safety
    /// It is closed all the same.
    pub async fn close_journal(&self) {
        closing::close_journal(&self.shared.context).await;
    }
}
