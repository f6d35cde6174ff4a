//! A store that can't be written serves what has nothing to lose: service grants, and grants that never rotate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Lead;
use super::reply::stored_token;
use crate::clock::Monotonic;
use crate::engine::freshness::{self, StoredToken};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ConnectionKey;
use crate::oauth::response::Outcome;

/// Failures that no store could note: this process rests on its own.
#[derive(Debug, Default)]
pub(crate) struct Rests(Mutex<HashMap<ConnectionKey, Rest>>);

#[derive(Clone, Debug)]
struct Rest {
    failures: u32,
    until: Monotonic,
    /// A later configuration may try at once.
    revision: u64,
    error: Error,
}

impl Lead<'_> {
    /// Refreshes without a claim or a commit; a failure is kept in mind until its rest is over.
    pub(super) async fn unrecorded(&self) -> Result<Arc<StoredToken>> {
        let rests = || {
            let rests = &self.engine.rests.0;
            rests.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let key = &self.order.key;
        let now = self.engine.clock.monotonic();
        let before = rests().get(key).cloned();
        if let Some(rest) = &before
            && rest.until > now
            && rest.revision == self.integration.revision
        {
            return Err(match rest.error.kind() {
                ErrorKind::ProviderUnavailable { .. } => {
                    let reason = rest.error.reason().to_owned();
                    self.unavailable(reason, Some(rest.until.since(now)))
                }
                _ => rest.error.clone(),
            });
        }
        match self.ask().await {
            Ok(token) => {
                rests().remove(key);
                Ok(token)
            }
            Err(error) => {
                let failures = before.map_or(0, |rest| rest.failures) + 1;
                let asked = match error.kind() {
                    ErrorKind::ProviderUnavailable { retry_after } => *retry_after,
                    _ => None,
                };
                let pause = freshness::back_off(failures, asked, self.engine.runtime.fraction());
                let rest = Rest {
                    failures,
                    until: self.engine.clock.monotonic().after(pause),
                    revision: self.integration.revision,
                    error: error.clone(),
                };
                rests().insert(key.clone(), rest);
                Err(error)
            }
        }
    }

    async fn ask(&self) -> Result<Arc<StoredToken>> {
        match self.send(None).await {
            Outcome::Issued(issued) => {
                let grant = self
                    .grant
                    .clone()
                    .unwrap_or_else(|| self.service_grant(self.engine.clock.wall()));
                let mut token = issued.token;
                token.revision = self.integration.revision;
                token.resource.clone_from(&self.order.resource);
                token.scopes = issued
                    .granted_scopes
                    .unwrap_or_else(|| grant.granted_scopes.clone());
                Ok(Arc::new(stored_token(
                    token,
                    &grant,
                    &self.spec,
                    &self.engine.clock,
                )))
            }
            Outcome::Unusable { rule, .. } => Err(self.rejected("reply_unusable", rule)),
            Outcome::Refused {
                error,
                description,
                reason,
                ..
            } => Err(self.resource_refused(error, description, reason)),
            Outcome::NotProcessed {
                error,
                description,
                condemns,
                reason,
                retry_after,
                ..
            } => Err(self.not_processed(
                error,
                description,
                condemns,
                reason,
                retry_after.unwrap_or(Duration::ZERO),
            )),
            Outcome::Unknown { reason, .. } => Err(self.unavailable(reason, None)),
        }
    }
}
