//! What can be wrong with a manifest, and how it is told.
//!
//! A manifest is written by a person who would rather hear of all mistakes at once: reading goes on
//! after the first problem, up to a limit. Each problem has a place (`subscriptions[1].order`), a
//! sentence about it, and a sentence on what to do.

use std::fmt;

/// Most problems that one reading reports; what follows is only counted.
pub const PROBLEMS_MAX: usize = 32;

/// Everything that is wrong with one manifest: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    omitted: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}; {remedy}", place(path))]
pub struct Problem {
    /// What sort of mistake it is.
    pub kind: ProblemKind,
    /// Where: keys with dots, list positions in brackets from 0; empty for the whole manifest.
    pub path: String,
    /// What is wrong, with the offending value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Sorts of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// More bytes, values or levels than a manifest may have.
    TooLarge,
    /// Not UTF-8, or neither well-formed JSON nor YAML.
    Syntax,
    /// A key twice in one object.
    DuplicateKey,
    /// A key that means nothing.
    UnknownKey,
    /// A key that must be there.
    Missing,
    /// A number where a text belongs, and so on.
    WrongType,
    /// The right type, but not a value that makes sense here.
    Invalid,
    /// Two values that each make sense, but not together.
    Conflict,
}

/// Something that is allowed but probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", place(path))]
pub struct Warning {
    /// Where, as in [`Problem::path`].
    pub path: String,
    /// What is odd, and what to write instead.
    pub text: String,
}

/// Collects while a manifest is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    omitted: usize,
    warnings: Vec<Warning>,
}

// === impl ManifestError ===

impl ManifestError {
    /// The problems, in the order in which they were found; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ManifestError {
    fn from(problem: Problem) -> ManifestError {
        ManifestError { problems: vec![problem], omitted: 0 }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("manifest: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\nmanifest: ")?;
            }
            problem.fmt(f)?;
        }
        match self.omitted {
            0 => Ok(()),
            more => write!(f, "\nmanifest: {more} more problems"),
        }
    }
}

impl std::error::Error for ManifestError {}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(
        kind: ProblemKind,
        path: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        let [path, problem, remedy] = [path.into(), problem.into(), remedy.into()].map(printable);
        Problem { kind, path, problem, remedy }
    }
}

/// How an empty path is shown.
fn place(path: &str) -> String {
    match path {
        "" => "top level".into(),
        path => format!("`{path}`"),
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn warn(&mut self, path: impl Into<String>, text: impl Into<String>) {
        if self.warnings.len() < PROBLEMS_MAX {
            let [path, text] = [path.into(), text.into()].map(printable);
            self.warnings.push(Warning { path, text });
        }
    }

    /// The value with its warnings, when nothing was wrong with it.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Warning>), ManifestError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.warnings)),
            _ => Err(ManifestError { problems: self.problems, omitted: self.omitted }),
        }
    }
}

/// A text without anything that a terminal would obey.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() {
            true => out.extend(c.escape_debug()),
            false => out.push(c),
        }
    }
    out
}

/// A text from the manifest as errors show it: escaped, and short.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 48;
    let mut chars = text.chars();
    let mut out = String::from("`");
    out.extend(chars.by_ref().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug));
    if chars.next().is_some() {
        out.push('…');
    }
    out.push('`');
    out
}
