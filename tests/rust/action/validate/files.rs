//! Files and folders: which are looked at, and what is said of those that can't be read.

use std::fs;
use std::path::Path;

use super::{GOOD, report, report_on};

fn lines(report: &super::Report) -> Vec<String> {
    let lines = report.problems.iter().map(|problem| {
        format!(
            "{}:{}:{}: {}",
            problem.path, problem.line, problem.column, problem.message
        )
    });
    lines.collect()
}

#[test]
fn a_file_that_is_not_there_is_a_problem_too() {
    let found = report_on(&[Path::new("/nowhere/a.yaml")], Path::new("/nowhere"));
    let lines = lines(&found);
    assert!(
        lines.len() == 1 && lines[0].starts_with("a.yaml:1:1: it can't be read: "),
        "{lines:#?}"
    );
}

#[test]
fn what_is_no_text_no_file_or_too_large_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("bytes.yaml"), b"a: \xff").unwrap();
    fs::write(path("large.yaml"), " ".repeat((4 << 20) + 1)).unwrap();
    let found = report_on(&[folder.path()], folder.path());
    assert_eq!(
        lines(&found),
        [
            "bytes.yaml:1:1: it can't be read: byte 4 is no UTF-8",
            "large.yaml:1:1: it can't be read: it is larger than 4 MiB",
        ]
    );
    let device = Path::new("/dev/zero");
    assert_eq!(
        lines(&report_on(&[device], Path::new("/dev"))),
        ["zero:1:1: it can't be read: it is no file"]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_place_and_the_other_files_are_looked_at() {
    let found = report(&[
        ("a.yaml", "a: 1\nb: 'x\n"),
        ("b.yaml", GOOD),
        ("c.yaml", "a: \u{7}"),
    ]);
    let lines = lines(&found);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("a.yaml:"), "{lines:#?}");
    assert_eq!(
        lines[1],
        "c.yaml:1:4: the control character U+0007 is not allowed"
    );
    assert_eq!(found.templates.len(), 1);
}

#[test]
fn of_a_folder_yaml_files_count_at_any_depth_but_hidden_ones_do_not() {
    let broken = "a: [";
    let found = report(&[
        ("a.yaml", broken),
        ("b/c/d.yml", broken),
        (".hidden.yaml", broken),
        (".git/e.yaml", broken),
        ("README.md", broken),
    ]);
    let paths = Vec::from_iter(found.problems.iter().map(|problem| problem.path.as_str()));
    assert_eq!(paths, ["a.yaml", "b/c/d.yml"]);
}

#[test]
fn a_folder_without_templates_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let found = report_on(&[folder.path()], folder.path());
    assert_eq!(found.problems.len(), 1);
    assert_eq!(
        found.problems[0].message,
        "it can't be read: there is no .yaml or .yml file in the folder"
    );
}

/// A template of this name that calls others.
fn calling(name: &str, actions: &[&str]) -> String {
    let steps = actions
        .iter()
        .enumerate()
        .map(|(index, action)| format!("    - {{ref: s{index}, action: {action}, args: {{}}}}\n"));
    format!(
        "definition:\n  name: {name}\n  namespace: t\n  title: x\n  display_group: x\n  expects: {{}}\n  steps:\n{}  returns: x\n",
        String::from_iter(steps)
    )
}

#[test]
fn templates_that_call_each_other_in_a_circle_are_told_with_the_way() {
    let found = report(&[
        ("a.yaml", &calling("a", &["t.b"])),
        ("b.yaml", &calling("b", &["t.c"])),
        ("c.yaml", &calling("c", &["t.a"])),
        ("d.yaml", &calling("d", &["t.b"])),
    ]);
    assert_eq!(
        lines(&found),
        [
            "a.yaml:8:25: t.a calls t.b, which calls t.c, which calls t.a: that would never end",
            "b.yaml:8:25: t.b calls t.c, which calls t.a, which calls t.b: that would never end",
            "c.yaml:8:25: t.c calls t.a, which calls t.b, which calls t.c: that would never end",
        ]
    );
}

#[test]
fn a_template_that_calls_itself_is_told_once() {
    let found = report(&[("a.yaml", &calling("a", &["t.a"]))]);
    assert_eq!(lines(&found), ["a.yaml:8:25: a template can't call itself"]);
}

#[test]
fn a_name_that_another_file_has_is_a_problem() {
    let found = report(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    assert_eq!(
        lines(&found),
        ["b.yaml:3:9: a.yaml has the name tools.example.list_files, too"]
    );
}

#[test]
fn no_more_than_a_hundred_problems_are_told_of_a_file_and_they_come_in_time() {
    let one = "${{ inputs.nobody }}".repeat(100_000);
    let text = GOOD.replace("q: ${{ inputs.folder }}", &format!("q: '{one}'"));
    let found = report(&[("a.yaml", &text)]);
    assert_eq!(found.problems.len(), 100);
    let excerpt = found.problems[99].excerpt.as_deref().unwrap();
    assert!(excerpt.chars().count() < 400, "{}", excerpt.len());
}

#[test]
fn names_are_shown_short_and_without_what_steers_a_terminal() {
    let long = "x".repeat(3_000_000);
    let text = GOOD.replace("core.http_request", &format!("\"core.\\e[31m{long}\""));
    let found = report(&[("a.yaml", &text)]);
    let message = &found.problems[0].message;
    assert!(
        message.contains(r"core.\u{1b}[31mxxx") && message.chars().count() < 200,
        "{}",
        message.len()
    );
}
