//! Mappings, and JSON, YAML, CSV and the like.

use super::{Arguments, Function, function, tables, wrong};
use crate::action::value::json::{Layout, read, write};
use crate::action::value::{Failure, Key, Mapping, Value};
use crate::action::yaml;

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "lookup",
        "d, k",
        lookup,
        r#"FN.lookup({"a": 1}, "b")"#,
        "None",
    ),
    function(
        "map_keys",
        "d, names",
        map_keys,
        r#"FN.map_keys({"a": 1}, {"a": "b"})"#,
        "{'b': 1}",
    ),
    function(
        "merge",
        "list",
        merge,
        r#"FN.merge([{"a": 1, "b": 2}, {"a": 3}])"#,
        "{'a': 3, 'b': 2}",
    ),
    function(
        "flatten_dict",
        "x, max_depth=100",
        flatten_dict,
        r#"FN.flatten_dict({"a": {"b": [1]} })"#,
        "{'a.b[0]': 1}",
    ),
    function("to_keys", "x", to_keys, r#"FN.to_keys({"a": 1})"#, "['a']"),
    function(
        "to_values",
        "x",
        to_values,
        r#"FN.to_values({"a": 1})"#,
        "[1]",
    ),
    function("is_json", "x", is_json, r#"FN.is_json("{")"#, "False"),
    function(
        "deserialize_json",
        "x",
        deserialize_json,
        r#"FN.deserialize_json('{"a": [1]}')"#,
        "{'a': [1]}",
    ),
    function(
        "deserialize_ndjson",
        "x",
        deserialize_ndjson,
        "FN.deserialize_ndjson('1\n2')",
        "[1, 2]",
    ),
    function(
        "deserialize_yaml",
        "x",
        deserialize_yaml,
        r#"FN.deserialize_yaml("a: yes")"#,
        "{'a': True}",
    ),
    function(
        "serialize",
        "x",
        serialize,
        r#"FN.serialize({"b": [1, None], "a": "é"})"#,
        r#"'{"b":[1,null],"a":"é"}'"#,
    ),
    function(
        "serialize_json",
        "x",
        serialize,
        "FN.serialize_json(None)",
        "'null'",
    ),
    function(
        "prettify_json",
        "x",
        prettify_json,
        r#"FN.prettify_json({"a": "é"})"#,
        r#"'{\n  "a": "\\u00e9"\n}'"#,
    ),
    function(
        "serialize_yaml",
        "x",
        serialize_yaml,
        r#"FN.serialize_yaml({"b": [1, "yes"], "a": None})"#,
        r#""a: null\nb:\n- 1\n- 'yes'\n""#,
    ),
    function(
        "parse_csv",
        "x",
        parse_csv,
        "FN.parse_csv('a,b\n1,2')",
        "[{'a': '1', 'b': '2'}]",
    ),
    function(
        "tabulate",
        "rows, format",
        tabulate,
        r#"FN.tabulate([{"a": 1, "b": "x"}], "markdown")"#,
        r"'|a|b|\n|-|-|\n|1|x|'",
    ),
    function(
        "to_markdown_list",
        "x, ordered=False",
        to_markdown_list,
        r#"FN.to_markdown_list(["a", 1], True)"#,
        r"'1. a\n2. 1'",
    ),
    function(
        "to_markdown_tasks",
        "x",
        to_markdown_tasks,
        r#"FN.to_markdown_tasks(["a"])"#,
        "'- [ ] a'",
    ),
    function(
        "to_markdown_table",
        "rows",
        to_markdown_table,
        r#"FN.to_markdown_table([{"a": 1}])"#,
        r"'|a|\n|-|\n|1|'",
    ),
];

type Outcome = Result<Value, Failure>;

fn mapping(value: &Value) -> Result<&Mapping, Failure> {
    match value {
        Value::Mapping(entries) => Ok(entries),
        other => Err(wrong("a mapping is needed", other)),
    }
}

fn lookup(arguments: &Arguments<'_>) -> Outcome {
    let key = Key::new(arguments.value(1).clone())?;
    let found = mapping(arguments.value(0))?.get(&key);
    Ok(found.cloned().unwrap_or(Value::None))
}

fn map_keys(arguments: &Arguments<'_>) -> Outcome {
    let names = mapping(arguments.value(1))?;
    let mut renamed = Mapping::new();
    for (key, member) in mapping(arguments.value(0))? {
        let Some(name) = names.get(key) else {
            return Err(Failure::new("a key has no new name"));
        };
        renamed.insert(Key::new(name.clone())?, member.clone());
    }
    Ok(Value::mapping(renamed))
}

fn merge(arguments: &Arguments<'_>) -> Outcome {
    let Value::List(items) = arguments.value(0) else {
        return Err(wrong("one list of mappings is needed", arguments.value(0)));
    };
    let mut merged = Mapping::new();
    for item in items.iter() {
        let entries = mapping(item)?.iter();
        merged.extend(entries.map(|(key, member)| (key.clone(), member.clone())));
    }
    Ok(Value::mapping(merged))
}

fn flatten_dict(arguments: &Arguments<'_>) -> Outcome {
    let most = arguments.integer_or(1, 100)?;
    let parsed;
    let value = match arguments.value(0) {
        Value::Text(text) => {
            parsed = read(text)?;
            &parsed
        }
        value => value,
    };
    if !matches!(value, Value::List(_) | Value::Mapping(_)) {
        return Err(wrong("a mapping or a list is needed", value));
    }
    let mut flat = Mapping::new();
    flatten_into(value, String::new(), most, &mut flat)?;
    Ok(Value::mapping(flat))
}

fn flatten_into(
    value: &Value,
    path: String,
    depth: i128,
    flat: &mut Mapping,
) -> Result<(), Failure> {
    match value {
        Value::List(_) | Value::Mapping(_) if depth <= 0 => Err(Failure::new("nested too deep")),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten_into(item, format!("{path}[{index}]"), depth - 1, flat)?;
            }
            Ok(())
        }
        Value::Mapping(entries) => {
            for (key, member) in entries.iter() {
                let dot = if path.is_empty() { "" } else { "." };
                flatten_into(
                    member,
                    format!("{path}{dot}{}", key.value()),
                    depth - 1,
                    flat,
                )?;
            }
            Ok(())
        }
        scalar => {
            flat.insert(Key::from(path.as_str()), scalar.clone());
            Ok(())
        }
    }
}

fn to_keys(arguments: &Arguments<'_>) -> Outcome {
    mapping(arguments.value(0))?;
    arguments.members(0).map(Value::list)
}

fn to_values(arguments: &Arguments<'_>) -> Outcome {
    let entries = mapping(arguments.value(0))?;
    Ok(Value::list(entries.values().cloned().collect()))
}

fn is_json(arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.value(0).text();
    Ok(Value::Bool(text.is_some_and(|text| read(text).is_ok())))
}

fn deserialize_json(arguments: &Arguments<'_>) -> Outcome {
    read(arguments.text(0)?)
}

fn deserialize_ndjson(arguments: &Arguments<'_>) -> Outcome {
    let values = arguments.text(0)?.lines().map(read);
    Ok(Value::list(values.collect::<Result<_, _>>()?))
}

fn deserialize_yaml(arguments: &Arguments<'_>) -> Outcome {
    yaml::load(arguments.text(0)?)
        .and_then(|node| node.value())
        .map_err(|problem| Failure::new(problem.to_string()))
}

/// With moments as RFC 3339 has them. A duration has no form there.
fn writable(value: &Value) -> Outcome {
    Ok(match value {
        Value::Duration(_) => return Err(wrong("JSON is needed", value)),
        Value::Moment(moment) => Value::from(moment.iso('T')),
        Value::List(items) => Value::list(items.iter().map(writable).collect::<Result<_, _>>()?),
        Value::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|(key, member)| Ok((key.clone(), writable(member)?)));
            Value::mapping(entries.collect::<Result<_, Failure>>()?)
        }
        other => other.clone(),
    })
}

fn serialize(arguments: &Arguments<'_>) -> Outcome {
    let value = writable(arguments.value(0))?;
    Ok(Value::from(write(&value, Layout::Compact)))
}

fn prettify_json(arguments: &Arguments<'_>) -> Outcome {
    let value = writable(arguments.value(0))?;
    Ok(Value::from(write(&value, Layout::Pretty)))
}

fn serialize_yaml(arguments: &Arguments<'_>) -> Outcome {
    yaml::write(arguments.value(0)).map(Value::from)
}

fn parse_csv(arguments: &Arguments<'_>) -> Outcome {
    tables::parse_csv(arguments.text(0)?)
}

fn tabulate(arguments: &Arguments<'_>) -> Outcome {
    tables::tabulate(arguments.value(0), arguments.text(1)?)
}

fn to_markdown_table(arguments: &Arguments<'_>) -> Outcome {
    tables::tabulate(arguments.value(0), "markdown")
}

fn lines(items: Vec<Value>, mark: impl Fn(usize) -> String) -> Value {
    let lines = items
        .iter()
        .enumerate()
        .map(|(index, item)| format!("{}{item}", mark(index)));
    Value::from(Vec::from_iter(lines).join("\n"))
}

fn to_markdown_list(arguments: &Arguments<'_>) -> Outcome {
    let is_ordered = arguments.flag(1);
    Ok(lines(arguments.members(0)?, |index| match is_ordered {
        true => format!("{}. ", index + 1),
        false => "- ".to_owned(),
    }))
}

fn to_markdown_tasks(arguments: &Arguments<'_>) -> Outcome {
    Ok(lines(arguments.members(0)?, |_| "- [ ] ".to_owned()))
}
