//! Any byte of any of the store's files may be another: a token of its own, or an error, and never a panic or a hang.

use std::collections::BTreeMap;
use std::path::Path;

use _core::error::{ErrorKind, Result};

use super::{Kept, helps};

/// A pseudo-random sequence that is the same at every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// Nobody got another's token, and every error is one of ours.
fn sound(kept: &Kept, path: &Path, what: &str, tokens: &BTreeMap<&'static str, Result<String>>) {
    let own = BTreeMap::from([("default", "at-1"), ("bob", "at-2"), ("service", "at-3")]);
    for (name, token) in tokens {
        match token {
            Ok(token) => {
                let number: usize = token.strip_prefix("at-").unwrap().parse().unwrap();
                let fetched_since = number > 4 && number <= kept.server.count();
                assert!(
                    *token == own[name] || fetched_since,
                    "{what}: {name} got {token}"
                );
            }
            Err(error) if *error.kind() == ErrorKind::Store => {
                assert!(helps(error, path), "{what}: {name}: {error}");
            }
            Err(error) => assert_ne!(*error.kind(), ErrorKind::Internal, "{what}: {error}"),
        }
    }
}

/// Flips bits of a file of a copy, and asks for every token.
async fn flipped(kept: &Kept, suffix: &str, bytes: impl Iterator<Item = usize>, bit: u8) {
    let path = kept.copy();
    let mut name = path.clone().into_os_string();
    name.push(suffix);
    let mut content = std::fs::read(&name).unwrap();
    let mut flips = Vec::new();
    for at in bytes {
        let at = at % content.len();
        content[at] ^= bit;
        flips.push(at);
    }
    std::fs::write(&name, content).unwrap();
    let what = format!("{suffix} at {flips:?} by {bit:#x}");
    sound(kept, &path, &what, &kept.tokens(&path).await);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn every_byte_of_the_files_header_can_be_another() {
    let kept = Kept::new().await;
    for at in 0..108 {
        flipped(&kept, "", std::iter::once(at), 0x04).await;
    }
}

#[tokio::test]
async fn any_bit_of_any_page_can_flip() {
    let kept = Kept::new().await;
    let mut seeded = Seeded(20_261_124);
    for _ in 0..250 {
        let (at, bit) = (seeded.next(usize::MAX >> 34), 1 << seeded.next(8));
        flipped(&kept, "", std::iter::once(at), bit).await;
    }
}

#[tokio::test]
async fn whole_runs_of_bytes_can_be_another() {
    let kept = Kept::new().await;
    let mut seeded = Seeded(7);
    for _ in 0..60 {
        let (at, length) = (seeded.next(usize::MAX >> 34), 1 + seeded.next(3000));
        flipped(&kept, "", at..at + length, 0xff).await;
    }
}

/// The same store with its last commits in the log only.
async fn with_log() -> Kept {
    let kept = Kept::new().await;
    // A connection that stays open keeps the log from being merged.
    let data = kept.folder.path().join("data");
    let reader = rusqlite::Connection::open(data.join("store.db")).unwrap();
    reader
        .execute_batch("PRAGMA journal_mode = WAL; SELECT count(*) FROM events")
        .unwrap();
    let engine = kept.open(&data.join("store.db")).await.unwrap();
    let again = engine.refresh_now("acme", Some(super::super::USER), "bob");
    assert!(again.await.unwrap().ok);
    let copied = kept.folder.path().join("with-log");
    super::copy_folder(&data, &copied);
    drop((engine, reader));
    std::fs::rename(&data, kept.folder.path().join("merged")).unwrap();
    std::fs::rename(copied, data).unwrap();
    kept
}

fn log_length(kept: &Kept) -> usize {
    let log = kept.folder.path().join("data").join("store.db-wal");
    usize::try_from(std::fs::metadata(log).unwrap().len()).unwrap()
}

#[tokio::test]
async fn any_bit_of_the_log_and_its_index_can_flip() {
    let kept = with_log().await;
    assert!(log_length(&kept) > 4096, "there is a log");
    for at in (0..32).chain((32..log_length(&kept)).step_by(997)) {
        flipped(&kept, "-wal", std::iter::once(at), 0x40).await;
    }
    for at in (0..200).step_by(9) {
        flipped(&kept, "-shm", std::iter::once(at), 0x40).await;
    }
}

#[tokio::test]
async fn the_log_can_end_anywhere() {
    let kept = with_log().await;
    let length = log_length(&kept);
    for cut in (0..length)
        .step_by(1013)
        .chain([length - 1, 31, 32, 33, 56])
    {
        let path = kept.copy();
        let log = std::fs::OpenOptions::new()
            .write(true)
            .open(path.with_file_name("store.db-wal"))
            .unwrap();
        log.set_len(cut as u64).unwrap();
        sound(
            &kept,
            &path,
            &format!("cut at {cut}"),
            &kept.tokens(&path).await,
        );
    }
}

#[tokio::test]
async fn the_log_of_another_store_or_none_brings_no_other_token() {
    let kept = with_log().await;
    let other = with_log().await;
    let path = kept.copy();
    std::fs::copy(
        other.folder.path().join("data").join("store.db-wal"),
        path.with_file_name("store.db-wal"),
    )
    .unwrap();
    sound(&kept, &path, "another log", &kept.tokens(&path).await);
    let path = kept.copy();
    std::fs::remove_file(path.with_file_name("store.db-wal")).unwrap();
    sound(&kept, &path, "no log", &kept.tokens(&path).await);
}
