//! The latest log lines of one plugin.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::view::LogLine;

/// A bounded list of log lines; the oldest make room.
#[derive(Debug)]
pub(crate) struct LogRing {
    lines: Mutex<VecDeque<Arc<LogLine>>>,
    lines_max: usize,
}

// === impl LogRing ===

impl LogRing {
    pub(crate) fn new(lines_max: usize) -> LogRing {
        LogRing { lines: Mutex::new(VecDeque::new()), lines_max }
    }

    pub(crate) fn push(&self, line: Arc<LogLine>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.len() >= self.lines_max.max(1) {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Lines with a number above `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.seq > after).map(|line| LogLine::clone(line)).collect()
    }
}

/// Makes a text of a plugin fit for a terminal and a log file: control characters are escaped, and
/// what is over the limit is cut.
pub(crate) fn tame(text: &str, bytes_max: usize) -> String {
    let mut tame = String::with_capacity(text.len().min(bytes_max));
    for letter in text.chars() {
        if tame.len() >= bytes_max {
            tame.push('…');
            break;
        }
        if letter.is_control() && letter != '\t' || is_bidi_control(letter) {
            tame.extend(letter.escape_default());
        } else {
            tame.push(letter);
        }
    }
    tame
}

/// Characters that make a line read other than it is.
fn is_bidi_control(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> Arc<LogLine> {
        Arc::new(LogLine {
            seq,
            at: String::new(),
            level: "info".into(),
            plugin: "echo".into(),
            generation: None,
            target: String::new(),
            text: String::new(),
        })
    }

    #[test]
    fn the_oldest_lines_make_room_and_a_reader_goes_on_where_it_was() {
        let ring = LogRing::new(3);
        (1..=5).for_each(|seq| ring.push(line(seq)));
        let seqs = |after| ring.after(after).iter().map(|line| line.seq).collect::<Vec<_>>();
        assert_eq!(seqs(0), [3, 4, 5]);
        assert_eq!(seqs(4), [5]);
    }

    #[test]
    fn a_line_cannot_break_out_of_its_line() {
        assert_eq!(tame("a\nb\u{1b}[31m\u{202e}c", 100), "a\\nb\\u{1b}[31m\\u{202e}c");
        assert_eq!(tame("öööö", 4), "öö…");
    }
}
