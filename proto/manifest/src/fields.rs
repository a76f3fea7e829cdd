//! Reading an object key by key.
//!
//! [`Fields`] knows where it is and which keys were asked for, so that at the end every other key
//! is a mistake, with the nearest known name as the suggestion. Readers return `None` after they
//! reported a problem; their callers go on with the next key.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use crate::{
    node::Node,
    problem::{Problem, ProblemKind, Report, shown},
    quantity::{self, show_duration},
};

/// Keys that start with this are for other tools and mean nothing here.
const FOREIGN_PREFIX: &str = "x-";
/// Least similarity, of 1, at which a name is suggested.
const SIMILARITY_MIN: f64 = 0.7;

/// One value, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    pub(crate) path: String,
    pub(crate) node: &'a Node,
}

/// An object that is being read.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'r> {
    path: String,
    entries: &'a [(String, Node)],
    asked: Vec<&'static str>,
    pub(crate) report: &'r mut Report,
}

// === impl Fields ===

impl<'a> Fields<'a, '_> {
    /// The path of a key of this object.
    pub(crate) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Reads a key, when it is there.
    pub(crate) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(At<'a>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(key);
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        read(At { path: self.path_of(key), node }, self.report)
    }

    /// Reads a key that has two spellings, of which only one may be there.
    pub(crate) fn get_either<T>(
        &mut self,
        keys: [&'static str; 2],
        mut read: impl FnMut(At<'a>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        let [first, second] = keys;
        let value = self.get(first, &mut read);
        let other = self.get(second, &mut read);
        if self.has(first) && self.has(second) {
            self.report.problem(Problem::new(
                ProblemKind::DuplicateKey,
                self.path_of(second),
                format!("means the same as `{first}`, and both are there"),
                "remove one of them",
            ));
        }
        value.or(other)
    }

    /// Whether the key is there, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Reports a key that must be there and is not.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) {
        if !self.has(key) {
            let path = self.path_of(key);
            let remedy = format!("add it, for example `{key}: {example}`");
            self.report.problem(Problem::new(ProblemKind::Missing, path, "is missing", remedy));
        }
    }

    /// The keys that are for other tools.
    pub(crate) fn foreign(&self) -> Map<String, Value> {
        let foreign = self.entries.iter().filter(|(key, _)| key.starts_with(FOREIGN_PREFIX));
        foreign.map(|(key, node)| (key.clone(), node.to_value())).collect()
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.entries {
            if self.asked.contains(&key.as_str()) || key.starts_with(FOREIGN_PREFIX) {
                continue;
            }
            let path = self.path_of(&key.chars().take(64).collect::<String>());
            let remedy = match nearest(key, &self.asked) {
                Some(name) => format!("did you mean `{name}`?"),
                None if self.asked.len() <= 12 => format!("known keys are {}", listed(&self.asked)),
                None => "remove it, or begin it with `x-` when it is for another tool".into(),
            };
            let problem = "is not a known key";
            self.report.problem(Problem::new(ProblemKind::UnknownKey, path, problem, remedy));
        }
    }
}

// === impl At ===

impl<'a> At<'a> {
    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type<T>(&self, wanted: &str, report: &mut Report) -> Option<T> {
        let problem = format!("{wanted} is expected, and this is {}", self.node.describe());
        let remedy = match (self.node, wanted.starts_with("a text")) {
            (Node::Number(_) | Node::Bool(_), true) => "put it in double quotes".to_owned(),
            (Node::Null, _) => "give it a value, or remove the key".to_owned(),
            _ => format!("write {wanted}"),
        };
        report.problem(Problem::new(ProblemKind::WrongType, &self.path, problem, remedy));
        None
    }

    /// Reports a value of the right type that makes no sense.
    pub(crate) fn invalid<T>(
        &self,
        problem: impl Into<String>,
        remedy: impl Into<String>,
        report: &mut Report,
    ) -> Option<T> {
        report.problem(Problem::new(ProblemKind::Invalid, &self.path, problem, remedy));
        None
    }

    /// An object.
    pub(crate) fn fields<'r>(self, report: &'r mut Report) -> Option<Fields<'a, 'r>> {
        match self.node {
            Node::Object(entries) => {
                Some(Fields { path: self.path, entries, asked: Vec::new(), report })
            }
            _ => self.wrong_type("an object", report),
        }
    }

    /// The entries of a list, each with its place.
    pub(crate) fn list(self, report: &mut Report) -> Option<Vec<At<'a>>> {
        let Node::List(values) = self.node else { return self.wrong_type("a list", report) };
        let at = |(index, node)| At { path: format!("{}[{index}]", self.path), node };
        Some(values.iter().enumerate().map(at).collect())
    }

    /// A text as it is.
    pub(crate) fn text(&self, report: &mut Report) -> Option<&'a str> {
        match self.node {
            Node::Text(text) => Some(text),
            _ => self.wrong_type("a text", report),
        }
    }

    /// A text for people: not empty, of at most `bytes_max` bytes, without control characters
    /// other than line breaks and tabs.
    pub(crate) fn prose(&self, bytes_max: usize, report: &mut Report) -> Option<String> {
        let text = self.text(report)?;
        if text.trim().is_empty() {
            return self.invalid("the text is empty", "write something or remove the key", report);
        }
        if text.len() > bytes_max {
            let problem = format!("the text is {} bytes long", text.len());
            return self.invalid(problem, format!("keep it below {bytes_max} bytes"), report);
        }
        match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            None => Some(text.to_owned()),
            Some(found) => {
                let problem = format!("contains the control character {}", found.escape_unicode());
                self.invalid(problem, "remove it", report)
            }
        }
    }

    /// A truth value.
    pub(crate) fn flag(&self, report: &mut Report) -> Option<bool> {
        match self.node {
            Node::Bool(value) => Some(*value),
            _ => self.wrong_type("`true` or `false`", report),
        }
    }

    /// A whole number within a range.
    pub(crate) fn count(&self, range: RangeInclusive<u32>, report: &mut Report) -> Option<u32> {
        let Node::Number(number) = self.node else {
            return self.wrong_type("a whole number", report);
        };
        let value = number.as_u64().and_then(|value| u32::try_from(value).ok());
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ => {
                let (low, high) = (range.start(), range.end());
                let remedy = format!("write a whole number from {low} to {high}");
                self.invalid(format!("{number} is out of range"), remedy, report)
            }
        }
    }

    /// A share above 0, up to 1.
    pub(crate) fn share(&self, report: &mut Report) -> Option<f64> {
        let Node::Number(number) = self.node else {
            return self.wrong_type("a number above 0, up to 1", report);
        };
        match number.as_f64() {
            Some(value) if value > 0.0 && value <= 1.0 => Some(value),
            _ => {
                let problem = format!("{number} is out of range");
                self.invalid(problem, "write a number above 0, up to 1, such as 0.7", report)
            }
        }
    }

    /// A length of time with its unit, within a range.
    pub(crate) fn duration(
        &self,
        range: RangeInclusive<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        let text = match self.node {
            Node::Text(text) => text,
            Node::Number(number) => {
                let problem = format!("{number} has no unit");
                let remedy = format!("write for example `\"{number}s\"` or `\"{number}ms\"`");
                return self.invalid(problem, remedy, report);
            }
            _ => return self.wrong_type("a text with a length of time", report),
        };
        match quantity::parse_duration(text) {
            Some(value) if range.contains(&value) => Some(value),
            Some(_) => {
                let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
                let problem = format!("{} is out of range", shown(text));
                self.invalid(problem, format!("write something from {low} to {high}"), report)
            }
            None => {
                let problem = format!("{} is not a length of time", shown(text));
                self.invalid(problem, "write a number and a unit, such as `30s` or `5m`", report)
            }
        }
    }

    /// A number of bytes, as a number or with a binary unit, within a range.
    pub(crate) fn bytes(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let (value, what) = match self.node {
            Node::Text(text) => (quantity::parse_bytes(text), shown(text)),
            Node::Number(number) => (number.as_u64(), number.to_string()),
            _ => return self.wrong_type("a size such as `64MiB`", report),
        };
        match value {
            Some(value) if range.contains(&value) => Some(value),
            Some(_) => {
                let low = quantity::show_bytes(*range.start());
                let high = quantity::show_bytes(*range.end());
                let remedy = format!("write something from {low} to {high}");
                self.invalid(format!("{what} is out of range"), remedy, report)
            }
            None => {
                let remedy = "write a whole number and B, KiB, MiB or GiB, such as `64MiB`";
                self.invalid(format!("{what} is not a size"), remedy, report)
            }
        }
    }

    /// One of some words; `-` and `_` are the same. Words after the first of each value are
    /// other names for it, which no message offers.
    pub(crate) fn choice<T: Copy>(
        &self,
        words: &[(&'static [&'static str], T)],
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(report)?;
        let plain = text.to_ascii_lowercase().replace('-', "_");
        let is_it = |word: &&str| word.replace('-', "_") == plain;
        let found = words.iter().find(|(names, _)| names.iter().any(is_it));
        match found {
            Some((_, value)) => Some(*value),
            None => {
                let firsts: Vec<&'static str> =
                    words.iter().filter_map(|(names, _)| names.first().copied()).collect();
                let problem = format!("{} is not known here", shown(text));
                self.invalid(problem, format!("write one of {}", listed(&firsts)), report)
            }
        }
    }
}

/// The known name that looks most like a given one, if any does.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // Comparing is quadratic in the length, and no key is that long.
    if name.len() > 64 {
        return None;
    }
    let plain = name.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&plain, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Words as a list for a person.
fn listed(words: &[&'static str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
