//! The arrows between the modules of the core, read from its source by a small lexer.

/// Who may import whom (the design's section 3); everyone may import `error` and `fault`, and each layer itself.
const ARROWS: [(&str, &[&str]); 16] = [
    (
        "python",
        &[
            "web", "action", "connect", "engine", "provider", "model", "secret", "clock", "system",
        ],
    ),
    (
        "web",
        &["connect", "engine", "provider", "model", "secret", "clock"],
    ),
    (
        "action",
        &["engine", "provider", "http", "model", "secret", "clock"],
    ),
    (
        "connect",
        &[
            "engine", "oauth", "http", "store", "vault", "provider", "model", "clock", "secret",
            "system",
        ],
    ),
    (
        "engine",
        &[
            "oauth", "http", "store", "vault", "provider", "model", "clock", "secret", "system",
        ],
    ),
    ("oauth", &["http", "provider", "model", "clock", "secret"]),
    ("http", &["secret", "clock"]),
    ("provider", &["model"]),
    ("store", &["model", "clock", "secret", "system"]),
    ("vault", &["secret", "model"]),
    ("model", &["secret", "clock"]),
    ("clock", &["system"]),
    ("secret", &[]),
    ("system", &[]),
    ("error", &[]),
    ("fault", &["system"]),
];

/// Words of the source that only these files may use.
const RESERVED: [(&str, &[&str]); 4] = [
    ("unsafe", &["system.rs"]),
    ("reqwest", &["http.rs"]),
    ("pyo3", &["python/"]),
    ("rusqlite", &["store/"]),
];

/// The environment belongs to the process, so only the code that meets it reads it.
const READS_ENVIRONMENT: &[&str] = &["python/"];

/// Everyone else asks a `Clock`, so that tests can move it. (Deadlines of I/O are the runtime's own business.)
const READS_TIME: &[&str] = &["clock.rs", "system.rs"];

/// What a source file does against the design; `path` counts from `src`.
pub(super) fn problems(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut problems = Vec::new();
    for (word, places) in RESERVED {
        if tokens.iter().any(|token| token == word) && !is_in(path, places) {
            problems.push(format!(
                "{path}: only {} may use `{word}`",
                places.join(", ")
            ));
        }
    }
    let module = module_of(path);
    let layer = module.first().map_or("", String::as_str);
    if path == "lib.rs" {
        return problems;
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == layer) else {
        problems.push(format!("{path}: `{layer}` is no layer of the design"));
        return problems;
    };
    for used in paths(&tokens, &module) {
        match used
            .split_first()
            .map(|(first, rest)| (first.as_str(), rest))
        {
            Some(("std", rest)) if reads_environment(rest) && !is_in(path, READS_ENVIRONMENT) => {
                problems.push(format!(
                    "{path}: the environment is passed in, not read here"
                ));
            }
            Some(("std", rest)) if reads_time(rest) && !is_in(path, READS_TIME) => {
                problems.push(format!("{path}: time is read by the clock only"));
            }
            Some(("crate", rest)) => match rest.first().map_or("", String::as_str) {
                "error" | "fault" => {}
                target if target == layer || allowed.contains(&target) => {}
                "" | "*" | "self" => problems.push(format!("{path}: names the whole crate")),
                target => problems.push(format!("{path}: {layer} may not import {target}")),
            },
            _ => {}
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn reads_environment(below_std: &[String]) -> bool {
    below_std.first().is_some_and(|part| part == "env")
}

fn reads_time(below_std: &[String]) -> bool {
    below_std.first().is_some_and(|part| part == "time")
        && below_std.get(1).is_none_or(|name| name != "Duration")
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| path == *place || place.ends_with('/') && path.starts_with(place))
}

/// The module of a file, as path from the crate's root.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// All paths that begin with `crate`, `self`, `super` or `std`, the relative ones resolved and groups taken apart.
fn paths(tokens: &[String], file: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // The module of every open brace: `mod name {` adds to it, any other brace does not.
    let mut modules = vec![file.to_vec()];
    for (at, token) in tokens.iter().enumerate() {
        let module = &modules[modules.len() - 1];
        match token.as_str() {
            "{" => {
                let mut inner = module.clone();
                if at >= 2 && tokens[at - 2] == "mod" {
                    inner.push(tokens[at - 1].clone());
                }
                modules.push(inner);
            }
            "}" if modules.len() > 1 => {
                modules.pop();
            }
            "crate" | "self" | "super" | "std" if !continues_path(tokens, at) => {
                expand(&tokens[at..], module, &[], &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Whether the token at `at` belongs to a path, or to a visibility, that began before it.
fn continues_path(tokens: &[String], at: usize) -> bool {
    let before = |distance: usize| {
        at.checked_sub(distance)
            .map_or("", |at| tokens[at].as_str())
    };
    // `pub(crate)`, `pub(super)` and `pub(in ...)`; `&self` and `self.field` are no paths and resolve to their own layer.
    before(1) == "::" && is_word(before(2)) || before(1) == "(" && before(2) == "pub"
}

/// Follows the path at the beginning of `tokens`; `prefix` is what a group stands behind. Returns the tokens it took.
fn expand(
    tokens: &[String],
    module: &[String],
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at).map_or("", String::as_str) {
            "crate" => path = vec!["crate".to_owned()],
            "self" if path.is_empty() => path = absolute(module),
            "self" => {}
            "super" => {
                if path.is_empty() {
                    path = absolute(module);
                }
                if path.len() > 1 {
                    path.pop();
                }
            }
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at += expand(&tokens[at..], module, &path, found);
                    if tokens.get(at).is_some_and(|token| token == "as") {
                        at += 2;
                    }
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            word if is_word(word) || word == "*" => path.push(word.to_owned()),
            _ => {
                // Nothing that could stand in a path: take one token, so that a group always ends.
                found.push(path);
                return at.max(1);
            }
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            found.push(path);
            return at;
        }
        at += 1;
    }
}

fn absolute(module: &[String]) -> Vec<String> {
    [&["crate".to_owned()][..], module].concat()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single characters; without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' || rest.starts_with("b\"") || rest.starts_with("c\"") {
            string(rest)
        } else if first == '\'' || rest.starts_with("b'") {
            character_or_lifetime(rest)
        } else if is_word(rest) {
            let length = rest
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    loop {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            [] => return at,
            _ => at += 1,
        }
    }
}

fn raw_string(text: &str) -> Option<usize> {
    let body = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

fn string(text: &str) -> usize {
    let quote = text.find('"').unwrap_or(0);
    let bytes = text.as_bytes();
    let mut at = quote + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn character_or_lifetime(text: &str) -> usize {
    let quote = text.find('\'').unwrap_or(0);
    let mut characters = text[quote + 1..].chars();
    match characters.next() {
        Some('\\') => {
            let escaped = characters.next().map_or(0, char::len_utf8);
            let from = (quote + 2 + escaped).min(text.len());
            from + text[from..].find('\'').map_or(0, |at| at + 1)
        }
        Some(character) if characters.next() == Some('\'') => quote + 2 + character.len_utf8(),
        // A lifetime: its name is a word like any other and names nothing.
        _ => quote + 1,
    }
}

#[test]
fn a_forbidden_import_is_reported() {
    assert_eq!(
        problems("store/sqlite.rs", "use crate::vault::Kind;"),
        ["store/sqlite.rs: store may not import vault"]
    );
}

#[test]
fn an_allowed_import_is_not_reported() {
    let text = "use crate::{error::Result, model::{Grant, Token}}; use super::Store; fn f() { crate::clock::x() }";
    assert_eq!(problems("store/sqlite.rs", text), [""; 0]);
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    for text in [
        "use crate::{error::Error, engine::{self, Engine}};",
        "use super::super::engine::Engine;",
        "use super::{Store, super::engine};",
        "mod inner { use super::super::super::engine; }",
        "mod inner { fn f() { if true { super::super::super::engine::run() } } }",
        "fn f() -> crate::engine::Engine { todo!() }",
        "pub(crate) use crate::engine as other;",
        "macro_rules! m { () => { $crate::engine::run() } }",
        "use ::std::fmt; use crate::engine::*;",
        "fn f<'a>(x: &'a str) -> bool { x == \"\\\"\" && '\"' != '\\'' && crate::engine::y(x) }",
        "const X: &str = r#\"\"#; use crate :: /* a /* b */ */ engine;",
    ] {
        assert_eq!(
            problems("store/sqlite.rs", text),
            ["store/sqlite.rs: store may not import engine"],
            "{text}"
        );
    }
}

#[test]
fn what_only_looks_like_an_import_is_not_reported() {
    for text in [
        "// use crate::engine;\n/* crate::engine */",
        "/// See [`crate::engine`].\nfn f() {}",
        "const X: &str = \"crate::engine\"; const Y: &str = r##\"crate::engine \"# unsafe\"##;",
        "mod inner { use super::engine; } mod engine {}",
        "use tokio::{self, sync}; use other::engine;",
        "pub(crate) fn f(&self) { self.engine() }",
    ] {
        assert_eq!(problems("store/sqlite.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn the_whole_crate_cannot_be_imported() {
    for text in [
        "use crate::*;",
        "use crate as root;",
        "use super::super as root;",
    ] {
        assert_eq!(
            problems("store/sqlite.rs", text),
            ["store/sqlite.rs: names the whole crate"],
            "{text}"
        );
    }
}

#[test]
fn a_module_outside_the_table_is_reported() {
    assert_eq!(
        problems("utils.rs", ""),
        ["utils.rs: `utils` is no layer of the design"]
    );
}

#[test]
fn a_reserved_word_is_reported_outside_its_file_only() {
    for (word, owner) in [
        ("unsafe", "system.rs"),
        ("reqwest", "http.rs"),
        ("pyo3", "python/engine.rs"),
        ("rusqlite", "store/sqlite.rs"),
    ] {
        let text = format!("fn f() {{ {word}::x() }}");
        assert_eq!(problems(owner, &text), [""; 0], "{word}");
        assert_eq!(problems("model.rs", &text).len(), 1, "{word}");
    }
}

#[test]
fn the_environment_is_read_by_the_python_layer_only() {
    for text in [
        "use std::{env, fs};",
        "fn f() { ::std::env::var(\"A\") }",
        "use std::env::var;",
    ] {
        assert_eq!(problems("python/mod.rs", text), [""; 0], "{text}");
        assert_eq!(
            problems("vault/source.rs", text),
            ["vault/source.rs: the environment is passed in, not read here"],
            "{text}"
        );
    }
}

#[test]
fn the_time_is_read_by_the_clock_only() {
    for text in [
        "use std::time::{Duration, Instant};",
        "fn f() { std::time::SystemTime::now() }",
        "use std::time;",
        "use std::{fmt, time::*};",
    ] {
        assert_eq!(problems("clock.rs", text), [""; 0], "{text}");
        assert_eq!(
            problems("http.rs", text),
            ["http.rs: time is read by the clock only"],
            "{text}"
        );
    }
    let text = "use std::time::Duration; use tokio::time::{Instant, timeout_at};";
    assert_eq!(problems("http.rs", text), [""; 0]);
}
