//! A host in a temporary home, and requests to its router.

use axum::{Router, body::Body};
use http_body_util::BodyExt;
use patchbay_gateway::{Gateway, GatewayLimits, router};
use patchbay_host::{Host, HostHandle, Settings};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) struct Served {
    pub(crate) host: HostHandle,
    pub(crate) gateway: Gateway,
    router: Router,
    _home: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
}

impl Served {
    pub(crate) async fn new(limits: GatewayLimits) -> Served {
        let home = tempfile::tempdir().expect("a folder");
        let host = Host::start(Settings::of_home(home.path())).await.expect("a host");
        host.ready(std::time::Duration::from_secs(60)).await.expect("a host that is ready");
        let gateway = Gateway::new(host.clone(), limits);
        Served { host, gateway: gateway.clone(), router: router(gateway), _home: home }
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

    pub(crate) async fn end(self) {
        let report = self.host.shutdown(std::time::Duration::from_secs(60)).await;
        assert!(report.clean, "{report:?}");
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
