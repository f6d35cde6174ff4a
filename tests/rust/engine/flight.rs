//! One request for all who want the same token.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use _core::engine::TokenRequest;
use _core::engine::flight::Flights;

use super::{Answer, USER, World, key_of, kind_of, request, token_of, until, value, within};

/// Gives callers the time to take their seats: nothing tells from outside that they have.
pub(super) async fn all_waiting() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn one_request_for_64_tasks(world: World) {
    let world = world.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), serde_json::json!({})));
    let callers: Vec<_> = (0..64).map(|_| world.calling()).collect();
    hold.arrived().await;
    all_waiting().await;
    hold.release();
    for caller in callers {
        assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
    }
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn tasks_share_one_request() {
    one_request_for_64_tasks(World::bare().await).await;
}

#[tokio::test]
async fn tasks_share_one_request_on_a_file() {
    one_request_for_64_tasks(World::sqlite().await).await;
}

#[tokio::test]
async fn tasks_share_one_request_where_no_claim_can_be_written() {
    let world = World::bare().await.service().await;
    world.store.read_only.store(true, SeqCst);
    let hold = world
        .server
        .holds(Answer::token("at-1", None, serde_json::json!({})));
    let callers: Vec<_> = (0..64).map(|_| world.calling()).collect();
    hold.arrived().await;
    all_waiting().await;
    hold.release();
    for caller in callers {
        assert_eq!(within(caller).await.unwrap().unwrap(), "at-1");
    }
    assert_eq!(world.server.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_share_one_request() {
    let world = World::sqlite().await.connected().await;
    world.advance(3600);
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let engine = Arc::clone(&world.engine);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(token_of(&engine)).unwrap()
            })
        })
        .collect();
    let answers = tokio::task::spawn_blocking(|| {
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let answers: Vec<String> = within(answers).await.unwrap();
    assert_eq!(answers, vec!["at-2"; 16]);
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_failure_is_shared_as_well() {
    let world = World::bare().await.imported().await;
    let hold = world.server.holds(Answer::empty(503));
    let callers: Vec<_> = (0..16).map(|_| world.calling()).collect();
    hold.arrived().await;
    all_waiting().await;
    hold.release();
    for caller in callers {
        assert_eq!(
            kind_of(&within(caller).await.unwrap().unwrap_err()),
            "unavailable"
        );
    }
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn who_stops_waiting_does_not_stop_the_request() {
    let world = World::bare().await.imported().await;
    let hold = world
        .server
        .holds(Answer::token("at-1", Some("rt-1"), serde_json::json!({})));
    let caller = world.calling();
    hold.arrived().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    hold.release();
    until("the commit", async || world.loaded().await.token.is_some()).await;
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn all_who_report_the_same_refused_token_share_one_refresh() {
    let world = World::bare().await.connected().await;
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), serde_json::json!({})));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let engine = Arc::clone(&world.engine);
            tokio::spawn(async move {
                let refused = TokenRequest {
                    replacing: Some("at-1".into()),
                    ..request()
                };
                engine.get_token(&refused).await.map(|slot| value(&slot))
            })
        })
        .collect();
    hold.arrived().await;
    all_waiting().await;
    hold.release();
    for caller in callers {
        assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
    }
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn connections_do_not_wait_for_each_other() {
    let world = World::bare().await.imported().await;
    world.import("bob", "rt-bob").await;
    let hold = world
        .server
        .holds(Answer::token("at-alice", None, serde_json::json!({})));
    let alice = world.calling();
    hold.arrived().await;
    assert_eq!(
        world
            .token_for(|request| request.connection = "bob".to_owned())
            .await
            .unwrap(),
        "at-2"
    );
    hold.release();
    assert_eq!(within(alice).await.unwrap().unwrap(), "at-alice");
}

#[tokio::test]
async fn resources_of_one_grant_are_refreshed_one_after_the_other() {
    let world = World::bare().await.imported().await;
    let hold = world
        .server
        .holds(Answer::token("at-1", Some("rt-1"), serde_json::json!({})));
    let first = world.calling();
    hold.arrived().await;
    let engine = Arc::clone(&world.engine);
    let second = tokio::spawn(async move {
        let other = TokenRequest {
            resource: Some("https://other.example".to_owned()),
            ..request()
        };
        engine.get_token(&other).await.map(|slot| value(&slot))
    });
    all_waiting().await;
    assert_eq!(world.server.count(), 1);
    hold.release();
    assert_eq!(within(first).await.unwrap().unwrap(), "at-1");
    assert_eq!(within(second).await.unwrap().unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn who_comes_during_a_flight_boards_it_and_starts_none() {
    let flights = Flights::default();
    let (release, released) = tokio::sync::oneshot::channel();
    let first = flights.board(&key_of(USER), "", || async {
        released.await.unwrap();
        Err(_core::error::Error::internal("landed"))
    });
    let second = flights.board(&key_of(USER), "", || async { panic!("a second flight") });
    assert!(first.leads && !second.leads);
    release.send(()).unwrap();
    assert_eq!(
        within(second.landed()).await.unwrap_err().reason(),
        "landed"
    );
}

#[tokio::test]
async fn a_panic_ends_the_flight_with_an_error_and_the_next_one_starts() {
    let flights = Flights::default();
    let seat = flights.board(&key_of(USER), "", || async { panic!("on purpose") });
    assert!(seat.leads);
    assert_eq!(
        kind_of(&within(seat.landed()).await.unwrap_err()),
        "internal"
    );
    let next = flights.board(&key_of(USER), "", || async {
        Err(_core::error::Error::internal("landed"))
    });
    assert!(next.leads);
    assert_eq!(within(next.landed()).await.unwrap_err().reason(), "landed");
}

#[tokio::test]
async fn an_unfinished_request_is_counted_until_it_landed() {
    let world = World::bare().await.imported().await;
    let hold = world
        .server
        .holds(Answer::token("at-1", None, serde_json::json!({})));
    let caller = world.calling();
    hold.arrived().await;
    assert!(_core::engine::runtime::unfinished());
    hold.release();
    within(caller).await.unwrap().unwrap();
}
