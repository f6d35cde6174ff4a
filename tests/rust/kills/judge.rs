//! What a process that comes later finds: the connection works, or it is in one of the windows that are listed.

use std::fs;
use std::path::Path;

use _core::error::{Error, ErrorKind};
use _core::store::{StoredState, schema};
use rusqlite::Connection;

use super::server::Server;
use super::workspace::{Verb, Workspace, file, within};

/// What came of a run, or what must not have.
pub(super) type Judgement = Result<String, String>;

/// The token of the connection that nobody touches.
pub(super) const UNTOUCHED: &str = "at-1";

/// What may be so after a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// What the server had answered died with the process.
    pub(super) lost: bool,
    /// A grant lives on at the server: the caller was told.
    pub(super) lives_on: bool,
    /// Rests that failures ask for have passed.
    pub(super) rested: bool,
}

/// Judges what the process `pid` left in `folder`.
pub(super) async fn judge(
    verb: Verb,
    folder: &Path,
    server: &Server,
    pid: u32,
    allowed: Allowed,
) -> Judgement {
    let judged = async {
        let workspace = opened(folder, allowed).await?;
        if verb != Verb::Migrate {
            untouched(&workspace, server).await?;
        }
        let outcome = match verb {
            Verb::Refresh => refreshed(&workspace, server, allowed.lost).await,
            Verb::Connect => connected(&workspace, server, allowed.lost).await,
            Verb::Disconnect => disconnected(&workspace, server, allowed.lives_on).await,
            Verb::Remove => removed(&workspace, server, allowed.lives_on).await,
            Verb::Apply => applied(&workspace, server).await,
            Verb::Migrate => migrated(&workspace, folder, server).await,
        }?;
        drop(workspace);
        // Slots of the dead are emptied by one opening and removed by the next.
        drop(opened(folder, allowed).await?);
        no_slots_of(pid, folder)?;
        sound(folder)?;
        Ok(outcome)
    };
    within(judged)
        .await
        .unwrap_or_else(|| Err("a later process hangs".to_owned()))
}

async fn opened(folder: &Path, allowed: Allowed) -> Result<Workspace, String> {
    let opened = match allowed.rested {
        true => Workspace::open_rested(folder).await,
        false => Workspace::open(folder).await,
    };
    opened.map_err(|error| format!("it does not open: {error}"))
}

async fn untouched(workspace: &Workspace, server: &Server) -> Result<(), String> {
    let before = server.book().requests;
    let token = workspace.token("elsewhere", "default").await;
    let token = token.map_err(|error| format!("another connection is gone: {error}"))?;
    let asked = server.book().requests - before;
    must(
        token == UNTOUCHED && asked == 0,
        "another connection was touched",
    )
}

/// One refresh in all, by whomever, and a token that the server takes; or the reply died with the process.
async fn refreshed(workspace: &Workspace, server: &Server, window: bool) -> Judgement {
    let rotated = server.book().refreshes;
    match workspace.token("acme", "default").await {
        Ok(token) => {
            valid(server, &token)?;
            must(server.book().refreshes == 1, "refreshed more than once")?;
            Ok(match rotated {
                0 => "nothing was rotated, the next process asks",
                _ => "the reply is kept",
            }
            .to_owned())
        }
        Err(error) => {
            must(
                rotated == 1 && window && says_lost(&error),
                &format!("no token: {error}"),
            )?;
            works_after_sign_in(workspace, server).await?;
            Ok("WINDOW the reply is lost, and the error says so".to_owned())
        }
    }
}

async fn connected(workspace: &Workspace, server: &Server, window: bool) -> Judgement {
    // One was that of the connection elsewhere.
    let exchanged = server.book().exchanges - 1;
    match workspace.token("acme", "default").await {
        Ok(token) => {
            valid(server, &token)?;
            must(server.book().reused == 0, "a code was sent twice")?;
            Ok("connected".to_owned())
        }
        Err(error) => {
            must(
                not_connected(&error) && (exchanged == 0 || window),
                &format!("no token: {error}"),
            )?;
            // Good once more, or refused here: a code that was sent is not sent again.
            let again = workspace.sign_in_with_the_same_callback().await;
            must(
                again.is_ok() == (exchanged == 0) || again.is_err(),
                "a callback is good twice",
            )?;
            must(server.book().reused == 0, "a code was sent twice")?;
            works_after_sign_in(workspace, server).await?;
            Ok(match exchanged {
                0 => "not connected, and no code was spent",
                _ => "WINDOW the code is spent, the person signs in once more",
            }
            .to_owned())
        }
    }
}

async fn disconnected(workspace: &Workspace, server: &Server, lives_on: bool) -> Judgement {
    let outcome = left(workspace, server, "default", lives_on).await?;
    if outcome != CONNECTED {
        let again = workspace.call(Verb::Disconnect, &server.base, 9).await;
        again.map_err(|error| format!("the next disconnect does not finish it: {error}"))?;
        must(
            workspace.state("default").await == Some(StoredState::Disconnected),
            "the next disconnect does not finish it",
        )?;
        revoked(server, "default", lives_on)?;
    }
    Ok(outcome)
}

async fn removed(workspace: &Workspace, server: &Server, lives_on: bool) -> Judgement {
    let configured = workspace.is_configured().await;
    let mut outcomes = Vec::new();
    for connection in ["bob", "default"] {
        outcomes.push(match configured {
            true => left(workspace, server, connection, lives_on).await?,
            false => revoked(server, connection, lives_on)?,
        });
    }
    if configured {
        let again = workspace.call(Verb::Remove, &server.base, 9).await;
        again.map_err(|error| format!("the next remove does not finish it: {error}"))?;
    }
    must(!workspace.is_configured().await, "it is configured still")?;
    for connection in ["bob", "default"] {
        revoked(server, connection, lives_on)?;
    }
    let integration = if configured { "there" } else { "gone" };
    Ok(format!(
        "bob is {}, default {}, the integration {integration}",
        outcomes[0], outcomes[1]
    ))
}

const CONNECTED: &str = "connected";

/// A connection that was being left: still in use, marked, or gone, and never gone before its grant is.
async fn left(
    workspace: &Workspace,
    server: &Server,
    connection: &str,
    lives_on: bool,
) -> Judgement {
    let state = workspace.state(connection).await;
    let ended = server.book().has_ended(connection);
    match (state, workspace.token("acme", connection).await) {
        (Some(StoredState::Connected), Ok(token)) => {
            valid(server, &token)?;
            Ok(CONNECTED.to_owned())
        }
        (Some(StoredState::Disconnecting), Err(error)) if not_connected(&error) => {
            Ok(match ended {
                true => "marked and revoked, the next call finishes",
                false => "marked, the next call finishes",
            }
            .to_owned())
        }
        (Some(StoredState::Disconnected), Err(error)) if not_connected(&error) => {
            revoked(server, connection, lives_on)
        }
        (state, token) => Err(format!("{connection} is {state:?} and gives {token:?}")),
    }
}

/// A connection that is gone. Every grant began with its connection's name as the code.
fn revoked(server: &Server, connection: &str, lives_on: bool) -> Judgement {
    match server.book().has_ended(connection) {
        true => Ok("gone".to_owned()),
        false if lives_on => Ok("gone, and the report says what lives on".to_owned()),
        false => Err("deleted, and its grant lives on at the server".to_owned()),
    }
}

async fn applied(workspace: &Workspace, server: &Server) -> Judgement {
    let configured = workspace.is_configured().await;
    let mut there = usize::from(configured);
    for connection in ["alice", "bob"] {
        match workspace.state(connection).await {
            None => {}
            Some(StoredState::Connected) if configured => {
                // From here on the refresh token that the file names is a used one.
                let token = workspace.token("acme", connection).await;
                valid(server, &token.map_err(|error| error.to_string())?)?;
                there += 1;
            }
            other => return Err(format!("{connection} is {other:?}")),
        }
    }
    let again = workspace.call(Verb::Apply, &server.base, 9).await;
    again.map_err(|error| format!("it can't be applied again: {error}"))?;
    for connection in ["alice", "bob"] {
        let token = workspace.token("acme", connection).await;
        valid(
            server,
            &token.map_err(|error| format!("{connection} does not work: {error}"))?,
        )?;
    }
    Ok(format!("{there} of 3 entries, the next apply finishes"))
}

async fn migrated(workspace: &Workspace, folder: &Path, server: &Server) -> Judgement {
    let configured = workspace.is_configured().await;
    let made = fs::metadata(file(folder)).is_ok_and(|metadata| metadata.len() > 0);
    let is_new = !made || schema_of(folder)? == schema::VERSION;
    let again = workspace.call(Verb::Migrate, &server.base, 9).await;
    again.map_err(|error| format!("it can't be configured: {error}"))?;
    works_after_sign_in(workspace, server).await?;
    Ok(match (made, is_new, configured) {
        (false, ..) => "no store yet, the next process makes it",
        (true, false, _) => "the schema before, the next process migrates",
        (true, true, false) => "a store without the integration",
        (true, true, true) => "configured",
    }
    .to_owned())
}

async fn works_after_sign_in(workspace: &Workspace, server: &Server) -> Result<(), String> {
    let signed_in = workspace.sign_in("default", "repair").await;
    signed_in.map_err(|error| format!("nobody can sign in: {error}"))?;
    let token = workspace.token("acme", "default").await;
    let token = token.map_err(|error| format!("a new sign-in does not work: {error}"))?;
    must(
        server.book().takes(&token),
        "the server does not take the token of a new sign-in",
    )
}

fn valid(server: &Server, token: &str) -> Result<(), String> {
    let book = server.book();
    must(book.takes(token), "the token is none that the server takes")?;
    must(book.reused == 0, "a refresh token or code was used twice")
}

fn says_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ReauthorizationRequired { .. })
        && error.reason().contains("was lost")
}

fn not_connected(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotConnected)
}

fn no_slots_of(pid: u32, folder: &Path) -> Result<(), String> {
    let slots = folder.join("home").join("store.db.spill");
    let names = fs::read_dir(slots).into_iter().flatten();
    let own = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .any(|name| name.starts_with(&format!("{pid}-")));
    must(!own, "its file of slots stays behind")
}

fn schema_of(folder: &Path) -> Result<i64, String> {
    let version = Connection::open(file(folder)).and_then(|connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get(0))
    });
    version.map_err(|error| error.to_string())
}

/// Looked at with the SQLite of this process, which knows the locks of the core.
fn sound(folder: &Path) -> Result<(), String> {
    let connection = Connection::open(file(folder)).map_err(|error| error.to_string())?;
    let sound = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, String>(0));
    let whole = sound("PRAGMA integrity_check").is_ok_and(|word| word == "ok");
    must(whole, "the file is damaged")
}

fn must(holds: bool, otherwise: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(otherwise.to_owned()),
    }
}
