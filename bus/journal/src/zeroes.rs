//! Passing over zeroes at the speed of memory: most of a young segment is nothing else.

/// Compared at once.
const PIECE: usize = 4096;
const ZEROES: [u8; PIECE] = [0; PIECE];
/// Compared at once where the large pieces differ.
const FINE: usize = 64;

/// Where the zeroes begin that reach to the end.
pub(crate) fn tail(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    for piece in [PIECE, FINE, 1] {
        while end > 0 {
            let start = end.saturating_sub(piece);
            if !are_all(&bytes[start..end]) {
                break;
            }
            end = start;
        }
    }
    end
}

/// The first byte from `at` on that is not zero, or the end.
pub(crate) fn skip(bytes: &[u8], at: usize) -> usize {
    let mut at = at.min(bytes.len());
    for piece in [PIECE, FINE, 1] {
        while at < bytes.len() {
            let end = (at + piece).min(bytes.len());
            if !are_all(&bytes[at..end]) {
                break;
            }
            at = end;
        }
    }
    at
}

/// Whether a piece, no longer than the longest, is all zero.
fn are_all(piece: &[u8]) -> bool {
    piece == &ZEROES[..piece.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn they_end_and_begin_where_a_search_byte_by_byte_says(
            length in 0_usize..20_000,
            set in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            from in any::<prop::sample::Index>(),
        ) {
            let mut bytes = vec![0; length];
            for at in set.iter().filter(|_| length > 0) {
                bytes[at.index(length)] = 1;
            }
            let last = bytes.iter().rposition(|&byte| byte != 0);
            prop_assert_eq!(tail(&bytes), last.map_or(0, |last| last + 1));
            let from = from.index(length + 1);
            let next = bytes[from..].iter().position(|&byte| byte != 0);
            prop_assert_eq!(skip(&bytes, from), next.map_or(length, |next| from + next));
        }
    }
}
