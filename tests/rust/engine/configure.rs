//! `configure`: calls merge, everything is checked before it is stored, equal values write nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use _core::engine::configure::{Configure, Settings};
use _core::error::Result;
use _core::model::{GrantType, State, Status};
use _core::store::Store;
use serde_json::json;

use super::{Answer, SERVICE, USER, World, acme, key_of, kind_of};

async fn revision(world: &World, grant_type: GrantType) -> Option<u64> {
    let key = key_of(grant_type).integration;
    world
        .store
        .integration(&key)
        .await
        .unwrap()
        .map(|row| row.revision)
}

/// The code of the error that a changed configuration of a user grant ends with.
async fn refused(change: impl FnOnce(&mut Configure)) -> &'static str {
    let world = World::bare().await;
    let error = world.configure_with(USER, change).await.unwrap_err();
    assert_eq!(revision(&world, USER).await, None, "nothing is stored");
    assert_eq!(error.provider(), Some("acme"), "{error}");
    error.code()
}

fn settings(change: impl FnOnce(&mut Settings)) -> Configure {
    let mut settings = Settings::default();
    change(&mut settings);
    Configure {
        provider: "acme".to_owned(),
        settings,
        ..Configure::default()
    }
}

fn scopes(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn equal_values_write_nothing() {
    let world = World::bare().await;
    for _ in 0..2 {
        world.configure(USER).await;
        assert_eq!(revision(&world, USER).await, Some(1));
    }
    world
        .configure_with(USER, |request| request.client_secret = Some("new".into()))
        .await
        .unwrap();
    assert_eq!(revision(&world, USER).await, Some(2));
}

#[tokio::test]
async fn calls_merge_and_an_empty_value_goes_back_to_the_default() {
    let world = World::bare().await;
    world.configure(USER).await;
    let with = |change: &dyn Fn(&mut Settings)| world.engine.configure(settings(change));
    with(&|settings| settings.scopes = scopes(&["read", "write", "read"]))
        .await
        .unwrap();
    let status = with(&|settings| settings.redirect_uri = Some("https://app.example/back".into()))
        .await
        .unwrap();
    assert_eq!(status.requested_scopes, ["read", "write"]);
    assert_eq!(
        status.redirect_uri.as_deref(),
        Some("https://app.example/back")
    );
    assert_eq!(status.client_id.as_deref(), Some("client-1"));
    with(&|settings| settings.scopes = Some(Vec::new()))
        .await
        .unwrap();
    let status = with(&|settings| settings.redirect_uri = Some(String::new()))
        .await
        .unwrap();
    assert!(status.requested_scopes.is_empty());
    assert_eq!(
        status.redirect_uri.as_deref(),
        Some("http://127.0.0.1/callback")
    );
}

#[tokio::test]
async fn without_a_grant_type_the_only_configured_one_is_meant() {
    let world = World::bare().await;
    world.configure(SERVICE).await;
    let status = world.engine.configure(settings(|_| {})).await.unwrap();
    assert_eq!(status.grant_type, Some(SERVICE));
    world.configure(USER).await;
    let error = world.engine.configure(settings(|_| {})).await.unwrap_err();
    assert_eq!(kind_of(&error), "ambiguous");
    for grant_type in ["authorization_code", "client_credentials"] {
        assert!(
            error.next_command().unwrap().contains(grant_type),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_first_grant_type_follows_from_the_endpoints() {
    for (endpoints, expected) in [(USER, USER), (SERVICE, SERVICE)] {
        let world = World::bare().await;
        let mut request = world.configuration(endpoints);
        request.grant_type = None;
        let status = world.engine.configure(request).await.unwrap();
        assert_eq!(status.grant_type, Some(expected));
    }
}

#[tokio::test]
async fn an_id_that_nobody_knows_needs_endpoints() {
    let world = World::bare().await;
    for grant_type in [None, Some(USER)] {
        let request = Configure {
            grant_type,
            client_id: Some("c".into()),
            ..settings(|_| {})
        };
        assert_eq!(
            kind_of(&world.engine.configure(request).await.unwrap_err()),
            "unknown provider"
        );
    }
}

#[tokio::test]
async fn what_could_not_work_is_refused_before_it_is_stored() {
    assert_eq!(
        refused(|request| request.client_id = None).await,
        "client_id_missing"
    );
    assert_eq!(
        refused(|request| request.client_id = Some("  ".into())).await,
        "client_id_missing"
    );
    type Change = fn(&mut Settings);
    let table: [(&str, Change); 7] = [
        ("missing_endpoint", |settings| {
            settings
                .endpoints
                .as_mut()
                .unwrap()
                .remove("authorization_endpoint");
        }),
        ("unknown_endpoint", |settings| {
            settings
                .endpoints
                .as_mut()
                .unwrap()
                .insert("token_endpont".into(), "https://a.example".into());
        }),
        ("invalid_url", |settings| {
            settings
                .endpoints
                .as_mut()
                .unwrap()
                .insert("token_endpoint".into(), "http://a.example/token".into());
        }),
        ("unknown_client_authentication", |settings| {
            settings.client_authentication = Some("client_secret_smoke".into());
        }),
        ("exchange_needs_a_service", |settings| {
            settings.exchange_from = Some("other".into())
        }),
        // The secret is no key.
        ("client_key_invalid", |settings| {
            settings.client_authentication = Some("private_key_jwt".into());
        }),
        ("unknown_parameter", |settings| {
            settings.parameters = Some(BTreeMap::from([("tenant".to_owned(), "x".to_owned())]));
        }),
    ];
    for (code, change) in table {
        assert_eq!(refused(|request| change(&mut request.settings)).await, code);
    }
}

#[tokio::test]
async fn a_service_integration_needs_a_secret() {
    let world = World::bare().await;
    let configured = world
        .configure_with(SERVICE, |request| request.client_secret = None)
        .await;
    assert_eq!(configured.unwrap_err().code(), "client_secret_missing");
}

#[tokio::test]
async fn a_misspelt_endpoint_is_answered_with_the_nearest_name() {
    let world = World::bare().await;
    let configured = world.configure_with(USER, |request| {
        let endpoints = request.settings.endpoints.as_mut().unwrap();
        endpoints.insert(
            "revocation_endpont".to_owned(),
            "https://a.example".to_owned(),
        );
    });
    let error = configured.await.unwrap_err();
    assert!(
        error
            .reason()
            .contains("the nearest is revocation_endpoint"),
        "{error}"
    );
}

#[tokio::test]
async fn redirect_uris_are_judged() {
    let redirect = async |uri: &str| -> Result<Status> {
        let world = World::bare().await;
        world
            .configure_with(USER, |request| {
                request.settings.redirect_uri = Some(uri.to_owned())
            })
            .await
    };
    for uri in [
        "http://127.0.0.1:8080/cb",
        "http://localhost/cb",
        "http://[::1]:1/",
        "https://app.example/cb",
        "app.example:/cb",
    ] {
        assert!(redirect(uri).await.is_ok(), "{uri}");
    }
    for uri in [
        "http://app.example/cb",
        "https://app.example/cb#part",
        "https://me@app.example/cb",
        "/callback",
        "http://127.0.0.1.evil.example/",
    ] {
        assert_eq!(
            redirect(uri).await.unwrap_err().code(),
            "invalid_redirect_uri",
            "{uri}"
        );
    }
}

#[tokio::test]
async fn additional_scopes_are_checked_at_once() {
    let world = World::with_file(&acme("{}", "")).await;
    let configured = world.configure_with(USER, |request| {
        request.settings.scopes = scopes(&["READ ALL"])
    });
    assert_eq!(kind_of(&configured.await.unwrap_err()), "invalid scope");
    let configured =
        world.configure_with(USER, |request| request.settings.scopes = scopes(&["read"]));
    assert_eq!(configured.await.unwrap().requested_scopes, ["base", "read"]);
}

#[tokio::test]
async fn service_tokens_ask_for_base_and_additional_scopes() {
    let world = World::with_file(&acme("{}", "")).await;
    world
        .configure_with(SERVICE, |request| {
            request.settings.scopes = scopes(&["read", "base"])
        })
        .await
        .unwrap();
    let slot = world.slot_for(|_| {}).await.unwrap();
    assert_eq!(
        world.server.received("/token")[0].form["scope"],
        "base read"
    );
    assert_eq!(
        slot.stored.token.scopes,
        ["base", "read"],
        "what was asked, where the reply does not say"
    );
}

#[tokio::test]
async fn needed_scopes_that_are_missing_are_named_with_their_union_and_the_command() {
    let world = World::bare().await;
    world
        .configure_with(USER, |request| request.settings.scopes = scopes(&["read"]))
        .await
        .unwrap();
    world.import("default", "rt-0").await;
    let need = |names: &[&str]| {
        let names = scopes(names).unwrap();
        move |request: &mut _core::engine::TokenRequest| request.scopes = names
    };
    assert_eq!(world.token_for(need(&["read"])).await.unwrap(), "at-1");
    let error = world.token_for(need(&["read", "write"])).await.unwrap_err();
    let expected = _core::error::ErrorKind::MissingScopes {
        missing: vec!["write".to_owned()],
        union: vec!["read".to_owned(), "write".to_owned()],
    };
    assert_eq!(*error.kind(), expected);
    assert_eq!(
        error.next_command(),
        Some("evergrant connect acme --scope write")
    );
    assert_eq!(world.server.count(), 1);
}

#[tokio::test]
async fn an_issuer_is_asked_for_its_endpoints() {
    let world = World::bare().await;
    let base = world.server.base.clone();
    let metadata = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
        "response_types_supported": ["code"],
    });
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        world
            .server
            .answers_at(path, Answer::json(200, "", &metadata));
    }
    let configured = world.configure_with(USER, |request| {
        request.settings.endpoints = None;
        request.settings.issuer = Some(base.clone());
    });
    assert_eq!(configured.await.unwrap().state, State::Configured);
    world.import("default", "rt-0").await;
    assert_eq!(world.token().await.unwrap(), "at-1");
}

#[tokio::test]
async fn an_issuer_that_is_away_configures_nothing() {
    let world = World::bare().await;
    let configured = world.configure_with(USER, |request| {
        request.settings.endpoints = None;
        request.settings.issuer = Some("http://127.0.0.1:9".to_owned());
    });
    assert_eq!(kind_of(&configured.await.unwrap_err()), "unavailable");
    assert_eq!(revision(&world, USER).await, None);
}

#[tokio::test]
async fn a_configuration_is_there_for_every_process_and_sealed() {
    let world = World::bare().await;
    world.configure(USER).await;
    let other = world.another().await;
    let status = other.status("acme", None, "default").await.unwrap();
    assert_eq!(status.client_id.as_deref(), Some("client-1"));
    let row = world
        .store
        .integration(&key_of(USER).integration)
        .await
        .unwrap()
        .unwrap();
    assert!(!String::from_utf8_lossy(&row.sealed.blob).contains("client-1"));
}

#[tokio::test]
async fn two_who_configure_at_once_both_count() {
    let world = World::bare().await;
    world.configure(USER).await;
    let other = world.another().await;
    let (one, two) = tokio::join!(
        world
            .engine
            .configure(settings(|settings| settings.scopes = scopes(&["read"]))),
        other.configure(settings(
            |settings| settings.redirect_uri = Some("https://app.example/".into())
        )),
    );
    one.unwrap();
    two.unwrap();
    let status = world.engine.status("acme", None, "default").await.unwrap();
    assert_eq!(status.requested_scopes, ["read"]);
    assert_eq!(status.redirect_uri.as_deref(), Some("https://app.example/"));
}

#[tokio::test]
async fn a_refresh_follows_the_configuration_as_it_is_then() {
    let world = World::bare().await.connected().await;
    for audience in ["one", "other"] {
        let parameters = BTreeMap::from([("audience".to_owned(), audience.to_owned())]);
        world
            .configure_with(USER, |request| {
                request.settings.token_parameters = Some(parameters);
            })
            .await
            .unwrap();
        world.advance(3600);
        world.token().await.unwrap();
        let sent = world.server.received("/token").pop().unwrap();
        assert_eq!(
            sent.form.get("audience").map(String::as_str),
            Some(audience)
        );
    }
}

#[tokio::test]
async fn nothing_secret_is_in_what_debug_shows() {
    let world = World::bare().await.connected().await;
    let slot = world.slot_for(|_| {}).await.unwrap();
    let begun = format!(
        "{:?} {slot:?} {:?}",
        world.engine,
        world.configuration(USER)
    );
    for secret in ["s3cret", "at-1", "rt-1"] {
        assert!(!begun.contains(secret), "{secret} in {begun}");
    }
    let engine = Arc::clone(&world.engine);
    assert_eq!(engine.workspace(), "default");
}
