//! ID tokens (OpenID Connect Core section 3.1.3.7): they label the account, and no more.

use super::*;

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
