//! Bytes to a tree of values, with every limit applied on the way.
//!
//! JSON and YAML end in the same small tree, so that everything after it exists once. Manifests
//! come out of files that nobody has looked at yet: size, nesting and number of values are bounded
//! while they are read, YAML aliases are bounded by what they expand to, and no key appears twice.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{AliasLimits, DuplicateKeyPolicy, MergeKeyPolicy};

use crate::problem::{Problem, ProblemKind, shown};

/// Most bytes a manifest may have.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Most levels of objects and lists. Each costs the YAML reader up to 20 KiB of stack when it is
/// built without optimisation, and the thread that reads may have no more than 1 MiB.
pub const NESTING_MAX: usize = 32;
/// Most values, after YAML aliases are expanded.
pub const VALUES_MAX: usize = 16 * 1024;

/// How the bytes of a manifest are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON when the first character is `{`, YAML otherwise.
    #[default]
    Detect,
    /// JSON.
    Json,
    /// YAML 1.2, one document; `yes`, `no`, `on`, `off`, `y` and `n` are texts.
    Yaml,
}

/// One value of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order in which they were written; no key twice.
    Object(Vec<(String, Node)>),
}

/// Where the reader is: a list that lives on the stack, so that nothing is built unless it fails.
#[derive(Clone, Copy)]
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

/// What all levels of one reading share. The fault is kept here because the deserializer's own
/// error type cannot carry it.
#[derive(Default)]
struct Shared {
    values: Cell<usize>,
    fault: RefCell<Option<Problem>>,
}

/// Reads one value at one place.
#[derive(Clone, Copy)]
struct Seed<'a> {
    trail: &'a Trail<'a>,
    depth: usize,
    shared: &'a Shared,
}

struct Key;

/// Reads a manifest into a tree.
pub(crate) fn parse(bytes: &[u8], format: Format) -> Result<Node, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(Problem::new(
            ProblemKind::TooLarge,
            "",
            format!("it is {} bytes long and {MANIFEST_BYTES_MAX} are allowed", bytes.len()),
            "keep data in files of its own",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(
            ProblemKind::Syntax,
            "",
            format!("byte {} is not UTF-8", error.valid_up_to() + 1),
            "save the file as UTF-8",
        )
    })?;
    if text.trim().is_empty() {
        return Err(Problem::new(
            ProblemKind::Syntax,
            "",
            "it is empty",
            "write at least `name` and `version`",
        ));
    }
    let is_json = match format {
        Format::Json => true,
        Format::Yaml => false,
        Format::Detect => text.trim_start().starts_with('{'),
    };
    let shared = Shared::default();
    let seed = Seed { trail: &Trail::Root, depth: 0, shared: &shared };
    let read = if is_json { read_json(text, seed) } else { read_yaml(text, seed) };
    read.map_err(|syntax| shared.fault.take().unwrap_or(syntax))
}

fn read_json(text: &str, seed: Seed<'_>) -> Result<Node, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let node = seed.deserialize(&mut deserializer);
    node.and_then(|node| deserializer.end().map(|()| node)).map_err(|error| {
        let text = error.to_string();
        let remedy = "correct the JSON there (no comments, no comma after the last entry)";
        Problem::new(ProblemKind::Syntax, "", format!("not JSON: {text}"), remedy)
    })
}

fn read_yaml(text: &str, seed: Seed<'_>) -> Result<Node, Problem> {
    serde_saphyr::with_deserializer_from_str_with_options(text, yaml_options(), |deserializer| {
        seed.deserialize(deserializer)
    })
    .map_err(|error| {
        let text = error.render();
        let line = text.lines().next().unwrap_or_default();
        // The scanner runs ahead of us, so that it may be the one that meets too many brackets.
        if line.contains("recursion limit") {
            return Problem::new(ProblemKind::TooLarge, "", too_deep(), SHALLOWER);
        }
        Problem::new(
            ProblemKind::Syntax,
            "",
            format!("not YAML: {}", line.trim_start_matches("error: ")),
            "correct the YAML there (one document, spaces for indentation)",
        )
    })
}

const SHALLOWER: &str = "use fewer levels";

fn too_deep() -> String {
    format!("more than {NESTING_MAX} levels of objects and lists")
}

/// Limits above ours for what we check ourselves, so that our errors, which name the place, come
/// first; the limits on aliases are the library's alone.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: NESTING_MAX * 2,
            flow_nesting_limit: 1024,
            max_nodes: VALUES_MAX * 2,
            max_events: VALUES_MAX * 8,
            max_aliases: 64,
            max_anchors: 64,
            max_recorded_anchor_events: VALUES_MAX,
            max_recorded_anchor_bytes: MANIFEST_BYTES_MAX,
            max_total_scalar_bytes: MANIFEST_BYTES_MAX * 2,
            max_documents: 1,
        },
        alias_limits: alias_limits(),
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn alias_limits() -> AliasLimits {
    serde_saphyr::alias_limits! {
        max_total_replayed_events: VALUES_MAX,
        max_replay_stack_depth: 8,
        max_alias_expansions_per_anchor: 64,
    }
}

// === impl Node ===

impl Node {
    /// What the value is, for a person.
    pub(crate) fn describe(&self) -> String {
        match self {
            Node::Null => "nothing".into(),
            Node::Bool(value) => format!("the truth value {value}"),
            Node::Number(value) => format!("the number {value}"),
            Node::Text(value) => format!("the text {}", shown(value)),
            Node::List(_) => "a list".into(),
            Node::Object(_) => "an object".into(),
        }
    }

    /// The same as a JSON value.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(value) => Value::Number(value.clone()),
            Node::Text(value) => Value::String(value.clone()),
            Node::List(values) => Value::Array(values.iter().map(Node::to_value).collect()),
            Node::Object(entries) => Value::Object(object_value(entries)),
        }
    }

    /// The same from a JSON value.
    pub(crate) fn from_value(value: &Value) -> Node {
        match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(*value),
            Value::Number(value) => Node::Number(value.clone()),
            Value::String(value) => Node::Text(value.clone()),
            Value::Array(values) => Node::List(values.iter().map(Node::from_value).collect()),
            Value::Object(entries) => Node::Object(
                entries.iter().map(|(key, value)| (key.clone(), Node::from_value(value))).collect(),
            ),
        }
    }
}

/// The entries of an object as a JSON object.
pub(crate) fn object_value(entries: &[(String, Node)]) -> Map<String, Value> {
    entries.iter().map(|(key, node)| (key.clone(), node.to_value())).collect()
}

// === impl Trail ===

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Root => Ok(()),
            Trail::Key(Trail::Root, key) => f.write_str(key),
            Trail::Key(parent, key) => write!(f, "{parent}.{key}"),
            Trail::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

// === impl Seed ===

impl<'a> Seed<'a> {
    fn below<'b>(self, trail: &'b Trail<'b>) -> Seed<'b>
    where
        'a: 'b,
    {
        Seed { trail, depth: self.depth + 1, shared: self.shared }
    }

    /// Keeps the problem and returns an error that makes the deserializer stop.
    fn fail<E: de::Error>(self, kind: ProblemKind, problem: String, remedy: &str) -> E {
        // Only the beginning of a deep path says anything.
        let path: String = self.trail.to_string().chars().take(120).collect();
        *self.shared.fault.borrow_mut() = Some(Problem::new(kind, path, problem, remedy));
        E::custom("stopped")
    }

    fn check_depth<E: de::Error>(self) -> Result<(), E> {
        if self.depth < NESTING_MAX {
            return Ok(());
        }
        Err(self.fail(ProblemKind::TooLarge, too_deep(), SHALLOWER))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.shared.values.set(self.shared.values.get() + 1);
        if self.shared.values.get() > VALUES_MAX {
            let problem = format!("more than {VALUES_MAX} values");
            return Err(self.fail(ProblemKind::TooLarge, problem, "keep data in files of its own"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(Node::Number(number)),
            None => Err(self.fail(
                ProblemKind::Invalid,
                format!("{value} is not a number that can be stored"),
                "write a finite number",
            )),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.check_depth()?;
        let mut values = Vec::new();
        loop {
            let trail = Trail::Index(self.trail, values.len());
            match access.next_element_seed(self.below(&trail))? {
                Some(value) => values.push(value),
                None => return Ok(Node::List(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.check_depth()?;
        let mut entries = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = access.next_key_seed(Key)? {
            let trail = Trail::Key(self.trail, &key);
            let at = self.below(&trail);
            if !keys.insert(key.clone()) {
                let problem = "the key appears twice in one object".into();
                return Err(at.fail(ProblemKind::DuplicateKey, problem, "remove one of them"));
            }
            let value = access.next_value_seed(at)?;
            entries.push((key, value));
        }
        Ok(Node::Object(entries))
    }
}

// === impl Key ===

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_string(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a text")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<String, E> {
        Ok(value)
    }
}
