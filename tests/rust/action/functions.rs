//! The functions: each example of the manual, and the rows beyond them.

use std::collections::BTreeSet;

use _core::action::functions::{GROUPS, find};

use super::{assert_failures, assert_values};

#[test]
fn every_example_of_the_manual_is_true() {
    let examples = GROUPS.iter().flat_map(|group| group.functions);
    let rows = Vec::from_iter(examples.map(|function| (function.example, function.result)));
    assert_values(&rows);
    for function in GROUPS.iter().flat_map(|group| group.functions) {
        let call = format!("FN.{}(", function.name);
        assert!(
            function.example.contains(&call),
            "{} is not in its example",
            function.name
        );
    }
}

#[test]
fn there_are_149_names() {
    let names = GROUPS
        .iter()
        .flat_map(|group| group.functions)
        .map(|function| function.name);
    let names = BTreeSet::from_iter(names);
    let all: usize = GROUPS.iter().map(|group| group.functions.len()).sum();
    assert_eq!((names.len(), all), (149, 149));
    assert!(find("join").is_some() && find("Join").is_none());
}

#[test]
fn a_wrong_number_of_arguments_fails() {
    assert_values(&[
        (
            "FN.join(1)",
            "fails: FN.join(items, sep) was given 1 arguments",
        ),
        (
            "FN.range(1)",
            "fails: FN.range(start, end, step=1) was given 1 arguments",
        ),
        (
            "FN.min(1, 2, 3)",
            "fails: FN.min(a, b) was given 3 arguments",
        ),
        ("FN.concat()", "''"),
        ("FN.zip()", "[]"),
    ]);
}

#[test]
fn map_calls_for_each_member_of_the_lists() {
    assert_values(&[
        (r#"FN.uppercase.map("ab")"#, "['AB']"),
        ("FN.is_null.map(None)", "[True]"),
        ("FN.add.map([1,2],[10,20,30])", "[11, 22]"),
        ("FN.add.map([1,2],10)", "[11, 12]"),
        ("FN.length.map([[1,2],[3]])", "[2, 1]"),
        (r#"FN.to_keys.map({"a": 1})"#, "[['a']]"),
        ("FN.uppercase.map([])", "[]"),
        (r#"FN.uppercase .map("a")"#, "fails: `(` is missing here"),
        (r#"FN.uppercase ("a")"#, "'A'"),
    ]);
    assert_failures(&["FN.uppercase.map([1])", "FN.uppercase.foo(1)"]);
}

#[test]
fn text() {
    assert_values(&[
        (r#"FN.join("abc", "-")"#, "'a-b-c'"),
        (r#"FN.join([], "-")"#, "''"),
        (r#"FN.join(["a", "b"], "\n\t\r\\x")"#, r"'a\n\t\r\\xb'"),
        (r#"FN.endswith("abc", "b")"#, "False"),
        (r#"FN.format("{1}{0} {{", "a", "b")"#, "'ba {'"),
        (
            r#"FN.format("{:,}|{:_}|{:+d}|{:08.3f}|{:x}|{:#x}|{:.1%}", 1234567, 1234567, 5, 3.14159, 255, 255, 0.256)"#,
            "'1,234,567|1_234_567|+5|0003.142|ff|0xff|25.6%'",
        ),
        (
            r#"FN.format("{:<5}|{:^5}|{:*^5}|{:>5}", "a", "b", "c", 1)"#,
            "'a    |  b  |**c**|    1'",
        ),
        (
            r#"FN.format("{!r} {:.3} {:.3} {:g} {:e}", "a", "abcdef", 1234.5, 1000000, 1.5)"#,
            r#""'a' abc 1.23e+03 1e+06 1.500000e+00""#,
        ),
        (
            r#"FN.format("{:%Y/%m}", FN.to_datetime("2024-01-02"))"#,
            "'2024/01'",
        ),
        (r#"FN.format(FN.concat("{:{}", "}|"), "a", 3)"#, "'a  |'"),
        (r#"FN.format("{[k]} {[0]}", {"k": 1}, [2])"#, "'1 2'"),
        (r#"FN.prefix(None, "x-")"#, "'x-None'"),
        (r#"FN.slice("abcdef", -2, 1)"#, "'e'"),
        (r#"FN.slice("abcdef", -2, 5)"#, "''"),
        (r#"FN.slice([1, 2, 3], 1, 1)"#, "[2]"),
        (r#"FN.slice("né", 1, 1)"#, "'é'"),
        (r#"FN.slugify("你好 100%")"#, "'ni-hao-100'"),
        (r#"FN.slugify("")"#, "''"),
        (r#"FN.split("", "x")"#, "['']"),
        (r#"FN.strip("  a ", None)"#, "'a'"),
        ("FN.url_encode(1.0)", "'1.0'"),
        ("FN.url_encode(True)", "'True'"),
        ("FN.url_encode(None)", "'None'"),
        (r#"FN.url_encode([1, "a"])"#, "'%5B1%2C%20%27a%27%5D'"),
        (r#"FN.url_encode("A-._~%41+")"#, "'A-._~%2541%2B'"),
        (r#"FN.url_encode("a/b c", "/")"#, "'a/b%20c'"),
        (r#"FN.url_decode("%ff")"#, "'\u{fffd}'"),
        (r#"FN.regex_extract("b", "abc")"#, "'b'"),
        (r#"FN.regex_extract("(x)|(b)", "abc")"#, "'b'"),
        (r#"FN.regex_extract("x", "abc")"#, "None"),
        (r#"FN.regex_match("b", "abc")"#, "False"),
        (r#"FN.regex_match("(?i)A|x", "abc")"#, "True"),
        (r#"FN.to_base64("")"#, "''"),
        (
            r#"FN.regex_match("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", FN.uuid4())"#,
            "True",
        ),
    ]);
    assert_failures(&[
        "FN.uppercase(1)",
        r#"FN.concat("a", 1)"#,
        "FN.concat(None)",
        r#"FN.join([1], "-")"#,
        r#"FN.split("a", "")"#,
        r#"FN.strip("a")"#,
        r#"FN.format("{a}", 1)"#,
        r#"FN.format("{}")"#,
        r#"FN.format("{", 1)"#,
        r#"FN.format("{:d}", "a")"#,
        r#"FN.from_base64("aGk")"#,
        r#"FN.from_base64("/w==")"#,
        "FN.hash_md5(1)",
        "FN.to_base64(1)",
        r#"FN.regex_match("(", "")"#,
        r#"FN.regex_match("(?=a)", "a")"#,
    ]);
}

#[test]
fn lists() {
    assert_values(&[
        (r#"FN.contains("b", "abc")"#, "True"),
        ("FN.contains_none_of([1], [2])", "True"),
        (r#"FN.flatten("ab")"#, "['a', 'b']"),
        (r#"FN.at({"a": 1}, "a")"#, "1"),
        (r#"FN.length({"a": 1})"#, "1"),
        ("FN.range(3, 0, -1)", "[3, 2, 1]"),
        ("FN.range(3, 0)", "[]"),
        ("FN.union()", "[]"),
    ]);
    assert_failures(&[
        "FN.length(None)",
        "FN.length(5)",
        "FN.is_empty(None)",
        "FN.at([1], 1)",
        "FN.unique([[1]])",
        "FN.contains_any_of([[1]], [1])",
        "FN.range(1, 2, 0)",
        "FN.contains(1, None)",
    ]);
}

#[test]
fn numbers() {
    assert_values(&[
        (r#"FN.add("a", "b")"#, "'ab'"),
        ("FN.div(1, 2)", "0.5"),
        ("FN.pow(2, 10)", "1024"),
        ("FN.pow(2, 0.5)", "1.4142135623730951"),
        ("FN.sum([])", "0"),
        ("FN.sum([1], 10)", "11"),
        ("FN.sum([[1], [2]], [])", "[1, 2]"),
        ("FN.min(1, 1.0)", "1"),
        (r#"FN.max("a", "b")"#, "'b'"),
    ]);
    assert_failures(&[
        "FN.div(1, 0)",
        "FN.mod(1, 0)",
        "FN.min(None, 1)",
        "FN.max([1], 1)",
        r#"FN.sum(["a"])"#,
        "FN.pow(0, -1)",
        "FN.pow(-1, 0.5)",
        r#"FN.sum(["a"], "")"#,
    ]);
}

#[test]
fn mappings_and_json() {
    assert_values(&[
        (r#"FN.lookup({"a": 1}, "a")"#, "1"),
        ("FN.merge([])", "{}"),
        ("FN.flatten_dict([1, [2]])", "{'[0]': 1, '[1][0]': 2}"),
        (r#"FN.flatten_dict({"a": [], "b": {}, "c": 1})"#, "{'c': 1}"),
        (r#"FN.flatten_dict('{"a": {"b": 1} }')"#, "{'a.b': 1}"),
        (r#"FN.is_json("[1]")"#, "True"),
        ("FN.is_json(1)", "False"),
        (r#"FN.deserialize_json("1")"#, "1"),
        (
            r#"FN.deserialize_yaml("d: 2024-01-02")"#,
            "{'d': datetime.date(2024, 1, 2)}",
        ),
        (
            r#"FN.serialize(FN.to_datetime("2024-01-02T03:04:05Z"))"#,
            r#"'"2024-01-02T03:04:05+00:00"'"#,
        ),
        (r#"FN.serialize("é")"#, "'\"é\"'"),
        (r#"FN.parse_csv("")"#, "[]"),
        (
            "FN.parse_csv('a,b\r\n1\n\"x,\"\"y\"\"\",2,3\n')",
            r#"[{'a': '1', 'b': None}, {'a': 'x,"y"', 'b': '2', None: ['3']}]"#,
        ),
        (
            r#"FN.tabulate([{"b": 1.0, "a": True}, {"a": "x,"}], "csv")"#,
            r#"'a,b\r\nTrue,1.0\r\n"x,",\r\n'"#,
        ),
        (
            r#"FN.tabulate([{"b": 1.0, "a": None}], "markdown")"#,
            r"'|a|b|\n|-|-|\n||1.0|'",
        ),
        (
            r#"FN.tabulate([{"a": "<"}], "xml")"#,
            r"'<items>\n  <item>\n    <a>&lt;</a>\n  </item>\n</items>'",
        ),
        (r#"FN.tabulate([], "html")"#, "''"),
        (r#"FN.to_markdown_list(["a", 1])"#, r"'- a\n- 1'"),
    ]);
    assert_failures(&[
        r#"FN.lookup(None, "a")"#,
        r#"FN.map_keys({"a": 1}, {})"#,
        "FN.merge([None])",
        r#"FN.merge({"a": 1})"#,
        r#"FN.flatten_dict("1")"#,
        "FN.deserialize_json({})",
        r#"FN.deserialize_json("NaN")"#,
        "FN.serialize(FN.days(1))",
        r#"FN.tabulate([], "x")"#,
        "FN.to_keys([1])",
        r#"FN.deserialize_json("{'a': 1}")"#,
        r#"FN.deserialize_json("")"#,
    ]);
    assert_failures(&[&format!("FN.deserialize_json(\"{}\")", "[".repeat(10_000))]);
}

#[test]
fn time() {
    assert_values(&[
        (
            r#"str(FN.to_datetime("2024-01-02 03:04"))"#,
            "'2024-01-02 03:04:00'",
        ),
        (
            r#"str(FN.to_datetime("20240102T030405+0200"))"#,
            "'2024-01-02 03:04:05+02:00'",
        ),
        (
            r#"str(FN.to_datetime("2024-W01-2"))"#,
            "'2024-01-02 00:00:00'",
        ),
        (
            r#"str(FN.to_datetime("2024-01-02T03:04:05.123456789Z"))"#,
            "'2024-01-02 03:04:05.123456+00:00'",
        ),
        (
            r#"str(FN.to_datetime("2024-01-02", "Asia/Tokyo"))"#,
            "'2024-01-02 09:00:00+09:00'",
        ),
        ("str(FN.to_datetime(0))", "'1970-01-01 00:00:00+00:00'"),
        (
            r#"FN.to_isoformat("2024-01-02T03:04:05Z", "milliseconds")"#,
            "'2024-01-02T03:04:05.000+00:00'",
        ),
        (
            r#"FN.to_isoformat("2024-01-02T03:04:05.678", "seconds")"#,
            "'2024-01-02T03:04:05'",
        ),
        (r#"FN.to_timestamp("2024-01-02T03:04:05.9Z")"#, "1704164645"),
        (
            "str(FN.from_timestamp(1500, \"ms\"))",
            "'1970-01-01 00:00:01.500000+00:00'",
        ),
        (r#"FN.get_month("2024-01-02", "full")"#, "'January'"),
        (r#"FN.get_month("2024-01-02")"#, "1"),
        (r#"FN.get_day_of_week("2024-01-02", "full")"#, "'Tuesday'"),
        (r#"FN.get_day_of_week("2024-01-02", "short")"#, "'Tue'"),
        (
            r#"FN.is_working_hours("2024-01-02T17:00", "09:00", "17:00")"#,
            "True",
        ),
        (
            r#"FN.is_working_hours("2024-01-02T17:00:01", "09:00", "17:00")"#,
            "False",
        ),
        (
            r#"FN.is_working_hours("2024-01-02T23:00", "22:00", "06:00")"#,
            "True",
        ),
        (
            r#"FN.is_working_hours("2024-01-06T10:00", "09:00", "17:00")"#,
            "False",
        ),
        (
            r#"FN.is_working_hours("2024-01-06T10:00", "09:00", "17:00", True)"#,
            "True",
        ),
        (
            r#"FN.is_working_hours("2024-01-02T00:30:00Z", "09:00", "17:00", False, "Asia/Tokyo")"#,
            "True",
        ),
        ("str(FN.now())", "'2026-01-01 00:00:00'"),
        ("FN.now(True)", "'2026-01-01T00:00:00'"),
        ("FN.utcnow(True)", "'2026-01-01T00:00:00+00:00'"),
        (
            r#"FN.format_datetime("2024-02-29T15:04:05.6Z", "%y %j %I %p %f %z %Z %U %W %V %a %b %% %-")"#,
            "fails: FN.format_datetime: there is no directive %-",
        ),
        (
            r#"FN.format_datetime("2024-02-29T15:04:05.6Z", "%y %j %I %p %f %z %Z %U %W %V %a %b %%")"#,
            "'24 060 03 PM 600000 +0000 UTC 08 09 09 Thu Feb %'",
        ),
        (
            r#"str(FN.parse_datetime("29 Feb 24 3PM +0130", "%d %b %y %I%p %z"))"#,
            "'2024-02-29 15:00:00+01:30'",
        ),
        (
            r#"str(FN.parse_datetime("2024-060", "%Y-%j"))"#,
            "'2024-02-29 00:00:00'",
        ),
    ]);
    assert_failures(&[
        "FN.to_datetime(1.5)",
        r#"FN.to_datetime("x")"#,
        r#"FN.to_datetime("2024-02-30")"#,
        r#"FN.to_datetime("")"#,
        r#"FN.days_between("2024-01-01", "2024-01-01T00:00:00Z")"#,
        r#"FN.get_month("2024-01-02", "x")"#,
        r#"FN.set_timezone("2024-01-01", "Nowhere/At_All")"#,
        r#"FN.parse_datetime("x", "%Y")"#,
        r#"FN.parse_datetime("2024x", "%Y")"#,
        "FN.datetime(2024, 13, 1)",
        "FN.datetime(0, 1, 1)",
        r#"FN.parse_time("25:00")"#,
        r#"FN.to_isoformat("2024-01-01", "x")"#,
        "FN.to_datetime(99999999999999)",
    ]);
}

#[test]
fn addresses() {
    assert_values(&[
        (r#"FN.ipv4_in_subnet("11.0.0.1", "10.0.0.0/8")"#, "False"),
        (r#"FN.ipv4_in_subnet("10.0.0.1", "0.0.0.0/0")"#, "True"),
        (
            r#"FN.ipv4_in_subnet("10.0.0.1", "10.0.0.0/255.0.0.0")"#,
            "True",
        ),
        (r#"FN.ipv6_in_subnet("::1", "::/0")"#, "True"),
        (r#"FN.ipv4_is_public("8.8.8.8")"#, "True"),
        (r#"FN.ipv4_is_public("100.64.0.1")"#, "False"),
        (r#"FN.ipv6_is_public("fe80::1")"#, "False"),
        (r#"FN.check_ip_version("1.1.1.1")"#, "4"),
        (
            r#"FN.extract_domains("a.example.com https://b.example.com/x")"#,
            "['a.example.com']",
        ),
        (
            r#"FN.extract_emails("a@example.com a@example.com")"#,
            "['a@example.com']",
        ),
        (
            r#"FN.extract_ipv4("999.1.1.1 1.2.3.4 1[.]1[.]1[.]1")"#,
            "['1.2.3.4']",
        ),
        (
            r#"FN.extract_ipv4("1(.)1[dot]1 dot 1", True)"#,
            "['1.1.1.1']",
        ),
        (r#"FN.extract_ipv6("12:30 a::b, x")"#, "['a::b']"),
        (
            r#"FN.extract_urls("see hxxps://a[.]example/x.", False, True)"#,
            "['https://a.example/x']",
        ),
        (r#"FN.extract_md5(FN.hash_sha1("a"))"#, "[]"),
        (
            r#"FN.extract_mac("00:1A:2b:3c:4D:5e 00:1A-2b:3c:4D:5e")"#,
            "['00:1a:2b:3c:4d:5e']",
        ),
    ]);
    assert_failures(&[
        r#"FN.ipv4_in_subnet("10.0.0.1", "10.0.0.1/8")"#,
        r#"FN.ipv4_in_subnet("x", "10.0.0.0/8")"#,
        r#"FN.ipv4_is_public("::1")"#,
        r#"FN.check_ip_version("x")"#,
        r#"FN.normalize_email("x")"#,
    ]);
}

#[test]
fn formats_as_python_lays_them_out() {
    assert_values(&[
        (
            r#"FN.format("{:05}|{:<05}|{:^07.2f}", "ab", 5, 1.5)"#,
            "'ab000|50000|01.5000'",
        ),
        (
            r#"FN.format("{:010,}|{:010,}|{:_x}", 5, -7, 1234567)"#,
            "'00,000,005|-0,000,007|12_d687'",
        ),
        (r#"FN.format("{:%}", float("inf"))"#, "'inf%'"),
        (r#""%.3d" % -7"#, "'-007'"),
        (r#"FN.titleize("ΑΣ Σ")"#, "'Ας Σ'"),
        (r#"FN.capitalize("ΑΣ")"#, "'Ας'"),
        (
            r#"str(FN.parse_datetime("2024  5", "%Y %d"))"#,
            "'2024-01-05 00:00:00'",
        ),
    ]);
    assert_failures(&[
        r#"FN.format("{:+}", "ab")"#,
        r#"FN.format("{:,}", "ab")"#,
        r#"FN.format("{:.3}", 5)"#,
        r#"FN.format("{:=6}", "ab")"#,
    ]);
}
