//! The merge of provider files. The build uses it too: the built-in files are merged there, so that a look-up parses one.

use serde_json::Value;

/// Fields of a provider itself, never inherited.
pub(super) const OWN: [&str; 10] = [
    "id", "extends", "aliases", "name", "category", "status", "summary", "links", "notes",
    "sources",
];

/// More fields that are not inherited, since nothing reads them: they speak of one file.
pub(super) const UNREAD: [&str; 2] = ["evidence", "variants"];

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
pub(super) fn merge(section: &str, base: &mut Value, over: Value) {
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
