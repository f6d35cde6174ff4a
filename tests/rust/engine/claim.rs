//! One request anywhere: two processes on one store, processes that died, and everything that may happen in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use _core::clock::Monotonic;
use _core::engine::TokenRequest;
use _core::store::{
    AttemptId, Claimant, Claimed, Ending, EndingOutcome, Orphan, Owner, Store, StoredState,
};
use _core::system;
use serde_json::json;

use super::{
    Answer, SERVICE, USER, World, acme, key_of, kind_of, retry_after, token_of, until, value,
    within,
};

/// A process of this boot and namespace that is gone.
fn gone() -> Owner {
    Owner {
        start_time: system::owner().start_time - 1,
        ..system::owner()
    }
}

/// A process of this boot in another container, of which nobody here can say whether it lives.
fn unseen() -> Owner {
    Owner {
        pid_namespace: system::owner().pid_namespace + 1,
        ..system::owner()
    }
}

/// An attempt of `owner` that has just begun.
async fn attempt_of(world: &World, owner: Owner) {
    let now = world.monotonic();
    let claimant = Claimant {
        attempt: AttemptId([9; 16]),
        owner,
        now,
        deadline: now.after(Duration::from_secs(150)),
        generation: world.loaded().await.generation(),
    };
    let claimed = world.store.claim(&key_of(USER), claimant).await.unwrap();
    assert!(matches!(claimed, Claimed::Ours { .. }));
}

impl World {
    fn monotonic(&self) -> Monotonic {
        self.engine.clock().monotonic()
    }

    /// Another process refreshes, has `at-2` and `rt-2`, and dies before it commits: its reply is in its slot.
    pub(super) async fn dies_with_the_reply(&self) {
        self.store.failing_commits.store(u32::MAX, Ordering::SeqCst);
        let slots = Arc::clone(&self.store.slots);
        slots.written.lock().unwrap().clear();
        let caller = self.calling();
        until("the reply", async || {
            !slots.written.lock().unwrap().is_empty()
        })
        .await;
        caller.abort();
        let spilled = slots.written.lock().unwrap()[0].clone();
        let orphan = Orphan {
            spilled,
            place: (std::path::PathBuf::from("gone"), 0),
        };
        self.store.left.lock().unwrap().push(orphan);
    }
}

async fn one_request_of_two_processes(world: World) {
    let world = world.connected().await;
    world.advance(3600);
    let other = world.another().await;
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let first = world.calling();
    hold.arrived().await;
    let second = tokio::spawn(async move { token_of(&other).await });
    super::flight::all_waiting().await;
    assert_eq!(world.server.count(), 2);
    hold.release();
    assert_eq!(within(first).await.unwrap().unwrap(), "at-2");
    assert_eq!(within(second).await.unwrap().unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn a_second_process_waits_and_adopts() {
    one_request_of_two_processes(World::bare().await).await;
}

#[tokio::test]
async fn a_second_process_waits_and_adopts_on_a_file() {
    one_request_of_two_processes(World::sqlite().await).await;
}

#[tokio::test]
async fn eight_processes_with_eight_tasks_each_send_one_request_at_expiry() {
    let world = World::sqlite().await.connected().await;
    world.advance(3600);
    let mut callers = Vec::new();
    for _ in 0..8 {
        let engine = world.another().await;
        callers.extend((0..8).map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { token_of(&engine).await })
        }));
    }
    for caller in callers {
        assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
    }
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn a_refresh_that_was_asked_for_adopts_what_another_process_just_brought() {
    let world = World::bare().await.connected().await;
    let other = world.another().await;
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let engine = Arc::clone(&world.engine);
    let first = tokio::spawn(async move { engine.refresh_now("acme", None, "default").await });
    hold.arrived().await;
    let second = tokio::spawn(async move { other.refresh_now("acme", None, "default").await });
    super::flight::all_waiting().await;
    hold.release();
    assert!(within(first).await.unwrap().unwrap().ok);
    assert!(within(second).await.unwrap().unwrap().ok);
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_refresh_that_is_asked_for_refreshes_whatever_the_age() {
    for age in [0, 3400, 3580] {
        let world = World::bare().await.connected().await;
        world.advance(age);
        let report = world
            .engine
            .refresh_now("acme", None, "default")
            .await
            .unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!(world.server.count(), 2, "at the age of {age}");
    }
}

#[tokio::test]
async fn the_claim_of_a_process_that_died_is_taken_over_at_once_when_nothing_is_left_to_lose() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    attempt_of(&world, gone()).await;
    assert_eq!(world.token().await.unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn after_a_death_the_refresh_token_is_not_used_again_while_the_access_token_works() {
    let world = World::bare().await.connected().await;
    world.advance(3571);
    attempt_of(&world, gone()).await;
    let explicit = |request: &mut TokenRequest| request.min_ttl = Some(Duration::from_secs(60));
    let error = world.token_for(explicit).await.unwrap_err();
    assert_eq!(retry_after(&error), Some(Duration::from_secs(29)));
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(
        world.ending(USER).await.unwrap().outcome,
        EndingOutcome::Unknown
    );
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert!(
        status
            .last_error
            .unwrap()
            .contains("ended before the reply was stored")
    );
    world.advance(29);
    world.server.answers(Answer::error("invalid_grant"));
    let error = world.token().await.unwrap_err();
    assert!(error.reason().contains("was lost"), "{error}");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn after_a_death_the_refresh_token_is_used_again_inside_its_grace_and_not_after_it() {
    for (waited, sent) in [(10, 2), (31, 1)] {
        let world = World::with_file(&acme("{rotates: always, grace: 30}", ""))
            .await
            .connected()
            .await;
        world.advance(60);
        attempt_of(&world, gone()).await;
        world.advance(waited);
        let _ = world
            .token_for(|request| request.min_ttl = Some(Duration::from_secs(3600)))
            .await;
        let _ = world
            .token_for(|request| request.min_ttl = Some(Duration::from_secs(3600)))
            .await;
        assert_eq!(world.server.count(), sent, "{waited} s after the death");
    }
}

#[tokio::test]
async fn an_owner_that_cannot_be_seen_is_waited_for_until_its_deadline() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    attempt_of(&world, unseen()).await;
    let caller = world.calling();
    super::flight::all_waiting().await;
    assert_eq!(world.server.count(), 1);
    world.advance(149);
    super::flight::all_waiting().await;
    assert_eq!(world.server.count(), 1);
    world.advance(1);
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
}

#[tokio::test]
async fn an_abandoned_service_request_is_simply_sent_again() {
    let world = World::bare().await.service().await;
    assert_eq!(world.token().await.unwrap(), "at-1");
    world.advance(3571);
    let now = world.monotonic();
    let claimant = Claimant {
        attempt: AttemptId([9; 16]),
        owner: gone(),
        now,
        deadline: now.after(Duration::from_secs(150)),
        generation: world.loaded_of(SERVICE, "").await.generation(),
    };
    world.store.claim(&key_of(SERVICE), claimant).await.unwrap();
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn the_reply_that_a_dead_process_left_is_stored_instead_of_asking() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    world.advance(151);
    let survivor = world.another_with_what_was_left().await;
    assert_eq!(token_of(&survivor).await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
    world.advance(3600);
    token_of(&survivor).await.unwrap();
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
}

#[tokio::test]
async fn the_reply_of_a_process_that_dies_meanwhile_is_stored_instead_of_asking() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    let survivor = world.another_with_what_is_left_later().await;
    world.advance(151);
    assert_eq!(token_of(&survivor).await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_reply_left_behind_is_stored_although_another_attempt_has_ended_since() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    let survivor = world.another_with_what_is_left_later().await;
    let running = world.loaded().await.attempt.unwrap();
    let ending = Ending {
        outcome: EndingOutcome::Unknown,
        failures: 1,
        retry_at: None,
        at: world.clock.wall(),
        note: None,
    };
    let settled = world
        .store
        .reliable()
        .settle(&key_of(USER), running.id, ending)
        .await;
    assert!(settled.unwrap());
    assert_eq!(token_of(&survivor).await.unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn a_reply_older_than_a_reconnect_is_thrown_away() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    let survivor = world.another_on_a_sound_store().await;
    let imported =
        survivor.import_refresh_token("acme", "rt-new".into(), Some(USER), "default", &[]);
    imported.await.unwrap();
    world.advance(151);
    let survivor = world.another_with_what_was_left().await;
    assert_eq!(token_of(&survivor).await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-new"]);
}

#[tokio::test]
async fn a_reply_that_does_not_open_stands_in_nobodys_way() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    world.store.left.lock().unwrap()[0]
        .spilled
        .sealed
        .blob
        .fill(0);
    world.advance(151);
    let survivor = world.another_with_what_was_left().await;
    assert_eq!(token_of(&survivor).await.unwrap(), "at-3");
}

#[tokio::test]
async fn without_room_for_the_reply_nothing_is_sent_and_the_claim_is_given_back() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.store.full.store(true, Ordering::SeqCst);
    let error = world.token().await.unwrap_err();
    assert_eq!((kind_of(&error), error.code()), ("store", "disk_full"));
    assert_eq!(world.server.count(), 1);
    world.store.full.store(false, Ordering::SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn without_room_what_a_dead_process_left_unknown_stays_unknown() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    attempt_of(&world, gone()).await;
    world.store.full.store(true, Ordering::SeqCst);
    assert_eq!(world.token().await.unwrap_err().code(), "disk_full");
    world.store.full.store(false, Ordering::SeqCst);
    world.server.answers(Answer::error("invalid_grant"));
    let error = world.token().await.unwrap_err();
    assert!(error.reason().contains("was lost"), "{error}");
}

#[tokio::test]
async fn what_cannot_rotate_needs_no_room() {
    let service = World::bare().await.service().await;
    let never = World::with_file(&acme("{rotates: never}", ""))
        .await
        .imported()
        .await;
    for world in [service, never] {
        world.store.full.store(true, Ordering::SeqCst);
        assert_eq!(world.token().await.unwrap(), "at-1");
    }
}

#[tokio::test]
async fn what_ended_between_the_look_and_the_claim_counts() {
    for outcome in [EndingOutcome::NotProcessed, EndingOutcome::Unknown] {
        let world = World::bare().await.connected().await;
        world.advance(3571);
        attempt_of(&world, system::owner()).await;
        let now = world.clock.wall();
        *world.store.ends_before_claim.lock().unwrap() = Some(Ending {
            outcome,
            failures: 3,
            retry_at: Some(now.after(Duration::from_secs(20))),
            at: now,
            note: None,
        });
        let explicit = |request: &mut TokenRequest| request.min_ttl = Some(Duration::from_secs(60));
        let error = world.token_for(explicit).await.unwrap_err();
        assert_eq!(kind_of(&error), "unavailable", "{outcome:?}");
        assert_eq!(world.server.count(), 1, "{outcome:?}");
        assert_eq!(world.ending(USER).await.unwrap().failures, 3, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_leader_that_was_slow_to_send_looks_again() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let clock = Arc::clone(&world.clock);
    let slow = move || clock.advance(Duration::from_secs(16));
    *world.store.while_reserving.lock().unwrap() = Some(Box::new(slow));
    let before = world.store.reservations.load(Ordering::SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
    let reserved = world.store.reservations.load(Ordering::SeqCst) - before;
    assert_eq!(reserved, 2, "with 134 s left it did not send");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_reconnect_during_a_refresh_wins_and_the_reply_is_dropped() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-of-old-account", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    world.import("default", "rt-new").await;
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-new"]);
}

#[tokio::test]
async fn a_sign_in_during_a_refresh_wins_and_its_token_is_handed_out() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-of-old-account", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    super::connect::sign_in(&world, Answer::token("at-new", Some("rt-new"), json!({}))).await;
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-new");
    assert_eq!(world.token().await.unwrap(), "at-new");
}

#[tokio::test]
async fn a_refresh_after_a_reconnect_uses_the_new_grant() {
    let world = World::bare().await.connected().await;
    world.import("default", "rt-new").await;
    assert_eq!(world.token().await.unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-new"]);
}

#[tokio::test]
async fn what_is_issued_during_a_disconnect_is_revoked_and_nobody_gets_it() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    assert!(
        world
            .engine
            .disconnect("acme", None, "default", true)
            .await
            .unwrap()
            .ok
    );
    hold.release();
    assert_eq!(
        kind_of(&within(caller).await.unwrap().unwrap_err()),
        "not connected"
    );
    let revoked: Vec<_> = world
        .server
        .received("/revoke")
        .iter()
        .map(|request| request.form["token"].clone())
        .collect();
    assert_eq!(revoked, ["rt-1", "rt-2"]);
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
    assert_eq!(world.loaded().await.token, None);
}

#[tokio::test]
async fn what_is_issued_during_a_remove_is_revoked_and_nobody_gets_it() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    assert!(
        world
            .engine
            .remove("acme", Some(USER), true)
            .await
            .unwrap()
            .ok
    );
    hold.release();
    assert_eq!(
        kind_of(&within(caller).await.unwrap().unwrap_err()),
        "not connected"
    );
    assert_eq!(world.server.received("/revoke").len(), 2);
    assert_eq!(world.loaded().await.token, None);
}

#[tokio::test]
async fn a_first_service_token_issued_during_a_remove_is_not_stored() {
    let world = World::bare().await.service().await;
    let hold = world.server.holds(Answer::token("at-1", None, json!({})));
    let caller = world.calling();
    hold.arrived().await;
    world
        .engine
        .remove("acme", Some(SERVICE), true)
        .await
        .unwrap();
    hold.release();
    assert!(within(caller).await.unwrap().is_err());
    assert_eq!(world.loaded_of(SERVICE, "").await.token, None);
    assert_eq!(world.server.received("/revoke").len(), 1);
}

#[tokio::test]
async fn after_a_disconnect_nothing_is_refreshed() {
    let world = World::bare().await.connected().await;
    world
        .engine
        .disconnect("acme", None, "default", true)
        .await
        .unwrap();
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
    assert_eq!(world.server.count(), 1);
    let slot = world.engine.cached(&super::request());
    assert_eq!(slot.map(|slot| value(&slot)), None);
}
