//! Killed between two system calls, at the points that the core names.

use super::judge::{Allowed, judge};
use super::{Campaign, Verb, victim};

/// What a later process finds after `verb` died at `point`.
fn found_after(point: &str, verb: Verb, lost: bool) -> String {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    let campaign = Campaign::of(verb);
    let folder = campaign.folder();
    let server = &campaign.server;
    let mut command = victim::dying_at(point, verb, folder.path(), &server.base);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        ended.status.signal(),
        Some(libc::SIGKILL),
        "it dies at {point}"
    );
    server.settle();
    let allowed = Allowed {
        lost,
        ..Allowed::default()
    };
    let judged = judge(verb, folder.path(), server, pid, allowed);
    campaign.runtime.block_on(judged).unwrap()
}

/// What is committed before `point` counts.
fn kept_after(point: &str, verb: Verb) -> String {
    found_after(point, verb, false)
}

/// Fails without `&& system::liveness(&self.owner) != Liveness::Dead` in src/store/mod.rs.
#[test]
fn a_process_killed_with_a_claim_holds_nobody_off() {
    assert_eq!(
        kept_after("refresh.claimed", Verb::Refresh),
        "nothing was rotated, the next process asks"
    );
}

/// Fails without `abandoned.is_some() ||` in src/engine/refresh/mod.rs.
#[test]
fn a_reply_killed_before_its_slot_is_lost_and_said_to_be() {
    assert_eq!(
        found_after("refresh.reply", Verb::Refresh, true),
        "WINDOW the reply is lost, and the error says so"
    );
}

/// Fails without `Some(slot) if reply.rotated =>` in src/engine/refresh/reply.rs.
#[test]
fn a_reply_killed_between_its_slot_and_the_commit_is_kept() {
    assert_eq!(
        kept_after("refresh.commit", Verb::Refresh),
        "the reply is kept"
    );
}

/// Fails without `self.store.forget_orphan(&orphan)?` in src/engine/refresh/reply.rs.
#[test]
fn a_slot_killed_before_it_was_emptied_is_emptied_by_the_next_process() {
    assert_eq!(
        kept_after("refresh.committed", Verb::Refresh),
        "the reply is kept"
    );
}

/// Fails without `if !engine.store().claim_pending(&row.state_hash).await?` in src/connect/pending.rs.
#[test]
fn a_sign_in_killed_before_its_grant_is_stored_sends_no_code_twice() {
    assert_eq!(
        found_after("connect.exchanged", Verb::Connect, true),
        "WINDOW the code is spent, the person signs in once more"
    );
}

/// Fails without `if issued.refresh_token.is_some()` in src/connect/pending.rs: the account is then looked up first.
#[test]
fn a_sign_in_killed_before_its_account_is_looked_up_is_connected() {
    assert_eq!(kept_after("connect.committed", Verb::Connect), "connected");
}

/// Fails without `state: StoredState::Disconnecting` in src/engine/leave.rs.
#[test]
fn a_disconnect_killed_before_it_revokes_gives_no_tokens_and_is_finished() {
    assert_eq!(
        kept_after("disconnect.marked", Verb::Disconnect),
        "marked, the next call finishes"
    );
}

/// Fails without `state: StoredState::Disconnecting` in src/engine/leave.rs.
#[test]
fn a_disconnect_killed_before_it_deletes_gives_no_tokens_and_is_finished() {
    assert_eq!(
        kept_after("disconnect.revoked", Verb::Disconnect),
        "marked and revoked, the next call finishes"
    );
}

/// Fails without `self.leave(&meant, &row.key, revoke, &mut report)` in src/engine/leave.rs.
#[test]
fn a_remove_killed_before_it_forgets_the_integration_has_left_all_connections() {
    assert_eq!(
        kept_after("remove.left", Verb::Remove),
        "bob is gone, default gone, the integration there"
    );
}

/// Fails without `report.step(what, true, "exists, left alone")` in src/engine/file.rs: all is then imported again.
#[test]
fn an_apply_killed_between_connections_is_finished_by_the_next() {
    assert_eq!(
        kept_after("apply.imported", Verb::Apply),
        "2 of 3 entries, the next apply finishes"
    );
}

/// Fails without `transaction_with_behavior` in src/store/sqlite/connection.rs.
#[test]
fn a_migration_killed_before_its_commit_is_done_by_the_next_process() {
    assert_eq!(
        kept_after("migrate.commit", Verb::Migrate),
        "the schema before, the next process migrates"
    );
}
