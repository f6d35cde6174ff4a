//! `tools.google_api.*`: the document of an API first, then its pages.

use _core::engine::configure::{Configure, Settings};

use super::{USER, World, result, said, template};

/// A workspace with a user's connection to `google`.
async fn world() -> World {
    let world = World::bare().await;
    let request = Configure {
        provider: "google".to_owned(),
        grant_type: Some(USER),
        client_id: Some("client-1".to_owned()),
        client_secret: Some("s3cret-of-client".into()),
        settings: Settings::default(),
    };
    world.engine.configure(request).await.unwrap();
    let imported = world.engine.import_refresh_token(
        "google",
        "refresh-token-of-google".into(),
        Some(USER),
        "default",
        &[],
    );
    imported.await.unwrap();
    world
}

fn calling(action: &str, service: &str, more: &str) -> String {
    template(&format!(
        "  secrets:
    - {{type: oauth, provider_id: google, grant_type: authorization_code}}
  expects: {{}}
  steps:
    - ref: only
      action: tools.google_api.{action}
      args: {{service_name: {service}, version: v1, resource: files, method_name: list, params: {{q: a b}}{more}}}
  returns: {{result: '${{{{ steps.only.result }}}}'}}
"
    ))
}

fn document(service: &str) -> String {
    format!(
        r#"{{"rootUrl": "https://www.googleapis.com/", "servicePath": "{service}/v1/", "resources": {{"files": {{"methods": {{
            "list": {{"httpMethod": "GET", "path": "files", "parameters": {{
                "q": {{"type": "string", "location": "query"}}, "pageToken": {{"type": "string", "location": "query"}}
            }}}}
        }}}}}}}}"#
    )
}

#[tokio::test]
async fn pages_are_asked_for_by_the_document_and_the_token_goes_to_google_alone() {
    let world = world().await;
    world.answers(said(404, "{}"));
    world.answers(said(200, &document("pages")));
    world.answers(said(200, r#"{"files": [1], "nextPageToken": "n"}"#));
    world.answers(said(200, r#"{"files": [2]}"#));
    let text = calling("call_paginated_api", "pages", "");
    let returned = world.run(&text, "{}").await.unwrap();
    assert_eq!(
        result(&returned).repr(),
        "[{'files': [1], 'nextPageToken': 'n'}, {'files': [2]}]"
    );
    let asked = world.asked();
    let sent = asked
        .iter()
        .map(|asked| (asked.url.as_str(), asked.header("authorization")));
    let bearer = Some("Bearer access-token-1");
    assert_eq!(
        Vec::from_iter(sent),
        [
            (
                "https://www.googleapis.com/discovery/v1/apis/pages/v1/rest",
                None
            ),
            (
                "https://pages.googleapis.com/$discovery/rest?version=v1",
                None
            ),
            ("https://www.googleapis.com/pages/v1/files?q=a+b", bearer),
            (
                "https://www.googleapis.com/pages/v1/files?q=a+b&pageToken=n",
                bearer
            ),
        ]
    );
}

#[tokio::test]
async fn a_document_is_read_once() {
    let world = world().await;
    world.answers(said(200, &document("once")));
    let text = calling("call_api", "once", "");
    world.run(&text, "{}").await.unwrap();
    world.run(&text, "{}").await.unwrap();
    assert_eq!(world.asked().len(), 3);
}

#[tokio::test]
async fn an_api_that_nobody_describes_is_named() {
    let world = world().await;
    world.answers(said(404, "{}"));
    world.answers(said(404, "{}"));
    let error = world
        .run(&calling("call_api", "nowhere", ""), "{}")
        .await
        .unwrap_err();
    assert!(
        error.reason().contains("Google describes no such API"),
        "{error}"
    );
}
