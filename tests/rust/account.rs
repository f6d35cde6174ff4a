//! Whose account a token is for, where the token may go for it, and what a refusal means.

use std::collections::BTreeMap;

use _core::clock::Clock;
use _core::error::{Error, ErrorKind};
use _core::http;
use _core::model::{Account, Token};
use _core::oauth::account::{Probe, account, probe};
use _core::provider::{AccountRules, Body, ClientAuthentication, FollowUp, Meaning, Spec};
use _core::secret::AccessToken;
use serde_json::{Value, json};
use wiremock::matchers::{any, path as at_path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{after, client, client_secret, path, spec, texts};

fn token() -> Token {
    Token {
        value: AccessToken::from("a1-access-token"),
        resource: String::new(),
        scopes: Vec::new(),
        obtained_at: after(0),
        expires_at: None,
        token_type: "Bearer".to_owned(),
        revision: 0,
        extra: BTreeMap::new(),
    }
}

/// A provider whose account request goes to `/me` of its API, which is the server.
fn with_account(spec: &mut Spec, base: &str) {
    let rules = AccountRules {
        fields: [
            ("email", "data.mail"),
            ("id", "data.id"),
            ("workspace", "data.team"),
        ]
        .map(|(name, at)| (name.to_owned(), path(at)))
        .into(),
        ..AccountRules::default()
    };
    spec.account = Some(rules);
    spec.account.as_mut().unwrap().request.url = Some(format!("{base}/me"));
    spec.api.hosts = vec![base.replace("http://", "")];
}

async fn probed(
    change: impl FnOnce(&mut Spec, &str),
    reply: ResponseTemplate,
) -> (Result<Probe, Error>, Vec<Request>) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let mut spec = spec(&server.uri());
    change(&mut spec, &server.uri());
    let http = http::Client::new(http::Options::default());
    let secret = client_secret();
    let outcome = probe(&http, &spec, client(&secret), &token(), &Clock::system()).await;
    (outcome, server.received_requests().await.unwrap())
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn accepted(outcome: Result<Probe, Error>) -> Account {
    match outcome {
        Ok(Probe::Accepted(account)) => account,
        other => panic!("not accepted: {other:?}"),
    }
}

#[tokio::test]
async fn the_userinfo_endpoint_is_asked_by_default() {
    let reply = ok(json!({"sub": "s1", "email": "ada@example.com", "name": "Ada"}));
    let (outcome, requests) = probed(|_, _| {}, reply).await;
    let account = accepted(outcome);
    assert_eq!(
        (account.id.as_deref(), account.label()),
        (Some("s1"), Some("ada@example.com"))
    );
    assert_eq!(
        (requests[0].method.as_str(), requests[0].url.path()),
        ("GET", "/userinfo")
    );
    assert_eq!(
        requests[0].headers["authorization"],
        "Bearer a1-access-token"
    );
}

#[tokio::test]
async fn the_request_of_the_provider_file_is_sent_as_its_api_wants_it() {
    let change = |spec: &mut Spec, base: &str| {
        with_account(spec, base);
        spec.api.token_header = Some("X-Vendor-Token".to_owned());
        spec.api.headers = texts(&[("X-Version", "7"), ("X-Tenant", "{unknown}")]);
        let request = &mut spec.account.as_mut().unwrap().request;
        request.method = Some("POST".to_owned());
        request.body = Some(Body::Json);
        request.parameters = texts(&[("query", "{ me { id } }")]);
    };
    let reply = ok(json!({"data": {"mail": "ada@example.com", "id": 7, "team": "a\u{202e}cme"}}));
    let (outcome, requests) = probed(change, reply).await;
    let account = accepted(outcome);
    assert_eq!(account.id.as_deref(), Some("7"));
    assert_eq!(account.workspace.as_deref(), Some("acme"));
    assert_eq!(requests[0].url.path(), "/me");
    assert_eq!(requests[0].headers["x-vendor-token"], "a1-access-token");
    assert_eq!(requests[0].headers["x-version"], "7");
    assert!(
        !requests[0].headers.contains_key("authorization")
            && !requests[0].headers.contains_key("x-tenant")
    );
    assert_eq!(requests[0].body, br#"{"query":"{ me { id } }"}"#);
}

#[tokio::test]
async fn a_scheme_of_the_api_takes_the_place_of_bearer() {
    let change = |spec: &mut Spec, base: &str| {
        with_account(spec, base);
        spec.api.token_scheme = Some("OAuth".to_owned());
    };
    let (outcome, requests) = probed(change, ok(json!({}))).await;
    accepted(outcome);
    assert_eq!(
        requests[0].headers["authorization"],
        "OAuth a1-access-token"
    );
}

#[tokio::test]
async fn a_request_that_carries_the_token_itself_is_left_alone() {
    let change = |spec: &mut Spec, base: &str| {
        with_account(spec, base);
        let request = &mut spec.account.as_mut().unwrap().request;
        request.authentication = Some(ClientAuthentication::Custom);
        request.headers = texts(&[("Authorization", "OAuth {access_token}")]);
    };
    let (outcome, requests) = probed(change, ok(json!({}))).await;
    accepted(outcome);
    assert_eq!(
        requests[0].headers["authorization"],
        "OAuth a1-access-token"
    );
}

#[tokio::test]
async fn a_second_call_may_know_the_address() {
    let server = MockServer::start().await;
    Mock::given(at_path("/me"))
        .respond_with(ok(json!({"data": {"id": "u/1"}})))
        .mount(&server)
        .await;
    Mock::given(at_path("/users/u%2F1"))
        .respond_with(ok(json!({"profile": {"mail": "ada@example.com"}})))
        .mount(&server)
        .await;
    let mut spec = spec(&server.uri());
    with_account(&mut spec, &server.uri());
    spec.account.as_mut().unwrap().email_from = Some(FollowUp {
        url: format!("{}/users/{{id}}", server.uri()),
        email: Some(path("profile.mail")),
        ..FollowUp::default()
    });
    let http = http::Client::new(http::Options::default());
    let found = account(
        &http,
        &spec,
        client(&client_secret()),
        &token(),
        &Clock::system(),
    )
    .await
    .unwrap();
    assert_eq!(found.email.as_deref(), Some("ada@example.com"));
}

#[tokio::test]
async fn a_token_goes_only_to_hosts_of_the_provider() {
    let change = |spec: &mut Spec, base: &str| {
        with_account(spec, base);
        spec.api.hosts = vec!["api.example.com".to_owned()];
    };
    let (outcome, requests) = probed(change, ok(json!({}))).await;
    assert_eq!(outcome.unwrap_err().code(), "host_not_owned");
    assert!(requests.is_empty());
}

#[tokio::test]
async fn a_provider_with_nothing_to_ask_is_not_asked() {
    for change in [
        (|spec: &mut Spec, _: &str| spec.endpoints.userinfo_endpoint = None) as fn(&mut Spec, &str),
        |spec, _| {
            spec.account = Some(AccountRules {
                source: Some("reply".to_owned()),
                ..AccountRules::default()
            })
        },
    ] {
        let (outcome, requests) = probed(change, ok(json!({}))).await;
        assert!(matches!(outcome, Ok(Probe::NotAsked)));
        assert!(requests.is_empty());
    }
}

#[tokio::test]
async fn any_401_means_expired_but_for_a_missing_scope() {
    let plain = ResponseTemplate::new(401);
    let scope = ResponseTemplate::new(401)
        .insert_header("www-authenticate", "Bearer error=\"insufficient_scope\"");
    let forbidden = ResponseTemplate::new(403);
    for (reply, expected) in [
        (plain, Meaning::Expired),
        (scope, Meaning::Scope),
        (forbidden, Meaning::Other),
    ] {
        let outcome = probed(|_, _| {}, reply).await.0.unwrap();
        assert!(
            matches!(outcome, Probe::Refused { means, .. } if means == expected),
            "{expected:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn the_provider_file_says_what_a_refusal_means() {
    let change = |spec: &mut Spec, _: &str| {
        spec.expiry_signals = serde_json::from_value(json!([
            {"status": 200, "path": "error", "equals": ["token_expired", "token_revoked"], "means": "expired"},
            {"status": 403, "header": "X-Reason: con.*", "means": "consent"},
            {"status": 400, "body": "session .* over", "means": "expired"}
        ]))
        .unwrap();
    };
    for (reply, expected) in [
        (
            ok(json!({"ok": false, "error": "token_revoked"})),
            Some(Meaning::Expired),
        ),
        (
            ResponseTemplate::new(403).insert_header("x-reason", "consent"),
            Some(Meaning::Consent),
        ),
        (
            ResponseTemplate::new(400).set_body_string("your session is over"),
            Some(Meaning::Expired),
        ),
        (ok(json!({"ok": true})), None),
    ] {
        match (probed(change, reply).await.0.unwrap(), expected) {
            (Probe::Refused { means, .. }, Some(expected)) => assert_eq!(means, expected),
            (Probe::Accepted(_), None) => {}
            (outcome, expected) => panic!("{expected:?}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_api_without_the_token() {
    let reply = ResponseTemplate::new(401).set_body_json(json!({"message": "bad a1-access-token"}));
    let Probe::Refused { reason, .. } = probed(|_, _| {}, reply).await.0.unwrap() else {
        panic!("accepted")
    };
    assert_eq!(reason, "the API answered HTTP 401: bad [redacted]");
}

#[tokio::test]
async fn an_api_that_is_away_or_busy_is_unavailable() {
    for reply in [ResponseTemplate::new(500), ResponseTemplate::new(429)] {
        let error = probed(|_, _| {}, reply).await.0.unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::ProviderUnavailable { .. }
        ));
    }
}
