//! `patchbay up`: a host in the foreground.
//!
//! In this order: settings, log, lock, socket, host, gateway; backwards at the end. A second host
//! in the same folder is refused before it touches anything.

mod listen;
mod lock;
mod log;
mod obstacle;
mod signals;

use std::{convert::Infallible, future::pending, time::Duration};

use patchbay_gateway::{Gateway, StopRequest, router};
use patchbay_host::{Host, HostError, HostHandle, view::ShutdownReport};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::{net::UnixListener, runtime, sync::oneshot, time};

use self::{listen::Socket, lock::Lock, signals::Signals};
use crate::{
    args::UpArgs,
    context::Context,
    failure::{Exit, Failure},
    output::{note, print},
    settings::Loaded,
    verbs::plugin_table,
};

/// How long the last answers may take once the host has ended.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// How long after its deadline an end is waited for.
const LATE: Duration = Duration::from_secs(1);
/// How long one question to the host for readiness waits; it is asked again.
const READY: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
struct Ready<'a> {
    ready: bool,
    socket: String,
    plugins: &'a [patchbay_host::view::PluginView],
}

/// Runs the host until it is told to end.
pub(crate) fn run(context: &Context, args: &UpArgs) -> Result<(), Failure> {
    let loaded = context.settings(args.config.as_deref())?;
    log::start(&loaded.settings.log, args)?;
    if let Err(error) = patchbay_loader::effective() {
        tracing::warn!(%error, "replaced libraries will stay mapped: the hooks are not in effect");
    }
    let lock = Lock::take(&context.home)?;
    allow_open_files();
    let socket = Socket::bind(&context.home.socket())?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the runtime").because(&error))?;
    let ended = runtime.block_on(serve(context, &loaded, &socket));
    runtime.shutdown_timeout(LAST_ANSWERS);
    drop(socket);
    drop(lock);
    let report = ended?;
    tell(&report);
    let exit = if report.clean { Exit::Done } else { Exit::Unreachable };
    if report.quarantined || !report.clean {
        // Exit handlers would destroy statics of libraries under their living threads.
        patchbay_loader::end_process(exit as i32);
    }
    Ok(())
}

/// Lets the process open as many files as it may: every plugin and every lane needs a few.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

async fn serve(
    context: &Context,
    loaded: &Loaded,
    socket: &Socket,
) -> Result<ShutdownReport, Failure> {
    let mut signals = Signals::catch()?;
    let settings = &loaded.settings;
    let listener = UnixListener::from_std(socket.listener()?)
        .map_err(|error| Failure::failed("cannot listen").because(&error))?;
    let host = Host::start(settings.host()).await.map_err(|error| obstacle::told(&error))?;
    let gateway = Gateway::new(host.clone(), settings.gateway.clone());
    let routes = router(gateway.clone());
    let (close, closed) = oneshot::channel::<()>();
    let mut server = tokio::spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(async {
            // An end without a word is an end too.
            let _ = closed.await;
        });
        served.await
    });

    let limit = tokio::select! {
        limit = told_to_end(&mut signals, &gateway) => limit,
        never = announce(context, &host, socket) => match never {},
    }
    .unwrap_or(settings.shutdown_timeout);
    tracing::info!(limit = %humantime::format_duration(limit), "ending");
    let report = tokio::select! {
        report = time::timeout(limit + LATE, host.shutdown(limit)) => report,
        () = signals.next() => {
            host.close_journal().await;
            note("ended at once by a second signal");
            patchbay_loader::end_process(Exit::Interrupted as i32)
        }
    };
    // Streams end with the host; what is still being answered gets a moment.
    let _ = close.send(());
    if time::timeout(LAST_ANSWERS, &mut server).await.is_err() {
        server.abort();
    }
    // The host keeps its deadline; should it ever not, nobody waits for it (P-35).
    Ok(report.unwrap_or_default())
}

/// Waits for a signal or for `POST /api/v1/shutdown`, which may say how long the end may take.
async fn told_to_end(signals: &mut Signals, gateway: &Gateway) -> Option<Duration> {
    tokio::select! {
        () = signals.next() => None,
        StopRequest { limit } = gateway.stop_requested() => limit,
    }
}

/// Says that the host is ready, once every enabled plugin has started or failed. Does not return:
/// the host runs on, whether or not anybody reads it.
async fn announce(context: &Context, host: &HostHandle, socket: &Socket) -> Infallible {
    loop {
        match host.ready(READY).await {
            Ok(()) => break,
            Err(HostError::Timeout { .. }) => {}
            // It is ending already.
            Err(_) => return pending().await,
        }
    }
    let plugins = host.plugins();
    let path = socket.path().display().to_string();
    let told = if context.output.is_asked_for_json() {
        let ready = Ready { ready: true, socket: path, plugins: &plugins };
        context.output.show_line(&ready, |_| String::new())
    } else {
        print(&format!("ready {path}\n{}", plugin_table(&plugins)))
    };
    if let Err(failure) = told {
        note(failure.text().trim_end());
    }
    pending().await
}

/// Tells what an end left undone.
fn tell(report: &ShutdownReport) {
    for of in &report.unfinished {
        note(&format!("plugin `{}` did not end in time: {}", of.plugin, of.reason));
    }
    let unsettled = report.left + report.revoked;
    if report.kept > 0 {
        note(&format!("{} messages wait in the journal for the next host", report.kept));
    }
    if unsettled > report.kept {
        let lost = unsettled - report.kept;
        note(&format!("{lost} messages were not settled; they were in memory and are lost"));
    }
    let took = Duration::from_millis(report.took_ms);
    match report.clean {
        true => tracing::info!(took = %humantime::format_duration(took), "ended"),
        false => note("the deadline of the shutdown was hit"),
    }
}
