//! What a request to a provider's API needs beside the token: the hosts that may get it, and what a reply means for it.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::Result;
use crate::http::Reply;
use crate::model::{ConnectionKey, GrantType};
pub(crate) use crate::oauth::clean;
use crate::oauth::signal;
use crate::provider::{Meaning, Spec};

impl Engine {
    /// The rules of a connection: those of its integration, with what its sign-in kept.
    ///
    /// # Errors
    /// `NotConfigured`, and store and key errors.
    pub async fn rules_of(
        &self,
        provider: &str,
        grant_type: GrantType,
        connection: &str,
    ) -> Result<Arc<Spec>> {
        let meant = self.meant(provider, Some(grant_type)).await?;
        let key = ConnectionKey {
            integration: meant.key.clone(),
            connection: connection.into(),
        };
        let loaded = self.store.load(&key, "").await?;
        let kept = match self.open_grant(&key, &loaded).await? {
            Some(grant) => grant.kept,
            None => Default::default(),
        };
        let integration = self
            .open_integration(&meant.key, meant.row.as_ref())
            .await?;
        self.spec_of(&integration, &kept)
    }
}

/// Whether the reply of an API says that the token is used up: it has to be replaced.
pub(crate) fn is_refusal(spec: &Spec, reply: &Reply) -> bool {
    signal::read(spec, reply) == Some(Meaning::Expired)
}
