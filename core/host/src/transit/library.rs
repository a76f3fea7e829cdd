//! The version to go back to, kept as a file: bytes, and the settings that it ran with.
//!
//! The link leads to the new library while a transition runs, and the old one's file may be
//! overwritten at any time. A host that dies must be able to serve the old version all the same.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use patchbay_lifecycle::PluginName;

use crate::{
    context::Context,
    records::replace_file,
    settings::{PluginSettings, Settings},
    watch::prepared::Prepared,
};

/// The file of the library that is kept for a plugin.
fn library_of(settings: &Settings, name: &PluginName) -> PathBuf {
    super::folder(settings).join(format!("{name}.so"))
}

fn settings_of(settings: &Settings, name: &PluginName) -> PathBuf {
    super::folder(settings).join(format!("{name}.settings.json"))
}

/// Keeps a version, in place of the one that was kept before. Blocks.
pub(super) fn keep(context: &Context, prepared: &Prepared) -> io::Result<()> {
    let name = &prepared.manifest.name;
    let (candidate, path) = (&prepared.candidate, library_of(&context.settings, name));
    let half = path.with_extension("half");
    let mut file = File::create(&half)?;
    let mut piece = vec![0; 256 << 10];
    let mut offset = 0;
    loop {
        let read = candidate.read_at(&mut piece, offset)?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read])?;
        offset += read as u64;
    }
    file.sync_all()?;
    let own = serde_json::to_vec(&prepared.settings)?;
    replace_file(&settings_of(&context.settings, name), &own)?;
    fs::rename(&half, &path)?;
    File::open(super::folder(&context.settings))?.sync_all()
}

/// The version that is kept, if there is one that can be used.
pub(crate) fn kept(settings: &Settings, name: &PluginName) -> Option<Arc<Prepared>> {
    let own = fs::read(settings_of(settings, name)).ok()?;
    let own: PluginSettings = serde_json::from_slice(&own).ok()?;
    Prepared::inspect(name, &library_of(settings, name), &own).ok()
}
