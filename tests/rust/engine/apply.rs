//! `evergrant.yaml`: integrations and imported connections; secrets by reference only.

use std::path::PathBuf;

use _core::error::Result;
use _core::model::{Report, State};
use _core::secret::Secret;
use tempfile::TempDir;

use super::{SERVICE, USER, World, kind_of};

/// A workspace with a file in a folder of its own.
struct Applied {
    world: World,
    folder: TempDir,
}

impl Applied {
    async fn to(text: &str) -> Self {
        let applied = Self {
            world: World::bare().await,
            folder: tempfile::tempdir().unwrap(),
        };
        applied.write(text);
        applied
    }

    /// Writes the file; `SERVER` in it is this world's.
    fn write(&self, text: &str) {
        std::fs::write(self.path(), text.replace("SERVER", &self.world.server.base)).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("evergrant.yaml")
    }

    async fn apply(&self, check: bool) -> Result<Report> {
        let lookup = |name: &str| (name == "ACME_SECRET").then(|| Secret::from("s3cret"));
        self.world.engine.apply(&self.path(), check, &lookup).await
    }
}

const FILE: &str = "
integrations:
  - provider: acme
    client_id: client-1
    client_secret: {env: ACME_SECRET}
    scopes: [read]
    endpoints: {authorization_endpoint: SERVER/authorize, token_endpoint: SERVER/token}
connections:
  - provider: acme
    refresh_token: {file: refresh-token}
";

async fn with_token_file() -> Applied {
    let applied = Applied::to(FILE).await;
    std::fs::write(applied.folder.path().join("refresh-token"), "rt-0\n").unwrap();
    applied
}

#[tokio::test]
async fn a_file_configures_and_connects() {
    let applied = with_token_file().await;
    let report = applied.apply(false).await.unwrap();
    assert!(report.ok, "{report:?}");
    let steps: Vec<_> = report
        .steps
        .iter()
        .map(|step| (&*step.what, &*step.detail))
        .collect();
    assert_eq!(
        steps,
        [
            ("integration acme", "new"),
            ("connection acme/default", "imported")
        ]
    );
    assert_eq!(applied.world.token().await.unwrap(), "at-1");
    assert_eq!(applied.world.server.refresh_tokens(), ["rt-0"]);
    let status = applied
        .world
        .engine
        .status("acme", None, "default")
        .await
        .unwrap();
    assert_eq!(status.requested_scopes, ["read"]);
}

#[tokio::test]
async fn applying_again_changes_nothing_and_leaves_the_rotated_token_alone() {
    let applied = with_token_file().await;
    applied.apply(false).await.unwrap();
    applied.world.token().await.unwrap();
    let generation = applied.world.loaded().await.generation();
    for check in [false, true] {
        let report = applied.apply(check).await.unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!(report.steps[0].detail, "as it is configured");
        assert_eq!(report.steps[1].detail, "exists, left alone");
    }
    assert_eq!(applied.world.loaded().await.generation(), generation);
}

#[tokio::test]
async fn a_check_says_what_would_change_and_changes_nothing() {
    let applied = with_token_file().await;
    let report = applied.apply(true).await.unwrap();
    assert!(!report.ok);
    assert!(report.hint.unwrap().starts_with("evergrant apply "));
    assert!(
        applied
            .world
            .engine
            .integrations()
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(applied.world.state().await, None);
    applied.apply(false).await.unwrap();
    applied.write(&FILE.replace("[read]", "[read, write]"));
    let report = applied.apply(true).await.unwrap();
    assert_eq!((report.ok, &*report.steps[0].detail), (false, "changed"));
    let status = applied
        .world
        .engine
        .status("acme", None, "default")
        .await
        .unwrap();
    assert_eq!(status.requested_scopes, ["read"]);
}

#[tokio::test]
async fn what_the_file_does_not_name_is_left_alone() {
    let applied = with_token_file().await;
    applied.world.configure(SERVICE).await;
    applied.write(&FILE.replace(
        "  - provider: acme\n    client_id",
        "  - provider: acme\n    grant_type: authorization_code\n    client_id",
    ));
    applied.apply(false).await.unwrap();
    let integrations = applied.world.engine.integrations().await.unwrap();
    assert_eq!(integrations.len(), 2);
}

#[tokio::test]
async fn a_command_gives_a_secret_in_the_folder_of_the_file() {
    let text = FILE.replace("{file: refresh-token}", "{command: [cat, printed]}");
    let applied = Applied::to(&text).await;
    std::fs::write(applied.folder.path().join("printed"), "rt-command\n").unwrap();
    applied.apply(false).await.unwrap();
    applied.world.token().await.unwrap();
    assert_eq!(applied.world.server.refresh_tokens(), ["rt-command"]);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_and_nothing_else() {
    let table = [
        ("{env: ACME_SECRET}", "{env: NOT_SET}", "NOT_SET"),
        (
            "{file: refresh-token}",
            "{file: missing-file}",
            "missing-file",
        ),
        (
            "{file: refresh-token}",
            "{command: [no-such-program]}",
            "no-such-program",
        ),
        ("{file: refresh-token}", "{command: ['false']}", "false"),
        ("{file: refresh-token}", "{command: []}", "empty command"),
    ];
    for (right, wrong, named) in table {
        let applied = with_token_file().await;
        applied.write(&FILE.replace(right, wrong));
        let error = applied.apply(false).await.unwrap_err();
        assert_eq!(error.code(), "secret_not_found", "{wrong}");
        assert!(
            error
                .reason()
                .to_lowercase()
                .contains(&named.to_lowercase()),
            "{error}"
        );
        assert_eq!(error.provider(), Some("acme"));
        assert_eq!(applied.world.server.count(), 0);
    }
}

#[tokio::test]
async fn a_mistake_in_the_file_is_named_and_what_may_be_a_secret_is_not_quoted() {
    let table = [
        (
            "    client_secret: {env: ACME_SECRET}",
            "    client_secret: oh-no-in-clear",
            "evergrant.yaml",
        ),
        ("    scopes: [read]", "    skopes: [read]", "skopes"),
        ("connections:", "conections:", "conections"),
        (
            "    refresh_token: {file: refresh-token}",
            "    refresh_token: {value: oh-no-in-clear}",
            "evergrant.yaml",
        ),
        ("integrations:", "integrations: [", "evergrant.yaml"),
    ];
    for (right, wrong, named) in table {
        let applied = with_token_file().await;
        applied.write(&FILE.replace(right, wrong));
        let error = applied.apply(false).await.unwrap_err();
        assert_eq!(
            (kind_of(&error), error.code()),
            ("invalid parameter", "invalid_file"),
            "{wrong}"
        );
        assert!(error.reason().contains(named), "{error}");
        assert!(!error.to_string().contains("oh-no"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let applied = Applied::to("").await;
    let lookup = |_: &str| None;
    let missing = applied.folder.path().join("missing.yaml");
    let error = applied
        .world
        .engine
        .apply(&missing, false, &lookup)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "invalid_file");
    assert!(error.reason().contains("missing.yaml"), "{error}");
}

#[tokio::test]
async fn an_empty_file_and_sections_of_others_are_fine() {
    for text in [
        "{}",
        "integrations: []\n",
        "secrets: {jira: {TOKEN: {env: X}}}\nvariables: {region: eu}\n",
    ] {
        let applied = Applied::to(text).await;
        let report = applied.apply(false).await.unwrap();
        assert!(report.ok && report.steps.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_was_left_is_imported_anew() {
    let applied = with_token_file().await;
    applied.apply(false).await.unwrap();
    applied
        .world
        .engine
        .disconnect("acme", Some(USER), "default", false)
        .await
        .unwrap();
    let report = applied.apply(false).await.unwrap();
    assert_eq!(report.steps[1].detail, "imported");
    let status = applied
        .world
        .engine
        .status("acme", None, "default")
        .await
        .unwrap();
    assert_eq!(status.state, State::Connected);
}
