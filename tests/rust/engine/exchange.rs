//! Tokens that are made from another connection's (RFC 8693).

use std::collections::BTreeMap;

use _core::engine::configure::{Configure, Settings};
use _core::error::Result;
use _core::model::{GrantType, Status};
use serde_json::json;

use super::connect::failure;
use super::{Answer, SERVICE, USER, World, kind_of, within};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

async fn configure(
    world: &World,
    provider: &str,
    grant_type: GrantType,
    exchange_from: Option<&str>,
) -> Result<Status> {
    let place = |path: &str| format!("{}/{provider}{path}", world.server.base);
    let mut endpoints = BTreeMap::from([("token_endpoint".to_owned(), place(""))]);
    if grant_type == USER {
        endpoints.insert("authorization_endpoint".to_owned(), place("/authorize"));
    }
    let request = Configure {
        provider: provider.to_owned(),
        grant_type: exchange_from.is_none().then_some(grant_type),
        client_id: Some(format!("client-of-{provider}")),
        client_secret: exchange_from.is_none().then(|| "s3cret".into()),
        settings: Settings {
            endpoints: Some(endpoints),
            exchange_from: exchange_from.map(str::to_owned),
            ..Settings::default()
        },
    };
    world.engine.configure(request).await
}

/// `acme` is made from ann's connection of `corporate`, which has a refresh token and no access token yet.
async fn exchanging() -> World {
    let world = World::bare().await;
    configure(&world, "corporate", USER, None).await.unwrap();
    let imported = world
        .engine
        .import_refresh_token("corporate", "rt-0".into(), None, "ann", &[]);
    imported.await.unwrap();
    let from = Some("corporate/ann");
    configure(&world, "acme", SERVICE, from).await.unwrap();
    world
}

fn token(value: &str) -> Answer {
    Answer::token(value, None, json!({}))
}

#[tokio::test]
async fn a_token_is_made_from_a_fresh_one_of_another_connection() {
    let world = exchanging().await;
    world.server.answers_at("/corporate", token("corporate-1"));
    world.server.answers_at("/acme", token("acme-1"));
    assert_eq!(world.token().await.unwrap(), "acme-1");
    let refreshed = &world.server.received("/corporate")[0].form;
    assert_eq!(refreshed["refresh_token"], "rt-0");
    let exchanged = &world.server.received("/acme")[0].form;
    assert_eq!(exchanged["grant_type"], EXCHANGE);
    assert_eq!(exchanged["subject_token"], "corporate-1");
    assert_eq!(
        exchanged["subject_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(exchanged["client_id"], "client-of-acme");
    // Cached like any other.
    assert_eq!(world.token().await.unwrap(), "acme-1");
    assert_eq!(world.server.received("/acme").len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_made_anew_from_a_fresh_one() {
    let world = exchanging().await;
    for number in 1..=2 {
        let (corporate, acme) = (format!("corporate-{number}"), format!("acme-{number}"));
        world.server.answers_at("/corporate", token(&corporate));
        world.server.answers_at("/acme", token(&acme));
        assert_eq!(world.token().await.unwrap(), acme);
        let exchanged = world.server.received("/acme").pop().unwrap();
        assert_eq!(exchanged.form["subject_token"], corporate);
        world.advance(3700);
    }
}

#[tokio::test]
async fn nothing_is_claimed_while_the_other_token_is_on_its_way() {
    let world = exchanging().await;
    let held = world.server.holds_at("/corporate", token("corporate-1"));
    world.server.answers_at("/acme", token("acme-1"));
    let call = world.calling();
    within(held.arrived()).await;
    assert!(world.loaded_of(SERVICE, "").await.attempt.is_none());
    held.release();
    assert_eq!(within(call).await.unwrap().unwrap(), "acme-1");
}

#[tokio::test]
async fn what_the_other_connection_lacks_is_said_and_nothing_is_asked() {
    let world = World::bare().await;
    configure(&world, "corporate", USER, None).await.unwrap();
    configure(&world, "acme", SERVICE, Some("corporate"))
        .await
        .unwrap();
    let error = world.token().await.unwrap_err();
    assert_eq!(kind_of(&error), "not connected");
    assert_eq!(error.next_command(), Some("evergrant connect corporate"));
    assert!(world.server.received("/acme").is_empty());
}

#[tokio::test]
async fn a_refused_exchange_shows_neither_token() {
    let world = exchanging().await;
    world
        .server
        .answers_at("/corporate", token("the-corporate-token"));
    let body =
        json!({"error": "invalid_request", "error_description": "the-corporate-token is bad"});
    world
        .server
        .answers_at("/acme", Answer::json(400, "", body));
    let error = world.token().await.unwrap_err();
    assert!(error.reason().contains("invalid_request"));
    assert!(!format!("{error:?}").contains("the-corporate-token"));
}

#[tokio::test]
async fn a_circle_is_refused() {
    let world = World::bare().await;
    let itself = configure(&world, "acme", SERVICE, Some("acme/other")).await;
    assert_eq!(failure(itself), ("invalid parameter", "exchange_cycle"));
    configure(&world, "one", SERVICE, Some("two"))
        .await
        .unwrap();
    configure(&world, "two", SERVICE, Some("three"))
        .await
        .unwrap();
    let circle = configure(&world, "three", SERVICE, Some("one")).await;
    let error = circle.unwrap_err();
    assert_eq!(error.code(), "exchange_cycle");
    assert!(error.reason().contains("three <- one <- two <- three"));
    assert_eq!(world.engine.integrations().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_service_and_a_person_of_one_provider_are_no_circle() {
    let world = World::bare().await;
    configure(&world, "acme", USER, None).await.unwrap();
    let imported =
        world
            .engine
            .import_refresh_token("acme", "rt-0".into(), Some(USER), "default", &[]);
    imported.await.unwrap();
    let mut request = world.configuration(SERVICE);
    request.settings.exchange_from = Some("acme".to_owned());
    world.engine.configure(request).await.unwrap();
    world.server.answers_at("/acme", token("of-the-person"));
    world.server.answers(token("of-the-service"));
    let made = world.token_for(|request| request.grant_type = Some(SERVICE));
    assert_eq!(made.await.unwrap(), "of-the-service");
    assert_eq!(
        world.server.received("/token")[0].form["subject_token"],
        "of-the-person"
    );
}

#[tokio::test]
async fn a_person_signs_in_and_exchanges_nothing() {
    let world = World::bare().await;
    let outcome = world
        .configure_with(USER, |request| {
            request.settings.exchange_from = Some("corporate".to_owned());
        })
        .await;
    let expected = ("invalid parameter", "exchange_needs_a_service");
    assert_eq!(failure(outcome), expected);
}

#[tokio::test]
async fn a_test_exchanges_too_and_stores_nothing_of_it() {
    let world = exchanging().await;
    world.server.answers_at("/corporate", token("corporate-1"));
    world.server.answers_at("/acme", token("acme-1"));
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(report.ok, "{report:?}");
    let exchanged = &world.server.received("/acme")[0].form;
    assert_eq!(exchanged["grant_type"], EXCHANGE);
    let nothing = _core::store::Loaded::default();
    assert_eq!(world.loaded_of(SERVICE, "").await, nothing);
}
