//! The URLs of the library: hosts of the provider, no query, and nothing of an input that is not encoded.

use std::sync::Arc;

use _core::action::expression::path::Path;
use _core::action::expression::pattern::{Part, Pattern};
use _core::action::expression::syntax::{Context, Expression, Kind};
use _core::action::shape::{Shape, ShapeKind};
use _core::action::template::Step;
use _core::provider::catalog::{Catalog, Provider};
use _core::provider::hosts;
use url::Url;

use super::{Entry, assert_each, says};

#[test]
fn every_url_has_a_host_of_its_provider_no_query_and_encoded_inputs() {
    let catalog = Catalog::builtin();
    assert_each(|entry| {
        let providers = entry.tokens().into_iter();
        let providers = providers.map(|(provider, _, _)| catalog.find(&provider).unwrap());
        let providers = Vec::from_iter(providers);
        let steps = entry.template.steps.iter();
        let steps = steps.filter(|step| step.action.starts_with("core.http_"));
        steps
            .filter_map(|step| {
                let problem = url_problem(entry, step, &providers)?;
                Some(format!("{}: {problem}", step.reference))
            })
            .collect()
    });
}

/// What is wrong with the URL of a step.
fn url_problem(entry: &Entry, step: &Step, providers: &[Arc<Provider>]) -> Option<String> {
    let parts = match &step.arguments.get("url")?.kind {
        ShapeKind::Plain(text) => vec![Part::Text(text.text()?.to_owned())],
        ShapeKind::Text(Pattern::Mixed(parts), _) => parts.clone(),
        // An address that a reply gave is asked for what it is: it gets no token.
        ShapeKind::Text(Pattern::Whole(url), _) if is_of_step(url) => {
            let headers = step
                .arguments
                .get("headers")
                .into_iter()
                .flat_map(Shape::patterns);
            let mut headers = headers.map(|(_, _, text)| text);
            return says(
                headers.any(|text| text.contains("SECRETS")),
                "a token for an address of a reply",
            );
        }
        _ => return Some("it is neither text nor an address of a reply".to_owned()),
    };
    let rest = match parts.as_slice() {
        [Part::Text(start), ..] => {
            let url = Url::parse(start);
            let url = url.ok().filter(|_| start["https://".len()..].contains('/'));
            let is_own = url.is_some_and(|url| {
                let mut providers = providers.iter();
                providers.all(|provider| hosts::owns(&provider.api_hosts(), &url))
            });
            if !is_own {
                return Some(format!("{start} is no host of the provider"));
            }
            &parts[..]
        }
        [Part::Expression(base), Part::Text(next), ..] if next.starts_with('/') => {
            if let Some(problem) = base_problem(entry, base, providers) {
                return Some(problem);
            }
            &parts[1..]
        }
        _ => return Some("it begins with neither a host nor base_url".to_owned()),
    };
    rest.iter().find_map(|part| match part {
        Part::Text(text) => says(text.contains(['?', '#']), format!("a query in {text}")),
        Part::Expression(expression) => {
            says(!is_encoded(expression), "an input that is not encoded")
        }
    })
}

/// What is wrong with an input that says where the API is: without a default the provider has hosts that are configured, and
/// a default is one of its hosts.
fn base_problem(entry: &Entry, base: &Expression, providers: &[Arc<Provider>]) -> Option<String> {
    if !matches!(&base.kind, Kind::Path(Context::Inputs, path) if is_named(path, "base_url")) {
        return Some("it begins with an expression other than base_url".to_owned());
    }
    let input = entry.input("base_url")?;
    let is_right = providers.iter().all(|provider| match &input.default {
        Some(default) => {
            let url = default.text().and_then(|text| Url::parse(text).ok());
            url.is_some_and(|url| hosts::owns(&provider.api_hosts(), &url))
        }
        None => provider.api_hosts().iter().all(|host| host.contains('{')),
    });
    says(!is_right, "the default of base_url")
}

fn is_named(path: &Path, name: &str) -> bool {
    path.names().eq([name])
}

fn is_of_step(expression: &Expression) -> bool {
    matches!(&expression.kind, Kind::Path(Context::Steps, _))
}

/// Whether all that comes out of the expression is a literal or percent-encoded.
fn is_encoded(expression: &Expression) -> bool {
    match &expression.kind {
        Kind::Literal(_) => true,
        Kind::Call {
            name,
            is_mapped: false,
            arguments,
        } => match name.as_ref() {
            "url_encode" => arguments.len() == 1,
            "concat" => arguments.iter().all(is_encoded),
            _ => false,
        },
        Kind::Choice {
            then, otherwise, ..
        } => is_encoded(then) && is_encoded(otherwise),
        _ => false,
    }
}
