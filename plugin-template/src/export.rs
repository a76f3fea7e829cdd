//! `export_plugin!` and what it needs at compile time.

/// Exports a plugin from a library: the entry that the host looks for, and the note that it reads
/// before any code of the library runs. Once in a library, at the top level.
///
/// The manifest is a file (JSON or YAML), named relative to the source file, or given in place after
/// `manifest:`. It goes into the note as it is; name and version are read from it here, so that they
/// are said in one place only.
///
/// ```ignore
/// export_plugin!(Upper, "../manifest.json");
/// ```
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty, manifest: $text:expr $(,)?) => {
        $crate::export_plugin!(@export $plugin, ($text as &str).as_bytes());
    };
    ($plugin:ty, $path:literal $(,)?) => {
        $crate::export_plugin!(@export $plugin, include_bytes!($path));
    };
    (@export $plugin:ty, $manifest:expr) => {
        #[cfg(panic = "abort")]
        compile_error!(
            "a plugin must be built with `panic = \"unwind\"`: with `abort` a panic in it would end \
             the host"
        );

        const _: () = {
            const MANIFEST: &[u8] = $manifest;

            struct Identity;

            impl $crate::private::Identity for Identity {
                const NAME: &'static str = $crate::private::name(MANIFEST);
                const VERSION: &'static str = $crate::private::version(MANIFEST);
            }

            static TABLE: $crate::private::abi::Plugin =
                $crate::private::table::<$plugin, Identity>();

            #[used]
            #[cfg_attr(target_os = "linux", unsafe(link_section = ".note.patchbay"))]
            static NOTE: $crate::private::abi::Note<
                { $crate::private::abi::note::padded(MANIFEST.len()) },
            > = $crate::private::abi::Note::new(
                <$plugin as $crate::Plugin>::RUNTIME.flags(),
                MANIFEST,
            );

            #[unsafe(no_mangle)]
            extern "C" fn patchbay_plugin_v1() -> *const $crate::private::abi::Plugin {
                $crate::private::loaded();
                &TABLE
            }
        };
    };
}

/// Called when a host asks for the table.
pub fn loaded() {
    let _contained = crate::glue::panic::contain(crate::glue::panic::install_hook);
}

/// The name in a manifest, at compile time.
///
/// # Panics
/// When there is none.
#[must_use]
pub const fn name(manifest: &'static [u8]) -> &'static str {
    match member(manifest, b"name") {
        Some(name) => name,
        None => panic!("the manifest has no `name` at its top level"),
    }
}

/// The version in a manifest, at compile time.
///
/// # Panics
/// When there is none.
#[must_use]
pub const fn version(manifest: &'static [u8]) -> &'static str {
    match member(manifest, b"version") {
        Some(version) => version,
        None => panic!("the manifest has no `version` at its top level"),
    }
}

/// The text of a member at the top level.
const fn member(manifest: &'static [u8], name: &[u8]) -> Option<&'static str> {
    let first = skip_blank(manifest, 0);
    let range = if first < manifest.len() && manifest[first] == b'{' {
        json_member(manifest, first, name)
    } else {
        yaml_member(manifest, name)
    };
    let Some((from, to)) = range else { return None };
    let (_, rest) = manifest.split_at(from);
    let (text, _) = rest.split_at(to - from);
    match std::str::from_utf8(text) {
        Ok(text) => Some(text),
        Err(_) => panic!("the manifest is not UTF-8"),
    }
}

/// Where the text of a member of a JSON object is.
const fn json_member(json: &[u8], open: usize, name: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut depth) = (open, 0);
    // Whether the next string is a name: after `{` and `,` of the outermost object.
    let mut is_name = false;
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => {
                depth += 1;
                is_name = depth == 1;
            }
            b'}' | b']' => depth -= 1,
            b',' => is_name = depth == 1,
            b'"' => {
                let end = json_string_end(json, at);
                if is_name && equals(json, at + 1, end, name) {
                    let colon = skip_blank(json, end + 1);
                    let value = skip_blank(json, colon + 1);
                    assert!(
                        value < json.len() && json[colon] == b':' && json[value] == b'"',
                        "`name` and `version` of the manifest must be texts"
                    );
                    return Some((value + 1, json_string_end(json, value)));
                }
                is_name = false;
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the closing quote is of the string that opens at `open`.
const fn json_string_end(json: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < json.len() {
        match json[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    panic!("the manifest has a string without an end")
}

/// Where the text of a line `name: text` is that begins at the margin.
const fn yaml_member(yaml: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let mut line = 0;
    while line < yaml.len() {
        let mut end = line;
        while end < yaml.len() && yaml[end] != b'\n' && yaml[end] != b'\r' {
            end += 1;
        }
        let colon = line + name.len();
        if colon < end && yaml[colon] == b':' && equals(yaml, line, colon, name) {
            return Some(yaml_scalar(yaml, colon + 1, end));
        }
        line = end + 1;
    }
    None
}

/// The plain or quoted scalar between two places of a line, without blanks and comment.
const fn yaml_scalar(yaml: &[u8], mut from: usize, end: usize) -> (usize, usize) {
    while from < end && is_blank(yaml[from]) {
        from += 1;
    }
    if from < end && (yaml[from] == b'"' || yaml[from] == b'\'') {
        let quote = yaml[from];
        let mut to = from + 1;
        while to < end && yaml[to] != quote {
            to += 1;
        }
        assert!(to < end, "the manifest has a string without an end");
        return (from + 1, to);
    }
    let mut to = from;
    while to < end && !(yaml[to] == b'#' && to > from && is_blank(yaml[to - 1])) {
        to += 1;
    }
    while to > from && is_blank(yaml[to - 1]) {
        to -= 1;
    }
    assert!(to > from, "`name` and `version` of the manifest must be texts");
    (from, to)
}

const fn equals(text: &[u8], from: usize, to: usize, other: &[u8]) -> bool {
    if to - from != other.len() {
        return false;
    }
    let mut i = 0;
    while i < other.len() {
        if text[from + i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn skip_blank(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_blank(text[at]) {
        at += 1;
    }
    at
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &'static str, wanted: (&str, &str)) {
        assert_eq!((name(manifest.as_bytes()), version(manifest.as_bytes())), wanted);
    }

    #[test]
    fn name_and_version_are_read_from_the_top_level_of_json() {
        check(r#"{"name":"a","version":"1.0.0"}"#, ("a", "1.0.0"));
        check(
            r#" { "config": {"name": "no", "list": [{"version": "no"}]}, "description": "\"name\": {",
                "version" : "2.0.0-rc.1", "tags": ["name", "version"], "name": "b_c" }"#,
            ("b_c", "2.0.0-rc.1"),
        );
    }

    #[test]
    fn name_and_version_are_read_from_the_margin_of_yaml() {
        check("# a\nname: a\nversion: 1.0.0 # not 2\n", ("a", "1.0.0"));
        check("config:\n  name: no\nversion: \"1.0.0\"\r\nname: 'b#c'\r\n", ("b#c", "1.0.0"));
    }

    #[test]
    #[should_panic(expected = "no `version`")]
    fn a_manifest_without_a_version_does_not_compile() {
        let _version = version(b"{\"name\": \"a\"}");
    }
}
