//! From a provider's file, a grant type and the user's overrides to a [`Spec`].

use std::collections::BTreeMap;

use url::Url;

use super::catalog::Provider;
use super::grant::GrantFile;
use super::hosts::{is_loopback_literal, judge_url, normal};
use super::parameters::{
    Parameter, Place, adopt, fill, judge, missing, placeholders, resolve, whole,
};
use super::{
    ApiRules, CallbackRules, ClientAuthentication, ClientRules, Endpoints, Overrides, Pkce,
    ResourceRules, ScopeRules, Spec,
};
use crate::error::{Error, Result};
use crate::model::GrantType;

/// Parameters of the authorization request that only evergrant sets: each guards the sign-in.
const AUTHORIZATION_RESERVED: [&str; 9] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "response_type",
    "scope",
    "state",
];

/// Parameters of token requests that only evergrant sets.
const TOKEN_RESERVED: [&str; 10] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "subject_token",
];

/// See [`Provider::spec`].
pub(super) fn make(
    provider: &Provider,
    grant_type: GrantType,
    overrides: &Overrides,
    kept: &BTreeMap<String, String>,
) -> Result<Spec> {
    make_for(provider, grant_type, overrides, kept).map_err(|error| error.of_provider(&provider.id))
}

fn make_for(
    provider: &Provider,
    grant_type: GrantType,
    overrides: &Overrides,
    kept: &BTreeMap<String, String>,
) -> Result<Spec> {
    let file = provider.grant(grant_type)?.clone();
    if let Some(mechanism) = file.needs.first() {
        return Err(Error::invalid_parameter(
            "grant_type_unsupported",
            format!(
                "{grant_type} of {} needs {}, which evergrant does not speak yet",
                provider.id,
                mechanism.words()
            ),
        ));
    }
    check_reserved(
        "authorization_parameters",
        &overrides.authorization_parameters,
        &AUTHORIZATION_RESERVED,
    )?;
    check_reserved(
        "token_parameters",
        &overrides.token_parameters,
        &TOKEN_RESERVED,
    )?;
    let values = Values(values(provider, &file, overrides, kept)?);
    let endpoints = endpoints(provider, grant_type, &file, overrides, &values)?;
    let revocation = file
        .revocation
        .rules(endpoints.revocation_endpoint.is_some());
    let mut spec = Spec {
        id: provider.id.clone(),
        name: provider.name.clone(),
        grant_type,
        endpoints,
        client: client(provider, file.client, overrides)?,
        pkce: pkce(file.pkce, overrides),
        pkce_hex: file.pkce_encoding.is_some(),
        authorization: file.authorization,
        callback: CallbackRules {
            state: file.state,
            ..file.callback
        },
        redirect: file.redirect,
        token: file.token,
        exchange: file.exchange,
        lookup: file.lookup,
        assertion: file.assertion,
        refresh: file.refresh,
        device: file.device,
        scopes: scopes(file.scopes, overrides, &values)?,
        resource: resource(file.resource, overrides, &values)?,
        reply: file.reply,
        lifetimes: file.lifetimes,
        api: api(file.api, overrides, &values)?,
        account: file.account,
        expiry_signals: file.expiry_signals,
        errors: file.errors,
        revocation,
        setup: file.setup,
        user_endpoints: !overrides.endpoints.is_empty() || !overrides.discovered.is_empty(),
        server_named: server_named(overrides),
        kept: kept
            .keys()
            .filter(|name| values.0.get(*name) == kept.get(*name))
            .cloned()
            .collect(),
        values: values.0,
    };
    spec.authorization
        .parameters
        .extend(overrides.authorization_parameters.clone());
    spec.authorization.pushed |= overrides.pushed;
    spec.token
        .parameters
        .extend(overrides.token_parameters.clone());
    if let Some(refresh) = &mut spec.refresh {
        refresh
            .request
            .parameters
            .extend(overrides.token_parameters.clone());
    }
    Ok(spec)
}

/// The hosts of discovered endpoints that are neither the user's nor that of the issuer, or resource, that was asked.
fn server_named(overrides: &Overrides) -> Vec<String> {
    let host = |url: &String| Some(url::Url::parse(url).ok()?.host_str()?.to_owned());
    let named = overrides.endpoints.named();
    // The authorization server of a resource is of the resource's own choice.
    let asked = overrides
        .resource
        .as_ref()
        .or(overrides.discovered.issuer.as_ref());
    let ours: Vec<String> = named
        .into_iter()
        .filter_map(|(_, url)| url)
        .chain(asked)
        .filter_map(host)
        .collect();
    let theirs = overrides.discovered.named();
    theirs
        .into_iter()
        .filter_map(|(_, url)| host(url?))
        .filter(|host| !ours.contains(host))
        .collect()
}

/// What fills templates before a sign-in.
struct Values(BTreeMap<String, String>);

impl Values {
    fn fill(&self, template: &str) -> Result<Option<String>> {
        fill(template, &|name| self.0.get(name).cloned())
    }

    fn fill_some(&self, template: Option<String>) -> Result<Option<String>> {
        template.map_or(Ok(None), |template| self.fill(&template))
    }

    /// Those that can be filled.
    fn fill_all(&self, templates: &[String]) -> Result<Vec<String>> {
        let filled = templates.iter().map(|template| self.fill(template));
        filled.filter_map(Result::transpose).collect()
    }

    /// Hosts in their one spelling, those that can be filled.
    fn hosts(&self, templates: &[String]) -> Result<Vec<String>> {
        self.fill_all(templates)?
            .iter()
            .map(|host| normal(host))
            .collect()
    }
}

fn pkce(file: Pkce, overrides: &Overrides) -> Pkce {
    match overrides.pkce {
        Some(true) => Pkce::Required,
        Some(false) => Pkce::Never,
        None => file,
    }
}

fn scopes(mut rules: ScopeRules, overrides: &Overrides, values: &Values) -> Result<ScopeRules> {
    rules.base = values.fill_all(&rules.base)?;
    let supported = &overrides.supported_scopes;
    let known = rules.if_supported.iter();
    rules
        .base
        .extend(known.filter(|scope| supported.contains(scope)).cloned());
    let mut suggested = BTreeMap::new();
    for (scope, meaning) in rules.suggested {
        suggested.extend(values.fill(&scope)?.map(|scope| (scope, meaning)));
    }
    rules.suggested = suggested;
    match overrides.scope_separator.as_deref() {
        None => {}
        Some(separator @ (" " | ",")) => rules.separator = Some(separator.to_owned()),
        Some(_) => {
            return Err(Error::invalid_parameter(
                "invalid_scope_separator",
                "the separator of scopes has to be a space or a comma",
            ));
        }
    }
    Ok(rules)
}

/// The rules of the file; a resource that named its own authorization server is the default one, to the letter.
fn resource(
    rules: Option<ResourceRules>,
    overrides: &Overrides,
    values: &Values,
) -> Result<Option<ResourceRules>> {
    if rules.is_none() && overrides.resource.is_none() {
        return Ok(None);
    }
    let mut rules = rules.unwrap_or_default();
    rules.default = values.fill_some(rules.default)?;
    rules.aliases = values.fill_all(&rules.aliases)?;
    for other in rules.others.values_mut() {
        other.value = values.fill_some(other.value.take())?;
        other.hosts = values.hosts(&other.hosts)?;
    }
    if let Some(resource) = &overrides.resource {
        rules.parameter = rules.parameter.or_else(|| Some("resource".to_owned()));
        rules.default = Some(resource.clone());
    }
    Ok(Some(rules))
}

/// The API's hosts are the file's, the user's, and that of the resource that the user named.
fn api(mut rules: ApiRules, overrides: &Overrides, values: &Values) -> Result<ApiRules> {
    rules.hosts = values.hosts(&rules.hosts)?;
    for host in overrides.api_hosts.iter().chain(&overrides.resource) {
        let host = normal(host)?;
        if !rules.hosts.contains(&host) {
            rules.hosts.push(host);
        }
    }
    rules.base_url = values.fill_some(rules.base_url)?;
    if let Some(url) = &rules.base_url {
        judge_url(url, false)?;
    }
    Ok(rules)
}

/// The values of parameters, with what a sign-in kept in place of those that it fits.
fn values(
    provider: &Provider,
    file: &GrantFile,
    overrides: &Overrides,
    kept: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let places = file.places();
    let place = |name: &str| places.get(name).copied().unwrap_or_default();
    let mut values = resolve(
        &provider.id,
        &file.parameters,
        &overrides.parameters,
        &place,
    )?;
    for (name, pattern) in file.kept() {
        let Some(value) = kept.get(name) else {
            continue;
        };
        match file.parameters.get(name) {
            Some(parameter) if judge(name, parameter, value, place(name)).is_ok() => {
                adopt(name, parameter, value, &mut values);
            }
            Some(_) => {}
            None if kept_fits(value, pattern, place(name)) => {
                values.insert(name.to_owned(), value.clone());
            }
            None => {}
        }
    }
    let may_be_kept = |name: &str| file.kept().any(|(kept, _)| kept == name);
    for (name, parameter) in &file.parameters {
        if !values.contains_key(name) && !parameter.optional && !may_be_kept(name) {
            return Err(missing(&provider.id, name, Some(parameter)));
        }
    }
    Ok(values)
}

/// Whether a value that only a sign-in brings may go where its name stands: into a host only with a pattern in the file,
/// into a path without one only as one segment. A pattern with a group kept the group, and judged the rest then.
fn kept_fits(value: &str, pattern: Option<&str>, place: Place) -> bool {
    let Some(pattern) = pattern else {
        return place != Place::Host && judge("", &Parameter::default(), value, place).is_ok();
    };
    let fits = whole(pattern).is_ok_and(|whole| whole.captures_len() > 1 || whole.is_match(value));
    let harmless = |c: char| !c.is_control() && !c.is_whitespace() && !"@\\#?".contains(c);
    fits && (place == Place::Elsewhere || value.chars().all(harmless))
}

/// The endpoints: the user's, else the discovered ones, else the file's; each judged.
fn endpoints(
    provider: &Provider,
    grant_type: GrantType,
    file: &GrantFile,
    overrides: &Overrides,
    values: &Values,
) -> Result<Endpoints> {
    let mut endpoints = Endpoints::default();
    let named = overrides.endpoints.named();
    let discovered = overrides.discovered.named();
    for (((name, template), (_, given)), (_, found)) in file
        .endpoints
        .named()
        .into_iter()
        .zip(named)
        .zip(discovered)
    {
        let (url, allow_http_loopback) = match (given, found, template) {
            (Some(given), _, _) => match values.fill_some(Some(given.clone()))? {
                Some(filled) => (Some(filled), true),
                None => return Err(placeholder_left(&provider.id, name, given, values)),
            },
            (None, Some(found), _) => (Some(found.clone()), has_loopback_issuer(overrides)),
            (None, None, template) => (values.fill_some(template.cloned())?, false),
        };
        let Some(url) = url else {
            continue;
        };
        // A page of the vendor's may read what stands behind its fragment.
        let behind = file.authorization.fragment && name == "authorization_endpoint";
        let judged = match url.split_once('#') {
            Some((page, _)) if behind => page,
            _ => &url,
        };
        judge_url(judged, allow_http_loopback).map_err(|error| {
            Error::invalid_parameter(
                error.code(),
                format!("{name} of {}: {}", provider.id, error.reason()),
            )
            .hint(format!(
                "evergrant configure {} --endpoint {name}=https://HOST/PATH",
                provider.id
            ))
        })?;
        if let Some(endpoint) = endpoints.named_mut(name) {
            *endpoint = Some(url);
        }
    }
    require(provider, grant_type, file, &endpoints, values)?;
    Ok(endpoints)
}

/// Whether the user named an issuer or a resource on this machine: what that one names may be on it too.
fn has_loopback_issuer(overrides: &Overrides) -> bool {
    let issuer = overrides
        .endpoints
        .issuer
        .as_ref()
        .or(overrides.resource.as_ref())
        .or(overrides.discovered.issuer.as_ref());
    issuer
        .and_then(|issuer| Url::parse(issuer).ok())
        .is_some_and(|issuer| is_loopback_literal(&issuer))
}

/// The error for a URL of the user's in which something still stands for a value.
fn placeholder_left(provider: &str, endpoint: &str, given: &str, values: &Values) -> Error {
    let unknown = placeholders(given).find(|(_, name)| !values.0.contains_key(*name));
    let unknown = unknown.map_or("", |(_, name)| name);
    Error::invalid_parameter(
        "missing_parameter",
        format!("{endpoint} of {provider} holds the placeholder `{{{unknown}}}`: write the value in its place"),
    )
    .of_provider(provider)
    .hint(format!(
        "evergrant configure {provider} --endpoint {endpoint}=https://HOST/PATH"
    ))
}

/// Refuses a grant without the endpoints that it cannot do without, naming what would give them.
fn require(
    provider: &Provider,
    grant_type: GrantType,
    file: &GrantFile,
    endpoints: &Endpoints,
    values: &Values,
) -> Result<()> {
    let starts = endpoints.authorization_endpoint.is_some()
        || endpoints.device_authorization_endpoint.is_some();
    let (name, template) = if grant_type == GrantType::AuthorizationCode && !starts {
        (
            "authorization_endpoint",
            &file.endpoints.authorization_endpoint,
        )
    } else if endpoints.token_endpoint.is_none() && file.token.url.is_none() {
        ("token_endpoint", &file.endpoints.token_endpoint)
    } else {
        return Ok(());
    };
    if let Some(template) = template
        && let Some((_, unknown)) =
            placeholders(template).find(|(_, name)| !values.0.contains_key(*name))
    {
        // The callback brings it.
        if file.kept().any(|(kept, _)| kept == unknown) {
            return Ok(());
        }
        return Err(missing(&provider.id, unknown, file.parameters.get(unknown)));
    }
    Err(
        Error::invalid_parameter("missing_endpoint", format!("{} has no {name}", provider.id))
            .hint(format!(
                "evergrant configure {} --endpoint {name}=https://HOST/PATH",
                provider.id
            )),
    )
}

/// The client's rules with methods that work today, the user's choice alone where there is one.
fn client(
    provider: &Provider,
    mut client: ClientRules,
    overrides: &Overrides,
) -> Result<ClientRules> {
    use ClientAuthentication::{Bearer, Custom, TlsClientAuth};
    let unsupported = |method: &ClientAuthentication| *method == TlsClientAuth;
    let refused = |reason: &str| {
        Err(
            Error::invalid_parameter("client_authentication_unsupported", reason)
                .hint(format!("evergrant configure {}", provider.id)),
        )
    };
    match overrides.client_authentication {
        Some(method) if unsupported(&method) => {
            return refused(
                "client certificates come in a later release; use client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none",
            );
        }
        Some(Custom | Bearer) => {
            return refused(
                "this client authentication can only be described by a provider file; use client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none",
            );
        }
        Some(method) => client.authentication = vec![method],
        None => {
            client.authentication.retain(|method| !unsupported(method));
            if client.authentication.is_empty() {
                return refused(
                    "the provider only takes clients with certificates, which come in a later release",
                );
            }
        }
    }
    Ok(client)
}

fn check_reserved(
    argument: &str,
    given: &BTreeMap<String, String>,
    reserved: &[&str],
) -> Result<()> {
    match given.keys().find(|name| reserved.contains(&name.as_str())) {
        Some(name) => Err(Error::invalid_parameter(
            "reserved_parameter",
            format!(
                "{argument} may not set `{name}`: evergrant sets it itself, and safety rests on it"
            ),
        )),
        None => Ok(()),
    }
}
