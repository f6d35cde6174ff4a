//! Metadata of an authorization server: where it is looked for, and what of it is believed.

use std::time::Duration;

use _core::clock::Clock;
use _core::error::{Error, ErrorKind};
use _core::http;
use _core::oauth::discovery::{Metadata, discover, discover_for};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::Authority;

const RFC8414: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

async fn discovered(issuer: &str) -> Result<Metadata, Error> {
    let http = http::Client::new(http::Options::default());
    discover(&http, issuer, &Clock::system()).await
}

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://login.example.com/token",
        "scopes_supported": ["read", "write"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": null,
        "authorization_response_iss_parameter_supported": true,
        "unknown": {"a": 1},
    })
}

async fn serve(server: &MockServer, at: &str, reply: ResponseTemplate) {
    Mock::given(path(at))
        .respond_with(reply)
        .mount(server)
        .await;
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn metadata_is_found_between_host_and_path() {
    let server = MockServer::start().await;
    let issuer = format!("{}/tenant", server.uri());
    serve(&server, &format!("{RFC8414}/tenant"), ok(document(&issuer))).await;
    let metadata = discovered(&issuer).await.unwrap();
    assert_eq!(metadata.endpoints.issuer.as_deref(), Some(issuer.as_str()));
    assert_eq!(
        metadata.endpoints.token_endpoint.as_deref(),
        Some("https://login.example.com/token")
    );
    assert_eq!(metadata.scopes_supported, ["read", "write"]);
    assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
    assert_eq!(metadata.token_endpoint_auth_methods_supported, ["none"]);
    assert!(metadata.grant_types_supported.is_empty());
    assert!(metadata.authorization_response_iss_parameter_supported);
}

#[tokio::test]
async fn metadata_is_found_behind_the_path_too() {
    let server = MockServer::start().await;
    for issuer in [
        format!("{}/tenant", server.uri()),
        format!("{}/slash/", server.uri()),
    ] {
        let at = format!(
            "{}{OPENID}",
            url::Url::parse(&issuer)
                .unwrap()
                .path()
                .trim_end_matches('/')
        );
        serve(&server, &at, ok(document(&issuer))).await;
        assert_eq!(
            discovered(&issuer).await.unwrap().endpoints.issuer,
            Some(issuer)
        );
    }
}

#[tokio::test]
async fn a_web_page_at_the_first_place_is_passed_by() {
    let server = MockServer::start().await;
    serve(
        &server,
        RFC8414,
        ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),
    )
    .await;
    serve(&server, OPENID, ok(document(&server.uri()))).await;
    discovered(&server.uri()).await.unwrap();
}

#[tokio::test]
async fn an_issuer_other_than_the_one_asked_is_refused() {
    let server = MockServer::start().await;
    let own = format!("{}/", server.uri());
    serve(&server, RFC8414, ok(document(&own))).await;
    let error = discovered(&server.uri()).await.unwrap_err();
    assert_eq!(error.code(), "discovery_issuer_mismatch");
    assert!(matches!(error.kind(), ErrorKind::ProviderRejected { .. }));
    assert!(error.reason().contains(&own), "{}", error.reason());
}

#[tokio::test]
async fn metadata_without_issuer_or_token_endpoint_is_refused() {
    for missing in ["issuer", "token_endpoint"] {
        let server = MockServer::start().await;
        let mut document = document(&server.uri());
        document.as_object_mut().unwrap().remove(missing);
        serve(&server, RFC8414, ok(document)).await;
        assert_eq!(
            discovered(&server.uri()).await.unwrap_err().code(),
            "discovery_malformed"
        );
    }
}

#[tokio::test]
async fn endpoints_that_no_secret_may_go_to_are_left_out() {
    for unsafe_url in [
        "http://login.example.com/x",
        "https://user:pass@login.example.com/x",
        "https://login.example.com/x#y",
        "javascript:alert(1)",
        "/relative",
        "http://localhost/x",
    ] {
        let server = MockServer::start().await;
        let mut document = document(&server.uri());
        document["authorization_endpoint"] = json!(unsafe_url);
        serve(&server, RFC8414, ok(document)).await;
        let metadata = discovered(&server.uri()).await.unwrap();
        assert_eq!(
            metadata.endpoints.authorization_endpoint, None,
            "{unsafe_url}"
        );
    }
}

#[tokio::test]
async fn a_loopback_issuer_may_have_loopback_endpoints_over_http() {
    let server = MockServer::start().await;
    let mut document = document(&server.uri());
    document["token_endpoint"] = json!(format!("{}/token", server.uri()));
    serve(&server, RFC8414, ok(document)).await;
    discovered(&server.uri()).await.unwrap();
}

#[tokio::test]
async fn an_issuer_over_https_has_no_endpoint_over_http() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    let port = authority
        .serve("127.0.0.1", |port| {
            let mut document = document(&format!("https://127.0.0.1:{port}"));
            document["authorization_endpoint"] = json!("http://127.0.0.1:1/authorize");
            let body = document.to_string();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        })
        .await;
    let http = http::Client::new(http::Options {
        ca_file: Some(ca_file),
        ..http::Options::default()
    });
    let issuer = format!("https://127.0.0.1:{port}");
    let metadata = discover(&http, &issuer, &Clock::system()).await.unwrap();
    assert_eq!(metadata.endpoints.authorization_endpoint, None);
    assert!(metadata.endpoints.token_endpoint.is_some());
}

#[tokio::test]
async fn a_server_without_metadata_is_refused() {
    let server = MockServer::start().await;
    let error = discovered(&server.uri()).await.unwrap_err();
    assert_eq!(error.code(), "discovery_missing");
    for page in [RFC8414, OPENID] {
        serve(
            &server,
            page,
            ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),
        )
        .await;
    }
    let error = discovered(&server.uri()).await.unwrap_err();
    assert_eq!(error.code(), "discovery_missing");
    assert!(error.reason().contains("web page"), "{}", error.reason());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(302).insert_header("location", "/elsewhere");
    for page in [RFC8414, OPENID] {
        serve(&server, page, elsewhere.clone()).await;
    }
    serve(&server, "/elsewhere", ok(document(&server.uri()))).await;
    assert_eq!(
        discovered(&server.uri()).await.unwrap_err().code(),
        "discovery_missing"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let error = discovered("http://127.0.0.1:1").await.unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::ProviderUnavailable { retry_after: None }
    );
    let server = MockServer::start().await;
    serve(
        &server,
        RFC8414,
        ResponseTemplate::new(503).insert_header("retry-after", "7"),
    )
    .await;
    let error = discovered(&server.uri()).await.unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::ProviderUnavailable {
            retry_after: Some(Duration::from_secs(7))
        }
    );
}

#[tokio::test]
async fn what_is_no_issuer_is_not_asked() {
    for issuer in [
        "http://login.example.com",
        "login.example.com",
        "https://a.example?x=y",
        "https://a.example#x",
    ] {
        let error = discovered(issuer).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidParameter, "{issuer}");
    }
}

#[tokio::test]
async fn a_resource_without_metadata_may_be_its_own_authorization_server() {
    let server = MockServer::start().await;
    serve(&server, RFC8414, ok(document(&server.uri()))).await;
    let http = http::Client::new(http::Options::default());
    let resource = format!("{}/mcp", server.uri());
    let metadata = discover_for(&http, &resource, &Clock::system()).await;
    let metadata = metadata.unwrap();
    assert_eq!(metadata.resource, None);
    assert_eq!(metadata.endpoints.issuer, Some(server.uri()));
}
