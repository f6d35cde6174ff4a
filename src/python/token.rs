//! Tokens as Python objects, and the cached path: a table keyed by the names themselves, two coarse clocks, no lock.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::engine::cache::Slot;
use crate::engine::{Engine, TokenRequest};
use crate::error::Error;
use crate::model::GrantType;
use crate::python::call::{self, Asked, Call, Work};
use crate::python::verbs::Answer;
use crate::python::{convert, errors, installed, workspace};
use crate::secret::live;

/// Entries of a thread's table: more providers than a program names.
const ENTRIES: usize = 64;

static ACCESS_TOKEN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

thread_local! {
    /// Fresh tokens of the default workspace by the addresses of their names. An entry owns its names, so that an
    /// address can't become another string's.
    static TABLE: RefCell<[Option<Entry>; ENTRIES]> = const { RefCell::new([const { None }; ENTRIES]) };
}

struct Entry {
    key: Key,
    /// The default workspace it belongs to.
    workspace: u64,
    slot: Arc<Slot>,
    token: Py<PyAny>,
}

/// The objects that name a token, compared by identity. Literals in a program are the same objects at each call.
struct Key {
    provider: Py<PyString>,
    grant_type: Option<Py<PyAny>>,
    connection: Option<Py<PyAny>>,
}

/// What callers give `get_token`; everything but the provider by keyword.
pub(super) struct Wishes<'a, 'py> {
    pub(super) provider: &'a Bound<'py, PyAny>,
    pub(super) grant_type: Option<&'a Bound<'py, PyAny>>,
    pub(super) connection: Option<&'a Bound<'py, PyAny>>,
    pub(super) resource: Option<&'a Bound<'py, PyAny>>,
    pub(super) scopes: Option<&'a Bound<'py, PyAny>>,
    pub(super) min_ttl: Option<&'a Bound<'py, PyAny>>,
    pub(super) replacing: Option<&'a Bound<'py, PyAny>>,
}

impl Wishes<'_, '_> {
    /// Whether nothing is asked but a name: then a slot that is fresh is all that is wanted.
    fn only_names(&self) -> bool {
        self.resource.is_none()
            && self.scopes.is_none()
            && self.min_ttl.is_none()
            && self.replacing.is_none()
    }

    pub(super) fn to_request(&self) -> PyResult<TokenRequest> {
        let text = |object: Option<&Bound<'_, PyAny>>| {
            object.map(|object| object.extract::<String>()).transpose()
        };
        let py = self.provider.py();
        let min_ttl = self
            .min_ttl
            .map(|seconds| seconds.extract::<f64>())
            .transpose()?;
        Ok(TokenRequest {
            provider: self.provider.extract()?,
            grant_type: parse_grant_type(py, text(self.grant_type)?.as_deref())?,
            connection: text(self.connection)?.unwrap_or_else(|| "default".to_owned()),
            resource: text(self.resource)?,
            scopes: self.scopes.map(words).transpose()?.unwrap_or_default(),
            min_ttl: min_ttl.map(convert::duration),
            replacing: text(self.replacing)?.map(Into::into),
        })
    }
}

/// A fresh access token, from the default workspace; it never opens a browser.
///
/// Args:
///     provider: Id or alias of the provider: `google_drive`.
///     grant_type: `authorization_code` or `client_credentials`; by default the only configured one.
///     connection: Name of the connection.
///     resource: What the token is for (RFC 8707); by default the provider's default resource.
///     scopes: Scopes the caller needs; none is asked for.
///     min_ttl: Seconds the token must last at least; by default 30, at most half its lifetime.
///     replacing: A token that the provider's API refused: it is not handed out again.
///     timeout: Seconds to wait for the provider; the request goes on when they are over.
///
/// Returns:
///     The token, a `str`.
///
/// Raises:
///     EvergrantError: One of its kinds; `code`, `reason` and `hint` say what to do.
#[pyfunction]
#[pyo3(
    signature = (provider, *, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None, replacing=None, timeout=None),
    text_signature = "(provider, *, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None, replacing=None, timeout=30.0)"
)]
#[allow(clippy::too_many_arguments)]
pub(super) fn get_token<'py>(
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
    let plain = wishes.only_names();
    if plain && let Some(token) = tabled(py, &wishes) {
        return Ok(token);
    }
    // Read before the engine: a workspace that becomes the default meanwhile makes the entry void.
    let workspace = workspace::default_number();
    let engine = workspace::default_engine(py)?;
    let (slot, token) = token_for(py, &engine, &wishes.to_request()?, seconds(timeout)?)?;
    if plain {
        tabulate(py, &wishes, workspace, slot, &token);
    }
    Ok(token)
}

/// The token of the default workspace if this process may hand it out without I/O.
#[pyfunction]
#[pyo3(
    signature = (provider, *, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None, replacing=None, timeout=None),
    text_signature = "(provider, *, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None, replacing=None, timeout=30.0)"
)]
#[allow(clippy::too_many_arguments, unused_variables)] // `timeout` is there so that both take the same keywords
pub(super) fn cached_token<'py>(
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
    let plain = wishes.only_names();
    if plain && let Some(token) = tabled(py, &wishes) {
        return Ok(Some(token));
    }
    let workspace = workspace::default_number();
    let Some(engine) = workspace::opened_default_engine() else {
        return Ok(None);
    };
    let Some(slot) = engine.cached(&wishes.to_request()?) else {
        return Ok(None);
    };
    let token = object_of(py, &engine, &slot)?;
    if plain {
        tabulate(py, &wishes, workspace, slot, &token);
    }
    Ok(Some(token))
}

/// Does nothing, with the signature of `get_token`: the floor that benchmarks compare with.
#[pyfunction]
#[pyo3(
    signature = (provider, *, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None, replacing=None, timeout=None),
    text_signature = "(provider, *, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None, replacing=None, timeout=30.0)"
)]
#[allow(clippy::too_many_arguments, unused_variables)]
pub(super) fn _noop<'py>(
    py: Python<'py>,
    provider: &Bound<'py, PyAny>,
    grant_type: Option<&Bound<'py, PyAny>>,
    connection: Option<&Bound<'py, PyAny>>,
    resource: Option<&Bound<'py, PyAny>>,
    scopes: Option<&Bound<'py, PyAny>>,
    min_ttl: Option<&Bound<'py, PyAny>>,
    replacing: Option<&Bound<'py, PyAny>>,
    timeout: Option<&Bound<'py, PyAny>>,
) -> Py<PyAny> {
    py.None()
}

/// A token named once and asked for often: what `@oauth` holds.
#[pyclass(frozen, module = "evergrant._core")]
pub(super) struct Handle {
    request: TokenRequest,
    bound: ArcSwapOption<Bound_>,
}

struct Bound_ {
    workspace: u64,
    slot: Arc<Slot>,
    token: Py<PyAny>,
}

#[pymethods]
impl Handle {
    #[new]
    #[pyo3(
        signature = (provider, grant_type=None, connection=None, resource=None, scopes=None, min_ttl=None),
        text_signature = "(provider, grant_type=None, connection='default', resource=None, scopes=None, min_ttl=None)"
    )]
    fn new(
        provider: &Bound<'_, PyAny>,
        grant_type: Option<&Bound<'_, PyAny>>,
        connection: Option<&Bound<'_, PyAny>>,
        resource: Option<&Bound<'_, PyAny>>,
        scopes: Option<&Bound<'_, PyAny>>,
        min_ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let wishes = Wishes {
            provider,
            grant_type,
            connection,
            resource,
            scopes,
            min_ttl,
            replacing: None,
        };
        Ok(Self {
            request: wishes.to_request()?,
            bound: ArcSwapOption::empty(),
        })
    }

    /// A handle pickles as the names it was made of.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let request = &self.request;
        let arguments = (
            &request.provider,
            request.grant_type.map(GrantType::as_str),
            &request.connection,
            &request.resource,
            PyTuple::new(py, &request.scopes)?,
            request.min_ttl.map(|min_ttl| min_ttl.as_secs_f64()),
        );
        Ok((
            py.get_type::<Self>().into_any(),
            arguments.into_pyobject(py)?,
        ))
    }

    /// The token, as `get_token` gives it.
    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(token) = self.fresh(py) {
            return Ok(token);
        }
        let workspace = workspace::default_number();
        let engine = workspace::default_engine(py)?;
        let (slot, token) = token_for(py, &engine, &self.request, DEFAULT_TIMEOUT)?;
        self.bind(py, workspace, slot, &token);
        Ok(token)
    }

    /// The token if this process may hand it out without I/O.
    fn cached(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Some(token) = self.fresh(py) {
            return Ok(Some(token));
        }
        let workspace = workspace::default_number();
        let Some(engine) = workspace::opened_default_engine() else {
            return Ok(None);
        };
        let Some(slot) = engine.cached(&self.request) else {
            return Ok(None);
        };
        let token = object_of(py, &engine, &slot)?;
        self.bind(py, workspace, slot, &token);
        Ok(Some(token))
    }
}

impl Handle {
    #[inline]
    fn fresh(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let bound = self.bound.load();
        let bound = bound.as_ref()?;
        (bound.workspace == workspace::default_number() && bound.slot.fresh())
            .then(|| bound.token.clone_ref(py))
    }

    fn bind(&self, py: Python<'_>, workspace: u64, slot: Arc<Slot>, token: &Py<PyAny>) {
        // A slot is fresh for a caller without wishes; whoever has some is judged anew each time.
        if self.request.min_ttl.is_none() && self.request.scopes.is_empty() {
            let bound = Bound_ {
                workspace,
                slot,
                token: token.clone_ref(py),
            };
            self.bound.store(Some(Arc::new(bound)));
        }
    }
}

/// How long a caller waits for a token unless told otherwise.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The token of an engine, from wherever it has to come.
pub(super) fn token_for(
    py: Python<'_>,
    engine: &Arc<Engine>,
    request: &TokenRequest,
    timeout: Duration,
) -> PyResult<(Arc<Slot>, Py<PyAny>)> {
    if let Some(slot) = engine.cached(request) {
        let token = object_of(py, engine, &slot)?;
        return Ok((slot, token));
    }
    installed::look_for(py, engine, &request.provider)?;
    let call = Call::start(py, work(engine, request.clone()))?.asking(asked(engine, request));
    match call.answer(py, Some(timeout), None)? {
        Some(Answer::Token(engine, slot)) => {
            let token = object_of(py, &engine, &slot)?;
            Ok((slot, token))
        }
        _ => Err(errors::to_exception(
            py,
            &Error::internal("a token was asked for and something else came"),
        )),
    }
}

/// `get_token` as a verb that ends after `timeout`.
pub(super) fn work_within(timeout: Duration, engine: &Arc<Engine>, request: TokenRequest) -> Work {
    let asked = asked(engine, &request);
    call::within(timeout, asked, work(engine, request))
}

/// `get_token` as a verb.
pub(super) fn work(engine: &Arc<Engine>, request: TokenRequest) -> Work {
    let engine = Arc::clone(engine);
    Box::pin(async move {
        let slot = engine.get_token(&request).await?;
        Ok(Answer::Token(engine, slot))
    })
}

fn asked(engine: &Engine, request: &TokenRequest) -> Asked {
    Asked {
        provider: request.provider.clone(),
        again: engine.command(&format!("token {}", request.provider)),
    }
}

/// The Python object of a cached token: always the same one for the same slot.
pub(super) fn object_of(py: Python<'_>, engine: &Engine, slot: &Slot) -> PyResult<Py<PyAny>> {
    if let Some(object) = slot
        .companion
        .get()
        .and_then(|object| object.downcast_ref::<Py<PyAny>>())
    {
        return Ok(object.clone_ref(py));
    }
    // At each one: somebody may have given `logging` its own method back meanwhile.
    redact_logs(py)?;
    let make = ACCESS_TOKEN.get_or_try_init(py, || {
        py.import("evergrant._types")?
            .getattr("AccessToken")?
            .getattr("_make")
            .map(Bound::unbind)
    })?;
    let token = &slot.stored.token;
    live::add(&token.value);
    let extra = PyDict::new(py);
    for (name, value) in &token.extra {
        extra.set_item(name, value)?;
    }
    let key = &slot.key;
    let clock = engine
        .clock()
        .manual_clock()
        .map(|clock| workspace::ManualClock::new_object(py, clock))
        .transpose()?;
    let object = make.bind(py).call1((
        token.value.expose(),
        slot.stored.ends_at(engine.clock()).map(|at| at.millis()),
        PyTuple::new(py, &token.scopes)?,
        &token.token_type,
        Some(&token.resource).filter(|resource| !resource.is_empty()),
        engine.workspace(),
        &*key.integration.provider,
        key.integration.grant_type.as_str(),
        &*key.connection,
        extra,
        clock,
    ))?;
    let object = object.unbind();
    // Another thread may have been faster: then its object is the one.
    let _ = slot.companion.set(Arc::new(object));
    match slot
        .companion
        .get()
        .and_then(|object| object.downcast_ref::<Py<PyAny>>())
    {
        Some(object) => Ok(object.clone_ref(py)),
        None => Err(errors::to_exception(
            py,
            &Error::internal("a token lost its object"),
        )),
    }
}

pub(super) fn parse_grant_type(py: Python<'_>, name: Option<&str>) -> PyResult<Option<GrantType>> {
    match name {
        None => Ok(None),
        Some(name) => GrantType::parse(name).map(Some).ok_or_else(|| {
            let error = Error::invalid_parameter(
                "invalid_grant_type",
                format!("grant_type is authorization_code or client_credentials, not {name:?}"),
            );
            errors::to_exception(py, &error)
        }),
    }
}

/// Scopes as callers write them: a sequence of words; one text is one scope.
fn words(object: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(vec![text.to_string_lossy().into_owned()]);
    }
    object.try_iter()?.map(|word| word?.extract()).collect()
}

pub(super) fn seconds(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Duration> {
    match timeout {
        None => Ok(DEFAULT_TIMEOUT),
        Some(timeout) => Ok(convert::duration(timeout.extract()?)),
    }
}

#[inline]
fn tabled(py: Python<'_>, wishes: &Wishes<'_, '_>) -> Option<Py<PyAny>> {
    TABLE.with(|table| {
        let table = table.try_borrow().ok()?;
        let entry = table[place(wishes)].as_ref()?;
        let key = &entry.key;
        (key.provider.as_ptr() == wishes.provider.as_ptr()
            && same(key.connection.as_ref(), wishes.connection)
            && same(key.grant_type.as_ref(), wishes.grant_type)
            && entry.workspace == workspace::default_number()
            && entry.slot.fresh())
        .then(|| entry.token.clone_ref(py))
    })
}

fn tabulate(
    py: Python<'_>,
    wishes: &Wishes<'_, '_>,
    workspace: u64,
    slot: Arc<Slot>,
    token: &Py<PyAny>,
) {
    let Ok(provider) = wishes.provider.cast::<PyString>() else {
        return;
    };
    let owned = |object: Option<&Bound<'_, PyAny>>| object.map(|object| object.clone().unbind());
    let entry = Entry {
        key: Key {
            provider: provider.clone().unbind(),
            grant_type: owned(wishes.grant_type),
            connection: owned(wishes.connection),
        },
        workspace,
        slot,
        token: token.clone_ref(py),
    };
    let replaced = TABLE.with(|table| {
        let mut table = table.try_borrow_mut().ok()?;
        table[place(wishes)].replace(entry)
    });
    // Dropped here, where dropping a Python object may run code that asks for a token again.
    drop(replaced);
}

#[inline]
fn same(known: Option<&Py<PyAny>>, given: Option<&Bound<'_, PyAny>>) -> bool {
    match (known, given) {
        (None, None) => true,
        (Some(known), Some(given)) => known.as_ptr() == given.as_ptr(),
        _ => false,
    }
}

/// Objects are aligned to 16 bytes: the bits above choose the entry.
#[inline]
fn place(wishes: &Wishes<'_, '_>) -> usize {
    let address =
        |object: Option<&Bound<'_, PyAny>>| object.map_or(0, |object| object.as_ptr().addr());
    let names = wishes.provider.as_ptr().addr() ^ address(wishes.connection).rotate_left(3);
    (names >> 4) % ENTRIES
}

/// Masks tokens in log records from the first one on.
fn redact_logs(py: Python<'_>) -> PyResult<()> {
    let setting = workspace::variable(py, "EVERGRANT_LOG_REDACTION")?;
    py.import("evergrant._redact")?
        .call_method1("install_log_redaction", (setting,))?;
    Ok(())
}
