//! `Workspace`: an engine by its name, and the default one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::clock::{self, Clock, Timestamp};
use crate::engine::Engine;
use crate::engine::open::{self, Choice, Environment, ExplicitKey, KeyEnvironment, Network};
use crate::error::Error;
use crate::python::call::Call;
use crate::python::token::{self, Wishes};
use crate::python::{convert, errors, verbs};
use crate::secret::{Secret, SecretBytes};

static DEFAULT: Mutex<Option<Py<Workspace>>> = Mutex::new(None);
static DEFAULT_ENGINE: arc_swap::ArcSwapOption<Engine> = arc_swap::ArcSwapOption::const_empty();
/// Grows when another workspace becomes the default: what was cached for the old one is void.
static DEFAULT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A workspace of a store.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Workspace {
    engine: Mutex<Option<Arc<Engine>>>,
    name: String,
    store: String,
    config: Option<PathBuf>,
}

#[pymethods]
impl Workspace {
    #[new]
    #[pyo3(signature = (name=None, store=None, key=None, config=None, network="any", clock=None))]
    fn new(
        py: Python<'_>,
        name: Option<String>,
        store: Option<PathBuf>,
        key: Option<&Bound<'_, PyAny>>,
        config: Option<PathBuf>,
        network: &str,
        clock: Option<&ManualClock>,
    ) -> PyResult<Self> {
        let network = match network {
            "any" => Network::Any,
            "public" => Network::Public,
            "loopback" => Network::Loopback,
            _ => {
                let error =
                    Error::invalid_parameter("invalid_network", "network is \"any\" or \"public\"");
                return Err(errors::to_exception(py, &error));
            }
        };
        let choice = Choice {
            workspace: name,
            store: store.map(|store| store.to_string_lossy().into_owned()),
            key: key.map(explicit_key).transpose()?,
            network,
            clock: clock.map_or_else(super::unless_injected, |clock| {
                Clock::manual(Arc::clone(&clock.0))
            }),
            transient: false,
        };
        let environment = environment(py)?;
        let config = match config {
            Some(config) => Some(config),
            None => variable(py, "EVERGRANT_CONFIG")?.map(PathBuf::from),
        };
        let engine = match config.clone() {
            Some(file) => verbs::opened_with_file(py, choice, environment, file)?,
            None => verbs::now(py, async move { open::open(choice, &environment).await })?,
        };
        Ok(Self {
            name: engine.workspace().to_owned(),
            store: engine.location(),
            engine: Mutex::new(Some(engine)),
            config,
        })
    }

    /// The workspace's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Where the store is.
    #[getter]
    fn store(&self) -> &str {
        &self.store
    }

    /// A valid access token.
    #[pyo3(
        signature = (provider, *, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None, replacing=None, timeout=None),
        text_signature = "($self, provider, *, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None, replacing=None, timeout=30.0)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn get_token<'py>(
        &self,
        py: Python<'py>,
        provider: &Bound<'py, PyAny>,
        grant_type: Option<&Bound<'py, PyAny>>,
        connection: Option<&Bound<'py, PyAny>>,
        resource: Option<&Bound<'py, PyAny>>,
        scopes: Option<&Bound<'py, PyAny>>,
        min_ttl: Option<&Bound<'py, PyAny>>,
        replacing: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let wishes = Wishes {
            provider,
            grant_type,
            connection,
            resource,
            scopes,
            min_ttl,
            replacing,
        };
        let request = wishes.to_request()?;
        let timeout = token::seconds(timeout)?;
        token::token_for(py, &self.engine(py)?, &request, timeout).map(|(_, token)| token)
    }

    /// The token if this process may hand it out without I/O.
    #[pyo3(
        signature = (provider, *, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None, replacing=None, timeout=None),
        text_signature = "($self, provider, *, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None, replacing=None, timeout=30.0)"
    )]
    #[allow(clippy::too_many_arguments, unused_variables)] // `timeout` is there so that both take the same keywords
    fn cached_token<'py>(
        &self,
        py: Python<'py>,
        provider: &Bound<'py, PyAny>,
        grant_type: Option<&Bound<'py, PyAny>>,
        connection: Option<&Bound<'py, PyAny>>,
        resource: Option<&Bound<'py, PyAny>>,
        scopes: Option<&Bound<'py, PyAny>>,
        min_ttl: Option<&Bound<'py, PyAny>>,
        replacing: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let wishes = Wishes {
            provider,
            grant_type,
            connection,
            resource,
            scopes,
            min_ttl,
            replacing,
        };
        let engine = self.engine(py)?;
        match engine.cached(&wishes.to_request()?) {
            Some(slot) => token::object_of(py, &engine, &slot).map(Some),
            None => Ok(None),
        }
    }

    /// Begins a verb.
    fn call(&self, py: Python<'_>, verb: &str, arguments: &Bound<'_, PyDict>) -> PyResult<Call> {
        verbs::begin(py, &self.engine(py)?, verb, arguments)
    }

    /// Lets go of the store. The workspace answers nothing from then on.
    fn close(slf: &Bound<'_, Self>) {
        slf.get().lock().take();
        if lock_default()
            .as_ref()
            .is_some_and(|default| default.is(slf))
        {
            DEFAULT_ENGINE.store(None);
            DEFAULT_NUMBER.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Workspace {
    /// The file that it was opened with.
    pub(super) const fn config(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    pub(super) fn engine(&self, py: Python<'_>) -> PyResult<Arc<Engine>> {
        self.lock().clone().ok_or_else(|| {
            let error = Error::invalid_parameter("workspace_closed", "the workspace is closed");
            errors::to_exception(py, &error)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Engine>>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clocks for tests: they stand still until moved.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct ManualClock(Arc<clock::ManualClock>);

#[pymethods]
impl ManualClock {
    #[new]
    fn new(millis: i64) -> Self {
        Self(Arc::new(clock::ManualClock::new(Timestamp::from_millis(
            millis,
        ))))
    }

    /// The wall clock: milliseconds since the Unix epoch (UTC).
    fn __call__(&self) -> i64 {
        self.0.wall().millis()
    }

    /// Lets `seconds` pass.
    fn advance(&self, seconds: f64) {
        self.0.advance(convert::duration(seconds));
    }

    /// Moves the wall clock alone.
    fn jump_wall(&self, seconds: f64) {
        self.0.jump_wall((seconds * 1000.0) as i64);
    }
}

impl ManualClock {
    pub(super) fn new_object(
        py: Python<'_>,
        clock: &Arc<clock::ManualClock>,
    ) -> PyResult<Py<Self>> {
        Py::new(py, Self(Arc::clone(clock)))
    }
}

/// Begins a verb of the default workspace.
#[pyfunction]
pub(super) fn call(py: Python<'_>, verb: &str, arguments: &Bound<'_, PyDict>) -> PyResult<Call> {
    verbs::begin(py, &default_engine(py)?, verb, arguments)
}

/// The default workspace, opened at the first need.
#[pyfunction]
pub(super) fn default_workspace(py: Python<'_>) -> PyResult<Py<Workspace>> {
    if let Some(workspace) = &*lock_default() {
        return Ok(workspace.clone_ref(py));
    }
    let opened = Py::new(py, Workspace::new(py, None, None, None, None, "any", None)?)?;
    let mut default = lock_default();
    let workspace = default.get_or_insert(opened).clone_ref(py);
    DEFAULT_ENGINE.store(workspace.get().lock().clone());
    Ok(workspace)
}

/// Makes another workspace the default, or none; answers with the one before.
#[pyfunction]
#[pyo3(signature = (workspace))]
pub(super) fn set_default_workspace(workspace: Option<Py<Workspace>>) -> Option<Py<Workspace>> {
    let mut default = lock_default();
    DEFAULT_ENGINE.store(
        workspace
            .as_ref()
            .and_then(|workspace| workspace.get().lock().clone()),
    );
    // After the engine: whoever reads the number first and the engine then never keeps an old token under a new number.
    DEFAULT_NUMBER.fetch_add(1, Ordering::AcqRel);
    std::mem::replace(&mut *default, workspace)
}

/// Tells one default workspace from the next.
#[inline]
pub(super) fn default_number() -> u64 {
    DEFAULT_NUMBER.load(Ordering::Relaxed)
}

/// The engine of the default workspace, if it was opened already.
pub(super) fn opened_default_engine() -> Option<Arc<Engine>> {
    DEFAULT_ENGINE.load_full()
}

/// The engine of the default workspace.
pub(super) fn default_engine(py: Python<'_>) -> PyResult<Arc<Engine>> {
    if let Some(engine) = opened_default_engine() {
        return Ok(engine);
    }
    default_workspace(py)?.get().engine(py)
}

/// A variable of the environment as the process sees it now; an empty one counts as unset.
pub(super) fn variable(py: Python<'_>, name: &str) -> PyResult<Option<String>> {
    // Python's own copy, so that monkeypatched and later changes count.
    let value: Option<String> = py
        .import("os")?
        .getattr("environ")?
        .call_method1("get", (name,))?
        .extract()?;
    Ok(value.filter(|value| !value.is_empty()))
}

fn environment(py: Python<'_>) -> PyResult<Environment> {
    let read = |name: &str| variable(py, name);
    let path = |name: &str| -> PyResult<Option<PathBuf>> { Ok(read(name)?.map(PathBuf::from)) };
    let user = path("HOME")?;
    let under = |folder: &str| user.as_ref().map(|user| user.join(folder));
    let macos = cfg!(target_os = "macos");
    let data = match path("XDG_DATA_HOME")?.filter(|path| path.is_absolute()) {
        Some(data) => Some(data),
        None if macos => under("Library/Application Support"),
        None => under(".local/share"),
    };
    let config_home = match path("XDG_CONFIG_HOME")?.filter(|path| path.is_absolute()) {
        Some(config) => Some(config),
        None => under(".config"),
    };
    Ok(Environment {
        home: path("EVERGRANT_HOME")?.or_else(|| data.map(|data| data.join("evergrant"))),
        store: read("EVERGRANT_STORE")?,
        workspace: read("EVERGRANT_WORKSPACE")?,
        key: KeyEnvironment {
            key: read("EVERGRANT_KEY")?.map(Secret::from),
            key_file: path("EVERGRANT_KEY_FILE")?,
            key_command: read("EVERGRANT_KEY_COMMAND")?,
        },
        config_home,
        installed: Vec::new(),
        providers: read("EVERGRANT_PROVIDERS")?
            .map(|folders| {
                folders
                    .split(':')
                    .filter(|folder| !folder.is_empty())
                    .map(PathBuf::from)
                    .collect()
            })
            .unwrap_or_default(),
        ca_file: match path("EVERGRANT_CA_FILE")? {
            Some(file) => Some(file),
            None => path("SSL_CERT_FILE")?,
        },
    })
}

fn explicit_key(key: &Bound<'_, PyAny>) -> PyResult<ExplicitKey> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(ExplicitKey::Bytes(SecretBytes::from(
            bytes.as_bytes().to_vec(),
        )));
    }
    match key.extract::<String>() {
        Ok(text) => Ok(ExplicitKey::Text(Secret::from(text))),
        Err(_) => Err(PyTypeError::new_err("key is 32 bytes or their base64 text")),
    }
}

fn lock_default() -> MutexGuard<'static, Option<Py<Workspace>>> {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
}
