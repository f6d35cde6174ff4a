//! Loading YAML 1.1, with the place of every node.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::value::{Key, Mapping, Value};

mod place;
mod scalar;
mod write;

pub(super) use place::lines;
pub use write::write;

/// A place in a text, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where it begins.
    pub at: Position,
    /// What is wrong, a sentence without its full stop.
    pub message: String,
}

impl Problem {
    /// What is wrong at this place.
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { at, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.at;
        write!(formatter, "line {line}, column {column}: {}", self.message)
    }
}

/// A value of a YAML text and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Content {
    /// One value.
    Scalar {
        /// What it is.
        value: Value,
        /// Whether it was written without quotes or block mark, so that its spelling decided what it is.
        is_plain: bool,
        /// The bytes of the text that it was read from; none where an anchor was used.
        written: Range<usize>,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and their values, merged ones first; repeated keys are all here, the last of them counts.
    Mapping(Vec<(Node, Node)>),
}

/// More nodes than any template has, each use of an anchor counted with all that it stands for.
const MOST_NODES: usize = 100_000;
/// Deeper than any template is.
const DEEPEST: usize = 100;
/// Longer than any template is, in bytes.
const LONGEST: usize = 4 << 20;

/// A YAML text and what it holds.
#[derive(Debug)]
pub struct Document<'text> {
    /// The text, without its byte order mark.
    pub text: &'text str,
    /// What it holds.
    pub root: Node,
    /// The keys that a mapping had before; what came before does not count.
    pub repeated: Vec<Position>,
}

/// The one document of a YAML text.
pub fn load(text: &str) -> Result<Node, Problem> {
    Document::read(text).map(|document| document.root)
}

impl<'text> Document<'text> {
    /// Reads the one document of a YAML text.
    pub fn read(text: &'text str) -> Result<Self, Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let start = Position { line: 1, column: 1 };
        if text.len() > LONGEST {
            return Err(Problem::new(start, "the text is longer than 4 MiB"));
        }
        refuse_control_characters(text)?;
        let mut builder = Builder {
            text,
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            nodes: 0,
            repeated: Vec::new(),
        };
        let root = match builder.next()? {
            (Event::StreamEnd, ..) => Node::null(start),
            event => builder.node(event, 0)?,
        };
        match builder.next()? {
            (Event::StreamEnd, ..) => Ok(Self {
                text,
                root,
                repeated: builder.repeated,
            }),
            (_, at, _) => Err(Problem::new(at, "there is a second document")),
        }
    }
}

/// YAML allows tabs and line ends, and of the rest what can be printed.
fn refuse_control_characters(text: &str) -> Result<(), Problem> {
    for (line, content) in (1..).zip(lines(text)) {
        for (column, character) in (1..).zip(content.chars()) {
            let is_allowed = matches!(character,
                '\t' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
                && character != '\u{feff}';
            if !is_allowed {
                let code = u32::from(character);
                let at = Position { line, column };
                let message = format!("the control character U+{code:04X} is not allowed");
                return Err(Problem::new(at, message));
            }
        }
    }
    Ok(())
}

impl Node {
    const fn null(at: Position) -> Self {
        Self {
            at,
            content: Content::Scalar {
                value: Value::None,
                is_plain: true,
                written: 0..0,
            },
        }
    }

    /// The value of all of it. Fails where a list or a mapping is a key.
    pub fn value(&self) -> Result<Value, Problem> {
        match &self.content {
            Content::Scalar { value, .. } => Ok(value.clone()),
            Content::List(items) => Ok(Value::list(
                items.iter().map(Self::value).collect::<Result<_, _>>()?,
            )),
            Content::Mapping(entries) => {
                let mut mapping = Mapping::new();
                for (key, member) in entries {
                    mapping.insert(key.key()?, member.value()?);
                }
                Ok(Value::mapping(mapping))
            }
        }
    }

    fn key(&self) -> Result<Key, Problem> {
        Key::new(self.value()?).map_err(|failure| Problem::new(self.at, failure.to_string()))
    }

    /// The node under a key, if this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.content {
            Content::Mapping(entries) => entries
                .iter()
                .rev()
                .find(|(key, _)| key.text() == Some(name))
                .map(|(_, member)| member),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { value, .. } => value.text(),
            _ => None,
        }
    }

    /// How many members this list has; none when it is no list.
    pub fn length(&self) -> usize {
        match &self.content {
            Content::List(items) => items.len(),
            _ => 0,
        }
    }

    /// Whether this is null.
    pub const fn is_null(&self) -> bool {
        matches!(
            self.content,
            Content::Scalar {
                value: Value::None,
                ..
            }
        )
    }

    /// How many nodes it is.
    fn size(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Content::Mapping(entries) => {
                let sizes = entries
                    .iter()
                    .map(|(key, member)| key.size() + member.size());
                1 + sizes.sum::<usize>()
            }
        }
    }

    fn depth(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Content::Mapping(entries) => {
                let depths = entries
                    .iter()
                    .map(|(key, member)| key.depth().max(member.depth()));
                1 + depths.max().unwrap_or(0)
            }
        }
    }
}

struct Builder<'input> {
    text: &'input str,
    parser: Parser<'input, granit_parser::StrInput<'input>>,
    /// Finished nodes by anchor, each with its size and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    repeated: Vec<Position>,
}

/// An event, where it begins, and its bytes.
type Placed<'input> = (Event<'input>, Position, Range<usize>);

impl<'input> Builder<'input> {
    /// The next event that stands for a node or ends one.
    fn next(&mut self) -> Result<Placed<'input>, Problem> {
        loop {
            let Some(next) = self.parser.next() else {
                let nowhere = Position { line: 1, column: 1 };
                return Ok((Event::StreamEnd, nowhere, 0..0));
            };
            let (event, span) = next.map_err(|error| {
                let marker = error.marker();
                let at = Position {
                    line: marker.line(),
                    column: marker.col() + 1,
                };
                Problem::new(at, format!("not YAML: {}", error.info()))
            })?;
            let written = span.byte_range().unwrap_or_default();
            match event {
                Event::StreamStart
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::Comment(..) => {}
                Event::Scalar(
                    mut text,
                    style @ (ScalarStyle::Literal | ScalarStyle::Folded),
                    anchor,
                    tag,
                ) => {
                    // The last line of a text that ends without a line end has none.
                    let is_last = written.end == self.text.len();
                    if is_last && !self.text.ends_with('\n') && text.ends_with('\n') {
                        text.to_mut().pop();
                    }
                    let event = Event::Scalar(text, style, anchor, tag);
                    return Ok((event, position(span), written));
                }
                event => return Ok((event, position(span), written)),
            }
        }
    }

    fn node(
        &mut self,
        (event, at, written): Placed<'input>,
        depth: usize,
    ) -> Result<Node, Problem> {
        self.count(1, depth, at)?;
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.alias(anchor, depth, at),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref().map(name_of);
                let value = scalar::resolve(&text, is_plain, tag.as_deref())
                    .map_err(|message| Problem::new(at, message))?;
                let scalar = Content::Scalar {
                    value,
                    is_plain,
                    written,
                };
                (anchor, scalar)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, ..) => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                expect_tag(tag.as_deref(), &["seq"], at)?;
                (anchor, Content::List(items))
            }
            Event::MappingStart(_, anchor, tag) => {
                let entries = self.entries(depth)?;
                match expect_tag(tag.as_deref(), &["map", "set"], at)?.as_deref() {
                    Some("set") => (
                        anchor,
                        Content::List(entries.into_iter().map(|(key, _)| key).collect()),
                    ),
                    _ => (anchor, Content::Mapping(entries)),
                }
            }
            _ => return Err(Problem::new(at, "not YAML: something is missing here")),
        };
        let node = Node { at, content };
        if anchor != 0 {
            let (size, depth) = (node.size(), node.depth());
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        Ok(node)
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Problem> {
        let (mut merged, mut own) = (Vec::new(), Vec::new());
        let mut keys = HashSet::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, ..) => break,
                (event, at, written) => {
                    let is_merge = matches!(&event,
                        Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
                    let key = self.node((event, at, written), depth + 1)?;
                    // Fails early, where the key stands.
                    let value = key.key()?;
                    if !is_merge && !keys.insert(value) {
                        self.repeated.push(at);
                    }
                    (!is_merge).then_some(key)
                }
            };
            let event = self.next()?;
            let member = self.node(event, depth + 1)?;
            match key {
                Some(key) => own.push((key, member)),
                None => merge(member, &mut merged)?,
            }
        }
        merged.append(&mut own);
        Ok(merged)
    }

    fn alias(&mut self, anchor: usize, depth: usize, at: Position) -> Result<Node, Problem> {
        let Some((_, size, its_depth)) = self.anchors.get(&anchor) else {
            return Err(Problem::new(at, "an anchor can't be used inside of itself"));
        };
        let (size, its_depth) = (*size, *its_depth);
        self.count(size, depth + its_depth, at)?;
        let (node, ..) = &self.anchors[&anchor];
        let mut content = node.content.clone();
        if let Content::Scalar { written, .. } = &mut content {
            *written = 0..0;
        }
        Ok(Node { at, content })
    }

    fn count(&mut self, nodes: usize, depth: usize, at: Position) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            let message = format!("more than {MOST_NODES} values, anchors taken apart");
            return Err(Problem::new(at, message));
        }
        if depth >= DEEPEST {
            let message = format!("nested deeper than {DEEPEST} levels");
            return Err(Problem::new(at, message));
        }
        Ok(())
    }
}

/// The members of a mapping, or of several, of which the first that has a key counts.
fn merge(from: Node, merged: &mut Vec<(Node, Node)>) -> Result<(), Problem> {
    match from.content {
        Content::Mapping(entries) => merged.extend(entries),
        Content::List(items) => {
            for item in items.into_iter().rev() {
                match item.content {
                    Content::Mapping(entries) => merged.extend(entries),
                    _ => return Err(Problem::new(item.at, "only a mapping can be merged")),
                }
            }
        }
        Content::Scalar { .. } => {
            return Err(Problem::new(from.at, "only a mapping can be merged"));
        }
    }
    Ok(())
}

fn position(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

const CORE: &str = "tag:yaml.org,2002:";

/// A tag in full.
fn name_of(tag: &granit_parser::Tag) -> String {
    let name = tag.to_string();
    let name = name.strip_prefix(CORE).unwrap_or(&name);
    name.strip_prefix("!!").unwrap_or(name).to_owned()
}

fn expect_tag(
    tag: Option<&granit_parser::Tag>,
    allowed: &[&str],
    at: Position,
) -> Result<Option<String>, Problem> {
    match tag.map(name_of) {
        Some(name) if !allowed.contains(&name.as_str()) => {
            let message = format!("the tag {name} is not one that a template may use here");
            Err(Problem::new(at, message))
        }
        name => Ok(name),
    }
}
