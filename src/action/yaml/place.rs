//! Where a part of a scalar's value stands in the text that it was written in.

use super::{Content, Node, Position};

impl Node {
    /// The place in `text`, which this was read from, of what stands at byte `offset` of its value. A blank is at the place
    /// of what follows it; what was not written itself, as it came through an anchor, is where it was asked for.
    pub fn place_of(&self, text: &str, offset: usize) -> Position {
        let Content::Scalar { value, written, .. } = &self.content else {
            return self.at;
        };
        let (Some(value), Some(source)) = (value.text(), text.get(written.clone())) else {
            return self.at;
        };
        let before = value.get(..offset).unwrap_or(value);
        // Blanks may be folded and lines indented, so only what is no blank is counted.
        let wanted = before
            .chars()
            .filter(|character| !character.is_whitespace())
            .count();
        match nth(source, wanted) {
            Some(index) => moved(self.at, &source[..index]),
            None => self.at,
        }
    }
}

/// The byte at which the value's character of that number is written, blanks not counted.
fn nth(source: &str, mut wanted: usize) -> Option<usize> {
    let style = source.chars().next()?;
    let mut at = match style {
        '"' | '\'' => 1,
        '|' | '>' => source.find('\n')?,
        _ => 0,
    };
    while let Some(character) = source[at..].chars().next() {
        let (length, is_blank) = match character {
            '\\' if style == '"' => escape(&source[at..]),
            '\'' if style == '\'' && source[at..].starts_with("''") => (2, false),
            character => (character.len_utf8(), character.is_whitespace()),
        };
        if !is_blank {
            if wanted == 0 {
                return Some(at);
            }
            wanted -= 1;
        }
        at = (at + length).min(source.len());
    }
    None
}

/// The length of an escape, and whether it stands for a blank.
fn escape(source: &str) -> (usize, bool) {
    let Some(code) = source[1..].chars().next() else {
        return (1, false);
    };
    let digits = match code {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    let Some(hex) = source.get(2..2 + digits).filter(|_| digits > 0) else {
        let is_blank = code.is_whitespace() || "ntrvNLP_".contains(code);
        return (1 + code.len_utf8(), is_blank);
    };
    let character = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
    (2 + digits, character.is_some_and(char::is_whitespace))
}

/// The place behind `text`, which begins at `at`.
fn moved(at: Position, text: &str) -> Position {
    let (breaks, last) = lines(text).enumerate().last().unwrap_or_default();
    let column = if breaks == 0 { at.column } else { 1 };
    Position {
        line: at.line + breaks,
        column: column + last.chars().count(),
    }
}

/// The lines of a text as YAML counts them: a carriage return alone ends one, too.
pub(in crate::action) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let length = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + length..]);
        Some(&text[..end])
    })
}
