//! Lists, and sets made of them: those keep the order of first occurrence.

use indexmap::IndexSet;

use super::{Arguments, Function, function};
use crate::action::expression::evaluate::member;
use crate::action::expression::operators::MOST_MEMBERS;
use crate::action::value::{Failure, Key, Mapping, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "contains",
        "item, container",
        contains,
        "FN.contains(2, [1, 2])",
        "True",
    ),
    function(
        "is_in",
        "item, container",
        contains,
        r#"FN.is_in("k", {"k": 1})"#,
        "True",
    ),
    function(
        "does_not_contain",
        "item, container",
        lacks,
        r#"FN.does_not_contain("bc", "abcd")"#,
        "False",
    ),
    function(
        "not_in",
        "item, container",
        lacks,
        "FN.not_in(3, [1, 2])",
        "True",
    ),
    function(
        "is_not_in",
        "item, container",
        lacks,
        "FN.is_not_in(1, [1, 2])",
        "False",
    ),
    function(
        "contains_any_of",
        "a, b",
        contains_any_of,
        "FN.contains_any_of([1, 2], [2, 3])",
        "True",
    ),
    function(
        "contains_none_of",
        "a, b",
        contains_none_of,
        r#"FN.contains_none_of("abc", "xyz")"#,
        "True",
    ),
    function(
        "compact",
        "x",
        compact,
        r#"FN.compact([1, None, "", 0])"#,
        "[1, '', 0]",
    ),
    function(
        "drop_nulls",
        "x",
        drop_nulls,
        r#"FN.drop_nulls([1, None, "", 0])"#,
        "[1, 0]",
    ),
    function("is_empty", "x", is_empty, r#"FN.is_empty("")"#, "True"),
    function("not_empty", "x", not_empty, "FN.not_empty([])", "False"),
    function(
        "is_not_empty",
        "x",
        not_empty,
        r#"FN.is_not_empty({"a": 1})"#,
        "True",
    ),
    function("length", "x", length, r#"FN.length("né")"#, "2"),
    function(
        "flatten",
        "x",
        flatten,
        r#"FN.flatten([[1, [2]], "ab", {"c": [3]}])"#,
        "[1, 2, 'ab', {'c': [3]}]",
    ),
    function("unique", "x", unique, "FN.unique([2, 1, 2])", "[2, 1]"),
    function(
        "union",
        "*lists",
        union,
        "FN.union([1, 2], [2, 3])",
        "[1, 2, 3]",
    ),
    function(
        "intersection",
        "a, b",
        intersection,
        "FN.intersection([1, 2, 3], [3, 2])",
        "[2, 3]",
    ),
    function(
        "difference",
        "a, b",
        difference,
        "FN.difference([1, 2, 3], [2])",
        "[1, 3]",
    ),
    function(
        "symmetric_difference",
        "a, b",
        symmetric_difference,
        "FN.symmetric_difference([1, 2], [2, 3])",
        "[1, 3]",
    ),
    function("at", "seq, i", at, "FN.at([1, 2, 3], -1)", "3"),
    function(
        "zip",
        "*lists",
        zip,
        r#"FN.zip([1, 2], ["a", "b", "c"])"#,
        "[[1, 'a'], [2, 'b']]",
    ),
    function(
        "iter_product",
        "*lists",
        iter_product,
        "FN.iter_product([1, 2], [3, 4])",
        "[[1, 3], [1, 4], [2, 3], [2, 4]]",
    ),
    function(
        "range",
        "start, end, step=1",
        range,
        "FN.range(1, 4)",
        "[1, 2, 3]",
    ),
    function(
        "zip_map",
        "keys, values",
        zip_map,
        r#"FN.zip_map(["a", "b"], [1, 2, 3])"#,
        "{'a': 1, 'b': 2}",
    ),
];

type Outcome = Result<Value, Failure>;

fn contains(arguments: &Arguments<'_>) -> Outcome {
    arguments
        .value(1)
        .contains(arguments.value(0))
        .map(Value::Bool)
}

fn lacks(arguments: &Arguments<'_>) -> Outcome {
    let found = arguments.value(1).contains(arguments.value(0))?;
    Ok(Value::Bool(!found))
}

fn set(arguments: &Arguments<'_>, index: usize) -> Result<IndexSet<Key>, Failure> {
    arguments
        .members(index)?
        .into_iter()
        .map(Key::new)
        .collect()
}

fn list<'set>(members: impl Iterator<Item = &'set Key>) -> Outcome {
    Ok(Value::list(
        members.map(|key| key.value().clone()).collect(),
    ))
}

fn contains_any_of(arguments: &Arguments<'_>) -> Outcome {
    let (one, two) = (set(arguments, 0)?, set(arguments, 1)?);
    Ok(Value::Bool(!one.is_disjoint(&two)))
}

fn contains_none_of(arguments: &Arguments<'_>) -> Outcome {
    let (one, two) = (set(arguments, 0)?, set(arguments, 1)?);
    Ok(Value::Bool(one.is_disjoint(&two)))
}

fn compact(arguments: &Arguments<'_>) -> Outcome {
    let items = arguments.members(0)?.into_iter();
    Ok(Value::list(
        items.filter(|item| !matches!(item, Value::None)).collect(),
    ))
}

fn drop_nulls(arguments: &Arguments<'_>) -> Outcome {
    let items = arguments.members(0)?.into_iter();
    let is_something = |item: &Value| !matches!(item, Value::None) && item.text() != Some("");
    Ok(Value::list(items.filter(is_something).collect()))
}

fn is_empty(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(arguments.value(0).length()? == 0))
}

fn not_empty(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(arguments.value(0).length()? != 0))
}

fn length(arguments: &Arguments<'_>) -> Outcome {
    arguments.value(0).length().map(Value::from)
}

fn flatten(arguments: &Arguments<'_>) -> Outcome {
    fn take(items: Vec<Value>, flat: &mut Vec<Value>) {
        for item in items {
            match item {
                Value::List(inner) => take(inner.to_vec(), flat),
                item => flat.push(item),
            }
        }
    }
    let mut flat = Vec::new();
    take(arguments.members(0)?, &mut flat);
    Ok(Value::list(flat))
}

fn unique(arguments: &Arguments<'_>) -> Outcome {
    list(set(arguments, 0)?.iter())
}

fn union(arguments: &Arguments<'_>) -> Outcome {
    let mut all = IndexSet::new();
    for index in 0..arguments.values.len() {
        all.extend(set(arguments, index)?);
    }
    list(all.iter())
}

fn intersection(arguments: &Arguments<'_>) -> Outcome {
    let (one, two) = (set(arguments, 0)?, set(arguments, 1)?);
    list(one.intersection(&two))
}

fn difference(arguments: &Arguments<'_>) -> Outcome {
    let (one, two) = (set(arguments, 0)?, set(arguments, 1)?);
    list(one.difference(&two))
}

fn symmetric_difference(arguments: &Arguments<'_>) -> Outcome {
    let (one, two) = (set(arguments, 0)?, set(arguments, 1)?);
    list(one.symmetric_difference(&two))
}

fn at(arguments: &Arguments<'_>) -> Outcome {
    member(arguments.value(0), arguments.value(1))
}

fn columns(arguments: &Arguments<'_>) -> Result<Vec<Vec<Value>>, Failure> {
    arguments.values.iter().map(Value::members).collect()
}

fn zip(arguments: &Arguments<'_>) -> Outcome {
    let columns = columns(arguments)?;
    let shortest = columns.iter().map(Vec::len).min().unwrap_or(0);
    let row =
        |index: usize| Value::list(columns.iter().map(|column| column[index].clone()).collect());
    Ok(Value::list((0..shortest).map(row).collect()))
}

fn iter_product(arguments: &Arguments<'_>) -> Outcome {
    let columns = columns(arguments)?;
    let size = columns
        .iter()
        .try_fold(1_usize, |size, column| size.checked_mul(column.len()));
    if size.is_none_or(|size| size.saturating_mul(columns.len()) > MOST_MEMBERS) {
        return Err(Failure::new("the result is too large"));
    }
    let mut rows = vec![Vec::new()];
    for column in &columns {
        let longer = rows.iter().flat_map(|row: &Vec<Value>| {
            column.iter().map(|item| {
                let mut row = row.clone();
                row.push(item.clone());
                row
            })
        });
        rows = longer.collect();
    }
    Ok(Value::list(rows.into_iter().map(Value::list).collect()))
}

fn range(arguments: &Arguments<'_>) -> Outcome {
    let (start, end, step) = (
        arguments.integer(0)?,
        arguments.integer(1)?,
        arguments.integer_or(2, 1)?,
    );
    if step == 0 {
        return Err(Failure::new("the step can't be zero"));
    }
    let mut items = Vec::new();
    let mut at = start;
    while if step > 0 { at < end } else { at > end } {
        if items.len() == MOST_MEMBERS {
            return Err(Failure::new("the result is too large"));
        }
        items.push(Value::Integer(at));
        at = at.saturating_add(step);
    }
    Ok(Value::list(items))
}

fn zip_map(arguments: &Arguments<'_>) -> Outcome {
    let mut mapping = Mapping::new();
    for (key, member) in arguments.members(0)?.into_iter().zip(arguments.members(1)?) {
        mapping.insert(Key::new(key)?, member);
    }
    Ok(Value::mapping(mapping))
}
