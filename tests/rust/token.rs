//! What is sent to the token endpoint: by the book, and as a provider file deviates from it.

use std::collections::BTreeMap;

use _core::http;
use _core::model::GrantType;
use _core::oauth::Client;
use _core::oauth::response::Outcome;
use _core::oauth::token::{self, CodeExchange, Refresh};
use _core::provider::{
    Body, ClientAuthentication, Endpoints, OtherResource, Overrides, ResourceRules, Spec, catalog,
};
use _core::secret::{AccessToken, AuthorizationCode, PkceVerifier, RefreshToken, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::support::{client, client_secret, clock, scopes, spec_of, texts};

enum Ask<'a> {
    Code,
    Refresh { scopes: &'a str, resource: &'a str },
    Service { scopes: &'a str, resource: &'a str },
}

const PLAIN_REFRESH: Ask<'static> = Ask::Refresh {
    scopes: "",
    resource: "",
};

/// The request that arrives, and the outcome of a reply by the book.
async fn sent_by(
    authentication: ClientAuthentication,
    ask: Ask<'_>,
    change: impl FnOnce(&mut Spec),
) -> (Request, Outcome) {
    let server = MockServer::start().await;
    let reply = json!({"access_token": "a1", "token_type": "Bearer"});
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(reply))
        .mount(&server)
        .await;
    let grant_type = match ask {
        Ask::Service { .. } => GrantType::ClientCredentials,
        _ => GrantType::AuthorizationCode,
    };
    let mut spec = spec_of(&server.uri(), grant_type);
    change(&mut spec);
    let secret = client_secret();
    let client = Client {
        authentication,
        ..client(&secret)
    };
    let http = http::Client::new(http::Options::default());
    let outcome = match ask {
        Ask::Code => {
            let exchange = CodeExchange {
                code: &AuthorizationCode::from("the code"),
                redirect_uri: "http://127.0.0.1:8000/callback",
                verifier: Some(&PkceVerifier::from("the-verifier")),
                state: Some(&Secret::from("the-state")),
                nonce: None,
                requested: &scopes("read write"),
                resource: "",
            };
            token::exchange_code(&http, &spec, client, exchange, &clock()).await
        }
        Ask::Refresh {
            scopes: wanted,
            resource,
        } => {
            let refresh = Refresh {
                leaves_by: None,
                refresh_token: Some(&RefreshToken::from("r1")),
                access_token: Some(&AccessToken::from("a0")),
                scopes: &scopes(wanted),
                granted: &scopes("read write"),
                resource,
                redirect_uri: Some("http://127.0.0.1:8000/callback"),
                subject: None,
            };
            token::refresh(&http, &spec, client, refresh, &clock()).await
        }
        Ask::Service {
            scopes: wanted,
            resource,
        } => {
            token::client_credentials(&http, &spec, client, &scopes(wanted), resource, &clock())
                .await
        }
    };
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1, "{outcome:?}");
    (requests.remove(0), outcome)
}

async fn sent(ask: Ask<'_>, change: impl FnOnce(&mut Spec)) -> Request {
    sent_by(ClientAuthentication::ClientSecretPost, ask, change)
        .await
        .0
}

fn nothing(_: &mut Spec) {}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_code_is_exchanged_by_the_book() {
    let request = sent(Ask::Code, nothing).await;
    assert_eq!(
        (
            request.method.as_str(),
            request.url.path(),
            request.url.query()
        ),
        ("POST", "/token", None)
    );
    assert_eq!(
        header(&request, "content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(header(&request, "accept"), Some("application/json"));
    let expected = texts(&[
        ("grant_type", "authorization_code"),
        ("code", "the code"),
        ("redirect_uri", "http://127.0.0.1:8000/callback"),
        ("code_verifier", "the-verifier"),
        ("client_id", "client-1"),
        ("client_secret", "s3cret/of the+client"),
    ]);
    assert_eq!(form(&request), expected);
}

#[tokio::test]
async fn a_refresh_names_no_scope_when_all_that_was_granted_is_wanted() {
    for wanted in ["", "read write", "write read"] {
        let request = sent(
            Ask::Refresh {
                scopes: wanted,
                resource: "",
            },
            nothing,
        )
        .await;
        let expected = texts(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", "r1"),
            ("client_id", "client-1"),
            ("client_secret", "s3cret/of the+client"),
        ]);
        assert_eq!(form(&request), expected, "{wanted}");
    }
}

#[tokio::test]
async fn a_request_may_run_on_any_thread() {
    let exchange = async {
        let http = http::Client::new(http::Options::default());
        let spec = spec_of("http://127.0.0.1:1", GrantType::ClientCredentials);
        let (secret, clock) = (client_secret(), clock());
        token::client_credentials(&http, &spec, client(&secret), &[], "", &clock).await
    };
    let outcome = tokio::spawn(exchange).await.unwrap();
    assert!(matches!(outcome, Outcome::NotProcessed { .. }));
}

#[tokio::test]
async fn a_refresh_asks_for_no_more_scope_than_was_granted() {
    let request = sent(
        Ask::Refresh {
            scopes: "read admin",
            resource: "",
        },
        nothing,
    )
    .await;
    assert_eq!(form(&request)["scope"], "read");
}

#[tokio::test]
async fn a_token_refreshed_with_fewer_scopes_has_those() {
    let ask = Ask::Refresh {
        scopes: "read",
        resource: "",
    };
    let (_, outcome) = sent_by(ClientAuthentication::ClientSecretPost, ask, nothing).await;
    let Outcome::Issued(issued) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(issued.token.scopes, ["read"]);
}

#[tokio::test]
async fn a_service_asks_with_its_scopes_joined() {
    let ask = || Ask::Service {
        scopes: "a b",
        resource: "",
    };
    let request = sent(ask(), nothing).await;
    assert_eq!(
        (
            form(&request)["grant_type"].as_str(),
            form(&request)["scope"].as_str()
        ),
        ("client_credentials", "a b")
    );
    let request = sent(ask(), |spec| spec.scopes.separator = Some(",".to_owned())).await;
    assert_eq!(form(&request)["scope"], "a,b");
    let request = sent(ask(), |spec| spec.scopes.sent = Some(false)).await;
    assert!(!form(&request).contains_key("scope"));
    let request = sent(
        Ask::Service {
            scopes: "",
            resource: "",
        },
        nothing,
    )
    .await;
    assert!(!form(&request).contains_key("scope"));
}

#[tokio::test]
async fn id_and_secret_are_form_urlencoded_inside_basic() {
    let (request, _) = sent_by(
        ClientAuthentication::ClientSecretBasic,
        PLAIN_REFRESH,
        nothing,
    )
    .await;
    let expected = format!(
        "Basic {}",
        STANDARD.encode("client-1:s3cret%2Fof+the%2Bclient")
    );
    assert_eq!(header(&request, "authorization"), Some(expected.as_str()));
    assert!(
        !form(&request).contains_key("client_id") && !form(&request).contains_key("client_secret")
    );
}

#[tokio::test]
async fn a_public_client_sends_its_id_alone() {
    let (request, _) = sent_by(ClientAuthentication::None, PLAIN_REFRESH, nothing).await;
    assert_eq!(form(&request)["client_id"], "client-1");
    assert!(!form(&request).contains_key("client_secret"));
    assert_eq!(header(&request, "authorization"), None);
}

#[tokio::test]
async fn a_request_of_the_provider_file_has_its_own_authentication() {
    let request = sent(PLAIN_REFRESH, |spec| {
        spec.refresh.as_mut().unwrap().request.authentication = Some(ClientAuthentication::None);
    })
    .await;
    assert!(!form(&request).contains_key("client_secret"));
}

#[tokio::test]
async fn an_authentication_that_is_not_known_here_sends_nothing() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let secret = client_secret();
    for authentication in [
        ClientAuthentication::PrivateKeyJwt,
        ClientAuthentication::TlsClientAuth,
    ] {
        let client = Client {
            authentication,
            ..client(&secret)
        };
        let http = http::Client::new(http::Options::default());
        let spec = spec_of(&server.uri(), GrantType::ClientCredentials);
        let outcome = token::client_credentials(&http, &spec, client, &[], "", &clock()).await;
        assert!(
            matches!(outcome, Outcome::NotProcessed { status: None, .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn parameters_are_left_out_renamed_added_and_overridden() {
    let request = sent(Ask::Code, |spec| {
        spec.token.omit = scopes("redirect_uri");
        spec.token.rename = texts(&[("client_id", "client_key"), ("code", "auth_code")]);
        spec.token.parameters = texts(&[
            ("grant_type", "vendor_code"),
            ("state", "{state}"),
            ("tenant", "{tenant}"),
            ("region", "{region}"),
            ("query", "{ viewer { id } }"),
        ]);
        spec.values = texts(&[("tenant", "acme")]);
    })
    .await;
    let expected = texts(&[
        ("grant_type", "vendor_code"),
        ("auth_code", "the code"),
        ("code_verifier", "the-verifier"),
        ("client_key", "client-1"),
        ("client_secret", "s3cret/of the+client"),
        ("state", "the-state"),
        ("tenant", "acme"),
        ("query", "{ viewer { id } }"),
    ]);
    assert_eq!(form(&request), expected);
}

#[tokio::test]
async fn headers_are_filled_in_and_override_ours() {
    let request = sent(PLAIN_REFRESH, |spec| {
        spec.refresh.as_mut().unwrap().request.headers = texts(&[
            ("accept", "application/vnd.vendor+json"),
            ("Authorization", "Bearer {client_secret}"),
            ("X-Agent", "{user_agent}"),
            ("X-Correlation", "{uuid}"),
            ("X-Unknown", "{unknown}"),
        ]);
    })
    .await;
    assert_eq!(
        header(&request, "accept"),
        Some("application/vnd.vendor+json")
    );
    assert_eq!(
        header(&request, "authorization"),
        Some("Bearer s3cret/of the+client")
    );
    assert_eq!(
        header(&request, "x-agent"),
        Some(concat!("evergrant/", env!("CARGO_PKG_VERSION")))
    );
    let uuid = header(&request, "x-correlation").unwrap();
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    assert_eq!(header(&request, "x-unknown"), None);
}

#[tokio::test]
async fn a_vendor_may_want_the_redirect_uri_or_the_scopes_again_at_refresh() {
    let request = sent(PLAIN_REFRESH, |spec| {
        let rules = &mut spec.refresh.as_mut().unwrap().request;
        rules.parameters = texts(&[("redirect_uri", "{redirect_uri}"), ("scope", "{scope}")]);
    })
    .await;
    assert_eq!(
        form(&request)["redirect_uri"],
        "http://127.0.0.1:8000/callback"
    );
    assert_eq!(form(&request)["scope"], "read write");
}

#[tokio::test]
async fn a_body_may_be_json() {
    let request = sent(PLAIN_REFRESH, |spec| {
        spec.refresh.as_mut().unwrap().request.body = Some(Body::Json)
    })
    .await;
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    let expected = json!({
        "grant_type": "refresh_token", "refresh_token": "r1", "client_id": "client-1",
        "client_secret": "s3cret/of the+client",
    });
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body).unwrap(),
        expected
    );
}

#[tokio::test]
async fn a_token_that_renews_itself_travels_in_the_query_of_a_get() {
    let request = sent(PLAIN_REFRESH, |spec| {
        let rules = &mut spec.refresh.as_mut().unwrap().request;
        rules.method = Some("GET".to_owned());
        rules.authentication = Some(ClientAuthentication::None);
        rules.omit = scopes("client_id refresh_token");
        rules.parameters = texts(&[
            ("grant_type", "ig_refresh_token"),
            ("access_token", "{access_token}"),
        ]);
    })
    .await;
    assert_eq!(request.method.as_str(), "GET");
    assert_eq!(
        request.url.query(),
        Some("grant_type=ig_refresh_token&access_token=a0")
    );
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn a_refresh_without_refresh_token_is_sent_only_where_the_access_token_renews_itself() {
    for renews_itself in [true, false] {
        let server = MockServer::start().await;
        let reply = json!({"access_token": "a1", "token_type": "Bearer"});
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_json(reply))
            .mount(&server)
            .await;
        let mut spec = spec_of(&server.uri(), GrantType::AuthorizationCode);
        spec.refresh.as_mut().unwrap().uses_access_token = renews_itself;
        let refresh = Refresh {
            leaves_by: None,
            refresh_token: None,
            access_token: Some(&AccessToken::from("a0")),
            scopes: &[],
            granted: &[],
            resource: "",
            redirect_uri: None,
            subject: None,
        };
        let http = http::Client::new(http::Options::default());
        token::refresh(&http, &spec, client(&client_secret()), refresh, &clock()).await;
        let sent = server.received_requests().await.unwrap().len();
        assert_eq!(sent, usize::from(renews_itself));
    }
}

#[tokio::test]
async fn a_request_goes_to_the_url_of_the_provider_file() {
    let request = sent(PLAIN_REFRESH, |spec| {
        let base = spec
            .endpoints
            .token_endpoint
            .clone()
            .unwrap()
            .replace("/token", "");
        spec.refresh.as_mut().unwrap().request.url =
            Some(format!("{base}/apps/{{client_id}}/refresh"));
    })
    .await;
    assert_eq!(request.url.path(), "/apps/client-1/refresh");
}

#[tokio::test]
async fn a_resource_travels_under_the_vendors_name_where_it_is_wanted() {
    let rules = |parameter: &str, sent_in: &str| ResourceRules {
        parameter: Some(parameter.to_owned()),
        default: Some("https://api.example".to_owned()),
        aliases: scopes("api"),
        sent_in: scopes(sent_in),
        others: [(
            "files".to_owned(),
            OtherResource {
                value: Some("https://files.example".to_owned()),
                ..OtherResource::default()
            },
        )]
        .into(),
        note: None,
    };
    for (parameter, sent_in, resource, expected) in [
        ("resource", "", "", Some("https://api.example")),
        ("audience", "", "", Some("https://api.example")),
        ("resource", "", "api", Some("https://api.example")),
        ("resource", "", "files", Some("https://files.example")),
        (
            "resource",
            "",
            "https://other.example",
            Some("https://other.example"),
        ),
        ("resource", "authorization token", "files", None),
    ] {
        let request = sent(
            Ask::Refresh {
                scopes: "",
                resource,
            },
            |spec| spec.resource = Some(rules(parameter, sent_in)),
        )
        .await;
        assert_eq!(
            form(&request).get(parameter).map(String::as_str),
            expected,
            "{parameter} {sent_in} {resource}"
        );
    }
}

#[tokio::test]
async fn a_resource_that_was_named_is_sent_to_a_provider_without_rules() {
    let request = sent(
        Ask::Service {
            scopes: "",
            resource: "https://api.example",
        },
        nothing,
    )
    .await;
    assert_eq!(form(&request)["resource"], "https://api.example");
}

#[tokio::test]
async fn a_resource_may_be_a_prefix_of_scopes() {
    let rules = || ResourceRules {
        parameter: Some("scope".to_owned()),
        default: Some("https://graph.example".to_owned()),
        others: [(
            "mail".to_owned(),
            OtherResource {
                value: Some("https://mail.example/".to_owned()),
                scopes: scopes("https://mail.example/IMAP"),
                ..OtherResource::default()
            },
        )]
        .into(),
        ..ResourceRules::default()
    };
    for (wanted, resource, expected) in [
        ("", "", None),
        (
            "Files.Read offline_access",
            "https://files.example",
            Some("https://files.example/Files.Read offline_access"),
        ),
        (
            "https://own.example/X",
            "https://files.example",
            Some("https://own.example/X"),
        ),
        ("guid/X Y", "guid", Some("guid/X guid/Y")),
        (
            "",
            "https://files.example",
            Some("https://files.example/.default"),
        ),
        ("", "mail", Some("https://mail.example/IMAP")),
        (
            "https://mail.example/SMTP",
            "mail",
            Some("https://mail.example/SMTP"),
        ),
    ] {
        let request = sent(
            Ask::Refresh {
                scopes: wanted,
                resource,
            },
            |spec| spec.resource = Some(rules()),
        )
        .await;
        assert_eq!(
            form(&request).get("scope").map(String::as_str),
            expected,
            "{wanted} {resource}"
        );
        assert!(!form(&request).contains_key("resource"));
    }
}

#[tokio::test]
async fn a_service_asks_for_another_resource_by_that_ones_scopes_alone() {
    for (resource, expected) in [
        ("", "https://graph.example/.default"),
        ("https://mail.example", "https://mail.example/.default"),
    ] {
        let ask = Ask::Service {
            scopes: "https://graph.example/.default",
            resource,
        };
        let request = sent(ask, |spec| {
            spec.resource = Some(ResourceRules {
                parameter: Some("scope".to_owned()),
                default: Some("https://graph.example".to_owned()),
                ..ResourceRules::default()
            });
        })
        .await;
        assert_eq!(form(&request)["scope"], expected);
    }
}

#[tokio::test]
async fn an_endpoint_on_a_host_that_only_metadata_named_must_be_public() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let mut spec = spec_of(&server.uri(), GrantType::ClientCredentials);
    spec.server_named = vec!["127.0.0.1".to_owned()];
    let http = http::Client::new(http::Options::default());
    let outcome =
        token::client_credentials(&http, &spec, client(&client_secret()), &[], "", &clock()).await;
    let Outcome::NotProcessed {
        reason,
        status: None,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        reason,
        "example can't be reached at 127.0.0.1: the host's address is not public"
    );
}

#[test]
fn hosts_that_only_metadata_named_are_known() {
    let endpoints = |pairs: &[(&str, &str)]| {
        let mut endpoints = Endpoints::default();
        for (name, url) in pairs {
            *endpoints.named_mut(name).unwrap() = Some((*url).to_owned());
        }
        endpoints
    };
    let overrides = Overrides {
        endpoints: endpoints(&[("revocation_endpoint", "https://mine.example/revoke")]),
        discovered: endpoints(&[
            ("issuer", "https://issuer.example"),
            ("authorization_endpoint", "https://issuer.example/authorize"),
            ("token_endpoint", "https://theirs.example/token"),
            ("userinfo_endpoint", "https://mine.example/userinfo"),
        ]),
        ..Overrides::default()
    };
    let provider = catalog::custom("example").unwrap();
    let spec = provider
        .spec(GrantType::AuthorizationCode, &overrides)
        .unwrap();
    assert_eq!(spec.server_named, ["theirs.example"]);
}

#[tokio::test]
async fn a_provider_that_gives_no_refresh_tokens_is_not_asked() {
    for change in [
        (|spec: &mut Spec| spec.refresh = None) as fn(&mut Spec),
        |spec: &mut Spec| spec.endpoints.token_endpoint = None,
    ] {
        let mut spec = spec_of("http://127.0.0.1:1", GrantType::AuthorizationCode);
        change(&mut spec);
        let refresh = Refresh {
            leaves_by: None,
            refresh_token: Some(&RefreshToken::from("r1")),
            access_token: None,
            scopes: &[],
            granted: &[],
            resource: "",
            redirect_uri: None,
            subject: None,
        };
        let http = http::Client::new(http::Options::default());
        let outcome =
            token::refresh(&http, &spec, client(&client_secret()), refresh, &clock()).await;
        assert!(
            matches!(outcome, Outcome::NotProcessed { status: None, .. }),
            "{outcome:?}"
        );
    }
}
