//! The real broker in virtual time: beside the model, and under a checker that sees only what
//! publishers and handlers saw.
//!
//! Every run is a list of operations that its seed decides. `PATCHBAY_SEED=n` runs one of them,
//! `PATCHBAY_SEEDS=n` so many, from `PATCHBAY_FIRST_SEED` or the first on. A failure names its seed, the command that repeats it, and what
//! happens in the shortest list of operations that still fails.

mod agreement;
mod crashes;
mod deaths;
mod dice;
mod drain;
mod lane;
mod operation;
mod plan;
mod publishing;
mod seeds;
mod shrink;
mod world;

use self::{dice::Dice, seeds::Kind};

#[test]
fn the_broker_and_the_model_agree_on_every_seed() {
    let list = |seed| operation::list(&mut Dice::new(seed ^ 0x5EED));
    let test = "the_broker_and_the_model_agree_on_every_seed";
    Kind { test, list, judge: world::judge }.run(20_000);
}

#[test]
fn the_broker_and_the_model_agree_over_deaths_on_every_seed() {
    let list = |seed| operation::list_of_lives(&mut Dice::new(seed ^ 0x11FE5));
    let test = "the_broker_and_the_model_agree_over_deaths_on_every_seed";
    Kind { test, list, judge: world::judge_lives }.run(20_000);
}

#[test]
fn no_death_of_the_host_breaks_a_promise_on_any_seed() {
    let test = "no_death_of_the_host_breaks_a_promise_on_any_seed";
    Kind { test, list: crashes::list, judge: crashes::judge }.run(20_000);
}
