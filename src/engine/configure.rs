//! `configure`: what a caller gives is laid over what is stored, checked, and stored if it differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::engine::Engine;
use crate::engine::keys::replaceable;
use crate::engine::record::Configuration;
use crate::error::{Error, Result};
use crate::model::{GrantType, IntegrationKey, Status};
use crate::oauth;
use crate::provider::catalog::Provider;
use crate::provider::{ClientAuthentication, Endpoints, Overrides, Spec, scope};
use crate::secret::ClientSecret;
use crate::store::IntegrationRow;
use crate::vault::{Kind, Subject};

/// The arguments of `configure`; `None` leaves what is configured, an empty value goes back to the default.
#[derive(Clone, Debug, Default)]
pub struct Configure {
    /// The provider's id or alias, or a new id.
    pub provider: String,
    /// The grant type.
    pub grant_type: Option<GrantType>,
    /// The client id.
    pub client_id: Option<String>,
    /// The client secret.
    pub client_secret: Option<ClientSecret>,
    /// Everything else.
    pub settings: Settings,
}

/// The arguments of `configure` that are no secrets, as callers name them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Settings {
    pub scopes: Option<Vec<String>>,
    pub parameters: Option<BTreeMap<String, String>>,
    pub redirect_uri: Option<String>,
    pub client_authentication: Option<String>,
    pub endpoints: Option<BTreeMap<String, String>>,
    pub issuer: Option<String>,
    pub api_hosts: Option<Vec<String>>,
    pub authorization_parameters: Option<BTreeMap<String, String>>,
    pub token_parameters: Option<BTreeMap<String, String>>,
    pub scope_separator: Option<String>,
    pub pkce: Option<bool>,
    pub exchange_from: Option<String>,
}

/// When an issuer's metadata is fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Discovery {
    /// At the first use: opening a workspace asks no network.
    AtFirstUse,
    /// At once.
    Now,
}

/// What `configure` did, or would do.
#[derive(Debug)]
pub(crate) struct Laid {
    /// Whether the stored configuration was, or is, another.
    pub(crate) differs: bool,
    /// In words.
    pub(crate) words: String,
}

impl Engine {
    /// Configures an integration. Equal values write nothing.
    ///
    /// # Errors
    /// `InvalidParameter`, `InvalidScope`, `UnknownProvider`; with an issuer `ProviderUnavailable` and
    /// `ProviderRejected`; store and key errors.
    pub async fn configure(self: &Arc<Self>, request: Configure) -> Result<Status> {
        self.require_writable("configure")?;
        let key = self.configure_key(&request).await?;
        self.lay_over(&key, &request, Discovery::Now, false).await?;
        self.status(&key.provider, Some(key.grant_type), "default")
            .await
    }

    /// Configures, or with `check` only says what would change.
    pub(crate) async fn configure_or_compare(
        &self,
        request: Configure,
        discovery: Discovery,
        check: bool,
    ) -> Result<Laid> {
        let key = self.configure_key(&request).await?;
        self.lay_over(&key, &request, discovery, check).await
    }

    async fn lay_over(
        &self,
        key: &IntegrationKey,
        request: &Configure,
        discovery: Discovery,
        check: bool,
    ) -> Result<Laid> {
        let provider = self.provider_of(&key.provider)?;
        let before = match self.store.integration(key).await? {
            Some(row) => replaceable(self.configuration_of(&row).await)?,
            None => None,
        };
        let named = request.settings.issuer.clone();
        let named = named.filter(|issuer| !issuer.is_empty());
        let by_file = match &named {
            None => self.asked_by_file(&provider, key.grant_type, request, before.as_ref()),
            Some(_) => Ok(None),
        };
        let by_file = by_file
            .map_err(|error| self.ready_to_paste(error.of_provider(&key.provider), request))?
            // What is known already is asked again only by name.
            .filter(|asked| {
                before.as_ref().is_none_or(|before| {
                    before.issuer.as_ref() != Some(asked) || before.overrides.discovered.is_empty()
                })
            });
        let issuer = named.as_deref().or(by_file.as_deref());
        let discovered = match (issuer, discovery) {
            (Some(issuer), Discovery::Now) => Some(
                self.metadata(&provider, key.grant_type, issuer)
                    .await
                    .map_err(|error| error.of_provider(&key.provider))?,
            ),
            _ => None,
        };
        let borrows = self.lent(&provider, key.grant_type).await?.is_some();
        // One client is registered, however often the store is tried.
        let mut registered: Option<Configuration> = None;
        loop {
            let row = self.store.integration(key).await?;
            let stored: Option<Configuration> = match &row {
                // What is given is laid over nothing where the stored one is damaged.
                Some(row) => replaceable(self.configuration_of(row).await)?,
                None => None,
            };
            let mut configuration = stored.clone().unwrap_or_default();
            merge(&mut configuration, request)
                .map_err(|error| self.ready_to_paste(error.of_provider(&key.provider), request))?;
            configuration.has_no_file = self.catalog.id(&key.provider).is_none();
            if let Some(asked) = &by_file {
                configuration.issuer = Some(asked.clone());
            }
            if !borrows {
                complete_client(&mut configuration, &provider, key.grant_type);
            }
            if let Some(metadata) = &discovered {
                configuration.learn(metadata, provider.scopes_if_supported(key.grant_type));
            } else if issuer.is_some()
                && (configuration.overrides.discovered.is_empty()
                    || stored.as_ref().and_then(|stored| stored.issuer.as_deref()) != issuer)
            {
                configuration.unlearn();
                configuration.discovery_due = true;
            }
            let wanted = match borrows {
                false => self
                    .wants_registration(key, &mut configuration)
                    .map_err(|error| {
                        self.ready_to_paste(error.of_provider(&key.provider), request)
                    })?,
                true => None,
            };
            match (wanted, &registered) {
                (None, _) => {}
                (Some(_), _) if check => {
                    return Ok(Laid {
                        differs: true,
                        words: "its client is to be registered".to_owned(),
                    });
                }
                (Some(_), Some(earlier)) => configuration.take_registration(earlier),
                (Some(wanted), None) => {
                    Box::pin(self.register(wanted, &mut configuration))
                        .await
                        .map_err(|error| error.of_provider(&key.provider))?;
                    registered = Some(configuration.clone());
                }
            }
            if let Some(from) = &configuration.exchange_from {
                let source = Box::pin(self.exchange_source(key, from)).await;
                source.map_err(|error| error.of_provider(&key.provider))?;
            }
            self.check(key, &configuration, borrows)
                .map_err(|error| self.ready_to_paste(error.of_provider(&key.provider), request))?;
            if stored.as_ref() == Some(&configuration) {
                return Ok(Laid {
                    differs: false,
                    words: "as it is configured".to_owned(),
                });
            }
            let words = if stored.is_some() { "changed" } else { "new" };
            if check {
                return Ok(Laid {
                    differs: true,
                    words: words.to_owned(),
                });
            }
            let revision = row.as_ref().map_or(1, |row| row.revision + 1);
            let sealed = self
                .seal(
                    Subject::Integration(key),
                    Kind::Integration,
                    "",
                    revision,
                    &configuration,
                )
                .await?;
            let row_now = IntegrationRow {
                key: key.clone(),
                revision,
                sealed,
            };
            if self
                .store
                .put_integration(row_now, row.map(|row| row.revision))
                .await?
            {
                self.touch_borrowers(key).await?;
                self.cache.doubt_all();
                tracing::info!(provider = %key.provider, grant_type = %key.grant_type, revision, "configured");
                return Ok(Laid {
                    differs: true,
                    words: words.to_owned(),
                });
            }
        }
    }

    pub(super) async fn configuration_of(&self, row: &IntegrationRow) -> Result<Configuration> {
        let subject = Subject::Integration(&row.key);
        self.open(subject, Kind::Integration, "", &row.sealed).await
    }

    /// Gives the integrations that use this one's client a new revision: their tokens were granted to the old one.
    async fn touch_borrowers(&self, lender: &IntegrationKey) -> Result<()> {
        for row in self.store.integrations(&self.workspace).await? {
            let provider = self.provider_of(&row.key.provider)?;
            if row.key.grant_type != lender.grant_type
                || provider.extends.as_deref() != Some(&*lender.provider)
            {
                continue;
            }
            let subject = Subject::Integration(&row.key);
            let opened = self.open(subject, Kind::Integration, "", &row.sealed);
            let opened: Option<Configuration> = replaceable(opened.await)?;
            if let Some(configuration) = opened
                && configuration.client_id.is_none()
            {
                let revision = row.revision + 1;
                let sealed = self
                    .seal(subject, Kind::Integration, "", revision, &configuration)
                    .await?;
                let touched = IntegrationRow {
                    key: row.key.clone(),
                    revision,
                    sealed,
                };
                // One that was configured meanwhile has a new revision anyway.
                self.store
                    .put_integration(touched, Some(row.revision))
                    .await?;
            }
        }
        Ok(())
    }

    /// Adds to a hint of the provider's what only the caller knows: grant type, store and workspace.
    fn ready_to_paste(&self, error: Error, request: &Configure) -> Error {
        let Some(hint) = error
            .next_command()
            .filter(|hint| hint.starts_with("evergrant configure "))
        else {
            return error;
        };
        let mut full = hint.to_owned();
        if let Some(grant_type) = request.grant_type
            && !hint.contains(" --grant-type ")
        {
            full.push_str(&format!(" --grant-type {grant_type}"));
        }
        if !hint.ends_with(&self.command_options) {
            full.push_str(&self.command_options);
        }
        error.hint(full)
    }

    /// Whether a configuration could work, before it is stored.
    fn check(
        &self,
        key: &IntegrationKey,
        configuration: &Configuration,
        borrows: bool,
    ) -> Result<()> {
        let provider = self.provider_of(&key.provider)?;
        if !provider.grant_types().contains(&key.grant_type) {
            return Err(Error::invalid_parameter(
                "grant_type_not_offered",
                format!(
                    "{} has no {} grant here, only {}",
                    provider.name,
                    key.grant_type,
                    provider
                        .grant_types()
                        .iter()
                        .map(|grant| grant.as_str())
                        .collect::<Vec<_>>()
                        .join(" and ")
                ),
            )
            .of_provider(&key.provider));
        }
        // Endpoints that are still to be discovered can't be judged yet.
        if !configuration.discovery_due {
            let spec = provider.spec(key.grant_type, &configuration.overrides)?;
            for scope in &configuration.scopes {
                scope::validate(&spec.scopes, &key.provider, scope)?;
            }
            check_key(&spec, configuration)?;
            check_id(&spec, configuration)?;
        }
        if let Some(redirect_uri) = &configuration.redirect_uri
            && !provider.has_opaque_redirect()
        {
            check_redirect_uri(redirect_uri).map_err(|error| error.of_provider(&key.provider))?;
        }
        let name = &provider.name;
        let registers =
            configuration.discovery_due && key.grant_type == GrantType::AuthorizationCode;
        if configuration.client_id.is_none() && (borrows || registers) {
            return Ok(());
        }
        if configuration.client_id.is_none() {
            return Err(self.client_id_missing(&provider));
        }
        if key.grant_type == GrantType::ClientCredentials
            && configuration.client_secret.is_none()
            && configuration.exchange_from.is_none()
        {
            return Err(Error::invalid_parameter(
                "client_secret_missing",
                format!("a client credentials grant of {name} needs a client secret"),
            )
            .of_provider(&key.provider)
            .hint(self.command(&format!(
                "configure {} --grant-type client_credentials --client-secret-stdin",
                key.provider
            ))));
        }
        Ok(())
    }

    pub(super) fn client_id_missing(&self, provider: &Provider) -> Error {
        let id = &provider.id;
        Error::invalid_parameter(
            "client_id_missing",
            format!("{} needs a client id", provider.name),
        )
        .of_provider(id)
        .hint(self.command(&format!("configure {id} --client-id CLIENT_ID")))
    }

    async fn configure_key(&self, request: &Configure) -> Result<IntegrationKey> {
        let id = self.canonical(&request.provider);
        let brings_endpoints = request
            .settings
            .endpoints
            .as_ref()
            .is_some_and(|endpoints| !endpoints.is_empty())
            || request
                .settings
                .issuer
                .as_deref()
                .is_some_and(|issuer| !issuer.is_empty());
        if let Some(grant_type) = request.grant_type {
            if !brings_endpoints
                && self
                    .store
                    .integration(&self.key(&id, grant_type))
                    .await?
                    .is_none()
                && self.configured(&id, None).await?.is_none()
            {
                self.catalog.find(&id)?;
            }
            return Ok(self.key(&id, grant_type));
        }
        if let Some(meant) = self.configured(&id, None).await? {
            return Ok(meant.key);
        }
        if !brings_endpoints {
            self.catalog.find(&id)?;
        }
        let provider = self.provider_of(&id)?;
        let signs_in = self.catalog.id(&id).is_some()
            || request.settings.issuer.is_some()
            || request
                .settings
                .endpoints
                .as_ref()
                .is_some_and(|endpoints| {
                    endpoints.contains_key("authorization_endpoint")
                        || endpoints.contains_key("device_authorization_endpoint")
                });
        let exchanges = request
            .settings
            .exchange_from
            .as_deref()
            .is_some_and(|from| !from.is_empty());
        let grant_type = if signs_in
            && !exchanges
            && provider
                .grant_types()
                .contains(&GrantType::AuthorizationCode)
        {
            GrantType::AuthorizationCode
        } else {
            GrantType::ClientCredentials
        };
        Ok(self.key(&id, grant_type))
    }
}

/// Adds what a client has without being told: the one that the provider has for everyone, or the name in a key.
fn complete_client(configuration: &mut Configuration, provider: &Provider, grant_type: GrantType) {
    if configuration.client_id.is_some() {
        return;
    }
    if let Some(fixed) = provider.fixed_client(grant_type) {
        configuration.client_id = Some(fixed.client_id.clone());
        let secret = fixed.client_secret.as_deref().map(ClientSecret::from);
        configuration.client_secret = configuration.client_secret.take().or(secret);
        return;
    }
    let secret = configuration.client_secret.as_ref();
    configuration.client_id = secret.and_then(oauth::assertion::client_email);
}

/// A client id that can't be one of the provider's is mostly that of something else.
fn check_id(spec: &Spec, configuration: &Configuration) -> Result<()> {
    let (Some(pattern), Some(id)) = (&spec.client.id_pattern, &configuration.client_id) else {
        return Ok(());
    };
    if crate::provider::parameters::matches_whole(pattern, id) {
        return Ok(());
    }
    Err(Error::invalid_parameter(
        "client_id_invalid",
        format!("a client id of {} matches {pattern}", spec.name),
    )
    .of_provider(&spec.id)
    .hint(format!(
        "evergrant configure {} --client-id CLIENT_ID",
        spec.id
    )))
}

/// A private key is read before it is stored.
fn check_key(spec: &Spec, configuration: &Configuration) -> Result<()> {
    let Some(secret) = &configuration.client_secret else {
        return Ok(());
    };
    let only_signs =
        |methods: &[ClientAuthentication]| methods == [ClientAuthentication::PrivateKeyJwt];
    if spec.assertion.is_some() || only_signs(&spec.client.authentication) {
        oauth::assertion::check_key(spec, secret).map_err(|error| {
            error.of_provider(&spec.id).hint(format!(
                "evergrant configure {} --client-secret-stdin",
                spec.id
            ))
        })?;
    }
    Ok(())
}

/// Lays what `configure` was given over what is stored.
fn merge(configuration: &mut Configuration, request: &Configure) -> Result<()> {
    let Configure {
        client_id,
        client_secret,
        settings,
        ..
    } = request;
    if let Some(from) = &settings.exchange_from {
        configuration.exchange_from = Some(from.clone()).filter(|from| !from.is_empty());
    }
    if let Some(client_id) = client_id {
        if Some(client_id.trim()) != configuration.client_id.as_deref() {
            configuration.forget_registration();
        }
        configuration.client_id = Some(client_id.trim().to_owned()).filter(|id| !id.is_empty());
    }
    if let Some(secret) = client_secret {
        configuration.client_secret =
            Some(secret.clone()).filter(|secret| !secret.expose().is_empty());
    }
    if let Some(scopes) = &settings.scopes {
        let mut unique = Vec::new();
        for scope in scopes {
            if !unique.contains(scope) {
                unique.push(scope.clone());
            }
        }
        configuration.scopes = unique;
    }
    if let Some(redirect_uri) = &settings.redirect_uri {
        configuration.redirect_uri = Some(redirect_uri.clone()).filter(|uri| !uri.is_empty());
    }
    if let Some(issuer) = &settings.issuer {
        configuration.issuer = Some(issuer.clone()).filter(|issuer| !issuer.is_empty());
        if issuer.is_empty() {
            configuration.unlearn();
        }
    }
    let Overrides {
        parameters,
        endpoints,
        client_authentication,
        api_hosts,
        authorization_parameters,
        token_parameters,
        ..
    } = &mut configuration.overrides;
    lay(parameters, settings.parameters.as_ref());
    lay(
        authorization_parameters,
        settings.authorization_parameters.as_ref(),
    );
    lay(token_parameters, settings.token_parameters.as_ref());
    if let Some(given) = &settings.endpoints {
        *endpoints = lay_endpoints(endpoints, given)?;
    }
    if let Some(method) = &settings.client_authentication {
        *client_authentication = parse_authentication(method)?;
    }
    if let Some(hosts) = &settings.api_hosts {
        api_hosts.clone_from(hosts);
    }
    if let Some(separator) = &settings.scope_separator {
        configuration.overrides.scope_separator =
            Some(separator.clone()).filter(|text| !text.is_empty());
    }
    if settings.pkce.is_some() {
        configuration.overrides.pkce = settings.pkce;
    }
    Ok(())
}

fn lay(stored: &mut BTreeMap<String, String>, given: Option<&BTreeMap<String, String>>) {
    match given {
        Some(given) if given.is_empty() => stored.clear(),
        Some(given) => stored.extend(given.clone()),
        None => {}
    }
}

fn lay_endpoints(stored: &Endpoints, given: &BTreeMap<String, String>) -> Result<Endpoints> {
    if given.is_empty() {
        return Ok(Endpoints::default());
    }
    let mut value = serde_json::to_value(stored).unwrap_or_default();
    for (name, url) in given {
        value[name] = url.as_str().into();
    }
    serde_json::from_value(value).map_err(|_| {
        let known = [
            "authorization_endpoint",
            "token_endpoint",
            "revocation_endpoint",
            "introspection_endpoint",
            "userinfo_endpoint",
            "device_authorization_endpoint",
            "registration_endpoint",
            "pushed_authorization_request_endpoint",
            "end_session_endpoint",
            "metadata_url",
            "issuer",
        ];
        let unknown = given.keys().find(|name| !known.contains(&name.as_str())).map_or("", String::as_str);
        let nearest = nearest(unknown, known.iter().copied()).unwrap_or("token_endpoint");
        Error::invalid_parameter(
            "unknown_endpoint",
            format!("{unknown} is not the name of an endpoint; the nearest is {nearest} (RFC 8414 section 2)"),
        )
    })
}

fn parse_authentication(method: &str) -> Result<Option<ClientAuthentication>> {
    match method {
        "" => Ok(None),
        "client_secret_basic" => Ok(Some(ClientAuthentication::ClientSecretBasic)),
        "client_secret_post" => Ok(Some(ClientAuthentication::ClientSecretPost)),
        "none" => Ok(Some(ClientAuthentication::None)),
        "private_key_jwt" => Ok(Some(ClientAuthentication::PrivateKeyJwt)),
        "client_secret_jwt" => Ok(Some(ClientAuthentication::ClientSecretJwt)),
        _ => Err(Error::invalid_parameter(
            "unknown_client_authentication",
            "client_authentication is client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none",
        )),
    }
}

pub(crate) fn check_redirect_uri(redirect_uri: &str) -> Result<()> {
    let invalid = |what: &str| {
        Error::invalid_parameter("invalid_redirect_uri", format!("the redirect URI {what}"))
    };
    let url = url::Url::parse(redirect_uri).map_err(|_| invalid("is not an absolute URL"))?;
    if url.fragment().is_some() {
        return Err(invalid("may have no fragment (RFC 6749 section 3.1.2)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("may have no user name in it"));
    }
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme() == "http" && !loopback {
        return Err(invalid(
            "must be https, or http on 127.0.0.1, [::1] or localhost (RFC 8252 section 7.3)",
        ));
    }
    Ok(())
}

/// The name of `known` nearest to `word`, if it is near at all.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
