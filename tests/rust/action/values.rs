//! Values as Python has them.

use _core::action::value::json::{Layout, trip, write};
use _core::action::value::{Duration, Key, Mapping, Value};

use super::{assert_failures, assert_values, json, shown};

#[test]
fn text_around_an_expression_makes_pythons_text_of_its_value() {
    let rows = [
        ("None", "None"),
        ("True", "True"),
        ("1 == 2", "False"),
        ("3", "3"),
        ("1.0", "1.0"),
        ("2.5", "2.5"),
        (r#""""#, ""),
        (r#"float("1e23")"#, "1e+23"),
        ("0.00001", "1e-05"),
        ("-0.0", "-0.0"),
        ("1/3", "0.3333333333333333"),
        (r#"float("1e15")"#, "1000000000000000.0"),
        (r#"float("1e16")"#, "1e+16"),
        ("0.0001", "0.0001"),
        (r#"float("inf")"#, "inf"),
        (r#"float("nan")"#, "nan"),
        (r#"["é", "it's"]"#, r#"['é', "it's"]"#),
        (r#"{"a": None}"#, "{'a': None}"),
        (
            r#"FN.to_datetime("2024-01-01T01:02:03Z")"#,
            "2024-01-01 01:02:03+00:00",
        ),
        ("FN.days(1)", "1 day, 0:00:00"),
        ("FN.days(-1)", "-1 day, 0:00:00"),
        ("FN.seconds(0 - 1)", "-1 day, 23:59:59"),
        (r#"FN.parse_time("10:00")"#, "10:00:00"),
    ];
    for (expression, expected) in rows {
        let found = shown(&format!("<${{{{ {expression} }}}}>"));
        let expected = Value::from(format!("<{expected}>")).repr();
        assert_eq!(found, expected, "{expression}");
    }
}

#[test]
fn text_in_a_list_is_quoted_and_escaped_as_python_does() {
    assert_values(&[
        (r#"["'"]"#, r#"["'"]"#),
        (r#"['"']"#, r#"['"']"#),
        (r#"[FN.concat("'", '"')]"#, r#"['\'"']"#),
        (r"['\n']", r"['\\n']"),
        (r#"[FN.join(["a", "b"], "\n")]"#, r"['a\nb']"),
        (
            r#"[FN.url_decode("%01%7f%C2%A0%E2%80%8B%F3%A0%80%A0")]"#,
            r"['\x01\x7f\xa0\u200b\U000e0020']",
        ),
        ("['e\u{301}']", "['e\u{301}']"),
    ]);
}

#[test]
fn moments_in_a_list_are_shown_as_python_code() {
    assert_values(&[
        ("[FN.days(1)]", "[datetime.timedelta(days=1)]"),
        ("[FN.seconds(0)]", "[datetime.timedelta(0)]"),
        (
            "[FN.seconds(-1.5)]",
            "[datetime.timedelta(days=-1, seconds=86398, microseconds=500000)]",
        ),
        (
            r#"[FN.to_datetime("2024-01-02")]"#,
            "[datetime.datetime(2024, 1, 2, 0, 0)]",
        ),
        (
            r#"[FN.to_datetime("2024-01-02T03:04:05Z")]"#,
            "[datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)]",
        ),
        (
            r#"[FN.to_datetime("2024-01-02T03:04+02:00")]"#,
            "[datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(seconds=7200)))]",
        ),
        ("[FN.today()]", "[datetime.date(2026, 1, 1)]"),
        (r#"[FN.parse_time("10:00")]"#, "[datetime.time(10, 0)]"),
    ]);
}

#[test]
fn truth_is_pythons() {
    for falsy in [
        "None",
        "False",
        "0",
        "0.0",
        r#""""#,
        "[]",
        "{}",
        "FN.seconds(0)",
    ] {
        assert_values(&[(&format!("not ({falsy})"), "True")]);
    }
    for truthy in [r#""False""#, r#""0""#, "[0]", "0.1", "-1", "FN.today()"] {
        assert_values(&[(&format!("not ({truthy})"), "False")]);
    }
}

#[test]
fn numbers_compare_exactly_across_kinds() {
    assert_values(&[
        ("1 == 1.0", "True"),
        ("1 == True", "True"),
        ("9007199254740993 == 9007199254740992.0", "False"),
        ("9007199254740993 > 9007199254740992.0", "True"),
        (r#"1 < float("inf")"#, "True"),
        (r#"float("nan") == float("nan")"#, "False"),
        (r#"1 < float("nan")"#, "False"),
        ("-1 > -1.5", "True"),
        ("1 in {\"1\": 2}", "False"),
        ("FN.unique([1, True, 1.0, 2])", "[1, 2]"),
        ("[1, [2]] < [1, [3]]", "True"),
        ("[1] < [1, 2]", "True"),
        (r#""é" > "z""#, "True"),
    ]);
    assert_failures(&[
        "1 < None",
        r#"1 < "2""#,
        "[1] < 2",
        "{} < {}",
        "[None] < [1]",
    ]);
}

#[test]
fn an_integer_beyond_128_bits_is_an_error_that_says_so() {
    assert_values(&[
        (
            "170141183460469231731687303715884105727",
            "170141183460469231731687303715884105727",
        ),
        (
            "170141183460469231731687303715884105728",
            "fails: an integer has at most 128 bits here",
        ),
        (
            "170141183460469231731687303715884105727 + 1",
            "fails: the integer has more than 128 bits",
        ),
        (
            "FN.pow(2, 127)",
            "fails: FN.pow: the integer has more than 128 bits",
        ),
        ("FN.pow(-1, 100000000000000000000)", "1"),
    ]);
}

#[test]
fn a_trip_through_json_leaves_text_where_json_has_no_kind() {
    let mut keys = Mapping::new();
    for (key, member) in [
        (Value::Bool(true), 1),
        (Value::Integer(7), 2),
        (Value::None, 3),
        (Value::Float(1.5), 4),
    ] {
        keys.insert(Key::new(key).unwrap(), Value::Integer(member));
    }
    assert_eq!(
        trip(&Value::from(keys)).repr(),
        "{'true': 1, '7': 2, 'None': 3, '1.5': 4}"
    );
    assert_eq!(trip(&Value::Float(f64::INFINITY)).repr(), "None");
    assert_eq!(trip(&Value::Float(f64::NAN)).repr(), "None");
    assert_eq!(
        trip(&Value::Integer(1 << 64)).repr(),
        "1.8446744073709552e+19"
    );
    assert_eq!(
        trip(&Value::Integer(u64::MAX.into())).repr(),
        "18446744073709551615"
    );
}

#[test]
fn a_duration_is_iso_text_in_json() {
    let day = 86_400_000_000;
    let rows = [
        (90_000_000, "PT1M30S"),
        (1_500_000, "PT1.5S"),
        (-5_000_000, "-PT5S"),
        (5_400_000_000, "PT1H30M"),
        (day, "P1D"),
        (3_723_000_000, "PT1H2M3S"),
        (day + 7_384_000_000, "P1DT2H3M4S"),
        (400 * day, "P1Y35D"),
        (365 * day, "P1Y"),
        (0, "PT0S"),
        (100, "PT0.0001S"),
    ];
    for (microseconds, expected) in rows {
        let duration = Duration::from_microseconds(microseconds).unwrap();
        assert_eq!(duration.iso(), expected);
    }
}

#[test]
fn json_is_written_compactly_or_for_people() {
    let value = json(r#"{"b": [1, 1.0, 1e22, 1e-7], "a": "é\"\u0001😀", "c": [], "d": {}}"#);
    assert_eq!(
        write(&value, Layout::Compact),
        r#"{"b":[1,1.0,1e+22,1e-07],"a":"é\"\u0001😀","c":[],"d":{}}"#
    );
    assert_eq!(
        write(&value, Layout::Pretty),
        "{\n  \"b\": [\n    1,\n    1.0,\n    1e+22,\n    1e-07\n  ],\n  \"a\": \"\\u00e9\\\"\\u0001\\ud83d\\ude00\",\n  \"c\": [],\n  \"d\": {}\n}"
    );
}

#[test]
fn of_a_repeated_key_of_json_the_last_member_counts() {
    assert_eq!(
        json(r#"{"a": 1, "b": 2, "a": 3}"#).repr(),
        "{'a': 3, 'b': 2}"
    );
}

#[test]
fn a_float_of_json_is_read_to_its_last_digit() {
    assert_eq!(
        json("9.265535923212443e160").repr(),
        "9.265535923212443e+160"
    );
}
