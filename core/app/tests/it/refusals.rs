//! What is refused before a transition starts: the same over the command line and over HTTP, with
//! the binary, a running host and real libraries. Nothing is loaded, and what serves is untouched.

use std::{fs, path::PathBuf};

use patchbay_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Home, LONG, Up, write};

/// A request that is refused.
struct Case {
    name: &'static str,
    /// The rest of `patchbay transition start echo`.
    args: Vec<String>,
    /// The same as a body.
    body: Value,
    exit: i32,
    status: u16,
    code: &'static str,
    /// What the reason says.
    reason: Vec<String>,
    /// What the remedy says.
    remedy: &'static str,
}

/// A home with many libraries of `echo`, of which version 1.0.0 serves.
struct Stage {
    home: Home,
    up: Up,
}

// === impl Stage ===

impl Stage {
    fn new() -> Stage {
        let home = Home::new();
        let calls = home.path("calls").display().to_string();
        let gate = home.path("gate").display().to_string();
        let config = json!({"plugins": {"echo": {"config": {"journal": calls, "gate": gate}}}});
        write(&home.path("patchbay.yaml"), &config.to_string());
        let own = manifest(|_| {});
        let serving = home.install("echo", "1.0.0", &own);
        home.install("echo", "2.0.0", &own);
        home.install("other", "2.1.0", &own);
        let described = |it: &mut Value| it["description"] = json!("the same number, other bytes");
        fs::rename(home.install("echo", "1.0.0", &manifest(described)), home.library("again"))
            .expect("a library");
        home.install("echo", "1.0.0", &own);
        let more = |it: &mut Value| it["permissions"]["publish"] = json!(["out.>", "secret.>"]);
        home.install("echo", "3.0.0", &manifest(more));
        let fewer = |it: &mut Value| it["subscriptions"] = json!([{"topic": "in.echo"}]);
        home.install("echo", "4.0.0", &manifest(fewer));
        home.install("echo", "5.0.0", &manifest(|it| it["state"] = json!("forward_only")));
        let schema = json!({"type": "object", "required": ["nowhere"]});
        home.install("echo", "6.0.0", &manifest(|it| it["config_schema"] = schema));
        write(&home.library("text"), "no library at all");
        home.link("echo", &serving);
        let up = home.up();
        let stage = Stage { home, up };
        // One message that is not done until the gate is there.
        stage.home.ok(&["publish", "also.echo", "--file", &stage.payload("hang")]);
        stage.until("the plugin has it", |info| info["queue"]["in_flight"] == 1);
        stage
    }

    fn payload(&self, text: &str) -> String {
        let path = self.home.path("payload");
        write(&path, text);
        path.display().to_string()
    }

    fn until(&self, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
        let look = || Some(self.home.ok(&["plugin", "info", "echo"])).filter(&accept);
        eventually(what, LONG, look)
    }

    /// Everything that a transition would change.
    fn traces(&self) -> Vec<String> {
        let get = |path: &str| self.home.http("GET", path, &[], &Value::Null).1;
        let info = get("/api/v1/plugins/echo");
        let link = fs::read_link(self.home.path("plugins/enabled/echo")).expect("a link");
        vec![
            info["generations"].to_string(),
            info["history"].to_string(),
            info["version"].to_string(),
            get("/api/v1/plugins/echo/transition").to_string(),
            get("/api/v1/transitions").to_string(),
            link.display().to_string(),
            files(self.home.path("data/store")).join(" "),
            files(self.home.path("data/transitions")).join(" "),
            // What the libraries were called for: one that is loaded says so.
            fs::read_to_string(self.home.path("calls")).expect("a file"),
            mapped(self.up.pid()).join(" "),
        ]
    }

    /// Refused by both faces, with the same words, and nothing has happened.
    fn refused(&self, case: &Case) {
        let name = case.name;
        let before = self.traces();
        let args: Vec<&str> = case.args.iter().map(String::as_str).collect();
        let ran = self.home.run(&[&["transition", "start", "echo"], &args[..]].concat());
        assert_eq!(ran.status, case.exit, "{name}: {ran:?}");
        let path = "/api/v1/plugins/echo/transition";
        let (status, problem) = self.home.http("POST", path, &[], &case.body);
        assert_eq!(
            (status, &problem["code"]),
            (case.status, &case.code.into()),
            "{name}: {problem}"
        );
        let plan = self.home.http("POST", &format!("{path}/plan"), &[], &case.body);
        assert_eq!(plan, (status, problem.clone()), "{name}: the plan is refused alike");
        let (detail, hint) = (&problem["detail"], &problem["hint"]);
        let (detail, hint) = (detail.as_str().expect("a reason"), hint.as_str().expect("a remedy"));
        for said in &case.reason {
            assert!(detail.contains(said.as_str()), "{name}: no {said:?} in {detail:?}");
        }
        assert!(hint.contains(case.remedy), "{name}: no {:?} in {hint:?}", case.remedy);
        assert_eq!(ran.err, format!("error: {detail}\n  try: {hint}\n"), "{name}");
        assert_eq!(self.traces(), before, "{name}: something was changed");
    }
}

/// The manifest of a version, changed as wanted.
fn manifest(change: impl FnOnce(&mut Value)) -> Value {
    let mut manifest = json!({
        "subscriptions": [{"topic": "in.echo"}, {"topic": "also.echo"}],
        "permissions": {"publish": ["out.>"], "subscribe": ["in.>", "also.>"]},
        // The message that waits is not taken for a hung one, however slow the machine.
        "worker_pool": {"process_timeout": "1h"},
        "health": {"interval": "1h"},
    });
    change(&mut manifest);
    manifest
}

fn files(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|it| it.path().display().to_string()).collect();
    names.sort_unstable();
    names
}

/// The libraries of plugins that a process has mapped.
fn mapped(pid: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the maps");
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let mut paths: Vec<String> =
        paths.filter(|it| it.contains("/store/")).map(String::from).collect();
    paths.dedup();
    paths
}

fn case(
    name: &'static str,
    (args, body): (&[&str], Value),
    (exit, status, code): (i32, u16, &'static str),
    reason: &[&str],
    remedy: &'static str,
) -> Case {
    Case {
        name,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        body,
        exit,
        status,
        code,
        reason: reason.iter().map(|text| (*text).to_owned()).collect(),
        remedy,
    }
}

/// Requests for version 2.0.0 that ask for something impossible.
fn senseless() -> Vec<Case> {
    let gradual = |args: &[&str], body: Value| {
        let mut all = json!({"to": "2.0.0", "strategy": "gradual"});
        for (name, value) in body.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let args = [&["--to", "2.0.0", "--strategy", "gradual"], args].concat();
        (args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), all)
    };
    let row = |name, (args, body): (Vec<String>, Value), code, reason: &[&str], remedy| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        case(name, (&args, body), (2, 400, code), reason, remedy)
    };
    let blue = ["--to", "2.0.0", "--strategy", "blue-green"].map(str::to_owned);
    let blue_body = json!({"to": "2.0.0", "strategy": "blue-green"});
    let mirror = [&blue[..], &["--mirror".to_owned(), "true".to_owned()]].concat();
    let mut mirror_body = blue_body.clone();
    mirror_body["mirror"] = json!(true);
    let rising = "rising whole percentages";
    let length = "a length of time such as 30s";
    vec![
        row(
            "a share of 0",
            gradual(&["--steps", "0,100"], json!({"steps": [0, 100]})),
            "share",
            &["0 %", "between 1 and 100"],
            rising,
        ),
        row(
            "a share of 101",
            gradual(&["--steps", "50,101"], json!({"steps": [50, 101]})),
            "share",
            &["101 %", "between 1 and 100"],
            rising,
        ),
        row(
            "steps that fall",
            gradual(&["--steps", "50,25"], json!({"steps": [50, 25]})),
            "steps",
            &["do not rise", "50 % comes before 25 %"],
            rising,
        ),
        row(
            "steps that stay",
            gradual(&["--steps", "50,50"], json!({"steps": [50, 50]})),
            "steps",
            &["do not rise"],
            rising,
        ),
        row(
            "a hold at no step",
            gradual(&["--hold", "7"], json!({"hold": 7})),
            "share",
            &["7 % is no step"],
            "one of the steps below 100",
        ),
        row(
            "a deadline of 0",
            gradual(&["--deadline", "0s"], json!({"deadline_ms": 0})),
            "deadline",
            &["a deadline of 0ns"],
            length,
        ),
        row(
            "a drain deadline of 0",
            gradual(&["--drain-deadline", "0s"], json!({"drain_deadline_ms": 0})),
            "deadline",
            &["a drain deadline of 0ns"],
            length,
        ),
        row(
            "steps that do not fit into the deadline",
            gradual(&["--deadline", "1s"], json!({"deadline_ms": 1000})),
            "deadline",
            &["do not fit into a deadline of 1s"],
            "raise the deadline",
        ),
        row(
            "copies that must not be run",
            (mirror, mirror_body),
            "not_mirror_safe",
            &["mirror_safe: true"],
            "rely on probes",
        ),
        row(
            "nothing to verify with",
            (blue.to_vec(), blue_body),
            "nothing_to_verify",
            &["neither probes nor copies"],
            "declare probes",
        ),
    ]
}

/// Requests for a library that cannot take over.
fn unfit(home: &Home) -> Vec<Case> {
    let file = |stem: &str| home.library(stem).display().to_string();
    let rule = |code| (4, 409, code);
    let to = |to: &str| (vec!["--to".to_owned(), to.to_owned()], json!({"to": to}));
    let row = |name, to: (Vec<String>, Value), answer, reason: &[&str], remedy| {
        let args: Vec<&str> = to.0.iter().map(String::as_str).collect();
        case(name, (&args, to.1), answer, reason, remedy)
    };
    let outside = home.path("outside.so");
    write(&outside, "whatever");
    let outside = outside.display().to_string();
    vec![
        row(
            "an unknown version",
            to("9.9.9"),
            (1, 404, "unknown_version"),
            &["no library of `echo` has version 9.9.9"],
            "patchbay plugin build",
        ),
        row(
            "a file that is not there",
            to("development/libnone.so"),
            (1, 404, "unknown_version"),
            &["libnone.so", "No such file"],
            "a file that is there",
        ),
        row(
            "nothing",
            to(""),
            (1, 404, "unknown_version"),
            &["neither a version nor a library"],
            "name one",
        ),
        row(
            "a file that is no library",
            to(&file("text")),
            (2, 422, "contract"),
            &["libtext.so", "no ELF file"],
            "patchbay plugin check",
        ),
        row(
            "a library of another plugin",
            to(&file("other-2.1.0")),
            (2, 422, "contract"),
            &["libother-2.1.0.so", "another plugin than `echo`"],
            "a library of this plugin",
        ),
        row(
            "a version whose schema the configuration does not fit",
            to("6.0.0"),
            (2, 422, "contract"),
            &["does not fit the schema", "nowhere"],
            "correct the settings",
        ),
        row(
            "a library outside of the libraries",
            to(&outside),
            rule("outside"),
            &["outside.so", "is outside of"],
            "copy it there",
        ),
        row(
            "the version that serves",
            to("1.0.0"),
            rule("already_serving"),
            &["version 1.0.0", "serves already"],
            "name another version",
        ),
        row(
            "the same version with other bytes",
            to(&file("again")),
            rule("same_version_other_bytes"),
            &["version 1.0.0 serves with the bytes"],
            "raise the version in the manifest, or force it",
        ),
        row(
            "more permissions",
            to("3.0.0"),
            rule("more_permissions"),
            &["asks to publish `secret.>`"],
            "take it out of the candidate's manifest",
        ),
        row(
            "a dropped subscription for which messages wait",
            to("4.0.0"),
            rule("drops_subscription"),
            &["1 messages wait for `also.echo`"],
            "let the serving version finish them",
        ),
    ]
}

#[test]
fn what_cannot_be_is_refused_by_both_faces_before_anything_starts() {
    let stage = Stage::new();
    for case in senseless().iter().chain(&unfit(&stage.home)) {
        stage.refused(case);
    }
    // The generation after all these is the next one: none was even numbered.
    let held = ["--strategy", "gradual", "--steps", "50", "--hold", "50", "--min-time", "0s"];
    let start = ["transition", "start", "echo", "--to", "2.0.0", "--no-wait"];
    let first = stage.home.ok(&[&start[..], &held].concat());
    let shifting = |info: &Value| info["generations"][0]["generation"] == 2;
    stage.until("the candidate is loaded", shifting);
    let id = first["spec"]["id"].as_str().expect("an id");
    let path = "/api/v1/plugins/echo/transition";
    let second = stage.home.run(&["transition", "start", "echo", "--to", "3.0.0", "--force"]);
    second.failed(4, &[id, "runs", "wait for its end, or abort it"]);
    let (status, problem) = stage.home.http("POST", path, &[], &json!({"to": "3.0.0"}));
    assert_eq!((status, &problem["code"]), (409, &"transition_running".into()), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains(id)), "{problem}");
    let after = stage.home.ok(&["transition", "status", "echo"]);
    assert_eq!(after["report"]["spec"]["id"], id, "the first one goes on");
    stage.home.ok(&["transition", "abort", "echo"]);
    write(&stage.home.path("gate"), "");
}

#[test]
fn a_way_back_that_the_state_forbids_is_refused_and_the_plan_says_so_before() {
    let stage = Stage::new();
    write(&stage.home.path("gate"), "");
    stage.until("it is done", |info| info["queue"]["in_flight"] == 0);
    let start = ["transition", "start", "echo", "--to", "5.0.0", "--bake", "1h"];
    let plan = stage.home.run(&[&start[..], &["--dry-run", "-o", "table"]].concat());
    assert!(plan.out.contains("forward_only") && plan.out.contains("no way back"), "{plan:?}");
    stage.home.ok(&[&start[..], &["--no-wait"]].concat());
    let serves = |info: &Value| info["version"] == "5.0.0";
    stage.until("the new version serves", serves);
    let before = stage.traces();
    let back = stage.home.run(&["transition", "rollback", "echo"]);
    back.failed(4, &["forward_only", "start a transition to a version that can read it"]);
    let path = "/api/v1/plugins/echo/transition/rollback";
    let (status, problem) = stage.home.http("POST", path, &[], &Value::Null);
    assert_eq!((status, &problem["code"]), (409, &"forward_only".into()), "{problem}");
    assert_eq!(stage.traces()[..3], before[..3], "the new version goes on serving");
}
