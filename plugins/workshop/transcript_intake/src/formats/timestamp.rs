//! Times of cues: `[hours:]minutes:seconds[.milliseconds]`, with a comma in SubRip.

/// Milliseconds from the start of the recording, or `None` when `text` is no such time.
///
/// Hours may have any number of digits up to six: a mission clock runs past 99.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, milliseconds(fraction)?),
        None => (text, 0),
    };
    let mut parts = clock.rsplit(':');
    let seconds = below_60(parts.next()?)?;
    let minutes = below_60(parts.next()?)?;
    let hours = match parts.next() {
        Some(hours) => number(hours, 1..=6)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + fraction)
}

fn below_60(text: &str) -> Option<u64> {
    number(text, 2..=2).filter(|value| *value < 60)
}

fn milliseconds(text: &str) -> Option<u64> {
    number(text, 3..=3)
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_of_both_formats_are_read() {
        assert_eq!(parse("00:01.000"), Some(1_000));
        assert_eq!(parse("01:02:03,004"), Some(3_723_004));
        assert_eq!(parse("00:59"), Some(59_000));
    }

    #[test]
    fn a_mission_clock_runs_past_99_hours() {
        assert_eq!(parse("102:45:40.000"), Some(369_940_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            ":",
            "1",
            "00:60.000",
            "60:00.000",
            "0:01.000",
            "00:01.00",
            "00:01.0000",
            "a:b",
            "-0:01.000",
            "00:+1.000",
            "1:2:3:4",
            "0000000:00:00.000",
            "1:00:00.000.0",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
