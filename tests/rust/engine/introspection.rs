//! What the authorization server itself says of a token (RFC 7662): to a test, and of its end.

use _core::model::Report;
use serde_json::json;

use super::{Answer, SERVICE, USER, World, acme};
use crate::support::NOW;

/// A user grant whose token `at-1` the server can be asked about.
async fn asking(file: Option<&str>, secret: bool) -> World {
    let world = match file {
        Some(file) => World::with_file(file).await,
        None => World::bare().await,
    };
    world
        .configure_with(USER, |request| {
            let place = format!("{}/introspect", world.server.base);
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert("introspection_endpoint".to_owned(), place);
            if !secret {
                request.client_secret = None;
            }
        })
        .await
        .unwrap();
    world.import("default", "rt-0").await;
    world
}

async fn tested(answer: Answer) -> (World, Report) {
    let world = asking(None, true).await;
    world.token().await.unwrap();
    world.server.answers_at("/introspect", answer);
    let report = world.engine.test("acme", None, "default").await.unwrap();
    (world, report)
}

#[tokio::test]
async fn a_test_tells_what_the_server_says_of_the_token() {
    let later = NOW / 1000 + 1200;
    #[rustfmt::skip]
    let table = [
        (Answer::json(200, "", json!({"active": true, "exp": later})), true,  "valid for 20 min"),
        (Answer::json(200, "", json!({"active": true})),              true,  "the token is valid"),
        (Answer::json(200, "", json!({"active": false})),             false, "not valid"),
        (Answer::error("invalid_client"),                             true,  "did not say"),
        (Answer::html(200),                                           true,  "did not say"),
        (Answer::empty(503),                                          false, "could not be asked"),
    ];
    for (answer, ok, words) in table {
        let (world, report) = tested(answer).await;
        assert_eq!(report.ok, ok, "{report:?}");
        let step = report.steps.last().unwrap();
        assert_eq!(step.what, "introspection");
        assert!(step.detail.contains(words), "{report:?}");
        assert_eq!(report.hint.is_none(), ok);
        assert!(!format!("{report:?}").contains("at-1"));
        let asked = &world.server.received("/introspect")[0].form;
        assert_eq!(asked["token"], "at-1");
        assert_eq!(asked["token_type_hint"], "access_token");
        assert_eq!(world.server.count(), 1, "a test never refreshes");
    }
}

#[tokio::test]
async fn a_client_without_a_secret_asks_nobody() {
    let world = asking(None, false).await;
    world.token().await.unwrap();
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(report.ok);
    assert!(world.server.received("/introspect").is_empty());
}

#[tokio::test]
async fn a_test_of_a_service_grant_asks_about_the_token_that_it_got() {
    let world = World::bare().await;
    world
        .configure_with(SERVICE, |request| {
            let place = format!("{}/introspect", world.server.base);
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert("introspection_endpoint".to_owned(), place);
        })
        .await
        .unwrap();
    let inactive = Answer::json(200, "", json!({"active": false}));
    world.server.answers_at("/introspect", inactive);
    let report = world.engine.test("acme", None, "default").await.unwrap();
    assert!(!report.ok, "{report:?}");
    assert_eq!(
        world.server.received("/introspect")[0].form["token"],
        "at-1"
    );
}

#[tokio::test]
async fn a_provider_file_names_introspection_as_what_knows_the_end_of_a_token() {
    let file = acme(
        "{rotates: never}",
        "reply: {expires: {source: introspection}}",
    );
    let world = asking(Some(&file), true).await;
    let endless = json!({"expires_in": null});
    world.server.answers(Answer::token("at-1", None, endless));
    let told = json!({"active": true, "exp": NOW / 1000 + 1200});
    world
        .server
        .answers_at("/introspect", Answer::json(200, "", told));
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(
        slot.stored.token.expires_at,
        Some(crate::support::after(1200))
    );
    world.advance(1201);
    assert_eq!(world.token().await.unwrap(), "at-2");
    // This reply brought a new refresh token: nothing comes between it and the store.
    assert_eq!(world.server.received("/introspect").len(), 1);
}
