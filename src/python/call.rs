//! A verb under way: waited for by a thread, or attached to the port of an event loop.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pyo3::prelude::*;

use crate::clock::Clock;
use crate::engine::runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::python::bridge::{Port, Queue};
use crate::python::verbs::Answer;
use crate::python::{convert, errors, exit, log};
use crate::system::{self, Signal};

/// A signal can land on another thread than the one that waits: look for it at least so often.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);

/// What a verb answers, once it does.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

/// `work`, waited for no longer than `timeout`; what it began goes on.
pub(super) fn within(timeout: Duration, asked: Asked, mut work: Work) -> Work {
    Box::pin(async move {
        if let Poll::Ready(outcome) =
            poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
        {
            return outcome;
        }
        // The first poll may be on a thread without a runtime, which has no timers.
        tokio::task::yield_now().await;
        let waited = tokio::time::timeout(timeout, work).await;
        waited.unwrap_or_else(|_| Err(no_answer(timeout, Some(&asked))))
    })
}

/// A verb under way.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Call {
    shared: Arc<Shared>,
    asked: Option<Asked>,
}

/// Whose answer is waited for.
pub(super) struct Asked {
    /// The provider that is asked.
    pub(super) provider: String,
    /// The command that asks again.
    pub(super) again: String,
}

struct Shared(Mutex<State>);

enum State {
    Running(Waiter),
    Finished(Result<Answer>),
    Taken,
}

enum Waiter {
    Nobody,
    Thread(Arc<Signal>),
    Loop(Arc<Queue>, u64),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, outcome: Result<Answer>) {
        let mut state = self.lock();
        if let State::Running(waiter) = std::mem::replace(&mut *state, State::Finished(outcome)) {
            match waiter {
                Waiter::Nobody => {}
                _ if !exit::may_wake() => {}
                Waiter::Thread(signal) => signal.raise(),
                Waiter::Loop(queue, number) => queue.push(number),
            }
        }
    }
}

impl Call {
    /// Polls `work` once on this thread: what is cached or stored is answered without a runtime. The rest goes to the
    /// runtime, which finishes it whoever stops waiting.
    pub(super) fn start(py: Python<'_>, work: Work) -> PyResult<Self> {
        Self::begin(py, work, true)
    }

    /// Says whose answer is waited for, in case it does not come in time.
    pub(super) fn asking(self, asked: Asked) -> Self {
        Self {
            asked: Some(asked),
            ..self
        }
    }

    /// Gives `work` to the runtime at once: it will use the network or timers.
    pub(super) fn spawn(py: Python<'_>, work: Work) -> PyResult<Self> {
        Self::begin(py, work, false)
    }

    fn begin(py: Python<'_>, work: Work, poll_first: bool) -> PyResult<Self> {
        if system::unprepared_fork() {
            let error = Error::new(
                ErrorKind::Store,
                "unprepared_fork",
                "evergrant can't be used in a process that was forked without its fork handlers (a raw fork): \
                 fork with os.fork() or multiprocessing, or start the worker as a new program",
            );
            return Err(errors::to_exception(py, &error));
        }
        let (shared, goes_on) = py.detach(|| {
            let mut work = system::Gated::new(work);
            if poll_first
                && let Poll::Ready(outcome) =
                    Pin::new(&mut work).poll(&mut Context::from_waker(Waker::noop()))
            {
                let shared = Arc::new(Shared(Mutex::new(State::Finished(outcome))));
                return (shared, runtime::unfinished());
            }
            let shared = Arc::new(Shared(Mutex::new(State::Running(Waiter::Nobody))));
            let finisher = Finisher(Arc::clone(&shared));
            runtime::spawn(async move { finisher.finish(work.await) });
            (shared, true)
        });
        // What went to the runtime may begin a request at any time from now on.
        if goes_on {
            exit::arm(py)?;
        }
        log::deliver(py)?;
        Ok(Self {
            shared,
            asked: None,
        })
    }

    /// Waits without the interpreter lock; signals are answered at once. `None` when `watch` became readable first.
    pub(super) fn answer(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        watch: Option<i32>,
    ) -> PyResult<Option<Answer>> {
        let clock = Clock::system();
        let until = timeout.map(|timeout| clock.monotonic().after(timeout));
        loop {
            let Some(signal) = self.listen()? else {
                log::deliver(py)?;
                return self.taken(py).map(Some);
            };
            let left = until.map(|until| until.since(clock.monotonic()));
            if left.is_some_and(|left| left.is_zero()) {
                let error = no_answer(timeout.unwrap_or_default(), self.asked.as_ref());
                return Err(errors::to_exception(py, &error));
            }
            let pause = left.map_or(LOOK_FOR_SIGNALS, |left| left.min(LOOK_FOR_SIGNALS));
            let descriptors: Vec<i32> = [Some(signal.as_raw_fd()), watch]
                .into_iter()
                .flatten()
                .collect();
            let ready = py.detach(|| system::wait_readable(&descriptors, Some(pause)));
            py.check_signals()?;
            log::deliver(py)?;
            match ready {
                Ok(Some(1)) => return Ok(None),
                // A descriptor that is none would be asked again without a pause.
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }

    /// The signal of the finish; `None` when it is finished.
    fn listen(&self) -> PyResult<Option<Arc<Signal>>> {
        let _entered = system::enter();
        match &mut *self.shared.lock() {
            State::Running(Waiter::Thread(signal)) => Ok(Some(Arc::clone(signal))),
            State::Running(waiter) => {
                let signal = Arc::new(Signal::new()?);
                *waiter = Waiter::Thread(Arc::clone(&signal));
                Ok(Some(signal))
            }
            State::Finished(_) | State::Taken => Ok(None),
        }
    }

    fn taken(&self, py: Python<'_>) -> PyResult<Answer> {
        let state = {
            let _entered = system::enter();
            std::mem::replace(&mut *self.shared.lock(), State::Taken)
        };
        match state {
            State::Finished(Ok(answer)) => Ok(answer),
            State::Finished(Err(error)) => Err(errors::to_exception(py, &error)),
            State::Running(_) | State::Taken => Err(errors::to_exception(
                py,
                &Error::internal("a result was taken twice, or before it was there"),
            )),
        }
    }
}

#[pymethods]
impl Call {
    /// Blocks until the verb is done and returns its result; the sentinel `None` of `watch` is told by `done`.
    #[pyo3(signature = (timeout=None, watch=None))]
    fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        watch: Option<i32>,
    ) -> PyResult<Py<PyAny>> {
        let timeout = timeout.map(convert::duration);
        match self.answer(py, timeout, watch)? {
            Some(answer) => answer.into_python(py),
            None => Ok(py.Ellipsis()),
        }
    }

    /// Whether the result is there.
    fn done(&self) -> bool {
        let _entered = system::enter();
        !matches!(&*self.shared.lock(), State::Running(_))
    }

    /// The result of a finished verb.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        log::deliver(py)?;
        self.taken(py)?.into_python(py)
    }

    /// Has the number put into the port once the verb is done; `False` when it is done already.
    fn attach(&self, port: &Port, number: u64) -> bool {
        let _entered = system::enter();
        match &mut *self.shared.lock() {
            State::Running(waiter) => {
                *waiter = Waiter::Loop(Arc::clone(&port.0), number);
                true
            }
            State::Finished(_) | State::Taken => false,
        }
    }
}

fn no_answer(timeout: Duration, asked: Option<&Asked>) -> Error {
    let seconds = timeout.as_secs_f64();
    let error = Error::new(
        ErrorKind::ProviderUnavailable { retry_after: None },
        "timeout",
        format!("no answer within {seconds} s; the request goes on"),
    );
    match asked {
        Some(Asked { provider, again }) => error.of_provider(provider).hint(again),
        None => error,
    }
}

/// Finishes with an error when it is dropped unused: a panic in the verb wakes whoever waits.
struct Finisher(Arc<Shared>);

impl Finisher {
    fn finish(self, outcome: Result<Answer>) {
        self.0.finish(outcome);
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        if matches!(&*self.0.lock(), State::Running(_)) {
            self.0
                .finish(Err(Error::internal("a verb failed in evergrant itself")));
        }
    }
}
