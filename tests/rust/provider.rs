//! Provider files: every built-in one, the merge, what users may add and override, and what is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use _core::error::Error;
use _core::model::GrantType;
use _core::provider::catalog::{Catalog, custom};
use _core::provider::parameters::Parameter;
use _core::provider::{Overrides, Spec};
use tempfile::TempDir;

mod check;
mod files;
mod hosts;
mod installed;
mod merge;
mod overrides;
mod parameters;
mod scopes;
mod table;

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

/// The built-in providers, parsed once for all tests of this process.
static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

/// The spec of a built-in provider with the examples of its file as parameters.
fn builtin(id: &str, grant_type: GrantType) -> Spec {
    let provider = CATALOG.find(id).unwrap();
    let overrides = Overrides {
        parameters: examples(&provider.parameters(grant_type)),
        ..Overrides::default()
    };
    let spec = provider.spec(grant_type, &overrides);
    spec.unwrap_or_else(|error| panic!("{id}: {error}"))
}

/// A value for every parameter that has to be set: its example, else its first choice, else any text.
fn examples(parameters: &BTreeMap<String, Parameter>) -> BTreeMap<String, String> {
    let unset = parameters
        .iter()
        .filter(|(_, parameter)| parameter.default.is_none() && !parameter.optional);
    unset
        .map(|(name, parameter)| {
            let choice = parameter.choices.as_ref();
            let choice = choice.map(|choices| choices.names()[0].to_owned());
            let value = parameter.example.clone().or(choice);
            (name.clone(), value.unwrap_or_else(|| "any".to_owned()))
        })
        .collect()
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
