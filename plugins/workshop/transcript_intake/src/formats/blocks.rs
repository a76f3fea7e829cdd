//! WebVTT and SubRip: blocks of lines, each with a timing line.
//!
//! Stricter than a player in one point: a block without a timing line is refused, where a player
//! would skip it. A transcript that silently loses words is worse than none.

use super::{markup, timestamp};
use crate::{error::FormatError, models::Cue};

/// Separates the times of a cue.
const ARROW: &str = "-->";

/// Lines between two blank ones, with the number of the first.
struct Block<'a> {
    line: usize,
    lines: Vec<&'a str>,
}

/// What stands on the timing line.
struct Timing {
    start_ms: u64,
    end_ms: u64,
    confidence: Option<f64>,
    language: Option<String>,
}

/// Reads all cues, in the order of the file.
pub(super) fn read(text: &str) -> Result<Vec<Cue>, FormatError> {
    let mut cues = Vec::new();
    let mut language = None;
    for block in blocks(text) {
        let first = block.lines[0];
        if is_header(first) {
            language = header_language(&block.lines);
        } else if !is_aside(first) {
            read_block(&block, language.as_deref(), &mut cues)?;
        }
    }
    Ok(cues)
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            open = false;
        } else if let Some(block) = blocks.last_mut().filter(|_| open) {
            block.lines.push(line);
        } else {
            blocks.push(Block { line: index + 1, lines: vec![line] });
            open = true;
        }
    }
    blocks
}

fn is_header(line: &str) -> bool {
    is_word(line, "WEBVTT")
}

/// Blocks that are for people and players.
fn is_aside(line: &str) -> bool {
    ["NOTE", "STYLE", "REGION"].iter().any(|word| is_word(line, word))
}

fn is_word(line: &str, word: &str) -> bool {
    line.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// `Language: en` among the metadata of the header, as many tools write it.
fn header_language(lines: &[&str]) -> Option<String> {
    lines.iter().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let found = name.trim().eq_ignore_ascii_case("language") && !value.trim().is_empty();
        found.then(|| value.trim().to_owned())
    })
}

fn read_block(
    block: &Block<'_>,
    language: Option<&str>,
    cues: &mut Vec<Cue>,
) -> Result<(), FormatError> {
    // The timing line comes first, or second after a name or a number.
    let at = (0..2)
        .find(|at| block.lines.get(*at).is_some_and(|line| line.contains(ARROW)))
        .ok_or(FormatError::NoTiming { line: block.line })?;
    let timing = read_timing(block.line + at, block.lines[at])?;
    let body = block.lines[at + 1..].join("\n");
    let voices = markup::voices(&body)
        .map_err(|markup::OpenTag| FormatError::OpenTag { line: block.line + at + 1 })?;
    for voice in voices {
        let stated = voice.language.or_else(|| timing.language.clone());
        cues.push(Cue {
            speaker: voice.speaker,
            start_ms: Some(timing.start_ms),
            end_ms: Some(timing.end_ms),
            text: voice.text,
            confidence: timing.confidence,
            language: stated.or_else(|| language.map(str::to_owned)),
        });
    }
    Ok(())
}

/// `START --> END setting:value ...`. Players skip settings that they do not know; of those this
/// reads `confidence` and `lang`.
fn read_timing(line: usize, text: &str) -> Result<Timing, FormatError> {
    let (start, rest) = text.split_once(ARROW).ok_or(FormatError::NoTiming { line })?;
    let mut words = rest.split_whitespace();
    let time = |found: &str| {
        timestamp::parse(found)
            .ok_or_else(|| FormatError::Timestamp { line, found: found.to_owned() })
    };
    let mut timing = Timing {
        start_ms: time(start.trim())?,
        end_ms: time(words.next().unwrap_or_default())?,
        confidence: None,
        language: None,
    };
    for word in words {
        match word.split_once(':') {
            Some(("confidence", value)) => timing.confidence = Some(confidence(line, value)?),
            Some(("lang", value)) => timing.language = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(timing)
}

fn confidence(line: usize, value: &str) -> Result<f64, FormatError> {
    value.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
        FormatError::Setting {
            line,
            setting: "confidence",
            found: value.to_owned(),
            expected: "a number such as 0.93",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "WEBVTT - a title\nKind: captions\nLanguage: en-US\n\nNOTE nobody\nsees this\n\n\
        STYLE\n::cue { color: red }\n\nlanding\n102:45:40.000 --> 102:45:43.000 align:start confidence:0.9\n\
        <v LMP>CONTACT\nLIGHT.</v>\n\n00:01.000 --> 00:02.000 lang:de\n- Gut.\n";

    #[test]
    fn a_webvtt_file_gives_its_cues_and_nothing_else() {
        let cues = read(FILE).unwrap();
        assert_eq!(cues.len(), 2);
        assert_eq!(
            cues[0],
            Cue {
                speaker: Some("LMP".to_owned()),
                start_ms: Some(369_940_000),
                end_ms: Some(369_943_000),
                text: "CONTACT LIGHT.".to_owned(),
                confidence: Some(0.9),
                language: Some("en-US".to_owned()),
            }
        );
        assert_eq!(cues[1].language.as_deref(), Some("de"));
        assert_eq!(cues[1].text, "- Gut.");
    }

    #[test]
    fn a_subrip_file_is_read_alike() {
        let cues = read(
            "1\r\n00:00:01,000 --> 00:00:02,500 X1:1 X2:2\r\n<i>We choose</i>\r\nto go\r\n\r\n\
             2\r\n00:00:03,000 --> 00:00:04,000\r\nto the Moon\r\n",
        )
        .unwrap();
        let texts: Vec<_> = cues.iter().map(|cue| cue.text.as_str()).collect();
        assert_eq!(texts, ["We choose to go", "to the Moon"]);
        assert_eq!(cues[0].end_ms, Some(2_500));
    }

    #[test]
    fn a_cue_cut_out_of_a_file_is_a_message_too() {
        let cues = read("00:01.000 --> 00:02.000\nhello").unwrap();
        assert_eq!(cues.len(), 1);
    }

    #[test]
    fn words_that_begin_like_a_note_are_text() {
        let error = read("NOTEBOOK\n").unwrap_err();
        assert_eq!(error, FormatError::NoTiming { line: 1 });
    }

    #[test]
    fn a_cue_that_ends_before_it_begins_is_left_to_the_reviewer() {
        let cues = read("00:05.000 --> 00:01.000\nhello").unwrap();
        assert_eq!((cues[0].start_ms, cues[0].end_ms), (Some(5_000), Some(1_000)));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        for (text, expected) in [
            ("WEBVTT\n\nhello\n", FormatError::NoTiming { line: 3 }),
            (
                "WEBVTT\n\n1\n00:01.000 -->\nhello",
                FormatError::Timestamp { line: 4, found: String::new() },
            ),
            (
                "\n\n1:0 --> 00:02.000\nhello",
                FormatError::Timestamp { line: 3, found: "1:0".to_owned() },
            ),
            (
                "00:01.000 --> 00:02.000 confidence:high\nhello",
                FormatError::Setting {
                    line: 1,
                    setting: "confidence",
                    found: "high".to_owned(),
                    expected: "a number such as 0.93",
                },
            ),
            ("00:01.000 --> 00:02.000\na <b", FormatError::OpenTag { line: 2 }),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }
}
