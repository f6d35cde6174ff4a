//! Running a template: Rust evaluates, asks and masks; what only Python can do is handed out and answered.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::plan::Plan;
use super::value::{Mapping, Value};
use crate::clock::{Clock, Monotonic};
use crate::engine::Engine;
use crate::engine::file::ActionFile;
use crate::error::{Error, Result};
use crate::secret::Secret;

mod conversation;
pub(super) mod runner;
pub(super) mod secrets;

pub use conversation::{Answer, PythonStep};
use conversation::{Conversation, Turn};
use runner::Runner;

/// What a caller gives beside the inputs.
#[derive(Debug, Default)]
pub struct Options {
    /// Whose tokens are used: the name of the connection.
    pub connection: String,
    /// Ordinary secrets, by name and key; these win over those of the file.
    pub secrets: BTreeMap<String, BTreeMap<String, Secret>>,
    /// What `VARS` shows, over what the file says.
    pub variables: Mapping,
    /// What `ENV` shows.
    pub environment: Mapping,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// The workspace's `evergrant.yaml`.
    pub file: Option<ActionFile>,
}

/// What a run needs next.
#[derive(Debug)]
pub enum Next {
    /// The answer of Python to this, given to [`Run::advance`].
    Python(PythonStep),
    /// Nothing: this is what the template returns, masked.
    Done(Value),
}

/// A run of a template. It rests between two calls of [`advance`](Self::advance); dropping it ends it.
pub struct Run {
    work: Pin<Box<dyn Future<Output = Result<Value>> + Send>>,
    conversation: Arc<Conversation>,
    clock: Clock,
    ends: Option<(Monotonic, Duration)>,
}

impl std::fmt::Debug for Run {
    /// Nothing: it holds secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").finish_non_exhaustive()
    }
}

impl Run {
    /// A run that has not begun. Its time counts from here on.
    pub fn new(engine: Arc<Engine>, plan: Arc<Plan>, inputs: Mapping, options: Options) -> Self {
        let conversation = Arc::new(Conversation::default());
        let clock = engine.clock().clone();
        let ends = options
            .timeout
            .map(|timeout| (clock.monotonic().after(timeout), timeout));
        let until = ends.map(|(until, _)| until);
        let talk = Arc::clone(&conversation);
        let work = Box::pin(async move {
            let runner = Runner::begin(engine, plan, options, talk, until).await?;
            runner.run(&inputs).await
        });
        Self {
            work,
            conversation,
            clock,
            ends,
        }
    }

    /// Goes on, with the answer to what was asked last, until there is a result or something else to ask. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// `ActionError` and `TemplateError`; those of [`Engine::get_token`].
    pub async fn advance(&mut self, answer: Option<Answer>) -> Result<Next> {
        if let Some(answer) = answer {
            self.conversation.set(Turn::Answered(answer));
        }
        let Some((until, timeout)) = self.ends else {
            return self.next().await;
        };
        let late = || {
            let reason = format!("the action was not done within {} s", timeout.as_secs_f64());
            Error::action("timeout", reason)
        };
        let left = until.since(self.clock.monotonic());
        if left.is_zero() {
            return Err(late());
        }
        let left = self.clock.real(left);
        match tokio::time::timeout(left, self.next()).await {
            Ok(next) => next,
            Err(_) => Err(late()),
        }
    }

    async fn next(&mut self) -> Result<Next> {
        poll_fn(|context| match self.work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map(Next::Done)),
            Poll::Pending => match self.conversation.asked() {
                Some(step) => Poll::Ready(Ok(Next::Python(step))),
                None => Poll::Pending,
            },
        })
        .await
    }
}
