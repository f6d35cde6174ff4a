//! Tokens that are made from another connection's (RFC 8693): whose, and never in a circle.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::engine::{Engine, TokenRequest};
use crate::error::{Error, Result};
use crate::model::{GrantType, IntegrationKey};
use crate::secret::AccessToken;

/// The connection whose token is exchanged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Source {
    integration: IntegrationKey,
    connection: String,
}

/// The token of a source, fresh. A boxed future: it may be a flight within a flight.
pub(crate) fn subject_token(
    engine: Arc<Engine>,
    source: Source,
) -> Pin<Box<dyn Future<Output = Result<AccessToken>> + Send>> {
    Box::pin(async move {
        let request = TokenRequest {
            provider: source.integration.provider.to_string(),
            grant_type: Some(source.integration.grant_type),
            connection: source.connection,
            ..TokenRequest::default()
        };
        let slot = engine.get_token(&request).await?;
        Ok(slot.stored.token.value.clone())
    })
}

impl Engine {
    /// The source that `provider` or `provider/connection` names for an integration.
    ///
    /// # Errors
    /// `InvalidParameter` for a grant type that is not exchanged for, and for a circle.
    pub(crate) async fn exchange_source(&self, key: &IntegrationKey, from: &str) -> Result<Source> {
        if key.grant_type != GrantType::ClientCredentials {
            return Err(Error::invalid_parameter(
                "exchange_needs_a_service",
                "exchange_from is for service grants (client_credentials): nobody signs in to them",
            ));
        }
        let source = self.source(from, key).await?;
        let mut passed = vec![key.clone()];
        let mut next = source.integration.clone();
        loop {
            if passed.contains(&next) {
                let names: Vec<&str> = passed.iter().map(|key| &*key.provider).collect();
                return Err(Error::invalid_parameter(
                    "exchange_cycle",
                    format!(
                        "the token of {} would be made from itself: {} <- {}",
                        next.provider,
                        names.join(" <- "),
                        next.provider
                    ),
                ));
            }
            let row = self.store.integration(&next).await?;
            let from = match &row {
                Some(row) => self.open_as_it_is(&next, Some(row)).await?,
                None => return Ok(source),
            };
            passed.push(next);
            next = match &from.configuration.exchange_from {
                Some(from) => self.source(from, key).await?.integration,
                None => return Ok(source),
            };
        }
    }

    /// A user grant where there is one, else the service grant of the same provider; `about_to` counts as configured.
    async fn source(&self, from: &str, about_to: &IntegrationKey) -> Result<Source> {
        let (provider, connection) = from.split_once('/').unwrap_or((from, "default"));
        crate::engine::open::check_name(connection, "connection")?;
        let id = self.canonical(provider);
        let user = self.key(&id, GrantType::AuthorizationCode);
        let service = self.key(&id, GrantType::ClientCredentials);
        let is_service = self.store.integration(&user).await?.is_none()
            && (service == *about_to || self.store.integration(&service).await?.is_some());
        Ok(Source {
            integration: if is_service { service } else { user },
            connection: connection.to_owned(),
        })
    }
}
