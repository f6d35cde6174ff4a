//! What is found in one file, and how it is told.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::references::keys_of;
use super::{Problem, Severity};
use crate::action::template::Template;
use crate::action::yaml::{self, Content, Document, Node, Position};

/// No file is told of more than this at once.
const MOST_PROBLEMS: usize = 100;
/// A longer line is shown in part, in characters.
const WIDEST: usize = 160;
/// Names are shown up to here, in characters; what is longer is like no other name.
const LONGEST_NAME: usize = 80;

/// One file while it is looked at.
pub(super) struct Check<'a> {
    pub(super) path: &'a Path,
    pub(super) document: &'a Document<'a>,
    pub(super) template: &'a Template,
    /// The keys of the secrets that are declared, by what stands behind `SECRETS.`.
    pub(super) secrets: HashMap<String, Vec<String>>,
    /// What has text, by its place.
    scalars: HashMap<Position, &'a Node>,
    found: Vec<Found>,
}

/// Something that was found.
#[derive(Debug)]
pub(super) struct Found {
    severity: Severity,
    at: Position,
    /// How many characters are meant.
    width: usize,
    message: String,
    hint: Option<String>,
}

impl Found {
    /// An error of the reader, `width` characters wide unless it says itself what is meant.
    pub(super) fn of(problem: yaml::Problem, width: usize) -> Self {
        let (message, width) = match problem.message.split_once('\n') {
            Some((message, underlined)) => {
                (message.to_owned(), underlined.matches('^').count().max(1))
            }
            None => (problem.message, width),
        };
        Self {
            severity: Severity::Error,
            at: problem.at,
            width,
            message,
            hint: None,
        }
    }

    /// As a problem of the file at `path`, which holds `text`.
    pub(super) fn told(self, path: &Path, text: &str) -> Problem {
        Problem {
            severity: self.severity,
            path: path.display().to_string(),
            line: self.at.line,
            column: self.at.column,
            excerpt: excerpt(text, self.at, self.width),
            message: self.message,
            hint: self.hint,
        }
    }
}

impl<'a> Check<'a> {
    pub(super) fn new(
        path: &'a Path,
        document: &'a Document<'a>,
        template: &'a Template,
        problems: &[yaml::Problem],
    ) -> Self {
        let mut check = Self {
            path,
            document,
            template,
            secrets: HashMap::new(),
            scalars: HashMap::new(),
            found: Vec::new(),
        };
        index(&document.root, &mut check.scalars);
        for secret in &template.secrets {
            let keys = check.secrets.entry(secret.context()).or_default();
            keys.extend(keys_of(secret));
        }
        let problems = problems.iter().take(MOST_PROBLEMS).map(|problem| {
            let width = check.width_at(problem.at);
            Found::of(problem.clone(), width)
        });
        check.found = problems.collect();
        check
    }

    /// Notes what is wrong at a place of the file.
    pub(super) fn error(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Error, at, message.into(), hint);
    }

    /// Notes a trap at a place of the file.
    pub(super) fn warn(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Warning, at, message.into(), hint);
    }

    fn note(&mut self, severity: Severity, at: Position, message: String, hint: Option<String>) {
        if !self.is_full() {
            let width = self.width_at(at);
            self.found.push(Found {
                severity,
                at,
                width,
                message,
                hint,
            });
        }
    }

    /// Whether enough was found: looking for places and for names that are near takes time.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= 2 * MOST_PROBLEMS
    }

    /// Notes what concerns these bytes of the text that stands at `at`.
    pub(super) fn note_within(
        &mut self,
        severity: Severity,
        (at, text, span): (Position, &str, &Range<usize>),
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.is_full() {
            return;
        }
        let width = text
            .get(span.clone())
            .map_or(1, |part| part.lines().next().unwrap_or("").chars().count());
        let place = match self.scalars.get(&at) {
            Some(node) => node.place_of(self.document.text, span.start),
            None => at,
        };
        self.found.push(Found {
            severity,
            at: place,
            width: width.max(1),
            message: message.into(),
            hint,
        });
    }

    /// What is shown for the scalar at a place: its first line as it is written.
    fn width_at(&self, at: Position) -> usize {
        let Some(Content::Scalar { written, .. }) = self.scalars.get(&at).map(|node| &node.content)
        else {
            return 1;
        };
        let written = self.document.text.get(written.clone()).unwrap_or_default();
        let line = written.lines().next().unwrap_or_default();
        line.trim_end().chars().count().max(1)
    }

    /// What was found, in the order of the places, errors first.
    pub(super) fn problems(self) -> Vec<Problem> {
        let Self {
            path,
            document,
            mut found,
            ..
        } = self;
        found.sort_by_key(|found| (found.at, found.severity));
        found.dedup_by(|one, two| one.at == two.at && one.message == two.message);
        found.truncate(MOST_PROBLEMS);
        let told = found.into_iter();
        told.map(|found| found.told(path, document.text)).collect()
    }
}

fn index<'a>(node: &'a Node, scalars: &mut HashMap<Position, &'a Node>) {
    match &node.content {
        Content::Scalar { .. } => {
            scalars.insert(node.at, node);
        }
        Content::List(items) => items.iter().for_each(|item| index(item, scalars)),
        Content::Mapping(entries) => {
            for (key, member) in entries {
                index(key, scalars);
                index(member, scalars);
            }
        }
    }
}

/// A line of the text, and below it `width` characters underlined; nothing where there is no such line.
fn excerpt(text: &str, at: Position, width: usize) -> Option<String> {
    let line = yaml::lines(text).nth(at.line.checked_sub(1)?)?;
    let column = at.column - 1;
    // Of a long line what stands around the place.
    let start = column.saturating_sub(WIDEST / 2);
    let start = if line.chars().count() > WIDEST {
        start
    } else {
        0
    };
    let shown = Vec::from_iter(line.chars().skip(start).take(WIDEST));
    let before = shown
        .iter()
        .take(column - start)
        .map(|character| match character {
            '\t' => '\t',
            _ => ' ',
        });
    let before = String::from_iter(before);
    let room = shown.len().saturating_sub(column - start).max(1);
    let shown = String::from_iter(shown);
    let under = "^".repeat(width.clamp(1, room));
    Some(format!("{}\n{before}{under}", shown.trim_end()))
}

/// A name from a template, fit to be shown.
pub(super) fn shown(name: &str) -> String {
    let mut shown = String::from_iter(name.chars().take(LONGEST_NAME));
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

/// A hint with the nearest of the names that are known, and all of them when there are few.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let mut known = Vec::from_iter(known);
    known.sort_unstable();
    known.dedup();
    let likeness = |other: &str| match name.len().max(other.len()) <= LONGEST_NAME {
        true => strsim::jaro_winkler(name, other),
        false => 0.0,
    };
    let near = known
        .iter()
        .map(|other| (likeness(other), *other))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (two, _)| one.total_cmp(two));
    match near {
        Some((_, near)) => Some(format!("did you mean {near}?")),
        None if known.is_empty() => None,
        None if known.len() > 10 => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}
