//! A host in a temporary home, and requests to its router.

use std::{fmt, path::Path, sync::Mutex, time::Duration};

use axum::{Router, body::Body};
use http_body_util::BodyExt;
use patchbay_gateway::{Gateway, GatewayLimits, router};
use patchbay_host::{Host, HostHandle, Settings};
use patchbay_testkit::{Home, eventually_async, fixture, repository};
use serde_json::Value;
use tower::ServiceExt;

/// Longest wait for anything; far beyond what anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Served {
    pub(crate) host: HostHandle,
    pub(crate) gateway: Gateway,
    router: Router,
    pub(crate) home: Home,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
}

impl Served {
    pub(crate) async fn new(limits: GatewayLimits) -> Served {
        let home = Home::new();
        let settings = Settings::of_home(home.path());
        Served::with(home, settings, limits).await
    }

    pub(crate) async fn with(home: Home, settings: Settings, limits: GatewayLimits) -> Served {
        let host = Host::start(settings).await.expect("a host");
        host.ready(LONG).await.expect("a host that is ready");
        let gateway = Gateway::new(host.clone(), limits);
        Served { host, gateway: gateway.clone(), router: router(gateway), home }
    }

    /// Sends `METHOD path` with a body; a body of several lines is sent as NDJSON.
    pub(crate) async fn ask(&self, request: &str, body: &str) -> Answer {
        let (method, path) = request.split_once(' ').expect("METHOD path");
        let kind = if body.ends_with('\n') { "application/x-ndjson" } else { "application/json" };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let kind =
            answer.headers().get("content-type").map(|k| k.to_str().expect("text").to_owned());
        let body = answer.into_body().collect().await.expect("a body").to_bytes().to_vec();
        Answer { status, kind: kind.unwrap_or_default(), body }
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(
        &self,
        request: &str,
        body: &str,
        accept: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let last = Mutex::new(String::new());
        let what = fmt::from_fn(|f| write!(f, "{request}: {}", last.lock().expect("the last one")));
        let (accept, last) = (&accept, &last);
        let look = || async move {
            let answer = self.ask(request, body).await;
            *last.lock().expect("the last one") = String::from_utf8_lossy(&answer.body).into();
            accept(&answer).then_some(answer)
        };
        eventually_async(what, LONG, look).await
    }

    /// Ends the host; the home is there as long as the answer is kept.
    pub(crate) async fn end(self) -> Home {
        let report = self.host.shutdown(LONG).await;
        assert!(report.clean, "{report:?}");
        self.home
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.body.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }
}

/// Puts a plugin `echo` with these subscriptions into a home: it does what a payload says (see the
/// fixture).
pub(crate) fn enable_echo(home: &Home, subscriptions: &Value) {
    let rest = format!(",\"subscriptions\":{subscriptions}");
    let quoted = |text: &str| format!("{text:?}");
    let built = fixture::build_c(
        &repository::root().join("core/host/tests/fixtures/obedient.c"),
        &[
            ("NAME", &quoted("echo")),
            ("VERSION", &quoted("1.0.0")),
            ("VERSION_TOKEN", &quoted("1_0_0")),
            ("REST", &quoted(&rest)),
            ("BAD", &quoted("")),
        ],
        Path::new(env!("CARGO_TARGET_TMPDIR")),
    );
    let place = home.install(&built, "libecho.so");
    home.link("echo", &place);
}
