//! The Markdown of a transcript, as text: one heading, one paragraph per segment. No files here.

use std::{collections::HashSet, fmt::Write};

use crate::models::{KnownName, ReviewedTranscription};

/// A page that grows at its end. It explains a name where the name is met first.
#[derive(Debug, Default)]
pub(crate) struct Page {
    explained: HashSet<String>,
}

// === impl Page ===

impl Page {
    /// The heading of the transcript.
    pub(crate) fn heading(transcript: &str) -> String {
        format!("# {}\n", escape(transcript))
    }

    /// The paragraph of the next segment, with the blank line before it.
    pub(crate) fn paragraph(&mut self, segment: &ReviewedTranscription) -> String {
        let mut text = String::from("\n");
        if let Some(start_ms) = segment.start_ms {
            text.push_str(&clock(start_ms));
            text.push(' ');
        }
        if let Some(speaker) = segment.speaker_in_full() {
            // Writing to a string cannot fail.
            let _ = write!(text, "**{}:** ", escape(speaker));
        }
        text.push_str(&escape(&segment.text));
        text.push('\n');
        for name in &segment.names {
            if self.is_new(name) && !is_the_speaker(segment, name) {
                let _ = writeln!(text, "> {}: {}", escape(&name.name), escape(&name.meaning));
            }
        }
        text
    }

    fn is_new(&mut self, name: &KnownName) -> bool {
        self.explained.insert(name.name.to_lowercase())
    }
}

/// Whether the paragraph already gives the meaning as that of who speaks.
fn is_the_speaker(segment: &ReviewedTranscription, name: &KnownName) -> bool {
    segment.speaker_in_full() == Some(name.meaning.as_str())
}

/// `102:45:40`
fn clock(start_ms: u64) -> String {
    let seconds = start_ms / 1_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// What is said must not become markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ReviewedTranscription {
        serde_json::from_str(include_str!("../../samples/messages/reviewed.json")).unwrap()
    }

    #[test]
    fn a_paragraph_says_when_who_and_what() {
        let text = Page::default().paragraph(&sample());
        assert_eq!(
            text,
            "\n102:45:59 **Neil A. Armstrong, commander:** Houston, Tranquility Base here.\n\
             > Tranquility Base: the landing site, and the lunar module once it stands there\n"
        );
    }

    #[test]
    fn a_name_is_explained_once() {
        let mut page = Page::default();
        assert!(page.paragraph(&sample()).contains("> Tranquility Base"));
        assert!(!page.paragraph(&sample()).contains('>'));
    }

    #[test]
    fn what_is_said_is_never_markup() {
        let said = ReviewedTranscription {
            speaker: Some("A*".to_owned()),
            start_ms: None,
            text: "[garble] <b>*1*</b>\n# no".to_owned(),
            names: Vec::new(),
            ..sample()
        };
        assert_eq!(
            Page::default().paragraph(&said),
            "\n**A\\*:** \\[garble\\] \\<b\\>\\*1\\*\\</b\\> \\# no\n"
        );
        assert_eq!(Page::heading("a_b"), "# a\\_b\n");
    }
}
