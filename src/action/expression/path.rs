//! The subset of JSONPath behind `inputs`, `steps` and `ENV`, with what each form gives.

use std::sync::Arc;

use regex::Regex;

use super::ExpressionError;
use super::evaluate::cast_integer;
use super::lexer::{identifier, quoted};
use crate::action::placeholder::Placeholders;
use crate::action::value::{Failure, Value};

/// What stands behind a context's name.
#[derive(Clone, Debug)]
pub struct Path {
    segments: Vec<Segment>,
    /// Whether the text holds `[*]` or a filter: then a list comes back, also of one or none.
    is_list: bool,
}

#[derive(Clone, Debug)]
enum Segment {
    /// `.name`, `["name"]`, `["a","b"]`.
    Fields(Vec<Arc<str>>),
    /// `.*`: all members of a mapping.
    Members,
    /// `..` before a segment: at any depth.
    Anywhere(Box<Segment>),
    /// `[0]`.
    Index(i128),
    /// `[start:end:step]`, `[*]` when all are absent.
    Slice([Option<i128>; 3]),
    /// `[?(…)]`.
    Filter(Vec<Condition>),
    /// A function in backticks.
    Function(PathFunction),
}

#[derive(Clone, Debug)]
struct Condition {
    path: Vec<Segment>,
    test: Option<(Test, Value)>,
}

#[derive(Clone, Debug)]
enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches(Regex),
}

#[derive(Clone, Debug)]
enum PathFunction {
    Length,
    Keys,
    Sorted,
    Text,
    Split(String, usize, i64),
    Substitute(Regex, String),
}

impl Path {
    /// The names of the path from its start on, as long as each is one fixed name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map_while(|segment| match segment {
            Segment::Fields(names) => match names.as_slice() {
                [name] => Some(name.as_ref()),
                _ => None,
            },
            _ => None,
        })
    }

    /// A path of plain names, at least and at most so many; what follows belongs to the expression.
    pub(super) fn of_names(
        text: &str,
        least: usize,
        most: usize,
    ) -> Result<(Self, usize), ExpressionError> {
        let mut end = 0;
        let mut segments = Vec::new();
        while let Some(rest) = text[end..].strip_prefix('.') {
            let name = identifier(rest);
            if name.is_empty() || segments.len() == most {
                let message =
                    format!("at most {most} names follow here, each of letters, digits and _");
                return Err(ExpressionError::new(end..end + 1 + name.len(), message));
            }
            segments.push(Segment::Fields(vec![name.into()]));
            end += 1 + name.len();
        }
        if segments.len() < least {
            let message = match least {
                1 => "a name must follow, as in .name",
                _ => "a name and a key must follow, as in .name.KEY",
            };
            return Err(ExpressionError::new(0..end, message));
        }
        let path = Self {
            segments,
            is_list: false,
        };
        Ok((path, end))
    }

    /// The path that `text` begins with, and its length.
    pub(super) fn read(text: &str) -> Result<(Self, usize), ExpressionError> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        let segments = reader.segments()?;
        if segments.is_empty() {
            return Err(ExpressionError::new(
                0..0,
                "a path must follow, as in .name",
            ));
        }
        let has_filter = segments.iter().any(Segment::is_filter);
        let path = Self {
            segments,
            is_list: has_filter || text[..reader.at].contains("[*]"),
        };
        Ok((path, reader.at))
    }

    /// A whole text as a path; it may begin with `$`, and with a name that has no dot.
    pub fn whole(text: &str) -> Result<Self, ExpressionError> {
        let tail = text.strip_prefix('$').unwrap_or(text);
        let offset = text.len() - tail.len();
        if tail.is_empty() {
            return Ok(Self {
                segments: Vec::new(),
                is_list: false,
            });
        }
        let dotted = if identifier(tail).is_empty() {
            tail.to_owned()
        } else {
            format!(".{tail}")
        };
        let (path, length) = Self::read(&dotted).map_err(|error| error.moved(offset))?;
        if length == dotted.len() {
            return Ok(path);
        }
        let start = (offset + length).min(text.len());
        Err(ExpressionError::new(
            start..text.len(),
            "the path should end before this",
        ))
    }

    /// What is there: nothing is None, one match its value, several a list of them. Of `placeholders` none is taken apart.
    pub fn find(&self, root: &Value, placeholders: &Placeholders) -> Result<Value, Failure> {
        let mut found = find(&self.segments, root.clone(), placeholders)?;
        match found.len() {
            _ if self.is_list => Ok(Value::list(found)),
            0 => Ok(Value::None),
            1 => Ok(found.remove(0)),
            _ => Ok(Value::list(found)),
        }
    }
}

fn find(
    segments: &[Segment],
    root: Value,
    placeholders: &Placeholders,
) -> Result<Vec<Value>, Failure> {
    let mut found = vec![root];
    for segment in segments {
        let mut next = Vec::new();
        for value in &found {
            segment.find(value, placeholders, &mut next)?;
        }
        found = next;
    }
    Ok(found)
}

impl Segment {
    fn is_filter(&self) -> bool {
        match self {
            Self::Filter(_) => true,
            Self::Anywhere(inner) => inner.is_filter(),
            _ => false,
        }
    }

    fn find(
        &self,
        value: &Value,
        placeholders: &Placeholders,
        found: &mut Vec<Value>,
    ) -> Result<(), Failure> {
        match self {
            Self::Fields(names) => {
                found.extend(names.iter().filter_map(|name| value.get(name)).cloned());
            }
            Self::Members => {
                if let Value::Mapping(entries) = value {
                    found.extend(entries.values().cloned());
                }
            }
            Self::Anywhere(inner) => {
                inner.find(value, placeholders, found)?;
                match value {
                    Value::List(items) => {
                        for item in items.iter() {
                            self.find(item, placeholders, found)?;
                        }
                    }
                    Value::Mapping(entries) => {
                        for member in entries.values() {
                            self.find(member, placeholders, found)?;
                        }
                    }
                    _ => {}
                }
            }
            Self::Index(index) => {
                let member = at(value, *index)?;
                if let (Value::Text(_), Some(character)) = (value, &member) {
                    placeholders.check([value], character)?;
                }
                found.extend(member);
            }
            Self::Slice(bounds) => match value {
                Value::List(items) => found.extend(slice(items, *bounds)?),
                other if !other.is_true() => {}
                // What is no list counts as a list of one.
                other => found.extend(slice(std::slice::from_ref(other), *bounds)?),
            },
            Self::Filter(conditions) => {
                let items = match value {
                    Value::List(items) => items.to_vec(),
                    Value::Mapping(entries) => entries.values().cloned().collect(),
                    _ => Vec::new(),
                };
                for item in items {
                    let mut holds = true;
                    for condition in conditions {
                        holds = holds && condition.holds(&item, placeholders)?;
                    }
                    if holds {
                        found.push(item);
                    }
                }
            }
            Self::Function(function) => {
                let result = function.apply(value);
                if let Some(result) = &result {
                    placeholders.check([value], result)?;
                }
                found.extend(result);
            }
        }
        Ok(())
    }
}

/// The member of a list or character of a text; of None and of what is empty there is none.
fn at(value: &Value, index: i128) -> Result<Option<Value>, Failure> {
    match value {
        Value::List(items) => Ok(place(index, items.len()).map(|index| items[index].clone())),
        Value::Text(text) => {
            let index = place(index, text.chars().count());
            Ok(index
                .and_then(|index| text.chars().nth(index))
                .map(|character| Value::from(character.to_string())))
        }
        other if !other.is_true() => Ok(None),
        other => Err(Failure::new(format!(
            "[{index}] can't be looked up in {}",
            other.kind()
        ))),
    }
}

/// The place that an index means, counted from the end when it is negative.
pub(super) fn place(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 {
        index.checked_add(length as i128)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn slice(items: &[Value], [start, end, step]: [Option<i128>; 3]) -> Result<Vec<Value>, Failure> {
    let length = items.len() as i128;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Failure::new("a slice's step can't be zero"));
    }
    let (lowest, highest) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let bound = |bound: Option<i128>, default: i128| match bound {
        None => default,
        Some(bound) if bound < 0 => bound.saturating_add(length).clamp(lowest, highest),
        Some(bound) => bound.clamp(lowest, highest),
    };
    let (first, last) = if step > 0 {
        (lowest, highest)
    } else {
        (highest, lowest)
    };
    let (mut at, end) = (bound(start, first), bound(end, last));
    let mut found = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        found.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .cloned(),
        );
        at = at.saturating_add(step);
    }
    Ok(found)
}

impl Condition {
    fn holds(&self, item: &Value, placeholders: &Placeholders) -> Result<bool, Failure> {
        let found = find(&self.path, item.clone(), placeholders)?;
        let Some((test, wanted)) = &self.test else {
            return Ok(!found.is_empty());
        };
        Ok(found.iter().any(|value| test.holds(value, wanted)))
    }
}

impl Test {
    fn holds(&self, value: &Value, wanted: &Value) -> bool {
        // An integer to compare with makes integers of numbers and of text that holds one.
        let converted;
        let value = match wanted {
            Value::Integer(_) => match cast_integer(value) {
                Ok(number) => {
                    converted = number;
                    &converted
                }
                Err(_) => return false,
            },
            _ => value,
        };
        let order = || value.compare(wanted).ok().flatten();
        match self {
            Self::Equal => value == wanted,
            Self::NotEqual => value != wanted,
            Self::Less => order().is_some_and(|order| order.is_lt()),
            Self::LessOrEqual => order().is_some_and(|order| order.is_le()),
            Self::Greater => order().is_some_and(|order| order.is_gt()),
            Self::GreaterOrEqual => order().is_some_and(|order| order.is_ge()),
            Self::Matches(pattern) => value.text().is_some_and(|text| pattern.is_match(text)),
        }
    }
}

impl PathFunction {
    fn apply(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Length, value) => value.length().ok().map(Value::from),
            (Self::Keys, Value::Mapping(_)) => value.members().ok().map(Value::list),
            (Self::Sorted, Value::List(items)) => {
                let mut items = items.to_vec();
                items.sort_by(|left, right| {
                    let order = left.compare(right).ok().flatten();
                    order.unwrap_or(std::cmp::Ordering::Equal)
                });
                Some(Value::list(items))
            }
            (Self::Text, value) => Some(Value::from(value.to_string())),
            (Self::Split(separator, index, most), Value::Text(text)) => {
                let parts: Vec<&str> = match usize::try_from(*most) {
                    Ok(most) => text.splitn(most + 1, separator.as_str()).collect(),
                    Err(_) => text.split(separator.as_str()).collect(),
                };
                parts.get(*index).map(|part| Value::from(*part))
            }
            (Self::Substitute(pattern, with), Value::Text(text)) => {
                let text = pattern.replace_all(text, regex::NoExpand(with));
                Some(Value::from(text.as_ref()))
            }
            _ => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "len" => Self::Length,
            "keys" => Self::Keys,
            "sorted" => Self::Sorted,
            "str()" => Self::Text,
            _ => {
                let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
                match name {
                    "split" => {
                        let mut parts = arguments.rsplitn(3, ',');
                        let most = parts.next()?.trim().parse().ok()?;
                        let index = parts.next()?.trim().parse().ok()?;
                        let separator = parts.next()?;
                        if separator.is_empty() {
                            return None;
                        }
                        Self::Split(separator.to_owned(), index, most)
                    }
                    "sub" => {
                        let (pattern, with) = arguments.strip_prefix('/')?.rsplit_once("/,")?;
                        Self::Substitute(Regex::new(pattern).ok()?, with.trim().to_owned())
                    }
                    _ => return None,
                }
            }
        })
    }
}

/// Filters inside of each other.
const DEEPEST: usize = 4;

struct Reader<'text> {
    text: &'text str,
    at: usize,
    depth: usize,
}

impl<'text> Reader<'text> {
    fn rest(&self) -> &'text str {
        &self.text[self.at..]
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn error<T>(&self, message: &str) -> Result<T, ExpressionError> {
        let end = self.at + self.rest().chars().next().map_or(0, char::len_utf8);
        Err(ExpressionError::new(self.at..end, message))
    }

    fn segments(&mut self) -> Result<Vec<Segment>, ExpressionError> {
        let mut segments = Vec::new();
        loop {
            let segment = if self.takes("..") {
                Segment::Anywhere(Box::new(self.named()?))
            } else if self.takes(".") {
                self.named()?
            } else if self.rest().starts_with('[') {
                self.bracket()?
            } else {
                return Ok(segments);
            };
            segments.push(segment);
        }
    }

    /// What follows a dot.
    fn named(&mut self) -> Result<Segment, ExpressionError> {
        let rest = self.rest();
        match rest.chars().next() {
            Some('*') => {
                self.at += 1;
                Ok(Segment::Members)
            }
            Some('[') => self.bracket(),
            Some('"' | '\'') => Ok(Segment::Fields(vec![self.quoted()?])),
            Some('`') => {
                let Some(length) = rest[1..].find('`') else {
                    return self.error("the function is not closed; it needs another `");
                };
                let Some(function) = PathFunction::read(&rest[1..=length]) else {
                    return self.error(
                        "a path's function is len, keys, sorted, str(), split(…) or sub(…)",
                    );
                };
                self.at += length + 2;
                Ok(Segment::Function(function))
            }
            _ => {
                let name = identifier(rest);
                if name.is_empty() {
                    return self
                        .error("a name begins with a letter or _; write other ones as [\"name\"]");
                }
                self.at += name.len();
                Ok(Segment::Fields(vec![name.into()]))
            }
        }
    }

    fn quoted(&mut self) -> Result<Arc<str>, ExpressionError> {
        match quoted(self.rest()) {
            Some((text, length)) => {
                self.at += length;
                Ok(text.into())
            }
            None => self.error("the name is not closed; it needs another quote"),
        }
    }

    fn bracket(&mut self) -> Result<Segment, ExpressionError> {
        self.at += 1;
        self.skip_blanks();
        let segment = match self.rest().chars().next() {
            Some('?') => {
                self.at += 1;
                Segment::Filter(self.conditions()?)
            }
            Some('*') => {
                self.at += 1;
                Segment::Slice([None; 3])
            }
            Some('"' | '\'' | 'a'..='z' | 'A'..='Z' | '_') => {
                let mut names = vec![self.field()?];
                self.skip_blanks();
                while self.takes(",") {
                    self.skip_blanks();
                    names.push(self.field()?);
                    self.skip_blanks();
                }
                Segment::Fields(names)
            }
            _ => self.numbers()?,
        };
        self.skip_blanks();
        if self.takes("]") {
            return Ok(segment);
        }
        self.error(
            "brackets behind a path hold one number, a slice, names, * or a filter; an expression goes behind (path)",
        )
    }

    fn field(&mut self) -> Result<Arc<str>, ExpressionError> {
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted();
        }
        let name = identifier(self.rest());
        if name.is_empty() {
            return self.error("a name is missing here");
        }
        self.at += name.len();
        Ok(name.into())
    }

    fn numbers(&mut self) -> Result<Segment, ExpressionError> {
        let mut bounds = [None; 3];
        let mut index = 0;
        loop {
            self.skip_blanks();
            bounds[index] = self.number()?;
            self.skip_blanks();
            if index == 2 || !self.takes(":") {
                break;
            }
            index += 1;
        }
        match (index, bounds[0]) {
            (0, Some(number)) => Ok(Segment::Index(number)),
            (0, None) => self.error("an index is missing here"),
            _ => Ok(Segment::Slice(bounds)),
        }
    }

    fn number(&mut self) -> Result<Option<i128>, ExpressionError> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        if sign + digits == 0 {
            return Ok(None);
        }
        match rest[..sign + digits].parse() {
            Ok(number) => {
                self.at += sign + digits;
                Ok(Some(number))
            }
            Err(_) => self.error("this is no index"),
        }
    }

    fn conditions(&mut self) -> Result<Vec<Condition>, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("too many filters inside of each other");
        }
        self.skip_blanks();
        let is_wrapped = self.takes("(");
        let mut conditions = Vec::new();
        loop {
            self.skip_blanks();
            conditions.push(self.condition()?);
            self.skip_blanks();
            if !self.takes("&") {
                break;
            }
        }
        if is_wrapped && !self.takes(")") {
            return self.error("`)` is missing here; conditions are joined by &");
        }
        self.depth -= 1;
        Ok(conditions)
    }

    fn condition(&mut self) -> Result<Condition, ExpressionError> {
        if !self.takes("@") {
            return self.error("a condition begins with @");
        }
        let path = self.segments()?;
        self.skip_blanks();
        let tests = [
            ("==", Test::Equal),
            ("!=", Test::NotEqual),
            ("<=", Test::LessOrEqual),
            (">=", Test::GreaterOrEqual),
            ("<", Test::Less),
            (">", Test::Greater),
        ];
        for (symbol, test) in tests {
            if self.takes(symbol) {
                self.skip_blanks();
                let wanted = self.constant()?;
                let test = Some((test, wanted));
                return Ok(Condition { path, test });
            }
        }
        if !self.takes("=~") {
            return Ok(Condition { path, test: None });
        }
        self.skip_blanks();
        let pattern = self.quoted()?;
        match Regex::new(&pattern) {
            Ok(matching) => {
                let test = Some((Test::Matches(matching), Value::Text(pattern)));
                Ok(Condition { path, test })
            }
            Err(_) => self.error("the text before this is no regular expression"),
        }
    }

    fn constant(&mut self) -> Result<Value, ExpressionError> {
        let rest = self.rest();
        if rest.starts_with(['"', '\'']) {
            return self.quoted().map(Value::Text);
        }
        for (word, flag) in [("true", true), ("false", false)] {
            if identifier(rest).eq_ignore_ascii_case(word) {
                self.at += word.len();
                return Ok(Value::Bool(flag));
            }
        }
        let Some(whole) = self.number()? else {
            return self.error("a number or quoted text is missing here");
        };
        if !self.rest().starts_with('.') {
            return Ok(Value::Integer(whole));
        }
        let digits = self.rest()[1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let start = rest.len() - self.rest().len();
        let text = &rest[..start + 1 + digits];
        match text.parse() {
            Ok(number) => {
                self.at += 1 + digits;
                Ok(Value::Float(number))
            }
            Err(_) => self.error("this is no number"),
        }
    }
}
