//! The provider of an integration and the rules that come of its configuration: worked out once, not for every refresh.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::error::Result;
use crate::model::IntegrationKey;
use crate::provider::catalog::{self, Provider};
use crate::provider::{Overrides, Spec};

/// What was worked out so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By id. What an id means stays as it is while the engine lives.
    providers: Mutex<HashMap<String, Arc<Provider>>>,
    /// The last ones of each integration.
    specs: Mutex<HashMap<IntegrationKey, Resolved>>,
}

/// Rules, and all that they came of but the provider.
#[derive(Debug)]
struct Resolved {
    overrides: Overrides,
    kept: BTreeMap<String, String>,
    spec: Arc<Spec>,
}

impl Engine {
    /// The provider of an id, one that exists through its endpoints alone included.
    pub fn provider_of(&self, id: &str) -> Result<Arc<Provider>> {
        let providers = || {
            let providers = &self.rules.providers;
            providers.lock().unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(provider) = providers().get(id) {
            return Ok(Arc::clone(provider));
        }
        let provider = match self.catalog.find(id) {
            Ok(provider) => provider,
            Err(_) => catalog::custom(id)?,
        };
        providers().insert(id.to_owned(), Arc::clone(&provider));
        Ok(provider)
    }

    /// The rules of an integration with the values that a connection keeps, as [`Integration::spec_with`].
    pub(super) fn spec_of(
        &self,
        integration: &Integration,
        kept: &BTreeMap<String, String>,
    ) -> Result<Arc<Spec>> {
        let overrides = &integration.configuration.overrides;
        let specs = || {
            let specs = &self.rules.specs;
            specs.lock().unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(resolved) = specs().get(&integration.key)
            && (&resolved.overrides, &resolved.kept) == (overrides, kept)
        {
            return Ok(Arc::clone(&resolved.spec));
        }
        let spec = Arc::new(integration.spec_with(kept)?);
        let resolved = Resolved {
            overrides: overrides.clone(),
            kept: kept.clone(),
            spec: Arc::clone(&spec),
        };
        specs().insert(integration.key.clone(), resolved);
        Ok(spec)
    }
}
