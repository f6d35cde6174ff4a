//! Says what is wrong with templates without running them: every mistake, where it stands, and what would be right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::needs::{hosts, needs};
use super::template::{Template, read_template};
use super::yaml::Document;
use crate::model::GrantType;
use crate::provider::catalog::Catalog;
pub use crate::provider::check::Severity;

mod arguments;
mod check;
mod cycles;
mod files;
mod inputs;
mod references;
mod secrets;
mod spelling;
mod traps;

use check::Check;

/// Something wrong in a template, or a trap.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong, a sentence without its full stop.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// The line as it is written, and below it what is meant underlined.
    pub excerpt: Option<String>,
}

/// A template that was found, and what it needs of whoever runs it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Listed {
    /// The file.
    pub path: String,
    /// The name by which it is called.
    pub name: String,
    /// The tokens that it asks for.
    pub needs: Vec<Token>,
    /// The hosts that it asks, as [`hosts`] writes them.
    pub hosts: Vec<String>,
}

/// A token that a template asks for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Token {
    /// The provider's id.
    pub provider: String,
    /// How it is granted.
    pub grant_type: GrantType,
    /// Whether the template works without it.
    pub optional: bool,
    /// The scopes that are asked for in any case, where the catalogue has the provider.
    pub scopes: Vec<String>,
}

/// What is known of some templates.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// What is wrong, by file, in the order of the lines.
    pub problems: Vec<Problem>,
    /// The templates of the files that could be read.
    pub templates: Vec<Listed>,
}

impl Report {
    fn sort(&mut self) {
        let key = |problem: &Problem| (problem.path.clone(), problem.line, problem.column);
        self.problems.sort_by_cached_key(key);
    }
}

/// What templates may count on beside each other.
pub struct Surroundings<'a> {
    /// The providers.
    pub catalog: &'a Catalog,
    /// Whether a provider that the catalogue does not have is configured.
    pub is_configured: &'a dyn Fn(&str) -> bool,
    /// Whether an action that is not among the files can be called.
    pub is_action: &'a dyn Fn(&str) -> bool,
}

/// All that is wrong with the templates in these files and folders, and what they need. Reads files and nothing else; what
/// can't be read is a problem too. Steps may call the templates of all of them.
pub fn validate(paths: &[PathBuf], surroundings: &Surroundings<'_>) -> Report {
    let mut unreadable = Vec::new();
    let mut texts = Vec::new();
    for path in files::collect(paths, &mut unreadable) {
        match files::read(&path) {
            Ok(text) => texts.push((path, text)),
            Err(reason) => unreadable.push(files::unreadable(&path, &reason)),
        }
    }
    let mut report = validate_texts(&texts, surroundings);
    report.problems.append(&mut unreadable);
    report.sort();
    report
}

/// As [`validate`], with the files' texts at hand.
pub fn validate_texts(texts: &[(PathBuf, String)], surroundings: &Surroundings<'_>) -> Report {
    let mut report = Report::default();
    let mut documents = Vec::new();
    for (path, text) in texts {
        match Document::read(text) {
            Ok(document) => documents.push((path.as_path(), document)),
            Err(problem) => {
                let problem = check::Found::of(problem, 1);
                report.problems.push(problem.told(path, text));
            }
        }
    }
    let read = Vec::from_iter(documents.iter().map(|(path, document)| {
        let (template, problems) = read_template(document);
        (*path, document, template, problems)
    }));
    let mut templates = Templates::new();
    for (path, _, template, _) in &read {
        templates
            .entry(&template.action)
            .or_insert((path, template));
    }
    let cycles = cycles::find(&templates);
    for (path, document, template, problems) in &read {
        let mut check = Check::new(path, document, template, problems);
        check.repeated_keys();
        check.spelling();
        check.secrets(surroundings);
        check.inputs();
        check.references();
        check.arguments(&templates);
        check.actions(&templates, surroundings);
        check.names(&templates, &cycles);
        check.traps();
        report.problems.extend(check.problems());
        report.templates.push(listed(path, template, surroundings));
    }
    report.sort();
    report
}

/// The templates by their names, each with its file; of those of the same name the first.
type Templates<'a> = BTreeMap<&'a str, (&'a Path, &'a Template)>;

fn listed(path: &Path, template: &Template, surroundings: &Surroundings<'_>) -> Listed {
    let tokens = needs(template).into_iter().map(|need| {
        let provider = surroundings.catalog.find(&need.provider_id).ok();
        Token {
            scopes: provider
                .map(|provider| provider.base_scopes(need.grant_type))
                .unwrap_or_default(),
            provider: need.provider_id,
            grant_type: need.grant_type,
            optional: need.is_optional,
        }
    });
    Listed {
        path: path.display().to_string(),
        name: template.action.clone(),
        needs: tokens.collect(),
        hosts: hosts(template),
    }
}
