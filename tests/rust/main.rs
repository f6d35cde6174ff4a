//! The core's tests: one binary, one module per topic.

mod sqlite;
mod store;
mod system;
