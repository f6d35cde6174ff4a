//! Provider files of installed packages: looked for when nothing else knows a provider.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::engine::Engine;
use crate::provider::installed;
use crate::python::{errors, verbs};
use crate::system;

/// Has the engine take the files of installed packages, if nothing else knows `provider`.
pub(super) fn look_for(py: Python<'_>, engine: &Arc<Engine>, provider: &str) -> PyResult<()> {
    if engine.catalog().has_adopted() || engine.catalog().id(provider).is_some() {
        return Ok(());
    }
    let (asked, id) = (Arc::clone(engine), provider.to_owned());
    // What can't be read is for the verb to say, not for this question before it.
    let knows = verbs::now(
        py,
        async move { Ok(asked.knows(&id).await.unwrap_or(true)) },
    )?;
    if knows {
        return Ok(());
    }
    adopt(py, engine)
}

/// Has the engine take the files of installed packages: at the first call.
pub(super) fn adopt(py: Python<'_>, engine: &Arc<Engine>) -> PyResult<()> {
    if engine.catalog().has_adopted() {
        return Ok(());
    }
    let folders = folders(py)?;
    let adopted = {
        // A fork waits: a child must not find the catalogue half filled.
        let _entered = system::enter();
        engine.catalog().adopt(&folders)
    };
    adopted.map_err(|error| errors::to_exception(py, &error))
}

/// The folders with provider files that installed packages name.
pub(super) fn folders(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let path = py.import("sys")?.getattr("path")?;
    let path: Vec<PathBuf> = path
        .try_iter()?
        .filter_map(|folder| folder.ok()?.extract::<String>().ok())
        .map(|folder| match folder.as_str() {
            "" => PathBuf::from("."),
            folder => PathBuf::from(folder),
        })
        .collect();
    Ok(py.detach(|| installed::folders(&path)))
}
