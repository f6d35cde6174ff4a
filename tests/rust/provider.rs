//! Provider files: every built-in one, the merge, what users may add and override, and what is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use _core::error::Error;
use _core::model::GrantType;
use _core::provider::catalog::{Catalog, custom};
use _core::provider::{Overrides, Spec};
use tempfile::TempDir;

mod check;
mod files;
mod hosts;
mod merge;
mod overrides;
mod parameters;
mod scopes;

const USER: GrantType = GrantType::AuthorizationCode;
const SERVICE: GrantType = GrantType::ClientCredentials;

/// A catalog with user files of those texts, in a folder that lives as long as the first value.
fn with_files(files: &[&str]) -> (TempDir, Result<Catalog, Error>) {
    let folder = tempfile::tempdir().unwrap();
    for (index, text) in files.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index}.yaml")), text).unwrap();
    }
    let catalog = Catalog::with_folders(&[folder.path().to_owned()]);
    (folder, catalog)
}

/// The spec of the last of `files`, which has the id `sample`, with the parameters `given`.
fn spec_of(files: &[&str], grant_type: GrantType, given: &[(&str, &str)]) -> Result<Spec, Error> {
    let (_folder, catalog) = with_files(files);
    let overrides = Overrides {
        parameters: map(given),
        ..Overrides::default()
    };
    catalog?.find("sample")?.spec(grant_type, &overrides)
}

/// The spec of a built-in provider as it is without configuration, with the examples of its file as parameters.
fn builtin(id: &str, grant_type: GrantType) -> Spec {
    let provider = Catalog::builtin().find(id).unwrap();
    let examples = provider
        .parameters(grant_type)
        .into_iter()
        .filter(|(_, parameter)| parameter.default.is_none())
        .filter_map(|(name, parameter)| Some((name, parameter.example?)));
    let overrides = Overrides {
        parameters: examples.collect(),
        ..Overrides::default()
    };
    provider.spec(grant_type, &overrides).unwrap()
}

/// The spec of a provider that the user adds.
fn custom_spec(change: impl FnOnce(&mut Overrides)) -> Result<Spec, Error> {
    let mut overrides = Overrides::default();
    overrides.endpoints.authorization_endpoint = Some("https://id.example.com/authorize".into());
    overrides.endpoints.token_endpoint = Some("https://id.example.com/token".into());
    change(&mut overrides);
    custom("acme")?.spec(USER, &overrides)
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn paths(folder: &TempDir) -> Vec<PathBuf> {
    vec![folder.path().to_owned()]
}
