//! A campaign for each verb and each thing that can strike.

use _core::store::schema::VERSION;

use super::{Campaign, Strike, Verb};

/// Fails without `Some(slot) if reply.rotated =>` in src/engine/refresh/reply.rs.
#[test]
fn a_refresh_killed_at_any_system_call() {
    Campaign::of(Verb::Refresh).run(Strike::Kill);
}

/// Fails without `engine.end_later(&key, attempt, ending)` in src/engine/refresh/claim.rs.
#[test]
fn a_refresh_whose_disk_is_full_from_any_system_call_on() {
    Campaign::of(Verb::Refresh).run(Strike::FullDisk);
}

/// Fails without `let writable = engine.store.writable()` in src/engine/refresh/mod.rs: it is then asked twice.
#[test]
fn a_refresh_whose_disk_fails_at_any_system_call() {
    Campaign::of(Verb::Refresh).run(Strike::FailingDisk);
}

/// Fails without `if issued.refresh_token.is_some()` in src/connect/pending.rs: the account is then looked up first.
#[test]
fn a_sign_in_killed_at_any_system_call() {
    Campaign::of(Verb::Connect).run(Strike::Kill);
}

/// Fails without `side.close()` after a failed transaction in src/store/sqlite/writer.rs.
#[test]
fn a_sign_in_whose_disk_is_full_from_any_system_call_on() {
    Campaign::of(Verb::Connect).run(Strike::FullDisk);
}

/// Fails without `.is_readonly(MAIN_DB)` in src/store/sqlite/connection.rs.
#[test]
fn a_sign_in_whose_disk_fails_at_any_system_call() {
    Campaign::of(Verb::Connect).run(Strike::FailingDisk);
}

/// Fails without `state: StoredState::Disconnecting` in src/engine/leave.rs.
#[test]
fn a_disconnect_killed_at_any_system_call() {
    Campaign::of(Verb::Disconnect).run(Strike::Kill);
}

/// Fails without `side.close()` after a failed transaction in src/store/sqlite/writer.rs.
#[test]
fn a_disconnect_whose_disk_is_full_from_any_system_call_on() {
    Campaign::of(Verb::Disconnect).run(Strike::FullDisk);
}

/// Fails without `.is_readonly(MAIN_DB)` in src/store/sqlite/connection.rs.
#[test]
fn a_disconnect_whose_disk_fails_at_any_system_call() {
    Campaign::of(Verb::Disconnect).run(Strike::FailingDisk);
}

/// Fails without `self.leave(&meant, &row.key, revoke, &mut report)` in src/engine/leave.rs.
#[test]
fn a_remove_killed_at_any_system_call() {
    Campaign::of(Verb::Remove).run(Strike::Kill);
}

/// Fails without `side.close()` after a failed transaction in src/store/sqlite/writer.rs.
#[test]
fn a_remove_whose_disk_is_full_from_any_system_call_on() {
    Campaign::of(Verb::Remove).run(Strike::FullDisk);
}

/// Fails without `.is_readonly(MAIN_DB)` in src/store/sqlite/connection.rs.
#[test]
fn a_remove_whose_disk_fails_at_any_system_call() {
    Campaign::of(Verb::Remove).run(Strike::FailingDisk);
}

/// Fails without `report.step(what, true, "exists, left alone")` in src/engine/file.rs: all is then imported again.
#[test]
fn an_apply_killed_at_any_system_call() {
    Campaign::of(Verb::Apply).run(Strike::Kill);
}

/// Fails without `side.close()` after a failed transaction in src/store/sqlite/writer.rs.
#[test]
fn an_apply_whose_disk_is_full_from_any_system_call_on() {
    Campaign::of(Verb::Apply).run(Strike::FullDisk);
}

/// Fails without `.is_readonly(MAIN_DB)` in src/store/sqlite/connection.rs.
#[test]
fn an_apply_whose_disk_fails_at_any_system_call() {
    Campaign::of(Verb::Apply).run(Strike::FailingDisk);
}

/// Fails without `transaction_with_behavior` in src/store/sqlite/connection.rs.
#[test]
fn a_migration_killed_at_any_system_call() {
    for schema in 0..VERSION {
        Campaign::at_schema(schema).run(Strike::Kill);
    }
}

/// Fails without `io::ErrorKind::AlreadyExists => {}` in src/store/sqlite/file.rs.
#[test]
fn a_migration_whose_disk_is_full_from_any_system_call_on() {
    for schema in 0..VERSION {
        Campaign::at_schema(schema).run(Strike::FullDisk);
    }
}

/// Fails without `io::ErrorKind::AlreadyExists => {}` in src/store/sqlite/file.rs.
#[test]
fn a_migration_whose_disk_fails_at_any_system_call() {
    for schema in 0..VERSION {
        Campaign::at_schema(schema).run(Strike::FailingDisk);
    }
}
