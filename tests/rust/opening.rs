//! Opening a workspace with a configuration file, and the client that providers share.

use std::path::Path;

use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{Choice, Environment, ExplicitKey, open, open_with_file};
use _core::engine::{Engine, TokenRequest};
use _core::error::ErrorKind;
use _core::model::{GrantType, State};
use _core::secret::{Secret, SecretBytes};
use serde_json::json;
use std::sync::Arc;
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn in_memory() -> Arc<Engine> {
    let choice = Choice {
        store: Some("memory:".to_owned()),
        key: Some(ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]))),
        ..Choice::default()
    };
    open(choice, &Environment::default()).await.unwrap()
}

fn no_variables(_: &str) -> Option<Secret> {
    None
}

fn write(folder: &Path, text: &str) -> std::path::PathBuf {
    let file = folder.join("evergrant.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_provider_may_ask_for_scopes_of_its_own_with_the_client_of_the_one_it_extends() {
    let engine = in_memory().await;
    let drive = "https://www.googleapis.com/auth/drive.readonly";
    engine
        .configure(Configure {
            provider: "google".to_owned(),
            client_id: Some("shared-client".to_owned()),
            client_secret: Some("shared-secret".into()),
            ..Configure::default()
        })
        .await
        .unwrap();
    let status = engine
        .configure(Configure {
            provider: "google_drive".to_owned(),
            settings: Settings {
                scopes: Some(vec![drive.to_owned()]),
                ..Settings::default()
            },
            ..Configure::default()
        })
        .await
        .unwrap();
    assert_eq!(status.client_id.as_deref(), Some("shared-client"));
    assert!(status.requested_scopes.iter().any(|scope| scope == drive));
    let integration = engine.integration("google_drive", None).await.unwrap();
    let secret = integration.configuration.client_secret.unwrap();
    assert_eq!(secret.expose(), "shared-secret");

    engine
        .configure(Configure {
            provider: "google".to_owned(),
            client_id: Some("another-client".to_owned()),
            ..Configure::default()
        })
        .await
        .unwrap();
    let again = engine.integration("google_drive", None).await.unwrap();
    assert_eq!(again.client_id(), "another-client");
    assert!(again.revision > integration.revision);
}

#[tokio::test]
async fn opening_asks_no_network_and_the_first_use_fetches_the_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let server = MockServer::start().await;
    let file = write(
        folder.path(),
        &format!(
            "integrations:\n  - {{provider: acme, grant_type: client_credentials, client_id: robot, \
             client_secret: {{command: [echo, robot-secret]}}, issuer: '{}'}}\n",
            server.uri()
        ),
    );
    let engine = in_memory().await;
    engine.apply_at_open(&file, &no_variables).await.unwrap();
    let status = engine.status("acme", None, "default").await.unwrap();
    assert_eq!(status.state, State::Configured);
    assert!(status.reason.unwrap().contains(&server.uri()));
    assert!(server.received_requests().await.unwrap().is_empty());

    let metadata =
        json!({"issuer": server.uri(), "token_endpoint": format!("{}/token", server.uri())});
    Mock::given(path("/.well-known/oauth-authorization-server"))
        .respond_with(ResponseTemplate::new(200).set_body_json(metadata))
        .expect(1)
        .mount(&server)
        .await;
    let token = json!({"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600});
    Mock::given(path("/token"))
        .and(body_string_contains("client_credentials"))
        .respond_with(ResponseTemplate::new(200).set_body_json(token))
        .mount(&server)
        .await;
    let request = TokenRequest {
        provider: "acme".to_owned(),
        connection: "default".to_owned(),
        ..TokenRequest::default()
    };
    let slot = engine.get_token(&request).await.unwrap();
    assert_eq!(slot.stored.token.value.expose(), "at-1");
    // Applied again, what was discovered stays.
    engine.apply_at_open(&file, &no_variables).await.unwrap();
    engine.integration("acme", None).await.unwrap();
}

#[tokio::test]
async fn a_file_is_applied_in_memory_where_nothing_can_be_written_and_what_rotates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let choice = Choice {
        // Not even root writes there.
        store: Some("/sys/evergrant/store.db".to_owned()),
        ..Choice::default()
    };
    let file = write(
        folder.path(),
        "integrations:
  - {provider: acme, client_id: one, endpoints: {authorization_endpoint: 'https://acme.example/a', token_endpoint: 'https://acme.example/t'}}
  - {provider: google, client_id: two, client_secret: {command: [echo, shh-shh-shh]}}
connections:
  - {provider: google, refresh_token: {command: [echo, never-rotates]}}
",
    );
    let engine = open_with_file(choice, &Environment::default(), &file, &no_variables)
        .await
        .unwrap();
    let google = engine.status("google", None, "default").await.unwrap();
    assert_eq!(google.state, State::Connected);
    engine
        .import_refresh_token(
            "acme",
            "may-rotate".into(),
            Some(GrantType::AuthorizationCode),
            "default",
            &[],
        )
        .await
        .unwrap();
    let request = TokenRequest {
        provider: "acme".to_owned(),
        connection: "default".to_owned(),
        ..TokenRequest::default()
    };
    let refused = engine.get_token(&request).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (&ErrorKind::Store, "store_read_only")
    );
}
