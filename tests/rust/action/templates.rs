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

#[test]
fn a_definition_is_json_before_anything_runs() {
    let rows = [
        ("2022-11-28", "'2022-11-28'"),
        ("2024-01-02 03:04:05 +2", "'2024-01-02T03:04:05+02:00'"),
        ("[.inf, .nan]", "[None, None]"),
        ("9999999999999999999999", "1e+22"),
        ("{yes: 1, 1: 2, null: 3}", "{'true': 1, '1': 2, 'None': 3}"),
    ];
    for (written, expected) in rows {
        let template = Template::parse(&with(
            "  X-Version: 2022-11-28",
            &format!("  X-Version: {written}"),
        ));
        let arguments = template.unwrap().steps[0].arguments.evaluate(&contexts());
        let arguments = arguments.unwrap();
        let found = arguments
            .get("headers")
            .and_then(|headers| headers.get("X-Version"));
        assert_eq!(found.unwrap().repr(), expected, "{written}");
    }
}

#[test]
fn any_text_names_a_step() {
    for name in ["'a b'", "é", "'1'", "2024-01-02", "a.b"] {
        assert_eq!(
            problem(&with("ref: get", &format!("ref: {name}"))),
            "fine",
            "{name}"
        );
    }
    assert_eq!(
        problem(&with("ref: get", "ref: 5")),
        "line 24, column 12: ref is text; quote it"
    );
}

#[test]
fn returns_is_text_a_list_of_texts_or_a_mapping_of_anything() {
    let old = "returns: ${{ steps.one.result.data }}";
    for new in [
        "returns: x",
        "returns: [a, '${{ 1 }}']",
        "returns: {a: [1, {b: null}]}",
        "returns: []",
    ] {
        assert_eq!(problem(&with(old, new)), "fine", "{new}");
    }
    for new in [
        "returns: null",
        "returns: true",
        "returns: [[a]]",
        "returns: [a, null]",
    ] {
        let found = problem(&with(old, new));
        assert!(
            found.ends_with("returns is text, a list of texts or a mapping"),
            "{new}: {found}"
        );
    }
}

#[test]
fn a_secret_has_a_type_that_is_known_and_keys() {
    let of = |secret: &str| {
        problem(&with(
            "- name: example\n      optional_keys: [EXAMPLE_KEY]",
            &format!("- {secret}"),
        ))
    };
    for secret in [
        "{name: a, keys: [K]",
        "{name: a, keys: [K], optional_keys: [L]",
        "{name: a, type: custom, keys: [K]",
        "{name: a, type: null, keys: [K]",
        "{name: mtls, secret_type: mtls, keys: [K]",
        "{name: ca, secret_type: ca_cert, optional_keys: [K]",
        "{name: k, secret_type: ssh_key, keys: [K]",
    ] {
        let secret = secret.trim_start_matches('{').replace(", ", "\n      ");
        assert_eq!(of(&secret), "fine", "{secret}");
    }
    let rows = [
        ("keys: [K]", "line 13, column 7: a secret lacks name"),
        (
            "name: a\n      keys: K",
            "line 14, column 13: keys is a list",
        ),
        (
            "name: a\n      keys: [5]",
            "line 14, column 14: keys is text; quote it",
        ),
        (
            "name: a\n      keys: [K]\n      secret_type: gpg",
            "line 15, column 20: secret_type is one of custom, ssh_key, mtls, ca_cert",
        ),
        (
            "name: a\n      keys: []",
            "line 13, column 7: a secret has keys, optional_keys or type: oauth",
        ),
        (
            "type: oauth\n      grant_type: authorization_code",
            "line 13, column 7: an OAuth secret lacks provider_id",
        ),
        (
            "type: oauth\n      provider_id: a",
            "line 13, column 7: an OAuth secret lacks grant_type",
        ),
    ];
    for (secret, expected) in rows {
        assert_eq!(of(secret), expected);
    }
}

#[test]
fn an_input_without_default_is_required_whatever_optional_and_enum_say() {
    let text = with(
        "type: str | None",
        "type: str | None\n      optional: true\n      enum: [a]",
    );
    let template = Template::parse(&text).unwrap();
    let errors = _core::action::inputs::validate(&template.inputs(), &Default::default());
    assert_eq!(errors.unwrap_err().to_string(), "s: is missing");
}

#[test]
fn every_mistake_in_a_file_is_placed_where_it_stands() {
    let rows = [
        ("a: 1\nb: @x", (2, 4)),
        ("a: 1\nb: `x`", (2, 4)),
        ("a: 1\nb: %x", (2, 4)),
        ("a: 1\nb: =", (2, 4)),
        ("a: 1\nb: ${{ inputs.x || 'y: z' }}", (2, 22)),
        ("a: 1\nb: [${{ inputs.x }}]", (2, 6)),
        ("a: 1\nb: {c: ${{ inputs.x }}}", (2, 9)),
        ("a: 1\nb: !x 2", (2, 7)),
        ("a: 1\nb: !!python/object:os.system []", (2, 30)),
        ("a: 1\nb: 'x", (2, 4)),
        ("a: 1\nb: [1", (2, 4)),
        ("a: 1\nb:\n\t- c", (3, 2)),
        ("a: 1\nb: \u{7}", (2, 4)),
        ("a: 1\nb: *c", (2, 4)),
        ("a: 1\nb: &b [*b]", (2, 8)),
        ("a: 1\nb: 2024-13-01", (2, 4)),
        ("a: 1\nb: {<<: 1}", (2, 9)),
        ("a: 1\n{b: 1}: 2", (2, 1)),
        ("a: 1\n--- 2", (2, 5)),
    ];
    let wrong = rows.iter().filter_map(|(text, place)| {
        let at = Template::parse(text).unwrap_err().at;
        let found = (at.line, at.column);
        (found != *place).then(|| format!("{text:?} is wrong at {found:?}"))
    });
    assert_eq!(Vec::from_iter(wrong), [""; 0]);
}
