//! One provider of the catalog.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::file::{Mistake, check_names};
use super::grant::GrantFile;
use super::merge::{flatten, own};
use super::parameters::{Parameter, adopt, fill, resolve};
use super::{DiscoveryFrom, FixedClient, Overrides, Registration, Setup, Spec, spec};
use crate::error::{Error, Result};
use crate::model::GrantType;

/// The grant types in the order in which they are listed and preferred.
const GRANT_TYPES: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::ClientCredentials];

/// A provider, read from its file and those it extends. Data only.
#[derive(Debug)]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// Other names that find it.
    pub aliases: Vec<String>,
    /// Its name, for people.
    pub name: String,
    /// What kind of service it is.
    pub category: String,
    /// `legacy`, `partner` or `beta`; `None`: active.
    pub status: Option<String>,
    /// What it gives access to, in one sentence.
    pub summary: String,
    /// Pages of the vendor, by what they are for: `api`, `setup`, `troubleshooting`.
    pub links: BTreeMap<String, String>,
    /// The provider whose client it may use.
    pub extends: Option<String>,
    /// The vendor's pages that the file rests on.
    pub sources: Vec<String>,
    /// What the vendor ends on a day.
    pub sunsets: Vec<Sunset>,
    grants: BTreeMap<GrantType, GrantFile>,
}

impl Provider {
    /// The grant types it has, `authorization_code` first.
    pub fn grant_types(&self) -> Vec<GrantType> {
        GRANT_TYPES
            .into_iter()
            .filter(|grant_type| self.grants.contains_key(grant_type))
            .collect()
    }

    /// What the user fills in; empty when it does not have the grant type.
    pub fn parameters(&self, grant_type: GrantType) -> BTreeMap<String, Parameter> {
        self.grants
            .get(&grant_type)
            .map(|grant| grant.parameters.clone())
            .unwrap_or_default()
    }

    /// The scopes that are always asked for, with parameters at their defaults.
    pub fn base_scopes(&self, grant_type: GrantType) -> Vec<String> {
        self.with_defaults(grant_type, |grant| texts(&grant.scopes.base))
    }

    /// Scopes worth asking for, each with its meaning in one sentence.
    pub fn suggested_scopes(&self, grant_type: GrantType) -> BTreeMap<String, String> {
        let suggested = self
            .grants
            .get(&grant_type)
            .map(|grant| &grant.scopes.suggested);
        let scopes = self.with_defaults(grant_type, |grant| {
            grant.scopes.suggested.keys().map(String::as_str).collect()
        });
        let meanings = suggested.into_iter().flat_map(BTreeMap::values).cloned();
        scopes.into_iter().zip(meanings).collect()
    }

    /// How to register an application.
    pub fn setup(&self, grant_type: GrantType) -> Setup {
        self.grants
            .get(&grant_type)
            .map(|grant| grant.setup.clone())
            .unwrap_or_default()
    }

    /// The redirect URI to register unless the user configures another; `None` without a user grant.
    pub fn redirect_uri(&self) -> Option<String> {
        self.grants
            .get(&GrantType::AuthorizationCode)
            .map(|grant| grant.redirect.by_default())
    }

    /// What is asked for metadata, where a provider has no endpoints of its own.
    pub fn discovery_from(&self, grant_type: GrantType) -> Option<DiscoveryFrom> {
        self.grants.get(&grant_type)?.discovery.from
    }

    /// The issuer or resource to ask for metadata, with the parameters given; `None` where the file names the endpoints.
    ///
    /// # Errors
    /// `InvalidParameter`: a parameter is wrong.
    pub fn asks_for_metadata(
        &self,
        grant_type: GrantType,
        given: &BTreeMap<String, String>,
    ) -> Result<Option<String>> {
        let Some(grant) = self.grants.get(&grant_type) else {
            return Ok(None);
        };
        let (Some(_), Some(url), None) = (
            grant.discovery.from,
            &grant.discovery.url,
            &grant.endpoints.token_endpoint,
        ) else {
            return Ok(None);
        };
        let places = grant.places();
        let place = |name: &str| places.get(name).copied().unwrap_or_default();
        let values = resolve(&self.id, &grant.parameters, given, &place)?;
        fill(url, &|name| values.get(name).cloned())
    }

    /// How a client comes to its id.
    pub fn registration(&self, grant_type: GrantType) -> &[Registration] {
        self.grants
            .get(&grant_type)
            .map_or(&[], |grant| &grant.client.registration)
    }

    /// Scopes that are asked for only where the server's metadata lists them.
    pub fn scopes_if_supported(&self, grant_type: GrantType) -> &[String] {
        self.grants
            .get(&grant_type)
            .map_or(&[], |grant| &grant.scopes.if_supported)
    }

    /// Whether a redirect URI is only a name that stands for one (eBay's RuName).
    pub fn has_opaque_redirect(&self) -> bool {
        self.grants
            .get(&GrantType::AuthorizationCode)
            .is_some_and(|grant| grant.redirect.opaque)
    }

    /// The client that everyone uses, where the provider has one for all.
    pub fn fixed_client(&self, grant_type: GrantType) -> Option<&FixedClient> {
        self.grants.get(&grant_type)?.client.fixed.as_ref()
    }

    /// The hosts that may get its tokens, with parameters at their defaults.
    pub fn api_hosts(&self) -> Vec<String> {
        self.grant_types()
            .first()
            .map(|grant_type| self.with_defaults(*grant_type, |grant| texts(&grant.api.hosts)))
            .unwrap_or_default()
    }

    /// All that `evergrant.provider(id)` shows. What depends on the grant type is a map by grant type.
    pub fn to_value(&self) -> Value {
        let per_grant = |of: &dyn Fn(GrantType) -> Value| -> Value {
            let entries = self
                .grant_types()
                .into_iter()
                .map(|grant_type| (grant_type.to_string(), of(grant_type)));
            Value::Object(entries.collect())
        };
        json!({
            "id": self.id,
            "aliases": self.aliases,
            "name": self.name,
            "category": self.category,
            "status": self.status,
            "summary": self.summary,
            "links": self.links,
            "extends": self.extends,
            "sources": self.sources,
            "grant_types": self.grant_types(),
            "parameters": per_grant(&|grant_type| json!(self.parameters(grant_type))),
            "base_scopes": per_grant(&|grant_type| json!(self.base_scopes(grant_type))),
            "suggested_scopes": per_grant(&|grant_type| json!(self.suggested_scopes(grant_type))),
            "setup": per_grant(&|grant_type| json!(self.setup(grant_type))),
            "api_hosts": self.api_hosts(),
            "redirect_uri": self.redirect_uri(),
        })
    }

    /// All that the protocol needs for one grant type, as configured.
    ///
    /// # Errors
    /// `InvalidParameter`: no such grant type, an unknown, wrong or missing parameter, an unsafe or missing endpoint, a
    /// client authentication that is not there yet, an override that safety rests on.
    pub fn spec(&self, grant_type: GrantType, overrides: &Overrides) -> Result<Spec> {
        self.spec_with_kept(grant_type, overrides, &BTreeMap::new())
    }

    /// As [`spec`](Self::spec), with the values that a sign-in kept. A kept value replaces the parameter of its name if
    /// it fits that, and is ignored otherwise; what the file does not keep is ignored too.
    ///
    /// # Errors
    /// As [`spec`](Self::spec).
    pub fn spec_with_kept(
        &self,
        grant_type: GrantType,
        overrides: &Overrides,
        kept: &BTreeMap<String, String>,
    ) -> Result<Spec> {
        spec::make(self, grant_type, overrides, kept)
    }

    /// The provider of a merged file.
    pub(super) fn parse(merged: &Value) -> std::result::Result<Self, Mistake> {
        check_names(merged)?;
        let head: Head = typed(own(merged))?;
        let mut grants = BTreeMap::new();
        for grant_type in GRANT_TYPES {
            if let Some(flat) = flatten(merged, grant_type.as_str()) {
                let grant = typed(flat).map_err(|mistake| Mistake {
                    grant_type: Some(grant_type),
                    ..mistake
                })?;
                grants.insert(grant_type, grant);
            }
        }
        if grants.is_empty() {
            return Err(Mistake {
                grant_type: None,
                path: vec!["grants".into()],
                message: "missing field `grants`: authorization_code, client_credentials or both"
                    .into(),
            });
        }
        Ok(Self::of(head, grants))
    }

    /// A built-in provider, which the build has merged: what is its own, and each grant that it has.
    pub(super) fn built_in(own: &str, grants: [Option<&str>; 2]) -> serde_json::Result<Self> {
        let mut read = BTreeMap::new();
        for (grant_type, grant) in GRANT_TYPES.into_iter().zip(grants) {
            if let Some(grant) = grant {
                read.insert(grant_type, serde_json::from_str(grant)?);
            }
        }
        Ok(Self::of(serde_json::from_str(own)?, read))
    }

    fn of(head: Head, grants: BTreeMap<GrantType, GrantFile>) -> Self {
        Self {
            id: head.id,
            aliases: head.aliases,
            name: head.name,
            category: head.category,
            status: head.status,
            summary: head.summary,
            links: head.links,
            extends: head.extends,
            sources: head.sources,
            sunsets: head.notes.into_iter().filter_map(Note::sunset).collect(),
            grants,
        }
    }

    pub(super) fn grant(&self, grant_type: GrantType) -> Result<&GrantFile> {
        self.grants.get(&grant_type).ok_or_else(|| {
            let has = self
                .grant_types()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" and ");
            Error::invalid_parameter(
                "grant_type_unknown",
                format!("{} has no {grant_type} here, only {has}", self.id),
            )
            .of_provider(&self.id)
            .hint(format!("evergrant providers {}", self.id))
        })
    }

    /// Templates of a grant with parameters at their defaults; one that they don't fill stays as it is.
    fn with_defaults<'a>(
        &'a self,
        grant_type: GrantType,
        templates: impl Fn(&'a GrantFile) -> Vec<&'a str>,
    ) -> Vec<String> {
        let Some(grant) = self.grants.get(&grant_type) else {
            return Vec::new();
        };
        let mut values = BTreeMap::new();
        for (name, parameter) in &grant.parameters {
            if let Some(default) = &parameter.default {
                adopt(name, parameter, default, &mut values);
            }
        }
        templates(grant)
            .into_iter()
            .map(|template| {
                fill(template, &|name| values.get(name).cloned())
                    .ok()
                    .flatten()
                    .unwrap_or_else(|| template.to_owned())
            })
            .collect()
    }
}

/// The fields of a provider itself, of which nothing is inherited but the sections, which are read per grant.
#[derive(Deserialize)]
struct Head {
    id: String,
    name: String,
    category: String,
    summary: String,
    #[serde(default)]
    extends: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    notes: Vec<Note>,
}

/// A note: a sentence, or what ends, perhaps on a day.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a sentence, or a map of date, what and action"
)]
enum Note {
    #[allow(dead_code)]
    Sentence(String),
    Dated {
        date: Option<Day>,
        what: String,
        #[serde(default)]
        action: String,
    },
}

impl Note {
    fn sunset(self) -> Option<Sunset> {
        match self {
            Self::Dated {
                date: Some(Day(date)),
                what,
                action,
            } => Some(Sunset { date, what, action }),
            _ => None,
        }
    }
}

/// A day, as `2027-02-16`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Day(jiff::civil::Date);

impl TryFrom<String> for Day {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        let day = text.parse();
        day.map(Self)
            .map_err(|_| "expected a day, such as 2027-02-16")
    }
}

/// What a vendor ends on a day: an endpoint, a version, a kind of token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sunset {
    /// The day.
    pub date: jiff::civil::Date,
    /// What ends.
    pub what: String,
    /// What to do before.
    pub action: String,
}

impl Sunset {
    /// When the day begins (UTC milliseconds).
    pub fn millis(&self) -> i64 {
        let begins = jiff::tz::TimeZone::UTC.to_timestamp(self.date.at(0, 0, 0, 0));
        begins.map_or(i64::MAX, jiff::Timestamp::as_millisecond)
    }
}

fn texts(templates: &[String]) -> Vec<&str> {
    templates.iter().map(String::as_str).collect()
}

/// `value` as a `T`, or the first mistake with its path.
///
/// Keeping track of paths costs more than reading, so it is done only where something is wrong.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> std::result::Result<T, Mistake> {
    if let Ok(read) = T::deserialize(&value) {
        return Ok(read);
    }
    serde_path_to_error::deserialize(value).map_err(|error| Mistake {
        grant_type: None,
        path: error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
                _ => None,
            })
            .collect(),
        message: error.inner().to_string(),
    })
}
