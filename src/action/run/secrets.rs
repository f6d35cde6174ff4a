//! The secrets of a run: which of the declared tokens there are, the ordinary ones, and what is masked in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::Options;
use crate::action::library::Source;
use crate::action::placeholder::{Placeholder, Placeholders};
use crate::action::plan::Plan;
use crate::action::template::{self, Secret as Declared, SecretKind};
use crate::action::value::{Key, Mapping, Value};
use crate::engine::Engine;
use crate::engine::TokenRequest;
use crate::engine::cache::Slot;
use crate::error::{Error, ErrorKind, Result};
use crate::http::Trust;
use crate::model::{GrantType, State, Status};
use crate::provider::{Spec, hosts};
use crate::secret::{AccessToken, Secret};

/// What stands where a secret was in the value that a template returns.
const MASK: &str = "***";

/// The secrets of a run.
pub(in crate::action) struct Secrets {
    /// What `SECRETS` shows: placeholders of tokens, ordinary secrets as they are.
    pub(in crate::action) context: Value,
    /// Whom requests trust: the secrets `mtls` and `ca_cert`.
    pub(in crate::action) trust: Trust,
    connection: String,
    grants: Vec<Held>,
    placeholders: Placeholders,
    ordinary: Vec<Secret>,
    /// The tokens that were put into requests, in each writing, and their markers.
    used: Mutex<Vec<(Arc<str>, AccessToken)>>,
    /// Those that came in place of refused ones.
    replacements: Mutex<Vec<AccessToken>>,
}

/// A token that the run may use.
struct Held {
    placeholder: Placeholder,
    spec: Arc<Spec>,
}

/// A declared token that there is not.
struct Missing {
    status: Option<Status>,
    error: Option<Error>,
}

impl Secrets {
    /// Finds what all templates of a plan declare.
    ///
    /// # Errors
    /// `NotConnected` or `NotConfigured` naming the choices, `ActionError` for an ordinary secret, `UnknownProvider`.
    pub(super) async fn find(engine: &Engine, plan: &Plan, options: &Options) -> Result<Self> {
        let mut tokens: BTreeMap<(String, GrantType), Option<Held>> = BTreeMap::new();
        let mut found = Self {
            context: Value::None,
            trust: Trust::default(),
            connection: options.connection.clone(),
            grants: Vec::new(),
            placeholders: Placeholders::default(),
            ordinary: Vec::new(),
            used: Mutex::default(),
            replacements: Mutex::default(),
        };
        let mut ordinary: BTreeMap<String, BTreeMap<String, Secret>> = BTreeMap::new();
        for source in plan.sources() {
            for declared in &source.template.secrets {
                if let SecretKind::Static {
                    name,
                    keys,
                    optional_keys,
                } = &declared.kind
                {
                    let given = given(source, declared, name, (keys, optional_keys), options)?;
                    ordinary.entry(name.clone()).or_default().extend(given);
                }
            }
        }
        for source in plan.sources() {
            let mut choices = Vec::new();
            let mut is_there = false;
            for declared in &source.template.secrets {
                let (provider, grant_type) = match &declared.kind {
                    SecretKind::OAuth {
                        provider_id,
                        grant_type,
                    } => (provider_id.clone(), granted(*grant_type)),
                    SecretKind::Static { name, .. } => {
                        is_there |= ordinary.get(name).is_some_and(|keys| !keys.is_empty());
                        continue;
                    }
                };
                let known = (provider, grant_type);
                if matches!(tokens.get(&known), Some(Some(_))) {
                    is_there = true;
                    continue;
                }
                match held(engine, &known.0, grant_type, &options.connection).await? {
                    Ok(held) => {
                        tokens.insert(known, Some(held));
                        is_there = true;
                    }
                    Err(missing) if declared.is_optional => choices.push((known, missing)),
                    Err(missing) => return Err(missing.needed(source, &known)),
                }
            }
            if !is_there && !choices.is_empty() {
                return Err(none_of(source, choices));
            }
        }
        found.grants = tokens.into_values().flatten().collect();
        let all = found.grants.iter();
        found.placeholders = all.map(|held| held.placeholder.clone()).collect();
        found.refuse_repeated_keys(&ordinary)?;
        found.trust = trust(&ordinary)?;
        found.context = found.shown(&ordinary);
        found.ordinary = ordinary
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect();
        Ok(found)
    }

    /// What stands for tokens.
    pub(in crate::action) const fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// The rules of the connection that a placeholder belongs to.
    pub(in crate::action) fn rules(&self, placeholder: &Placeholder) -> Option<&Arc<Spec>> {
        let mut all = self.grants.iter();
        let held = all.find(|held| held.placeholder == *placeholder)?;
        Some(&held.spec)
    }

    /// A valid token for a placeholder; `replacing` is one that was refused.
    ///
    /// # Errors
    /// Those of [`Engine::get_token`].
    pub(in crate::action) async fn token(
        &self,
        engine: &Arc<Engine>,
        placeholder: &Placeholder,
        replacing: Option<AccessToken>,
    ) -> Result<Arc<Slot>> {
        let request = TokenRequest {
            provider: placeholder.provider.to_string(),
            grant_type: Some(placeholder.grant_type),
            connection: self.connection.clone(),
            replacing,
            ..TokenRequest::default()
        };
        let slot = engine.get_token(&request).await?;
        self.note(placeholder, slot.stored.token.value.clone());
        Ok(slot)
    }

    /// Notes another writing of a placeholder's token that leaves.
    pub(in crate::action) fn note_encoded(&self, placeholder: &Placeholder, text: &str) {
        self.note(placeholder, AccessToken::from(text));
    }

    fn note(&self, placeholder: &Placeholder, token: AccessToken) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !token.expose().is_empty() && !used.iter().any(|(_, known)| *known == token) {
            used.push((Arc::clone(&placeholder.marker), token));
            // One may hold another.
            used.sort_by_key(|(_, token)| std::cmp::Reverse(token.expose().len()));
        }
    }

    /// The tokens that were put into requests, the longest first, each with the marker that stands for it.
    pub(in crate::action) fn sent(&self) -> Vec<(Arc<str>, AccessToken)> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.clone()
    }

    /// The value with markers where a text or key holds a token that was put into a request.
    pub(in crate::action) fn without_tokens(&self, value: Value) -> Value {
        let sent = self.sent();
        if sent.is_empty() {
            value
        } else {
            marked(&value, &sent)
        }
    }

    /// Notes that a token came in place of a refused one.
    pub(in crate::action) fn note_replacement(&self, slot: &Slot) {
        let mut known = self
            .replacements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.push(slot.stored.token.value.clone());
    }

    /// Whether a token came in place of a refused one.
    pub(in crate::action) fn is_replacement(&self, slot: &Slot) -> bool {
        let known = self
            .replacements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.contains(&slot.stored.token.value)
    }

    /// Whether any of the run's tokens may go there.
    pub(in crate::action) fn owns(&self, url: &Url) -> bool {
        let mut all = self.grants.iter();
        all.any(|held| hosts::owns(&held.spec.api.hosts, url))
    }

    /// Whether a text holds an ordinary secret.
    pub(in crate::action) fn holds_ordinary(&self, text: &str) -> bool {
        let mut all = self.ordinary.iter().map(Secret::expose);
        all.any(|secret| secret.chars().count() > 1 && text.contains(secret))
    }

    /// The value with every secret in its texts masked, the longest first. Keys and numbers stay as they are.
    pub(super) fn mask(&self, value: &Value) -> Value {
        let hidden = self.hidden();
        let hidden = Vec::from_iter(hidden.iter().map(Secret::expose));
        mask(value, &hidden)
    }

    /// The same for a text that is shown: also what stands for tokens, and what other parts of the process hold.
    pub(in crate::action) fn mask_text(&self, text: &str) -> String {
        let hidden = self.hidden();
        let markers = self.grants.iter().map(|held| &*held.placeholder.marker);
        let hidden = Vec::from_iter(hidden.iter().map(Secret::expose).chain(markers));
        let masked = hide(text, &hidden);
        crate::secret::redact::redact(&masked).unwrap_or(masked)
    }

    /// All that may not be seen, the longest first. What has one character is no secret.
    fn hidden(&self) -> Vec<Secret> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = used.iter().map(|(_, token)| token.as_ref().clone());
        let mut hidden = Vec::from_iter(tokens.chain(self.ordinary.iter().cloned()));
        hidden.retain(|secret| secret.expose().chars().count() > 1);
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        hidden
    }

    /// Steps of the original dialect see all keys of a run side by side, so that none may be there twice.
    fn refuse_repeated_keys(
        &self,
        ordinary: &BTreeMap<String, BTreeMap<String, Secret>>,
    ) -> Result<()> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, keys) in ordinary {
            for key in keys.keys() {
                if let Some(other) = seen.insert(key, name) {
                    let reason = format!("the secrets {other} and {name} both have the key {key}");
                    return Err(Error::action("repeated_secret_key", reason));
                }
            }
        }
        Ok(())
    }

    fn shown(&self, ordinary: &BTreeMap<String, BTreeMap<String, Secret>>) -> Value {
        let mut context: BTreeMap<String, Mapping> = BTreeMap::new();
        for Held { placeholder, .. } in &self.grants {
            let provider = &placeholder.provider;
            let kind = match placeholder.grant_type {
                GrantType::AuthorizationCode => "USER",
                GrantType::ClientCredentials => "SERVICE",
            };
            let key = format!("{}_{kind}_TOKEN", provider.to_uppercase());
            let entry = context.entry(format!("{provider}_oauth")).or_default();
            entry.insert(Key::from(key.as_str()), Value::from(&*placeholder.marker));
        }
        for (name, keys) in ordinary {
            let entry = context.entry(name.clone()).or_default();
            for (key, secret) in keys {
                entry.insert(Key::from(key.as_str()), Value::from(secret.expose()));
            }
        }
        let entries = context.into_iter();
        Value::mapping(
            entries
                .map(|(name, keys)| (Key::from(name.as_str()), Value::mapping(keys)))
                .collect(),
        )
    }
}

const fn granted(grant_type: template::GrantType) -> GrantType {
    match grant_type {
        template::GrantType::AuthorizationCode => GrantType::AuthorizationCode,
        template::GrantType::ClientCredentials => GrantType::ClientCredentials,
    }
}

/// What there is of a declared ordinary secret.
fn given(
    source: &Source,
    declared: &Declared,
    name: &str,
    (keys, optional_keys): (&[String], &[String]),
    options: &Options,
) -> Result<BTreeMap<String, Secret>> {
    let mut found = BTreeMap::new();
    for key in keys.iter().chain(optional_keys) {
        let argument = options.secrets.get(name).and_then(|keys| keys.get(key));
        let secret = match (argument, &options.file) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(file)) => file.secret(name, key)?,
            (None, None) => None,
        };
        found.extend(secret.map(|secret| (key.clone(), secret)));
    }
    let missing = keys.iter().find(|key| !found.contains_key(*key));
    match missing {
        // Of an optional one all or nothing is there.
        Some(_) if declared.is_optional => Ok(BTreeMap::new()),
        Some(key) => Err(Error::action(
            "secret_missing",
            format!(
                "{} needs the secret {name} with {key}: give secrets={{{name:?}: {{{key:?}: ...}}}}, or name it in evergrant.yaml",
                source.template.action
            ),
        )),
        None => Ok(found),
    }
}

/// A declared token, if there is one to use now.
async fn held(
    engine: &Engine,
    provider: &str,
    grant_type: GrantType,
    connection: &str,
) -> Result<std::result::Result<Held, Missing>> {
    let status = match engine.status(provider, Some(grant_type), connection).await {
        Ok(status) => status,
        Err(error) if matches!(error.kind(), ErrorKind::UnknownProvider) => {
            return Ok(Err(Missing {
                status: None,
                error: Some(error),
            }));
        }
        Err(error) => return Err(error),
    };
    let is_usable = match (status.state, grant_type) {
        (State::Connected, _) => true,
        // A service grant needs no person: its token is fetched when it is wanted.
        (State::Configured, GrantType::ClientCredentials) => true,
        _ => false,
    };
    if !is_usable {
        return Ok(Err(Missing {
            status: Some(status),
            error: None,
        }));
    }
    let spec = engine.rules_of(provider, grant_type, connection).await?;
    let placeholder = Placeholder::new(provider, grant_type)
        .map_err(|failure| Error::internal(failure.to_string()))?;
    Ok(Ok(Held { placeholder, spec }))
}

impl Missing {
    /// The error for a token that a template can't do without.
    fn needed(self, source: &Source, (provider, grant_type): &(String, GrantType)) -> Error {
        if let Some(error) = self.error {
            return error;
        }
        let reason = match self.reason() {
            Some(reason) => format!(": {reason}"),
            None => String::new(),
        };
        let reason = format!(
            "{} needs {provider} ({grant_type}){reason}",
            source.template.action
        );
        let error = Error::new(self.kind(), self.code(), reason).of_provider(provider);
        match self.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn state(&self) -> State {
        let status = self.status.as_ref();
        status.map_or(State::NotConfigured, |status| status.state)
    }

    fn kind(&self) -> ErrorKind {
        match self.state() {
            State::NotConfigured => ErrorKind::NotConfigured,
            State::ReauthorizationRequired => ErrorKind::ReauthorizationRequired {
                error: None,
                description: None,
            },
            _ => ErrorKind::NotConnected,
        }
    }

    fn code(&self) -> &'static str {
        match self.state() {
            State::NotConfigured => "not_configured",
            State::ReauthorizationRequired => "reauthorization_required",
            _ => "not_connected",
        }
    }

    fn reason(&self) -> Option<&str> {
        self.status.as_ref()?.reason.as_deref()
    }

    fn hint(&self) -> Option<&str> {
        self.status.as_ref()?.hint.as_deref()
    }
}

/// The error where a template could use any one of several tokens, and none is there.
fn none_of(source: &Source, choices: Vec<((String, GrantType), Missing)>) -> Error {
    // What is nearest to work says what kind of error it is.
    let rank = |missing: &Missing| match missing.state() {
        State::ReauthorizationRequired => 0,
        State::NotConfigured => 2,
        _ => 1,
    };
    let names = choices
        .iter()
        .map(|((provider, grant_type), _)| format!("{provider} ({grant_type})"));
    let names = Vec::from_iter(names).join(", ");
    let hints = choices.iter().filter_map(|(_, missing)| missing.hint());
    let mut lines: Vec<&str> = Vec::new();
    for line in hints.flat_map(str::lines) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let hint = lines.join("\n");
    let best = choices.iter().min_by_key(|(_, missing)| rank(missing));
    let Some((_, best)) = best else {
        return Error::internal("a choice of none");
    };
    let action = &source.template.action;
    let reason = match choices.len() {
        1 => format!("{action} needs {names}, which is not connected"),
        _ => format!("{action} needs one of {names}, and none is connected"),
    };
    let error = Error::new(best.kind(), best.code(), reason);
    match hint.is_empty() {
        true => error,
        false => error.hint(hint),
    }
}

/// The client certificate and the trust anchors that a run's secrets name.
fn trust(ordinary: &BTreeMap<String, BTreeMap<String, Secret>>) -> Result<Trust> {
    let key = |name: &str| ordinary.values().find_map(|keys| keys.get(name));
    let certificate = match (key("TLS_CERTIFICATE"), key("TLS_PRIVATE_KEY")) {
        (Some(certificate), Some(private)) => {
            let both = format!("{}\n{}\n", certificate.expose(), private.expose());
            Some(Secret::from(both))
        }
        (None, None) => None,
        _ => {
            let reason = "TLS_CERTIFICATE and TLS_PRIVATE_KEY are needed together";
            return Err(Error::action("secret_missing", reason));
        }
    };
    Ok(Trust {
        is_blind: false,
        anchors: key("CA_CERTIFICATE").cloned(),
        certificate,
    })
}

/// The value with the markers of tokens in their place.
fn marked(value: &Value, sent: &[(Arc<str>, AccessToken)]) -> Value {
    let text = |text: &str| {
        sent.iter()
            .filter(|(_, token)| text.contains(token.expose()))
            .fold(None::<String>, |changed, (marker, token)| {
                let text = changed.as_deref().unwrap_or(text);
                Some(text.replace(token.expose(), marker))
            })
    };
    match value {
        Value::Text(held) => text(held).map_or_else(|| value.clone(), Value::from),
        Value::List(items) => Value::list(items.iter().map(|item| marked(item, sent)).collect()),
        Value::Mapping(entries) => {
            let entry = |(key, member): (&Key, &Value)| {
                let name = match key.value() {
                    Value::Text(held) => text(held).map(|held| Key::from(held.as_str())),
                    _ => None,
                };
                (name.unwrap_or_else(|| key.clone()), marked(member, sent))
            };
            Value::mapping(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn mask(value: &Value, hidden: &[&str]) -> Value {
    match value {
        Value::Text(text) => Value::from(hide(text, hidden)),
        Value::List(items) => Value::list(items.iter().map(|item| mask(item, hidden)).collect()),
        Value::Mapping(entries) => Value::mapping(
            entries
                .iter()
                .map(|(key, member)| (key.clone(), mask(member, hidden)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn hide(text: &str, hidden: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in hidden {
        if text.contains(secret) {
            text = text.replace(secret, MASK);
        }
    }
    text
}
