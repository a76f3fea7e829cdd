//! Where a lane sits: its places follow the pool's list of subscriptions.

use std::sync::Arc;

use patchbay_bus::Wake;

use super::{Feed, place::Place};
use crate::{events::PoolEventKind, lane::LaneSeat, shared::Served};

impl Feed {
    /// Follows a change of the pool's subscriptions.
    #[cold]
    pub(super) fn refresh(&mut self) {
        let (version, wanted) = self.pool.served();
        self.version = version;
        for at in 0..self.places.len().max(wanted.len()) {
            let entry = wanted.get(at).and_then(Option::as_ref);
            if self.places.len() <= at {
                self.places.resize_with(at + 1, || None);
                self.windows.resize(at + 1, 0);
            }
            let (has, wants) = (&self.places[at], entry.map(|entry| &entry.subscription));
            match (has, wants) {
                (Some(place), Some(wanted)) if place.is_of(wanted) => continue,
                (None, None) => continue,
                _ => self.drop_place(at),
            }
            if let Some(entry) = entry {
                self.places[at] = self.sit_down(entry, at);
            }
        }
    }

    fn sit_down(&self, served: &Served, at: usize) -> Option<Place> {
        let wake: Arc<dyn Wake> = Arc::clone(&self.lane) as Arc<dyn Wake>;
        match served.subscription.seat(self.pool.generation, wake) {
            Ok(seat) => {
                let subscription = Arc::clone(&served.subscription);
                self.lane.set_seat(at, Some(LaneSeat { subscription, id: seat.id() }));
                let concurrency = served.concurrency.clamp(1, self.pool.config.concurrency);
                Some(Place::new(seat, served, concurrency, (at as u16, self.windows[at])))
            }
            Err(error) => {
                let error = error.to_string();
                self.pool.tell(PoolEventKind::NoSeat { lane: self.lane.id, error });
                None
            }
        }
    }

    /// Leaves a subscription. What it held there goes back, begun or not.
    pub(super) fn drop_place(&mut self, at: usize) {
        let Some(mut place) = self.places.get_mut(at).and_then(Option::take) else { return };
        if self.current.is_none_or(|token| token.place() != at) {
            // Of an open window the bus repeats what was begun last, for all it knows it runs.
            place.settle(&mut self.books.detached);
        }
        self.windows[at] = place.last_window();
        self.lane.set_seat(at, None);
        self.books.forget(at, &place);
    }
}
