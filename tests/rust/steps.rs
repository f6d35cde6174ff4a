//! What some providers want beside the one request: a second exchange, a look-up, a check of the callback.

use _core::http;
use _core::model::GrantType;
use _core::oauth::Client;
use _core::oauth::authorize::Callback;
use _core::oauth::response::{Issued, Outcome};
use _core::oauth::token::{self, CodeExchange};
use _core::provider::catalog::Catalog;
use _core::provider::{Endpoints, LookupRules, Overrides, RequestRules, Spec};
use _core::secret::{AuthorizationCode, ClientSecret};
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{client, client_secret, clock, spec_of, texts};

async fn answers(server: &MockServer, at: &str, reply: Value) {
    Mock::given(path(at))
        .respond_with(ResponseTemplate::new(200).set_body_json(reply))
        .mount(server)
        .await;
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let token =
        json!({"access_token": "first", "token_type": "Bearer", "scope": "read", "user_id": 7});
    answers(&server, "/token", token).await;
    server
}

fn spec(server: &MockServer, grant_type: GrantType) -> Spec {
    let mut spec = spec_of(&server.uri(), grant_type);
    spec.api.hosts = vec![server.uri()];
    spec
}

async fn exchanged(spec: &Spec) -> Outcome {
    let exchange = CodeExchange {
        code: &AuthorizationCode::from("c-1"),
        redirect_uri: "http://127.0.0.1/callback",
        verifier: None,
        state: None,
        nonce: None,
        requested: &[],
        resource: "",
    };
    let http = http::Client::new(http::Options::default());
    let secret = client_secret();
    token::exchange_code(&http, spec, client(&secret), exchange, &clock()).await
}

async fn issued(spec: &Spec) -> Issued {
    match exchanged(spec).await {
        Outcome::Issued(issued) => *issued,
        other => panic!("{other:?}"),
    }
}

async fn count(server: &MockServer, at: &str) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|one| one.url.path() == at).count()
}

/// A provider whose user grant swaps its first token at `/swap`.
fn swapping(server: &MockServer) -> Spec {
    let mut spec = spec(server, GrantType::AuthorizationCode);
    spec.reply.keep = [("user_id".to_owned(), json!("user_id"))].into();
    spec.exchange = Some(RequestRules {
        url: Some(format!("{}/swap", server.uri())),
        method: Some("GET".to_owned()),
        parameters: texts(&[("grant_type", "swap"), ("access_token", "{access_token}")]),
        ..RequestRules::default()
    });
    spec
}

#[tokio::test]
async fn the_first_token_is_swapped_for_the_one_that_is_kept() {
    let server = server().await;
    let reply = json!({"access_token": "second", "token_type": "bearer", "expires_in": 5_184_000});
    answers(&server, "/swap", reply).await;
    let issued = issued(&swapping(&server)).await;
    assert_eq!(issued.token.value.expose(), "second");
    assert_eq!(
        issued.token.expires_at,
        Some(crate::support::after(5_184_000))
    );
    // What only the first reply told is not lost.
    assert_eq!(issued.token.scopes, ["read"]);
    assert_eq!(issued.kept["user_id"], "7");
    let requests = server.received_requests().await.unwrap();
    let query = requests[1].url.query().unwrap();
    assert!(query.contains("access_token=first"), "{query}");
}

#[tokio::test]
async fn a_swap_that_is_refused_refuses_the_sign_in() {
    let server = server().await;
    let reply = ResponseTemplate::new(400).set_body_json(json!({"error": "invalid_grant"}));
    Mock::given(path("/swap"))
        .respond_with(reply)
        .mount(&server)
        .await;
    let outcome = exchanged(&swapping(&server)).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

/// A provider whose API wants an organisation's id, which `/organisations` lists.
fn looking_up(server: &MockServer, grant_type: GrantType) -> Spec {
    let mut spec = spec(server, grant_type);
    spec.lookup = Some(LookupRules {
        request: RequestRules {
            url: Some(format!("{}/organisations", server.uri())),
            ..RequestRules::default()
        },
        list: Some("items".to_owned()),
        matching: [("kind".to_owned(), json!("company"))].into(),
        choose: Some("name".to_owned()),
        keep: [
            (
                "org_id".to_owned(),
                json!({"path": "id", "pattern": "[0-9]+"}),
            ),
            ("org_name".to_owned(), json!("name")),
        ]
        .into(),
    });
    spec
}

async fn lists(items: Value) -> MockServer {
    let server = server().await;
    let reply = ResponseTemplate::new(200).set_body_json(json!({"items": items}));
    Mock::given(path("/organisations"))
        .and(method("GET"))
        .and(header("Authorization", "Bearer first"))
        .respond_with(reply)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_look_up_with_the_first_token_brings_what_the_reply_does_not_hold() {
    let items = json!([{"id": 1, "name": "Ann", "kind": "person"}, {"id": 2, "name": "Acme", "kind": "company"}]);
    let server = lists(items).await;
    let issued = issued(&looking_up(&server, GrantType::AuthorizationCode)).await;
    assert_eq!(issued.kept, texts(&[("org_id", "2"), ("org_name", "Acme")]));
    assert_eq!(issued.token.extra, issued.kept);
}

#[tokio::test]
async fn of_several_the_configured_one_is_taken() {
    let items = json!([{"id": 2, "name": "Acme", "kind": "company"}, {"id": 3, "name": "Beta", "kind": "company"}]);
    let server = lists(items).await;
    let mut spec = looking_up(&server, GrantType::AuthorizationCode);
    spec.values.insert("org_name".to_owned(), "Beta".to_owned());
    assert_eq!(issued(&spec).await.kept["org_id"], "3");
}

#[tokio::test]
async fn of_several_none_is_taken_unasked_and_the_choice_is_named() {
    let items = json!([{"id": 2, "name": "Acme", "kind": "company"}, {"id": 3, "name": "Beta", "kind": "company"}]);
    let server = lists(items).await;
    let outcome = exchanged(&looking_up(&server, GrantType::AuthorizationCode)).await;
    let Outcome::Unusable { rule, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        rule,
        "example lists several: Acme, Beta; choose one: evergrant configure example --parameter org_name=NAME"
    );
}

#[tokio::test]
async fn a_token_that_is_for_nothing_is_not_kept() {
    let server = lists(json!([{"id": 1, "name": "Ann", "kind": "person"}])).await;
    let outcome = exchanged(&looking_up(&server, GrantType::AuthorizationCode)).await;
    assert!(
        matches!(outcome, Outcome::Unusable { ref rule, .. } if rule.contains("lists nothing")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_service_grant_looks_up_once() {
    let server = lists(json!([{"id": 2, "name": "Acme", "kind": "company"}])).await;
    let mut spec = looking_up(&server, GrantType::ClientCredentials);
    let http = http::Client::new(http::Options::default());
    let secret = client_secret();
    let outcome = token::client_credentials(&http, &spec, client(&secret), &[], "", &clock()).await;
    let Outcome::Issued(issued) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(issued.kept["org_id"], "2");
    // The next token is asked for with what the connection keeps.
    spec.kept = issued.kept.keys().cloned().collect();
    spec.values.extend(issued.kept);
    token::client_credentials(&http, &spec, client(&secret), &[], "", &clock()).await;
    assert_eq!(count(&server, "/token").await, 2);
    assert_eq!(count(&server, "/organisations").await, 1);
}

#[tokio::test]
async fn a_look_up_goes_to_no_foreign_host() {
    let server = lists(json!([])).await;
    let mut spec = looking_up(&server, GrantType::AuthorizationCode);
    spec.api.hosts = vec!["api.example.com".to_owned()];
    let outcome = exchanged(&spec).await;
    assert!(
        matches!(outcome, Outcome::Unusable { ref rule, .. } if rule.contains("not among the API hosts")),
        "{outcome:?}"
    );
    assert_eq!(count(&server, "/organisations").await, 0);
}

fn shopify() -> Spec {
    let overrides = Overrides {
        parameters: texts(&[("subdomain", "acme")]),
        endpoints: Endpoints::default(),
        ..Overrides::default()
    };
    let provider = Catalog::builtin().find("shopify").unwrap();
    provider
        .spec(GrantType::AuthorizationCode, &overrides)
        .unwrap()
}

/// A callback of Shopify whose `message` is signed with `secret`.
fn signed(message: &str, secret: &str) -> Callback {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits: String = hmac::sign(&key, message.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Callback::parse(&format!(
        "https://app.example/callback?{message}&hmac={digits}"
    ))
    .unwrap()
}

#[test]
fn a_callback_that_the_vendor_signed_is_taken() {
    let secret = ClientSecret::from("hush");
    // The example of the vendor's page has these parameters, in this order.
    let message =
        "code=0907a61c&shop=acme.myshopify.com&state=0.6784241404160823&timestamp=1337178173";
    let callback = signed(message, "hush");
    callback
        .check_signature(&shopify(), &client(&secret))
        .unwrap();
    let encoded = "code=a%3D%3D&shop=acme.myshopify.com&state=s&timestamp=1";
    signed(encoded, "hush")
        .check_signature(&shopify(), &client(&secret))
        .unwrap();
}

#[test]
fn a_callback_that_somebody_else_made_or_changed_is_refused() {
    let secret = ClientSecret::from("hush");
    let spec = shopify();
    let message = "code=c&shop=acme.myshopify.com&state=s&timestamp=1";
    let refused = |callback: &Callback, client: &Client<'_>| {
        let error = callback.check_signature(&spec, client).unwrap_err();
        assert_eq!(error.code(), "callback_signature");
    };
    refused(&signed(message, "other"), &client(&secret));
    let mut changed = signed(message, "hush");
    changed
        .parameters
        .insert("shop".into(), "evil.myshopify.com".into());
    refused(&changed, &client(&secret));
    let mut added = signed(message, "hush");
    added.parameters.insert("more".into(), "x".into());
    refused(&added, &client(&secret));
    let mut unsigned = signed(message, "hush");
    unsigned.parameters.remove("hmac");
    refused(&unsigned, &client(&secret));
    let public = Client {
        secret: None,
        ..client(&secret)
    };
    refused(&signed(message, "hush"), &public);
}

#[test]
fn a_provider_that_signs_nothing_asks_for_no_signature() {
    let secret = client_secret();
    let spec = spec_of("https://id.example", GrantType::AuthorizationCode);
    let callback = Callback::parse("https://app.example/callback?code=c&state=s").unwrap();
    callback.check_signature(&spec, &client(&secret)).unwrap();
}
