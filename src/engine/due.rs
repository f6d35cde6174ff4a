//! `refresh`: one connection now, or all that are due within a lead.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::freshness::{Freshness, Need, judge};
use crate::engine::refresh::{self, Order};
use crate::engine::{Engine, TokenRequest, open};
use crate::error::Result;
use crate::model::{ConnectionKey, GrantType, Report};
use crate::store::StoredState;

impl Engine {
    /// Refreshes a connection now, whatever its token's age.
    pub async fn refresh_now(
        self: &Arc<Self>,
        provider: &str,
        grant_type: Option<GrantType>,
        connection: &str,
    ) -> Result<Report> {
        open::check_name(connection, "connection")?;
        let integration = self.integration(provider, grant_type).await?;
        let key = ConnectionKey {
            integration: integration.key,
            connection: connection.into(),
        };
        let mut report = Report::begin();
        self.refresh_into(&key, Freshness::Asked, &mut report).await;
        Ok(report)
    }

    /// Refreshes every connection whose token is due, or will be within `lead`.
    pub async fn refresh_due(self: &Arc<Self>, lead: Duration) -> Result<Report> {
        let mut report = Report::begin();
        for row in self.all_connections(None).await? {
            if row.state != StoredState::Connected {
                continue;
            }
            let loaded = self.store.load(&row.key, "").await?;
            // A record that does not open is one step that failed, and stands in no other's way.
            let stored = match self.open_token(&row.key, &loaded).await {
                Ok(stored) => stored,
                Err(error) => {
                    let what = format!("{}/{}", row.key.integration.provider, row.key.connection);
                    report.step(what, false, error.reason().to_owned());
                    continue;
                }
            };
            let then = self.now_of(stored.as_deref()).after(lead);
            let freshness = judge(stored.as_deref(), &row.key, &Need::default(), None, then);
            if freshness != Freshness::Fresh {
                self.refresh_into(&row.key, freshness, &mut report).await;
            }
        }
        if report.steps.is_empty() {
            report.step("refresh", true, "nothing is due");
        }
        Ok(report)
    }

    async fn refresh_into(
        self: &Arc<Self>,
        key: &ConnectionKey,
        reason: Freshness,
        report: &mut Report,
    ) {
        let order = Order {
            key: key.clone(),
            resource: String::new(),
            reason,
            need: Need {
                at_once: true,
                ..Need::default()
            },
        };
        let what = format!("{}/{}", key.integration.provider, key.connection);
        let landed = loop {
            let seat = self.flights.board(key, "", || {
                refresh::refresh(Arc::clone(self), order.clone())
            });
            let same_resource = seat.same_resource;
            let landed = seat.landed().await;
            if same_resource {
                break landed;
            }
        };
        match landed {
            Ok(stored) => {
                // Whoever asked for a new token does not want the cached one.
                self.cache.drop_connection(key);
                let lives = stored.token.expires_at.map_or_else(
                    || "it names no expiry".to_owned(),
                    |expires_at| {
                        format!(
                            "its new token lives {} s",
                            expires_at.since(self.clock.wall()).as_secs()
                        )
                    },
                );
                report.step(what, true, lives);
            }
            Err(error) => {
                report.step(what, false, error.reason().to_owned());
                report
                    .reason
                    .get_or_insert_with(|| error.reason().to_owned());
                if report.hint.is_none() {
                    report.hint = error.next_command().map(str::to_owned);
                }
            }
        }
    }

    /// "Fetch token": a service grant's connect. With `again` a new one is fetched whatever the stored one's age.
    pub(crate) async fn fetch_token(
        self: &Arc<Self>,
        key: &ConnectionKey,
        again: bool,
    ) -> Result<()> {
        let (provider, grant_type) = (&key.integration.provider, key.integration.grant_type);
        let state = self
            .store
            .load(key, "")
            .await?
            .connection
            .map(|row| row.state);
        if state == Some(StoredState::Disconnecting) {
            // A disconnect that was killed is finished first: it holds every token back.
            self.disconnect(provider, Some(grant_type), &key.connection, true)
                .await?;
        }
        if again {
            let report = self
                .refresh_now(
                    &key.integration.provider,
                    Some(key.integration.grant_type),
                    &key.connection,
                )
                .await?;
            if report.ok {
                return Ok(());
            }
        }
        let request = TokenRequest {
            provider: key.integration.provider.to_string(),
            grant_type: Some(key.integration.grant_type),
            connection: key.connection.to_string(),
            ..TokenRequest::default()
        };
        self.get_token(&request).await.map(drop)
    }
}
