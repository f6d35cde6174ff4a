//! Integrations: which one a caller means, what is configured, and `configure`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::record::Configuration;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{GrantType, IntegrationKey};
use crate::oauth;
use crate::oauth::discovery::Metadata;
use crate::provider::catalog::{self, Provider};
use crate::provider::{ClientAuthentication, Registration, Spec};
use crate::store::IntegrationRow;
use crate::vault::{Kind, Subject};

/// A configured integration, opened.
#[derive(Clone, Debug)]
pub struct Integration {
    /// As the caller named it; its connections are under this name.
    pub key: IntegrationKey,
    /// Grows with every change of the configuration.
    pub revision: u64,
    /// The configuration.
    pub configuration: Configuration,
    /// The provider.
    pub provider: Arc<Provider>,
}

impl Integration {
    /// The provider's rules with this configuration applied.
    pub fn spec(&self) -> Result<Spec> {
        self.spec_with(&BTreeMap::new())
    }

    /// The same with the values that a connection keeps (`instance_url`).
    pub fn spec_with(&self, kept: &BTreeMap<String, String>) -> Result<Spec> {
        self.provider
            .spec_with_kept(self.key.grant_type, &self.configuration.overrides, kept)
    }

    /// The client id that requests are made with.
    pub fn client_id(&self) -> &str {
        self.configuration.client_id.as_deref().unwrap_or_default()
    }

    /// The redirect URI to register: the configured one, else the provider's default.
    pub fn redirect_uri(&self, spec: &Spec) -> String {
        self.configuration
            .redirect_uri
            .clone()
            .unwrap_or_else(|| spec.redirect.by_default())
    }

    /// The client that requests are made as.
    pub fn client<'a>(&'a self, spec: &Spec) -> oauth::Client<'a> {
        let secret = self.configuration.client_secret.as_ref();
        let by_choice = self.configuration.overrides.client_authentication;
        let registered = self.configuration.registered.as_ref();
        let registered = registered.and_then(|registered| registered.authentication);
        let methods = &spec.client.authentication;
        let authentication = match secret {
            Some(_) if by_choice == Some(ClientAuthentication::None) => ClientAuthentication::None,
            // A secret that is a private key is none to send.
            Some(secret)
                if oauth::assertion::is_private_key(secret)
                    && methods.contains(&ClientAuthentication::PrivateKeyJwt) =>
            {
                ClientAuthentication::PrivateKeyJwt
            }
            Some(_) => methods
                .iter()
                .copied()
                .find(|method| *method != ClientAuthentication::None)
                .filter(|_| registered.is_none())
                .or(registered)
                .unwrap_or(ClientAuthentication::ClientSecretBasic),
            None => ClientAuthentication::None,
        };
        oauth::Client {
            id: self.client_id(),
            secret,
            authentication,
        }
    }
}

impl Configuration {
    /// Takes over what an issuer says of itself. Of its scopes only those are asked for that the provider file names
    /// (`if_supported`): a server never widens what is asked.
    pub(super) fn learn(&mut self, metadata: &Metadata, if_supported: &[String]) {
        let known = if_supported.iter();
        self.overrides.supported_scopes = known
            .filter(|scope| metadata.scopes_supported.contains(scope))
            .cloned()
            .collect();
        self.overrides.discovered = metadata.endpoints.clone();
        self.overrides.resource.clone_from(&metadata.resource);
        self.overrides.pushed = metadata.require_pushed_authorization_requests;
        self.issuer_promised = metadata.authorization_response_iss_parameter_supported;
        let takes = |method: &str| {
            let supported = &metadata.token_endpoint_auth_methods_supported;
            supported.iter().any(|supported| supported == method)
        };
        self.registers_as = match () {
            () if takes("none") => None,
            () if takes("client_secret_basic") => Some(ClientAuthentication::ClientSecretBasic),
            () if takes("client_secret_post") => Some(ClientAuthentication::ClientSecretPost),
            () => None,
        };
        self.discovery_due = false;
    }

    /// Forgets it.
    pub(super) fn unlearn(&mut self) {
        self.learn(&Metadata::default(), &[]);
    }
}

/// What a caller means by a provider and, perhaps, a grant type.
#[derive(Clone, Debug)]
pub struct Meant {
    /// The integration under the caller's own name.
    pub key: IntegrationKey,
    /// The configured row: its own, or that of the provider it extends.
    pub row: Option<IntegrationRow>,
}

impl Engine {
    /// Finds the integration that is meant: `None` as the grant type is the only configured one.
    pub async fn meant(&self, provider: &str, grant_type: Option<GrantType>) -> Result<Meant> {
        let id = self.canonical(provider);
        if let Some(meant) = self.configured(&id, grant_type).await? {
            return Ok(meant);
        }
        let provider = match self.catalog.find(&id) {
            Ok(provider) => provider,
            // An id of the user's own that is configured for the other grant type is no unknown one.
            Err(_) if self.configured(&id, None).await?.is_some() => catalog::custom(&id)?,
            Err(unknown) => return Err(unknown),
        };
        if let Some(lender) = provider.extends.as_deref()
            && let Some(lent) = self.configured(lender, grant_type).await?
        {
            let key = self.key(&id, lent.key.grant_type);
            return Ok(Meant { key, row: lent.row });
        }
        let grant_type = match grant_type {
            Some(grant_type) => grant_type,
            None => *provider
                .grant_types()
                .first()
                .unwrap_or(&GrantType::AuthorizationCode),
        };
        Ok(Meant {
            key: self.key(&id, grant_type),
            row: None,
        })
    }

    /// The integration that is meant, opened; `NotConfigured` when it is not.
    pub async fn integration(
        &self,
        provider: &str,
        grant_type: Option<GrantType>,
    ) -> Result<Integration> {
        let meant = self.meant(provider, grant_type).await?;
        self.open_integration(&meant.key, meant.row.as_ref()).await
    }

    /// Opens the row of an integration, and fetches the metadata that was left for its first use.
    pub async fn open_integration(
        &self,
        key: &IntegrationKey,
        row: Option<&IntegrationRow>,
    ) -> Result<Integration> {
        let integration = self.open_as_it_is(key, row).await?;
        match row {
            // Boxed: it is rare, and its future would make that of every call large.
            Some(row) if integration.configuration.discovery_due => {
                Box::pin(self.discover_now(row, integration))
                    .await
                    .map_err(|error| error.of_provider(&key.provider))
            }
            _ => Ok(integration),
        }
    }

    /// Opens the row of an integration without asking the network.
    pub(crate) async fn open_as_it_is(
        &self,
        key: &IntegrationKey,
        row: Option<&IntegrationRow>,
    ) -> Result<Integration> {
        let Some(row) = row else {
            return Err(self.not_configured(key));
        };
        let configuration: Configuration = self
            .open(
                Subject::Integration(&row.key),
                Kind::Integration,
                "",
                &row.sealed,
            )
            .await?;
        let mut integration = Integration {
            provider: self.provider_of(&key.provider)?,
            key: key.clone(),
            revision: row.revision,
            configuration,
        };
        if integration.configuration.client_id.is_none() {
            let lent = self.lent(&integration.provider, key.grant_type).await?;
            match lent {
                Some(lent) => {
                    integration.configuration.client_id = lent.client_id;
                    integration.configuration.client_secret = lent.client_secret;
                }
                // It is registered when the metadata is fetched.
                None if integration.configuration.discovery_due => {}
                // The provider that lent its client may be gone since.
                None => return Err(self.not_configured(key)),
            }
        }
        Ok(integration)
    }

    /// The configuration of the provider that `provider` extends, whose client it may use.
    pub(super) async fn lent(
        &self,
        provider: &Provider,
        grant_type: GrantType,
    ) -> Result<Option<Configuration>> {
        // A client that a server registered is none at another server.
        let registers = provider
            .registration(grant_type)
            .contains(&Registration::Dynamic);
        let Some(lender) = provider.extends.as_deref().filter(|_| !registers) else {
            return Ok(None);
        };
        let key = self.key(lender, grant_type);
        let Some(row) = self.store.integration(&key).await? else {
            return Ok(None);
        };
        let subject = Subject::Integration(&key);
        self.open(subject, Kind::Integration, "", &row.sealed)
            .await
            .map(Some)
    }

    /// Whether it is known here what the provider is: by a file, or because it is configured and never had one.
    ///
    /// # Errors
    /// `StoreError`, `VaultLocked`: what is configured can't be read.
    pub async fn knows(&self, provider: &str) -> Result<bool> {
        if self.catalog.id(provider).is_some() {
            return Ok(true);
        }
        for grant_type in [GrantType::AuthorizationCode, GrantType::ClientCredentials] {
            let row = self
                .store
                .integration(&self.key(provider, grant_type))
                .await?;
            if let Some(row) = row
                && self.configuration_of(&row).await?.has_no_file
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn configured(
        &self,
        id: &str,
        grant_type: Option<GrantType>,
    ) -> Result<Option<Meant>> {
        let grant_types = match &grant_type {
            Some(grant_type) => std::slice::from_ref(grant_type),
            None => &[GrantType::AuthorizationCode, GrantType::ClientCredentials],
        };
        let mut found = Vec::new();
        for grant_type in grant_types {
            let key = self.key(id, *grant_type);
            if let Some(row) = self.store.integration(&key).await? {
                found.push(Meant {
                    key,
                    row: Some(row),
                });
            }
        }
        if found.len() > 1 {
            return Err(Error::new(
                ErrorKind::AmbiguousGrant,
                "ambiguous_grant",
                format!("{id} is configured for authorization_code and for client_credentials: say which one is meant"),
            )
            .of_provider(id)
            .hint(format!(
                "{}\n{}",
                self.command(&format!("status {id} --grant-type authorization_code")),
                self.command(&format!("status {id} --grant-type client_credentials"))
            )));
        }
        Ok(found.pop())
    }

    /// Fetches the metadata that `EVERGRANT_CONFIG` left for the first use, and stores it.
    async fn discover_now(
        &self,
        row: &IntegrationRow,
        mut integration: Integration,
    ) -> Result<Integration> {
        let issuer = integration.configuration.issuer.clone().unwrap_or_default();
        let metadata = self
            .metadata(&integration.provider, row.key.grant_type, &issuer)
            .await?;
        let if_supported = integration.provider.scopes_if_supported(row.key.grant_type);
        integration.configuration.learn(&metadata, if_supported);
        if integration.configuration.client_id.is_none() {
            self.require_writable("configure")?;
            let configuration = &mut integration.configuration;
            match self.wants_registration(&row.key, configuration)? {
                Some(wanted) => self.register(wanted, configuration).await?,
                None => return Err(self.client_id_missing(&integration.provider)),
            }
        }
        let revision = row.revision + 1;
        let sealed = self
            .seal(
                Subject::Integration(&row.key),
                Kind::Integration,
                "",
                revision,
                &integration.configuration,
            )
            .await?;
        if self.store.writable() {
            let found = IntegrationRow {
                key: row.key.clone(),
                revision,
                sealed,
            };
            let stored = self.store.put_integration(found, Some(row.revision));
            if !stored.await? {
                // Another was faster: there must not be two opinions of who the client is.
                let row = self.store.integration(&row.key).await?;
                return self.open_as_it_is(&integration.key, row.as_ref()).await;
            }
            integration.revision = revision;
        }
        Ok(integration)
    }

    pub(super) fn not_configured(&self, key: &IntegrationKey) -> Error {
        Error::new(
            ErrorKind::NotConfigured,
            "not_configured",
            format!(
                "{} ({}) is not configured in workspace {}",
                key.provider, key.grant_type, self.workspace
            ),
        )
        .of_provider(&key.provider)
        .hint(self.command(&format!(
            "configure {} --grant-type {} --client-id CLIENT_ID",
            key.provider, key.grant_type
        )))
    }
}
