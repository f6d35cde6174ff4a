//! Calls of Google's APIs: from a discovery document and arguments to requests and results.

use std::sync::Arc;

use _core::action::google_api::{Api, Call, Documents, token};
use _core::action::value::{Mapping, Value, json};

const DOCUMENT: &str = r#"{
  "kind": "discovery#restDescription", "rootUrl": "https://library.googleapis.com/", "servicePath": "v1/",
  "parameters": {
    "fields": {"type": "string", "location": "query"},
    "$.xgafv": {"type": "string", "location": "query", "enum": ["1", "2"]}
  },
  "resources": {
    "shelves": {
      "methods": {
        "list": {"httpMethod": "GET", "path": "shelves", "parameters": {
          "pageToken": {"type": "string", "location": "query"},
          "pageSize": {"type": "integer", "location": "query"},
          "shown": {"type": "boolean", "location": "query"},
          "kind": {"type": "string", "location": "query", "repeated": true, "enum": ["a", "b"]}
        }},
        "get": {"httpMethod": "GET", "path": "shelves/{shelfId}", "parameters": {
          "shelfId": {"type": "string", "location": "path", "required": true}
        }},
        "import": {"httpMethod": "POST", "path": "shelves:import", "request": {"$ref": "Shelf"}}
      },
      "resources": {
        "books": {"methods": {
          "setState": {"httpMethod": "POST", "path": "{+name}:setState", "request": {"$ref": "State"}, "parameters": {
            "name": {"type": "string", "location": "path", "required": true, "pattern": "^shelves/[^/]+/books/.+$"}
          }}
        }}
      }
    }
  }
}"#;

fn mapping(text: &str) -> Mapping {
    match json::read(text).unwrap() {
        Value::Mapping(mapping) => mapping.as_ref().clone(),
        _ => panic!("a mapping was written"),
    }
}

/// The arguments of a call of the library's API.
fn arguments(resource: &str, method: &str, more: &str) -> Mapping {
    let mut arguments = mapping(more);
    for (name, value) in [
        ("service_name", "library"),
        ("version", "v1"),
        ("resource", resource),
        ("method_name", method),
    ] {
        arguments.entry(name.into()).or_insert(Value::from(value));
    }
    arguments
}

fn api() -> Api {
    Api::read(&json::read(DOCUMENT).unwrap()).unwrap()
}

/// The request of a call, as JSON, or why there is none.
fn requested(resource: &str, method: &str, params: &str) -> String {
    let arguments = arguments(resource, method, &format!(r#"{{"params": {params}}}"#));
    let request = Call::read(&arguments, false).and_then(|call| call.request(&api(), "t"));
    match request {
        Ok(request) => json::write(&Value::mapping(request), json::Layout::Compact),
        Err(failure) => format!("fails: {failure}"),
    }
}

fn refused(arguments: &Mapping, is_paginated: bool) -> String {
    Call::read(arguments, is_paginated).unwrap_err().to_string()
}

#[test]
fn the_document_lies_at_googles_directory_or_at_the_service() {
    let call = Call::read(&arguments("shelves", "list", "{}"), false).unwrap();
    assert_eq!(
        call.documents(),
        [
            "https://www.googleapis.com/discovery/v1/apis/library/v1/rest",
            "https://library.googleapis.com/$discovery/rest?version=v1"
        ]
    );
}

#[test]
fn a_service_and_its_version_can_lead_to_no_other_host() {
    for name in [
        "a.example/",
        "library.evil",
        "a/..",
        "",
        "é",
        "-a",
        &"a".repeat(65),
    ] {
        let arguments = arguments(
            "shelves",
            "list",
            &format!(r#"{{"service_name": "{name}"}}"#),
        );
        let found = refused(&arguments, false);
        assert!(found.starts_with("service_name is "), "{name}: {found}");
    }
    for version in ["v1?x", "v1/..", "..", "a..b"] {
        let arguments = arguments("shelves", "list", &format!(r#"{{"version": "{version}"}}"#));
        assert_eq!(
            refused(&arguments, false),
            "version is a name, as drive and v3 are"
        );
    }
}

#[test]
fn a_request_has_the_method_the_path_the_query_and_the_token() {
    assert_eq!(
        requested(
            "shelves",
            "list",
            r#"{"pageSize": 5, "shown": true, "kind": ["a", "b"], "fields": "x", "pageToken": null}"#
        ),
        r#"{"url":"https://library.googleapis.com/v1/shelves","method":"GET","params":{"pageSize":5,"shown":true,"kind":["a","b"],"fields":"x"},"headers":{"Authorization":"Bearer t"}}"#
    );
}

#[test]
fn a_body_is_sent_as_json_where_the_method_has_one() {
    assert_eq!(
        requested(
            "shelves.books",
            "setState",
            r#"{"name": "shelves/a b/books/c?#d", "body": {"state": "X"}}"#
        ),
        r#"{"url":"https://library.googleapis.com/v1/shelves/a%20b/books/c%3F%23d:setState","method":"POST","payload":{"state":"X"},"headers":{"Authorization":"Bearer t"}}"#
    );
    assert_eq!(
        requested("shelves", "list", r#"{"body": {}}"#),
        "fails: params holds one that the method does not have; it has kind, pageSize, pageToken, shown"
    );
}

#[test]
fn a_value_in_a_path_stays_one_part_of_it() {
    let url = |id: &str| requested("shelves", "get", &format!(r#"{{"shelfId": {id}}}"#));
    assert!(
        url(r#""a/b?c#d%2Fé""#)
            .contains(r#""https://library.googleapis.com/v1/shelves/a%2Fb%3Fc%23d%252F%C3%A9""#)
    );
    assert!(url("7").contains("/v1/shelves/7\""));
    for id in [r#""..""#, r#"".""#, r#""""#] {
        assert_eq!(
            url(id),
            "fails: the parameter shelfId holds an empty part, or one that is . or .."
        );
    }
    for name in [
        "shelves/../books/x",
        "shelves/a/books/x/..",
        "shelves/a/books//x",
    ] {
        let found = requested(
            "shelves.books",
            "setState",
            &format!(r#"{{"name": "{name}"}}"#),
        );
        assert_eq!(
            found,
            "fails: the parameter name holds an empty part, or one that is . or .."
        );
    }
}

#[test]
fn a_parameter_has_to_be_known_and_given_and_one_that_it_may_be() {
    let rows = [
        (
            "shelves",
            "get",
            "{}",
            "the method needs the parameter shelfId",
        ),
        (
            "shelves",
            "get",
            r#"{"shelfId": null}"#,
            "the method needs the parameter shelfId",
        ),
        (
            "shelves",
            "get",
            r#"{"shelfId": ["a"]}"#,
            "the parameter shelfId is one value, not a list",
        ),
        (
            "shelves",
            "list",
            r#"{"kind": ["a", "c"]}"#,
            "the parameter kind is one of a, b",
        ),
        (
            "shelves",
            "list",
            r#"{"pageSize": [1]}"#,
            "the parameter pageSize is one value, not a list",
        ),
        (
            "shelves.books",
            "setState",
            r#"{"name": "books/x"}"#,
            "the parameter name does not match ^shelves/[^/]+/books/.+$",
        ),
        (
            "shelf",
            "list",
            "{}",
            "the API has no such resource at part 1 of it; there are shelves",
        ),
        (
            "shelves.",
            "list",
            "{}",
            "the API has no such resource at part 2 of it; there are books",
        ),
        (
            "shelves",
            "lst",
            "{}",
            "the resource has no such method; there are get, import, list",
        ),
    ];
    for (resource, method, params, expected) in rows {
        assert_eq!(
            requested(resource, method, params),
            format!("fails: {expected}")
        );
    }
}

#[test]
fn names_may_be_spelled_as_googles_python_client_does() {
    assert!(requested("shelves", "import_", "{}").contains("/v1/shelves:import"));
    assert!(requested("shelves", "list", r#"{"x__xgafv": "1"}"#).contains(r#""$.xgafv":"1""#));
}

#[test]
fn arguments_that_the_step_does_not_have_or_that_the_token_decides_fail() {
    let rows = [
        (
            r#"{"servce_name": "x"}"#,
            "there is an argument that is not one of service_name, version, resource, method_name, params, scopes, subject, static_discovery",
        ),
        (
            r#"{"scopes": ["a"]}"#,
            "scopes belongs to the token, not to the call: configure the integration google with it",
        ),
        (
            r#"{"subject": "a"}"#,
            "subject belongs to the token, not to the call: configure the integration google with it",
        ),
        (r#"{"params": [1]}"#, "params is a mapping, not a list"),
        (r#"{"resource": 5}"#, "resource is text, not an integer"),
        (r#"{"resource": null}"#, "resource is missing"),
    ];
    for (more, expected) in rows {
        assert_eq!(
            refused(&arguments("shelves", "list", more), false),
            expected
        );
    }
    let fine = r#"{"scopes": null, "subject": null, "static_discovery": false, "params": null}"#;
    assert!(Call::read(&arguments("shelves", "list", fine), false).is_ok());
    for (more, expected) in [
        (
            r#"{"max_pages": 0}"#,
            "max_pages is an integer of at least 1, not an integer",
        ),
        (
            r#"{"max_pages": true}"#,
            "max_pages is an integer of at least 1, not a boolean",
        ),
        (
            r#"{"next_page_token_path": "a..b"}"#,
            "next_page_token_path is names with dots between them",
        ),
        (r#"{"page_token_param": ""}"#, "page_token_param is empty"),
    ] {
        assert_eq!(refused(&arguments("shelves", "list", more), true), expected);
    }
}

/// What a paginated call comes to with these pages, and the page tokens that it sent.
fn paged(more: &str, pages: &[&str]) -> (String, Vec<String>) {
    let mut call = Call::read(&arguments("shelves", "list", more), true).unwrap();
    let mut sent = Vec::new();
    for page in pages {
        let request = Value::mapping(call.request(&api(), "t").unwrap());
        let token = request
            .get("params")
            .and_then(|params| params.get("pageToken"));
        sent.extend(token.map(Value::to_string));
        let reply = json::read(&format!(r#"{{"status_code": 200, "data": {page}}}"#)).unwrap();
        match call.took(&reply) {
            Ok(None) => {}
            Ok(Some(result)) => return (json::write(&result, json::Layout::Compact), sent),
            Err(failure) => return (format!("fails: {failure}"), sent),
        }
    }
    ("another page is asked for".to_owned(), sent)
}

#[test]
fn pages_follow_each_other_until_none_is_named() {
    let pages = [
        r#"{"n":1,"nextPageToken":"a"}"#,
        r#"{"n":2,"nextPageToken":"b"}"#,
        r#"{"n":3}"#,
    ];
    let (result, sent) = paged("{}", &pages);
    assert_eq!(result, format!("[{}]", pages.join(",")));
    assert_eq!(sent, ["a", "b"]);
    assert_eq!(
        paged("{}", &[r#"{"nextPageToken":""}"#]).0,
        r#"[{"nextPageToken":""}]"#
    );
}

#[test]
fn no_more_pages_are_asked_for_than_the_step_wants() {
    let page = r#"{"nextPageToken":"a"}"#;
    assert_eq!(
        paged(r#"{"max_pages": 1}"#, &[page, page]),
        (format!("[{page}]"), vec![])
    );
}

#[test]
fn the_token_of_the_next_page_may_have_another_name_and_place() {
    let more = r#"{"page_token_param": "fields", "next_page_token_path": "a.b"}"#;
    let (result, _) = paged(more, &[r#"{"a":{"b":"x"}}"#, r#"{"a":{}}"#]);
    assert_eq!(result, r#"[{"a":{"b":"x"}},{"a":{}}]"#);
}

#[test]
fn pages_that_name_each_other_end() {
    let page = r#"{"nextPageToken":"a"}"#;
    assert_eq!(
        paged("{}", &[page, page, page]).0,
        "fails: the API names a page that was there already as the next"
    );
    assert_eq!(
        paged("{}", &["[1]"]).0,
        "fails: a page is a mapping, not a list"
    );
}

#[test]
fn an_answer_without_content_is_an_empty_mapping() {
    let mut call = Call::read(&arguments("shelves", "list", "{}"), false).unwrap();
    let reply = json::read(r#"{"status_code": 204, "data": null}"#).unwrap();
    assert_eq!(call.took(&reply).unwrap().unwrap().repr(), "{}");
}

#[test]
fn a_document_that_names_another_host_is_refused() {
    for root in [
        "https://googleapis.com.evil.example/",
        "https://evilgoogleapis.com/",
        "http://library.googleapis.com/",
        "https://library.googleapis.com:8443/",
        "https://user@library.googleapis.com/",
        "https://library.googleapis.com/?x=",
        "https://a.example/#.googleapis.com/",
    ] {
        let document = DOCUMENT.replace("https://library.googleapis.com/", root);
        let failure = Api::read(&json::read(&document).unwrap()).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the discovery document names a host that is not one of Google's",
            "{root}"
        );
    }
    let failure = Api::read(&json::read(r#"{"error": {}}"#).unwrap()).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "what the API gave is no discovery document"
    );
}

#[test]
fn the_services_token_counts_before_the_users() {
    let secrets = |text: &str| json::read(text).unwrap();
    let both =
        secrets(r#"{"google_oauth": {"GOOGLE_USER_TOKEN": "u", "GOOGLE_SERVICE_TOKEN": "s"}}"#);
    assert_eq!(token(&both), Ok("s"));
    let user = secrets(r#"{"google_oauth": {"GOOGLE_USER_TOKEN": "u"}}"#);
    assert_eq!(token(&user), Ok("u"));
    assert!(token(&secrets("{}")).is_err());
}

#[test]
fn a_few_documents_are_kept_and_the_oldest_goes() {
    let documents = Documents::new();
    let api = Arc::new(api());
    for number in 0..17 {
        documents.keep(&number.to_string(), &api);
    }
    documents.keep("16", &api);
    let kept = (0..17).filter(|number| documents.get(&number.to_string()).is_some());
    assert_eq!(Vec::from_iter(kept), Vec::from_iter(1..17));
}
