//! The core's tests: one binary, one module per topic.

mod store;
mod system;
