//! Which addresses belong to a library.
//!
//! Read from the link map of the process, without `/proc`: it is the same list that `dlopen` and
//! `dlclose` work on, so that "not in the list" means "unmapped".

use std::ffi::{CStr, c_int, c_void};

/// The addresses of one mapped object: from its lowest to the end of its highest segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: usize,
    end: usize,
}

struct Search<'a> {
    name: &'a [u8],
    found: Option<Range>,
}

unsafe extern "C" {
    // Defined by the linker: the first and the past-the-end address of the executable.
    static __executable_start: u8;
    static _end: u8;
}

// === impl Range ===

impl Range {
    /// The object whose name in the link map is `name`: the exact string given to `dlopen`. `None`
    /// when there is none, in other words when it is not mapped.
    #[must_use]
    pub fn of(name: &CStr) -> Option<Range> {
        let mut search = Search { name: name.to_bytes(), found: None };
        // SAFETY: `visit` has the required signature and gets back the pointer that is passed
        // here, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
        search.found
    }

    /// The executable itself.
    #[must_use]
    pub fn of_executable() -> Range {
        Range { start: (&raw const __executable_start).addr(), end: (&raw const _end).addr() }
    }

    /// Whether the address lies in the object.
    #[must_use]
    pub fn contains(self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// Called by the dynamic linker for every object until it returns something but 0.
unsafe extern "C" fn visit(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    search: *mut c_void,
) -> c_int {
    // SAFETY: `dl_iterate_phdr` passes a valid object for the length of this call.
    let object = unsafe { &*object };
    // SAFETY: the pointer is the one that `Range::of` passed, borrowed by nobody else.
    let search = unsafe { &mut *search.cast::<Search<'_>>() };
    if object.dlpi_name.is_null() {
        return 0;
    }
    // SAFETY: a name in the link map is NUL terminated and lives as long as the object.
    if unsafe { CStr::from_ptr(object.dlpi_name) }.to_bytes() != search.name {
        return 0;
    }
    // SAFETY: the dynamic linker vouches for the array and its length.
    let headers =
        unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    let (mut start, mut end) = (usize::MAX, 0);
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
        let at = (object.dlpi_addr + header.p_vaddr) as usize;
        start = start.min(at);
        end = end.max(at + header.p_memsz as usize);
    }
    search.found = Some(Range { start, end });
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_contains_its_own_code_and_not_that_of_libc() {
        let range = Range::of_executable();
        assert!(range.contains(visit as *const () as usize));
        assert!(!range.contains(libc::getpid as *const () as usize));
    }

    #[test]
    fn an_object_that_is_not_mapped_has_no_range() {
        assert_eq!(Range::of(c"/nowhere/libnone.so"), None);
    }
}
