//! Provider files with one field otherwise, each under what was done to it.

use _core::model::GrantType;
use serde_json::{Value, json};

/// Fields that are left as they are, and why. `*` stands for one name, `**` for any number of them; the fields of a grant
/// stand without its name.
const LEFT: [(&str, &[&str]); 4] = [
    (
        "words for people: nothing is done by them",
        &[
            "name",
            "category",
            "status",
            "summary",
            "links.**",
            "notes.**",
            "sources.**",
            "**.note",
            "note",
            "pkce_note",
            "**.setup.**",
            "setup.**",
            "parameters.*.label",
            "parameters.*.description",
            "parameters.*.found_at",
            "parameters.*.example",
            "**.optional.*",
            "**.needs_scope",
            "scopes.suggested.**",
            "refresh.issued",
            "refresh.requires.**",
            "revocation.effect",
            "revocation.manual",
            "errors.*.meaning",
            "errors.*.action",
            "errors.*.status",
            "errors.*.where",
            "errors.*.where.*",
            "expiry_signals.*.sample",
            "lookup.choose",
        ],
    ),
    (
        "for readers of the files: the build leaves them out",
        &["evidence.**", "variants.**"],
    ),
    (
        "the names of a file, which the one in its place can't have",
        &["id", "aliases.**"],
    ),
    (
        "nothing in the library reads them",
        &[
            "client.token_prefixes.**",
            "client.secret_lifetime",
            "assertion.optional",
            "scopes.set_on_app",
            "scopes.omit_empty",
            "scopes.if_supported.**",
            "discovery.order.**",
            "discovery.url_known",
            "reply.**.may_be_missing",
            "resource.others.*.hosts.**",
        ],
    ),
];

/// Values that say what holds without them: taking them away changes nothing.
const BY_DEFAULT: [(&str, &[&str]); 20] = [
    ("pkce", &["required", "supported", "tolerated", "unknown"]),
    ("errors.*.condemns", &["nothing"]),
    ("account.method", &["GET"]),
    ("lookup.method", &["GET"]),
    ("**.method", &["POST"]),
    ("**.body", &["form"]),
    ("**.headers.Accept", &["application/json"]),
    ("redirect.match", &["exact"]),
    ("refresh.rotates", &["unknown"]),
    ("reply.*.unit", &["seconds"]),
    ("reply.expires.source", &["reply"]),
    ("reply.expires.path", &["expires_in"]),
    ("scopes.separator", &[" "]),
    ("scopes.reply_separator", &[" ", ","]),
    ("assertion.use", &["bearer"]),
    ("assertion.key", &["private_key"]),
    ("api.token_header", &["Authorization"]),
    ("api.token_scheme", &["Bearer"]),
    ("revocation.token", &["either", "refresh_token"]),
    ("revocation.kind", &["rfc7009", "none"]),
];

/// Words of which a field has one: each other one is put in its place. `*` before a name: wherever it stands.
const WORDS: [(&str, &[&str]); 16] = [
    ("*account.source", &["reply", "id_token"]),
    ("*expires.source", &["reply", "none"]),
    ("*.unit", &["seconds", "milliseconds", "unix", "iso8601"]),
    ("*revocation.kind", &["rfc7009", "custom", "none"]),
    ("*revocation.token", &["refresh_token", "access_token"]),
    ("*refresh.rotates", &["always", "never"]),
    ("*refresh.grace", &["first_use", "unlimited"]),
    ("*.means", &["expired", "scope", "consent", "other"]),
    ("*.condemns", &["grant", "client", "nothing"]),
    (
        "*.authentication",
        &[
            "client_secret_basic",
            "client_secret_post",
            "none",
            "bearer",
        ],
    ),
    (
        "*.client_authentication",
        &["client_secret_basic", "client_secret_post", "none"],
    ),
    ("*.body", &["form", "json", "none"]),
    ("*.method", &["GET", "POST"]),
    ("*redirect.match", &["exact", "prefix", "host", "any"]),
    ("*resource.parameter", &["resource", "audience", "scope"]),
    ("*assertion.use", &["grant", "bearer"]),
];

/// A provider file with one field otherwise.
pub(super) struct Mutant {
    /// The field, and what was done to it.
    pub(super) what: String,
    /// The grant that it belongs to; `None`: the whole file.
    pub(super) grant_type: Option<GrantType>,
    pub(super) file: Value,
}

/// All mutants of a file.
pub(super) fn of(file: &Value) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    walk(file, file, &mut Vec::new(), &mut mutants);
    mutants
}

fn walk(file: &Value, value: &Value, path: &mut Vec<String>, mutants: &mut Vec<Mutant>) {
    let field = Field::at(path);
    if field.is("revocation.success") && is_2xx(value) {
        // That is success anyway.
        return;
    }
    if field.is_left() || field.is("errors.*") && is_of_another_place(value) {
        return;
    }
    let mut put = |what: &str, value: Option<Value>| {
        mutants.push(Mutant {
            what: format!("{} {what}", path.join(".")),
            grant_type: field.grant_type,
            file: with(file, path, value),
        });
    };
    let leaf = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(_) => true,
        _ => true,
    };
    if leaf && !path.is_empty() && !field.is_default(value) && !field.is_item() {
        put("taken away", None);
    }
    for (what, other) in field.others(value) {
        if field.is("revocation.kind") && other == "rfc7009" && has_no_body(file, path) {
            // The two kinds differ in what the body holds.
            continue;
        }
        put(&what, Some(other));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                walk(file, value, path, mutants);
                path.pop();
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(index);
                if items.len() > 1 {
                    put(&format!("without its item {index}"), Some(fewer.into()));
                }
            }
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                walk(file, item, path, mutants);
                path.pop();
            }
        }
        _ => {}
    }
}

fn is_2xx(status: &Value) -> bool {
    status
        .as_u64()
        .is_some_and(|status| (200..300).contains(&status))
}

/// Whether the request that has the field at `path` says that it has no body.
fn has_no_body(file: &Value, path: &[String]) -> bool {
    let parents = &path[..path.len() - 1];
    let request = parents.iter().try_fold(file, |place, step| place.get(step));
    request.is_some_and(|request| request["body"] == "none")
}

/// Whether an error is seen elsewhere than at the token endpoint: then its entry is words, and no more.
fn is_of_another_place(error: &Value) -> bool {
    match error.get("where") {
        None => false,
        Some(Value::Array(places)) => !places.iter().any(|place| place == "token"),
        Some(place) => place != "token",
    }
}

/// `file` with another value at `path`, or without one.
fn with(file: &Value, path: &[String], value: Option<Value>) -> Value {
    let mut changed = file.clone();
    let (last, parents) = path.split_last().expect("no mutant of the whole file");
    let mut place = &mut changed;
    for step in parents {
        place = match place {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            place => &mut place[step],
        };
    }
    match (place, value) {
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        (Value::Object(fields), Some(value)) => {
            fields.insert(last.clone(), value);
        }
        (Value::Object(fields), None) => {
            fields.remove(last);
        }
        _ => unreachable!("an item is never taken away alone"),
    }
    changed
}

/// A field by its path below its grant.
struct Field {
    grant_type: Option<GrantType>,
    path: Vec<String>,
}

impl Field {
    fn at(path: &[String]) -> Self {
        match path {
            [grants, grant_type, rest @ ..] if grants == "grants" => Self {
                grant_type: GrantType::parse(grant_type),
                path: rest.to_vec(),
            },
            path => Self {
                grant_type: None,
                path: path.to_vec(),
            },
        }
    }

    fn is_left(&self) -> bool {
        let of_service = self.grant_type == Some(GrantType::ClientCredentials);
        if of_service && self.is("account.**") {
            // Nobody asks whose account a service's token is for.
            return true;
        }
        LEFT.iter()
            .flat_map(|(_, patterns)| *patterns)
            .any(|pattern| self.is(pattern))
    }

    fn is_default(&self, value: &Value) -> bool {
        if self.is("expiry_signals") {
            return is_any_401(value);
        }
        let says = |values: &[&str]| value.as_str().is_some_and(|value| values.contains(&value));
        BY_DEFAULT
            .iter()
            .any(|(pattern, values)| self.is(pattern) && says(values))
    }

    /// Whether it is an item of a list.
    fn is_item(&self) -> bool {
        let last = self.path.last();
        last.is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
            && !self.is("errors.*")
    }

    fn is(&self, pattern: &str) -> bool {
        let pattern: Vec<&str> = pattern.split('.').collect();
        matches(&pattern, &self.path)
    }

    /// The path without the places of items.
    fn name(&self) -> String {
        let names = self
            .path
            .iter()
            .filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit()));
        names.cloned().collect::<Vec<_>>().join(".")
    }

    /// What else could stand here, and in words what was done.
    fn others(&self, value: &Value) -> Vec<(String, Value)> {
        let other = |other: Value| (format!("is {other}"), other);
        match value {
            Value::Bool(flag) => vec![other((!flag).into())],
            Value::Number(number) => {
                let Some(number) = number.as_i64() else {
                    return vec![other(json!(number.as_f64().unwrap_or(0.0) + 1.0))];
                };
                vec![other((number + 1).into()), other((number - 1).into())]
            }
            Value::String(text) => self.other_texts(text).into_iter().map(other).collect(),
            Value::Array(items) if self.name().ends_with("authentication") && items.len() > 1 => {
                let mut turned = items.clone();
                turned.reverse();
                vec![other(turned.into())]
            }
            _ => Vec::new(),
        }
    }

    fn other_texts(&self, text: &str) -> Vec<Value> {
        let name = self.name();
        let closed = WORDS.iter().find(|(field, _)| {
            let field = field.trim_start_matches('*');
            name.ends_with(field) || format!(".{name}").ends_with(field)
        });
        let words: Vec<&str> = if name == "pkce" {
            match text {
                "never" => vec!["supported"],
                "public_clients" => vec!["never", "supported"],
                _ => vec!["never"],
            }
        } else if let Some((_, words)) = closed {
            words.to_vec()
        } else if self.is_pattern() {
            return vec![json!("[\\s\\S]*"), json!("[^\\s\\S]")];
        } else if let Some(rest) = text.strip_prefix("https://") {
            return vec![
                json!(format!("https://x.{rest}")),
                json!(format!("{text}/x")),
            ];
        } else {
            return vec![json!(format!("{text}x"))];
        };
        let others = words.into_iter().filter(|word| *word != text);
        others.map(Value::from).collect()
    }

    fn is_pattern(&self) -> bool {
        [
            "**.pattern",
            "client.id_pattern",
            "scopes.allowed.*",
            "scopes.denied.*",
            "expiry_signals.*.header",
            "expiry_signals.*.body",
        ]
        .iter()
        .any(|pattern| self.is(pattern))
    }
}

/// Whether signals say what holds without any: a 401 means that the token ended.
fn is_any_401(signals: &Value) -> bool {
    let [signal] = signals.as_array().map_or(&[][..], Vec::as_slice) else {
        return false;
    };
    let decides = ["path", "header", "body"];
    signal["status"] == 401
        && signal["means"] == "expired"
        && decides.iter().all(|field| signal.get(field).is_none())
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], path) => {
            (0..=path.len()).any(|skipped| matches(rest, &path[skipped..]))
        }
        (["*", pattern @ ..], [_, path @ ..]) => matches(pattern, path),
        ([name, pattern @ ..], [own, path @ ..]) => name == own && matches(pattern, path),
        _ => false,
    }
}
