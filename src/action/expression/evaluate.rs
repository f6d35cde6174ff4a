//! The value of an expression.

use jiff::tz::TimeZone;

use super::path::place;
use super::syntax::{BinaryOperator, Context, Expression, Kind, Type};
use super::{ExpressionError, operators};
use crate::action::functions;
use crate::action::placeholder::Placeholders;
use crate::action::value::{Failure, Key, Mapping, Value, whole};
use crate::clock::Clock;

/// What an expression can see.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// `inputs`.
    pub inputs: Value,
    /// `steps`.
    pub steps: Value,
    /// `SECRETS`.
    pub secrets: Value,
    /// `VARS`.
    pub variables: Value,
    /// `ENV`.
    pub environment: Value,
    /// What stands for tokens in all of these.
    pub placeholders: Placeholders,
    /// What `now` and the like read.
    pub clock: Clock,
    /// Where the clock of `now` hangs.
    pub place: TimeZone,
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            inputs: Value::None,
            steps: Value::None,
            secrets: Value::None,
            variables: Value::None,
            environment: Value::None,
            placeholders: Placeholders::default(),
            clock: Clock::system(),
            place: TimeZone::UTC,
        }
    }
}

impl Contexts {
    fn of(&self, context: Context) -> &Value {
        match context {
            Context::Inputs => &self.inputs,
            Context::Steps => &self.steps,
            Context::Secrets => &self.secrets,
            Context::Variables => &self.variables,
            Context::Environment => &self.environment,
            Context::Unset => &Value::None,
        }
    }
}

/// The value of `expression`.
pub fn evaluate(expression: &Expression, contexts: &Contexts) -> Result<Value, ExpressionError> {
    let value = |expression: &Expression| evaluate(expression, contexts);
    let failed = |failure: Failure| ExpressionError::of(&expression.span, &failure);
    match &expression.kind {
        Kind::Literal(literal) => Ok(literal.clone()),
        Kind::List(items) => {
            let items = items.iter().map(value).collect::<Result<_, _>>()?;
            Ok(Value::list(items))
        }
        Kind::Mapping(entries) => {
            let mut mapping = Mapping::new();
            for (key, member) in entries {
                mapping.insert(Key::from(key.as_ref()), value(member)?);
            }
            Ok(Value::mapping(mapping))
        }
        Kind::Path(context, path) => path
            .find(contexts.of(*context), &contexts.placeholders)
            .map_err(failed),
        Kind::Call {
            name,
            is_mapped,
            arguments,
        } => {
            let arguments = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            functions::call(name, *is_mapped, &arguments, contexts).map_err(failed)
        }
        Kind::Cast(to, operand) => {
            let operand = value(operand)?;
            let result = cast(*to, &operand);
            kept(contexts, [&operand], result).map_err(failed)
        }
        Kind::Choice {
            condition,
            then,
            otherwise,
        } => value(if value(condition)?.is_true() {
            then
        } else {
            otherwise
        }),
        Kind::Binary(operator, left, right) => {
            let (left, right) = (value(left)?, value(right)?);
            let result = operators::binary(*operator, &left, &right);
            if matches!(operator, BinaryOperator::And | BinaryOperator::Or) {
                return result.map_err(failed);
            }
            kept(contexts, [&left, &right], result).map_err(failed)
        }
        Kind::Unary(operator, operand) => {
            operators::unary(*operator, &value(operand)?).map_err(failed)
        }
        Kind::Index(of, index) => {
            let (of, index) = (value(of)?, value(index)?);
            let result = member(&of, &index);
            // A member of a list is whole; of a text it is a character.
            let given = matches!(of, Value::Text(_)).then_some(&of);
            kept(contexts, given, result).map_err(failed)
        }
    }
}

/// The result, unless it is made of a token's placeholder that is not whole in it.
fn kept<'given>(
    contexts: &Contexts,
    given: impl IntoIterator<Item = &'given Value>,
    result: Result<Value, Failure>,
) -> Result<Value, Failure> {
    let result = result?;
    contexts.placeholders.check(given, &result)?;
    Ok(result)
}

/// `of[index]`, which fails when there is no such member.
pub(crate) fn member(of: &Value, index: &Value) -> Result<Value, Failure> {
    let found = match of {
        Value::Mapping(entries) => entries.get(&Key::new(index.clone())?).cloned(),
        Value::List(items) => {
            place(position(index)?, items.len()).map(|index| items[index].clone())
        }
        Value::Text(text) => place(position(index)?, text.chars().count())
            .and_then(|index| text.chars().nth(index))
            .map(|character| Value::from(character.to_string())),
        other => return Err(Failure::new(format!("{} has no members", other.kind()))),
    };
    found.ok_or_else(|| match of {
        Value::Mapping(_) => Failure::new("the mapping has no such key"),
        _ => Failure::new("the index is out of range"),
    })
}

fn position(index: &Value) -> Result<i128, Failure> {
    index
        .integer()
        .ok_or_else(|| Failure::new(format!("an index is an integer, not {}", index.kind())))
}

fn cast(to: Type, value: &Value) -> Result<Value, Failure> {
    match to {
        Type::Integer => cast_integer(value),
        Type::Float => cast_float(value),
        Type::Text => Ok(Value::from(value.to_string())),
        Type::Bool => Ok(Value::Bool(match value {
            Value::Text(text) => text.eq_ignore_ascii_case("true") || text.as_ref() == "1",
            other => other.is_true(),
        })),
    }
}

/// Python's `int`.
pub(crate) fn cast_integer(value: &Value) -> Result<Value, Failure> {
    let number = match value {
        Value::Text(text) => read_integer(text),
        Value::Float(number) => whole(number.trunc()),
        other => other.integer(),
    };
    let kind = value.kind();
    number
        .map(Value::Integer)
        .ok_or_else(|| Failure::new(format!("{kind} that is no integer of at most 128 bits")))
}

fn cast_float(value: &Value) -> Result<Value, Failure> {
    let number = match value {
        Value::Text(text) => read_float(text),
        other => other.float(),
    };
    let kind = value.kind();
    number
        .map(Value::Float)
        .ok_or_else(|| Failure::new(format!("{kind} that is no number")))
}

/// Digits with single `_` between them, blanks around and a sign before.
pub(crate) fn read_integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    has_single_underscores(digits).then(|| text.replace('_', "").parse().ok())?
}

/// Python's `float` of text.
pub(crate) fn read_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_word = ["inf", "infinity", "nan"]
        .iter()
        .any(|word| unsigned.eq_ignore_ascii_case(word));
    let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && (!text.contains('_')
            || unsigned
                .split(['.', 'e', 'E', '+', '-'])
                .all(|part| part.is_empty() || has_single_underscores(part)));
    if is_word || is_number {
        text.replace('_', "").parse().ok()
    } else {
        None
    }
}

fn has_single_underscores(digits: &str) -> bool {
    digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
