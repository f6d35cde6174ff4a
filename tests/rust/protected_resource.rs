//! Metadata of protected resources (RFC 9728), MCP servers say, and what is believed of it.

use std::collections::BTreeMap;

use _core::clock::Clock;
use _core::error::Error;
use _core::http;
use _core::model::GrantType;
use _core::oauth::discovery::{Metadata, discover};
use _core::provider::{Overrides, catalog};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const ISSUER: &str = "/.well-known/oauth-authorization-server";

async fn serve(server: &MockServer, at: &str, status: u16, body: Value) {
    answer(
        server,
        at,
        ResponseTemplate::new(status).set_body_json(body),
    )
    .await;
}

async fn answer(server: &MockServer, at: &str, reply: ResponseTemplate) {
    Mock::given(path(at))
        .respond_with(reply)
        .mount(server)
        .await;
}

async fn discovered(url: &str) -> Result<Metadata, Error> {
    let http = http::Client::new(http::Options::default());
    discover(&http, url, &Clock::system()).await
}

/// A server whose authorization server is at `/login`.
async fn trusting() -> (MockServer, Value) {
    let server = MockServer::start().await;
    let issuer = format!("{}/login", server.uri());
    let metadata = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
    });
    serve(&server, &format!("{ISSUER}/login"), 200, metadata).await;
    let document = json!({
        "resource": format!("{}/mcp", server.uri()), "authorization_servers": [issuer],
        "scopes_supported": ["everything"],
    });
    (server, document)
}

#[tokio::test]
async fn a_resource_names_its_authorization_server_between_host_and_path() {
    let (server, document) = trusting().await;
    serve(&server, &format!("{RESOURCE}/mcp"), 200, document.clone()).await;
    let url = format!("{}/mcp", server.uri());
    let metadata = discovered(&url).await.unwrap();
    let issuer = document["authorization_servers"][0].as_str();
    assert_eq!(metadata.endpoints.issuer.as_deref(), issuer);
    assert_eq!(metadata.resource, Some(url));
    assert!(metadata.scopes_supported.is_empty());
}

#[tokio::test]
async fn a_gate_in_front_of_a_well_known_url_means_the_next() {
    for status in [401, 403, 404] {
        let (server, document) = trusting().await;
        serve(&server, &format!("{RESOURCE}/mcp"), status, json!({})).await;
        serve(&server, &format!("{ISSUER}/mcp"), status, json!({})).await;
        serve(&server, RESOURCE, 200, document).await;
        let metadata = discovered(&format!("{}/mcp", server.uri())).await;
        assert!(metadata.unwrap().resource.is_some(), "{status}");
    }
}

#[tokio::test]
async fn a_refusal_points_to_the_metadata() {
    for challenge in [
        "Bearer realm=\"x\", resource_metadata=\"URL/elsewhere\"",
        "Bearer Resource_Metadata=URL/elsewhere, error=\"invalid_token\"",
    ] {
        let (server, document) = trusting().await;
        let challenge = challenge.replace("URL", &server.uri());
        let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", &*challenge);
        answer(&server, "/mcp", refusal).await;
        serve(&server, "/elsewhere", 200, document).await;
        let metadata = discovered(&format!("{}/mcp", server.uri())).await;
        assert!(metadata.unwrap().resource.is_some(), "{challenge}");
    }
}

#[tokio::test]
async fn a_resource_other_than_the_one_asked_is_refused() {
    let (server, document) = trusting().await;
    for resource in [
        format!("{}/mcp/", server.uri()),
        server.uri(),
        "https://other.example/mcp".to_owned(),
    ] {
        let server = MockServer::start().await;
        let mut document = document.clone();
        document["resource"] = json!(resource);
        serve(&server, &format!("{RESOURCE}/mcp"), 200, document).await;
        let error = discovered(&format!("{}/mcp", server.uri())).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), "discovery_resource_mismatch");
        assert!(error.reason().contains(&resource), "{}", error.reason());
    }
}

#[tokio::test]
async fn the_document_of_a_whole_host_names_the_host_as_the_resource() {
    for slash in ["", "/"] {
        let (server, mut document) = trusting().await;
        let origin = format!("{}{slash}", server.uri());
        document["resource"] = json!(origin);
        serve(&server, RESOURCE, 200, document).await;
        let metadata = discovered(&format!("{}/mcp", server.uri())).await;
        assert_eq!(metadata.unwrap().resource, Some(origin));
    }
}

#[tokio::test]
async fn an_authorization_server_is_never_guessed() {
    for servers in [json!(null), json!([]), json!(["http://login.example.com"])] {
        let (server, mut document) = trusting().await;
        document["authorization_servers"] = servers.clone();
        serve(&server, &format!("{RESOURCE}/mcp"), 200, document).await;
        let error = discovered(&format!("{}/mcp", server.uri())).await;
        assert_eq!(
            error.unwrap_err().code(),
            "discovery_malformed",
            "{servers}"
        );
    }
}

#[tokio::test]
async fn the_second_authorization_server_serves_where_the_first_has_no_metadata() {
    let (server, mut document) = trusting().await;
    let right = document["authorization_servers"][0].clone();
    document["authorization_servers"] = json!([format!("{}/gone", server.uri()), right]);
    serve(&server, &format!("{RESOURCE}/mcp"), 200, document).await;
    let metadata = discovered(&format!("{}/mcp", server.uri())).await.unwrap();
    assert_eq!(metadata.endpoints.issuer.as_deref(), right.as_str());
}

#[tokio::test]
async fn an_authorization_server_that_only_the_resource_named_has_to_be_public() {
    let (server, mut document) = trusting().await;
    document["authorization_servers"] = json!(["http://[::1]:1/login"]);
    serve(&server, &format!("{RESOURCE}/mcp"), 200, document).await;
    let error = discovered(&format!("{}/mcp", server.uri())).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), "discovery_unavailable");
    assert!(error.reason().contains("public"), "{}", error.reason());
}

#[test]
fn the_resource_is_sent_to_the_letter_and_its_host_may_get_the_token() {
    let url = "https://mcp.example.com/v1/mcp/";
    let mut overrides = Overrides {
        resource: Some(url.to_owned()),
        ..Overrides::default()
    };
    overrides.discovered.issuer = Some("https://login.example.com".into());
    overrides.discovered.authorization_endpoint = Some("https://login.example.com/a".into());
    overrides.discovered.token_endpoint = Some("https://mcp.example.com/t".into());
    let spec = catalog::custom("acme")
        .unwrap()
        .spec_with_kept(GrantType::AuthorizationCode, &overrides, &BTreeMap::new())
        .unwrap();
    let resource = spec.resource.unwrap();
    assert_eq!(resource.parameter.as_deref(), Some("resource"));
    assert_eq!(resource.default.as_deref(), Some(url));
    assert!(resource.sent_in.is_empty());
    assert_eq!(spec.api.hosts, ["mcp.example.com"]);
    assert!(spec.server_named.contains(&"login.example.com".to_owned()));
    assert!(!spec.server_named.contains(&"mcp.example.com".to_owned()));
}
