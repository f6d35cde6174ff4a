//! The port of an event loop: finished calls wait here until the loop's own thread takes their numbers.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::system::{self, Signal};

/// How many results a wake-up takes, so that a loop in debug mode calls none of ours slow.
const AT_ONCE: usize = 64;

/// Finished calls of one event loop, and the file descriptor that the loop watches.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Port(pub(super) Arc<Queue>);

/// The queue behind a [`Port`]. Rust threads push numbers; no Python object is ever held by one.
#[derive(Debug)]
pub(super) struct Queue {
    finished: Mutex<VecDeque<u64>>,
    signal: Signal,
}

impl Queue {
    /// Notes that a call is finished and wakes the loop.
    pub(super) fn push(&self, number: u64) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.push_back(number);
        if finished.len() == 1 {
            self.signal.raise();
        }
    }
}

#[pymethods]
impl Port {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Arc::new(Queue {
            finished: Mutex::default(),
            signal: Signal::new()?,
        })))
    }

    /// The file descriptor to watch for reading.
    fn fileno(&self) -> i32 {
        self.0.signal.as_raw_fd()
    }

    /// Numbers of finished calls, at most 64; the descriptor stays readable while there are more.
    fn take(&self) -> Vec<u64> {
        let _entered = system::enter();
        let mut finished = self
            .0
            .finished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = finished.len().min(AT_ONCE);
        let taken = finished.drain(..count).collect();
        if finished.is_empty() {
            self.0.signal.clear();
        }
        taken
    }
}
