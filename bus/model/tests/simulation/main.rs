//! The real broker and the model, side by side, in virtual time.
//!
//! Every run is a list of operations that its seed decides. `PATCHBAY_SEED=n` runs one of them,
//! `PATCHBAY_SEEDS=n` the first n. A failure names its seed, the command that repeats it, and the
//! shortest list of operations that still fails.

mod agreement;
mod dice;
mod drain;
mod lane;
mod operation;
mod plan;
mod seeds;
mod shrink;
mod world;

#[test]
fn the_broker_and_the_model_agree_on_every_seed() {
    seeds::run(20_000);
}
