use std::{sync::mpsc, thread};

use crate::{Message, Parts, Reaper, Slab};

fn parts<'a>(topic: &'a str, headers: &'a [(&'a str, &'a str)]) -> Parts<'a> {
    Parts {
        topic,
        key: "customer-7",
        headers,
        id: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        time_ns: 11,
        expires_ns: 12,
        hops: 3,
        ..Parts::default()
    }
}

#[test]
fn a_message_shows_what_it_was_made_of() {
    let mut slab = Slab::new();
    let headers = [("content-type", "text/plain"), ("Patchbay-Reply-To", "a.b")];
    let message = slab.message(&parts("orders.eu", &headers), b"hello");
    assert_eq!(message.topic(), "orders.eu");
    assert_eq!(message.key(), "customer-7");
    assert_eq!(message.key_hash(), crate::key_hash("customer-7"));
    assert_eq!(message.payload(), b"hello");
    assert_eq!(message.id(), 0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    assert_eq!((message.time_ns(), message.expires_ns(), message.hops()), (11, 12, 3));
    assert_eq!(message.headers().collect::<Vec<_>>(), headers);
    assert_eq!(message.header("CONTENT-TYPE"), Some("text/plain"));
    assert_eq!(message.header("absent"), None);
    assert_eq!(message.size(), 9 + 10 + 5 + 12 + 10 + 17 + 3);
}

#[test]
fn payloads_of_every_size_around_the_inline_region_survive() {
    let mut slab = Slab::new();
    for len in (0..600).chain([4096, 100_000]) {
        let mut draft = slab.draft(&Parts { payload_len: len, ..parts("t", &[("a", "b")]) });
        assert_eq!(draft.payload_mut().len(), len);
        for (i, byte) in draft.payload_mut().iter_mut().enumerate() {
            *byte = i as u8;
        }
        let message = draft.freeze();
        assert!(len == 0 || message.payload().as_ptr().addr().is_multiple_of(8));
        assert!(message.payload().iter().enumerate().all(|(i, byte)| *byte == i as u8));
        assert_eq!(message.header("a"), Some("b"));
        assert_eq!(message.topic(), "t");
    }
    assert_eq!(slab.made(), 64, "each envelope came home before the next left");
}

#[test]
fn a_larger_message_finds_the_room_of_one_before_it() {
    let mut slab = Slab::new();
    let mut turn = |len| {
        let payload = vec![len as u8; len];
        for _ in 0..2 * slab.made().max(64) {
            let message = slab.message(&parts("t", &[]), &payload);
            assert_eq!(message.payload(), payload);
        }
        slab.kept()
    };
    let kept = turn(1000);
    assert_eq!(kept, 64 * 1024, "one for each envelope");
    assert_eq!(turn(700), kept, "there is room for less");
    assert_eq!(turn(4096), 64 * 4608, "another one for more");
    assert_eq!(turn(300), 0, "what is small lies in the envelope");
}

#[test]
fn what_stays_with_envelopes_is_bounded_and_goes_when_it_is_not_needed() {
    let mut slab = Slab::new();
    let kept = |slab: &Slab| slab.kept();
    // Each larger than what may stay, then more of them than may stay together.
    let all: Vec<_> = (0..8).map(|_| slab.message(&parts("t", &[]), &[1; 100_000])).collect();
    drop(all);
    assert_eq!(kept(&slab), 0);
    let all: Vec<_> = (0..4000).map(|_| slab.message(&parts("t", &[]), &[1; 2000])).collect();
    let (made, out) = (slab.made(), kept(&slab));
    assert_eq!(out, 4000 * 2048, "what is out has no bound");
    drop(all);
    let stays = kept(&slab);
    assert!(stays > 0 && stays <= 4 << 20, "{stays} bytes stay");
    let all: Vec<_> = (0..made).map(|_| slab.message(&parts("t", &[]), &[1; 10])).collect();
    assert_eq!((kept(&slab), slab.made()), (0, made));
    drop(all);
}

#[test]
fn a_derived_message_shares_the_payload_and_keeps_its_base_alive() {
    let mut slab = Slab::new();
    let mut other = Slab::new();
    let base = slab.message(&parts("a", &[("x", "1")]), &[7; 1000]);
    let once = other.derive(&base, &parts("b", &[]));
    let twice = other.derive(&once, &parts("c.d", &[("y", "2")]));
    assert_eq!(once.payload().as_ptr(), base.payload().as_ptr());
    assert_eq!(twice.payload().as_ptr(), base.payload().as_ptr());
    drop(base);
    drop(once);
    drop(slab);
    assert_eq!(twice.payload(), &[7; 1000]);
    assert_eq!(twice.topic(), "c.d");
    assert_eq!(twice.header("y"), Some("2"));
    assert_eq!(twice.header("x"), None);
    assert_eq!(twice.size(), 3 + 10 + 1000 + 2);
}

#[test]
fn a_reference_survives_the_border_and_its_functions_count() {
    let mut slab = Slab::new();
    let (raw, payload) = slab.draft(&Parts { payload_len: 3, ..parts("t", &[]) }).into_raw();
    // SAFETY: the room of three bytes, before the message is shared.
    unsafe { payload.copy_from_nonoverlapping(b"abc".as_ptr(), 3) };
    // SAFETY: the reference of `into_raw`.
    let message = unsafe { Message::from_raw(raw) };
    assert!(message.is_unique());
    // SAFETY: a reference is held, the functions are those of the message.
    unsafe {
        let ops = &*(*message.as_ptr()).ops;
        (ops.retain)(message.as_ptr());
        assert!(!message.is_unique());
        (ops.release)(message.as_ptr());
    }
    assert!(message.is_unique());
    assert_eq!(message.payload(), b"abc");
}

#[test]
fn envelopes_come_home_from_another_thread_and_are_used_again() {
    let mut slab = Slab::new();
    let (give, take) = mpsc::sync_channel::<Vec<Message>>(2);
    let consumer = thread::spawn(move || {
        let mut bytes = 0;
        for batch in take {
            let mut reaper = Reaper::new();
            for message in batch {
                bytes += message.payload().len();
                reaper.put(message);
            }
        }
        bytes
    });
    for _ in 0..200 {
        let batch = (0..50).map(|_| slab.message(&parts("t", &[]), b"0123456789")).collect();
        give.send(batch).unwrap();
    }
    drop(give);
    assert_eq!(consumer.join().unwrap(), 200 * 50 * 10);
    assert!(slab.made() <= 512, "grew to {}", slab.made());
}

#[test]
fn the_last_envelope_frees_the_home_of_a_slab_that_is_gone() {
    // Freed exactly once and never used after: what Miri and the sanitizers look at here.
    for dropped_first in [true, false] {
        let mut slab = Slab::new();
        let messages: Vec<_> =
            (0..100).map(|_| slab.message(&parts("t", &[]), &[1; 300])).collect();
        let clones = messages.clone();
        let threads: Vec<_> = [messages, clones]
            .into_iter()
            .map(|mine| thread::spawn(move || mine.into_iter().for_each(drop)))
            .collect();
        if dropped_first {
            drop(slab);
            threads.into_iter().for_each(|t| t.join().unwrap());
        } else {
            threads.into_iter().for_each(|t| t.join().unwrap());
            drop(slab);
        }
    }
}

#[test]
fn references_that_are_counted_at_once_are_all_given_back() {
    let mut slab = Slab::new();
    for (n, taken) in [(0, 0), (1, 0), (1, 1), (8, 8), (8, 3), (2, 0)] {
        for shared in [false, true] {
            let message = slab.message(&parts("t", &[]), b"x");
            let other = shared.then(|| message.clone());
            let mut fan = message.fan_out(n);
            let copies: Vec<_> = fan.by_ref().take(taken).collect();
            assert_eq!(copies.len(), taken);
            drop(fan);
            if let Some(other) = other {
                assert_eq!(other.is_unique(), copies.is_empty());
                drop(copies);
                assert!(other.is_unique());
            }
        }
    }
    // Every envelope came home: 64 can leave without a new one being made.
    let all: Vec<_> = (0..64).map(|_| slab.message(&parts("t", &[]), b"x")).collect();
    assert_eq!((all.len(), slab.made()), (64, 64));
}

#[test]
fn envelopes_of_two_homes_go_home_in_bundles_and_none_is_lost() {
    const EACH: usize = 200;
    let (mut one, mut other) = (Slab::new(), Slab::new());
    for round in 0..3 {
        let mut reaper = Reaper::new();
        for i in 0..EACH {
            let at = i as u8;
            let base = one.message(&parts("a", &[]), &[at; 300]);
            let derived = other.derive(&base, &parts("b", &[]));
            assert!(derived.payload().iter().all(|byte| *byte == at), "{round} {i}");
            // Kept until its derived message is gone.
            reaper.put(base);
            reaper.put(derived);
        }
        drop(reaper);
        let messages: Vec<_> =
            (0..EACH).map(|i| one.message(&parts("c", &[]), &[i as u8; 336])).collect();
        assert!(messages.iter().enumerate().all(|(i, m)| m.payload() == [i as u8; 336]));
    }
    // As many as were out at one time, rounded up to what is made at once.
    assert_eq!((one.made(), other.made()), (256, 256));
}
