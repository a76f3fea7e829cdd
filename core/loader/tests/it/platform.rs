//! Facts about the platform that the design rests on, each as it was measured (E1 to E4, E6, E16).
//! If one of these fails, the platform has changed, and the design with it.

use std::{
    ffi::{CStr, CString, c_void},
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use crate::support::{
    build::{self, Hostile},
    rig::mappings,
};

/// A library that is opened as any program would.
struct Raw(*mut c_void);

impl Raw {
    fn open(path: &Path) -> Raw {
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        Raw::open_name(&path)
    }

    fn open_name(name: &CStr) -> Raw {
        // SAFETY: a NUL terminated name of a fixture without constructors that do anything.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "open {name:?}");
        Raw(handle)
    }

    fn symbol(&self, name: &CStr) -> *mut c_void {
        // SAFETY: an open handle and a NUL terminated name.
        unsafe { libc::dlsym(self.0, name.as_ptr()) }
    }

    fn call(&self, name: &CStr) -> u32 {
        let function = self.symbol(name);
        assert!(!function.is_null(), "find {name:?}");
        // SAFETY: the fixtures' functions of these names take nothing and return a number.
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> u32>(function)() }
    }

    fn version(&self) -> u32 {
        self.call(c"version")
    }

    fn close(self) {
        // SAFETY: an open handle; nothing of the library is used afterwards.
        unsafe { libc::dlclose(self.0) };
    }
}

fn two_versions(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (one, two) = (dir.join("one.so"), dir.join("two.so"));
    fs::copy(build::version(1, None), &one).expect("copy a library");
    fs::copy(build::version(2, None), &two).expect("copy a library");
    (one, two)
}

#[test]
fn e1_a_link_that_leads_elsewhere_now_still_opens_the_old_library() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = two_versions(dir.path());
    let link = dir.path().join("link.so");
    symlink(&one, &link).unwrap();
    let first = Raw::open(&link);
    assert_eq!(first.version(), 1);
    fs::remove_file(&link).unwrap();
    symlink(&two, &link).unwrap();
    let second = Raw::open(&link);
    assert_eq!((second.version(), second.0), (1, first.0));
    second.close();
    first.close();
}

#[test]
fn e2_a_file_renamed_over_a_loaded_one_still_opens_the_old_library() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = two_versions(dir.path());
    let first = Raw::open(&one);
    fs::rename(&two, &one).unwrap();
    let second = Raw::open(&one);
    assert_eq!((second.version(), second.0), (1, first.0));
    second.close();
    first.close();
}

#[test]
fn e3_a_descriptor_that_was_used_again_still_opens_the_old_library() {
    use std::os::fd::AsRawFd;

    let dir = tempfile::tempdir().unwrap();
    let (one, two) = two_versions(dir.path());
    let file = fs::File::open(&one).unwrap();
    let name = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let first = Raw::open_name(&name);
    let other = fs::File::open(&two).unwrap();
    // SAFETY: both descriptors are open and ours: the old number now leads to the other file.
    assert!(unsafe { libc::dup2(other.as_raw_fd(), file.as_raw_fd()) } >= 0);
    let second = Raw::open_name(&name);
    assert_eq!((second.version(), second.0), (1, first.0));
    second.close();
    first.close();
}

#[test]
fn e4_two_paths_with_one_soname_are_two_libraries_and_the_bare_name_is_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("a.so"), dir.path().join("b.so"));
    let soname = "libpatchbay-e4.so";
    fs::copy(build::version(1, Some(soname)), &one).unwrap();
    fs::copy(build::version(2, Some(soname)), &two).unwrap();
    let (first, second) = (Raw::open(&one), Raw::open(&two));
    assert_eq!((first.version(), second.version()), (1, 2));
    let bare = Raw::open_name(&CString::new(soname).unwrap());
    assert_eq!(bare.version(), 1);
    bare.close();
    second.close();
    first.close();
}

#[test]
fn e6_a_thread_local_with_a_destructor_pins_the_library_and_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plug.so");
    let (one, two) = (Hostile::new().build(), Hostile::new().version("2.0.0").build());
    for (touches, expected) in [(false, 2), (true, 1)] {
        fs::copy(&one, dir.path().join("tmp")).unwrap();
        fs::rename(dir.path().join("tmp"), &path).unwrap();
        let (path, dir, two) = (path.clone(), dir.path().to_owned(), two.clone());
        // A thread that outlives the close: as a thread of a shared pool would.
        std::thread::spawn(move || {
            let first = Raw::open(&path);
            if touches {
                first.call(c"touch_tls");
            }
            first.close();
            assert_eq!(mappings(&path) > 0, touches);
            fs::copy(&two, dir.join("tmp")).unwrap();
            fs::rename(dir.join("tmp"), &path).unwrap();
            let second = Raw::open(&path);
            assert_eq!(second.version(), expected);
            second.close();
        })
        .join()
        .unwrap();
    }
}

#[test]
fn e16_a_lookup_in_a_library_finds_the_functions_of_libc() {
    let library = Raw::open(&Hostile::new().build());
    for name in [c"system", c"abort"] {
        let found = library.symbol(name);
        assert!(!found.is_null());
        // SAFETY: an all-zero value is fine for `dladdr` to fill.
        let mut owner: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: any address may be asked for.
        assert_ne!(unsafe { libc::dladdr(found, &raw mut owner) }, 0);
        // SAFETY: filled by the successful call, with a NUL terminated name.
        let file = unsafe { CStr::from_ptr(owner.dli_fname) };
        assert!(file.to_string_lossy().contains("libc.so"), "{file:?}");
    }
    library.close();
}
