//! The wait at exit: armed in each process at its first flight, it waits until no request is unfinished.
//!
//! It refuses nothing and shuts nothing down, so being called by four mechanisms is free.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::runtime;
use crate::python::convert;
use crate::system;

/// A request is over after this long in any case.
const LONGEST: Duration = Duration::from_secs(150);
/// How long the wait goes between two looks for Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);

/// The process (fork epoch + 1) that is armed.
static ARMED: AtomicU64 = AtomicU64::new(0);

/// Arms the wait of this process, once.
pub(super) fn arm(py: Python<'_>) -> PyResult<()> {
    let process = system::epoch() + 1;
    if ARMED.swap(process, Ordering::Relaxed) == process {
        return Ok(());
    }
    let wait = py.import("evergrant._core")?.getattr("_wait_at_exit")?;
    // Private and, in a finalising interpreter, refusing: the other three remain.
    let registered = py
        .import("threading")?
        .call_method1("_register_atexit", (&wait,));
    drop(registered);
    py.import("atexit")?.call_method1("register", (&wait,))?;
    let modules = py.import("sys")?.getattr("modules")?;
    if let Ok(util) = modules.get_item("multiprocessing.util") {
        let keywords = PyDict::new(py);
        keywords.set_item("exitpriority", -1000)?;
        util.call_method("Finalize", (py.None(), &wait), Some(&keywords))?;
    }
    system::at_exit(wait_without_python)?;
    Ok(())
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

/// The wait itself. A Ctrl-C ends it.
#[pyfunction]
pub(super) fn _wait_at_exit(py: Python<'_>) -> PyResult<()> {
    drain(py, None).map(drop)
}

extern "C" fn wait_without_python() {
    runtime::drain(LONGEST);
}
