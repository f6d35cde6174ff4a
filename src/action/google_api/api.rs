//! A discovery document: the methods of an API, and requests made by it.

use std::collections::BTreeMap;

use regex::RegexBuilder;
use serde::Deserialize;
use url::Url;

use super::url::expand;
use super::wrong;
use crate::action::value::{Failure, Key, Mapping, Value, json};

/// A larger document is none of Google's, in bytes.
const LARGEST: usize = 16 << 20;
/// Resources inside of each other.
const DEEPEST: usize = 20;
/// A pattern that needs more memory is left alone, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// What an API can be asked for.
#[derive(Debug)]
pub struct Api {
    /// All paths begin with it.
    base: Url,
    /// The parameters that all methods have.
    parameters: BTreeMap<String, Parameter>,
    methods: BTreeMap<String, Method>,
    resources: BTreeMap<String, Resource>,
}

/// A discovery document as it is written, in its own words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    root_url: String,
    #[serde(default)]
    service_path: String,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    methods: BTreeMap<String, Method>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
}

#[derive(Debug, Default, Deserialize)]
struct Resource {
    #[serde(default)]
    methods: BTreeMap<String, Method>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Method {
    http_method: String,
    path: String,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    /// What the body is; none has no body.
    request: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameter {
    location: String,
    required: bool,
    repeated: bool,
    pattern: Option<String>,
    #[serde(rename = "enum")]
    values: Option<Vec<String>>,
}

impl Api {
    /// Reads a discovery document.
    ///
    /// # Errors
    /// It is none, or its methods lie outside of Google's hosts.
    pub fn read(document: &Value) -> Result<Self, Failure> {
        let text = json::write(document, json::Layout::Compact);
        if text.len() > LARGEST {
            return Err(Failure::new("the discovery document is larger than 16 MiB"));
        }
        let document: Document = serde_json::from_str(&text)
            .map_err(|_| Failure::new("what the API gave is no discovery document"))?;
        let base = Url::parse(&format!("{}{}", document.root_url, document.service_path));
        let base = base.ok().filter(is_googles).ok_or_else(|| {
            Failure::new("the discovery document names a host that is not one of Google's")
        })?;
        Ok(Self {
            base,
            parameters: document.parameters,
            methods: document.methods,
            resources: document.resources,
        })
    }

    /// The arguments of `core.http_request` for a method of a resource, without headers.
    pub(super) fn request(
        &self,
        resource: &str,
        method: &str,
        params: &Mapping,
    ) -> Result<Mapping, Failure> {
        let method = self.method(resource, method)?;
        let (mut path, mut query, mut body) = (BTreeMap::new(), Mapping::new(), None);
        for (key, value) in params {
            let Some(name) = key.text() else {
                return Err(wrong("a parameter's name", "text", key.value()));
            };
            // What is None counts as not given.
            if matches!(value, Value::None) {
                continue;
            }
            if name == "body" && method.request.is_some() {
                body = Some(value.clone());
                continue;
            }
            let Some((name, parameter)) = self.parameter(method, name) else {
                let known = method.parameters.keys().map(String::as_str);
                let known = known.chain(method.request.as_ref().map(|_| "body"));
                let known = Vec::from_iter(known).join(", ");
                return Err(Failure::new(format!(
                    "params holds one that the method does not have; it has {known}"
                )));
            };
            parameter.check(name, value)?;
            if parameter.location == "path" {
                path.insert(name, text_of(value));
            } else {
                query.insert(name.into(), value.clone());
            }
        }
        let needed = method.parameters.iter().find(|(name, parameter)| {
            let is_given =
                path.contains_key(name.as_str()) || query.contains_key(&Key::from(name.as_str()));
            parameter.required && !is_given
        });
        if let Some((name, _)) = needed {
            return Err(Failure::new(format!(
                "the method needs the parameter {name}"
            )));
        }
        let path = expand(&method.path, &path)?;
        let url = format!("{}{}", self.base, path.trim_start_matches('/'));
        let mut request = Mapping::from_iter([
            ("url".into(), Value::from(url)),
            ("method".into(), Value::from(method.http_method.as_str())),
        ]);
        if !query.is_empty() {
            request.insert("params".into(), Value::mapping(query));
        }
        request.extend(body.map(|body| ("payload".into(), body)));
        Ok(request)
    }

    fn method(&self, resource: &str, name: &str) -> Result<&Method, Failure> {
        let (mut methods, mut resources) = (&self.methods, &self.resources);
        for (depth, part) in resource.split('.').enumerate() {
            let Some((_, found)) = named(resources, part).filter(|_| depth < DEEPEST) else {
                let known = names(resources);
                return Err(Failure::new(format!(
                    "the API has no such resource at part {} of it; there are {known}",
                    depth + 1
                )));
            };
            (methods, resources) = (&found.methods, &found.resources);
        }
        let found = named(methods, name).map(|(_, method)| method);
        found.ok_or_else(|| {
            let known = names(methods);
            Failure::new(format!(
                "the resource has no such method; there are {known}"
            ))
        })
    }

    fn parameter<'api>(
        &'api self,
        method: &'api Method,
        name: &str,
    ) -> Option<(&'api str, &'api Parameter)> {
        named(&method.parameters, name).or_else(|| named(&self.parameters, name))
    }
}

impl Parameter {
    /// Whether a value is one that the parameter may have.
    fn check(&self, name: &str, value: &Value) -> Result<(), Failure> {
        let values = match value {
            Value::List(values) if self.repeated && self.location != "path" => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            if matches!(value, Value::List(_) | Value::Mapping(_)) {
                return Err(wrong(&format!("the parameter {name}"), "one value", value));
            }
            let text = text_of(value);
            if let Some(known) = &self.values
                && !known.contains(&text)
            {
                let known = known.join(", ");
                return Err(Failure::new(format!(
                    "the parameter {name} is one of {known}"
                )));
            }
            let pattern = self.pattern.as_deref().and_then(|pattern| {
                let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
                compiled.ok()
            });
            if let Some(pattern) = pattern.filter(|pattern| !pattern.is_match(&text)) {
                return Err(Failure::new(format!(
                    "the parameter {name} does not match {}",
                    pattern.as_str()
                )));
            }
        }
        Ok(())
    }
}

/// A value as a request holds it.
fn text_of(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        value => value.to_string(),
    }
}

/// Google's own hosts: nobody else gets the token.
fn is_googles(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    base.scheme() == "https"
        && (host == "googleapis.com" || host.ends_with(".googleapis.com"))
        && base.port().is_none()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none()
}

/// The member of that name, or of the name as Google's Python client spells it: `import_`, `x__xgafv`, `annotation_name`.
fn named<'map, T>(map: &'map BTreeMap<String, T>, name: &str) -> Option<(&'map str, &'map T)> {
    let exact = map.get_key_value(name);
    let found = exact.or_else(|| {
        map.iter().find(|(known, _)| {
            let spelled = known.replace(|other: char| !other.is_ascii_alphanumeric(), "_");
            spelled == name
                || format!("x{spelled}") == name
                || name.strip_suffix('_') == Some(&spelled)
        })
    });
    found.map(|(known, value)| (known.as_str(), value))
}

fn names<T>(map: &BTreeMap<String, T>) -> String {
    if map.is_empty() {
        return "none".to_owned();
    }
    Vec::from_iter(map.keys().map(String::as_str)).join(", ")
}
