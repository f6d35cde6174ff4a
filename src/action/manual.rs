//! The reference of the expression language, from which `docs/templates.md` is made: every row holds an example that a test
//! runs.

use super::functions::GROUPS;

/// A row of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is about: an operator, a cast, a form of path.
    pub form: &'static str,
    /// What to know about it.
    pub note: &'static str,
    /// An expression.
    pub example: &'static str,
    /// What that comes to, as Python writes it.
    pub result: &'static str,
}

const fn row(
    form: &'static str,
    note: &'static str,
    example: &'static str,
    result: &'static str,
) -> Row {
    Row {
        form,
        note,
        example,
        result,
    }
}

/// The operators, loosest first.
pub const OPERATORS: &[Row] = &[
    row(
        "x -> type",
        "once, at the very end; casts all before it",
        r#""1" + "2" -> int"#,
        "12",
    ),
    row(
        "a if c else b",
        "the branch not taken is not evaluated; `else` is needed",
        "1 if True else 1 / 0",
        "1",
    ),
    row(
        "a || b",
        "the first if it is true, else the second; both are evaluated",
        r#""" || "x""#,
        "'x'",
    ),
    row(
        "a && b",
        "the first if it is false, else the second; both are evaluated",
        r#"1 && "x""#,
        "'x'",
    ),
    row(
        "not x",
        "looser than comparison, not repeatable",
        "not 1 == 2",
        "True",
    ),
    row("a == b", "never fails", "1 == 1.0", "True"),
    row("a != b", "", r#""1" != 1"#, "True"),
    row("a > b", "comparisons don't chain", "3 > 2 > 1", "False"),
    row("a >= b", "", "2 >= 2", "True"),
    row(
        "a < b",
        "numbers, text, lists, times; kinds don't mix",
        r#""a" < "b""#,
        "True",
    ),
    row("a <= b", "", "2 <= 1", "False"),
    row(
        "a in b",
        "members, parts of text, keys; tighter than `==`",
        "1 in [1] == True",
        "True",
    ),
    row("a not in b", "", r#""x" not in "abc""#, "True"),
    row(
        "a is b",
        "for None and booleans; tighter than `in`",
        "1 is True",
        "False",
    ),
    row("a is not b", "", "0 is not None", "True"),
    row(
        "a + b",
        "numbers, text, lists, times and durations",
        r#""a" + "b""#,
        "'ab'",
    ),
    row("a - b", "", "3 - 1.5", "1.5"),
    row("a * b", "", r#""ab" * 2"#, "'abab'"),
    row("a / b", "always a float", "6 / 2", "3.0"),
    row(
        "a % b",
        "the sign of the right; text on the left is filled in",
        "-7 % 3",
        "2",
    ),
    row("-x", "repeatable", "- -3", "3"),
    row("+x", "", "+True", "1"),
    row(
        "x[index]",
        "behind a literal, call or parenthesis, or a path of SECRETS or VARS; fails when there is nothing",
        "[[1, 2], [3]][0][1]",
        "2",
    ),
    row("int(x)", "", r#"int(" 3 ")"#, "3"),
    row("float(x)", "", r#"float("1e3")"#, "1000.0"),
    row(
        "str(x)",
        "Python's text",
        "str([1.0, None])",
        "'[1.0, None]'",
    ),
    row(
        "bool(x)",
        "of text only `true` and `1`, in any case, are true",
        r#"bool("yes")"#,
        "False",
    ),
    row(
        "FN.name(…)",
        "a function, see below",
        r#"FN.uppercase("a")"#,
        "'A'",
    ),
    row(
        "FN.name.map(…)",
        "called for each member of its lists, up to the end of the shortest",
        "FN.add.map([1, 2], 10)",
        "[11, 12]",
    ),
];

/// What the examples of [`PATHS`] find in `inputs`, as JSON.
pub const PATH_INPUTS: &str = r#"{"l": [1, 2, 3], "d": {"k-1": 5, "a": {"c": 1}}, "items": [{"id": 1, "t": "a"}, {"id": 2}]}"#;

/// The forms of paths.
pub const PATHS: &[Row] = &[
    row(
        ".name",
        "nothing there is None",
        "inputs.missing.deeper",
        "None",
    ),
    row(
        "[\"name\"]",
        "for names that are no identifiers",
        r#"inputs.d["k-1"]"#,
        "5",
    ),
    row(
        "[0]",
        "negative ones count from the end",
        "inputs.l[-1]",
        "3",
    ),
    row("[*]", "always a list", "inputs.items[*].t", "['a']"),
    row(
        "[0:2]",
        "one match is its value, several are a list",
        "inputs.l[2:]",
        "3",
    ),
    row(".*", "the members of a mapping", "inputs.d.a.*", "1"),
    row("..name", "at any depth", "inputs..id", "[1, 2]"),
    row(
        "[\"a\",\"b\"]",
        "several names",
        r#"inputs.items[0]["id","t"]"#,
        "[1, 'a']",
    ),
    row(
        "[?(…)]",
        "a filter; always a list",
        "inputs.items[?(@.id > 1)].id",
        "[2]",
    ),
    row(
        ".`len`",
        "also `keys`, `sorted`, `str()`, `split(…)`, `sub(…)`",
        "inputs.items.`len`",
        "2",
    ),
];

const OPENING: &str = "\
# The expression language of templates

This page is made from the code, and each example in it is run by a test.

A text of a template holds expressions between `${{` and the first `}}` behind it (so write `} }` inside). One expression
alone keeps its type; with anything around it, also a blank or a line end, its text is put in, as Python writes it.
Expressions see `inputs`, `steps.<ref>.result`, `SECRETS.<name>.<KEY>`, `VARS`, `ENV` and functions (`FN`).
Literals are numbers, text in either quotes (no escapes), `True`, `False`, `None`, lists and mappings.

Where it differs from Python:

- Integers have at most 128 bits; what goes beyond is an error.
- Regular expressions have no look-around and no back references, and `$` is the very end of the text.
- What is made of sets (`unique`, `union`, the extractors) keeps the order of first appearance.
- The clock of `now` and `today` is UTC's unless the caller says otherwise.
- An expression has at most 250 operators and 50 levels; a result made by repeating at most 16 MiB or 1,048,576 members.
";

/// The text of `docs/templates.md`.
pub fn manual() -> String {
    let mut text = String::from(OPENING);
    text.push_str("\n## Operators, loosest first\n\n");
    rows(OPERATORS, &mut text);
    text.push_str("\n## Paths\n\nOn the inputs `");
    text.push_str(PATH_INPUTS);
    text.push_str("`:\n\n");
    rows(PATHS, &mut text);
    for group in &GROUPS {
        text.push_str(&format!("\n## Functions: {}\n\n", group.title));
        text.push_str("| Function | Example | Result |\n|---|---|---|\n");
        for function in group.functions {
            let call = format!("{}({})", function.name, function.parameters);
            let cells = [code(&call), code(function.example), code(function.result)];
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    text
}

fn rows(rows: &[Row], text: &mut String) {
    text.push_str("| Form | Example | Result | |\n|---|---|---|---|\n");
    for row in rows {
        let cells = [code(row.form), code(row.example), code(row.result)];
        text.push_str(&format!("| {} | {} |\n", cells.join(" | "), row.note));
    }
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('\n', "\\n");
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}
