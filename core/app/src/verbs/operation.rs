//! `patchbay operation`.

use std::fmt::Write as _;

use patchbay_host::view::OperationView;

use crate::{
    args::OperationVerb,
    client::escaped,
    context::Context,
    failure::Failure,
    output::{Rows, harmless},
};

pub(super) async fn run(context: &Context, verb: OperationVerb) -> Result<(), Failure> {
    match verb {
        OperationVerb::List => {
            let all: Vec<OperationView> = context.client.get("/api/v1/operations").await?;
            context.output.show(&all, |all| {
                let mut rows = Rows::new([
                    "ID", "KIND", "STATE", "STARTED", "SELECTED", "DONE", "ABSENT", "REFUSED",
                ]);
                for of in all {
                    rows.row([
                        of.id.clone(),
                        of.kind.clone(),
                        of.state.clone(),
                        of.started_at.clone(),
                        of.selected.to_string(),
                        of.done.to_string(),
                        of.absent.to_string(),
                        of.refused.to_string(),
                    ]);
                }
                rows.text("there are no operations")
            })
        }
        OperationVerb::Show { id } => {
            let path = format!("/api/v1/operations/{}", escaped(&id));
            let operation: OperationView = context.client.get(&path).await?;
            context.output.show(&operation, story)
        }
        OperationVerb::Cancel { id } => {
            let path = format!("/api/v1/operations/{}/cancel", escaped(&id));
            let operation: OperationView = context.client.post(&path).await?;
            context.output.show(&operation, story)
        }
    }
}

fn story(of: &OperationView) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "operation    {}: {} for {}", of.id, of.kind, harmless(&of.who));
    let ended = of.ended_at.as_ref().map_or(String::new(), |at| format!(", ended {at}"));
    let _ = writeln!(text, "state        {}, started {}{ended}", of.state, of.started_at);
    let (done, selected, rate) = (of.done, of.selected, of.rate);
    let _ = writeln!(text, "dead letters {done} of {selected} done, at most {rate} a second");
    let (absent, refused) = (of.absent, of.refused);
    let _ =
        writeln!(text, "             {absent} were not there (any more), {refused} were refused");
    if of.resumed > 0 {
        let _ = writeln!(text, "resumed      {} times after a restart", of.resumed);
    }
    if !of.kept {
        let _ = writeln!(text, "note         it ends with this host: it could not be kept on disk");
    }
    for problem in &of.problems {
        let _ = writeln!(text, "  {}: {}", problem.number, harmless(&problem.reason));
    }
    text
}
