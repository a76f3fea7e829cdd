//! What leads a plugin to what it runs: its link, and the file with its settings. A request for a
//! transition changes them, and whoever gives the transition up changes them back, also in another
//! life of the host: how they were is kept before the first of them is changed.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use patchbay_loader::Digest;
use serde::{Deserialize, Serialize};

use crate::records::replace_file;
use crate::watch::prepared::Prepared;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lead {
    /// The transition for which it is changed.
    pub(crate) transition: String,
    link: PathBuf,
    before: PathBuf,
    after: PathBuf,
    /// What the link led to, if that was not what serves: after a host died in a transition it may
    /// lead to what was given up, and pointing it there again would ask for that.
    aside: Option<patchbay_lifecycle::Digest>,
    settings: Option<Changed>,
}

/// A file with settings that is to have another content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Changed {
    file: PathBuf,
    /// Absent: there was none.
    before: Option<String>,
    after: String,
}

// === impl Lead ===

impl Lead {
    /// A link that is to lead to a library; it does not yet. Blocks.
    ///
    /// # Errors
    /// The link cannot be read.
    pub(crate) fn new(
        transition: &str,
        link: &Path,
        library: &Path,
        serving: &Prepared,
    ) -> io::Result<Lead> {
        let before = fs::read_link(link)?;
        let led_to = digest_of(link);
        let aside = led_to.filter(|digest| *digest != serving.facts.library);
        let is_there = fs::canonicalize(link).is_ok_and(|path| path == library);
        let after = if is_there { before.clone() } else { library.to_owned() };
        let (transition, link) = (transition.to_owned(), link.to_owned());
        Ok(Lead { transition, link, before, after, aside, settings: None })
    }

    /// The settings are to be these as well. Blocks.
    ///
    /// # Errors
    /// Those that are there cannot be read.
    pub(crate) fn with_settings(mut self, file: PathBuf, after: String) -> io::Result<Lead> {
        let before = match fs::read_to_string(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.settings = Some(Changed { file, before, after });
        Ok(self)
    }

    /// What the link led to, if that was not what serves.
    pub(crate) fn led_aside(&self) -> Option<patchbay_lifecycle::Digest> {
        self.aside
    }

    /// Points everything there. Blocks.
    ///
    /// # Errors
    /// What the system said; whatever was changed is as it was, if that can be.
    pub(super) fn point(&self) -> io::Result<()> {
        let pointed = match &self.settings {
            Some(changed) => replace_file(&changed.file, changed.after.as_bytes()),
            None => Ok(()),
        };
        let pointed = pointed.and_then(|()| self.set(&self.after));
        if pointed.is_err() {
            self.restore();
        }
        pointed
    }

    /// Points everything back to what serves, where it still is as it was changed. Blocks.
    pub(super) fn restore(&self) {
        if self.aside.is_some() {
            return;
        }
        let link = self.link.display();
        let is_ours = fs::read_link(&self.link).is_ok_and(|target| target == self.after);
        if is_ours && let Err(error) = self.set(&self.before) {
            // The settings stay as well: together they are what was given up, and barred.
            tracing::warn!(%link, %error, "a link was not pointed back");
            return;
        }
        if let Some(changed) = &self.settings
            && let Err(error) = changed.restore()
        {
            let file = changed.file.display();
            tracing::warn!(%file, %error, "settings were not put back");
        }
    }

    /// Whether the link, pointed back, would lead to these bytes. Blocks.
    pub(super) fn led_to(&self, library: patchbay_lifecycle::Digest) -> bool {
        let folder = self.link.parent().unwrap_or(Path::new("."));
        digest_of(&folder.join(&self.before)) == Some(library)
    }

    fn set(&self, target: &Path) -> io::Result<()> {
        if self.before == self.after {
            return Ok(());
        }
        let name = self.link.file_name().unwrap_or_default().to_string_lossy();
        let half = self.link.with_file_name(format!(".{name}.transition"));
        let _ = fs::remove_file(&half);
        symlink(target, &half)?;
        fs::rename(&half, &self.link)
    }
}

// === impl Changed ===

impl Changed {
    fn restore(&self) -> io::Result<()> {
        if !fs::read_to_string(&self.file).is_ok_and(|text| text == self.after) {
            return Ok(());
        }
        match &self.before {
            Some(before) => replace_file(&self.file, before.as_bytes()),
            None => fs::remove_file(&self.file),
        }
    }
}

fn digest_of(path: &Path) -> Option<patchbay_lifecycle::Digest> {
    let digest = fs::read(path).map(|bytes| Digest::of(&bytes)).ok()?;
    Some(patchbay_lifecycle::Digest(*digest.as_bytes()))
}
