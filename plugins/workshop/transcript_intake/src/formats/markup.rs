//! The inside of a cue: voices, languages, tags and entities.
//!
//! A subset of WebVTT's cue text that loses no words: `<v NAME>` and `<lang TAG>` are understood,
//! every other tag is dropped and what it encloses kept.

use super::speaker;

/// What one voice of a cue says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Voice {
    pub(super) speaker: Option<String>,
    pub(super) language: Option<String>,
    pub(super) text: String,
}

/// A `<` that no `>` follows.
#[derive(Debug, PartialEq)]
pub(super) struct OpenTag;

/// Splits the text of a cue by voice. A cue without any text gives one voice that says nothing:
/// that it is empty is for the reviewer to say.
pub(super) fn voices(body: &str) -> Result<Vec<Voice>, OpenTag> {
    let mut done: Vec<Voice> = Vec::new();
    let mut current = Voice::default();
    let mut rest = body;
    while let Some(open) = rest.find('<') {
        current.text.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let close = inside.find('>').ok_or(OpenTag)?;
        let (tag, argument) = split_tag(&inside[..close]);
        match tag {
            "v" => {
                if !current.text.trim().is_empty() {
                    done.push(std::mem::take(&mut current));
                }
                current.speaker = argument;
            }
            "/v" if !current.text.trim().is_empty() => done.push(std::mem::take(&mut current)),
            "lang" => current.language = argument,
            _ => {}
        }
        rest = &inside[close + 1..];
    }
    current.text.push_str(rest);
    if done.is_empty() || !current.text.trim().is_empty() {
        done.push(current);
    }
    for voice in &mut done {
        finish(voice);
    }
    Ok(done)
}

/// `v.loud CDR (TRANQ)` is the tag `v`, whose classes do not matter here, and its argument.
fn split_tag(inside: &str) -> (&str, Option<String>) {
    let (head, argument) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    let tag = head.split('.').next().unwrap_or_default();
    let argument = unescape(argument.trim());
    (tag, (!argument.is_empty()).then_some(argument))
}

/// White space becomes single spaces, entities their characters, and a `NAME: ` in front of a
/// voice without a name its name.
fn finish(voice: &mut Voice) {
    let joined = voice.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = unescape(&joined);
    voice.text = match (&voice.speaker, speaker::split(&text)) {
        (None, (Some(name), said)) => {
            voice.speaker = Some(name.to_owned());
            said.to_owned()
        }
        _ => text,
    };
}

/// The six entities that WebVTT knows by name; others stay as they are.
fn unescape(text: &str) -> String {
    const ENTITIES: [(&str, &str); 6] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&lrm;", "\u{200e}"),
        ("&rlm;", "\u{200f}"),
        // Last, so that `&amp;lt;` becomes `&lt;` and not `<`.
        ("&amp;", "&"),
    ];
    if !text.contains('&') {
        return text.to_owned();
    }
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(speaker: Option<&str>, language: Option<&str>, text: &str) -> Voice {
        Voice {
            speaker: speaker.map(str::to_owned),
            language: language.map(str::to_owned),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_voice_tag_names_the_speaker() {
        let found = voices("<v CDR (TRANQ)>The Eagle\nhas landed.</v>").unwrap();
        assert_eq!(found, [voice(Some("CDR (TRANQ)"), None, "The Eagle has landed.")]);
        assert_eq!(voices("<v.loud CC>Go.").unwrap(), [voice(Some("CC"), None, "Go.")]);
    }

    #[test]
    fn two_voices_in_one_cue_are_two() {
        let found = voices("<v CC>Over.</v>\n<v LMP>Roger.</v>").unwrap();
        assert_eq!(found, [voice(Some("CC"), None, "Over."), voice(Some("LMP"), None, "Roger.")]);
        let unclosed = voices("<v CC>Over. <v LMP>Roger.").unwrap();
        assert_eq!(unclosed.len(), 2);
    }

    #[test]
    fn a_language_tag_marks_what_is_said() {
        let found = voices("<v CC><lang de>Gut.</lang></v>").unwrap();
        assert_eq!(found, [voice(Some("CC"), Some("de"), "Gut.")]);
    }

    #[test]
    fn other_tags_go_and_their_words_stay() {
        let found = voices("<i>Very</i> <c.yellow>smooth</c> <00:01.500>touchdown").unwrap();
        assert_eq!(found, [voice(None, None, "Very smooth touchdown")]);
    }

    #[test]
    fn a_name_before_a_colon_serves_where_there_is_no_voice() {
        assert_eq!(voices("CC: Go.").unwrap(), [voice(Some("CC"), None, "Go.")]);
        assert_eq!(
            voices("<v LMP>Houston: say again</v>").unwrap(),
            [voice(Some("LMP"), None, "Houston: say again")]
        );
    }

    #[test]
    fn entities_are_characters_once() {
        assert_eq!(voices("A &amp;lt; B &lt;3").unwrap(), [voice(None, None, "A &lt; B <3")]);
    }

    #[test]
    fn an_empty_cue_is_a_voice_that_says_nothing() {
        assert_eq!(voices("").unwrap(), [voice(None, None, "")]);
        assert_eq!(voices("<v LMP></v>").unwrap(), [voice(Some("LMP"), None, "")]);
    }

    #[test]
    fn a_tag_that_does_not_end_is_refused() {
        assert_eq!(voices("3 < 4"), Err(OpenTag));
    }
}
