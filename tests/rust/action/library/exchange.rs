//! Requests and replies as a case writes them, and how a request differs from the one that is documented.

use std::collections::BTreeMap;

use _core::http::{ActionRequest, HeaderMap, HeaderName, Reply, Sending};
use _core::secret::SecretBytes;
use serde::Deserialize;
use serde_json::Value;

/// The token that is connected.
pub(super) const TOKEN: &str = "token-of-this-stage";

/// A request and the reply to it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) request: Expected,
    pub(super) reply: Said,
}

/// The request, as the vendor documents it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) method: String,
    /// Without its query.
    pub(super) url: String,
    #[serde(default)]
    pub(super) query: BTreeMap<String, Texts>,
    /// Headers that have to be there; `{token}` stands for the token.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Headers that may not be there.
    #[serde(default)]
    pub(super) absent: Vec<String>,
    /// The body as JSON; without it and `text` there is none.
    pub(super) json: Option<Value>,
    /// The body as text.
    pub(super) text: Option<String>,
}

/// One value of a query, or several under the same name.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

/// The reply, as the vendor documents it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Value>,
    pub(super) text: Option<String>,
}

impl Said {
    /// Nothing but a status.
    pub(super) const fn status(status: u16) -> Self {
        Self {
            status,
            headers: BTreeMap::new(),
            json: None,
            text: None,
        }
    }
}

/// How a request differs from the one that is documented.
pub(super) fn compare(request: &ActionRequest, expected: &Expected) -> Vec<String> {
    let mut differences = Vec::new();
    let mut same = |what: &str, found: String, expected: String| {
        if found != expected {
            differences.push(format!("{what} {found}\nnot {expected}"));
        }
    };
    same(
        "method",
        request.method.to_string(),
        expected.method.clone(),
    );
    let (url, _) = request
        .url
        .as_str()
        .split_once('?')
        .unwrap_or((request.url.as_str(), ""));
    same("URL", url.to_owned(), expected.url.clone());
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in request.url.query_pairs() {
        query
            .entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    let documented = expected.query.iter().map(|(name, texts)| {
        let texts = match texts {
            Texts::One(text) => vec![text.clone()],
            Texts::Several(texts) => texts.clone(),
        };
        (name.clone(), texts)
    });
    let documented = BTreeMap::from_iter(documented);
    same("query", format!("{query:?}"), format!("{documented:?}"));
    let header = |name: &str| {
        let mut headers = request.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    for (name, value) in &expected.headers {
        let value = value.replace("{token}", TOKEN);
        same(
            name,
            format!("{:?}", header(name)),
            format!("{:?}", Some(value)),
        );
    }
    for name in &expected.absent {
        same(name, format!("{:?}", header(name)), "None".to_owned());
    }
    let body = request.body.as_ref().map(|body| body.expose().to_vec());
    let body = String::from_utf8(body.unwrap_or_default()).unwrap();
    match (&expected.json, &expected.text) {
        (Some(json), _) => {
            let found = serde_json::from_str::<Value>(&body);
            same(
                "body",
                found.map_or(body, |found| found.to_string()),
                json.to_string(),
            );
        }
        (None, text) => same("body", body, text.clone().unwrap_or_default()),
    }
    differences
}

pub(super) fn reply(said: &Said) -> Sending {
    let mut headers = HeaderMap::new();
    if said.json.is_some() {
        headers.insert("content-type", "application/json".parse().unwrap());
    }
    for (name, value) in &said.headers {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let json = said.json.as_ref().map(ToString::to_string);
    let body = json.or_else(|| said.text.clone()).unwrap_or_default();
    let reply = Reply {
        status: said.status,
        headers,
        body: SecretBytes::from(body.into_bytes()),
        truncated: false,
    };
    Box::pin(async { Ok(reply) })
}
