//! The verbs by name: from a dict of arguments to a future, and from its answer to Python objects.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action;
use crate::action::run::PythonStep;
use crate::action::validate::{Surroundings, validate};
use crate::connect::{self, ConnectRequest, Connecting, SignIn};
use crate::engine::cache::Slot;
use crate::engine::configure::{Configure, Settings};
use crate::engine::open::{self, Choice, Environment};
use crate::engine::{Engine, TokenRequest};
use crate::error::{Error, Result};
use crate::model::GrantType;
use crate::python::call::{Call, Work};
use crate::python::convert::duration;
use crate::python::{convert, errors, installed, token};
use crate::secret::{Secret, live};

/// Arguments that are secrets: they leave the dict before it becomes plain data.
const SECRETS: [&str; 6] = [
    "access_token",
    "client_secret",
    "refresh_token",
    "replacing",
    "session",
    "callback_url",
];

static SIGN_INS: Mutex<Option<HashMap<u64, Arc<SignIn>>>> = Mutex::new(None);
static NEXT_SIGN_IN: AtomicU64 = AtomicU64::new(1);

/// What a verb answers.
pub(super) enum Answer {
    /// Plain data.
    Plain(Value),
    /// A token, and the engine it belongs to.
    Token(Arc<Engine>, Arc<Slot>),
    /// What a run of an action needs of Python.
    Step(PythonStep),
    /// What an action returned.
    Value(action::value::Value),
}

impl Answer {
    pub(super) fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Plain(value) => convert::to_python(py, &value).map(Bound::unbind),
            Self::Token(engine, slot) => token::object_of(py, &engine, &slot),
            Self::Step(step) => super::action::asked(py, step),
            Self::Value(value) => super::action::done(py, &value),
        }
    }
}

/// Begins a verb of an engine.
pub(super) fn begin(
    py: Python<'_>,
    engine: &Arc<Engine>,
    verb: &str,
    arguments: &Bound<'_, PyDict>,
) -> PyResult<Call> {
    let plain = arguments.copy()?;
    let mut secrets: HashMap<&str, Secret> = HashMap::new();
    for name in SECRETS {
        if let Some(value) = plain.get_item(name)? {
            plain.del_item(name)?;
            if !value.is_none() {
                secrets.insert(
                    name,
                    Secret::from(value.cast::<PyString>()?.to_string_lossy().into_owned()),
                );
            }
        }
    }
    let arguments = convert::to_value(&plain)?;
    if verb == "apply" {
        let path: Path = parsed(py, arguments)?;
        installed::adopt(py, engine)?;
        let work = apply(py, engine, path)?;
        return Call::spawn(py, work);
    }
    let waits = !matches!(
        verb,
        "get_token"
            | "status"
            | "integrations"
            | "connections"
            | "providers"
            | "provider"
            | "check_provider"
    );
    let provider = arguments.get("provider").and_then(Value::as_str);
    let provider = provider.map(str::to_owned);
    let id = arguments.get("id").and_then(Value::as_str);
    match provider.as_deref().or(id) {
        Some(provider) => installed::look_for(py, engine, provider)?,
        None if verb == "providers" => installed::adopt(py, engine)?,
        None => {}
    }
    let of_provider = move |error: Error| match &provider {
        Some(provider) => error.of_provider(provider),
        None => error,
    };
    match work(Arc::clone(engine), verb, arguments, secrets) {
        Ok(work) => {
            let work = Box::pin(async move { work.await.map_err(of_provider) });
            if waits {
                Call::spawn(py, work)
            } else {
                Call::start(py, work)
            }
        }
        Err(error) => Err(errors::to_exception(py, &of_provider(error))),
    }
}

/// Runs a future that needs no network to its end, on this thread's first poll where it can.
pub(super) fn now<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let (work, kept) = keeping(future);
    taken(py, Call::start(py, work)?, &kept)
}

/// Runs a future to its end on the runtime: it may use the network or timers.
fn on_the_runtime<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let (work, kept) = keeping(future);
    taken(py, Call::spawn(py, work)?, &kept)
}

type Kept<T> = Arc<Mutex<Option<T>>>;

fn keeping<T: Send + 'static>(
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> (Work, Kept<T>) {
    let kept = Kept::default();
    let keep = Arc::clone(&kept);
    let work = Box::pin(async move {
        let value = future.await?;
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(Answer::Plain(Value::Null))
    });
    (work, kept)
}

fn taken<T>(py: Python<'_>, call: Call, kept: &Kept<T>) -> PyResult<T> {
    call.answer(py, None, None)?;
    let value = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.ok_or_else(|| errors::to_exception(py, &Error::internal("a verb answered with nothing")))
}

/// Opens a workspace and applies a configuration file to it.
pub(super) fn opened_with_file(
    py: Python<'_>,
    choice: Choice,
    environment: Environment,
    file: PathBuf,
) -> PyResult<Arc<Engine>> {
    let variables = variables(py)?;
    let engine = on_the_runtime(py, {
        let (choice, environment, file) = (choice.clone(), environment.clone(), file.clone());
        let variables = variables.clone();
        async move {
            let lookup = |name: &str| variables.get(name).cloned();
            let opened = open::open_with_file(choice, &environment, &file, &lookup).await;
            match opened {
                Err(error) if error.code() == "unknown_provider" => Ok(None),
                opened => opened.map(Some),
            }
        }
    })?;
    if let Some(engine) = engine {
        return Ok(engine);
    }
    // A package may have brought the provider.
    let mut environment = environment;
    environment.installed = installed::folders(py)?;
    on_the_runtime(py, async move {
        let lookup = |name: &str| variables.get(name).cloned();
        open::open_with_file(choice, &environment, &file, &lookup).await
    })
}

fn apply(py: Python<'_>, engine: &Arc<Engine>, arguments: Path) -> PyResult<Work> {
    let engine = Arc::clone(engine);
    let variables = variables(py)?;
    Ok(Box::pin(async move {
        let lookup = |name: &str| variables.get(name).cloned();
        plain(
            &engine
                .apply(&arguments.path, arguments.check, &lookup)
                .await?,
        )
    }))
}

/// The environment's variables as this process sees them now.
pub(super) fn variables(py: Python<'_>) -> PyResult<HashMap<String, Secret>> {
    let environ = py.import("os")?.getattr("environ")?.call_method0("copy")?;
    let variables: HashMap<String, String> = environ.extract()?;
    let secret = |(name, value)| (name, Secret::from(value));
    Ok(variables.into_iter().map(secret).collect())
}

/// Masks every live secret in a text; the same object when there is none.
#[pyfunction]
pub(super) fn redact_text<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    if !live::any() {
        return Ok(text.clone());
    }
    match crate::secret::redact::redact(text.to_cow()?.as_ref()) {
        Some(masked) => Ok(PyString::new(text.py(), &masked)),
        None => Ok(text.clone()),
    }
}

/// Whether this process holds any secret that could be in a text.
#[pyfunction]
pub(super) fn has_live() -> bool {
    live::any()
}

#[derive(Deserialize)]
struct Names {
    provider: String,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
}

#[derive(Deserialize)]
struct Filter {
    provider: Option<String>,
    grant_type: Option<GrantType>,
}

#[derive(Deserialize)]
struct Asked {
    provider: String,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
    resource: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    min_ttl: Option<f64>,
    timeout: Option<f64>,
}

#[derive(Deserialize)]
struct Connect {
    provider: String,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    again: bool,
    #[serde(default)]
    headless: bool,
    #[serde(default = "default_connect_timeout")]
    timeout: f64,
    #[serde(default)]
    redirect_uri: String,
}

#[derive(Deserialize)]
struct Keep {
    provider: String,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
    scopes: Option<Vec<String>>,
    lifetime: Option<f64>,
}

#[derive(Deserialize)]
struct Leave {
    provider: String,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
    #[serde(default = "yes")]
    revoke: bool,
}

#[derive(Deserialize)]
struct Due {
    provider: Option<String>,
    grant_type: Option<GrantType>,
    #[serde(default = "default_connection")]
    connection: String,
    #[serde(default)]
    lead: f64,
}

#[derive(Deserialize)]
struct Paths {
    paths: Vec<PathBuf>,
    actions: Vec<String>,
}

#[derive(Deserialize)]
struct Path {
    path: PathBuf,
    #[serde(default)]
    check: bool,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Flow {
    flow: u64,
}

#[derive(Deserialize)]
struct ConfigureText {
    provider: String,
    grant_type: Option<GrantType>,
    client_id: Option<String>,
    #[serde(flatten)]
    settings: Value,
}

fn work(
    engine: Arc<Engine>,
    verb: &str,
    arguments: Value,
    mut secrets: HashMap<&str, Secret>,
) -> Result<Work> {
    Ok(match verb {
        "configure" => {
            let ConfigureText {
                provider,
                grant_type,
                client_id,
                settings,
            } = read(arguments)?;
            let settings: Settings = read(settings)?;
            let client_secret = secrets.remove("client_secret").map(Into::into);
            let request = Configure {
                provider,
                grant_type,
                client_id,
                client_secret,
                settings,
            };
            Box::pin(async move { plain(&engine.configure(request).await?) })
        }
        "get_token" => {
            let asked: Asked = read(arguments)?;
            let request = TokenRequest {
                provider: asked.provider,
                grant_type: asked.grant_type,
                connection: asked.connection,
                resource: asked.resource,
                scopes: asked.scopes,
                min_ttl: asked.min_ttl.map(duration),
                replacing: secrets.remove("replacing").map(Into::into),
            };
            let timeout = asked.timeout.map_or(token::DEFAULT_TIMEOUT, duration);
            token::work_within(timeout, &engine, request)
        }
        "status" => {
            let Names {
                provider,
                grant_type,
                connection,
            } = read(arguments)?;
            Box::pin(
                async move { plain(&engine.status(&provider, grant_type, &connection).await?) },
            )
        }
        "integrations" => Box::pin(async move { plain(&engine.integrations().await?) }),
        "connections" => {
            let Filter {
                provider,
                grant_type,
            } = read(arguments)?;
            Box::pin(
                async move { plain(&engine.connections(provider.as_deref(), grant_type).await?) },
            )
        }
        "connect_start" => {
            let (request, _) = connect_request(arguments)?;
            let complete = engine.command("complete-connect");
            Box::pin(async move { started(connect::connect(engine, request).await?, complete) })
        }
        "connect_wait" => {
            let Flow { flow } = read(arguments)?;
            Box::pin(async move {
                let sign_in = sign_in(flow)?;
                let landed = sign_in.landed().await;
                forget(flow);
                plain(&landed?)
            })
        }
        "connect_cancel" => {
            let Flow { flow } = read(arguments)?;
            Box::pin(async move {
                if let Ok(sign_in) = sign_in(flow) {
                    sign_in.cancel();
                    // Its port is free once it has landed; how it ended nobody asks any more.
                    drop(sign_in.landed().await);
                }
                forget(flow);
                Ok(Answer::Plain(Value::Null))
            })
        }
        "begin_connect" => {
            let (request, redirect_uri) = connect_request(arguments)?;
            let session = secrets.remove("session").unwrap_or_else(|| "".into());
            Box::pin(async move {
                let begun = connect::begin_connect(engine, request, &redirect_uri, session).await?;
                Ok(Answer::Plain(json!({
                    "authorization_url": begun.authorization_url,
                    "state": begun.state.expose(),
                    "expires_at": begun.expires_at.millis(),
                })))
            })
        }
        "complete_connect" => {
            let callback_url = secrets.remove("callback_url").unwrap_or_else(|| "".into());
            let session = secrets.remove("session");
            Box::pin(async move {
                plain(&connect::complete_connect(engine, callback_url.expose(), session).await?)
            })
        }
        "import_refresh_token" => {
            let (request, _) = connect_request(arguments)?;
            let refresh_token = secrets.remove("refresh_token").unwrap_or_else(|| "".into());
            Box::pin(async move {
                let ConnectRequest {
                    provider,
                    grant_type,
                    connection,
                    scopes,
                    ..
                } = request;
                plain(
                    &engine
                        .import_refresh_token(
                            &provider,
                            refresh_token.into(),
                            grant_type,
                            &connection,
                            &scopes,
                        )
                        .await?,
                )
            })
        }
        "keep_token" => {
            let Keep {
                provider,
                grant_type,
                connection,
                scopes,
                lifetime,
            } = read(arguments)?;
            let access_token = secrets.remove("access_token").unwrap_or_else(|| "".into());
            let lifetime = lifetime.map(duration);
            Box::pin(async move {
                plain(
                    &engine
                        .keep_token(
                            &provider,
                            access_token.into(),
                            grant_type,
                            &connection,
                            scopes,
                            lifetime,
                        )
                        .await?,
                )
            })
        }
        "test" => {
            let Names {
                provider,
                grant_type,
                connection,
            } = read(arguments)?;
            Box::pin(async move { plain(&engine.test(&provider, grant_type, &connection).await?) })
        }
        "disconnect" => {
            let Leave {
                provider,
                grant_type,
                connection,
                revoke,
            } = read(arguments)?;
            Box::pin(async move {
                plain(
                    &engine
                        .disconnect(&provider, grant_type, &connection, revoke)
                        .await?,
                )
            })
        }
        "remove" => {
            let Leave {
                provider,
                grant_type,
                revoke,
                ..
            } = read(arguments)?;
            Box::pin(async move { plain(&engine.remove(&provider, grant_type, revoke).await?) })
        }
        "refresh" => {
            let Due {
                provider,
                grant_type,
                connection,
                lead,
            } = read(arguments)?;
            Box::pin(async move {
                plain(&match provider {
                    Some(provider) => {
                        engine
                            .refresh_now(&provider, grant_type, &connection)
                            .await?
                    }
                    None => engine.refresh_due(duration(lead)).await?,
                })
            })
        }
        "providers" => Box::pin(async move {
            let all = engine.catalog().all()?;
            Ok(Answer::Plain(
                all.iter().map(|provider| provider.to_value()).collect(),
            ))
        }),
        "provider" => {
            let Id { id } = read(arguments)?;
            Box::pin(async move { Ok(Answer::Plain(engine.catalog().find(&id)?.to_value())) })
        }
        "check_provider" => {
            let Path { path, .. } = read(arguments)?;
            Box::pin(async move { plain(&crate::provider::check::check_provider(&path)) })
        }
        "validate" => {
            let Paths { paths, actions } = read(arguments)?;
            Box::pin(async move {
                // Without a store that can be read nothing is configured.
                let configured = engine.integrations().await.unwrap_or_default();
                let is_configured = |provider: &str| {
                    let mut configured = configured.iter();
                    configured.any(|status| status.provider == provider)
                };
                plain(&validate(
                    &paths,
                    &Surroundings {
                        catalog: engine.catalog(),
                        is_configured: &is_configured,
                        is_action: &|name| actions.iter().any(|action| action == name),
                    },
                ))
            })
        }
        _ => return Err(Error::internal(format!("there is no verb {verb}"))),
    })
}

fn connect_request(arguments: Value) -> Result<(ConnectRequest, String)> {
    let Connect {
        provider,
        grant_type,
        connection,
        scopes,
        again,
        headless,
        timeout,
        redirect_uri,
    } = read(arguments)?;
    let timeout = duration(timeout);
    Ok((
        ConnectRequest {
            provider,
            grant_type,
            connection,
            scopes,
            again,
            headless,
            timeout,
        },
        redirect_uri,
    ))
}

fn started(connecting: Connecting, complete: String) -> Result<Answer> {
    match connecting {
        Connecting::Done(status) => Ok(Answer::Plain(json!({ "status": status }))),
        Connecting::SignIn(sign_in) => {
            let flow = NEXT_SIGN_IN.fetch_add(1, Ordering::Relaxed);
            let answer = json!({
                "url": sign_in.url,
                "flow": flow,
                "loopback": sign_in.listens,
                "redirect_uri": sign_in.redirect_uri,
                "device": sign_in.device.as_ref().map(|device| json!({
                    "user_code": device.user_code,
                    "verification_uri": device.verification_uri,
                    "verification_uri_complete": device.verification_uri_complete,
                    "expires_in": device.expires_in.as_secs_f64(),
                })),
                "complete": complete,
            });
            sign_ins()
                .get_or_insert_default()
                .insert(flow, Arc::new(sign_in));
            Ok(Answer::Plain(answer))
        }
    }
}

fn sign_in(flow: u64) -> Result<Arc<SignIn>> {
    sign_ins()
        .get_or_insert_default()
        .get(&flow)
        .cloned()
        .ok_or_else(|| Error::internal("there is no such sign-in in this process"))
}

fn forget(flow: u64) {
    sign_ins().get_or_insert_default().remove(&flow);
}

fn sign_ins() -> MutexGuard<'static, Option<HashMap<u64, Arc<SignIn>>>> {
    SIGN_INS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plain(answer: &impl Serialize) -> Result<Answer> {
    serde_json::to_value(answer)
        .map(Answer::Plain)
        .map_err(|_| Error::internal("an answer is no plain data"))
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let (name, wrong) = (error.path().to_string(), error.inner().to_string());
        // Before the last "expected" stands the value, which may be a secret.
        let reason = match wrong.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{name} has to be {expected}"),
            None => format!("{name} can't be used as it is"),
        };
        Error::invalid_parameter("invalid_argument", reason)
    })
}

fn parsed<T: DeserializeOwned>(py: Python<'_>, arguments: Value) -> PyResult<T> {
    read(arguments).map_err(|error| errors::to_exception(py, &error))
}

fn default_connection() -> String {
    "default".to_owned()
}

fn default_connect_timeout() -> f64 {
    300.0
}

fn yes() -> bool {
    true
}
