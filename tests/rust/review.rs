//! What a review found: each test is a fault that was there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::connect::{self, ConnectRequest};
use _core::engine::cache::Cache;
use _core::engine::configure::{Configure, Settings};
use _core::engine::freshness::StoredToken;
use _core::engine::open::{Choice, Environment, ExplicitKey, open};
use _core::engine::{Engine, TokenRequest};
use _core::model::{ConnectionKey, GrantType, IntegrationKey, Token};
use _core::provider::ClientAuthentication;
use _core::secret::{AccessToken, ClientSecret, RefreshToken, SecretBytes};
use _core::store::spill::Spill;
use _core::store::{AttemptId, Sealed, Spilled};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::NOW;

#[tokio::test]
async fn a_secret_written_where_its_reference_belongs_is_not_quoted() {
    let (folder, engine, _) = workspace("memory:").await;
    for (section, field) in [
        ("integrations", "client_secret"),
        ("connections", "refresh_token"),
    ] {
        let file = folder.path().join("evergrant.yaml");
        let text = format!("{section}:\n  - provider: github\n    {field}: hunter2-hunter2\n");
        std::fs::write(&file, text).unwrap();
        let error = engine.apply(&file, true, &|_| None).await.unwrap_err();
        assert_eq!(error.code(), "invalid_file");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn the_references_of_secrets_are_read() {
    let (folder, engine, _) = workspace("memory:").await;
    std::fs::write(folder.path().join("secret"), "from-file\n").unwrap();
    let file = folder.path().join("evergrant.yaml");
    let text = "integrations:
  - {provider: github, client_id: one, client_secret: {env: NAMED}}
  - {provider: slack, client_id: two, client_secret: {file: secret}}
  - {provider: slack_bot, client_id: three, client_secret: {command: [echo, printed]}}
";
    std::fs::write(&file, text).unwrap();
    let lookup = |name: &str| (name == "NAMED").then(|| "from-environment".into());
    engine.apply(&file, false, &lookup).await.unwrap();
    for (provider, secret) in [
        ("github", "from-environment"),
        ("slack", "from-file"),
        ("slack_bot", "printed"),
    ] {
        let integration = engine.integration(provider, None).await.unwrap();
        assert_eq!(
            integration.configuration.client_secret.unwrap().expose(),
            secret
        );
    }
}

#[tokio::test]
async fn disconnecting_where_nothing_can_be_revoked_is_ok_and_says_what_lives_on() {
    let (_folder, engine, _) = workspace("memory:").await;
    configure(&engine, "http://127.0.0.1:9", None).await;
    import(&engine).await;
    let report = engine
        .disconnect("example", None, "default", true)
        .await
        .unwrap();
    assert!(report.ok, "{report:?}");
    assert!(
        report.steps[0].detail.contains("the refresh token until"),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_old_refresh_token_is_not_kept_for_another_token_endpoint() {
    let (_folder, engine, _) = workspace("memory:").await;
    let (first, second) = (MockServer::start().await, MockServer::start().await);
    let token =
        json!({"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "scope": ""});
    let mut with_refresh_token = token.clone();
    with_refresh_token["refresh_token"] = "rt-of-the-first".into();
    for (server, reply) in [(&first, with_refresh_token), (&second, token)] {
        let account = json!({"sub": "alice"});
        for (place, body) in [("/token", reply), ("/userinfo", account)] {
            let reply = ResponseTemplate::new(200).set_body_json(body);
            Mock::given(path(place))
                .respond_with(reply)
                .mount(server)
                .await;
        }
        configure(&engine, &server.uri(), None).await;
        sign_in(&engine).await;
    }
    let status = engine.status("example", None, "default").await.unwrap();
    assert!(status.reason.unwrap().contains("no refresh token"));
}

#[tokio::test]
async fn no_secret_is_sent_when_the_client_authentication_is_none() {
    let (_folder, engine, _) = workspace("memory:").await;
    configure(&engine, "http://127.0.0.1:9", Some("none")).await;
    let integration = engine.integration("example", None).await.unwrap();
    let client = integration.client(&integration.spec().unwrap());
    assert_eq!(client.authentication, ClientAuthentication::None);
}

#[tokio::test]
async fn a_token_is_not_stored_under_a_name_that_is_none() {
    let (_folder, engine, _) = workspace("memory:").await;
    for connection in ["", "line\nbreak", &"x".repeat(256)] {
        let request = TokenRequest {
            provider: "github".to_owned(),
            connection: connection.to_owned(),
            ..TokenRequest::default()
        };
        assert_eq!(
            engine.get_token(&request).await.unwrap_err().code(),
            "invalid_name"
        );
    }
}

#[tokio::test]
async fn a_store_opens_though_its_left_replies_can_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("data").join("store.db");
    let store = store.to_str().unwrap();
    let (_one, engine, _) = workspace(store).await;
    configure(&engine, "http://127.0.0.1:9", None).await;
    drop(engine);
    std::fs::write(format!("{store}.spill"), "no folder").unwrap();
    let (_two, engine, _) = workspace(store).await;
    assert_eq!(engine.integrations().await.unwrap().len(), 1);
}

#[test]
fn an_older_read_does_not_replace_a_newer_cached_token() {
    let clock = Clock::manual(Arc::new(ManualClock::new(Timestamp::from_millis(NOW))));
    let cache = Cache::new(clock);
    let era = cache.era();
    cache.put(&connection(), stored("new"), 6, era);
    let late = cache.put(&connection(), stored("old"), 5, era);
    assert!(!late.fresh());
    let cached = cache.get(&connection(), "").unwrap();
    assert_eq!(cached.stored.token.value.expose(), "new");
}

#[test]
fn a_cached_token_is_trusted_for_a_second_after_the_last_look_at_the_store() {
    let manual = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let cache = Cache::new(Clock::manual(Arc::clone(&manual)));
    cache.looked(1);
    let slot = cache.put(&connection(), stored("at"), 1, cache.era());
    manual.advance(Duration::from_millis(900));
    cache.extend(&slot);
    manual.advance(Duration::from_millis(200));
    assert!(!slot.fresh());
}

#[test]
fn a_slot_whose_reply_two_callers_forget_is_given_to_one_flight() {
    let folder = tempfile::tempdir().unwrap();
    let spill = Spill::new(folder.path().join("spill"));
    let slot = spill.reserve().unwrap();
    slot.write(&reply(1)).unwrap();
    drop(slot);
    let orphan = spill.orphans(None).unwrap().remove(0);
    spill.forget(&orphan).unwrap();
    spill.forget(&orphan).unwrap();
    let (one, two) = (spill.reserve().unwrap(), spill.reserve().unwrap());
    one.write(&reply(2)).unwrap();
    two.write(&reply(3)).unwrap();
    drop((one, two));
    let left = spill.orphans(None).unwrap();
    assert_ne!(left[0].spilled, left[1].spilled);
}

async fn workspace(store: &str) -> (tempfile::TempDir, Arc<Engine>, Arc<ManualClock>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let choice = Choice {
        store: Some(store.to_owned()),
        key: Some(ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]))),
        clock: Clock::manual(Arc::clone(&clock)),
        ..Choice::default()
    };
    let engine = open(choice, &Environment::default()).await.unwrap();
    (folder, engine, clock)
}

async fn configure(engine: &Arc<Engine>, base: &str, authentication: Option<&str>) {
    let endpoint = |name: &str| (format!("{name}_endpoint"), format!("{base}/{name}"));
    let endpoints: BTreeMap<_, _> = ["authorization", "token", "userinfo"].map(endpoint).into();
    let request = Configure {
        provider: "example".to_owned(),
        grant_type: Some(GrantType::AuthorizationCode),
        client_id: Some("client-1".to_owned()),
        client_secret: Some(ClientSecret::from("a client secret")),
        settings: Settings {
            endpoints: Some(endpoints),
            client_authentication: authentication.map(str::to_owned),
            ..Settings::default()
        },
    };
    engine.configure(request).await.unwrap();
}

async fn import(engine: &Arc<Engine>) {
    let token = RefreshToken::from("rt-imported");
    engine
        .import_refresh_token("example", token, None, "default", &[])
        .await
        .unwrap();
}

async fn sign_in(engine: &Arc<Engine>) {
    let request = ConnectRequest {
        provider: "example".to_owned(),
        connection: "default".to_owned(),
        ..ConnectRequest::default()
    };
    let redirect_uri = "https://app.example/callback";
    let begun = connect::begin_connect(Arc::clone(engine), request, redirect_uri, "s".into());
    let begun = begun.await.unwrap();
    let callback = format!("{redirect_uri}?code=c&state={}", begun.state.expose());
    connect::complete_connect(Arc::clone(engine), &callback, Some("s".into()))
        .await
        .unwrap();
}

fn connection() -> ConnectionKey {
    ConnectionKey {
        integration: IntegrationKey {
            workspace: "default".into(),
            provider: "example".into(),
            grant_type: GrantType::AuthorizationCode,
        },
        connection: "default".into(),
    }
}

fn stored(value: &str) -> Arc<StoredToken> {
    Arc::new(StoredToken {
        token: Token {
            value: AccessToken::from(value),
            resource: String::new(),
            scopes: Vec::new(),
            obtained_at: Timestamp::from_millis(NOW),
            expires_at: Some(Timestamp::from_millis(NOW + 3_600_000)),
            token_type: "Bearer".to_owned(),
            revision: 1,
            extra: BTreeMap::new(),
        },
        assumed_until: None,
        margin_cap: Duration::from_secs(300),
        anchor: None,
    })
}

fn reply(number: u8) -> Spilled {
    Spilled {
        connection: connection(),
        attempt: AttemptId([number; 16]),
        sealed: Sealed {
            key_id: 1,
            generation: 1,
            blob: vec![number; 40],
        },
    }
}

#[tokio::test]
async fn the_state_of_a_sign_in_is_not_in_its_debug_text() {
    let (_folder, engine, _) = workspace("memory:").await;
    configure(&engine, "https://acme.example", None).await;
    let request = ConnectRequest {
        provider: "example".to_owned(),
        connection: "default".to_owned(),
        timeout: Duration::from_secs(60),
        ..ConnectRequest::default()
    };
    let redirect_uri = "https://app.example/callback";
    let begun = connect::begin_connect(
        Arc::clone(&engine),
        request.clone(),
        redirect_uri,
        "s".into(),
    );
    let begun = begun.await.unwrap();
    assert!(!format!("{begun:?}").contains(begun.state.expose()));
    let connecting = connect::connect(engine, request).await.unwrap();
    assert!(!format!("{connecting:?}").contains("state="));
}
