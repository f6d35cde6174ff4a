//! Every template is run against what its vendor documents: what it asks, and what it makes of the replies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use _core::action::value::json::{Layout, write};
use _core::action::yaml::load;
use serde::Deserialize;
use serde_json::Value;

use super::exchange::Exchange;
use super::python::Python;
use super::stage::{Stage, Token};
use super::{Entry, library, sorted, stem};

const CASES: &str = "tests/data/actions/library";

/// The file of a template's cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// What is asked and answered when a template is run with these inputs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    pub(super) inputs: Value,
    pub(super) exchanges: Vec<Exchange>,
    /// What the template returns.
    result: Option<Value>,
    /// What its error says, where it has to fail.
    error: Option<String>,
}

/// The cases of a template.
pub(super) fn cases(entry: &Entry) -> Result<Vec<Case>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
    let path = root
        .join(&entry.vendor)
        .join(format!("{}.yaml", entry.name));
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let value = load(&text).and_then(|node| node.value());
    let value = value.map_err(|problem| problem.to_string())?;
    let cases: Cases =
        serde_json::from_str(&write(&value, Layout::Compact)).map_err(|error| error.to_string())?;
    Ok(cases.cases)
}

/// What differs between a case and what a template does.
pub(super) async fn differences(
    text: &str,
    case: &Case,
    token: &Token,
    python: &Python,
) -> Vec<String> {
    let stage = Stage::set(token, case.exchanges.clone()).await;
    let outcome = stage.run(text, &case.inputs, python).await;
    let mut differences = stage.differences();
    match (outcome, &case.result, &case.error) {
        (Ok(found), Some(expected), None) if found == *expected => {}
        (Ok(found), expected, _) => differences.push(format!(
            "returns {found}\nnot {}",
            expected.as_ref().unwrap_or(&Value::Null)
        )),
        (Err(error), None, Some(expected)) if error.contains(expected) => {}
        (Err(error), ..) => differences.push(format!("fails: {error}")),
    }
    differences
}

#[test]
fn every_file_of_cases_is_one_of_a_template() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
    let mut files = Vec::new();
    for folder in sorted(&root) {
        files.extend(
            sorted(&folder)
                .iter()
                .map(|path| (stem(&folder), stem(path))),
        );
    }
    let entries = library().into_iter();
    let templates = Vec::from_iter(entries.map(|entry| (entry.vendor, entry.name)));
    assert_eq!(files, templates);
}

#[test]
fn every_vendor_has_an_error_among_its_cases() {
    let mut vendors = BTreeMap::new();
    for entry in library() {
        let errors = cases(&entry)
            .unwrap()
            .into_iter()
            .filter_map(|case| case.error);
        *vendors.entry(entry.vendor).or_insert(0) += errors.count();
    }
    assert!(vendors.values().all(|errors| *errors > 0), "{vendors:?}");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how much was run is worth to be seen")]
async fn every_template_asks_and_returns_what_its_vendor_documents() {
    let python = Python::start();
    let (mut templates, mut count, mut runs) = (0, 0, 0);
    let mut problems = Vec::new();
    for entry in library() {
        templates += 1;
        let action = &entry.template.action;
        let cases = match cases(&entry) {
            Ok(cases) if !cases.is_empty() => cases,
            found => {
                let error = found.err().unwrap_or_else(|| "it has no case".to_owned());
                problems.push(format!("{action}: {error}"));
                continue;
            }
        };
        count += cases.len();
        for case in &cases {
            // Whichever of its tokens there is, it does the same.
            for (provider, grant_type, _) in entry.tokens() {
                runs += 1;
                let token = Token::new(&provider, grant_type);
                for difference in differences(&entry.text, case, &token, &python).await {
                    problems.push(format!("{action}, {}, {token}: {difference}", case.name));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    println!("{templates} templates, {count} cases, {runs} runs");
}
