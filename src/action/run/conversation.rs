//! Asking Python in the middle of a run: the run rests until the answer is given, and nobody is woken.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::action::value::{Mapping, Value};

/// Something that only Python can do.
#[derive(Clone, Debug)]
pub enum PythonStep {
    /// A lambda, called with these values.
    Lambda {
        /// Its source.
        source: String,
        /// What it is called with.
        values: Vec<Value>,
    },
    /// A step of `core.transform`.
    Transform {
        /// What stands behind `core.transform.`.
        name: String,
        /// Its arguments by name.
        arguments: Mapping,
    },
    /// `core.script.run_python`.
    Script {
        /// Its arguments by name.
        arguments: Mapping,
    },
    /// A function that the caller registered.
    Function {
        /// The name of the action.
        name: String,
        /// Its inputs.
        inputs: Mapping,
    },
}

/// What Python answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The value.
    Value(Value),
    /// Why there is none, in words fit to be shown.
    Failed(String),
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// The run's.
    #[default]
    Rust,
    /// The run has asked.
    Asked(PythonStep),
    /// Python's.
    Python,
    /// Python has answered.
    Answered(Answer),
}

/// What passes between a run and its caller.
#[derive(Debug, Default)]
pub(super) struct Conversation(Mutex<Turn>);

impl Conversation {
    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, step: PythonStep) -> Answer {
        self.set(Turn::Asked(step));
        poll_fn(|_| {
            let mut turn = self.lock();
            match std::mem::take(&mut *turn) {
                Turn::Answered(answer) => Poll::Ready(answer),
                other => {
                    *turn = other;
                    // Whoever gives the answer polls again.
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What was asked, once.
    pub(super) fn asked(&self) -> Option<PythonStep> {
        let mut turn = self.lock();
        match std::mem::take(&mut *turn) {
            Turn::Asked(step) => {
                *turn = Turn::Python;
                Some(step)
            }
            other => {
                *turn = other;
                None
            }
        }
    }

    pub(super) fn set(&self, turn: Turn) {
        *self.lock() = turn;
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
