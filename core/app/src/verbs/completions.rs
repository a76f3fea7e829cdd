//! `patchbay completions`.

use clap::CommandFactory;

use crate::{
    args::{CompletionsArgs, Typed},
    failure::Failure,
    output::print_bytes,
};

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Typed::command(), "patchbay", &mut script);
    print_bytes(&script)
}
