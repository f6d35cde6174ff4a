//! Python's three ways to put values into text: `%`, `format`, and the format specification of one value.

use std::iter::Peekable;
use std::str::Chars;

use super::time::strftime;
use crate::action::expression::evaluate::member;
use crate::action::expression::operators::LARGEST;
use crate::action::value::{Failure, Value, plain_float, whole};

/// Wider than any text needs to be.
const WIDEST: usize = 1 << 16;

/// `template % value`.
pub(crate) fn printf(template: &str, value: &Value) -> Result<Value, Failure> {
    let mut out = String::new();
    let mut characters = template.chars().peekable();
    let mut is_used = false;
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut argument = None;
        if characters.next_if_eq(&'(').is_some() {
            let mut name = String::new();
            let mut depth = 1;
            for character in characters.by_ref() {
                depth += i32::from(character == '(') - i32::from(character == ')');
                if depth == 0 {
                    break;
                }
                name.push(character);
            }
            argument = Some(member(value, &Value::from(name))?);
        }
        let mut spec = Spec::default();
        while let Some(flag) = characters.next_if(|flag| "-+ 0#".contains(*flag)) {
            match flag {
                '-' => spec.align = Some('<'),
                '0' => spec.zero = true,
                '#' => spec.alternate = true,
                '+' => spec.sign = '+',
                _ if spec.sign == '-' => spec.sign = ' ',
                _ => {}
            }
        }
        spec.width = digits(&mut characters)?.unwrap_or(0);
        if characters.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut characters)?.unwrap_or(0));
        }
        let _ = characters.next_if(|size| "hlL".contains(*size));
        let Some(kind) = characters.next() else {
            return Err(Failure::new("the template ends within a conversion"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let argument = match argument {
            Some(argument) => argument,
            None if is_used => return Err(Failure::new("the template needs more values")),
            None => {
                is_used = true;
                value.clone()
            }
        };
        out.push_str(&spec.convert(kind, &argument)?);
        if out.len() > LARGEST {
            return Err(Failure::new("the result is too large"));
        }
    }
    if !is_used && !matches!(value, Value::Mapping(_) | Value::List(_)) {
        return Err(Failure::new("the template has no place for the value"));
    }
    Ok(Value::from(out))
}

/// `template.format(*values)`.
pub(super) fn format(template: &str, values: &[Value]) -> Result<Value, Failure> {
    let mut next = 0;
    let mut out = String::new();
    put(template, values, &mut next, 0, &mut out)?;
    Ok(Value::from(out))
}

fn put(
    template: &str,
    values: &[Value],
    next: &mut usize,
    depth: usize,
    out: &mut String,
) -> Result<(), Failure> {
    let mut characters = template.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' if characters.next_if_eq(&'{').is_some() => out.push('{'),
            '}' if characters.next_if_eq(&'}').is_some() => out.push('}'),
            '{' => {
                let field = field(&mut characters)?;
                out.push_str(&replacement(&field, values, next, depth)?);
            }
            '}' => return Err(Failure::new("the template has a single }")),
            character => out.push(character),
        }
        if out.len() > LARGEST {
            return Err(Failure::new("the result is too large"));
        }
    }
    Ok(())
}

/// What stands between braces, inner ones included.
fn field(characters: &mut Peekable<Chars<'_>>) -> Result<String, Failure> {
    let mut field = String::new();
    let mut depth = 1;
    for character in characters {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if depth == 0 {
            return Ok(field);
        }
        field.push(character);
    }
    Err(Failure::new("the template has a { that is not closed"))
}

fn replacement(
    field: &str,
    values: &[Value],
    next: &mut usize,
    depth: usize,
) -> Result<String, Failure> {
    let (name, spec) = field.split_once(':').unwrap_or((field, ""));
    let (name, conversion) = match name.split_once('!') {
        Some((name, conversion)) => (name, Some(conversion)),
        None => (name, None),
    };
    let (first, mut rest) = name.split_at(name.find(['[', '.']).unwrap_or(name.len()));
    let index = if first.is_empty() {
        *next += 1;
        *next - 1
    } else {
        first
            .parse()
            .map_err(|_| Failure::new("a field is empty or a number, since values have no names"))?
    };
    let mut value = values
        .get(index)
        .cloned()
        .ok_or_else(|| Failure::new("the template has more fields than values"))?;
    while !rest.is_empty() {
        let Some((key, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        else {
            return Err(Failure::new("a field has no attributes, only [index]"));
        };
        let key = match key.parse::<i128>() {
            Ok(index) => Value::Integer(index),
            Err(_) => Value::from(key),
        };
        value = member(&value, &key)?;
        rest = after;
    }
    let value = match conversion {
        None => value,
        Some("s") => Value::from(value.to_string()),
        Some("r") => Value::from(value.repr()),
        Some(_) => return Err(Failure::new("a field's conversion is !s or !r")),
    };
    if !spec.contains('{') {
        return format_value(&value, spec);
    }
    if depth > 0 {
        return Err(Failure::new("fields nest once only"));
    }
    let mut inner = String::new();
    put(spec, values, next, depth + 1, &mut inner)?;
    format_value(&value, &inner)
}

/// `format(value, spec)`.
fn format_value(value: &Value, spec: &str) -> Result<String, Failure> {
    if spec.is_empty() {
        return Ok(value.to_string());
    }
    if let Value::Date(_) | Value::Moment(_) | Value::Time(_) = value {
        return strftime::write(value, spec);
    }
    let (spec, kind) = Spec::read(spec)?;
    match (value, kind) {
        (Value::Text(_), None | Some('s'))
            if spec.sign == '-' && spec.grouping.is_none() && spec.align != Some('=') =>
        {
            let text = spec.cut(&value.to_string());
            Ok(spec.pad(&text, '<'))
        }
        (
            Value::Bool(_) | Value::Integer(_),
            None | Some('b' | 'c' | 'd' | 'o' | 'x' | 'X' | 'n'),
        ) if spec.precision.is_some() => Err(Failure::new("an integer has no precision")),
        (Value::Bool(_) | Value::Integer(_), None) => spec.convert('d', value),
        (Value::Bool(_) | Value::Integer(_), Some(kind)) if "bcdoxXeEfFgGn%".contains(kind) => {
            spec.convert(kind, value)
        }
        (Value::Float(number), None) => Ok(spec.number(
            *number < 0.0 || is_minus_zero(*number),
            &spec.general(number.abs()),
            3,
        )),
        (Value::Float(_), Some(kind)) if "eEfFgGn%".contains(kind) => spec.convert(kind, value),
        _ => Err(Failure::new(format!(
            "{} can't be formatted so",
            value.kind()
        ))),
    }
}

fn is_minus_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

fn digits(characters: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, Failure> {
    let mut number = None;
    while let Some(digit) = characters.peek().and_then(|digit| digit.to_digit(10)) {
        characters.next();
        let so_far = number.unwrap_or(0_usize);
        let now = so_far * 10 + digit as usize;
        if now > WIDEST {
            return Err(Failure::new("the width or precision is too large"));
        }
        number = Some(now);
    }
    Ok(number)
}

/// How a value is laid out.
struct Spec {
    fill: char,
    align: Option<char>,
    sign: char,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            fill: ' ',
            align: None,
            sign: '-',
            alternate: false,
            zero: false,
            width: 0,
            grouping: None,
            precision: None,
        }
    }
}

impl Spec {
    fn read(text: &str) -> Result<(Self, Option<char>), Failure> {
        let mut spec = Self::default();
        let mut characters = text.chars().peekable();
        let second = text.chars().nth(1);
        let has_fill = second.is_some_and(|second| "<>=^".contains(second));
        if has_fill {
            spec.fill = characters.next().unwrap_or(' ');
        }
        spec.align = characters.next_if(|align| "<>=^".contains(*align));
        if let Some(sign) = characters.next_if(|sign| "+- ".contains(*sign)) {
            spec.sign = sign;
        }
        spec.alternate = characters.next_if_eq(&'#').is_some();
        spec.zero = characters.next_if_eq(&'0').is_some();
        if spec.zero && !has_fill {
            spec.fill = '0';
        }
        spec.width = digits(&mut characters)?.unwrap_or(0);
        spec.grouping = characters.next_if(|mark| *mark == ',' || *mark == '_');
        if characters.next_if_eq(&'.').is_some() {
            let precision = digits(&mut characters)?;
            let missing = || Failure::new("the precision is missing");
            spec.precision = Some(precision.ok_or_else(missing)?);
        }
        let kind = characters.next();
        match characters.next() {
            None => Ok((spec, kind)),
            Some(_) => Err(Failure::new("this is no format specification")),
        }
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        }
    }

    fn pad(&self, text: &str, default: char) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let fill = |count: usize| self.fill.to_string().repeat(count);
        match self.align.unwrap_or(default) {
            '<' => format!("{text}{}", fill(missing)),
            '^' => format!("{}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            _ => format!("{}{text}", fill(missing)),
        }
    }

    /// A number's text of its magnitude, with sign, grouping (by so many digits) and padding.
    fn number(&self, is_negative: bool, magnitude: &str, size: usize) -> String {
        let sign = match (is_negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        };
        let fills_inside = self.align == Some('=') || self.zero && self.align.is_none();
        let mut digits = magnitude.to_owned();
        let magnitude = loop {
            let Some(mark) = self.grouping else {
                break digits;
            };
            let written = grouped(&digits, mark, size);
            // Zeros that fill are grouped too.
            let is_short = sign.len() + written.chars().count() < self.width;
            if !(fills_inside && self.zero && is_short) {
                break written;
            }
            digits.insert(0, '0');
        };
        if !fills_inside {
            return self.pad(&format!("{sign}{magnitude}"), '>');
        }
        let missing = self
            .width
            .saturating_sub(sign.len() + magnitude.chars().count());
        let fill = if self.zero { '0' } else { self.fill };
        format!("{sign}{}{magnitude}", fill.to_string().repeat(missing))
    }

    fn convert(&self, kind: char, value: &Value) -> Result<String, Failure> {
        let integer = || match value {
            Value::Float(number) if "di u".contains(kind) => whole(number.trunc()),
            other => other.integer(),
        };
        let wrong = || Failure::new(format!("%{kind} takes a number, not {}", value.kind()));
        match kind {
            's' | 'r' | 'a' => {
                let text = if kind == 's' {
                    value.to_string()
                } else {
                    value.repr()
                };
                Ok(self.pad(&self.cut(&text), '>'))
            }
            'c' => {
                let character = match value {
                    Value::Text(text) if text.chars().count() == 1 => text.chars().next(),
                    other => other
                        .integer()
                        .and_then(|code| u32::try_from(code).ok())
                        .and_then(char::from_u32),
                };
                let character =
                    character.ok_or_else(|| Failure::new("there is no such character"))?;
                Ok(self.pad(&character.to_string(), '>'))
            }
            'd' | 'i' | 'u' | 'n' | 'b' | 'o' | 'x' | 'X'
                if !(kind == 'n' && matches!(value, Value::Float(_))) =>
            {
                let number = integer().ok_or_else(wrong)?;
                let magnitude = number.unsigned_abs();
                let (prefix, digits) = match kind {
                    'b' => ("0b", format!("{magnitude:b}")),
                    'o' => ("0o", format!("{magnitude:o}")),
                    'x' => ("0x", format!("{magnitude:x}")),
                    'X' => ("0X", format!("{magnitude:X}")),
                    _ => ("", magnitude.to_string()),
                };
                let prefix = if self.alternate { prefix } else { "" };
                let least = self.precision.unwrap_or(0);
                let size = if "boxX".contains(kind) { 4 } else { 3 };
                let text = format!("{prefix}{digits:0>least$}");
                Ok(self.number(number < 0, &text, size))
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%' => {
                let number = value.float().ok_or_else(wrong)?;
                let is_negative = number < 0.0 || is_minus_zero(number);
                let text = self.float(number.abs(), kind.to_ascii_lowercase());
                let text = if kind.is_ascii_uppercase() {
                    text.to_ascii_uppercase()
                } else {
                    text
                };
                Ok(self.number(is_negative, &text, 3))
            }
            kind => Err(Failure::new(format!("there is no conversion {kind}"))),
        }
    }

    fn float(&self, number: f64, kind: char) -> String {
        if !number.is_finite() {
            let percent = if kind == '%' { "%" } else { "" };
            return plain_float(number) + percent;
        }
        let precision = self.precision.unwrap_or(6);
        match kind {
            'f' => format!("{number:.precision$}"),
            '%' => format!("{:.precision$}%", number * 100.0),
            'e' => scientific(number, precision).0,
            _ => {
                let precision = precision.max(1);
                let (text, exponent) = scientific(number, precision - 1);
                let text = if (-4..precision as i32).contains(&exponent) {
                    let places = (precision as i32 - 1 - exponent).max(0) as usize;
                    format!("{number:.places$}")
                } else {
                    text
                };
                if self.alternate {
                    text
                } else {
                    without_zeros(&text)
                }
            }
        }
    }

    /// A float without a type: as `str` has it, or like `g` with a digit behind the point.
    fn general(&self, number: f64) -> String {
        let Some(precision) = self.precision else {
            return plain_float(number);
        };
        if !number.is_finite() {
            return plain_float(number);
        }
        let precision = precision.max(1);
        let (text, exponent) = scientific(number, precision - 1);
        if !(-4..precision as i32 - 1).contains(&exponent) && number != 0.0 {
            return without_zeros(&text);
        }
        let places = (precision as i32 - 1 - exponent).max(0) as usize;
        let text = without_zeros(&format!("{number:.places$}"));
        if text.contains('.') {
            text
        } else {
            text + ".0"
        }
    }
}

/// `1.50e+00` and its exponent.
fn scientific(number: f64, precision: usize) -> (String, i32) {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    (
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs()),
        exponent,
    )
}

fn without_zeros(text: &str) -> String {
    let (digits, exponent) = match text.find('e') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    if !digits.contains('.') {
        return text.to_owned();
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}{exponent}")
}

fn grouped(magnitude: &str, mark: char, size: usize) -> String {
    let end = magnitude
        .find(|digit: char| !digit.is_ascii_hexdigit() || size == 3 && !digit.is_ascii_digit())
        .unwrap_or(magnitude.len());
    let (digits, rest) = magnitude.split_at(end);
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(size) {
            out.push(mark);
        }
        out.push(digit);
    }
    out + rest
}
