//! `include/layout.def`, read.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// What the table says, by Rust name.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Size and alignment.
    pub(crate) structs: BTreeMap<String, (usize, usize)>,
    /// Offset and size, by struct and field.
    pub(crate) fields: BTreeMap<(String, String), (usize, usize)>,
    pub(crate) values: BTreeMap<String, i64>,
}

/// The folder of the C header.
pub(crate) fn include() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("include")
}

pub(crate) fn read() -> Layout {
    let text = fs::read_to_string(include().join("layout.def")).unwrap();
    let mut layout = Layout::default();
    let entries = text.split("*/").nth(1).unwrap().lines().filter(|line| !line.is_empty());
    for entry in entries {
        let (kind, rest) = entry.split_once('(').unwrap();
        let args: Vec<&str> = rest.strip_suffix(')').unwrap().split(", ").collect();
        let number = |at: usize| args[at].parse::<i64>().unwrap();
        let size = |at: usize| usize::try_from(number(at)).unwrap();
        let name = args[1].to_owned();
        let twice = match kind {
            "PB_STRUCT" => layout.structs.insert(name, (size(2), size(3))).is_some(),
            "PB_FIELD" => {
                let field = (name, args[3].to_owned());
                layout.fields.insert(field, (size(4), size(5))).is_some()
            }
            "PB_VALUE" => layout.values.insert(name, number(2)).is_some(),
            other => panic!("layout.def has an entry {other}"),
        };
        assert!(!twice, "layout.def says twice: {entry}");
    }
    layout
}
