//! The grammar of expressions, its operators, and where expressions stand in text.

use _core::action::expression::{Pattern, parse};

use super::{assert_failures, assert_values, computed, shown};

#[test]
fn operators_bind_by_their_level() {
    assert_values(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 3 - 2", "5"),
        ("not 1 == 2", "True"),
        ("1 in [1] == True", "True"),
        ("None is None == True", "True"),
        ("True is True in [True]", "True"),
        ("0 || 0 && 1", "0"),
        ("1 || 0 && 0", "1"),
        ("not 0 && 5", "5"),
        ("1 < 2 < 3", "True"),
        ("3 > 2 > 1", "False"),
        ("1 if 0 else 2 if 0 else 3", "3"),
        ("0 || 1 if 1 else 2", "1"),
        ("- -3", "3"),
        ("+ - + 3", "-3"),
        ("2 * -3", "-6"),
        ("-2 + 5", "3"),
        (r#"1 + 1 -> str"#, "'2'"),
        (r#""3" -> int"#, "3"),
        ("inputs.n->str", "'3'"),
    ]);
}

#[test]
fn or_and_and_return_operands_and_evaluate_both() {
    assert_values(&[
        (r#"0 || "x""#, "'x'"),
        (r#"1 || "x""#, "1"),
        (r#"0 && "x""#, "0"),
        (r#"1 && "x""#, "'x'"),
        ("inputs.missing || []", "[]"),
    ]);
    assert_failures(&["1 || 1 / 0", "0 && 1 / 0"]);
}

#[test]
fn only_the_branch_that_is_taken_is_evaluated() {
    assert_values(&[
        ("1 if True else 1 / 0", "1"),
        ("1 / 0 if False else 2", "2"),
    ]);
    assert_failures(&["1 if True", "1 if 1 / 0 else 2"]);
}

#[test]
fn comparisons_are_pythons() {
    assert_values(&[
        (r#""1" == 1"#, "False"),
        (r#""1" != 1"#, "True"),
        ("None == 0", "False"),
        ("[1] == [1.0]", "True"),
        (r#"{"a": 1, "b": 2} == {"b": 2, "a": 1}"#, "True"),
        (r#""a" < "b""#, "True"),
        ("2 >= 2", "True"),
        ("2 <= 1", "False"),
    ]);
}

#[test]
fn membership_and_identity() {
    assert_values(&[
        ("2 in [1, 2]", "True"),
        ("2 not in [1, 2]", "False"),
        (r#""b" in "abc""#, "True"),
        (r#""a" in {"a": 1}"#, "True"),
        (r#"1 in {"a": 1}"#, "False"),
        ("inputs.missing is None", "True"),
        ("inputs.n is not None", "True"),
        ("1 is True", "False"),
        (r#"inputs.s is "abc""#, "False"),
    ]);
    assert_failures(&[r#"1 in "1""#, "1 in None", "1 in 1"]);
}

#[test]
fn arithmetic_is_pythons() {
    assert_values(&[
        ("6 / 2", "3.0"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("-7.5 % 2", "0.5"),
        ("7 % 3", "1"),
        ("True + True", "2"),
        ("1 + 2.0", "3.0"),
        (r#""a" + "b""#, "'ab'"),
        ("[1] + [2]", "[1, 2]"),
        (r#""a" * 3"#, "'aaa'"),
        (r#"3 * "a""#, "'aaa'"),
        (r#""a" * -1"#, "''"),
        ("[1] * 2", "[1, 1]"),
        (
            r#"str(FN.to_datetime("2024-01-01") + FN.days(1))"#,
            "'2024-01-02 00:00:00'",
        ),
        (
            r#"str(FN.to_datetime("2024-01-01") - FN.hours(1))"#,
            "'2023-12-31 23:00:00'",
        ),
        (
            r#"str(FN.to_datetime("2024-01-02") - FN.to_datetime("2024-01-01"))"#,
            "'1 day, 0:00:00'",
        ),
        ("str(FN.days(1) + FN.hours(1))", "'1 day, 1:00:00'"),
        ("str(FN.hours(1) * 3)", "'3:00:00'"),
        ("FN.hours(3) / FN.hours(2)", "1.5"),
    ]);
    assert_failures(&[
        r#""a" + 1"#,
        "1 + None",
        "1 / 0",
        "1 % 0",
        "1.0 % 0",
        "[1] - [1]",
        r#"-"a""#,
        r#"FN.to_datetime("2024-01-01") - FN.to_datetime("2024-01-01T00:00:00Z")"#,
    ]);
}

#[test]
fn arithmetic_of_zones_moves_the_clock_of_the_place() {
    assert_values(&[(
        r#"str(FN.set_timezone("2024-03-30T12:00:00Z", "Europe/Berlin") + FN.days(1))"#,
        "'2024-03-31 13:00:00+02:00'",
    )]);
}

#[test]
fn percent_puts_values_into_text() {
    assert_values(&[
        (r#""%s" % "a""#, "'a'"),
        (r#""%05d|" % 42"#, "'00042|'"),
        (r#""%-5s|" % "a""#, "'a    |'"),
        (r#""%.2f" % 1.005"#, "'1.00'"),
        (r#""%x" % 255"#, "'ff'"),
        (r#""%+d" % 5"#, "'+5'"),
        (r#""%e" % 12345.678"#, "'1.234568e+04'"),
        (r#""%g" % 0.00001"#, "'1e-05'"),
        (r#""%g" % 100000"#, "'100000'"),
        (r#""%r" % "a""#, r#""'a'""#),
        (r#""%(a)s-%(b)s" % {"a": 1, "b": None}"#, "'1-None'"),
        (r#""100%%" % {}"#, "'100%'"),
    ]);
    assert_failures(&[
        r#""%s %s" % "a""#,
        r#""%d" % "a""#,
        r#""a" % "b""#,
        r#""%" % 1"#,
        r#""%999999999d" % 1"#,
    ]);
}

#[test]
fn results_that_grow_without_end_are_refused() {
    assert_failures(&[
        r#""a" * 1000000000000"#,
        "[1] * 1000000000000",
        "FN.range(0, 1000000000000)",
        "FN.iter_product(FN.range(0, 2000), FN.range(0, 2000))",
        r#"FN.format("{:99999999}", 1)"#,
        "FN.days(1) * 100000000000000",
        "FN.days(1000000000)",
    ]);
}

#[test]
fn what_the_language_lacks_fails() {
    assert_failures(&[
        "not not True",
        "1 and 2",
        "1 or 2",
        "!True",
        "2 ** 3",
        "7 // 2",
        "1 | 2",
        "1 & 2",
        "[x for x in inputs.l]",
        "lambda x: x",
        "inputs.l[0:1][0:1] + (inputs.l)[0:1]",
        "FN.concat().x",
        "(inputs.d).k",
        "true",
        "false",
        "null",
        "inputs",
        "steps",
        r#"SECRETS["a"]"#,
        "SECRETS.a",
        "VARS.v.w.x",
        r#"("3" -> int)"#,
        r#""3" -> int -> str"#,
        r#""3" -> datetime"#,
        r#"datetime("2024-01-01")"#,
        "int(1, 2)",
        "int()",
        "[1, 2,]",
        r#"{"a": 1,}"#,
        "{1: 2}",
        "{inputs.s: 2}",
        r#""a" "b""#,
        "1 2",
        "(1",
        "1)",
        "FN.nothing()",
        "FN.uppercase.foo(1)",
        "FN.uppercase",
        "FN",
        "for var.x in inputs.l",
        "abc",
        "",
    ]);
    assert_eq!(computed("not (not 5)"), "True");
}

#[test]
fn literals() {
    assert_values(&[
        ("007", "7"),
        ("1.50", "1.5"),
        (r#""it's""#, r#""it's""#),
        (r"'a\'b'", r#""a\\'b""#),
        (r#"FN.length("a\"b")"#, "4"),
        (r#"FN.length("\n")"#, "2"),
        ("FN.length('a\nb')", "3"),
        ("'é'", "'é'"),
        ("True", "True"),
        ("None", "None"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[1, [2], {\"a\": 3}]", "[1, [2], {'a': 3}]"),
        (r#"{"a": 1, "b": 2, "a": 3}"#, "{'a': 3, 'b': 2}"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ]);
    assert_failures(&["1e3", ".5", "1.", "1_000", "0x10", "'a", r#""a"#]);
}

#[test]
fn indexing_a_value_fails_where_there_is_nothing() {
    assert_values(&[
        ("[[1,2],[3]][0][1]", "2"),
        (r#""abc"[0]"#, "'a'"),
        (r#""abc"[-1]"#, "'c'"),
        ("[1, 2][True]", "2"),
        (r#"{"a": 1}["a"]"#, "1"),
        ("(inputs.l)[inputs.n - 2]", "2"),
        (r#"SECRETS.a.KEY[0]"#, "'k'"),
        (r#"VARS.v["w"][1]"#, "2"),
        (r#"(inputs.d)["k-1"]"#, "6"),
    ]);
    assert_failures(&[
        "[1][1]",
        "[1][-2]",
        r#"{"a": 1}["b"]"#,
        r#"[1]["a"]"#,
        "[1][0.0]",
        "5[0]",
        "None[0]",
        "inputs.l[inputs.n - 2]",
        r#"VARS.v["missing"]"#,
    ]);
}

#[test]
fn casts() {
    assert_values(&[
        (r#"int(" 3 ")"#, "3"),
        (r#"int("1_000")"#, "1000"),
        ("int(3.9)", "3"),
        ("int(-3.9)", "-3"),
        ("int(True)", "1"),
        ("int (3.0)", "3"),
        (r#"float("1e3")"#, "1000.0"),
        (r#"float("  2 ")"#, "2.0"),
        (r#"float("nan")"#, "nan"),
        (r#"float("-Infinity")"#, "-inf"),
        (r#"float("1_0.5")"#, "10.5"),
        ("float(1)", "1.0"),
        ("str(None)", "'None'"),
        ("str(1.0)", "'1.0'"),
        (r#"str([1, "a", None])"#, r#""[1, 'a', None]""#),
        (r#"bool("true")"#, "True"),
        (r#"bool("TRUE")"#, "True"),
        (r#"bool("1")"#, "True"),
        (r#"bool("yes")"#, "False"),
        (r#"bool(" true")"#, "False"),
        (r#"bool("")"#, "False"),
        ("bool(2)", "True"),
        ("bool([])", "False"),
    ]);
    assert_failures(&[
        r#"int("3.5")"#,
        r#"int("0x10")"#,
        "int(None)",
        r#"int("1__0")"#,
        r#"int(float("inf"))"#,
        r#"float("1,5")"#,
        "float(None)",
        r#"float("1__0")"#,
        r#"float("")"#,
    ]);
    assert_eq!(shown("x ${{ inputs.n -> str }}"), "'x 3'");
}

#[test]
fn contexts_give_none_where_there_is_nothing() {
    assert_values(&[
        ("inputs.n", "3"),
        ("inputs.missing", "None"),
        ("inputs.missing.deeper", "None"),
        ("inputs.z.deeper", "None"),
        ("inputs.s.deeper", "None"),
        ("inputs.if", "7"),
        ("inputs.d.k-1", "4"),
        (r#"inputs.d["k-1"]"#, "6"),
        ("steps.one.result.data[0]", "1"),
        ("steps.one.error", "None"),
        ("steps.two.result", "None"),
        ("SECRETS.a.KEY", "'k'"),
        ("SECRETS.a.NOPE", "None"),
        ("SECRETS.nope.KEY", "None"),
        ("VARS.v.w", "[1, 2]"),
        ("VARS.v.nope", "None"),
        ("VARS.nope", "None"),
        ("ENV.environment", "'default'"),
        ("ENV.nope", "None"),
        ("ACTIONS.a.result", "None"),
        ("TRIGGER.a", "None"),
        ("var.x", "None"),
    ]);
    assert_failures(&["inputs.d.0", "inputs.d.é", "inputs .n", "inputs."]);
}

#[test]
fn one_expression_alone_keeps_its_type_and_text_around_makes_text() {
    for (text, expected) in [
        ("${{ inputs.n }}", "3"),
        ("${{inputs.n}}", "3"),
        ("${{\n inputs.n\n}}", "3"),
        ("${{ inputs.n }} ", "'3 '"),
        (" ${{ inputs.n }}", "' 3'"),
        ("${{ inputs.n }}\n", r"'3\n'"),
        ("${{ inputs.n }}${{ inputs.n }}", "'33'"),
        ("a ${{ inputs.n }} b ${{ inputs.s }}", "'a 3 b abc'"),
        ("$${{ inputs.n }}", "'$3'"),
        ("plain", "'plain'"),
        ("${{}}", "'${{}}'"),
        ("${{}} ${{ inputs.n }}", "'${{}} 3'"),
        ("${{ x }", "'${{ x }'"),
        ("${{ inputs.s", "'${{ inputs.s'"),
        ("{{ x }}", "'{{ x }}'"),
        ("", "''"),
        (r#"${{ {"a": {"b": 1} } }}"#, "{'a': {'b': 1}}"),
        (r#"${{ "${" + "{ inputs.n }" + "}" }}"#, "'${{ inputs.n }}'"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn the_first_two_braces_end_an_expression() {
    for text in [
        r#"${{ {"a": {"b": 1}} }}"#,
        r#"${{ "}}" }}"#,
        "${{ }}",
        "${{ inputs.n }} }}",
    ] {
        let found = shown(text);
        assert!(found.starts_with("fails: "), "{text} is {found}");
    }
}

#[test]
fn an_error_underlines_what_is_wrong() {
    let text = "https://${{ inputs.s + 1 }}/x";
    let pattern = Pattern::parse(text).unwrap();
    let error = pattern.evaluate(&super::contexts()).unwrap_err();
    assert_eq!(error.message, "can't add text and an integer");
    assert_eq!(
        error.underlined(text),
        "https://${{ inputs.s + 1 }}/x\n            ^^^^^^^^^^^^"
    );
    let text = "é\n${{ FN.upper(1) }}";
    let error = Pattern::parse(text)
        .unwrap()
        .evaluate(&super::contexts())
        .unwrap_err();
    assert_eq!(
        error.message,
        "there is no function FN.upper; did you mean FN.uppercase?"
    );
    assert_eq!(
        error.underlined(text),
        "${{ FN.upper(1) }}\n    ^^^^^^^^^^^"
    );
    let text = "${{ a b }}";
    assert_eq!(
        Pattern::parse(text).unwrap_err().underlined(text),
        "${{ a b }}\n    ^"
    );
}

#[test]
fn an_error_never_holds_a_value() {
    for expression in [
        "SECRETS.a.KEY + 1",
        "int(SECRETS.a.KEY)",
        "FN.deserialize_json(SECRETS.a.KEY)",
        "(inputs.d)[SECRETS.a.KEY]",
        "FN.to_datetime(SECRETS.a.KEY)",
        r#"FN.set_timezone("2024-01-01", SECRETS.a.KEY)"#,
        r#"FN.regex_match(SECRETS.a.KEY + "(", "")"#,
        r#"FN.deserialize_yaml(SECRETS.a.KEY + ": [")"#,
    ] {
        let found = computed(&expression.replace("SECRETS.a.KEY", r#""hunter2" * 1"#));
        assert!(
            found.starts_with("fails: ") && !found.contains("hunter"),
            "{found}"
        );
    }
}

#[test]
fn depth_and_length_have_limits() {
    let nested = "(".repeat(49) + "1" + &")".repeat(49);
    assert_eq!(computed(&nested), "1");
    for text in [
        "(".repeat(10_000),
        "[".repeat(10_000),
        "-".repeat(10_000) + "1",
        "1 + ".repeat(10_000) + "1",
        "1 if 1 else ".repeat(10_000) + "1",
        "1".to_owned() + &"[0]".repeat(10_000),
        "int(".repeat(10_000),
        "inputs".to_owned() + &"[?(@".repeat(10_000),
    ] {
        assert!(parse(&text).is_err());
    }
    assert_eq!(computed(&("1 + ".repeat(250) + "1")), "251");
}

#[test]
fn an_error_before_a_wide_character_can_be_underlined() {
    let error = parse("3 - 1.é").unwrap_err();
    assert_eq!(error.underlined("3 - 1.é"), "3 - 1.é\n    ^^^");
}
