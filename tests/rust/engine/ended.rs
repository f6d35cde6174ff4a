//! No attempt seems to run for ever, and none is remembered longer than it matters.

use std::sync::atomic::Ordering;

use _core::error::ErrorKind;
use _core::store::EndingOutcome;

use super::server::Answer;
use super::{SERVICE, USER, World};

#[tokio::test]
async fn an_attempt_whose_refusal_could_not_be_stored_does_not_seem_to_run() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.server.answers(Answer::error("invalid_grant"));
    world.store.failing_commits.store(1, Ordering::SeqCst);
    let error = world.token().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Store);
    let ending = world.ending(USER).await.expect("it ended");
    assert_eq!(ending.outcome, EndingOutcome::Unknown);
}

#[tokio::test]
async fn a_rest_ends_with_a_disconnect() {
    let world = World::bare().await.service().await;
    world.token().await.unwrap();
    world.advance(3600);
    world.server.answers(Answer::empty(503));
    world.token().await.unwrap_err();
    let left = world
        .engine
        .disconnect("acme", Some(SERVICE), "default", false);
    left.await.unwrap();
    world.token().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_a_failing_store_could_not_end_ends_when_the_store_has_recovered() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.store.full.store(true, Ordering::SeqCst);
    world.store.failing_endings.store(4, Ordering::SeqCst);
    let error = world.token().await.unwrap_err();
    assert_eq!(error.code(), "disk_full", "not what failed after it");
    world.store.full.store(false, Ordering::SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2", "nobody is held off");
}
