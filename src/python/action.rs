//! Templates and their runs: each call goes on until Python is asked, or there is a result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::action::expression::path::Path;
use crate::action::inputs;
use crate::action::library::{Library, Source};
use crate::action::needs::{hosts, needs};
use crate::action::placeholder::Placeholders;
use crate::action::plan::Plan;
use crate::action::run::{self, Answer, Next, Options, PythonStep};
use crate::action::value::{Mapping, Value};
use crate::engine::file::ActionFile;
use crate::error::Error;
use crate::python::call::Call;
use crate::python::value::{from_python, mapping_from_python, mapping_to_python, to_python};
use crate::python::workspace::{self, Workspace};
use crate::python::{convert, errors, verbs};
use crate::secret::Secret;
use crate::system;

/// An action template, read from its file.
#[pyclass(frozen, module = "evergrant.actions")]
pub(super) struct Template(Arc<Source>);

#[pymethods]
impl Template {
    /// Reads a file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let source = py.detach(|| Source::read(&path));
        source
            .map(Self)
            .map_err(|error| errors::to_exception(py, &error))
    }

    /// The template of this name in these folders.
    #[staticmethod]
    fn find(py: Python<'_>, name: &str, folders: Vec<PathBuf>) -> PyResult<Option<Self>> {
        let found = py.detach(|| Library { folders }.find(name));
        let found = found.map_err(|error| errors::to_exception(py, &error))?;
        Ok(found.map(Self))
    }

    /// All templates of these folders that can be read.
    #[staticmethod]
    fn all(py: Python<'_>, folders: Vec<PathBuf>) -> PyResult<Vec<Self>> {
        let all = py.detach(|| Library { folders }.all());
        let all = all.map_err(|error| errors::to_exception(py, &error))?;
        Ok(all.into_iter().map(Self).collect())
    }

    /// `namespace.name`.
    #[getter]
    fn name(&self) -> &str {
        &self.0.template.action
    }

    /// Its title.
    #[getter]
    fn title(&self) -> &str {
        &self.0.template.title
    }

    /// What it does.
    #[getter]
    fn description(&self) -> &str {
        &self.0.template.description
    }

    /// Its inputs as JSON Schema.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &inputs::schema(&self.0.template.inputs()))
    }

    /// The tokens that it asks for: provider, grant type, and whether it works without.
    #[getter]
    fn needs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let needs = needs(&self.0.template).into_iter();
        let needs = needs.map(|need| {
            let grant_type = need.grant_type.as_str();
            (need.provider_id, grant_type, need.is_optional)
        });
        PyTuple::new(py, Vec::from_iter(needs))
    }

    /// The hosts that its own steps ask.
    #[getter]
    fn hosts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, hosts(&self.0.template))
    }

    /// Its file.
    #[getter]
    fn path(&self) -> Option<&PathBuf> {
        self.0.path.as_ref()
    }

    fn __repr__(&self) -> String {
        format!("<Template {}>", self.0.template.action)
    }

    /// As its file: the other side reads it anew.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PathBuf,))> {
        let load = slf.get_type().getattr("load")?;
        match &slf.get().0.path {
            Some(path) => Ok((load, (path.clone(),))),
            None => Err(PyTypeError::new_err(
                "a template without a file can't be pickled",
            )),
        }
    }
}

/// A run of a template.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Run(Arc<Mutex<Option<run::Run>>>);

#[pymethods]
impl Run {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (template, inputs, *, folders, is_registered, workspace, connection, secrets, variables, environment, timeout))]
    fn new(
        py: Python<'_>,
        template: &Template,
        inputs: &Bound<'_, PyAny>,
        folders: Vec<PathBuf>,
        is_registered: &Bound<'_, PyAny>,
        workspace: Option<Py<Workspace>>,
        connection: String,
        secrets: BTreeMap<String, BTreeMap<String, String>>,
        variables: &Bound<'_, PyAny>,
        environment: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let root = Arc::clone(&template.0);
        let raised = |error: Error| errors::to_exception(py, &error);
        let plan = py.detach(|| Plan::of(root, &Library { folders }));
        let plan = plan.map_err(raised)?;
        for name in &plan.others {
            if !is_registered.call1((name,))?.is_truthy()? {
                return Err(raised(plan.unknown(name)));
            }
        }
        let workspace = match workspace {
            Some(workspace) => workspace,
            None => workspace::default_workspace(py)?,
        };
        let workspace = workspace.get();
        let file = match workspace.config() {
            Some(path) => {
                let environment = verbs::variables(py)?;
                let file = py.detach(|| ActionFile::read(path, environment));
                Some(file.map_err(raised)?)
            }
            None => None,
        };
        let secret = |keys: BTreeMap<String, String>| {
            let keys = keys.into_iter();
            keys.map(|(key, value)| (key, Secret::from(value)))
                .collect()
        };
        let options = Options {
            connection,
            secrets: secrets
                .into_iter()
                .map(|(name, keys)| (name, secret(keys)))
                .collect(),
            variables: mapping_from_python(variables)?,
            environment: mapping_from_python(environment)?,
            timeout: timeout.map(convert::duration),
            file,
        };
        let inputs = mapping_from_python(inputs)?;
        let run = run::Run::new(workspace.engine(py)?, Arc::new(plan), inputs, options);
        Ok(Self(Arc::new(Mutex::new(Some(run)))))
    }

    /// Goes on, with the answer to what was asked last, or why there is none.
    #[pyo3(signature = (answer=None, *, failed=None))]
    fn advance(
        &self,
        py: Python<'_>,
        answer: Option<&Bound<'_, PyAny>>,
        failed: Option<String>,
    ) -> PyResult<Call> {
        let answer = match (answer, failed) {
            (_, Some(reason)) => Answer::Failed(reason),
            (Some(answer), None) => Answer::Value(from_python(answer)?),
            (None, None) => Answer::Value(Value::None),
        };
        let run = {
            let _entered = system::enter();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let kept = Arc::clone(&self.0);
        let work = async move {
            let Some(mut run) = run else {
                return Err(Error::internal("a run that is over was to go on"));
            };
            Ok(match run.advance(Some(answer)).await? {
                Next::Done(value) => verbs::Answer::Value(value),
                Next::Python(step) => {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
                    verbs::Answer::Step(step)
                }
            })
        };
        Call::spawn(py, Box::pin(work))
    }
}

/// What a JSONPath of the dialect finds: None, one value, or a list.
#[pyfunction]
pub(super) fn jsonpath<'py>(path: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let wrong = |reason: String| PyValueError::new_err(format!("the path {path:?}: {reason}"));
    let read = Path::whole(path).map_err(|error| wrong(error.to_string()))?;
    let found = read.find(&from_python(value)?, &Placeholders::default());
    to_python(
        value.py(),
        &found.map_err(|failure| wrong(failure.to_string()))?,
    )
}

/// What a run returned: `("done", "", value)`.
pub(super) fn done(py: Python<'_>, value: &Value) -> PyResult<Py<PyAny>> {
    triple(py, "done", "", to_python(py, value)?)
}

/// What Python is asked: the kind, a name or source, and the arguments.
pub(super) fn asked(py: Python<'_>, step: PythonStep) -> PyResult<Py<PyAny>> {
    let dict = |arguments: &Mapping| mapping_to_python(py, arguments);
    match step {
        PythonStep::Lambda { source, values } => {
            triple(py, "lambda", &source, to_python(py, &Value::list(values))?)
        }
        PythonStep::Transform { name, arguments } => {
            triple(py, "transform", &name, dict(&arguments)?)
        }
        PythonStep::Script { arguments } => triple(py, "script", "", dict(&arguments)?),
        PythonStep::Function { name, inputs } => triple(py, "function", &name, dict(&inputs)?),
    }
}

fn triple(py: Python<'_>, kind: &str, name: &str, value: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let tuple = PyTuple::new(
        py,
        [
            kind.into_pyobject(py)?.into_any(),
            name.into_pyobject(py)?.into_any(),
            value,
        ],
    )?;
    Ok(tuple.into_any().unbind())
}
