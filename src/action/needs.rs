//! What a template needs of whoever runs it, read off without running: tokens, and the hosts it talks to.

use std::collections::BTreeSet;

use url::Url;

use super::expression::Pattern;
use super::expression::path::Path;
use super::expression::pattern::Part;
use super::expression::syntax::{BinaryOperator, Context, Expression, Kind};
use super::shape::{Shape, ShapeKind};
use super::template::{self, SecretKind, Template};
use super::value::Value;
use crate::model::GrantType;

/// A token that a template asks for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Need {
    /// The provider's id.
    pub provider_id: String,
    /// How the token is granted.
    pub grant_type: GrantType,
    /// Whether the template works without it.
    pub is_optional: bool,
}

/// The tokens that a template declares, in its order. Those of templates that it calls are theirs.
pub fn needs(template: &Template) -> Vec<Need> {
    let secrets = template.secrets.iter().filter_map(|secret| {
        let SecretKind::OAuth {
            provider_id,
            grant_type,
        } = &secret.kind
        else {
            return None;
        };
        let grant_type = match grant_type {
            template::GrantType::AuthorizationCode => GrantType::AuthorizationCode,
            template::GrantType::ClientCredentials => GrantType::ClientCredentials,
        };
        Some(Need {
            provider_id: provider_id.clone(),
            grant_type,
            is_optional: secret.is_optional,
        })
    });
    secrets.collect()
}

/// The hosts that a template's own steps ask, sorted: `api.example.com`, `*.example.com` where an expression stands before
/// a domain, and `${{ inputs.base_url }}` where only the run will say. Of an expression with alternatives each is listed,
/// also the default of an input. Scripts are not looked into.
pub fn hosts(template: &Template) -> Vec<String> {
    let mut hosts = BTreeSet::new();
    for step in &template.steps {
        if step.action.starts_with("core.http_") {
            if let Some(url) = step.arguments.get("url") {
                of_url(url, template, &mut hosts);
            }
        } else if step.action.starts_with("tools.google_api.") {
            hosts.insert("*.googleapis.com".to_owned());
        }
    }
    hosts.into_iter().collect()
}

fn of_url(url: &Shape, template: &Template, hosts: &mut BTreeSet<String>) {
    match &url.kind {
        ShapeKind::Plain(value) => hosts.extend(value.text().and_then(host)),
        ShapeKind::Text(Pattern::Whole(expression), text) => {
            of_expression(expression, text, template, hosts);
        }
        ShapeKind::Text(Pattern::Mixed(parts), text) => match parts.as_slice() {
            [Part::Expression(expression), Part::Text(rest), ..]
                if rest.starts_with(['/', '?', '#']) =>
            {
                of_expression(expression, text, template, hosts);
            }
            parts => of_parts(parts, text, template, hosts),
        },
        _ => {}
    }
}

/// The alternatives that an expression chooses between.
fn of_expression(
    expression: &Expression,
    text: &str,
    template: &Template,
    hosts: &mut BTreeSet<String>,
) {
    match &expression.kind {
        Kind::Literal(Value::None) => {}
        Kind::Literal(value) => hosts.extend(value.text().and_then(host)),
        Kind::Binary(BinaryOperator::Or, left, right) => {
            of_expression(left, text, template, hosts);
            of_expression(right, text, template, hosts);
        }
        Kind::Choice {
            then, otherwise, ..
        } => {
            of_expression(then, text, template, hosts);
            of_expression(otherwise, text, template, hosts);
        }
        kind => {
            hosts.insert(written(expression, text));
            if let Kind::Path(Context::Inputs, path) = kind {
                hosts.extend(default_of(path, template).and_then(host));
            }
        }
    }
}

/// What stands between scheme and path, put together from text and expressions.
fn of_parts(parts: &[Part], text: &str, template: &Template, hosts: &mut BTreeSet<String>) {
    let (mut authority, mut alone) = (String::new(), None);
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(part) => {
                let part = match (index, part.split_once("://")) {
                    (0, Some((_, rest))) => rest,
                    _ => part,
                };
                let end = part.find(['/', '?', '#']);
                authority.push_str(&part[..end.unwrap_or(part.len())]);
                if end.is_some() {
                    break;
                }
            }
            Part::Expression(expression) => {
                alone = authority.is_empty().then_some(expression);
                authority.push_str(&written(expression, text));
            }
        }
    }
    if let Some(expression) = alone.filter(|alone| written(alone, text) == authority) {
        return of_expression(expression, text, template, hosts);
    }
    let behind = authority.rsplit_once("}}").map(|(_, behind)| behind);
    hosts.extend(match behind {
        None => host(&authority),
        Some(domain) if domain.starts_with('.') && domain[1..].contains('.') => {
            host(&domain[1..]).map(|domain| format!("*.{domain}"))
        }
        Some(_) => Some(authority),
    });
}

/// An expression as it stands in the text.
fn written(expression: &Expression, text: &str) -> String {
    format!("${{{{ {} }}}}", &text[expression.span.clone()])
}

fn default_of<'template>(path: &Path, template: &'template Template) -> Option<&'template str> {
    let mut names = path.names();
    let name = names.next()?;
    let (input, _) = template
        .expects
        .iter()
        .find(|(input, _)| input.name == name)?;
    input.default.as_ref().and_then(Value::text)
}

/// The host of a URL or of what stands in the place of one, in lower case, with its port where that is not the scheme's.
fn host(url: &str) -> Option<String> {
    let with_scheme;
    let url = if url.contains("://") {
        url
    } else {
        with_scheme = format!("https://{url}");
        &with_scheme
    };
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
