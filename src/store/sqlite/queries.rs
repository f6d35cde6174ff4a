//! Every statement on the file's tables. Each function runs inside the caller's transaction.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Row, named_params, params};

use crate::clock::{Monotonic, Timestamp};
use crate::model::{ConnectionKey, GrantType, IntegrationKey};
use crate::store::schema::KEPT_EVENTS;
use crate::store::{
    Attempt, AttemptId, Claimant, Claimed, Commit, Committed, ConnectionRow, Ending, EndingOutcome,
    EventRow, IntegrationRow, KeyRow, Loaded, NewKey, Owner, PendingRow, Sealed, StoredState,
    TokenRow,
};
use crate::system;

/// Appends the condition that finds the rows of one connection.
macro_rules! of_connection {
    ($sql:literal) => {
        concat!($sql, " WHERE workspace = :workspace AND provider = :provider AND grant_type = :grant_type AND connection = :connection")
    };
}

/// Appends the condition that finds the rows of one integration.
macro_rules! of_integration {
    ($sql:literal) => {
        concat!(
            $sql,
            " WHERE workspace = :workspace AND provider = :provider AND grant_type = :grant_type"
        )
    };
}

/// The parameters of [`of_connection`], and more.
macro_rules! connection_params {
    ($key:expr $(, $name:literal: $value:expr)* $(,)?) => {
        named_params! {
            ":workspace": &*$key.integration.workspace,
            ":provider": &*$key.integration.provider,
            ":grant_type": $key.integration.grant_type.as_str(),
            ":connection": &*$key.connection,
            $($name: $value),*
        }
    };
}

/// The parameters of [`of_integration`], and more.
macro_rules! integration_params {
    ($key:expr $(, $name:literal: $value:expr)* $(,)?) => {
        named_params! {
            ":workspace": &*$key.workspace,
            ":provider": &*$key.provider,
            ":grant_type": $key.grant_type.as_str(),
            $($name: $value),*
        }
    };
}

pub(super) fn keys(connection: &Connection, workspace: &str) -> Result<Vec<KeyRow>> {
    connection
        .prepare_cached(
            "SELECT id, workspace, master_key_id, wrapped FROM data_keys WHERE workspace = ?1 ORDER BY id DESC",
        )?
        .query_map([workspace], |row| {
            Ok(KeyRow {
                key_id: row.get(0)?,
                workspace: row.get(1)?,
                master_key_id: row.get(2)?,
                wrapped: row.get(3)?,
            })
        })?
        .collect()
}

pub(super) fn master_key_id(connection: &Connection) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT master_key_id FROM data_keys ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// `Err` is the other master key that the store is sealed under.
pub(super) fn add_key(
    connection: &Connection,
    key: &NewKey,
) -> Result<std::result::Result<KeyRow, String>> {
    if let Some(first) = keys(connection, &key.workspace)?.into_iter().next() {
        return Ok(Ok(first));
    }
    if let Some(other) = master_key_id(connection)?.filter(|other| *other != key.master_key_id) {
        return Ok(Err(other));
    }
    connection
        .prepare_cached(
            "INSERT INTO data_keys (workspace, master_key_id, wrapped, created_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![key.workspace, key.master_key_id, key.wrapped, key.at.millis()])?;
    Ok(Ok(KeyRow {
        key_id: connection.last_insert_rowid(),
        workspace: key.workspace.clone(),
        master_key_id: key.master_key_id.clone(),
        wrapped: key.wrapped.clone(),
    }))
}

pub(super) fn integration(
    connection: &Connection,
    key: &IntegrationKey,
) -> Result<Option<IntegrationRow>> {
    connection
        .prepare_cached(of_integration!(
            "SELECT workspace, provider, grant_type, revision, config_key, config_generation, config_blob FROM integrations"
        ))?
        .query_row(integration_params!(key), integration_row)
        .optional()
}

pub(super) fn integrations(
    connection: &Connection,
    workspace: &str,
) -> Result<Vec<IntegrationRow>> {
    let mut select = connection.prepare_cached(
            "SELECT workspace, provider, grant_type, revision, config_key, config_generation, config_blob
             FROM integrations WHERE workspace = ?1 ORDER BY provider, grant_type",
        )?;
    readable(select.query_map([workspace], integration_row)?)
}

pub(super) fn put_integration(
    connection: &Connection,
    row: &IntegrationRow,
    expected: Option<u64>,
) -> Result<bool> {
    let stored = integration(connection, &row.key)?.map(|stored| stored.revision);
    if stored != expected {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO integrations
             (workspace, provider, grant_type, revision, config_key, config_generation, config_blob)
             VALUES (:workspace, :provider, :grant_type, :revision, :key, :generation, :blob)",
        )?
        .execute(integration_params!(row.key,
            ":revision": row.revision.cast_signed(),
            ":key": row.sealed.key_id,
            ":generation": row.sealed.generation.cast_signed(),
            ":blob": row.sealed.blob,
        ))?;
    Ok(true)
}

pub(super) fn delete_integration(connection: &Connection, key: &IntegrationKey) -> Result<bool> {
    let held = connection
        .prepare_cached(concat!(
            of_integration!("SELECT 1 FROM connections"),
            " AND grant_key IS NOT NULL"
        ))?
        .exists(integration_params!(key))?;
    if held && key.grant_type == GrantType::AuthorizationCode {
        return Ok(false);
    }
    for sql in [
        of_integration!("DELETE FROM integrations"),
        of_integration!("DELETE FROM tokens"),
        of_integration!("DELETE FROM pending"),
        of_integration!(
            "UPDATE connections SET generation = generation + 1, state = 'disconnected', expires_at = NULL,
             refreshed_at = NULL, grant_key = NULL, grant_generation = NULL, grant_blob = NULL, fingerprint = NULL"
        ),
        of_integration!(
            "INSERT OR IGNORE INTO connections (workspace, provider, grant_type, connection, generation, state)
             SELECT workspace, provider, grant_type, connection, 1, 'disconnected' FROM attempts"
        ),
        of_integration!("DELETE FROM attempts"),
    ] {
        connection
            .prepare_cached(sql)?
            .execute(integration_params!(key))?;
    }
    Ok(true)
}

pub(super) fn load(connection: &Connection, key: &ConnectionKey, resource: &str) -> Result<Loaded> {
    Ok(Loaded {
        connection: connection
            .prepare_cached(of_connection!(
                "SELECT workspace, provider, grant_type, connection, generation, state, expires_at, refreshed_at,
                 grant_key, grant_generation, grant_blob FROM connections"
            ))?
            .query_row(connection_params!(key), connection_row)
            .optional()?,
        token: connection
            .prepare_cached(concat!(
                of_connection!("SELECT token_key, token_generation, token_blob FROM tokens"),
                " AND resource = :resource"
            ))?
            .query_row(connection_params!(key, ":resource": resource), |row| sealed(row, 0))
            .optional()?
            .map(|sealed| TokenRow { resource: resource.to_owned(), sealed }),
        attempt: attempt(connection, key)?,
    })
}

pub(super) fn list(
    connection: &Connection,
    workspace: &str,
    integration: Option<&IntegrationKey>,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<ConnectionRow>> {
    let after = after.map(|key| {
        let integration = &key.integration;
        (
            &*integration.provider,
            integration.grant_type.as_str(),
            &*key.connection,
        )
    });
    let mut select = connection.prepare_cached(
            "SELECT workspace, provider, grant_type, connection, generation, state, expires_at, refreshed_at,
             grant_key, grant_generation, grant_blob FROM connections
             WHERE workspace = :workspace AND state <> 'disconnected'
             AND (:provider IS NULL OR (provider = :provider AND grant_type = :grant_type))
             AND (provider, grant_type, connection) > (:after_provider, :after_grant_type, :after_connection)
             ORDER BY provider, grant_type, connection LIMIT :limit",
        )?;
    readable(select.query_map(
        named_params! {
            ":workspace": workspace,
            ":provider": integration.map(|key| &*key.provider),
            ":grant_type": integration.map(|key| key.grant_type.as_str()),
            ":after_provider": after.map_or("", |after| after.0),
            ":after_grant_type": after.map_or("", |after| after.1),
            ":after_connection": after.map_or("", |after| after.2),
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        connection_row,
    )?)
}

pub(super) fn claim(
    connection: &Connection,
    key: &ConnectionKey,
    claimant: &Claimant,
) -> Result<Claimed> {
    if generation(connection, key)? != claimant.generation {
        return Ok(Claimed::Changed);
    }
    let previous = attempt(connection, key)?;
    if let Some(running) = previous
        .as_ref()
        .filter(|one| one.holds_off(claimant, system::liveness))
    {
        return Ok(Claimed::Held(running.clone()));
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempts
             (workspace, provider, grant_type, connection, id, boot_id, pid_namespace, pid, start_time, deadline, generation)
             VALUES (:workspace, :provider, :grant_type, :connection, :id, :boot_id, :pid_namespace, :pid, :start_time,
                     :deadline, :generation)",
        )?
        .execute(connection_params!(key,
            ":id": claimant.attempt.0,
            ":boot_id": claimant.owner.boot_id,
            ":pid_namespace": claimant.owner.pid_namespace.cast_signed(),
            ":pid": claimant.owner.pid,
            ":start_time": claimant.owner.start_time.cast_signed(),
            ":deadline": claimant.deadline.millis(),
            ":generation": claimant.generation.cast_signed(),
        ))?;
    Ok(Claimed::Ours { previous })
}

pub(super) fn settle(
    connection: &Connection,
    key: &ConnectionKey,
    id: AttemptId,
    ending: &Ending,
) -> Result<bool> {
    let note = ending.note.as_ref();
    let changed = connection
        .prepare_cached(concat!(
            of_connection!(
                "UPDATE attempts SET outcome = :outcome, failures = :failures, retry_at = :retry_at, ended_at = :ended_at,
                 note_key = :note_key, note_generation = :note_generation, note_blob = :note_blob"
            ),
            " AND id = :id"
        ))?
        .execute(connection_params!(key,
            ":id": id.0,
            ":outcome": ending.outcome.as_str(),
            ":failures": ending.failures,
            ":retry_at": ending.retry_at.map(Timestamp::millis),
            ":ended_at": ending.at.millis(),
            ":note_key": note.map(|note| note.key_id),
            ":note_generation": note.map(|note| note.generation.cast_signed()),
            ":note_blob": note.map(|note| &note.blob),
        ))?;
    Ok(changed == 1)
}

pub(super) fn commit(connection: &Connection, commit: &Commit) -> Result<Committed> {
    let key = &commit.key;
    if generation(connection, key)? != commit.expected {
        return Ok(Committed::Lost);
    }
    if commit.only_holder
        && let Some(fingerprint) = &commit.fingerprint
        && let Some(holder) = other_holder(connection, key, fingerprint)?
    {
        return Ok(Committed::Held(holder));
    }
    if commit.drop_grant {
        connection
            .prepare_cached(of_connection!(
                "UPDATE connections SET refreshed_at = NULL, grant_key = NULL, grant_generation = NULL,
                 grant_blob = NULL, fingerprint = NULL"
            ))?
            .execute(connection_params!(key))?;
    }
    if commit.drop_tokens {
        connection
            .prepare_cached(of_connection!("DELETE FROM tokens"))?
            .execute(connection_params!(key))?;
    }
    put_connection(connection, commit)?;
    if let Some(token) = &commit.token {
        put_token(connection, key, token)?;
    }
    if let Some(id) = commit.attempt {
        connection
            .prepare_cached(concat!(
                of_connection!("DELETE FROM attempts"),
                " AND id = :id"
            ))?
            .execute(connection_params!(key, ":id": id.0))?;
    }
    if commit.forget_attempt {
        connection
            .prepare_cached(of_connection!("DELETE FROM attempts"))?
            .execute(connection_params!(key))?;
    }
    put_event(connection, commit)?;
    Ok(Committed::Done)
}

pub(super) fn put_pending(connection: &Connection, row: &PendingRow, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM pending WHERE expires_at < ?1")?
        .execute([now.millis()])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO pending
             (state_hash, workspace, provider, grant_type, connection, session_key, session_generation, session_blob,
              expires_at, claimed)
             VALUES (:state_hash, :workspace, :provider, :grant_type, :connection, :key, :generation, :blob,
                     :expires_at, :claimed)",
        )?
        .execute(connection_params!(row.key,
            ":state_hash": row.state_hash,
            ":key": row.sealed.key_id,
            ":generation": row.sealed.generation.cast_signed(),
            ":blob": row.sealed.blob,
            ":expires_at": row.expires_at.millis(),
            ":claimed": row.claimed,
        ))?;
    Ok(())
}

pub(super) fn pending(connection: &Connection, state_hash: &[u8]) -> Result<Option<PendingRow>> {
    connection
        .prepare_cached(
            "SELECT workspace, provider, grant_type, connection, session_key, session_generation, session_blob,
             expires_at, claimed FROM pending WHERE state_hash = ?1",
        )?
        .query_row([state_hash], |row| {
            Ok(PendingRow {
                state_hash: state_hash.to_vec(),
                key: connection_key(row)?,
                sealed: sealed(row, 4)?,
                expires_at: Timestamp::from_millis(row.get(7)?),
                claimed: row.get(8)?,
            })
        })
        .optional()
}

/// Whether it was in the other state before.
pub(super) fn mark_pending(
    connection: &Connection,
    state_hash: &[u8],
    claimed: bool,
) -> Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE pending SET claimed = ?2 WHERE state_hash = ?1 AND claimed <> ?2")?
        .execute(params![state_hash, claimed])?;
    Ok(changed == 1)
}

pub(super) fn delete_pending(connection: &Connection, state_hash: &[u8]) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM pending WHERE state_hash = ?1")?
        .execute([state_hash])?;
    Ok(())
}

pub(super) fn events(
    connection: &Connection,
    workspace: &str,
    limit: usize,
) -> Result<Vec<EventRow>> {
    connection
        .prepare_cached(
            "SELECT at, provider, grant_type, connection, what, reason FROM events
             WHERE workspace = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(
            params![workspace, i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| {
                Ok(EventRow {
                    at: Timestamp::from_millis(row.get(0)?),
                    provider: row.get(1)?,
                    grant_type: word(row, 2, GrantType::parse)?,
                    connection: row.get(3)?,
                    what: row.get(4)?,
                    reason: row.get(5)?,
                })
            },
        )?
        .collect()
}

/// The other connection of the workspace that holds a refresh token.
fn other_holder(
    connection: &Connection,
    key: &ConnectionKey,
    fingerprint: &[u8],
) -> Result<Option<ConnectionKey>> {
    connection
        .prepare_cached(
            "SELECT workspace, provider, grant_type, connection FROM connections
             WHERE workspace = :workspace AND fingerprint = :fingerprint
             AND (provider, grant_type, connection) <> (:provider, :grant_type, :connection) LIMIT 1",
        )?
        .query_row(
            connection_params!(key, ":fingerprint": fingerprint),
            connection_key,
        )
        .optional()
}

fn generation(connection: &Connection, key: &ConnectionKey) -> Result<u64> {
    connection
        .prepare_cached(of_connection!("SELECT generation FROM connections"))?
        .query_row(connection_params!(key), |row| number(row, 0))
        .optional()
        .map(Option::unwrap_or_default)
}

fn attempt(connection: &Connection, key: &ConnectionKey) -> Result<Option<Attempt>> {
    connection
        .prepare_cached(of_connection!(
            "SELECT id, boot_id, pid_namespace, pid, start_time, deadline, generation, outcome, failures, retry_at,
             ended_at, note_key, note_generation, note_blob FROM attempts"
        ))?
        .query_row(connection_params!(key), |row| {
            Ok(Attempt {
                id: AttemptId(row.get(0)?),
                owner: Owner {
                    boot_id: row.get(1)?,
                    pid_namespace: number(row, 2)?,
                    pid: row.get(3)?,
                    start_time: number(row, 4)?,
                },
                deadline: Monotonic::from_millis(row.get(5)?),
                generation: number(row, 6)?,
                ending: match row.get::<_, Option<String>>(7)? {
                    None => None,
                    Some(_) => Some(ending(row)?),
                },
            })
        })
        .optional()
}

fn ending(row: &Row<'_>) -> Result<Ending> {
    Ok(Ending {
        outcome: word(row, 7, EndingOutcome::parse)?,
        failures: row.get(8)?,
        retry_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_millis),
        at: Timestamp::from_millis(row.get(10)?),
        note: optional_sealed(row, 11)?,
    })
}

fn put_connection(connection: &Connection, commit: &Commit) -> Result<()> {
    let grant = commit.grant.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO connections
             (workspace, provider, grant_type, connection, generation, state, expires_at, refreshed_at,
              grant_key, grant_generation, grant_blob, fingerprint)
             VALUES (:workspace, :provider, :grant_type, :connection, :generation, :state, :expires_at, :refreshed_at,
                     :grant_key, :grant_generation, :grant_blob, :fingerprint)
             ON CONFLICT DO UPDATE SET generation = excluded.generation, state = excluded.state,
             expires_at = iif(:replaces, excluded.expires_at, expires_at), refreshed_at = coalesce(excluded.refreshed_at, refreshed_at),
             grant_key = coalesce(excluded.grant_key, grant_key),
             grant_generation = coalesce(excluded.grant_generation, grant_generation),
             fingerprint = iif(excluded.grant_blob IS NULL, fingerprint, excluded.fingerprint),
             grant_blob = coalesce(excluded.grant_blob, grant_blob)",
        )?
        .execute(connection_params!(commit.key,
            ":generation": commit.generation.cast_signed(),
            ":state": commit.state.as_str(),
            ":expires_at": commit.expires_at.map(Timestamp::millis),
            ":refreshed_at": commit.refreshed_at.map(Timestamp::millis),
            ":grant_key": grant.map(|grant| grant.key_id),
            ":grant_generation": grant.map(|grant| grant.generation.cast_signed()),
            ":grant_blob": grant.map(|grant| &grant.blob),
            ":fingerprint": commit.fingerprint,
            ":replaces": commit.replaces_default_token(),
        ))?;
    Ok(())
}

fn put_token(connection: &Connection, key: &ConnectionKey, token: &TokenRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tokens
             (workspace, provider, grant_type, connection, resource, token_key, token_generation, token_blob)
             VALUES (:workspace, :provider, :grant_type, :connection, :resource, :key, :generation, :blob)
             ON CONFLICT DO UPDATE SET token_key = excluded.token_key, token_generation = excluded.token_generation,
             token_blob = excluded.token_blob",
        )?
        .execute(connection_params!(key,
            ":resource": token.resource,
            ":key": token.sealed.key_id,
            ":generation": token.sealed.generation.cast_signed(),
            ":blob": token.sealed.blob,
        ))?;
    Ok(())
}

fn put_event(connection: &Connection, commit: &Commit) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO events (at, workspace, provider, grant_type, connection, what, reason)
             VALUES (:at, :workspace, :provider, :grant_type, :connection, :what, :reason)",
        )?
        .execute(connection_params!(commit.key,
            ":at": commit.event.at.millis(),
            ":what": commit.event.what,
            ":reason": commit.event.reason,
        ))?;
    connection
        .prepare_cached("DELETE FROM events WHERE id <= ?1")?
        .execute([connection.last_insert_rowid() - KEPT_EVENTS])?;
    Ok(())
}

/// The rows of a list that can be read: one that is damaged hides no other.
fn readable<T>(rows: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let sound = rows.filter(|row| match row {
        Err(error) if error.sqlite_error().is_none() => {
            tracing::warn!(%error, "a damaged row of the store is left out");
            false
        }
        _ => true,
    });
    sound.collect()
}

fn integration_row(row: &Row<'_>) -> Result<IntegrationRow> {
    Ok(IntegrationRow {
        key: integration_key(row)?,
        revision: number(row, 3)?,
        sealed: sealed(row, 4)?,
    })
}

fn connection_row(row: &Row<'_>) -> Result<ConnectionRow> {
    Ok(ConnectionRow {
        key: connection_key(row)?,
        generation: number(row, 4)?,
        state: word(row, 5, StoredState::parse)?,
        expires_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        refreshed_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        grant: optional_sealed(row, 8)?,
    })
}

/// Columns 0 to 2.
fn integration_key(row: &Row<'_>) -> Result<IntegrationKey> {
    Ok(IntegrationKey {
        workspace: row.get::<_, Arc<str>>(0)?,
        provider: row.get::<_, Arc<str>>(1)?,
        grant_type: word(row, 2, GrantType::parse)?,
    })
}

/// Columns 0 to 3.
fn connection_key(row: &Row<'_>) -> Result<ConnectionKey> {
    Ok(ConnectionKey {
        integration: integration_key(row)?,
        connection: row.get::<_, Arc<str>>(3)?,
    })
}

/// Three columns from `at`: key, generation, blob.
fn sealed(row: &Row<'_>, at: usize) -> Result<Sealed> {
    Ok(Sealed {
        key_id: row.get(at)?,
        generation: number(row, at + 1)?,
        blob: row.get(at + 2)?,
    })
}

fn optional_sealed(row: &Row<'_>, at: usize) -> Result<Option<Sealed>> {
    match row.get::<_, Option<i64>>(at)? {
        None => Ok(None),
        Some(_) => sealed(row, at).map(Some),
    }
}

/// Numbers have no sign here and one in SQLite.
fn number(row: &Row<'_>, at: usize) -> Result<u64> {
    row.get(at).map(i64::cast_unsigned)
}

fn word<T>(row: &Row<'_>, at: usize, parse: fn(&str) -> Option<T>) -> Result<T> {
    let text: String = row.get(at)?;
    parse(&text).ok_or_else(|| {
        let unknown = format!("the unknown word {text:?}");
        rusqlite::Error::FromSqlConversionFailure(at, Type::Text, unknown.into())
    })
}
