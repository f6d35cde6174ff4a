//! An expression's text as tokens. A path is one token, since no blank may stand inside of it.

use std::ops::Range;
use std::sync::Arc;

use super::ExpressionError;
use super::path::Path;
use super::syntax::Context;
use crate::action::value::Value;

/// A token and its bytes.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) span: Range<usize>,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug)]
pub(super) enum TokenKind {
    Literal(Value),
    Path(Context, Path),
    /// The name behind `FN.`, and whether `.map` follows it.
    Function(Arc<str>, bool),
    Word(Arc<str>),
    Symbol(&'static str),
    End,
}

/// Longest first.
const SYMBOLS: [&str; 24] = [
    "->", "||", "&&", "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "(", ")", "[",
    "]", "{", "}", ",", ":", ".", "!",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = token(text, at, first)?;
        let span = at..at + length;
        at = span.end;
        tokens.push(Token { span, kind });
    }
    tokens.push(Token {
        span: text.len()..text.len(),
        kind: TokenKind::End,
    });
    Ok(tokens)
}

fn token(text: &str, at: usize, first: char) -> Result<(TokenKind, usize), ExpressionError> {
    let rest = &text[at..];
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if first == '\'' || first == '"' {
        let Some((content, length)) = quoted(rest) else {
            let message = format!("the text is not closed; it needs another {first}");
            return Err(ExpressionError::new(at..text.len(), message));
        };
        return Ok((TokenKind::Literal(Value::from(content)), length));
    }
    let name = identifier(rest);
    if !name.is_empty() {
        return word(rest, name, at);
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((TokenKind::Symbol(symbol), symbol.len())),
        None => Err(ExpressionError::new(
            at..at + first.len_utf8(),
            format!("`{first}` is not part of the language"),
        )),
    }
}

/// The name that the text begins with.
pub(super) fn identifier(text: &str) -> &str {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return "";
    }
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// Quoted text at the start of `text`: what stands between the quotes, as it stands, and its length with them.
pub(super) fn quoted(text: &str) -> Option<(&str, usize)> {
    let quote = text.chars().next()?;
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return Some((&text[1..index], index + 1)),
            _ => {}
        }
    }
    None
}

fn number(rest: &str, at: usize) -> Result<(TokenKind, usize), ExpressionError> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    let fraction = match rest[whole..].strip_prefix('.') {
        Some(rest) => 1 + digits(rest),
        None => 0,
    };
    let length = whole + fraction;
    let follows = rest[length..].chars().next();
    if fraction == 1 || follows.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_') {
        let message = "a number is digits, perhaps a point and more digits";
        let end = at + length + follows.map_or(0, char::len_utf8);
        return Err(ExpressionError::new(at..end, message));
    }
    let text = &rest[..length];
    let value = if fraction > 0 {
        text.parse().ok().map(Value::Float)
    } else {
        text.parse().ok().map(Value::Integer)
    };
    match value {
        Some(value) => Ok((TokenKind::Literal(value), length)),
        None => Err(ExpressionError::new(
            at..at + length,
            "an integer has at most 128 bits here",
        )),
    }
}

fn word(rest: &str, name: &str, at: usize) -> Result<(TokenKind, usize), ExpressionError> {
    let literal = match name {
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        "None" => Some(Value::None),
        _ => None,
    };
    if let Some(value) = literal {
        return Ok((TokenKind::Literal(value), name.len()));
    }
    if name == "FN" {
        return function(rest, at);
    }
    let Some(context) = Context::named(name) else {
        return Ok((TokenKind::Word(name.into()), name.len()));
    };
    let tail = &rest[name.len()..];
    let (path, length) = match context {
        Context::Secrets => Path::of_names(tail, 2, 2),
        Context::Variables => Path::of_names(tail, 1, 2),
        _ => Path::read(tail),
    }
    .map_err(|error| error.moved(at + name.len()))?;
    Ok((TokenKind::Path(context, path), name.len() + length))
}

fn function(rest: &str, at: usize) -> Result<(TokenKind, usize), ExpressionError> {
    let mut end = "FN".len();
    while let Some(next) = rest[end..].strip_prefix('.') {
        let name = identifier(next);
        if name.is_empty() {
            break;
        }
        end += 1 + name.len();
    }
    let Some(name) = rest[..end].strip_prefix("FN.") else {
        let message = "a function's name must follow, as in FN.join";
        return Err(ExpressionError::new(at..at + end, message));
    };
    let kind = match name.strip_suffix(".map") {
        Some(name) => TokenKind::Function(name.into(), true),
        None => TokenKind::Function(name.into(), false),
    };
    Ok((kind, end))
}
