//! Calls of Google's APIs by the names of their discovery documents: what to ask for, and what the answers come to.
//!
//! Nothing here sends anything. Of a step's arguments a [`Call`] is made, which knows where the API's document lies; of the
//! document an [`Api`]; of both the arguments of `core.http_request`; and of its answer the result, or the next request.
//! <https://developers.google.com/discovery/v1/reference/apis>

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, TryLockError};

use super::value::{Failure, Key, Mapping, Value};

mod api;
mod url;

pub use api::Api;

/// A call of an API, one page of it after the other.
#[derive(Debug)]
pub struct Call {
    service: String,
    version: String,
    resource: String,
    method: String,
    params: Mapping,
    pages: Option<Pages>,
}

/// How a call goes on, and what it has so far.
#[derive(Debug)]
struct Pages {
    token_param: String,
    token_path: Vec<String>,
    most: Option<i128>,
    got: Vec<Value>,
    tokens: BTreeSet<String>,
}

impl Call {
    /// Reads the arguments of `tools.google_api.call_api`, or of `call_paginated_api`. `static_discovery` has no effect: the
    /// document is always asked for.
    ///
    /// # Errors
    /// An argument is missing, unknown or of the wrong kind; or `scopes` or `subject` is given, which the token decides.
    pub fn read(arguments: &Mapping, is_paginated: bool) -> Result<Self, Failure> {
        let of_pages = ["page_token_param", "next_page_token_path", "max_pages"];
        let of_both = [
            "service_name",
            "version",
            "resource",
            "method_name",
            "params",
            "scopes",
            "subject",
            "static_discovery",
        ];
        for key in arguments.keys() {
            let is_known = key.text().is_some_and(|name| {
                of_both.contains(&name) || is_paginated && of_pages.contains(&name)
            });
            if !is_known {
                let known = of_both.join(", ");
                return Err(Failure::new(format!(
                    "there is an argument that is not one of {known}"
                )));
            }
        }
        for name in ["scopes", "subject"] {
            if given(arguments, name).is_some() {
                return Err(Failure::new(format!(
                    "{name} belongs to the token, not to the call: configure the integration google with it"
                )));
            }
        }
        let call = Self {
            service: name(arguments, "service_name", "_-")?,
            version: name(arguments, "version", "_-.")?,
            resource: text(arguments, "resource")?.to_owned(),
            method: text(arguments, "method_name")?.to_owned(),
            params: match given(arguments, "params") {
                None => Mapping::new(),
                Some(Value::Mapping(params)) => params.as_ref().clone(),
                Some(other) => return Err(wrong("params", "a mapping", other)),
            },
            pages: is_paginated.then(|| Pages::read(arguments)).transpose()?,
        };
        Ok(call)
    }

    /// Where the API's discovery document lies: the second place counts when there is none at the first (404). No token is
    /// needed for it, and none may be sent.
    pub fn documents(&self) -> [String; 2] {
        let Self {
            service, version, ..
        } = self;
        [
            format!("https://www.googleapis.com/discovery/v1/apis/{service}/{version}/rest"),
            format!("https://{service}.googleapis.com/$discovery/rest?version={version}"),
        ]
    }

    /// The arguments of the `core.http_request` that asks for the first page, or for the next.
    ///
    /// # Errors
    /// The API has no such method or parameter, lacks one, or a value is none that the parameter may have. Never says what a
    /// value is.
    pub fn request(&self, api: &Api, token: &str) -> Result<Mapping, Failure> {
        let mut request = api.request(&self.resource, &self.method, &self.params)?;
        let authorization = Value::from(format!("Bearer {token}"));
        let headers = Mapping::from_iter([("Authorization".into(), authorization)]);
        request.insert("headers".into(), Value::mapping(headers));
        Ok(request)
    }

    /// Takes the result of the request. What the call comes to; none when the next page has to be asked for.
    ///
    /// # Errors
    /// A page is no mapping, or names a next page that was there already.
    pub fn took(&mut self, reply: &Value) -> Result<Option<Value>, Failure> {
        let has_content = reply.get("status_code").and_then(Value::integer) != Some(204);
        let data = match reply.get("data").filter(|_| has_content) {
            Some(data) => data.clone(),
            None => Value::mapping(Mapping::new()),
        };
        let Some(pages) = &mut self.pages else {
            return Ok(Some(data));
        };
        let Value::Mapping(_) = data else {
            let kind = data.kind();
            return Err(Failure::new(format!("a page is a mapping, not {kind}")));
        };
        let next = pages
            .token_path
            .iter()
            .try_fold(&data, |value, name| value.get(name));
        let next = next.filter(|next| next.is_true()).cloned();
        pages.got.push(data);
        let is_last = pages
            .most
            .is_some_and(|most| pages.got.len() as i128 >= most);
        let Some(next) = next.filter(|_| !is_last) else {
            return Ok(Some(Value::list(std::mem::take(&mut pages.got))));
        };
        if !pages.tokens.insert(next.to_string()) {
            return Err(Failure::new(
                "the API names a page that was there already as the next",
            ));
        }
        self.params
            .insert(Key::from(pages.token_param.as_str()), next);
        Ok(None)
    }
}

impl Pages {
    fn read(arguments: &Mapping) -> Result<Self, Failure> {
        let or = |name: &str, default: &str| match given(arguments, name) {
            None => Ok(default.to_owned()),
            Some(_) => text(arguments, name).map(str::to_owned),
        };
        let token_path = or("next_page_token_path", "nextPageToken")?;
        let token_path = Vec::from_iter(token_path.split('.').map(str::to_owned));
        if token_path.iter().any(String::is_empty) {
            return Err(Failure::new(
                "next_page_token_path is names with dots between them",
            ));
        }
        let most = match given(arguments, "max_pages") {
            None => None,
            Some(Value::Integer(most)) if *most >= 1 => Some(*most),
            Some(other) => return Err(wrong("max_pages", "an integer of at least 1", other)),
        };
        Ok(Self {
            token_param: or("page_token_param", "pageToken")?,
            token_path,
            most,
            got: Vec::new(),
            tokens: BTreeSet::new(),
        })
    }
}

/// The token for Google's APIs among the secrets of a run: the service's, else the user's.
///
/// # Errors
/// There is none.
pub fn token(secrets: &Value) -> Result<&str, Failure> {
    let google = secrets.get("google_oauth");
    let token = |name: &str| {
        google
            .and_then(|google| google.get(name))
            .and_then(Value::text)
    };
    token("GOOGLE_SERVICE_TOKEN")
        .or_else(|| token("GOOGLE_USER_TOKEN"))
        .ok_or_else(|| {
            Failure::new(
                "there is no token of google: the template declares one, as type: oauth, provider_id: google",
            )
        })
}

/// The documents that this process has read, by their places.
#[derive(Debug)]
pub struct Documents(Mutex<Vec<(String, Arc<Api>)>>);

/// Documents that are kept; the one that was read first goes first.
const MOST_DOCUMENTS: usize = 16;

impl Documents {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The document that was read from this place. One that somebody else looks for at this moment is not found: waiting
    /// would never end in a process that was forked meanwhile.
    pub fn get(&self, place: &str) -> Option<Arc<Api>> {
        let documents = match self.0.try_lock() {
            Ok(documents) => documents,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let found = documents.iter().find(|(known, _)| known == place);
        found.map(|(_, api)| Arc::clone(api))
    }

    /// Keeps a document.
    pub fn keep(&self, place: &str, api: &Arc<Api>) {
        let mut documents = match self.0.try_lock() {
            Ok(documents) => documents,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        documents.retain(|(known, _)| known != place);
        if documents.len() == MOST_DOCUMENTS {
            documents.remove(0);
        }
        documents.push((place.to_owned(), Arc::clone(api)));
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self::new()
    }
}

/// An argument that is there and not None.
fn given<'arguments>(arguments: &'arguments Mapping, name: &str) -> Option<&'arguments Value> {
    let value = arguments.get(&Key::from(name))?;
    (!matches!(value, Value::None)).then_some(value)
}

/// An argument that is text and not empty.
fn text<'arguments>(
    arguments: &'arguments Mapping,
    name: &str,
) -> Result<&'arguments str, Failure> {
    match given(arguments, name) {
        Some(Value::Text(text)) if !text.is_empty() => Ok(text),
        Some(Value::Text(_)) => Err(Failure::new(format!("{name} is empty"))),
        Some(other) => Err(wrong(name, "text", other)),
        None => Err(Failure::new(format!("{name} is missing"))),
    }
}

/// An argument that becomes part of a host or a path: letters, digits and some more.
fn name(arguments: &Mapping, name: &str, more: &str) -> Result<String, Failure> {
    let text = text(arguments, name)?;
    let is_name = text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || more.contains(character))
        && !text.contains("..");
    match is_name {
        true => Ok(text.to_owned()),
        false => Err(Failure::new(format!(
            "{name} is a name, as drive and v3 are"
        ))),
    }
}

fn wrong(name: &str, needed: &str, value: &Value) -> Failure {
    Failure::new(format!("{name} is {needed}, not {}", value.kind()))
}
