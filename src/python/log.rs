//! Events of the core wait here until a Python thread hands them to `logging`: no Rust thread calls Python.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::system;

/// Events kept for a thread to deliver; older ones are dropped.
const KEPT: usize = 512;

static WAITING: Mutex<VecDeque<(Level, String)>> = Mutex::new(VecDeque::new());
static ANY: AtomicBool = AtomicBool::new(false);

/// Collects the core's own events from now on.
pub(super) fn install() {
    // An embedding program may have set its own subscriber: then its events go there.
    let _ = tracing::subscriber::set_global_default(Collector);
}

/// Hands waiting events to the logger `evergrant`, if the program uses `logging` at all.
///
/// Python code runs here, so a Ctrl-C may arrive here: that is raised. What else goes wrong in a handler is not the
/// caller's.
pub(super) fn deliver(py: Python<'_>) -> PyResult<()> {
    match try_deliver(py) {
        Err(error) if error.is_instance_of::<PyException>(py) => error.write_unraisable(py, None),
        outcome => return outcome,
    }
    Ok(())
}

fn try_deliver(py: Python<'_>) -> PyResult<()> {
    // A daemon thread may be killed inside of a handler while the interpreter ends, with our frames below: it leaves
    // the events to others.
    if !ANY.load(Ordering::Relaxed) || is_daemon(py)? {
        return Ok(());
    }
    ANY.store(false, Ordering::Relaxed);
    let events = {
        let _entered = system::enter();
        std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner))
    };
    log_all(py, events)
}

fn is_daemon(py: Python<'_>) -> PyResult<bool> {
    let Ok(threading) = py.import("sys")?.getattr("modules")?.get_item("threading") else {
        return Ok(false);
    };
    threading
        .call_method0("current_thread")?
        .getattr("daemon")?
        .extract()
}

fn log_all(py: Python<'_>, events: VecDeque<(Level, String)>) -> PyResult<()> {
    let Ok(logging) = py.import("sys")?.getattr("modules")?.get_item("logging") else {
        return Ok(());
    };
    let logger = logging.call_method1("getLogger", ("evergrant",))?;
    for (level, message) in events {
        let number = match level {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG | Level::TRACE => 10,
        };
        logger.call_method1("log", (number, "%s", message))?;
    }
    Ok(())
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("_core") && *metadata.level() <= Level::DEBUG
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == KEPT {
            waiting.pop_front();
        }
        waiting.push_back((*event.metadata().level(), line.0 + &line.1));
        ANY.store(true, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message, and the fields behind it.
#[derive(Default)]
struct Line(String, String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String can't fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.1, " {name}={value:?}"),
        };
    }
}
