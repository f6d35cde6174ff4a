//! What is allowed and hardly ever meant.

use std::sync::LazyLock;

use regex::Regex;

use super::{Check, Severity};
use crate::action::expression::Pattern;
use crate::action::expression::path::Path;
use crate::action::expression::pattern::Part;
use crate::action::expression::syntax::{BinaryOperator, Context, Expression, Kind, UnaryOperator};
use crate::action::shape::{Shape, ShapeKind};
use crate::action::template::{SecretKind, Step};
use crate::action::value::Value;
use crate::action::yaml::Position;

/// A name without quotes in the brackets of a path.
static BARE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[\s*([A-Za-z_][A-Za-z0-9_]*)\s*\]").expect("the pattern is constant")
});

/// Blanks around an expression, which make text of its value.
const BLANKS: &str = "what stands around the expression makes text of its value, and belongs to it";

impl Check<'_> {
    /// What is allowed and hardly ever meant.
    pub(super) fn traps(&mut self) {
        let template = self.template;
        for step in &template.steps {
            self.in_shape(&step.arguments);
            if step.action.starts_with("core.http_") {
                self.in_request(step);
            }
        }
        self.in_shape(&template.returns);
    }

    fn in_shape(&mut self, shape: &Shape) {
        for (at, pattern, text) in shape.patterns() {
            if let Pattern::Mixed(parts) = pattern {
                self.blanks(parts, (at, text));
            }
            for expression in pattern.expressions() {
                self.in_expression(expression, (at, text));
            }
        }
    }

    /// One expression with nothing but blanks around it.
    fn blanks(&mut self, parts: &[Part], (at, text): (Position, &str)) {
        let is_blank = |part: &Part| match part {
            Part::Text(text) => text.trim().is_empty(),
            Part::Expression(_) => true,
        };
        let expressions = parts
            .iter()
            .filter(|part| matches!(part, Part::Expression(_)));
        if let (1, Some(span)) = (expressions.count(), text.find("${{").zip(text.rfind("}}")))
            && parts.iter().all(is_blank)
        {
            let span = span.0..span.1 + 2;
            let hint = match text.ends_with('\n') {
                true => "write >- or |- to leave out the last line end",
                false => "leave the blanks out",
            };
            self.note_within(
                Severity::Warning,
                (at, text, &span),
                BLANKS,
                Some(hint.to_owned()),
            );
        }
    }

    fn in_expression(&mut self, expression: &Expression, text: (Position, &str)) {
        let written = text.1.get(expression.span.clone()).unwrap_or_default();
        match &expression.kind {
            Kind::Unary(UnaryOperator::Not, operand)
                if is_comparison(operand) && !is_wrapped(operand) =>
            {
                let message = "not takes the whole comparison";
                let hint = "write != or put parentheses around what is meant";
                self.at(
                    Severity::Warning,
                    expression,
                    text,
                    message,
                    Some(hint.to_owned()),
                );
            }
            Kind::Binary(_, left, _)
                if is_comparison(expression) && is_comparison(left) && !is_wrapped(left) =>
            {
                let message = "comparisons don't chain: the first one's True or False is compared";
                let hint = "join two comparisons with &&";
                self.at(
                    Severity::Warning,
                    expression,
                    text,
                    message,
                    Some(hint.to_owned()),
                );
            }
            Kind::Path(Context::Inputs | Context::Steps, _) => {
                if let Some(found) = BARE_NAME.captures(written) {
                    let name = &found[1];
                    let message = format!(
                        "[{name}] is the member called {name}, whatever else has that name"
                    );
                    let hint = format!(
                        "write [\"{name}\"], or (path)[inputs.{name}] for the value of an input"
                    );
                    self.at(Severity::Warning, expression, text, message, Some(hint));
                }
            }
            _ => {}
        }
        for child in expression.children() {
            self.in_expression(child, text);
        }
    }

    fn in_request(&mut self, step: &Step) {
        let arguments = &step.arguments;
        if let Some(ShapeKind::Mapping(params)) = arguments.get("params").map(|params| &params.kind)
            && let Some(url) = arguments.get("url").filter(|_| !params.is_empty())
            && literal(url).any(|text| text.contains('?'))
        {
            let message =
                "the query of the URL is replaced by params, also when all of them are None";
            self.warn(
                url.at,
                message,
                Some("put the whole query into params".to_owned()),
            );
        }
        if let Some(ShapeKind::Mapping(headers)) =
            arguments.get("headers").map(|headers| &headers.kind)
        {
            for (_, value) in headers {
                self.header(value);
            }
        }
    }

    fn header(&mut self, value: &Shape) {
        match &value.kind {
            ShapeKind::Plain(Value::Integer(_) | Value::Float(_) | Value::Bool(_)) => {
                self.warn(
                    value.at,
                    "a header's value is text",
                    Some("quote it".to_owned()),
                );
            }
            ShapeKind::Text(Pattern::Whole(expression), text) => {
                if let Kind::Path(Context::Inputs, path) = &expression.kind
                    && self.is_number(path)
                {
                    let message = "a header's value is text, and this input a number";
                    let hint = Some("write ${{ str(…) }}".to_owned());
                    self.at(
                        Severity::Warning,
                        expression,
                        (value.at, text),
                        message,
                        hint,
                    );
                }
            }
            ShapeKind::Text(Pattern::Mixed(parts), text) => {
                for part in parts {
                    if let Part::Expression(expression) = part
                        && self.may_be_none(expression)
                    {
                        let message =
                            "this is optional, and nothing stands in for it in the header";
                        let hint = Some("name another with ||, or require it".to_owned());
                        self.at(
                            Severity::Warning,
                            expression,
                            (value.at, text),
                            message,
                            hint,
                        );
                    }
                }
            }
            _ => {}
        }
    }

    fn is_number(&self, path: &Path) -> bool {
        use crate::action::inputs::Type;
        let mut names = path.names();
        let (Some(name), None) = (names.next(), names.next()) else {
            return false;
        };
        let mut inputs = self.template.expects.iter();
        inputs.any(|(input, _)| {
            input.name == name && matches!(input.kind, Type::Integer | Type::Float | Type::Bool)
        })
    }

    /// Whether this is an optional secret or input and nothing else stands in for it. Of several tokens one is there.
    fn may_be_none(&self, expression: &Expression) -> bool {
        let Kind::Path(context, path) = &expression.kind else {
            return false;
        };
        let mut names = path.names();
        let Some(name) = names.next() else {
            return false;
        };
        match context {
            Context::Secrets => {
                let key = names.next().unwrap_or_default();
                let mut secrets = self.template.secrets.iter();
                secrets.any(|secret| {
                    let is_optional_key = match &secret.kind {
                        SecretKind::OAuth { .. } => false,
                        SecretKind::Static { optional_keys, .. } => {
                            optional_keys.iter().any(|optional| optional == key)
                        }
                    };
                    secret.context() == name && (secret.is_optional || is_optional_key)
                })
            }
            Context::Inputs => {
                let mut inputs = self.template.expects.iter();
                inputs.any(|(input, _)| {
                    input.name == name && matches!(input.default, Some(Value::None))
                })
            }
            _ => false,
        }
    }
}

fn is_comparison(expression: &Expression) -> bool {
    use BinaryOperator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    matches!(
        expression.kind,
        Kind::Binary(
            Equal | NotEqual | Greater | GreaterOrEqual | Less | LessOrEqual,
            ..
        )
    )
}

/// Whether parentheses stand around this operation: they count as part of its text.
fn is_wrapped(expression: &Expression) -> bool {
    match &expression.kind {
        Kind::Binary(_, left, _) => expression.span.start < left.span.start,
        _ => false,
    }
}

/// The texts of a URL that stand as they are.
fn literal(shape: &Shape) -> impl Iterator<Item = &str> {
    let (plain, parts) = match &shape.kind {
        ShapeKind::Plain(value) => (value.text(), [].as_slice()),
        ShapeKind::Text(Pattern::Mixed(parts), _) => (None, parts.as_slice()),
        _ => (None, [].as_slice()),
    };
    plain
        .into_iter()
        .chain(parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Expression(_) => None,
        }))
}
