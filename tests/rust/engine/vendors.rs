//! Rules of single vendors that decide when a token is asked for, and what is handed out beside it.

use std::collections::BTreeMap;

use _core::model::State;
use serde_json::json;

use super::connect::{connecting, failure, sign_in};
use super::{Answer, SERVICE, USER, World, acme};
use crate::support::texts;

/// A provider whose access tokens renew themselves, a day old at least.
async fn renewing() -> World {
    let file = acme(
        "{uses: access_token, rotates: always, omit: [refresh_token], parameters: {grant_type: renew, access_token: '{access_token}'}}",
        "lifetimes: {min_age: 86400, margin_cap: 604800}",
    );
    let world = World::with_file(&file).await;
    world.configure(USER).await;
    world
}

fn two_months(token: &str) -> Answer {
    Answer::token(token, None, json!({"expires_in": 60 * 86_400}))
}

#[tokio::test]
async fn an_access_token_renews_itself_where_there_are_no_refresh_tokens() {
    let world = renewing().await;
    let status = sign_in(&world, two_months("at-1")).await;
    assert_eq!((status.state, status.reason), (State::Connected, None));
    world.advance(59 * 86_400);
    world.server.answers(two_months("at-2"));
    // Within its margin it is handed out, and renewed in the background.
    world
        .engine
        .refresh_now("acme", None, "default")
        .await
        .unwrap();
    assert_eq!(world.token().await.unwrap(), "at-2");
    let form = &world.server.received("/token")[1].form;
    assert_eq!(form["grant_type"], "renew");
    assert_eq!(form["access_token"], "at-1");
    assert!(!form.contains_key("refresh_token"));
}

#[tokio::test]
async fn an_access_token_that_ended_renews_nothing() {
    let world = renewing().await;
    sign_in(&world, two_months("at-1")).await;
    world.advance(61 * 86_400);
    assert_eq!(
        failure(world.token().await),
        ("reauthorization", "no_refresh_token")
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_refresh_repeats_the_redirect_uri_of_its_sign_in_where_the_file_wants_it() {
    let file = acme(
        "{rotates: always, parameters: {redirect_uri: '{redirect_uri}'}}",
        "",
    );
    let world = World::with_file(&file).await;
    world.configure(USER).await;
    sign_in(&world, Answer::token("at-1", Some("rt-1"), json!({}))).await;
    world.advance(3600);
    world.token().await.unwrap();
    let form = &world.server.received("/token")[1].form;
    assert_eq!(form["redirect_uri"], "https://app.example/callback");
}

#[tokio::test]
async fn a_token_that_is_too_young_is_not_renewed() {
    let world = renewing().await;
    sign_in(&world, two_months("at-1")).await;
    world.advance(86_399);
    let refused = world
        .token_for(|request| request.replacing = Some("at-1".into()))
        .await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "provider_unavailable");
    assert!(error.reason().contains("in its first 86400 s"), "{error}");
    assert_eq!(world.server.count(), 1);
    world.advance(1);
    world.server.answers(two_months("at-2"));
    let renewed = world
        .token_for(|request| request.replacing = Some("at-1".into()))
        .await;
    assert_eq!(renewed.unwrap(), "at-2");
}

#[tokio::test]
async fn a_clock_set_back_keeps_no_token_too_young() {
    let world = renewing().await;
    sign_in(&world, two_months("at-1")).await;
    world.advance(86_400);
    world.clock.jump_wall(-2 * 86_400_000);
    world.server.answers(two_months("at-2"));
    let renewed = world
        .token_for(|request| request.replacing = Some("at-1".into()))
        .await;
    assert_eq!(renewed.unwrap(), "at-2");
}

#[tokio::test]
async fn a_clock_set_back_lets_no_ended_token_renew_itself() {
    let world = renewing().await;
    sign_in(&world, two_months("at-1")).await;
    world.advance(61 * 86_400);
    world.clock.jump_wall(-2 * 86_400_000);
    assert_eq!(
        failure(world.token().await),
        ("reauthorization", "no_refresh_token")
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn a_provider_that_repeats_its_token_is_not_asked_before_it_ends() {
    let file = acme("{rotates: never}", "lifetimes: {same_until_expiry: true}");
    let world = World::with_file(&file).await.service().await;
    world.server.answers(Answer::token("at-1", None, json!({})));
    world.server.answers(Answer::token("at-2", None, json!({})));
    assert_eq!(world.token().await.unwrap(), "at-1");
    // Any other provider's token would be due by now.
    world.advance(3600 - 60);
    let lead = std::time::Duration::ZERO;
    let report = world.engine.refresh_due(lead).await.unwrap();
    assert_eq!(report.steps[0].detail, "nothing is due");
    assert_eq!(world.server.count(), 1);
    world.advance(31);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

#[tokio::test]
async fn what_every_call_needs_is_handed_out_with_the_token_and_stays_through_a_refresh() {
    let file = acme(
        "{rotates: always}",
        "parameters: {organisation: {default: acme}}
reply: {keep: {instance: instance}}
api: {hosts: [api.example.com], token_header: X-Token, headers: {X-Client: '{client_id}', X-Org: '{organisation}', X-Instance: '{instance}', X-Absent: '{tenant}'}}",
    );
    let file = file.replace(
        "reply: {keep: {instance: instance}}",
        "reply: {keep: {instance: instance, tenant: tenant}}",
    );
    let world = World::with_file(&file).await;
    world.configure(USER).await;
    sign_in(
        &world,
        Answer::token("at-1", Some("rt-1"), json!({"instance": "i-7"})),
    )
    .await;
    let expected = texts(&[
        ("header.X-Client", "client-1"),
        ("header.X-Instance", "i-7"),
        ("header.X-Org", "acme"),
        ("instance", "i-7"),
        ("token_header", "X-Token"),
    ]);
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.token.extra, expected);
    world.advance(3600);
    world
        .server
        .answers(Answer::token("at-2", Some("rt-2"), json!({})));
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(slot.stored.token.value.expose(), "at-2");
    assert_eq!(slot.stored.token.extra, expected);
}

#[tokio::test]
async fn an_end_that_a_vendor_announced_is_told_from_three_months_before() {
    let file = acme(
        "{rotates: always}",
        "notes: [{date: '2026-06-01', what: The old token endpoint, action: use the new one}]",
    );
    let world = World::with_file(&file).await.connected().await;
    let reason = async || {
        world
            .engine
            .status("acme", None, "default")
            .await
            .unwrap()
            .reason
    };
    assert_eq!(reason().await, None);
    world.advance(62 * 86_400);
    assert_eq!(
        reason().await.as_deref(),
        Some("Acme announced an end on 2026-06-01: The old token endpoint; use the new one")
    );
    world.advance(90 * 86_400);
    assert_eq!(reason().await, None);
}

#[tokio::test]
async fn a_redirect_that_is_only_a_name_is_configured_and_sent_as_it_is() {
    let file = acme("{rotates: always}", "").replace(
        "authorization_code: {refresh:",
        "authorization_code: {redirect: {opaque: true}, refresh:",
    );
    let world = World::with_file(&file).await;
    let configured = world.configure_with(USER, |request| {
        request.settings.redirect_uri = Some("Acme-Inc-Acme-SBX-abc".into());
    });
    configured.await.unwrap();
    let connecting = _core::connect::connect(std::sync::Arc::clone(&world.engine), connecting());
    let _core::connect::Connecting::SignIn(sign_in) = connecting.await.unwrap() else {
        panic!("nobody signed in yet");
    };
    assert!(!sign_in.listens);
    let url = url::Url::parse(sign_in.url.as_ref().unwrap()).unwrap();
    let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(asked["redirect_uri"], "Acme-Inc-Acme-SBX-abc");
}

#[tokio::test]
async fn a_client_id_of_another_kind_is_refused_before_it_is_stored() {
    let file = acme("{rotates: always}", "").replace(
        "client: {",
        "client: {id_pattern: 'organization\\.[0-9]+', ",
    );
    let world = World::with_file(&file).await;
    let refused = world.configure_with(SERVICE, |_| {}).await;
    assert_eq!(failure(refused).1, "client_id_invalid");
    let taken = world.configure_with(SERVICE, |request| {
        request.client_id = Some("organization.7".into());
    });
    taken.await.unwrap();
}

#[tokio::test]
async fn a_client_that_everyone_uses_needs_not_be_configured() {
    let file = acme("{rotates: always}", "").replace(
        "client: {",
        "client: {fixed: {client_id: everyone, client_secret: public}, ",
    );
    let world = World::with_file(&file).await;
    let configured = world.configure_with(SERVICE, |request| {
        request.client_id = None;
        request.client_secret = None;
    });
    assert_eq!(
        configured.await.unwrap().client_id.as_deref(),
        Some("everyone")
    );
    world.server.answers(Answer::token("at-1", None, json!({})));
    world.token().await.unwrap();
    let form = &world.server.received("/token")[0].form;
    assert_eq!(
        (&*form["client_id"], &*form["client_secret"]),
        ("everyone", "public")
    );
}

/// A server that is named by its URL alone, and says the rest itself.
async fn named_by_its_url() -> World {
    let file = "id: acme
name: Acme
category: mcp
summary: A server made up for tests.
parameters: {server_url: {pattern: 'http://127\\.0\\.0\\.1:[0-9]+/mcp'}}
discovery: {from: protected_resource, url: '{server_url}'}
client: {authentication: [none, client_secret_post], registration: [dynamic]}
grants: {authorization_code: {pkce: required, refresh: {rotates: always}}}
resource: {parameter: resource, default: '{server_url}'}
api: {hosts: ['{server_url}']}
";
    let world = World::with_file(file).await;
    let base = world.server.base.clone();
    let resource = json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]});
    let place = "/.well-known/oauth-protected-resource/mcp";
    world
        .server
        .answers_at(place, Answer::json(200, "", resource));
    let metadata = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
    });
    let place = "/.well-known/oauth-authorization-server";
    world
        .server
        .answers_at(place, Answer::json(200, "", metadata));
    world
}

async fn configured_by_url(world: &World) -> _core::error::Result<_core::model::Status> {
    let url = format!("{}/mcp", world.server.base);
    let configured = world.configure_with(USER, |request| {
        request.client_id = None;
        request.client_secret = None;
        request.settings.endpoints = None;
        request.settings.parameters = Some(texts(&[("server_url", &url)]));
    });
    configured.await
}

#[tokio::test]
async fn a_server_that_is_named_by_its_url_says_the_rest_and_registers_a_client() {
    let world = named_by_its_url().await;
    let registered = json!({"client_id": "registered-7"});
    world
        .server
        .answers_at("/register", Answer::json(201, "", registered));
    let status = configured_by_url(&world).await.unwrap();
    assert_eq!(status.client_id.as_deref(), Some("registered-7"));
    sign_in(&world, Answer::token("at-1", Some("rt-1"), json!({}))).await;
    let form = &world.server.received("/token")[0].form;
    assert_eq!(form["client_id"], "registered-7");
    assert_eq!(form["resource"], format!("{}/mcp", world.server.base));
    assert!(form.contains_key("code_verifier"));
}

#[tokio::test]
async fn what_a_server_said_is_not_asked_again() {
    let world = named_by_its_url().await;
    let registered = json!({"client_id": "registered-7"});
    world
        .server
        .answers_at("/register", Answer::json(201, "", registered));
    configured_by_url(&world).await.unwrap();
    let before = world.server.count();
    configured_by_url(&world).await.unwrap();
    assert_eq!(world.server.count(), before);
}

#[tokio::test]
async fn a_server_that_takes_no_public_clients_registers_one_with_a_secret() {
    let world = named_by_its_url().await;
    let refused = json!({"error": "invalid_client_metadata"});
    world
        .server
        .answers_at("/register", Answer::json(400, "", refused));
    let registered = json!({"client_id": "registered-7", "client_secret": "of-7"});
    world
        .server
        .answers_at("/register", Answer::json(201, "", registered));
    configured_by_url(&world).await.unwrap();
    sign_in(&world, Answer::token("at-1", Some("rt-1"), json!({}))).await;
    let form = &world.server.received("/token")[0].form;
    assert_eq!(form["client_secret"], "of-7");
}

#[tokio::test]
async fn a_server_that_registers_nobody_says_why_and_nothing_is_configured() {
    let world = named_by_its_url().await;
    for _ in 0..2 {
        let refused =
            json!({"error": "access_denied", "error_description": "ask the administrator"});
        world
            .server
            .answers_at("/register", Answer::json(403, "", refused));
    }
    let error = configured_by_url(&world).await.unwrap_err();
    assert_eq!(error.code(), "registration_refused");
    assert!(error.reason().contains("ask the administrator"), "{error}");
    assert_eq!(
        world
            .engine
            .status("acme", Some(USER), "default")
            .await
            .unwrap()
            .state,
        State::NotConfigured
    );
}
