//! When the same refresh token may go again: after a reply that was lost, and for a token that the API refused.

use std::time::Duration;

use _core::engine::TokenRequest;
use serde_json::json;

use super::outcomes::{a_whole_hour, nearly_over};
use super::{Answer, USER, World, acme, kind_of, request, retry_after, until, within};

#[tokio::test]
async fn a_refusal_after_a_lost_reply_says_that_the_reply_was_lost() {
    let world = nearly_over().await;
    world.server.answers(Answer::cut());
    world.token_for(a_whole_hour).await.unwrap_err();
    world.advance(29);
    world.server.answers(Answer::error("invalid_grant"));
    let error = world.token().await.unwrap_err();
    assert_eq!(kind_of(&error), "reauthorization");
    assert!(error.reason().contains("was lost"), "{error}");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-1"]);
}

#[tokio::test]
async fn inside_a_known_grace_the_same_refresh_token_goes_again_at_once() {
    for refresh in [
        "{rotates: always, grace: 30}",
        "{rotates: always, grace: first_use}",
        "{rotates: always, grace: unlimited}",
        "{rotates: never}",
    ] {
        let world = World::with_file(&acme(refresh, "")).await.connected().await;
        world.advance(60);
        world.server.answers(Answer::cut());
        assert_eq!(
            kind_of(&world.token_for(a_whole_hour).await.unwrap_err()),
            "unavailable"
        );
        assert_eq!(
            world.token_for(a_whole_hour).await.unwrap(),
            "at-3",
            "{refresh}"
        );
        assert_eq!(
            world.server.refresh_tokens(),
            ["rt-0", "rt-1", "rt-1"],
            "{refresh}"
        );
    }
}

#[tokio::test]
async fn a_server_that_loses_every_reply_is_not_hammered_inside_its_grace() {
    let world = World::with_file(&acme("{rotates: always, grace: unlimited}", ""))
        .await
        .connected()
        .await;
    world.advance(60);
    for _ in 0..8 {
        world.server.answers(Answer::cut());
    }
    for _ in 0..8 {
        world.token_for(a_whole_hour).await.unwrap_err();
    }
    assert_eq!(world.server.count(), 3, "one more at once, then it rests");
}

#[tokio::test]
async fn a_grace_counts_from_the_request_and_not_from_giving_up_on_its_reply() {
    let world = World::with_file(&acme("{rotates: always, grace: 30}", ""))
        .await
        .connected()
        .await;
    world.advance(60);
    let hold = world.server.holds(Answer::cut());
    let engine = world.engine.clone();
    let caller = tokio::spawn(async move {
        let mut request = request();
        a_whole_hour(&mut request);
        engine.get_token(&request).await
    });
    hold.arrived().await;
    world.advance(31);
    hold.release();
    let error = within(caller).await.unwrap().unwrap_err();
    let left = Duration::from_secs(3600 - 60 - 31);
    assert_eq!(retry_after(&error), Some(left));
    world.advance(2);
    world.token_for(a_whole_hour).await.unwrap_err();
    assert_eq!(
        world.server.count(),
        2,
        "the server may have rotated 31 s ago"
    );
}

#[tokio::test]
async fn after_an_unknown_outcome_replacing_the_token_may_replay() {
    let world = World::bare().await.connected().await;
    world.advance(60);
    world.server.answers(Answer::cut());
    world.token_for(a_whole_hour).await.unwrap_err();
    world.advance(2);
    let refused = |request: &mut TokenRequest| request.replacing = Some("at-1".into());
    assert_eq!(world.token_for(refused).await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-1"]);
}

#[tokio::test]
async fn an_unknown_outcome_for_one_resource_spares_the_token_of_the_default_one() {
    let world = World::bare().await.connected().await;
    let other =
        |request: &mut TokenRequest| request.resource = Some("https://other.example".to_owned());
    world.server.answers(Answer::cut());
    world.token_for(other).await.unwrap_err();
    world.advance(2);
    world.token_for(other).await.unwrap_err();
    assert_eq!(
        world.server.count(),
        2,
        "a replay could end at-1, which still works"
    );
    world.advance(3600);
    assert_eq!(world.token_for(other).await.unwrap(), "at-3");
}

#[tokio::test]
async fn replacing_refreshes_once_for_all_who_report_the_same_token() {
    let world = World::bare().await.connected().await;
    let refused = |request: &mut TokenRequest| request.replacing = Some("at-1".into());
    assert_eq!(world.token_for(refused).await.unwrap(), "at-2");
    assert_eq!(world.token_for(refused).await.unwrap(), "at-2");
    let other = world.another().await;
    let mut request = request();
    refused(&mut request);
    let slot = other.get_token(&request).await.unwrap();
    assert_eq!(super::value(&slot), "at-2");
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_server_that_issues_the_refused_token_again_is_asked_once() {
    let world = World::bare().await.connected().await;
    for _ in 0..3 {
        world
            .server
            .answers(Answer::token("at-1", Some("rt-2"), json!({})));
    }
    let refused = |request: &mut TokenRequest| request.replacing = Some("at-1".into());
    let error = world.token_for(refused).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("rejected", "token_reissued")
    );
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_background_refresh_that_is_unknown_leaves_the_token_to_its_end() {
    let world = World::bare().await.connected().await;
    world.advance(3400);
    world.server.answers(Answer::cut());
    assert_eq!(world.token().await.unwrap(), "at-1");
    until("the failure", async || world.ending(USER).await.is_some()).await;
    for _ in 0..5 {
        world.advance(10);
        assert_eq!(world.token().await.unwrap(), "at-1");
        super::flight::all_waiting().await;
    }
    assert_eq!(world.server.count(), 2);
}
