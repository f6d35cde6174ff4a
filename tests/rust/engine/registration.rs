//! Clients that evergrant registers itself (RFC 7591), and what they are registered for.

use _core::engine::configure::Configure;
use _core::error::Result;
use _core::model::{State, Status};
use serde_json::{Value, json};

use super::connect::{begun, callback, completed, failure};
use super::{Answer, USER, World, acme};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";

/// Metadata of this world's server, with `more` laid over it.
fn metadata(world: &World, more: Value) -> Answer {
    let base = &world.server.base;
    let mut metadata = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
    });
    let members = metadata.as_object_mut().unwrap();
    members.extend(more.as_object().cloned().unwrap_or_default());
    members.retain(|_, value| !value.is_null());
    Answer::json(200, "", metadata)
}

fn registered(id: &str, more: Value) -> Answer {
    let mut body = json!({"client_id": id, "token_endpoint_auth_method": "none"});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().cloned().unwrap_or_default());
    members.retain(|_, value| !value.is_null());
    Answer::json(201, "", body)
}

/// `configure` with an issuer and no client id.
async fn configure(
    world: &World,
    metadata: Answer,
    change: impl FnOnce(&mut Configure),
) -> Result<Status> {
    world.server.answers_at(METADATA, metadata);
    let issuer = world.server.base.clone();
    world
        .configure_with(USER, |request| {
            request.client_id = None;
            request.client_secret = None;
            request.settings.endpoints = None;
            request.settings.issuer = Some(issuer);
            change(request);
        })
        .await
}

fn registrations(world: &World) -> usize {
    world.server.received("/register").len()
}

#[tokio::test]
async fn a_client_is_registered_where_none_is_given_and_once() {
    let world = World::bare().await;
    world
        .server
        .answers_at("/register", registered("registered-1", json!({})));
    for _ in 0..2 {
        let status = configure(&world, metadata(&world, json!({})), |_| {}).await;
        assert_eq!(status.unwrap().client_id.as_deref(), Some("registered-1"));
    }
    let sent = &world.server.received("/register")[0].body;
    let sent: Value = serde_json::from_str(sent).unwrap();
    let expected = json!({
        "client_name": "evergrant", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "application_type": "native", "token_endpoint_auth_method": "none",
    });
    assert_eq!(sent, expected);
    assert_eq!(registrations(&world), 1);
    let begun = begun(&world).await;
    let status = completed(
        &world,
        &callback(&begun, &format!("code=c-1&iss={}", world.server.base)),
    )
    .await;
    assert_eq!(status.unwrap().state, State::Connected);
    assert_eq!(
        world.server.received("/token")[0].form["client_id"],
        "registered-1"
    );
}

#[tokio::test]
async fn a_client_of_the_users_own_is_not_registered() {
    let world = World::bare().await;
    let status = configure(&world, metadata(&world, json!({})), |request| {
        request.client_id = Some("own".to_owned());
    });
    assert_eq!(status.await.unwrap().client_id.as_deref(), Some("own"));
    assert_eq!(registrations(&world), 0);
}

#[tokio::test]
async fn a_secret_that_was_registered_is_used_as_the_server_says() {
    let world = World::bare().await;
    let more =
        json!({"client_secret": "s3cret-1", "token_endpoint_auth_method": "client_secret_post"});
    world
        .server
        .answers_at("/register", registered("registered-1", more));
    let methods = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    configure(&world, metadata(&world, methods), |_| {})
        .await
        .unwrap();
    let sent = &world.server.received("/register")[0].body;
    assert!(sent.contains("\"token_endpoint_auth_method\":\"client_secret_post\""));
    let begun = begun(&world).await;
    completed(&world, &callback(&begun, "code=c-1"))
        .await
        .unwrap();
    let form = &world.server.received("/token")[0].form;
    assert_eq!(form["client_secret"], "s3cret-1");
}

#[tokio::test]
async fn another_redirect_uri_is_registered_anew_and_another_client_forgets_the_registration() {
    let world = World::bare().await;
    for id in ["registered-1", "registered-2"] {
        let more = json!({"client_secret": "s3cret-1"});
        world.server.answers_at("/register", registered(id, more));
    }
    configure(&world, metadata(&world, json!({})), |_| {})
        .await
        .unwrap();
    let elsewhere = "https://app.example/callback".to_owned();
    let status = configure(&world, metadata(&world, json!({})), |request| {
        request.settings.redirect_uri = Some(elsewhere.clone());
    });
    assert_eq!(
        status.await.unwrap().client_id.as_deref(),
        Some("registered-2")
    );
    let sent = &world.server.received("/register")[1].body;
    assert!(
        sent.contains(&elsewhere) && sent.contains("\"web\""),
        "{sent}"
    );
    let status = configure(&world, metadata(&world, json!({})), |request| {
        request.client_id = Some("own".to_owned());
    });
    assert_eq!(status.await.unwrap().client_id.as_deref(), Some("own"));
    let integration = world.engine.integration("acme", None).await.unwrap();
    assert!(integration.configuration.client_secret.is_none());
    assert!(integration.configuration.registered.is_none());
    assert_eq!(registrations(&world), 2);
}

#[tokio::test]
async fn the_key_to_the_registration_is_sealed_and_shown_nowhere() {
    let world = World::bare().await;
    let more = json!({
        "registration_access_token": "key-to-the-registration",
        "registration_client_uri": format!("{}/register/1", world.server.base),
    });
    world
        .server
        .answers_at("/register", registered("registered-1", more));
    let status = configure(&world, metadata(&world, json!({})), |_| {})
        .await
        .unwrap();
    let integration = world.another().await.integration("acme", None).await;
    let integration = integration.unwrap();
    let registration = integration.configuration.registered.as_ref().unwrap();
    let key = registration.access_token.as_ref().unwrap();
    assert_eq!(key.expose(), "key-to-the-registration");
    for shown in [format!("{status:?}"), format!("{integration:?}")] {
        assert!(!shown.contains("key-to-the-registration"), "{shown}");
    }
}

#[tokio::test]
async fn a_refused_registration_configures_nothing() {
    #[rustfmt::skip]
    let table = [
        (Answer::error("invalid_redirect_uri"),             ("rejected", "registration_refused")),
        (Answer::html(200),                                 ("rejected", "registration_malformed")),
        (registered("", json!({})),                         ("rejected", "registration_malformed")),
        (registered("x", json!({"token_endpoint_auth_method": "private_key_jwt"})), ("rejected", "registration_malformed")),
        (Answer::empty(503),                                ("unavailable", "registration_unavailable")),
    ];
    for (answer, expected) in table {
        let world = World::bare().await;
        world.server.answers_at("/register", answer);
        let outcome = configure(&world, metadata(&world, json!({})), |_| {}).await;
        assert_eq!(failure(outcome), expected);
        assert!(world.engine.integrations().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_registers_nobody_needs_a_client_id() {
    let world = World::bare().await;
    let closed = json!({"registration_endpoint": null});
    let outcome = configure(&world, metadata(&world, closed), |_| {}).await;
    assert_eq!(failure(outcome), ("invalid parameter", "client_id_missing"));
}

#[tokio::test]
async fn an_mcp_server_needs_nothing_but_its_url() {
    let world = World::bare().await;
    let base = world.server.base.clone();
    let url = format!("{base}/mcp");
    let document = json!({"resource": url, "authorization_servers": [base]});
    world
        .server
        .answers_at(RESOURCE, Answer::json(200, "", document));
    world
        .server
        .answers_at("/register", registered("registered-1", json!({})));
    let advertised = json!({"scopes_supported": ["everything"]});
    configure(&world, metadata(&world, advertised), |request| {
        request.settings.issuer = Some(url.clone());
    })
    .await
    .unwrap();
    let begun = begun(&world).await;
    let shown = url::Url::parse(&begun.authorization_url).unwrap();
    let asked: std::collections::BTreeMap<_, _> = shown.query_pairs().into_owned().collect();
    assert_eq!(asked["resource"], url);
    assert!(!asked.contains_key("scope"), "nothing widens what is asked");
    completed(&world, &callback(&begun, "code=c-1"))
        .await
        .unwrap();
    world.advance(4000);
    world.token().await.unwrap();
    for request in world.server.received("/token") {
        assert_eq!(request.form["resource"], url);
        assert_eq!(request.form["client_id"], "registered-1");
    }
    assert_eq!(world.server.count(), 2);
}

#[tokio::test]
async fn a_scope_that_the_file_wants_where_the_server_knows_it_is_asked_for_there_alone() {
    let file = acme("{}", "").replace(
        "{base: [base],",
        "{base: [], if_supported: [offline_access],",
    );
    for (supported, asked) in [
        (
            json!(["everything", "offline_access"]),
            Some("offline_access"),
        ),
        (json!(["everything"]), None),
        (Value::Null, None),
    ] {
        let world = World::with_file(&file).await;
        world
            .server
            .answers_at("/register", registered("registered-1", json!({})));
        let advertised = json!({"scopes_supported": supported});
        configure(&world, metadata(&world, advertised), |_| {})
            .await
            .unwrap();
        let shown = url::Url::parse(&begun(&world).await.authorization_url).unwrap();
        let query: std::collections::BTreeMap<_, _> = shown.query_pairs().into_owned().collect();
        assert_eq!(query.get("scope").map(String::as_str), asked);
    }
}
