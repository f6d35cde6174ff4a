//! Text with `${{ … }}` in it.

use super::syntax::{Context, Expression};
use super::{Contexts, ExpressionError, evaluate, parse};
use crate::action::value::Value;

/// A text of a template: plain, one expression, or text with expressions in it.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// No expression: stays as it is.
    Plain(Value),
    /// One expression and nothing else: its value keeps its type.
    Whole(Expression),
    /// Text with the values of expressions put in.
    Mixed(Vec<Part>),
}

/// A part of a mixed text.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text as it stands.
    Text(String),
    /// A value's text.
    Expression(Expression),
}

const OPENING: &str = "${{";
const CLOSING: &str = "}}";

impl Pattern {
    /// Reads a text. Spans of errors and expressions count in it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let (mut done, mut at) = (0, 0);
        while let Some(found) = text[at..].find(OPENING) {
            let start = at + found;
            let inside = start + OPENING.len();
            // `${{}}` is plain text, and so is an opening that nothing closes.
            if text[inside..].starts_with(CLOSING) {
                at = inside + CLOSING.len();
                continue;
            }
            let Some(length) = text[inside..].find(CLOSING) else {
                break;
            };
            let expression = read(text, inside, inside + length)?;
            if done < start {
                parts.push(Part::Text(text[done..start].to_owned()));
            }
            parts.push(Part::Expression(expression));
            at = inside + length + CLOSING.len();
            done = at;
        }
        if done < text.len() {
            parts.push(Part::Text(text[done..].to_owned()));
        }
        let is_whole = matches!(parts.as_slice(), [Part::Expression(_)]);
        match parts.pop() {
            Some(Part::Expression(expression)) if is_whole => Ok(Self::Whole(expression)),
            _ if parts.is_empty() && done == 0 => Ok(Self::Plain(Value::from(text))),
            Some(last) => {
                if let ([Part::Expression(_)], true) = (
                    parts.as_slice(),
                    text.ends_with(CLOSING) && done < text.len(),
                ) {
                    let message = "this follows the first }}, which ends the expression";
                    return Err(ExpressionError::new(done..text.len(), message));
                }
                parts.push(last);
                Ok(Self::Mixed(parts))
            }
            None => Ok(Self::Plain(Value::from(text))),
        }
    }

    /// The value: typed when it is one expression, else text.
    pub fn evaluate(&self, contexts: &Contexts) -> Result<Value, ExpressionError> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Whole(expression) => evaluate(expression, contexts),
            Self::Mixed(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Expression(expression) => {
                            let value = evaluate(expression, contexts)?;
                            if matches!(value, Value::None) && expression.mentions(Context::Secrets)
                            {
                                let message =
                                    "no such secret is there: it would become the text None";
                                return Err(ExpressionError::new(expression.span.clone(), message));
                            }
                            text.push_str(&value.to_string());
                        }
                    }
                }
                Ok(Value::from(text))
            }
        }
    }

    /// The expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, parts) = match self {
            Self::Plain(_) => (None, [].as_slice()),
            Self::Whole(expression) => (Some(expression), [].as_slice()),
            Self::Mixed(parts) => (None, parts.as_slice()),
        };
        whole
            .into_iter()
            .chain(parts.iter().filter_map(|part| match part {
                Part::Expression(expression) => Some(expression),
                Part::Text(_) => None,
            }))
    }
}

fn read(text: &str, start: usize, end: usize) -> Result<Expression, ExpressionError> {
    let mut expression = parse(&text[start..end]).map_err(|error| error.moved(start))?;
    expression.shift(start);
    Ok(expression)
}
