//! Strictness, which never costs a refresh token, and replies that can not be read.

use super::*;

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
