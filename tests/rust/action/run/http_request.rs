//! `core.http_request`: URL, query, headers, body and what comes back.

use _core::action::value::Value;

use super::{World, result, said, typed};

/// A step with a GET of this URL and more arguments.
fn get(url: &str, more: &str) -> String {
    call("GET", url, more)
}

fn call(method: &str, url: &str, more: &str) -> String {
    let more = more.replace('\n', "\n  ");
    format!("action: core.http_request\nargs:\n  method: {method}\n  url: {url:?}\n  {more}")
}

/// A workspace in which one optional secret is there, so that none of the tokens is needed.
async fn world() -> World {
    World::connected().await
}

#[tokio::test]
async fn a_url_is_sent_as_the_dialect_writes_it() {
    let rows = [
        ("HTTPS://API.acme.Example", "https://api.acme.example/"),
        (
            "https://api.acme.example:443/x",
            "https://api.acme.example/x",
        ),
        ("https://api.acme.example/x#y", "https://api.acme.example/x"),
        (
            "https://api.acme.example/a b/%41/%zz/é",
            "https://api.acme.example/a%20b/%41/%zz/%C3%A9",
        ),
        (
            "https://api.acme.example/a/../b/./c",
            "https://api.acme.example/b/c",
        ),
        (
            "https://api.acme.example/[]|;,:@&=+$!*()'",
            "https://api.acme.example/[]|;,:@&=+$!*()'",
        ),
        (
            "https://bücher.example/?q=é b\"",
            "https://xn--bcher-kva.example/?q=%C3%A9%20b%22",
        ),
        (
            "https://api.acme.example/end ",
            "https://api.acme.example/end%20",
        ),
        (
            "https://api.acme.example/a\\b",
            "https://api.acme.example/a%5Cb",
        ),
    ];
    for (written, sent) in rows {
        let world = world().await;
        world.step(&get(written, "headers: {}")).await.unwrap();
        assert_eq!(world.only().url, sent, "{written}");
    }
}

#[tokio::test]
async fn what_is_no_http_url_is_not_sent() {
    for url in [
        "None/api",
        "ftp://api.acme.example",
        "/relative",
        "https://",
        "https:///api.acme.example",
        "https://other.example\\@api.acme.example/",
        "https://api.acme.example/\n",
        "",
    ] {
        let error = world().await.refuses(&get(url, "headers: {}")).await;
        assert_eq!(error.code(), "invalid_arguments", "{url:?}: {error}");
    }
}

#[tokio::test]
async fn params_take_the_place_of_the_query() {
    let rows = [
        ("{}", "?old=1"),
        ("null", "?old=1"),
        ("{a: null}", ""),
        ("{a: []}", ""),
        ("{a: 'x y/~*-._'}", "?a=x+y%2F~%2A-._"),
        (
            "{a: true, b: 1.0, c: 1.0e+20, d: ''}",
            "?a=true&b=1.0&c=1e%2B20&d=",
        ),
        ("{a: [1, null, x], b: null}", "?a=1&a=&a=x"),
        ("{a: [[1, 'x']]}", "?a=%5B1%2C+%27x%27%5D"),
    ];
    for (params, query) in rows {
        let world = world().await;
        let step = get(
            "https://api.acme.example/x?old=1",
            &format!("params: {params}"),
        );
        world.step(&step).await.unwrap();
        let expected = format!("https://api.acme.example/x{query}");
        assert_eq!(world.only().url, expected, "{params}");
    }
}

#[tokio::test]
async fn headers_are_text_and_none_is_left_out() {
    let world = world().await;
    let step = get(
        "https://api.acme.example/",
        "headers: {X-One: a, X-Two: null, X-Three: '', x-one: b}",
    );
    world.step(&step).await.unwrap();
    let headers = world.only().headers;
    let pairs = [("x-one", "a"), ("x-three", ""), ("x-one", "b")];
    let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_fails() {
    for headers in [
        "{X: 5}",
        "{X: true}",
        "{X: é}",
        "{X: \"a\\r\\nY: b\"}",
        "{X: ' a'}",
        "{X: 'a '}",
        "{'X Y': a}",
        "[X]",
    ] {
        let step = get("https://api.acme.example/", &format!("headers: {headers}"));
        let error = world().await.refuses(&step).await;
        assert_eq!(error.code(), "invalid_arguments", "{headers}: {error}");
    }
}

#[tokio::test]
async fn a_body_is_the_first_that_applies() {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let rows = [
        ("content: 'é'", None, "é"),
        (
            "payload: {b: 1.0, a: é, c: [null, true]}",
            Some(json),
            r#"{"b":1.0,"a":"é","c":[null,true]}"#,
        ),
        ("payload: {}", Some(json), "{}"),
        ("payload: 0", Some(json), "0"),
        ("payload: 1.0e+22", Some(json), "1e+22"),
        (
            "form_data: {a: true, b: null, c: [1, 2], d: 'x y'}\npayload: {z: 1}",
            Some(form),
            "a=true&b=&c=1&c=2&d=x+y",
        ),
        ("form_data: {}\npayload: {z: 1}", Some(json), r#"{"z":1}"#),
        (
            "payload: {}\nheaders: {Content-Type: text/x}",
            Some("text/x"),
            "{}",
        ),
        ("headers: {}", None, ""),
    ];
    for (arguments, content_type, body) in rows {
        let world = world().await;
        let step = call("post", "https://api.acme.example/", arguments);
        world.step(&step).await.unwrap();
        let asked = world.only();
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.header("content-type"), content_type, "{arguments}");
        assert_eq!(asked.body(), body, "{arguments}");
    }
}

#[tokio::test]
async fn content_goes_alone() {
    for other in ["payload: {}", "form_data: {}", "files: {}"] {
        let arguments = format!("content: a\n{other}");
        let step = call("POST", "https://api.acme.example/", &arguments);
        let error = world().await.refuses(&step).await;
        assert!(error.reason().contains("content goes alone"), "{error}");
    }
}

#[tokio::test]
async fn files_are_multipart_after_the_fields() {
    let world = world().await;
    let files = "form_data: {a: 1}\nfiles: {one: aGk=, two: {content_base64: aG8=, filename: '../x/n<o>te..txt', content_type: text/x}}";
    let step = call("POST", "https://api.acme.example/", files);
    world.step(&step).await.unwrap();
    let asked = world.only();
    let content_type = asked.header("content-type").unwrap();
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    let expected = [
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n",
        "--B\r\nContent-Disposition: form-data; name=\"one\"; filename=\"one\"\r\nContent-Type: application/octet-stream\r\n\r\nhi\r\n",
        "--B\r\nContent-Disposition: form-data; name=\"two\"; filename=\"note.txt\"\r\nContent-Type: text/x\r\n\r\nho\r\n",
        "--B--\r\n",
    ];
    assert_eq!(
        asked.body(),
        expected.concat().replace("--B", &format!("--{boundary}"))
    );
}

#[tokio::test]
async fn files_that_are_no_base64_or_too_many_fail() {
    let many = "files: {a: '', b: '', c: '', d: '', e: '', f: ''}";
    for files in [
        "files: {a: '!'}",
        "files: {a: aGk}",
        "files: {a: 5}",
        "files: {a: {}}",
        many,
    ] {
        let step = call("POST", "https://api.acme.example/", files);
        let error = world().await.refuses(&step).await;
        assert_eq!(error.code(), "invalid_arguments", "{files}: {error}");
    }
}

#[tokio::test]
async fn auth_is_basic_and_wins_over_a_header() {
    let world = world().await;
    let more = "auth: {username: é, password: p}\nheaders: {Authorization: Bearer x}";
    world
        .step(&get("https://u:w@api.acme.example/", more))
        .await
        .unwrap();
    let asked = world.only();
    assert_eq!(asked.headers.len(), 1);
    assert_eq!(asked.header("authorization"), Some("Basic w6k6cA=="));
    assert_eq!(asked.url, "https://api.acme.example/");
}

#[tokio::test]
async fn a_user_name_in_the_url_is_basic() {
    let world = world().await;
    world
        .step(&get("https://u:p%40@api.acme.example/", "headers: {}"))
        .await
        .unwrap();
    assert_eq!(world.only().header("authorization"), Some("Basic dTpwQA=="));
}

#[tokio::test]
async fn arguments_are_neither_guessed_nor_converted() {
    for more in [
        "auth: {username: a}",
        "auth: {username: a, password: null}",
        "timeout: '5'",
        "timeout: 0",
        "timeout: true",
        "header: {}",
        "params: x",
        "verify_ssl: 1",
        "max_redirects: -1",
        "ignore_status_codes: [x]",
    ] {
        let error = world()
            .await
            .refuses(&get("https://api.acme.example/", more))
            .await;
        assert_eq!(error.code(), "invalid_arguments", "{more}: {error}");
    }
    let error = world()
        .await
        .refuses("action: core.http_request\nargs: {url: 'https://api.acme.example'}")
        .await;
    assert!(error.reason().contains("needs method"), "{error}");
}

#[tokio::test]
async fn a_reply_has_status_headers_and_data() {
    let world = world().await;
    let mut answer = said(201, r#"{"b": 1, "a": [NaN, "NaN \" Infinity", -Infinity]}"#);
    answer.headers.push(("x-repeated", "1".to_owned()));
    answer.headers.push(("x-repeated", "2".to_owned()));
    world.answers(answer);
    let returned = world
        .step(&get("https://api.acme.example/", "headers: {}"))
        .await
        .unwrap();
    assert_eq!(
        result(&returned).repr(),
        r#"{'status_code': 201, 'headers': {'content-type': 'application/json', 'x-repeated': '1, 2'}, 'data': {'b': 1, 'a': [None, 'NaN " Infinity', None]}}"#
    );
}

#[tokio::test]
async fn data_is_json_by_its_type_alone() {
    let utf16 = "\u{feff}{\"a\": 1}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes);
    let rows = [
        (typed("application/json; charset=x", "5"), "5"),
        (typed("application/json", "\u{feff}[1]"), "[1]"),
        (typed("application/json", Vec::from_iter(utf16)), "{'a': 1}"),
        (typed("application/json", r#"{"a": 1, "a": 2}"#), "{'a': 2}"),
        (typed("application/problem+json", "{}"), "'{}'"),
        (typed("Application/JSON", "{}"), "'{}'"),
        (typed("", "{}"), "'{}'"),
        (typed("text/plain; charset=iso-8859-1", vec![0xe9]), "'é'"),
        (typed("text/plain", vec![0xe9]), "'\u{fffd}'"),
    ];
    for (answer, expected) in rows {
        let world = world().await;
        world.answers(answer.clone());
        let returned = world
            .step(&get("https://api.acme.example/", "headers: {}"))
            .await
            .unwrap();
        let data = result(&returned).get("data").unwrap();
        assert_eq!(data.repr(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn no_content_is_none_and_bytes_are_base64_when_asked() {
    let world = world().await;
    let mut nothing = said(204, "{}");
    nothing.body = b"{}".to_vec();
    world.answers(nothing);
    world.answers(typed("application/json", vec![0, 255]));
    let step = get("https://api.acme.example/", "base64_encode_data: true");
    let returned = world.step(&step).await.unwrap();
    assert!(matches!(result(&returned).get("data"), Some(Value::None)));
    let returned = world.step(&step).await.unwrap();
    assert_eq!(result(&returned).get("data").unwrap().repr(), "'AP8='");
}

#[tokio::test]
async fn a_body_that_is_no_json_and_says_it_is_fails() {
    for body in ["", "{", "<html>"] {
        let world = world().await;
        world.answers(typed("application/json", body));
        let error = world
            .step(&get("https://api.acme.example/x?secret=1", "headers: {}"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "reply_not_json", "{body}");
        assert!(
            error.reason().ends_with(
                "GET https://api.acme.example/x answered with what is no JSON, and says it is"
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_status_from_400_on_fails_unless_it_is_ignored() {
    let world = world().await;
    let body = format!(
        "{{\"message\": \"no\u{1b}[31m such {}\"}}",
        "x ".repeat(400)
    );
    for _ in 0..2 {
        let mut answer = typed("text/plain", body.as_str());
        answer.status = 404;
        world.answers(answer);
    }
    let url = "https://api.acme.example/x?secret=1";
    let error = world.step(&get(url, "headers: {}")).await.unwrap_err();
    let (before, shown) = error.reason().split_once(" answered 404: ").unwrap();
    assert!(
        before.ends_with("GET https://api.acme.example/x"),
        "{error}"
    );
    assert!(
        shown.starts_with("{\"message\": \"no[31m such x x"),
        "{error}"
    );
    assert_eq!(shown.chars().count(), 256);
    let ignoring = get(url, "ignore_status_codes: [404]");
    assert!(world.step(&ignoring).await.is_ok());
}
