//! `tools.google_api.*`: calls of Google's APIs, each as requests of `core.http_request`.

use std::sync::Arc;

use super::{next_page, request};
use crate::action::google_api::{Api, Call, Documents, token};
use crate::action::run::runner::Runner;
use crate::action::value::{Failure, Key, Mapping, Value};
use crate::error::{Error, Result};

static DOCUMENTS: Documents = Documents::new();

pub(super) async fn run(runner: &Runner, arguments: &Mapping, is_paginated: bool) -> Result<Value> {
    let failed = |failure: Failure| Error::action("invalid_arguments", failure.to_string());
    let mut call = Call::read(arguments, is_paginated).map_err(failed)?;
    let token = token(&runner.secrets.context).map_err(failed)?;
    let api = api(runner, &call).await?;
    let mut pages = 0;
    loop {
        pages = next_page(pages)?;
        let request = call.request(&api, token).map_err(failed)?;
        let reply = request::run(runner, &request).await?;
        if let Some(result) = call.took(&reply).map_err(failed)? {
            return Ok(result);
        }
    }
}

/// What the API can be asked for, by its discovery document: read once in a process.
async fn api(runner: &Runner, call: &Call) -> Result<Arc<Api>> {
    let places = call.documents();
    if let Some(known) = places.iter().find_map(|place| DOCUMENTS.get(place)) {
        return Ok(known);
    }
    for place in &places {
        let request = Mapping::from_iter([
            (Key::from("method"), Value::from("GET")),
            (Key::from("url"), Value::from(place.as_str())),
            (
                Key::from("ignore_status_codes"),
                Value::list(vec![Value::Integer(404)]),
            ),
        ]);
        let reply = request::run(runner, &request).await?;
        if reply.get("status_code") == Some(&Value::Integer(404)) {
            continue;
        }
        let document = reply.get("data").unwrap_or(&Value::None);
        let api = Api::read(document).map_err(|failure| {
            Error::action(
                "invalid_document",
                format!("the document at {place}: {failure}"),
            )
        })?;
        let api = Arc::new(api);
        DOCUMENTS.keep(place, &api);
        return Ok(api);
    }
    let [first, second] = places;
    let reason = format!("Google describes no such API, neither at {first} nor at {second}");
    Err(Error::action("invalid_arguments", reason))
}
