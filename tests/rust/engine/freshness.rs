//! Is this token good enough? Every sentence of the rules is a row; then what the rules do to whole calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::engine::cache::Cache;
use _core::engine::freshness::{
    ASSUMED_LIFETIME, DEFAULT_MIN_TTL, Freshness, MARGIN_CAP, Need, StoredToken, judge,
};
use _core::model::{ConnectionKey, Token};
use serde_json::json;

use super::{Answer, SERVICE, USER, World, acme, key_of, kind_of, until, value};
use crate::support::{NOW, after};

/// A token obtained at [`NOW`] that lives `lifetime` seconds.
fn stored(lifetime: Option<i64>, assumed: Option<i64>) -> StoredToken {
    StoredToken {
        token: Token {
            value: "at-1".into(),
            resource: String::new(),
            scopes: Vec::new(),
            obtained_at: after(0),
            expires_at: lifetime.map(after),
            token_type: "Bearer".to_owned(),
            revision: 3,
            extra: BTreeMap::new(),
        },
        assumed_until: assumed.map(after),
        margin_cap: MARGIN_CAP,
        anchor: None,
    }
}

fn wanting(seconds: f64) -> Need {
    Need {
        min_ttl: Some(Duration::from_secs_f64(seconds)),
        ..Need::default()
    }
}

fn replacing(token: &str) -> Need {
    Need {
        replacing: Some(token.into()),
        ..Need::default()
    }
}

fn now_then() -> Need {
    Need {
        at_once: true,
        ..Need::default()
    }
}

#[test]
fn every_rule_of_freshness_holds() {
    use Freshness::{Asked, BelowMinTtl, Expired, Expiring, Fresh, Reconfigured, Refused, Unknown};
    const HOUR: Option<i64> = Some(3600);
    let default = Need::default;
    // Lifetime, assumed lifetime, age, what is needed, the revision that counts, the answer. The margin of an hour is
    // 225 to 300 s by the jitter, that of ten minutes 45 to 60 s.
    #[rustfmt::skip]
    let table = [
        ("new",                                HOUR,     None,      0.0, default(),        None,    Fresh),
        ("before the cap of the margin",       HOUR,     None,   3299.0, default(),        None,    Fresh),
        ("within the margin",                  HOUR,     None,   3376.0, default(),        None,    Expiring),
        ("before a tenth of its lifetime",     Some(600), None,   539.0, default(),        None,    Fresh),
        ("within a tenth of its lifetime",     Some(600), None,   556.0, default(),        None,    Expiring),
        ("exactly 30 s left",                  HOUR,     None,   3570.0, default(),        None,    Expiring),
        ("less than 30 s left",                HOUR,     None,   3570.1, default(),        None,    BelowMinTtl),
        ("half of a short lifetime left",      Some(40), None,     20.0, default(),        None,    Fresh),
        ("less than half of a short lifetime", Some(40), None,     20.1, default(),        None,    BelowMinTtl),
        ("as long as asked",                   HOUR,     None,   1000.0, wanting(2600.0),  None,    Fresh),
        ("shorter than asked",                 HOUR,     None,   1000.0, wanting(2600.1),  None,    BelowMinTtl),
        ("asked beyond half the lifetime",     Some(40), None,      5.0, wanting(36.0),    None,    BelowMinTtl),
        ("asked for nothing, within margin",   HOUR,     None,   3599.0, wanting(0.0),     None,    Expiring),
        ("asked wins over the margin",         HOUR,     None,   3400.0, wanting(250.0),   None,    BelowMinTtl),
        ("over",                               HOUR,     None,   3600.0, wanting(0.0),     None,    Expired),
        ("long over",                          HOUR,     None,  90000.0, default(),        None,    Expired),
        ("without a lifetime",                 Some(0),  None,      0.0, default(),        None,    Expired),
        ("obtained a moment ahead",            HOUR,     None,     -1.0, default(),        None,    Fresh),
        ("obtained in the future",             HOUR,     None,     -1.1, default(),        None,    Expired),
        ("no expiry, from the future",         None,     None, -86400.0, default(),        None,    Expired),
        ("no expiry, assumed to live",         None,     HOUR,   3599.0, default(),        None,    Fresh),
        ("no expiry, assumed to be over",      None,     HOUR,   3600.0, default(),        None,    Unknown),
        ("no expiry, not renewable",           None,     None,   1e9,    default(),        None,    Fresh),
        ("refused",                            HOUR,     None,      0.0, replacing("at-1"), None,   Refused),
        ("refused, no expiry",                 None,     None,      0.0, replacing("at-1"), None,   Refused),
        ("another one refused",                HOUR,     None,      0.0, replacing("at-0"), None,   Fresh),
        ("of this revision",                   HOUR,     None,      0.0, default(),        Some(3), Fresh),
        ("of an older revision",               HOUR,     None,      0.0, default(),        Some(4), Reconfigured),
        ("of an older revision and refused",   HOUR,     None,      0.0, replacing("at-1"), Some(4), Reconfigured),
        ("asked anew while fresh",             HOUR,     None,      0.0, now_then(),       None,    Asked),
        ("asked anew within the margin",       HOUR,     None,   3400.0, now_then(),       None,    Asked),
        ("asked anew, no expiry",              None,     None,      0.0, now_then(),       None,    Asked),
    ];
    for (name, lifetime, assumed, age, need, revision, expected) in table {
        let now = Timestamp::from_millis(NOW + (age * 1000.0) as i64);
        let judged = judge(
            Some(&stored(lifetime, assumed)),
            &key_of(USER),
            &need,
            revision,
            now,
        );
        assert_eq!(judged, expected, "{name}");
    }
    let nothing = judge(None, &key_of(USER), &Need::default(), None, after(0));
    assert_eq!(nothing, Freshness::Missing);
}

#[test]
fn only_fresh_and_expiring_tokens_are_handed_out() {
    use Freshness::*;
    let all = [
        Fresh,
        Asked,
        Expiring,
        Expired,
        Refused,
        BelowMinTtl,
        Unknown,
        Reconfigured,
        Missing,
    ];
    let served: Vec<_> = all.into_iter().filter(|reason| reason.serves()).collect();
    assert_eq!(served, [Fresh, Expiring]);
}

#[test]
fn the_margin_is_jittered_by_the_connection_and_equal_on_every_host() {
    let token = stored(Some(3600), None);
    let mut margins: Vec<Duration> = (0..64)
        .map(|number| {
            let key = ConnectionKey {
                connection: format!("user-{number}").into(),
                ..key_of(USER)
            };
            assert_eq!(token.margin(&key), token.margin(&key.clone()));
            token.margin(&key)
        })
        .collect();
    margins.sort();
    assert!(margins[0] >= MARGIN_CAP.mul_f64(0.75), "{:?}", margins[0]);
    assert!(margins[63] <= MARGIN_CAP, "{:?}", margins[63]);
    margins.dedup();
    assert!(margins.len() > 32, "64 users in {} moments", margins.len());
}

#[test]
fn a_cap_of_the_provider_bounds_the_margin() {
    let token = StoredToken {
        margin_cap: Duration::from_secs(10),
        ..stored(Some(3600), None)
    };
    let margin = token.margin(&key_of(USER));
    assert!((7.5..=10.0).contains(&margin.as_secs_f64()), "{margin:?}");
}

#[tokio::test]
async fn the_cap_is_the_provider_files() {
    let file = acme("{}", "lifetimes: {margin_cap: 10}");
    let world = World::with_file(&file).await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.margin_cap, Duration::from_secs(10));
}

#[test]
fn the_default_min_ttl_is_30_s_and_at_most_half_the_lifetime() {
    let default = |lifetime| stored(lifetime, None).default_min_ttl();
    assert_eq!(default(Some(3600)), DEFAULT_MIN_TTL);
    assert_eq!(default(Some(50)), Duration::from_secs(25));
    assert_eq!(default(Some(0)), Duration::ZERO);
}

#[tokio::test]
async fn a_token_within_its_margin_is_handed_out_and_refreshed_in_the_background() {
    let world = World::bare().await.connected().await;
    world.advance(3400);
    assert_eq!(world.token().await.unwrap(), "at-1");
    until("the refresh", async || {
        world.loaded().await.attempt.is_none() && world.server.count() == 2
    })
    .await;
    world.advance(1);
    assert_eq!(world.token().await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_user_token_without_expiry_is_renewed_after_an_hour() {
    let world = World::bare().await.imported().await;
    world.server.answers(Answer::token(
        "at-1",
        Some("rt-1"),
        json!({"expires_in": null}),
    ));
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.token.expires_at, None);
    assert_eq!(
        slot.stored.assumed_until,
        Some(after(0).after(ASSUMED_LIFETIME))
    );
    world.advance(3599);
    assert_eq!(world.token().await.unwrap(), "at-1");
    world.advance(1);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_service_token_without_expiry_is_renewed_after_the_provider_files_lifetime() {
    let file = acme("{}", "lifetimes: {access_token: 600}");
    let world = World::with_file(&file).await.service().await;
    world
        .server
        .answers(Answer::token("at-1", None, json!({"expires_in": null})));
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.assumed_until, Some(after(600)));
}

#[tokio::test]
async fn a_token_without_expiry_that_nothing_renews_is_used_until_it_is_refused() {
    let world = World::bare().await;
    world.configure(USER).await;
    let more = json!({"expires_in": null});
    super::connect::sign_in(&world, Answer::token("at-1", None, more)).await;
    world.advance(400 * 86_400);
    assert_eq!(world.token().await.unwrap(), "at-1");
    let error = world
        .token_for(|request| request.replacing = Some("at-1".into()))
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("reauthorization", "no_refresh_token")
    );
}

#[tokio::test]
async fn a_lifetime_of_zero_serves_once_those_who_waited() {
    let world = World::bare().await.service().await;
    let hold = world
        .server
        .holds(Answer::token("at-1", None, json!({"expires_in": 0})));
    let waiting: Vec<_> = (0..8).map(|_| world.calling()).collect();
    hold.arrived().await;
    super::flight::all_waiting().await;
    hold.release();
    for caller in waiting {
        assert_eq!(super::within(caller).await.unwrap().unwrap(), "at-1");
    }
    assert_eq!(world.server.count(), 1);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_min_ttl_longer_than_a_new_token_lives_is_an_error_after_one_refresh() {
    let world = World::bare().await.service().await;
    let wish = |request: &mut _core::engine::TokenRequest| {
        request.min_ttl = Some(Duration::from_secs(3601))
    };
    let error = world.token_for(wish).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("invalid parameter", "min_ttl_too_long")
    );
    assert!(error.reason().contains("3600 s"), "{error}");
    assert_eq!(world.server.count(), 1);
    assert_eq!(
        kind_of(&world.token_for(wish).await.unwrap_err()),
        "invalid parameter"
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_min_ttl_that_a_new_token_lives_is_refreshed_for_and_waited_for() {
    let world = World::bare().await.connected().await;
    world.advance(60);
    let wish = |request: &mut _core::engine::TokenRequest| {
        request.min_ttl = Some(Duration::from_secs(3600))
    };
    assert_eq!(world.token_for(wish).await.unwrap(), "at-2");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn below_the_default_min_ttl_a_caller_waits_for_the_new_token() {
    let world = World::bare().await.connected().await;
    world.advance(3571);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn a_token_that_nothing_renews_is_handed_out_to_its_last_second() {
    let world = World::bare().await;
    world.configure(USER).await;
    super::connect::sign_in(&world, Answer::token("at-1", None, json!({}))).await;
    world.advance(3599);
    assert_eq!(world.token().await.unwrap(), "at-1");
    world.advance(1);
    assert_eq!(
        kind_of(&world.token().await.unwrap_err()),
        "reauthorization"
    );
}

#[tokio::test]
async fn a_cached_token_outlives_no_deadline_whichever_clock_jumps() {
    const DAYS: i64 = 2 * 86_400_000;
    let world = World::bare().await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert!(slot.fresh());
    world.clock.jump_wall(DAYS);
    assert!(!slot.fresh(), "two days later it is over");
    world.clock.jump_wall(-2 * DAYS);
    assert!(slot.fresh(), "a clock that was set back ends nothing");
    world.clock.jump_wall(DAYS);
    world.engine.get_token(&super::request()).await.unwrap();
    world.clock.jump_wall(-DAYS);
    world.advance(3400);
    assert!(!slot.fresh(), "and it lengthens nothing");
}

#[test]
fn the_monotonic_deadline_holds_while_the_wall_clock_is_behind() {
    let clock = Arc::new(ManualClock::new(after(0)));
    let cache = Cache::new(Clock::manual(Arc::clone(&clock)));
    let key = key_of(USER);
    let look = || cache.looked(1);
    look();
    let slot = cache.put(&key, Arc::new(stored(Some(3600), None)), 1, cache.era());
    clock.jump_wall(-2 * 86_400_000);
    clock.advance(Duration::from_secs(3299));
    look();
    cache.extend(&slot);
    assert!(slot.fresh());
    clock.advance(Duration::from_secs(100));
    look();
    cache.extend(&slot);
    assert!(!slot.fresh());
    assert!(cache.get(&key, "").is_none());
}

#[tokio::test]
async fn a_clock_set_back_two_days_costs_no_refresh() {
    let world = World::bare().await.connected().await;
    world.clock.jump_wall(-2 * 86_400_000);
    assert_eq!(world.token().await.unwrap(), "at-1");
    world.advance(2);
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_service_token_of_an_older_configuration_is_replaced() {
    let world = World::bare().await.service().await;
    assert_eq!(world.token().await.unwrap(), "at-1");
    world
        .configure_with(SERVICE, |request| {
            request.client_secret = Some("another".into())
        })
        .await
        .unwrap();
    assert_eq!(world.token().await.unwrap(), "at-2");
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(
        (value(&slot), slot.stored.token.revision),
        ("at-2".to_owned(), 2)
    );
}
