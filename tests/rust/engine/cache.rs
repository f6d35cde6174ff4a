//! The cached path: no look at the store for a second, and none of it outlives what ended it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use _core::connect::ConnectRequest;
use _core::engine::TokenRequest;
use serde_json::json;

use super::{Answer, SERVICE, USER, World, kind_of, request, token_of, value};

#[tokio::test]
async fn callers_get_the_same_slot_while_nothing_changed() {
    let world = World::bare().await.connected().await;
    let first = world.slot_for(|_| {}).await.unwrap();
    assert!(Arc::ptr_eq(&first, &world.slot_for(|_| {}).await.unwrap()));
    world.advance(60);
    assert!(Arc::ptr_eq(&first, &world.slot_for(|_| {}).await.unwrap()));
}

#[tokio::test]
async fn a_slot_is_trusted_for_a_second() {
    let world = World::bare().await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    world.clock.advance(Duration::from_millis(999));
    assert!(slot.fresh());
    world.clock.advance(Duration::from_millis(1));
    assert!(!slot.fresh());
    world.token().await.unwrap();
    assert!(slot.fresh(), "nothing changed");
}

#[tokio::test]
async fn the_cached_token_is_there_without_a_wait() {
    let world = World::bare().await.connected().await;
    let cached = world.engine.cached(&request());
    assert_eq!(cached.map(|slot| value(&slot)).as_deref(), Some("at-1"));
    let long = TokenRequest {
        min_ttl: Some(Duration::from_secs(3601)),
        ..request()
    };
    assert!(world.engine.cached(&long).is_none());
    let scoped = TokenRequest {
        scopes: vec!["more".to_owned()],
        ..request()
    };
    assert!(world.engine.cached(&scoped).is_none());
    let refused = TokenRequest {
        replacing: Some("at-1".into()),
        ..request()
    };
    assert!(world.engine.cached(&refused).is_none());
    let other = TokenRequest {
        connection: "bob".to_owned(),
        ..request()
    };
    assert!(world.engine.cached(&other).is_none());
}

#[tokio::test]
async fn a_disconnect_is_seen_at_once_in_its_process() {
    let world = World::bare().await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    world
        .engine
        .disconnect("acme", None, "default", false)
        .await
        .unwrap();
    assert!(!slot.fresh());
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
}

#[tokio::test]
async fn a_disconnect_is_seen_elsewhere_within_a_second() {
    let world = World::bare().await.connected().await;
    let other = world.another().await;
    assert_eq!(token_of(&other).await.unwrap(), "at-1");
    world
        .engine
        .disconnect("acme", None, "default", false)
        .await
        .unwrap();
    world.store.foreign_writes.fetch_add(1, SeqCst);
    assert_eq!(token_of(&other).await.unwrap(), "at-1");
    world.advance(1);
    assert!(other.cached(&request()).is_none());
    assert_eq!(
        kind_of(&token_of(&other).await.unwrap_err()),
        "not connected"
    );
}

#[tokio::test]
async fn a_refresh_of_another_process_is_adopted_within_a_second() {
    let world = World::bare().await.connected().await;
    let other = world.another().await;
    assert_eq!(token_of(&other).await.unwrap(), "at-1");
    world
        .engine
        .refresh_now("acme", None, "default")
        .await
        .unwrap();
    world.store.foreign_writes.fetch_add(1, SeqCst);
    world.advance(1);
    assert_eq!(token_of(&other).await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
}

/// What another process does to the files: here nothing else may open them.
fn elsewhere(command: &str, world: &World) {
    let mut shell = std::process::Command::new("sh");
    let done = shell
        .args(["-c", command])
        .current_dir(world.folder.path())
        .status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn a_restored_backup_is_noticed_and_a_new_sign_in_ends_it() {
    let world = World::sqlite().await.connected().await;
    elsewhere("cp -r data backup", &world);
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-2");
    elsewhere(
        "rm -f data/store.db data/store.db-* && cp backup/store.db backup/store.db-* data",
        &world,
    );
    world.advance(1);
    let error = world.token().await.unwrap_err();
    assert_eq!((kind_of(&error), error.code()), ("store", "store_restored"));
    assert_eq!(error.next_command(), Some("evergrant connect acme --again"));
    let other = world.another().await;
    world
        .server
        .answers(Answer::token("at-new", Some("rt-new"), json!({})));
    super::connect::sign_in_by(&other, super::connect::connecting()).await;
    world.store.foreign_writes.fetch_add(1, SeqCst);
    world.advance(1);
    assert_eq!(world.token().await.unwrap(), "at-new");
}

#[tokio::test]
async fn two_grant_types_are_ambiguous_whatever_is_cached() {
    let world = World::bare().await.connected().await;
    assert_eq!(world.token().await.unwrap(), "at-1");
    world.configure(SERVICE).await;
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "ambiguous");
    let named = |request: &mut TokenRequest| request.grant_type = Some(USER);
    assert_eq!(world.token_for(named).await.unwrap(), "at-1");
    assert!(world.engine.cached(&request()).is_none());
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "ambiguous");
}

#[tokio::test]
async fn a_client_that_changed_is_seen_by_what_is_cached() {
    let world = World::bare().await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    world
        .configure_with(USER, |request| request.client_id = Some("client-2".into()))
        .await
        .unwrap();
    assert!(!slot.fresh());
    let error = world.token().await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("reauthorization", "client_changed")
    );
    world
        .configure_with(USER, |request| request.client_id = Some("client-1".into()))
        .await
        .unwrap();
    assert_eq!(world.token().await.unwrap(), "at-1", "nothing was deleted");
}

#[tokio::test]
async fn a_lender_that_changed_is_seen_by_what_borrows_its_client() {
    let world = World::bare().await;
    let mut google = world.configuration(USER);
    google.provider = "google".to_owned();
    let endpoints = google.settings.endpoints.as_mut().unwrap();
    endpoints.insert("issuer".to_owned(), world.server.base.clone());
    endpoints.insert(
        "userinfo_endpoint".to_owned(),
        format!("{}/userinfo", world.server.base),
    );
    world.engine.configure(google.clone()).await.unwrap();
    let drive = ConnectRequest {
        provider: "google_drive".to_owned(),
        ..super::connect::connecting()
    };
    let status = super::connect::sign_in_by(&world.engine, drive).await;
    assert_eq!(status.client_id.as_deref(), Some("client-1"));
    let drive = |request: &mut TokenRequest| request.provider = "google_drive".to_owned();
    assert_eq!(world.token_for(drive).await.unwrap(), "at-1");
    google.client_id = Some("client-2".to_owned());
    world.engine.configure(google).await.unwrap();
    assert_eq!(
        world.token_for(drive).await.unwrap_err().code(),
        "client_changed"
    );
}
