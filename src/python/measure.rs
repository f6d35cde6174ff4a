//! What only a benchmark calls.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::action::expression::{Contexts, Pattern};
use crate::action::value::json;

/// Evaluates a text of a template so many times, and gives the value as JSON; `inputs` is JSON, too.
#[pyfunction]
pub(super) fn _evaluate(
    py: Python<'_>,
    text: &str,
    inputs: &str,
    times: usize,
) -> PyResult<String> {
    py.detach(|| {
        let wrong = |message: String| PyValueError::new_err(message);
        let pattern = Pattern::parse(text).map_err(|error| wrong(error.to_string()))?;
        let contexts = Contexts {
            inputs: json::read(inputs).map_err(|failure| wrong(failure.to_string()))?,
            ..Contexts::default()
        };
        let mut value = None;
        for _ in 0..times {
            value = Some(
                pattern
                    .evaluate(&contexts)
                    .map_err(|error| wrong(error.to_string()))?,
            );
        }
        let value = value.ok_or_else(|| wrong("evaluated no times".to_owned()))?;
        Ok(json::write(&value, json::Layout::Compact))
    })
}
