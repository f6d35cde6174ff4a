//! `core.http_paginate`: page after page, until a lambda or the limit says that it is enough.

use super::arguments::{Arguments, invalid};
use super::request::{SHARED, prepare};
use super::{PAGINATE, next_page, reply, send};
use crate::action::expression::path::Path;
use crate::action::run::PythonStep;
use crate::action::run::runner::Runner;
use crate::action::value::{Key, Mapping, Value};
use crate::error::Result;

const OWN: &[&str] = &["stop_condition", "next_request", "items_jsonpath", "limit"];
/// What the next request may say anew.
const REPLACED: [&str; 6] = ["url", "method", "headers", "params", "payload", "form_data"];
const LIMIT: usize = 1000;

pub(super) async fn run(runner: &Runner, given: &Mapping) -> Result<Value> {
    let arguments = Arguments::read(PAGINATE, given, &[SHARED, OWN])?;
    let stop = arguments.required_text("stop_condition")?;
    let next = arguments.required_text("next_request")?;
    let path = match arguments.text("items_jsonpath")? {
        Some(text) => {
            Some(Path::whole(text).map_err(|error| invalid(format!("items_jsonpath: {error}")))?)
        }
        None => None,
    };
    let limit = arguments.count("limit", LIMIT)?;
    let mut items = Vec::new();
    let mut current = given.clone();
    let mut pages = 0;
    while items.len() < limit {
        pages = next_page(pages)?;
        let arguments = Arguments::read(PAGINATE, &current, &[SHARED, OWN])?;
        let answer = send::send(runner, prepare(runner, &arguments)?).await?;
        answer.check(runner)?;
        let page = reply::result(runner, &answer, false)?;
        collect(runner, &page, path.as_ref(), &mut items)?;
        if items.len() >= limit || asked(runner, stop, &page).await?.is_true() {
            break;
        }
        let Value::Mapping(changes) = asked(runner, next, &page).await? else {
            return Err(invalid("next_request gives a mapping"));
        };
        for name in REPLACED {
            if let Some(value) = changes.get(&Key::from(name)) {
                current.insert(name.into(), value.clone());
            }
        }
    }
    items.truncate(limit);
    Ok(Value::list(items))
}

async fn asked(runner: &Runner, source: &str, page: &Value) -> Result<Value> {
    let step = PythonStep::Lambda {
        source: source.to_owned(),
        values: vec![page.clone()],
    };
    runner.ask(step).await
}

/// What a page adds: its items, or the page itself where no path says what they are.
fn collect(
    runner: &Runner,
    page: &Value,
    path: Option<&Path>,
    items: &mut Vec<Value>,
) -> Result<()> {
    let Some(path) = path else {
        items.push(page.clone());
        return Ok(());
    };
    let found = match page.get("data") {
        Some(data @ Value::Mapping(_)) => path
            .find(data, runner.secrets.placeholders())
            .map_err(|failure| invalid(format!("items_jsonpath: {failure}")))?,
        Some(list @ Value::List(_)) => list.clone(),
        _ => Value::None,
    };
    match found {
        Value::None => {}
        Value::List(found) => items.extend(found.iter().cloned()),
        one => items.push(one),
    }
    Ok(())
}
