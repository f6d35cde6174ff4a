//! Values that the token's reply does not hold and every call of the API needs: asked for once, with the first token.

use std::collections::BTreeMap;

use serde_json::Value;

use super::account::{Answer, Asking};
use super::{keep, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::http::HeaderMap;
use crate::provider::{LookupRules, Spec};

/// No error names more candidates.
const MOST_NAMED: usize = 10;

/// The look-up that is still due: none of a provider that has none, or whose values are known.
pub(super) fn due(spec: &Spec) -> Option<&LookupRules> {
    let known = |rules: &&LookupRules| {
        rules
            .keep
            .keys()
            .all(|name| spec.kept.contains(name.as_str()))
    };
    spec.lookup.as_ref().filter(|rules| !known(rules))
}

/// The values kept of the one candidate that the reply lists and the configuration does not rule out.
///
/// # Errors
/// `ProviderUnavailable`; `ProviderRejected` where the provider refuses, lists nothing, or lists several.
pub(super) async fn look_up(
    asking: Asking<'_>,
    rules: &LookupRules,
) -> Result<BTreeMap<String, String>> {
    let spec = asking.spec;
    let whole = match asking.ask(&rules.request, None, None).await? {
        Answer::Body(whole) => whole,
        Answer::Refused { reason, .. } => return Err(rejected(spec, "lookup_refused", reason)),
    };
    let listed;
    let candidates = match &rules.list {
        None => std::slice::from_ref(&whole),
        Some(path) => {
            listed = paths::find(&whole, path);
            listed
                .as_deref()
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice)
        }
    };
    let mut found: Vec<(&Value, BTreeMap<String, String>)> = candidates
        .iter()
        .filter(|candidate| {
            let is = |(field, value): (&String, &Value)| {
                paths::find(candidate, field).as_deref() == Some(value)
            };
            rules.matching.iter().all(is)
        })
        .map(|candidate| {
            let kept = keep::from_reply(&rules.keep, candidate, &HeaderMap::new());
            (candidate, kept)
        })
        .collect();
    if found.len() > 1 {
        // A parameter under the name of a kept value chooses.
        found.retain(|(_, kept)| {
            kept.iter().all(|(name, value)| {
                let chosen = spec.values.get(name);
                chosen.is_none_or(|chosen| chosen == value)
            })
        });
    }
    match found.len() {
        0 => Err(rejected(
            spec,
            "lookup_empty",
            format!("{} lists nothing that the token could be for", spec.name),
        )),
        1 => Ok(found.remove(0).1),
        _ => Err(several(spec, rules, &found)),
    }
}

fn several(
    spec: &Spec,
    rules: &LookupRules,
    found: &[(&Value, BTreeMap<String, String>)],
) -> Error {
    let choose = rules.choose.as_deref().unwrap_or_default();
    let names: Vec<String> = found
        .iter()
        .filter_map(|(candidate, _)| paths::text(&*paths::find(candidate, choose)?))
        .take(MOST_NAMED)
        .map(|name| super::clean_label(&name))
        .collect();
    // The kept value that a person knows it by.
    let field = |rule: &Value| {
        let path = rule.get("path").unwrap_or(rule);
        path.as_str() == Some(choose)
    };
    let parameter = rules.keep.iter().find(|(_, rule)| field(rule));
    let how = parameter.map_or(String::new(), |(name, _)| {
        format!(
            "; choose one: evergrant configure {} --parameter {name}=NAME",
            spec.id
        )
    });
    rejected(
        spec,
        "lookup_ambiguous",
        format!("{} lists several: {}{how}", spec.name, names.join(", ")),
    )
}

fn rejected(spec: &Spec, code: &'static str, reason: String) -> Error {
    let kind = ErrorKind::ProviderRejected {
        error: None,
        description: None,
    };
    Error::new(kind, code, reason).of_provider(&spec.id)
}
