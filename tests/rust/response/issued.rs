//! What is read of a reply that brings a sound token.

use super::*;

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
        (after(0), Some(after(3600)))
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
