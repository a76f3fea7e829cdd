//! The command line as it is typed.
//!
//! These types hold what clap can know; what needs the world (is this a terminal, what do the
//! settings say) is decided later, in [`Context`](crate::context::Context).

mod bus;
mod dlq;
mod host;
mod journal;
mod operation;
mod plugin;
mod transition;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use patchbay_wire::{Topic, TopicPattern};
use uuid::Uuid;

pub(crate) use self::{
    bus::{LevelArg, PublishArgs, RequestArgs, SubscribeArgs, TopicVerb},
    dlq::{DlqVerb, FilterArgs, WorkArgs},
    host::{CompletionsArgs, ConfigVerb, LogFormat, ShutdownArgs, UpArgs, WaitArgs},
    journal::JournalVerb,
    operation::OperationVerb,
    plugin::{
        ActivateArgs, AttachArgs, BuildArgs, CheckArgs, LogsArgs, NewArgs, PluginVerb, PurgeArgs,
        Template,
    },
    transition::{AskArgs, ListArgs, StartArgs, StatusArgs, TransitionVerb},
};

const ABOUT: &str = "\
Runs plugins on a message bus, and speaks to the host that runs them.

A plugin is a library in plugins/libraries/. A link in plugins/enabled/ activates it. The host
loads it, hands it the messages of the topics it subscribes to, and replaces it while messages
flow when the link or the library changes.";

const EXAMPLES: &str = "\
Examples:
  patchbay up                                     run the host in this folder
  patchbay wait                                   return when it is ready
  patchbay plugin new greeter                     begin a plugin in plugins/workshop/greeter
  patchbay plugin build greeter                   build it into plugins/libraries/development
  patchbay plugin activate greeter                run it
  patchbay subscribe 'greetings.>'                watch messages pass
  patchbay publish greetings.hello '{\"name\": \"Ada\"}'
  patchbay plugin list                            what runs, and why something does not
  patchbay ledger                                 where every message is

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no host answers, 4 refused by a rule.
`up` ends with 0 after an orderly stop, 3 when its deadline was hit, 73 when another host has
the folder, 78 when the journal is damaged and may not be used so, 130 after a second signal.";

/// Instants are typed up to the year 2500.
const FAR: Duration = Duration::from_secs(16_725_225_600);

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "patchbay", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true)]
pub(crate) struct Typed {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder with patchbay.yaml, plugins/, data/ and run/patchbay.sock
    #[arg(long, global = true, env = "PATCHBAY_HOME", value_name = "DIR", default_value = ".")]
    pub(crate) home: PathBuf,

    /// How to print [default: table on a terminal, else json]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<OutputFormat>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For reading
    Table,
    /// For programs: one JSON document, or one a line where results keep coming
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the host in the foreground
    Up(UpArgs),
    /// Return when the host, or a plugin, is there
    Wait(WaitArgs),
    /// Show the host in one page
    Status,
    /// End the running host in an orderly way
    Shutdown(ShutdownArgs),
    /// Publish messages
    Publish(PublishArgs),
    /// Show messages as they pass
    Subscribe(SubscribeArgs),
    /// Publish a message and print the reply
    Request(RequestArgs),
    /// Make, build, activate and operate plugins
    #[command(subcommand)]
    Plugin(PluginVerb),
    /// Replace a running plugin by another version, and watch, pause, promote or undo that
    #[command(subcommand)]
    Transition(TransitionVerb),
    /// Show topics and who listens
    #[command(subcommand)]
    Topic(TopicVerb),
    /// Show where the messages of every subscription are
    Ledger,
    /// Tell the life of one message
    #[command(after_help = "\
Examples:
  patchbay explain 0198c0de-0000-7000-8000-000000000001

`publish` prints the id, as do `subscribe` and `dlq list`. A message in memory is known until it is
settled; a durable one leaves records in the journal, which are kept for some time.")]
    Explain {
        /// Id of the message
        mid: Uuid,
    },
    /// Show dead letters, messages that are not tried any more; send them back, or delete them
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Look at work on many dead letters that goes on by itself, also over a restart of the host
    #[command(subcommand)]
    Operation(OperationVerb),
    /// Look at the journal of durable messages
    #[command(subcommand)]
    Journal(JournalVerb),
    /// Read and check the settings
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Look for what could keep the host or its plugins from working
    Doctor,
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

/// A concrete topic, checked where it is typed.
pub(crate) fn topic(text: &str) -> Result<Topic, String> {
    Topic::parse(text).map_err(|error| told(&error))
}

/// A topic pattern, checked where it is typed.
pub(crate) fn pattern(text: &str) -> Result<TopicPattern, String> {
    TopicPattern::parse(text).map_err(|error| told(&error))
}

/// A duration with a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a duration such as `5s`, `250ms` or `2m`"))
}

/// An instant, as RFC 3339 or as a duration before now; told in RFC 3339.
pub(crate) fn past(text: &str) -> Result<String, String> {
    instant(text, |now, duration| now.checked_sub(duration))
}

/// An instant, as RFC 3339 or as a duration after now; told in RFC 3339.
pub(crate) fn future(text: &str) -> Result<String, String> {
    instant(text, |now, duration| now.checked_add(duration))
}

fn instant(
    text: &str,
    from_now: impl FnOnce(SystemTime, Duration) -> Option<SystemTime>,
) -> Result<String, String> {
    let at = match (humantime::parse_rfc3339_weak(text), humantime::parse_duration(text)) {
        (Ok(at), _) => Some(at),
        (_, Ok(duration)) => from_now(SystemTime::now(), duration),
        _ => return Err("write a time as `2026-01-31T12:00:00Z`, or as `2h` from now".to_owned()),
    };
    let in_range = at.filter(|at| at.duration_since(UNIX_EPOCH).is_ok_and(|it| it < FAR));
    let at = in_range.ok_or("it is out of range")?;
    Ok(humantime::format_rfc3339_nanos(at).to_string())
}

/// `name=value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a header as `name=value`".to_owned()),
    }
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Typed::command().debug_assert();
    }

    #[test]
    fn every_verb_that_takes_something_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for sub in command.get_subcommands() {
                check(sub, &path);
            }
            let takes = command.get_positionals().next().is_some();
            if takes && !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:"), "`{path}` has no example");
            }
        }
        check(&Typed::command(), "");
    }

    #[test]
    fn topics_durations_and_headers_are_checked_where_they_are_typed() {
        assert!(topic("a..b").is_err());
        assert!(pattern("a.#").is_err_and(|error| error.contains('>')));
        assert!(duration("5").is_err_and(|error| error.contains("5s")));
        assert_eq!(header("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(header("=b").is_err());
        assert_eq!(past("2026-01-31T12:00:00Z"), Ok("2026-01-31T12:00:00.000000000Z".into()));
        assert!(past("2h").is_ok_and(|past| future("2h").is_ok_and(|future| past < future)));
        assert!(past("soon").is_err_and(|error| error.contains("2h")));
        assert!(past("9000y").is_err() && future("9000y").is_err());
    }

    /// The commands that a page shows: after a prompt, at the beginning of a line, or in backticks.
    fn commands(page: &str) -> Vec<Vec<String>> {
        let lines = page.lines().map(|line| line.trim_start_matches("$ "));
        let shown = lines.filter(|line| line.starts_with("patchbay "));
        let inline =
            page.split('`').skip(1).step_by(2).filter(|text| text.starts_with("patchbay "));
        shown.chain(inline).map(words).collect()
    }

    /// The words of a command, up to what is the shell's.
    fn words(command: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let (mut quoted, mut last) = (false, ' ');
        for letter in command.chars() {
            match letter {
                '\'' => quoted = !quoted,
                '#' | '&' | '|' | '>' | '<' if !quoted && last == ' ' => break,
                ' ' if !quoted => words.push(String::new()),
                letter => {
                    let last = words.len() - 1;
                    words[last].push(letter);
                }
            }
            last = letter;
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_command_that_the_pages_show_exists() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut seen = 0;
        for page in ["README.md", "plugin-template/README.md"] {
            let text = std::fs::read_to_string(root.join(page)).unwrap_or_default();
            for command in commands(&text) {
                if command.iter().any(|word| word == "VERB" || word == "…") {
                    continue;
                }
                seen += 1;
                if let Err(error) = Typed::try_parse_from(&command) {
                    let fine = matches!(
                        error.kind(),
                        clap::error::ErrorKind::DisplayHelp
                            | clap::error::ErrorKind::DisplayVersion
                            | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    );
                    assert!(fine, "{page} shows {command:?}: {error}");
                }
            }
        }
        assert!(seen >= 3, "only {seen} commands were found");
    }
}
