//! Failures make rest: longer each time, spread, as long as the server asks, and for every process alike.

use std::time::Duration;

use _core::engine::TokenRequest;
use _core::engine::freshness::back_off;
use _core::store::EndingOutcome;

use super::{Answer, SERVICE, USER, World, kind_of, retry_after, token_of};

fn asking_to_wait(seconds: u64) -> Answer {
    Answer::json(429, &format!("Retry-After: {seconds}\r\n"), "{}")
}

#[test]
fn rests_double_from_a_second_to_five_minutes_and_are_spread_by_half() {
    let table = [
        (1, 1.0),
        (2, 2.0),
        (3, 4.0),
        (4, 8.0),
        (9, 256.0),
        (10, 300.0),
        (11, 300.0),
        (u32::MAX, 300.0),
    ];
    for (failures, longest) in table {
        let rest = |random| back_off(failures, None, random).as_secs_f64();
        assert_eq!(
            (rest(0.0), rest(1.0)),
            (longest / 2.0, longest),
            "after {failures}"
        );
        assert!(rest(0.25) < rest(0.75), "after {failures}");
    }
}

#[test]
fn a_rest_is_never_shorter_than_the_server_asks_nor_longer_than_a_day() {
    let minute = Duration::from_secs(60);
    assert_eq!(back_off(1, Some(minute), 0.5), minute);
    assert_eq!(back_off(10, Some(minute), 1.0), Duration::from_secs(300));
    assert_eq!(
        back_off(1, Some(Duration::MAX), 0.5),
        Duration::from_secs(86_400)
    );
}

#[tokio::test]
async fn failures_in_a_row_rest_longer_and_a_success_forgets_them() {
    let world = World::bare().await.service().await;
    for failures in 1..=5 {
        world.server.answers(Answer::empty(503));
        world.token().await.unwrap_err();
        let ending = world.ending(SERVICE).await.unwrap();
        assert_eq!(ending.failures, failures);
        let rest = ending
            .retry_at
            .unwrap()
            .since(world.clock.wall())
            .as_secs_f64();
        let longest = f64::from(1 << (failures - 1));
        assert!(
            (longest / 2.0..=longest).contains(&rest),
            "{rest} s after {failures}"
        );
        world.advance(1 << failures);
    }
    world.token().await.unwrap();
    assert_eq!(world.loaded_of(SERVICE, "").await.attempt, None);
}

#[tokio::test]
async fn retry_after_is_honoured_and_told() {
    let world = World::bare().await.service().await;
    world.server.answers(asking_to_wait(120));
    let error = world.token().await.unwrap_err();
    assert_eq!(retry_after(&error), Some(Duration::from_secs(120)));
    world.advance(119);
    let error = world.token().await.unwrap_err();
    assert_eq!(retry_after(&error), Some(Duration::from_secs(1)));
    assert_eq!(world.server.count(), 1);
    world.advance(1);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_rest_holds_for_every_process() {
    let world = World::bare().await.service().await;
    world.server.answers(asking_to_wait(60));
    world.token().await.unwrap_err();
    let other = world.another().await;
    let error = token_of(&other).await.unwrap_err();
    assert_eq!(retry_after(&error), Some(Duration::from_secs(60)));
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_new_configuration_ends_a_rest() {
    let world = World::bare().await.service().await;
    world.server.answers(Answer::error("invalid_client"));
    let error = world.token().await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("rejected", "invalid_client")
    );
    assert_eq!(
        world.token().await.unwrap_err().kind(),
        error.kind(),
        "and it says the same meanwhile"
    );
    world
        .configure_with(SERVICE, |request| {
            request.client_secret = Some("right".into())
        })
        .await
        .unwrap();
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_new_configuration_does_not_let_an_unknown_outcome_be_repeated() {
    let world = World::bare().await.connected().await;
    world.advance(3571);
    world.server.answers(Answer::cut());
    let explicit = |request: &mut TokenRequest| request.min_ttl = Some(Duration::from_secs(60));
    world.token_for(explicit).await.unwrap_err();
    world
        .configure_with(USER, |request| request.client_secret = Some("new".into()))
        .await
        .unwrap();
    world.token_for(explicit).await.unwrap_err();
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn while_it_rests_a_valid_token_serves_who_wants_nothing_special() {
    let world = World::bare().await.connected().await;
    world.advance(3571);
    world.server.answers(asking_to_wait(300));
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(
        world.ending(USER).await.unwrap().outcome,
        EndingOutcome::NotProcessed
    );
    let explicit = |request: &mut TokenRequest| request.min_ttl = Some(Duration::from_secs(30));
    let error = world.token_for(explicit).await.unwrap_err();
    assert_eq!(retry_after(&error), Some(Duration::from_secs(300)));
    world.advance(29);
    assert_eq!(
        kind_of(&world.token().await.unwrap_err()),
        "unavailable",
        "it is over"
    );
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn within_the_margin_nothing_is_sent_in_the_background_while_it_rests() {
    let world = World::bare().await.connected().await;
    world.advance(3400);
    world.server.answers(asking_to_wait(60));
    assert_eq!(world.token().await.unwrap(), "at-1");
    super::until("the failure", async || world.ending(USER).await.is_some()).await;
    world.advance(59);
    assert_eq!(world.token().await.unwrap(), "at-1");
    super::flight::all_waiting().await;
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_lengthens_no_rest() {
    let world = World::bare().await.service().await;
    world.server.answers(asking_to_wait(60));
    world.token().await.unwrap_err();
    world.clock.jump_wall(-86_400_000);
    assert_eq!(world.token().await.unwrap(), "at-2");
}
