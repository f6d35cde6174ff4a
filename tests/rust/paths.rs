//! The paths of provider files into a reply.

use _core::oauth::paths::{find, first, text};
use _core::provider::Paths;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_path_leads_through_members_items_and_flags() {
    let reply = json!({
        "a": {"b": [{"c": 1}, {"c": 2, "main": true}]}, "a.b": "dots", "first": "Ada", "last": "Lovelace", "null": null,
        "flags": [{"on": "true", "x": 1}, {"on": true, "x": 2}],
    });
    for (path, expected) in [
        ("a.b[0].c", Some(json!(1))),
        ("a.b[1].c", Some(json!(2))),
        ("a.b[?main].c", Some(json!(2))),
        ("flags[?on].x", Some(json!(2))),
        ("[\"a.b\"]", Some(json!("dots"))),
        ("a[\"b\"][0].c", Some(json!(1))),
        ("first + last", Some(json!("Ada Lovelace"))),
        ("first + middle", Some(json!("Ada"))),
        ("middle + suffix", None),
        ("", Some(reply.clone())),
        ("null", None),
        ("missing", None),
        ("a.b.c", None),
        ("a.b[2]", None),
        ("a.b[x]", None),
        ("a.b[0", None),
        ("first[0]", None),
        ("first.length", None),
    ] {
        assert_eq!(
            find(&reply, path).map(std::borrow::Cow::into_owned),
            expected,
            "{path}"
        );
    }
}

#[test]
fn the_first_path_that_leads_somewhere_counts() {
    let reply = json!({"none": null, "b": 2, "c": 3});
    let paths = Paths::Several(["a", "none", "b", "c"].map(str::to_owned).to_vec());
    assert_eq!(first(&reply, &paths).as_deref(), Some(&json!(2)));
}

#[test]
fn plain_values_have_a_text_and_others_none() {
    for (value, expected) in [
        (json!("x"), Some("x")),
        (json!(7), Some("7")),
        (json!(1.5), Some("1.5")),
        (json!(true), Some("true")),
        (json!(""), None),
        (json!(null), None),
        (json!([1]), None),
        (json!({}), None),
    ] {
        assert_eq!(text(&value).as_deref(), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn no_path_panics_or_leads_to_null(path in ".{0,40}", brackets in "[a-z.\\[\\]?\"+ 0-9]{0,40}") {
        let reply: Value = json!({"a": [{"b": {"c": null}}], "é": null});
        for path in [path, brackets] {
            prop_assert!(find(&reply, &path).is_none_or(|value| !value.is_null()));
        }
    }
}
