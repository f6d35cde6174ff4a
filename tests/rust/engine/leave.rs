//! Leaving: marked first, then revoked, then deleted; what may live on is reported.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use _core::connect::{self, ConnectRequest, Connecting};
use _core::error::Result;
use _core::model::{Report, State};
use _core::store::StoredState;
use serde_json::json;

use super::server::Received;
use super::{Answer, SERVICE, USER, World, kind_of, token_of, within};

async fn left(world: &World, revoke: bool) -> Report {
    within(world.engine.disconnect("acme", None, "default", revoke))
        .await
        .unwrap()
}

fn step<'a>(report: &'a Report, what: &str) -> (bool, &'a str) {
    let step = report
        .steps
        .iter()
        .find(|step| step.what == what)
        .expect(what);
    (step.ok, &step.detail)
}

#[tokio::test]
async fn a_disconnect_revokes_deletes_and_keeps_the_configuration() {
    let world = World::bare().await.connected().await;
    let generation = world.loaded().await.generation();
    let report = left(&world, true).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(
        step(&report, "revocation"),
        (true, "the refresh token ended")
    );
    let Received { form, .. } = &world.server.received("/revoke")[0];
    assert_eq!(
        (form["token"].as_str(), form["token_type_hint"].as_str()),
        ("rt-1", "refresh_token")
    );
    let loaded = world.loaded().await;
    assert_eq!((&loaded.token, &loaded.attempt), (&None, &None));
    let row = loaded.connection.unwrap();
    assert_eq!((row.state, row.grant), (StoredState::Disconnected, None));
    assert!(
        row.generation > generation,
        "a tombstone keeps the generation"
    );
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert_eq!(
        (status.state, status.client_id.as_deref()),
        (State::Configured, Some("client-1"))
    );
    assert_eq!(status.expires_at, None);
    assert!(
        world
            .engine
            .connections(None, None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn nobody_gets_a_token_while_it_is_being_revoked() {
    let world = World::bare().await.connected().await;
    let other = world.another().await;
    let hold = world.server.holds_at("/revoke", Answer::empty(200));
    let engine = Arc::clone(&world.engine);
    let leaving =
        tokio::spawn(async move { engine.disconnect("acme", None, "default", true).await });
    hold.arrived().await;
    assert_eq!(world.state().await, Some(StoredState::Disconnecting));
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
    assert_eq!(
        kind_of(&token_of(&other).await.unwrap_err()),
        "not connected"
    );
    hold.release();
    assert!(within(leaving).await.unwrap().unwrap().ok);
}

#[tokio::test]
async fn a_disconnect_that_was_killed_is_finished_by_the_next_call() {
    let world = World::bare().await.connected().await;
    let hold = world.server.holds_at("/revoke", Answer::empty(200));
    let engine = Arc::clone(&world.engine);
    let killed =
        tokio::spawn(async move { engine.disconnect("acme", None, "default", true).await });
    hold.arrived().await;
    killed.abort();
    let _ = killed.await;
    assert_eq!(world.state().await, Some(StoredState::Disconnecting));
    assert!(left(&world, true).await.ok);
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
    assert_eq!(world.server.received("/revoke").len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_revoke_is_reported_and_the_tokens_are_deleted_all_the_same() {
    for answer in [
        Answer::empty(503),
        Answer::cut(),
        Answer::error("unsupported_token_type"),
    ] {
        let world = World::bare().await.connected().await;
        world.server.answers_at("/revoke", answer);
        let report = left(&world, true).await;
        assert!(!report.ok);
        assert!(!step(&report, "revocation").0);
        assert!(report.reason.unwrap().contains("may live on"));
        assert_eq!(world.loaded().await.token, None);
    }
}

#[tokio::test]
async fn without_revocation_nothing_is_sent_and_the_report_says_what_lives_on() {
    let world = World::bare().await.connected().await;
    let report = left(&world, false).await;
    assert!(report.ok);
    let (ok, detail) = step(&report, "revocation");
    assert!(ok && detail.contains("live on"), "{detail}");
    assert_eq!(world.server.received("/revoke").len(), 0);
}

#[tokio::test]
async fn without_a_revocation_endpoint_the_report_is_ok_and_says_until_when_what_lives_on() {
    let world = World::bare().await;
    world
        .configure_with(USER, |request| {
            request
                .settings
                .endpoints
                .as_mut()
                .unwrap()
                .remove("revocation_endpoint");
        })
        .await
        .unwrap();
    world.import("default", "rt-0").await;
    world.token().await.unwrap();
    let report = left(&world, true).await;
    assert!(report.ok, "{report:?}");
    let (ok, detail) = step(&report, "revocation");
    assert!(
        ok && detail.contains("live") && detail.contains("3600 s"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_refresh_token_is_revoked_only_where_it_was_issued() {
    let world = World::bare().await.connected().await;
    let elsewhere = super::Server::start().await;
    world
        .configure_with(USER, |request| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert(
                "token_endpoint".to_owned(),
                format!("{}/token", elsewhere.base),
            );
            endpoints.insert(
                "revocation_endpoint".to_owned(),
                format!("{}/revoke", elsewhere.base),
            );
        })
        .await
        .unwrap();
    let report = left(&world, true).await;
    assert!(!step(&report, "revocation").0);
    assert_eq!(elsewhere.received("/revoke").len(), 0);
    assert_eq!(world.loaded().await.token, None);
}

#[tokio::test]
async fn leaving_what_is_not_connected_is_no_error() {
    let world = World::bare().await;
    world.configure(USER).await;
    let report = left(&world, true).await;
    assert!(report.ok);
    assert!(step(&report, "tokens").1.contains("was not connected"));
    let world = world.imported().await;
    left(&world, true).await;
    assert!(left(&world, true).await.ok);
}

#[tokio::test]
async fn a_refused_connection_can_be_left() {
    let world = World::bare().await.imported().await;
    world.server.answers(Answer::error("invalid_grant"));
    world.token().await.unwrap_err();
    left(&world, true).await;
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
}

#[tokio::test]
async fn after_a_disconnect_one_can_connect_again() {
    let world = World::bare().await.connected().await;
    let generation = world.loaded().await.generation();
    left(&world, true).await;
    world.import("default", "rt-new").await;
    assert!(world.loaded().await.generation() > generation);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_service_connection_is_revoked_by_its_access_token() {
    let world = World::bare().await.service().await;
    world.token().await.unwrap();
    assert!(left(&world, true).await.ok);
    assert_eq!(world.server.received("/revoke")[0].form["token"], "at-1");
    assert_eq!(world.token().await.unwrap(), "at-2", "it needs no person");
}

#[tokio::test]
async fn a_remove_leaves_every_connection_and_forgets_the_integration() {
    let world = World::bare().await.connected().await;
    world.import("bob", "rt-bob").await;
    let report = within(world.engine.remove("acme", None, true))
        .await
        .unwrap();
    assert!(report.ok, "{report:?}");
    let mut revoked: Vec<_> = world
        .server
        .received("/revoke")
        .iter()
        .map(|request| request.form["token"].clone())
        .collect();
    revoked.sort();
    assert_eq!(revoked, ["rt-1", "rt-bob"]);
    assert!(world.engine.integrations().await.unwrap().is_empty());
    assert_eq!(
        kind_of(&world.token().await.unwrap_err()),
        "unknown provider"
    );
}

#[tokio::test]
async fn a_remove_spares_the_other_grant_type() {
    let world = World::bare().await.connected().await;
    world.configure(SERVICE).await;
    let ambiguous: Result<Report> = world.engine.remove("acme", None, true).await;
    assert_eq!(kind_of(&ambiguous.unwrap_err()), "ambiguous");
    world.engine.remove("acme", Some(USER), true).await.unwrap();
    let left = world.engine.integrations().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].grant_type, Some(SERVICE));
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_remove_of_what_a_lender_configured_spares_the_lender() {
    let world = World::bare().await;
    let mut google = world.configuration(USER);
    google.provider = "google".to_owned();
    world.engine.configure(google).await.unwrap();
    let report = within(world.engine.remove("google_drive", None, true))
        .await
        .unwrap();
    assert!(report.ok);
    assert!(step(&report, "configuration").1.contains("google"));
    assert_eq!(world.engine.integrations().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_connection_made_again_after_a_remove_shows_no_generation_it_has_had() {
    let world = World::bare().await.connected().await;
    let generation = world.loaded().await.generation();
    world.engine.remove("acme", None, true).await.unwrap();
    let world = world.imported().await;
    assert!(world.loaded().await.generation() > generation);
    world
        .server
        .answers(Answer::token("at-again", None, json!({})));
    assert_eq!(world.token().await.unwrap(), "at-again");
}

#[tokio::test]
async fn a_service_whose_disconnect_was_killed_can_be_connected_again() {
    let world = World::bare().await.service().await;
    world.token().await.unwrap();
    let hold = world.server.holds_at("/revoke", Answer::empty(200));
    let engine = Arc::clone(&world.engine);
    let killed =
        tokio::spawn(async move { engine.disconnect("acme", None, "default", true).await });
    hold.arrived().await;
    killed.abort();
    let _ = killed.await;
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
    let request = ConnectRequest {
        grant_type: Some(SERVICE),
        ..super::connect::connecting()
    };
    let connected = connect::connect(Arc::clone(&world.engine), request)
        .await
        .unwrap();
    assert!(matches!(connected, Connecting::Done(status) if status.state == State::Connected));
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn what_was_issued_and_not_stored_yet_is_what_is_revoked() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.store.failing_commits.store(u32::MAX, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
    world.store.failing_commits.store(0, SeqCst);
    left(&world, true).await;
    assert_eq!(world.server.received("/revoke")[0].form["token"], "rt-2");
}

#[tokio::test]
async fn what_a_dead_process_was_issued_is_what_is_revoked() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    let survivor = world.another_with_what_is_left_later().await;
    let report = survivor
        .disconnect("acme", None, "default", true)
        .await
        .unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(world.server.received("/revoke")[0].form["token"], "rt-2");
}
