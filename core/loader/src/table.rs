//! A library's table of functions, checked and copied.
//!
//! The table is read as plain words first: a null or foreign function pointer must become an
//! error, and a Rust function pointer cannot hold one. After the copy the host keeps no pointer
//! into the library but the functions themselves.

use std::{mem::offset_of, ptr};

use patchbay_abi as abi;
use patchbay_interpose::Range;
use patchbay_manifest::Manifest;

/// Why a library's table of functions cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The entry function returned nothing.
    #[error("the entry function returned null")]
    Null,
    /// The table was made for another contract.
    #[error("the table is of contract {found}.x, this host speaks {host}.x")]
    Contract {
        /// Major version of the table.
        found: u16,
        /// Major version of the host.
        host: u16,
    },
    /// The table ends before a field that every version has.
    #[error("the table has {found} bytes, at least {needed} are needed")]
    Short {
        /// What the table says.
        found: u32,
        /// What the contract says.
        needed: u32,
    },
    /// A function is missing, or is not the library's own.
    #[error("function `{function}` is not inside the library")]
    Function {
        /// Name of the field.
        function: &'static str,
    },
    /// A call slot that the host does not provide.
    #[error("a call slot of {size} bytes aligned to {align} is outside the contract")]
    Slot {
        /// Bytes.
        size: u32,
        /// Alignment.
        align: u32,
    },
    /// Note and table were made for different libraries.
    #[error("the table says `{table}` for the {what}, the note `{note}`")]
    Differs {
        /// What differs.
        what: &'static str,
        /// What the table says.
        table: String,
        /// What the note or its manifest says.
        note: String,
    },
}

type Create = unsafe extern "C" fn(
    *const abi::Host,
    *mut std::ffi::c_void,
    abi::Str,
    *mut *mut std::ffi::c_void,
    *mut abi::Outcome,
) -> u32;
type Control = unsafe extern "C" fn(
    *mut std::ffi::c_void,
    u32,
    abi::Str,
    *mut u8,
    *const abi::Waker,
    *mut abi::Outcome,
) -> u32;
type Process = unsafe extern "C" fn(
    *mut std::ffi::c_void,
    *const abi::Delivery,
    *mut u8,
    *const abi::Waker,
    *mut abi::Outcome,
) -> u32;
type Poll = unsafe extern "C" fn(*mut u8, *const abi::Waker, *mut abi::Outcome) -> u32;
type Cancel = unsafe extern "C" fn(*mut u8);
type RunLane = unsafe extern "C" fn(
    *mut std::ffi::c_void,
    u32,
    *const abi::Source,
    *mut std::ffi::c_void,
    u32,
    u32,
) -> u32;
type Quiesce = unsafe extern "C" fn(*mut std::ffi::c_void, u64) -> u32;
type Destroy = unsafe extern "C" fn(*mut std::ffi::c_void) -> u32;

/// The functions of one library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) call_size: u32,
    pub(crate) call_align: u32,
    pub(crate) create: Create,
    pub(crate) op: Control,
    pub(crate) process: Process,
    pub(crate) poll: Poll,
    pub(crate) cancel: Cancel,
    /// Set exactly when the library runs its own loop.
    pub(crate) run_lane: Option<RunLane>,
    pub(crate) quiesce: Quiesce,
    pub(crate) destroy: Destroy,
}

/// Reads single words of a table.
struct Words {
    table: *const abi::Plugin,
    range: Range,
}

/// Longest name or version that is read.
const TEXT_BYTES_MAX: usize = 4096;

// === impl Table ===

impl Table {
    /// Reads and checks the table that the entry function returned.
    ///
    /// # Safety
    /// `table` is null or what the entry function of the library in `range` returned, and the
    /// library is mapped.
    pub(crate) unsafe fn read(
        table: *const abi::Plugin,
        range: Range,
        note_flags: u32,
        manifest: &Manifest,
    ) -> Result<Table, TableError> {
        if table.is_null() || !table.is_aligned() {
            return Err(TableError::Null);
        }
        // SAFETY: not null; every version of the table begins with these fields.
        let (size, major) = unsafe { ((*table).size, (*table).major) };
        if major != abi::MAJOR {
            return Err(TableError::Contract { found: major, host: abi::MAJOR });
        }
        let needed = size_of::<abi::Plugin>() as u32;
        if size < needed {
            return Err(TableError::Short { found: size, needed });
        }
        // SAFETY: the table has all fields of this version. The words are read one by one.
        unsafe {
            Table::agrees(table, note_flags, manifest)?;
            let (call_size, call_align) = ((*table).call_size, (*table).call_align);
            if call_size > abi::CALL_SIZE_MAX
                || !call_align.is_power_of_two()
                || call_align > abi::CALL_ALIGN_MAX
            {
                return Err(TableError::Slot { size: call_size, align: call_align });
            }
            let words = Words { table, range };
            let own_loop = note_flags & abi::note::flags::OWN_LOOP != 0;
            let run_lane = if own_loop {
                let word = words.function(offset_of!(abi::Plugin, run_lane), "run_lane")?;
                Some(std::mem::transmute::<usize, RunLane>(word))
            } else {
                None
            };
            // SAFETY: each word is the address of code inside the library, and the library vouches
            // that the field has the function of that type.
            Ok(Table {
                call_size,
                call_align,
                create: std::mem::transmute::<usize, Create>(
                    words.function(offset_of!(abi::Plugin, create), "create")?,
                ),
                op: std::mem::transmute::<usize, Control>(
                    words.function(offset_of!(abi::Plugin, op), "op")?,
                ),
                process: std::mem::transmute::<usize, Process>(
                    words.function(offset_of!(abi::Plugin, process), "process")?,
                ),
                poll: std::mem::transmute::<usize, Poll>(
                    words.function(offset_of!(abi::Plugin, poll), "poll")?,
                ),
                cancel: std::mem::transmute::<usize, Cancel>(
                    words.function(offset_of!(abi::Plugin, cancel), "cancel")?,
                ),
                run_lane,
                quiesce: std::mem::transmute::<usize, Quiesce>(
                    words.function(offset_of!(abi::Plugin, quiesce), "quiesce")?,
                ),
                destroy: std::mem::transmute::<usize, Destroy>(
                    words.function(offset_of!(abi::Plugin, destroy), "destroy")?,
                ),
            })
        }
    }

    /// Whether the table belongs to the note that was read from the file.
    ///
    /// # Safety
    /// `table` has all fields of this version, and its texts are readable.
    unsafe fn agrees(
        table: *const abi::Plugin,
        note_flags: u32,
        manifest: &Manifest,
    ) -> Result<(), TableError> {
        // SAFETY: passed on.
        let (flags, name, version) = unsafe { ((*table).flags, (*table).name, (*table).version) };
        if flags != u64::from(note_flags) {
            return Err(TableError::Differs {
                what: "flags",
                table: format!("{flags:#x}"),
                note: format!("{note_flags:#x}"),
            });
        }
        let texts = [
            ("name", name, manifest.name.to_string()),
            ("version", version, manifest.version.to_string()),
        ];
        for (what, text, note) in texts {
            let found = if text.len > TEXT_BYTES_MAX || (text.len > 0 && text.ptr.is_null()) {
                String::from("(unreadable)")
            } else {
                // SAFETY: the library lends its own text, of bounded length.
                String::from_utf8_lossy(unsafe { text.as_bytes() }).into_owned()
            };
            if found != note {
                return Err(TableError::Differs { what, table: found, note });
            }
        }
        Ok(())
    }
}

// === impl Words ===

impl Words {
    /// The address in a field, if it lies in the library.
    ///
    /// # Safety
    /// The table has a function pointer at that offset.
    unsafe fn function(&self, offset: usize, function: &'static str) -> Result<usize, TableError> {
        // SAFETY: passed on; the table is aligned.
        let word = unsafe { ptr::read(self.table.byte_add(offset).cast::<usize>()) };
        if self.range.contains(word) { Ok(word) } else { Err(TableError::Function { function }) }
    }
}
