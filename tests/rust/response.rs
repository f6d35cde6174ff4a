//! A reply of the token endpoint becomes one outcome: every row of its table, every leniency that vendors need.

mod id_token;
mod issued;
mod kept;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock};
use _core::http;
use _core::model::GrantType;
use _core::oauth::response::{Issued, Outcome};
use _core::oauth::token::{self, CodeExchange, Refresh};
use _core::provider::{AccountRules, Condemns, ExpiresRule, Paths, Spec, SuccessRule};
use _core::secret::{AuthorizationCode, RefreshToken, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{
    NOW, after, client, client_secret, clock, hang_up_after, path, scopes, spec, spec_of, texts,
};

const GRANTED: &str = "read write";

fn nothing(_: &mut Spec) {}

async fn refresh_at(base: &str, change: impl FnOnce(&mut Spec), resource: &str) -> Outcome {
    let mut spec = spec(base);
    change(&mut spec);
    let refresh = Refresh {
        leaves_by: None,
        refresh_token: Some(&RefreshToken::from("old-refresh-token")),
        access_token: None,
        scopes: &[],
        granted: &scopes(GRANTED),
        resource,
        redirect_uri: None,
        subject: Some("account-1"),
    };
    let http = http::Client::new(http::Options::default());
    token::refresh(&http, &spec, client(&client_secret()), refresh, &clock()).await
}

/// The outcome of a refresh that is answered with `reply`.
async fn refreshed(change: impl FnOnce(&mut Spec), reply: ResponseTemplate) -> Outcome {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply).mount(&server).await;
    refresh_at(&server.uri(), change, "").await
}

/// The outcome of a code exchange that is answered with `reply`.
async fn exchanged(change: impl FnOnce(&mut Spec), reply: ResponseTemplate) -> Outcome {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let mut spec = spec(&server.uri());
    change(&mut spec);
    let exchange = CodeExchange {
        code: &AuthorizationCode::from("the-code"),
        redirect_uri: "http://127.0.0.1/callback",
        verifier: None,
        state: None,
        nonce: Some(&Secret::from("the-nonce")),
        requested: &scopes(GRANTED),
        resource: "",
    };
    let http = http::Client::new(http::Options::default());
    token::exchange_code(&http, &spec, client(&client_secret()), exchange, &clock()).await
}

async fn serviced(reply: ResponseTemplate) -> Outcome {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let spec = spec_of(&server.uri(), GrantType::ClientCredentials);
    let http = http::Client::new(http::Options::default());
    token::client_credentials(&http, &spec, client(&client_secret()), &[], "", &clock()).await
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn status(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn raw(status: u16, body: &str, content_type: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, content_type)
}

fn standard() -> Value {
    json!({"access_token": "a1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r2", "scope": "read"})
}

/// The standard reply with one member changed; null takes it out.
fn with(name: &str, value: Value) -> Value {
    let mut reply = standard();
    match value {
        Value::Null => reply.as_object_mut().unwrap().remove(name),
        value => reply
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    reply
}

fn issued(outcome: Outcome) -> Issued {
    match outcome {
        Outcome::Issued(issued) => *issued,
        other => panic!("not issued: {other:?}"),
    }
}

/// The refresh token kept and the rule broken.
fn unusable(outcome: Outcome) -> (Option<String>, String) {
    match outcome {
        Outcome::Unusable {
            refresh_token,
            rule,
            ..
        } => (refresh_token.map(|token| token.expose().to_owned()), rule),
        other => panic!("not unusable: {other:?}"),
    }
}

fn refused(outcome: Outcome) -> (String, Condemns) {
    match outcome {
        Outcome::Refused {
            error, condemns, ..
        } => (error, condemns),
        other => panic!("not refused: {other:?}"),
    }
}

fn not_processed(outcome: Outcome) -> (Option<String>, Condemns, Option<Duration>) {
    match outcome {
        Outcome::NotProcessed {
            error,
            condemns,
            retry_after,
            ..
        } => (error, condemns, retry_after),
        other => panic!("not not-processed: {other:?}"),
    }
}

fn unknown(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Unknown { html, .. } => html,
        other => panic!("not unknown: {other:?}"),
    }
}

fn jwt(claims: Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.signature",
        encode(&json!({"alg": "RS256"})),
        encode(&claims)
    )
}
