//! The functions that the executable defines in place of glibc's.
//!
//! Each writes down what it sees and goes on to the real one. Three of them begin with a shim in
//! assembly that hands the address the call returns to on as one more argument: it tells which
//! library calls, also when nothing else does.

use std::{
    ffi::{c_int, c_void},
    mem,
    sync::atomic::AtomicUsize,
};

use libc::{pthread_attr_t, pthread_key_t, pthread_t};

use crate::{
    crash::stamp,
    destructors::{self, Entry},
    glibc, keys,
    range::Range,
    threads::{self, Slot},
};

type Destructor = unsafe extern "C" fn(*mut c_void);
type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

type Exit = unsafe extern "C" fn(c_int) -> !;
type KeyCreate = unsafe extern "C" fn(*mut pthread_key_t, Option<Destructor>) -> c_int;
type KeyDelete = unsafe extern "C" fn(pthread_key_t) -> c_int;
type Register = unsafe extern "C" fn(Destructor, *mut c_void, *mut c_void) -> c_int;
type ThreadCreate =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

/// What glibc gets instead of a thread-local object: everything that the wrapper needs.
struct Node {
    run: Destructor,
    object: *mut c_void,
    entry: &'static Entry,
}

/// What a new thread is told.
struct Boot {
    start: Start,
    argument: *mut c_void,
    generation: u64,
    slot: Option<&'static Slot>,
}

/// Status of a process whose library has called `exit` (promise P-33).
const EXITED: c_int = 70;

static REAL_EXIT: AtomicUsize = AtomicUsize::new(0);
static REAL_KEY_CREATE: AtomicUsize = AtomicUsize::new(0);
static REAL_KEY_DELETE: AtomicUsize = AtomicUsize::new(0);
static REAL_REGISTER: AtomicUsize = AtomicUsize::new(0);
static REAL_THREAD_CREATE: AtomicUsize = AtomicUsize::new(0);

/// Addresses of the hooks, by their names.
pub(crate) fn addresses() -> [(&'static str, usize); 5] {
    [
        ("exit", exit as *const () as usize),
        ("pthread_key_create", pthread_key_create as *const () as usize),
        ("pthread_key_delete", pthread_key_delete as *const () as usize),
        ("__cxa_thread_atexit_impl", __cxa_thread_atexit_impl as *const () as usize),
        ("pthread_create", pthread_create as *const () as usize),
    ]
}

/// A library that calls it would end a running host as if all were well.
#[unsafe(no_mangle)]
unsafe extern "C" fn exit(status: c_int) -> ! {
    if stamp::exits() {
        const WORDS: &[u8] = b"patchbay: a plugin called exit(): the host ends with status 70\n";
        // SAFETY: both: readable bytes, and no precondition. No exit handler runs: those of
        // libraries would find their threads alive.
        unsafe {
            libc::write(libc::STDERR_FILENO, WORDS.as_ptr().cast(), WORDS.len());
            libc::_exit(EXITED)
        }
    }
    let real = glibc::next(&REAL_EXIT, c"exit");
    // SAFETY: the address is that of glibc's function of this name and type.
    let real = unsafe { mem::transmute::<usize, Exit>(real) };
    // SAFETY: the caller's argument is passed on.
    unsafe { real(status) }
}

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(
    key: *mut pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    std::arch::naked_asm!("mov rdx, [rsp]", "jmp {create}", create = sym key_create)
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(
    key: *mut pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    // `bti c`: the call comes through a table of pointers. Older processors see a no-op.
    std::arch::naked_asm!("hint #34", "mov x2, x30", "b {create}", create = sym key_create)
}

unsafe extern "C" fn key_create(
    key: *mut pthread_key_t,
    destructor: Option<Destructor>,
    caller: usize,
) -> c_int {
    let real = glibc::next(&REAL_KEY_CREATE, c"pthread_key_create");
    // SAFETY: the address is that of glibc's function of this name and type.
    let real = unsafe { mem::transmute::<usize, KeyCreate>(real) };
    // SAFETY: the caller's arguments are passed on.
    let result = unsafe { real(key, destructor) };
    if result == 0 {
        // SAFETY: the call succeeded, so glibc has written through the pointer.
        keys::made(unsafe { key.read() }, destructor.map(|run| run as usize), caller);
    }
    result
}

/// Hooked as well, or a key that a library deleted itself would be deleted again under its next
/// owner.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_delete(key: pthread_key_t) -> c_int {
    keys::deleted(key);
    let real = glibc::next(&REAL_KEY_DELETE, c"pthread_key_delete");
    // SAFETY: the address is that of glibc's function of this name and type.
    let real = unsafe { mem::transmute::<usize, KeyDelete>(real) };
    // SAFETY: the caller's argument is passed on.
    unsafe { real(key) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __cxa_thread_atexit_impl(
    run: Destructor,
    object: *mut c_void,
    handle: *mut c_void,
) -> c_int {
    let real = glibc::next(&REAL_REGISTER, c"__cxa_thread_atexit_impl");
    // SAFETY: the address is that of glibc's function of this name and type.
    let real = unsafe { mem::transmute::<usize, Register>(real) };
    // By range: a handle may be any address inside the object. The executable is never unmapped.
    if handle.is_null() || Range::of_executable().contains(handle.addr()) {
        // SAFETY: the caller's arguments are passed on.
        return unsafe { real(run, object, handle) };
    }
    if destructors::are_forgone() {
        return 0;
    }
    let Some(entry) = destructors::claim(handle.addr()) else {
        destructors::lose();
        // SAFETY: as above.
        return unsafe { real(run, object, handle) };
    };
    // SAFETY: `malloc` has no precondition; the result is checked.
    let node = unsafe { libc::malloc(size_of::<Node>()) }.cast::<Node>();
    if node.is_null() {
        destructors::lose();
        entry.done();
        // SAFETY: as above.
        return unsafe { real(run, object, handle) };
    }
    // SAFETY: fresh memory of the right size, and `malloc` aligns for any type.
    unsafe { node.write(Node { run, object, entry }) };
    // SAFETY: `run_and_count` takes exactly such a node, and lives in the executable, which stays
    // mapped for as long as any thread may end. The handle stays the library's own, so that glibc
    // refuses to unmap it by itself as well.
    let result = unsafe { real(run_and_count, node.cast(), handle) };
    if result != 0 {
        // SAFETY: glibc did not take the node, so it is still ours and unused.
        unsafe { libc::free(node.cast()) };
        entry.done();
    }
    result
}

/// Runs at the end of a thread, in place of the library's destructor.
unsafe extern "C" fn run_and_count(node: *mut c_void) {
    // SAFETY: glibc passes the node that was registered, once.
    let Node { run, object, entry } = unsafe { node.cast::<Node>().read() };
    // SAFETY: what the library asked for; glibc keeps it mapped while it has such a registration.
    unsafe { run(object) };
    // SAFETY: the node came from `malloc`, and was read out above.
    unsafe { libc::free(node) };
    entry.done();
}

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    std::arch::naked_asm!("mov r8, [rsp]", "jmp {create}", create = sym thread_create)
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    std::arch::naked_asm!("hint #34", "mov x4, x30", "b {create}", create = sym thread_create)
}

unsafe extern "C" fn thread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
    caller: usize,
) -> c_int {
    // A thread that the host starts is the host's, also from a lane; a lane says so itself.
    let host = Range::of_executable().contains(caller);
    let generation = if host { 0 } else { threads::mark() };
    // SAFETY: `malloc` has no precondition; the result is checked.
    let boot = unsafe { libc::malloc(size_of::<Boot>()) }.cast::<Boot>();
    if boot.is_null() {
        return libc::EAGAIN;
    }
    let slot = if host { None } else { threads::expect(generation, start as usize, caller) };
    if !host && slot.is_none() {
        // SAFETY: the memory is ours and was not handed out.
        unsafe { libc::free(boot.cast()) };
        return libc::EAGAIN;
    }
    // SAFETY: fresh memory of the right size, and `malloc` aligns for any type.
    unsafe { boot.write(Boot { start, argument, generation, slot }) };
    let real = glibc::next(&REAL_THREAD_CREATE, c"pthread_create");
    // SAFETY: the address is that of glibc's function of this name and type.
    let real = unsafe { mem::transmute::<usize, ThreadCreate>(real) };
    // SAFETY: the caller's arguments, but for the routine, which takes exactly such a `Boot`.
    let result = unsafe { real(thread, attributes, run_thread, boot.cast()) };
    if result != 0 {
        // SAFETY: no thread was made, so nobody else has the pointer.
        unsafe { libc::free(boot.cast()) };
        if let Some(slot) = slot {
            slot.cancel();
        }
    }
    result
}

/// The first thing that every new thread runs.
unsafe extern "C" fn run_thread(boot: *mut c_void) -> *mut c_void {
    // SAFETY: the pointer is the one that `thread_create` passed, used once.
    let Boot { start, argument, generation, slot } = unsafe { boot.cast::<Boot>().read() };
    // SAFETY: the memory came from `malloc`, and was read out above.
    unsafe { libc::free(boot) };
    threads::enter(generation);
    threads::begun(slot);
    // SAFETY: what the caller of `pthread_create` asked for.
    unsafe { start(argument) }
}
