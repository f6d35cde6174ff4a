//! The wait at exit: armed in each process at its first flight, it waits until no request is unfinished.
//!
//! It refuses nothing and shuts nothing down, so being called by four mechanisms is free.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

use crate::engine::runtime;
use crate::python::convert;
use crate::system;

/// A request is over after this long in any case.
const LONGEST: Duration = Duration::from_secs(150);
/// How long the wait goes between two looks for Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);

/// The process (fork epoch + 1) that is armed.
static ARMED: AtomicU64 = AtomicU64::new(0);
/// The process (as above) whose wait a signal has ended.
static GIVEN_UP: AtomicU64 = AtomicU64::new(0);

/// The interpreter has begun to take its modules apart: no Python thread but the one that ends it runs any more.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Kept by the module, and let go of when the interpreter takes its modules apart.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Lifeline;

impl Drop for Lifeline {
    fn drop(&mut self) {
        ENDED.store(true, Ordering::Relaxed);
    }
}

/// Whether a thread that waits may still be woken. A daemon thread whose event loop wakes after the interpreter is gone
/// asks for a lock that is freed: uvloop crashes there.
pub(super) fn may_wake() -> bool {
    !ENDED.load(Ordering::Relaxed)
}

/// Arms the wait of this process, once. A Ctrl-C that arrives meanwhile is raised when all four are armed.
pub(super) fn arm(py: Python<'_>) -> PyResult<()> {
    if ARMED.swap(this_process(), Ordering::Relaxed) == this_process() {
        return Ok(());
    }
    let wait = wrap_pyfunction!(_wait_at_exit, py)?;
    let armed = [
        system::at_exit(wait_without_python).map_err(PyErr::from),
        at_exit(py, &wait),
        in_threading(py, &wait),
        in_multiprocessing(py, &wait),
    ];
    armed.into_iter().collect()
}

fn at_exit(py: Python<'_>, wait: &Bound<'_, PyCFunction>) -> PyResult<()> {
    py.import("atexit")?
        .call_method1("register", (wait,))
        .map(drop)
}

fn in_threading(py: Python<'_>, wait: &Bound<'_, PyCFunction>) -> PyResult<()> {
    let registered = py
        .import("threading")?
        .call_method1("_register_atexit", (wait,));
    match registered {
        // Private and, in a finalising interpreter, refusing: the other three remain.
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(()),
        registered => registered.map(drop),
    }
}

fn in_multiprocessing(py: Python<'_>, wait: &Bound<'_, PyCFunction>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(util) = modules.get_item("multiprocessing.util") else {
        return Ok(());
    };
    let keywords = PyDict::new(py);
    keywords.set_item("exitpriority", -1000)?;
    util.call_method("Finalize", (py.None(), wait), Some(&keywords))
        .map(drop)
}

fn this_process() -> u64 {
    system::epoch() + 1
}

/// Waits until this process has no unfinished request, at most `timeout` seconds; `True` when none is left.
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub(super) fn drain(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    let limit = timeout.map_or(LONGEST, convert::duration);
    let mut waited = Duration::ZERO;
    loop {
        let slice = SLICE.min(limit.saturating_sub(waited));
        if py.detach(|| runtime::drain(slice)) {
            return Ok(true);
        }
        py.check_signals()?;
        waited += slice;
        if waited >= limit {
            return Ok(false);
        }
    }
}

/// The wait itself. A Ctrl-C ends it, and those of the other mechanisms.
#[pyfunction]
fn _wait_at_exit(py: Python<'_>) -> PyResult<()> {
    if has_given_up() {
        return Ok(());
    }
    let Err(error) = drain(py, None) else {
        return Ok(());
    };
    GIVEN_UP.store(this_process(), Ordering::Relaxed);
    // The wait is all that it was meant to end: the program ends already.
    match error.is_instance_of::<PyKeyboardInterrupt>(py) {
        true => Ok(()),
        false => Err(error),
    }
}

extern "C" fn wait_without_python() {
    if !has_given_up() {
        runtime::drain(LONGEST);
    }
}

fn has_given_up() -> bool {
    GIVEN_UP.load(Ordering::Relaxed) == this_process()
}
