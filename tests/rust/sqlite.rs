//! What only the store in a file promises: modes, refusals, other processes, forks, batches.

#![allow(unsafe_code)]

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use _core::error::{Error, ErrorKind};
use _core::store::sqlite::SqliteStore;
use _core::store::{Claimed, Commit, Committed, Store};
use _core::system::{Signal, wait_readable};
use rusqlite::Connection;

use crate::store::{claimant, commit, connection, new_key, now, run, sealed, spilled, wait};
use crate::system::{exit_code, exit_now, fork_and, in_child, is_child};

const NOBODY: u32 = 65534;

#[test]
fn a_store_that_is_only_read_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("home").join("store.db");
    let store = open(&path);
    assert_eq!(now(store.list("default", None, None, 9)), []);
    assert_eq!(now(store.changed()), 0);
    assert!(store.writable());
    assert!(!path.exists() && !folder.path().join("home").exists());
}

#[test]
fn files_and_folders_are_open_to_nobody_else_whatever_the_umask() {
    const NAME: &str = "sqlite::files_and_folders_are_open_to_nobody_else_whatever_the_umask";
    let Some(folder) = child_folder(NAME) else {
        for umask in ["0", "0777"] {
            let folder = tempfile::tempdir().expect("a folder");
            must_succeed(in_folder(NAME, folder.path()).env("EVERGRANT_TEST_UMASK", umask));
        }
        return;
    };
    let umask = std::env::var("EVERGRANT_TEST_UMASK").expect("the parent sets it");
    // SAFETY: the mask of this process, which runs this test alone.
    unsafe { libc::umask(libc::mode_t::from_str_radix(&umask, 8).expect("octal")) };
    let home = folder.join("home");
    let store = open(&home.join("store.db"));
    wait(store.commit(commit("alice", 0)));
    store.reserve().expect("the disk has room");
    let mode = |path: &Path| fs::metadata(path).expect("it was made").mode() & 0o7777;
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
    let replies = home.join("store.db.spill");
    assert_eq!((mode(&home), mode(&replies)), (0o700, 0o700));
    for file in fs::read_dir(replies).expect("it was made") {
        assert_eq!(mode(&file.expect("readable").path()), 0o600);
    }
}

#[test]
fn a_file_that_a_backup_restored_open_to_others_is_closed_to_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    wait(open(&path).commit(commit("alice", 0)));
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
    wait(open(&path).commit(commit("alice", 1)));
    assert_eq!(
        fs::metadata(&path).expect("it is there").mode() & 0o777,
        0o600
    );
}

#[test]
fn a_symbolic_link_is_refused_as_file_and_as_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().join("real");
    fs::create_dir(&real).expect("a folder");
    wait(open(&real.join("store.db")).commit(commit("alice", 0)));
    symlink(real.join("store.db"), folder.path().join("link.db")).expect("a link");
    symlink(
        folder.path().join("nowhere"),
        folder.path().join("dangling.db"),
    )
    .expect("a link");
    for name in ["link.db", "dangling.db"] {
        let error = refused(&folder.path().join(name));
        assert_eq!(error.code(), "store_no_file", "{name}");
    }
    if rustix::process::geteuid().is_root() {
        symlink(&real, folder.path().join("home")).expect("a link");
        let error = refused(&folder.path().join("home").join("store.db"));
        assert_eq!(error.code(), "store_folder_is_link");
    }
}

#[test]
fn a_folder_and_a_pipe_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    must_succeed(Command::new("mkfifo").arg(&pipe));
    assert_eq!(refused(folder.path()).code(), "store_no_file");
    let error = refused(&pipe);
    assert_eq!(error.code(), "store_no_file");
    assert!(error.reason().contains("pipe") && error.reason().contains(&*pipe.to_string_lossy()));
}

#[test]
fn garbage_and_another_applications_database_are_refused_and_left_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, [b'x'; 8192]).expect("writable");
    let foreign = folder.path().join("foreign");
    Connection::open(&foreign)
        .and_then(|connection| connection.execute_batch("CREATE TABLE theirs (a)"))
        .expect("a database");
    for path in [garbage, foreign] {
        let before = fs::read(&path).expect("readable");
        let store = open(&path);
        for error in [
            run(store.list("default", None, None, 9)).expect_err("not ours"),
            run(store.commit(commit("alice", 0))).expect_err("not ours"),
        ] {
            assert_eq!(error.code(), "store_foreign");
            assert!(error.next_command().is_some());
        }
        assert_eq!(fs::read(&path).expect("readable"), before);
    }
}

#[test]
fn a_folder_that_everybody_can_write_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let store = open(&folder.path().join("store.db"));
    let error = run(store.commit(commit("alice", 0))).expect_err("anybody could exchange the file");
    assert_eq!(error.code(), "store_folder_open");
}

#[test]
fn a_newer_schema_is_read_only_if_it_says_that_this_code_may() {
    let folder = tempfile::tempdir().expect("a folder");
    for (min_reader, works) in [(1, true), (2, false)] {
        let path = folder.path().join(format!("{min_reader}.db"));
        wait(open(&path).commit(commit("alice", 0)));
        Connection::open(&path)
            .and_then(|connection| {
                connection.execute("UPDATE schema SET min_reader = ?1", [min_reader])?;
                connection.pragma_update(None, "user_version", 99)
            })
            .expect("a database");
        let outcome = run(open(&path).load(&connection("alice"), ""));
        match outcome {
            Ok(loaded) => assert_eq!((works, loaded.generation()), (true, 1)),
            Err(error) => assert_eq!((works, error.code()), (false, "store_too_new")),
        }
    }
}

#[test]
fn a_file_that_was_removed_while_in_use_is_an_error_and_no_new_one_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    wait(store.commit(commit("alice", 0)));
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    fs::remove_file(&path).expect("it is ours");
    for error in [
        run(store.load(&connection("alice"), "")).map(drop),
        run(store.commit(commit("alice", 1))).map(drop),
        run(store.changed()).map(drop),
    ] {
        assert_eq!(error.expect_err("it is gone").code(), "store_gone");
    }
    assert!(!path.exists());
}

#[test]
fn no_new_store_is_made_beside_the_log_of_one_that_was_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    fs::write(
        folder.path().join("store.db-wal"),
        b"what was not merged yet",
    )
    .expect("writable");
    let error = run(open(&path).commit(commit("alice", 0))).expect_err("a store was here");
    assert_eq!(error.code(), "store_gone");
    assert!(!path.exists());
}

#[test]
fn a_replaced_file_is_noticed_and_read() {
    const NAME: &str = "sqlite::a_replaced_file_is_noticed_and_read";
    // Forks of other tests would close the store without merging its log.
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        return;
    };
    let (path, backup) = (folder.join("store.db"), folder.join("backup.db"));
    wait(open(&backup).commit(commit("bob", 0)));
    let store = open(&path);
    wait(store.commit(commit("alice", 0)));
    let before = now(store.changed());
    fs::rename(&backup, &path).expect("it is ours");
    for beside in ["store.db-wal", "store.db-shm"] {
        fs::remove_file(folder.join(beside)).expect("SQLite made it");
    }
    assert_ne!(now(store.changed()), before);
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 0);
    assert_eq!(now(store.load(&connection("bob"), "")).generation(), 1);
    assert_eq!(wait(store.commit(commit("bob", 1))), Committed::Done);
}

#[test]
fn equal_paths_share_one_store_in_a_process() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("home")).expect("a folder");
    let store = open(&folder.path().join("home").join("store.db"));
    let same = open(
        &folder
            .path()
            .join("home")
            .join("..")
            .join("home")
            .join("store.db"),
    );
    wait(store.commit(commit("alice", 0)));
    assert_eq!((store.commits(), same.commits()), (1, 1));
    assert_eq!(same.location(), store.location());
}

#[test]
fn writes_that_wait_together_share_one_transaction_and_one_that_fails_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    let key = wait(store.add_key(new_key("default", "master", b"key"))).key_id;
    let before = store.commits();
    let other = Connection::open(&path).expect("a database");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let mut commits: Vec<_> = (0..64)
        .map(|number| {
            // The last one is sealed under a data key that does not exist.
            let grant = Some(sealed(key + i64::from(number == 63), 1, b"grant"));
            store.commit(Commit {
                grant,
                ..durable(&number.to_string())
            })
        })
        .collect();
    for commit in &mut commits {
        let polled = commit
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    other.execute_batch("COMMIT").expect("it was begun");
    let outcomes: Vec<_> = commits.into_iter().map(run).collect();
    let (last, others) = outcomes.split_last().expect("64 of them");
    assert!(
        others
            .iter()
            .all(|outcome| matches!(outcome, Ok(Committed::Done)))
    );
    assert_eq!(last.as_ref().map_err(Error::code), Err("data_key_gone"));
    // The writer may have taken some before the rest came.
    assert!(store.commits() - before <= 2);
    assert_eq!(now(store.list("default", None, None, 99)).len(), 63);
}

#[test]
fn replies_on_their_way_share_one_commit_however_slowly_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"));
    wait(store.commit(commit("before", 0)));
    let before = store.commits();
    // So long that the last one ends the waiting, and not the time.
    store.set_patience(Duration::from_secs(60));
    let mut commits: Vec<_> = (0..64)
        .map(|number| {
            let slot = store.reserve().expect("the disk has room");
            let commit = store.commit(durable(&number.to_string()));
            (slot, commit)
        })
        .collect();
    for (_slot, commit) in &mut commits {
        // Each reaches the writer by itself.
        let polled = commit
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        thread::yield_now();
    }
    for (_slot, commit) in commits {
        assert_eq!(run(commit).ok(), Some(Committed::Done));
    }
    assert_eq!(store.commits() - before, 1);
}

#[test]
fn a_reply_that_comes_alone_waits_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"));
    // Whoever waited for another one would wait for ever.
    store.set_patience(Duration::from_secs(1 << 30));
    let given_back = store.reserve().expect("the disk has room");
    drop(given_back);
    let _slot = store.reserve().expect("the disk has room");
    assert_eq!(wait(store.commit(durable("alice"))), Committed::Done);
    assert_eq!(wait(store.commit(durable("bob"))), Committed::Done);
    assert_eq!(store.commits(), 2);
}

#[test]
fn a_reply_that_does_not_come_is_not_waited_for_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"));
    let _slow = store.reserve().expect("the disk has room");
    let _slot = store.reserve().expect("the disk has room");
    assert_eq!(wait(store.commit(durable("alice"))), Committed::Done);
}

#[test]
fn what_the_disk_need_not_have_waits_for_no_reply() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"));
    store.set_patience(Duration::from_secs(1 << 30));
    let _one = store.reserve().expect("the disk has room");
    let _other = store.reserve().expect("the disk has room");
    assert_eq!(wait(store.commit(commit("alice", 0))), Committed::Done);
}

#[test]
fn a_store_that_can_only_be_read_serves_and_refuses_to_write() {
    const NAME: &str = "sqlite::a_store_that_can_only_be_read_serves_and_refuses_to_write";
    let Some(folder) = child_folder(NAME) else {
        for open_elsewhere in [false, true] {
            let (folder, path) = unwritable();
            let store = open(&path);
            wait(store.commit(commit("alice", 0)));
            // Closed, there is one file; open elsewhere, what was committed is in its log.
            let kept = open_elsewhere.then_some(store);
            make_unwritable(folder.path());
            must_succeed(as_nobody(&mut in_folder(NAME, folder.path())));
            drop(kept);
        }
        return;
    };
    let store = open(&folder.join("home").join("store.db"));
    assert!(!store.writable());
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    assert_eq!(now(store.changed()), now(store.changed()));
    let error = run(store.commit(commit("alice", 1))).expect_err("it can't be written");
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::Store, "store_read_only")
    );
    assert_eq!(
        store.reserve().map(drop).expect_err("no place").code(),
        "store_read_only"
    );
}

#[test]
fn a_file_that_is_replaced_under_a_reader_that_can_not_write_is_noticed() {
    const NAME: &str =
        "sqlite::a_file_that_is_replaced_under_a_reader_that_can_not_write_is_noticed";
    let Some(folder) = child_folder(NAME) else {
        let (folder, path) = unwritable();
        wait(open(&path).commit(commit("alice", 0)));
        make_unwritable(folder.path());
        let mut child = as_nobody(&mut in_folder(NAME, folder.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("loaded") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut output, &mut line).expect("readable") > 0);
        }
        if rustix::process::geteuid().is_root() {
            wait(open(&path).commit(commit("alice", 1)));
        } else {
            // Without root nobody here can write it either.
            make_writable(folder.path());
            wait(open(&path).commit(commit("alice", 1)));
            make_unwritable(folder.path());
        }
        drop(child.stdin.take());
        let status = child.wait().expect("it ends");
        assert!(status.success());
        return;
    };
    let store = open(&folder.join("home").join("store.db"));
    let before = now(store.changed());
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    say("loaded");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("the parent closes it");
    assert_ne!(now(store.changed()), before);
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 2);
}

#[test]
fn a_commit_of_another_process_changes_the_number() {
    const NAME: &str = "sqlite::a_commit_of_another_process_changes_the_number";
    if let Some(folder) = child_folder(NAME) {
        wait(open(&folder.join("store.db")).commit(commit("alice", 1)));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"));
    wait(store.commit(commit("alice", 0)));
    let before = now(store.changed());
    must_succeed(&mut in_folder(NAME, folder.path()));
    assert_ne!(now(store.changed()), before);
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 2);
}

#[test]
fn processes_that_make_the_store_at_once_all_write_to_one() {
    const NAME: &str = "sqlite::processes_that_make_the_store_at_once_all_write_to_one";
    if let Some(folder) = child_folder(NAME) {
        let store = open(&folder.join("home").join("store.db"));
        let name = std::process::id().to_string();
        for generation in 0..10 {
            assert_eq!(
                wait(store.commit(commit(&name, generation))),
                Committed::Done
            );
        }
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let children: Vec<_> = (0..6)
        .map(|_| {
            in_folder(NAME, folder.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let rows =
        now(open(&folder.path().join("home").join("store.db")).list("default", None, None, 99));
    assert_eq!(
        rows.iter().map(|row| row.generation).collect::<Vec<_>>(),
        [10; 6]
    );
}

#[test]
fn parent_and_forked_children_write_without_losing_a_commit() {
    const NAME: &str = "sqlite::parent_and_forked_children_write_without_losing_a_commit";
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        // A third process sees them all.
        let rows = now(open(&folder.path().join("store.db")).list("default", None, None, 99));
        let of = |name: &str| {
            rows.iter()
                .find(|row| &*row.key.connection == name)
                .map(|row| row.generation)
        };
        assert!(of("busy").is_some_and(|generation| generation > 20));
        assert_eq!((of("child"), of("parent")), (Some(20), Some(20)));
        return;
    };
    let store = open(&folder.join("store.db"));
    let ended = AtomicBool::new(false);
    let outcomes: Vec<(i32, Committed)> = thread::scope(|scope| {
        // Another thread is inside transactions while this one forks.
        scope.spawn(|| {
            let mut generation = 0;
            while !ended.load(Ordering::Relaxed) || generation <= 20 {
                wait(store.commit(Commit {
                    durable: true,
                    ..commit("busy", generation)
                }));
                generation += 1;
            }
        });
        let outcomes = (0..20).map(|generation| {
            let child = fork_and(|| {
                let read =
                    run(store.load(&connection("child"), "")).map(|loaded| loaded.generation());
                let written = run(store.commit(commit("child", generation)));
                i32::from((read.ok(), written.ok()) != (Some(generation), Some(Committed::Done)))
            });
            (child, wait(store.commit(commit("parent", generation))))
        });
        let outcomes = outcomes.collect();
        ended.store(true, Ordering::Relaxed);
        outcomes
    });
    assert_eq!(outcomes, vec![(0, Committed::Done); 20]);
}

#[test]
fn what_a_forked_child_commits_after_its_parent_closed_the_store_is_seen_by_others() {
    const NAME: &str =
        "sqlite::what_a_forked_child_commits_after_its_parent_closed_the_store_is_seen_by_others";
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        let store = open(&folder.path().join("store.db"));
        assert_eq!(now(store.load(&connection("alice"), "")).generation(), 2);
        return;
    };
    let store = open(&folder.join("store.db"));
    wait(store.commit(commit("alice", 0)));
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    let (opened, closed) = (Signal::new().expect("free"), Signal::new().expect("free"));
    let raised =
        |signal: &Signal| wait_readable(&[signal.as_raw_fd()], Some(Duration::from_secs(30)));
    // SAFETY: the child makes no call but the ones under test and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let read = now(store.load(&connection("alice"), "")).generation();
        opened.raise();
        // A child without locks of its own would not keep its parent from taking the log away.
        let waited = raised(&closed).ok();
        let written = run(store.commit(commit("alice", 1))).ok();
        exit_now(i32::from(
            (read, waited, written) != (1, Some(Some(0)), Some(Committed::Done)),
        ));
    }
    assert_eq!(raised(&opened).ok(), Some(Some(0)));
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    drop(store);
    closed.raise();
    assert_eq!(exit_code(child), 0);
}

#[test]
fn a_forked_child_gets_slots_of_its_own_and_leaves_the_parents_alone() {
    const NAME: &str = "sqlite::a_forked_child_gets_slots_of_its_own_and_leaves_the_parents_alone";
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        let orphans = open(&folder.path().join("store.db"))
            .orphans(None)
            .expect("readable");
        let mut names: Vec<_> = orphans
            .iter()
            .map(|orphan| &*orphan.spilled.connection.connection)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["child", "parent"]);
        return;
    };
    let store = open(&folder.join("store.db"));
    wait(store.commit(commit("alice", 0)));
    let parents = store.reserve().expect("the disk has room");
    parents.write(&spilled(1, "parent")).expect("it fits");
    let mut parents = Some(parents);
    let child = fork_and(|| {
        assert!(parents.as_ref().is_some_and(|slot| slot.clear().is_err()));
        drop(parents.take());
        let own = store.reserve().expect("the disk has room");
        own.write(&spilled(1, "child")).expect("it fits");
        std::mem::forget(own);
        0
    });
    assert_eq!(child, 0);
    std::mem::forget(parents);
}

#[test]
fn the_reply_of_a_process_killed_before_its_commit_is_found_by_whoever_claims_next() {
    const NAME: &str =
        "sqlite::the_reply_of_a_process_killed_before_its_commit_is_found_by_whoever_claims_next";
    if let Some(folder) = child_folder(NAME) {
        let store = open(&folder.join("store.db"));
        wait(store.claim(&connection("alice"), claimant(7, 0)));
        let slot = store.reserve().expect("the disk has room");
        slot.write(&spilled(1, "alice")).expect("it fits");
        // SAFETY: ends this process at once.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    let folder = tempfile::tempdir().expect("a folder");
    let status = in_folder(NAME, folder.path())
        .stdout(Stdio::null())
        .status();
    assert_eq!(status.expect("it starts").signal(), Some(libc::SIGKILL));
    let store = open(&folder.path().join("store.db"));
    let Claimed::Ours {
        previous: Some(previous),
    } = wait(store.claim(&connection("alice"), claimant(8, 0)))
    else {
        panic!("its owner is gone");
    };
    let orphans = store.orphans(Some(&connection("alice"))).expect("readable");
    assert_eq!(
        orphans
            .iter()
            .map(|orphan| orphan.spilled.attempt)
            .collect::<Vec<_>>(),
        [previous.id]
    );
    assert_eq!(orphans[0].spilled, spilled(1, "alice"));
    store.forget_orphan(&orphans[0]).expect("writable");
    assert!(store.orphans(None).expect("readable").is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_store_that_was_open_at_a_fork_without_handlers_is_refused_in_the_child() {
    const NAME: &str =
        "sqlite::a_store_that_was_open_at_a_fork_without_handlers_is_refused_in_the_child";
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        return;
    };
    let store = open(&folder.join("store.db"));
    wait(store.commit(commit("alice", 0)));
    // SAFETY: the child makes no call but the ones under test and ends.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        let codes = [
            run(store.load(&connection("alice"), "")).map(drop),
            run(store.commit(commit("alice", 1))).map(drop),
            store.reserve().map(drop),
        ]
        .map(|outcome| outcome.err().map(|error| error.code() == "store_forked"));
        drop(store);
        exit_now(i32::from(codes != [Some(true); 3]));
    }
    assert_eq!(exit_code(child as i32), 0);
    assert_eq!(wait(store.commit(commit("alice", 1))), Committed::Done);
}

#[test]
fn a_damaged_file_is_named_with_the_next_command() {
    const NAME: &str = "sqlite::a_damaged_file_is_named_with_the_next_command";
    // Forks of other tests would close the store without merging its log.
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        must_succeed(&mut in_folder(NAME, folder.path()));
        return;
    };
    let path = folder.join("store.db");
    wait(open(&path).commit(commit("alice", 0)));
    let mut bytes = fs::read(&path).expect("readable");
    for byte in &mut bytes[4096..] {
        *byte = 0xff;
    }
    fs::write(&path, bytes).expect("writable");
    let error = run(open(&path).load(&connection("alice"), "")).expect_err("it is damaged");
    assert_eq!(error.code(), "store_damaged");
    assert!(
        error
            .next_command()
            .is_some_and(|command| command.starts_with("mkdir ") && command.contains("store.db'* "))
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_found_before_anything_is_sent_and_a_reserved_slot_still_takes_its_reply() {
    const NAME: &str = "sqlite::a_full_disk_is_found_before_anything_is_sent_and_a_reserved_slot_still_takes_its_reply";
    let Some(folder) = child_folder(NAME) else {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(mut unshare) = with_small_disk(folder.path()) else {
            say("skipped: this machine lets nobody mount a small disk");
            return;
        };
        let child = in_folder(NAME, folder.path());
        unshare.arg(child.get_program()).args(child.get_args());
        unshare.envs(
            child
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        must_succeed(&mut unshare);
        return;
    };
    let store = open(&folder.join("store.db"));
    let key = wait(store.add_key(new_key("default", "master", b"key"))).key_id;
    let slot = store.reserve().expect("the disk has room");
    let filler = fs::File::create(folder.join("filler")).expect("writable");
    let mut filling = &filler;
    while std::io::Write::write_all(&mut filling, &[1; 4096]).is_ok() {}
    assert_eq!(
        store.reserve().map(drop).expect_err("full").code(),
        "disk_full"
    );
    slot.write(&spilled(key, "alice"))
        .and_then(|()| slot.sync())
        .expect("its space is there");
    let big = || Commit {
        grant: Some(sealed(key, 1, &[7; 200_000])),
        ..commit("alice", 0)
    };
    assert_eq!(
        run(store.commit(big())).expect_err("full").code(),
        "disk_full"
    );
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 0);
    filler.set_len(0).expect("writable");
    assert_eq!(wait(store.commit(big())), Committed::Done);
}

#[test]
fn a_busy_file_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    wait(store.commit(commit("alice", 0)));
    let other = Connection::open(&path).expect("a database");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let mut waiting = pin!(store.commit(commit("alice", 1)));
    assert!(
        waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    // Reading goes on meanwhile.
    assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    other.execute_batch("COMMIT").expect("it was begun");
    assert_eq!(wait(waiting), Committed::Done);
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(path: &Path) -> Error {
    SqliteStore::open(path)
        .map(drop)
        .expect_err("no store can be there")
}

/// A child that runs the test `name` with `folder` to work in.
fn in_folder(name: &str, folder: &Path) -> Command {
    let mut command = in_child(name);
    command.env("EVERGRANT_TEST_FOLDER", folder);
    command
}

/// The folder to work in, if this process is the child for the test `name`.
fn child_folder(name: &str) -> Option<PathBuf> {
    is_child(name).then(|| {
        std::env::var_os("EVERGRANT_TEST_FOLDER")
            .expect("the parent sets it")
            .into()
    })
}

fn must_succeed(command: &mut Command) {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A command that runs another with a disk of 1 MiB at `folder`; `None` where that is not allowed.
#[cfg(target_os = "linux")]
fn with_small_disk(folder: &Path) -> Option<Command> {
    let command = || {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = "mount -t tmpfs -o size=1m,mode=700 none \"$0\" && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(folder);
        command
    };
    let allowed = command().arg("true").stderr(Stdio::null()).status();
    allowed.is_ok_and(|status| status.success()).then(command)
}

/// A store's folder that [`make_unwritable`] can take away.
fn unwritable() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    fs::create_dir(&home).expect("a folder");
    let path = home.join("store.db");
    (folder, path)
}

/// Nobody may write `folder/home` and its files any more, but everybody may still read them.
fn make_unwritable(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it is ours");
    set_modes(&folder.join("home"), 0o500, 0o400);
}

fn make_writable(folder: &Path) {
    set_modes(&folder.join("home"), 0o700, 0o600);
}

fn set_modes(home: &Path, folder_mode: u32, file_mode: u32) {
    let files = fs::read_dir(home)
        .expect("a folder")
        .map(|file| file.expect("readable").path());
    let all = files
        .filter(|file| file.is_file())
        .map(|file| (file, file_mode));
    for (path, mode) in all
        .chain([(home.to_owned(), folder_mode)])
        .collect::<Vec<_>>()
    {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
    }
}

/// Root can write everything, so what can't be written is shown to somebody else.
fn as_nobody(command: &mut Command) -> &mut Command {
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn say(word: &str) {
    use std::io::Write;
    writeln!(std::io::stdout(), "{word}").expect("the parent reads");
}

/// The first commit of a connection, one that the disk must have.
fn durable(name: &str) -> Commit {
    Commit {
        durable: true,
        ..commit(name, 0)
    }
}
