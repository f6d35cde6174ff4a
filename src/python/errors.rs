//! The one place where an [`Error`] becomes an exception of `evergrant.exceptions`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::error::{Error, ErrorKind};

static EXCEPTIONS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The exception of an error.
pub(super) fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let module = EXCEPTIONS
        .get_or_try_init(py, || py.import("evergrant.exceptions").map(Bound::unbind))?
        .bind(py);
    let keywords = PyDict::new(py);
    keywords.set_item("code", error.code())?;
    keywords.set_item("provider", error.provider())?;
    keywords.set_item("connection", error.connection())?;
    keywords.set_item("hint", error.next_command())?;
    let name = match error.kind() {
        ErrorKind::Action => "ActionError",
        ErrorKind::AmbiguousGrant => "AmbiguousGrant",
        ErrorKind::ConnectDenied => "ConnectDenied",
        ErrorKind::ConnectFailed => "ConnectFailed",
        ErrorKind::ConnectTimeout => "ConnectTimeout",
        ErrorKind::Internal => "EvergrantError",
        ErrorKind::InvalidParameter => "InvalidParameter",
        ErrorKind::InvalidScope {
            scope,
            patterns,
            nearest,
        } => {
            keywords.set_item("scope", scope)?;
            keywords.set_item("patterns", tuple(py, patterns)?)?;
            keywords.set_item("nearest", nearest)?;
            "InvalidScope"
        }
        ErrorKind::MissingScopes { missing, union } => {
            keywords.set_item("missing", tuple(py, missing)?)?;
            keywords.set_item("union", tuple(py, union)?)?;
            "MissingScopes"
        }
        ErrorKind::NotConfigured => "NotConfigured",
        ErrorKind::NotConnected => "NotConnected",
        ErrorKind::ProviderRejected { error, description } => {
            keywords.set_item("error", error)?;
            keywords.set_item("description", description)?;
            "ProviderRejected"
        }
        ErrorKind::ProviderUnavailable { retry_after } => {
            keywords.set_item("retry_after", retry_after.map(|after| after.as_secs_f64()))?;
            "ProviderUnavailable"
        }
        ErrorKind::ReauthorizationRequired { error, description } => {
            keywords.set_item("error", error)?;
            keywords.set_item("description", description)?;
            "ReauthorizationRequired"
        }
        ErrorKind::Store => "StoreError",
        ErrorKind::Template { path, line, column } => {
            keywords.set_item("path", path)?;
            keywords.set_item("line", line)?;
            keywords.set_item("column", column)?;
            "TemplateError"
        }
        ErrorKind::UnknownProvider => "UnknownProvider",
        ErrorKind::VaultLocked => "VaultLocked",
        ErrorKind::WrongKey => "WrongKey",
    };
    Ok(PyErr::from_value(
        module
            .getattr(name)?
            .call((error.reason(),), Some(&keywords))?,
    ))
}

fn tuple<'py>(py: Python<'py>, words: &[String]) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
    pyo3::types::PyTuple::new(py, words)
}
