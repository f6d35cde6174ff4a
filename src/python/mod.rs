//! `evergrant._core`: conversions between Python and the core, and nothing else.
//!
//! No thread of ours ever attaches to the interpreter: results wait in Rust until a Python thread takes them.

mod action;
mod bridge;
mod call;
mod convert;
mod errors;
mod exit;
mod installed;
mod log;
mod measure;
mod token;
mod value;
mod verbs;
mod workspace;

use pyo3::prelude::*;

use crate::clock::Clock;

/// The Rust core of evergrant.
#[pymodule(gil_used = false)]
#[pyo3(name = "_core")]
fn core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    crate::system::watch_forks();
    log::install();
    #[cfg(debug_assertions)]
    arm_faults();
    module.add("WATCHED", module.py().Ellipsis())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("_lifeline", exit::Lifeline)?;
    module.add_class::<action::Run>()?;
    module.add_class::<action::Template>()?;
    module.add_class::<bridge::Port>()?;
    module.add_class::<call::Call>()?;
    module.add_class::<token::Handle>()?;
    module.add_class::<workspace::ManualClock>()?;
    module.add_class::<workspace::Workspace>()?;
    module.add_function(wrap_pyfunction!(action::jsonpath, module)?)?;
    module.add_function(wrap_pyfunction!(exit::drain, module)?)?;
    module.add_function(wrap_pyfunction!(measure::_evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(token::_noop, module)?)?;
    module.add_function(wrap_pyfunction!(token::cached_token, module)?)?;
    module.add_function(wrap_pyfunction!(token::get_token, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::has_live, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::redact_text, module)?)?;
    module.add_function(wrap_pyfunction!(workspace::call, module)?)?;
    module.add_function(wrap_pyfunction!(workspace::default_workspace, module)?)?;
    module.add_function(wrap_pyfunction!(workspace::set_default_workspace, module)?)?;
    // The names are for the package, not for `from ... import *`.
    module.delattr("__all__")
}

/// The clock of a workspace that was given none: the machine's.
#[cfg(not(debug_assertions))]
fn unless_injected() -> Clock {
    Clock::system()
}

/// The clock of a workspace that was given none: the machine's, or with `EVERGRANT_TEST_PACE=50` one by which the lease
/// and every deadline of a request come 50 times sooner.
#[cfg(debug_assertions)]
fn unless_injected() -> Clock {
    let pace = std::env::var("EVERGRANT_TEST_PACE").ok();
    let pace = pace.and_then(|pace| pace.parse().ok());
    pace.map_or_else(Clock::system, Clock::paced)
}

/// Arms the fault points that `EVERGRANT_TEST_FAULTS` names: `refresh.claimed=freeze,refresh.commit=kill`.
#[cfg(debug_assertions)]
fn arm_faults() {
    let wanted = std::env::var("EVERGRANT_TEST_FAULTS").unwrap_or_default();
    for (name, action) in wanted.split(',').filter_map(|one| one.split_once('=')) {
        if let Some(action) = crate::fault::Action::parse(action) {
            crate::fault::arm(name, action);
        }
    }
}
