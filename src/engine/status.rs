//! Looking: what is known without asking the network, and `test`, which asks.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::config::{Integration, Meant};
use crate::engine::exchange;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, Grant, GrantType, Report, State, Status};
use crate::oauth::response::Outcome;
use crate::oauth::{self, account::Probe, introspection};
use crate::provider::{Spec, scope};
use crate::secret::AccessToken;
use crate::store::{ConnectionRow, Loaded, StoredState};
use crate::vault::{Kind, Subject};

/// How many connections are read from the store at a time.
const PAGE: usize = 500;

impl Engine {
    /// The state of a connection, without the network. An id that is neither in the catalogue nor configured is
    /// `UnknownProvider`; anything else is a state.
    pub async fn status(
        &self,
        provider: &str,
        grant_type: Option<GrantType>,
        connection: &str,
    ) -> Result<Status> {
        let meant = self.meant(provider, grant_type).await?;
        let key = ConnectionKey {
            integration: meant.key.clone(),
            connection: connection.into(),
        };
        let loaded = self.store.load(&key, "").await?;
        self.status_of(&meant, &key, &loaded).await
    }

    /// The integrations of this workspace, each with the state of its `default` connection.
    pub async fn integrations(&self) -> Result<Vec<Status>> {
        let mut statuses = Vec::new();
        for row in self.store.integrations(&self.workspace).await? {
            let key = ConnectionKey {
                integration: row.key.clone(),
                connection: "default".into(),
            };
            let loaded = self.store.load(&key, "").await?;
            let meant = Meant {
                key: row.key.clone(),
                row: Some(row),
            };
            statuses.push(self.status_of(&meant, &key, &loaded).await?);
        }
        Ok(statuses)
    }

    /// The connections of this workspace, or of one provider, in the order of their names.
    pub async fn connections(
        &self,
        provider: Option<&str>,
        grant_type: Option<GrantType>,
    ) -> Result<Vec<Status>> {
        let wanted = match provider {
            Some(provider) if grant_type.is_some() => {
                Some(self.meant(provider, grant_type).await?.key)
            }
            Some(provider) => {
                let id = self.canonical(provider);
                if self
                    .store
                    .integrations(&self.workspace)
                    .await?
                    .iter()
                    .all(|row| *row.key.provider != *id)
                {
                    self.catalog.find(&id)?;
                }
                None
            }
            None => None,
        };
        let provider = provider.map(|provider| self.canonical(provider));
        let mut statuses = Vec::new();
        for row in self.all_connections(wanted.as_ref()).await? {
            let integration = &row.key.integration;
            if provider
                .as_deref()
                .is_none_or(|provider| provider == &*integration.provider)
                && grant_type.is_none_or(|grant_type| grant_type == integration.grant_type)
            {
                let meant = self
                    .meant(&integration.provider, Some(integration.grant_type))
                    .await?;
                let loaded = self.store.load(&row.key, "").await?;
                statuses.push(self.status_of(&meant, &row.key, &loaded).await?);
            }
        }
        Ok(statuses)
    }

    /// Every connection that is no tombstone.
    pub(crate) async fn all_connections(
        &self,
        integration: Option<&crate::model::IntegrationKey>,
    ) -> Result<Vec<ConnectionRow>> {
        let mut rows: Vec<ConnectionRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.key.clone());
            let page = self
                .store
                .list(&self.workspace, integration, after.as_ref(), PAGE)
                .await?;
            let last = page.len() < PAGE;
            rows.extend(page);
            if last {
                return Ok(rows);
            }
        }
    }

    /// Asks the provider whether an integration works. A service grant asks the token endpoint and stores nothing; a
    /// user grant sends the provider file's account request with the stored token, never a refresh.
    pub async fn test(
        self: &Arc<Self>,
        provider: &str,
        grant_type: Option<GrantType>,
        connection: &str,
    ) -> Result<Report> {
        let meant = self.meant(provider, grant_type).await?;
        let key = ConnectionKey {
            integration: meant.key.clone(),
            connection: connection.into(),
        };
        let integration = self
            .open_integration(&meant.key, meant.row.as_ref())
            .await
            .map_err(|error| error.of_provider(&meant.key.provider))?;
        let mut report = Report::begin();
        report.step(
            "configuration",
            true,
            format!("client id {}", integration.client_id()),
        );
        match key.integration.grant_type {
            GrantType::ClientCredentials => self.test_service(&integration, &mut report).await?,
            GrantType::AuthorizationCode => self.test_user(&integration, &key, &mut report).await?,
        }
        Ok(report)
    }

    async fn test_service(
        self: &Arc<Self>,
        integration: &Integration,
        report: &mut Report,
    ) -> Result<()> {
        let spec = integration.spec()?;
        let client = integration.client(&spec);
        let scopes = self.requested_scopes(integration, &spec, &[]);
        let (http, clock) = (self.http(), &self.clock);
        let outcome = match &integration.configuration.exchange_from {
            None => {
                oauth::token::client_credentials(&http, &spec, client, &scopes, "", clock).await
            }
            Some(from) => {
                let source = self.exchange_source(&integration.key, from).await?;
                let subject = exchange::subject_token(Arc::clone(self), source).await?;
                oauth::token::exchange_token(&http, &spec, client, &subject, &scopes, "", clock)
                    .await
            }
        };
        let (error, reason) = match outcome {
            Outcome::Issued(issued) => {
                report.step(
                    "token endpoint",
                    true,
                    "issued a token, which was thrown away",
                );
                let token = &issued.token.value;
                let hint = self.command(&format!("status {}", integration.key.provider));
                self.introspect(&spec, client, token, hint, report).await;
                return Ok(());
            }
            Outcome::Unusable { rule, .. } => (None, rule),
            Outcome::Refused { error, reason, .. } => (Some(error), reason),
            Outcome::NotProcessed { error, reason, .. } => (error, reason),
            Outcome::Unknown { reason, .. } => (None, reason),
        };
        report.step("token endpoint", false, reason.clone());
        report.reason = Some(reason);
        report.hint = Some(match error.as_deref() {
            Some("invalid_client" | "unauthorized_client") => self.command(&format!(
                "configure {} --grant-type client_credentials --client-secret-stdin",
                integration.key.provider
            )),
            _ => self.command(&format!("status {}", integration.key.provider)),
        });
        Ok(())
    }

    async fn test_user(
        &self,
        integration: &Integration,
        key: &ConnectionKey,
        report: &mut Report,
    ) -> Result<()> {
        let loaded = self.store.load(key, "").await?;
        if loaded.connection.as_ref().map(|row| row.state) != Some(StoredState::Connected) {
            let status = self.status(
                &key.integration.provider,
                Some(key.integration.grant_type),
                &key.connection,
            );
            let status = status.await?;
            report.step("connection", false, "not connected");
            report.reason = status
                .reason
                .or_else(|| Some("there is no grant to test".to_owned()));
            report.hint = status.hint;
            return Ok(());
        }
        report.step("connection", true, "holds a grant");
        let grant = self.open_grant(key, &loaded).await?;
        let spec = integration.spec_with(&grant.map(|grant| grant.kept).unwrap_or_default())?;
        let Some(stored) = self.open_token(key, &loaded).await? else {
            report.step("account", true, "not asked: no access token is stored");
            return Ok(());
        };
        if stored.used_up(stored.now(&self.clock)) {
            report.step(
                "account",
                true,
                "not asked: the stored access token is over, and a test never refreshes",
            );
            return Ok(());
        }
        let client = integration.client(&spec);
        match oauth::account::probe(&self.http(), &spec, client, &stored.token, &self.clock).await {
            Ok(Probe::Accepted(account)) => {
                report.step(
                    "account",
                    true,
                    account
                        .label()
                        .unwrap_or("the provider accepted the token")
                        .to_owned(),
                );
            }
            Ok(Probe::NotAsked) => report.step(
                "account",
                true,
                "not asked: the provider file names no request",
            ),
            Ok(Probe::Refused { reason, .. }) => {
                report.step("account", false, reason.clone());
                report.reason = Some(reason);
                report.hint = Some(self.connect_command(key, true));
                return Ok(());
            }
            Err(error) => {
                report.step("account", false, error.reason().to_owned());
                report.reason = Some(error.reason().to_owned());
                report.hint = Some(self.command(&format!("test {}", key.integration.provider)));
                return Ok(());
            }
        }
        let (token, hint) = (&stored.token.value, self.connect_command(key, true));
        self.introspect(&spec, client, token, hint, report).await;
        Ok(())
    }

    /// Asks the authorization server itself about a token (RFC 7662), where it can be asked.
    async fn introspect(
        &self,
        spec: &Spec,
        client: oauth::Client<'_>,
        token: &AccessToken,
        hint: String,
        report: &mut Report,
    ) {
        if !introspection::is_offered(spec, &client) {
            return;
        }
        let http = self.http();
        let told = introspection::introspect(&http, spec, client, token, &self.clock);
        let reason = match told.await {
            Ok(told) if told.active => {
                let detail = match told.expires_at {
                    Some(end) => {
                        let seconds = end.since(self.clock.wall()).as_secs();
                        format!("the token is valid for {} min", seconds / 60)
                    }
                    None => "the token is valid".to_owned(),
                };
                report.step("introspection", true, detail);
                return;
            }
            Ok(_) => format!("{} says that the token is not valid", spec.name),
            // Not every client may ask: that says nothing of the token.
            Err(error) if matches!(*error.kind(), ErrorKind::ProviderRejected { .. }) => {
                report.step("introspection", true, error.reason().to_owned());
                return;
            }
            Err(error) => error.reason().to_owned(),
        };
        report.step("introspection", false, reason.clone());
        report.reason = Some(reason);
        report.hint = Some(hint);
    }

    /// Base and additional scopes, and those asked for one connection.
    pub(crate) fn requested_scopes(
        &self,
        integration: &Integration,
        spec: &Spec,
        more: &[String],
    ) -> Vec<String> {
        scope::requested(spec, &integration.configuration.scopes, more)
    }

    async fn status_of(
        &self,
        meant: &Meant,
        key: &ConnectionKey,
        loaded: &Loaded,
    ) -> Result<Status> {
        let mut status = Status {
            provider: key.integration.provider.to_string(),
            grant_type: Some(key.integration.grant_type),
            connection: key.connection.to_string(),
            state: State::NotConfigured,
            client_id: None,
            redirect_uri: None,
            requested_scopes: Vec::new(),
            granted_scopes: Vec::new(),
            missing_scopes: Vec::new(),
            account: None,
            expires_at: None,
            refreshed_at: None,
            last_error: None,
            reason: None,
            hint: None,
        };
        let row = meant.row.as_ref();
        let integration = match self.open_as_it_is(&meant.key, row).await {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotConfigured)
                    || error.code() == "record_damaged" =>
            {
                status.reason = Some(error.reason().to_owned());
                status.hint = error.next_command().map(str::to_owned);
                return Ok(status);
            }
            opened => opened?,
        };
        if integration.configuration.discovery_due {
            let issuer = integration
                .configuration
                .issuer
                .as_deref()
                .unwrap_or_default();
            status.state = State::Configured;
            status.client_id = Some(integration.client_id().to_owned());
            status.reason = Some(format!("the first use fetches the metadata of {issuer}"));
            status.hint = Some(self.command(&format!("test {}", key.integration.provider)));
            return Ok(status);
        }
        let spec = integration.spec()?;
        let user = key.integration.grant_type == GrantType::AuthorizationCode;
        status.state = State::Configured;
        status.client_id = Some(integration.client_id().to_owned());
        status.redirect_uri = user.then(|| integration.redirect_uri(&spec));
        status.requested_scopes = self.requested_scopes(&integration, &spec, &[]);
        let note = match loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
        {
            Some(ending) => match &ending.note {
                Some(sealed) => {
                    let note = self.open::<crate::engine::record::Note>(
                        Subject::Connection(key),
                        Kind::Note,
                        "",
                        sealed,
                    );
                    note.await.ok()
                }
                None => None,
            },
            None => None,
        };
        status.last_error = note.as_ref().map(|note| note.reason.clone());
        let connection = loaded.connection.as_ref();
        let grant = match self.open_grant(key, loaded).await {
            Err(error) if error.code() == "record_damaged" => {
                status.state = State::ReauthorizationRequired;
                status.reason = Some(error.reason().to_owned());
                status.hint = error.next_command().map(str::to_owned);
                return Ok(status);
            }
            opened => opened?,
        };
        if let (Some(connection), Some(grant)) = (connection, &grant) {
            self.describe_grant(&mut status, key, connection, grant, &spec, &integration);
            if let (Some(_), Ok(Some(token))) =
                (status.expires_at, self.open_token(key, loaded).await)
            {
                status.expires_at = token.ends_at(&self.clock);
            }
        }
        if !user
            && note
                .is_some_and(|note| note.error.is_some() && note.revision == integration.revision)
        {
            // A service grant whose secret is refused is configured, no more.
            status.state = State::Configured;
            status.reason = status.last_error.clone();
            status.hint = Some(self.command(&format!(
                "configure {} --grant-type client_credentials --client-secret-stdin",
                key.integration.provider
            )));
        } else if status.state == State::Configured {
            status.hint = Some(self.connect_command(key, false));
        }
        if status.reason.is_none() {
            status.reason = self.sunset(&integration);
        }
        Ok(status)
    }

    fn describe_grant(
        &self,
        status: &mut Status,
        key: &ConnectionKey,
        row: &ConnectionRow,
        grant: &Grant,
        spec: &Spec,
        integration: &Integration,
    ) {
        status.granted_scopes.clone_from(&grant.granted_scopes);
        status.missing_scopes = status
            .requested_scopes
            .iter()
            .filter(|scope| !scope::covers(&grant.granted_scopes, scope, spec))
            .cloned()
            .collect();
        status.account = grant.account.label().map(str::to_owned);
        status.expires_at = row.expires_at;
        status.refreshed_at = row.refreshed_at;
        let refused: Option<Error> = match row.state {
            StoredState::ReauthorizationRequired => {
                Some(self.reauthorization_required(key, Some(grant)))
            }
            StoredState::Connected
                if key.integration.grant_type == GrantType::AuthorizationCode =>
            {
                self.same_client(integration, grant, key).err()
            }
            StoredState::Connected => None,
            StoredState::Disconnecting | StoredState::Disconnected => return,
        };
        status.state = if refused.is_some() {
            State::ReauthorizationRequired
        } else {
            State::Connected
        };
        if let Some(error) = refused {
            status.reason = Some(error.reason().to_owned());
            status.last_error = Some(error.reason().to_owned());
            status.hint = error.next_command().map(str::to_owned);
        } else if !status.missing_scopes.is_empty() {
            let ends = self.ends_by_itself(key, grant, row.expires_at, spec);
            status.reason =
                Some(ends.unwrap_or_else(|| "the provider granted less than was asked".to_owned()));
            status.hint = Some(self.connect_command(key, true));
        } else {
            status.reason = self.ends_by_itself(key, grant, row.expires_at, spec);
        }
    }

    /// What the vendor ends soon, by the dated notes of its file.
    fn sunset(&self, integration: &Integration) -> Option<String> {
        const SOON: Duration = Duration::from_secs(90 * 86_400);
        let now = self.clock.wall();
        let sunsets = integration.provider.sunsets.iter();
        let soon = sunsets.filter(|sunset| {
            let day = Timestamp::from_millis(sunset.millis());
            day.before(SOON) <= now && now < day
        });
        let next = soon.min_by_key(|sunset| sunset.millis())?;
        Some(format!(
            "{} announced an end on {}: {}; {}",
            integration.provider.name, next.date, next.what, next.action
        ))
    }

    /// A warning where the grant can't be renewed, or soon no more.
    fn ends_by_itself(
        &self,
        key: &ConnectionKey,
        grant: &Grant,
        expires_at: Option<Timestamp>,
        spec: &Spec,
    ) -> Option<String> {
        const SOON: Duration = Duration::from_secs(7 * 86_400);
        let now = self.clock.wall();
        match grant.refresh_expires_at {
            Some(ends) if ends.before(SOON) <= now => Some(format!(
                "the grant ends in {} h: connect again before",
                ends.since(now).as_secs() / 3600
            )),
            _ if key.integration.grant_type == GrantType::AuthorizationCode
                && grant.refresh_token.is_none()
                && expires_at.is_some() =>
            {
                let rules = spec.refresh.as_ref();
                if rules.is_some_and(|refresh| refresh.uses_access_token) {
                    return None;
                }
                let mut words =
                    "the provider gave no refresh token: it ends with its access token".to_owned();
                let app = rules.and_then(|refresh| refresh.requires_app_setting.as_deref());
                if let Some(setting) = app {
                    words.push_str(&format!("; what brings one is {setting}"));
                }
                Some(words)
            }
            _ => None,
        }
    }
}
