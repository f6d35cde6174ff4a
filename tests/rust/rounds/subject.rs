//! The provider file that a round is played on: a built-in one, or one in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use _core::model::GrantType;
use _core::oauth::Client;
use _core::provider::catalog::{Catalog, Provider};
use _core::provider::parameters::Parameter;
use _core::provider::{ClientAuthentication, Endpoints, Overrides, Spec};
use _core::secret::ClientSecret;
use serde_json::Value;

use super::keys::filled_secret;
use super::round::Round;

/// The id of a file that stands in another's place.
const STAND_IN: &str = "stand_in";

#[derive(Clone)]
pub(super) struct Subject {
    pub(super) catalog: Arc<Catalog>,
    pub(super) id: String,
    provider: Arc<Provider>,
    pub(super) grant_type: GrantType,
}

impl Subject {
    pub(super) fn builtin(id: &str, grant_type: GrantType) -> Result<Self, String> {
        Self::of(Catalog::builtin(), id, grant_type)
    }

    /// A file with the fields of `file`, under an id of its own.
    pub(super) fn instead(file: &Value) -> Result<Self, String> {
        let mut file = file.clone();
        let fields = file.as_object_mut().ok_or("a provider file is a map")?;
        fields.insert("id".to_owned(), STAND_IN.into());
        fields.remove("aliases");
        let folder = tempfile::tempdir().map_err(words)?;
        // What is JSON is YAML.
        std::fs::write(folder.path().join("stand_in.yaml"), file.to_string()).map_err(words)?;
        let catalog = Catalog::with_folders(&[folder.path().to_owned()]).map_err(words)?;
        Self::of(catalog, STAND_IN, GrantType::AuthorizationCode)
    }

    /// The other grant of the same file.
    pub(super) fn for_grant(&self, grant_type: GrantType) -> Self {
        Self {
            grant_type,
            ..self.clone()
        }
    }

    fn of(catalog: Catalog, id: &str, grant_type: GrantType) -> Result<Self, String> {
        let provider = catalog.find(id).map_err(words)?;
        Ok(Self {
            catalog: Arc::new(catalog),
            id: id.to_owned(),
            provider,
            grant_type,
        })
    }

    /// The rules of the grant as the round configures it, with what the sign-in kept.
    pub(super) fn spec(&self, round: &Round) -> Result<Spec, String> {
        self.spec_of(round, round.configure.parameters.clone(), |_| true)
    }

    /// The same before the code is exchanged: only the callback has brought anything.
    pub(super) fn spec_before(&self, round: &Round) -> Result<Spec, String> {
        let brought = |value: &str| round.callback.values().any(|own| own == value);
        self.spec_of(round, round.configure.parameters.clone(), brought)
    }

    /// What the user fills in.
    pub(super) fn parameters(&self) -> BTreeMap<String, Parameter> {
        self.provider.parameters(self.grant_type)
    }

    /// The same with other parameters.
    pub(super) fn spec_with(
        &self,
        round: &Round,
        parameters: BTreeMap<String, String>,
    ) -> Result<Spec, String> {
        self.spec_of(round, parameters, |_| true)
    }

    fn spec_of(
        &self,
        round: &Round,
        parameters: BTreeMap<String, String>,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Spec, String> {
        let overrides = Overrides {
            parameters,
            discovered: discovered(round),
            ..Overrides::default()
        };
        let extra = round.token.gives.extra.clone().into_iter();
        let kept = extra
            .filter(|(name, _)| !name.starts_with("header.") && name != "token_header")
            .filter(|(_, value)| is_known(value))
            .collect();
        let spec = self
            .provider
            .spec_with_kept(self.grant_type, &overrides, &kept);
        spec.map_err(words)
    }
}

/// What the metadata of the round says.
fn discovered(round: &Round) -> Endpoints {
    let mut endpoints = Endpoints::default();
    let replies = round.discovery.iter();
    for (name, url) in replies
        .filter_map(|exchange| exchange.reply.json.as_ref()?.as_object())
        .flatten()
    {
        if let (Some(endpoint), Some(url)) = (endpoints.named_mut(name), url.as_str()) {
            *endpoint = Some(url.to_owned());
        }
    }
    endpoints
}

/// The application of a round, as requests are made in its name.
pub(super) struct Application {
    id: String,
    secret: Option<ClientSecret>,
    authentication: ClientAuthentication,
}

impl Application {
    pub(super) fn of(round: &Round, spec: &Spec) -> Self {
        let secret = round.configure.client_secret.as_deref().map(filled_secret);
        let methods = &spec.client.authentication;
        let own = methods
            .iter()
            .copied()
            .find(|method| *method != ClientAuthentication::None);
        let by_default = ClientAuthentication::ClientSecretBasic;
        Self {
            id: round.configure.client_id.clone().unwrap_or_default(),
            authentication: match secret {
                Some(_) => own.unwrap_or(by_default),
                None => ClientAuthentication::None,
            },
            secret: secret.map(|secret| ClientSecret::from(secret.as_str())),
        }
    }

    pub(super) fn client(&self) -> Client<'_> {
        Client {
            id: &self.id,
            secret: self.secret.as_ref(),
            authentication: self.authentication,
        }
    }
}

/// An error as its words.
pub(super) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
