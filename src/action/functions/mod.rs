//! The functions that expressions call as `FN.name(…)`, each with an example that a test runs.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::expression::Contexts;
use super::value::{Failure, Value};

mod addresses;
mod comparison;
mod extract;
pub(crate) mod format;
mod lists;
mod mappings;
mod numbers;
mod tables;
mod text;
mod time;

pub(super) use time::iso::read_moment;

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// What stands behind `FN.`.
    pub name: &'static str,
    /// Its parameters as Python writes them: `x, sep=", "`, or `*items` for any number.
    pub parameters: &'static str,
    call: fn(&Arguments<'_>) -> Result<Value, Failure>,
    /// An expression that calls it.
    pub example: &'static str,
    /// What that comes to, as Python writes it.
    pub result: &'static str,
}

/// Functions that belong together.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// They, in the order of the manual.
    pub functions: &'static [Function],
}

/// All functions, in the order of the manual.
pub static GROUPS: [Group; 7] = [
    Group {
        title: "Text",
        functions: text::FUNCTIONS,
    },
    Group {
        title: "Comparison and logic",
        functions: comparison::FUNCTIONS,
    },
    Group {
        title: "Lists",
        functions: lists::FUNCTIONS,
    },
    Group {
        title: "Numbers",
        functions: numbers::FUNCTIONS,
    },
    Group {
        title: "Mappings and JSON",
        functions: mappings::FUNCTIONS,
    },
    Group {
        title: "Time",
        functions: time::FUNCTIONS,
    },
    Group {
        title: "Addresses and indicators",
        functions: addresses::FUNCTIONS,
    },
];

static BY_NAME: LazyLock<HashMap<&str, &Function>> = LazyLock::new(|| {
    let all = GROUPS.iter().flat_map(|group| group.functions);
    all.map(|function| (function.name, function)).collect()
});

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    BY_NAME.get(name).copied()
}

/// Longer than any function's name: what is longer is like none, and would take long to compare.
const LONGEST_NAME: usize = 64;

/// The name of a function that is most like this one, if any is much like it.
pub fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    BY_NAME
        .keys()
        .copied()
        .filter(|known| likeness(known) > 0.8)
        .max_by(|one, two| {
            let order = likeness(one).total_cmp(&likeness(two));
            order.then_with(|| two.cmp(one))
        })
}

/// Calls a function; mapped, for each member of its lists.
pub fn call(
    name: &str,
    is_mapped: bool,
    arguments: &[Value],
    contexts: &Contexts,
) -> Result<Value, Failure> {
    let Some(function) = find(name) else {
        let offer = nearest(name).map(|known| format!("; did you mean FN.{known}?"));
        let offer = offer.unwrap_or_default();
        return Err(Failure::new(format!(
            "there is no function FN.{name}{offer}"
        )));
    };
    function.check_count(arguments.len())?;
    let call = |values: &[Value]| {
        let arguments = Arguments { values, contexts };
        let result = (function.call)(&arguments).and_then(|result| {
            contexts.placeholders.check(values, &result)?;
            Ok(result)
        });
        result.map_err(|failure| Failure::new(format!("FN.{name}: {failure}")))
    };
    if !is_mapped {
        return call(arguments);
    }
    let lists = arguments.iter().filter_map(|argument| match argument {
        Value::List(items) => Some(items.len()),
        _ => None,
    });
    let Some(shortest) = lists.min() else {
        return Ok(Value::list(vec![call(arguments)?]));
    };
    let results = (0..shortest).map(|index| {
        let row = arguments.iter().map(|argument| match argument {
            Value::List(items) => items[index].clone(),
            scalar => scalar.clone(),
        });
        call(&Vec::from_iter(row))
    });
    Ok(Value::list(results.collect::<Result<_, _>>()?))
}

impl Function {
    /// The least and the most arguments; no most where there may be any number.
    pub fn counts(&self) -> (usize, Option<usize>) {
        let parameters = self.parameters.split(", ").filter(|name| !name.is_empty());
        let parameters = Vec::from_iter(parameters);
        let least = parameters
            .iter()
            .filter(|name| !name.contains('=') && !name.starts_with('*'))
            .count();
        let is_open = parameters.iter().any(|name| name.starts_with('*'));
        (least, (!is_open).then_some(parameters.len()))
    }

    /// Fails unless it can be called with so many arguments.
    pub fn check_count(&self, count: usize) -> Result<(), Failure> {
        let (least, most) = self.counts();
        if count >= least && most.is_none_or(|most| count <= most) {
            return Ok(());
        }
        let Self {
            name, parameters, ..
        } = self;
        Err(Failure::new(format!(
            "FN.{name}({parameters}) was given {count} arguments"
        )))
    }
}

const fn function(
    name: &'static str,
    parameters: &'static str,
    call: fn(&Arguments<'_>) -> Result<Value, Failure>,
    example: &'static str,
    result: &'static str,
) -> Function {
    Function {
        name,
        parameters,
        call,
        example,
        result,
    }
}

/// What a function was called with.
struct Arguments<'call> {
    values: &'call [Value],
    contexts: &'call Contexts,
}

impl Arguments<'_> {
    /// The argument, None when it was left out.
    fn value(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::None)
    }

    fn text(&self, index: usize) -> Result<&str, Failure> {
        let value = self.value(index);
        value.text().ok_or_else(|| wrong("text is needed", value))
    }

    fn text_or<'value>(
        &'value self,
        index: usize,
        default: &'value str,
    ) -> Result<&'value str, Failure> {
        if index < self.values.len() {
            self.text(index)
        } else {
            Ok(default)
        }
    }

    fn integer(&self, index: usize) -> Result<i128, Failure> {
        let value = self.value(index);
        value
            .integer()
            .ok_or_else(|| wrong("an integer is needed", value))
    }

    fn integer_or(&self, index: usize, default: i128) -> Result<i128, Failure> {
        if index < self.values.len() {
            self.integer(index)
        } else {
            Ok(default)
        }
    }

    fn flag(&self, index: usize) -> bool {
        self.value(index).is_true()
    }

    fn members(&self, index: usize) -> Result<Vec<Value>, Failure> {
        self.value(index).members()
    }
}

fn wrong(needed: &str, value: &Value) -> Failure {
    Failure::new(format!("{needed}, not {}", value.kind()))
}
