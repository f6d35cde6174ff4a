//! A reply on its way into the store: what fails, what is kept, and what is served meanwhile.

use std::sync::atomic::Ordering::SeqCst;

use _core::engine::runtime;
use _core::store::Store;
use serde_json::json;

use super::{Answer, SERVICE, USER, World, acme, kind_of, token_of, until, within};

/// `at-1` is over, and the store fails so many commits.
async fn failing(commits: u32) -> World {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.store.failing_commits.store(commits, SeqCst);
    world
}

/// Waits until the store has the reply that it could not take before.
async fn stored_later(world: &World) {
    let before = world.loaded().await.generation();
    world.store.failing_commits.store(0, SeqCst);
    until("the commit", async || {
        world.loaded().await.generation() > before
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_fails_is_tried_again() {
    let world = failing(3).await;
    assert_eq!(world.token().await.unwrap(), "at-2");
    let other = world.another().await;
    assert_eq!(token_of(&other).await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_reply_that_is_safe_in_its_slot_serves_and_is_stored_later() {
    let world = failing(u32::MAX).await;
    assert_eq!(world.token().await.unwrap(), "at-2");
    assert_eq!(world.token().await.unwrap(), "at-2", "from the cache");
    assert_eq!(world.server.count(), 2);
    stored_later(&world).await;
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
}

#[tokio::test]
async fn a_reply_that_could_not_be_stored_is_stored_before_the_next_request() {
    let world = failing(u32::MAX).await;
    assert_eq!(world.token().await.unwrap(), "at-2");
    world.advance(3600);
    assert_eq!(
        kind_of(&world.token().await.unwrap_err()),
        "store",
        "nothing is sent meanwhile"
    );
    assert_eq!(world.server.count(), 2);
    world.store.failing_commits.store(0, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
}

#[tokio::test]
async fn a_reply_that_is_nowhere_on_disk_raises_and_is_kept_in_memory() {
    for broken in ["unwritable", "unflushable"] {
        let world = failing(u32::MAX).await;
        let slots = &world.store.slots;
        match broken {
            "unwritable" => slots.unwritable.store(true, SeqCst),
            _ => slots.unflushable.store(true, SeqCst),
        }
        assert_eq!(
            kind_of(&world.token().await.unwrap_err()),
            "store",
            "{broken}"
        );
        assert!(
            runtime::unfinished(),
            "{broken}: the process does not end with it"
        );
        stored_later(&world).await;
        assert_eq!(world.token().await.unwrap(), "at-2", "{broken}");
        assert_eq!(world.server.count(), 2, "{broken}");
    }
}

#[tokio::test]
async fn a_reply_is_in_its_slot_though_the_store_cannot_be_read_since_the_request_left() {
    let world = failing(0).await;
    world.store.slots.written.lock().unwrap().clear();
    let reply = Answer::token("at-2", Some("rt-2"), json!({}));
    let hold = world.server.holds(reply);
    let caller = world.calling();
    hold.arrived().await;
    world.store.keyless.store(true, SeqCst);
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
    assert_eq!(world.store.slots.written.lock().unwrap().len(), 1);
    world.store.keyless.store(false, SeqCst);
    stored_later(&world).await;
}

#[tokio::test]
async fn a_slot_that_cannot_be_written_costs_nothing_while_the_store_works() {
    let world = failing(0).await;
    world.store.slots.unwritable.store(true, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_slot_that_cannot_be_emptied_is_no_reason_to_fail() {
    let world = failing(u32::MAX).await;
    world.store.slots.never_empty.store(true, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
    stored_later(&world).await;
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-3");
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-4");
}

#[tokio::test]
async fn nothing_that_rotated_is_lost_by_a_service_token_that_cannot_be_stored() {
    let world = World::bare().await.service().await;
    world.store.failing_commits.store(u32::MAX, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
    world.store.failing_commits.store(0, SeqCst);
}

#[tokio::test]
async fn only_a_new_refresh_token_goes_through_a_slot() {
    let world = World::bare().await.imported().await;
    world.server.answers(Answer::token("at-1", None, json!({})));
    world.token().await.unwrap();
    assert_eq!(world.store.slots.written.lock().unwrap().len(), 0);
    world.advance(3600);
    world.token().await.unwrap();
    assert_eq!(world.store.slots.written.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_slot_holds_neither_token_in_clear() {
    let world = World::bare().await.connected().await;
    let written = world.store.slots.written.lock().unwrap();
    let blob = String::from_utf8_lossy(&written[0].sealed.blob).into_owned();
    assert!(!blob.contains("at-1") && !blob.contains("rt-1"));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_rests_after_a_failure_all_the_same() {
    let world = World::bare().await.service().await;
    world.store.read_only.store(true, SeqCst);
    world
        .server
        .answers(Answer::json(503, "retry-after: 60\r\n", "{}"));
    for passes in [0, 59] {
        world.advance(passes);
        let error = world.token().await.unwrap_err();
        assert_eq!((kind_of(&error), world.server.count()), ("unavailable", 1));
    }
    world.advance(2);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_serves_what_is_valid() {
    let world = World::bare().await.connected().await;
    world.store.read_only.store(true, SeqCst);
    let reader = world.another().await;
    assert_eq!(token_of(&reader).await.unwrap(), "at-1");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_refreshes_service_grants_unrecorded() {
    let world = World::bare().await.service().await;
    world.store.read_only.store(true, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.token().await.unwrap(), "at-1", "from the cache");
    assert_eq!(
        world.loaded_of(SERVICE, "").await,
        _core::store::Loaded::default()
    );
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_refreshes_what_never_rotates() {
    let world = World::with_file(&acme("{rotates: never}", ""))
        .await
        .connected()
        .await;
    world.store.read_only.store(true, SeqCst);
    world.advance(3600);
    world.server.answers(Answer::token("at-2", None, json!({})));
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_sends_nothing_that_may_rotate() {
    let world = World::bare().await.connected().await;
    world.store.read_only.store(true, SeqCst);
    world.advance(3600);
    let error = world.token().await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("store", "store_read_only")
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_service_that_is_refused_on_a_store_that_cannot_be_written_is_rejected() {
    let world = World::bare().await.service().await;
    world.store.read_only.store(true, SeqCst);
    for code in ["invalid_client", "invalid_grant"] {
        world.server.answers(Answer::error(code));
        assert_eq!(
            kind_of(&world.token().await.unwrap_err()),
            "rejected",
            "{code}"
        );
    }
}

#[tokio::test]
async fn what_must_write_fails_at_once_on_a_store_that_cannot_be_written() {
    let world = World::bare().await.connected().await;
    world.store.read_only.store(true, SeqCst);
    let configured = world.configure_with(USER, |_| {}).await.map(drop);
    let imported =
        world
            .engine
            .import_refresh_token("acme", "rt-9".into(), Some(USER), "default", &[]);
    let left = world.engine.disconnect("acme", None, "default", true);
    let removed = world.engine.remove("acme", None, true);
    for outcome in [
        configured,
        imported.await.map(drop),
        left.await.map(drop),
        removed.await.map(drop),
    ] {
        assert_eq!(outcome.unwrap_err().code(), "store_read_only");
    }
    assert_eq!(world.server.received("/revoke").len(), 0);
}

#[tokio::test]
async fn a_store_that_seems_read_only_for_a_moment_loses_no_grant() {
    for others in 0..8 {
        let world = World::bare().await.connected().await;
        world.advance(3600);
        *world.store.read_only_once.lock().unwrap() = Some(others);
        if let Err(error) = world.token().await {
            assert_eq!(error.code(), "store_read_only");
        }
        *world.store.read_only_once.lock().unwrap() = None;
        let other = world.another().await;
        assert_eq!(token_of(&other).await.unwrap(), "at-2", "{others}");
        assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"], "{others}");
    }
}

#[tokio::test]
async fn an_attempt_that_cannot_be_ended_at_once_is_ended_a_little_later() {
    let world = World::bare().await.service().await;
    world.store.failing_endings.store(3, SeqCst);
    world.server.answers(Answer::empty(503));
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "unavailable");
    world.advance(2);
    assert_eq!(world.token().await.unwrap(), "at-2", "nobody is held off");
}

#[tokio::test]
async fn what_happened_is_in_the_audit_trail_without_the_providers_words() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.server.answers(Answer::error("invalid_grant"));
    world.token().await.unwrap_err();
    world.import("default", "rt-9").await;
    world
        .engine
        .disconnect("acme", None, "default", false)
        .await
        .unwrap();
    let events = world.store.events("default", 9).await.unwrap();
    let what: Vec<_> = events
        .iter()
        .rev()
        .map(|event| event.what.as_str())
        .collect();
    assert_eq!(
        what,
        [
            "imported",
            "refreshed",
            "refused",
            "imported",
            "disconnecting",
            "disconnected"
        ]
    );
    assert!(events.iter().all(|event| !event.reason.contains("about")));
}
