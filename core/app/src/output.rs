//! Results on the standard output: a table for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, TableStyle};
use serde::Serialize;

use crate::{args::OutputFormat, failure::Failure};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: OutputFormat,
    asked: bool,
}

/// Rows below a heading.
#[derive(Debug)]
pub(crate) struct Rows(Table);

// === impl Output ===

impl Output {
    /// As asked for; else for people when the standard output is a terminal.
    pub(crate) fn new(asked: Option<OutputFormat>) -> Output {
        let format = asked.unwrap_or_else(|| {
            if io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json }
        });
        Output { format, asked: asked.is_some() }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether JSON was asked for by name.
    pub(crate) fn is_asked_for_json(self) -> bool {
        self.asked && self.is_json()
    }

    /// Prints one result: as it is, or as `human` tells it.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Json => print(&to_json(value, serde_json::to_string_pretty)?),
            OutputFormat::Table => print(&human(value)),
        }
    }

    /// Prints one of many results as they come, each on a line of its own.
    pub(crate) fn show_line<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Json => print(&to_json(value, serde_json::to_string)?),
            OutputFormat::Table => print(&human(value)),
        }
    }
}

fn to_json<T: Serialize>(
    value: &T,
    write: fn(&T) -> serde_json::Result<String>,
) -> Result<String, Failure> {
    write(value).map_err(|error| Failure::failed("cannot write the result").because(&error))
}

/// Prints text, with a line end if it has none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints bytes, with a line end if they have none.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| if bytes.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Tells something that is no result, on the standard error output.
pub(crate) fn note(text: &str) {
    // Nobody can be told that nobody can be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Makes text of others safe for a terminal: control characters are shown, not sent.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

// === impl Rows ===

impl Rows {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Rows {
        let mut table = Table::new();
        table.load_style(TableStyle::new());
        table.set_header(heading);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Rows(table)
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.map(|cell| harmless(&cell)));
    }

    /// The table, or `none` in words when it has no rows.
    pub(crate) fn text(&self, none: &str) -> String {
        if self.0.is_empty() {
            return none.to_owned();
        }
        let lines: Vec<String> = self.0.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_below_their_heading() {
        let mut rows = Rows::new(["NAME", "STATE"]);
        assert_eq!(rows.text("nothing here"), "nothing here");
        rows.row(["echo".into(), "run\u{1b}[2Jning".into()]);
        rows.row(["a".into(), "failed".into()]);
        let text = rows.text("nothing here");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("STATE").expect("a heading");
        assert_eq!(lines[1].find("run"), Some(column), "{text}");
        assert_eq!(lines[2].find("failed"), Some(column), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
