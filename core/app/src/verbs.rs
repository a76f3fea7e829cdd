//! One file for each family of verbs.

mod bus;
mod completions;
mod config;
mod dlq;
mod doctor;
mod explain;
mod failures;
mod journal;
mod link;
mod operation;
mod plugin;
mod publish;
mod subscribe;
mod transition;
mod wait;

use crate::{
    args::{TopicVerb, Verb},
    context::Context,
    failure::Failure,
    up,
};

pub(crate) use self::plugin::table as plugin_table;

/// Does what was typed.
pub(crate) fn run(context: &Context, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Up(args) => up::run(context, &args),
        Verb::Wait(args) => block_on(wait::run(context, &args)),
        Verb::Status => block_on(bus::status(context)),
        Verb::Shutdown(args) => block_on(wait::shutdown(context, &args)),
        Verb::Publish(args) => block_on(publish::run(context, args)),
        Verb::Subscribe(args) => block_on(subscribe::run(context, &args)),
        Verb::Request(args) => block_on(publish::request(context, args)),
        Verb::Plugin(verb) => plugin::run(context, verb),
        Verb::Transition(verb) => block_on(transition::run(context, verb)),
        Verb::Topic(TopicVerb::List) => block_on(bus::topics(context)),
        Verb::Ledger => block_on(bus::ledger(context)),
        Verb::Explain { mid } => block_on(explain::run(context, mid)),
        Verb::Dlq(verb) => block_on(dlq::run(context, verb)),
        Verb::Operation(verb) => block_on(operation::run(context, verb)),
        Verb::Journal(verb) => journal::run(context, &verb),
        Verb::Config(verb) => config::run(context, verb),
        Verb::Doctor => block_on(doctor::run(context)),
        Verb::Completions(args) => completions::run(&args),
    }
}

/// Whoever repeats a request with it, because the answer got lost, has it done once (P-43).
fn fresh_key(given: Option<String>) -> String {
    given.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string())
}

/// Runs a verb that speaks to the host.
fn block_on(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start").because(&error))?
        .block_on(verb)
}
