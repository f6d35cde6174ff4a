//! `check_provider`: file, line and field of each mistake.

use _core::provider::catalog::Catalog;
use _core::provider::check::{Problem, Severity, check_provider};
use proptest::prelude::*;

const GOOD: &str = "\
id: sample
name: Sample
category: other
summary: A provider without mistakes.
sources: [https://docs.example.com/oauth]
parameters:
  tenant: {default: main, pattern: '[a-z]+'}
endpoints:
  authorization_endpoint: https://{tenant}.example.com/authorize
  token_endpoint: https://{tenant}.example.com/token
client:
  authentication: [client_secret_post]
grants:
  authorization_code:
    refresh:
      rotates: always
scopes:
  base: [read]
  allowed: ['[a-z]+']
api:
  hosts: [api.example.com]
";

fn check(text: &str) -> Vec<Problem> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.yaml");
    std::fs::write(&path, text).unwrap();
    check_provider(&path)
}

/// The one problem of `GOOD` with `from` replaced by `to`.
fn only(from: &str, to: &str) -> Problem {
    assert!(GOOD.contains(from), "{from}");
    let problems = check(&GOOD.replace(from, to));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_file_without_mistakes_has_no_problems() {
    assert_eq!(check(GOOD), []);
}

#[test]
fn text_that_is_no_yaml_is_one_problem_at_its_place() {
    let problem = only(
        "sources: [https://docs.example.com/oauth]",
        "sources: [https://docs.example.com/oauth",
    );
    assert!(problem.line >= 5, "{problem:?}");
    assert_eq!(problem.severity, Severity::Error);
}

#[test]
fn an_unknown_field_stands_where_its_key_does_with_the_nearest_name() {
    let problem = only("      rotates: always", "      rotate: always");
    assert_eq!((problem.line, problem.column), (16, 7));
    assert_eq!(problem.message, "refresh.rotate: `rotate` is no field here");
    assert!(
        problem
            .hint
            .unwrap()
            .starts_with("did you mean `rotates`? known here: ")
    );
}

#[test]
fn an_unknown_field_of_the_file_itself_is_found() {
    let problem = only("api:\n", "apis:\n");
    assert_eq!((problem.line, problem.column), (20, 1));
    assert!(problem.hint.unwrap().contains("did you mean `api`?"));
}

#[test]
fn a_field_in_the_wrong_place_is_unknown_there() {
    let pkce = only("client:\n", "pkce: required\nclient:\n");
    assert_eq!(pkce.message, "pkce: `pkce` is no field here");
    let endpoints = only("    refresh:\n", "    endpoints: {}\n    refresh:\n");
    assert_eq!(
        endpoints.message,
        "grants.authorization_code.endpoints: `endpoints` is no field here"
    );
}

#[test]
fn a_parameter_that_fills_nothing_is_warned_of() {
    let problem = only(
        "parameters:\n",
        "parameters:\n  region: {choices: {eu: {api: eu.example.com}}}\n",
    );
    assert_eq!(problem.severity, Severity::Warning);
    assert_eq!((problem.line, problem.column), (7, 11));
    assert_eq!(
        problem.message,
        "parameters.region: nothing in the file uses `region`"
    );
}

#[test]
fn a_value_outside_its_words_names_them() {
    let problem = only("rotates: always", "rotates: allways");
    assert_eq!((problem.line, problem.column), (16, 16));
    assert!(problem.hint.unwrap().starts_with("did you mean `always`?"));
}

#[test]
fn a_misspelt_word_is_never_a_silent_default() {
    for (fields, near) in [
        ("reply: {expires: {unit: milisecond}}", "milliseconds"),
        ("reply: {expires: {source: jwtt}}", "jwt"),
        ("token_request: {method: POSTT}", "POST"),
        ("resource: {parameter: resorce}", "resource"),
        ("revocation: {token: acess_token}", "access_token"),
        ("account: {source: id_tokn}", "id_token"),
    ] {
        let problem = only("api:\n", &format!("{fields}\napi:\n"));
        assert!(
            problem
                .hint
                .unwrap()
                .starts_with(&format!("did you mean `{near}`?")),
            "{fields}"
        );
    }
}

#[test]
fn a_rule_to_keep_a_value_names_one_place() {
    for rule in [
        "7",
        "[a]",
        "{path: a, header: b}",
        "{pattern: a}",
        "{path: a, patern: b}",
    ] {
        let problem = only(
            "api:\n",
            &format!("reply: {{keep: {{site: {rule}}}}}\napi:\n"),
        );
        assert_eq!(problem.line, 20, "{rule}");
        assert!(
            problem.message.starts_with("reply.keep.site: "),
            "{problem:?}"
        );
    }
    let good = GOOD.replace(
        "api:\n",
        "reply: {keep: {a: x.y, b: {path: z, pattern: '[a-z]+'}}}\napi:\n",
    );
    assert_eq!(check(&good), []);
}

#[test]
fn a_value_of_the_wrong_kind_says_which_is_right() {
    let problem = only("api:\n", "lifetimes: {margin_cap: soon}\napi:\n");
    assert_eq!(problem.line, 20);
    assert!(
        problem.message.starts_with("lifetimes.margin_cap: "),
        "{problem:?}"
    );
    assert!(problem.message.contains("a number"), "{problem:?}");
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_their_lines() {
    let text = GOOD
        .replace("name: Sample", "nam: Sample")
        .replace("rotates: always", "rotates: allways")
        .replace("hosts: [api.example.com]", "host: [api.example.com]");
    let lines: Vec<u64> = check(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 2, 16, 21]);
}

#[test]
fn a_missing_field_is_named() {
    let problem = only("summary: A provider without mistakes.\n", "");
    assert!(
        problem.message.contains("missing field `summary`"),
        "{problem:?}"
    );
}

#[test]
fn a_file_without_grants_says_so() {
    let text = GOOD.replace(
        "grants:\n  authorization_code:\n    refresh:\n      rotates: always\n",
        "",
    );
    assert!(
        check(&text)
            .iter()
            .any(|problem| problem.message.contains("grants"))
    );
}

#[test]
fn a_taken_id_is_a_problem_at_the_id() {
    let problem = only("id: sample", "id: github");
    assert_eq!((problem.line, problem.column), (1, 5));
    assert!(
        problem.message.contains("is taken by the provider github"),
        "{problem:?}"
    );
}

#[test]
fn an_unknown_parent_is_a_problem_at_extends() {
    let problem = only("id: sample", "id: sample\nextends: gogle");
    assert_eq!((problem.line, problem.column), (2, 10));
    assert!(problem.message.contains("google"), "{problem:?}");
}

#[test]
fn an_unsafe_or_unfillable_url_is_a_problem_at_the_url() {
    let http = only("token_endpoint: https:", "token_endpoint: http:");
    assert_eq!((http.line, http.column), (10, 19));
    assert!(http.message.contains("http"), "{http:?}");
    let unknown = only(
        "https://{tenant}.example.com/token",
        "https://{tenent}.example.com/token",
    );
    assert!(
        unknown.message.contains("nothing fills `{tenent}`"),
        "{unknown:?}"
    );
}

#[test]
fn a_host_that_takes_in_too_much_is_a_problem_at_the_host() {
    let problem = only("hosts: [api.example.com]", "hosts: ['*.com']");
    assert_eq!((problem.line, problem.column), (21, 11));
}

#[test]
fn a_broken_pattern_is_a_problem_at_the_pattern() {
    let problem = only("pattern: '[a-z]+'", "pattern: '[a-z'");
    assert_eq!(problem.line, 7);
    assert!(problem.message.contains("is no pattern"), "{problem:?}");
}

#[test]
fn a_default_that_its_own_pattern_refuses_is_a_problem() {
    let problem = only("default: main", "default: MAIN");
    assert!(
        problem.message.starts_with("parameters.tenant.default: "),
        "{problem:?}"
    );
}

#[test]
fn a_parameter_may_not_have_a_name_that_evergrant_fills() {
    let problem = only(
        "endpoints:\n",
        "  client_id: {optional: true}\nendpoints:\n",
    );
    assert_eq!(problem.line, 8);
    assert!(
        problem
            .message
            .contains("evergrant itself fills `client_id`"),
        "{problem:?}"
    );
}

#[test]
fn a_base_scope_that_no_pattern_allows_is_a_problem() {
    let problem = only("base: [read]", "base: [READ]");
    assert_eq!((problem.line, problem.column), (18, 10));
}

#[test]
fn missing_sources_are_a_warning() {
    let problem = only("sources: [https://docs.example.com/oauth]\n", "");
    assert_eq!(problem.severity, Severity::Warning);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let problems = check_provider(&folder.path().join("missing.yaml"));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("cannot be read"));
}

#[test]
fn every_file_of_a_folder_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "id: [").unwrap();
    std::fs::write(folder.path().join("b.yml"), "name: b").unwrap();
    std::fs::write(folder.path().join("c.txt"), "id: [").unwrap();
    let paths: Vec<String> = check_provider(folder.path())
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    assert!(
        paths.iter().any(|path| path.ends_with("a.yaml"))
            && paths.iter().any(|path| path.ends_with("b.yml"))
    );
    assert!(!paths.iter().any(|path| path.ends_with("c.txt")));
}

#[test]
fn odd_documents_are_problems_and_no_panic() {
    for text in [
        "",
        "null",
        "[]",
        "7",
        "a",
        "---\n---\n",
        "id: 7",
        "grants: 7",
        "id: sample\ngrants: {authorization_code: 7}",
        "&a [*a]",
        "? [x]\n: y",
    ] {
        assert!(!check(text).is_empty(), "{text:?}");
    }
}

#[test]
fn mistakes_in_one_list_keep_their_places_although_each_is_found_alone() {
    let text = GOOD.replace(
        "authentication: [client_secret_post]",
        "authentication: [client_secret_pst, 7, none, 8]",
    );
    let found: Vec<(u64, String)> = check(&text)
        .into_iter()
        .map(|problem| {
            (
                problem.column,
                problem.message.split(": ").next().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        (20, "client.authentication.0"),
        (39, "client.authentication.1"),
        (48, "client.authentication.3"),
    ];
    assert_eq!(
        found,
        expected.map(|(column, path)| (column, path.to_owned()))
    );
}

#[test]
fn a_required_field_of_the_wrong_kind_is_one_problem() {
    let problem = only("name: Sample", "name: [Sample]");
    assert_eq!(
        problem.message,
        "name: invalid type: sequence, expected text"
    );
}

#[test]
fn a_mistake_that_is_inherited_stands_at_extends() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("parent.yaml"),
        GOOD.replace("rotates: always", "rotates: allways"),
    )
    .unwrap();
    let child = folder.path().join("child.yaml");
    let text = "id: child\nname: Child\ncategory: other\nsummary: Below.\nsources: [https://a.example]\nextends: sample\n";
    std::fs::write(&child, text).unwrap();
    let problems = check_provider(&child);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].line, problems[0].column), (6, 1));
}

#[test]
fn a_bomb_of_aliases_is_refused_and_not_expanded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            below.trim_end_matches(", ")
        ));
    }
    let problems = check(&text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
}

#[test]
fn a_document_that_is_too_deep_is_refused() {
    let problems = check(&format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000)));
    assert_eq!(problems.len(), 1, "{problems:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_damaged_file_is_checked_without_panic_and_loaded_only_without_errors(
        line in 1usize..21,
        replacement in "[-a-z:{}\\[\\]#&*!|>'\"0-9 ,?]{0,24}",
    ) {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        lines[line] = &replacement;
        let text = lines.join("\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.yaml");
        std::fs::write(&path, &text).unwrap();
        let problems = check_provider(&path);
        let loaded = Catalog::with_folders(&[folder.path().to_owned()]).and_then(|catalog| catalog.find("sample"));
        if problems.iter().all(|problem| problem.severity == Severity::Warning) {
            prop_assert!(loaded.is_ok(), "{text}");
        }
    }
}
