//! The expression language of `${{ … }}`: a lexer, a parser, and an evaluator over Python's values.

use std::fmt;
use std::ops::Range;

use super::value::Failure;

pub mod evaluate;
mod lexer;
pub mod operators;
mod parser;
pub mod path;
pub mod pattern;
pub mod syntax;

pub use evaluate::{Contexts, evaluate};
pub use parser::parse;
pub use pattern::Pattern;

/// What is wrong with an expression, and which bytes of its text are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpressionError {
    /// The bytes concerned.
    pub span: Range<usize>,
    /// What is wrong, a sentence without its full stop. Never holds a value.
    pub message: String,
}

impl ExpressionError {
    /// What is wrong with these bytes.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { span, message }
    }

    fn of(span: &Range<usize>, failure: &Failure) -> Self {
        Self::new(span.clone(), failure.to_string())
    }

    /// The error when the text that was read begins this much later.
    #[must_use]
    pub fn moved(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }

    /// The error's line of `text`, with the bytes concerned underlined.
    pub fn underlined(&self, text: &str) -> String {
        let start = self.span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |end| start + end);
        let end = self.span.end.clamp(start, line_end);
        let before = text[line_start..start].chars().count();
        let under = text[start..end].chars().count().max(1);
        format!(
            "{}\n{}{}",
            &text[line_start..line_end],
            " ".repeat(before),
            "^".repeat(under)
        )
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
