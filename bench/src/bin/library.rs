//! Loads, calls and unloads libraries: what the boundary costs.
//!
//! `library [--cycles N]`, default 10,000.

use std::{
    error::Error,
    hint::black_box,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use patchbay_bench::{
    libraries::{Repeat, candidate, path_of},
    services::NoServices,
};
use patchbay_loader::{
    Instance, LaneLimits, LoadLimits, Loader, PrivateCopy, RetireLimits, Retired, Store,
};
use patchbay_measure::{
    allocations::{self, Counting},
    figures::{Spread, micros, print},
    process,
};
use patchbay_slab::{Message, Parts, Slab};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LOADS: usize = 301;
const CALLS: u64 = 1_000_000;
const ROUNDS: usize = 11;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let cycles = cycles_wanted()?;
    allocations::start();
    patchbay_loader::effective()?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path())?;
    let loader = Loader::new();
    let mut generation = 0;
    println!("{:<58} {:<24} measured", "figure", "goal");
    for plugin in ["ack", "sleeper"] {
        let path = path_of(plugin)?;
        load_times(plugin, &path, &store, &loader, &mut generation)?;
    }
    call_cost(&path_of("ack")?, &store, &loader, &mut generation)?;
    for plugin in ["ack", "sleeper"] {
        let path = path_of(plugin)?;
        cycle(plugin, cycles, &path, &store, &loader, &mut generation)?;
    }
    Ok(())
}

fn cycles_wanted() -> Outcome<usize> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(10_000),
        (Some("--cycles"), Some(count)) => Ok(count.parse()?),
        _ => Err("usage: library [--cycles N]".into()),
    }
}

fn admit(path: &Path, store: &Store, generation: &mut u64) -> Outcome<PrivateCopy> {
    *generation += 1;
    Ok(store.admit(&candidate(path)?, *generation)?)
}

fn load(loader: &Loader, copy: PrivateCopy) -> Outcome<Instance> {
    Ok(loader.load(copy, Arc::new(NoServices), "{}", &LoadLimits::default())?)
}

fn load_times(
    plugin: &str,
    path: &Path,
    store: &Store,
    loader: &Loader,
    generation: &mut u64,
) -> Outcome<()> {
    let (mut loads, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        let copy = admit(path, store, generation)?;
        let start = Instant::now();
        let instance = load(loader, copy)?;
        loads.push(micros(start.elapsed()));
        let start = Instant::now();
        unmapped(instance.retire(&RetireLimits::default()))?;
        ends.push(micros(start.elapsed()));
    }
    for (what, samples) in [("load + create", loads), ("teardown with proof", ends)] {
        let spread = Spread::of(samples);
        print(
            &format!("{plugin}: {what}, median of {LOADS} (p99)"),
            "under 1000 us",
            &format!("{:.0} us ({:.0} us)", spread.median, spread.p99),
        );
    }
    Ok(())
}

fn unmapped(end: Retired) -> Outcome<()> {
    match end {
        Retired::Unmapped => Ok(()),
        Retired::Quarantined(reason) => Err(format!("quarantined: {reason:?}").into()),
        Retired::Before => Err("retired twice".into()),
    }
}

/// The same acknowledgement, as a `dyn` call inside this executable and through the contract.
trait Handler: Send + Sync {
    fn handle(&self, message: &Message) -> bool;
}

struct Direct;

impl Handler for Direct {
    #[inline(never)]
    fn handle(&self, message: &Message) -> bool {
        black_box(message).hops() == 0
    }
}

fn call_cost(path: &Path, store: &Store, loader: &Loader, generation: &mut u64) -> Outcome<()> {
    let instance = Arc::new(load(loader, admit(path, store, generation)?)?);
    let mut slab = Slab::new();
    let message = slab.draft(&Parts { topic: "bench.call", ..Parts::default() }).freeze();
    let handler: Arc<dyn Handler> = black_box(Arc::new(Direct));
    let (mut direct, mut contract, mut allocated) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(handler.handle(&message));
        }
        direct.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
        let (time, allocations) = contract_round(&instance, &message)?;
        contract.push(time.as_nanos() as f64 / CALLS as f64);
        allocated.push(allocations as f64 / CALLS as f64);
    }
    unmapped(instance.retire(&RetireLimits::default()))?;
    let (direct, contract) = (Spread::of(direct), Spread::of(contract));
    print(
        "call through the contract, ready at once",
        "direct + 15 ns",
        &format!("{:.1} ns, direct {:.1} ns", contract.median, direct.median),
    );
    print("allocations for one such call", "0", &format!("{:.6}", Spread::of(allocated).max));
    Ok(())
}

/// A lane of its own, as the host runs it: its thread is gone before the library is.
fn contract_round(instance: &Arc<Instance>, message: &Message) -> Outcome<(Duration, u64)> {
    let mut source = Repeat::new(message.clone(), CALLS)?;
    let instance = Arc::clone(instance);
    let lane = thread::spawn(move || {
        let before = allocations::count();
        let start = Instant::now();
        instance.run_lane(0, &mut source, LaneLimits { concurrency: 1, batch: 64 });
        (start.elapsed(), allocations::count() - before, source.odd.is_some())
    });
    let (time, allocated, odd) = lane.join().map_err(|_| "the lane panicked")?;
    if odd { Err("a call was not acknowledged".into()) } else { Ok((time, allocated)) }
}

fn cycle(
    plugin: &str,
    cycles: usize,
    path: &Path,
    store: &Store,
    loader: &Loader,
    generation: &mut u64,
) -> Outcome<()> {
    let warm = cycles / 10;
    let mut slab = Slab::new();
    let message = slab.draft(&Parts { topic: "bench.cycle", ..Parts::default() }).freeze();
    let mut start_bytes = 0;
    for round in 0..cycles {
        if round == warm {
            start_bytes = process::anonymous_bytes();
        }
        let instance = Arc::new(load(loader, admit(path, store, generation)?)?);
        let mut source = Repeat::new(message.clone(), 2)?;
        let lane = {
            let instance = Arc::clone(&instance);
            thread::spawn(move || instance.run_lane(0, &mut source, LaneLimits::default()))
        };
        lane.join().map_err(|_| "the lane panicked")?;
        unmapped(instance.retire(&RetireLimits::default()))?;
    }
    let grown = process::anonymous_bytes().saturating_sub(start_bytes);
    let left = process::mappings_below(store.dir());
    print(
        &format!("{plugin}: {cycles} cycles of load, 2 messages, unload"),
        "0 mapped, under 100 B",
        &format!(
            "{left} mapped, {:.1} B per cycle, {} threads",
            grown as f64 / (cycles - warm).max(1) as f64,
            process::threads()
        ),
    );
    Ok(())
}
