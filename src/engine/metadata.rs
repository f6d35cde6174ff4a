//! What only a server says: its endpoints.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::engine::configure::Configure;
use crate::engine::record::Configuration;
use crate::engine::runtime::Runtime;
use crate::error::{Error, Result};
use crate::model::GrantType;
use crate::oauth::discovery::{self, Metadata};
use crate::provider::DiscoveryFrom;
use crate::provider::catalog::Provider;

impl Engine {
    /// The issuer or resource that the provider file says to ask, where nobody names endpoints.
    pub(super) fn asked_by_file(
        &self,
        provider: &Provider,
        grant_type: GrantType,
        request: &Configure,
        stored: Option<&Configuration>,
    ) -> Result<Option<String>> {
        let settings = &request.settings;
        let endpoints_given = settings
            .endpoints
            .as_ref()
            .is_some_and(|endpoints| !endpoints.is_empty())
            || stored.is_some_and(|stored| !stored.overrides.endpoints.is_empty());
        if endpoints_given {
            return Ok(None);
        }
        let mut given: BTreeMap<String, String> = stored
            .map(|stored| stored.overrides.parameters.clone())
            .unwrap_or_default();
        given.extend(settings.parameters.clone().unwrap_or_default());
        provider.asks_for_metadata(grant_type, &given)
    }

    /// The metadata of an issuer that the user named, or of what the provider file says to ask.
    ///
    /// On the runtime: a verb that only looks may be polled where there is none.
    pub(super) async fn metadata(
        &self,
        provider: &Provider,
        grant_type: GrantType,
        asked: &str,
    ) -> Result<Metadata> {
        let from = provider.discovery_from(grant_type);
        let (http, clock, asked) = (self.http(), self.clock.clone(), asked.to_owned());
        on_runtime(&self.runtime, async move {
            match from {
                Some(DiscoveryFrom::ProtectedResource) => {
                    discovery::discover_for(&http, &asked, &clock).await
                }
                _ => discovery::discover(&http, &asked, &clock).await,
            }
        })
        .await
    }
}

/// Asks on the runtime, as long as somebody waits.
pub(super) async fn on_runtime<T: Send + 'static>(
    runtime: &Runtime,
    asking: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        // Nobody waits any more: then nobody wants it.
        drop(answer.send(asking.await));
    });
    answered
        .await
        .map_err(|_| Error::internal("a server was asked and nothing came"))?
}
