//! The engine: configure, get a token, look, leave. Each verb reads like its paragraph in the manual.
//!
//! A token's journey: `get_token` → `cache` → `refresh` → `store` → `vault` → `oauth` → `http`, and back.

pub mod api;
pub mod cache;
mod complaint;
pub mod config;
pub mod configure;
pub mod due;
mod exchange;
mod extra;
pub mod file;
pub mod flight;
pub mod freshness;
pub mod grant;
mod http_client;
pub mod keys;
pub mod leave;
mod metadata;
pub mod open;
pub mod record;
pub mod refresh;
mod registration;
mod rules;
pub mod runtime;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::engine::cache::{Cache, Slot};
use crate::engine::complaint::quote;
use crate::engine::config::{Integration, Meant};
use crate::engine::flight::Flights;
use crate::engine::freshness::{Freshness, Need, StoredToken, judge};
use crate::engine::http_client::HttpClient;
use crate::engine::keys::Keys;
use crate::engine::refresh::{LeftBehind, Order, Rests};
use crate::engine::rules::Rules;
use crate::engine::runtime::Runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::http;
use crate::model::{ConnectionKey, Grant, GrantType, IntegrationKey};
use crate::provider::catalog::Catalog;
use crate::provider::scope;
use crate::secret::AccessToken;
use crate::store::{Loaded, Store, StoredState};
use crate::system;

/// Keeps the tokens of one workspace fresh.
#[derive(Debug)]
pub struct Engine {
    workspace: Arc<str>,
    store: Arc<dyn Store>,
    keys: Keys,
    clock: Clock,
    catalog: Arc<Catalog>,
    rules: Rules,
    cache: Cache,
    flights: Flights,
    left_behind: LeftBehind,
    rests: Rests,
    http: HttpClient,
    runtime: Runtime,
    /// What has to stand behind `evergrant COMMAND` so that a hint finds this workspace and store.
    command_options: String,
}

/// What a caller asks of [`Engine::get_token`].
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// The provider's id or alias.
    pub provider: String,
    /// The grant type; `None`: the only configured one.
    pub grant_type: Option<GrantType>,
    /// The connection's name.
    pub connection: String,
    /// What the token is for; `None`: the default resource.
    pub resource: Option<String>,
    /// Needed scopes.
    pub scopes: Vec<String>,
    /// The token must live so long.
    pub min_ttl: Option<Duration>,
    /// The token that was refused.
    pub replacing: Option<AccessToken>,
}

impl TokenRequest {
    fn need(&self) -> Need {
        Need {
            min_ttl: self.min_ttl,
            replacing: self.replacing.clone(),
            at_once: false,
        }
    }
}

impl Engine {
    /// A valid access token: from the cache, from the store, or from the provider.
    ///
    /// # Errors
    /// `NotConfigured`, `NotConnected`, `ReauthorizationRequired`, `MissingScopes`, `ProviderRejected`,
    /// `ProviderUnavailable`, `InvalidParameter` for a `min_ttl` no token lives, and store and key errors.
    pub async fn get_token(self: &Arc<Self>, request: &TokenRequest) -> Result<Arc<Slot>> {
        let era = self.look_for_changes().await?;
        if let Some((key, slot)) = self.cached_slot(request)
            && self.suits(&key, &slot, request)
        {
            self.cache.extend(&slot);
            return Ok(slot);
        }
        open::check_name(&request.connection, "connection")?;
        let meant = self.meant(&request.provider, request.grant_type).await?;
        let key = ConnectionKey {
            integration: meant.key.clone(),
            connection: request.connection.as_str().into(),
        };
        let slot = self.token_of(meant, era, &key, request).await;
        let slot = slot.map_err(|error| {
            error
                .of_provider(&key.integration.provider)
                .of_connection(&key.connection)
        })?;
        if request.grant_type.is_none() {
            slot.note_only_grant_type();
        }
        Ok(slot)
    }

    /// The cached token, if this process may hand it out without I/O.
    pub fn cached(&self, request: &TokenRequest) -> Option<Arc<Slot>> {
        let _entered = system::enter();
        let (key, slot) = self.cached_slot(request)?;
        (slot.fresh() && self.suits(&key, &slot, request)).then_some(slot)
    }

    /// `meant` was read in `era` of the cache.
    async fn token_of(
        self: &Arc<Self>,
        mut meant: Meant,
        mut era: u64,
        key: &ConnectionKey,
        request: &TokenRequest,
    ) -> Result<Arc<Slot>> {
        let resource = match &request.resource {
            Some(resource) if meant.row.is_some() => self.resource_of(&meant, resource).await?,
            _ => String::new(),
        };
        let need = request.need();
        let service = key.integration.grant_type == GrantType::ClientCredentials;
        // What was fetched for this very call, the generation before, and whether this call led.
        let mut flown: Option<(Arc<StoredToken>, u64, bool)> = None;
        let mut once_more = true;
        loop {
            let Some(row) = &meant.row else {
                let opened = self.open_integration(&meant.key, None).await;
                return Err(opened.err().unwrap_or_else(|| self.not_connected(key)));
            };
            let revision = service.then_some(row.revision);
            // Before the store is read: another caller may cache what is newer meanwhile.
            let newest = self.cache.newest(key, &resource);
            let loaded = self.store.load(key, &resource).await?;
            if newest > loaded.generation() {
                return Err(self.restored_backup(key));
            }
            self.check_state(key, &loaded, service).await?;
            let stored = self.open_token(key, &loaded).await?;
            if let Some(stored) = &stored
                && !service
                && stored.token.revision != row.revision
            {
                self.check_identity(&meant, key, &loaded).await?;
            }
            let freshness = judge(
                stored.as_deref(),
                key,
                &need,
                revision,
                self.now_of(stored.as_deref()),
            );
            tracing::debug!(provider = %key.integration.provider, connection = %key.connection,
                freshness = freshness.as_str(), "judged");
            if let (Some(stored), true) = (&stored, freshness.serves()) {
                self.check_scopes(&meant, key, &loaded, stored, &request.scopes)
                    .await?;
                if freshness == Freshness::Expiring {
                    self.refresh_in_background(key, &resource, &loaded);
                }
                return Ok(self
                    .cache
                    .put(key, Arc::clone(stored), loaded.generation(), era));
            }
            if let (Some(min_ttl), Some(lifetime)) = (
                request.min_ttl,
                stored.as_ref().and_then(|stored| stored.lifetime()),
            ) && freshness == Freshness::BelowMinTtl
                && min_ttl > lifetime
            {
                return Err(self.min_ttl_too_long(min_ttl, lifetime));
            }
            if let Some((fetched, before, led)) = flown
                && freshness != Freshness::Reconfigured
                && (loaded.generation() == before || stored.as_deref() == Some(&*fetched))
            {
                let now = self.now_of(Some(&fetched));
                let short = matches!(
                    judge(Some(&fetched), key, &need, revision, now),
                    Freshness::Expired | Freshness::BelowMinTtl
                );
                if !(short && fetched.outlives(&need) && (once_more || !led)) {
                    // A lifetime of zero serves those who waited. One that another grant has replaced serves nobody.
                    let stored = fetched;
                    self.check_scopes(&meant, key, &loaded, &stored, &request.scopes)
                        .await?;
                    return Ok(self.cache.put(key, stored, loaded.generation(), era));
                }
                // The machine slept while the reply was under way, and the token is over, or nearly so; or another's
                // flight adopted a token that is older than this call, and too short for it.
                once_more &= !led;
            }
            let order = Order {
                key: key.clone(),
                resource: resource.clone(),
                reason: freshness,
                need: need.clone(),
            };
            let seat = self
                .flights
                .board(key, &resource, || refresh::refresh(Arc::clone(self), order));
            let (same_resource, leads) = (seat.same_resource, seat.leads);
            flown = None;
            match seat.landed().await {
                _ if !same_resource => {}
                Ok(landed) if Some(&landed.token.value) != request.replacing.as_ref() => {
                    flown = Some((landed, loaded.generation(), leads));
                }
                // Another's flight may have begun before the token was refused.
                Ok(_) if !leads => {}
                Ok(_) => return Err(self.token_reissued(key)),
                Err(error) => {
                    return match stored {
                        Some(stored)
                            if self.serves_meanwhile(&stored, freshness, request, &error) =>
                        {
                            self.check_scopes(&meant, key, &loaded, &stored, &request.scopes)
                                .await?;
                            Ok(self.cache.put(key, stored, loaded.generation(), era))
                        }
                        _ => Err(error),
                    };
                }
            }
            // The configuration may have changed during the flight, and the token be one of the old.
            era = self.look_for_changes().await?;
            let grant_type = Some(key.integration.grant_type);
            meant = self.meant(&key.integration.provider, grant_type).await?;
        }
    }

    /// The cached token of this name; none when no grant type was named and the cached one may not be the only one.
    fn cached_slot(&self, request: &TokenRequest) -> Option<(ConnectionKey, Arc<Slot>)> {
        let grant_types: &[GrantType] = match &request.grant_type {
            Some(grant_type) => std::slice::from_ref(grant_type),
            None => &[GrantType::AuthorizationCode, GrantType::ClientCredentials],
        };
        let provider = self.canonical(&request.provider);
        let mut found = grant_types.iter().filter_map(|grant_type| {
            let key = ConnectionKey {
                integration: self.key(&provider, *grant_type),
                connection: request.connection.as_str().into(),
            };
            let slot = self
                .cache
                .get(&key, request.resource.as_deref().unwrap_or_default())?;
            let named = request.grant_type.is_some() || slot.is_of_only_grant_type();
            named.then_some((key, slot))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Whether a cached token needs no further look.
    fn suits(&self, key: &ConnectionKey, slot: &Slot, request: &TokenRequest) -> bool {
        let need = request.need();
        judge(
            Some(&slot.stored),
            key,
            &need,
            None,
            slot.stored.now(&self.clock),
        ) == Freshness::Fresh
            && request
                .scopes
                .iter()
                .all(|scope| slot.stored.token.scopes.contains(scope))
    }

    /// Looks at the store's change counter when the last look is a second old; answers with the cache's era.
    async fn look_for_changes(&self) -> Result<u64> {
        if !self.cache.looked_lately() {
            let counter = self.store.changed().await?;
            self.cache.looked(counter);
        }
        Ok(self.cache.era())
    }

    /// Whether a token that is no longer good enough for the margin still serves while the provider is away.
    fn serves_meanwhile(
        &self,
        stored: &StoredToken,
        freshness: Freshness,
        request: &TokenRequest,
        error: &Error,
    ) -> bool {
        let transient = matches!(
            error.kind(),
            ErrorKind::ProviderUnavailable { .. } | ErrorKind::Store
        ) || matches!(error.code(), "reply_not_json" | "no_refresh_token");
        let lives = match freshness {
            Freshness::BelowMinTtl => !stored.used_up(stored.now(&self.clock)),
            Freshness::Unknown => true,
            _ => false,
        };
        transient && lives && request.min_ttl.is_none()
    }

    fn refresh_in_background(
        self: &Arc<Self>,
        key: &ConnectionKey,
        resource: &str,
        loaded: &Loaded,
    ) {
        let resting = loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .is_some_and(|ending| ending.rest(self.clock.wall()).is_some());
        if resting {
            return;
        }
        let order = Order {
            key: key.clone(),
            resource: resource.to_owned(),
            reason: Freshness::Expiring,
            need: Need::default(),
        };
        self.flights
            .board(key, resource, || refresh::refresh(Arc::clone(self), order));
    }

    /// Whether the connection's state allows a token at all.
    async fn check_state(
        self: &Arc<Self>,
        key: &ConnectionKey,
        loaded: &Loaded,
        service: bool,
    ) -> Result<()> {
        match loaded.connection.as_ref().map(|row| row.state) {
            Some(StoredState::Connected) => Ok(()),
            Some(StoredState::ReauthorizationRequired) => {
                let grant = self.open_grant(key, loaded).await?;
                Err(self.reauthorization_required(key, grant.as_ref()))
            }
            Some(StoredState::Disconnecting) => {
                // Its process died in the middle: nobody gets tokens, and the next verb that leaves finishes it.
                let error = self.not_connected(key);
                Err(match service {
                    true => error.hint(self.command(&format!(
                        "disconnect {} --grant-type client_credentials --connection {}",
                        key.integration.provider,
                        quote(&key.connection)
                    ))),
                    false => error,
                })
            }
            None | Some(StoredState::Disconnected) if service => Ok(()),
            None | Some(StoredState::Disconnected) => {
                Err(self.not_connected_naming_others(key).await)
            }
        }
    }

    /// Whether the grant belongs to the client and the server that are configured now.
    async fn check_identity(
        &self,
        meant: &Meant,
        key: &ConnectionKey,
        loaded: &Loaded,
    ) -> Result<()> {
        let (integration, grant) = match self.open_grant(key, loaded).await? {
            Some(grant) => (
                self.open_integration(&meant.key, meant.row.as_ref())
                    .await?,
                grant,
            ),
            None => return Ok(()),
        };
        self.same_client(&integration, &grant, key)
    }

    /// A refresh token goes only to the endpoint and client it was issued for.
    pub(crate) fn same_client(
        &self,
        integration: &Integration,
        grant: &Grant,
        key: &ConnectionKey,
    ) -> Result<()> {
        let spec = self.spec_of(integration, &grant.kept)?;
        let token_endpoint = spec.endpoints.token_endpoint.as_deref();
        let issuer_differs = match (&grant.issuer, &spec.endpoints.issuer) {
            (Some(granted), Some(configured)) => granted != configured,
            _ => false,
        };
        let what = if grant.client_id != integration.client_id() {
            "client id"
        } else if grant.token_endpoint != token_endpoint.unwrap_or_default() {
            "token endpoint"
        } else if issuer_differs {
            "issuer"
        } else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::ReauthorizationRequired {
                error: None,
                description: None,
            },
            "client_changed",
            format!(
                "{} was connected with another {what} than the one configured now",
                key.integration.provider
            ),
        )
        .hint(self.connect_command(key, true)))
    }

    async fn check_scopes(
        &self,
        meant: &Meant,
        key: &ConnectionKey,
        loaded: &Loaded,
        stored: &StoredToken,
        needed: &[String],
    ) -> Result<()> {
        if needed
            .iter()
            .all(|scope| stored.token.scopes.contains(scope))
        {
            return Ok(());
        }
        let integration = self
            .open_integration(&meant.key, meant.row.as_ref())
            .await?;
        let spec = integration.spec()?;
        let missing: Vec<String> = needed
            .iter()
            .filter(|needed| !scope::covers(&stored.token.scopes, needed, &spec))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let grant = self.open_grant(key, loaded).await?;
        let (asked, granted) = match grant {
            Some(grant) => (grant.requested_scopes, grant.granted_scopes),
            None => (Vec::new(), stored.token.scopes.clone()),
        };
        // The command keeps what was asked for beyond the integration's scopes before.
        let kept: Vec<String> = match key.integration.grant_type {
            GrantType::AuthorizationCode => {
                let anyhow = self.requested_scopes(&integration, &spec, &[]);
                asked
                    .into_iter()
                    .filter(|scope| scope::covers(&granted, scope, &spec))
                    .filter(|scope| !anyhow.contains(scope))
                    .collect()
            }
            GrantType::ClientCredentials => integration.configuration.scopes.clone(),
        };
        let mut union = granted;
        union.extend(missing.iter().cloned());
        let flags: String = kept
            .iter()
            .chain(missing.iter().filter(|scope| !kept.contains(scope)))
            .map(|scope| format!(" --scope {}", quote(scope)))
            .collect();
        let hint = match key.integration.grant_type {
            GrantType::AuthorizationCode => format!("{}{flags}", self.connect_command(key, false)),
            GrantType::ClientCredentials => self.command(&format!(
                "configure {} --grant-type client_credentials{flags}",
                key.integration.provider
            )),
        };
        Err(Error::new(
            ErrorKind::MissingScopes {
                missing: missing.clone(),
                union,
            },
            "missing_scopes",
            format!(
                "{} was not granted {}",
                key.integration.provider,
                missing.join(", ")
            ),
        )
        .hint(hint))
    }

    /// The name under which a resource's token is kept: empty for the default one, however it is written.
    async fn resource_of(&self, meant: &Meant, resource: &str) -> Result<String> {
        let integration = self
            .open_integration(&meant.key, meant.row.as_ref())
            .await?;
        let spec = integration.spec()?;
        let Some(rules) = &spec.resource else {
            if spec.user_endpoints {
                // Nothing is known of the server, so it is taken to follow RFC 8707. What can't be a resource there is
                // not sent: some servers spend the refresh token before they look at it.
                return match url::Url::parse(resource) {
                    Ok(url) if url.fragment().is_none() => Ok(resource.to_owned()),
                    _ => Err(Error::invalid_parameter(
                        "invalid_resource",
                        "a resource is an absolute URI without a fragment (RFC 8707 section 2)",
                    )),
                };
            }
            return Err(Error::invalid_parameter(
                "resource_not_supported",
                format!("{} has one resource only: leave resource out", spec.name),
            ));
        };
        let default = rules.default.as_deref() == Some(resource)
            || rules.aliases.iter().any(|alias| alias == resource);
        Ok(if default {
            String::new()
        } else {
            resource.to_owned()
        })
    }
}

/// Its parts.
impl Engine {
    /// The workspace's name.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Where the store is.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// The clock of this engine.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The instant to judge a token by.
    fn now_of(&self, stored: Option<&StoredToken>) -> Timestamp {
        stored.map_or_else(|| self.clock.wall(), |stored| stored.now(&self.clock))
    }

    /// The catalogue of providers.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where its flights run.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The HTTP client of this process.
    pub(crate) fn http(&self) -> Arc<http::Client> {
        self.http.client()
    }

    /// An integration's key in this workspace.
    pub(crate) fn key(&self, provider: &str, grant_type: GrantType) -> IntegrationKey {
        IntegrationKey {
            workspace: Arc::clone(&self.workspace),
            provider: provider.into(),
            grant_type,
        }
    }

    /// The id of an alias; anything else as it is.
    pub(crate) fn canonical(&self, provider: &str) -> String {
        self.catalog.id(provider).unwrap_or(provider).to_owned()
    }
}
