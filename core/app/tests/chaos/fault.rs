//! Messages that end the process in every way there is, among innocent ones that are under way: the
//! crash record tells them apart (P-15).

use patchbay_testkit::checker::{Event, now};
use serde_json::{Value, json};

use crate::{
    arena::{Arena, Recorder},
    connection::Connection,
    load::Publisher,
    plan::Plan,
};

const WORKERS: u64 = 8;
const ABRT: i32 = 128 + 6;
const SEGV: i32 = 128 + 11;
const ILL: i32 = 128 + 4;
const EXIT: i32 = 70;

/// A way to die.
struct Way {
    verb: &'static str,
    status: i32,
    /// What the next host calls it; none where nobody was left to say so.
    cause: Option<&'static str>,
    /// Whether the call is named: else all that were under way are suspects, and it takes one death
    /// more.
    is_named: bool,
}

const fn way(verb: &'static str, status: i32, cause: Option<&'static str>, is_named: bool) -> Way {
    Way { verb, status, cause, is_named }
}

const WAYS: [Way; 9] = [
    way("abort", ABRT, Some("SIGABRT"), true),
    way("segv", SEGV, Some("SIGSEGV"), true),
    way("trap", ILL, Some("SIGILL"), true),
    // The standard library says what it was, and aborts.
    way("overflow", ABRT, Some("SIGSEGV"), true),
    way("exit", EXIT, Some("exit()"), true),
    way("own-abort", ABRT, Some("SIGABRT"), false),
    way("own-segv", SEGV, Some("SIGSEGV"), false),
    way("own-exit", EXIT, Some("exit()"), false),
    // The host's handler is not there any more.
    way("deaf", SEGV, None, false),
];

/// A recorder with so many lanes, each of which takes `batch` messages at most.
fn arena(workers: u64, batch: u64) -> Arena {
    let recorder = Recorder {
        name: "recorder",
        subscriptions: json!([{"topic": "disk.*", "concurrency": 1}]),
        pool: json!({"min_workers": workers, "max_workers": workers, "batch": batch}),
    };
    Arena::new(vec![recorder], &crate::levels())
}

fn last_death(arena: &Arena) -> Value {
    arena.get("/api/v1/journal")["recovery"]["death"].clone()
}

/// Starts hosts until one lives, each of which dies with that status. Returns how many died.
fn outlive(arena: &mut Arena, status: i32, settled: u64) -> u32 {
    let (mut deaths, mut began) = (0, now());
    loop {
        let is_over = |arena: &mut Arena| {
            let row = arena.try_terms("recorder:0");
            row.is_some_and(|row| {
                let term = |name: &str| row[name].as_u64().unwrap_or_default();
                term("done") + term("dead") == settled
            })
        };
        while !arena.is_dead() && !is_over(arena) {
            crate::load::pass(5);
        }
        if !arena.is_dead() {
            return deaths;
        }
        deaths += 1;
        assert!(deaths <= 4, "the host died {deaths} times:\n{}", arena.log());
        assert_eq!(arena.died(), status);
        arena.note(Event::HostDeath, began);
        began = now();
        arena.try_start();
    }
}

#[test]
fn whoever_ends_the_host_is_poison_and_nobody_beside_it_is_charged() {
    let plan = Plan::new("fault", WAYS.len() as u64);
    for round in 0..plan.rounds {
        let Way { verb, status, cause, is_named } = &WAYS[round as usize % WAYS.len()];
        let mut arena = arena(WORKERS, 1);
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        // One of them fails for good when it comes again, and shows what it was charged with.
        for innocent in 1..WORKERS {
            let verb = if innocent == 3 { "doom" } else { "hang" };
            crew[0].publish(&mut connection, "disk.a", verb);
            arena.until("recorder:0", "in_flight", innocent);
        }
        // It may not live to answer.
        crew[0].publish(&mut connection, "disk.a", verb);
        let deaths = outlive(&mut arena, *status, WORKERS);
        assert_eq!(deaths, if *is_named { 3 } else { 4 }, "{verb}");
        let last = last_death(&arena);
        assert_eq!(last["cause"].as_str(), *cause, "{verb}: {last}");
        assert_eq!(last["plugin"].as_str(), cause.map(|_| "recorder"), "{verb}: {last}");
        arena.drained();
        let mut dead = arena.dead_letters();
        dead.sort_by_key(|letter| letter.tag.n);
        let dead: Vec<_> = dead.iter().map(|it| (it.tag.n, it.cause.as_str())).collect();
        assert_eq!(dead, [(3, "failed"), (WORKERS, "poison")], "{verb}");
        let letters = arena.get("/api/v1/dead-letters?limit=10");
        for letter in letters.as_array().expect("letters") {
            let history = letter["history"].as_array().expect("a history");
            let is_poison = letter["class"] == "poison";
            assert_eq!(history.len(), if is_poison { 3 } else { 1 }, "{verb}: {letter}");
            let named = cause.unwrap_or("the only call under way");
            for failure in history.iter().filter(|_| is_poison) {
                let reason = failure["reason"].as_str().unwrap_or_default();
                assert!(reason.contains(named), "{verb}: {reason}");
            }
        }
        arena.add(crew.remove(0).published);
        arena.judge(|_| {}).assert_clean();
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("every culprit was found, and nobody else charged");
}

#[test]
fn a_host_that_is_killed_suspects_what_ran_and_not_what_had_only_been_handed_out() {
    let plan = Plan::new("fault", 1);
    for _ in 0..plan.rounds {
        let mut arena = arena(1, 8);
        arena.start();
        let mut crew = Publisher::crew(1, plan.seed);
        let mut connection = Connection::open(&arena.socket()).expect("a host");
        arena.post("/api/v1/plugins/recorder/pause");
        let verbs = [("disk.a", "hang")].into_iter().chain([("disk.a", "ack"); 30]);
        crew[0].publish_many(&mut connection, verbs);
        arena.post("/api/v1/plugins/recorder/resume");
        // A whole window is handed out, and the first of it runs.
        arena.until("recorder:0", "in_flight", 8);
        arena.kill();
        arena.start();
        let journal = arena.get("/api/v1/journal");
        let (begun, death) = (&journal["recovery"]["begun"], &journal["recovery"]["death"]);
        assert_eq!((begun, &death["suspects"]), (&json!(8), &json!(1)), "{death}");
        assert_eq!((&death["cause"], &death["plugin"]), (&Value::Null, &Value::Null), "{death}");
        let message = death["message"].as_str().expect("a single one ran");
        let life = arena.get(&format!("/api/v1/messages/{message}"));
        let told = life.to_string();
        assert!(told.contains("the only call under way"), "{told}");
        arena.until("recorder:0", "done", 31);
        // Nothing runs: a death now is nobody's.
        arena.kill();
        arena.start();
        assert_eq!(last_death(&arena)["suspects"], 0);
        arena.drained();
        arena.dead_letters();
        arena.add(crew.remove(0).published);
        arena.judge(|_| {}).assert_clean();
        assert_eq!(arena.stop(), 0);
        // An end in order leaves nothing to tell.
        arena.start();
        assert_eq!(last_death(&arena), Value::Null);
        assert_eq!(arena.stop(), 0);
    }
    plan.reached("the one that ran was suspected");
}
