//! A reply of the token endpoint becomes one outcome: every row of DESIGN.md section 4, every leniency of section 8.

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

#[tokio::test]
async fn a_reply_by_the_book_is_issued() {
    let issued = issued(refreshed(nothing, ok(standard())).await);
    assert_eq!(issued.token.value.expose(), "a1");
    assert_eq!(issued.token.token_type, "Bearer");
    assert_eq!(issued.token.obtained_at, after(0));
    assert_eq!(issued.token.expires_at, Some(after(3600)));
    assert_eq!(issued.token.scopes, ["read"]);
    assert_eq!(issued.granted_scopes, Some(scopes("read")));
    assert_eq!(issued.refresh_token.unwrap().expose(), "r2");
}

#[tokio::test]
async fn a_reply_without_scope_has_the_scopes_asked() {
    let issued = issued(refreshed(nothing, ok(with("scope", Value::Null))).await);
    assert_eq!(
        (issued.token.scopes, issued.granted_scopes),
        (scopes(GRANTED), None)
    );
}

#[tokio::test]
async fn an_empty_scope_says_nothing() {
    for none in [json!(""), json!(" "), json!([])] {
        let issued = issued(refreshed(nothing, ok(with("scope", none))).await);
        assert_eq!(issued.granted_scopes, None);
    }
}

#[tokio::test]
async fn a_reply_without_refresh_token_brings_none() {
    for none in [Value::Null, json!("")] {
        assert_eq!(
            issued(refreshed(nothing, ok(with("refresh_token", none))).await).refresh_token,
            None
        );
    }
}

#[tokio::test]
async fn a_time_to_live_is_read_in_every_spelling() {
    let century = 3_155_760_000;
    for (value, lifetime) in [
        (json!(3600), Some(3600)),
        (json!("3600"), Some(3600)),
        (json!(" 3600 "), Some(3600)),
        (json!(3600.0), Some(3600)),
        (json!("3600.0"), Some(3600)),
        (json!(0), Some(0)),
        (json!(-5), Some(0)),
        (json!(1e300), Some(century)),
        (json!(u64::MAX), Some(century)),
        (json!("inf"), Some(century)),
        (json!("NaN"), None),
        (json!("soon"), None),
        (json!(true), None),
        (json!([3600]), None),
        (Value::Null, None),
    ] {
        let issued = issued(refreshed(nothing, ok(with("expires_in", value.clone()))).await);
        assert_eq!(issued.token.expires_at, lifetime.map(after), "{value}");
    }
}

#[tokio::test]
async fn a_time_to_live_begins_when_the_request_left() {
    // Nobody knows when in between the server began to count.
    let manual = Arc::new(ManualClock::new(after(0)));
    let server = MockServer::start().await;
    let ticking = Arc::clone(&manual);
    let answer = move |_: &wiremock::Request| {
        ticking.advance(Duration::from_secs(90));
        ok(standard())
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let spec = spec_of(&server.uri(), GrantType::ClientCredentials);
    let http = http::Client::new(http::Options::default());
    let clock = Clock::manual(manual);
    let outcome =
        token::client_credentials(&http, &spec, client(&client_secret()), &[], "", &clock).await;
    let token = issued(outcome).token;
    assert_eq!(
        (token.obtained_at, token.expires_at),
        (after(90), Some(after(3600)))
    );
}

#[tokio::test]
async fn an_expiry_is_read_in_the_unit_of_the_provider_file() {
    let end = NOW / 1000 + 600;
    for (unit, value, lifetime) in [
        ("milliseconds", json!(600_000), Some(600)),
        ("unix", json!(end), Some(600)),
        ("unix", json!(end.to_string()), Some(600)),
        ("unix_ms", json!(end * 1000), Some(600)),
        ("iso8601", json!("2026-01-01T00:10:00Z"), Some(600)),
        ("iso8601", json!("2026-01-01T01:10:00+01:00"), Some(600)),
        ("iso8601", json!("2026-01-01T00:10:00"), Some(600)),
        ("iso8601", json!("2026-01-01 00:10:00.000+00:00"), Some(600)),
        ("iso8601", json!("next week"), None),
        ("unix", json!(end - 1200), Some(0)),
    ] {
        let change = |spec: &mut Spec| {
            spec.reply.expires = ExpiresRule {
                path: Some(path("ends")),
                unit: Some(unit.to_owned()),
                ..ExpiresRule::default()
            };
        };
        let reply =
            ok(with("ends", value.clone())).insert_header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(
            issued(refreshed(change, reply).await).token.expires_at,
            lifetime.map(after),
            "{unit} {value}"
        );
    }
}

#[tokio::test]
async fn an_absolute_expiry_counts_by_the_clock_of_the_server() {
    let change = |spec: &mut Spec| {
        spec.reply.expires = ExpiresRule {
            path: Some(path("ends")),
            unit: Some("iso8601".to_owned()),
            ..ExpiresRule::default()
        };
    };
    // Ours is an hour behind.
    let reply = ok(with("ends", json!("2026-01-01T01:10:00Z")))
        .insert_header("date", "Thu, 01 Jan 2026 01:00:00 GMT");
    assert_eq!(
        issued(refreshed(change, reply).await).token.expires_at,
        Some(after(600))
    );
}

#[tokio::test]
async fn an_expiry_is_read_from_a_jwt() {
    let token = jwt(json!({"exp": NOW / 1000 + 600}));
    let change = |spec: &mut Spec| spec.reply.expires.source = Some("jwt".to_owned());
    let reply = ok(with("access_token", json!(token)))
        .insert_header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    assert_eq!(
        issued(refreshed(change, reply).await).token.expires_at,
        Some(after(600))
    );
}

#[tokio::test]
async fn an_expiry_that_the_provider_file_calls_never_is_none() {
    let never = |spec: &mut Spec| spec.reply.expires.never = vec![json!(0), json!(-1)];
    for value in [json!(0), json!("-1")] {
        assert_eq!(
            issued(refreshed(never, ok(with("expires_in", value))).await)
                .token
                .expires_at,
            None
        );
    }
    let none = |spec: &mut Spec| spec.reply.expires.source = Some("none".to_owned());
    assert_eq!(
        issued(refreshed(none, ok(standard())).await)
            .token
            .expires_at,
        None
    );
}

#[tokio::test]
async fn the_end_of_the_refresh_token_is_read_where_the_provider_file_says() {
    let change = |spec: &mut Spec| {
        spec.reply.refresh_expires = Some(ExpiresRule {
            path: Some(path("refresh_ends_in")),
            ..ExpiresRule::default()
        });
    };
    let issued = issued(refreshed(change, ok(with("refresh_ends_in", json!("86400")))).await);
    assert_eq!(issued.refresh_expires_at, Some(after(86_400)));
}

#[tokio::test]
async fn scopes_are_read_with_spaces_commas_and_as_a_list() {
    for value in [
        json!("read write"),
        json!("read,write"),
        json!("read, write read"),
        json!(["read", "write"]),
    ] {
        let issued = issued(refreshed(nothing, ok(with("scope", value.clone()))).await);
        assert_eq!(issued.granted_scopes, Some(scopes(GRANTED)), "{value}");
    }
    let semicolons = |spec: &mut Spec| spec.scopes.reply_separator = Some(";".to_owned());
    let issued = issued(refreshed(semicolons, ok(with("scope", json!("a,b;c")))).await);
    assert_eq!(issued.granted_scopes.unwrap(), ["a,b", "c"]);
}

#[tokio::test]
async fn json_is_read_whatever_it_is_called() {
    for content_type in [
        "text/plain",
        "text/html",
        "application/octet-stream",
        "text/javascript; charset=utf-8",
    ] {
        let reply = raw(200, &format!("\u{feff}\n {}", standard()), content_type);
        assert_eq!(
            issued(refreshed(nothing, reply).await).token.value.expose(),
            "a1",
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_form_is_read_whatever_it_is_called() {
    for content_type in ["application/x-www-form-urlencoded", "text/plain"] {
        let body = "access_token=a1&token_type=bearer&expires_in=60&scope=read%2Cwrite&refresh_token=r%2B2";
        let issued = issued(refreshed(nothing, raw(200, body, content_type)).await);
        assert_eq!(issued.token.expires_at, Some(after(60)));
        assert_eq!(issued.granted_scopes, Some(scopes(GRANTED)));
        assert_eq!(issued.refresh_token.unwrap().expose(), "r+2");
    }
}

#[tokio::test]
async fn tokens_are_found_where_the_provider_file_says() {
    let change = |spec: &mut Spec| {
        spec.reply.root = Some("data".to_owned());
        spec.reply.fields.insert(
            "access_token".to_owned(),
            Paths::Several(vec![
                "user.token".to_owned(),
                "items[?primary].token".to_owned(),
            ]),
        );
        spec.reply
            .fields
            .insert("refresh_token".to_owned(), path("[\"re.fresh\"]"));
        spec.reply
            .keep
            .insert("team".to_owned(), json!("team[0].id"));
        spec.reply.keep.insert(
            "shop".to_owned(),
            json!({"path": "url", "pattern": "https://([a-z]+)\\.example\\.com"}),
        );
        spec.reply.keep.insert(
            "evil".to_owned(),
            json!({"path": "evil", "pattern": "[a-z]+"}),
        );
        spec.reply
            .keep
            .insert("region".to_owned(), json!({"header": "x-region"}));
    };
    let reply = json!({"data": {
        "token_type": "bearer", "re.fresh": "r2", "team": [{"id": 7}], "url": "https://acme.example.com", "evil": "a.b",
        "items": [{"token": "no"}, {"primary": true, "token": "a1"}],
    }});
    let issued = issued(refreshed(change, ok(reply).insert_header("x-region", "eu")).await);
    assert_eq!(issued.token.value.expose(), "a1");
    assert_eq!(issued.refresh_token.unwrap().expose(), "r2");
    assert_eq!(
        issued.kept,
        texts(&[("region", "eu"), ("shop", "acme"), ("team", "7")])
    );
    assert_eq!(issued.token.extra, issued.kept);
}

#[tokio::test]
async fn an_account_in_the_reply_is_read() {
    let change = |spec: &mut Spec| {
        spec.account = Some(AccountRules {
            source: Some("reply".to_owned()),
            fields: [
                ("name", "athlete.first + athlete.last"),
                ("id", "athlete.id"),
            ]
            .map(|(name, at)| (name.to_owned(), path(at)))
            .into(),
            ..AccountRules::default()
        });
    };
    let reply = with(
        "athlete",
        json!({"first": "Ada", "last": "Lovelace", "id": 42}),
    );
    let account = issued(refreshed(change, ok(reply)).await).account;
    assert_eq!(
        (account.name.as_deref(), account.id.as_deref()),
        (Some("Ada Lovelace"), Some("42"))
    );
}

#[tokio::test]
async fn an_access_token_that_no_header_can_carry_is_unusable_and_its_refresh_token_kept() {
    for damaged in [
        json!("a b"),
        json!("a\u{7}"),
        json!("a\r\nX: y"),
        json!("tokén"),
        json!(7),
        json!({"a": "b"}),
    ] {
        let (refresh_token, rule) =
            unusable(refreshed(nothing, ok(with("access_token", damaged))).await);
        assert_eq!(refresh_token.as_deref(), Some("r2"));
        assert!(rule.contains("access token"), "{rule}");
    }
}

#[tokio::test]
async fn a_missing_access_token_beside_a_refresh_token_keeps_that() {
    for none in [Value::Null, json!("")] {
        let (refresh_token, rule) =
            unusable(refreshed(nothing, ok(with("access_token", none))).await);
        assert_eq!(
            (refresh_token.as_deref(), rule.as_str()),
            (Some("r2"), "the reply holds no access token")
        );
    }
}

#[tokio::test]
async fn an_error_beside_a_token_is_unusable_and_the_refresh_token_kept() {
    let (refresh_token, rule) = unusable(refreshed(nothing, ok(with("error", json!("odd")))).await);
    assert_eq!(
        (refresh_token.as_deref(), rule.as_str()),
        (Some("r2"), "the reply holds the error odd beside a token")
    );
}

#[tokio::test]
async fn an_error_that_says_nothing_is_none() {
    for nothing_said in [json!(""), json!(false), json!(0)] {
        issued(refreshed(nothing, ok(with("error", nothing_said))).await);
    }
}

#[tokio::test]
async fn a_token_type_that_is_absent_or_another_is_unusable_and_the_refresh_token_kept() {
    for (token_type, names) in [
        (Value::Null, "token_type"),
        (json!("mac"), "mac"),
        (json!("DPoP"), "DPoP"),
    ] {
        let (refresh_token, rule) =
            unusable(refreshed(nothing, ok(with("token_type", token_type))).await);
        assert_eq!(refresh_token.as_deref(), Some("r2"));
        assert!(rule.contains(names), "{rule}");
    }
}

#[tokio::test]
async fn a_token_type_is_compared_without_case() {
    for token_type in ["bearer", "BEARER"] {
        let issued = issued(refreshed(nothing, ok(with("token_type", json!(token_type)))).await);
        assert_eq!(issued.token.token_type, "Bearer");
    }
}

#[tokio::test]
async fn a_provider_file_may_allow_a_missing_and_a_vendors_own_token_type() {
    let missing = |spec: &mut Spec| spec.reply.token_type_missing = Some(true);
    assert_eq!(
        issued(refreshed(missing, ok(with("token_type", Value::Null))).await)
            .token
            .token_type,
        "Bearer"
    );
    let scheme = |spec: &mut Spec| spec.api.token_scheme = Some("OAuth".to_owned());
    assert_eq!(
        issued(refreshed(scheme, ok(with("token_type", json!("oauth")))).await)
            .token
            .token_type,
        "oauth"
    );
    let own = |spec: &mut Spec| {
        spec.reply
            .fields
            .insert("token_type".to_owned(), path("token_type"));
    };
    assert_eq!(
        issued(refreshed(own, ok(with("token_type", json!("user")))).await)
            .token
            .token_type,
        "user"
    );
    assert!(
        unusable(refreshed(own, ok(with("token_type", json!("dpop")))).await)
            .1
            .contains("dpop")
    );
}

#[tokio::test]
async fn a_mark_of_success_that_is_missing_is_a_failure() {
    let change = |spec: &mut Spec| {
        spec.reply.success = Some(SuccessRule {
            path: "ok".to_owned(),
            equals: json!(true),
        });
    };
    issued(refreshed(change, ok(with("ok", json!(true)))).await);
    let (refresh_token, _) = unusable(refreshed(change, ok(with("ok", json!(false)))).await);
    assert_eq!(refresh_token.as_deref(), Some("r2"));
    let (error, condemns, _) =
        not_processed(refreshed(change, ok(json!({"ok": false, "error": "ratelimited"}))).await);
    assert_eq!(
        (error.as_deref(), condemns),
        (Some("ratelimited"), Condemns::Nothing)
    );
}

#[tokio::test]
async fn a_code_of_success_is_no_error() {
    let change = |spec: &mut Spec| {
        spec.reply.success = Some(SuccessRule {
            path: "code".to_owned(),
            equals: json!(7),
        });
        spec.reply.error = Some(path("code"));
    };
    issued(refreshed(change, ok(with("code", json!(7)))).await);
    let (error, ..) = not_processed(refreshed(change, ok(json!({"code": 40_001}))).await);
    assert_eq!(error.as_deref(), Some("40001"));
}

#[tokio::test]
async fn a_refresh_token_is_found_in_a_body_that_is_not_json() {
    let body = r#"{"refresh_token": "r\u0032", "access_token": "a1", "token_type": "Bearer",}"#;
    let (refresh_token, rule) =
        unusable(refreshed(nothing, raw(200, body, "application/json")).await);
    assert_eq!(
        (refresh_token.as_deref(), rule.as_str()),
        (Some("r2"), "the reply is not well-formed")
    );
}

#[tokio::test]
async fn a_refresh_token_is_found_in_the_first_mebibyte_of_an_endless_body() {
    let body = format!(
        r#"{{"refresh_token": "r2", "padding": "{}""#,
        "x".repeat(2 << 20)
    );
    let (refresh_token, rule) =
        unusable(refreshed(nothing, raw(200, &body, "application/json")).await);
    assert_eq!(
        (refresh_token.as_deref(), rule.as_str()),
        (Some("r2"), "the reply is not whole")
    );
}

#[tokio::test]
async fn a_refresh_token_is_found_in_a_reply_that_broke_off() {
    let base = hang_up_after(
        "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"refresh_token\":\"r2\",\"access_tok",
    )
    .await;
    assert_eq!(
        unusable(refresh_at(&base, nothing, "").await).0.as_deref(),
        Some("r2")
    );
    let base = hang_up_after(
        "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\nrefresh_token=r2&access_token=a1",
    )
    .await;
    assert_eq!(
        unusable(refresh_at(&base, nothing, "").await).0.as_deref(),
        Some("r2")
    );
}

#[tokio::test]
async fn a_refresh_token_that_is_cut_off_ambiguous_or_only_quoted_is_not_found() {
    for body in [
        r#"{"access_token": "a1", "refresh_token": "r2"#,
        r#"{"refresh_token": "r2", "other": {"refresh_token": "r3"},}"#,
        r#"{"note": "say \"refresh_token\": \"r2\"",}"#,
        r#"{"refresh_token": 7,}"#,
        r#"{"refresh_token": null, "x": "r2",}"#,
        "{\"refresh_token\": \"r\u{1}2\",}",
    ] {
        assert!(
            !unknown(refreshed(nothing, raw(200, body, "application/json")).await),
            "{body}"
        );
    }
    let base = hang_up_after(
        "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\naccess_token=a1&refresh_token=r2",
    )
    .await;
    assert!(!unknown(refresh_at(&base, nothing, "").await));
}

#[tokio::test]
async fn the_refresh_token_that_was_sent_is_no_new_one() {
    let same = json!("old-refresh-token");
    assert_eq!(
        issued(refreshed(nothing, ok(with("refresh_token", same.clone()))).await).refresh_token,
        None
    );
    let echo = status(
        400,
        json!({"error": "invalid_grant", "refresh_token": same}),
    );
    assert_eq!(refused(refreshed(nothing, echo).await).1, Condemns::Grant);
    let echo = ok(json!({"error": "invalid_grant", "refresh_token": same}));
    assert_eq!(refused(refreshed(nothing, echo).await).1, Condemns::Grant);
    let broken = raw(
        200,
        r#"{"refresh_token": "old-refresh-token",}"#,
        "text/plain",
    );
    assert!(!unknown(refreshed(nothing, broken).await));
}

#[tokio::test]
async fn a_damaged_refresh_token_beside_a_sound_access_token_is_left_out() {
    let issued = issued(refreshed(nothing, ok(with("refresh_token", json!("r\u{0}2")))).await);
    assert_eq!(issued.refresh_token, None);
}

#[tokio::test]
async fn a_refresh_token_of_any_visible_characters_is_sound() {
    let issued = issued(refreshed(nothing, ok(with("refresh_token", json!("r 2/é=")))).await);
    assert_eq!(issued.refresh_token.unwrap().expose(), "r 2/é=");
}

#[tokio::test]
async fn an_accepted_reply_that_can_not_be_read_leaves_it_open() {
    for body in [
        "",
        "   ",
        "true",
        "{}",
        "[]",
        "{\"expires_in\": 5}",
        "<?xml version=\"1.0\"?><token/>",
        "access",
    ] {
        assert!(
            !unknown(refreshed(nothing, raw(200, body, "application/json")).await),
            "{body}"
        );
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(!unknown(
        refreshed(nothing, raw(200, &deep, "application/json")).await
    ));
}

#[tokio::test]
async fn an_accepted_web_page_leaves_it_open_and_says_so() {
    for page in [
        "<!DOCTYPE html><p>Log in",
        "\n<html lang=en>",
        "<p>Welcome to the hotel",
    ] {
        assert!(
            unknown(refreshed(nothing, raw(200, page, "text/html; charset=utf-8")).await),
            "{page}"
        );
    }
}

#[tokio::test]
async fn server_errors_leave_it_open() {
    for code in [500, 501, 502, 504, 520] {
        unknown(refreshed(nothing, status(code, json!({"error": "server_error"}))).await);
        unknown(refreshed(nothing, raw(code, "<html>", "text/html")).await);
        unknown(refreshed(nothing, status(code, json!({"error": "invalid_grant"}))).await);
    }
}

#[tokio::test]
async fn no_reply_leaves_it_open() {
    assert!(!unknown(
        refresh_at(&hang_up_after("").await, nothing, "").await
    ));
}

#[tokio::test]
async fn a_refusal_that_broke_off_leaves_it_open() {
    let base =
        hang_up_after("HTTP/1.1 400 Bad\r\ncontent-length: 999\r\n\r\n{\"error\":\"inva").await;
    assert!(!unknown(refresh_at(&base, nothing, "").await));
}

#[tokio::test]
async fn what_could_not_be_sent_was_not_processed() {
    let outcome = refresh_at("http://127.0.0.1:1", nothing, "").await;
    assert!(
        matches!(outcome, Outcome::NotProcessed { status: None, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_busy_server_has_not_processed_it() {
    for (code, body) in [
        (429, json!({"error": "invalid_grant"})),
        (503, json!({})),
        (400, json!({"error": "temporarily_unavailable"})),
        (500, json!({"error": "temporarily_unavailable"})),
    ] {
        let reply = status(code, body).insert_header("retry-after", "120");
        let (_, condemns, retry_after) = not_processed(refreshed(nothing, reply).await);
        assert_eq!(
            (condemns, retry_after),
            (Condemns::Nothing, Some(Duration::from_secs(120))),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_wait_is_read_in_seconds_and_as_a_date_and_has_an_end() {
    let minute = Some(Duration::from_secs(60));
    for (wait, date, expected) in [
        ("60", None, minute),
        ("60.0", None, minute),
        ("Thu, 01 Jan 2026 00:01:00 GMT", None, minute),
        (
            "Thu, 01 Jan 2026 09:01:00 GMT",
            Some("Thu, 01 Jan 2026 09:00:00 GMT"),
            minute,
        ),
        ("Thu, 01 Jan 2015 00:01:00 GMT", None, Some(Duration::ZERO)),
        ("-60", None, None),
        ("later", None, None),
        (
            "99999999999999999999",
            None,
            Some(Duration::from_secs(86_400)),
        ),
        ("inf", None, Some(Duration::from_secs(86_400))),
    ] {
        let mut reply = status(429, json!({})).insert_header("retry-after", wait);
        // The mock server dates its replies by itself unless told.
        reply = reply.insert_header("date", date.unwrap_or("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(
            not_processed(refreshed(nothing, reply).await).2,
            expected,
            "{wait}"
        );
    }
}

#[tokio::test]
async fn other_refusals_were_not_processed() {
    for (code, error) in [
        (400, "invalid_request"),
        (400, "invalid_scope"),
        (400, "unauthorized_client"),
        (401, "some_new_code"),
        (400, "unsupported_grant_type"),
        (200, "access_denied"),
    ] {
        let (said, condemns, _) =
            not_processed(refreshed(nothing, status(code, json!({"error": error}))).await);
        assert_eq!(
            (said.as_deref(), condemns),
            (Some(error), Condemns::Nothing)
        );
    }
    for reply in [
        raw(400, "", "text/plain"),
        raw(404, "<html>", "text/html"),
        raw(403, "Forbidden", "text/plain"),
        raw(302, "", "text/plain"),
        raw(400, "{\"detail\": \"no\"}", "application/json"),
    ] {
        assert_eq!(
            not_processed(refreshed(nothing, reply).await),
            (None, Condemns::Nothing, None)
        );
    }
}

#[tokio::test]
async fn a_wrong_client_condemns_the_client() {
    for code in [400, 401, 200] {
        let (_, condemns, _) = not_processed(
            refreshed(nothing, status(code, json!({"error": "invalid_client"}))).await,
        );
        assert_eq!(condemns, Condemns::Client);
    }
}

#[tokio::test]
async fn an_invalid_grant_condemns_the_grant() {
    for reply in [
        status(400, json!({"error": "invalid_grant"})),
        status(401, json!({"error": "invalid_grant"})),
        ok(json!({"error": "invalid_grant"})),
        raw(
            400,
            "error=invalid_grant&error_description=gone",
            "text/plain",
        ),
        status(
            400,
            json!({"error": {"code": "invalid_grant", "message": "gone"}}),
        ),
    ] {
        assert_eq!(
            refused(refreshed(nothing, reply).await),
            ("invalid_grant".to_owned(), Condemns::Grant)
        );
    }
    let reply = status(400, json!({"error": "invalid_grant"}));
    assert_eq!(refused(exchanged(nothing, reply).await).1, Condemns::Grant);
}

#[tokio::test]
async fn an_invalid_grant_for_another_resource_condemns_only_that() {
    let server = MockServer::start().await;
    let reply = status(400, json!({"error": "invalid_grant"}));
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let outcome = refresh_at(&server.uri(), nothing, "https://other.example").await;
    assert_eq!(refused(outcome).1, Condemns::Resource);
}

#[tokio::test]
async fn a_service_has_no_grant_to_condemn() {
    let (error, condemns, _) =
        not_processed(serviced(status(400, json!({"error": "invalid_grant"}))).await);
    assert_eq!(
        (error.as_deref(), condemns),
        (Some("invalid_grant"), Condemns::Nothing)
    );
}

/// What the provider file's errors make of a reply.
fn errors(spec: &mut Spec) {
    spec.errors = serde_json::from_value(json!({
        "bad_refresh_token": {"meaning": "used", "condemns": "grant"},
        "incorrect_client_credentials": {"meaning": "secret", "condemns": "client"},
        "invalid_grant": {"meaning": "gone", "condemns": "grant"},
        "invalid_grant: inactive user": {"meaning": "user", "condemns": "nothing"},
        "invalid_grant: expired": {"meaning": "idle", "condemns": "grant"},
        "AADSTS50076": {"meaning": "MFA", "condemns": "resource", "where": "token"},
        "AADSTS7000215": {"meaning": "secret", "condemns": "client", "where": ["token"]},
        "Invalid refresh token": {"meaning": "gone", "condemns": "grant"},
        "api_only": {"meaning": "elsewhere", "condemns": "grant", "where": "api"},
        "190": {"meaning": "gone", "condemns": "grant"},
        "http_418": {"meaning": "teapot", "condemns": "client"}
    }))
    .unwrap();
}

#[tokio::test]
async fn the_provider_file_says_what_an_error_condemns() {
    for (code, body, expected) in [
        (200, json!({"error": "bad_refresh_token"}), Condemns::Grant),
        (
            200,
            json!({"error": "incorrect_client_credentials"}),
            Condemns::Client,
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_description": "Inactive User"}),
            Condemns::Nothing,
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_description": "it has expired"}),
            Condemns::Grant,
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_description": "AADSTS50076: Due to …"}),
            Condemns::Resource,
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_codes": [50_076]}),
            Condemns::Resource,
        ),
        (
            401,
            json!({"error": "invalid_client", "error_description": "AADSTS7000215: x"}),
            Condemns::Client,
        ),
        (
            400,
            json!({"message": "Invalid refresh token", "status": 400}),
            Condemns::Grant,
        ),
        (400, json!({"error": "api_only"}), Condemns::Nothing),
        (
            400,
            json!({"error": {"code": 190, "type": "OAuthException", "message": "x"}}),
            Condemns::Grant,
        ),
        (418, json!({}), Condemns::Client),
        (400, json!({"error": "AADSTS500760"}), Condemns::Nothing),
    ] {
        let said = match refreshed(errors, status(code, body.clone())).await {
            Outcome::Refused { condemns, .. } | Outcome::NotProcessed { condemns, .. } => condemns,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(said, expected, "{body}");
    }
}

#[tokio::test]
async fn a_status_in_the_body_says_less_than_the_code() {
    let change = |spec: &mut Spec| {
        spec.errors = serde_json::from_value(json!({
            "400": {"meaning": "wrong request", "condemns": "client"},
            "BAD_TOKEN": {"meaning": "gone", "condemns": "grant"}
        }))
        .unwrap();
        spec.errors
            .insert("invalid_grant".to_owned(), spec.errors["BAD_TOKEN"].clone());
    };
    let reply = status(400, json!({"error": "invalid_grant", "status": 400}));
    assert_eq!(refused(refreshed(change, reply).await).1, Condemns::Grant);
    let reply = status(400, json!({"status": "BAD_TOKEN"}));
    assert_eq!(
        refused(refreshed(change, reply).await),
        ("http_400".to_owned(), Condemns::Grant)
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_provider_and_of_its_file() {
    let reply = status(
        400,
        json!({"error": "invalid_grant", "error_description": "AADSTS50076: sign in."}),
    );
    let Outcome::Refused { reason, .. } = refreshed(errors, reply).await else {
        panic!("not refused");
    };
    assert_eq!(
        reason,
        "the provider answered invalid_grant: AADSTS50076: sign in: MFA"
    );
}

#[tokio::test]
async fn what_the_provider_says_is_masked_and_cleaned() {
    let words = "old-refresh-token of \u{1b}[31mclient\u{202e} s3cret/of the+client\nhas s3cret%2Fof+the%2Bclient";
    let reply = status(
        400,
        json!({"error": "invalid\u{7}_grant", "error_description": words}),
    );
    let Outcome::NotProcessed {
        error,
        description,
        reason,
        ..
    } = refreshed(nothing, reply).await
    else {
        panic!("a code with a bell is another code");
    };
    assert_eq!(error.as_deref(), Some("invalid_grant"));
    assert_eq!(
        description.as_deref(),
        Some("[redacted] of [31mclient [redacted] has [redacted]")
    );
    assert!(!reason.contains("s3cret") && !reason.contains("old-refresh"));
}

#[tokio::test]
async fn no_outcome_shows_a_secret() {
    for reply in [
        ok(standard()),
        ok(with("error", json!("r2"))),
        status(400, json!({"error": "old-refresh-token"})),
    ] {
        let shown = format!("{:?}", refreshed(nothing, reply).await);
        for secret in ["\"a1\"", "\"r2\"", "old-refresh-token"] {
            assert!(!shown.contains(secret), "{shown}");
        }
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

/// A sound ID token with one claim changed; null takes it out.
fn id_token(name: &str, value: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "client-1", "sub": "account-1", "exp": NOW / 1000 + 600,
        "nonce": "the-nonce", "email": "ada@example.com", "name": "Ada",
    });
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    with("id_token", json!(jwt(claims)))
}

fn dated(body: Value) -> ResponseTemplate {
    ok(body).insert_header("date", "Thu, 01 Jan 2026 00:00:00 GMT")
}

#[tokio::test]
async fn a_sound_id_token_labels_the_account() {
    let issued = issued(exchanged(nothing, dated(id_token("name", json!("Ada")))).await);
    assert_eq!(issued.id_token.unwrap().subject, "account-1");
    assert_eq!(issued.account.id.as_deref(), Some("account-1"));
    assert_eq!(issued.account.label(), Some("ada@example.com"));
}

#[tokio::test]
async fn an_id_token_against_a_rule_is_unusable_and_the_refresh_token_kept() {
    for (name, value) in [
        ("aud", json!("another")),
        ("aud", json!(["another"])),
        ("aud", Value::Null),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("sub", Value::Null),
        ("exp", json!(NOW / 1000 - 301)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
    ] {
        let (refresh_token, rule) =
            unusable(exchanged(nothing, dated(id_token(name, value.clone()))).await);
        assert_eq!(refresh_token.as_deref(), Some("r2"));
        assert!(rule.contains(name), "{name} {value}: {rule}");
    }
}

#[tokio::test]
async fn the_issuer_of_an_id_token_is_the_one_asked_in_every_spelling_a_vendor_has() {
    let tenant = "11111111-2222-3333-4444-555555555555";
    for (path, iss, sound) in [
        ("", "{base}", true),
        ("", "{base}/", false),
        (
            "/{tenantid}/v2.0",
            "{base}/11111111-2222-3333-4444-555555555555/v2.0",
            true,
        ),
        (
            "/common/v2.0",
            "{base}/11111111-2222-3333-4444-555555555555/v2.0",
            true,
        ),
        (
            "/common/v2.0",
            "{base}/99999999-2222-3333-4444-555555555555/v2.0",
            false,
        ),
        ("/common/v2.0", "{base}/abc/v2.0", false),
        (
            "/acme/v2.0",
            "{base}/11111111-2222-3333-4444-555555555555/v2.0",
            false,
        ),
    ] {
        let server = MockServer::start().await;
        let claims = json!({
            "iss": iss.replace("{base}", &server.uri()), "tid": if iss.contains("/abc/") { "abc" } else { tenant }, "aud": "client-1", "sub": "account-1", "exp": NOW,
        });
        Mock::given(any())
            .respond_with(dated(with("id_token", json!(jwt(claims)))))
            .mount(&server)
            .await;
        let issuer = format!("{}{path}", server.uri());
        let outcome = refresh_at(
            &server.uri(),
            |spec| spec.endpoints.issuer = Some(issuer),
            "",
        )
        .await;
        if sound {
            issued(outcome);
        } else {
            assert_eq!(
                unusable(outcome).1,
                "the ID token's iss is not the issuer asked",
                "{path} {iss}"
            );
        }
    }
}

#[tokio::test]
async fn an_id_token_for_several_audiences_is_ours_if_we_presented_it() {
    let both = json!(["client-1", "api"]);
    issued(exchanged(nothing, dated(id_token("aud", both.clone()))).await);
    let mut claims = json!({"aud": both, "azp": "another", "sub": "account-1", "exp": NOW, "nonce": "the-nonce"});
    let reply = with("id_token", json!(jwt(claims.clone())));
    assert!(
        unusable(exchanged(nothing, dated(reply)).await)
            .1
            .contains("aud")
    );
    claims["azp"] = json!("client-1");
    issued(exchanged(nothing, dated(with("id_token", json!(jwt(claims))))).await);
}

#[tokio::test]
async fn an_id_token_that_can_not_be_read_is_no_label() {
    for odd in [json!("a.b.c.d.e"), json!("nonsense"), json!(7)] {
        assert_eq!(
            issued(exchanged(nothing, ok(with("id_token", odd))).await).id_token,
            None
        );
    }
}

#[tokio::test]
async fn another_account_on_refresh_is_unusable_and_the_refresh_token_kept() {
    let same = id_token("nonce", Value::Null);
    issued(refreshed(nothing, dated(same)).await);
    let (refresh_token, rule) =
        unusable(refreshed(nothing, dated(id_token("sub", json!("account-2")))).await);
    assert_eq!(
        (refresh_token.as_deref(), rule.as_str()),
        (Some("r2"), "the ID token's sub is another account's")
    );
}
