//! Looking: what is known without the network, in whose terms, and the next command; and `test`, which asks.

use _core::model::{State, Status};
use serde_json::json;

use super::connect::sign_in;
use super::{Answer, SERVICE, USER, World, acme, kind_of};
use crate::support::after;

async fn status(world: &World) -> Status {
    let before = world.server.count();
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert_eq!(world.server.count(), before, "status asks no network");
    status
}

#[tokio::test]
async fn an_id_that_nobody_knows_is_an_error_and_anything_else_a_state() {
    let world = World::bare().await;
    let unknown = world.engine.status("acme", None, "default").await;
    assert_eq!(kind_of(&unknown.unwrap_err()), "unknown provider");
    let github = world
        .engine
        .status("github", None, "default")
        .await
        .unwrap();
    assert_eq!(github.state, State::NotConfigured);
    assert!(
        github
            .hint
            .unwrap()
            .starts_with("evergrant configure github")
    );
    world.configure(USER).await;
    let configured = status(&world).await;
    assert_eq!(configured.state, State::Configured);
    assert_eq!(configured.hint.as_deref(), Some("evergrant connect acme"));
}

#[tokio::test]
async fn a_connection_is_described() {
    let world = World::bare().await.connected().await;
    let status = status(&world).await;
    assert_eq!(status.state, State::Connected);
    assert_eq!(status.expires_at, Some(after(3600)));
    assert_eq!(status.refreshed_at, Some(after(0)));
    assert_eq!(
        (status.last_error, status.reason, status.hint),
        (None, None, None)
    );
}

#[tokio::test]
async fn an_expired_token_that_can_be_refreshed_is_connected() {
    let world = World::bare().await.connected().await;
    world.advance(86_400);
    assert_eq!(status(&world).await.state, State::Connected);
}

#[tokio::test]
async fn a_failure_is_the_last_error_until_a_success() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.server.answers(Answer::empty(503));
    world.token().await.unwrap_err();
    let failed = status(&world).await;
    assert_eq!(failed.state, State::Connected);
    assert!(failed.last_error.unwrap().contains("503"));
    world.advance(2);
    world.token().await.unwrap();
    assert_eq!(status(&world).await.last_error, None);
}

#[tokio::test]
async fn a_service_whose_secret_is_refused_is_configured_with_a_last_error_and_the_command() {
    let world = World::bare().await.service().await;
    world.token().await.unwrap();
    assert_eq!(status(&world).await.state, State::Connected);
    world.advance(3600);
    world.server.answers(Answer::error("invalid_client"));
    world.token().await.unwrap_err();
    let refused = status(&world).await;
    assert_eq!(refused.state, State::Configured);
    assert!(refused.last_error.is_some());
    let command = "evergrant configure acme --grant-type client_credentials --client-secret-stdin";
    assert_eq!(refused.hint.as_deref(), Some(command));
}

#[tokio::test]
async fn scopes_that_were_not_granted_are_missing() {
    let world = World::with_file(&acme("{}", "")).await;
    world
        .configure_with(USER, |request| {
            request.settings.scopes = Some(vec!["read".into()])
        })
        .await
        .unwrap();
    sign_in(
        &world,
        Answer::token("at-1", Some("rt-1"), json!({"scope": "base"})),
    )
    .await;
    let status = status(&world).await;
    assert_eq!(status.requested_scopes, ["base", "read"]);
    assert_eq!(status.granted_scopes, ["base"]);
    assert_eq!(status.missing_scopes, ["read"]);
    assert_eq!(
        status.hint.as_deref(),
        Some("evergrant connect acme --again")
    );
}

#[tokio::test]
async fn the_account_labels_the_connection() {
    let world =
        World::with_file(&acme("{}", "account: {source: reply, email: mail, id: id}")).await;
    world.configure(USER).await;
    let more = json!({"mail": "alice@example.com", "id": "17"});
    let status = sign_in(&world, Answer::token("at-1", Some("rt-1"), more)).await;
    assert_eq!(status.account.as_deref(), Some("alice@example.com"));
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_is_warned_of() {
    let world = World::bare().await;
    world.configure(USER).await;
    let status = sign_in(&world, Answer::token("at-1", None, json!({}))).await;
    assert!(status.reason.unwrap().contains("no refresh token"));
}

#[tokio::test]
async fn another_client_needs_a_new_consent_and_says_why() {
    for (what, change) in [
        ("client id", json!({"client_id": "client-2"})),
        ("token endpoint", json!({"token_endpoint": "/elsewhere"})),
    ] {
        let world = World::bare().await.connected().await;
        world
            .configure_with(USER, |request| {
                if let Some(client_id) = change["client_id"].as_str() {
                    request.client_id = Some(client_id.to_owned());
                }
                if let Some(path) = change["token_endpoint"].as_str() {
                    let endpoints = request.settings.endpoints.as_mut().unwrap();
                    endpoints.insert(
                        "token_endpoint".to_owned(),
                        format!("{}{path}", world.server.base),
                    );
                }
            })
            .await
            .unwrap();
        let status = status(&world).await;
        assert_eq!(status.state, State::ReauthorizationRequired, "{what}");
        assert!(status.reason.unwrap().contains(what));
        assert_eq!(
            status.hint.as_deref(),
            Some("evergrant connect acme --again")
        );
        world.advance(3600);
        assert_eq!(world.token().await.unwrap_err().code(), "client_changed");
        assert_eq!(
            world.server.count(),
            1,
            "{what}: the refresh token goes nowhere else"
        );
        assert_eq!(world.server.received("/elsewhere").len(), 0);
    }
}

#[tokio::test]
async fn an_imported_refresh_token_goes_only_to_the_client_it_was_imported_for() {
    let world = World::bare().await.imported().await;
    let changed = world.configure_with(USER, |request| request.client_id = Some("client-2".into()));
    changed.await.unwrap();
    assert_eq!(world.token().await.unwrap_err().code(), "client_changed");
    assert_eq!(world.server.count(), 0);
}

#[tokio::test]
async fn connections_are_listed_by_name_and_integrations_once() {
    let world = World::bare().await.connected().await;
    world.import("bob", "rt-bob").await;
    world.import("alice", "rt-alice").await;
    let named = |statuses: Vec<Status>| {
        statuses
            .into_iter()
            .map(|status| status.connection)
            .collect::<Vec<_>>()
    };
    let all = world.engine.connections(None, None).await.unwrap();
    assert_eq!(named(all), ["alice", "bob", "default"]);
    let of_acme = world
        .engine
        .connections(Some("acme"), Some(USER))
        .await
        .unwrap();
    assert_eq!(named(of_acme), ["alice", "bob", "default"]);
    assert!(
        world
            .engine
            .connections(Some("github"), None)
            .await
            .unwrap()
            .is_empty()
    );
    let unknown = world.engine.connections(Some("nobody"), None).await;
    assert_eq!(kind_of(&unknown.unwrap_err()), "unknown provider");
    let integrations = world.engine.integrations().await.unwrap();
    assert_eq!(integrations.len(), 1);
    assert_eq!(integrations[0].state, State::Connected);
}

#[tokio::test]
async fn no_default_but_other_connections_are_named() {
    let world = World::bare().await;
    world.configure(USER).await;
    world.import("it's me", "rt-0").await;
    let error = world.token().await.unwrap_err();
    assert_eq!(kind_of(&error), "not connected");
    assert!(error.reason().contains("it's me"), "{error}");
    assert_eq!(
        error.next_command().unwrap().lines().next(),
        Some(r"evergrant token acme --connection 'it'\''s me'")
    );
}

#[tokio::test]
async fn a_borrowed_client_is_shown_and_not_listed() {
    let world = World::bare().await;
    let mut google = world.configuration(USER);
    google.provider = "google".to_owned();
    world.engine.configure(google).await.unwrap();
    let drive = world
        .engine
        .status("google_drive", None, "default")
        .await
        .unwrap();
    assert_eq!(
        (drive.state, drive.client_id.as_deref()),
        (State::Configured, Some("client-1"))
    );
    let listed: Vec<_> = world
        .engine
        .integrations()
        .await
        .unwrap()
        .into_iter()
        .map(|status| status.provider)
        .collect();
    assert_eq!(listed, ["google"]);
}

#[tokio::test]
async fn what_is_not_configured_says_how_to_configure_it() {
    let world = World::bare().await;
    let error = world
        .token_for(|request| request.provider = "github".to_owned())
        .await
        .unwrap_err();
    assert_eq!(kind_of(&error), "not configured");
    assert!(
        error
            .next_command()
            .unwrap()
            .starts_with("evergrant configure github")
    );
}

#[tokio::test]
async fn a_test_of_a_service_grant_asks_the_token_endpoint_and_stores_nothing() {
    let world = World::bare().await.service().await;
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(world.server.count(), 1);
    assert_eq!(
        world.loaded_of(SERVICE, "").await,
        _core::store::Loaded::default()
    );
    world.server.answers(Answer::error("invalid_client"));
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(!report.ok);
    assert!(report.hint.unwrap().contains("--client-secret-stdin"));
    assert_eq!(
        world.token().await.unwrap(),
        "at-3",
        "a test is no reason to rest"
    );
}

#[tokio::test]
async fn a_test_of_a_user_grant_never_refreshes() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(report.ok, "{report:?}");
    assert!(
        report
            .steps
            .last()
            .unwrap()
            .detail
            .contains("never refreshes")
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_test_of_a_user_grant_asks_for_the_account_with_the_stored_token() {
    for (answer, ok) in [
        (
            Answer::json(200, "", json!({"sub": "1", "email": "a@example.com"})),
            true,
        ),
        (Answer::empty(401), false),
    ] {
        let world = World::bare().await;
        world
            .configure_with(USER, |request| {
                let endpoints = request.settings.endpoints.as_mut().unwrap();
                endpoints.insert(
                    "userinfo_endpoint".to_owned(),
                    format!("{}/userinfo", world.server.base),
                );
            })
            .await
            .unwrap();
        world.import("default", "rt-0").await;
        world.token().await.unwrap();
        world.server.answers_at("/userinfo", answer);
        let report = world.engine.test("acme", None, "default").await.unwrap();
        assert_eq!(report.ok, ok, "{report:?}");
        assert_eq!(
            world.server.received("/userinfo")[0]
                .authorization
                .as_deref(),
            Some("Bearer at-1")
        );
        assert_eq!(world.server.count(), 1);
    }
}

#[tokio::test]
async fn a_test_of_what_is_not_connected_says_how_to_connect() {
    let world = World::bare().await;
    world.configure(USER).await;
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(!report.ok);
    assert_eq!(report.hint.as_deref(), Some("evergrant connect acme"));
}

#[tokio::test]
async fn all_that_are_due_within_a_lead_are_refreshed() {
    let world = World::bare().await.connected().await;
    world.import("bob", "rt-bob").await;
    world
        .token_for(|request| request.connection = "bob".to_owned())
        .await
        .unwrap();
    let report = world
        .engine
        .refresh_due(std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(report.steps[0].detail, "nothing is due");
    let report = world
        .engine
        .refresh_due(std::time::Duration::from_secs(3500))
        .await
        .unwrap();
    assert_eq!((report.ok, report.steps.len()), (true, 2));
    assert_eq!(world.server.count(), 4);
    let report = world
        .engine
        .refresh_due(std::time::Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!((report.steps.len(), world.server.count()), (1, 4));
}
