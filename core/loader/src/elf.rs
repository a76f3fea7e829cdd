//! What an ELF file says, read from its bytes.
//!
//! Only what the dynamic linker itself looks at is used, program headers and the dynamic segment,
//! so that a library without section headers is read just the same.

use object::{
    Endianness, elf,
    pod::Pod,
    read::{
        ReadRef, StringTable,
        elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, Sym},
    },
};

use crate::problem::LibraryProblem;

type Header = elf::FileHeader64<Endianness>;
type Segment = elf::ProgramHeader64<Endianness>;
type Symbol = elf::Sym64<Endianness>;

/// What the file says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfFacts {
    /// Processor, as ELF numbers it.
    pub machine: u16,
    /// Name that other libraries would link against.
    pub soname: Option<String>,
    /// Libraries that it needs.
    pub needed: Vec<String>,
    /// Whether the linker was told that it is never unmapped.
    pub nodelete: bool,
    /// Whether its thread-local storage comes from the small reserve of the process.
    pub static_tls: bool,
    /// Functions and variables that are shared by all versions of it in a process.
    pub unique: Vec<String>,
    /// Functions that it imports and the host cannot watch.
    pub evades: Vec<String>,
}

/// An ELF file of this host's kind, with its dynamic segment found.
pub(crate) struct ElfFile<'data> {
    data: &'data [u8],
    endian: Endianness,
    segments: &'data [Segment],
    strings: StringTable<'data>,
    symbols: &'data [Symbol],
    facts: ElfFacts,
}

/// Imports that the hooks of the executable do not see.
const EVADES: [&str; 5] = ["tss_create", "thrd_create", "__pthread_key_create", "clone", "clone3"];
const DF_1_NODELETE: u64 = 0x8;
const DF_STATIC_TLS: u64 = 0x10;

#[cfg(target_arch = "x86_64")]
const MACHINE: elf::Machine = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: elf::Machine = elf::EM_AARCH64;

/// Addresses and counts from the dynamic segment.
#[derive(Default)]
struct Dynamic {
    strings: u64,
    strings_len: u64,
    symbols: u64,
    hash: u64,
    gnu_hash: u64,
    soname: Option<u64>,
    needed: Vec<u64>,
}

// === impl ElfFile ===

impl<'data> ElfFile<'data> {
    /// Reads the headers and the dynamic segment.
    pub(crate) fn parse(data: &'data [u8]) -> Result<ElfFile<'data>, LibraryProblem> {
        let head = data.get(..20).ok_or(LibraryProblem::NotElf)?;
        if head[..4] != elf::ELFMAG {
            return Err(LibraryProblem::NotElf);
        }
        machine(head)?;
        let header = Header::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        if header.e_type(endian) != elf::ET_DYN {
            return Err(LibraryProblem::NotShared { found: header.e_type(endian).0 });
        }
        let segments = header.program_headers(endian, data).map_err(damaged)?;
        let mut file = ElfFile {
            data,
            endian,
            segments,
            strings: StringTable::default(),
            symbols: &[],
            facts: ElfFacts { machine: header.e_machine(endian).0, ..ElfFacts::default() },
        };
        file.all_there()?;
        let dynamic = file.dynamic()?;
        file.read_tables(&dynamic)?;
        file.read_symbols();
        Ok(file)
    }

    /// What the file says.
    pub(crate) fn into_facts(self) -> ElfFacts {
        self.facts
    }

    /// Descriptors of all notes with this owner and type.
    pub(crate) fn notes(
        &self,
        owner: &[u8],
        kind: u32,
    ) -> Result<Vec<&'data [u8]>, LibraryProblem> {
        let mut found = Vec::new();
        for segment in self.segments {
            let Some(mut notes) = segment.notes(self.endian, self.data).map_err(damaged)? else {
                continue;
            };
            while let Some(note) = notes.next().map_err(damaged)? {
                if note.n_type(self.endian).0 == kind && note.name_bytes() == owner {
                    found.push(note.desc());
                }
            }
        }
        Ok(found)
    }

    /// Whether the file itself defines a function of that name for others to find.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.symbols.iter().any(|symbol| {
            symbol.st_type() == elf::STT_FUNC
                && !symbol.is_undefined(self.endian)
                && symbol.name(self.endian, self.strings) == Ok(name.as_bytes())
        })
    }

    /// A library whose segments reach beyond its end would be mapped, and end the process with
    /// `SIGBUS` when the missing part is touched.
    fn all_there(&self) -> Result<(), LibraryProblem> {
        for segment in self.segments.iter().filter(|s| s.p_type(self.endian) == elf::PT_LOAD) {
            if segment.data(self.endian, self.data).is_err() {
                return Err(LibraryProblem::Damaged {
                    what: "a segment reaches beyond the end of the file".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn dynamic(&mut self) -> Result<Dynamic, LibraryProblem> {
        let endian = self.endian;
        let mut dynamic = Dynamic::default();
        for segment in self.segments {
            let Some(entries) = segment.dynamic(endian, self.data).map_err(damaged)? else {
                continue;
            };
            for entry in entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL) {
                let value = entry.val(endian);
                match entry.tag(endian) {
                    elf::DT_STRTAB => dynamic.strings = value,
                    elf::DT_STRSZ => dynamic.strings_len = value,
                    elf::DT_SYMTAB => dynamic.symbols = value,
                    elf::DT_HASH => dynamic.hash = value,
                    elf::DT_GNU_HASH => dynamic.gnu_hash = value,
                    elf::DT_SONAME => dynamic.soname = Some(value),
                    elf::DT_NEEDED => dynamic.needed.push(value),
                    elf::DT_FLAGS => self.facts.static_tls = value & DF_STATIC_TLS != 0,
                    elf::DT_FLAGS_1 => self.facts.nodelete = value & DF_1_NODELETE != 0,
                    _ => {}
                }
            }
        }
        if dynamic.strings == 0 || dynamic.symbols == 0 {
            return Err(LibraryProblem::Damaged { what: "no dynamic symbol table".to_owned() });
        }
        Ok(dynamic)
    }

    fn read_tables(&mut self, dynamic: &Dynamic) -> Result<(), LibraryProblem> {
        let strings = self.at(dynamic.strings, "no dynamic string table")?;
        let end = (strings.len() as u64).min(dynamic.strings_len);
        self.strings = StringTable::new(strings, 0, end);
        let text = |offset: u64| {
            let found = u32::try_from(offset).ok().and_then(|at| self.strings.get(at).ok());
            String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
        };
        let soname = dynamic.soname.map(text);
        let needed = dynamic.needed.iter().copied().map(text).collect();
        let symbols = self.at(dynamic.symbols, "no dynamic symbol table")?;
        let count = self.symbol_count(dynamic)?;
        self.symbols = array(symbols, count)
            .ok_or_else(|| LibraryProblem::Damaged { what: "a short symbol table".to_owned() })?;
        self.facts.soname = soname;
        self.facts.needed = needed;
        Ok(())
    }

    /// Nothing says how many symbols there are, but the table by which they are looked up.
    fn symbol_count(&self, dynamic: &Dynamic) -> Result<usize, LibraryProblem> {
        if dynamic.gnu_hash != 0 {
            let table = self.at(dynamic.gnu_hash, "no symbol hash table")?;
            let table = GnuHashTable::<Header>::parse(self.endian, table).map_err(damaged)?;
            let count = table.symbol_table_length(self.endian);
            return Ok(count.unwrap_or_else(|| table.symbol_base()) as usize);
        }
        let table = self.at(dynamic.hash, "no symbol hash table")?;
        let table = HashTable::<Header>::parse(self.endian, table).map_err(damaged)?;
        Ok(table.symbol_table_length() as usize)
    }

    fn read_symbols(&mut self) {
        for symbol in self.symbols {
            let name = symbol.name(self.endian, self.strings).unwrap_or_default();
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if symbol.is_undefined(self.endian) {
                if EVADES.contains(&name) {
                    self.facts.evades.push(name.to_owned());
                }
            } else if symbol.st_bind() == elf::STB_GNU_UNIQUE {
                self.facts.unique.push(name.to_owned());
            }
        }
    }

    /// The file's bytes from a mapped address to the end of its segment.
    fn at(&self, address: u64, missing: &str) -> Result<&'data [u8], LibraryProblem> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(self.endian) == elf::PT_LOAD)
            .find_map(|segment| {
                let offset = address.checked_sub(segment.p_vaddr(self.endian))?;
                let data = segment.data(self.endian, self.data).ok()?;
                data.get(usize::try_from(offset).ok()?..).filter(|rest| !rest.is_empty())
            })
            .ok_or_else(|| LibraryProblem::Damaged { what: missing.to_owned() })
    }
}

fn array<T: Pod>(bytes: &[u8], count: usize) -> Option<&[T]> {
    bytes.read_slice_at(0, count).ok()
}

fn damaged(error: object::read::Error) -> LibraryProblem {
    LibraryProblem::Damaged { what: error.to_string() }
}

/// Whether the first bytes say that the file is for this processor.
fn machine(head: &[u8]) -> Result<(), LibraryProblem> {
    let class = head[4];
    let little = head[5] == elf::ELFDATA2LSB.0;
    let pair = [head[18], head[19]];
    let found = if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
    let same_class = class == elf::ELFCLASS64.0;
    if same_class && little == cfg!(target_endian = "little") && found == MACHINE.0 {
        return Ok(());
    }
    let bits = if same_class { 64 } else { 32 };
    let order = if little { "little" } else { "big" };
    Err(LibraryProblem::Machine {
        found: format!("machine {found}, {bits} bit, {order}-endian"),
        host: format!("machine {}, 64 bit, little-endian", MACHINE.0),
    })
}
