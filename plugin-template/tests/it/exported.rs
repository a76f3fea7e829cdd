//! The exported table, called as a loader calls it.

use std::{ffi::c_void, ptr};

use patchbay_abi::{Host, Outcome, Str, note::flags, outcome::code, state};
use patchbay_plugin::{
    Level, Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus, Runtime,
    export_plugin,
    testing::{Handled, MockHost, TestMessage},
};

use crate::acts::{Acts, SLOTS};

struct Exported(PluginContext);

impl PluginProcessor for Exported {
    const RUNTIME: Runtime = Runtime::Shared;

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        match context.config.all() {
            r#"{"panic":true}"# => panic!("in create"),
            r#"{"refuse":true}"# => Err(PluginError::invalid_data("refused")),
            _ => Ok(Exported(context)),
        }
    }

    fn context(&self) -> &PluginContext {
        &self.0
    }

    async fn process(
        &self,
        _topic: &str,
        _message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        Ok(ProcessingStatus::Acknowledged)
    }
}

export_plugin!(Exported, manifest: r#"{
    "config": { "name": "not this one" },
    "name": "exported_by_a_test",
    "version": "3.2.1"
}"#);

unsafe extern "C" {
    fn patchbay_plugin_v1() -> *const patchbay_abi::Plugin;
}

fn table() -> &'static patchbay_abi::Plugin {
    // The entry takes over the panic hook of its library, which here is the whole test.
    let hook = std::panic::take_hook();
    // SAFETY: the entry that the macro exports.
    let table = unsafe { &*patchbay_plugin_v1() };
    std::panic::set_hook(hook);
    table
}

/// Set for the process of its own in which the hook may be installed.
const OWN_PROCESS: &str = "PATCHBAY_TEST_OF_THE_PANIC_HOOK";

#[tokio::test]
async fn a_panic_is_told_to_the_hosts_log_and_not_to_the_standard_error() {
    if std::env::var_os(OWN_PROCESS).is_none() {
        let name = "exported::a_panic_is_told_to_the_hosts_log_and_not_to_the_standard_error";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(OWN_PROCESS, "1")
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.is_empty(), "{output:?}");
        return;
    }
    // SAFETY: the entry that the macro exports; this process is here for it alone.
    unsafe { patchbay_plugin_v1() };
    let host = MockHost::new();
    let plugin = host.run::<Acts<SLOTS>>().unwrap();
    let message = TestMessage::new("panic").attempt(2).build();
    assert!(matches!(plugin.deliver(&message).await, Handled::Panicked(_)));
    // Outside every call the instance that was made last hears of it.
    let thread = std::thread::spawn(|| panic!("on a thread of its own"));
    assert!(thread.join().is_err());
    let logs = host.telemetry.logs();
    let said: Vec<_> = logs.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(said, ["at once, 2", "on a thread of its own"]);
    assert!(logs[0].file.ends_with("acts.rs") && logs[0].line > 0);
    assert_eq!((logs[0].level, logs[0].target.as_str()), (Level::Error, "panic"));
}

/// A host that is too old to be asked anything.
fn short_host() -> Box<[u64]> {
    let mut words = vec![0_u64; size_of::<Host>() / 8].into_boxed_slice();
    words[0] = 16 | (1 << 32);
    words
}

/// What `create` answers to these settings, with the reason.
fn create(host: *const Host, config: &str) -> (u32, u32, String) {
    let mut instance = ptr::null_mut::<c_void>();
    let mut error = Outcome::EMPTY;
    // SAFETY: as the contract says; a refused or panicking `create` does not use the host.
    unsafe {
        let create = table().create;
        let state =
            create(host, ptr::null_mut(), Str::new(config), &raw mut instance, &raw mut error);
        let text = error.text.as_str().as_text().unwrap().to_owned();
        error.text.release();
        assert!(instance.is_null());
        (state, error.code, text)
    }
}

#[test]
fn the_table_says_what_the_manifest_says() {
    let table = table();
    // SAFETY: texts of the library, which is this test.
    unsafe {
        assert_eq!(table.name.as_text(), Some("exported_by_a_test"));
        assert_eq!(table.version.as_text(), Some("3.2.1"));
    }
    let expected = flags::OWN_LOOP | flags::SHARED_LOOP | flags::SPAWNS_THREADS | flags::UNWIND;
    assert_eq!(table.flags, u64::from(expected));
    assert!(table.run_lane.is_some());
    assert!(table.call_align.is_power_of_two() && table.call_align <= 64);
    assert!(table.call_size > 0);
}

#[test]
fn a_host_that_lacks_services_is_refused_before_anything_is_asked_of_it() {
    let words = short_host();
    let (state, code, text) = create(words.as_ptr().cast(), "{}");
    assert_eq!((state, code), (state::ERROR, code::ERROR));
    assert!(text.contains("contract 1.0"), "{text}");
}

#[test]
fn create_reports_a_refusal_and_a_panic() {
    let mut words = short_host();
    words[0] = size_of::<Host>() as u64 | (1 << 32);
    let host = words.as_ptr().cast();
    let (state, code, text) = create(host, r#"{"refuse":true}"#);
    assert_eq!((state, code, text.as_str()), (state::ERROR, code::ERROR, "refused"));
    let (state, code, text) = create(host, r#"{"panic":true}"#);
    assert_eq!((state, code, text.as_str()), (state::PANICKED, code::PANIC, "in create"));
}
