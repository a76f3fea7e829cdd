//! `SPEAKER: text`, the way a printed transcript names who speaks.

/// Longest name that is taken for one, in characters; beyond it the colon belongs to a sentence.
const NAME_CHARS_MAX: usize = 40;
/// Most words of such a name.
const NAME_WORDS_MAX: usize = 4;

/// Splits off the speaker, if the line names one.
///
/// A name starts with a capital letter, is short, and holds no sentence mark: `He said: go` has a
/// colon and no speaker, because a name's words all begin with a capital, a digit or a bracket.
pub(super) fn split(line: &str) -> (Option<&str>, &str) {
    match line.split_once(": ") {
        Some((name, text)) if is_name(name) => (Some(name.trim()), text.trim()),
        _ => (None, line.trim()),
    }
}

fn is_name(text: &str) -> bool {
    let name = text.trim();
    name.starts_with(char::is_uppercase)
        && name.chars().count() <= NAME_CHARS_MAX
        && name.split_whitespace().count() <= NAME_WORDS_MAX
        && name.split_whitespace().all(is_name_word)
}

fn is_name_word(word: &str) -> bool {
    let starts = word
        .starts_with(|first: char| first.is_uppercase() || first.is_ascii_digit() || first == '(');
    starts && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '\'' | '(' | ')'))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_name_before_a_colon_is_the_speaker() {
        assert_eq!(split("CC: We copy."), (Some("CC"), "We copy."));
        assert_eq!(split("CDR (TRANQ): Thank you."), (Some("CDR (TRANQ)"), "Thank you."));
        assert_eq!(split("Dr. King: I have"), (Some("Dr. King"), "I have"));
    }

    #[test]
    fn a_colon_inside_a_sentence_is_none() {
        for line in [
            "He said: go",
            "Now remember: never",
            "at 10:30 we leave",
            "Four score, and seven: years",
            "And so it was on This Day That we Met: here",
            ": nothing",
        ] {
            assert_eq!(split(line), (None, line.trim()), "{line}");
        }
    }
}
