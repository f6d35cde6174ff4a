//! Steps in order, templates inside of templates, and what is asked of Python.

use _core::action::run::{Answer, PythonStep};
use _core::action::value::Value;

use super::{World, mapping, options, template, with_secrets};

#[tokio::test]
async fn a_step_sees_the_results_of_those_before_it() {
    let world = World::bare().await;
    let text = template(
        "  expects:
    n: {type: int}
  steps:
    - ref: one
      action: core.transform.reshape
      args: {value: {n: '${{ inputs.n + 1 }}', when: '${{ FN.datetime(2024, 1, 2) }}'}}
    - ref: two
      action: core.transform.reshape
      args: {value: '${{ steps.one.result.n * 2 }}'}
  returns: [\"${{ steps.two.result }}\", \"${{ steps.one.result.when }}\", \"${{ steps.one.result_typename }}\"]
",
    );
    let returned = world.run(&text, r#"{"n": 4}"#).await.unwrap();
    assert_eq!(returned.repr(), "[10, '2024-01-02T00:00:00', 'dict']");
}

#[tokio::test]
async fn what_only_python_can_do_is_asked_for_and_answered() {
    let world = World::bare().await;
    let text = template(
        "  expects: {}
  steps:
    - ref: apply
      action: core.transform.apply
      args: {value: 3, python_lambda: 'lambda x: x + 1'}
    - ref: script
      action: core.script.run_python
      args: {script: 'def main(a): return a', inputs: {a: '${{ steps.apply.result }}'}}
    - ref: own
      action: mine.double
      args: {n: '${{ steps.script.result }}'}
  returns: ${{ steps.own.result }}
",
    );
    assert_eq!(
        Vec::from_iter(world.plan(&text).unwrap().others),
        ["mine.double"]
    );
    let mut asked = Vec::new();
    let returned = world.run_with(&text, "{}", options(), |step| {
        asked.push(format!("{step:?}"));
        Answer::Value(Value::Integer(match step {
            PythonStep::Transform { name, arguments } => {
                assert_eq!(name, "apply");
                assert_eq!(
                    arguments,
                    mapping(r#"{"value": 3, "python_lambda": "lambda x: x + 1"}"#)
                );
                4
            }
            PythonStep::Script { arguments } => {
                assert_eq!(
                    arguments,
                    mapping(r#"{"script": "def main(a): return a", "inputs": {"a": 4}}"#)
                );
                5
            }
            PythonStep::Function { name, inputs } => {
                assert_eq!(
                    (name.as_str(), inputs),
                    ("mine.double", mapping(r#"{"n": 5}"#))
                );
                10
            }
            PythonStep::Lambda { .. } => panic!("no lambda is here"),
        }))
    });
    assert_eq!(returned.await.unwrap(), Value::Integer(10));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn what_python_could_not_do_names_the_step() {
    let world = World::bare().await;
    let text = template(
        "  expects: {}
  steps:
    - ref: apply
      action: core.transform.apply
      args: {value: 3, python_lambda: 'lambda x: x.y'}
  returns: ${{ steps.apply.result }}
",
    );
    let failing = |_| Answer::Failed("AttributeError: no y".to_owned());
    let error = world
        .run_with(&text, "{}", options(), failing)
        .await
        .unwrap_err();
    assert_eq!(
        error.reason(),
        "step apply of tools.acme.act: AttributeError: no y"
    );
}

#[tokio::test]
async fn inputs_are_checked_before_anything_runs() {
    let world = World::connected().await;
    let text = template(
        "  expects:
    n: {type: int}
  steps:
    - {ref: only, action: core.http_request, args: {url: 'https://api.acme.example', method: GET}}
  returns: ${{ steps.only.result }}
",
    );
    let error = world.run(&text, r#"{"n": "x", "m": 1}"#).await.unwrap_err();
    assert_eq!(error.code(), "invalid_inputs");
    assert!(error.reason().contains("n: int is needed"), "{error}");
    assert!(error.reason().contains("m: is no input"), "{error}");
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn inputs_that_look_like_expressions_stay_text() {
    let world = World::bare().await;
    let text = template(
        "  expects:
    s: {type: str}
  steps:
    - {ref: only, action: core.transform.reshape, args: {value: '${{ inputs.s }}'}}
  returns: ${{ steps.only.result }}
",
    );
    let given = r#"{"s": "${{ SECRETS.a.B }}"}"#;
    assert_eq!(
        world.run(&text, given).await.unwrap().repr(),
        "'${{ SECRETS.a.B }}'"
    );
}

fn named(name: &str, action: &str) -> String {
    template(&format!(
        "  expects:
    x: {{type: any, default: null}}
  steps:
    - {{ref: only, action: {action}, args: {{x: '${{{{ inputs.x }}}}'}}}}
  returns: ${{{{ steps.only.result }}}}
"
    ))
    .replace("name: act", &format!("name: {name}"))
}

#[tokio::test]
async fn a_template_inside_has_its_own_inputs_and_steps() {
    let world = World::bare().await;
    let inner = template(
        "  expects:
    n: {type: int}
  secrets:
    - {name: shared, keys: [KEY]}
  steps:
    - {ref: only, action: core.transform.reshape, args: {value: '${{ inputs.n + 1 }}'}}
  returns: [\"${{ steps.only.result }}\", \"${{ steps.outer.result }}\", \"${{ SECRETS.shared.KEY is None }}\"]
",
    )
    .replace("name: act", "name: inner");
    world.keep("inner.yaml", &inner);
    let outer = template(
        "  expects: {}
  steps:
    - {ref: outer, action: core.transform.reshape, args: {value: 1}}
    - {ref: call, action: tools.acme.inner, args: {n: '5'}}
  returns: ${{ steps.call.result }}
",
    );
    let options = with_secrets(&[("shared", "KEY", "value")]);
    let returned = world
        .run_with(&outer, "{}", options, super::no_python)
        .await
        .unwrap();
    assert_eq!(returned.repr(), "[6, None, False]");
    let error = world
        .run(&outer.replace("'5'", "x"), "{}")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "secret_missing");
}

#[tokio::test]
async fn templates_that_call_each_other_are_named_before_anything_runs() {
    let world = World::bare().await;
    world.keep("b.yaml", &named("b", "tools.acme.c"));
    world.keep("c.yaml", &named("c", "tools.acme.act"));
    let error = world.plan(&named("act", "tools.acme.b")).unwrap_err();
    assert_eq!(error.code(), "nested_too_deep");
    assert!(
        error
            .reason()
            .contains("tools.acme.act calls tools.acme.b calls tools.acme.c calls tools.acme.act"),
        "{error}"
    );
    let place = world.folder.path().join("actions").join("c.yaml");
    assert!(
        error.reason().starts_with(&format!("{}:", place.display())),
        "{error}"
    );
}

#[tokio::test]
async fn templates_are_not_nested_without_end() {
    let world = World::bare().await;
    for number in 1..30 {
        let name = format!("t{number}");
        let next = format!("tools.acme.t{}", number + 1);
        world.keep(&format!("{name}.yaml"), &named(&name, &next));
    }
    let error = world.plan(&named("act", "tools.acme.t1")).unwrap_err();
    assert!(error.reason().contains("more than 20 templates"), "{error}");
}

#[tokio::test]
async fn a_handful_of_templates_cannot_make_a_million_steps() {
    let world = World::bare().await;
    for number in 1..18 {
        let next = match number {
            17 => "core.transform.reshape".to_owned(),
            _ => format!("tools.acme.t{}", number + 1),
        };
        let text = template(&format!(
            "  expects: {{}}
  steps:
    - {{ref: a, action: {next}, args: {{value: 1}}}}
    - {{ref: b, action: {next}, args: {{value: 1}}}}
  returns: ok
"
        ));
        world.keep(
            &format!("t{number}.yaml"),
            &text.replace("name: act", &format!("name: t{number}")),
        );
    }
    let error = world
        .run(&named("act", "tools.acme.t1"), "{}")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "too_many_steps");
}

#[tokio::test]
async fn an_unknown_action_is_named_with_its_place_and_the_nearest() {
    let world = World::bare().await;
    let plan = world.plan(&named("act", "core.http_requets")).unwrap();
    let error = plan.unknown("core.http_requets");
    assert_eq!(
        error.reason(),
        "line 11, column 27: there is no action core.http_requets; did you mean core.http_request?"
    );
}

#[tokio::test]
async fn an_expression_that_fails_names_step_and_place() {
    let world = World::bare().await;
    let error = world
        .run(
            &named("act", "core.transform.reshape").replace("inputs.x", "1 / 0"),
            "{}",
        )
        .await
        .unwrap_err();
    assert!(
        error
            .reason()
            .starts_with("line 11, column 61: step only: division by zero"),
        "{error}"
    );
}

#[tokio::test]
async fn secrets_are_masked_in_what_is_returned_and_in_errors() {
    let world = World::bare().await;
    let text = template(
        "  expects: {}
  secrets:
    - {name: a, keys: [KEY]}
    - {name: b, keys: [LONG, SHORT]}
  steps:
    - {ref: only, action: core.transform.apply, args: {value: '${{ SECRETS.a.KEY }}', python_lambda: x}}
  returns:
    a: x${{ SECRETS.a.KEY }}y
    hunter2: ['${{ SECRETS.b.LONG }}', '${{ SECRETS.b.SHORT }}', 7, '${{ steps.only.result }}']
",
    );
    let options = || {
        with_secrets(&[
            ("a", "KEY", "hunter2"),
            ("b", "LONG", "hunter2hunter2"),
            ("b", "SHORT", "h"),
        ])
    };
    let returned = world.run_with(&text, "{}", options(), |_| {
        Answer::Value(Value::from("saw hunter2"))
    });
    assert_eq!(
        returned.await.unwrap().repr(),
        "{'a': 'x***y', 'hunter2': ['***', 'h', 7, 'saw ***']}"
    );
    let error = world
        .run_with(&text, "{}", options(), |_| {
            Answer::Failed("no hunter2".to_owned())
        })
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "step only of tools.acme.act: no ***");
}

#[tokio::test]
async fn a_run_ends_with_its_time() {
    let world = World::bare().await;
    let text = template(
        "  expects: {}
  steps:
    - {ref: only, action: core.transform.apply, args: {value: 1, python_lambda: x}}
  returns: ok
",
    );
    let mut limited = options();
    limited.timeout = Some(std::time::Duration::from_secs(5));
    let clock = std::sync::Arc::clone(&world.clock);
    let slow = move |_| {
        clock.advance(std::time::Duration::from_secs(6));
        Answer::Value(Value::None)
    };
    let error = world
        .run_with(&text, "{}", limited, slow)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.reason()),
        ("timeout", "the action was not done within 5 s")
    );
}
