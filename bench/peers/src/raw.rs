//! The floor of everything durable: append to a preallocated file, fdatasync, repeat.

use std::{fs::File, os::unix::fs::FileExt, sync::atomic::Ordering::Relaxed, thread};

use patchbay_measure::{entry::Outcome, work::Kind};

use crate::crew::Crew;

/// The file is written over from its start when it is full.
const FILE: usize = 32 << 20;

pub(crate) fn append(crew: &Crew, name: &str) -> Outcome<()> {
    let (work, stop, consumer) = (crew.work, crew.stop.clone(), crew.consumer());
    crew.only(name, work.kind == Kind::Disk && work.in_flight == 1)?;
    // Where the others have their data; the name is gone at once, the file with the process.
    let folder =
        std::env::var_os("PATCHBAY_BENCH_DATA").unwrap_or_else(|| std::env::temp_dir().into());
    let path = std::path::Path::new(&folder).join(format!("raw-{}", std::process::id()));
    let file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    for at in (0..FILE).step_by(1 << 20) {
        file.write_all_at(&vec![0; 1 << 20], at as u64)?;
    }
    file.sync_all()?;
    let mut source = crew.source(0);
    thread::spawn(move || {
        let mut at = 0;
        while !stop.load(Relaxed) && source.make().is_some() {
            let written = file.write_all_at(source.payload(), at).and_then(|()| file.sync_data());
            if written.is_err() {
                return;
            }
            consumer.finish(source.payload());
            at = (at + source.payload().len() as u64) % (FILE as u64 / 2);
        }
    });
    Ok(())
}
