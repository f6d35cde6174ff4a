//! What is handed out beside a token: the values that its grant keeps, and what every call of the API needs.

use std::collections::BTreeMap;

use crate::http::USER_AGENT;
use crate::model::Grant;
use crate::provider::{Spec, parameters};

/// Before the name of a header that the API wants beside the token.
const HEADER: &str = "header.";
/// The header that carries the token, where it is not `Authorization`.
const TOKEN_HEADER: &str = "token_header";

/// The values kept from sign-in and replies, under their names; each header that the API wants as `header.NAME`; and
/// `token_header`, where the token itself goes into another header than `Authorization`.
pub(crate) fn extra(grant: &Grant, spec: &Spec) -> BTreeMap<String, String> {
    let value = |name: &str| match name {
        "client_id" => Some(grant.client_id.clone()),
        "user_agent" => Some(USER_AGENT.to_owned()),
        name => grant.kept.get(name).or(spec.values.get(name)).cloned(),
    };
    let headers = spec.api.headers.iter().filter_map(|(name, template)| {
        // A value that is not known leaves its header out, and so does one that would break it.
        let filled = parameters::fill(template, &value).ok().flatten()?;
        Some((format!("{HEADER}{name}"), filled))
    });
    let token_header = spec.api.token_header.iter();
    grant
        .kept
        .clone()
        .into_iter()
        .chain(headers)
        .chain(token_header.map(|header| (TOKEN_HEADER.to_owned(), header.clone())))
        .collect()
}
