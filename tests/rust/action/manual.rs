//! The reference of the expression language, and that docs/templates.md is in step with it.

use std::fs;
use std::path::PathBuf;

use _core::action::expression::{Contexts, Pattern};
use _core::action::manual::{OPERATORS, PATH_INPUTS, PATHS, manual};

use super::json;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md")
}

#[test]
fn every_example_of_operators_and_paths_is_true() {
    let contexts = Contexts {
        inputs: json(PATH_INPUTS),
        ..Contexts::default()
    };
    for row in OPERATORS.iter().chain(PATHS) {
        let pattern = Pattern::parse(&format!("${{{{ {} }}}}", row.example)).unwrap();
        let found = pattern.evaluate(&contexts).unwrap().repr();
        assert_eq!(found, row.result, "{}", row.example);
    }
}

#[test]
fn the_page_on_templates_is_in_step_with_the_code() {
    let page = fs::read_to_string(path()).unwrap_or_default();
    assert!(
        page == manual(),
        "docs/templates.md is not what the code makes; write it with: cargo test --test core write_the_page -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/templates.md"]
fn write_the_page() {
    fs::write(path(), manual()).unwrap();
}
