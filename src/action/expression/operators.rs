//! What the operators do: Python's arithmetic and comparisons.

use std::cmp::Ordering;

use super::syntax::{BinaryOperator, UnaryOperator};
use crate::action::functions::format::printf;
use crate::action::value::{Duration, Failure, Moment, Value};

/// The longest text in bytes that an operator or function makes by repeating.
pub const LARGEST: usize = 16 << 20;
/// The most members of a list that an operator or function makes by repeating.
pub const MOST_MEMBERS: usize = 1 << 20;

/// The value of `operator operand`.
pub fn unary(operator: UnaryOperator, operand: &Value) -> Result<Value, Failure> {
    if operator == UnaryOperator::Not {
        return Ok(Value::Bool(!operand.is_true()));
    }
    match (operator, operand) {
        (UnaryOperator::Minus, Value::Float(number)) => Ok(Value::Float(-number)),
        (_, Value::Float(number)) => Ok(Value::Float(*number)),
        (UnaryOperator::Minus, Value::Duration(duration)) => Ok(Value::Duration(
            Duration::from_microseconds(-duration.microseconds())?,
        )),
        (_, Value::Duration(_)) => Ok(operand.clone()),
        _ => match operand.integer() {
            Some(number) if operator == UnaryOperator::Minus => number
                .checked_neg()
                .map(Value::Integer)
                .ok_or_else(too_large),
            Some(number) => Ok(Value::Integer(number)),
            None => Err(Failure::new(format!("{} has no sign", operand.kind()))),
        },
    }
}

/// The value of `left operator right`.
pub fn binary(operator: BinaryOperator, left: &Value, right: &Value) -> Result<Value, Failure> {
    let ordered = |holds: fn(Ordering) -> bool| {
        let order = left.compare(right)?;
        Ok(Value::Bool(order.is_some_and(holds)))
    };
    match operator {
        BinaryOperator::Or => Ok(if left.is_true() { left } else { right }.clone()),
        BinaryOperator::And => Ok(if left.is_true() { right } else { left }.clone()),
        BinaryOperator::Equal => Ok(Value::Bool(left == right)),
        BinaryOperator::NotEqual => Ok(Value::Bool(left != right)),
        BinaryOperator::Greater => ordered(Ordering::is_gt),
        BinaryOperator::GreaterOrEqual => ordered(Ordering::is_ge),
        BinaryOperator::Less => ordered(Ordering::is_lt),
        BinaryOperator::LessOrEqual => ordered(Ordering::is_le),
        BinaryOperator::In => right.contains(left).map(Value::Bool),
        BinaryOperator::NotIn => right.contains(left).map(|found| Value::Bool(!found)),
        BinaryOperator::Is => Ok(Value::Bool(is_same(left, right))),
        BinaryOperator::IsNot => Ok(Value::Bool(!is_same(left, right))),
        BinaryOperator::Add => add(left, right),
        BinaryOperator::Subtract => subtract(left, right),
        BinaryOperator::Multiply => multiply(left, right),
        BinaryOperator::Divide => divide(left, right),
        BinaryOperator::Modulo => modulo(left, right),
    }
}

/// Identity, which only the values that exist once have for sure.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::None, Value::None) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        _ => false,
    }
}

fn too_large() -> Failure {
    Failure::new("the integer has more than 128 bits")
}

fn unfit(verb: &str, left: &Value, right: &Value) -> Failure {
    Failure::new(format!("can't {verb} {} and {}", left.kind(), right.kind()))
}

/// Both as integers, else both as floats.
enum Numbers {
    Integers(i128, i128),
    Floats(f64, f64),
}

fn numbers(left: &Value, right: &Value) -> Option<Numbers> {
    match (left.integer(), right.integer()) {
        (Some(left), Some(right)) => Some(Numbers::Integers(left, right)),
        _ => Some(Numbers::Floats(left.float()?, right.float()?)),
    }
}

/// `left + right`.
pub fn add(left: &Value, right: &Value) -> Result<Value, Failure> {
    match numbers(left, right) {
        Some(Numbers::Integers(left, right)) => {
            return left
                .checked_add(right)
                .map(Value::Integer)
                .ok_or_else(too_large);
        }
        Some(Numbers::Floats(left, right)) => return Ok(Value::Float(left + right)),
        None => {}
    }
    match (left, right) {
        (Value::Text(one), Value::Text(two)) if one.len() + two.len() <= LARGEST => {
            Ok(Value::from(format!("{one}{two}")))
        }
        (Value::List(one), Value::List(two)) if one.len() + two.len() <= MOST_MEMBERS => {
            Ok(Value::list(one.iter().chain(two.iter()).cloned().collect()))
        }
        (Value::Text(_), Value::Text(_)) | (Value::List(_), Value::List(_)) => {
            Err(Failure::new("the result is too large"))
        }
        (Value::Moment(moment), Value::Duration(duration))
        | (Value::Duration(duration), Value::Moment(moment)) => {
            moment.plus(*duration).map(Value::Moment)
        }
        (Value::Date(date), Value::Duration(duration))
        | (Value::Duration(duration), Value::Date(date)) => days_later(*date, duration.parts().0),
        (Value::Duration(one), Value::Duration(two)) => {
            duration(one.microseconds() + two.microseconds())
        }
        _ => Err(unfit("add", left, right)),
    }
}

fn duration(microseconds: i128) -> Result<Value, Failure> {
    Duration::from_microseconds(microseconds).map(Value::Duration)
}

fn days_later(date: jiff::civil::Date, days: i128) -> Result<Value, Failure> {
    let start = Moment::naive(date.to_datetime(jiff::civil::Time::midnight()));
    let span = Duration::from_microseconds(days * 86_400_000_000)?;
    Ok(Value::Date(start.plus(span)?.clock.date()))
}

/// `left - right`.
pub fn subtract(left: &Value, right: &Value) -> Result<Value, Failure> {
    match numbers(left, right) {
        Some(Numbers::Integers(left, right)) => {
            return left
                .checked_sub(right)
                .map(Value::Integer)
                .ok_or_else(too_large);
        }
        Some(Numbers::Floats(left, right)) => return Ok(Value::Float(left - right)),
        None => {}
    }
    match (left, right) {
        (Value::Moment(later), Value::Moment(earlier)) => later.since(earlier).map(Value::Duration),
        (Value::Moment(_) | Value::Date(_), Value::Duration(_)) => {
            add(left, &unary(UnaryOperator::Minus, right)?)
        }
        (Value::Date(later), Value::Date(earlier)) => {
            let days = later.duration_since(*earlier).as_hours() / 24;
            duration(i128::from(days) * 86_400_000_000)
        }
        (Value::Duration(one), Value::Duration(two)) => {
            duration(one.microseconds() - two.microseconds())
        }
        _ => Err(unfit("subtract", left, right)),
    }
}

/// `left * right`.
pub fn multiply(left: &Value, right: &Value) -> Result<Value, Failure> {
    match numbers(left, right) {
        Some(Numbers::Integers(left, right)) => {
            return left
                .checked_mul(right)
                .map(Value::Integer)
                .ok_or_else(too_large);
        }
        Some(Numbers::Floats(left, right)) => return Ok(Value::Float(left * right)),
        None => {}
    }
    let (repeated, times) = match (left.integer(), right.integer()) {
        (_, Some(times)) => (left, times),
        (Some(times), _) => (right, times),
        _ => match (left, right) {
            (Value::Duration(span), Value::Float(factor))
            | (Value::Float(factor), Value::Duration(span)) => {
                let span = Duration::from_seconds(span.seconds() * factor)?;
                return Ok(Value::Duration(span));
            }
            _ => return Err(unfit("multiply", left, right)),
        },
    };
    let count = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let fits =
        |length: usize, most: usize| length.checked_mul(count).is_some_and(|all| all <= most);
    match repeated {
        Value::Text(text) if fits(text.len(), LARGEST) => Ok(Value::from(if text.is_empty() {
            String::new()
        } else {
            text.repeat(count)
        })),
        Value::List(items) if fits(items.len(), MOST_MEMBERS) => {
            let all = items.len() * count;
            Ok(Value::list(
                items.iter().cycle().take(all).cloned().collect(),
            ))
        }
        Value::Text(_) | Value::List(_) => Err(Failure::new("the result is too large")),
        Value::Duration(span) => {
            let microseconds = span.microseconds().checked_mul(times);
            duration(microseconds.unwrap_or(i128::MAX))
        }
        _ => Err(unfit("multiply", left, right)),
    }
}

/// `left / right`, a float always.
pub fn divide(left: &Value, right: &Value) -> Result<Value, Failure> {
    let by_zero = || Failure::new("division by zero");
    if let (Value::Duration(one), Value::Duration(two)) = (left, right) {
        if two.microseconds() == 0 {
            return Err(by_zero());
        }
        return Ok(Value::Float(
            one.microseconds() as f64 / two.microseconds() as f64,
        ));
    }
    let divisor = right.float().ok_or_else(|| unfit("divide", left, right))?;
    if divisor == 0.0 {
        return Err(by_zero());
    }
    if let Value::Duration(span) = left {
        let span = Duration::from_seconds(span.seconds() / divisor)?;
        return Ok(Value::Duration(span));
    }
    let dividend = left.float().ok_or_else(|| unfit("divide", left, right))?;
    Ok(Value::Float(dividend / divisor))
}

/// `left % right`: the rest with the sign of `right`, or text with values put in.
pub fn modulo(left: &Value, right: &Value) -> Result<Value, Failure> {
    if let Value::Text(template) = left {
        return printf(template, right);
    }
    let by_zero = || Failure::new("modulo by zero");
    match numbers(left, right) {
        Some(Numbers::Integers(_, 0)) => Err(by_zero()),
        Some(Numbers::Integers(left, right)) => {
            let rest = left.checked_rem(right).unwrap_or(0);
            let is_other_side = rest != 0 && (rest < 0) != (right < 0);
            Ok(Value::Integer(if is_other_side {
                rest + right
            } else {
                rest
            }))
        }
        Some(Numbers::Floats(_, 0.0)) => Err(by_zero()),
        Some(Numbers::Floats(left, right)) => {
            let rest = left % right;
            if rest == 0.0 {
                return Ok(Value::Float(0.0_f64.copysign(right)));
            }
            let is_other_side = (rest < 0.0) != (right < 0.0);
            Ok(Value::Float(if is_other_side {
                rest + right
            } else {
                rest
            }))
        }
        None => Err(unfit("divide", left, right)),
    }
}
