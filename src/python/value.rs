//! Values of templates across the border.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::action::value::{Duration, Key, Mapping, Value};

/// Values inside of each other.
const DEEPEST: usize = 200;

/// A Python object; what JSON does not know arrives as text.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::None => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items.iter() {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Mapping(entries) => mapping_to_python(py, entries)?,
        other => PyString::new(py, &other.to_string()).into_any(),
    })
}

/// A dict.
pub(super) fn mapping_to_python<'py>(
    py: Python<'py>,
    entries: &Mapping,
) -> PyResult<Bound<'py, PyAny>> {
    let dict = PyDict::new(py);
    for (key, member) in entries {
        dict.set_item(to_python(py, key.value())?, to_python(py, member)?)?;
    }
    Ok(dict.into_any())
}

/// A value from a Python object.
pub(super) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, DEEPEST)
}

/// A mapping from a dict; None is an empty one.
pub(super) fn mapping_from_python(object: &Bound<'_, PyAny>) -> PyResult<Mapping> {
    match from_python(object)? {
        Value::None => Ok(Mapping::new()),
        Value::Mapping(entries) => Ok(std::sync::Arc::unwrap_or_clone(entries)),
        other => {
            let kind = other.kind();
            Err(PyTypeError::new_err(format!(
                "a mapping is needed, not {kind}"
            )))
        }
    }
}

fn read(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth == 0 {
        return Err(PyValueError::new_err("the value is nested too deep"));
    }
    if object.is_none() {
        return Ok(Value::None);
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(object.extract()?));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_cow() {
            Ok(text) => Ok(Value::from(text.as_ref())),
            Err(_) => Err(PyValueError::new_err("text that is no Unicode")),
        };
    }
    if object.is_instance_of::<PyInt>() {
        let number: Result<i128, _> = object.extract();
        return match number {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(PyValueError::new_err("an integer of more than 128 bits")),
        };
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(object.extract()?));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut mapping = Mapping::new();
        for (key, member) in dict {
            let key = Key::new(read(&key, depth - 1)?)
                .map_err(|failure| PyTypeError::new_err(failure.to_string()))?;
            mapping.insert(key, read(&member, depth - 1)?);
        }
        return Ok(Value::mapping(mapping));
    }
    let is_list = object.is_instance_of::<PyList>()
        || object.is_instance_of::<PyTuple>()
        || object.is_instance_of::<PySet>()
        || object.is_instance_of::<PyFrozenSet>();
    if is_list {
        let items = object.try_iter()?.map(|item| read(&item?, depth - 1));
        return Ok(Value::list(items.collect::<PyResult<_>>()?));
    }
    moment(object)
}

/// Dates and times as ISO text, durations, and other mappings.
fn moment(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.hasattr("isoformat")? {
        let text: String = object.call_method0("isoformat")?.extract()?;
        return Ok(Value::from(text));
    }
    if object.hasattr("total_seconds")? {
        let part = |name: &str| object.getattr(name)?.extract::<i128>();
        let seconds = part("days")? * 86_400 + part("seconds")?;
        let microseconds = seconds * 1_000_000 + part("microseconds")?;
        let duration = Duration::from_microseconds(microseconds)
            .map_err(|failure| PyValueError::new_err(failure.to_string()))?;
        return Ok(Value::Duration(duration));
    }
    let name = object.get_type().name()?;
    Err(PyTypeError::new_err(format!("{name} is not accepted here")))
}
