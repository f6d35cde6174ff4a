//! Requests by the provider file: standard parameters, renamed, left out and added to, in the body the vendor wants.

use std::time::Duration;

use url::{Url, form_urlencoded};

use super::assertion::holds_private_key;
use super::client::{Client, authenticate};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::http::{HostRule, Method, Request, USER_AGENT};
use crate::provider::{Body, ClientAuthentication, RequestRules, Spec, hosts, parameters};
use crate::secret::{Secret, SecretBytes};

/// Connect 10 s and wait 120 s: giving up on a refresh that was sent throws the grant away.
pub(super) const TOKEN_DEADLINE: Duration = Duration::from_secs(130);
/// For everything that can be asked again.
pub(super) const LOOKUP_DEADLINE: Duration = Duration::from_secs(30);

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Parameters in the order set, each name once.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(Vec<(String, Secret)>);

impl Parameters {
    /// Sets a parameter; a name that is there keeps its place.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Secret>) {
        let value = value.into();
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Sets a parameter if there is a value.
    pub(super) fn set_some(&mut self, name: &str, value: Option<impl Into<Secret>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Applies a provider file: leaves out, renames, then adds or overrides. A value that isn't known is left out.
    pub(super) fn deviate(&mut self, rules: &RequestRules, values: &Values<'_>) -> Result<()> {
        self.0.retain(|(name, _)| !rules.omit.contains(name));
        for (name, _) in &mut self.0 {
            if let Some(own) = rules.rename.get(name) {
                name.clone_from(own);
            }
        }
        for (name, template) in &rules.parameters {
            self.set_some(name, values.fill(template)?);
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Form-urlencoded (RFC 6749 appendix B), in one allocation that is wiped by its owner.
    fn form(&self) -> String {
        let longest: usize = self
            .iter()
            .map(|(name, value)| 3 * (name.len() + value.expose().len()) + 2)
            .sum();
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(longest));
        for (name, value) in self.iter() {
            form.append_pair(name, value.expose());
        }
        form.finish()
    }

    fn json(&self) -> Vec<u8> {
        let longest: usize = self
            .iter()
            .map(|(name, value)| 6 * (name.len() + value.expose().len()) + 8)
            .sum();
        let mut json = Vec::with_capacity(longest + 2);
        json.push(b'{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            write_json(&mut json, name);
            json.push(b':');
            write_json(&mut json, value.expose());
        }
        json.push(b'}');
        json
    }
}

fn write_json(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("text always is JSON, and a Vec takes all of it");
}

/// The values that templates of a provider file name: built-in ones first, whose names are reserved, then parameters.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    spec: &'a Spec,
    known: Vec<(&'static str, Secret)>,
}

impl<'a> Values<'a> {
    pub(super) fn new(spec: &'a Spec, client: Option<&Client<'_>>) -> Self {
        Self {
            spec,
            known: Vec::new(),
        }
        .with("user_agent", Some(USER_AGENT))
        .with("token_endpoint", spec.endpoints.token_endpoint.as_deref())
        .with("client_id", client.map(|client| client.id))
        .with(
            "client_secret",
            client
                .and_then(|client| client.secret)
                .filter(|secret| !holds_private_key(secret))
                .map(|secret| secret.expose()),
        )
    }

    /// Makes a built-in value known.
    pub(super) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.known
            .extend(value.map(|value| (name, Secret::from(value))));
        self
    }

    /// A template filled in; `None` when one of its values is not known.
    pub(super) fn fill(&self, template: &str) -> Result<Option<Secret>> {
        let filled = parameters::fill(template, &|name| self.get(name))?;
        Ok(filled.map(Secret::from))
    }

    /// A URL filled in and judged; built-in values can't leave their segment.
    pub(super) fn fill_url(&self, template: &str) -> Result<Url> {
        let filled = parameters::fill(template, &|name| {
            let built_in = self.known.iter().find(|(own, _)| *own == name);
            match built_in {
                Some((_, value)) if name != "token_endpoint" => Some(
                    form_urlencoded::byte_serialize(value.expose().as_bytes())
                        .collect::<String>()
                        .replace('+', "%20"),
                ),
                _ => self.get(name),
            }
        })?;
        let url = filled.ok_or_else(|| {
            Error::invalid_parameter(
                "url_value_missing",
                format!("a value of the URL {template} is not known"),
            )
        })?;
        hosts::judge_url(&url, self.spec.user_endpoints)
    }

    pub(super) fn spec(&self) -> &'a Spec {
        self.spec
    }

    fn get(&self, name: &str) -> Option<String> {
        if name == "uuid" {
            return uuid();
        }
        self.known
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value.expose().to_owned())
            .or_else(|| self.spec.values.get(name).cloned())
    }
}

/// A request in the making.
pub(super) struct Draft<'a> {
    pub(super) spec: &'a Spec,
    pub(super) client: Client<'a>,
    pub(super) rules: &'a RequestRules,
    /// Where it goes unless the rules say otherwise.
    pub(super) endpoint: Option<&'a str>,
    /// How the client authenticates unless the rules say otherwise.
    pub(super) authentication: ClientAuthentication,
    pub(super) method: Method,
    /// The parameters of the standard.
    pub(super) standard: Parameters,
    pub(super) values: Values<'a>,
    /// The token to present where a token takes the place of the client's authentication.
    pub(super) bearer: Option<&'a str>,
    pub(super) deadline: Duration,
    /// What the clock shows: an assertion says when it was signed.
    pub(super) now: Timestamp,
}

impl Draft<'_> {
    /// The request, and what must not be seen of it in an error text.
    pub(super) fn finish(self) -> Result<(Request, Mask)> {
        let rules = self.rules;
        let template = rules.url.as_deref().or(self.endpoint).ok_or_else(|| {
            Error::invalid_parameter(
                "endpoint_missing",
                format!("{} has no such endpoint", self.spec.name),
            )
        })?;
        let mut url = self.values.fill_url(template)?;
        let mut parameters = self.standard;
        let method = rules.authentication.unwrap_or(self.authentication);
        let mut headers = vec![("Accept".to_owned(), Secret::from(JSON))];
        authenticate(
            method,
            &self.client,
            self.bearer,
            &self.values,
            self.now,
            &mut parameters,
            &mut headers,
        )?;
        parameters.deviate(rules, &self.values)?;
        for (name, template) in &rules.headers {
            let value = self.values.fill(template)?;
            headers.extend(value.map(|value| (name.clone(), value)));
        }
        let mask = Mask::of(&headers, &parameters, &self.values);

        let method = match &rules.method {
            Some(name) => Method::from_bytes(name.as_bytes()).map_err(|_| {
                Error::invalid_parameter("method_unknown", format!("there is no method {name}"))
            })?,
            None => self.method,
        };
        let encoding = match rules.body.unwrap_or_default() {
            Body::Form if method == Method::GET => Body::Query,
            encoding => encoding,
        };
        let body = match encoding {
            Body::Form => Some((FORM, SecretBytes::from(parameters.form().into_bytes()))),
            Body::Json => Some((JSON, SecretBytes::from(parameters.json()))),
            Body::None => None,
            Body::Query => {
                if !parameters.is_empty() {
                    let mut pairs = url.query_pairs_mut();
                    for (name, value) in parameters.iter() {
                        pairs.append_pair(name, value.expose());
                    }
                }
                None
            }
            Body::Xml => {
                return Err(Error::invalid_parameter(
                    "body_unsupported",
                    format!("{} wants XML, which is not supported", self.spec.name),
                ));
            }
        };
        let request = Request {
            method,
            host_rule: host_rule(self.spec, &url),
            url,
            headers,
            body,
            deadline: self.deadline,
            leaves_by: None,
        };
        Ok((request, mask))
    }
}

/// The secrets of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask(Vec<Secret>);

impl Mask {
    const SECRET: [&str; 12] = [
        "access_token",
        "assertion",
        "client_assertion",
        "client_secret",
        "code",
        "code_verifier",
        "device_code",
        "nonce",
        "refresh_token",
        "state",
        "subject_token",
        "token",
    ];

    /// `text` made fit to be shown.
    pub(super) fn clean(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.0.iter().map(Secret::expose).collect();
        super::clean(text, &secrets)
    }

    fn of(headers: &[(String, Secret)], parameters: &Parameters, values: &Values<'_>) -> Self {
        let sent = parameters
            .iter()
            .filter(|(name, _)| Self::SECRET.contains(name));
        let known = values
            .known
            .iter()
            .filter(|(name, _)| Self::SECRET.contains(name));
        let credentials = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .filter_map(|(_, value)| value.expose().split_once(' '))
            .map(|(_, credentials)| Secret::from(credentials));
        Self(
            sent.map(|(_, value)| value.clone())
                .chain(known.map(|(_, value)| value.clone()))
                .chain(credentials)
                .collect(),
        )
    }
}

fn host_rule(spec: &Spec, url: &Url) -> HostRule {
    let host = url.host_str().unwrap_or_default();
    if spec.server_named.iter().any(|named| named == host) {
        HostRule::ServerNamed
    } else {
        HostRule::Named
    }
}

/// A random UUID (RFC 9562 section 5.4); `None` only where the system has no randomness to give.
fn uuid() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}
