//! Arriving: what a sign-in keeps of the grant before it, and refresh tokens that were issued elsewhere.

use serde_json::json;

use super::connect::{connecting, failure, ready, sign_in, sign_in_by};
use super::{Answer, USER, World, acme};

/// A world whose provider says whose account a token is, by `id` in the reply.
async fn with_accounts() -> World {
    let file = acme("{}", "account: {source: reply, id: id}");
    let world = World::with_file(&file).await;
    world.configure(USER).await;
    sign_in(
        &world,
        Answer::token("at-1", Some("rt-1"), json!({"id": "alice"})),
    )
    .await;
    world
}

/// The refresh token that is used once the token of a second sign-in is over.
async fn used_after(world: &World) -> Option<String> {
    world.advance(3600);
    world.token().await.ok()?;
    world.server.refresh_tokens().pop()
}

#[tokio::test]
async fn a_sign_in_without_a_refresh_token_keeps_the_old_one_for_the_same_account_and_client() {
    let world = with_accounts().await;
    sign_in(&world, Answer::token("at-2", None, json!({"id": "alice"}))).await;
    assert_eq!(used_after(&world).await.as_deref(), Some("rt-1"));
}

#[tokio::test]
async fn a_sign_in_as_somebody_else_keeps_no_refresh_token() {
    for id in [json!({"id": "bob"}), json!({})] {
        let world = with_accounts().await;
        sign_in(&world, Answer::token("at-2", None, id)).await;
        assert_eq!(used_after(&world).await, None);
    }
}

#[tokio::test]
async fn a_sign_in_with_another_client_keeps_no_refresh_token() {
    let world = with_accounts().await;
    world
        .configure_with(USER, |request| request.client_id = Some("client-2".into()))
        .await
        .unwrap();
    sign_in(&world, Answer::token("at-2", None, json!({"id": "alice"}))).await;
    assert_eq!(used_after(&world).await, None);
}

#[tokio::test]
async fn a_sign_in_at_another_token_endpoint_keeps_no_refresh_token() {
    let world = with_accounts().await;
    world
        .configure_with(USER, |request| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            endpoints.insert(
                "token_endpoint".to_owned(),
                format!("{}/elsewhere", world.server.base),
            );
        })
        .await
        .unwrap();
    let issued = Answer::token("at-2", None, json!({"id": "alice"}));
    world.server.answers_at("/elsewhere", issued);
    sign_in_by(&world.engine, connecting()).await;
    world.advance(3600);
    assert_eq!(
        failure(world.token().await),
        ("reauthorization", "no_refresh_token")
    );
    let sent = world.server.received("/elsewhere");
    assert!(
        sent.iter()
            .all(|request| !request.form.contains_key("refresh_token"))
    );
}

#[tokio::test]
async fn an_imported_refresh_token_that_another_connection_holds_is_refused_by_name() {
    let world = World::bare().await.imported().await;
    let import = |name: &'static str| {
        world
            .engine
            .import_refresh_token("acme", "rt-0".into(), Some(USER), name, &[])
    };
    let error = import("bob").await.unwrap_err();
    assert_eq!(error.code(), "refresh_token_held");
    assert!(error.reason().contains("default"), "{error}");
    assert!(
        import("default").await.is_ok(),
        "the same connection may have it again"
    );
}

#[tokio::test]
async fn an_imported_refresh_token_is_one_line_of_text() {
    let world = ready().await;
    for text in ["", "a\nb", "a\u{e9}"] {
        let imported =
            world
                .engine
                .import_refresh_token("acme", text.into(), Some(USER), "default", &[]);
        assert_eq!(
            failure(imported.await).1,
            "invalid_refresh_token",
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_kept_alone_is_handed_out_until_it_ends_and_nothing_is_asked() {
    let world = ready().await;
    let lifetime = Some(std::time::Duration::from_secs(600));
    let scopes = Some(vec!["read".to_owned()]);
    let kept = world.engine.keep_token(
        "acme",
        "fake-1".into(),
        Some(USER),
        "default",
        scopes,
        lifetime,
    );
    assert_eq!(kept.await.unwrap().granted_scopes, ["read"]);
    assert_eq!(world.token().await.unwrap(), "fake-1");
    world.advance(600);
    assert_eq!(failure(world.token().await).0, "reauthorization");
    assert_eq!(world.server.count(), 0);
}

#[tokio::test]
async fn a_token_that_fits_no_header_is_not_kept() {
    let world = ready().await;
    for value in ["", "with space", "line\nbreak"] {
        let kept = world
            .engine
            .keep_token("acme", value.into(), Some(USER), "default", None, None);
        assert_eq!(failure(kept.await).1, "invalid_access_token");
    }
}
