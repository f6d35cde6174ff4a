//! SIGKILL, a full disk and a failing one at every system call of every verb that writes.
//!
//! A campaign runs a verb in a process of its own as often as the verb makes system calls, and strikes at another one
//! each time. Threads take turns differently from run to run, so a point is a number, and its name is what was struck.
//! Nothing is left out: every call of every thread counts, from before the store is opened until after it is closed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use _core::store::schema::{APPLICATION_ID, MIGRATIONS};
use nix::errno::Errno;
use tempfile::TempDir;

use self::judge::{Allowed, judge};
use self::server::{Book, Server};
use self::tracer::{Plan, Run};
use self::workspace::{Verb, prepare};

mod calls;
mod each_call;
mod judge;
mod points;
mod server;
mod tracer;
mod victim;
mod workspace;

/// So many runs in a row that nothing struck end a campaign: threads may make a few calls more or less.
const SPARED: usize = 3;
/// So many wrong outcomes end one too.
const ENOUGH: usize = 10;

/// What strikes.
#[derive(Clone, Copy, Debug)]
enum Strike {
    /// SIGKILL.
    Kill,
    /// ENOSPC, from then on until the verb returned.
    FullDisk,
    /// EIO, once.
    FailingDisk,
}

/// A verb, and what was there before it.
struct Campaign {
    verb: Verb,
    server: Server,
    /// Copied for every run.
    template: TempDir,
    book: Book,
    runtime: tokio::runtime::Runtime,
}

impl Campaign {
    /// The first call in a store of that schema; 0: there is no store.
    fn at_schema(schema: i64) -> Self {
        let campaign = Self::of(Verb::Migrate);
        if schema > 0 {
            make_at_schema(schema, campaign.template.path());
        }
        campaign
    }

    fn of(verb: Verb) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let template = tempfile::tempdir().unwrap();
        let server = Server::start();
        runtime.block_on(prepare(verb, template.path(), &server));
        let book = server.book().clone();
        Self {
            verb,
            server,
            template,
            book,
            runtime,
        }
    }

    /// Strikes at every point, writes the histogram, and fails if something came of it that must not.
    fn run(&self, strike: Strike) {
        let mut histogram = Histogram::default();
        let mut wrong = Vec::new();
        let (mut at, mut spared, mut stored) = (0, 0, 0);
        while spared < SPARED && wrong.len() < ENOUGH {
            let folder = self.folder();
            let run = self.strike(folder.path(), strike.plan(at), strike);
            spared = if run.struck.is_some() { 0 } else { spared + 1 };
            stored += usize::from(self.has_stored(&run));
            let judgement = self.judge(folder.path(), &run, strike);
            let point = run.struck.as_ref().map_or_else(
                || "none: it ended before".to_owned(),
                |call| format!("{} {}", call.name, call.file),
            );
            match judgement {
                Ok(outcome) => histogram.count(point, outcome),
                Err(why) => {
                    wrong.push(format!(
                        "{at}: {point}: {why}: {} {}",
                        run.words, run.complaints
                    ));
                    histogram.count(point, format!("WRONG {why}"));
                }
            }
            at += 1;
        }
        let table = histogram.written(self.verb, strike);
        assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
        let hears = !matches!(self.verb, Verb::Apply | Verb::Migrate);
        assert!(stored > SPARED || !hears, "no reply was stored: {table}");
        assert!(at > 3 * SPARED, "a verb makes more system calls: {table}");
    }

    /// A fresh copy of what was there before, for the server too.
    fn folder(&self) -> TempDir {
        *self.server.book() = self.book.clone();
        let folder = tempfile::tempdir().unwrap();
        copy(self.template.path(), folder.path());
        folder
    }

    fn strike(&self, folder: &Path, plan: Plan, strike: Strike) -> Run {
        let again = !matches!(strike, Strike::Kill);
        let mut command = victim::command(self.verb, folder, &self.server.base, again);
        tracer::run(&mut command, folder, plan)
    }

    fn judge(&self, folder: &Path, run: &Run, strike: Strike) -> Result<String, String> {
        // What the victim had sent is answered, heard or not.
        self.server.settle();
        let killed = matches!(strike, Strike::Kill);
        let allowed = Allowed {
            lost: killed && !self.has_stored(run),
            lives_on: run.words.contains("_reported"),
            rested: !killed,
        };
        let judged = judge(self.verb, folder, &self.server, run.pid, allowed);
        let found = self.runtime.block_on(judged)?;
        if killed {
            return Ok(found);
        }
        let mut words = run.words.lines().filter(|line| !line.is_empty());
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            return Err("it ended before it answered".to_owned());
        };
        // What is removed already is not known any more.
        let done = second == "ok"
            || (self.verb == Verb::Remove && first != second && second == "unknown_provider");
        match run.succeeded && done && first != "internal" && first != "hangs" {
            true => Ok(format!("{first}, the same process then {second}; {found}")),
            false => Err(format!("first {first}, then {second}, at last {found}")),
        }
    }

    /// Whether the process had stored what the server answered.
    fn has_stored(&self, run: &Run) -> bool {
        match self.verb {
            // The first write of all is that of the reply, to its slot.
            Verb::Refresh => run.has_made_after_reply(|call| call.name == "pwrite64"),
            // The grant is committed before anything else is asked.
            _ => {
                self.server.book().looked_up > self.book.looked_up
                    || run.has_made_after_reply(|call| call.name == "fsync")
            }
        }
    }
}

impl Strike {
    fn plan(self, at: usize) -> Plan {
        match self {
            Self::Kill => Plan::Kill(at),
            Self::FullDisk => Plan::FailFrom(at, Errno::ENOSPC),
            Self::FailingDisk => Plan::FailOnce(at, Errno::EIO),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::FullDisk => "ENOSPC",
            Self::FailingDisk => "EIO",
        }
    }
}

/// How often what came of which point.
#[derive(Default)]
struct Histogram {
    counts: BTreeMap<(String, String), usize>,
    /// The points in the order in which they came first.
    order: Vec<(String, String)>,
}

impl Histogram {
    fn count(&mut self, point: String, outcome: String) {
        let row = (point, outcome);
        if !self.counts.contains_key(&row) {
            self.order.push(row.clone());
        }
        *self.counts.entry(row).or_default() += 1;
    }

    /// The table, written to where the tests' command prints it from.
    fn written(&self, verb: Verb, strike: Strike) -> String {
        let (verb, strike) = (verb.word(), strike.word());
        let points: usize = self.counts.values().sum();
        let mut table = format!("{strike} at every system call of {verb}, {points} runs\n");
        for row in &self.order {
            let ((point, outcome), count) = (row, self.counts[row]);
            table.push_str(&format!("{verb:10} | {point:28} | {outcome} | {count}\n"));
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.parent().unwrap().join("figures");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("kills-{verb}-{strike}.txt")), &table).unwrap();
        table
    }
}

/// A store as an older version left it.
fn make_at_schema(schema: i64, folder: &Path) {
    let file = workspace::file(folder);
    fs::create_dir(file.parent().unwrap()).unwrap();
    let store = rusqlite::Connection::open(file).unwrap();
    for migration in MIGRATIONS.iter().take(usize::try_from(schema).unwrap()) {
        store.execute_batch(migration).unwrap();
    }
    store
        .pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    store.pragma_update(None, "user_version", schema).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => {
                fs::create_dir(&target).unwrap();
                copy(&entry.path(), &target);
            }
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
