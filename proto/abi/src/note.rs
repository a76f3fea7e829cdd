//! What a library says about itself, readable from the file before any of its code runs.
//!
//! An ELF note in section `.note.patchbay`, owner `PATCHBY`, type 1: a fixed head, then the
//! manifest. `readelf -n` shows it. All fields are at most 4 bytes wide, so that the descriptor
//! stays at offset 20 in Rust and in C.

/// Owner of the note, with its NUL.
pub const OWNER: [u8; 8] = *b"PATCHBY\0";
/// Type of the note.
pub const TYPE: u32 = 1;
/// Name of the section.
pub const SECTION: &str = ".note.patchbay";

/// Bits of [`NoteHead::flags`].
pub mod flags {
    /// The library runs its own loop on the lanes (`run_lane`), and must be run that way.
    pub const OWN_LOOP: u32 = 1;
    /// A panic unwinds, or cannot happen: it never aborts the process. Required.
    pub const UNWIND: u32 = 2;
    /// The library starts threads of its own.
    pub const SPAWNS_THREADS: u32 = 4;
    /// The library asks to stay mapped for ever.
    pub const NO_UNLOAD: u32 = 8;
    /// The loop of several lanes shares one runtime; else each lane has its own.
    pub const SHARED_LOOP: u32 = 16;
}

/// Fixed part of the note.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteHead {
    /// Contract version the library was built for.
    pub major: u16,
    /// Additive contract version the library was built for.
    pub minor: u16,
    /// Bits of [`flags`]. Unknown ones are ignored.
    pub flags: u32,
    /// Features the host must know, one bit each. None is defined yet: any set bit is refused.
    pub required: [u32; 2],
    /// Bytes of a pointer.
    pub ptr_width: u8,
    /// 1 when the library is big-endian.
    pub big_endian: u8,
    /// Reserved, 0.
    pub reserved: [u8; 2],
    /// Bytes of the manifest that follows; the padding after it does not count.
    pub manifest_len: u32,
}

/// The whole note, as it lies in the file. `N` is [`padded`]`(manifest.len())`.
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Note<const N: usize> {
    namesz: u32,
    descsz: u32,
    kind: u32,
    owner: [u8; 8],
    head: NoteHead,
    manifest: [u8; N],
}

/// Rounds a length up to a multiple of 4.
#[must_use]
pub const fn padded(len: usize) -> usize {
    (len + 3) & !3
}

impl<const N: usize> Note<N> {
    /// Makes the note. [`flags::UNWIND`] is added when this crate is compiled with unwinding, which a
    /// profile of cargo decides for all crates of a library. Who sets the strategy for one crate only
    /// goes past it: `export_plugin!` of the author's kit is a compile error then.
    ///
    /// # Panics
    /// At compile time, when `N` is not `padded(manifest.len())`.
    #[must_use]
    pub const fn new(flags: u32, manifest: &[u8]) -> Note<N> {
        assert!(N == padded(manifest.len()), "N must be padded(manifest.len())");
        assert!(size_of::<NoteHead>() == 24);
        assert!(core::mem::offset_of!(Self, head) == 20 && align_of::<Self>() == 4);
        let mut bytes = [b' '; N];
        let mut i = 0;
        while i < manifest.len() {
            bytes[i] = manifest[i];
            i += 1;
        }
        let unwind = if cfg!(panic = "unwind") { flags::UNWIND } else { 0 };
        Note {
            namesz: 8,
            descsz: (24 + N) as u32,
            kind: TYPE,
            owner: OWNER,
            head: NoteHead {
                major: crate::MAJOR,
                minor: crate::MINOR,
                flags: flags | unwind,
                required: [0; 2],
                ptr_width: size_of::<usize>() as u8,
                big_endian: cfg!(target_endian = "big") as u8,
                reserved: [0; 2],
                manifest_len: manifest.len() as u32,
            },
            manifest: bytes,
        }
    }
}
