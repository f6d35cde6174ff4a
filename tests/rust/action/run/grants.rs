//! Which token a run uses, what there has to be, and tokens that end or are refused.

use std::time::Duration;

use _core::error::ErrorKind;

use super::{SERVICE, USER, World, options, said, template, token_step, with_secrets};

const USER_TOKEN: &str = "SECRETS.acme_oauth.ACME_USER_TOKEN";
const SERVICE_TOKEN: &str = "SECRETS.acme_oauth.ACME_SERVICE_TOKEN";

/// A template that declares these secrets and sends the value of an expression as a header.
fn sending(secrets: &str, expression: &str) -> String {
    let secrets = secrets.replace('\n', "\n    ");
    template(&format!(
        "  secrets:
    {secrets}
  expects: {{}}
  steps:
    - ref: only
      action: core.http_request
      args: {{method: GET, url: 'https://api.acme.example/', headers: {{A: 'Bearer ${{{{ {expression} }}}}'}}}}
  returns: ok
"
    ))
}

const BOTH: &str =
    "- {type: oauth, provider_id: acme, grant_type: authorization_code, optional: true}
- {type: oauth, provider_id: acme, grant_type: client_credentials, optional: true}";

fn either() -> String {
    sending(BOTH, &format!("{USER_TOKEN} || {SERVICE_TOKEN}"))
}

#[tokio::test]
async fn of_two_grants_the_one_that_is_connected_is_used() {
    let world = World::bare().await;
    world.configure(SERVICE, &[]).await;
    world.run(&either(), "{}").await.unwrap();
    assert_eq!(world.only().header("a"), Some("Bearer access-token-1"));
    let world = World::connected().await;
    world.run(&either(), "{}").await.unwrap();
    assert_eq!(world.only().header("a"), Some("Bearer access-token-1"));
}

#[tokio::test]
async fn the_users_token_goes_before_the_services() {
    let world = World::connected().await;
    world.configure(SERVICE, &[]).await;
    let service = sending(BOTH, SERVICE_TOKEN);
    world.run(&service, "{}").await.unwrap();
    world.run(&either(), "{}").await.unwrap();
    world.run(&service, "{}").await.unwrap();
    let sent = world.asked();
    let sent = sent.iter().filter_map(|asked| asked.header("a"));
    let expected = [
        "Bearer access-token-1",
        "Bearer access-token-2",
        "Bearer access-token-1",
    ];
    assert_eq!(Vec::from_iter(sent), expected);
}

#[tokio::test]
async fn when_no_grant_is_connected_the_choices_are_named_before_any_request() {
    let world = World::bare().await;
    let error = world.run(&either(), "{}").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConfigured);
    assert_eq!(
        error.reason(),
        "tools.acme.act needs one of acme (authorization_code), acme (client_credentials), and none is connected"
    );
    assert_eq!(
        error.next_command(),
        Some(
            "evergrant configure acme --grant-type authorization_code --client-id CLIENT_ID\nevergrant configure acme --grant-type client_credentials --client-id CLIENT_ID"
        )
    );
    world.configure(USER, &[]).await;
    let error = world.run(&either(), "{}").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
    assert!(
        error
            .next_command()
            .unwrap()
            .starts_with("evergrant connect acme\n"),
        "{error}"
    );
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_required_grant_that_is_not_connected_fails_before_any_request() {
    let world = World::connected().await;
    let required = "- {type: oauth, provider_id: acme, grant_type: client_credentials}";
    let error = world
        .run(&sending(required, USER_TOKEN), "{}")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::NotConfigured, "not_configured")
    );
    assert_eq!(error.provider(), Some("acme"));
    let unknown = required.replace("acme", "acmee");
    let error = world
        .run(&sending(&unknown, USER_TOKEN), "{}")
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::UnknownProvider);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_static_secret_stands_in_for_a_token() {
    let secrets = format!("{BOTH}\n- {{name: acme, optional_keys: [TOKEN], optional: true}}");
    let text = sending(
        &secrets,
        &format!("{USER_TOKEN} || {SERVICE_TOKEN} || SECRETS.acme.TOKEN"),
    );
    let world = World::bare().await;
    let given = with_secrets(&[("acme", "TOKEN", "static-token")]);
    world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap();
    assert_eq!(world.only().header("a"), Some("Bearer static-token"));
    let error = world.run(&text, "{}").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConfigured);
}

#[tokio::test]
async fn what_is_not_there_never_becomes_the_text_none() {
    let secrets = format!("{BOTH}\n- {{name: acme, optional_keys: [TOKEN], optional: true}}");
    let world = World::bare().await;
    let given = with_secrets(&[("acme", "TOKEN", "static-token")]);
    let text = sending(&secrets, &format!("{USER_TOKEN} || {SERVICE_TOKEN}"));
    let error = world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap_err();
    assert!(
        error.reason().contains("it would become the text None"),
        "{error}"
    );
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_secret_that_is_needed_and_missing_fails_before_the_run() {
    let world = World::bare().await;
    let text = sending("- {name: a, keys: [ONE, TWO]}", "SECRETS.a.ONE");
    let given = with_secrets(&[("a", "ONE", "1")]);
    let error = world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "secret_missing");
    assert!(
        error.reason().contains("needs the secret a with TWO"),
        "{error}"
    );
}

#[tokio::test]
async fn two_secrets_with_the_same_key_fail() {
    let world = World::bare().await;
    let text = sending(
        "- {name: a, keys: [KEY]}\n- {name: b, keys: [KEY]}",
        "SECRETS.a.KEY",
    );
    let given = with_secrets(&[("a", "KEY", "1"), ("b", "KEY", "2")]);
    let error = world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "the secrets a and b both have the key KEY");
}

#[tokio::test]
async fn what_no_template_declares_is_not_there() {
    let world = World::bare().await;
    let text = sending(
        "- {name: a, keys: [ONE]}",
        "FN.concat(SECRETS.a.ONE, FN.serialize(SECRETS.a.TWO), FN.serialize(SECRETS.b.ONE))",
    );
    let given = with_secrets(&[("a", "ONE", "1"), ("a", "TWO", "2"), ("b", "ONE", "3")]);
    world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap();
    assert_eq!(world.only().header("a"), Some("Bearer 1nullnull"));
}

#[tokio::test]
async fn the_connection_that_is_named_is_used() {
    let world = World::connected().await;
    world.import("alice").await;
    let text = either();
    world.run(&text, "{}").await.unwrap();
    let mut of_alice = options();
    of_alice.connection = "alice".to_owned();
    world
        .run_with(&text, "{}", of_alice, super::no_python)
        .await
        .unwrap();
    let sent = world.asked();
    let sent = sent.iter().filter_map(|asked| asked.header("a"));
    assert_eq!(
        Vec::from_iter(sent),
        ["Bearer access-token-1", "Bearer access-token-2"]
    );
    let mut of_bob = options();
    of_bob.connection = "bob".to_owned();
    let error = world
        .run_with(&text, "{}", of_bob, super::no_python)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
}

/// A request to the API of `acme` with its token.
fn request(method: &str) -> String {
    token_step(&format!(
        "{{method: {method}, url: 'https://api.acme.example/', headers: {{A: '${{{{ {USER_TOKEN} }}}}'}}}}"
    ))
}

fn sent(world: &World) -> Vec<String> {
    let asked = world.asked();
    let sent = asked.iter().filter_map(|asked| asked.header("a"));
    sent.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_token_that_ended_is_refreshed_between_two_steps() {
    let world = World::connected().await;
    let text = template(&format!(
        "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: one, action: core.http_request, args: {{method: POST, url: 'https://api.acme.example/', headers: {{A: '${{{{ {USER_TOKEN} }}}}'}}}}}}
    - {{ref: long, action: core.transform.apply, args: {{value: 1, python_lambda: x}}}}
    - {{ref: two, action: core.http_request, args: {{method: POST, url: 'https://api.acme.example/', headers: {{A: '${{{{ {USER_TOKEN} }}}}'}}}}}}
  returns: ok
"
    ));
    let clock = std::sync::Arc::clone(&world.clock);
    let long = move |_| {
        clock.advance(Duration::from_secs(3601));
        _core::action::run::Answer::Value(_core::action::value::Value::None)
    };
    world.run_with(&text, "{}", options(), long).await.unwrap();
    assert_eq!(sent(&world), ["access-token-1", "access-token-2"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once_and_a_safe_request_sent_again() {
    for method in ["GET", "head", "OPTIONS"] {
        let world = World::connected().await;
        world.answers(said(401, "{}"));
        world.run(&request(method), "{}").await.unwrap();
        assert_eq!(sent(&world), ["access-token-1", "access-token-2"]);
        assert_eq!(world.issued(), 2);
    }
}

#[tokio::test]
async fn one_that_is_refused_again_fails_as_the_api_says() {
    let world = World::connected().await;
    world.answers(said(401, "{}"));
    world.answers(said(401, "{\"error\": \"no\"}"));
    let error = world.run(&request("GET"), "{}").await.unwrap_err();
    assert_eq!(error.code(), "http_status");
    assert_eq!(sent(&world), ["access-token-1", "access-token-2"]);
}

#[tokio::test]
async fn a_request_that_could_happen_twice_is_not_sent_again() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let world = World::connected().await;
        world.answers(said(401, "{}"));
        let error = world.run(&request(method), "{}").await.unwrap_err();
        assert_eq!(error.code(), "token_refused");
        assert!(error.reason().contains("run the action again"), "{error}");
        assert_eq!(sent(&world), ["access-token-1"]);
        world.run(&request(method), "{}").await.unwrap();
        assert_eq!(sent(&world), ["access-token-1", "access-token-2"]);
    }
}

#[tokio::test]
async fn a_missing_scope_replaces_no_token() {
    let world = World::connected().await;
    let mut answer = said(401, "{}");
    answer.headers.push((
        "www-authenticate",
        "Bearer error=\"insufficient_scope\"".to_owned(),
    ));
    world.answers(answer);
    let error = world.run(&request("GET"), "{}").await.unwrap_err();
    assert_eq!(error.code(), "http_status");
    assert_eq!(world.issued(), 1);
}

#[tokio::test]
async fn a_refusal_without_a_token_is_an_answer_like_any_other() {
    let world = World::connected().await;
    world.answers(said(401, "{}"));
    let step = token_step("{method: GET, url: 'https://api.acme.example/', headers: {A: b}}");
    let error = world.run(&step, "{}").await.unwrap_err();
    assert_eq!(error.code(), "http_status");
    assert_eq!((world.asked().len(), world.issued()), (1, 0));
}

#[tokio::test]
async fn a_certificate_needs_its_key() {
    let world = World::bare().await;
    let text = sending(
        "- {name: mtls, optional_keys: [TLS_CERTIFICATE, TLS_PRIVATE_KEY]}",
        "\"x\"",
    );
    let given = with_secrets(&[("mtls", "TLS_CERTIFICATE", "a certificate")]);
    let error = world
        .run_with(&text, "{}", given, super::no_python)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "secret_missing");
    assert!(world.asked().is_empty());
}
