//! Sign-ins: bound to state, session, issuer, client and endpoint; a code is sent once.

use std::collections::BTreeMap;
use std::sync::Arc;

use _core::connect::{self, ConnectRequest, Connecting, PendingConnection};
use _core::engine::Engine;
use _core::error::Result;
use _core::model::{State, Status};
use serde_json::json;

use super::{Answer, SERVICE, USER, World, acme, kind_of, within};

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

pub(super) async fn begun(world: &World) -> PendingConnection {
    begun_by(&world.engine, connecting()).await
}

async fn begun_by(engine: &Arc<Engine>, request: ConnectRequest) -> PendingConnection {
    let begun = connect::begin_connect(Arc::clone(engine), request, HERE, "session-1".into());
    begun.await.unwrap()
}

pub(super) fn callback(begun: &PendingConnection, more: &str) -> String {
    format!("{HERE}?state={}&{more}", begun.state.expose())
}

pub(super) async fn completed(world: &World, url: &str) -> Result<Status> {
    completed_in(world, url, Some("session-1")).await
}

async fn completed_in(world: &World, url: &str, session: Option<&str>) -> Result<Status> {
    let completed =
        connect::complete_connect(Arc::clone(&world.engine), url, session.map(Into::into));
    within(completed).await
}

/// A whole sign-in whose code is exchanged for `answer`.
pub(super) async fn sign_in(world: &World, answer: Answer) -> Status {
    world.server.answers(answer);
    sign_in_by(&world.engine, connecting()).await
}

/// A whole sign-in in another process.
pub(super) async fn sign_in_by(engine: &Arc<Engine>, request: ConnectRequest) -> Status {
    let begun = begun_by(engine, request).await;
    let url = callback(&begun, "code=c-1");
    let completed = connect::complete_connect(Arc::clone(engine), &url, Some("session-1".into()));
    within(completed).await.unwrap()
}

pub(super) async fn ready() -> World {
    let world = World::bare().await;
    world.configure(USER).await;
    world
}

pub(super) fn failure<T: std::fmt::Debug>(outcome: Result<T>) -> (&'static str, &'static str) {
    let error = outcome.unwrap_err();
    (kind_of(&error), error.code())
}

/// The parameters of an authorization URL.
fn asked(begun: &PendingConnection) -> BTreeMap<String, String> {
    let url = url::Url::parse(&begun.authorization_url).unwrap();
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_sign_in_connects_by_the_book() {
    let world = ready().await;
    let begun = begun(&world).await;
    assert_eq!(begun.expires_at, crate::support::after(600));
    let asked = asked(&begun);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["redirect_uri"], HERE);
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["state"], begun.state.expose());
    let status = completed(&world, &callback(&begun, "code=c-1"))
        .await
        .unwrap();
    assert_eq!(status.state, State::Connected);
    let form = &world.server.received("/token")[0].form;
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "c-1");
    assert_eq!(form["redirect_uri"], HERE);
    assert!(form["code_verifier"].len() >= 43);
    assert_eq!(world.token().await.unwrap(), "at-1");
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn what_does_not_belong_to_a_sign_in_consumes_nothing() {
    let world = ready().await;
    let begun = begun(&world).await;
    let right = callback(&begun, "code=c-1");
    let twice = format!("{right}&code=c-2");
    let stateless = format!("{HERE}?code=c-1");
    let other_state = format!("{HERE}?code=c-1&state=of-another");
    let no_code = callback(&begun, "scope=base");
    let session = Some("session-1");
    let table = [
        (
            "another state",
            other_state.as_str(),
            session,
            "wrong_state",
        ),
        ("no state", &stateless, session, "state_missing"),
        (
            "another session",
            &right,
            Some("session-2"),
            "other_session",
        ),
        ("no session", &right, None, "other_session"),
        ("neither code nor error", &no_code, session, "code_missing"),
        ("two codes", &twice, session, "callback_duplicate_parameter"),
    ];
    for (name, url, session, code) in table {
        let outcome = completed_in(&world, url, session).await;
        assert_eq!(failure(outcome), ("connect failed", code), "{name}");
    }
    assert_eq!(world.server.count(), 0);
    assert!(completed(&world, &right).await.is_ok());
}

#[tokio::test]
async fn a_callback_is_used_once() {
    let world = ready().await;
    let begun = begun(&world).await;
    let url = callback(&begun, "code=c-1");
    let hold = world
        .server
        .holds(Answer::token("at-1", Some("rt-1"), json!({})));
    let (engine, first) = (Arc::clone(&world.engine), url.clone());
    let first = tokio::spawn(async move {
        connect::complete_connect(engine, &first, Some("session-1".into())).await
    });
    hold.arrived().await;
    assert_eq!(
        failure(completed(&world, &url).await),
        ("connect failed", "callback_used")
    );
    hold.release();
    within(first).await.unwrap().unwrap();
    assert_eq!(failure(completed(&world, &url).await).0, "connect failed");
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn of_two_who_have_the_same_callback_one_exchanges_it() {
    let world = ready().await;
    let begun = begun(&world).await;
    world
        .store
        .another_claims
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let outcome = completed(&world, &callback(&begun, "code=c-1")).await;
    assert_eq!(failure(outcome), ("connect failed", "callback_used"));
    assert_eq!(world.server.count(), 0);
}

#[tokio::test]
async fn a_sign_in_expires_after_ten_minutes() {
    let world = ready().await;
    let begun = begun(&world).await;
    world.advance(600);
    let outcome = completed(&world, &callback(&begun, "code=c-1")).await;
    assert_eq!(failure(outcome), ("connect failed", "sign_in_expired"));
    assert_eq!(world.server.count(), 0);
}

#[tokio::test]
async fn a_person_who_says_no_ends_the_sign_in() {
    let world = ready().await;
    let begun = begun(&world).await;
    let url = callback(&begun, "error=access_denied&error_description=Not+today");
    let error = completed(&world, &url).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("denied", "connect_denied")
    );
    assert!(error.reason().contains("Not today"), "{error}");
    assert_eq!(
        failure(completed(&world, &url).await),
        ("connect failed", "wrong_state")
    );
}

#[tokio::test]
async fn another_error_of_the_authorization_endpoint_is_told_in_its_words() {
    let world = ready().await;
    let begun = begun(&world).await;
    let url = callback(
        &begun,
        "error=invalid_scope&error_description=Which%1b%5B31m+scope",
    );
    let error = completed(&world, &url).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("connect failed", "authorization_error")
    );
    assert!(error.reason().contains("invalid_scope"), "{error}");
    assert!(!error.reason().contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_callback_of_another_issuer_is_refused_and_consumes_nothing() {
    let world = World::bare().await;
    let issuer = world.server.base.clone();
    world
        .configure_with(USER, |request| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert("issuer".to_owned(), issuer);
        })
        .await
        .unwrap();
    let begun = begun(&world).await;
    let mixed_up = callback(&begun, "code=c-1&iss=https%3A%2F%2Fevil.example");
    assert_eq!(
        failure(completed(&world, &mixed_up).await).0,
        "connect failed"
    );
    let denied = callback(&begun, "error=access_denied&iss=https%3A%2F%2Fevil.example");
    assert_eq!(
        failure(completed(&world, &denied).await).0,
        "connect failed"
    );
    assert_eq!(world.server.count(), 0);
    let right = callback(&begun, &format!("code=c-1&iss={}", world.server.base));
    assert!(completed(&world, &right).await.is_ok());
}

#[tokio::test]
async fn a_configuration_that_changed_meanwhile_ends_the_sign_in() {
    let world = ready().await;
    let begun = begun(&world).await;
    world
        .configure_with(USER, |request| request.client_id = Some("client-2".into()))
        .await
        .unwrap();
    let outcome = completed(&world, &callback(&begun, "code=c-1")).await;
    assert_eq!(
        failure(outcome),
        ("connect failed", "configuration_changed")
    );
    assert_eq!(world.server.count(), 0);
}

#[tokio::test]
async fn a_code_that_never_left_may_be_tried_again() {
    let world = World::bare().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    world
        .configure_with(USER, |request| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert(
                "token_endpoint".to_owned(),
                format!("http://{address}/token"),
            );
        })
        .await
        .unwrap();
    let begun = begun(&world).await;
    let url = callback(&begun, "code=c-1");
    for _ in 0..2 {
        let outcome = completed(&world, &url).await;
        assert_eq!(failure(outcome), ("unavailable", "provider_unavailable"));
    }
}

#[tokio::test]
async fn a_code_that_left_is_never_sent_again() {
    #[rustfmt::skip]
    let table = [
        ("invalid_grant",   Answer::error("invalid_grant"),               "rejected",    "provider_rejected"),
        ("invalid_client",  Answer::error("invalid_client"),              "rejected",    "invalid_client"),
        ("cut off",         Answer::cut(),                                "unavailable", "provider_unavailable"),
        ("500",             Answer::empty(500),                           "unavailable", "provider_unavailable"),
        ("502 with a page", Answer::html(502),                            "unavailable", "provider_unavailable"),
        ("503",             Answer::empty(503),                           "unavailable", "provider_unavailable"),
        ("busy, in words",  Answer::error("temporarily_unavailable"),     "unavailable", "provider_unavailable"),
        ("a web page",      Answer::html(200),                            "rejected",    "provider_rejected"),
        ("no token type",   Answer::token("at-1", None, json!({"token_type": null})), "rejected", "provider_rejected"),
    ];
    for (name, answer, kind, code) in table {
        let world = ready().await;
        let begun = begun(&world).await;
        world.server.answers(answer);
        let url = callback(&begun, "code=c-1");
        assert_eq!(
            failure(completed(&world, &url).await),
            (kind, code),
            "{name}"
        );
        assert_eq!(
            failure(completed(&world, &url).await).0,
            "connect failed",
            "{name}"
        );
        assert_eq!(world.server.count(), 1, "{name}");
        assert_eq!(world.state().await, None, "{name}");
    }
}

#[tokio::test]
async fn a_sign_in_for_a_web_application_needs_a_session() {
    let world = ready().await;
    let begun = connect::begin_connect(Arc::clone(&world.engine), connecting(), HERE, "".into());
    assert_eq!(
        failure(begun.await),
        ("invalid parameter", "session_missing")
    );
}

#[tokio::test]
async fn a_service_grant_needs_no_sign_in() {
    let world = World::bare().await.service().await;
    let request = ConnectRequest {
        grant_type: Some(SERVICE),
        ..connecting()
    };
    let begun =
        connect::begin_connect(Arc::clone(&world.engine), request.clone(), HERE, "s".into());
    assert_eq!(failure(begun.await), ("invalid parameter", "no_sign_in"));
    match connect::connect(Arc::clone(&world.engine), request)
        .await
        .unwrap()
    {
        Connecting::Done(status) => assert_eq!(status.state, State::Connected),
        Connecting::SignIn(_) => panic!("nobody has to sign in"),
    }
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn connecting_what_is_connected_does_nothing_unless_more_is_asked() {
    let world = ready().await;
    sign_in(&world, Answer::token("at-1", Some("rt-1"), json!({}))).await;
    let more = |scopes: &[&str], again| ConnectRequest {
        scopes: scopes.iter().map(ToString::to_string).collect(),
        again,
        ..connecting()
    };
    let done = connect::connect(Arc::clone(&world.engine), more(&[], false))
        .await
        .unwrap();
    assert!(matches!(done, Connecting::Done(_)));
    for request in [more(&["extra"], false), more(&[], true)] {
        let begun = connect::connect(Arc::clone(&world.engine), request)
            .await
            .unwrap();
        assert!(matches!(begun, Connecting::SignIn(_)));
    }
}

#[tokio::test]
async fn base_additional_and_this_connections_scopes_are_asked_together() {
    let world = World::with_file(&acme("{}", "")).await;
    world
        .configure_with(USER, |request| {
            request.settings.scopes = Some(vec!["added".into(), "base".into()])
        })
        .await
        .unwrap();
    let request = ConnectRequest {
        scopes: vec!["once".into()],
        ..connecting()
    };
    let begun = begun_by(&world.engine, request).await;
    assert_eq!(asked(&begun)["scope"], "base added once");
    world.server.answers(Answer::token(
        "at-1",
        Some("rt-1"),
        json!({"scope": "base added"}),
    ));
    let status = completed(&world, &callback(&begun, "code=c-1"))
        .await
        .unwrap();
    assert_eq!(status.requested_scopes, ["base", "added"]);
    assert_eq!(status.granted_scopes, ["base", "added"]);
}

#[tokio::test]
async fn a_scope_that_is_none_of_the_providers_is_refused_before_anybody_signs_in() {
    let world = World::with_file(&acme("{}", "")).await;
    world.configure(USER).await;
    let request = ConnectRequest {
        scopes: vec!["NOT ONE".into()],
        ..connecting()
    };
    let begun = connect::begin_connect(Arc::clone(&world.engine), request, HERE, "s".into());
    assert_eq!(failure(begun.await).0, "invalid scope");
}

#[tokio::test]
async fn what_the_reply_keeps_says_where_the_account_is_looked_up() {
    let file = acme(
        "{rotates: always}",
        "parameters: {api: {pattern: 'http://127\\.0\\.0\\.1:[0-9]+'}}
reply: {keep: {org: org}}
api: {hosts: ['{api}']}
account: {url: '{api}/{org}/me', email: email}",
    );
    let world = World::with_file(&file).await;
    let base = world.server.base.clone();
    let configured = world.configure_with(USER, |request| {
        request.settings.parameters = Some(BTreeMap::from([("api".to_owned(), base)]));
    });
    configured.await.unwrap();
    world
        .server
        .answers(Answer::token("at-1", Some("rt-1"), json!({"org": "o-7"})));
    world.server.answers_at(
        "/o-7/me",
        Answer::json(200, "", json!({"email": "ann@acme.com"})),
    );
    let status = sign_in_by(&world.engine, connecting()).await;
    assert_eq!(world.server.received("/o-7/me").len(), 1);
    assert_eq!(status.account.as_deref(), Some("ann@acme.com"));
}

#[tokio::test]
async fn a_server_that_takes_pushed_requests_only_gets_them() {
    let world = World::bare().await;
    let base = world.server.base.clone();
    let metadata = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"), "require_pushed_authorization_requests": true,
        "pushed_authorization_request_endpoint": format!("{base}/par"),
    });
    let place = "/.well-known/oauth-authorization-server";
    world
        .server
        .answers_at(place, Answer::json(200, "", metadata));
    world
        .configure_with(USER, |request| {
            request.settings.endpoints = None;
            request.settings.issuer = Some(base);
        })
        .await
        .unwrap();
    let reference = json!({"request_uri": "urn:example:1", "expires_in": 60});
    world
        .server
        .answers_at("/par", Answer::json(201, "", reference));
    let begun = begun(&world).await;
    let shown = asked(&begun);
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        ["client_id", "request_uri"]
    );
    assert_eq!(shown["request_uri"], "urn:example:1");
    let form = &world.server.received("/par")[0].form;
    assert_eq!(form["state"], begun.state.expose());
    assert_eq!(form["client_id"], "client-1");
    assert_eq!(form["redirect_uri"], HERE);
    let status = completed(&world, &callback(&begun, "code=c-1")).await;
    assert_eq!(status.unwrap().state, State::Connected);
}
