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

use crate::{
    dice::Dice,
    operation::{self, Operation},
    plan,
    shrink::shrink,
    world::{Disagreement, Trace, World},
};

/// The first `usual` seeds, or what the environment says.
pub(crate) fn run(usual: u64) {
    let number = |name| env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    if let Some(seed) = number("PATCHBAY_SEED") {
        if let Err(why) = judge(seed, &list(seed), None) {
            report(seed, &why);
        }
        return;
    }
    let many = number("PATCHBAY_SEEDS").unwrap_or(usual);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None::<(u64, Disagreement)>));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= many {
                        return;
                    }
                    if let Err(why) = judge(seed, &list(seed), None) {
                        next.store(many, Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert((seed, why));
                    }
                }
            });
        }
    });
    if let Some((seed, why)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        report(seed, &why);
    }
    println!("{many} seeds");
}

fn list(seed: u64) -> Vec<Operation> {
    operation::list(&mut Dice::new(seed ^ 0x5EED))
}

/// Runs those operations in the world of that seed.
fn judge(seed: u64, list: &[Operation], trace: Option<Trace>) -> Result<(), Disagreement> {
    let run = || {
        let mut dice = Dice::new(seed);
        let mut world = World::new(plan::config(&mut dice), seed);
        world.trace = trace;
        for _ in 0..1 + dice.below(3) {
            world.subscribe(&mut dice)?;
        }
        for (number, operation) in list.iter().enumerate() {
            let told = |why| format!("at operation {number}, {operation:?}: {why}");
            world.play(*operation).map_err(told)?;
        }
        world.drain().map_err(|why| format!("at the end: {why}"))
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    })
}

fn report(seed: u64, why: &str) -> ! {
    let short = shrink(list(seed), |list| judge(seed, list, None).is_err());
    let trace = Trace::default();
    let last = judge(seed, &short, Some(Arc::clone(&trace))).err().unwrap_or_default();
    let events = trace.lock().unwrap_or_else(PoisonError::into_inner).join("\n  ");
    panic!(
        "seed {seed}: {why}\n\nrepeat it:\n  \
         PATCHBAY_SEED={seed} cargo test -p patchbay-model --test simulation\n\n\
         {} operations are enough; what happens then:\n  {events}\n  {last}",
        short.len()
    );
}
