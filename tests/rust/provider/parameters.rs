//! Parameters and the templates that they fill.

use std::collections::BTreeMap;

use _core::provider::Overrides;
use _core::provider::catalog::Catalog;
use _core::provider::parameters::fill;
use proptest::prelude::*;

use super::{SERVICE, USER, map, spec_of};

const SAMPLE: &str = "
id: sample
name: Sample
category: other
summary: A provider with parameters.
parameters:
  instance: {label: Instance, example: acme}
  version: {optional: true}
  cloud:
    default: eu
    choices: {eu: {login: eu.example.com}, us: {login: us.example.com, extra: x}}
  tier: {default: free, choices: [free, paid]}
  open: {optional: true, choices: [one, two], pattern: '[a-z]{5}'}
  label: {optional: true}
  key: {optional: true, secret: true, pattern: '[0-9]+'}
endpoints:
  authorization_endpoint: https://{login}/authorize
  token_endpoint: https://{login}/token
  userinfo_endpoint: https://{login}/{version}/userinfo
  revocation_endpoint: https://{extra}.example.com/revoke
client: {authentication: [client_secret_post]}
grants: {authorization_code: {refresh: {}}}
scopes: {base: ['https://{instance}.example.com/read']}
reply: {keep: {instance: site, shard: {path: shard, pattern: '[a-z0-9.-]+\\.example\\.com'}, wild: wild}}
account: {url: 'https://{instance}.example.com/me'}
api: {hosts: ['{instance}.example.com', '{shard}', '{wild}'], headers: {X-Label: '{label}'}}
";

fn refused(given: &[(&str, &str)]) -> _core::error::Error {
    spec_of(&[SAMPLE], USER, given).unwrap_err()
}

#[test]
fn templates_are_filled_with_given_values_defaults_and_what_choices_set() {
    let spec = spec_of(&[SAMPLE], USER, &[("instance", "acme"), ("cloud", "us")]).unwrap();
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://us.example.com/token")
    );
    assert_eq!(
        spec.endpoints.revocation_endpoint.as_deref(),
        Some("https://x.example.com/revoke")
    );
    assert_eq!(spec.scopes.base, ["https://acme.example.com/read"]);
    assert_eq!(spec.api.hosts, ["acme.example.com"]);
    assert_eq!(spec.values["tier"], "free");
}

#[test]
fn an_endpoint_whose_name_a_choice_does_not_set_is_not_there() {
    let spec = spec_of(&[SAMPLE], USER, &[("instance", "acme")]).unwrap();
    assert_eq!(spec.endpoints.revocation_endpoint, None);
    assert_eq!(spec.endpoints.userinfo_endpoint, None);
}

#[test]
fn an_empty_value_goes_back_to_the_default() {
    let spec = spec_of(&[SAMPLE], USER, &[("instance", "acme"), ("cloud", "")]).unwrap();
    assert_eq!(spec.values["cloud"], "eu");
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest_name() {
    let error = refused(&[("instanc", "acme")]);
    assert_eq!(error.code(), "unknown_parameter");
    assert_eq!(
        error.next_command(),
        Some("evergrant configure sample --parameter instance=VALUE")
    );
}

#[test]
fn a_name_that_only_a_choice_sets_cannot_be_given() {
    assert_eq!(
        refused(&[("instance", "acme"), ("login", "evil.example")]).code(),
        "unknown_parameter"
    );
}

#[test]
fn a_parameter_in_a_host_is_one_label_unless_the_file_says_otherwise() {
    for value in [
        "evil.example/",
        "evil.example",
        "a@b",
        "a:1",
        "a/b",
        "a#",
        "a?",
        "-a",
        "a-",
        "a b",
        "a\nb",
        "\u{e9}",
        &"a".repeat(64),
    ] {
        let error = refused(&[("instance", value)]);
        assert_eq!(error.code(), "invalid_parameter_value", "{value:?}");
        assert_eq!(
            error.next_command(),
            Some("evergrant configure sample --parameter instance=acme")
        );
    }
}

#[test]
fn a_parameter_in_a_path_is_one_segment_unless_the_file_says_otherwise() {
    for value in ["..", ".", "a/b", "a?b", "a#b", "%2e%2e", "a\\b"] {
        assert_eq!(
            refused(&[("instance", "acme"), ("version", value)]).code(),
            "invalid_parameter_value",
            "{value}"
        );
    }
    let spec = spec_of(
        &[SAMPLE],
        USER,
        &[("instance", "acme"), ("version", "v2.0_a")],
    )
    .unwrap();
    assert_eq!(
        spec.endpoints.userinfo_endpoint.as_deref(),
        Some("https://eu.example.com/v2.0_a/userinfo")
    );
}

#[test]
fn a_parameter_in_several_places_has_to_fit_the_strictest() {
    let text = SAMPLE.replace(
        "{label: Instance, example: acme}",
        "{label: Instance, example: acme, optional: true}",
    );
    let text = text.replace(
        "https://{login}/token",
        "https://{login}/{instance}/token?site={instance}",
    );
    assert_eq!(
        spec_of(&[&text], USER, &[("instance", "a_b")])
            .unwrap_err()
            .code(),
        "invalid_parameter_value"
    );
    let elsewhere = text
        .replace(
            "https://{instance}.example.com/me",
            "https://example.com/me",
        )
        .replace("'{instance}.example.com', ", "");
    let elsewhere = elsewhere.replace("['https://{instance}.example.com/read']", "[]");
    assert!(spec_of(&[&elsewhere], USER, &[("instance", "a_b")]).is_ok());
    assert!(spec_of(&[&elsewhere], USER, &[("instance", "a/b")]).is_err());
}

#[test]
fn a_parameter_that_is_neither_in_host_nor_path_is_any_text_of_one_line() {
    assert!(
        spec_of(
            &[SAMPLE],
            USER,
            &[("instance", "acme"), ("label", "any / text: %")]
        )
        .is_ok()
    );
    assert_eq!(
        refused(&[("instance", "acme"), ("label", "a\r\nX-Evil: 1")]).code(),
        "invalid_parameter_value"
    );
}

#[test]
fn choices_are_closed_unless_there_is_a_pattern() {
    assert!(
        refused(&[("instance", "acme"), ("tier", "gold")])
            .reason()
            .contains("one of free, paid")
    );
    assert!(
        refused(&[("instance", "acme"), ("cloud", "mars")])
            .reason()
            .contains("one of eu, us")
    );
    assert!(spec_of(&[SAMPLE], USER, &[("instance", "acme"), ("open", "three")]).is_ok());
    assert_eq!(
        refused(&[("instance", "acme"), ("open", "four")]).code(),
        "invalid_parameter_value"
    );
}

#[test]
fn a_refused_value_is_not_repeated_since_it_may_be_secret() {
    let error = refused(&[("instance", "acme"), ("key", "hunter2")]);
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn values_do_not_show_in_debug_output() {
    let spec = spec_of(&[SAMPLE], USER, &[("instance", "acme"), ("key", "31337")]).unwrap();
    assert!(!format!("{spec:?}").contains("31337"));
    let overrides = Overrides {
        parameters: map(&[("key", "31337")]),
        ..Overrides::default()
    };
    assert!(!format!("{overrides:?}").contains("31337"));
}

#[test]
fn microsoft_takes_a_tenant_by_id_or_domain_and_nothing_else() {
    let tenant = |grant_type, value: &str| {
        let overrides = Overrides {
            parameters: map(&[("tenant", value)]),
            ..Overrides::default()
        };
        Catalog::builtin()
            .find("microsoft_graph")
            .unwrap()
            .spec(grant_type, &overrides)
    };
    for value in [
        "common",
        "organizations",
        "9188040d-6c67-4c5b-b112-36a304b66dad",
        "contoso.onmicrosoft.com",
    ] {
        assert!(tenant(USER, value).is_ok(), "{value}");
    }
    for value in [
        "contoso",
        "../evil",
        "common/../x",
        "a.b/c",
        "a.b?c",
        "a.b#c",
    ] {
        assert_eq!(
            tenant(USER, value).unwrap_err().code(),
            "invalid_parameter_value",
            "{value}"
        );
    }
    let error = tenant(SERVICE, "common").unwrap_err();
    assert!(
        error.reason().contains("shared names are refused"),
        "{error}"
    );
}

#[test]
fn a_missing_parameter_is_named_with_the_command_that_sets_it() {
    let error = Catalog::builtin()
        .find("microsoft")
        .unwrap()
        .spec(SERVICE, &Overrides::default())
        .unwrap_err();
    assert_eq!(error.code(), "missing_parameter");
    assert!(error.reason().contains("`tenant`"), "{error}");
    assert_eq!(
        error.next_command(),
        Some("evergrant configure microsoft_graph --parameter tenant=contoso.onmicrosoft.com")
    );
}

#[test]
fn a_national_cloud_moves_sign_in_and_api_together() {
    let overrides = Overrides {
        parameters: map(&[("cloud", "us_gov_high")]),
        ..Overrides::default()
    };
    let spec = Catalog::builtin()
        .find("microsoft_graph")
        .unwrap()
        .spec(USER, &overrides)
        .unwrap();
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://login.microsoftonline.us/common/oauth2/v2.0/token")
    );
    assert_eq!(spec.api.hosts, ["graph.microsoft.us"]);
    assert_eq!(
        spec.resource.unwrap().default.as_deref(),
        Some("https://graph.microsoft.us")
    );
}

#[test]
fn a_kept_value_replaces_the_parameter_that_it_fits() {
    let hosts = |kept: &[(&str, &str)]| {
        let (_folder, catalog) = super::with_files(&[SAMPLE]);
        let overrides = Overrides {
            parameters: map(&[("instance", "acme")]),
            ..Overrides::default()
        };
        let provider = catalog.unwrap().find("sample").unwrap();
        provider
            .spec_with_kept(USER, &overrides, &map(kept))
            .unwrap()
            .api
            .hosts
    };
    assert_eq!(hosts(&[("instance", "other")]), ["other.example.com"]);
    assert_eq!(hosts(&[("instance", "evil.org/")]), ["acme.example.com"]);
    assert_eq!(
        hosts(&[("shard", "s1.example.com")]),
        ["acme.example.com", "s1.example.com"]
    );
    assert_eq!(
        hosts(&[("shard", "s1.example.com.evil.org")]),
        ["acme.example.com"]
    );
    assert_eq!(hosts(&[("unknown", "x")]), ["acme.example.com"]);
}

#[test]
fn a_kept_value_enters_a_host_only_with_a_pattern_in_the_file() {
    let (_folder, catalog) = super::with_files(&[SAMPLE]);
    let overrides = Overrides {
        parameters: map(&[("instance", "acme")]),
        ..Overrides::default()
    };
    let provider = catalog.unwrap().find("sample").unwrap();
    let spec = provider
        .spec_with_kept(USER, &overrides, &map(&[("wild", "evil")]))
        .unwrap();
    assert_eq!(spec.api.hosts, ["acme.example.com"]);
}

#[test]
fn a_parameter_that_the_sign_in_brings_may_be_missing_before_it() {
    let spec = spec_of(
        &[&SAMPLE.replace(
            "scopes: {base: ['https://{instance}.example.com/read']}",
            "",
        )],
        USER,
        &[],
    )
    .unwrap();
    assert!(spec.api.hosts.is_empty());
}

#[test]
fn a_parameter_that_is_a_whole_url_needs_a_pattern_and_counts_by_its_host() {
    let file = |pattern: &str| {
        format!(
            "id: sample\nname: Sample\ncategory: other\nsummary: Hosted by its customers.\n\
             parameters: {{server: {{{pattern}}}}}\n\
             endpoints: {{authorization_endpoint: '{{server}}/authorize', token_endpoint: '{{server}}/token'}}\n\
             client: {{authentication: [none]}}\ngrants: {{authorization_code: {{}}}}\napi: {{hosts: ['{{server}}']}}\n"
        )
    };
    let given = [("server", "https://git.example.com:8443/base")];
    let spec = spec_of(&[&file("pattern: 'https?://[^ ]+'")], USER, &given).unwrap();
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://git.example.com:8443/base/token")
    );
    assert_eq!(spec.api.hosts, ["git.example.com:8443"]);
    for unsafe_value in [
        "http://git.example.com",
        "https://me@git.example.com",
        "https://git.example.com/#",
    ] {
        let error = spec_of(
            &[&file("pattern: 'https?://[^ ]+'")],
            USER,
            &[("server", unsafe_value)],
        )
        .unwrap_err();
        assert_eq!(error.code(), "invalid_url", "{unsafe_value}");
    }
    assert_eq!(
        spec_of(&[&file("")], USER, &given).unwrap_err().code(),
        "invalid_parameter_value"
    );
}

proptest! {
    #[test]
    fn fill_never_panics_and_leaves_text_without_names_alone(template in "[{}a-z\u{e9} A-Z]{0,20}") {
        let filled = fill(&template, &|_| Some("!".to_owned())).unwrap().unwrap();
        if filled.contains('!') {
            let braces = template.contains('{') && template.contains('}');
            prop_assert!(braces);
        } else {
            prop_assert_eq!(filled, template);
        }
    }
}

#[test]
fn fill_leaves_out_what_is_unknown_and_braces_that_are_no_names() {
    let values: BTreeMap<&str, &str> = BTreeMap::from([("a", "1"), ("b_2", "2")]);
    let fill = |template| {
        fill(template, &|name| {
            values.get(name).map(|value| (*value).to_owned())
        })
        .unwrap()
    };
    assert_eq!(fill("{a}-{b_2}").as_deref(), Some("1-2"));
    assert_eq!(fill("{a}{missing}"), None);
    assert_eq!(
        fill("query { viewer { login } } {A} {} {{a}}").as_deref(),
        Some("query { viewer { login } } {A} {} {1}")
    );
    assert_eq!(fill("open {a").as_deref(), Some("open {a"));
}

#[test]
fn fill_does_not_fill_what_it_filled_in() {
    assert_eq!(
        fill("{a}", &|_| Some("{a}".into())).unwrap().as_deref(),
        Some("{a}")
    );
}

#[test]
fn fill_refuses_a_value_that_could_end_a_header() {
    let error = fill("Bearer {a}", &|_| Some("x\r\nX-Evil: 1".into())).unwrap_err();
    assert_eq!(error.code(), "invalid_parameter_value");
}
