//! Commands as a person gives them: the binary beside this one, against a host that answers at the
//! socket of its home.

use std::{env, fs, path::PathBuf};

use patchbay_gateway::{Gateway, GatewayLimits, router};
use patchbay_measure::entry::Outcome;
use tokio::{net::UnixListener, process::Command, task::JoinHandle};

use crate::home::Home;

/// The socket of a host, and the binary that speaks to it.
#[derive(Debug)]
pub(super) struct Terminal {
    home: PathBuf,
    binary: PathBuf,
    server: JoinHandle<std::io::Result<()>>,
}

// === impl Terminal ===

impl Terminal {
    pub(super) fn open(home: &Home) -> Outcome<Terminal> {
        let binary = env::current_exe()?.with_file_name("patchbay");
        if !binary.exists() {
            let path = binary.display();
            let what = "is not built\ntry: cargo build --release -p patchbay";
            return Err(format!("{path} {what}").into());
        }
        let run = home.folder().join("run");
        fs::create_dir_all(&run)?;
        let listener = UnixListener::bind(run.join("patchbay.sock"))?;
        let routes = router(Gateway::new(home.host.clone(), GatewayLimits::default()));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Terminal { home: home.folder().to_owned(), binary, server })
    }

    /// Types a command and waits for its end.
    pub(super) async fn types(&self, words: &[&str]) -> Outcome<()> {
        let mut command = Command::new(&self.binary);
        let ran = command.args(words).arg("--home").arg(&self.home).output().await?;
        if ran.status.success() {
            return Ok(());
        }
        Err(format!("{words:?} failed: {}", String::from_utf8_lossy(&ran.stderr)).into())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.server.abort();
    }
}
