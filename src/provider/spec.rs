//! From a provider's file, a grant type and the user's overrides to a [`Spec`].

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::catalog::Provider;
use super::hosts::{is_loopback_literal, judge_url, normal};
use super::parameters::{
    Parameter, Place, adopt, fill, judge, missing, placeholders, resolve, whole,
};
use super::{
    AccountRules, ApiRules, AssertionRules, AuthorizationRules, CallbackRules,
    ClientAuthentication, ClientRules, DeviceRules, Endpoints, ErrorMeaning, ExpirySignal,
    Lifetimes, Overrides, Pkce, RedirectRules, RefreshRules, ReplyRules, RequestRules,
    ResourceRules, RevocationFile, RevocationKind, RevocationRules, ScopeRules, Setup, Spec,
    StateRules,
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
const TOKEN_RESERVED: [&str; 9] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
];

/// One grant of a provider, flattened: the provider's sections, the grant's over them, the grant's own fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GrantFile {
    endpoints: Endpoints,
    #[serde(rename = "discovery")]
    _discovery: Option<Discovery>,
    pub(super) parameters: BTreeMap<String, Parameter>,
    client: ClientRules,
    pkce: Pkce,
    pkce_encoding: Option<PkceEncoding>,
    #[serde(rename = "pkce_note")]
    _pkce_note: Option<String>,
    authorization: AuthorizationRules,
    callback: CallbackRules,
    state: Option<StateRules>,
    redirect: RedirectRules,
    token: RequestRules,
    exchange: Option<RequestRules>,
    #[serde(rename = "assertion")]
    _assertion: Option<AssertionRules>,
    refresh: Option<RefreshRules>,
    device: Option<DeviceRules>,
    pub(super) scopes: ScopeRules,
    resource: Option<ResourceRules>,
    reply: ReplyRules,
    lifetimes: Lifetimes,
    #[serde(rename = "lookup")]
    _lookup: Option<serde_json::Value>,
    pub(super) api: ApiRules,
    account: Option<AccountRules>,
    expiry_signals: Vec<ExpirySignal>,
    errors: BTreeMap<String, ErrorMeaning>,
    revocation: RevocationFile,
    pub(super) setup: Setup,
    needs: Vec<Mechanism>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// The one deviation of PKCE's encoding.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PkceEncoding {
    Hex,
}

/// Where metadata comes from. Read and checked; used when discovery is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Discovery {
    #[serde(rename = "from")]
    _from: Option<String>,
    #[serde(rename = "url")]
    _url: Option<String>,
    #[serde(rename = "order")]
    _order: Vec<String>,
    #[serde(rename = "url_known")]
    _url_known: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// What needs code of its own. None is there yet: such a grant says so instead of failing half-way.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mechanism {
    CallbackSignature,
    JwtAssertion,
    Lookup,
    MutualTls,
    SecondExchange,
    VendorStart,
    Xml,
}

impl Mechanism {
    fn words(self) -> &'static str {
        match self {
            Self::CallbackSignature => "callbacks that are signed",
            Self::JwtAssertion => "assertions signed with a key of yours",
            Self::Lookup => "a look-up after the sign-in",
            Self::MutualTls => "a client certificate",
            Self::SecondExchange => "a second token exchange",
            Self::VendorStart => "sign-ins that its own pages start",
            Self::Xml => "XML bodies",
        }
    }
}

impl GrantFile {
    /// Where parameters go, by name; the strictest place of each.
    fn places(&self) -> BTreeMap<&str, Place> {
        let in_urls = self.urls().flat_map(|url| {
            let authority = url.find("://").map_or(0, |scheme| scheme + 3);
            let path = url[authority..]
                .find('/')
                .map_or(url.len(), |slash| authority + slash);
            let query = url.find('?').unwrap_or(url.len());
            placeholders(url).map(move |(at, name)| match at {
                _ if at < path.min(query) => (name, Place::Host),
                _ if at < query => (name, Place::Path),
                _ => (name, Place::Elsewhere),
            })
        });
        let in_hosts = self
            .host_templates()
            .flat_map(|host| placeholders(host).map(|(_, name)| (name, Place::Host)));
        let mut places = BTreeMap::new();
        for (name, place) in in_urls.chain(in_hosts) {
            let strictest = places.entry(name).or_insert(place);
            *strictest = place.max(*strictest);
        }
        places
    }

    /// Every template of a URL.
    fn urls(&self) -> impl Iterator<Item = &str> {
        let account = self.account.as_ref();
        let device = self.device.as_ref();
        let requests = [
            Some(&self.token),
            self.exchange.as_ref(),
            self.refresh.as_ref().map(|refresh| &refresh.request),
            device.map(|device| &device.request),
            device.map(|device| &device.poll),
            account.map(|account| &account.request),
        ];
        let follow_ups = account
            .into_iter()
            .flat_map(|account| [&account.email_from, &account.id_from]);
        let endpoints = self
            .endpoints
            .named()
            .into_iter()
            .filter_map(|(_, url)| url);
        let requests = requests
            .into_iter()
            .flatten()
            .filter_map(|request| request.url.as_ref());
        endpoints
            .chain(requests)
            .chain(&self.revocation.url)
            .chain(&self.api.base_url)
            .chain(follow_ups.flatten().map(|follow_up| &follow_up.url))
            .map(String::as_str)
    }

    /// Every template of a host.
    fn host_templates(&self) -> impl Iterator<Item = &str> {
        let others = self
            .resource
            .iter()
            .flat_map(|resource| resource.others.values());
        self.api
            .hosts
            .iter()
            .chain(others.flat_map(|other| &other.hosts))
            .map(String::as_str)
    }

    /// Names that a sign-in may bring, each with the pattern it was kept by.
    fn kept(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.reply
            .keep
            .iter()
            .chain(&self.callback.keep)
            .map(|(name, rule)| {
                (
                    name.as_str(),
                    rule.get("pattern").and_then(serde_json::Value::as_str),
                )
            })
    }
}

/// See [`Provider::spec`].
pub(super) fn make(
    provider: &Provider,
    grant_type: GrantType,
    overrides: &Overrides,
    kept: &BTreeMap<String, String>,
) -> Result<Spec> {
    let file = provider.grant(grant_type)?.clone();
    let named = |error: Error| error.of_provider(&provider.id);
    if let Some(mechanism) = file.needs.first() {
        return Err(named(Error::invalid_parameter(
            "grant_type_unsupported",
            format!(
                "{grant_type} of {} needs {}, which evergrant does not speak yet",
                provider.id,
                mechanism.words()
            ),
        )));
    }
    let values = values(provider, &file, overrides, kept)?;
    let known = |name: &str| values.get(name).cloned();
    let fill_all = |templates: &[String]| -> Result<Vec<String>> {
        let filled = templates
            .iter()
            .map(|template| fill(template, &known).map_err(named));
        Ok(filled
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    };
    let fill_hosts = |templates: &[String]| -> Result<Vec<String>> {
        fill_all(templates)?
            .iter()
            .map(|host| normal(host).map_err(named))
            .collect()
    };

    let endpoints = endpoints(provider, grant_type, &file, overrides, &values)?;
    let client = client(provider, file.client, overrides)?;
    check_reserved(
        provider,
        "authorization_parameters",
        &overrides.authorization_parameters,
        &AUTHORIZATION_RESERVED,
    )?;
    check_reserved(
        provider,
        "token_parameters",
        &overrides.token_parameters,
        &TOKEN_RESERVED,
    )?;

    let mut authorization = file.authorization;
    authorization
        .parameters
        .extend(overrides.authorization_parameters.clone());
    let mut token = file.token;
    token.parameters.extend(overrides.token_parameters.clone());
    let mut refresh = file.refresh;
    if let Some(refresh) = &mut refresh {
        refresh
            .request
            .parameters
            .extend(overrides.token_parameters.clone());
    }
    let mut callback = file.callback;
    callback.state = file.state;
    let mut scopes = file.scopes;
    scopes.base = fill_all(&scopes.base)?;
    if let Some(separator) = &overrides.scope_separator {
        scopes.separator = Some(separator_of(provider, separator)?);
    }
    let mut api = file.api;
    api.hosts = fill_hosts(&api.hosts)?;
    for host in &overrides.api_hosts {
        let host = normal(host).map_err(named)?;
        if !api.hosts.contains(&host) {
            api.hosts.push(host);
        }
    }
    api.base_url = fill_url(api.base_url, &known).map_err(named)?;
    let mut resource = file.resource;
    if let Some(resource) = &mut resource {
        resource.default = resource
            .default
            .as_deref()
            .map(|value| fill(value, &known))
            .transpose()
            .map_err(named)?
            .flatten();
        resource.aliases = fill_all(&resource.aliases)?;
        for other in resource.others.values_mut() {
            other.value = other
                .value
                .as_deref()
                .map(|value| fill(value, &known))
                .transpose()
                .map_err(named)?
                .flatten();
            other.hosts = fill_hosts(&other.hosts)?;
        }
    }
    let revocation = revocation(file.revocation, &endpoints);
    Ok(Spec {
        id: provider.id.clone(),
        name: provider.name.clone(),
        grant_type,
        endpoints,
        client,
        pkce: match overrides.pkce {
            Some(true) => Pkce::Required,
            Some(false) => Pkce::Never,
            None => file.pkce,
        },
        pkce_hex: file.pkce_encoding.is_some(),
        authorization,
        callback,
        redirect: file.redirect,
        token,
        refresh,
        device: file.device,
        scopes,
        resource,
        reply: file.reply,
        lifetimes: file.lifetimes,
        api,
        account: file.account,
        expiry_signals: file.expiry_signals,
        errors: file.errors,
        revocation,
        setup: file.setup,
        user_endpoints: !overrides.endpoints.is_empty() || !overrides.discovered.is_empty(),
        values,
    })
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
    values: &BTreeMap<String, String>,
) -> Result<Endpoints> {
    let issuer = overrides
        .endpoints
        .issuer
        .as_ref()
        .or(overrides.discovered.issuer.as_ref());
    let loopback_issuer = issuer
        .and_then(|issuer| Url::parse(issuer).ok())
        .is_some_and(|issuer| is_loopback_literal(&issuer));
    let mut endpoints = Endpoints::default();
    let sources = [
        (&overrides.endpoints, true),
        (&overrides.discovered, loopback_issuer),
    ];
    for (name, template) in file.endpoints.named() {
        let given = sources.iter().find_map(|(source, allow_http)| {
            let (_, url) = source
                .named()
                .into_iter()
                .find(|(other, _)| *other == name)?;
            Some((url?.clone(), *allow_http))
        });
        let filled = match (given, template) {
            (Some(given), _) => Some(given),
            (None, Some(template)) => {
                fill(template, &|name| values.get(name).cloned())?.map(|url| (url, false))
            }
            (None, None) => None,
        };
        let Some((url, allow_http)) = filled else {
            continue;
        };
        judge_url(&url, allow_http).map_err(|error| {
            Error::invalid_parameter(
                error.code(),
                format!("{name} of {}: {}", provider.id, error.reason()),
            )
            .of_provider(&provider.id)
            .hint(format!(
                "evergrant configure {} --endpoint {name}=https://…",
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

/// Refuses a grant without the endpoints that it cannot do without, naming what would give them.
fn require(
    provider: &Provider,
    grant_type: GrantType,
    file: &GrantFile,
    endpoints: &Endpoints,
    values: &BTreeMap<String, String>,
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
            placeholders(template).find(|(_, name)| !values.contains_key(*name))
    {
        return Err(missing(&provider.id, unknown, file.parameters.get(unknown)));
    }
    Err(
        Error::invalid_parameter("missing_endpoint", format!("{} has no {name}", provider.id))
            .of_provider(&provider.id)
            .hint(format!(
                "evergrant configure {} --endpoint {name}=https://…",
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
    use ClientAuthentication::{Bearer, ClientSecretJwt, Custom, PrivateKeyJwt, TlsClientAuth};
    let unsupported = |method: &ClientAuthentication| {
        matches!(method, ClientSecretJwt | PrivateKeyJwt | TlsClientAuth)
    };
    let refused = |reason: &str| {
        Err(
            Error::invalid_parameter("client_authentication_unsupported", reason)
                .of_provider(&provider.id)
                .hint(format!("evergrant configure {}", provider.id)),
        )
    };
    match overrides.client_authentication {
        Some(method) if unsupported(&method) => {
            return refused(
                "client authentication with signed keys or certificates comes in a later release; use client_secret_basic, client_secret_post or none",
            );
        }
        Some(Custom | Bearer) => {
            return refused(
                "this client authentication can only be described by a provider file; use client_secret_basic, client_secret_post or none",
            );
        }
        Some(method) => client.authentication = vec![method],
        None => {
            client.authentication.retain(|method| !unsupported(method));
            if client.authentication.is_empty() {
                return refused(
                    "the provider only takes clients with signed keys or certificates, which come in a later release",
                );
            }
        }
    }
    Ok(client)
}

fn revocation(mut file: RevocationFile, endpoints: &Endpoints) -> RevocationRules {
    let kind = file.kind.unwrap_or(match endpoints.revocation_endpoint {
        Some(_) => RevocationKind::Rfc7009,
        None => RevocationKind::None,
    });
    RevocationRules {
        kind,
        request: file.request(),
        token: file.token,
        success: file.success,
        effect: file.effect,
        manual: file.manual,
    }
}

fn check_reserved(
    provider: &Provider,
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
        )
        .of_provider(&provider.id)),
        None => Ok(()),
    }
}

fn separator_of(provider: &Provider, separator: &str) -> Result<String> {
    match separator {
        " " | "," => Ok(separator.to_owned()),
        _ => Err(Error::invalid_parameter(
            "invalid_scope_separator",
            "the separator of scopes has to be a space or a comma",
        )
        .of_provider(&provider.id)),
    }
}

fn fill_url(
    template: Option<String>,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    let Some(url) = template
        .map(|template| fill(&template, known))
        .transpose()?
        .flatten()
    else {
        return Ok(None);
    };
    judge_url(&url, false)?;
    Ok(Some(url))
}
