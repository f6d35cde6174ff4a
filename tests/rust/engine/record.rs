//! What is sealed comes back as it was, reads what a later version wrote, and never quotes itself.

use std::collections::BTreeMap;
use std::time::Duration;

use _core::clock::{Anchor, Monotonic};
use _core::engine::freshness::StoredToken;
use _core::engine::record::{Configuration, Note, Pending, Record, Registered, Spill};
use _core::model::{Account, Grant, Refusal, Token};
use _core::provider::{ClientAuthentication, Endpoints, Overrides};
use _core::secret::SecretBytes;
use proptest::prelude::*;

use crate::support::{after, scopes, texts};

fn grant() -> Grant {
    Grant {
        refresh_token: Some("rt-\u{e9}\"\\\n".into()),
        refresh_expires_at: Some(after(86_400)),
        requested_scopes: scopes("a b"),
        granted_scopes: scopes("a"),
        account: Account {
            id: Some("17".to_owned()),
            email: Some("a@example.com".to_owned()),
            ..Account::default()
        },
        subject: Some("sub-1".to_owned()),
        client_id: "client-1".to_owned(),
        issuer: Some("https://issuer.example".to_owned()),
        token_endpoint: "https://issuer.example/token".to_owned(),
        redirect_uri: Some("https://app.example/callback".to_owned()),
        kept: texts(&[("instance_url", "https://x.example")]),
        granted_at: after(0),
        refusal: Some(Refusal {
            error: "invalid_grant".to_owned(),
            description: None,
            meaning: "It was revoked".to_owned(),
            at: 7,
        }),
    }
}

fn bare_grant() -> Grant {
    Grant {
        refresh_token: None,
        refresh_expires_at: None,
        requested_scopes: Vec::new(),
        granted_scopes: Vec::new(),
        account: Account::default(),
        subject: None,
        client_id: String::new(),
        issuer: None,
        token_endpoint: String::new(),
        redirect_uri: None,
        kept: BTreeMap::new(),
        granted_at: after(0),
        refusal: None,
    }
}

fn stored(expires_at: Option<i64>, assumed: Option<i64>) -> StoredToken {
    StoredToken {
        token: Token {
            value: "at-1".into(),
            resource: "https://api.example".to_owned(),
            scopes: scopes("a b"),
            obtained_at: after(0),
            expires_at: expires_at.map(after),
            token_type: "Bearer".to_owned(),
            revision: 3,
            extra: texts(&[("team", "t")]),
        },
        assumed_until: assumed.map(after),
        margin_cap: Duration::from_millis(1500),
        anchor: Some(Anchor {
            origin: "boot".into(),
            at: Monotonic::from_millis(7),
        }),
    }
}

fn back<R: Record>(record: &R) -> R {
    R::from_plaintext(&record.to_plaintext()).unwrap()
}

#[test]
fn grants_come_back() {
    for grant in [grant(), bare_grant()] {
        assert_eq!(back(&grant), grant);
    }
}

#[test]
fn tokens_come_back() {
    for token in [
        stored(Some(3600), None),
        stored(None, Some(60)),
        stored(None, None),
    ] {
        assert_eq!(back(&token), token);
    }
}

#[test]
fn spills_come_back_with_and_without_a_token() {
    for token in [Some(stored(Some(3600), None)), None] {
        let spill = back(&Spill {
            grant: grant(),
            token: token.clone(),
        });
        assert_eq!((spill.grant, spill.token), (grant(), token));
    }
}

#[test]
fn configurations_come_back() {
    let configuration = Configuration {
        client_id: Some("client-1".to_owned()),
        client_secret: Some("s3cret".into()),
        scopes: scopes("a b"),
        redirect_uri: Some("https://app.example/".to_owned()),
        issuer: Some("https://issuer.example".to_owned()),
        discovery_due: true,
        issuer_promised: true,
        exchange_from: Some("corporate/ann".to_owned()),
        has_no_file: true,
        registers_as: Some(ClientAuthentication::ClientSecretPost),
        registered: Some(Registered {
            endpoint: "https://login.example.com/register".to_owned(),
            redirect_uri: "http://127.0.0.1/callback".to_owned(),
            authentication: Some(ClientAuthentication::ClientSecretBasic),
            access_token: Some("key-to-the-registration".into()),
            client_uri: Some("https://login.example.com/register/1".to_owned()),
        }),
        overrides: Overrides {
            endpoints: Endpoints {
                token_endpoint: Some("https://t.example".to_owned()),
                ..Endpoints::default()
            },
            pkce: Some(false),
            ..Overrides::default()
        },
    };
    assert_eq!(back(&configuration), configuration);
    assert_eq!(back(&Configuration::default()), Configuration::default());
}

#[test]
fn pending_sign_ins_come_back() {
    let pending = back(&Pending {
        verifier: Some("verifier".into()),
        nonce: Some("nonce".into()),
        redirect_uri: "https://app.example/".to_owned(),
        session: Some("session".into()),
        scopes: scopes("a"),
        client_id: "client-1".to_owned(),
        token_endpoint: "https://t.example".to_owned(),
        begun: Some(Anchor {
            origin: "boot".into(),
            at: Monotonic::from_millis(5),
        }),
        lifetime: Duration::from_secs(600),
    });
    assert_eq!(pending.verifier.unwrap().expose(), "verifier");
    assert_eq!(pending.nonce.unwrap().expose(), "nonce");
    assert_eq!(pending.session.unwrap().expose(), "session");
    assert_eq!(
        (pending.redirect_uri.as_str(), pending.client_id.as_str()),
        ("https://app.example/", "client-1")
    );
    assert_eq!(
        (pending.token_endpoint.as_str(), pending.scopes),
        ("https://t.example", scopes("a"))
    );
}

#[test]
fn notes_come_back_and_older_ones_are_read() {
    let note = Note {
        reason: "It failed".to_owned(),
        error: Some("invalid_client".to_owned()),
        description: None,
        revision: 4,
        resource: "https://api.example".to_owned(),
    };
    let read = back(&note);
    assert_eq!(
        (read.reason, read.error, read.revision, read.resource),
        (note.reason, note.error, 4, note.resource)
    );
    let old = Note::from_plaintext(&SecretBytes::from(
        br#"{"reason":"x","revision":1}"#.to_vec(),
    ))
    .unwrap();
    assert_eq!((old.error, old.resource), (None, String::new()));
}

#[test]
fn what_a_later_version_added_is_not_in_the_way() {
    let mut text: serde_json::Value =
        serde_json::from_slice(grant().to_plaintext().expose()).unwrap();
    text["of_the_future"] = serde_json::json!({"any": ["thing"]});
    let text = SecretBytes::from(serde_json::to_vec(&text).unwrap());
    assert_eq!(Grant::from_plaintext(&text).unwrap(), grant());
}

#[test]
fn what_does_not_parse_is_an_error_that_quotes_nothing() {
    let text = SecretBytes::from(br#"{"refresh_token": ["oh-no"], "client_id": "oh-no"}"#.to_vec());
    let error = Grant::from_plaintext(&text).unwrap_err();
    assert_eq!(error.code(), "record_malformed");
    assert!(!format!("{error:?}").contains("oh-no"));
}

#[test]
fn debug_of_a_record_shows_no_secret() {
    let spill = Spill {
        grant: grant(),
        token: Some(stored(None, None)),
    };
    let shown = format!(
        "{spill:?} {:?}",
        Configuration {
            client_secret: Some("s3cret".into()),
            ..Configuration::default()
        }
    );
    for secret in ["rt-before", "at-1", "s3cret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

proptest! {
    #[test]
    fn any_text_and_any_time_come_back(token in "\\PC{1,64}", millis in any::<i64>(), cap in 0u64..1 << 40) {
        let mut stored = stored(None, None);
        stored.token.value = token.as_str().into();
        stored.token.expires_at = Some(_core::clock::Timestamp::from_millis(millis));
        stored.margin_cap = Duration::from_millis(cap);
        prop_assert_eq!(&back(&stored), &stored);
    }
}
