//! Plain values across the border: JSON-shaped data in both directions.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::Value;

/// A Python object from JSON-shaped data: lists become lists, maps become dicts.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into_pyobject(py)?.into_any(),
            (None, real) => real.unwrap_or_default().into_pyobject(py)?.into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, field) in fields {
                dict.set_item(name, to_python(py, field)?)?;
            }
            dict.into_any()
        }
    })
}

/// JSON-shaped data from a Python object; `None` fields of a dict are left out.
pub(super) fn to_value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(object.extract()?));
    }
    if let Ok(text) = object.cast::<PyString>() {
        // Not by `str()`, which looks for signals: a Ctrl-C then would put other words in place of the argument.
        return Ok(Value::String(text.to_string_lossy().into_owned()));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Value::from(object.extract::<i64>()?));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Value::from(object.extract::<f64>()?));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut fields = serde_json::Map::new();
        for (name, field) in dict {
            if !field.is_none() {
                fields.insert(name.extract()?, to_value(&field)?);
            }
        }
        return Ok(Value::Object(fields));
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items: PyResult<Vec<Value>> = object.try_iter()?.map(|item| to_value(&item?)).collect();
        return Ok(Value::Array(items?));
    }
    Err(PyTypeError::new_err(format!(
        "{} is not accepted here",
        object.get_type().name()?
    )))
}

/// Seconds as callers write them: what is negative or no number is none, and thirty years are enough.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(if seconds.is_nan() {
        0.0
    } else {
        seconds.clamp(0.0, 1e9)
    })
}
