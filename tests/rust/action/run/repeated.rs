//! `core.http_poll` and `core.http_paginate`: the same request again, and the next one.

use _core::action::run::{Answer, PythonStep};
use _core::action::value::{Key, Value};
use _core::error::Result;

use super::{World, one_step, options, result, said, typed};
use crate::action::json;

fn poll(more: &str) -> String {
    one_step(&format!(
        "action: core.http_poll\nargs: {{method: GET, url: 'https://api.acme.example/job', {more}}}"
    ))
}

fn paginate(more: &str) -> String {
    one_step(&format!(
        "action: core.http_paginate\nargs: {{method: GET, url: 'https://api.acme.example/page?n=1', stop_condition: stop, next_request: next, {more}}}"
    ))
}

#[tokio::test]
async fn a_status_is_asked_for_again_after_growing_pauses() {
    let world = World::connected().await;
    for _ in 0..8 {
        world.answers(said(202, "{}"));
    }
    world.answers(said(200, "{\"done\": 1}"));
    let returned = world
        .run(&poll("poll_retry_codes: [202, 503]"), "{}")
        .await
        .unwrap();
    assert_eq!(result(&returned).get("data").unwrap().repr(), "{'done': 1}");
    assert_eq!(world.waited(), [2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(world.asked().len(), 9);
}

#[tokio::test]
async fn an_interval_is_kept_and_the_attempts_are_counted_from_the_first() {
    let world = World::connected().await;
    for _ in 0..3 {
        world.answers(said(202, "{}"));
    }
    let more = "poll_retry_codes: 202, poll_interval: 5, poll_max_attempts: 3";
    let error = world.run(&poll(more), "{}").await.unwrap_err();
    assert_eq!(error.code(), "attempts_used_up");
    assert!(error.reason().contains("after 3 attempts"), "{error}");
    assert_eq!((world.waited(), world.asked().len()), (vec![5, 5], 3));
}

#[tokio::test]
async fn no_attempts_at_all_are_no_bound() {
    let world = World::connected().await;
    for _ in 0..30 {
        world.answers(said(202, "{}"));
    }
    let more = "poll_retry_codes: 202, poll_interval: 1, poll_max_attempts: 0";
    world.run(&poll(more), "{}").await.unwrap();
    assert_eq!(world.asked().len(), 31);
}

#[tokio::test]
async fn no_status_is_an_error_of_a_poll() {
    let world = World::connected().await;
    world.answers(said(500, "{}"));
    let returned = world
        .run(&poll("poll_retry_codes: 202"), "{}")
        .await
        .unwrap();
    assert_eq!(
        result(&returned).get("status_code"),
        Some(&Value::Integer(500))
    );
}

#[tokio::test]
async fn a_condition_sees_status_headers_and_json_of_any_type() {
    let world = World::connected().await;
    world.answers(typed("text/plain", "{\"state\": \"busy\"}"));
    world.answers(typed("text/plain", "ready"));
    let mut seen = Vec::new();
    let text = poll("poll_condition: until, poll_retry_codes: [200]");
    let returned = world.run_with(&text, "{}", options(), |step| {
        let PythonStep::Lambda { source, values } = step else {
            panic!("{step:?} is no lambda")
        };
        assert_eq!(source, "until");
        let data = values[0].get("data").unwrap().clone();
        seen.push(data.repr());
        Answer::Value(Value::Bool(data.text() == Some("ready")))
    });
    let returned = returned.await.unwrap();
    assert_eq!(result(&returned).get("data").unwrap().repr(), "'ready'");
    assert_eq!(seen, ["{'state': 'busy'}", "'ready'"]);
}

#[tokio::test]
async fn a_poll_needs_to_know_when_it_is_done() {
    let world = World::connected().await;
    let error = world
        .run(&poll("poll_interval: 1"), "{}")
        .await
        .unwrap_err();
    assert!(
        error
            .reason()
            .contains("needs poll_condition or poll_retry_codes"),
        "{error}"
    );
    for unknown in [
        "content: x",
        "files: {}",
        "ignore_status_codes: []",
        "base64_encode_data: true",
    ] {
        let error = world
            .run(&poll(&format!("poll_retry_codes: 1, {unknown}")), "{}")
            .await
            .unwrap_err();
        assert!(error.reason().contains("takes no argument"), "{error}");
    }
    assert!(world.asked().is_empty());
}

/// Pages of a list: stops where `more` is false, and asks for page `n` next.
async fn pages(world: &World, more: &str, replies: &[&str]) -> Result<Value> {
    for reply in replies {
        world.answers(said(200, reply));
    }
    let lambda = |step| {
        let PythonStep::Lambda { source, values } = step else {
            panic!("{step:?} is no lambda")
        };
        let data = values[0].get("data").unwrap();
        let number = |name: &str| data.get(name).cloned().unwrap_or(Value::None);
        Answer::Value(match source.as_str() {
            "stop" => Value::Bool(!number("more").is_true()),
            _ => json(&format!(
                "{{\"params\": {{\"n\": {}}}, \"ignored\": 1}}",
                number("next")
            )),
        })
    };
    let returned = world
        .run_with(&paginate(more), "{}", options(), lambda)
        .await?;
    Ok(result(&returned).clone())
}

const FIRST: &str = r#"{"items": [{"id": 1}, {"id": 2}], "more": true, "next": 2}"#;
const SECOND: &str = r#"{"items": [{"id": 3}], "more": false}"#;

#[tokio::test]
async fn pages_are_asked_for_until_it_is_enough() {
    let world = World::connected().await;
    let items = pages(&world, "items_jsonpath: $.items", &[FIRST, SECOND])
        .await
        .unwrap();
    assert_eq!(items.repr(), "[{'id': 1}, {'id': 2}, {'id': 3}]");
    let urls = Vec::from_iter(world.asked().into_iter().map(|asked| asked.url));
    assert_eq!(
        urls,
        [
            "https://api.acme.example/page?n=1",
            "https://api.acme.example/page?n=2"
        ]
    );
}

#[tokio::test]
async fn items_end_at_the_limit() {
    let world = World::connected().await;
    let items = pages(
        &world,
        "items_jsonpath: '$.items[*].id', limit: 2",
        &[FIRST],
    )
    .await
    .unwrap();
    assert_eq!(items.repr(), "[1, 2]");
    assert_eq!(world.asked().len(), 1);
    let items = pages(&world, "limit: 0", &[]).await.unwrap();
    assert_eq!((items.repr().as_str(), world.asked().len()), ("[]", 1));
}

#[tokio::test]
async fn without_a_path_the_pages_themselves_are_collected() {
    let world = World::connected().await;
    let items = pages(&world, "limit: 5", &[FIRST, SECOND]).await.unwrap();
    let Value::List(items) = items else {
        panic!("{items:?} is no list")
    };
    let statuses = items.iter().map(|page| page.get("status_code").cloned());
    assert_eq!(
        Vec::from_iter(statuses),
        [Some(Value::Integer(200)), Some(Value::Integer(200))]
    );
}

#[tokio::test]
async fn one_value_is_added_a_list_taken_whole_and_nothing_left_out() {
    for (path, reply, expected) in [
        ("$.items[0].id", FIRST, "[1]"),
        ("$.nothing", FIRST, "[]"),
        ("$.items", r#"[{"id": 7}]"#, "[{'id': 7}]"),
    ] {
        let world = World::connected().await;
        let reply = reply.replace("\"more\": true", "\"more\": false");
        let items = pages(&world, &format!("items_jsonpath: '{path}'"), &[&reply])
            .await
            .unwrap();
        assert_eq!(items.repr(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_is_an_error_ends_the_step() {
    let world = World::connected().await;
    world.answers(said(200, FIRST));
    world.answers(said(500, "{}"));
    let error = pages(&world, "items_jsonpath: $.items", &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "http_status");
}

#[tokio::test]
async fn the_next_page_of_another_host_gets_no_token() {
    let world = World::connected().await;
    world.answers(said(200, r#"{"next": "https://other.example/2"}"#));
    let token = "headers: {A: '${{ SECRETS.acme_oauth.ACME_USER_TOKEN }}'}";
    let lambda = |step| {
        let PythonStep::Lambda { source, values } = step else {
            panic!("{step:?} is no lambda")
        };
        Answer::Value(match source.as_str() {
            "stop" => Value::Bool(false),
            _ => {
                let url = values[0].get("data").unwrap().get("next").unwrap().clone();
                Value::mapping([(Key::from("url"), url)].into_iter().collect())
            }
        })
    };
    let error = world
        .run_with(&paginate(token), "{}", options(), lambda)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "token_for_another_host");
    assert!(error.reason().contains("other.example"), "{error}");
    assert_eq!(world.asked().len(), 1);
}
