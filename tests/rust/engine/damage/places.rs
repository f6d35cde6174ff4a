//! Something else in the store's place, while it was closed and while it is open: it is left as it is, no new store is
//! made over it, and the error says what is there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use _core::engine::Engine;
use _core::error::Error;

use super::super::{USER, kind_of, value, within};
use super::{Kept, asking, copy_folder, helps};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Takes the store away as a careless cleaner does, its log included.
fn take_away(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(beside(path, suffix)) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
}

fn sqlite(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// What can stand in the place of a store, by name, and the code of the error that says so.
fn put(what: &str, path: &Path) -> &'static str {
    match what {
        "garbage" => fs::write(path, [0x5a; 9000])
            .map(|()| "store_foreign")
            .unwrap(),
        "a short text" => fs::write(path, "hello").map(|()| "store_foreign").unwrap(),
        "a folder" => fs::create_dir(path).map(|()| "store_no_file").unwrap(),
        "a pipe" => {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            "store_no_file"
        }
        "a link" => symlink("elsewhere.db", path)
            .map(|()| "store_no_file")
            .unwrap(),
        _ => {
            sqlite(
                path,
                "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')",
            );
            "store_foreign"
        }
    }
}

const OTHERS: [&str; 6] = [
    "garbage",
    "a short text",
    "a folder",
    "a pipe",
    "a link",
    "another application's database",
];

/// What is at a path, so that a change shows.
fn seen(path: &Path) -> (bool, bool, Vec<u8>) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    let content = if kind.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    (kind.is_dir(), kind.is_symlink(), content)
}

async fn asked(engine: &Arc<Engine>) -> Result<String, Error> {
    within(engine.get_token(&asking(USER, "default")))
        .await
        .map(|slot| value(&slot))
}

#[tokio::test]
async fn what_stands_in_the_place_of_a_closed_store_is_named_and_left_alone() {
    let kept = Kept::new().await;
    for what in OTHERS {
        let path = kept.copy();
        take_away(&path);
        let code = put(what, &path);
        let before = seen(&path);
        for (name, token) in kept.tokens(&path).await {
            let error = token.expect_err(what);
            assert_eq!(error.code(), code, "{what}: {name}: {error}");
            assert!(helps(&error, &path), "{what}: {error}");
        }
        assert!(seen(&path) == before, "{what} was changed");
    }
}

#[tokio::test]
async fn what_takes_the_place_of_an_open_store_is_named_and_left_alone() {
    let kept = Kept::new().await;
    for what in OTHERS {
        let path = kept.copy();
        let engine = kept.open(&path).await.unwrap();
        assert_eq!(asked(&engine).await.unwrap(), "at-1");
        take_away(&path);
        let code = put(what, &path);
        let before = seen(&path);
        kept.clock.advance(Duration::from_secs(2));
        let error = asked(&engine).await.expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
        let configured = engine.import_refresh_token("acme", "rt-x".into(), Some(USER), "new", &[]);
        configured.await.expect_err(what);
        assert!(seen(&path) == before, "{what} was changed");
    }
}

#[tokio::test]
async fn a_store_that_is_deleted_while_open_is_missed_and_not_made_anew() {
    let kept = Kept::new().await;
    for with_its_folder in [false, true] {
        let path = kept.copy();
        let engine = kept.open(&path).await.unwrap();
        assert_eq!(asked(&engine).await.unwrap(), "at-1");
        match with_its_folder {
            true => fs::remove_dir_all(path.parent().unwrap()).unwrap(),
            false => take_away(&path),
        }
        kept.clock.advance(Duration::from_secs(2));
        let error = asked(&engine).await.unwrap_err();
        assert_eq!(error.code(), "store_gone", "{error}");
        assert!(helps(&error, &path), "{error}");
        let imported = engine.import_refresh_token("acme", "rt-x".into(), Some(USER), "new", &[]);
        assert_eq!(imported.await.unwrap_err().code(), "store_gone");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_store_that_is_emptied_is_missed_and_not_filled_anew() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let engine = kept.open(&path).await.unwrap();
    assert_eq!(asked(&engine).await.unwrap(), "at-1");
    take_away(&path);
    fs::write(&path, "").unwrap();
    kept.clock.advance(Duration::from_secs(2));
    let error = asked(&engine).await.unwrap_err();
    assert_eq!(error.code(), "store_gone", "{error}");
    let imported = engine.import_refresh_token("acme", "rt-x".into(), Some(USER), "new", &[]);
    assert_eq!(imported.await.unwrap_err().code(), "store_gone");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[tokio::test]
async fn an_older_copy_of_the_store_put_back_while_it_is_open_is_called_a_restored_backup() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let backup = kept.folder.path().join("backup");
    copy_folder(path.parent().unwrap(), &backup);
    let engine = kept.open(&path).await.unwrap();
    assert!(
        engine
            .refresh_now("acme", Some(USER), "default")
            .await
            .unwrap()
            .ok
    );
    assert_eq!(asked(&engine).await.unwrap(), "at-5");
    take_away(&path);
    fs::copy(backup.join("store.db"), &path).unwrap();
    kept.clock.advance(Duration::from_secs(2));
    let error = asked(&engine).await.unwrap_err();
    assert_eq!(error.code(), "store_restored", "{error}");
    assert!(helps(&error, &path), "{error}");
}

#[tokio::test]
async fn an_older_copy_of_the_store_put_back_while_it_is_closed_asks_once_and_says_whose_move_it_is()
 {
    let kept = Kept::new().await;
    let path = kept.copy();
    let backup = kept.folder.path().join("backup");
    copy_folder(path.parent().unwrap(), &backup);
    let engine = kept.open(&path).await.unwrap();
    assert!(
        engine
            .refresh_now("acme", Some(USER), "default")
            .await
            .unwrap()
            .ok
    );
    drop(engine);
    take_away(&path);
    fs::copy(backup.join("store.db"), &path).unwrap();
    kept.clock.advance(Duration::from_secs(3600));
    let used = super::Answer::error("invalid_grant");
    kept.server.answers(used);
    let engine = kept.open(&path).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            kind_of(&asked(&engine).await.unwrap_err()),
            "reauthorization"
        );
    }
    assert_eq!(kept.server.count(), 6, "the old refresh token went once");
}

#[tokio::test]
async fn two_ways_to_one_store_are_one_store() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let folder = path.parent().unwrap();
    let around = folder
        .join("..")
        .join(folder.file_name().unwrap())
        .join("store.db");
    let (one, two) = (
        kept.open(&path).await.unwrap(),
        kept.open(&around).await.unwrap(),
    );
    assert!(
        one.refresh_now("acme", Some(USER), "default")
            .await
            .unwrap()
            .ok
    );
    assert_eq!(one.location(), two.location());
    kept.clock.advance(Duration::from_secs(2));
    assert_eq!(asked(&two).await.unwrap(), "at-5");
}

#[tokio::test]
async fn a_hard_link_to_a_store_that_is_in_use_is_refused() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let linked = path.with_file_name("linked.db");
    fs::hard_link(&path, &linked).unwrap();
    let engine = kept.open(&path).await.unwrap();
    let error = kept.open(&linked).await.unwrap_err();
    assert_eq!(error.code(), "store_linked", "{error}");
    assert!(helps(&error, &linked), "{error}");
    assert_eq!(asked(&engine).await.unwrap(), "at-1");
}
