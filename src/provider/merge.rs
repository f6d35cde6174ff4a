//! The merge of provider files, and of what is said once for both grants. The build uses it too: a look-up of a built-in
//! provider merges nothing.

use serde_json::{Map, Value};

/// Fields of a provider itself, never inherited.
pub(super) const OWN: [&str; 10] = [
    "id", "extends", "aliases", "name", "category", "status", "summary", "links", "notes",
    "sources",
];

/// More fields that are not inherited, since nothing reads them: they speak of one file.
pub(super) const UNREAD: [&str; 2] = ["evidence", "variants"];

/// Sections that a grant may repeat; there they merge over the provider's.
pub(super) const PER_GRANT: [&str; 10] = [
    "parameters",
    "client",
    "token_request",
    "scopes",
    "resource",
    "reply",
    "lifetimes",
    "lookup",
    "account",
    "revocation",
];

/// `child` over the provider it extends.
pub(super) fn extend(parent: Value, child: Value) -> Value {
    let mut inherited = parent;
    if let Value::Object(fields) = &mut inherited {
        fields.retain(|name, _| !OWN.contains(&name.as_str()) && !UNREAD.contains(&name.as_str()));
    }
    merge("", &mut inherited, child);
    inherited
}

/// Lays `over` over `base`, which stand under the key `section`: maps merge; lists and plain values replace, and so does
/// `scopes.suggested`, a list that happens to have meanings; `null` overrides.
fn merge(section: &str, base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                match base.get_mut(&name) {
                    Some(inherited) if (section, name.as_str()) != ("scopes", "suggested") => {
                        merge(&name, inherited, value);
                    }
                    _ => {
                        base.insert(name, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// One grant of a provider as a single map: the provider's sections, the grant's over them, and the grant's own fields.
/// `None` when the provider does not have the grant. Nulls are gone: they count as absent when read.
pub(super) fn flatten(provider: &Value, grant_type: &str) -> Option<Value> {
    let grant = provider.get("grants")?.get(grant_type)?.as_object()?;
    let mut flat: Map<String, Value> = provider
        .as_object()?
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name != "grants" && !OWN.contains(&name) && !UNREAD.contains(&name)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in grant {
        match flat.get_mut(name) {
            Some(section) if PER_GRANT.contains(&name.as_str()) => {
                merge(name, section, value.clone());
            }
            _ => {
                flat.insert(name.clone(), value.clone());
            }
        }
    }
    let defaults = flat.remove("token_request").unwrap_or(Value::Null);
    let refresh = flat.remove("refresh").filter(|refresh| !refresh.is_null());
    if let Some(refresh) = refresh {
        let refresh = over_defaults(defaults.clone(), refresh);
        flat.insert("refresh".into(), refresh);
    }
    if let Some(Value::Object(device)) = flat.get_mut("device") {
        let poll = device.remove("poll").unwrap_or(Value::Null);
        device.insert("poll".into(), over_defaults(defaults.clone(), poll));
    }
    let token = flat.remove("token").unwrap_or(Value::Null);
    flat.insert("token".into(), over_defaults(defaults, token));
    let mut flat = Value::Object(flat);
    drop_nulls(&mut flat);
    Some(flat)
}

/// A request over the defaults of its endpoint.
fn over_defaults(defaults: Value, request: Value) -> Value {
    match (defaults.is_null(), request.is_null()) {
        (true, true) => Value::Object(Map::new()),
        (true, false) => request,
        (false, true) => defaults,
        (false, false) => {
            let mut merged = defaults;
            merge("token_request", &mut merged, request);
            merged
        }
    }
}

/// The fields of a provider itself, without those that are null.
pub(super) fn own(provider: &Value) -> Value {
    let fields = provider.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| OWN.contains(&name.as_str()));
    let mut own = Value::Object(
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    drop_nulls(&mut own);
    own
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|_, value| {
            drop_nulls(value);
            !value.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
