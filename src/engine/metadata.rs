//! What only a server says: its endpoints, and the client that it registers.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::engine::configure::Configure;
use crate::engine::record::Configuration;
use crate::engine::runtime::Runtime;
use crate::error::{Error, Result};
use crate::http::HostRule;
use crate::model::GrantType;
use crate::oauth::discovery::{self, Metadata};
use crate::oauth::registration::{self, Registered};
use crate::provider::catalog::Provider;
use crate::provider::{DiscoveryFrom, Endpoints, Registration};

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

    /// A client of our own, where the provider registers one for whoever asks.
    pub(super) async fn registered(
        &self,
        provider: &Provider,
        grant_type: GrantType,
        endpoints: &Endpoints,
        asked: Option<&str>,
        redirect_uri: String,
    ) -> Result<Option<Registered>> {
        let host = |url: &str| Some(url::Url::parse(url).ok()?.host_str()?.to_owned());
        let registers = provider
            .registration(grant_type)
            .contains(&Registration::Dynamic);
        let named_by_file = provider.registration_endpoint(grant_type);
        let by_server = endpoints.registration_endpoint.clone();
        let (endpoint, rule) = match (by_server, named_by_file) {
            (Some(endpoint), _) if asked.and_then(host) != host(&endpoint) => {
                (endpoint, HostRule::ServerNamed)
            }
            (Some(endpoint), _) => (endpoint, HostRule::Named),
            (None, Some(endpoint)) => (endpoint, HostRule::Named),
            (None, None) => return Ok(None),
        };
        if !registers {
            return Ok(None);
        }
        let (http, clock) = (self.http(), self.clock.clone());
        on_runtime(&self.runtime, async move {
            registration::register(&http, &endpoint, rule, &redirect_uri, &clock).await
        })
        .await
        .map(Some)
    }
}

async fn on_runtime<T: Send + 'static>(
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
