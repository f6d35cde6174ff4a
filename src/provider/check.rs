//! Says what is wrong with a provider file: every mistake, where it stands, and what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::catalog::{Catalog, ID_PATTERN, Provider, yaml_files};
use super::file::{Document, Mistake, Position};
use super::grant::GrantFile;
use super::hosts::{judge_url, normal};
use super::merge::flatten;
use super::parameters::{BUILT_IN, Choices, Parameter, judge, nearest, placeholders, whole};
use super::scope;
use crate::error::{Error, ErrorKind};
use crate::model::GrantType;

/// No file is told of more mistakes than this at once.
const MOST_PROBLEMS: usize = 100;

/// What every file has to say of its provider.
const REQUIRED: [&str; 4] = ["id", "name", "category", "summary"];

/// What a reader of types says, and what it means to whoever writes a file.
const KINDS: [(&str, &str); 7] = [
    ("expected f64", "expected a number"),
    ("expected u16", "expected a whole number"),
    ("expected usize", "expected a whole number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
    ("expected string or map", "expected a word"),
    ("expected a string", "expected text"),
];

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but should say more.
    Warning,
}

/// One mistake in a file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The field and what is wrong with it.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// All mistakes in a provider file, or in the files of a folder, in the order of their lines. It may extend built-in
/// providers and those beside it. Reads files and nothing else; never fails: what can't be read is a problem too.
pub fn check_provider(path: &Path) -> Vec<Problem> {
    if path.is_dir() {
        let catalog = Catalog::beside(path);
        return match yaml_files(path) {
            Ok(files) => files
                .iter()
                .flat_map(|file| check_file(file, &catalog))
                .collect(),
            Err(error) => vec![at_start(path, error.reason())],
        };
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    check_file(path, &Catalog::beside(folder))
}

/// All mistakes in one file; `catalog` holds what stands beside it.
fn check_file(path: &Path, catalog: &Catalog) -> Vec<Problem> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return vec![at_start(path, &format!("it cannot be read: {error}"))],
    };
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(malformed) => {
            return vec![Problem {
                line: malformed.at.line,
                column: malformed.at.column,
                ..at_start(path, &malformed.message)
            }];
        }
    };
    let mut check = Check {
        path,
        document: &document,
        taken_out: BTreeMap::new(),
        problems: Vec::new(),
    };
    check.file(catalog);
    let mut problems = check.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems.truncate(MOST_PROBLEMS);
    problems
}

struct Check<'a> {
    path: &'a Path,
    document: &'a Document,
    /// The items that were taken out of lists, by the path of the list: those behind them have moved up.
    taken_out: BTreeMap<Vec<String>, BTreeSet<usize>>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn file(&mut self, catalog: &Catalog) {
        let value = self.document.value();
        self.names(&value, catalog);
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
        let mut merged = match catalog.extended(id, value.clone(), &mut BTreeSet::new()) {
            Ok(merged) => merged,
            Err(error) => return self.extends(&error),
        };
        let Some(provider) = self.structure(&mut merged) else {
            return;
        };
        for grant_type in provider.grant_types() {
            if let (Some(flat), Ok(grant)) = (
                flatten(&merged, grant_type.as_str()),
                provider.grant(grant_type),
            ) {
                self.grant(&provider.id, grant_type, grant, &flat);
            }
        }
        if provider.sources.is_empty() {
            let mistake = file_mistake(&["sources"], "it names no page of the vendor");
            self.report(
                Severity::Warning,
                &mistake,
                Some("add `sources:` with the URLs that the file rests on".into()),
            );
        }
    }

    /// The names by which the provider is found: well formed and free.
    fn names(&mut self, value: &Value, catalog: &Catalog) {
        let id = value
            .get("id")
            .and_then(Value::as_str)
            .map(|id| (vec!["id".to_owned()], id));
        let aliases = value
            .get("aliases")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate();
        let aliases = aliases.filter_map(|(index, alias)| {
            Some((
                vec!["aliases".to_owned(), index.to_string()],
                alias.as_str()?,
            ))
        });
        for (path, name) in id.into_iter().chain(aliases) {
            let message = if !whole(ID_PATTERN).is_ok_and(|pattern| pattern.is_match(name)) {
                format!(
                    "`{}` is no id: it has to match {ID_PATTERN}",
                    name.escape_debug()
                )
            } else if let Some(owner) = catalog
                .id(name)
                .filter(|owner| !catalog.is_at(owner, self.path))
            {
                format!("`{name}` is taken by the provider {owner}")
            } else {
                continue;
            };
            let hint =
                "choose another name; `extends:` changes a provider under a name of your own"
                    .to_owned();
            self.report(
                Severity::Error,
                &Mistake {
                    grant_type: None,
                    path,
                    message,
                },
                Some(hint),
            );
        }
    }

    fn extends(&mut self, error: &Error) {
        let hint = match error.kind() {
            ErrorKind::UnknownProvider => error.next_command().map(str::to_owned),
            _ => None,
        };
        self.report(
            Severity::Error,
            &file_mistake(&["extends"], error.reason()),
            hint,
        );
    }

    /// Reads the file as providers are read; each mistake is reported and taken out, until none is left.
    fn structure(&mut self, merged: &mut Value) -> Option<Provider> {
        for _ in 0..MOST_PROBLEMS {
            let mistake = match Provider::parse(merged) {
                Ok(provider) => return Some(provider),
                Err(mistake) => mistake,
            };
            let hint = hint_of(&mistake.message);
            self.report(Severity::Error, &mistake, hint);
            if !self.take_out(merged, &mistake) {
                return None;
            }
        }
        None
    }

    /// What is well formed and still wrong.
    fn grant(&mut self, provider: &str, grant_type: GrantType, grant: &GrantFile, flat: &Value) {
        let mut found = Vec::new();
        text_mistakes(grant, flat, &mut found);
        keep_mistakes(grant, &mut found);
        parameter_mistakes(grant, &mut found);
        scope_mistakes(provider, grant, &mut found);
        for (path, message) in found {
            let mistake = Mistake {
                grant_type: Some(grant_type),
                path,
                message,
            };
            self.report(Severity::Error, &mistake, None);
        }
        for name in unused_parameters(grant, flat) {
            let mistake = Mistake {
                grant_type: Some(grant_type),
                path: path(&["parameters", name]),
                message: format!("nothing in the file uses `{name}`"),
            };
            self.report(Severity::Warning, &mistake, None);
        }
        if let Some(mechanism) = grant.needs.first() {
            let mistake = Mistake {
                grant_type: Some(grant_type),
                path: path(&["needs"]),
                message: format!(
                    "this grant needs {}, which evergrant does not speak yet",
                    mechanism.words()
                ),
            };
            self.report(Severity::Warning, &mistake, None);
        }
    }

    fn report(&mut self, severity: Severity, mistake: &Mistake, hint: Option<String>) {
        let (at, path) = self.position(mistake);
        self.problems.push(Problem {
            severity,
            path: self.path.display().to_string(),
            line: at.line,
            column: at.column,
            message: sentence(&path, &mistake.message),
            hint,
        });
    }

    /// Where a mistake stands in this file, and its path there; at `extends` when it is inherited.
    fn position(&self, mistake: &Mistake) -> (Position, Vec<String>) {
        let key = mistake.message.starts_with("unknown field");
        let here = places_of(mistake).into_iter().find_map(|path| {
            let path = self.as_written(path);
            let at = self.document.position(&borrowed(&path), key)?;
            let below = path.len() - mistake.path.len();
            Some((at, path[below..].to_vec()))
        });
        here.unwrap_or_else(|| {
            let extends = self.document.position(&["extends"], true);
            (
                extends.unwrap_or(Position { line: 1, column: 1 }),
                mistake.path.clone(),
            )
        })
    }

    /// `path` with the places in lists that its items had before some were taken out.
    fn as_written(&self, mut path: Vec<String>) -> Vec<String> {
        for step in 0..path.len() {
            let Some(taken_out) = self.taken_out.get(&path[..step]) else {
                continue;
            };
            if let Ok(mut index) = path[step].parse::<usize>() {
                for taken in taken_out {
                    index += usize::from(*taken <= index);
                }
                path[step] = index.to_string();
            }
        }
        path
    }

    /// Removes what `mistake` names from the file, so that the next mistake shows; whether there was anything to remove.
    fn take_out(&mut self, merged: &mut Value, mistake: &Mistake) -> bool {
        let missing = mistake.message.strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.split('`').next());
        let required = match (mistake.path.as_slice(), missing) {
            ([], Some(name)) => Some(name),
            ([name], None) if REQUIRED.contains(&name.as_str()) => Some(name.as_str()),
            _ => None,
        };
        if let (Some(name), Some(fields)) = (required, merged.as_object_mut()) {
            // It would be missed next.
            fields.insert(name.to_owned(), Value::from("-"));
            return true;
        }
        let mut removed = false;
        for path in places_of(mistake) {
            let Some((last, parents)) = path.split_last() else {
                continue;
            };
            let parent = parents
                .iter()
                .try_fold(&mut *merged, |node, step| match node {
                    Value::Object(fields) => fields.get_mut(step),
                    Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
                    _ => None,
                });
            match (parent, last.parse::<usize>()) {
                (Some(Value::Object(fields)), _) => removed |= fields.remove(last).is_some(),
                (Some(Value::Array(items)), Ok(index)) if index < items.len() => {
                    items.remove(index);
                    removed = true;
                    let written = self.as_written(path.clone());
                    let index = written
                        .last()
                        .and_then(|step| step.parse().ok())
                        .unwrap_or(index);
                    self.taken_out
                        .entry(parents.to_vec())
                        .or_default()
                        .insert(index);
                }
                _ => {}
            }
        }
        removed
    }
}

/// The paths below the file that may hold what `mistake` names: in the grant, else in the provider, and for token
/// requests in their defaults.
fn places_of(mistake: &Mistake) -> Vec<Vec<String>> {
    let Some(grant_type) = mistake.grant_type else {
        return vec![mistake.path.clone()];
    };
    let grant = ["grants".to_owned(), grant_type.to_string()];
    let below = |path: Vec<String>| [[&grant[..], &path].concat(), path];
    let mut places: Vec<Vec<String>> = below(mistake.path.clone()).into();
    if let Some((first, rest)) = mistake.path.split_first()
        && ["token", "refresh"].contains(&first.as_str())
    {
        let defaults = [&["token_request".to_owned()][..], rest].concat();
        places.extend(below(defaults));
    }
    places
}

/// A path below a grant, and what is wrong there.
type Found = (Vec<String>, String);

/// URLs, hosts and patterns.
fn text_mistakes(grant: &GrantFile, flat: &Value, found: &mut Vec<Found>) {
    let names = known_names(grant);
    walk(flat, &mut Vec::new(), &mut |path, text| {
        if let Some(message) = text_mistake(path, text, &names) {
            found.push((path.to_vec(), message));
        }
    });
}

/// Rules to keep a value: a path, or a map with one place and perhaps a pattern.
fn keep_mistakes(grant: &GrantFile, found: &mut Vec<Found>) {
    let nothing = BTreeMap::new();
    for (section, rules) in [
        ("reply", &grant.reply.keep),
        ("callback", &grant.callback.keep),
        (
            "lookup",
            grant
                .lookup
                .as_ref()
                .map_or(&nothing, |lookup| &lookup.keep),
        ),
    ] {
        for (name, rule) in rules.iter().filter(|(_, rule)| !is_keep_rule(rule)) {
            let message = format!(
                "`{rule}` is no path, and no map with one of path, header, parameter and perhaps a pattern"
            );
            found.push((path(&[section, "keep", name]), message));
        }
    }
}

/// Names of parameters, and the values that the file itself gives them. Broken patterns are found as texts.
fn parameter_mistakes(grant: &GrantFile, found: &mut Vec<Found>) {
    let places = grant.places();
    for (name, parameter) in &grant.parameters {
        if BUILT_IN.contains(&name.as_str()) {
            found.push((
                path(&["parameters", name]),
                format!("evergrant itself fills `{name}`; choose another name"),
            ));
        }
        if parameter
            .pattern
            .as_ref()
            .is_some_and(|pattern| whole(pattern).is_err())
        {
            continue;
        }
        let place = places.get(name.as_str()).copied().unwrap_or_default();
        for (field, value) in [
            ("default", &parameter.default),
            ("example", &parameter.example),
        ] {
            let judged = value
                .as_ref()
                .map(|value| judge(name, parameter, value, place));
            if let Some(Err(reason)) = judged {
                found.push((
                    path(&["parameters", name, field]),
                    format!("`{name}` may not have it: {reason}"),
                ));
            }
        }
    }
}

/// Parameters that fill no template, set nothing that does, and choose nothing.
fn unused_parameters<'a>(grant: &'a GrantFile, flat: &Value) -> Vec<&'a str> {
    let mut used = BTreeSet::new();
    walk(flat, &mut Vec::new(), &mut |path, text| {
        if path.first().is_some_and(|section| section != "parameters") {
            used.extend(placeholders(text).map(|(_, name)| name.to_owned()));
        }
    });
    used.extend(grant.kept().map(|(name, _)| name.to_owned()));
    // Evergrant itself writes it into the header of every assertion; the other names are mistakes of their own.
    used.insert("key_id".to_owned());
    used.extend(BUILT_IN.map(str::to_owned));
    let sets_used = |parameter: &Parameter| match &parameter.choices {
        Some(Choices::Settings(settings)) => settings
            .values()
            .flat_map(BTreeMap::keys)
            .any(|name| used.contains(name)),
        _ => false,
    };
    grant
        .parameters
        .iter()
        .filter(|(name, parameter)| !used.contains(*name) && !sets_used(parameter))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Base and suggested scopes that the file itself does not allow. A scope with a placeholder is known only when filled.
fn scope_mistakes(provider: &str, grant: &GrantFile, found: &mut Vec<Found>) {
    let rules = &grant.scopes;
    let base = rules
        .base
        .iter()
        .enumerate()
        .map(|(index, scope)| (path(&["scopes", "base", &index.to_string()]), scope));
    let suggested = rules
        .suggested
        .keys()
        .map(|scope| (path(&["scopes", "suggested", scope]), scope));
    for (path, scope) in base.chain(suggested) {
        if placeholders(scope).next().is_none() && scope::validate(rules, provider, scope).is_err()
        {
            found.push((
                path,
                format!(
                    "`{scope}` matches no pattern of `scopes.allowed`, or one of `scopes.denied`"
                ),
            ));
        }
    }
}

/// What is wrong with a text where it stands: a URL, a host or a pattern.
fn text_mistake(path: &[String], text: &str, names: &BTreeSet<&str>) -> Option<String> {
    let steps: Vec<&str> = borrowed(path);
    let key = *steps.last()?;
    let is_url = matches!(steps.as_slice(), ["endpoints", _])
        || matches!(key, "url" | "base_url")
            && !matches!(steps.as_slice(), ["discovery", ..] | ["errors", ..]);
    let is_host = matches!(steps.as_slice(), [.., "hosts", _]);
    let is_pattern = matches!(
        steps.as_slice(),
        ["parameters", _, "pattern"]
            | ["client", "id_pattern"]
            | ["scopes", "allowed" | "denied", _]
            | [.., "keep", _, "pattern"]
    ) || matches!(steps.as_slice(), ["expiry_signals", _, "header" | "body"]);
    if is_pattern {
        return whole(text).err();
    }
    if !is_url && !is_host {
        return None;
    }
    if let Some((_, name)) = placeholders(text).find(|(_, name)| !names.contains(name)) {
        return Some(format!(
            "nothing fills `{{{name}}}`: it is no parameter, no value of a choice and not kept"
        ));
    }
    let filled = super::parameters::fill(text, &|_| Some("x".to_owned())).ok()??;
    if is_host {
        return normal(&filled).err().map(|error| error.reason().to_owned());
    }
    if text.starts_with('{') {
        return None;
    }
    // Its page reads what stands behind the fragment (`authorization.fragment`).
    let page = steps.as_slice() == ["endpoints", "authorization_endpoint"];
    let filled = match filled.split_once('#') {
        Some((before, _)) if page => before,
        _ => &filled,
    };
    judge_url(filled, false)
        .err()
        .map(|error| error.reason().to_owned())
}

fn is_keep_rule(rule: &Value) -> bool {
    match rule {
        Value::String(_) => true,
        Value::Object(fields) => {
            let place = |name: &String| ["path", "header", "parameter"].contains(&name.as_str());
            fields.keys().filter(|name| place(name)).count() == 1
                && fields.keys().all(|name| place(name) || name == "pattern")
                && fields.values().all(Value::is_string)
        }
        _ => false,
    }
}

/// Every name that may fill a template of a grant.
fn known_names(grant: &GrantFile) -> BTreeSet<&str> {
    let settings = grant
        .parameters
        .values()
        .filter_map(|parameter| match &parameter.choices {
            Some(Choices::Settings(settings)) => Some(settings.values()),
            _ => None,
        });
    let set = settings
        .flatten()
        .flat_map(|set| set.keys().map(String::as_str));
    let parameters = grant.parameters.keys().map(String::as_str);
    let kept = grant.kept().map(|(name, _)| name);
    parameters.chain(set).chain(kept).chain(BUILT_IN).collect()
}

/// Calls `visit` with every text in `value` and its path.
fn walk(value: &Value, path: &mut Vec<String>, visit: &mut dyn FnMut(&[String], &str)) {
    let mut below = |step: String, child: &Value| {
        path.push(step);
        walk(child, path, visit);
        path.pop();
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, child)| below(name.clone(), child)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, child)| below(index.to_string(), child)),
        Value::String(text) => visit(path, text),
        _ => {}
    }
}

/// A mistake as a sentence that names the field, without the list of all that would be right: that is the hint's.
fn sentence(path: &[String], message: &str) -> String {
    let message = message
        .split(", expected one of `")
        .next()
        .unwrap_or_default();
    let unknown = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.strip_suffix('`'));
    let message = match unknown {
        Some(name) => format!("`{name}` is no field here"),
        None => KINDS
            .iter()
            .fold(message.to_owned(), |message, (kind, words)| {
                message.replace(kind, words)
            }),
    };
    match path {
        [] => message,
        path => format!("{}: {message}", path.join(".")),
    }
}

/// From the message of an unknown field or value: the nearest one, and all of them.
fn hint_of(message: &str) -> Option<String> {
    let (wrong, known) = message.split_once(", expected ")?;
    let wrong = wrong.split('`').nth(1)?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let all = match known.as_slice() {
        [] => return None,
        known => known.join(", "),
    };
    Some(match nearest(wrong, known) {
        Some(near) => format!("did you mean `{near}`? known here: {all}"),
        None => format!("known here: {all}"),
    })
}

fn file_mistake(steps: &[&str], message: &str) -> Mistake {
    Mistake {
        grant_type: None,
        path: path(steps),
        message: message.to_owned(),
    }
}

fn at_start(path: &Path, message: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        path: path.display().to_string(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        hint: None,
    }
}

fn borrowed(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn path(steps: &[&str]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}
