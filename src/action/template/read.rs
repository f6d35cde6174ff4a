//! Reading a template: all that is wrong in it, each with its place, and what can be used of it all the same.

use std::collections::BTreeSet;

use super::{GrantType, Secret, SecretKind, Step, Template};
use crate::action::expression::Pattern;
use crate::action::inputs::{Input, Type};
use crate::action::shape::{Shape, ShapeKind};
use crate::action::value::Value;
use crate::action::value::json::trip;
use crate::action::yaml::{Content, Document, Node, Position, Problem};

/// The template that a document holds, and what is wrong in it. What is wrong is left out, or has a harmless value in its
/// place: no text, any type, None.
pub(in crate::action) fn template(document: &Document<'_>) -> (Template, Vec<Problem>) {
    let mut reader = Reader {
        text: document.text,
        problems: Vec::new(),
    };
    let template = reader.template(&document.root);
    (template, reader.problems)
}

/// Reads on after what is wrong.
#[derive(Debug)]
pub(in crate::action) struct Reader<'text> {
    text: &'text str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn kept<T>(&mut self, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn wrong(&mut self, at: Position, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    /// Reads a text with expressions, which is the value of `node`.
    pub(in crate::action) fn pattern(&mut self, text: &str, node: &Node) -> Pattern {
        let pattern = Pattern::parse(text).map_err(|error| {
            let underlined = error.underlined(text);
            let at = node.place_of(self.text, error.span.start);
            Problem::new(at, format!("{error}\n{underlined}"))
        });
        self.kept(pattern).unwrap_or(Pattern::Plain(Value::None))
    }

    fn template(&mut self, root: &Node) -> Template {
        let mut template = Template {
            action: String::new(),
            title: String::new(),
            description: String::new(),
            display_group: String::new(),
            doc_url: None,
            author: None,
            deprecated: None,
            secrets: Vec::new(),
            expects: Vec::new(),
            steps: Vec::new(),
            returns: nothing(root.at),
        };
        if let Err(problem) = entries(root, "a template") {
            self.problems.push(problem);
            return template;
        }
        if let Some(kind) = root.get("type")
            && kind.text() != Some("action")
        {
            self.wrong(kind.at, "type is action, or left out");
        }
        let definition = required(root, "definition", "the template");
        let definition = definition.and_then(|definition| {
            entries(definition, "definition")?;
            Ok(definition)
        });
        if let Some(definition) = self.kept(definition) {
            self.definition(definition, &mut template);
        }
        template
    }

    fn definition(&mut self, definition: &Node, template: &mut Template) {
        let mut named = |name: &str| {
            self.kept(text(definition, name, "definition"))
                .unwrap_or_default()
        };
        template.action = format!("{}.{}", named("namespace"), named("name"));
        template.title = named("title");
        template.display_group = named("display_group");
        let mut optional = |name: &str| self.kept(optional_text(definition, name)).flatten();
        template.description = optional("description").unwrap_or_default();
        template.doc_url = optional("doc_url");
        template.author = optional("author");
        template.deprecated = optional("deprecated");
        if let Some(list) = definition.get("secrets").filter(|list| !list.is_null()) {
            for node in self.kept(items(list, "secrets")).unwrap_or_default() {
                let secret = self.kept(secret(node));
                template.secrets.extend(secret);
            }
        }
        if let Some(node) = self.kept(required(definition, "expects", "definition")) {
            self.inputs(node, template);
        }
        if let Some(node) = self.kept(required(definition, "steps", "definition")) {
            self.steps(node, template);
        }
        if let Some(node) = self.kept(required(definition, "returns", "definition")) {
            let returns = self
                .kept(is_returned(node))
                .map(|()| Shape::read(node, self));
            template.returns = returns.unwrap_or_else(|| nothing(node.at));
        }
    }

    fn inputs(&mut self, node: &Node, template: &mut Template) {
        let inputs = &mut template.expects;
        let mut names = BTreeSet::new();
        for (key, field) in self.kept(entries(node, "expects")).unwrap_or_default() {
            let name = match key.value().map(|name| trip(&name)) {
                Ok(Value::Text(text)) => text.to_string(),
                Ok(other) => other.to_string(),
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            if name.starts_with('_') {
                self.wrong(key.at, "an input's name can't begin with _");
            }
            let input = self.input(name, field);
            if !names.insert(input.name.clone()) {
                inputs.retain(|(known, _)| known.name != input.name);
            }
            inputs.push((input, key.at));
        }
    }

    fn input(&mut self, name: String, field: &Node) -> Input {
        let mut input = Input {
            name,
            kind: Type::Any,
            default: None,
            description: String::new(),
        };
        let Some(entries) = self.kept(entries(field, "an input")) else {
            return input;
        };
        for (key, _) in entries {
            let known = ["type", "description", "default", "enum", "optional"];
            if !key.text().is_some_and(|key| known.contains(&key)) {
                let message = format!("an input has {}, nothing else", known.join(", "));
                self.wrong(key.at, message);
            }
        }
        if let Some(kind) = self.kept(kind(field, &input.name, self.text)) {
            input.kind = kind;
        }
        if let Some(default) = field.get("default") {
            input.default = self.kept(default.value()).as_ref().map(trip);
        }
        input.description = self
            .kept(optional_text(field, "description"))
            .flatten()
            .unwrap_or_default();
        input
    }

    fn steps(&mut self, node: &Node, template: &mut Template) {
        let Some(list) = self.kept(items(node, "steps")) else {
            return;
        };
        if list.is_empty() {
            self.wrong(node.at, "a template has at least one step");
        }
        let mut references = BTreeSet::new();
        for node in list {
            if let Some(step) = self.step(node, &template.action, &mut references) {
                template.steps.push(step);
            }
        }
    }

    fn step(&mut self, node: &Node, own: &str, references: &mut BTreeSet<String>) -> Option<Step> {
        self.kept(entries(node, "a step"))?;
        let reference = self.kept(text(node, "ref", "a step")).unwrap_or_default();
        if let Some(written) = node.get("ref")
            && !reference.is_empty()
            && !references.insert(reference.clone())
        {
            let message = format!("there is an earlier step {reference:?}");
            self.wrong(written.at, message);
        }
        let action_at = node.get("action").map_or(node.at, |action| action.at);
        let action = self
            .kept(text(node, "action", "a step"))
            .unwrap_or_default();
        if !action.is_empty() && action == own {
            self.wrong(action_at, "a template can't call itself");
        }
        let arguments = required(node, "args", "a step").and_then(|arguments| {
            entries(arguments, "args")?;
            Ok(arguments)
        });
        let arguments = match self.kept(arguments) {
            Some(arguments) => Shape::read(arguments, self),
            None => nothing(node.at),
        };
        Some(Step {
            at: node.at,
            reference,
            action,
            action_at,
            arguments,
        })
    }
}

const fn nothing(at: Position) -> Shape {
    Shape {
        at,
        kind: ShapeKind::Plain(Value::None),
    }
}

fn entries<'node>(node: &'node Node, what: &str) -> Result<&'node [(Node, Node)], Problem> {
    match &node.content {
        Content::Mapping(entries) => Ok(entries),
        _ => Err(Problem::new(node.at, format!("{what} is a mapping"))),
    }
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
        Value::Bool(flag) => Ok(flag),
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

fn secret(node: &Node) -> Result<Secret, Problem> {
    entries(node, "a secret")?;
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

fn kind(field: &Node, name: &str, source: &str) -> Result<Type, Problem> {
    let kind = required(field, "type", "an input")?;
    let written = match kind.is_null() {
        true => "None".to_owned(),
        false => as_text(kind, "type")?,
    };
    Type::parse(&written).map_err(|error| {
        let at = kind.place_of(source, error.at);
        Problem::new(at, format!("the type of {name}: {error}"))
    })
}

fn is_returned(node: &Node) -> Result<(), Problem> {
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
    Ok(())
}
