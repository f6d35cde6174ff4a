//! Text: case, parts, codes and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use md5::{Digest, Md5};
use regex::{Regex, RegexBuilder};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{Arguments, Function, format, function, wrong};
use crate::action::expression::operators::LARGEST;
use crate::action::value::{Failure, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "capitalize",
        "x",
        capitalize,
        r#"FN.capitalize("hELLO wORLD")"#,
        "'Hello world'",
    ),
    function(
        "titleize",
        "x",
        titleize,
        r#"FN.titleize("hello it's")"#,
        r#""Hello It'S""#,
    ),
    function(
        "uppercase",
        "x",
        uppercase,
        r#"FN.uppercase("straße")"#,
        "'STRASSE'",
    ),
    function("lowercase", "x", lowercase, r#"FN.lowercase("ÀB")"#, "'àb'"),
    function("concat", "*items", concat, r#"FN.concat("a", "b")"#, "'ab'"),
    function(
        "join",
        "items, sep",
        join,
        r#"FN.join(["a", "b"], ", ")"#,
        "'a, b'",
    ),
    function(
        "endswith",
        "x, s",
        endswith,
        r#"FN.endswith("abc", "bc")"#,
        "True",
    ),
    function(
        "startswith",
        "x, s",
        startswith,
        r#"FN.startswith("abc", "bc")"#,
        "False",
    ),
    function(
        "format",
        "template, *values",
        format_values,
        r#"FN.format("{} {:>5} {:.2f}", "a", "b", 1.5)"#,
        "'a     b 1.50'",
    ),
    function(
        "prefix",
        "x, p",
        prefix,
        r#"FN.prefix(["a", 1], "x-")"#,
        "['x-a', 'x-1']",
    ),
    function("suffix", "x, s", suffix, r#"FN.suffix("a", "-x")"#, "'a-x'"),
    function(
        "replace",
        "x, old, new",
        replace,
        r#"FN.replace("aXbX", "X", "-")"#,
        "'a-b-'",
    ),
    function(
        "slice",
        "x, start, length",
        slice,
        r#"FN.slice("abcdef", 1, 3)"#,
        "'bcd'",
    ),
    function(
        "slugify",
        "x",
        slugify,
        r#"FN.slugify("Hello, Wörld & é/_x--y")"#,
        "'hello-world-e-x-y'",
    ),
    function(
        "split",
        "x, sep",
        split,
        r#"FN.split("a,,b", ",")"#,
        "['a', '', 'b']",
    ),
    function(
        "strip",
        "x, chars",
        strip,
        r#"FN.strip("abcba", "ab")"#,
        "'c'",
    ),
    function(
        "url_encode",
        "x, safe=\"\"",
        url_encode,
        r#"FN.url_encode("a b/é")"#,
        "'a%20b%2F%C3%A9'",
    ),
    function(
        "url_decode",
        "x",
        url_decode,
        r#"FN.url_decode("a%20b+c%zz")"#,
        "'a b+c%zz'",
    ),
    function(
        "regex_extract",
        "pattern, text",
        regex_extract,
        r#"FN.regex_extract("id=([0-9]+)", "x id=42")"#,
        "'42'",
    ),
    function(
        "regex_match",
        "pattern, text",
        regex_match,
        r#"FN.regex_match("[a-z]+", "abc1")"#,
        "True",
    ),
    function(
        "regex_not_match",
        "pattern, text",
        regex_not_match,
        r#"FN.regex_not_match("b", "abc")"#,
        "True",
    ),
    function(
        "to_base64",
        "x",
        to_base64,
        r#"FN.to_base64("é?")"#,
        "'w6k/'",
    ),
    function(
        "to_base64url",
        "x",
        to_base64url,
        r#"FN.to_base64url("é?")"#,
        "'w6k_'",
    ),
    function(
        "from_base64",
        "x",
        from_base64,
        r#"FN.from_base64("w6k/")"#,
        "'é?'",
    ),
    function(
        "from_base64url",
        "x",
        from_base64url,
        r#"FN.from_base64url("w6k_")"#,
        "'é?'",
    ),
    function(
        "hash_md5",
        "x",
        hash::<Md5>,
        r#"FN.hash_md5("é")"#,
        "'66ddcd97cfdeabb2f6fb8a999b4bc76f'",
    ),
    function(
        "hash_sha1",
        "x",
        hash::<Sha1>,
        r#"FN.hash_sha1("a")"#,
        "'86f7e437faa5a7fce15d1ddcb9eaeaea377667b8'",
    ),
    function(
        "hash_sha256",
        "x",
        hash::<Sha256>,
        r#"FN.slice(FN.hash_sha256("a"), 0, 8)"#,
        "'ca978112'",
    ),
    function(
        "hash_sha512",
        "x",
        hash::<Sha512>,
        r#"FN.length(FN.hash_sha512("a"))"#,
        "128",
    ),
    function("uuid4", "", uuid4, "FN.length(FN.uuid4())", "36"),
];

type Outcome = Result<Value, Failure>;

/// The first letter in capitals; one that becomes several (ß) begins with a capital only.
fn title(character: char) -> String {
    let upper: String = character.to_uppercase().collect();
    let mut letters = upper.chars();
    let first = letters.next().unwrap_or(character);
    format!("{first}{}", letters.as_str().to_lowercase())
}

/// The first letter as in a title, the others small: those are made small as a whole, for the sigma that ends a word.
fn titled(word: &str) -> String {
    let Some(first) = word.chars().next() else {
        return String::new();
    };
    let small = word.to_lowercase();
    title(first)
        + small
            .get(first.to_lowercase().map(char::len_utf8).sum()..)
            .unwrap_or("")
}

fn capitalize(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::from(titled(arguments.text(0)?)))
}

fn titleize(arguments: &Arguments<'_>) -> Outcome {
    let (mut text, mut word) = (String::new(), String::new());
    for character in arguments.text(0)?.chars() {
        if character.is_lowercase() || character.is_uppercase() {
            word.push(character);
        } else {
            text.push_str(&titled(&std::mem::take(&mut word)));
            text.push(character);
        }
    }
    text.push_str(&titled(&word));
    Ok(Value::from(text))
}

fn uppercase(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::from(arguments.text(0)?.to_uppercase()))
}

fn lowercase(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::from(arguments.text(0)?.to_lowercase()))
}

fn fitting(text: String) -> Outcome {
    if text.len() > LARGEST {
        return Err(Failure::new("the result is too large"));
    }
    Ok(Value::from(text))
}

fn concat(arguments: &Arguments<'_>) -> Outcome {
    let parts = (0..arguments.values.len()).map(|index| arguments.text(index));
    fitting(parts.collect::<Result<String, _>>()?)
}

fn join(arguments: &Arguments<'_>) -> Outcome {
    let separator = unescaped(arguments.text(1)?);
    let items = arguments.members(0)?;
    let texts = items
        .iter()
        .map(|item| {
            item.text()
                .ok_or_else(|| wrong("text is needed in the list", item))
        })
        .collect::<Result<Vec<_>, _>>()?;
    fitting(texts.join(&separator))
}

/// The one place where escapes count.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let next = characters.as_str().chars().next();
        let escaped = match (character, next) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('\\')) => '\\',
            _ => {
                out.push(character);
                continue;
            }
        };
        characters.next();
        out.push(escaped);
    }
    out
}

fn endswith(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(
        arguments.text(0)?.ends_with(arguments.text(1)?),
    ))
}

fn startswith(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(
        arguments.text(0)?.starts_with(arguments.text(1)?),
    ))
}

fn format_values(arguments: &Arguments<'_>) -> Outcome {
    format::format(arguments.text(0)?, &arguments.values[1..])
}

fn each(value: &Value, change: impl Fn(&Value) -> String) -> Value {
    match value {
        Value::List(items) => items
            .iter()
            .map(|item| Value::from(change(item)))
            .collect::<Vec<_>>()
            .into(),
        scalar => Value::from(change(scalar)),
    }
}

fn prefix(arguments: &Arguments<'_>) -> Outcome {
    let prefix = arguments.text(1)?;
    Ok(each(arguments.value(0), |item| format!("{prefix}{item}")))
}

fn suffix(arguments: &Arguments<'_>) -> Outcome {
    let suffix = arguments.text(1)?;
    Ok(each(arguments.value(0), |item| format!("{item}{suffix}")))
}

fn replace(arguments: &Arguments<'_>) -> Outcome {
    let (text, old, new) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    let growth = text.matches(old).count().saturating_mul(new.len());
    if growth > LARGEST {
        return Err(Failure::new("the result is too large"));
    }
    Ok(Value::from(text.replace(old, new)))
}

fn slice(arguments: &Arguments<'_>) -> Outcome {
    let (start, length) = (arguments.integer(1)?, arguments.integer(2)?);
    let of = arguments.value(0);
    let size = of.length()?;
    let bound = |bound: i128| {
        let bound = if bound < 0 {
            bound.saturating_add(size as i128)
        } else {
            bound
        };
        usize::try_from(bound.max(0)).unwrap_or(size).min(size)
    };
    let (from, to) = (bound(start), bound(start.saturating_add(length)));
    match of {
        Value::List(items) => Ok(Value::list(
            items.get(from..to).unwrap_or_default().to_vec(),
        )),
        Value::Text(text) => {
            let part: String = text.chars().take(to).skip(from).collect();
            Ok(Value::from(part))
        }
        other => Err(wrong("text or a list is needed", other)),
    }
}

fn slugify(arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0)?.replace('\'', "-");
    let text = deunicode::deunicode(&text).to_lowercase().replace('\'', "");
    let characters = Vec::from_iter(text.chars());
    let is_digit = |index: Option<usize>| {
        index
            .and_then(|index| characters.get(index))
            .is_some_and(char::is_ascii_digit)
    };
    let mut slug = String::new();
    for (index, character) in characters.iter().enumerate() {
        if character.is_ascii_alphanumeric() {
            slug.push(*character);
        } else if *character == ',' && is_digit(index.checked_sub(1)) && is_digit(Some(index + 1)) {
            // 1,000 is one word.
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    Ok(Value::from(slug.trim_end_matches('-')))
}

fn split(arguments: &Arguments<'_>) -> Outcome {
    let (text, separator) = (arguments.text(0)?, arguments.text(1)?);
    if separator.is_empty() {
        return Err(Failure::new("the separator is empty"));
    }
    Ok(Value::list(
        text.split(separator).map(Value::from).collect(),
    ))
}

fn strip(arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0)?;
    Ok(Value::from(match arguments.value(1) {
        Value::None => text.trim(),
        _ => {
            let characters = arguments.text(1)?;
            text.trim_matches(|character| characters.contains(character))
        }
    }))
}

fn url_encode(arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.value(0).to_string();
    let safe = arguments.text_or(1, "")?;
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        let stays = character.is_ascii_alphanumeric()
            || "-._~".contains(character)
            || character.is_ascii() && safe.contains(character);
        if stays {
            encoded.push(character);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(Value::from(encoded))
}

fn url_decode(arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0)?.as_bytes();
    let hex = |index: usize| {
        let digit = char::from(*text.get(index)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A pattern of Python's. Look-around and back references are not there: they would let a short pattern run for ever.
fn pattern(text: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(&text.replace("\\Z", "\\z"))
        .size_limit(1 << 20)
        .build()
        .map_err(|_| {
            Failure::new(
                "the pattern is not a regular expression, or uses look-around or a back reference",
            )
        })
}

fn regex_extract(arguments: &Arguments<'_>) -> Outcome {
    let (pattern, text) = (pattern(arguments.text(0)?)?, arguments.text(1)?);
    Ok(match pattern.captures(text) {
        None => Value::None,
        Some(found) => {
            let group = found.iter().skip(1).flatten().next();
            Value::from(group.map_or(&found[0], |group| group.as_str()))
        }
    })
}

fn matches_at_start(arguments: &Arguments<'_>) -> Result<bool, Failure> {
    let anchored = format!(r"\A(?:{})", arguments.text(0)?);
    Ok(pattern(&anchored)?.is_match(arguments.text(1)?))
}

fn regex_match(arguments: &Arguments<'_>) -> Outcome {
    matches_at_start(arguments).map(Value::Bool)
}

fn regex_not_match(arguments: &Arguments<'_>) -> Outcome {
    matches_at_start(arguments).map(|found| Value::Bool(!found))
}

fn to_base64(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::from(STANDARD.encode(arguments.text(0)?)))
}

fn to_base64url(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::from(URL_SAFE.encode(arguments.text(0)?)))
}

fn decoded(bytes: Result<Vec<u8>, base64::DecodeError>) -> Outcome {
    let bytes = bytes.map_err(|_| Failure::new("the text is not base64"))?;
    let text = String::from_utf8(bytes);
    text.map(Value::from)
        .map_err(|_| Failure::new("the content is not UTF-8 text"))
}

fn from_base64(arguments: &Arguments<'_>) -> Outcome {
    decoded(STANDARD.decode(arguments.text(0)?))
}

fn from_base64url(arguments: &Arguments<'_>) -> Outcome {
    decoded(URL_SAFE.decode(arguments.text(0)?))
}

fn hash<D: Digest>(arguments: &Arguments<'_>) -> Outcome {
    let hash = D::digest(arguments.text(0)?);
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    Ok(Value::from(digits.collect::<String>()))
}

fn uuid4(_: &Arguments<'_>) -> Outcome {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Failure::new("the machine gives no random numbers"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Value::from(format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )))
}
