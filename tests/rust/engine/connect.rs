//! Sign-ins.

use std::sync::Arc;

use _core::connect::{self, ConnectRequest, PendingConnection};
use _core::error::Result;
use _core::model::{State, Status};
use serde_json::json;

use super::{Answer, USER, World, kind_of};

const HERE: &str = "https://app.example/callback";

pub(super) fn connecting() -> ConnectRequest {
    ConnectRequest {
        provider: "acme".to_owned(),
        grant_type: Some(USER),
        connection: "default".to_owned(),
        timeout: std::time::Duration::from_secs(60),
        ..ConnectRequest::default()
    }
}

async fn begun(world: &World) -> PendingConnection {
    begun_as(world, connecting()).await
}

async fn begun_as(world: &World, request: ConnectRequest) -> PendingConnection {
    connect::begin_connect(Arc::clone(&world.engine), request, HERE, "session-1".into())
        .await
        .unwrap()
}

fn callback(begun: &PendingConnection, more: &str) -> String {
    format!("{HERE}?state={}&{more}", begun.state.expose())
}

async fn completed(world: &World, url: &str) -> Result<Status> {
    completed_in(world, url, Some("session-1")).await
}

async fn completed_in(world: &World, url: &str, session: Option<&str>) -> Result<Status> {
    connect::complete_connect(Arc::clone(&world.engine), url, session.map(Into::into)).await
}

/// A whole sign-in whose code is exchanged for `answer`.
pub(super) async fn sign_in(world: &World, answer: Answer) -> Status {
    let begun = begun(world).await;
    world.server.answers(answer);
    completed(world, &callback(&begun, "code=c-1"))
        .await
        .unwrap()
}

async fn ready() -> World {
    let world = World::bare().await;
    world.configure(USER).await;
    world
}

fn failure(outcome: Result<Status>) -> (&'static str, &'static str) {
    let error = outcome.unwrap_err();
    (kind_of(&error), error.code())
}

#[tokio::test]
async fn a_sign_in_connects_by_the_book() {
    let world = ready().await;
    let status = sign_in(&world, Answer::token("at-1", Some("rt-1"), json!({}))).await;
    assert_eq!(status.state, State::Connected);
    let request = &world.server.received("/token")[0];
    assert_eq!(request.form["grant_type"], "authorization_code");
    assert_eq!(request.form["code"], "c-1");
    assert_eq!(request.form["redirect_uri"], HERE);
    assert!(request.form["code_verifier"].len() >= 43);
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
}
