//! Servers that repeat what they were sent, and those that lead astray.

use super::{World, options, redirect, said, template, token_step, with_secrets};
use _core::action::run::{Answer, PythonStep};
use _core::action::value::Value;

const USER_TOKEN: &str = "SECRETS.acme_oauth.ACME_USER_TOKEN";
const ISSUED: &str = "access-token-1";
const GET: &str =
    "{method: GET, url: 'https://api.acme.example/', headers: {Authorization: 'Bearer TOKEN'}}";

fn request(arguments: &str) -> String {
    token_step(&arguments.replace("TOKEN", &format!("${{{{ {USER_TOKEN} }}}}")))
}

async fn returned(world: &World, arguments: &str) -> String {
    world
        .run(&request(arguments), "{}")
        .await
        .expect(arguments)
        .repr()
}

#[tokio::test]
async fn a_token_that_is_repeated_in_another_writing_is_found() {
    let mut in_utf_16 = said(200, "");
    in_utf_16.body = "\u{feff}{\"you\": \"access-token-1\"}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for answer in [
        said(200, r#"{"you": "access\u002dtoken\u002d1"}"#),
        said(200, r#"{"access\u002dtoken-1": 1}"#),
        in_utf_16,
    ] {
        let world = World::connected().await;
        world.answers(answer);
        let shown = returned(&world, GET).await;
        assert!(!shown.contains(ISSUED), "{shown}");
        assert!(shown.contains("evergrant-token-"), "{shown}");
    }
}

#[tokio::test]
async fn basic_credentials_that_hold_a_token_are_found_too() {
    let world = World::connected().await;
    // base64 of u:access-token-1
    world.answers(said(200, r#"{"you": "Basic dTphY2Nlc3MtdG9rZW4tMQ=="}"#));
    let arguments =
        "{method: GET, url: 'https://api.acme.example/', auth: {username: u, password: 'TOKEN'}}";
    let shown = returned(&world, arguments).await;
    assert!(!shown.contains("dTphY2Nlc3MtdG9rZW4tMQ"), "{shown}");
}

#[tokio::test]
async fn a_token_that_was_replaced_is_not_shown_either() {
    let world = World::connected().await;
    world.answers(said(401, "{}"));
    world.answers(said(200, r#"{"replaced": "access-token-1"}"#));
    let shown = returned(&world, GET).await;
    assert!(!shown.contains(ISSUED), "{shown}");
    assert_eq!(world.issued(), 2);
}

#[tokio::test]
async fn a_request_without_a_token_shows_none_of_an_earlier_one() {
    let world = World::connected().await;
    world.answers(said(200, "{}"));
    world.answers(said(200, r#"{"log": "access-token-1"}"#));
    let text = template(&format!(
        "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: one, action: core.http_request, args: {{method: GET, url: 'https://api.acme.example/', headers: {{A: '${{{{ {USER_TOKEN} }}}}'}}}}}}
    - {{ref: two, action: core.http_request, args: {{method: GET, url: 'https://api.acme.example/log'}}}}
    - {{ref: three, action: core.script.run_python, args: {{script: 'def main(log): pass', inputs: {{log: '${{{{ steps.two.result.data }}}}'}}}}}}
  returns: ok
"
    ));
    let script = |step: PythonStep| {
        let shown = format!("{step:?}");
        assert!(!shown.contains(ISSUED), "{shown}");
        assert!(shown.contains("evergrant-token-"), "{shown}");
        Answer::Value(Value::None)
    };
    world
        .run_with(&text, "{}", options(), script)
        .await
        .unwrap();
}

#[tokio::test]
async fn no_request_asks_for_itself() {
    let world = World::connected().await;
    let arguments = GET.replace("GET", "trace");
    let error = world.run(&request(&arguments), "{}").await.unwrap_err();
    assert_eq!(error.code(), "invalid_arguments");
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_reply_to_a_token_comes_in_no_encoding_that_stays_unread() {
    let world = World::connected().await;
    let arguments = GET.replace("headers: {", "headers: {Accept-Encoding: br, ");
    returned(&world, &arguments).await;
    assert_eq!(world.only().header("accept-encoding"), None);
}

#[tokio::test]
async fn an_api_that_refuses_every_token_ends_no_more_than_one() {
    let world = World::connected().await;
    for _ in 0..20 {
        world.answers(said(401, "{}"));
    }
    let step = super::one_step(&format!(
        "action: core.http_poll\nargs: {{method: GET, url: 'https://api.acme.example/', headers: {{A: '${{{{ {USER_TOKEN} }}}}'}}, poll_retry_codes: 401, poll_interval: 1, poll_max_attempts: 5}}"
    ));
    world.run(&step, "{}").await.unwrap_err();
    assert_eq!((world.issued(), world.asked().len()), (2, 6));
}

#[tokio::test]
async fn a_host_that_only_a_redirect_named_has_to_be_public() {
    for (target, is_server_named) in [
        ("https://other.example/", true),
        ("http://169.254.169.254/latest", true),
        ("https://api.acme.example/there", false),
        // The provider's own, so it was named before.
        ("https://files.acme.example:8443/", false),
    ] {
        let world = World::connected().await;
        world.answers(redirect(307, target));
        returned(
            &world,
            &GET.replace("method: GET,", "method: GET, follow_redirects: true,"),
        )
        .await;
        let asked = world.asked();
        assert!(!asked[0].is_server_named);
        assert_eq!(asked[1].is_server_named, is_server_named, "{target}");
    }
}

#[tokio::test]
async fn an_ordinary_secret_in_a_header_is_led_to_no_other_host() {
    for (target, goes_along) in [
        ("https://other.example/", false),
        ("https://api.acme.example/there", true),
    ] {
        let world = World::connected().await;
        world.answers(redirect(302, target));
        let step = token_step(
            "{method: GET, follow_redirects: true, url: 'https://api.acme.example/', headers: {X-Api-Key: 'key ${{ SECRETS.other.KEY }}', X-Plain: kept}}",
        );
        let secrets = with_secrets(&[("other", "KEY", "ordinary-secret")]);
        let nothing = |step: PythonStep| panic!("{step:?}");
        world.run_with(&step, "{}", secrets, nothing).await.unwrap();
        let second = &world.asked()[1];
        assert_eq!(second.header("x-api-key").is_some(), goes_along, "{target}");
        assert_eq!(second.header("x-plain"), Some("kept"));
    }
}
