//! Arithmetic as functions.

use super::{Arguments, Function, function, wrong};
use crate::action::expression::operators::{add, divide, modulo, multiply, subtract};
use crate::action::value::{Failure, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function("add", "a, b", plus, "FN.add(1, 2.5)", "3.5"),
    function("sub", "a, b", minus, "FN.sub(1, 3)", "-2"),
    function("mul", "a, b", times, r#"FN.mul("ab", 2)"#, "'abab'"),
    function("div", "a, b", by, "FN.div(6, 2)", "3.0"),
    function("mod", "a, b", rest, "FN.mod(-7, 3)", "2"),
    function("pow", "a, b", power, "FN.pow(2, -1)", "0.5"),
    function("sum", "items, start=0", sum, "FN.sum([1, 2, 3.5])", "6.5"),
    function("min", "a, b", min, "FN.min(3, 2)", "2"),
    function("max", "a, b", max, "FN.max(1, 1.0)", "1"),
];

type Outcome = Result<Value, Failure>;

fn plus(arguments: &Arguments<'_>) -> Outcome {
    add(arguments.value(0), arguments.value(1))
}

fn minus(arguments: &Arguments<'_>) -> Outcome {
    subtract(arguments.value(0), arguments.value(1))
}

fn times(arguments: &Arguments<'_>) -> Outcome {
    multiply(arguments.value(0), arguments.value(1))
}

fn by(arguments: &Arguments<'_>) -> Outcome {
    divide(arguments.value(0), arguments.value(1))
}

fn rest(arguments: &Arguments<'_>) -> Outcome {
    modulo(arguments.value(0), arguments.value(1))
}

fn power(arguments: &Arguments<'_>) -> Outcome {
    let (base, exponent) = (arguments.value(0), arguments.value(1));
    if let (Some(base), Some(exponent)) = (base.integer(), exponent.integer())
        && exponent >= 0
    {
        let too_large = || Failure::new("the integer has more than 128 bits");
        // These three stay small whatever the exponent is.
        let exponent = match base {
            0 | 1 => exponent.min(1),
            -1 => exponent % 2,
            _ => exponent,
        };
        let exponent = u32::try_from(exponent).map_err(|_| too_large())?;
        return base
            .checked_pow(exponent)
            .map(Value::Integer)
            .ok_or_else(too_large);
    }
    let number = |value: &Value| {
        value
            .float()
            .ok_or_else(|| wrong("a number is needed", value))
    };
    let (base, exponent) = (number(base)?, number(exponent)?);
    if base == 0.0 && exponent < 0.0 {
        return Err(Failure::new("zero has no negative power"));
    }
    let power = base.powf(exponent);
    if power.is_nan() && !base.is_nan() && !exponent.is_nan() {
        return Err(Failure::new("a negative number has no such power"));
    }
    if power.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(Failure::new("the number is too large"));
    }
    Ok(Value::Float(power))
}

fn sum(arguments: &Arguments<'_>) -> Outcome {
    let start = arguments
        .values
        .get(1)
        .cloned()
        .unwrap_or(Value::Integer(0));
    if let Value::Text(_) = start {
        return Err(wrong("a number is needed", &start));
    }
    arguments
        .members(0)?
        .iter()
        .try_fold(start, |total, item| add(&total, item))
}

fn min(arguments: &Arguments<'_>) -> Outcome {
    let (first, second) = (arguments.value(0), arguments.value(1));
    let is_less = second.compare(first)?.is_some_and(|order| order.is_lt());
    Ok(if is_less { second } else { first }.clone())
}

fn max(arguments: &Arguments<'_>) -> Outcome {
    let (first, second) = (arguments.value(0), arguments.value(1));
    let is_greater = second.compare(first)?.is_some_and(|order| order.is_gt());
    Ok(if is_greater { second } else { first }.clone())
}
