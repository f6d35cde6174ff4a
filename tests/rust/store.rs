//! The store's contract, on every store; then what only the SQLite file promises is in `sqlite.rs`.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use _core::clock::{Monotonic, Timestamp};
use _core::error::{ErrorKind, Result};
use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use _core::store::memory::MemoryStore;
use _core::store::sqlite::SqliteStore;
use _core::store::{
    AttemptId, Claimant, Claimed, Commit, Committed, Ending, EndingOutcome, IntegrationRow, KeyRow,
    NewEvent, NewKey, PendingRow, Sealed, Spilled, Store, StoredState, TokenRow,
};
use _core::system;

/// Runs the tests below once for each store, with a fresh one that holds one data key.
macro_rules! contract {
    ($($(#[$attribute:meta])* fn $name:ident($store:ident: &dyn Store, $key:ident: i64) $body:block)*) => {
        $(fn $name($store: &dyn Store, $key: i64) $body)*

        mod memory {
            $(#[test] $(#[$attribute])* fn $name() { super::on_memory(super::$name); })*
        }

        mod sqlite {
            $(#[test] $(#[$attribute])* fn $name() { super::on_sqlite(super::$name); })*
        }
    };
}

contract! {
    fn a_new_store_is_empty(store: &dyn Store, key: i64) {
        let _ = key;
        assert_eq!(now(store.integrations("default")), []);
        assert_eq!(now(store.list("default", None, None, 9)), []);
        assert_eq!(now(store.load(&connection("alice"), "")).generation(), 0);
        assert_eq!(now(store.pending(b"state")), None);
        assert_eq!(now(store.events("default", 9)), []);
    }

    fn the_first_data_key_of_a_workspace_wins(store: &dyn Store, key: i64) {
        let second = wait(store.add_key(new_key("default", "master", b"second")));
        assert_eq!((second.key_id, &second.wrapped[..]), (key, &b"first"[..]));
        let stored: Vec<KeyRow> = now(store.keys("default"));
        assert_eq!(stored, [second]);
    }

    fn every_workspace_has_its_own_data_key(store: &dyn Store, key: i64) {
        let other = wait(store.add_key(new_key("other", "master", b"other")));
        assert_ne!(other.key_id, key);
        assert_eq!(now(store.keys("other")), [other]);
        assert_eq!(now(store.master_key_id()).as_deref(), Some("master"));
    }

    fn a_data_key_under_another_master_key_is_refused(store: &dyn Store, key: i64) {
        let _ = key;
        let error = run(store.add_key(new_key("other", "another master", b"other"))).expect_err("two masters");
        assert_eq!((error.kind(), error.code()), (&ErrorKind::WrongKey, "key_of_another_store"));
    }

    fn an_integration_is_written_only_over_the_revision_that_was_read(store: &dyn Store, key: i64) {
        assert!(!wait(store.put_integration(integration_row(key, 2), Some(1))));
        assert!(wait(store.put_integration(integration_row(key, 1), None)));
        assert!(!wait(store.put_integration(integration_row(key, 1), None)));
        assert!(wait(store.put_integration(integration_row(key, 2), Some(1))));
        assert_eq!(now(store.integration(&integration())), Some(integration_row(key, 2)));
        assert_eq!(now(store.integrations("default")), [integration_row(key, 2)]);
        assert_eq!(now(store.integrations("other")), []);
    }

    fn what_is_committed_is_loaded(store: &dyn Store, key: i64) {
        let commit = Commit {
            grant: Some(sealed(key, 1, b"grant")),
            token: Some(token(key, 1, "", b"token")),
            expires_at: Some(Timestamp::from_millis(5000)),
            refreshed_at: Some(Timestamp::from_millis(4000)),
            durable: true,
            ..commit("alice", 0)
        };
        assert_eq!(wait(store.commit(commit)), Committed::Done);
        let loaded = now(store.load(&connection("alice"), ""));
        let row = loaded.connection.as_ref().expect("it was committed");
        assert_eq!((loaded.generation(), row.state), (1, StoredState::Connected));
        assert_eq!(row.expires_at, Some(Timestamp::from_millis(5000)));
        assert_eq!(row.refreshed_at, Some(Timestamp::from_millis(4000)));
        assert_eq!(row.grant, Some(sealed(key, 1, b"grant")));
        assert_eq!(loaded.token, Some(token(key, 1, "", b"token")));
        assert_eq!(loaded.attempt, None);
    }

    fn a_commit_over_another_generation_stores_nothing(store: &dyn Store, key: i64) {
        assert_eq!(wait(store.commit(commit("alice", 0))), Committed::Done);
        for expected in [0, 2] {
            let late = Commit { grant: Some(sealed(key, 1, b"late")), ..commit("alice", expected) };
            assert_eq!(wait(store.commit(late)), Committed::Lost);
        }
        let loaded = now(store.load(&connection("alice"), ""));
        assert_eq!((loaded.generation(), loaded.connection.and_then(|row| row.grant)), (1, None));
        assert_eq!(now(store.events("default", 9)).len(), 1);
    }

    fn a_commit_without_a_grant_keeps_the_stored_one(store: &dyn Store, key: i64) {
        let grant = Some(sealed(key, 1, b"grant"));
        let first = Commit { grant: grant.clone(), fingerprint: Some(b"print".to_vec()), ..commit("alice", 0) };
        wait(store.commit(first));
        wait(store.commit(Commit { token: Some(token(key, 2, "", b"token")), ..commit("alice", 1) }));
        let loaded = now(store.load(&connection("alice"), ""));
        assert_eq!(loaded.connection.and_then(|row| row.grant), grant);
        assert_eq!(holder(store, "default", b"print"), Some(connection("alice")));
    }

    fn tokens_of_resources_stand_beside_each_other(store: &dyn Store, key: i64) {
        wait(store.commit(Commit { token: Some(token(key, 1, "", b"default")), ..commit("alice", 0) }));
        wait(store.commit(Commit { token: Some(token(key, 2, "https://graph", b"graph")), ..commit("alice", 1) }));
        let of = |resource| now(store.load(&connection("alice"), resource)).token;
        assert_eq!(of(""), Some(token(key, 1, "", b"default")));
        assert_eq!(of("https://graph"), Some(token(key, 2, "https://graph", b"graph")));
        assert_eq!(of("https://other"), None);
        let reconnect = Commit { drop_tokens: true, token: Some(token(key, 3, "", b"new")), ..commit("alice", 2) };
        wait(store.commit(reconnect));
        assert_eq!(of(""), Some(token(key, 3, "", b"new")));
        assert_eq!(of("https://graph"), None);
    }

    fn a_tombstone_keeps_the_generation_and_nothing_else(store: &dyn Store, key: i64) {
        let connect = Commit {
            grant: Some(sealed(key, 1, b"grant")),
            fingerprint: Some(b"print".to_vec()),
            token: Some(token(key, 1, "", b"token")),
            refreshed_at: Some(Timestamp::from_millis(1)),
            ..commit("alice", 0)
        };
        wait(store.commit(connect));
        let disconnect = Commit { state: StoredState::Disconnected, drop_grant: true, drop_tokens: true, ..commit("alice", 1) };
        wait(store.commit(disconnect));
        let loaded = now(store.load(&connection("alice"), ""));
        let row = loaded.connection.expect("a tombstone");
        assert_eq!((row.generation, row.state, row.refreshed_at), (2, StoredState::Disconnected, None));
        assert_eq!((row.grant, loaded.token), (None, None));
        assert_eq!(holder(store, "default", b"print"), None);
        assert_eq!(now(store.list("default", None, None, 9)), []);
        assert_eq!(wait(store.commit(commit("alice", 0))), Committed::Lost);
        assert_eq!(wait(store.commit(commit("alice", 2))), Committed::Done);
    }

    fn a_claim_is_written_with_all_it_says(store: &dyn Store, key: i64) {
        let _ = key;
        let claimant = claimant(1, 0);
        assert_eq!(wait(store.claim(&connection("alice"), claimant.clone())), Claimed::Ours { previous: None });
        let attempt = now(store.load(&connection("alice"), "")).attempt.expect("it was claimed");
        assert_eq!((attempt.id, attempt.owner), (claimant.attempt, claimant.owner));
        assert_eq!((attempt.deadline, attempt.generation, attempt.ending), (claimant.deadline, 0, None));
    }

    fn a_claim_at_another_generation_is_told_so(store: &dyn Store, key: i64) {
        let _ = key;
        wait(store.commit(commit("alice", 0)));
        assert_eq!(wait(store.claim(&connection("alice"), claimant(1, 0))), Claimed::Changed);
        assert_eq!(now(store.load(&connection("alice"), "")).attempt, None);
    }

    fn an_attempt_of_a_living_owner_holds_others_off_until_its_deadline(store: &dyn Store, key: i64) {
        let _ = key;
        let first = claimant(1, 0);
        wait(store.claim(&connection("alice"), first.clone()));
        let Claimed::Held(held) = wait(store.claim(&connection("alice"), claimant(2, 0))) else {
            panic!("the first is alive");
        };
        assert_eq!(held.id, first.attempt);
        let late = Claimant { now: first.deadline, ..claimant(3, 0) };
        let Claimed::Ours { previous: Some(previous) } = wait(store.claim(&connection("alice"), late)) else {
            panic!("the deadline has come");
        };
        assert_eq!((previous.id, previous.ending), (first.attempt, None));
    }

    fn an_attempt_of_an_unseen_owner_holds_others_off_as_long(store: &dyn Store, key: i64) {
        let _ = key;
        let mut container = claimant(1, 0);
        container.owner.pid_namespace += 1;
        wait(store.claim(&connection("alice"), container));
        assert!(matches!(wait(store.claim(&connection("alice"), claimant(2, 0))), Claimed::Held(_)));
    }

    fn an_attempt_of_a_dead_owner_is_taken_over_at_once(store: &dyn Store, key: i64) {
        let _ = key;
        let mut dead = claimant(1, 0);
        dead.owner.start_time -= 1;
        wait(store.claim(&connection("alice"), dead.clone()));
        let Claimed::Ours { previous: Some(previous) } = wait(store.claim(&connection("alice"), claimant(2, 0))) else {
            panic!("its owner is gone");
        };
        assert_eq!((previous.id, previous.owner), (dead.attempt, dead.owner));
    }

    fn an_attempt_of_another_boot_is_taken_over_at_once(store: &dyn Store, key: i64) {
        let _ = key;
        let mut before = claimant(1, 0);
        before.owner.boot_id = "another".to_owned();
        wait(store.claim(&connection("alice"), before));
        assert!(matches!(wait(store.claim(&connection("alice"), claimant(2, 0))), Claimed::Ours { previous: Some(_) }));
    }

    fn an_attempt_with_a_deadline_that_only_an_earlier_boot_can_have_set_is_taken_over_at_once(store: &dyn Store, key: i64) {
        let _ = key;
        let mut before = claimant(1, 0);
        before.deadline = before.deadline.after(Duration::from_secs(24 * 60 * 60));
        wait(store.claim(&connection("alice"), before));
        assert!(matches!(wait(store.claim(&connection("alice"), claimant(2, 0))), Claimed::Ours { previous: Some(_) }));
    }

    fn a_settled_attempt_tells_the_next_how_it_ended(store: &dyn Store, key: i64) {
        let first = claimant(1, 0);
        wait(store.claim(&connection("alice"), first.clone()));
        let ending = ending(key);
        assert!(wait(store.settle(&connection("alice"), first.attempt, ending.clone())));
        let loaded = now(store.load(&connection("alice"), "")).attempt.expect("it stays");
        assert_eq!(loaded.ending, Some(ending.clone()));
        let Claimed::Ours { previous: Some(previous) } = wait(store.claim(&connection("alice"), claimant(2, 0))) else {
            panic!("it has ended");
        };
        assert_eq!(previous.ending, Some(ending));
        let running = now(store.load(&connection("alice"), "")).attempt.expect("ours");
        assert_eq!((running.id, running.ending), (AttemptId([2; 16]), None));
    }

    fn only_the_claimant_settles_its_attempt(store: &dyn Store, key: i64) {
        wait(store.claim(&connection("alice"), claimant(1, 0)));
        assert!(!wait(store.settle(&connection("alice"), AttemptId([2; 16]), ending(key))));
        assert!(!wait(store.settle(&connection("bob"), AttemptId([1; 16]), ending(key))));
        let attempt = now(store.load(&connection("alice"), "")).attempt.expect("it runs");
        assert_eq!(attempt.ending, None);
    }

    fn a_commit_ends_its_own_attempt_and_no_other(store: &dyn Store, key: i64) {
        let _ = key;
        wait(store.claim(&connection("alice"), claimant(1, 0)));
        wait(store.commit(Commit { attempt: Some(AttemptId([2; 16])), ..commit("alice", 0) }));
        assert!(now(store.load(&connection("alice"), "")).attempt.is_some());
        wait(store.commit(Commit { attempt: Some(AttemptId([1; 16])), ..commit("alice", 1) }));
        assert_eq!(now(store.load(&connection("alice"), "")).attempt, None);
    }

    fn of_many_claims_at_once_one_is_ours(store: &dyn Store, key: i64) {
        let _ = key;
        let threads = 16;
        let barrier = Barrier::new(threads);
        let ours = thread::scope(|scope| {
            let claims: Vec<_> = (0..threads)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        wait(store.claim(&connection("alice"), claimant(number as u8, 0)))
                    })
                })
                .collect();
            let claims = claims.into_iter().map(|claim| claim.join().expect("no panic"));
            claims.filter(|claim| matches!(claim, Claimed::Ours { previous: None })).count()
        });
        assert_eq!(ours, 1);
    }

    fn of_many_commits_at_once_over_one_generation_one_is_stored(store: &dyn Store, key: i64) {
        let threads = 16;
        let barrier = Barrier::new(threads);
        let done = thread::scope(|scope| {
            let commits: Vec<_> = (0..threads)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let grant = Some(sealed(key, 1, &[number as u8]));
                        barrier.wait();
                        wait(store.commit(Commit { grant, ..commit("alice", 0) }))
                    })
                })
                .collect();
            let commits = commits.into_iter().map(|commit| commit.join().expect("no panic"));
            commits.enumerate().filter(|(_, commit)| *commit == Committed::Done).map(|(number, _)| number).collect::<Vec<_>>()
        });
        assert_eq!(done.len(), 1);
        let grant = now(store.load(&connection("alice"), "")).connection.and_then(|row| row.grant);
        assert_eq!(grant, Some(sealed(key, 1, &[done[0] as u8])));
    }

    fn connections_are_listed_in_pages_in_the_order_of_their_names(store: &dyn Store, key: i64) {
        let _ = key;
        for name in ["bob", "Zoë", "alice", "ćira", "a"] {
            wait(store.commit(commit(name, 0)));
        }
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let page = now(store.list("default", Some(&integration()), after.as_ref(), 2));
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            names.extend(page.into_iter().map(|row| row.key.connection.to_string()));
        }
        assert_eq!(names, ["Zoë", "a", "alice", "bob", "ćira"]);
    }

    fn a_list_of_an_integration_leaves_out_others_and_other_workspaces(store: &dyn Store, key: i64) {
        let _ = key;
        let service = IntegrationKey { grant_type: GrantType::ClientCredentials, ..integration() };
        let elsewhere = IntegrationKey { workspace: "other".into(), ..integration() };
        for integration in [integration(), service.clone(), elsewhere] {
            let key = ConnectionKey { integration, connection: "default".into() };
            wait(store.commit(Commit { key, ..commit("default", 0) }));
        }
        let of_service = now(store.list("default", Some(&service), None, 9));
        assert_eq!(of_service.iter().map(|row| &row.key.integration).collect::<Vec<_>>(), [&service]);
        assert_eq!(now(store.list("default", None, None, 9)).len(), 2);
    }

    fn removing_an_integration_leaves_tombstones_of_its_connections_only(store: &dyn Store, key: i64) {
        wait(store.put_integration(integration_row(key, 1), None));
        let connect = Commit {
            grant: Some(sealed(key, 1, b"grant")),
            token: Some(token(key, 1, "", b"token")),
            fingerprint: Some(b"print".to_vec()),
            ..commit("alice", 0)
        };
        wait(store.commit(connect));
        wait(store.put_pending(pending(key, b"state", 9), Timestamp::from_millis(0)));
        let neighbour = ConnectionKey {
            integration: IntegrationKey { provider: "gitlab".into(), ..integration() },
            connection: "alice".into(),
        };
        wait(store.commit(Commit { key: neighbour.clone(), ..commit("alice", 0) }));
        assert!(!wait(store.delete_integration(&integration())), "a grant has to be left first");
        assert!(now(store.integration(&integration())).is_some());
        wait(store.commit(Commit { state: StoredState::Disconnecting, drop_grant: true, ..commit("alice", 1) }));
        assert!(wait(store.delete_integration(&integration())));
        assert_eq!(now(store.integration(&integration())), None);
        assert_eq!(now(store.pending(b"state")), None);
        assert_eq!(holder(store, "default", b"print"), None);
        let loaded = now(store.load(&connection("alice"), ""));
        assert_eq!((loaded.generation(), loaded.token, loaded.attempt), (3, None, None));
        let row = loaded.connection.expect("a tombstone");
        assert_eq!((row.state, row.grant), (StoredState::Disconnected, None));
        let left = now(store.list("default", None, None, 9));
        assert_eq!(left.into_iter().map(|row| row.key).collect::<Vec<_>>(), [neighbour]);
    }

    fn a_reply_under_way_finds_no_place_after_its_integration_was_removed(store: &dyn Store, key: i64) {
        // The first token of a service grant: there is an attempt, and no row of the connection yet.
        wait(store.claim(&connection("alice"), claimant(1, 0)));
        wait(store.delete_integration(&integration()));
        let reply = Commit { token: Some(token(key, 1, "", b"token")), attempt: Some(AttemptId([1; 16])), ..commit("alice", 0) };
        assert_eq!(wait(store.commit(reply)), Committed::Lost);
    }

    fn a_pending_sign_in_is_claimed_once(store: &dyn Store, key: i64) {
        wait(store.put_pending(pending(key, b"state", 9), Timestamp::from_millis(0)));
        assert!(wait(store.claim_pending(b"state")));
        assert!(!wait(store.claim_pending(b"state")));
        assert!(!wait(store.claim_pending(b"another")));
        let claimed = PendingRow { claimed: true, ..pending(key, b"state", 9) };
        assert_eq!(now(store.pending(b"state")), Some(claimed));
        wait(store.release_pending(b"state"));
        assert!(wait(store.claim_pending(b"state")));
        wait(store.delete_pending(b"state"));
        assert_eq!(now(store.pending(b"state")), None);
    }

    fn a_new_pending_sign_in_drops_those_that_expired(store: &dyn Store, key: i64) {
        wait(store.put_pending(pending(key, b"old", 10), Timestamp::from_millis(0)));
        wait(store.put_pending(pending(key, b"young", 20), Timestamp::from_millis(0)));
        wait(store.put_pending(pending(key, b"new", 30), Timestamp::from_millis(11)));
        assert_eq!(now(store.pending(b"old")), None);
        assert_eq!(now(store.pending(b"young")), Some(pending(key, b"young", 20)));
    }

    fn events_come_newest_first_and_by_workspace(store: &dyn Store, key: i64) {
        let _ = key;
        for (generation, what) in ["connected", "refreshed", "refused"].into_iter().enumerate() {
            let event = NewEvent { what, reason: "expired".to_owned(), at: Timestamp::from_millis(generation as i64) };
            wait(store.commit(Commit { event, ..commit("alice", generation as u64) }));
        }
        let events = now(store.events("default", 2));
        let seen: Vec<_> = events.iter().map(|event| (&*event.what, event.at.millis(), &*event.connection)).collect();
        assert_eq!(seen, [("refused", 2, "alice"), ("refreshed", 1, "alice")]);
        assert_eq!((&*events[0].provider, &*events[0].reason), ("github", "expired"));
        assert_eq!(now(store.events("other", 9)), []);
    }

    fn a_refresh_token_is_found_by_its_fingerprint_in_its_workspace(store: &dyn Store, key: i64) {
        let grant = Some(sealed(key, 1, b"grant"));
        wait(store.commit(Commit { grant, fingerprint: Some(b"print".to_vec()), ..commit("alice", 0) }));
        assert_eq!(holder(store, "default", b"print"), Some(connection("alice")));
        assert_eq!(holder(store, "default", b"other"), None);
        assert_eq!(holder(store, "other", b"print"), None);
        let rotated = Commit { grant: Some(sealed(key, 2, b"next")), fingerprint: Some(b"next".to_vec()), ..commit("alice", 1) };
        wait(store.commit(rotated));
        assert_eq!(holder(store, "default", b"print"), None);
    }

    fn of_many_imports_of_one_refresh_token_at_once_one_is_stored(store: &dyn Store, key: i64) {
        let start = Barrier::new(8);
        let outcomes: Vec<(ConnectionKey, Committed)> = thread::scope(|scope| {
            let imports = (0..8).map(|number: u8| {
                let start = &start;
                scope.spawn(move || {
                    let import = Commit {
                        grant: Some(sealed(key, 1, &[number])),
                        fingerprint: Some(b"print".to_vec()),
                        only_holder: true,
                        ..commit(&number.to_string(), 0)
                    };
                    start.wait();
                    (import.key.clone(), wait(store.commit(import)))
                })
            });
            imports.collect::<Vec<_>>().into_iter().map(|import| import.join().expect("no panic")).collect()
        });
        let (stored, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, outcome)| *outcome == Committed::Done);
        assert_eq!(stored.len(), 1);
        assert!(refused.iter().all(|(_, outcome)| *outcome == Committed::Held(stored[0].0.clone())));
        assert_eq!(now(store.list("default", None, None, 9)).len(), 1);
        let again = Commit { grant: Some(sealed(key, 2, b"again")), fingerprint: Some(b"print".to_vec()), only_holder: true,
            key: stored[0].0.clone(), ..commit("", 1) };
        assert_eq!(wait(store.commit(again)), Committed::Done, "its own holder may import it again");
    }

    fn a_record_under_a_data_key_that_is_gone_is_refused_whole(store: &dyn Store, key: i64) {
        let late = Commit { grant: Some(sealed(key + 1, 1, b"late")), ..commit("alice", 0) };
        let error = run(store.commit(late)).expect_err("nobody could open it");
        assert_eq!(error.code(), "data_key_gone");
        assert_eq!(now(store.load(&connection("alice"), "")).generation(), 0);
        assert_eq!(now(store.events("default", 9)), []);
    }

    fn a_cancelled_write_happens_or_not_and_blocks_nobody(store: &dyn Store, key: i64) {
        let _ = key;
        {
            let mut cancelled = pin!(store.commit(commit("alice", 0)));
            let _ = cancelled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        // What was handed over before is done before what comes later.
        wait(store.commit(commit("bob", 0)));
        assert_eq!(now(store.load(&connection("alice"), "")).generation(), 1);
    }

    fn a_reply_whose_slot_was_dropped_is_an_orphan_until_it_is_forgotten(store: &dyn Store, key: i64) {
        let reply = spilled(key, "alice");
        let slot = store.reserve().expect("the disk has room");
        slot.write(&reply).expect("it fits");
        assert!(store.orphans(None).expect("readable").is_empty());
        drop(slot);
        assert!(store.orphans(Some(&connection("bob"))).expect("readable").is_empty());
        let orphans = store.orphans(Some(&connection("alice"))).expect("readable");
        assert_eq!(orphans.iter().map(|orphan| &orphan.spilled).collect::<Vec<_>>(), [&reply]);
        store.forget_orphan(&orphans[0]).expect("writable");
        assert!(store.orphans(None).expect("readable").is_empty());
    }

    fn a_reply_that_was_cleared_is_no_orphan(store: &dyn Store, key: i64) {
        let slot = store.reserve().expect("the disk has room");
        slot.write(&spilled(key, "alice")).and_then(|()| slot.sync()).and_then(|()| slot.clear()).expect("the disk works");
        drop(slot);
        assert!(store.orphans(None).expect("readable").is_empty());
    }

    fn nothing_changed_while_nobody_else_writes(store: &dyn Store, key: i64) {
        let _ = key;
        assert_eq!(now(store.changed()), now(store.changed()));
    }
}

fn on_memory(test: fn(&dyn Store, i64)) {
    let store = MemoryStore::new();
    let key = wait(store.add_key(new_key("default", "master", b"first")));
    test(&store, key.key_id);
}

fn on_sqlite(test: fn(&dyn Store, i64)) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("store.db")).expect("a good path");
    let key = wait(store.add_key(new_key("default", "master", b"first")));
    test(&store, key.key_id);
}

/// What a read answers; it must do so in the first poll, without a runtime.
pub(crate) fn now<T>(future: impl Future<Output = Result<T>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(answer)) => answer,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => panic!("a read has to answer in the first poll"),
    }
}

/// What a write answers.
pub(crate) fn wait<T>(future: impl Future<Output = Result<T>>) -> T {
    run(future).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park_timeout(Duration::from_secs(60)),
        }
    }
}

pub(crate) fn integration() -> IntegrationKey {
    IntegrationKey {
        workspace: "default".into(),
        provider: "github".into(),
        grant_type: GrantType::AuthorizationCode,
    }
}

pub(crate) fn connection(name: &str) -> ConnectionKey {
    ConnectionKey {
        integration: integration(),
        connection: name.into(),
    }
}

pub(crate) fn new_key(workspace: &str, master_key_id: &str, wrapped: &[u8]) -> NewKey {
    NewKey {
        workspace: workspace.to_owned(),
        master_key_id: master_key_id.to_owned(),
        wrapped: wrapped.to_vec(),
        at: Timestamp::from_millis(0),
    }
}

pub(crate) fn sealed(key_id: i64, generation: u64, blob: &[u8]) -> Sealed {
    Sealed {
        key_id,
        generation,
        blob: blob.to_vec(),
    }
}

/// A commit of nothing but a generation and an event.
pub(crate) fn commit(name: &str, expected: u64) -> Commit {
    Commit {
        key: connection(name),
        expected,
        generation: expected + 1,
        state: StoredState::Connected,
        grant: None,
        fingerprint: None,
        only_holder: false,
        token: None,
        drop_grant: false,
        drop_tokens: false,
        expires_at: None,
        refreshed_at: None,
        attempt: None,
        forget_attempt: false,
        durable: false,
        event: NewEvent {
            what: "refreshed",
            reason: "expired".to_owned(),
            at: Timestamp::from_millis(0),
        },
    }
}

/// The connection of a workspace that holds a refresh token: who wants to be its only holder is told.
fn holder(store: &dyn Store, workspace: &str, fingerprint: &[u8]) -> Option<ConnectionKey> {
    let mut key = connection("nobody");
    key.integration.workspace = workspace.into();
    let expected = now(store.load(&key, "")).generation();
    let attempted = Commit {
        key,
        state: StoredState::Disconnected,
        fingerprint: Some(fingerprint.to_vec()),
        only_holder: true,
        ..commit("", expected)
    };
    match wait(store.commit(attempted)) {
        Committed::Held(holder) => Some(holder),
        Committed::Done => None,
        Committed::Lost => panic!("nobody else writes it"),
    }
}

pub(crate) fn claimant(number: u8, generation: u64) -> Claimant {
    let now = Monotonic::from_millis(1_000_000);
    Claimant {
        attempt: AttemptId([number; 16]),
        owner: system::owner(),
        now,
        deadline: now.after(Duration::from_secs(150)),
        generation,
    }
}

pub(crate) fn spilled(key: i64, name: &str) -> Spilled {
    Spilled {
        connection: connection(name),
        attempt: AttemptId([7; 16]),
        sealed: sealed(key, 2, b"a sealed reply"),
    }
}

fn token(key: i64, generation: u64, resource: &str, blob: &[u8]) -> TokenRow {
    TokenRow {
        resource: resource.to_owned(),
        sealed: sealed(key, generation, blob),
    }
}

fn integration_row(key: i64, revision: u64) -> IntegrationRow {
    IntegrationRow {
        key: integration(),
        revision,
        sealed: sealed(key, revision, b"configuration"),
    }
}

fn ending(key: i64) -> Ending {
    Ending {
        outcome: EndingOutcome::NotProcessed,
        failures: 3,
        retry_at: Some(Timestamp::from_millis(7)),
        at: Timestamp::from_millis(5),
        note: Some(sealed(key, 0, b"note")),
    }
}

fn pending(key: i64, state_hash: &[u8], expires_at: i64) -> PendingRow {
    PendingRow {
        state_hash: state_hash.to_vec(),
        key: connection("alice"),
        sealed: sealed(key, 0, b"verifier"),
        expires_at: Timestamp::from_millis(expires_at),
        claimed: false,
    }
}
