//! Opening the file with SQLite: flags, pragmas, whose file it is, migrations, and what its errors mean.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, ffi};

use super::file::{StoreFile, word};
use crate::error::{Error, Result};
use crate::fault;
use crate::store::schema::{APPLICATION_ID, MIGRATIONS, VERSION};

/// How long one step of the writer waits for another process; it tries again outside the fork gate.
const WRITER_PATIENCE: Duration = Duration::from_millis(100);
/// Readers wait only while another process repairs the log after a crash, or closes the file as the last one.
const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the log grows before it is merged into the file: 5 MB, some 200 refreshes. Merging costs three flushes of the
/// disk; a long log is read whole by the next process that finds the store open nowhere.
const LOG_PAGES: u32 = 1250;

/// Opens an existing file for writing, at the newest schema.
pub(super) fn open_writer(file: &StoreFile) -> Result<Connection> {
    let mut connection = open(
        file,
        file.path(),
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        WRITER_PATIENCE,
    )?;
    let outcome = (|| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
    })();
    let journal: String = outcome.map_err(|error| explain(file, &error))?;
    // What can't be opened for writing is opened for reading by SQLite, which tells nobody.
    if connection
        .is_readonly(MAIN_DB)
        .map_err(|error| explain(file, &error))?
    {
        return Err(file.read_only());
    }
    if journal != "wal" {
        return Err(file.error(
            "store_failed",
            "is on a file system without shared memory, which SQLite's log needs",
        ));
    }
    if version(file, &connection)? < VERSION {
        migrate(file, &mut connection)?;
    }
    Ok(connection)
}

/// Opens an existing file for reading; `None` when nothing was written to it yet.
pub(super) fn open_reader(file: &StoreFile) -> Result<Option<Connection>> {
    let connection = if file.writable() {
        // Reading takes part in the log's bookkeeping, so that even a reader writes beside the file.
        let connection = open(
            file,
            file.path(),
            OpenFlags::SQLITE_OPEN_READ_WRITE,
            READER_PATIENCE,
        )?;
        connection
            .pragma_update(None, "query_only", "ON")
            .map_err(|error| explain(file, &error))?;
        connection
    } else {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        open(file, Path::new(&uri(file)), flags, READER_PATIENCE)?
    };
    match version(file, &connection)? {
        0 => Ok(None),
        old if old < VERSION && file.writable() => {
            drop(open_writer(file)?);
            Ok(Some(connection))
        }
        old if old < VERSION => Err(file.read_only()),
        _ => Ok(Some(connection)),
    }
}

/// Closes without merging the log into the file: at a fork there is no time, and under a file of another name no right.
pub(super) fn close_at_once(connection: Connection) {
    // Fails only on a connection that is broken already.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}

/// What went wrong, in the user's terms. SQLite's own text can quote statements, so only its code is shown.
pub(super) fn explain(file: &StoreFile, error: &rusqlite::Error) -> Error {
    let Some(code) = error.sqlite_error() else {
        return file
            .error(
                "store_damaged",
                format!("holds something unreadable: {error}"),
            )
            .hint(file.set_aside());
    };
    match (code.code, code.extended_code) {
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => file.error(
            "store_busy",
            "is being written by another process for too long",
        ),
        // The log's index is one file more that a full disk has no room for.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => file.disk_full("written"),
        (ErrorCode::ReadOnly, ffi::SQLITE_READONLY_DBMOVED) => file.gone(),
        (ErrorCode::ReadOnly, _) => file.read_only(),
        (ErrorCode::NotADatabase, _) => foreign(file),
        // The statements are right, so a table or column that they miss was lost.
        (ErrorCode::DatabaseCorrupt, _) | (ErrorCode::Unknown, ffi::SQLITE_ERROR) => file
            .error("store_damaged", "is damaged")
            .hint(file.set_aside()),
        (ErrorCode::ConstraintViolation, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => file
            .error(
                "data_key_gone",
                "no longer has the data key that a record was sealed under",
            )
            .hint(file.set_aside()),
        (ErrorCode::CannotOpen, ffi::SQLITE_CANTOPEN_SYMLINK) => file.error(
            "store_no_file",
            "is a symbolic link, and has to be the file itself",
        ),
        (ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _) if !file.writable() => file.error(
            "store_log_unreadable",
            "can't be read: its log of changes is not merged, and its folder can't be written",
        ),
        (kind, number) => file.error(
            "store_failed",
            format!("can't be used: {kind:?} (SQLite {number})"),
        ),
    }
}

fn open(file: &StoreFile, path: &Path, mode: OpenFlags, patience: Duration) -> Result<Connection> {
    file.refuse_place()?;
    // Each connection stays behind a mutex of its own, so SQLite needs none.
    let flags = mode | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| explain(file, &error))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .busy_timeout(patience)
        .map_err(|error| explain(file, &error))?;
    refuse_foreign(file, &connection)?;
    Ok(connection)
}

/// `file:PATH?mode=ro`, and `immutable` where SQLite could not even keep its bookkeeping beside the file.
fn uri(file: &StoreFile) -> String {
    let mut uri = String::from("file:");
    for &byte in file.path().as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?mode=ro");
    if file.is_frozen() {
        uri.push_str("&immutable=1");
    }
    uri
}

/// Ours, or empty: another application's tables are never touched.
fn refuse_foreign(file: &StoreFile, connection: &Connection) -> Result<()> {
    let (application, tables): (i32, i64) = connection
        .query_row(
            "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| explain(file, &error))?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        Ok(())
    } else {
        Err(foreign(file))
    }
}

fn foreign(file: &StoreFile) -> Error {
    file.error(
        "store_foreign",
        "is not a store of evergrant; it was left as it is",
    )
    .hint(format!(
        "export EVERGRANT_STORE={}.evergrant",
        word(file.path())
    ))
}

/// The schema of the file, 0 for an empty one; refuses one that this code is too old for.
fn version(file: &StoreFile, connection: &Connection) -> Result<i64> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| explain(file, &error))?;
    if version <= VERSION {
        return Ok(version);
    }
    let min_reader: i64 = connection
        .query_row("SELECT min_reader FROM schema", [], |row| row.get(0))
        .map_err(|error| explain(file, &error))?;
    if min_reader <= VERSION {
        return Ok(version);
    }
    Err(file
        .error(
            "store_too_new",
            format!(
                "was written by a newer evergrant (schema {version}, this one knows {VERSION})"
            ),
        )
        .hint("pip install --upgrade evergrant"))
}

/// Brings the file to [`VERSION`], alone: of two processes that try, the second finds it done.
fn migrate(file: &StoreFile, connection: &mut Connection) -> Result<()> {
    let outcome = (|| {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for migration in MIGRATIONS
            .iter()
            .skip(usize::try_from(version).unwrap_or(usize::MAX))
        {
            transaction.execute_batch(migration)?;
        }
        if version < VERSION {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        fault::point("migrate.commit");
        transaction.commit()
    })();
    outcome.map_err(|error: rusqlite::Error| explain(file, &error))
}
