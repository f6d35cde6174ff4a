//! Ending tokens at the provider.

use std::time::Duration;

use _core::clock::Clock;
use _core::error::{Error, ErrorKind};
use _core::http;
use _core::oauth::revoke::{Revoked, RevokedToken, revoke};
use _core::provider::{
    Body, ClientAuthentication, RevocationKind, RevocationRules, Spec, SuccessRule,
};
use _core::secret::{AccessToken, RefreshToken};
use serde_json::json;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::support::{client, client_secret, spec, texts};

async fn revoked(
    change: impl FnOnce(&mut Spec),
    reply: ResponseTemplate,
) -> (Result<Revoked, Error>, Vec<Request>) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let mut spec = spec(&server.uri());
    spec.revocation.kind = RevocationKind::Rfc7009;
    change(&mut spec);
    let token = RefreshToken::from("r1-refresh-token");
    let http = http::Client::new(http::Options::default());
    let secret = client_secret();
    let outcome = revoke(
        &http,
        &spec,
        client(&secret),
        RevokedToken::Refresh(&token),
        &Clock::system(),
    )
    .await;
    (outcome, server.received_requests().await.unwrap())
}

fn nothing(_: &mut Spec) {}

#[tokio::test]
async fn a_token_is_revoked_by_the_book() {
    let (outcome, requests) = revoked(nothing, ResponseTemplate::new(200)).await;
    assert_eq!(outcome.unwrap().what, "the refresh token ended");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].url.path()),
        ("POST", "/revoke")
    );
    let form: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(&requests[0].body)
            .into_owned()
            .collect();
    let expected = texts(&[
        ("token", "r1-refresh-token"),
        ("token_type_hint", "refresh_token"),
        ("client_id", "client-1"),
        ("client_secret", "s3cret/of the+client"),
    ]);
    assert_eq!(form, expected);
}

#[tokio::test]
async fn a_vendors_own_way_is_taken() {
    let change = |spec: &mut Spec| {
        let base = spec
            .endpoints
            .token_endpoint
            .clone()
            .unwrap()
            .replace("/token", "");
        spec.revocation = RevocationRules {
            kind: RevocationKind::Custom,
            effect: Some("every token of this application ends".to_owned()),
            success: Some(204),
            ..RevocationRules::default()
        };
        let request = &mut spec.revocation.request;
        request.url = Some(format!("{base}/applications/{{client_id}}/token"));
        request.method = Some("DELETE".to_owned());
        request.body = Some(Body::Json);
        request.authentication = Some(ClientAuthentication::ClientSecretBasic);
        request.parameters = texts(&[("access_token", "{token}")]);
    };
    let (outcome, requests) = revoked(change, ResponseTemplate::new(204)).await;
    assert_eq!(
        outcome.unwrap().what,
        "every token of this application ends"
    );
    assert_eq!(
        (requests[0].method.as_str(), requests[0].url.path()),
        ("DELETE", "/applications/client-1/token")
    );
    assert!(
        requests[0].headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("Basic ")
    );
    assert_eq!(requests[0].body, br#"{"access_token":"r1-refresh-token"}"#);
}

#[tokio::test]
async fn a_token_may_revoke_itself_as_the_api_wants_it_presented() {
    let change = |spec: &mut Spec| {
        spec.revocation.request.authentication = Some(ClientAuthentication::Bearer);
        spec.revocation.request.body = Some(Body::None);
        spec.api.token_header = Some("X-Vendor-Token".to_owned());
    };
    let (outcome, requests) = revoked(change, ResponseTemplate::new(200)).await;
    outcome.unwrap();
    assert_eq!(requests[0].headers["x-vendor-token"], "r1-refresh-token");
    assert!(!requests[0].headers.contains_key("authorization") && requests[0].body.is_empty());
}

#[tokio::test]
async fn a_token_that_had_ended_counts_as_revoked() {
    let reply = ResponseTemplate::new(400).set_body_json(json!({"error": "invalid_token"}));
    assert_eq!(
        revoked(nothing, reply).await.0.unwrap().what,
        "the token had ended already"
    );
}

#[tokio::test]
async fn a_refusal_is_reported_without_the_token() {
    let reply = ResponseTemplate::new(400).set_body_json(json!({"error": "no r1-refresh-token"}));
    let error = revoked(nothing, reply).await.0.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ProviderRejected { .. }));
    assert_eq!(
        error.reason(),
        "the provider did not revoke the token: no [redacted]"
    );
    assert_eq!(error.provider(), Some("example"));
}

#[tokio::test]
async fn a_refusal_inside_http_200_is_one() {
    let change = |spec: &mut Spec| {
        spec.reply.success = Some(SuccessRule {
            path: "ok".to_owned(),
            equals: json!(true),
        });
    };
    let refusal = ResponseTemplate::new(200).set_body_json(json!({"ok": false}));
    assert!(revoked(change, refusal).await.0.is_err());
    let success = ResponseTemplate::new(200).set_body_json(json!({"ok": true, "revoked": true}));
    assert!(revoked(change, success).await.0.is_ok());
}

#[tokio::test]
async fn a_server_that_is_away_or_busy_is_unavailable() {
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "7");
    let error = revoked(nothing, busy).await.0.unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::ProviderUnavailable {
            retry_after: Some(Duration::from_secs(7))
        }
    );
    let away = |spec: &mut Spec| {
        spec.endpoints.revocation_endpoint = Some("http://127.0.0.1:1".to_owned())
    };
    let error = revoked(away, ResponseTemplate::new(200))
        .await
        .0
        .unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::ProviderUnavailable { retry_after: None }
    );
}

#[tokio::test]
async fn a_provider_that_revokes_nothing_is_not_asked() {
    let change = |spec: &mut Spec| {
        spec.revocation.kind = RevocationKind::None;
        spec.revocation.manual = Some("Remove the app in the settings.".to_owned());
    };
    let (outcome, requests) = revoked(change, ResponseTemplate::new(200)).await;
    assert_eq!(outcome.unwrap_err().code(), "revocation_unsupported");
    assert!(requests.is_empty());
}

#[test]
fn the_token_that_the_provider_wants_is_chosen() {
    let (refresh, access) = (RefreshToken::from("r"), AccessToken::from("a"));
    let chosen = |wanted: Option<&str>, refresh, access| {
        let rules = RevocationRules {
            token: wanted.map(str::to_owned),
            ..RevocationRules::default()
        };
        RevokedToken::choose(&rules, refresh, access)
            .map(|token| matches!(token, RevokedToken::Refresh(_)))
    };
    assert_eq!(chosen(None, Some(&refresh), Some(&access)), Some(true));
    assert_eq!(chosen(Some("either"), None, Some(&access)), Some(false));
    assert_eq!(
        chosen(Some("access_token"), Some(&refresh), Some(&access)),
        Some(false)
    );
    assert_eq!(chosen(Some("access_token"), Some(&refresh), None), None);
    assert_eq!(chosen(Some("refresh_token"), None, Some(&access)), None);
}
