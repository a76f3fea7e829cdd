//! Which seeds are run, and what is said of one that fails.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::{operation::Operation, shrink::shrink, world::Disagreement};

/// What happened in a run, line by line.
pub(crate) type Found = Arc<Mutex<Vec<String>>>;

/// Runs operations in the world of a seed, and says what is wrong.
pub(crate) type Judge = fn(u64, &[Operation], Option<Found>) -> Result<(), Disagreement>;

/// A kind of run.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// The test that runs it.
    pub(crate) test: &'static str,
    /// What a seed does.
    pub(crate) list: fn(u64) -> Vec<Operation>,
    /// Does it, in the world of that seed.
    pub(crate) judge: Judge,
}

impl Kind {
    /// The `usual` number of seeds, or what the environment says.
    pub(crate) fn run(self, usual: u64) {
        let number = |name| env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
        if let Some(seed) = number("PATCHBAY_SEED") {
            if let Err(why) = self.try_one(seed, &(self.list)(seed), None) {
                self.report(seed, &why);
            }
            return;
        }
        let first = number("PATCHBAY_FIRST_SEED").unwrap_or_default();
        let many = number("PATCHBAY_SEEDS").unwrap_or(usual);
        let (next, failed) = (AtomicU64::new(0), Mutex::new(None::<(u64, Disagreement)>));
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= many {
                            return;
                        }
                        let seed = first.wrapping_add(number);
                        if let Err(why) = self.try_one(seed, &(self.list)(seed), None) {
                            next.store(many, Relaxed);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.get_or_insert((seed, why));
                        }
                    }
                });
            }
        });
        if let Some((seed, why)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.report(seed, &why);
        }
        println!("chaos simulation: {many} seeds from {first} on, {}", self.test);
    }

    /// A panic of the product is a failure like any other.
    fn try_one(
        self,
        seed: u64,
        list: &[Operation],
        found: Option<Found>,
    ) -> Result<(), Disagreement> {
        let run = || (self.judge)(seed, list, found);
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("it panicked: {}", text.unwrap_or_default()))
        })
    }

    fn report(self, seed: u64, why: &str) -> ! {
        let fails = |list: &[Operation]| self.try_one(seed, list, None).is_err();
        let short = shrink((self.list)(seed), fails);
        let found = Found::default();
        let last = self.try_one(seed, &short, Some(Arc::clone(&found))).err().unwrap_or_default();
        let lines = found.lock().unwrap_or_else(PoisonError::into_inner).join("\n  ");
        panic!(
            "seed {seed}: {why}\n\nrepeat it:\n  \
             PATCHBAY_SEED={seed} cargo test -p patchbay-model --test simulation {}\n\n\
             {} operations are enough; what happens then:\n  {lines}\n  {last}",
            self.test,
            short.len()
        );
    }
}
