//! Real libraries, good and hostile, on their whole way in and out.

mod bad_files;
mod deaths;
mod faults;
mod lanes;
mod own_loop;
mod platform;
mod private_copies;
mod quarantine;
mod services;
mod support;
mod unload;
