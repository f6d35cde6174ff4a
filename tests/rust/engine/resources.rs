//! One grant, an access token per resource (RFC 8707): kept apart, refreshed by one refresh token.

use _core::engine::TokenRequest;
use _core::error::Result;

use super::{USER, World, acme, kind_of};
use crate::support::after;

const CALENDAR: &str = "https://calendar.example/";

async fn token_for(world: &World, resource: &str) -> Result<String> {
    let resource = resource.to_owned();
    world
        .token_for(|request: &mut TokenRequest| request.resource = Some(resource))
        .await
}

async fn two_resources() -> World {
    let world = World::bare().await.connected().await;
    world.advance(10);
    assert_eq!(token_for(&world, CALENDAR).await.unwrap(), "at-2");
    world
}

#[tokio::test]
async fn what_is_no_resource_by_the_rfc_is_not_sent() {
    let world = World::bare().await.connected().await;
    let sent = world.server.count();
    for wrong in ["not a uri", "calendar", "https://api.example/#part"] {
        let error = world
            .token_for(|request| request.resource = Some(wrong.to_owned()))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), world.server.count()),
            ("invalid_resource", sent)
        );
    }
}

#[tokio::test]
async fn every_resource_has_its_own_token_and_all_one_refresh_token() {
    let world = two_resources().await;
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(token_for(&world, CALENDAR).await.unwrap(), "at-2");
    let received = world.server.received("/token");
    assert_eq!(received[0].form.get("resource"), None);
    assert_eq!(received[1].form["resource"], CALENDAR);
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn a_slot_says_which_resource_it_is_for() {
    let world = two_resources().await;
    let slot = world
        .slot_for(|request| request.resource = Some(CALENDAR.to_owned()))
        .await
        .unwrap();
    assert_eq!(slot.stored.token.resource, CALENDAR);
}

#[tokio::test]
async fn the_expiry_that_is_shown_is_the_default_resources() {
    let world = two_resources().await;
    assert_eq!(
        world.loaded().await.connection.unwrap().expires_at,
        Some(after(3600))
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_for_its_resource_only() {
    let world = two_resources().await;
    let replaced = world.token_for(|request| {
        request.resource = Some(CALENDAR.to_owned());
        request.replacing = Some("at-2".into());
    });
    assert_eq!(replaced.await.unwrap(), "at-3");
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 3);
}

#[tokio::test]
async fn a_disconnect_ends_the_tokens_of_all_resources() {
    let world = two_resources().await;
    world
        .engine
        .disconnect("acme", None, "default", true)
        .await
        .unwrap();
    assert_eq!(
        kind_of(&token_for(&world, CALENDAR).await.unwrap_err()),
        "not connected"
    );
    assert_eq!(world.loaded_of(USER, CALENDAR).await.token, None);
}

#[tokio::test]
async fn a_reconnect_ends_the_tokens_of_all_resources() {
    let world = two_resources().await;
    world.import("default", "rt-new").await;
    assert_eq!(token_for(&world, CALENDAR).await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens().last().unwrap(), "rt-new");
}

#[tokio::test]
async fn the_default_resource_has_one_token_however_it_is_written() {
    let file = acme(
        "{}",
        "resource: {parameter: resource, default: 'https://api.acme.example', aliases: [api]}",
    );
    let world = World::with_file(&file).await.connected().await;
    assert_eq!(
        token_for(&world, "https://api.acme.example").await.unwrap(),
        "at-1"
    );
    assert_eq!(token_for(&world, "api").await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_provider_with_one_resource_says_so() {
    let world = World::bare().await;
    let request = _core::engine::configure::Configure {
        provider: "github".to_owned(),
        grant_type: Some(USER),
        client_id: Some("client-1".to_owned()),
        client_secret: Some("s3cret".into()),
        ..Default::default()
    };
    world.engine.configure(request).await.unwrap();
    let asked = world.token_for(|request| {
        request.provider = "github".to_owned();
        request.resource = Some(CALENDAR.to_owned());
    });
    assert_eq!(asked.await.unwrap_err().code(), "resource_not_supported");
}
