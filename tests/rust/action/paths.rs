//! What each form of path gives.

use _core::action::expression::{Contexts, Pattern};

use super::json;

const INPUTS: &str = r#"{"l":[1,2,3],"el":[],"d":{"a":{"b":[{"c":1},{"c":2}]}},
    "items":[{"id":1,"t":"a"},{"id":2,"t":"b"},{"id":3}],"one":[{"id":9}],"s":"abc","z":null,"n":3}"#;

fn found(path: &str) -> String {
    let contexts = Contexts {
        inputs: json(INPUTS),
        ..Contexts::default()
    };
    let text = format!("${{{{ inputs{path} }}}}");
    match Pattern::parse(&text).and_then(|pattern| pattern.evaluate(&contexts)) {
        Ok(value) => value.repr(),
        Err(error) => format!("fails: {error}"),
    }
}

fn assert_finds(rows: &[(&str, &str)]) {
    for (path, expected) in rows {
        assert_eq!(found(path), *expected, "{path}");
    }
}

#[test]
fn an_index_gives_a_member_or_none() {
    assert_finds(&[
        (".l[0]", "1"),
        (".l[-1]", "3"),
        (".l[00]", "1"),
        (".l[ 0 ]", "1"),
        (".l[7]", "None"),
        (".l[-7]", "None"),
        (".el[0]", "None"),
        (".z[0]", "None"),
        (".missing[0]", "None"),
        (".s[0]", "'a'"),
    ]);
    for path in [".n[0]", ".d[0]"] {
        assert!(found(path).starts_with("fails: "), "{path}");
    }
}

#[test]
fn a_star_in_brackets_gives_a_list_always() {
    assert_finds(&[
        (".l[*]", "[1, 2, 3]"),
        (".el[*]", "[]"),
        (".missing[*]", "[]"),
        (".z[*]", "[]"),
        (".n[*]", "[3]"),
        (".s[*]", "['abc']"),
        (".d[*]", "[{'a': {'b': [{'c': 1}, {'c': 2}]}}]"),
        (".d.a.b[*].c", "[1, 2]"),
        (".one[*].id", "[9]"),
        (".d.a.b[*].missing", "[]"),
    ]);
}

#[test]
fn a_slice_of_one_gives_the_member() {
    assert_finds(&[
        (".l[0:2]", "[1, 2]"),
        (".l[1:]", "[2, 3]"),
        (".l[-2:]", "[2, 3]"),
        (".l[::2]", "[1, 3]"),
        (".l[0:1]", "1"),
        (".l[2:]", "3"),
        (".l[5:9]", "None"),
        (".d.a.b[0:5].c", "[1, 2]"),
        (".l[::-1]", "[3, 2, 1]"),
    ]);
}

#[test]
fn names_and_stars_and_depths() {
    assert_finds(&[
        (".items.id", "None"),
        (".d.*", "{'b': [{'c': 1}, {'c': 2}]}"),
        (".*.a", "{'b': [{'c': 1}, {'c': 2}]}"),
        (".items[0].*", "[1, 'a']"),
        ("..c", "[1, 2]"),
        ("..id", "[1, 2, 3, 9]"),
        (".d..x", "None"),
        (".one..id", "9"),
        (r#"["l"]"#, "[1, 2, 3]"),
        ("['d']['a']", "{'b': [{'c': 1}, {'c': 2}]}"),
        (".d[a]", "{'b': [{'c': 1}, {'c': 2}]}"),
        (".d.[a]", "{'b': [{'c': 1}, {'c': 2}]}"),
        (r#".d."a""#, "{'b': [{'c': 1}, {'c': 2}]}"),
        (".d.'a'", "{'b': [{'c': 1}, {'c': 2}]}"),
        (r#".items[0]["id","t"]"#, "[1, 'a']"),
        (r#".d.a.b[*]["c","x"]"#, "[1, 2]"),
    ]);
}

#[test]
fn a_filter_gives_a_list_always() {
    assert_finds(&[
        (".items[?(@.id > 1)]", "[{'id': 2, 't': 'b'}, {'id': 3}]"),
        (".items[?(@.id > 1)].t", "['b']"),
        (r#".items[?(@.t == "b")].id"#, "[2]"),
        (".items[?(@.t == 'b')].id", "[2]"),
        (".items[?(@.id == 99)]", "[]"),
        (".items[?@.id > 2]", "[{'id': 3}]"),
        (
            ".items[?(@.t)]",
            "[{'id': 1, 't': 'a'}, {'id': 2, 't': 'b'}]",
        ),
        (
            r#".items[?(@.id >= 2 & @.t == "b")]"#,
            "[{'id': 2, 't': 'b'}]",
        ),
        (".items[?(@.id != 2)].id", "[1, 3]"),
        (".items[?(@.id <= 1)].id", "[1]"),
        (".items[?(@.id < 2.5)].id", "[1, 2]"),
        (r#".items[?(@.t =~ "[bc]")].id"#, "[2]"),
    ]);
    assert!(found(".items[?(@.id > 1)][0]").starts_with("fails: "));
    assert_finds(&[]);
}

#[test]
fn functions_of_paths() {
    assert_finds(&[
        (".items.`len`", "3"),
        (".s.`len`", "3"),
        (".d.`len`", "1"),
        (".d.`keys`", "['a']"),
        (".l.`sorted`", "[1, 2, 3]"),
        (".s.`split(b, 0, -1)`", "'a'"),
        (".s.`sub(/b/, X)`", "'aXc'"),
        (".s.`str()`", "'abc'"),
    ]);
}

#[test]
fn what_is_no_path_fails() {
    for path in [
        ".items[0,2]",
        ".l[x+1]",
        ".l[",
        ".l[]",
        ".l[0",
        ".",
        "..",
        ".`nothing`",
        ".`len",
        ".l[?(@.id > )]",
        ".l[?(@.id > 1]",
        ".l[?(id > 1)]",
        ".l[1:2:3:4]",
        ".\"a",
        ".d[a b]",
        ".l[::0]",
    ] {
        assert!(
            found(path).starts_with("fails: "),
            "{path} is {}",
            found(path)
        );
    }
}
