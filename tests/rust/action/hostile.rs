//! Whatever is written, reading and evaluating it ends, without a panic.

use _core::action::expression::{Contexts, Pattern, parse};
use _core::action::inputs::Type;
use _core::action::manual::{OPERATORS, PATH_INPUTS, PATHS};
use _core::action::template::Template;
use _core::action::value::{Duration, Value, json};
use _core::action::{functions, yaml};
use proptest::prelude::*;

/// Pieces that expressions are made of, joined at random.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "inputs.l",
        "inputs.d[\"k-1\"]",
        "steps.a.result",
        "SECRETS.a.KEY",
        "VARS.v",
        "ENV.x",
        "FN.join(",
        "FN.add.map(",
        "int(",
        "str(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"a\"",
        "'é'",
        "\"a\":",
        "1",
        "2.5",
        "0",
        "True",
        "None",
        "||",
        "&&",
        "not",
        "==",
        "<",
        ">=",
        "in",
        "is",
        "if",
        "else",
        "+",
        "-",
        "*",
        "/",
        "%",
        "->",
        "int",
        ".x",
        "..x",
        "[*]",
        "[0:1]",
        "[?(@.a > 1)]",
        ".`len`",
        " ",
        "\n",
        "\\",
        "\"",
        "'",
        "\u{0}",
        "🦀",
        "$",
        "}}",
        "${{",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..30)
        .prop_map(|words| words.join(" "))
}

/// Any value, nested a little.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Integer),
        (-40_i128..40).prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Float),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(
            &[
                "2024-01-02",
                "10:00",
                "%Y %",
                "{:>5}",
                "{0[",
                "10.0.0.0/8",
                "a@b.c",
                "(",
                "\\",
                "::1"
            ][..]
        )
        .prop_map(Value::from),
        (-1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000)
            .prop_map(|span| Value::Duration(Duration::from_microseconds(span).unwrap())),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
            prop::collection::vec(("[a-c]", inner), 0..3).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(key, member)| (key.as_str().into(), member));
                Value::mapping(entries.collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = Pattern::parse(&text);
        let _ = Type::parse(&text);
        let _ = yaml::load(&text).map(|node| node.value());
        let _ = Template::parse(&text);
    }

    #[test]
    fn any_sequence_of_pieces_is_read_or_refused_and_errors_can_be_underlined(text in pieces()) {
        if let Err(error) = parse(&text) {
            error.underlined(&text);
        }
        let text = format!("a ${{{{ {text} }}}} b");
        let contexts = Contexts { inputs: json::read(PATH_INPUTS).unwrap(), ..Contexts::default() };
        if let Err(error) = Pattern::parse(&text).and_then(|pattern| pattern.evaluate(&contexts)) {
            error.underlined(&text);
        }
    }

    #[test]
    fn a_change_of_one_character_in_a_good_expression_is_read_or_refused(
        index in 0_usize..1000, at in 0_usize..100, character in any::<char>(),
    ) {
        let rows = Vec::from_iter(OPERATORS.iter().chain(PATHS));
        let mut characters = Vec::from_iter(rows[index % rows.len()].example.chars());
        let at = at % characters.len();
        characters[at] = character;
        let text = String::from_iter(characters);
        if let Err(error) = parse(&text) {
            error.underlined(&text);
        }
    }

    #[test]
    fn any_function_ends_whatever_it_is_given(
        index in 0_usize..1000, is_mapped in any::<bool>(), arguments in prop::collection::vec(values(), 0..5),
    ) {
        let all = Vec::from_iter(functions::GROUPS.iter().flat_map(|group| group.functions));
        let function = all[index % all.len()];
        let (least, most) = function.counts();
        let mut arguments = arguments;
        arguments.resize(arguments.len().clamp(least, most.unwrap_or(5).max(least)), Value::Integer(3));
        if let Ok(value) = functions::call(function.name, is_mapped, &arguments, &Contexts::default()) {
            let _ = (value.repr(), json::trip(&value));
        }
    }

    #[test]
    fn any_two_values_meet_any_operator(left in values(), right in values()) {
        for operator in ["||", "&&", "==", "!=", "<", ">=", "in", "not in", "is", "+", "-", "*", "/", "%"] {
            let expression = parse(&format!("inputs.a {operator} inputs.b")).unwrap();
            let inputs = [("a", left.clone()), ("b", right.clone())].map(|(key, value)| (key.into(), value));
            let contexts = Contexts { inputs: Value::mapping(inputs.into_iter().collect()), ..Contexts::default() };
            let _ = _core::action::expression::evaluate(&expression, &contexts);
        }
    }

    #[test]
    fn json_is_read_back_as_it_was_written(value in values()) {
        let value = json::trip(&value);
        let written = json::write(&value, json::Layout::Compact);
        prop_assert_eq!(json::read(&written).unwrap().repr(), value.repr());
        let pretty = json::write(&value, json::Layout::Pretty);
        prop_assert_eq!(json::read(&pretty).unwrap().repr(), value.repr());
    }

    #[test]
    fn yaml_is_read_back_as_it_was_written(value in values()) {
        let value = json::trip(&value);
        let written = yaml::write(&value).unwrap();
        let read = yaml::load(&written).and_then(|node| node.value());
        prop_assert!(read.as_ref().is_ok_and(|read| *read == value), "{} {:?}", written, read.map(|read| read.repr()));
    }
}
