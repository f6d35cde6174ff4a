//! Pushed authorization requests (RFC 9126).

use std::collections::BTreeMap;

use _core::error::{Error, ErrorKind};
use _core::http;
use _core::oauth::authorize::{Authorization, begin};
use _core::oauth::pushed::{is_wanted, push};
use _core::provider::{ClientAuthentication, Spec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{client, client_secret, clock, scopes, spec, texts};

const REDIRECT: &str = "http://127.0.0.1:8000/callback";
const REFERENCE: &str = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c";

async fn answering(reply: ResponseTemplate) -> (MockServer, Spec) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/par"))
        .respond_with(reply)
        .mount(&server)
        .await;
    let mut spec = spec(&server.uri());
    spec.authorization.pushed = true;
    spec.endpoints.pushed_authorization_request_endpoint = Some(format!("{}/par", server.uri()));
    (server, spec)
}

fn taken() -> ResponseTemplate {
    let body = json!({"request_uri": REFERENCE, "expires_in": 60});
    ResponseTemplate::new(201).set_body_json(body)
}

fn begun(spec: &Spec) -> Authorization {
    let asked = scopes("openid read");
    begin(spec, "client-1", true, REDIRECT, &asked, None).unwrap()
}

async fn pushed(
    spec: &Spec,
    authentication: ClientAuthentication,
    authorization: Authorization,
) -> Result<Authorization, Error> {
    let secret = client_secret();
    let client = _core::oauth::Client {
        authentication,
        ..client(&secret)
    };
    let http = http::Client::new(http::Options::default());
    push(&http, spec, client, authorization, &clock()).await
}

#[tokio::test]
async fn the_url_holds_the_client_and_the_reference_alone() {
    let (server, spec) = answering(taken()).await;
    let plain = begun(&spec);
    let asked: BTreeMap<String, String> = plain.url.query_pairs().into_owned().collect();
    let method = ClientAuthentication::ClientSecretBasic;
    let pushed = pushed(&spec, method, plain.clone()).await.unwrap();

    let shown: BTreeMap<String, String> = pushed.url.query_pairs().into_owned().collect();
    let id = asked["client_id"].clone();
    assert_eq!(
        shown,
        texts(&[("client_id", &id), ("request_uri", REFERENCE)])
    );
    assert_eq!(pushed.url.path(), plain.url.path());
    assert_eq!(pushed.state, plain.state);
    assert_eq!(pushed.verifier, plain.verifier);
    assert_eq!(pushed.nonce, plain.nonce);
    let request = &server.received_requests().await.unwrap()[0];
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect();
    assert_eq!(form, asked);
    let basic = request.headers["authorization"].to_str().unwrap();
    let basic = STANDARD.decode(basic.strip_prefix("Basic ").unwrap());
    assert!(basic.unwrap().starts_with(id.as_bytes()));
}

#[tokio::test]
async fn what_comes_instead_of_a_reference_is_told_without_secrets() {
    let error = |code: &str| ResponseTemplate::new(400).set_body_json(json!({"error": code}));
    #[rustfmt::skip]
    let table = [
        (error("invalid_request"),                                            "pushed_request_refused"),
        (ResponseTemplate::new(302).insert_header("location", "/elsewhere"),  "pushed_request_refused"),
        (ResponseTemplate::new(201).set_body_json(json!({"expires_in": 60})), "pushed_request_malformed"),
        (ResponseTemplate::new(201).set_body_json(json!({"request_uri": ""})), "pushed_request_malformed"),
        (ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),      "pushed_request_malformed"),
        (ResponseTemplate::new(503).insert_header("retry-after", "7"),        "provider_unavailable"),
    ];
    for (reply, code) in table {
        let (_server, spec) = answering(reply).await;
        let plain = begun(&spec);
        let method = ClientAuthentication::ClientSecretPost;
        let error = pushed(&spec, method, plain.clone()).await.unwrap_err();
        assert_eq!(error.code(), code);
        let shown = format!("{error:?}");
        for secret in [plain.state.expose(), plain.verifier.unwrap().expose()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let (_server, mut spec) = answering(taken()).await;
    spec.endpoints.pushed_authorization_request_endpoint = Some("http://127.0.0.1:1/par".into());
    let plain = begun(&spec);
    let method = ClientAuthentication::None;
    let error = pushed(&spec, method, plain).await.unwrap_err();
    let kind = ErrorKind::ProviderUnavailable { retry_after: None };
    assert_eq!(*error.kind(), kind);
}

#[tokio::test]
async fn nothing_is_pushed_because_a_server_could_take_it() {
    let (_server, mut spec) = answering(taken()).await;
    assert!(is_wanted(&spec));
    spec.authorization.pushed = false;
    assert!(!is_wanted(&spec));
    spec.authorization.pushed = true;
    spec.endpoints.pushed_authorization_request_endpoint = None;
    assert!(!is_wanted(&spec));
}
