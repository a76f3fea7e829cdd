//! Folders of the checkout that is under test.

use std::path::{Path, PathBuf};

/// Root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// Folder of the headers that C fixtures share.
#[must_use]
pub fn fixture_include() -> PathBuf {
    root().join("core/testkit/include")
}

/// Folder of the contract's C header.
#[must_use]
pub fn c_include() -> PathBuf {
    root().join("proto/abi/include")
}
