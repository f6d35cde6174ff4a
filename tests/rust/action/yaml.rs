//! YAML 1.1, as templates are written.

use _core::action::yaml::{Content, Document, Node, Position, load, write};

fn loaded(text: &str) -> String {
    match load(text).and_then(|node| node.value()) {
        Ok(value) => value.repr(),
        Err(problem) => format!("fails: {problem}"),
    }
}

fn assert_loads(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(loaded(text), *expected, "{text:?}");
    }
}

fn assert_fails(text: &str) {
    let found = loaded(text);
    assert!(found.starts_with("fails: line "), "{text:?} is {found}");
}

#[test]
fn a_plain_scalar_is_what_its_spelling_says() {
    assert_loads(&[
        (
            "[yes, Yes, YES, on, On, ON, true, True, TRUE]",
            "[True, True, True, True, True, True, True, True, True]",
        ),
        (
            "[no, No, NO, off, Off, OFF, false, False, FALSE]",
            "[False, False, False, False, False, False, False, False, False]",
        ),
        ("yes: 1", "{True: 1}"),
        ("[y, n, Y, N, yEs]", "['y', 'n', 'Y', 'N', 'yEs']"),
        (
            "[~, null, Null, NULL, nULL]",
            "[None, None, None, None, 'nULL']",
        ),
        ("a:", "{'a': None}"),
        ("[012, 08, 09, 0o12]", "[10, '08', '09', '0o12']"),
        (
            "[0x1F, 0b101, 1_000, +1, -0, -0x1f]",
            "[31, 5, 1000, 1, 0, -31]",
        ),
        ("[12:30:45, 1:30, -1:30]", "[45045, 90, -90]"),
        (
            "[1e3, 1.0e3, 1.0e+3, 1.5e-3]",
            "['1e3', '1.0e3', 1000.0, 0.0015]",
        ),
        (
            "[.5, .inf, -.INF, .nan, 1.10, 1., 1_0.5, 1:30.5]",
            "[0.5, inf, -inf, nan, 1.1, 1.0, 10.5, 90.5]",
        ),
        ("[9999999999999999999999]", "[9999999999999999999999]"),
        (
            "[1.2.3, 1-2, '1', \"2\", --]",
            "['1.2.3', '1-2', '1', '2', '--']",
        ),
    ]);
}

#[test]
fn dates_and_times_are_found_unquoted() {
    assert_loads(&[
        ("2022-11-28", "datetime.date(2022, 11, 28)"),
        ("'2022-11-28'", "'2022-11-28'"),
        (
            "2024-01-02T03:04:05Z",
            "datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)",
        ),
        (
            "2024-01-02 03:04:05 +2",
            "datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(seconds=7200)))",
        ),
        (
            "2024-1-2 3:04:05.12",
            "datetime.datetime(2024, 1, 2, 3, 4, 5, 120000)",
        ),
        ("2024-1-2", "'2024-1-2'"),
    ]);
    assert_eq!(
        loaded("a: 2024-13-01"),
        "fails: line 1, column 4: there is no such date or time; quote it if it is text"
    );
}

#[test]
fn an_integer_beyond_128_bits_is_the_float_that_json_makes_of_it() {
    assert_loads(&[("1".repeat(40).as_str(), "1.1111111111111112e+39")]);
}

#[test]
fn tags_decide_and_only_the_plain_ones_are_known() {
    assert_loads(&[
        ("!!str 1", "'1'"),
        ("!!int '1'", "1"),
        ("!!float '1'", "1.0"),
        ("!!bool 'Yes'", "True"),
        ("!!null ''", "None"),
        ("!!binary aGk=", "'hi'"),
        ("!!set {a, b}", "['a', 'b']"),
        ("!!map {a: 1}", "{'a': 1}"),
        ("!!seq [1]", "[1]"),
    ]);
    for text in [
        "!x 1",
        "!!python/none x",
        "!!python/object:os.system []",
        "!!int x",
        "!!str [1]",
        "!!map [1]",
    ] {
        assert_fails(text);
    }
}

#[test]
fn block_scalars_keep_or_drop_their_last_line_end() {
    assert_loads(&[
        ("a: >\n  x\n  y\n", r"{'a': 'x y\n'}"),
        ("a: >-\n  x\n  y\n", "{'a': 'x y'}"),
        ("a: |\n  x\n  y\n", r"{'a': 'x\ny\n'}"),
        ("a: |-\n  x\n  y\n", r"{'a': 'x\ny'}"),
        ("a: |\n  x\n  y", r"{'a': 'x\ny'}"),
        ("a: >\n  x\nb: 1", r"{'a': 'x\n', 'b': 1}"),
    ]);
}

#[test]
fn of_a_repeated_key_the_last_value_counts_at_the_first_ones_place() {
    assert_loads(&[("a: 1\nb: 2\na: 3\n", "{'a': 3, 'b': 2}")]);
}

#[test]
fn anchors_and_merged_keys_work_and_merged_ones_come_first() {
    assert_loads(&[
        ("a: &x [1]\nb: *x\n", "{'a': [1], 'b': [1]}"),
        (
            "a: &x {p: 1, q: 2}\nb: {q: 3, <<: *x, r: 4}\n",
            "{'a': {'p': 1, 'q': 2}, 'b': {'p': 1, 'q': 3, 'r': 4}}",
        ),
        (
            "x: &x {p: 1}\ny: &y {p: 2, q: 2}\nz: {<<: [*x, *y]}\n",
            "{'x': {'p': 1}, 'y': {'p': 2, 'q': 2}, 'z': {'p': 1, 'q': 2}}",
        ),
        ("'<<': 1", "{'<<': 1}"),
    ]);
    assert_fails("a: {<<: 1}");
    assert_fails("a: *nothing");
    assert_fails("a: &a [*a]");
}

#[test]
fn an_anchor_bomb_stops_early() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        let line = format!(
            "a{level}: &a{level} [{}]\n",
            [below.as_str(); 10].join(", ")
        );
        bomb.push_str(&line);
    }
    assert_eq!(
        loaded(&bomb),
        "fails: line 5, column 45: more than 100000 values, anchors taken apart"
    );
}

#[test]
fn a_bomb_of_merged_keys_stops_early_too() {
    let mut bomb = String::from("a0: &a0 {k: 1, l: 2, m: 3, n: 4}\n");
    for level in 1..30 {
        let below = Vec::from_iter((0..10).map(|_| format!("*a{}", level - 1)));
        let below = below.join(", ");
        bomb.push_str(&format!("a{level}: &a{level} {{<<: [{below}]}}\n"));
    }
    let found = loaded(&bomb);
    assert!(
        found.ends_with("more than 100000 values, anchors taken apart"),
        "{found}"
    );
    let mut deep = String::from("a0: &a0 [x]\n");
    for level in 1..200 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let found = loaded(&deep);
    assert!(found.ends_with("nested deeper than 100 levels"), "{found}");
}

#[test]
fn nesting_has_an_end() {
    let deep = "[".repeat(101) + &"]".repeat(101);
    assert_eq!(
        loaded(&deep),
        "fails: line 1, column 101: nested deeper than 100 levels"
    );
    let deep = "[".repeat(5000);
    assert_fails(&deep);
}

#[test]
fn what_yaml_forbids_fails_with_its_place() {
    for text in [
        "a: @x",
        "a: `x`",
        "a: %x",
        "a: =",
        "a: ${{ inputs.x || 'y: z' }}",
        r#"a: ${{ {"k": 1} }}"#,
        "[${{ inputs.x }}]",
        "{b: ${{ inputs.x }}}",
        "a: \u{1}",
        "a: b\n  c: d",
        "{[1]: 2}",
        "? {a: 1}\n: 2",
        "--- 1\n--- 2\n",
        "a: 'x",
        "a: [1",
        "a:\n\t- b",
    ] {
        assert_fails(text);
    }
}

#[test]
fn expressions_stand_in_plain_scalars_where_no_colon_follows_a_word() {
    assert_loads(&[
        ("a: ${{ inputs.x }}", "{'a': '${{ inputs.x }}'}"),
        ("a: x # c", "{'a': 'x'}"),
        ("a: x#c", "{'a': 'x#c'}"),
        ("\u{feff}a: 1", "{'a': 1}"),
        ("", "None"),
        ("# nothing\n", "None"),
    ]);
}

#[test]
fn a_problem_names_line_and_column() {
    assert_eq!(
        load("a: 1\nb: !x 2\n").unwrap_err().at,
        Position { line: 2, column: 7 }
    );
    assert_eq!(
        load("a: 1\nb: \u{7}\n").unwrap_err().to_string(),
        "line 2, column 4: the control character U+0007 is not allowed"
    );
}

#[test]
fn every_node_knows_where_it_stands_and_whether_it_was_quoted() {
    let node = load("a:\n  - x\n  - 'yes'\n").unwrap();
    let Content::List(items) = &node.get("a").unwrap().content else {
        panic!("a list was written");
    };
    let places = items.iter().map(|item| {
        let is_plain = matches!(item.content, Content::Scalar { is_plain: true, .. });
        (item.at.line, item.at.column, is_plain)
    });
    assert_eq!(Vec::from_iter(places), [(2, 5, true), (3, 5, false)]);
    assert!(node.get("b").is_none() && !Node::is_null(&node));
}

#[test]
fn what_is_written_loads_as_the_same_value() {
    for text in [
        "a: [1, 'yes', '1', '', ' x ', \"l\\nm\", 1.0e+30, .inf, ~, '~', 2024-01-02, '2024-01-02']",
        "b: {z: [[1, [2]], {k: []}], a: {}}",
        "- - - 1\n- {'a: b': '# c', 'é': \"'\"}",
        "'=': '<<'",
    ] {
        let value = load(text).unwrap().value().unwrap();
        let written = write(&value).unwrap();
        let again = load(&written).unwrap().value().unwrap();
        let sorted = |text: &str| {
            let mut characters = Vec::from_iter(text.chars());
            characters.sort_unstable();
            characters
        };
        assert!(
            value == again && sorted(&value.repr()) == sorted(&again.repr()),
            "{written}"
        );
    }
}

/// Where the value's `x` stands.
fn place_of_x(text: &str) -> (usize, usize) {
    let document = Document::read(text).unwrap();
    let node = document.root.get("a").unwrap();
    let offset = node.text().unwrap().find('x').unwrap();
    let at = node.place_of(document.text, offset);
    (at.line, at.column)
}

#[test]
fn a_part_of_a_text_has_a_place_however_the_text_is_written() {
    for (text, place) in [
        ("a: b x", (1, 6)),
        ("a: 'b x'", (1, 7)),
        ("a: 'b '' x'", (1, 10)),
        ("a: \"b x\"", (1, 7)),
        (r#"a: "\n\t\"\\\u0041\x42 é x""#, (1, 26)),
        (r#"a: "\u0020x""#, (1, 11)),
        ("a: b\n  c\n  x", (3, 3)),
        ("a: \"b\n  c\n\n  x\"", (4, 3)),
        ("a: |\n  b\n  c x\n", (3, 5)),
        ("a: |-\n\n    b\n     x\n", (4, 6)),
        ("a: >-  # why\n  b\n  c x\n", (3, 5)),
        ("a: &anchor 'b x'", (1, 15)),
        ("a: !!str 'b x'", (1, 13)),
        ("\u{feff}a: b x", (1, 6)),
        ("k: 1\ra: b x", (2, 6)),
        ("a: |\r\n  b\r  x\r\n", (3, 3)),
        ("k: &anchor b x\na: *anchor", (2, 4)),
    ] {
        assert_eq!(place_of_x(text), place, "{text:?}");
    }
}

#[test]
fn keys_that_are_written_twice_are_noted_but_not_those_that_a_merge_brings() {
    let repeated = |text| Document::read(text).unwrap().repeated;
    let place = |line, column| Position { line, column };
    assert_eq!(
        repeated("a: 1\nb:\n  c: 1\n  'c': 2\na: 2\n"),
        [place(4, 3), place(5, 1)]
    );
    assert_eq!(repeated("a: &x {p: 1}\nb: {<<: *x, p: 2}\n"), []);
}

#[test]
fn keys_that_are_no_number_are_one_key_so_that_many_of_them_load_in_time() {
    assert_loads(&[("{.nan: 1, .NaN: 2}", "{nan: 2}")]);
    let many = ".nan: 1\n".repeat(40_000);
    assert_eq!(loaded(&many), "{nan: 1}");
}
