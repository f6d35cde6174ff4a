//! What a reply of the token endpoint does: a row per outcome, then what each promises beyond its row.

use std::time::Duration;

use _core::engine::TokenRequest;
use _core::error::ErrorKind;
use _core::model::State;
use _core::store::{EndingOutcome, StoredState};
use serde_json::json;

use super::server::Received;
use super::{Answer, SERVICE, USER, World, acme, kind_of, request, retry_after, token_of, within};

/// As long as a new token lives, so that an older one is never enough.
pub(super) fn a_whole_hour(request: &mut TokenRequest) {
    request.min_ttl = Some(Duration::from_secs(3600));
}

/// Connected, with 29 s left of `at-1`: the next call has to wait for a refresh.
pub(super) async fn nearly_over() -> World {
    let world = World::bare().await.connected().await;
    world.advance(3571);
    world
}

#[tokio::test]
async fn what_the_server_did_not_process_keeps_the_grant_and_is_sent_again_after_a_rest() {
    #[rustfmt::skip]
    let table = [
        ("429",                     Answer::json(429, "", "{}"),                        "unavailable", "provider_unavailable"),
        ("429 with an OAuth error", Answer::json(429, "", json!({"error": "slow_down"})), "unavailable", "provider_unavailable"),
        ("503",                     Answer::json(503, "", "{}"),                        "unavailable", "provider_unavailable"),
        ("503 with a web page",     Answer::html(503),                                  "unavailable", "provider_unavailable"),
        ("temporarily_unavailable", Answer::error("temporarily_unavailable"),           "unavailable", "provider_unavailable"),
        ("server_error",            Answer::error("server_error"),                      "unavailable", "provider_unavailable"),
        ("invalid_request",         Answer::error("invalid_request"),                   "rejected",    "provider_rejected"),
        ("invalid_scope",           Answer::error("invalid_scope"),                     "rejected",    "provider_rejected"),
        ("an error of its own",     Answer::error("quota_of_the_moon"),                 "rejected",    "provider_rejected"),
        ("invalid_client",          Answer::error("invalid_client"),                    "rejected",    "invalid_client"),
        ("a web page with 403",     Answer::html(403),                                  "unavailable", "provider_unavailable"),
        ("an empty 400",            Answer::empty(400),                                 "unavailable", "provider_unavailable"),
        ("an empty 404",            Answer::empty(404),                                 "unavailable", "provider_unavailable"),
        ("a redirect",              Answer::empty(302),                                 "unavailable", "provider_unavailable"),
    ];
    for (name, answer, kind, code) in table {
        let world = nearly_over().await;
        world.server.answers(answer);
        let error = world.token_for(a_whole_hour).await.unwrap_err();
        assert_eq!((kind_of(&error), error.code()), (kind, code), "{name}");
        let ending = world.ending(USER).await.expect(name);
        assert_eq!(ending.outcome, EndingOutcome::NotProcessed, "{name}");
        assert_eq!(world.state().await, Some(StoredState::Connected), "{name}");
        assert_eq!(
            kind_of(&world.token_for(a_whole_hour).await.unwrap_err()),
            kind,
            "{name}"
        );
        assert_eq!(world.server.count(), 2, "{name}: it rests");
        world.advance(2);
        assert_eq!(
            world.token_for(a_whole_hour).await.unwrap(),
            "at-3",
            "{name}"
        );
        assert_eq!(
            world.server.refresh_tokens(),
            ["rt-0", "rt-1", "rt-1"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_nobody_can_know_is_not_repeated_before_the_access_token_is_used_up() {
    #[rustfmt::skip]
    let table = [
        ("a reply that is cut off", Answer::cut(),                      "unavailable", "provider_unavailable"),
        ("500",                     Answer::json(500, "", "{}"),        "unavailable", "provider_unavailable"),
        ("502 with a web page",     Answer::html(502),                  "unavailable", "provider_unavailable"),
        ("504",                     Answer::empty(504),                 "unavailable", "provider_unavailable"),
        ("200 that is no JSON",     Answer::json(200, "", "{\"access"), "unavailable", "provider_unavailable"),
        ("200 with nothing",        Answer::empty(200),                 "unavailable", "provider_unavailable"),
        ("200 with a web page",     Answer::html(200),                  "rejected",    "reply_not_json"),
    ];
    for (name, answer, kind, code) in table {
        let world = nearly_over().await;
        world.server.answers(answer);
        let error = world.token_for(a_whole_hour).await.unwrap_err();
        assert_eq!((kind_of(&error), error.code()), (kind, code), "{name}");
        if kind == "unavailable" {
            assert_eq!(retry_after(&error), Some(Duration::from_secs(29)), "{name}");
        }
        let ending = world.ending(USER).await.expect(name);
        assert_eq!(ending.outcome, EndingOutcome::Unknown, "{name}");
        assert_eq!(
            world.token().await.unwrap(),
            "at-1",
            "{name}: it still works"
        );
        world.advance(9);
        let error = world.token_for(a_whole_hour).await.unwrap_err();
        assert_eq!(retry_after(&error), Some(Duration::from_secs(20)), "{name}");
        assert_eq!(world.token().await.unwrap(), "at-1", "{name}");
        assert_eq!(world.server.count(), 2, "{name}: a replay could end it");
        world.advance(20);
        assert_eq!(world.token().await.unwrap(), "at-3", "{name}");
        assert_eq!(
            world.server.refresh_tokens(),
            ["rt-0", "rt-1", "rt-1"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_service_grant_treats_unknown_as_not_processed() {
    for answer in [Answer::cut(), Answer::empty(500), Answer::empty(504)] {
        let world = World::bare().await.service().await;
        world.server.answers(answer);
        assert_eq!(kind_of(&world.token().await.unwrap_err()), "unavailable");
        let ending = world.ending(SERVICE).await.unwrap();
        assert_eq!(ending.outcome, EndingOutcome::NotProcessed);
        world.advance(2);
        assert_eq!(world.token().await.unwrap(), "at-2");
    }
}

#[tokio::test]
async fn a_reply_against_a_rule_hands_out_nothing_and_keeps_the_refresh_token() {
    #[rustfmt::skip]
    let table = [
        ("no token type",            json!({"token_type": null})),
        ("a type that needs a key",  json!({"token_type": "DPoP"})),
        ("a token with a space",     json!({"access_token": "at 2"})),
        ("a token that is no text",  json!({"access_token": {"value": "at-2"}})),
        ("no access token",          json!({"access_token": null})),
        ("an error beside a token",  json!({"error": "weird"})),
    ];
    for (name, more) in table {
        let world = nearly_over().await;
        world
            .server
            .answers(Answer::token("at-2", Some("rt-2"), more));
        let error = world.token_for(a_whole_hour).await.unwrap_err();
        assert_eq!(
            (kind_of(&error), error.code()),
            ("rejected", "reply_unusable"),
            "{name}"
        );
        assert_eq!(world.state().await, Some(StoredState::Connected), "{name}");
        assert!(world.token_for(a_whole_hour).await.is_err(), "{name}");
        assert_eq!(world.server.count(), 2, "{name}: it rests");
        world.advance(2);
        assert_eq!(
            world.token_for(a_whole_hour).await.unwrap(),
            "at-3",
            "{name}"
        );
        assert_eq!(
            world.server.refresh_tokens(),
            ["rt-0", "rt-1", "rt-2"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_reply_against_a_rule_without_a_refresh_token_keeps_the_old_one() {
    let world = nearly_over().await;
    world.server.answers(Answer::token("at 2", None, json!({})));
    let error = world.token_for(a_whole_hour).await.unwrap_err();
    assert_eq!(error.code(), "reply_unusable");
    world.advance(2);
    assert_eq!(world.token_for(a_whole_hour).await.unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-1"]);
}

#[tokio::test]
async fn an_issued_token_is_committed_with_its_refresh_token() {
    let world = World::bare().await.connected().await;
    let loaded = world.loaded().await;
    assert_eq!(loaded.attempt, None);
    assert!(loaded.token.is_some());
    let row = loaded.connection.unwrap();
    assert_eq!(row.expires_at, Some(crate::support::after(3600)));
    assert_eq!(row.refreshed_at, Some(crate::support::after(0)));
    world.advance(3600);
    world.token().await.unwrap();
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1"]);
}

#[tokio::test]
async fn a_refresh_without_a_refresh_token_in_its_reply_keeps_the_old_one() {
    let world = World::bare().await.imported().await;
    world.server.answers(Answer::token("at-1", None, json!({})));
    world.token().await.unwrap();
    world.advance(3600);
    world.token().await.unwrap();
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-0"]);
}

#[tokio::test]
async fn a_narrower_scope_in_a_reply_is_the_tokens_and_never_the_grants() {
    let world = World::bare().await;
    world
        .configure_with(USER, |request| {
            request.settings.scopes = Some(vec!["read".into(), "write".into()])
        })
        .await
        .unwrap();
    world.import("default", "rt-0").await;
    world.server.answers(Answer::token(
        "at-1",
        Some("rt-1"),
        json!({"scope": "read"}),
    ));
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.token.scopes, ["read"]);
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert_eq!(status.granted_scopes, ["read", "write"]);
}

#[tokio::test]
async fn a_refused_grant_needs_a_person_and_says_so_in_the_providers_words() {
    let world = nearly_over().await;
    world.server.answers(Answer::error("invalid_grant"));
    let error = world.token().await.unwrap_err();
    let said = ErrorKind::ReauthorizationRequired {
        error: Some("invalid_grant".to_owned()),
        description: Some("about invalid_grant".to_owned()),
    };
    assert_eq!(*error.kind(), said);
    assert_eq!(error.next_command(), Some("evergrant connect acme --again"));
    assert_eq!(
        world.state().await,
        Some(StoredState::ReauthorizationRequired)
    );
    let again = world.token().await.unwrap_err();
    assert_eq!(again.kind(), error.kind());
    assert_eq!(world.server.count(), 2, "it is not asked again");
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert_eq!(status.state, State::ReauthorizationRequired);
    assert_eq!(status.reason.as_deref(), Some(error.reason()));
    let other = world.another().await;
    assert_eq!(
        kind_of(&token_of(&other).await.unwrap_err()),
        "reauthorization"
    );
}

#[tokio::test]
async fn a_refusal_deletes_no_token() {
    let world = nearly_over().await;
    world.server.answers(Answer::error("invalid_grant"));
    world.token().await.unwrap_err();
    let loaded = world.loaded().await;
    assert!(loaded.token.is_some());
    assert!(loaded.connection.unwrap().grant.is_some());
}

#[tokio::test]
async fn a_refusal_of_an_older_generation_is_forgotten() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world.server.holds(Answer::error("invalid_grant"));
    let caller = world.calling();
    hold.arrived().await;
    world.import("default", "rt-new").await;
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-3");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-new"]);
    assert_eq!(world.state().await, Some(StoredState::Connected));
}

#[tokio::test]
async fn a_refusal_of_a_resource_by_an_older_generation_is_forgotten() {
    let world = World::bare().await.connected().await;
    let hold = world.server.holds(Answer::error("invalid_grant"));
    let engine = world.engine.clone();
    let caller = tokio::spawn(async move {
        let other = TokenRequest {
            resource: Some("https://other.example".to_owned()),
            ..request()
        };
        engine.get_token(&other).await
    });
    hold.arrived().await;
    world.import("default", "rt-new").await;
    hold.release();
    assert_eq!(
        super::value(&within(caller).await.unwrap().unwrap()),
        "at-3"
    );
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-new"]);
}

#[tokio::test]
async fn a_code_that_the_file_marks_refuses_only_that_resource() {
    let file = acme(
        "{rotates: always}",
        "resource: {parameter: resource}\nerrors: {consent_required: {meaning: Somebody has to consent, condemns: resource}}",
    );
    let world = World::with_file(&file).await.connected().await;
    world.advance(3600);
    world.server.answers(Answer::error("consent_required"));
    let error = world.token().await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("reauthorization", "resource_refused")
    );
    assert!(error.reason().ends_with("Somebody has to consent"));
    assert_eq!(world.state().await, Some(StoredState::Connected));
}

#[tokio::test]
async fn a_refused_resource_stands_in_the_way_of_no_other() {
    let world = World::bare().await.connected().await;
    let other =
        |request: &mut TokenRequest| request.resource = Some("https://other.example".to_owned());
    world.server.answers(Answer::error("invalid_grant"));
    let error = world.token_for(other).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("reauthorization", "resource_refused")
    );
    assert_eq!(world.state().await, Some(StoredState::Connected));
    let again = world.token_for(other).await.unwrap_err();
    assert_eq!(again.kind(), error.kind(), "it rests, and says the same");
    assert_eq!(world.server.count(), 2);
    assert_eq!(world.token_for(a_whole_hour).await.unwrap(), "at-1");
    world.clock.advance(Duration::from_millis(100));
    assert_eq!(
        world.token_for(a_whole_hour).await.unwrap(),
        "at-3",
        "another resource does not rest"
    );
}

#[tokio::test]
async fn invalid_client_is_tried_once_more_if_the_configuration_changed_meanwhile() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let hold = world.server.holds(Answer::error("invalid_client"));
    let caller = world.calling();
    hold.arrived().await;
    world
        .configure_with(USER, |request| request.client_secret = Some("new".into()))
        .await
        .unwrap();
    hold.release();
    assert_eq!(within(caller).await.unwrap().unwrap(), "at-3");
    let received = world.server.received("/token");
    assert_ne!(received[1].authorization, received[2].authorization);
    assert_eq!(
        received[1].form["refresh_token"],
        received[2].form["refresh_token"]
    );
}

#[tokio::test]
async fn invalid_client_is_tried_once_more_and_not_for_ever() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let first = world.server.holds(Answer::error("invalid_client"));
    let second = world.server.holds(Answer::error("invalid_client"));
    let caller = world.calling();
    for (hold, secret) in [(first, "new"), (second, "newer")] {
        hold.arrived().await;
        world
            .configure_with(USER, |request| request.client_secret = Some(secret.into()))
            .await
            .unwrap();
        hold.release();
    }
    assert_eq!(
        within(caller).await.unwrap().unwrap_err().code(),
        "invalid_client"
    );
    assert_eq!(world.server.count(), 3);
}

#[tokio::test]
async fn a_request_that_never_left_is_not_processed() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let elsewhere = World::bare().await;
    elsewhere
        .configure_with(SERVICE, |request| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert(
                "token_endpoint".to_owned(),
                format!("http://{address}/token"),
            );
        })
        .await
        .unwrap();
    let error = elsewhere.token().await.unwrap_err();
    assert_eq!(kind_of(&error), "unavailable");
    assert!(retry_after(&error).is_some_and(|wait| !wait.is_zero()));
    assert_eq!(
        elsewhere.ending(SERVICE).await.unwrap().outcome,
        EndingOutcome::NotProcessed
    );
}

#[tokio::test]
async fn a_refresh_asks_by_the_book() {
    let world = World::bare().await.connected().await;
    let Received { form, .. } = &world.server.received("/token")[0];
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], "rt-0");
    assert!(!form.contains_key("scope"), "{form:?}");
}
