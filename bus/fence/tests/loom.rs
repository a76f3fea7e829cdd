//! The fence in every order in which its steps can happen: two lanes, and one who switches.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p patchbay-fence --test loom --release`
#![cfg(loom)]

use std::collections::VecDeque;

use loom::{
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
use patchbay_fence::{Gate, barrier};

const OLD: u64 = 1;
const NEW: u64 = 2;
/// Deliveries a lane takes at once.
const WINDOW: usize = 2;

/// What the desk of a subscription knows, as far as the fence is concerned.
struct Desk {
    /// Who may take.
    split: u64,
    waiting: VecDeque<usize>,
    /// What each lane holds and has not been taken back.
    windows: [Vec<usize>; 2],
}

struct Queue {
    desk: Mutex<Desk>,
    gates: [Gate; 2],
}

/// What one lane started: deliveries.
type Started = Vec<usize>;

impl Queue {
    fn new(deliveries: usize) -> Queue {
        let desk =
            Desk { split: OLD, waiting: (0..deliveries).collect(), windows: Default::default() };
        Queue { desk: Mutex::new(desk), gates: [Gate::new(), Gate::new()] }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no lane panics")
    }

    /// One round of a lane, as a seat does it: settle, take a window, claim each position before it
    /// is handed off, stop at the first that is refused.
    fn round(&self, lane: usize, generation: u64, started: &mut Started) {
        let (window, ticket) = {
            let mut desk = self.desk();
            desk.windows[lane].clear();
            if desk.split != generation {
                return;
            }
            let count = desk.waiting.len().min(WINDOW);
            let window: Vec<usize> = desk.waiting.drain(..count).collect();
            desk.windows[lane].clone_from(&window);
            (window, self.gates[lane].open())
        };
        for (position, delivery) in window.into_iter().enumerate() {
            if !self.gates[lane].claim(position as u32, ticket) {
                return;
            }
            started.push(delivery);
        }
    }

    /// The cutover, as a desk does it. Returns what each lane has begun, as far as the fence knows.
    fn cut_over(&self) -> [Vec<usize>; 2] {
        let mut desk = self.desk();
        desk.split = NEW;
        self.gates.iter().for_each(Gate::cut);
        barrier();
        [0, 1].map(|lane| {
            let mut begun = std::mem::take(&mut desk.windows[lane]);
            let claimed = (self.gates[lane].claimed() as usize).min(begun.len());
            let back = begun.split_off(claimed);
            for delivery in back.into_iter().rev() {
                desk.waiting.push_front(delivery);
            }
            begun
        })
    }
}

/// Two lanes of the old version work while another thread switches to the new one.
fn two_lanes_and_a_switcher(deliveries: usize, rounds: usize) {
    loom::model(move || {
        let queue = Arc::new(Queue::new(deliveries));
        let lanes = [0, 1].map(|lane| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut started = Started::new();
                for _ in 0..rounds {
                    queue.round(lane, OLD, &mut started);
                }
                started
            })
        });
        let begun = queue.cut_over();
        // From here on the new version takes what is left, and the old one must start nothing.
        let left: Vec<usize> = queue.desk().waiting.iter().copied().collect();
        let started = lanes.map(|lane| lane.join().expect("a lane"));
        for (lane, started) in started.iter().enumerate() {
            let late: Vec<_> = started.iter().filter(|it| left.contains(it)).collect();
            assert!(late.is_empty(), "lane {lane} of the old version started {late:?} after it");
        }
        let again: Vec<usize> = queue.desk().waiting.iter().copied().collect();
        assert_eq!(again, left, "the old version took something after the cutover");
        let all: Vec<usize> = started.concat();
        for delivery in 0..deliveries {
            let starts = all.iter().filter(|it| **it == delivery).count();
            let is_left = left.contains(&delivery);
            assert!(starts + usize::from(is_left) <= 1, "{delivery} would be handed off twice");
            // One that was claimed in the very moment counts as begun, and its lane gives it back.
            let is_begun = begun.concat().contains(&delivery);
            assert!(starts == 1 || is_left || is_begun, "{delivery} is lost");
        }
    });
}

#[test]
fn after_the_cutover_no_lane_of_the_old_version_starts_anything() {
    two_lanes_and_a_switcher(4, 1);
}

#[test]
fn a_lane_that_comes_back_for_more_finds_the_new_split() {
    two_lanes_and_a_switcher(3, 2);
}

#[test]
fn what_a_lane_may_not_start_is_at_most_the_one_position_it_was_about_to_claim() {
    loom::model(|| {
        let gates = Arc::new([Gate::new(), Gate::new()]);
        let lanes = [0, 1].map(|lane: usize| {
            let gates = Arc::clone(&gates);
            let ticket = gates[lane].open();
            thread::spawn(move || {
                (0..2).take_while(|position| gates[lane].claim(*position, ticket)).count()
            })
        });
        gates.iter().for_each(Gate::cut);
        barrier();
        let claimed = [gates[0].claimed(), gates[1].claimed()];
        for (lane, claimed) in lanes.into_iter().zip(claimed) {
            let began = lane.join().expect("a lane") as u32;
            assert!(began <= claimed, "started {began} after the fence said {claimed}");
            assert!(claimed <= began + 1, "{claimed} were counted and {began} begun");
        }
    });
}
