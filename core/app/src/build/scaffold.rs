//! `patchbay plugin new`: a starter, under the plugin's own name.

mod starters {
    include!(concat!(env!("OUT_DIR"), "/starters.rs"));
}

use std::{
    fs,
    path::{Path, PathBuf},
};

use patchbay_manifest::PluginName;
use serde::Serialize;

use super::sdk;
use crate::{
    args::{NewArgs, Template},
    context::Context,
    failure::Failure,
};

/// The name that the starters carry, as a plugin and as a type.
const NAME: &str = "my_plugin";
const TYPE: &str = "MyPlugin";
/// Where the path of the kit belongs.
const KIT: &str = "@SDK@";

#[derive(Debug, Serialize)]
struct Begun {
    name: String,
    folder: PathBuf,
    files: Vec<String>,
}

/// Writes a starter into a new folder.
pub(crate) fn scaffold(context: &Context, args: &NewArgs) -> Result<(), Failure> {
    let name = &args.name;
    if !name.as_str().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(Failure::usage(format!("`{name}` cannot be the name of a new plugin"))
            .cause("it does not begin with a letter, so no crate and no type can have it")
            .hint(format!("call it `p{name}`")));
    }
    let folder = match &args.dir {
        Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
        None => context.home.workshop().join(name.as_str()),
    };
    // A plugin in C needs one header and no path; one in Rust the path of the kit.
    let (starter, header, kit) = match args.template {
        Template::Rust => {
            (starters::RUST, None, sdk::kit(args.sdk.as_deref())?.display().to_string())
        }
        Template::C => (starters::C, Some(("patchbay.h", sdk::HEADER)), String::new()),
    };
    if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::failed(format!("`{}` is there and not empty", folder.display()))
            .hint("choose another name, or another folder with --dir"));
    }
    let mut files = Vec::new();
    for (file, content) in starter {
        let file = filled(file.strip_suffix(".in").unwrap_or(file), name, &kit);
        write(&folder.join(&file), &filled(content, name, &kit))?;
        files.push(file);
    }
    if let Some((file, content)) = header {
        write(&folder.join(file), content)?;
        files.push(file.to_owned());
    }
    let begun = Begun { name: name.to_string(), folder, files };
    context.output.show(&begun, |begun| {
        let dir = match args.dir {
            Some(_) => format!(" --dir {}", begun.folder.display()),
            None => String::new(),
        };
        format!(
            "began {name} in {}\n  {}\nnext:\n  patchbay plugin build {name}{dir}\n  \
             patchbay plugin activate {name}",
            begun.folder.display(),
            begun.files.join("\n  "),
        )
    })
}

fn write(file: &Path, content: &str) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).and_then(|()| fs::write(file, content)).map_err(|error| {
        Failure::failed(format!("cannot write `{}`", file.display())).because(&error)
    })
}

/// A starter's text under the plugin's name.
fn filled(text: &str, name: &PluginName, kit: &str) -> String {
    text.replace(NAME, name.as_str()).replace(TYPE, &camel_case(name.as_str())).replace(KIT, kit)
}

/// `my_first-plugin` as a type: `MyFirstPlugin`.
fn camel_case(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split(['_', '-']).map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starter_takes_the_plugins_name() {
        let name = PluginName::parse("word-count_2").expect("a name");
        let text = filled("my_plugin: struct MyPlugin; path = \"@SDK@\"", &name, "/kit");
        assert_eq!(text, "word-count_2: struct WordCount2; path = \"/kit\"");
    }
}
