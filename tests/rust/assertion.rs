//! Assertions that a client signs with its own key: what stands in them, and who can check them.

use std::collections::BTreeMap;

use _core::http;
use _core::model::GrantType;
use _core::oauth::Client;
use _core::oauth::assertion::{check_key, client_email};
use _core::oauth::response::Outcome;
use _core::oauth::revoke::{RevokedToken, revoke};
use _core::oauth::token::{self, Refresh};
use _core::provider::catalog::Catalog;
use _core::provider::{ClientAuthentication, Endpoints, Overrides, Spec};
use _core::secret::{AccessToken, ClientSecret, RefreshToken};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::support::{NOW, clock, scopes, spec_of, texts};

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// An RSA key in PKCS#8, and its public half.
fn rsa() -> (Vec<u8>, Vec<u8>) {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key)
        .unwrap()
        .as_ref()
        .to_vec();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    (der, pair.public_key().as_ref().to_vec())
}

/// The JSON key of a service account whose tokens come from `token_uri`.
fn service_account(der: &[u8], token_uri: &str) -> ClientSecret {
    ClientSecret::from(
        json!({
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "key-7",
            "private_key": pem("PRIVATE KEY", der),
            "client_email": "robot@acme.iam.gserviceaccount.com",
            "client_id": "1234567890",
            "token_uri": token_uri,
        })
        .to_string()
        .as_str(),
    )
}

/// A client whose secret is a private key.
fn signer(secret: &ClientSecret) -> Client<'_> {
    Client {
        id: "client-1",
        secret: Some(secret),
        authentication: ClientAuthentication::PrivateKeyJwt,
    }
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let reply = json!({"access_token": "a1", "token_type": "Bearer", "expires_in": 3600});
    let reply = ResponseTemplate::new(200).set_body_json(reply);
    Mock::given(any()).respond_with(reply).mount(&server).await;
    server
}

/// The spec of a built-in service grant whose token endpoint is `server`.
fn service_of(id: &str, server: &MockServer, parameters: &[(&str, &str)]) -> Spec {
    let overrides = Overrides {
        parameters: texts(parameters),
        endpoints: Endpoints {
            token_endpoint: Some(format!("{}/token", server.uri())),
            ..Endpoints::default()
        },
        ..Overrides::default()
    };
    let provider = Catalog::builtin().find(id).unwrap();
    provider
        .spec(GrantType::ClientCredentials, &overrides)
        .unwrap()
}

async fn only(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Header and claims of an assertion whose signature is good.
fn opened(
    assertion: &str,
    algorithm: &'static dyn signature::VerificationAlgorithm,
    public_key: &[u8],
) -> (Value, Value) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    UnparsedPublicKey::new(algorithm, public_key)
        .verify(
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).unwrap(),
        )
        .unwrap();
    (decoded(header), decoded(claims))
}

async fn refreshed(secret: &ClientSecret, change: impl FnOnce(&mut Spec)) -> (Request, Outcome) {
    let server = server().await;
    let mut spec = spec_of(&server.uri(), GrantType::AuthorizationCode);
    change(&mut spec);
    let refresh = Refresh {
        refresh_token: Some(&RefreshToken::from("r1")),
        access_token: None,
        scopes: &[],
        granted: &[],
        resource: "",
        redirect_uri: None,
        subject: None,
        leaves_by: None,
    };
    let http = http::Client::new(http::Options::default());
    let outcome = token::refresh(&http, &spec, signer(secret), refresh, &clock()).await;
    (only(&server).await, outcome)
}

#[tokio::test]
async fn a_service_account_of_google_asks_with_an_assertion_that_its_key_signed() {
    let (der, public_key) = rsa();
    let server = server().await;
    let spec = service_of("google_sheets", &server, &[("subject", "ann@acme.com")]);
    let token_endpoint = format!("{}/token", server.uri());
    let secret = service_account(&der, &token_endpoint);
    let wanted = scopes("https://www.googleapis.com/auth/spreadsheets");
    let http = http::Client::new(http::Options::default());
    let outcome =
        token::client_credentials(&http, &spec, signer(&secret), &wanted, "", &clock()).await;
    assert!(matches!(outcome, Outcome::Issued(_)), "{outcome:?}");
    let form = form(&only(&server).await);
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert!(!form.contains_key("client_id") && !form.contains_key("client_secret"));
    let (header, claims) = opened(&form["assertion"], &RSA_PKCS1_2048_8192_SHA256, &public_key);
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-7"})
    );
    assert_eq!(claims["iss"], "robot@acme.iam.gserviceaccount.com");
    assert_eq!(claims["sub"], "ann@acme.com");
    assert_eq!(claims["aud"], token_endpoint);
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/spreadsheets"
    );
    // Dated back, so that a server whose clock is behind takes it; no longer than an hour.
    assert_eq!(claims["iat"], NOW / 1000 - 30);
    assert_eq!(claims["exp"], NOW / 1000 - 30 + 3600);
}

#[tokio::test]
async fn without_a_user_to_act_as_an_assertion_has_no_subject() {
    let (der, public_key) = rsa();
    let server = server().await;
    let spec = service_of("google", &server, &[]);
    let secret = service_account(&der, &format!("{}/token", server.uri()));
    let http = http::Client::new(http::Options::default());
    token::client_credentials(&http, &spec, signer(&secret), &[], "", &clock()).await;
    let form = form(&only(&server).await);
    let (_, claims) = opened(&form["assertion"], &RSA_PKCS1_2048_8192_SHA256, &public_key);
    assert_eq!(claims.get("sub"), None);
    assert_eq!(claims.get("scope"), None);
}

#[tokio::test]
async fn an_app_of_github_presents_its_assertion_in_a_header() {
    let (der, public_key) = rsa();
    let server = MockServer::start().await;
    let reply = json!({"token": "ghs_1", "expires_at": "2026-01-01T01:00:00Z"});
    let reply = ResponseTemplate::new(201)
        .set_body_json(reply)
        .insert_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT");
    Mock::given(any()).respond_with(reply).mount(&server).await;
    let mut spec = service_of("github", &server, &[("installation_id", "42")]);
    spec.token.url = Some(format!("{}/app/42/access_tokens", server.uri()));
    let secret = ClientSecret::from(pem("PRIVATE KEY", &der).as_str());
    let http = http::Client::new(http::Options::default());
    let outcome = token::client_credentials(&http, &spec, signer(&secret), &[], "", &clock()).await;
    let Outcome::Issued(issued) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(issued.token.expires_at, Some(crate::support::after(3600)));
    let request = only(&server).await;
    assert_eq!(request.url.path(), "/app/42/access_tokens");
    assert_eq!(request.body, b"{}");
    let header = request.headers["authorization"].to_str().unwrap();
    let assertion = header.strip_prefix("Bearer ").unwrap();
    let (_, claims) = opened(assertion, &RSA_PKCS1_2048_8192_SHA256, &public_key);
    assert_eq!(claims["iss"], "client-1");
    assert_eq!(claims["exp"], NOW / 1000 - 30 + 540);
}

#[tokio::test]
async fn a_client_with_a_key_authenticates_by_an_assertion() {
    let (der, public_key) = rsa();
    let secret = ClientSecret::from(pem("PRIVATE KEY", &der).as_str());
    let (request, _) = refreshed(&secret, |_| {}).await;
    let form = form(&request);
    assert_eq!(form["client_id"], "client-1");
    assert!(!form.contains_key("client_secret"));
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let (_, claims) = opened(
        &form["client_assertion"],
        &RSA_PKCS1_2048_8192_SHA256,
        &public_key,
    );
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("client-1"), &json!("client-1"))
    );
    assert!(claims["aud"].as_str().unwrap().ends_with("/token"));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        300
    );
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn two_assertions_are_never_the_same() {
    let (der, _) = rsa();
    let secret = ClientSecret::from(pem("PRIVATE KEY", &der).as_str());
    let first = form(&refreshed(&secret, |_| {}).await.0);
    let second = form(&refreshed(&secret, |_| {}).await.0);
    let claims = |form: &BTreeMap<String, String>| {
        decoded(form["client_assertion"].split('.').nth(1).unwrap())
    };
    assert_ne!(claims(&first)["jti"], claims(&second)["jti"]);
}

#[tokio::test]
async fn keys_of_other_kinds_sign_too() {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref()).unwrap();
    let secret = ClientSecret::from(pem("PRIVATE KEY", p256.as_ref()).as_str());
    let form_of = form(&refreshed(&secret, |_| {}).await.0);
    let (header, _) = opened(
        &form_of["client_assertion"],
        &ECDSA_P256_SHA256_FIXED,
        pair.public_key().as_ref(),
    );
    assert_eq!(header["alg"], "ES256");

    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
    let secret = ClientSecret::from(pem("PRIVATE KEY", ed25519.as_ref()).as_str());
    let form_of = form(&refreshed(&secret, |_| {}).await.0);
    let (header, _) = opened(
        &form_of["client_assertion"],
        &signature::ED25519,
        pair.public_key().as_ref(),
    );
    assert_eq!(header["alg"], "EdDSA");
}

/// The numbers of an RSA key in PKCS#8 (RFC 8017 appendix A.1.2), in their order: n, e, d, p, q, dp, dq, qi.
fn numbers(pkcs8: &[u8]) -> Vec<String> {
    /// The content of the element at the beginning, and what follows it.
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, begins) = match usize::from(der[1]) {
            short @ 0..0x80 => (short, 2),
            long => {
                let bytes = &der[2..2 + (long & 0x7f)];
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, 2 + bytes.len())
            }
        };
        der[begins..].split_at(length)
    }
    let (key, _) = element(pkcs8);
    let (_version, key) = element(key);
    let (_algorithm, key) = element(key);
    let (key, _) = element(element(key).0);
    let (_version, mut rest) = element(key);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (number, after) = element(rest);
        found.push(URL_SAFE_NO_PAD.encode(number));
        rest = after;
    }
    found
}

#[tokio::test]
async fn a_json_web_key_signs_under_its_own_name() {
    let (der, public) = rsa();
    let mut key = json!({"kty": "RSA", "kid": "key-1", "use": "sig"});
    for (name, number) in ["n", "e", "d", "p", "q", "dp", "dq", "qi"]
        .iter()
        .zip(numbers(&der))
    {
        key[*name] = json!(number);
    }
    let secret = ClientSecret::from(key.to_string().as_str());
    let form = form(&refreshed(&secret, |_| {}).await.0);
    let (header, claims) = opened(
        &form["client_assertion"],
        &RSA_PKCS1_2048_8192_SHA256,
        &public,
    );
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("RS256"), &json!("key-1"))
    );
    assert_eq!(claims["iss"], "client-1");
}

#[tokio::test]
async fn json_web_keys_on_curves_sign_too() {
    // RFC 7515 appendix A.3, and RFC 8037 appendix A.
    let p256 = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    });
    let ed25519 = json!({
        "kty": "OKP", "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let bytes =
        |key: &Value, name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], bytes(&p256, "x"), bytes(&p256, "y")].concat();
    let keys: [(
        &Value,
        &'static dyn signature::VerificationAlgorithm,
        Vec<u8>,
        &str,
    ); 2] = [
        (&p256, &ECDSA_P256_SHA256_FIXED, point, "ES256"),
        (&ed25519, &signature::ED25519, bytes(&ed25519, "x"), "EdDSA"),
    ];
    for (key, algorithm, public, name) in keys {
        let secret = ClientSecret::from(key.to_string().as_str());
        let form = form(&refreshed(&secret, |_| {}).await.0);
        let (header, _) = opened(&form["client_assertion"], algorithm, &public);
        assert_eq!(header["alg"], name);
    }
}

#[tokio::test]
async fn a_secret_signs_an_assertion_and_stays_here() {
    let secret = ClientSecret::from("a-shared-secret-of-32-characters");
    let client = Client {
        authentication: ClientAuthentication::ClientSecretJwt,
        ..signer(&secret)
    };
    let server = server().await;
    let spec = spec_of(&server.uri(), GrantType::ClientCredentials);
    let http = http::Client::new(http::Options::default());
    let outcome = token::client_credentials(&http, &spec, client, &[], "", &clock()).await;
    assert!(matches!(outcome, Outcome::Issued(_)), "{outcome:?}");
    let form = form(&only(&server).await);
    assert!(!form.contains_key("client_secret"));
    assert_eq!(form["client_id"], "client-1");
    let (signed, signature) = form["client_assertion"].rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(decoded(header)["alg"], "HS256");
    let claims = decoded(claims);
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("client-1"), &json!("client-1"))
    );
    assert_eq!(claims["aud"], format!("{}/token", server.uri()));
}

#[tokio::test]
async fn a_certificate_beside_the_key_is_named_by_its_thumbprint() {
    let (der, _) = rsa();
    let both = pem("PRIVATE KEY", &der) + &pem("CERTIFICATE", b"not really one");
    let secret = ClientSecret::from(both.as_str());
    let form = form(&refreshed(&secret, |_| {}).await.0);
    let header = decoded(form["client_assertion"].split('.').next().unwrap());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"not really one");
    assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(digest));
}

#[test]
fn what_is_no_usable_key_is_refused_before_it_is_configured_and_never_shown() {
    let (der, _) = rsa();
    let spec = spec_of("https://id.example", GrantType::AuthorizationCode);
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"x");
    let cut = pem("PRIVATE KEY", &der[..der.len() / 2]);
    for (secret, words) in [
        ("hunter2", "no private key in PEM"),
        (encrypted.as_str(), "decrypt it first"),
        (cut.as_str(), "no private key in PEM"),
        ("{", "no JSON Web Key"),
        (
            r#"{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}"#,
            "not whole",
        ),
        (r#"{"kty": "oct", "k": "AAAA"}"#, "no private key"),
    ] {
        let error = check_key(&spec, &ClientSecret::from(secret)).unwrap_err();
        assert_eq!(error.code(), "client_key_invalid");
        assert!(error.reason().contains(words), "{error}");
        assert!(!error.to_string().contains(secret.trim()), "{error}");
    }
    let mut elliptic = spec;
    elliptic.client.assertion = Some(_core::provider::AssertionRules {
        algorithms: vec!["ES256".to_owned()],
        ..Default::default()
    });
    let secret = ClientSecret::from(pem("PRIVATE KEY", &der).as_str());
    let error = check_key(&elliptic, &secret).unwrap_err();
    assert!(error.reason().contains("another kind"), "{error}");
}

#[tokio::test]
async fn the_key_of_a_service_account_goes_to_no_other_token_endpoint() {
    let (der, _) = rsa();
    let server = server().await;
    let spec = service_of("google", &server, &[]);
    let secret = service_account(&der, "https://oauth2.googleapis.com/token");
    let http = http::Client::new(http::Options::default());
    let outcome = token::client_credentials(&http, &spec, signer(&secret), &[], "", &clock()).await;
    assert!(
        matches!(outcome, Outcome::NotProcessed { status: None, ref reason, .. } if reason.contains("another token endpoint")),
        "{outcome:?}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_private_key_is_sent_to_nobody_whatever_the_provider_file_says() {
    let (der, _) = rsa();
    let plain = pem("PRIVATE KEY", &der);
    let of_service_account = service_account(&der, "https://id.example/token");
    for secret in [ClientSecret::from(plain.as_str()), of_service_account] {
        for authentication in [
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
        ] {
            let server = server().await;
            let mut spec = spec_of(&server.uri(), GrantType::AuthorizationCode);
            spec.revocation.request.authentication = Some(authentication);
            let token = AccessToken::from("at-1");
            let token = RevokedToken::Access(&token);
            let http = http::Client::new(http::Options::default());
            let revoked = revoke(&http, &spec, signer(&secret), token, &clock()).await;
            assert_eq!(revoked.unwrap_err().code(), "private_key_not_sent");
            assert_eq!(server.received_requests().await.unwrap().len(), 0);
        }
    }
}

#[tokio::test]
async fn a_placeholder_of_the_client_secret_stands_for_no_private_key() {
    let (der, _) = rsa();
    let secret = ClientSecret::from(pem("PRIVATE KEY", &der).as_str());
    let (request, _) = refreshed(&secret, |spec| {
        let refresh = spec.refresh.as_mut().unwrap();
        let parameters = &mut refresh.request.parameters;
        parameters.insert("key".to_owned(), "{client_secret}".to_owned());
    })
    .await;
    assert!(!form(&request).contains_key("key"));
}

#[test]
fn a_service_account_brings_its_client_id() {
    let secret = service_account(b"", "https://oauth2.googleapis.com/token");
    assert_eq!(
        client_email(&secret).as_deref(),
        Some("robot@acme.iam.gserviceaccount.com")
    );
    assert_eq!(client_email(&ClientSecret::from("hunter2")), None);
}
