//! A template as it was written: read from YAML, each part with its place, nothing evaluated yet.

use std::collections::BTreeSet;

use super::expression::Pattern;
use super::inputs::{Input, Type};
use super::shape::Shape;
use super::value::json::trip;
use super::yaml::{Content, Node, Position, Problem, load};

/// A template.
#[derive(Clone, Debug)]
pub struct Template {
    /// `namespace.name`: how steps and callers name it.
    pub action: String,
    /// Its title.
    pub title: String,
    /// What it does.
    pub description: String,
    /// The heading under which it is listed.
    pub display_group: String,
    /// The page that documents the API it calls.
    pub doc_url: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Why it should not be used any more.
    pub deprecated: Option<String>,
    /// The secrets that it may see.
    pub secrets: Vec<Secret>,
    /// Its inputs, each with its place.
    pub expects: Vec<(Input, Position)>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// What it gives.
    pub returns: Shape,
}

/// A secret that a template may see.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Where it is declared.
    pub at: Position,
    /// Whether the template works without it.
    pub is_optional: bool,
    /// What it is.
    pub kind: SecretKind,
}

/// What a secret is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretKind {
    /// A token of a provider.
    OAuth {
        /// The provider.
        provider_id: String,
        /// `authorization_code` or `client_credentials`.
        grant_type: GrantType,
    },
    /// Values under names.
    Static {
        /// Its name.
        name: String,
        /// The keys that it must have.
        keys: Vec<String>,
        /// The keys that it may have.
        optional_keys: Vec<String>,
    },
}

/// How a declared token is granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantType {
    /// For a user.
    AuthorizationCode,
    /// For a service.
    ClientCredentials,
}

/// A step of a template.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it begins.
    pub at: Position,
    /// How later steps name it.
    pub reference: String,
    /// The action that it calls.
    pub action: String,
    /// Where the action is named.
    pub action_at: Position,
    /// What it is called with.
    pub arguments: Shape,
}

impl Template {
    /// Reads a template.
    pub fn parse(written: &str) -> Result<Self, Problem> {
        let root = load(written)?;
        expect_mapping(&root, "a template")?;
        if let Some(kind) = root.get("type")
            && kind.text() != Some("action")
        {
            return Err(Problem::new(kind.at, "type is action, or left out"));
        }
        let definition = required(&root, "definition", "the template")?;
        expect_mapping(definition, "definition")?;
        let required_text = |name: &str| text(definition, name, "definition");
        let optional = |name: &str| optional_text(definition, name);
        let action = format!("{}.{}", required_text("namespace")?, required_text("name")?);
        let steps = steps(required(definition, "steps", "definition")?, &action)?;
        Ok(Self {
            title: required_text("title")?,
            display_group: required_text("display_group")?,
            description: optional("description")?.unwrap_or_default(),
            doc_url: optional("doc_url")?,
            author: optional("author")?,
            deprecated: optional("deprecated")?,
            secrets: secrets(definition)?,
            expects: inputs(required(definition, "expects", "definition")?)?,
            steps,
            returns: returns(required(definition, "returns", "definition")?)?,
            action,
        })
    }

    /// Its inputs without their places.
    pub fn inputs(&self) -> Vec<Input> {
        self.expects
            .iter()
            .map(|(input, _)| input.clone())
            .collect()
    }
}

fn entries<'node>(node: &'node Node, what: &str) -> Result<&'node [(Node, Node)], Problem> {
    match &node.content {
        Content::Mapping(entries) => Ok(entries),
        _ => Err(Problem::new(node.at, format!("{what} is a mapping"))),
    }
}

fn expect_mapping(node: &Node, what: &str) -> Result<(), Problem> {
    entries(node, what).map(|_| ())
}

fn items<'node>(node: &'node Node, what: &str) -> Result<&'node [Node], Problem> {
    match &node.content {
        Content::List(items) => Ok(items),
        _ => Err(Problem::new(node.at, format!("{what} is a list"))),
    }
}

fn required<'node>(node: &'node Node, name: &str, what: &str) -> Result<&'node Node, Problem> {
    node.get(name)
        .ok_or_else(|| Problem::new(node.at, format!("{what} lacks {name}")))
}

fn text(node: &Node, name: &str, what: &str) -> Result<String, Problem> {
    let member = required(node, name, what)?;
    as_text(member, name)
}

fn as_text(node: &Node, what: &str) -> Result<String, Problem> {
    // A date that was not quoted is text in the end, as all of the definition makes a trip through JSON.
    let value = trip(&node.value()?);
    value
        .text()
        .map(str::to_owned)
        .ok_or_else(|| Problem::new(node.at, format!("{what} is text; quote it")))
}

fn optional_text(node: &Node, name: &str) -> Result<Option<String>, Problem> {
    match node.get(name) {
        Some(member) if !member.is_null() => as_text(member, name).map(Some),
        _ => Ok(None),
    }
}

fn flag(node: &Node, name: &str) -> Result<bool, Problem> {
    let Some(member) = node.get(name) else {
        return Ok(false);
    };
    match member.value()? {
        super::value::Value::Bool(flag) => Ok(flag),
        _ => Err(Problem::new(member.at, format!("{name} is true or false"))),
    }
}

fn texts(node: &Node, name: &str) -> Result<Vec<String>, Problem> {
    match node.get(name) {
        Some(member) if !member.is_null() => items(member, name)?
            .iter()
            .map(|item| as_text(item, name))
            .collect(),
        _ => Ok(Vec::new()),
    }
}

fn secrets(definition: &Node) -> Result<Vec<Secret>, Problem> {
    match definition.get("secrets") {
        Some(list) if !list.is_null() => items(list, "secrets")?.iter().map(secret).collect(),
        _ => Ok(Vec::new()),
    }
}

fn secret(node: &Node) -> Result<Secret, Problem> {
    expect_mapping(node, "a secret")?;
    let kind = match node.get("type").map(|kind| (kind, kind.text())) {
        Some((_, Some("oauth"))) => {
            let grant_type = required(node, "grant_type", "an OAuth secret")?;
            let grant_type = match grant_type.text() {
                Some("authorization_code") => GrantType::AuthorizationCode,
                Some("client_credentials") => GrantType::ClientCredentials,
                _ => {
                    let message = "grant_type is authorization_code or client_credentials";
                    return Err(Problem::new(grant_type.at, message));
                }
            };
            SecretKind::OAuth {
                provider_id: text(node, "provider_id", "an OAuth secret")?,
                grant_type,
            }
        }
        Some((kind, kind_text)) if !kind.is_null() && kind_text != Some("custom") => {
            return Err(Problem::new(
                kind.at,
                "a secret's type is oauth, or left out",
            ));
        }
        _ => static_secret(node)?,
    };
    Ok(Secret {
        at: node.at,
        is_optional: flag(node, "optional")?,
        kind,
    })
}

fn static_secret(node: &Node) -> Result<SecretKind, Problem> {
    let (keys, optional_keys) = (texts(node, "keys")?, texts(node, "optional_keys")?);
    if keys.is_empty() && optional_keys.is_empty() {
        let message = "a secret has keys, optional_keys or type: oauth";
        return Err(Problem::new(node.at, message));
    }
    let name = text(node, "name", "a secret")?;
    if name.ends_with("_oauth") {
        let message = "a name that ends in _oauth is a provider's; declare it with type: oauth";
        return Err(Problem::new(node.at, message));
    }
    if let Some(kind) = node.get("secret_type") {
        let known = ["custom", "ssh_key", "mtls", "ca_cert"];
        if !kind.text().is_some_and(|kind| known.contains(&kind)) {
            let message = format!("secret_type is one of {}", known.join(", "));
            return Err(Problem::new(kind.at, message));
        }
    }
    Ok(SecretKind::Static {
        name,
        keys,
        optional_keys,
    })
}

fn inputs(node: &Node) -> Result<Vec<(Input, Position)>, Problem> {
    let mut inputs: Vec<(Input, Position)> = Vec::new();
    for (key, field) in entries(node, "expects")? {
        let name = match trip(&key.value()?) {
            super::value::Value::Text(text) => text.to_string(),
            other => other.to_string(),
        };
        if name.starts_with('_') {
            return Err(Problem::new(key.at, "an input's name can't begin with _"));
        }
        let input = input(&name, field)?;
        inputs.retain(|(known, _)| known.name != name);
        inputs.push((input, key.at));
    }
    Ok(inputs)
}

fn input(name: &str, field: &Node) -> Result<Input, Problem> {
    for (key, _) in entries(field, "an input")? {
        let known = ["type", "description", "default", "enum", "optional"];
        if !key.text().is_some_and(|key| known.contains(&key)) {
            let message = format!("an input has {}, nothing else", known.join(", "));
            return Err(Problem::new(key.at, message));
        }
    }
    let kind = required(field, "type", "an input")?;
    let written = match kind.is_null() {
        true => "None".to_owned(),
        false => as_text(kind, "type")?,
    };
    let kind = Type::parse(&written)
        .map_err(|error| Problem::new(kind.at, format!("the type of {name}: {error}")))?;
    let default = field.get("default").map(Node::value).transpose()?;
    Ok(Input {
        name: name.to_owned(),
        kind,
        default: default.as_ref().map(trip),
        description: optional_text(field, "description")?.unwrap_or_default(),
    })
}

fn steps(node: &Node, own: &str) -> Result<Vec<Step>, Problem> {
    let list = items(node, "steps")?;
    if list.is_empty() {
        return Err(Problem::new(node.at, "a template has at least one step"));
    }
    let mut references = BTreeSet::new();
    let mut steps = Vec::new();
    for node in list {
        expect_mapping(node, "a step")?;
        let reference = text(node, "ref", "a step")?;
        if !references.insert(reference.clone()) {
            let message = format!("there is an earlier step {reference:?}");
            return Err(Problem::new(required(node, "ref", "a step")?.at, message));
        }
        let action_node = required(node, "action", "a step")?;
        let action = as_text(action_node, "action")?;
        if action == own {
            let message = "a template can't call itself";
            return Err(Problem::new(action_node.at, message));
        }
        let arguments = required(node, "args", "a step")?;
        expect_mapping(arguments, "args")?;
        steps.push(Step {
            at: node.at,
            reference,
            action,
            action_at: action_node.at,
            arguments: Shape::read(arguments)?,
        });
    }
    Ok(steps)
}

fn returns(node: &Node) -> Result<Shape, Problem> {
    let wrong = |at| Problem::new(at, "returns is text, a list of texts or a mapping");
    match &node.content {
        Content::Mapping(_) => {}
        Content::Scalar { .. } => {
            as_text(node, "returns").map_err(|_| wrong(node.at))?;
        }
        Content::List(items) => {
            for item in items {
                as_text(item, "returns").map_err(|_| wrong(item.at))?;
            }
        }
    }
    Shape::read(node)
}

impl Secret {
    /// The name behind `SECRETS.`.
    pub fn context(&self) -> String {
        match &self.kind {
            SecretKind::OAuth { provider_id, .. } => format!("{provider_id}_oauth"),
            SecretKind::Static { name, .. } => name.clone(),
        }
    }
}

/// Reads a text of a template, with the place of what is wrong in it.
pub(super) fn pattern(text: &str, at: Position) -> Result<Pattern, Problem> {
    Pattern::parse(text).map_err(|error| {
        let underlined = error.underlined(text);
        Problem::new(at, format!("{error}\n{underlined}"))
    })
}
