//! The process that is killed: this test binary once more, with one verb to do.

use std::path::PathBuf;
use std::process::Command;

use _core::error::Result;
use _core::fault::{self, Action};

use super::workspace::{Verb, Workspace, within};

const NAME: &str = "kills::victim::victim";
const FOLDER: &str = "EVERGRANT_TEST_FOLDER";
const SERVER: &str = "EVERGRANT_TEST_SERVER";
const VERB: &str = "EVERGRANT_TEST_VERB";
const POINT: &str = "EVERGRANT_TEST_POINT";
const AGAIN: &str = "EVERGRANT_TEST_AGAIN";

/// A process that does `verb` once it is told to go; `again`: and then once more.
pub(super) fn command(verb: Verb, folder: &std::path::Path, server: &str, again: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([NAME, "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SERVER, server)
        .env(VERB, verb.word());
    if again {
        command.env(AGAIN, "1");
    }
    command
}

/// A process that does `verb` and dies at a named point.
pub(super) fn dying_at(point: &str, verb: Verb, folder: &std::path::Path, server: &str) -> Command {
    let mut command = command(verb, folder, server, false);
    command.env(POINT, point);
    command
}

#[test]
#[ignore = "the process that the tests of this module start"]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let server = std::env::var(SERVER).unwrap();
    let verb = Verb::parse(&std::env::var(VERB).unwrap()).unwrap();
    if let Ok(point) = std::env::var(POINT) {
        fault::arm(&point, Action::Kill);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    say("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let (kept, outcome) = runtime.block_on(first(verb, folder.clone(), &server));
    say(&outcome);
    if std::env::var_os(AGAIN).is_some() {
        say(&runtime.block_on(second(verb, kept, folder, &server)));
    }
}

/// Opens, does the verb, and closes if that worked; else the process goes on with what it has.
async fn first(verb: Verb, folder: PathBuf, server: &str) -> (Option<Workspace>, String) {
    let workspace = match within(Workspace::open(&folder)).await {
        Some(Ok(workspace)) => workspace,
        other => return (None, word(other.map(|opened| opened.map(drop)))),
    };
    let outcome = within(workspace.call(verb, server, 1)).await;
    let kept = match &outcome {
        Some(Ok(())) => None,
        _ => Some(workspace),
    };
    (kept, word(outcome))
}

async fn second(verb: Verb, kept: Option<Workspace>, folder: PathBuf, server: &str) -> String {
    let workspace = match kept {
        Some(kept) => {
            kept.rest();
            kept
        }
        None => match within(Workspace::open_rested(&folder)).await {
            Some(Ok(opened)) => opened,
            other => return word(other.map(|opened| opened.map(drop))),
        },
    };
    word(within(workspace.call(verb, server, 2)).await)
}

/// `ok`, the code of an error, or `hangs`.
fn word(outcome: Option<Result<()>>) -> String {
    match outcome {
        Some(Ok(())) => "ok".to_owned(),
        Some(Err(error)) => error.code().to_owned(),
        None => "hangs".to_owned(),
    }
}

/// One line in one write.
fn say(word: &str) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout();
    stdout.write_all(format!("\n{word}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}
