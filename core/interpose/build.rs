//! Decides whether the hooks are compiled in (`cfg(hooked)`).
//!
//! They need glibc, and a shim for the processor. `PATCHBAY_INTERPOSE=off` leaves them out, for
//! builds with a sanitizer that hooks the same functions itself: such a process maps no library
//! that is to be unloaded again.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(hooked)");
    println!("cargo::rerun-if-env-changed=PATCHBAY_INTERPOSE");
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    let off = env::var("PATCHBAY_INTERPOSE").is_ok_and(|value| value == "off");
    let known = target("OS") == "linux"
        && target("ENV") == "gnu"
        && ["x86_64", "aarch64"].contains(&&*target("ARCH"));
    if known && !off {
        println!("cargo::rustc-cfg=hooked");
    }
}
