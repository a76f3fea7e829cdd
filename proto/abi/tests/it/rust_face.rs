//! The Rust face against the table.

use std::mem::offset_of;

use patchbay_abi::{host, note, outcome, source, state, *};

use crate::table::{self, Layout};

/// Puts the layout of structs into a [`Layout`]. The pattern names every field and has no `..`: a
/// field that is not listed here does not compile.
macro_rules! structs {
    ($layout:ident, $($name:ident { $($field:ident),* $(,)? })*) => {$(
        {
            fn all_fields(value: &$name) {
                let $name { $($field: _),* } = value;
            }
            let _checked: fn(&$name) = all_fields;
            let name = stringify!($name).to_owned();
            $(
                let field = (name.clone(), stringify!($field).to_owned());
                let size = field_size(|value: &$name| &value.$field);
                $layout.fields.insert(field, (offset_of!($name, $field), size));
            )*
            $layout.structs.insert(name, (size_of::<$name>(), align_of::<$name>()));
        }
    )*};
}

macro_rules! values {
    ($layout:ident, $($name:path),* $(,)?) => {$(
        $layout.values.insert(stringify!($name).replace(' ', ""), i64::from($name));
    )*};
}

fn rust() -> Layout {
    let mut layout = Layout::default();
    structs! { layout,
        Str { ptr, len }
        Buf { ptr, len, cap, free }
        Header { name, value }
        MessageOps { size, reserved, retain, release }
        Message { size, flags, ops, id_hi, id_lo, time_ns, expires_ns, topic, payload, key, headers, nheaders, hops }
        Delivery { message, token, id, accepted_ns, attempt, subscription }
        Draft { size, flags, topic, key, headers, nheaders, reserved, payload_len, id_hi, id_lo, expires_ns }
        Outcome { code, class, delay_ns, message, text, reserved }
        WakerOps { clone, wake, wake_by_ref, drop }
        Waker { ops }
        Publish { size, flags, message, cause, waker, token, routed, reserved }
        PublishMany { size, flags, messages, count, accepted, cause, waker, token }
        TimerRequest { size, flags, delay_ns, waker }
        Host { size, major, minor, publish, forget, message_new, message_derive, subscribe, unsubscribe, config_get, log, metric, metric_record, span_begin, span_end, timer, timer_fired, publish_many }
        Op { size, which, id, arg }
        Source { size, reserved, next, complete, next_op, op_done, cancelled, ready, bell }
        Plugin { size, major, minor, flags, name, version, call_size, call_align, create, op, process, poll, cancel, run_lane, quiesce, destroy }
        NoteHead { major, minor, flags, required, ptr_width, big_endian, reserved, manifest_len }
    }
    values! { layout,
        MAJOR,
        MINOR,
        CALL_ALIGN_MAX,
        CALL_SIZE_MAX,
        state::READY,
        state::PENDING,
        state::PANICKED,
        state::ERROR,
        outcome::code::ACK,
        outcome::code::RETRY,
        outcome::code::FAILED,
        outcome::code::FORWARD,
        outcome::code::ERROR,
        outcome::code::PANIC,
        outcome::code::CANCELLED,
        outcome::class::TRANSIENT,
        outcome::class::PERMANENT,
        outcome::class::INVALID_DATA,
        host::publish::WAIT,
        host::publish::ACCEPTED,
        host::publish::FULL,
        host::publish::INVALID,
        host::publish::TOO_LARGE,
        host::publish::CLOSED,
        host::publish::DENIED,
        host::publish::HOP_LIMIT,
        host::publish::MANY_MAX,
        host::log::ERROR,
        host::log::WARN,
        host::log::INFO,
        host::log::DEBUG,
        host::log::TRACE,
        host::metric::COUNTER,
        host::metric::GAUGE,
        host::metric::HISTOGRAM,
        source::op::INIT,
        source::op::START,
        source::op::SHUTDOWN,
        source::op::HEALTH,
        source::op::PAUSE,
        source::op::RESUME,
        source::op::RESET,
        source::op::METRICS,
        source::op::EXPORT_STATE,
        source::op::IMPORT_STATE,
        note::flags::OWN_LOOP,
        note::flags::UNWIND,
        note::flags::SPAWNS_THREADS,
        note::flags::NO_UNLOAD,
        note::flags::SHARED_LOOP,
    }
    layout
}

#[test]
fn every_struct_field_and_value_is_in_the_table_and_nothing_else_is() {
    let (table, rust) = (table::read(), rust());
    assert!(table.fields.len() > 100, "the table was not read");
    assert_eq!(table.structs, rust.structs);
    assert_eq!(table.fields, rust.fields);
    assert_eq!(table.values, rust.values);
}

#[test]
fn a_field_is_there_only_when_the_writer_knew_it() {
    let mut op = Op { size: size_of::<Op>() as u32, which: 0, id: 0, arg: Str::EMPTY };
    // SAFETY: both point to a whole `Op`.
    unsafe {
        assert!(has_field!(&raw const op, Op, arg));
        op.size -= 1;
        assert!(!has_field!(&raw const op, Op, arg));
        assert!(has_field!(&raw const op, Op, id));
    }
}

#[test]
fn owned_bytes_are_freed_once_through_the_side_that_made_them() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static FREED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn free(ptr: *mut u8, len: usize, cap: usize) {
        FREED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the parts of the vector below.
        drop(unsafe { Vec::from_raw_parts(ptr, len, cap) });
    }
    let mut bytes = std::mem::ManuallyDrop::new(b"bytes".to_vec());
    let (ptr, len, cap) = (bytes.as_mut_ptr(), bytes.len(), bytes.capacity());
    let mut buf = Buf { ptr, len, cap, free: Some(free) };
    // SAFETY: filled as the contract says, and `free` is here.
    unsafe {
        assert_eq!(buf.as_str().as_text(), Some("bytes"));
        buf.release();
        buf.release();
    }
    assert_eq!(FREED.load(Ordering::Relaxed), 1);
}
