//! Tokens as a tree: one function per level of precedence, loosest first.

use std::ops::Range;

use super::ExpressionError;
use super::lexer::{Token, TokenKind, tokens};
use super::syntax::{BinaryOperator, Context, Expression, Kind, Type, UnaryOperator};

/// Parentheses, lists, calls and the like inside of each other.
const DEEPEST: usize = 50;
/// Operators of one expression: each may put what stands before it one level deeper.
const MOST_OPERATORS: usize = 250;

/// The tree of an expression's text.
pub fn parse(text: &str) -> Result<Expression, ExpressionError> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        operators: 0,
    };
    if parser.is_end() {
        return Err(ExpressionError::new(
            0..text.len(),
            "the expression is empty",
        ));
    }
    let mut expression = parser.expression()?;
    if parser.takes("->") {
        let token = parser.next();
        let Some(to) = token.word().and_then(Type::named) else {
            let message = "a cast is to int, float, str or bool";
            return Err(ExpressionError::new(token.span.clone(), message));
        };
        let span = expression.span.start..token.span.end;
        expression = Expression {
            span,
            kind: Kind::Cast(to, Box::new(expression)),
        };
    }
    let token = parser.peek();
    if matches!(token.kind, TokenKind::End) {
        return Ok(expression);
    }
    let message = match &token.kind {
        TokenKind::Symbol("->") => "there is one cast, at the very end".to_owned(),
        TokenKind::Symbol(".") => "only a path has members; index with [\"name\"] here".to_owned(),
        TokenKind::Word(word) if **word == *"and" => "and is written && here".to_owned(),
        TokenKind::Word(word) if **word == *"or" => "or is written || here".to_owned(),
        _ => "the expression should end before this".to_owned(),
    };
    Err(ExpressionError::new(token.span.clone(), message))
}

struct Parser<'tokens> {
    tokens: &'tokens [Token],
    at: usize,
    depth: usize,
    operators: usize,
}

impl Token {
    fn word(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is(&self, symbol: &str) -> bool {
        match &self.kind {
            TokenKind::Symbol(found) => *found == symbol,
            TokenKind::Word(word) => **word == *symbol,
            _ => false,
        }
    }
}

type Parsed = Result<Expression, ExpressionError>;

impl<'tokens> Parser<'tokens> {
    fn peek(&self) -> &'tokens Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> &'tokens Token {
        let token = self.peek();
        // The last token is the end, which is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_end(&self) -> bool {
        matches!(self.peek().kind, TokenKind::End)
    }

    /// Takes the next token when it is this symbol or word.
    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.peek().is(symbol);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<&'tokens Token, ExpressionError> {
        if self.peek().is(symbol) {
            return Ok(self.next());
        }
        let message = format!("`{symbol}` is missing here");
        Err(ExpressionError::new(self.peek().span.clone(), message))
    }

    fn count_operator(&mut self, span: &Range<usize>) -> Result<(), ExpressionError> {
        self.operators += 1;
        if self.operators > MOST_OPERATORS {
            let message = format!("an expression has at most {MOST_OPERATORS} operators");
            return Err(ExpressionError::new(span.clone(), message));
        }
        Ok(())
    }

    /// `then if condition else otherwise`, whose last part is such an expression again.
    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            let message = format!("nested deeper than {DEEPEST} levels");
            return Err(ExpressionError::new(self.peek().span.clone(), message));
        }
        let then = self.or()?;
        let expression = if self.takes("if") {
            let condition = self.or()?;
            self.expect("else")?;
            let otherwise = self.expression()?;
            Expression {
                span: then.span.start..otherwise.span.end,
                kind: Kind::Choice {
                    condition: Box::new(condition),
                    then: Box::new(then),
                    otherwise: Box::new(otherwise),
                },
            }
        } else {
            then
        };
        self.depth -= 1;
        Ok(expression)
    }

    /// A level of left-associative operators above the level `operand`.
    fn level(
        &mut self,
        operators: &[(&str, BinaryOperator)],
        operand: fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let mut left = operand(self)?;
        while let Some(operator) = self.operator(operators) {
            self.count_operator(&left.span)?;
            let right = operand(self)?;
            left = Expression {
                span: left.span.start..right.span.end,
                kind: Kind::Binary(operator, Box::new(left), Box::new(right)),
            };
        }
        Ok(left)
    }

    /// Takes the first of the operators that comes next; one of two words has a blank in it.
    fn operator(&mut self, operators: &[(&str, BinaryOperator)]) -> Option<BinaryOperator> {
        let second = self.tokens.get(self.at + 1);
        for (symbol, operator) in operators {
            match symbol.split_once(' ') {
                None if self.peek().is(symbol) => {
                    self.next();
                    return Some(*operator);
                }
                Some((one, two))
                    if self.peek().is(one) && second.is_some_and(|token| token.is(two)) =>
                {
                    self.next();
                    self.next();
                    return Some(*operator);
                }
                _ => {}
            }
        }
        None
    }

    fn or(&mut self) -> Parsed {
        self.level(&[("||", BinaryOperator::Or)], Self::and)
    }

    fn and(&mut self) -> Parsed {
        self.level(&[("&&", BinaryOperator::And)], Self::not)
    }

    fn not(&mut self) -> Parsed {
        let token = self.peek();
        if !self.takes("not") {
            return self.comparison();
        }
        self.unary_of(UnaryOperator::Not, token, Self::comparison)
    }

    fn unary_of(
        &mut self,
        operator: UnaryOperator,
        token: &Token,
        operand: fn(&mut Self) -> Parsed,
    ) -> Parsed {
        self.count_operator(&token.span)?;
        let operand = operand(self)?;
        Ok(Expression {
            span: token.span.start..operand.span.end,
            kind: Kind::Unary(operator, Box::new(operand)),
        })
    }

    fn comparison(&mut self) -> Parsed {
        let operators = [
            ("==", BinaryOperator::Equal),
            ("!=", BinaryOperator::NotEqual),
            (">=", BinaryOperator::GreaterOrEqual),
            ("<=", BinaryOperator::LessOrEqual),
            (">", BinaryOperator::Greater),
            ("<", BinaryOperator::Less),
        ];
        self.level(&operators, Self::membership)
    }

    fn membership(&mut self) -> Parsed {
        let operators = [
            ("in", BinaryOperator::In),
            ("not in", BinaryOperator::NotIn),
        ];
        self.level(&operators, Self::identity)
    }

    fn identity(&mut self) -> Parsed {
        let operators = [
            ("is not", BinaryOperator::IsNot),
            ("is", BinaryOperator::Is),
        ];
        self.level(&operators, Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        let operators = [("+", BinaryOperator::Add), ("-", BinaryOperator::Subtract)];
        self.level(&operators, Self::product)
    }

    fn product(&mut self) -> Parsed {
        let operators = [
            ("*", BinaryOperator::Multiply),
            ("/", BinaryOperator::Divide),
            ("%", BinaryOperator::Modulo),
        ];
        self.level(&operators, Self::signed)
    }

    fn signed(&mut self) -> Parsed {
        let token = self.peek();
        if self.takes("-") {
            return self.unary_of(UnaryOperator::Minus, token, Self::signed);
        }
        if self.takes("+") {
            return self.unary_of(UnaryOperator::Plus, token, Self::signed);
        }
        self.indexed()
    }

    fn indexed(&mut self) -> Parsed {
        let mut of = self.primary()?;
        while self.peek().is("[") {
            self.count_operator(&of.span)?;
            self.next();
            let index = self.expression()?;
            let end = self.expect("]")?.span.end;
            of = Expression {
                span: of.span.start..end,
                kind: Kind::Index(Box::new(of), Box::new(index)),
            };
        }
        Ok(of)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.next();
        let start = token.span.start;
        let (kind, end) = match &token.kind {
            TokenKind::Literal(value) => (Kind::Literal(value.clone()), token.span.end),
            TokenKind::Path(context, path) => (Kind::Path(*context, path.clone()), token.span.end),
            TokenKind::Function(name, is_mapped) => {
                self.expect("(")?;
                let (arguments, end) = self.list(")")?;
                let call = Kind::Call {
                    name: name.clone(),
                    is_mapped: *is_mapped,
                    arguments,
                };
                (call, end)
            }
            TokenKind::Symbol("(") => {
                let inner = self.expression()?;
                let end = self.expect(")")?.span.end;
                // The parentheses belong to what is underlined.
                return Ok(Expression {
                    span: start..end,
                    kind: inner.kind,
                });
            }
            TokenKind::Symbol("[") => {
                let (items, end) = self.list("]")?;
                (Kind::List(items), end)
            }
            TokenKind::Symbol("{") => self.mapping()?,
            TokenKind::Word(word) => match Type::named(word) {
                Some(to) => {
                    self.expect("(")?;
                    let operand = self.expression()?;
                    let end = self.expect(")")?.span.end;
                    (Kind::Cast(to, Box::new(operand)), end)
                }
                None => return Err(unknown_word(word, &token.span)),
            },
            TokenKind::End => {
                let message = "the expression ends where a value is missing";
                return Err(ExpressionError::new(token.span.clone(), message));
            }
            TokenKind::Symbol(symbol) => {
                let message = format!("a value is missing before `{symbol}`");
                return Err(ExpressionError::new(token.span.clone(), message));
            }
        };
        let span = start..end;
        Ok(Expression { span, kind })
    }

    /// Expressions with commas between them, none behind the last, and the bracket that closes them.
    fn list(&mut self, closing: &str) -> Result<(Vec<Expression>, usize), ExpressionError> {
        let mut items = Vec::new();
        if self.peek().is(closing) {
            return Ok((items, self.next().span.end));
        }
        loop {
            items.push(self.expression()?);
            if !self.takes(",") {
                return Ok((items, self.expect(closing)?.span.end));
            }
        }
    }

    fn mapping(&mut self) -> Result<(Kind, usize), ExpressionError> {
        let mut entries = Vec::new();
        if self.peek().is("}") {
            return Ok((Kind::Mapping(entries), self.next().span.end));
        }
        loop {
            let token = self.next();
            let TokenKind::Literal(value) = &token.kind else {
                let message = "a key is quoted text";
                return Err(ExpressionError::new(token.span.clone(), message));
            };
            let Some(key) = value.text() else {
                let message = "a key is quoted text";
                return Err(ExpressionError::new(token.span.clone(), message));
            };
            self.expect(":")?;
            entries.push((key.into(), self.expression()?));
            if !self.takes(",") {
                return Ok((Kind::Mapping(entries), self.expect("}")?.span.end));
            }
        }
    }
}

fn unknown_word(word: &str, span: &Range<usize>) -> ExpressionError {
    let message = match word {
        "true" => "true is written True here".to_owned(),
        "false" => "false is written False here".to_owned(),
        "null" | "none" => format!("{word} is written None here"),
        "not" => "not stands once, and parentheses around what it is an operand of".to_owned(),
        "for" => "a loop belongs to workflows, not to templates".to_owned(),
        "lambda" => "an expression holds no lambda".to_owned(),
        word => match Context::named(&word.to_lowercase())
            .map(|_| word.to_lowercase())
            .or_else(|| Context::named(&word.to_uppercase()).map(|_| word.to_uppercase()))
        {
            Some(context) => format!("{word} is written {context} here"),
            None => format!("{word} is no value; text needs quotes, a function FN. before it"),
        },
    };
    ExpressionError::new(span.clone(), message)
}
