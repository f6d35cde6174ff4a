//! The validator has nothing to say about the library.

use std::path::PathBuf;

use _core::action::validate::{Surroundings, validate};
use _core::provider::catalog::Catalog;

#[test]
fn the_validator_finds_nothing_in_the_library() {
    let catalog = Catalog::builtin();
    let surroundings = Surroundings {
        catalog: &catalog,
        is_configured: &|_| false,
        is_action: &|_| false,
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(super::TEMPLATES);
    let report = validate(&[folder], &surroundings);
    let problems = Vec::from_iter(report.problems.iter().map(|problem| format!("{problem:?}")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(report.templates.len(), super::library().len());
}
