//! `flight.rs` as it is, on a scheduler that tries the orders in which its threads and tasks may run.
//!
//! The file is built here once more, with doubles of what it imports whose locks and tasks shuttle sees.
#![allow(clippy::unwrap_used)]

mod engine;
mod flights;

mod error {
    pub(crate) use _core::error::{Error, Result};
}

mod model {
    pub(crate) use _core::model::ConnectionKey;
}

mod system {
    /// No process forks here.
    pub(crate) fn epoch() -> u64 {
        0
    }
}
