//! Templates as files: what they hold, and where what is wrong with them stands.

use _core::action::template::{GrantType, SecretKind, Template};

use super::contexts;

const WHOLE: &str = "\
type: action
definition:
  name: list_files
  namespace: tools.example
  title: List files
  description: Lists files.
  display_group: Example
  doc_url: https://example.com/docs
  secrets:
    - type: oauth
      provider_id: example
      grant_type: authorization_code
    - name: example
      optional_keys: [EXAMPLE_KEY]
      optional: true
  expects:
    n:
      type: int
      description: How many.
      default: 3
    s:
      type: str | None
  steps:
    - ref: get
      action: core.http_request
      args:
        url: https://api.example.com/${{ FN.url_encode(inputs.s) }}
        headers:
          X-Version: 2022-11-28
          yes: NO
        params:
          ${{ inputs.s }}: ${{ inputs.n }}
  returns: ${{ steps.one.result.data }}
";

fn problem(text: &str) -> String {
    match Template::parse(text) {
        Ok(_) => "fine".to_owned(),
        Err(problem) => problem.to_string(),
    }
}

/// The template with some of its text replaced.
fn with(old: &str, new: &str) -> String {
    assert!(WHOLE.contains(old), "{old}");
    WHOLE.replacen(old, new, 1)
}

#[test]
fn a_template_holds_what_was_written() {
    let template = Template::parse(WHOLE).unwrap();
    assert_eq!(template.action, "tools.example.list_files");
    assert_eq!(template.title, "List files");
    assert_eq!(
        template.doc_url.as_deref(),
        Some("https://example.com/docs")
    );
    assert_eq!(
        template.secrets[0].kind,
        SecretKind::OAuth {
            provider_id: "example".to_owned(),
            grant_type: GrantType::AuthorizationCode
        }
    );
    assert_eq!(template.secrets[0].context(), "example_oauth");
    assert!(!template.secrets[0].is_optional && template.secrets[1].is_optional);
    let names = template
        .expects
        .iter()
        .map(|(input, at)| (input.name.as_str(), at.line));
    assert_eq!(Vec::from_iter(names), [("n", 17), ("s", 21)]);
    assert_eq!(template.steps[0].reference, "get");
    assert_eq!(template.steps[0].action, "core.http_request");
}

#[test]
fn arguments_are_json_before_they_are_evaluated_and_their_keys_are_too() {
    let template = Template::parse(WHOLE).unwrap();
    let arguments = template.steps[0].arguments.evaluate(&contexts()).unwrap();
    assert_eq!(
        arguments.repr(),
        "{'url': 'https://api.example.com/abc', 'headers': {'X-Version': '2022-11-28', 'true': False}, 'params': {'abc': 3}}"
    );
    assert_eq!(
        template.returns.evaluate(&contexts()).unwrap().repr(),
        "[1]"
    );
}

#[test]
fn what_is_missing_or_wrong_is_said_with_its_place() {
    let rows = [
        (
            "type: action",
            "type: workflow",
            "line 1, column 7: type is action, or left out",
        ),
        (
            "  title: List files\n",
            "",
            "line 3, column 3: definition lacks title",
        ),
        (
            "  returns: ${{ steps.one.result.data }}\n",
            "",
            "line 3, column 3: definition lacks returns",
        ),
        (
            "name: list_files",
            "name: 5",
            "line 3, column 9: name is text; quote it",
        ),
        (
            "grant_type: authorization_code",
            "grant_type: password",
            "line 12, column 19: grant_type is authorization_code or client_credentials",
        ),
        (
            "type: oauth",
            "type: token",
            "line 10, column 13: a secret's type is oauth, or left out",
        ),
        (
            "      optional_keys: [EXAMPLE_KEY]\n",
            "",
            "line 13, column 7: a secret has keys, optional_keys or type: oauth",
        ),
        (
            "- name: example",
            "- name: example_oauth",
            "line 13, column 7: a name that ends in _oauth is a provider's; declare it with type: oauth",
        ),
        (
            "      optional: true",
            "      optional: maybe",
            "line 15, column 17: optional is true or false",
        ),
        (
            "description: How many.",
            "descripton: x",
            "line 19, column 7: an input has type, description, default, enum, optional, nothing else",
        ),
        (
            "    s:",
            "    _s:",
            "line 21, column 5: an input's name can't begin with _",
        ),
        (
            "- ref: get\n      action",
            "- action",
            "line 24, column 7: a step lacks ref",
        ),
        (
            "action: core.http_request",
            "action: tools.example.list_files",
            "line 25, column 15: a template can't call itself",
        ),
        (
            "${{ inputs.n }}",
            "${{ inputs.n + }}",
            "line 32, column 43: the expression ends where a value is missing\n${{ inputs.n + }}\n               ^",
        ),
        (
            "returns: ${{ steps.one.result.data }}",
            "returns: 5",
            "line 33, column 12: returns is text, a list of texts or a mapping",
        ),
        (
            "returns: ${{ steps.one.result.data }}",
            "returns: [1]",
            "line 33, column 13: returns is text, a list of texts or a mapping",
        ),
    ];
    for (old, new, expected) in rows {
        assert_eq!(problem(&with(old, new)), expected, "{new}");
    }
    let kind = problem(&with("type: int", "type: Int"));
    assert!(
        kind.starts_with("line 18, column 13: the type of n: a type is int, float"),
        "{kind}"
    );
    assert_eq!(problem(""), "line 1, column 1: a template is a mapping");
}

#[test]
fn steps_are_named_once_and_have_arguments() {
    let again = "    - {ref: get, action: a.b, args: {}}\n  returns";
    let found = problem(&with("  returns", again));
    assert_eq!(
        found,
        "line 33, column 13: there is an earlier step \"get\""
    );
    let found = problem(&with(
        "  returns",
        "    - {ref: x, action: a.b, args: }\n  returns",
    ));
    assert_eq!(found, "line 33, column 33: args is a mapping");
    let found = problem(
        "definition: {name: a, namespace: b, title: c, display_group: d, expects: {}, steps: [], returns: ''}",
    );
    assert_eq!(found, "line 1, column 85: a template has at least one step");
}

#[test]
fn unknown_keys_are_ignored_but_in_an_input() {
    for (old, new) in [
        ("type: action", "type: action\nmore: 1"),
        ("  title:", "  more: 1\n  title:"),
        ("      action:", "      more: 1\n      action:"),
        ("      grant_type:", "      more: 1\n      grant_type:"),
        ("type: action\n", ""),
    ] {
        assert_eq!(problem(&with(old, new)), "fine", "{new}");
    }
}

#[test]
fn keys_that_become_equal_fail_and_a_list_is_no_key() {
    let template = Template::parse(&with("params:", "params:\n          abc: 1")).unwrap();
    let error = template.steps[0]
        .arguments
        .evaluate(&contexts())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 33, column 11: another key comes to the same value"
    );
    let template = Template::parse(&with("${{ inputs.s }}:", "${{ inputs.l }}:")).unwrap();
    let error = template.steps[0]
        .arguments
        .evaluate(&contexts())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 32, column 11: a list can't be a key or a member of a set"
    );
}

#[test]
fn of_keys_written_twice_the_last_counts() {
    let template = Template::parse(&with("params:", "params: {}\n        params:")).unwrap();
    let arguments = template.steps[0].arguments.evaluate(&contexts()).unwrap();
    assert_eq!(arguments.get("params").unwrap().repr(), "{'abc': 3}");
}

#[test]
fn an_expression_that_fails_names_the_place_of_its_text() {
    let template = Template::parse(&with("inputs.n }}", "inputs.n / 0 }}")).unwrap();
    let error = template.steps[0]
        .arguments
        .evaluate(&contexts())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 32, column 28: division by zero\n${{ inputs.n / 0 }}\n    ^^^^^^^^^^^^"
    );
}
