//! Which words of a segment look like names.
//!
//! Runs of capitalised words and abbreviations. That is a guess on purpose: the glossary knows
//! which of them are names, and a word it does not know costs one look-up, once.

/// Names in the speaker and the text, each once (whatever its case), in the order they are met, at
/// most `limit`.
///
/// `Houston, Tranquility Base here.` holds `Houston` and `Tranquility Base`.
pub(crate) fn find(speaker: Option<&str>, text: &str, limit: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in [speaker.unwrap_or_default(), text] {
        for run in runs(part) {
            if found.len() == limit {
                return found;
            }
            if !found.iter().any(|known| known.eq_ignore_ascii_case(&run)) {
                found.push(run);
            }
        }
    }
    found
}

/// Runs of neighbouring capitalised words; a run ends with a mark after or before a word.
fn runs(text: &str) -> Vec<String> {
    let mut runs = Vec::new();
    let mut run = String::new();
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let starts_inside_marks = !token.starts_with(char::is_alphanumeric);
        if starts_inside_marks || !is_capitalised(word) {
            close(&mut run, &mut runs);
        }
        if is_capitalised(word) && !(run.is_empty() && is_article(word)) {
            if !run.is_empty() {
                run.push(' ');
            }
            run.push_str(word);
        }
        if !token.ends_with(char::is_alphanumeric) {
            close(&mut run, &mut runs);
        }
    }
    close(&mut run, &mut runs);
    runs
}

fn close(run: &mut String, runs: &mut Vec<String>) {
    if !run.is_empty() {
        runs.push(std::mem::take(run));
    }
}

/// Two letters at least, the first a capital: `I` and numbers are none.
fn is_capitalised(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().filter(|c| c.is_alphabetic()).count() > 1
}

/// `The Eagle` is looked up as `Eagle`.
fn is_article(word: &str) -> bool {
    matches!(word, "The" | "An")
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn runs_of_capitalised_words_are_names() {
        assert_eq!(
            find(None, "Houston, Tranquility Base here. The Eagle has landed.", 9),
            ["Houston", "Tranquility Base", "Eagle"]
        );
    }

    #[test]
    fn a_mark_separates_names() {
        assert_eq!(find(Some("LMP (EAGLE)"), "Eagle, Houston.", 9), ["LMP", "EAGLE", "Houston"]);
    }

    #[test]
    fn each_name_is_found_once_and_not_more_than_allowed() {
        assert_eq!(find(Some("CC"), "Eagle, CC, Eagle.", 9), ["CC", "Eagle"]);
        assert_eq!(find(Some("CC"), "Eagle, Houston.", 2), ["CC", "Eagle"]);
        assert!(find(Some("CC"), "Eagle", 0).is_empty());
    }

    #[test]
    fn numbers_and_single_letters_are_none() {
        assert!(find(None, "1202. I see 40 feet, A 2 1/2 ...", 9).is_empty());
    }
}
