//! The steps of a run, in order, each template of it with inputs and results of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::conversation::Conversation;
use super::secrets::Secrets;
use super::{Answer, Options, PythonStep};
use crate::action::expression::Contexts;
use crate::action::inputs;
use crate::action::library::Source;
use crate::action::plan::Plan;
use crate::action::steps;
use crate::action::template::Step;
use crate::action::value::json::trip;
use crate::action::value::{Key, Mapping, Value};
use crate::action::yaml::Problem;
use crate::clock::Monotonic;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

/// Steps of a run at most, those of templates inside counted: a handful of templates that call each other twice would
/// otherwise never end.
const MOST_STEPS: usize = 10_000;
/// Templates inside of each other.
const DEEPEST: usize = 40;

/// All that the steps of a run share.
pub(in crate::action) struct Runner {
    /// Whose tokens are asked for, and through which requests go.
    pub(in crate::action) engine: Arc<Engine>,
    /// What may not be seen.
    pub(in crate::action) secrets: Secrets,
    plan: Arc<Plan>,
    contexts: Contexts,
    conversation: Arc<Conversation>,
    until: Option<Monotonic>,
    steps: AtomicUsize,
}

type Running<'run> = Pin<Box<dyn Future<Output = Result<Value>> + Send + 'run>>;

impl Runner {
    /// Looks for all secrets that the templates declare.
    ///
    /// # Errors
    /// One that is needed is not there.
    pub(super) async fn begin(
        engine: Arc<Engine>,
        plan: Arc<Plan>,
        mut options: Options,
        conversation: Arc<Conversation>,
        until: Option<Monotonic>,
    ) -> Result<Self> {
        let mut variables = Mapping::new();
        if let Some(file) = &options.file {
            let given = file.variables.iter();
            variables.extend(given.map(|(name, value)| (Key::from(name.as_str()), value.into())));
        }
        variables.extend(std::mem::take(&mut options.variables));
        let secrets = Secrets::find(&engine, &plan, &options).await?;
        let contexts = Contexts {
            secrets: secrets.context.clone(),
            variables: trip(&Value::mapping(variables)),
            environment: trip(&Value::mapping(std::mem::take(&mut options.environment))),
            placeholders: secrets.placeholders().clone(),
            clock: engine.clock().clone(),
            ..Contexts::default()
        };
        Ok(Self {
            engine,
            secrets,
            plan,
            contexts,
            conversation,
            until,
            steps: AtomicUsize::new(0),
        })
    }

    /// What the template returns for these inputs, masked.
    ///
    /// # Errors
    /// Those of its steps.
    pub(super) async fn run(&self, given: &Mapping) -> Result<Value> {
        match self.template(&self.plan.root, given, 0).await {
            Ok(value) => Ok(self.secrets.mask(&value)),
            Err(error) => {
                let masked = self.secrets.mask_text(error.reason());
                Err(match masked == error.reason() {
                    true => error,
                    false => error.reworded(masked),
                })
            }
        }
    }

    /// Asks Python.
    ///
    /// # Errors
    /// `ActionError`, in Python's words.
    pub(in crate::action) async fn ask(&self, step: PythonStep) -> Result<Value> {
        match self.conversation.ask(step).await {
            Answer::Value(value) => Ok(value),
            Answer::Failed(reason) => Err(Error::action("step_failed", reason)),
        }
    }

    /// How long the run may take from now on.
    pub(in crate::action) fn left(&self) -> Option<Duration> {
        let until = self.until?;
        Some(until.since(self.engine.clock().monotonic()))
    }

    /// Waits.
    pub(in crate::action) async fn pause(&self, duration: Duration) {
        let duration = self.engine.clock().real(duration);
        self.engine.runtime().sleep(duration).await;
    }

    fn template<'run>(
        &'run self,
        source: &'run Source,
        given: &'run Mapping,
        depth: usize,
    ) -> Running<'run> {
        Box::pin(async move {
            let template = &source.template;
            let inputs = inputs::validate(&template.inputs(), given).map_err(|errors| {
                let reason = format!("the inputs of {}: {errors}", template.action);
                Error::action("invalid_inputs", reason)
            })?;
            let mut contexts = Contexts {
                inputs,
                steps: Value::mapping(Mapping::new()),
                ..self.contexts.clone()
            };
            let mut results = Mapping::new();
            for step in &template.steps {
                let result = self
                    .step(source, step, &contexts, depth)
                    .await
                    .map_err(|error| at_step(source, step, error))?;
                results.insert(Key::from(step.reference.as_str()), outcome(trip(&result)));
                contexts.steps = Value::mapping(results.clone());
            }
            let returned = template
                .returns
                .evaluate(&contexts)
                .map_err(|problem| source.error("evaluation_failed", &of("returns", &problem)))?;
            Ok(trip(&returned))
        })
    }

    async fn step(
        &self,
        source: &Source,
        step: &Step,
        contexts: &Contexts,
        depth: usize,
    ) -> Result<Value> {
        if self.steps.fetch_add(1, Ordering::Relaxed) >= MOST_STEPS || depth >= DEEPEST {
            let reason = format!("the run has more than {MOST_STEPS} steps, or is nested too deep");
            return Err(Error::action("too_many_steps", reason));
        }
        let what = format!("step {}", step.reference);
        let arguments = step
            .arguments
            .evaluate(contexts)
            .map_err(|problem| source.error("evaluation_failed", &of(&what, &problem)))?;
        // The loader has seen to it that it is one.
        let Value::Mapping(arguments) = arguments else {
            return Err(Error::internal("the arguments of a step are no mapping"));
        };
        if let Some(nested) = self.plan.templates.get(&step.action) {
            let given = trip(&Value::Mapping(arguments));
            let Value::Mapping(given) = given else {
                return Err(Error::internal("the inputs of a template are no mapping"));
            };
            return self.template(nested, &given, depth + 1).await;
        }
        if steps::is_ours(&step.action) {
            return steps::run(self, &step.action, &arguments).await;
        }
        let Value::Mapping(inputs) = trip(&Value::Mapping(arguments)) else {
            return Err(Error::internal("the inputs of a function are no mapping"));
        };
        let name = step.action.clone();
        let inputs = Arc::unwrap_or_clone(inputs);
        self.ask(PythonStep::Function { name, inputs }).await
    }
}

/// The same problem, with what was evaluated before it.
fn of(what: &str, problem: &Problem) -> Problem {
    Problem::new(problem.at, format!("{what}: {}", problem.message))
}

/// Says in which step an action failed; errors of templates name their place already, those of tokens their provider.
fn at_step(source: &Source, step: &Step, error: Error) -> Error {
    if *error.kind() != ErrorKind::Action {
        return error;
    }
    let (name, action) = (&step.reference, &source.template.action);
    let place = match &source.path {
        Some(path) => format!(" ({}:{})", path.display(), step.at.line),
        None => String::new(),
    };
    let reason = format!("step {name} of {action}{place}: {}", error.reason());
    error.reworded(reason)
}

/// What `steps.<ref>` shows.
fn outcome(result: Value) -> Value {
    let kind = match &result {
        Value::None => "NoneType",
        Value::Bool(_) => "bool",
        Value::Integer(_) => "int",
        Value::Float(_) => "float",
        Value::List(_) => "list",
        Value::Mapping(_) => "dict",
        _ => "str",
    };
    let absent = [
        "error",
        "error_typename",
        "interaction",
        "interaction_id",
        "interaction_type",
    ];
    let mut members = Mapping::from_iter([
        (Key::from("result"), result),
        (Key::from("result_typename"), Value::from(kind)),
    ]);
    members.extend(absent.map(|name| (Key::from(name), Value::None)));
    Value::mapping(members)
}
