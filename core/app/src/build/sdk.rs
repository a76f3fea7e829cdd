//! The author's kit: where a new plugin finds what it is built upon.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The C header of the contract, as of the build of this program.
pub(super) const HEADER: &str = include_str!("../../../../proto/abi/include/patchbay.h");

/// A folder that holds `patchbay.h`; a temporary one is removed with it.
#[derive(Debug)]
pub(super) struct Header {
    folder: PathBuf,
    temporary: bool,
}

/// The folder of the Rust kit: the one that is named, else that of the repository this program was
/// built from.
pub(super) fn kit(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named_or_built = named.unwrap_or(&built_from);
    let found = [named_or_built.to_owned(), named_or_built.join("plugin-template")]
        .into_iter()
        .find(|folder| is_kit(folder))
        .and_then(|folder| fs::canonicalize(folder).ok());
    found.ok_or_else(|| {
        let place = named_or_built.display();
        let failure = match named {
            Some(_) => Failure::failed(format!("`{place}` is not the author's kit")),
            None => Failure::failed("the author's kit is not where this program was built")
                .cause(format!("there is no plugin-template in `{place}`")),
        };
        failure.hint(
            "name the folder plugin-template of the Patchbay repository, or the repository, with \
             --sdk DIR or PATCHBAY_SDK",
        )
    })
}

fn is_kit(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "name = \"patchbay-plugin\""))
}

// === impl Header ===

impl Header {
    /// The header of the kit that is named, else a copy of the one that came with this program.
    pub(super) fn place(named: Option<&Path>) -> Result<Header, Failure> {
        if let Some(sdk) = named {
            let places = [sdk.join("proto/abi/include"), sdk.join("../proto/abi/include")];
            let found = places.into_iter().find(|folder| folder.join("patchbay.h").is_file());
            return found.map(|folder| Header { folder, temporary: false }).ok_or_else(|| {
                Failure::failed(format!("`{}` has no proto/abi/include/patchbay.h", sdk.display()))
                    .hint("name the Patchbay repository, or leave --sdk and PATCHBAY_SDK away")
            });
        }
        let folder = std::env::temp_dir().join(format!("patchbay-header-{}", std::process::id()));
        let header = Header { folder, temporary: true };
        fs::create_dir_all(&header.folder)
            .and_then(|()| fs::write(header.folder.join("patchbay.h"), HEADER))
            .map_err(|error| {
                Failure::failed(format!("cannot write into `{}`", header.folder.display()))
                    .because(&error)
            })?;
        Ok(header)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed from the temporary folder the system removes.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_is_found_by_its_own_folder_and_by_the_repositorys() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let kit_itself = fs::canonicalize(repository.join("plugin-template")).expect("the kit");
        assert_eq!(kit(None).expect("the kit"), kit_itself);
        assert_eq!(kit(Some(&repository)).expect("the kit"), kit_itself);
        assert_eq!(kit(Some(&kit_itself)).expect("the kit"), kit_itself);
        let folder = tempfile::tempdir().expect("a folder");
        assert!(kit(Some(folder.path())).expect_err("refused").text().contains("--sdk"));
    }

    #[test]
    fn a_copy_of_the_header_is_gone_when_it_is_not_needed_any_more() {
        let header = Header::place(None).expect("a header");
        let folder = header.folder().to_owned();
        assert!(folder.join("patchbay.h").is_file());
        drop(header);
        assert!(!folder.exists());
    }
}
