//! Plain text: every line that is not blank is a cue.

use super::{speaker, timestamp};
use crate::{error::FormatError, models::Cue};

/// Reads the lines. `[01:02:03] NAME: text`, where the time and the name may be missing.
pub(super) fn read(text: &str) -> Result<Vec<Cue>, FormatError> {
    let mut cues = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            cues.push(cue(index + 1, line)?);
        }
    }
    Ok(cues)
}

fn cue(number: usize, line: &str) -> Result<Cue, FormatError> {
    let (start_ms, rest) = match clock(line) {
        Some((found, rest)) => {
            let time = timestamp::parse(found)
                .ok_or_else(|| FormatError::Timestamp { line: number, found: found.to_owned() })?;
            (Some(time), rest)
        }
        None => (None, line),
    };
    let (speaker, said) = speaker::split(rest);
    Ok(Cue {
        speaker: speaker.map(str::to_owned),
        start_ms,
        text: said.to_owned(),
        ..Cue::default()
    })
}

/// A clock in brackets at the start of the line: digits and colons. Other brackets, such as
/// `[laughter]`, are text.
fn clock(line: &str) -> Option<(&str, &str)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let looks = inside.contains(':')
        && inside.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | ','));
    looks.then(|| (inside, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_that_is_not_blank_is_a_cue() {
        let cues = read("LINCOLN: Four score\n\n  and seven years ago  \r\n").unwrap();
        assert_eq!(cues.len(), 2);
        assert_eq!(cues[0].speaker.as_deref(), Some("LINCOLN"));
        assert_eq!(cues[0].text, "Four score");
        assert_eq!(cues[1].speaker, None);
        assert_eq!(cues[1].text, "and seven years ago");
    }

    #[test]
    fn a_clock_in_brackets_is_the_start() {
        let cues = read("[102:45:40] LMP: CONTACT LIGHT.\n[laughter]").unwrap();
        assert_eq!(cues[0].start_ms, Some(369_940_000));
        assert_eq!(cues[0].speaker.as_deref(), Some("LMP"));
        assert_eq!(cues[1].text, "[laughter]");
    }

    #[test]
    fn a_clock_that_cannot_be_is_refused_with_its_line() {
        let error = read("fine\n[10:99] LMP: no").unwrap_err();
        assert_eq!(error, FormatError::Timestamp { line: 2, found: "10:99".to_owned() });
    }
}
