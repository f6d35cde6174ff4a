//! The types of inputs, what each takes, and what it becomes.

use _core::action::inputs::{Input, Type, validate};
use _core::action::value::{Mapping, Value};

use super::json;

fn given(text: &str) -> Mapping {
    match json(text) {
        Value::Mapping(entries) => entries.as_ref().clone(),
        _ => panic!("inputs are a mapping"),
    }
}

fn input(name: &str, kind: &str, default: Option<&str>) -> Input {
    Input {
        name: name.to_owned(),
        kind: Type::parse(kind).unwrap(),
        default: default.map(json),
        description: String::new(),
    }
}

/// What a JSON value becomes as an input of this type.
fn coerced(kind: &str, value: &str) -> String {
    let given = given(&format!(r#"{{"x": {value}}}"#));
    match validate(&[input("x", kind, None)], &given) {
        Ok(inputs) => inputs.get("x").unwrap().repr(),
        Err(errors) => format!("fails: {errors}"),
    }
}

fn assert_coerces(kind: &str, rows: &[(&str, &str)]) {
    for (value, expected) in rows {
        assert_eq!(coerced(kind, value), *expected, "{value} as {kind}");
    }
}

fn assert_refuses(kind: &str, values: &[&str]) {
    for value in values {
        let found = coerced(kind, value);
        assert!(
            found.starts_with("fails: x"),
            "{value} as {kind} is {found}"
        );
    }
}

#[test]
fn str_takes_text_only() {
    assert_coerces("str", &[(r#""5""#, "'5'"), (r#""""#, "''")]);
    assert_refuses("str", &["5", "true", "1.5", "null", "[]"]);
}

#[test]
fn int_takes_whole_numbers_in_many_forms() {
    let rows = [
        ("5", "5"),
        (r#""5""#, "5"),
        (r#"" 5 ""#, "5"),
        (r#""+5""#, "5"),
        (r#""-5""#, "-5"),
        (r#""1_000""#, "1000"),
        (r#""5.0""#, "5"),
        ("5.0", "5"),
        ("true", "1"),
        (
            r#""123456789012345678901234567890""#,
            "123456789012345678901234567890",
        ),
    ];
    assert_coerces("int", &rows);
    assert_refuses(
        "int",
        &[
            r#""5.5""#, "5.5", r#""""#, "null", r#""5.""#, r#""1e3""#, r#""0x5""#, "[]",
        ],
    );
}

#[test]
fn float_takes_numbers_and_their_text() {
    let rows = [
        ("5", "5.0"),
        (r#""5""#, "5.0"),
        (r#""1e3""#, "1000.0"),
        ("true", "1.0"),
        (r#""nan""#, "nan"),
        (r#""inf""#, "inf"),
    ];
    assert_coerces("float", &rows);
    assert_refuses("float", &["null", r#""1,5""#, r#""""#]);
}

#[test]
fn bool_takes_its_words_in_any_case() {
    for word in ["true", "yes", "on", "t", "y", "1", "TRUE", "Yes"] {
        assert_coerces("bool", &[(&format!("\"{word}\""), "True")]);
    }
    for word in ["false", "no", "off", "f", "n", "0", "FALSE", "No"] {
        assert_coerces("bool", &[(&format!("\"{word}\""), "False")]);
    }
    assert_coerces(
        "bool",
        &[
            ("true", "True"),
            ("1", "True"),
            ("0", "False"),
            ("1.0", "True"),
            ("0.0", "False"),
        ],
    );
    assert_refuses("bool", &["2", r#""ja""#, "null", "0.5", r#""""#]);
}

#[test]
fn datetime_becomes_iso_text() {
    let rows = [
        (r#""2024-01-02""#, "'2024-01-02T00:00:00'"),
        (r#""2024-01-02T03:04:05Z""#, "'2024-01-02T03:04:05Z'"),
        (r#""2024-01-02 03:04:05+00:00""#, "'2024-01-02T03:04:05Z'"),
        (
            r#""2024-01-02T03:04:05+02:00""#,
            "'2024-01-02T03:04:05+02:00'",
        ),
        (
            r#""2024-01-02T03:04:05.120""#,
            "'2024-01-02T03:04:05.120000'",
        ),
        ("0", "'1970-01-01T00:00:00Z'"),
        ("1.5", "'1970-01-01T00:00:01.500000Z'"),
        (r#""1.5""#, "'1970-01-01T00:00:01.500000Z'"),
        ("1700000000000", "'2023-11-14T22:13:20Z'"),
        (r#""1700000000""#, "'2023-11-14T22:13:20Z'"),
    ];
    assert_coerces("datetime", &rows);
    assert_refuses(
        "datetime",
        &[r#""x""#, "null", r#""2024-13-01""#, "[]", r#""""#],
    );
}

#[test]
fn duration_becomes_iso_text() {
    let rows = [
        ("90", "'PT1M30S'"),
        ("1.5", "'PT1.5S'"),
        ("-5", "'-PT5S'"),
        (r#""PT1H30M""#, "'PT1H30M'"),
        (r#""P1D""#, "'P1D'"),
        (r#""01:02:03""#, "'PT1H2M3S'"),
        (r#""1 day, 2:03:04""#, "'P1DT2H3M4S'"),
        (r#""-PT5S""#, "'-PT5S'"),
        (r#""P1W""#, "'P7D'"),
    ];
    assert_coerces("duration", &rows);
    assert_refuses(
        "duration",
        &[
            r#""90""#,
            r#""1:02""#,
            "null",
            r#""P""#,
            r#""PT""#,
            r#""x""#,
        ],
    );
}

#[test]
fn any_takes_everything() {
    assert_coerces(
        "any",
        &[("null", "None"), ("[1]", "[1]"), (r#""x""#, "'x'")],
    );
    assert_coerces("Any", &[("null", "None")]);
}

#[test]
fn lists_and_mappings_coerce_their_members() {
    assert_coerces("list[int]", &[(r#"["1", 2]"#, "[1, 2]"), ("[]", "[]")]);
    assert_coerces("dict", &[(r#"{"a": 1}"#, "{'a': 1}")]);
    assert_coerces("dict[int, str]", &[(r#"{"1": "a"}"#, "{'1': 'a'}")]);
    assert_coerces(
        "dict[str, list[float]]",
        &[(r#"{"a": [1]}"#, "{'a': [1.0]}")],
    );
    assert_refuses("list[int]", &[r#""12""#, r#"{"a": 1}"#, "null"]);
    assert_refuses("dict", &["[]", r#""a""#]);
    assert_eq!(
        coerced("list[int]", r#"[1, "a"]"#),
        "fails: x[1]: int is needed, not text"
    );
    assert_eq!(
        coerced("dict[str, int]", r#"{"a": []}"#),
        r#"fails: x["a"]: int is needed, not a list"#
    );
}

#[test]
fn enum_takes_its_values_exactly() {
    assert_coerces(r#"enum["A", 'b']"#, &[(r#""A""#, "'A'"), (r#""b""#, "'b'")]);
    assert_refuses(r#"enum["A", 'b']"#, &[r#""a""#, r#""c""#, "1", "null"]);
}

#[test]
fn a_union_takes_the_type_that_fits_best_else_the_first() {
    assert_coerces(
        "int | str",
        &[(r#""5""#, "'5'"), ("5.0", "5"), ("true", "1")],
    );
    assert_coerces("str | int", &[("5", "5")]);
    assert_coerces(
        "datetime | str",
        &[
            (r#""2024-01-02""#, "'2024-01-02'"),
            ("5", "'1970-01-01T00:00:05Z'"),
        ],
    );
    assert_coerces("float | int", &[("5", "5"), (r#""5""#, "5.0")]);
    assert_coerces("str | None", &[("null", "None"), (r#""a""#, "'a'")]);
    assert_coerces("list[int] | list[str]", &[(r#"["1"]"#, "['1']")]);
    assert_coerces("any | int", &[("5", "5")]);
    assert_refuses("int | bool", &[r#""x""#, "null"]);
}

#[test]
fn a_default_is_taken_as_it_stands() {
    let expected = [
        input("a", "int", Some(r#""7""#)),
        input("b", "str", Some("null")),
    ];
    let inputs = validate(&expected, &Mapping::new()).unwrap();
    assert_eq!(inputs.repr(), "{'a': '7', 'b': None}");
    let errors = validate(&expected, &given(r#"{"b": null}"#)).unwrap_err();
    assert_eq!(errors.to_string(), "b: str is needed, not None");
}

#[test]
fn the_message_names_every_field_that_failed() {
    let expected = [
        input("query", "str | None", None),
        input("limit", "int", None),
    ];
    let errors = validate(&expected, &given(r#"{"limit": "x", "querry": 1, "y": 2}"#)).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "query: is missing; limit: int is needed, not text; querry: is no input; did you mean query?; y: is no input"
    );
}

#[test]
fn a_template_that_expects_nothing_takes_anything() {
    let inputs = validate(&[], &given(r#"{"a": [1]}"#)).unwrap();
    assert_eq!(inputs.repr(), "{'a': [1]}");
}

#[test]
fn types_are_read_strictly() {
    for (text, expected) in [
        ("int", "int"),
        (" list [ int ] ", "list[int]"),
        ("dict", "dict[str, any]"),
        ("dict[str,int|None]|None", "dict[str, int | None] | None"),
        (r#"enum["a",'b c']"#, r#"enum["a", "b c"]"#),
    ] {
        assert_eq!(Type::parse(text).unwrap().to_string(), expected);
    }
    for text in [
        "Int",
        "String",
        "date",
        "list",
        "list[]",
        "list[int",
        "dict[str]",
        "enum",
        "enum[]",
        r#"enum["a", "A"]"#,
        "$Name",
        "int |",
        "",
        "int int",
        "enum[a]",
        "list[list",
        "int]",
        r#"enum["a" "b"]"#,
    ] {
        assert!(Type::parse(text).is_err(), "{text}");
    }
    let many = Vec::from_iter((0..21).map(|index| format!("\"v{index}\""))).join(",");
    assert!(Type::parse(&format!("enum[{many}]")).is_err());
    assert!(Type::parse(&"list[".repeat(10_000)).is_err());
    assert_eq!(Type::parse("list[Int]").unwrap_err().at, 5);
}

#[test]
fn rarer_forms_of_dates_and_durations() {
    let rows = [
        (r#""400 days""#, "'P1Y35D'"),
        (r#""1d 01:02:03""#, "'P1DT1H2M3S'"),
        (r#""PT36H""#, "'P1DT12H'"),
        (r#""P1Y2M3DT4H5M6.789S""#, "'P1Y63DT4H5M6.789S'"),
        (r#""-01:02:03""#, "'-PT1H2M3S'"),
        ("true", "'PT1S'"),
    ];
    assert_coerces("duration", &rows);
    assert_refuses("duration", &[r#""""#, r#""2 01:02:03""#]);
    let rows = [
        (r#""20240102""#, "'1970-08-23T06:15:02Z'"),
        (r#""2024-01-02t03:04""#, "'2024-01-02T03:04:00'"),
        (r#""2024-01-02_03:04:05z""#, "'2024-01-02T03:04:05Z'"),
        (
            r#""2024-01-02T03:04:05+0200""#,
            "'2024-01-02T03:04:05+02:00'",
        ),
        ("20000000001", "'1970-08-20T11:33:20.001000Z'"),
    ];
    assert_coerces("datetime", &rows);
    let refused = [
        r#""1e3""#,
        r#""nan""#,
        r#"" 2024-01-02""#,
        r#""2024-01-02T03""#,
        r#""2024-01-02T03:04+02""#,
        r#""2024-W01-1""#,
        "true",
    ];
    assert_refuses("datetime", &refused);
}
