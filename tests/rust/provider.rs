//! Provider files: every built-in one, the merge, and what users may add.

use std::collections::BTreeMap;

use _core::model::GrantType;
use _core::provider::catalog::Catalog;
use _core::provider::{Overrides, scope};

fn example(grant_type: GrantType, catalog: &Catalog, id: &str) -> Overrides {
    let provider = catalog.find(id).unwrap();
    let parameters: BTreeMap<String, String> = provider
        .parameters(grant_type)
        .into_iter()
        .filter(|(_, parameter)| parameter.default.is_none())
        .filter_map(|(name, parameter)| Some((name, parameter.example?)))
        .collect();
    Overrides {
        parameters,
        ..Overrides::default()
    }
}

#[test]
fn every_built_in_file_makes_a_spec_of_each_of_its_grants() {
    let catalog = Catalog::builtin();
    for id in catalog.ids() {
        let provider = catalog.find(id).unwrap();
        for grant_type in provider.grant_types() {
            let spec = provider
                .spec(grant_type, &example(grant_type, &catalog, id))
                .unwrap();
            assert!(
                spec.endpoints
                    .token_endpoint
                    .unwrap()
                    .starts_with("https://"),
                "{id}"
            );
            assert!(!spec.api.hosts.is_empty(), "{id}");
        }
    }
}

#[test]
fn base_and_suggested_scopes_of_every_file_are_allowed() {
    let catalog = Catalog::builtin();
    for id in catalog.ids() {
        let provider = catalog.find(id).unwrap();
        for grant_type in provider.grant_types() {
            let spec = provider
                .spec(grant_type, &example(grant_type, &catalog, id))
                .unwrap();
            for scope in spec.scopes.base.iter().chain(spec.scopes.suggested.keys()) {
                scope::validate(&spec.scopes, id, scope).unwrap();
            }
        }
    }
}
