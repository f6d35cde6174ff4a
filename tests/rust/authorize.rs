//! The authorization request, and the callback that answers it.

use std::collections::BTreeMap;

use _core::error::ErrorKind;
use _core::oauth::authorize::{Authorization, Callback, begin};
use _core::provider::{CallbackRules, Pkce, ResourceRules, Spec, StateRules};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::support::{scopes, spec, texts};

const REDIRECT: &str = "http://127.0.0.1:8000/callback";

fn begun(asked: &str, change: impl FnOnce(&mut Spec)) -> Authorization {
    let mut spec = spec("https://login.example.com");
    change(&mut spec);
    begin(&spec, "client-1", true, REDIRECT, &scopes(asked), None).unwrap()
}

fn nothing(_: &mut Spec) {}

fn query(authorization: &Authorization) -> BTreeMap<String, String> {
    authorization.url.query_pairs().into_owned().collect()
}

#[test]
fn a_request_by_the_book_has_state_and_an_s256_challenge() {
    let begun = begun("read write", nothing);
    assert_eq!(
        &begun.url[..url::Position::AfterPath],
        "https://login.example.com/authorize"
    );
    let verifier = begun.verifier.as_ref().unwrap().expose();
    let expected = texts(&[
        ("response_type", "code"),
        ("client_id", "client-1"),
        ("redirect_uri", REDIRECT),
        ("scope", "read write"),
        ("state", begun.state.expose()),
        (
            "code_challenge",
            &URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
        ),
        ("code_challenge_method", "S256"),
    ]);
    assert_eq!(query(&begun), expected);
    assert!(begun.nonce.is_none());
}

#[test]
fn state_verifier_and_nonce_are_long_and_never_the_same() {
    let secrets = || {
        let begun = begun("openid", nothing);
        let verifier = begun.verifier.unwrap().expose().to_owned();
        [
            begun.state.expose().to_owned(),
            verifier,
            begun.nonce.unwrap().expose().to_owned(),
        ]
    };
    let all: std::collections::BTreeSet<String> = secrets().into_iter().chain(secrets()).collect();
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|secret| secret.len() >= 43));
}

#[test]
fn a_state_is_as_long_as_the_provider_wants_it() {
    let begun = begun("", |spec| {
        spec.callback.state = Some(StateRules {
            min_length: Some(100),
            note: None,
        })
    });
    assert!(begun.state.expose().len() >= 100);
}

#[test]
fn a_challenge_may_be_hex() {
    let begun = begun("", |spec| spec.pkce_hex = true);
    let digest = Sha256::digest(begun.verifier.as_ref().unwrap().expose());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(query(&begun)["code_challenge"], hex);
    assert_eq!(query(&begun)["code_challenge_method"], "S256");
}

#[test]
fn a_challenge_is_sent_unless_the_provider_breaks_on_it_or_the_client_has_a_secret_instead() {
    for (pkce, has_secret, sent) in [
        (Pkce::Required, true, true),
        (Pkce::Supported, true, true),
        (Pkce::Tolerated, true, true),
        (Pkce::Unknown, true, true),
        (Pkce::PublicClients, true, false),
        (Pkce::PublicClients, false, true),
        (Pkce::Never, false, false),
    ] {
        let mut spec = spec("https://login.example.com");
        spec.pkce = pkce;
        let begun = begin(&spec, "client-1", has_secret, REDIRECT, &[], None).unwrap();
        assert_eq!(begun.verifier.is_some(), sent, "{pkce:?} {has_secret}");
        assert_eq!(
            query(&begun).contains_key("code_challenge"),
            sent,
            "{pkce:?} {has_secret}"
        );
        assert_eq!(
            query(&begun).contains_key("code_challenge_method"),
            sent,
            "{pkce:?} {has_secret}"
        );
    }
}

#[test]
fn a_nonce_goes_with_openid() {
    let begun = begun("openid email", nothing);
    assert_eq!(query(&begun)["nonce"], begun.nonce.unwrap().expose());
}

#[test]
fn a_nonce_that_the_file_leaves_out_is_not_expected_back() {
    let begun = begun("openid", |spec| {
        spec.authorization.omit = scopes("nonce");
    });
    assert!(!query(&begun).contains_key("nonce"));
    assert!(begun.nonce.is_none());
}

#[test]
fn no_scopes_are_no_parameter() {
    assert!(!query(&begun("", nothing)).contains_key("scope"));
    assert!(!query(&begun("read", |spec| spec.scopes.sent = Some(false))).contains_key("scope"));
}

#[test]
fn a_provider_file_leaves_out_renames_and_adds() {
    let begun = begun("read write", |spec| {
        spec.scopes.separator = Some(",".to_owned());
        spec.authorization.omit = scopes("response_type");
        spec.authorization.rename = texts(&[("scope", "user_scope"), ("client_id", "client_key")]);
        spec.authorization.parameters = texts(&[
            ("type", "web"),
            ("tenant", "{tenant}"),
            ("team", "{team}"),
            ("again", "{nonce}"),
        ]);
        spec.authorization.optional = texts(&[("hint", "a hint in words")]);
        spec.values = texts(&[("tenant", "acme")]);
    });
    let query = query(&begun);
    let names: Vec<&str> = query.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "again",
            "client_key",
            "code_challenge",
            "code_challenge_method",
            "redirect_uri",
            "state",
            "tenant",
            "type",
            "user_scope",
        ]
    );
    assert_eq!(
        (query["user_scope"].as_str(), query["tenant"].as_str()),
        ("read,write", "acme")
    );
    assert!(query["again"].len() >= 43);
}

#[test]
fn a_query_of_the_endpoint_stays() {
    let begun = begun("", |spec| {
        spec.endpoints.authorization_endpoint =
            Some("https://login.example.com/authorize?tenant=acme".to_owned());
    });
    assert_eq!(query(&begun)["tenant"], "acme");
    assert_eq!(query(&begun)["client_id"], "client-1");
}

#[test]
fn a_query_may_stand_behind_the_fragment() {
    let begun = begun("", |spec| {
        spec.authorization.fragment = true;
        spec.endpoints.authorization_endpoint =
            Some("https://app.example.com/#/oauth/authorize".to_owned());
    });
    assert_eq!(begun.url.query(), None);
    let (page, parameters) = begun.url.fragment().unwrap().split_once('?').unwrap();
    assert_eq!(page, "/oauth/authorize");
    assert!(parameters.contains("client_id=client-1") && parameters.contains("state="));
}

#[test]
fn a_redirect_uri_may_be_a_name() {
    let spec = spec("https://login.example.com");
    let begun = begin(&spec, "client-1", true, "My-App-RuName", &[], None).unwrap();
    assert_eq!(query(&begun)["redirect_uri"], "My-App-RuName");
}

#[test]
fn a_resource_travels_with_the_request() {
    let mut spec = spec("https://login.example.com");
    let resource = "https://mcp.example.com/v1";
    let begun = begin(&spec, "client-1", true, REDIRECT, &[], Some(resource)).unwrap();
    assert_eq!(query(&begun)["resource"], resource);
    spec.resource = Some(ResourceRules {
        parameter: Some("audience".to_owned()),
        default: Some("https://api.example.com".to_owned()),
        ..ResourceRules::default()
    });
    let begun = begin(&spec, "client-1", true, REDIRECT, &[], None).unwrap();
    assert_eq!(query(&begun)["audience"], "https://api.example.com");
}

#[test]
fn a_provider_without_authorization_endpoint_is_an_error() {
    let mut spec = spec("https://login.example.com");
    spec.endpoints.authorization_endpoint = None;
    let error = begin(&spec, "client-1", true, REDIRECT, &[], None).unwrap_err();
    assert_eq!(error.code(), "authorization_endpoint_missing");
}

#[test]
fn a_callback_is_read_from_a_url_a_path_or_a_query() {
    for text in [
        "http://127.0.0.1:8000/callback?code=c%201&state=s1",
        "/callback?code=c+1&state=s1",
        "code=c+1&state=s1",
        " https://app.example.com/?code=c+1&state=s1#_=_ \n",
    ] {
        let callback = Callback::parse(text).unwrap();
        assert_eq!(callback.state.as_ref().unwrap().expose(), "s1", "{text}");
        assert_eq!(
            callback.code(&CallbackRules::default()).unwrap().expose(),
            "c 1",
            "{text}"
        );
        assert_eq!(callback.error(&CallbackRules::default()), None, "{text}");
    }
}

#[test]
fn a_parameter_that_stands_twice_is_refused() {
    for text in [
        "?code=a&code=b&state=s",
        "?code=a&state=s&state=s",
        "?a=1&a=1",
    ] {
        assert_eq!(
            Callback::parse(text).unwrap_err().code(),
            "callback_duplicate_parameter",
            "{text}"
        );
    }
}

#[test]
fn a_callback_without_parameters_is_refused() {
    for text in [
        "",
        "http://127.0.0.1/callback",
        "http://127.0.0.1/callback?code=&state=",
    ] {
        assert_eq!(
            Callback::parse(text).unwrap_err().code(),
            "callback_empty",
            "{text}"
        );
    }
}

#[test]
fn a_callback_speaks_the_vendors_names() {
    let rules = CallbackRules {
        rename: texts(&[("code", "auth_code")]),
        keep: serde_json::from_value(serde_json::json!({
            "realm": "realmId",
            "store": {"parameter": "context", "pattern": "stores/([a-z0-9]+)"},
            "bad": {"parameter": "bad", "pattern": "[a-z]+"}
        }))
        .unwrap(),
        ..CallbackRules::default()
    };
    let callback =
        Callback::parse("?auth_code=c1&code=other&realmId=7&context=stores/x1&bad=a/../b").unwrap();
    assert_eq!(callback.code(&rules).unwrap().expose(), "c1");
    assert_eq!(
        callback.kept(&rules),
        texts(&[("realm", "7"), ("store", "x1")])
    );
}

#[test]
fn an_error_of_a_callback_is_cleaned() {
    let callback =
        Callback::parse("?error=access%1b_denied&error_description=No%0A%E2%80%AEway&state=s")
            .unwrap();
    let error = callback.error(&CallbackRules::default());
    assert_eq!(
        error,
        Some(("access_denied".to_owned(), Some("No way".to_owned())))
    );
}

#[test]
fn an_issuer_must_be_the_expected_one_and_there_when_promised() {
    let ours = Some("https://issuer.example");
    for (query, expected, promised, sound) in [
        ("?code=c&iss=https%3A%2F%2Fissuer.example", ours, true, true),
        (
            "?code=c&iss=https%3A%2F%2Fissuer.example",
            ours,
            false,
            true,
        ),
        (
            "?code=c&iss=https%3A%2F%2Fissuer.example%2F",
            ours,
            false,
            false,
        ),
        ("?code=c&iss=https%3A%2F%2Fevil.example", ours, false, false),
        ("?code=c&iss=", ours, true, false),
        ("?code=c", ours, true, false),
        ("?code=c", ours, false, true),
        (
            "?code=c&iss=https%3A%2F%2Fissuer.example",
            None,
            false,
            true,
        ),
    ] {
        let checked = Callback::parse(query)
            .unwrap()
            .check_issuer(expected, promised);
        assert_eq!(checked.is_ok(), sound, "{query} {promised}");
        if let Err(error) = checked {
            assert_eq!(*error.kind(), ErrorKind::ConnectFailed);
        }
    }
}

#[test]
fn neither_code_nor_state_nor_verifier_is_shown() {
    let begun = begun("", nothing);
    let callback = Callback::parse("?code=hidden-code&state=hidden-state").unwrap();
    let shown = format!("{begun:?} {callback:?}");
    assert!(!shown.contains("hidden"));
    assert!(
        !shown.contains(begun.state.expose())
            && !shown.contains(begun.verifier.as_ref().unwrap().expose())
    );
}
