//! The samples of vendors' replies, read by the files of their providers.

use _core::http;
use _core::model::GrantType;
use _core::oauth::response::Outcome;
use _core::oauth::token::{self, CodeExchange, Refresh};
use _core::provider::catalog::Catalog;
use _core::provider::{Condemns, Endpoints, Overrides, Spec};
use _core::secret::{AuthorizationCode, RefreshToken};
use serde_json::Value;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{client, client_secret, clock};

/// What a vendor's reply to a request of the kind `sample` comes to.
async fn outcome(spec: &Spec, sample: &str) -> Outcome {
    let http = http::Client::new(http::Options::default());
    let secret = client_secret();
    match (spec.grant_type, sample) {
        (GrantType::ClientCredentials, _) => {
            token::client_credentials(&http, spec, client(&secret), &[], "", &clock()).await
        }
        (_, "token") => {
            let exchange = CodeExchange {
                code: &AuthorizationCode::from("the-code"),
                redirect_uri: "http://127.0.0.1/callback",
                verifier: None,
                state: None,
                nonce: None,
                requested: &[],
                resource: "",
            };
            token::exchange_code(&http, spec, client(&secret), exchange, &clock()).await
        }
        _ => {
            let refresh = Refresh {
                leaves_by: None,
                refresh_token: Some(&RefreshToken::from("old-refresh-token")),
                access_token: None,
                scopes: &[],
                granted: &[],
                resource: "",
                redirect_uri: None,
                subject: None,
            };
            token::refresh(&http, spec, client(&secret), refresh, &clock()).await
        }
    }
}

async fn answered(
    id: &str,
    grant_type: GrantType,
    sample: &str,
    status: u16,
    body: &Value,
) -> Outcome {
    let server = MockServer::start().await;
    let reply = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let provider = Catalog::builtin().find(id).unwrap();
    let parameters = provider
        .parameters(grant_type)
        .into_iter()
        .filter(|(_, parameter)| parameter.default.is_none())
        .filter_map(|(name, parameter)| Some((name, parameter.example?)))
        .collect();
    let overrides = Overrides {
        parameters,
        endpoints: Endpoints {
            token_endpoint: Some(server.uri()),
            ..Endpoints::default()
        },
        ..Overrides::default()
    };
    let spec = provider.spec(grant_type, &overrides).unwrap();
    outcome(&spec, sample).await
}

/// The samples of a provider: grant type, kind and body; those of a variant and of a service included.
fn samples(id: &str) -> Vec<(GrantType, String, Value)> {
    let text = std::fs::read_to_string(format!("tests/data/replies/{id}.json")).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    let mut add = |grant_type, group: &Value| {
        for sample in ["token", "refresh", "error"] {
            let body = group.get(sample).cloned();
            found.extend(body.map(|body| (grant_type, sample.to_owned(), body)));
        }
    };
    add(GrantType::AuthorizationCode, &whole);
    for (name, group) in whole.as_object().unwrap() {
        if group.get("token").is_some() {
            add(
                GrantType::parse(name).unwrap_or(GrantType::AuthorizationCode),
                group,
            );
        }
    }
    found
}

/// The samples of providers that have a file; the test kit has some of vendors whose file is still to come.
fn providers() -> Vec<String> {
    let files = std::fs::read_dir("tests/data/replies").unwrap();
    files
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|id| Catalog::builtin().find(id).is_ok())
        .collect()
}

#[tokio::test]
async fn every_vendors_token_is_issued() {
    let mut count = 0;
    for id in providers() {
        for (grant_type, sample, body) in samples(&id) {
            if sample != "error" {
                let outcome = answered(&id, grant_type, &sample, 200, &body).await;
                assert!(
                    matches!(outcome, Outcome::Issued(_)),
                    "{id} {sample}: {outcome:?}"
                );
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count}");
}

#[tokio::test]
async fn every_vendors_error_is_one() {
    for id in providers() {
        for (grant_type, sample, body) in samples(&id) {
            if sample == "error" {
                for status in [200, 400] {
                    let outcome = answered(&id, grant_type, &sample, status, &body).await;
                    assert!(
                        matches!(
                            outcome,
                            Outcome::Refused { .. } | Outcome::NotProcessed { error: Some(_), .. }
                        ),
                        "{id}: {outcome:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn errors_of_a_refresh_token_condemn_the_grant() {
    for (id, error) in [
        (
            "google",
            serde_json::json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
        ),
        ("github", serde_json::json!({"error": "bad_refresh_token"})),
        (
            "slack",
            serde_json::json!({"ok": false, "error": "invalid_refresh_token"}),
        ),
        (
            "microsoft_graph",
            serde_json::json!({"error": "invalid_grant", "error_codes": [700_082]}),
        ),
    ] {
        let outcome = answered(id, GrantType::AuthorizationCode, "refresh", 200, &error).await;
        assert!(
            matches!(
                outcome,
                Outcome::Refused {
                    condemns: Condemns::Grant,
                    ..
                }
            ),
            "{id}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_token_is_presented_as_the_api_wants_it_whatever_the_reply_calls_it() {
    let body = serde_json::json!({"access_token": "a1", "token_type": "bearer"});
    for (id, scheme) in [("yandex", "OAuth"), ("asana", "Bearer")] {
        let outcome = answered(id, GrantType::AuthorizationCode, "token", 200, &body).await;
        let Outcome::Issued(issued) = outcome else {
            panic!("{id}: {outcome:?}");
        };
        assert_eq!(issued.token.token_type, scheme);
    }
}
