//! One grant of a provider file, typed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::parameters::{Parameter, Place, placeholders};
use super::{
    AccountRules, ApiRules, AssertionRules, AuthorizationRules, CallbackRules, ClientRules,
    DeviceRules, DiscoveryFrom, Endpoints, ErrorMeaning, ExpirySignal, Lifetimes, LookupRules,
    Pkce, RedirectRules, RefreshRules, ReplyRules, RequestRules, ResourceRules, RevocationFile,
    ScopeRules, Setup, StateRules,
};

/// One grant of a provider, flattened: the provider's sections, the grant's over them, the grant's own fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GrantFile {
    pub(super) endpoints: Endpoints,
    pub(super) discovery: Discovery,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) client: ClientRules,
    pub(super) pkce: Pkce,
    pub(super) pkce_encoding: Option<PkceEncoding>,
    #[serde(rename = "pkce_note")]
    _pkce_note: Option<String>,
    pub(super) authorization: AuthorizationRules,
    pub(super) callback: CallbackRules,
    pub(super) state: Option<StateRules>,
    pub(super) redirect: RedirectRules,
    pub(super) token: RequestRules,
    pub(super) exchange: Option<RequestRules>,
    pub(super) assertion: Option<AssertionRules>,
    pub(super) refresh: Option<RefreshRules>,
    pub(super) device: Option<DeviceRules>,
    pub(super) scopes: ScopeRules,
    pub(super) resource: Option<ResourceRules>,
    pub(super) reply: ReplyRules,
    pub(super) lifetimes: Lifetimes,
    pub(super) lookup: Option<LookupRules>,
    pub(super) api: ApiRules,
    pub(super) account: Option<AccountRules>,
    pub(super) expiry_signals: Vec<ExpirySignal>,
    pub(super) errors: BTreeMap<String, ErrorMeaning>,
    pub(super) revocation: RevocationFile,
    pub(super) setup: Setup,
    pub(super) needs: Vec<Mechanism>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// The one deviation of PKCE's encoding.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PkceEncoding {
    Hex,
}

/// Where metadata comes from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Discovery {
    pub(super) from: Option<DiscoveryFrom>,
    /// The template of the issuer or resource that is asked.
    pub(super) url: Option<String>,
    #[serde(rename = "order")]
    _order: Vec<String>,
    #[serde(rename = "url_known")]
    _url_known: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// What needs code that is not there yet: such a grant says so instead of failing half-way.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mechanism {
    MutualTls,
    VendorStart,
    Xml,
}

impl Mechanism {
    /// What it is, for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::MutualTls => "a client certificate",
            Self::VendorStart => "sign-ins that its own pages start",
            Self::Xml => "XML bodies",
        }
    }
}

impl GrantFile {
    /// Where parameters go, by name; the strictest place of each.
    pub(super) fn places(&self) -> BTreeMap<&str, Place> {
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
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        let account = self.account.as_ref();
        let device = self.device.as_ref();
        let requests = [
            Some(&self.token),
            self.exchange.as_ref(),
            self.refresh.as_ref().map(|refresh| &refresh.request),
            device.map(|device| &device.request),
            device.map(|device| &device.poll),
            account.map(|account| &account.request),
            self.lookup.as_ref().map(|lookup| &lookup.request),
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
            .chain(self.revocation.url())
            .chain(&self.api.base_url)
            .chain(follow_ups.flatten().map(|follow_up| &follow_up.url))
            .map(String::as_str)
    }

    /// Every template of a host.
    pub(super) fn host_templates(&self) -> impl Iterator<Item = &str> {
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
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.reply
            .keep
            .iter()
            .chain(&self.callback.keep)
            .chain(self.lookup.iter().flat_map(|lookup| &lookup.keep))
            .map(|(name, rule)| {
                (
                    name.as_str(),
                    rule.get("pattern").and_then(serde_json::Value::as_str),
                )
            })
    }
}
