//! The plugin note of a library, checked.

use patchbay_abi as abi;

use crate::problem::LibraryProblem;

/// What the note says beside the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteFacts {
    /// Breaking version of the contract that the library was built for.
    pub major: u16,
    /// Additive version of the contract that the library was built for.
    pub minor: u16,
    /// Bits of [`patchbay_abi::note::flags`].
    pub flags: u32,
}

/// Bytes of the fixed part.
const HEAD: usize = size_of::<abi::NoteHead>();

// === impl NoteFacts ===

impl NoteFacts {
    /// Reads the descriptor of a note: the facts, and the bytes of the manifest.
    pub(crate) fn read(descriptor: &[u8]) -> Result<(NoteFacts, &[u8]), LibraryProblem> {
        let short = LibraryProblem::Note { what: "it is shorter than its head" };
        let (head, rest) = descriptor.split_at_checked(HEAD).ok_or(short)?;
        let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (major, minor) = (
            half(std::mem::offset_of!(abi::NoteHead, major)),
            half(std::mem::offset_of!(abi::NoteHead, minor)),
        );
        if major != abi::MAJOR {
            return Err(LibraryProblem::Contract { found: major, host: abi::MAJOR });
        }
        let required = std::mem::offset_of!(abi::NoteHead, required);
        let unknown = u64::from(word(required)) | u64::from(word(required + 4)) << 32;
        if unknown != 0 {
            return Err(LibraryProblem::Features { unknown });
        }
        let flags = word(std::mem::offset_of!(abi::NoteHead, flags));
        if flags & abi::note::flags::UNWIND == 0 {
            return Err(LibraryProblem::PanicAborts);
        }
        let len = word(std::mem::offset_of!(abi::NoteHead, manifest_len)) as usize;
        let beyond = LibraryProblem::Note { what: "its manifest is longer than the note" };
        let manifest = rest.get(..len).ok_or(beyond)?;
        Ok((NoteFacts { major, minor, flags }, manifest))
    }

    /// Whether the library asks to stay mapped for ever.
    #[must_use]
    pub fn no_unload(self) -> bool {
        self.flags & abi::note::flags::NO_UNLOAD != 0
    }

    /// Whether the library runs its own loop on the lanes.
    #[must_use]
    pub fn own_loop(self) -> bool {
        self.flags & abi::note::flags::OWN_LOOP != 0
    }

    /// Whether the loops of several lanes share one runtime.
    #[must_use]
    pub fn shared_loop(self) -> bool {
        self.flags & abi::note::flags::SHARED_LOOP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(major: u16, flags: u32, required: u32, manifest: &[u8], len: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(major.to_ne_bytes());
        bytes.extend(0_u16.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(required.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([8, 0, 0, 0]);
        bytes.extend(len.to_ne_bytes());
        bytes.extend(manifest);
        bytes
    }

    #[test]
    fn the_padding_behind_the_manifest_does_not_count() {
        let bytes = descriptor(1, 2, 0, b"{}  ", 2);
        let (facts, manifest) = NoteFacts::read(&bytes).unwrap();
        assert_eq!(facts, NoteFacts { major: 1, minor: 0, flags: 2 });
        assert_eq!(manifest, b"{}");
    }

    #[test]
    fn each_thing_that_a_note_may_not_say_has_its_own_refusal() {
        let read = |bytes: &[u8]| NoteFacts::read(bytes).map(|_| ()).unwrap_err().to_string();
        assert!(read(b"short").contains("shorter than its head"));
        assert!(read(&descriptor(2, 2, 0, b"{}", 2)).contains("contract 2.x"));
        assert!(read(&descriptor(1, 2, 4, b"{}", 2)).contains("0x4"));
        assert!(read(&descriptor(1, 0, 0, b"{}", 2)).contains("panic=abort"));
        assert!(read(&descriptor(1, 2, 0, b"{}", 3)).contains("longer than the note"));
    }
}
