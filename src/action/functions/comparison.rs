//! Comparisons and logic as functions.

use super::{Arguments, Function, function};
use crate::action::expression::operators::binary;
use crate::action::expression::syntax::BinaryOperator;
use crate::action::value::{Failure, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "greater_than",
        "a, b",
        greater,
        "FN.greater_than(2, 1)",
        "True",
    ),
    function(
        "greater_than_or_equal",
        "a, b",
        greater_or_equal,
        "FN.greater_than_or_equal(2, 2)",
        "True",
    ),
    function(
        "less_than",
        "a, b",
        less,
        r#"FN.less_than("b", "a")"#,
        "False",
    ),
    function(
        "less_than_or_equal",
        "a, b",
        less_or_equal,
        "FN.less_than_or_equal(1.0, 1)",
        "True",
    ),
    function("is_equal", "a, b", equal, "FN.is_equal(1, True)", "True"),
    function(
        "not_equal",
        "a, b",
        not_equal,
        r#"FN.not_equal("1", 1)"#,
        "True",
    ),
    function(
        "is_not_equal",
        "a, b",
        not_equal,
        "FN.is_not_equal(1, 1)",
        "False",
    ),
    function("is_null", "x", is_null, "FN.is_null(None)", "True"),
    function("not_null", "x", not_null, "FN.not_null(None)", "False"),
    function(
        "is_not_null",
        "x",
        not_null,
        r#"FN.is_not_null("")"#,
        "True",
    ),
    function("and", "a, b", and, "FN.and(1, 0)", "0"),
    function("or", "a, b", or, r#"FN.or(0, "x")"#, "'x'"),
    function("not", "x", not, r#"FN.not("")"#, "True"),
];

type Outcome = Result<Value, Failure>;

fn both(operator: BinaryOperator, arguments: &Arguments<'_>) -> Outcome {
    binary(operator, arguments.value(0), arguments.value(1))
}

fn greater(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::Greater, arguments)
}

fn greater_or_equal(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::GreaterOrEqual, arguments)
}

fn less(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::Less, arguments)
}

fn less_or_equal(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::LessOrEqual, arguments)
}

fn equal(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::Equal, arguments)
}

fn not_equal(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::NotEqual, arguments)
}

fn is_null(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(matches!(arguments.value(0), Value::None)))
}

fn not_null(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(!matches!(arguments.value(0), Value::None)))
}

fn and(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::And, arguments)
}

fn or(arguments: &Arguments<'_>) -> Outcome {
    both(BinaryOperator::Or, arguments)
}

fn not(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(!arguments.value(0).is_true()))
}
