//! A template as it was written: read from YAML, each part with its place, nothing evaluated yet.

use super::inputs::Input;
use super::shape::Shape;
use super::yaml::{Document, Position, Problem};

mod read;

pub(super) use read::{Reader, template as read_template};

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
    /// Reads a template; the error is the first thing that is wrong in it.
    pub fn parse(written: &str) -> Result<Self, Problem> {
        let (template, problems) = read::template(&Document::read(written)?);
        match problems.into_iter().min_by_key(|problem| problem.at) {
            Some(problem) => Err(problem),
            None => Ok(template),
        }
    }

    /// Its inputs without their places.
    pub fn inputs(&self) -> Vec<Input> {
        self.expects
            .iter()
            .map(|(input, _)| input.clone())
            .collect()
    }
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
