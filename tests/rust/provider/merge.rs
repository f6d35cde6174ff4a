//! The merge rule of `extends` and of grants, rule by rule.

use _core::provider::{Grace, Lifetime};

use super::{SERVICE, USER, spec_of, with_files};

const PARENT: &str = "
id: parent
name: Parent
category: other
summary: The provider above.
aliases: [elder]
status: beta
links: {api: https://docs.example.com/api}
sources: [https://docs.example.com/oauth]
parameters:
  region: {default: eu, description: Where it runs, pattern: '[a-z]{2}'}
endpoints:
  authorization_endpoint: https://id.example.com/authorize
  token_endpoint: https://id.example.com/token
  revocation_endpoint: https://id.example.com/revoke
client: {authentication: [client_secret_post, client_secret_basic]}
token_request: {headers: {Accept: application/json, X-Version: '1'}, parameters: {version: 2}}
grants:
  authorization_code:
    refresh: {rotates: always, grace: 30, headers: {X-Version: '2'}}
    scopes: {base: [read]}
    lifetimes: {refresh_token: 1000}
  client_credentials:
    lifetimes: {access_token: 60}
scopes:
  allowed: ['[a-z]+']
  suggested: {read: Reads., write: Writes.}
lifetimes: {access_token: 3600, margin_cap: 100}
api: {hosts: [api.example.com], headers: {X-One: '1'}}
errors: {old_error: {meaning: An old one., condemns: grant}}
";

/// A child of `PARENT` with more fields.
fn child(fields: &str) -> String {
    format!(
        "id: sample\nextends: parent\nname: Sample\ncategory: other\nsummary: The provider below.\n{fields}"
    )
}

#[test]
fn maps_merge_and_plain_values_replace() {
    let child = child("api: {headers: {X-Two: '2'}}\nlifetimes: {access_token: 10}\n");
    let spec = spec_of(&[PARENT, &child], USER, &[]).unwrap();
    assert_eq!(spec.api.headers.len(), 2);
    assert_eq!(spec.api.hosts, ["api.example.com"]);
    assert!(matches!(
        spec.lifetimes.access_token,
        Some(Lifetime::Seconds(10.0))
    ));
    assert_eq!(spec.lifetimes.margin_cap, Some(100.0));
}

#[test]
fn lists_replace() {
    let spec = spec_of(
        &[PARENT, &child("client: {authentication: [none]}\n")],
        USER,
        &[],
    )
    .unwrap();
    assert_eq!(spec.client.authentication.len(), 1);
}

#[test]
fn suggested_scopes_replace_although_they_look_like_a_map() {
    let spec = spec_of(
        &[PARENT, &child("scopes: {suggested: {list: Lists.}}\n")],
        USER,
        &[],
    )
    .unwrap();
    assert_eq!(spec.scopes.suggested.keys().collect::<Vec<_>>(), ["list"]);
    assert_eq!(spec.scopes.allowed, ["[a-z]+"]);
}

#[test]
fn null_overrides_and_counts_as_absent() {
    let child =
        child("endpoints: {revocation_endpoint: null}\ngrants: {client_credentials: null}\n");
    let spec = spec_of(&[PARENT, &child], USER, &[]).unwrap();
    assert_eq!(spec.endpoints.revocation_endpoint, None);
    assert_eq!(
        spec_of(&[PARENT, &child], SERVICE, &[]).unwrap_err().code(),
        "grant_type_unknown"
    );
}

#[test]
fn a_map_over_null_starts_anew() {
    let middle =
        "id: middle\nextends: parent\nname: M\ncategory: other\nsummary: In between.\napi: null\n";
    let child = child("api: {hosts: [other.example.com]}\n").replace("parent", "middle");
    let spec = spec_of(&[PARENT, middle, &child], USER, &[]).unwrap();
    assert_eq!(spec.api.hosts, ["other.example.com"]);
    assert!(spec.api.headers.is_empty());
}

#[test]
fn what_names_a_provider_is_not_inherited() {
    let (_folder, catalog) = with_files(&[PARENT, &child("")]);
    let catalog = catalog.unwrap();
    let provider = catalog.find("sample").unwrap();
    assert_eq!(catalog.find("elder").unwrap().id, "parent");
    assert!(
        provider.aliases.is_empty() && provider.links.is_empty() && provider.sources.is_empty()
    );
    assert_eq!(provider.status, None);
    assert_eq!(provider.extends.as_deref(), Some("parent"));
}

#[test]
fn a_name_is_not_inherited_so_it_has_to_be_given() {
    let nameless = child("").replace("name: Sample\n", "");
    let error = spec_of(&[PARENT, &nameless], USER, &[]).unwrap_err();
    assert!(error.reason().contains("missing field `name`"), "{error}");
}

#[test]
fn errors_of_child_and_parent_are_both_known() {
    let child = child("errors: {new_error: {meaning: A new one.}}\n");
    let spec = spec_of(&[PARENT, &child], USER, &[]).unwrap();
    assert_eq!(
        spec.errors.keys().collect::<Vec<_>>(),
        ["new_error", "old_error"]
    );
}

#[test]
fn a_section_of_a_grant_merges_over_the_providers() {
    let user = spec_of(&[PARENT, &child("")], USER, &[]).unwrap();
    assert!(matches!(
        user.lifetimes.access_token,
        Some(Lifetime::Seconds(3600.0))
    ));
    assert!(matches!(
        user.lifetimes.refresh_token,
        Some(Lifetime::Seconds(1000.0))
    ));
    assert_eq!(user.scopes.base, ["read"]);
    assert_eq!(user.scopes.allowed, ["[a-z]+"]);
    let service = spec_of(&[PARENT, &child("")], SERVICE, &[]).unwrap();
    assert!(matches!(
        service.lifetimes.access_token,
        Some(Lifetime::Seconds(60.0))
    ));
    assert!(service.lifetimes.refresh_token.is_none());
    assert!(service.scopes.base.is_empty());
}

#[test]
fn null_in_a_section_of_a_grant_overrides_the_providers() {
    let child = child("grants: {authorization_code: {lifetimes: {margin_cap: null}}}\n");
    let spec = spec_of(&[PARENT, &child], USER, &[]).unwrap();
    assert_eq!(spec.lifetimes.margin_cap, None);
}

#[test]
fn code_exchange_and_refresh_stand_over_the_defaults_of_token_requests() {
    let spec = spec_of(&[PARENT, &child("")], USER, &[]).unwrap();
    assert_eq!(spec.token.headers["X-Version"], "1");
    let refresh = spec.refresh.unwrap();
    assert_eq!(refresh.request.headers["X-Version"], "2");
    assert_eq!(refresh.request.headers["Accept"], "application/json");
    assert_eq!(refresh.request.parameters["version"], "2");
    assert_eq!(refresh.grace, Grace::Seconds(30.0));
}

#[test]
fn no_refresh_in_the_file_means_none_even_with_defaults_of_token_requests() {
    let child = child("grants: {authorization_code: {refresh: null}}\n");
    assert!(
        spec_of(&[PARENT, &child], USER, &[])
            .unwrap()
            .refresh
            .is_none()
    );
}

#[test]
fn a_users_file_may_extend_a_built_in_provider() {
    let child = child("api: {hosts: [gist.github.com]}\n").replace("parent", "github");
    let spec = spec_of(&[&child], USER, &[]).unwrap();
    assert_eq!(spec.api.hosts, ["gist.github.com"]);
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://github.com/login/oauth/access_token")
    );
}

#[test]
fn a_parent_may_be_named_by_its_alias() {
    let child = child("").replace("parent", "gmail");
    let spec = spec_of(&[&child], USER, &[]).unwrap();
    assert!(spec.api.hosts.contains(&"gmail.googleapis.com".to_owned()));
}

#[test]
fn providers_that_extend_each_other_are_refused() {
    let one = child("").replace("parent", "other");
    let other = child("")
        .replace("parent", "sample")
        .replace("id: sample", "id: other");
    let error = spec_of(&[&one, &other], USER, &[]).unwrap_err();
    assert!(error.reason().contains("extends it in turn"), "{error}");
}

#[test]
fn extending_what_is_not_there_names_the_nearest() {
    let error = spec_of(&[&child("").replace("parent", "githab")], USER, &[]).unwrap_err();
    assert_eq!(error.code(), "unknown_provider");
    assert!(error.reason().contains("github"), "{error}");
}

#[test]
fn words_that_yaml_bends_stay_text() {
    let child = child("api: {headers: {A: no, B: on, C: 'y', D: '010', E: 010}}\n");
    let spec = spec_of(&[PARENT, &child], USER, &[]).unwrap();
    let headers: Vec<&str> = ["A", "B", "C", "D", "E"]
        .iter()
        .map(|name| spec.api.headers[*name].as_str())
        .collect();
    assert_eq!(headers, ["no", "on", "y", "010", "010"]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let error = spec_of(&[PARENT, &child("api: {}\napi: {}\n")], USER, &[]).unwrap_err();
    assert!(error.reason().contains("duplicate"), "{error}");
}
