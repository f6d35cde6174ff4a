//! What a template needs, read off without running it.

use _core::action::needs::{Need, hosts, needs};
use _core::action::template::Template;
use _core::model::GrantType;

/// A template with these secrets and one step for each of the URLs.
fn template(secrets: &str, urls: &[&str]) -> Template {
    let steps = urls.iter().enumerate().map(|(index, url)| {
        format!("    - {{ref: s{index}, action: core.http_request, args: {{method: GET, url: '{url}'}}}}\n")
    });
    let text = format!(
        "definition:\n  name: a\n  namespace: b\n  title: c\n  display_group: d\n  secrets: {secrets}\n  expects:\n    base: {{type: str, default: 'https://eu.example.com:8443/v1'}}\n    own: {{type: str | None, default: null}}\n  steps:\n{}  returns: x\n",
        String::from_iter(steps)
    );
    Template::parse(&text).unwrap()
}

fn hosts_of(url: &str) -> Vec<String> {
    hosts(&template("[]", &[url]))
}

#[test]
fn the_tokens_are_those_that_are_declared_in_their_order() {
    let template = template(
        "[{type: oauth, provider_id: google, grant_type: client_credentials, optional: true}, {name: s, keys: [K]}, {type: oauth, provider_id: github, grant_type: authorization_code}]",
        &["https://a.example"],
    );
    let need = |provider_id: &str, grant_type, is_optional| Need {
        provider_id: provider_id.to_owned(),
        grant_type,
        is_optional,
    };
    assert_eq!(
        needs(&template),
        [
            need("google", GrantType::ClientCredentials, true),
            need("github", GrantType::AuthorizationCode, false),
        ]
    );
}

#[test]
fn a_host_is_written_once_in_lower_case_and_without_the_schemes_port() {
    let urls = [
        "https://API.example.com:443/a?b=${{ inputs.own }}",
        "https://api.example.com/c",
        "http://127.0.0.1:8080/x",
    ];
    assert_eq!(
        hosts(&template("[]", &urls)),
        ["127.0.0.1:8080", "api.example.com"]
    );
}

#[test]
fn an_expression_before_a_domain_is_a_star() {
    for url in [
        "https://${{ inputs.own }}.example.com/x",
        "https://a-${{ inputs.own }}.${{ inputs.base }}.example.com",
    ] {
        assert_eq!(hosts_of(url), ["*.example.com"], "{url}");
    }
}

#[test]
fn an_expression_that_is_not_before_a_domain_is_shown_as_it_is_written() {
    let rows = [
        ("https://${{inputs.own}}.com/x", "${{ inputs.own }}.com"),
        (
            "https://api.${{ inputs.own }}:8443/x",
            "api.${{ inputs.own }}:8443",
        ),
        ("${{ inputs.own }}x/y", "${{ inputs.own }}x"),
    ];
    for (url, host) in rows {
        assert_eq!(hosts_of(url), [host], "{url}");
    }
}

#[test]
fn each_alternative_of_an_expression_counts_and_so_does_the_default_of_an_input() {
    let url = r#"${{ inputs.own || VARS.a.base_url || "https://api.example.com/v3" || None }}/x"#;
    assert_eq!(
        hosts_of(url),
        [
            "${{ VARS.a.base_url }}",
            "${{ inputs.own }}",
            "api.example.com"
        ]
    );
    let both = ["${{ inputs.base }}", "eu.example.com:8443"];
    assert_eq!(hosts_of("${{ inputs.base }}"), both);
    assert_eq!(hosts_of("https://${{ inputs.base }}/x"), both);
    let choice = r#"${{ "https://a.example" if inputs.own else "https://b.example" }}"#;
    assert_eq!(hosts_of(choice), ["a.example", "b.example"]);
}

#[test]
fn what_is_no_url_names_no_host() {
    for url in ["", "https://", "https://#x", "::", "https://${{ None }}/x"] {
        assert_eq!(hosts_of(url), [""; 0], "{url}");
    }
}

#[test]
fn a_step_that_calls_googles_apis_asks_hosts_of_googles() {
    let text = "definition: {name: a, namespace: b, title: c, display_group: d, expects: {}, returns: '', steps: [{ref: x, action: tools.google_api.call_api, args: {service_name: drive}}, {ref: y, action: b.other, args: {url: 'https://a.example'}}]}";
    assert_eq!(hosts(&Template::parse(text).unwrap()), ["*.googleapis.com"]);
}
