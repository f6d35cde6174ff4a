//! Clocks that are set, stand still or start anew: no token is handed out longer than the server said, and nothing else
//! lasts longer than it was to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use _core::clock::{ManualClock, Timestamp};
use _core::engine::Engine;
use _core::engine::cache::Slot;
use _core::error::Result;
use proptest::prelude::*;
use serde_json::json;

use super::{Answer, World, acme, engine_on, kind_of, request, token_of, value, within};
use crate::support::NOW;

const HOUR: i64 = 3_600_000;
const DAYS: i64 = 48 * HOUR;

async fn slot_of(engine: &Arc<Engine>) -> Arc<Slot> {
    within(engine.get_token(&request())).await.unwrap()
}

impl World {
    /// How long a token is said to live, in seconds, by what the wall clock shows now.
    fn said(&self, slot: &Slot) -> i64 {
        let clock = self.engine.clock();
        let ends = slot.stored.ends_at(clock).expect("it says so");
        (ends.millis() - clock.wall().millis()) / 1000
    }
}

// After the token was obtained

#[tokio::test]
async fn a_clock_set_back_lengthens_no_token_in_this_process_nor_in_another() {
    for set_back in [HOUR / 2, DAYS] {
        let world = World::bare().await.connected().await;
        world.advance(1800);
        world.clock.jump_wall(-set_back);
        let other = world.another().await;
        for engine in [&world.engine, &other] {
            let slot = slot_of(engine).await;
            assert_eq!((value(&slot), world.said(&slot)), ("at-1".to_owned(), 1800));
        }
        world.advance(1800);
        assert_eq!(token_of(&other).await.unwrap(), "at-2", "{set_back}");
        assert_eq!(world.token().await.unwrap(), "at-2", "{set_back}");
        assert_eq!(world.server.count(), 2, "{set_back}");
    }
}

#[tokio::test]
async fn a_clock_set_forward_and_back_again_costs_one_refresh() {
    let world = World::bare().await.connected().await;
    world.clock.jump_wall(DAYS);
    assert_eq!(world.token().await.unwrap(), "at-2");
    world.clock.jump_wall(-DAYS);
    let other = world.another().await;
    let slot = slot_of(&other).await;
    assert_eq!((value(&slot), world.said(&slot)), ("at-2".to_owned(), 3600));
    world.advance(3600);
    assert_eq!(world.token().await.unwrap(), "at-3");
}

#[tokio::test]
async fn status_says_no_more_than_the_server_did_after_a_clock_was_set_back() {
    let world = World::bare().await.connected().await;
    world.advance(600);
    world.clock.jump_wall(-DAYS);
    let status = world.engine.status("acme", None, "default").await.unwrap();
    let left = status.expires_at.unwrap().since(world.clock.wall());
    assert_eq!(left, Duration::from_secs(3000));
}

#[tokio::test]
async fn a_machine_that_slept_past_the_expiry_refreshes() {
    let world = World::bare().await.connected().await;
    world.clock.suspend(Duration::from_secs(3601));
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_record_of_another_boot_is_judged_by_the_wall_clock_and_from_the_future_is_over() {
    for (wall, expected) in [(-DAYS, "at-2"), (HOUR / 2, "at-1"), (HOUR, "at-2")] {
        let world = World::bare().await.connected().await;
        let rebooted = Arc::new(ManualClock::new(Timestamp::from_millis(NOW + wall)));
        let engine = engine_on(world.store.clone(), &rebooted, &world.folder).await;
        assert_eq!(token_of(&engine).await.unwrap(), expected, "{wall}");
    }
}

#[tokio::test]
async fn a_rest_in_memory_ends_in_time_whatever_the_wall_clock_shows() {
    let world = World::bare().await.service().await;
    world.store.read_only.store(true, SeqCst);
    let busy = Answer::json(503, "retry-after: 60\r\n", "{}");
    world.server.answers(busy);
    world.token().await.unwrap_err();
    world.clock.jump_wall(-DAYS);
    world.advance(59);
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "unavailable");
    world.advance(2);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_clock_set_back_lengthens_no_grace() {
    let world = World::with_file(&acme("{rotates: always, grace: 30}", ""))
        .await
        .connected()
        .await;
    world.advance(60);
    world.server.answers(Answer::cut());
    world
        .token_for(super::outcomes::a_whole_hour)
        .await
        .unwrap_err();
    world.advance(40);
    world.clock.jump_wall(-30_000);
    world
        .token_for(super::outcomes::a_whole_hour)
        .await
        .unwrap_err();
    assert_eq!(world.server.count(), 2, "the server forgives no more");
}

#[tokio::test]
async fn a_sign_in_is_accepted_no_longer_after_a_clock_was_set_back() {
    let world = super::connect::ready().await;
    let begun = super::connect::begun(&world).await;
    world.advance(300);
    world.clock.jump_wall(-DAYS);
    world.advance(301);
    let url = super::connect::callback(&begun, "code=c-1");
    let error = super::connect::completed(&world, &url).await.unwrap_err();
    assert_eq!(error.code(), "sign_in_expired");
}

// While the reply is under way

#[tokio::test]
async fn a_clock_set_back_while_the_reply_is_under_way_lengthens_nothing() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    world.clock.jump_wall(-DAYS);
    world.advance(5);
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-2");
    for engine in [&world.engine, &world.another().await] {
        let slot = slot_of(engine).await;
        assert_eq!((value(&slot), world.said(&slot)), ("at-2".to_owned(), 3595));
    }
}

#[tokio::test]
async fn a_caller_with_a_wish_for_long_life_gets_it_although_the_machine_slept_while_it_waited() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let engine = Arc::clone(&world.engine);
    let caller = tokio::spawn(async move {
        let mut request = request();
        request.min_ttl = Some(Duration::from_secs(3000));
        let token: Result<_> = engine.get_token(&request).await;
        token.map(|slot| value(&slot))
    });
    hold.arrived().await;
    world.clock.jump_wall(HOUR - 1000);
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
}

#[tokio::test]
async fn a_clock_that_moved_on_two_days_while_the_reply_is_under_way_may_have_been_a_sleep() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world
        .server
        .holds(Answer::token("at-2", Some("rt-2"), json!({})));
    let caller = world.calling();
    hold.arrived().await;
    world.clock.jump_wall(DAYS);
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-3");
    let other = world.another().await;
    assert_eq!(token_of(&other).await.unwrap(), "at-3");
    assert_eq!(world.token().await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
}

// Any sequence

#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    Sleeps(u64),
    Jumps(i64),
    Asks,
    AnotherAsks,
    ANewProcessAsks,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..4000).prop_map(Step::Passes),
        (1u64..200).prop_map(Step::Passes),
        (1u64..8000).prop_map(Step::Sleeps),
        (-DAYS..DAYS).prop_map(Step::Jumps),
        (-HOUR..HOUR).prop_map(Step::Jumps),
        Just(Step::Asks),
        Just(Step::AnotherAsks),
        Just(Step::ANewProcessAsks),
    ]
}

async fn no_token_outlives_its_lifetime(steps: Vec<Step>) {
    let world = World::bare().await.service().await;
    let other = world.another().await;
    let mut obtained: HashMap<String, i64> = HashMap::new();
    for step in steps {
        let engine = match step {
            Step::Passes(seconds) => {
                world.advance(seconds);
                continue;
            }
            Step::Sleeps(seconds) => {
                world.clock.suspend(Duration::from_secs(seconds));
                continue;
            }
            Step::Jumps(millis) => {
                world.clock.jump_wall(millis);
                continue;
            }
            Step::Asks => Arc::clone(&world.engine),
            Step::AnotherAsks => Arc::clone(&other),
            Step::ANewProcessAsks => world.another().await,
        };
        // As a caller does: what is cached, else what is asked for.
        let slot = match engine.cached(&request()) {
            Some(slot) => slot,
            None => slot_of(&engine).await,
        };
        let now = world.engine.clock().monotonic().millis();
        let since = now - *obtained.entry(value(&slot)).or_insert(now);
        assert!(
            since < HOUR,
            "{} is handed out after {since} ms",
            value(&slot)
        );
        let said = world.said(&slot);
        assert!(
            said * 1000 + since <= HOUR,
            "{said} s are left after {since} ms"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_token_is_handed_out_longer_than_the_server_said_whatever_the_clocks_do(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(no_token_outlives_its_lifetime(steps));
    }
}
