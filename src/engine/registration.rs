//! Clients that evergrant registers itself (RFC 7591), where the user has none and the server takes any.

use crate::engine::Engine;
use crate::engine::metadata::on_runtime;
use crate::engine::record::{Configuration, Registered};
use crate::error::Result;
use crate::model::{GrantType, IntegrationKey};
use crate::oauth::registration::{self, Registration};
use crate::provider::{self, ClientAuthentication, Spec};

/// A client to be registered.
#[derive(Debug)]
pub(super) struct Wanted {
    spec: Spec,
    endpoint: String,
    redirect_uri: String,
}

impl Engine {
    /// The client that a configuration lacks and its server registers; one registered elsewhere, or for another redirect
    /// URI, is forgotten.
    pub(super) fn wants_registration(
        &self,
        key: &IntegrationKey,
        configuration: &mut Configuration,
    ) -> Result<Option<Wanted>> {
        let own = configuration.client_id.is_some() && configuration.registered.is_none();
        if own || configuration.discovery_due || key.grant_type != GrantType::AuthorizationCode {
            return Ok(None);
        }
        let provider = self.provider_of(&key.provider)?;
        if !provider.grant_types().contains(&key.grant_type) {
            return Ok(None);
        }
        let spec = provider.spec(key.grant_type, &configuration.overrides)?;
        let dynamic = provider::Registration::Dynamic;
        let ways = &spec.client.registration;
        let offered = ways.contains(&dynamic) || (ways.is_empty() && spec.user_endpoints);
        let endpoint = spec.endpoints.registration_endpoint.clone();
        let endpoint = endpoint.filter(|_| offered);
        let redirect_uri = match &configuration.redirect_uri {
            Some(redirect_uri) => redirect_uri.clone(),
            None => spec.redirect.by_default(),
        };
        if let Some(registered) = &configuration.registered {
            if endpoint.as_ref() == Some(&registered.endpoint)
                && registered.redirect_uri == redirect_uri
            {
                return Ok(None);
            }
            configuration.forget_registration();
        }
        Ok(endpoint.map(|endpoint| Wanted {
            spec,
            endpoint,
            redirect_uri,
        }))
    }

    /// Registers the client, on the runtime: a verb that only looks may be polled where there is none.
    pub(super) async fn register(
        &self,
        wanted: Wanted,
        configuration: &mut Configuration,
    ) -> Result<()> {
        let (http, clock) = (self.http(), self.clock.clone());
        let authentication = configuration
            .overrides
            .client_authentication
            .or(configuration.registers_as)
            .unwrap_or(ClientAuthentication::None);
        let Wanted {
            spec,
            endpoint,
            redirect_uri,
        } = wanted;
        let registered_for = redirect_uri.clone();
        let Registration {
            client_id,
            client_secret,
            authentication,
            access_token,
            client_uri,
        } = on_runtime(&self.runtime, async move {
            registration::register(&http, &spec, &redirect_uri, authentication, &clock).await
        })
        .await?;
        configuration.client_id = Some(client_id);
        configuration.client_secret = client_secret;
        configuration.registered = Some(Registered {
            endpoint,
            redirect_uri: registered_for,
            authentication,
            access_token,
            client_uri,
        });
        Ok(())
    }
}

impl Configuration {
    /// Takes over the client that was registered for the same configuration.
    pub(super) fn take_registration(&mut self, other: &Self) {
        self.client_id.clone_from(&other.client_id);
        self.client_secret.clone_from(&other.client_secret);
        self.registered.clone_from(&other.registered);
    }

    /// Forgets a client that evergrant registered, and nothing else.
    pub(super) fn forget_registration(&mut self) {
        if self.registered.take().is_some() {
            self.client_id = None;
            self.client_secret = None;
        }
    }
}
