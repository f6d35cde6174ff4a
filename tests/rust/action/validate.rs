//! What is wrong with templates, said without running them.

use std::fs;
use std::path::{Path, PathBuf};

use _core::action::validate::{Report, Severity, Surroundings, validate};
use _core::model::GrantType;
use _core::provider::catalog::Catalog;

mod files;
mod traps;

/// A template in which nothing is wrong; the tests change a part of it.
const GOOD: &str = r#"type: action
definition:
  name: list_files
  namespace: tools.example
  title: List files
  display_group: Example
  secrets:
    - type: oauth
      provider_id: google_drive
      grant_type: authorization_code
    - name: example
      keys: [EXAMPLE_KEY]
      optional_keys: [EXAMPLE_OTHER]
  expects:
    folder:
      type: str
    size:
      type: int
      default: 3
  steps:
    - ref: get
      action: core.http_request
      args:
        url: https://www.googleapis.com/drive/v3/files
        method: GET
        params:
          q: ${{ inputs.folder }}
          key: ${{ SECRETS.example.EXAMPLE_KEY || SECRETS.example.EXAMPLE_OTHER }}
        headers:
          Authorization: Bearer ${{ SECRETS.google_drive_oauth.GOOGLE_DRIVE_USER_TOKEN }}
    - ref: names
      action: core.transform.reshape
      args:
        value: ${{ steps.get.result.data.files[*].name }}
  returns: ${{ FN.join(steps.names.result, ", ") }}
"#;

/// A step between the first and the end of [`GOOD`].
fn with_step(step: &str) -> String {
    with("  returns:", &format!("    - {step}\n  returns:"))
}

/// [`GOOD`] with some of its text replaced.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

/// What is said of files in a folder: their names and texts.
fn report(files: &[(&str, &str)]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    report_on(&[folder.path()], folder.path())
}

/// What is said of files and folders; of their paths that part is left out that they have in common.
fn report_on(paths: &[&Path], folder: &Path) -> Report {
    let paths = Vec::from_iter(paths.iter().map(|path| PathBuf::from(*path)));
    let catalog = Catalog::builtin();
    let surroundings = Surroundings {
        catalog: &catalog,
        is_configured: &|provider| provider == "my_own",
        is_action: &|action| action == "tools.other.registered",
    };
    let mut report = validate(&paths, &surroundings);
    let folder = format!("{}/", folder.display());
    for problem in &mut report.problems {
        problem.path = problem.path.replace(&folder, "");
        problem.message = problem.message.replace(&folder, "");
    }
    report
}

/// What is said of one template, a line for each problem.
fn said(text: &str) -> Vec<String> {
    let problems = report(&[("a.yaml", text)]).problems;
    let problems = problems.into_iter().map(|problem| {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let hint = problem.hint.map(|hint| format!(" ({hint})"));
        format!(
            "{}:{}: {severity}: {}{}",
            problem.line,
            problem.column,
            problem.message,
            hint.unwrap_or_default()
        )
    });
    problems.collect()
}

#[track_caller]
fn assert_said(text: &str, expected: &[&str]) {
    assert_eq!(said(text), expected, "{text}");
}

#[test]
fn nothing_is_said_of_a_good_template_and_what_it_needs_is_listed() {
    let report = report(&[("a.yaml", GOOD)]);
    assert_eq!(report.problems, []);
    let [template] = report.templates.as_slice() else {
        panic!("there is one template");
    };
    assert_eq!(template.name, "tools.example.list_files");
    assert_eq!(template.hosts, ["www.googleapis.com"]);
    let [token] = template.needs.as_slice() else {
        panic!("it needs one token");
    };
    assert_eq!(
        (token.provider.as_str(), token.grant_type, token.optional),
        ("google_drive", GrantType::AuthorizationCode, false)
    );
    assert!(!token.scopes.is_empty());
}

#[test]
fn several_mistakes_are_told_in_one_pass_in_the_order_of_their_lines() {
    let text = GOOD
        .replace("  title: List files\n", "")
        .replace("type: int", "type: Int")
        .replace("grant_type: authorization_code", "grant_type: password")
        .replace("inputs.folder }}", "inputs.foldr }}")
        .replace("ref: names", "ref: get")
        .replace("FN.join(", "FN.joyn(");
    let said = said(&text);
    let places = said.iter().map(|line| line.split(": ").next().unwrap());
    assert_eq!(
        Vec::from_iter(places),
        ["3:3", "9:19", "17:13", "26:18", "30:12", "34:16", "34:24"],
        "{said:#?}"
    );
}

#[test]
fn a_mistake_in_an_expression_is_underlined_at_its_own_line_and_column() {
    let text = with(
        "value: ${{ steps.get.result.data.files[*].name }}",
        "value: >-\n          a\n          b ${{ steps.get.result.data || true }}",
    );
    let problems = report(&[("a.yaml", &text)]).problems;
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}");
    };
    assert_eq!((problem.line, problem.column), (36, 42));
    assert_eq!(problem.message, "true is written True here");
    assert_eq!(
        problem.excerpt.as_deref().unwrap(),
        "          b ${{ steps.get.result.data || true }}\n                                         ^^^^"
    );
}

#[test]
fn an_input_that_is_not_there_is_told_with_the_nearest() {
    assert_said(
        &with("inputs.folder }}", "FN.length([1, inputs.foldr]) }}"),
        &["27:32: error: there is no input foldr (did you mean folder?)"],
    );
    assert_said(
        &with("inputs.folder }}", "inputs[\"x\"] }}"),
        &["27:18: error: there is no input x (known here: folder, size)"],
    );
}

#[test]
fn a_template_that_expects_nothing_takes_any_input() {
    let text = with(
        "    folder:\n      type: str\n    size:\n      type: int\n      default: 3\n",
        "",
    );
    assert_said(&text.replace("  expects:\n", "  expects: {}\n"), &[]);
}

#[test]
fn a_step_is_known_only_after_it_ran() {
    let rows = [
        (
            "steps.got.result",
            "34:20: error: there is no step got (did you mean get?)",
        ),
        (
            "steps.names.result",
            "34:20: error: nothing is known here of the step names: it is not done yet",
        ),
        (
            "steps.get.data",
            "34:20: warning: a step has result, not data: this is None (did you mean steps.get.result.data?)",
        ),
        (
            "steps.get.result.status",
            "34:20: warning: core.http_request gives status_code, headers and data, not status: this is None (did you mean steps.get.result.data.status?)",
        ),
    ];
    for (path, expected) in rows {
        assert_said(
            &with("steps.get.result.data.files[*].name", path),
            &[expected],
        );
    }
    for path in [
        "steps.get.error",
        "steps.get.result.headers[\"x-a\"]",
        "steps.*.result",
    ] {
        assert_said(&with("steps.get.result.data.files[*].name", path), &[]);
    }
    assert_said(
        &with("inputs.folder }}", "steps.names.result }}"),
        &["27:18: error: nothing is known here of the step names: it comes later"],
    );
}

#[test]
fn a_secret_that_is_not_declared_is_told_with_the_nearest() {
    let rows = [
        (
            "SECRETS.exampel.EXAMPLE_KEY",
            "28:20: error: the template declares no secret exampel (did you mean example?)",
        ),
        (
            "SECRETS.example.EXAMPLE_KAY",
            "28:20: error: the secret example is declared without EXAMPLE_KAY (did you mean EXAMPLE_KEY?)",
        ),
        (
            "SECRETS.google_drive_oauth.GOOGLE_DRIVE_SERVICE_TOKEN",
            "28:20: error: the secret google_drive_oauth is declared without GOOGLE_DRIVE_SERVICE_TOKEN (did you mean GOOGLE_DRIVE_USER_TOKEN?)",
        ),
    ];
    for (path, expected) in rows {
        assert_said(
            &with(
                "SECRETS.example.EXAMPLE_KEY || SECRETS.example.EXAMPLE_OTHER",
                path,
            ),
            &[expected],
        );
    }
}

#[test]
fn a_function_has_to_exist_and_gets_as_many_arguments_as_it_takes() {
    assert_said(
        &with(
            "FN.join(steps.names.result, \", \")",
            "FN.jion(steps.names.result, \", \")",
        ),
        &["35:16: error: there is no function FN.jion (did you mean FN.join?)"],
    );
    assert_said(
        &with(
            "FN.join(steps.names.result, \", \")",
            "FN.join.map(steps.names.result)",
        ),
        &["35:16: error: FN.join(items, sep) was given 1 arguments"],
    );
    assert_said(
        &with("FN.join(steps.names.result, \", \")", "TRIGGER.data"),
        &["35:16: warning: this is known to workflows only; in a template it is None"],
    );
}

#[test]
fn an_action_of_evergrants_own_has_to_exist_and_others_may_be_registered() {
    let rows = [
        (
            "core.http_requets",
            "22:15: error: there is no action core.http_requets (did you mean core.http_request?)",
        ),
        (
            "http_request",
            "22:15: error: there is no action http_request (did you mean core.http_request?)",
        ),
        (
            "tools.google_api.cal_api",
            "22:15: error: there is no action tools.google_api.cal_api (did you mean tools.google_api.call_api?)",
        ),
        (
            "other.zzz",
            "22:15: warning: the action other.zzz is not known here; when this runs, a template or a registered function has to have that name",
        ),
    ];
    for (action, expected) in rows {
        assert_said(&with("core.http_request", action), &[expected]);
    }
    assert_said(&with("core.http_request", "tools.other.registered"), &[]);
}

#[test]
fn an_action_of_evergrants_own_gets_the_arguments_that_it_has() {
    assert_said(
        &with("        method: GET\n", "        methd: GET\n"),
        &[
            "22:15: error: core.http_request needs the argument method",
            "25:9: error: core.http_request has no argument methd (did you mean method?)",
        ],
    );
    assert_said(
        &with(
            "        method: GET\n",
            "        ${{ inputs.folder }}: GET\n",
        ),
        &[],
    );
    let rows = [
        (
            "{ref: x, action: core.http_poll, args: {url: 'https://a.example', method: GET}}",
            "35:24: error: core.http_poll needs poll_condition or poll_retry_codes",
        ),
        (
            "{ref: x, action: core.http_request, args: {url: 'https://a.example', method: PUT, content: a, payload: {}}}",
            "35:98: error: content can't be sent together with payload",
        ),
        (
            "{ref: x, action: core.transform.filter, args: {items: [], python_lambda: 'x > 1'}}",
            "35:80: error: python_lambda is a Python lambda (lambda x: …)",
        ),
        (
            "{ref: x, action: core.script.run_python, args: {script: 'print(1)'}}",
            "35:63: error: the script defines no function (def main(…): return …)",
        ),
        (
            "{ref: x, action: tools.google_api.call_api, args: {service_name: drive, version: v3, resource: files}}",
            "35:24: error: tools.google_api.call_api needs the argument method_name",
        ),
    ];
    for (step, expected) in rows {
        assert_said(&with_step(step), &[expected]);
    }
}

#[test]
fn a_provider_has_to_be_in_the_catalogue_or_configured_and_to_have_the_grant() {
    let of = |provider: &str| {
        GOOD.replace(
            "google_drive_oauth.GOOGLE_DRIVE",
            &format!("{provider}_oauth.{}", provider.to_uppercase()),
        )
        .replace(
            "provider_id: google_drive",
            &format!("provider_id: {provider}"),
        )
    };
    let unknown = said(&of("google_drve"));
    let [line] = unknown.as_slice() else {
        panic!("{unknown:#?}");
    };
    assert!(
        line.starts_with(
            "8:7: error: no provider is called `google_drve`; near it are google_drive"
        ),
        "{line}"
    );
    assert!(
        line.ends_with("(evergrant providers google_drive)"),
        "{line}"
    );
    assert_said(&of("my_own"), &[]);
    assert_said(
        &of("slack")
            .replace("SLACK_USER_TOKEN", "SLACK_SERVICE_TOKEN")
            .replace("authorization_code", "client_credentials"),
        &["8:7: error: slack has no grant type client_credentials (it has authorization_code)"],
    );
}
