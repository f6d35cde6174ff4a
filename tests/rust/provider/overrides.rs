//! What a user's configuration changes.

use _core::provider::catalog::{Catalog, custom};
use _core::provider::{ClientAuthentication, Endpoints, Overrides, Pkce};

use super::{SERVICE, USER, custom_spec, map, texts};

#[test]
fn a_custom_provider_has_safe_defaults() {
    let spec = custom_spec(|_| {}).unwrap();
    assert_eq!(
        spec.client.authentication,
        [
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
            ClientAuthentication::None,
        ]
    );
    assert_eq!(spec.pkce, Pkce::Unknown);
    assert!(spec.refresh.unwrap().rotates.possible());
    assert!(spec.api.hosts.is_empty());
    assert!(spec.user_endpoints);
}

#[test]
fn a_provider_without_token_endpoint_names_what_to_set() {
    let error = custom("acme")
        .unwrap()
        .spec(SERVICE, &Overrides::default())
        .unwrap_err();
    assert_eq!(error.code(), "missing_endpoint");
    assert_eq!(
        error.next_command(),
        Some("evergrant configure acme --endpoint token_endpoint=https://HOST/PATH")
    );
}

#[test]
fn a_user_grant_needs_an_authorization_or_a_device_endpoint() {
    let without = custom_spec(|overrides| overrides.endpoints.authorization_endpoint = None);
    assert!(
        without
            .unwrap_err()
            .reason()
            .contains("authorization_endpoint")
    );
    let device = custom_spec(|overrides| {
        overrides.endpoints.authorization_endpoint = None;
        overrides.endpoints.device_authorization_endpoint =
            Some("https://id.example.com/device".into());
    });
    assert!(device.is_ok());
}

#[test]
fn endpoints_of_the_user_win_over_discovered_ones_and_those_over_the_files() {
    let discovered = Endpoints {
        token_endpoint: Some("https://discovered.example.com/token".into()),
        userinfo_endpoint: Some("https://discovered.example.com/me".into()),
        ..Endpoints::default()
    };
    let mut overrides = Overrides {
        discovered,
        ..Overrides::default()
    };
    overrides.endpoints.token_endpoint = Some("https://mine.example.com/token".into());
    let spec = Catalog::builtin()
        .find("google")
        .unwrap()
        .spec(USER, &overrides)
        .unwrap();
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://mine.example.com/token")
    );
    assert_eq!(
        spec.endpoints.userinfo_endpoint.as_deref(),
        Some("https://discovered.example.com/me")
    );
    assert_eq!(
        spec.endpoints.authorization_endpoint.as_deref(),
        Some("https://accounts.google.com/o/oauth2/v2/auth")
    );
    assert!(spec.user_endpoints);
}

#[test]
fn an_unsafe_endpoint_is_refused_by_name() {
    for url in [
        "http://id.example.com/token",
        "https://me@id.example.com/token",
        "https://id.example.com/token#x",
    ] {
        let error = custom_spec(|overrides| overrides.endpoints.token_endpoint = Some(url.into()))
            .unwrap_err();
        assert_eq!(error.code(), "invalid_url", "{url}");
        assert!(
            error.reason().starts_with("token_endpoint of acme: "),
            "{error}"
        );
    }
}

#[test]
fn http_to_loopback_is_for_endpoints_that_the_user_names() {
    let named = custom_spec(|overrides| {
        overrides.endpoints.token_endpoint = Some("http://127.0.0.1:8080/token".into())
    });
    assert!(named.is_ok());
    let discover = |issuer: &str| {
        custom_spec(|overrides| {
            overrides.endpoints = Endpoints::default();
            overrides.discovered = Endpoints {
                issuer: Some(issuer.into()),
                authorization_endpoint: Some("http://127.0.0.1:8080/authorize".into()),
                token_endpoint: Some("http://127.0.0.1:8080/token".into()),
                ..Endpoints::default()
            };
        })
    };
    assert!(discover("http://127.0.0.1:8080").is_ok());
    assert_eq!(
        discover("https://id.example.com").unwrap_err().code(),
        "invalid_url"
    );
}

#[test]
fn a_file_cannot_name_a_loopback_endpoint_over_http() {
    let file = "
id: sample
name: Sample
category: other
summary: A file with an unsafe endpoint.
endpoints: {authorization_endpoint: 'http://127.0.0.1/a', token_endpoint: 'http://127.0.0.1/t'}
client: {authentication: [none]}
grants: {authorization_code: {}}
";
    assert_eq!(
        super::spec_of(&[file], USER, &[]).unwrap_err().code(),
        "invalid_url"
    );
}

#[test]
fn certificates_are_refused_until_they_work() {
    let error = custom_spec(|overrides| {
        overrides.client_authentication = Some(ClientAuthentication::TlsClientAuth);
    })
    .unwrap_err();
    assert_eq!(error.code(), "client_authentication_unsupported");
    assert!(error.reason().contains("later release"), "{error}");
}

#[test]
fn a_client_authentication_of_the_user_is_the_only_one() {
    let spec = custom_spec(|overrides| {
        overrides.client_authentication = Some(ClientAuthentication::ClientSecretPost)
    });
    assert_eq!(
        spec.unwrap().client.authentication,
        [ClientAuthentication::ClientSecretPost]
    );
}

#[test]
fn methods_that_do_not_work_yet_are_not_offered() {
    let spec = super::builtin("keycloak", USER);
    let methods = &spec.client.authentication;
    assert!(!methods.contains(&ClientAuthentication::TlsClientAuth));
    assert_eq!(
        spec.client.authentication[0],
        ClientAuthentication::ClientSecretPost
    );
}

#[test]
fn api_hosts_are_added_to_the_files() {
    let overrides = Overrides {
        api_hosts: texts(&["Ghe.Example.com", "api.github.com"]),
        ..Overrides::default()
    };
    let spec = Catalog::builtin()
        .find("github")
        .unwrap()
        .spec(USER, &overrides)
        .unwrap();
    assert_eq!(
        spec.api.hosts,
        ["api.github.com", "uploads.github.com", "ghe.example.com"]
    );
}

#[test]
fn an_api_host_that_would_take_in_a_whole_domain_is_refused() {
    let error = custom_spec(|overrides| overrides.api_hosts = texts(&["*.com"])).unwrap_err();
    assert_eq!(error.code(), "invalid_host");
}

#[test]
fn added_parameters_reach_the_requests_that_they_are_for() {
    let spec = custom_spec(|overrides| {
        overrides.authorization_parameters = map(&[("audience", "api")]);
        overrides.token_parameters = map(&[("realm", "main")]);
    })
    .unwrap();
    assert_eq!(spec.authorization.parameters["audience"], "api");
    assert_eq!(spec.token.parameters["realm"], "main");
    assert_eq!(spec.refresh.unwrap().request.parameters["realm"], "main");
}

#[test]
fn parameters_that_safety_rests_on_cannot_be_set() {
    for name in [
        "state",
        "redirect_uri",
        "code_challenge",
        "nonce",
        "client_id",
        "response_type",
    ] {
        let error =
            custom_spec(|overrides| overrides.authorization_parameters = map(&[(name, "x")]))
                .unwrap_err();
        assert_eq!(error.code(), "reserved_parameter", "{name}");
    }
    for name in [
        "code_verifier",
        "client_secret",
        "refresh_token",
        "grant_type",
    ] {
        let error =
            custom_spec(|overrides| overrides.token_parameters = map(&[(name, "x")])).unwrap_err();
        assert_eq!(error.code(), "reserved_parameter", "{name}");
    }
}

#[test]
fn pkce_and_the_separator_of_scopes_follow_the_user() {
    let spec = custom_spec(|overrides| {
        overrides.pkce = Some(false);
        overrides.scope_separator = Some(",".into());
    })
    .unwrap();
    assert_eq!(spec.pkce, Pkce::Never);
    assert_eq!(spec.scopes.separator.as_deref(), Some(","));
    assert_eq!(
        custom_spec(|overrides| overrides.pkce = Some(true))
            .unwrap()
            .pkce,
        Pkce::Required
    );
    let error = custom_spec(|overrides| overrides.scope_separator = Some("a".into())).unwrap_err();
    assert_eq!(error.code(), "invalid_scope_separator");
}

#[test]
fn overrides_survive_being_written_and_read() {
    let overrides = Overrides {
        parameters: map(&[("tenant", "common")]),
        client_authentication: Some(ClientAuthentication::ClientSecretPost),
        pkce: Some(true),
        ..Overrides::default()
    };
    let text = serde_json::to_string(&overrides).unwrap();
    assert_eq!(serde_json::from_str::<Overrides>(&text).unwrap(), overrides);
}
