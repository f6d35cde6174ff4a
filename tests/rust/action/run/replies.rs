//! What servers do instead of answering well, each of which is said in words.

use std::sync::Arc;

use _core::action::run::{Next, Run};
use _core::clock::Clock;
use _core::engine::open::{ExplicitKey, Surroundings, open_in};
use _core::error::Error;
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use _core::store::memory::MemoryStore;
use tokio::net::TcpListener;

use super::{Mapping, World, one_step, options, said, typed};
use crate::support::hang_up_after;

/// Why a request to a server on this machine fails, sent over the network.
async fn fails(base: &str, more: &str) -> Error {
    let world = World::bare().await;
    let surroundings = Surroundings {
        clock: Clock::system(),
        ..Surroundings::default()
    };
    let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
    let store = Arc::new(MemoryStore::new());
    let engine = open_in(
        surroundings,
        store,
        "default",
        key,
        Arc::new(Catalog::builtin()),
    );
    let text = one_step(&format!(
        "action: core.http_request\nargs: {{method: GET, url: '{base}/a?secret=1', {more}}}"
    ));
    // Nothing of it needs a token.
    let text = text.replace("    - type: oauth\n      provider_id: acme\n      grant_type: authorization_code\n      optional: true\n", "");
    let plan = Arc::new(world.plan(&text).unwrap());
    let mut run = Run::new(engine.await.unwrap(), plan, Mapping::new(), options());
    match run.advance(None).await {
        Err(error) => error,
        Ok(Next::Done(value)) => panic!("it came to {value:?}"),
        Ok(Next::Python(step)) => panic!("it asked for {step:?}"),
    }
}

#[tokio::test]
async fn an_error_of_the_api_is_said_without_its_page() {
    let world = World::connected().await;
    let mut page = typed(
        "text/html",
        format!("<html>\u{202e}{}</html>", "x".repeat(10_000)),
    );
    page.status = 500;
    world.answers(page);
    let error = world
        .step("action: core.http_request\nargs: {method: GET, url: 'https://api.acme.example/'}")
        .await
        .unwrap_err();
    assert!(
        error.reason().contains("answered 500: <html>xxx"),
        "{error}"
    );
    assert!(!error.reason().contains('\u{202e}'), "{error}");
    assert!(error.reason().chars().count() < 400, "{error}");
}

#[tokio::test]
async fn a_page_in_place_of_json_is_text_or_fails_as_its_type_says() {
    let world = World::connected().await;
    world.answers(typed("text/html", "<html>"));
    world.answers(typed("application/json", "<html>secret page"));
    let step = "action: core.http_request\nargs: {method: GET, url: 'https://api.acme.example/'}";
    let returned = world.step(step).await.unwrap();
    assert_eq!(
        super::result(&returned).get("data").unwrap().repr(),
        "'<html>'"
    );
    let error = world.step(step).await.unwrap_err();
    assert!(error.reason().contains("is no JSON"), "{error}");
    assert!(!error.reason().contains("secret page"), "{error}");
}

#[tokio::test]
async fn json_as_deep_as_a_well_fails() {
    let world = World::connected().await;
    world.answers(said(200, &"[".repeat(100_000)));
    let error = world
        .step("action: core.http_request\nargs: {method: GET, url: 'https://api.acme.example/'}")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "reply_not_json");
}

#[tokio::test]
async fn nothing_at_all_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let error = fails(&base, "timeout: 0.05").await;
    assert_eq!(error.code(), "no_answer");
    assert_eq!(
        error.reason(),
        format!("step only of tools.acme.act: GET {base}/a: no answer in time")
    );
}

#[tokio::test]
async fn half_an_answer_is_said() {
    let base = hang_up_after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let error = fails(&base, "timeout: 20").await;
    assert!(
        error.reason().ends_with("/a: the reply broke off"),
        "{error}"
    );
}
