//! Our own templates, one for each construct that public ones use: each loads, and nothing is wrong with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use _core::action::template::Template;
use _core::action::validate::{Report, Surroundings, validate};
use _core::provider::catalog::Catalog;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/actions/constructs")
}

fn templates() -> Vec<(PathBuf, Template)> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut paths = Vec::from_iter(entries.map(|entry| entry.unwrap().path()));
    paths.sort();
    let templates = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let template = Template::parse(&text);
        let template = template.unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        (path, template)
    });
    templates.collect()
}

fn report() -> Report {
    let catalog = Catalog::builtin();
    let surroundings = Surroundings {
        catalog: &catalog,
        is_configured: &|_| false,
        is_action: &|_| false,
    };
    validate(&[folder()], &surroundings)
}

#[test]
fn nothing_is_wrong_with_any_of_them() {
    let report = report();
    assert_eq!(report.problems, []);
    assert_eq!(report.templates.len(), templates().len());
}

#[test]
fn each_has_the_name_of_its_file() {
    for (path, template) in templates() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(template.action, format!("tools.constructs.{name}"));
    }
}

#[test]
fn every_action_of_evergrants_own_is_called_by_one() {
    let called: BTreeSet<String> = templates()
        .into_iter()
        .flat_map(|(_, template)| template.steps)
        .map(|step| step.action)
        .collect();
    for action in [
        "core.http_request",
        "core.http_poll",
        "core.http_paginate",
        "core.script.run_python",
        "core.transform.apply",
        "core.transform.deduplicate",
        "core.transform.drop_nulls",
        "core.transform.eval_jsonpaths",
        "core.transform.filter",
        "core.transform.flatten_json",
        "core.transform.is_in",
        "core.transform.map",
        "core.transform.not_in",
        "core.transform.reshape",
        "tools.google_api.call_api",
        "tools.google_api.call_paginated_api",
    ] {
        assert!(called.contains(action), "{action}");
    }
}
