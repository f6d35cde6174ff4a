//! Errors: what they condemn, and whether the server acted at all.

use super::*;

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
