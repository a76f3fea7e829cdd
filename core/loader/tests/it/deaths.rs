//! What ends the process (platform facts E5, E7, E8), and what the loader makes of it. Each case
//! runs in a child.

use std::{
    ffi::{CString, c_void},
    fs,
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use crate::support::{
    Answer, Desk, Rig,
    build::{self, Hostile},
    child::{self, End},
};

const SIGABRT: End = End::Signal(libc::SIGABRT);
const SIGBUS: End = End::Signal(libc::SIGBUS);
const SIGSEGV: End = End::Signal(libc::SIGSEGV);

fn function(path: &Path, name: &str) -> *mut c_void {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    let name = CString::new(name).expect("a name");
    // SAFETY: NUL terminated names; the fixture's constructors do nothing.
    let found = unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!handle.is_null(), "open the library");
        libc::dlsym(handle, name.as_ptr())
    };
    assert!(!found.is_null(), "find the function");
    found
}

fn call(path: &Path, name: &str) -> u32 {
    let function = function(path, name);
    // SAFETY: the fixtures' functions of these names take nothing and return a number.
    unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> u32>(function)() }
}

#[test]
fn e5_a_loaded_file_that_is_cut_off_or_overwritten_kills_the_process() {
    const TEST: &str = "deaths::e5_a_loaded_file_that_is_cut_off_or_overwritten_kills_the_process";
    if let Some(case) = child::case() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plug.so");
        fs::copy(build::version(1, None), &path).unwrap();
        let version = function(&path, "version");
        match &*case {
            "cut" => fs::write(&path, b"").unwrap(),
            "overwrite" => {
                let bytes = vec![0xff; fs::metadata(&path).unwrap().len() as usize];
                fs::write(&path, bytes).unwrap();
            }
            _ => unreachable!("{case}"),
        }
        // SAFETY: takes nothing and returns a number; that its code is gone is the point.
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> u32>(version)() };
        return;
    }
    assert_eq!(child::run(TEST, "cut"), SIGBUS);
    let overwritten = child::run(TEST, "overwrite");
    assert!([SIGSEGV, SIGBUS, End::Signal(libc::SIGILL)].contains(&overwritten), "{overwritten:?}");
}

#[test]
fn the_private_copy_makes_the_same_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plug.so");
    fs::copy(Hostile::new().build(), &path).unwrap();
    let rig = Rig::new();
    let instance = rig.load(&path);
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    assert_eq!(desk.ask("version"), Answer::Ack("1.0.0".to_owned()));
    fs::write(&path, b"").unwrap();
    assert_eq!(desk.ask("version"), Answer::Ack("1.0.0".to_owned()));
    fs::write(&path, vec![0xff; 1 << 20]).unwrap();
    assert_eq!(desk.ask("panic:still there"), Answer::Panic("still there".to_owned()));
    desk.close();
    lane.join();
    assert_eq!(rig.retire(&instance), patchbay_loader::Retired::Unmapped);
}

#[test]
fn e7_a_panic_is_harmless_only_where_the_library_catches_it() {
    const TEST: &str = "deaths::e7_a_panic_is_harmless_only_where_the_library_catches_it";
    if let Some(case) = child::case() {
        let library = Hostile::new().build();
        match &*case {
            "e7_c_unwind" => {
                let function = function(&library, &case);
                // SAFETY: takes nothing, returns a number, and may unwind.
                let function = unsafe {
                    std::mem::transmute::<*mut c_void, extern "C-unwind" fn() -> u32>(function)
                };
                let caught = catch_unwind(AssertUnwindSafe(|| function()));
                assert!(caught.is_err());
            }
            _ => assert_eq!(call(&library, &case), 1),
        }
        return;
    }
    assert_eq!(child::run(TEST, "e7_guarded"), End::Code(0));
    assert_eq!(child::run(TEST, "e7_c_unwind"), SIGABRT);
    assert_eq!(child::run(TEST, "e7_extern_c"), SIGABRT);
    assert_eq!(child::run(TEST, "e7_payload"), SIGABRT);
    assert_eq!(child::run(TEST, "e7_overflow"), SIGABRT);
}

#[test]
fn e8_a_library_that_exits_ends_the_host_without_a_word() {
    const TEST: &str = "deaths::e8_a_library_that_exits_ends_the_host_without_a_word";
    if child::case().is_some() {
        call(&Hostile::new().build(), "e8_exit");
        // Never reached: the test would fail, with another code.
        unreachable!();
    }
    assert_eq!(child::run(TEST, "exit"), End::Code(0));
}

#[test]
fn end_process_runs_no_exit_handler() {
    const TEST: &str = "deaths::end_process_runs_no_exit_handler";
    if child::case().is_some() {
        extern "C" fn handler() {
            // SAFETY: `abort` has no precondition.
            unsafe { libc::abort() }
        }
        // SAFETY: a handler that stays mapped.
        unsafe { libc::atexit(handler) };
        patchbay_loader::end_process(7);
    }
    assert_eq!(child::run(TEST, "end"), End::Code(7));
}
