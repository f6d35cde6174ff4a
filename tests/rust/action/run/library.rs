//! Templates by name, and what stands in `evergrant.yaml`.

use std::collections::HashMap;

use _core::action::library::{Library, Source};
use _core::action::run::Options;
use _core::engine::file::ActionFile;
use _core::error::ErrorKind;
use _core::secret::Secret;

use super::{World, mapping, named_template, no_python, options, template};

const REST: &str = "  expects: {}
  steps:
    - {ref: only, action: core.transform.reshape, args: {value: 1}}
  returns: ok
";

#[tokio::test]
async fn a_template_is_found_in_the_first_folder_that_has_it() {
    let world = World::bare().await;
    let folder = world.folder.path();
    for (place, title) in [("one/deep", "One"), ("two", "Two")] {
        std::fs::create_dir_all(folder.join(place)).unwrap();
        let text = named_template("x", REST).replace("Act\n", &format!("{title}\n"));
        std::fs::write(folder.join(place).join("any.yml"), text).unwrap();
    }
    let titled = |order: [&str; 2]| {
        let folders = order.map(|name| folder.join(name)).to_vec();
        let found = Library { folders }.find("tools.acme.x").unwrap();
        found.unwrap().template.title.clone()
    };
    assert_eq!(titled(["one", "two"]), "One");
    assert_eq!(titled(["two", "one"]), "Two");
}

#[tokio::test]
async fn a_file_that_is_wrong_concerns_its_own_name_only() {
    let world = World::bare().await;
    world.keep("a.yaml", "definition: {name: a, b: [}");
    world.keep("b.yaml", &named_template("b", REST));
    let library = Library {
        folders: vec![world.folder.path().join("actions")],
    };
    assert!(library.find("tools.acme.b").unwrap().is_some());
    assert!(library.find("tools.acme.c").unwrap().is_none());
    let error = library.find("tools.acme.a").unwrap_err();
    let ErrorKind::Template { path, line, .. } = error.kind() else {
        panic!("{error:?} is about no template")
    };
    assert!(path.as_deref().unwrap().ends_with("a.yaml"));
    assert_eq!(*line, Some(1));
    let titles = library.all().unwrap();
    assert_eq!(titles.len(), 1);
}

#[tokio::test]
async fn a_folder_or_file_that_is_not_there_is_named() {
    let world = World::bare().await;
    let missing = world.folder.path().join("missing");
    let library = Library {
        folders: vec![missing.clone()],
    };
    let error = library.find("tools.acme.a").unwrap_err();
    assert!(
        error.reason().contains(missing.to_str().unwrap()),
        "{error}"
    );
    let error = Source::read(&missing).unwrap_err();
    assert!(
        error.reason().contains(missing.to_str().unwrap()),
        "{error}"
    );
}

fn file(world: &World, text: &str) -> _core::error::Result<ActionFile> {
    let path = world.folder.path().join("evergrant.yaml");
    std::fs::write(&path, text).unwrap();
    let environment = HashMap::from([("TOKEN".to_owned(), Secret::from("from-the-environment"))]);
    ActionFile::read(&path, environment)
}

const SECRETS: &str = "secrets:
  a:
    ONE: {env: TOKEN}
    TWO: {file: two.txt}
    THREE: {env: MISSING}
variables: {v: {w: 1}, u: 2}
";

#[tokio::test]
async fn secrets_and_variables_stand_in_the_file_and_arguments_win() {
    let world = World::bare().await;
    std::fs::write(world.folder.path().join("two.txt"), "from-a-file\n").unwrap();
    let text = template(
        "  secrets:
    - {name: a, keys: [ONE, TWO]}
  expects: {}
  steps:
    - {ref: only, action: core.transform.reshape, args: {value: ok}}
  returns: [\"${{ SECRETS.a.ONE == 'from-the-environment' }}\", \"${{ SECRETS.a.TWO == 'argument' }}\", \"${{ VARS.v.w }}\", \"${{ VARS.u }}\"]
",
    );
    let given = super::with_secrets(&[("a", "TWO", "argument")]);
    let options = Options {
        file: Some(file(&world, SECRETS).unwrap()),
        variables: mapping(r#"{"u": 3}"#),
        ..given
    };
    let returned = world
        .run_with(&text, "{}", options, no_python)
        .await
        .unwrap();
    assert_eq!(returned.repr(), "[True, True, 1, 3]");
}

#[tokio::test]
async fn a_secret_that_the_file_names_and_that_is_not_there_fails_when_it_is_used() {
    let world = World::bare().await;
    let using = |key: &str| {
        template(&format!(
            "  secrets:\n    - {{name: a, keys: [{key}]}}\n{REST}"
        ))
    };
    let with_file = || Options {
        file: Some(file(&world, SECRETS).unwrap()),
        ..options()
    };
    world
        .run_with(&using("ONE"), "{}", with_file(), no_python)
        .await
        .unwrap();
    let error = world
        .run_with(&using("THREE"), "{}", with_file(), no_python)
        .await
        .unwrap_err();
    assert!(error.reason().contains("MISSING is not set"), "{error}");
}

#[tokio::test]
async fn a_secret_written_into_the_file_is_refused_and_not_repeated() {
    let world = World::bare().await;
    let error = file(&world, "secrets: {a: {ONE: hunter2}}").unwrap_err();
    assert!(!error.reason().contains("hunter2"), "{error}");
    assert!(
        error.reason().contains("never written in the file"),
        "{error}"
    );
}
