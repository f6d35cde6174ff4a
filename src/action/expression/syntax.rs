//! The tree of an expression.

use std::ops::Range;
use std::sync::Arc;

use super::path::Path;
use crate::action::value::Value;

/// An expression and the bytes of the text that it was read from.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A number, text, `True`, `False` or `None`.
    Literal(Value),
    /// `[a, b]`.
    List(Vec<Expression>),
    /// `{"k": v}`.
    Mapping(Vec<(Arc<str>, Expression)>),
    /// `inputs.a.b[0]`.
    Path(Context, Path),
    /// `FN.name(…)`, or `FN.name.map(…)`.
    Call {
        /// The function's name.
        name: Arc<str>,
        /// Whether it is called for each member of its lists.
        is_mapped: bool,
        /// What it is called with.
        arguments: Vec<Expression>,
    },
    /// `int(x)` or `x -> int`.
    Cast(Type, Box<Expression>),
    /// `then if condition else otherwise`.
    Choice {
        /// Decides.
        condition: Box<Expression>,
        /// The value when it is true; not evaluated else.
        then: Box<Expression>,
        /// The value when it is false; not evaluated else.
        otherwise: Box<Expression>,
    },
    /// `left operator right`.
    Binary(BinaryOperator, Box<Expression>, Box<Expression>),
    /// `operator operand`.
    Unary(UnaryOperator, Box<Expression>),
    /// `of[index]`.
    Index(Box<Expression>, Box<Expression>),
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Context {
    /// The template's inputs.
    Inputs,
    /// The results of earlier steps.
    Steps,
    /// Secrets, by name and key.
    Secrets,
    /// Variables of the workspace.
    Variables,
    /// What surrounds the run.
    Environment,
    /// Known to workflows only: None here.
    Unset,
}

impl Context {
    /// The context of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "inputs" => Self::Inputs,
            "steps" => Self::Steps,
            "SECRETS" => Self::Secrets,
            "VARS" => Self::Variables,
            "ENV" => Self::Environment,
            "ACTIONS" | "TRIGGER" | "var" => Self::Unset,
            _ => return None,
        })
    }
}

/// What a value can be cast to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Type {
    /// `int`.
    Integer,
    /// `float`.
    Float,
    /// `str`.
    Text,
    /// `bool`.
    Bool,
}

impl Type {
    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "int" => Self::Integer,
            "float" => Self::Float,
            "str" => Self::Text,
            "bool" => Self::Bool,
            _ => return None,
        })
    }
}

/// An operator before its operand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnaryOperator {
    /// `not`.
    Not,
    /// `-`.
    Minus,
    /// `+`.
    Plus,
}

/// An operator between its operands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BinaryOperator {
    /// `||`.
    Or,
    /// `&&`.
    And,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `in`.
    In,
    /// `not in`.
    NotIn,
    /// `is`.
    Is,
    /// `is not`.
    IsNot,
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
}

impl Expression {
    /// The expressions right inside of this one.
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Literal(_) | Kind::Path(..) => Vec::new(),
            Kind::List(items) => items.iter().collect(),
            Kind::Mapping(entries) => entries.iter().map(|(_, member)| member).collect(),
            Kind::Call { arguments, .. } => arguments.iter().collect(),
            Kind::Cast(_, operand) | Kind::Unary(_, operand) => vec![operand],
            Kind::Choice {
                condition,
                then,
                otherwise,
            } => vec![then, condition, otherwise],
            Kind::Binary(_, left, right) | Kind::Index(left, right) => vec![left, right],
        }
    }

    /// Whether a path of this context is in it.
    pub fn mentions(&self, context: Context) -> bool {
        matches!(&self.kind, Kind::Path(of, _) if *of == context)
            || self.children().iter().any(|child| child.mentions(context))
    }

    /// Moves all spans, since the text that was read begins this much later.
    pub(super) fn shift(&mut self, by: usize) {
        self.span = self.span.start + by..self.span.end + by;
        match &mut self.kind {
            Kind::Literal(_) | Kind::Path(..) => {}
            Kind::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Kind::Mapping(entries) => {
                entries.iter_mut().for_each(|(_, member)| member.shift(by));
            }
            Kind::Call { arguments, .. } => arguments.iter_mut().for_each(|item| item.shift(by)),
            Kind::Cast(_, operand) | Kind::Unary(_, operand) => operand.shift(by),
            Kind::Choice {
                condition,
                then,
                otherwise,
            } => [condition, then, otherwise]
                .into_iter()
                .for_each(|part| part.shift(by)),
            Kind::Binary(_, left, right) | Kind::Index(left, right) => {
                left.shift(by);
                right.shift(by);
            }
        }
    }
}
