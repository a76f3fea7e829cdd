//! The shortest list of operations that still fails: pieces are left out as long as it does.

use crate::operation::Operation;

/// Runs of a shrink, at most.
const TRIES: usize = 3_000;

pub(crate) fn shrink(
    mut list: Vec<Operation>,
    mut fails: impl FnMut(&[Operation]) -> bool,
) -> Vec<Operation> {
    let mut tries = 0;
    let mut piece = list.len().div_ceil(2);
    while piece > 0 && tries < TRIES {
        let mut at = 0;
        let mut shorter = false;
        while at < list.len() && tries < TRIES {
            let mut less = list.clone();
            less.drain(at..(at + piece).min(list.len()));
            tries += 1;
            if fails(&less) {
                list = less;
                shorter = true;
            } else {
                at += piece;
            }
        }
        if !shorter {
            piece /= 2;
        }
    }
    list
}
