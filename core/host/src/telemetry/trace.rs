//! W3C trace context: `traceparent` as text and as ids.

use std::fmt;

use crate::dice::Dice;

/// Where a span stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// Trace; never 0.
    pub(crate) trace: u128,
    /// Span; never 0.
    pub(crate) span: u64,
    /// Whether whoever began the trace records it.
    pub(crate) sampled: bool,
}

// === impl TraceContext ===

impl TraceContext {
    /// The root of a new trace.
    pub(crate) fn root(dice: &Dice) -> TraceContext {
        let trace = u128::from(dice.roll_nonzero()) << 64 | u128::from(dice.roll());
        TraceContext { trace, span: dice.roll_nonzero(), sampled: true }
    }

    /// A span below this one.
    pub(crate) fn child(self, dice: &Dice) -> TraceContext {
        TraceContext { span: dice.roll_nonzero(), ..self }
    }

    /// Reads a `traceparent`. As the specification wants it, whatever is not valid is as good as
    /// absent, and later versions may say more behind what is known.
    pub(crate) fn parse(text: &str) -> Option<TraceContext> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version_ok = version.len() == 2 && is_hex(version) && version != "ff";
        let nothing_more = version != "00" || parts.next().is_none();
        let sizes_ok = trace.len() == 32 && span.len() == 16 && flags.len() == 2;
        let hex_ok = [trace, span, flags].into_iter().all(is_hex);
        if !(version_ok && nothing_more && sizes_ok && hex_ok) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(TraceContext { trace, span, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_as_it_was_written() {
        let context = TraceContext::parse(SAMPLE).expect("valid");
        assert_eq!(context.to_string(), SAMPLE);
        let child = context.child(&Dice::new());
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn what_is_not_valid_is_absent() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert!(TraceContext::parse(later).is_some());
    }
}
