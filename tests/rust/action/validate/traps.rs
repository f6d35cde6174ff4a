//! What is allowed and hardly ever meant.

use super::{GOOD, assert_said, report, said, with, with_step};

#[test]
fn a_key_that_is_written_twice() {
    assert_said(
        &with(
            "        method: GET\n",
            "        method: GET\n        method: PUT\n",
        ),
        &["26:9: warning: the mapping has this key already; only the last one counts"],
    );
}

#[test]
fn words_and_numbers_that_yaml_takes_for_something_else() {
    let rows = [
        ("NO", "NO is false here"),
        ("on", "on is true here"),
        ("012", "012 is 10 here"),
        ("1:30", "1:30 is 90 here"),
        ("1_000", "1_000 is 1000 here"),
        ("1.10", "1.10 is 1.1 here"),
        (
            "2024-01-02 03:04:05",
            "2024-01-02 03:04:05 is 2024-01-02T03:04:05 here",
        ),
    ];
    for (written, expected) in rows {
        let expected = format!("27:14: warning: {expected} (quote it if it is text)");
        let text = with("q: ${{ inputs.folder }}", &format!("q: {written}"));
        assert_said(&text, &[&expected]);
    }
    for written in [
        "no way",
        "'NO'",
        "true",
        "7",
        "-7",
        "0x1F",
        "1.5",
        "1.0",
        "2024-01-02",
        "~",
        "1e3",
    ] {
        assert_said(
            &with("q: ${{ inputs.folder }}", &format!("q: {written}")),
            &[],
        );
    }
    assert_said(
        &with("q: ${{ inputs.folder }}", "yes: 1"),
        &["27:11: warning: yes is true here (quote it if it is text)"],
    );
}

#[test]
fn a_flag_may_be_said_as_yes_and_no() {
    assert_said(
        &with(
            "        method: GET\n",
            "        method: GET\n        verify_ssl: no\n",
        ),
        &[],
    );
    assert_said(
        &with(
            "      type: int\n      default: 3",
            "      type: bool\n      default: no",
        ),
        &[],
    );
}

#[test]
fn a_default_that_is_not_of_its_type() {
    let of = |kind: &str, default: &str| {
        with(
            "      type: int\n      default: 3",
            &format!("      type: {kind}\n      default: {default}"),
        )
    };
    assert_said(
        &of("int", "'7'"),
        &["19:16: warning: the default is not of the type int, and nothing makes it so"],
    );
    assert_said(
        &of("str", "7"),
        &[
            "19:16: warning: the default is not of the type str, and nothing makes it so (quote it if it is text)",
        ],
    );
    for (kind, default) in [
        ("float", "5"),
        ("int", "null"),
        ("datetime", "'2024-01-02'"),
        ("list[int]", "[1]"),
    ] {
        assert_said(&of(kind, default), &[]);
    }
}

#[test]
fn keys_of_an_input_that_do_nothing() {
    assert_said(
        &with(
            "      type: str\n",
            "      type: str\n      enum: [a]\n      optional: true\n",
        ),
        &[
            "17:13: warning: enum has no effect here (write type: enum[\"a\", \"b\"])",
            "18:17: warning: optional has no effect: without a default the input has to be given (give it a default, as default: null)",
        ],
    );
}

#[test]
fn a_query_in_the_url_beside_params() {
    let message = "warning: the query of the URL is replaced by params, also when all of them are None (put the whole query into params)";
    for url in [
        "https://a.example/?x=1",
        "https://a.example/${{ inputs.folder }}?x=1",
    ] {
        let text = with("https://www.googleapis.com/drive/v3/files", url);
        assert_said(&text, &[&format!("24:14: {message}")]);
    }
}

#[test]
fn blanks_around_an_expression_that_make_text_of_it() {
    let message = "what stands around the expression makes text of its value, and belongs to it";
    let block = with(
        "value: ${{ steps.get.result.data.files[*].name }}",
        "value: >\n          ${{ steps.get.result.data }}",
    );
    assert_said(
        &block,
        &[&format!(
            "35:11: warning: {message} (write >- or |- to leave out the last line end)"
        )],
    );
    let quoted = with(
        "value: ${{ steps.get.result.data.files[*].name }}",
        "value: ' ${{ steps.get.result.data }}'",
    );
    assert_said(
        &quoted,
        &[&format!("34:18: warning: {message} (leave the blanks out)")],
    );
    let two = with(
        "value: ${{ steps.get.result.data.files[*].name }}",
        "value: '${{ inputs.size }} ${{ inputs.size }}'",
    );
    assert_said(&two, &[]);
}

#[test]
fn an_index_that_is_a_name() {
    assert_said(
        &with(
            "steps.get.result.data.files[*].name",
            "steps.get.result.data[size]",
        ),
        &[
            "34:20: warning: [size] is the member called size, whatever else has that name (write [\"size\"], or (path)[inputs.size] for the value of an input)",
        ],
    );
    let said = said(&with(
        "steps.get.result.data.files[*].name",
        "steps.get.result.data[inputs.size]",
    ));
    assert!(
        said[0].contains("an expression goes behind (path)"),
        "{said:#?}"
    );
}

#[test]
fn a_header_that_is_no_text() {
    let message = "a header's value is text";
    for value in ["5", "1.5", "true"] {
        assert_said(
            &with(
                "        headers:\n",
                &format!("        headers:\n          X-A: {value}\n"),
            ),
            &[&format!("30:16: warning: {message} (quote it)")],
        );
    }
    assert_said(
        &with(
            "        headers:\n",
            "        headers:\n          X-A: ${{ inputs.size }}\n",
        ),
        &[
            "30:20: warning: a header's value is text, and this input a number (write ${{ str(…) }})",
        ],
    );
}

#[test]
fn an_optional_token_in_a_header_that_nothing_stands_in_for() {
    let optional = with(
        "grant_type: authorization_code\n",
        "grant_type: authorization_code\n      optional: true\n",
    );
    let message = "31:37: warning: this is optional, and nothing stands in for it in the header (name another with ||, or require it)";
    assert_said(&optional, &[message]);
    let other = optional.replace(
        "_USER_TOKEN }}",
        "_USER_TOKEN || SECRETS.example.EXAMPLE_KEY }}",
    );
    assert_said(&other, &[]);
    assert_said(
        &with(
            "SECRETS.google_drive_oauth.GOOGLE_DRIVE_USER_TOKEN",
            "SECRETS.example.EXAMPLE_OTHER",
        ),
        &[
            "30:37: warning: this is optional, and nothing stands in for it in the header (name another with ||, or require it)",
        ],
    );
    let input = with(
        "SECRETS.google_drive_oauth.GOOGLE_DRIVE_USER_TOKEN",
        "inputs.size",
    )
    .replace("default: 3", "default: null");
    assert_said(
        &input,
        &[
            "30:37: warning: this is optional, and nothing stands in for it in the header (name another with ||, or require it)",
        ],
    );
}

#[test]
fn not_before_a_comparison_and_comparisons_in_a_chain() {
    let rows = [
        (
            "not inputs.size == 2",
            "34:20: warning: not takes the whole comparison (write != or put parentheses around what is meant)",
        ),
        (
            "1 < inputs.size < 3",
            "34:20: warning: comparisons don't chain: the first one's True or False is compared (join two comparisons with &&)",
        ),
    ];
    for (expression, expected) in rows {
        assert_said(
            &with("steps.get.result.data.files[*].name", expression),
            &[expected],
        );
    }
    for expression in [
        "not (inputs.size == 2)",
        "(1 < inputs.size) == True",
        "not inputs.size",
        "1 < inputs.size && inputs.size < 3",
    ] {
        assert_said(
            &with("steps.get.result.data.files[*].name", expression),
            &[],
        );
    }
}

#[test]
fn a_step_may_call_a_template_beside_it_and_gets_its_inputs() {
    let other = GOOD.replace("name: list_files", "name: other");
    let calls = |arguments: &str| {
        let step = format!("{{ref: x, action: tools.example.other, args: {arguments}}}");
        let problems = report(&[("a.yaml", &with_step(&step)), ("b/c.yml", &other)]).problems;
        Vec::from_iter(problems.into_iter().map(|problem| problem.message))
    };
    assert_eq!(calls("{folder: a, size: 1}"), [""; 0]);
    assert_eq!(
        calls("{foldr: a}"),
        [
            "tools.example.other needs the argument folder",
            "tools.example.other has no argument foldr"
        ]
    );
}
