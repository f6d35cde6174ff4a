//! The actions that steps can call without a template: `core.*` and `tools.google_api.*`.

use super::run::PythonStep;
use super::run::runner::Runner;
use super::value::json::trip;
use super::value::{Mapping, Value};
use crate::error::{Error, Result};

mod arguments;
mod body;
mod google;
mod multipart;
mod paginate;
mod poll;
mod reply;
mod request;
mod send;
mod url;

const REQUEST: &str = "core.http_request";
const POLL: &str = "core.http_poll";
const PAGINATE: &str = "core.http_paginate";
const SCRIPT: &str = "core.script.run_python";
const TRANSFORM: &str = "core.transform.";

const GOOGLE: &str = "tools.google_api.call_api";
const GOOGLE_PAGES: &str = "tools.google_api.call_paginated_api";

const OURS: [&str; 16] = [
    REQUEST,
    POLL,
    PAGINATE,
    SCRIPT,
    "core.transform.apply",
    "core.transform.deduplicate",
    "core.transform.drop_nulls",
    "core.transform.eval_jsonpaths",
    "core.transform.filter",
    "core.transform.flatten_json",
    "core.transform.is_in",
    "core.transform.map",
    "core.transform.not_in",
    "core.transform.reshape",
    GOOGLE,
    GOOGLE_PAGES,
];

/// As many pages a step asks for at most: a server that never says that one is the last would keep it for ever.
const MOST_PAGES: usize = 10_000;

/// The number of the next page.
fn next_page(pages: usize) -> Result<usize> {
    if pages == MOST_PAGES {
        let reason = format!("there is no end after {MOST_PAGES} pages");
        return Err(Error::action("too_many_pages", reason));
    }
    Ok(pages + 1)
}

/// Whether an action is one of these.
pub(super) fn is_ours(action: &str) -> bool {
    OURS.contains(&action)
}

/// The action of these that is most like a name, if one is much like it.
pub(super) fn nearest(action: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(known, action);
    let known = OURS.into_iter().filter(|known| likeness(known) > 0.85);
    known.max_by(|one, two| likeness(one).total_cmp(&likeness(two)))
}

/// Runs one of these with its arguments evaluated.
pub(super) async fn run(runner: &Runner, action: &str, arguments: &Mapping) -> Result<Value> {
    if action == SCRIPT {
        let arguments = arguments.clone();
        if let Some((_, unfit)) = arguments.iter().find(|(_, value)| !is_json(value)) {
            let kind = unfit.kind();
            let reason = format!(
                "a script gets JSON only: {kind} in its arguments has to be made text first"
            );
            return Err(Error::action("invalid_arguments", reason));
        }
        return runner.ask(PythonStep::Script { arguments }).await;
    }
    let Value::Mapping(arguments) = trip(&Value::mapping(arguments.clone())) else {
        return Err(Error::internal("the arguments of a step are no mapping"));
    };
    match action {
        REQUEST => request::run(runner, &arguments).await,
        POLL => poll::run(runner, &arguments).await,
        PAGINATE => paginate::run(runner, &arguments).await,
        GOOGLE => google::run(runner, &arguments, false).await,
        GOOGLE_PAGES => google::run(runner, &arguments, true).await,
        _ => {
            let name = action.strip_prefix(TRANSFORM).unwrap_or(action).to_owned();
            if name == "reshape"
                && arguments.len() == 1
                && let Some(value) = Value::Mapping(arguments.clone()).get("value")
            {
                return Ok(value.clone());
            }
            let arguments = std::sync::Arc::unwrap_or_clone(arguments);
            runner.ask(PythonStep::Transform { name, arguments }).await
        }
    }
}

/// Whether a value is JSON as it stands.
fn is_json(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().all(is_json),
        Value::Mapping(entries) => entries
            .iter()
            .all(|(key, member)| key.text().is_some() && is_json(member)),
        Value::Date(_) | Value::Moment(_) | Value::Time(_) | Value::Duration(_) => false,
        _ => true,
    }
}
